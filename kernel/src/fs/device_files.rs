//! The devices of `/dev`: `null(4)`, `full(4)`, `random(4)`, `tty(4)`.

use alloc::sync::Arc;

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::{DeviceNumber, OpenFlags};

use super::file::{File, Mappable, WriteAt};
use super::inode::{Inode, NewFile};
use super::terminal::{self, file_system::MULTIPLEXER};
use super::user_faults;
use super::{console, kernel_log};
use crate::memory::{Destination, Source, UserPointer, read_object, write_object};
use crate::task::random;

/// The devices that take bytes and give bytes without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Device {
    Null,
    Zero,
    Full,
    Random,
    UserFaults,
}

/// Most bytes made at a time.
const PIECE: usize = 1024;

/// `RNDGETENTCNT`, `RNDADDTOENTCNT`, `RNDADDENTROPY`
const GET_ENTROPY_COUNT: u32 = 0x8004_5200;
const ADD_TO_ENTROPY_COUNT: u32 = 0x4004_5201;
const ADD_ENTROPY: u32 = 0x4008_5203;

/// `USERFAULTFD_IOC_NEW`
const NEW_USER_FAULTS: u32 = 0xaa00;

/// Entropy that `/proc` and the ioctl tell: the generator is seeded and needs no more.
pub const ENTROPY_BITS: i32 = 256;

impl File for Device {
    fn seekable(&self) -> bool {
        true
    }

    fn has_positions(&self) -> bool {
        false
    }

    fn read(&self, _position: u64, to: &mut Destination<'_>, _flags: OpenFlags) -> Result<usize, Errno> {
        match self {
            Self::Null => Ok(0),
            Self::UserFaults => Err(Errno::EINVAL),
            Self::Zero | Self::Full => to.put_zeroes(to.remaining()),
            Self::Random => {
                let mut done = 0;
                let mut bytes = [0; PIECE];
                while to.remaining() != 0 {
                    let part = &mut bytes[..to.remaining().min(PIECE)];
                    random::fill(part);
                    match to.put(part) {
                        Ok(0) => break,
                        Ok(copied) => done += copied,
                        Err(errno) if done == 0 => return Err(errno),
                        Err(_) => break,
                    }
                }
                Ok(done)
            }
        }
    }

    fn write(&self, at: WriteAt, from: &mut Source<'_>, _flags: OpenFlags) -> Result<(usize, u64), Errno> {
        let position = match at {
            WriteAt::Position(position) => position,
            WriteAt::End => 0,
        };
        match self {
            Self::Full => Err(Errno::ENOSPC),
            Self::UserFaults => Err(Errno::EINVAL),
            // What is written to the random device is not believed to be random: nothing is lost by ignoring it.
            Self::Null | Self::Zero | Self::Random => {
                let length = from.remaining();
                Ok((length, position.saturating_add(length as u64)))
            }
        }
    }

    fn control(&self, request: u32, argument: UserPointer) -> Result<usize, Errno> {
        match (self, request) {
            (Self::Random, GET_ENTROPY_COUNT) => {
                write_object(argument, &ENTROPY_BITS)?;
                Ok(0)
            }
            (Self::Random, ADD_TO_ENTROPY_COUNT | ADD_ENTROPY) => {
                read_object::<i32>(argument)?;
                Ok(0)
            }
            // Who may open the device needs no other privilege; the argument is the flags of userfaultfd(2).
            (Self::UserFaults, NEW_USER_FAULTS) => user_faults::open(argument.0 as u32),
            (Self::UserFaults, _) => Err(Errno::EINVAL),
            _ => Err(Errno::ENOTTY),
        }
    }

    fn mappable(&self) -> Result<Mappable, Errno> {
        match self {
            Self::Zero => Ok(Mappable::Zero),
            _ => Err(Errno::ENODEV),
        }
    }
}

const TERMINAL: DeviceNumber = DeviceNumber::new(5, 0);
/// One of the numbers that Linux gives to devices without one of their own.
const USER_FAULTS: DeviceNumber = DeviceNumber::new(10, 126);
const KERNEL_LOG: DeviceNumber = DeviceNumber::new(1, 11);
/// `/dev/console`
pub const CONSOLE: DeviceNumber = DeviceNumber::new(5, 1);

/// The devices, as in Linux's `Documentation/admin-guide/devices.txt`.
pub const DEVICES: [(&[u8], DeviceNumber, u16); 10] = [
    (b"null", DeviceNumber::new(1, 3), 0o666),
    (b"zero", DeviceNumber::new(1, 5), 0o666),
    (b"full", DeviceNumber::new(1, 7), 0o666),
    (b"random", DeviceNumber::new(1, 8), 0o666),
    (b"urandom", DeviceNumber::new(1, 9), 0o666),
    (b"kmsg", KERNEL_LOG, 0o644),
    (b"tty", TERMINAL, 0o666),
    (b"console", CONSOLE, 0o620),
    (b"userfaultfd", USER_FAULTS, 0o600),
    (b"ptmx", MULTIPLEXER, 0o666),
];

const LINKS: [(&[u8], &[u8]); 4] = [
    (b"fd", b"/proc/self/fd"),
    (b"stdin", b"/proc/self/fd/0"),
    (b"stdout", b"/proc/self/fd/1"),
    (b"stderr", b"/proc/self/fd/2"),
];

/// Makes the files of `/dev`.
///
/// # Errors
/// `ENOSPC` if there is no memory for them.
pub fn populate(root: &Arc<dyn Inode>) -> Result<(), Errno> {
    for (name, number, permissions) in DEVICES {
        root.create(name, NewFile::Special(FileKind::CharacterDevice, number), permissions)?;
    }
    for (name, target) in LINKS {
        root.create(name, NewFile::Symlink(target), 0o777)?;
    }
    Ok(())
}

/// Opens the character device with this number.
///
/// # Errors
/// `ENXIO` if there is none; `EPERM` for the kernel's log.
pub fn open(number: DeviceNumber, flags: OpenFlags) -> Result<Arc<dyn File>, Errno> {
    match number {
        TERMINAL => return terminal::open_controlling(),
        KERNEL_LOG => return kernel_log::open(flags),
        CONSOLE => return console::open_terminal(),
        MULTIPLEXER => return terminal::open_master(),
        USER_FAULTS => return Ok(Arc::new(Device::UserFaults)),
        _ => {}
    }
    let device = match (number.major, number.minor) {
        (1, 3) => Device::Null,
        (1, 5) => Device::Zero,
        (1, 7) => Device::Full,
        (1, 8 | 9) => Device::Random,
        _ => return Err(Errno::ENXIO),
    };
    Ok(Arc::new(device))
}
