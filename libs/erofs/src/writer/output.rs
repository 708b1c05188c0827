//! Where data comes from and goes to.

use alloc::string::String;
use alloc::vec::Vec;
use core::convert::Infallible;
use core::fmt;
use core::ops::ControlFlow;

/// Where the data of a regular file comes from.
pub trait Content {
    /// Why data can't be read.
    type Error;

    /// Size of the data, in bytes. Asked for when the image is laid out.
    fn size(&self) -> u64;

    /// Passes all data to `sink`, from first to last, in pieces of any size (some 64 KiB each is a good
    /// choice), and stops when told to. Called once per [`Layout::write`](super::Layout::write), so that
    /// a file of the host needs to be open only for so long.
    fn stream(&self, sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), Self::Error>;
}

/// Bytes that are in memory already.
impl Content for &[u8] {
    type Error = Infallible;

    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn stream(&self, sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), Infallible> {
        let _all_taken_or_not_wanted = sink(self);
        Ok(())
    }
}

/// Bytes that are in memory already.
impl Content for Vec<u8> {
    type Error = Infallible;

    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn stream(&self, sink: &mut dyn FnMut(&[u8]) -> ControlFlow<()>) -> Result<(), Infallible> {
        self.as_slice().stream(sink)
    }
}

/// Where the image goes. Pieces may be small: an output for which that is slow should collect them.
pub trait Output {
    /// Why bytes can't be written.
    type Error;

    /// Takes the next bytes of the image, all of them.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
}

/// An image in memory.
impl Output for Vec<u8> {
    type Error = Infallible;

    fn write(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.extend_from_slice(bytes);
        Ok(())
    }
}

/// Why an image isn't complete. Paths are those of the image, shown as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteError<C, O> {
    /// The data of a file can't be read.
    Content {
        /// The file.
        path: String,
        /// Why.
        error: C,
    },
    /// A file had more or less data than when the image was laid out.
    SizeChanged {
        /// The file.
        path: String,
        /// Its size at that time, in bytes.
        expected: u64,
        /// Bytes that came before the data ended, or before there were too many.
        received: u64,
    },
    /// The image can't be written.
    Output(O),
}

impl<C: fmt::Display, O: fmt::Display> fmt::Display for WriteError<C, O> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Content { path, error } => {
                write!(formatter, "can't read the data of \"{path}\": {error}")
            }
            Self::SizeChanged {
                path,
                expected,
                received,
            } => write!(
                formatter,
                "\"{path}\" changed while the image was built: it had {expected} bytes, now there are {} \
                 {received}. Build again when nothing writes to it",
                if received > expected {
                    "at least"
                } else {
                    "only"
                }
            ),
            Self::Output(error) => write!(formatter, "can't write the image: {error}"),
        }
    }
}

impl<C, O> core::error::Error for WriteError<C, O>
where
    C: fmt::Debug + fmt::Display,
    O: fmt::Debug + fmt::Display,
{
}
