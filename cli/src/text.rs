//! Writing for people.

use std::io::{self, Write};

use crate::failure::Failure;

pub use pith_image::text::size;

/// Writes to standard output. A reader that has left, as in `pith inspect IMAGE | head`, is no error.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut output = io::stdout().lock();
    match output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new(
            format_args!("can't write to standard output: {error}"),
            "make room there, or send the output elsewhere",
        )),
        _ => Ok(()),
    }
}
