//! What `ethtool(8)` asks of a card (`SIOCETHTOOL`): its driver, whether there is a signal, how many queues it has and what
//! each has carried. Names are those of Linux's driver of virtio.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use pith_linux::Errno;

use super::internet::interfaces::{self, Interface, flag};
use crate::memory::{UserPointer, copy_to_user, read_object, write_object};

/// Commands (`ETHTOOL_…`, `linux/ethtool.h`).
mod command {
    pub const DRIVER: u32 = 0x03;
    pub const LINK: u32 = 0x0a;
    pub const STRINGS: u32 = 0x1b;
    pub const STATISTICS: u32 = 0x1d;
    pub const SIZES: u32 = 0x37;
    pub const CHANNELS: u32 = 0x3c;
}

/// The set of names of statistics (`ETH_SS_STATS`).
const STATISTICS_SET: u32 = 1;
/// Bytes of a name (`ETH_GSTRING_LEN`).
const NAME: usize = 32;
/// Bytes of `struct ethtool_drvinfo`, and where the number of statistics is.
const DRIVER: usize = 196;
const DRIVER_STATISTICS: usize = 180;

/// Names and values of a card's statistics.
fn statistics(interface: &Interface) -> Vec<(String, u64)> {
    let queues = interfaces::queues(interface.index);
    let mut list = Vec::new();
    for (way, of) in [("rx", 0), ("tx", 1)] {
        for (pair, counts) in queues.iter().enumerate() {
            let counts = if of == 0 { counts.received } else { counts.sent };
            for (name, value) in [
                ("packets", counts.packets),
                ("bytes", counts.bytes),
                ("drops", counts.lost),
            ] {
                list.push((format!("{way}_queue_{pair}_{name}"), value));
            }
        }
    }
    list
}

/// Answers a command about an interface; `argument` is where the command's structure is.
///
/// # Errors
/// `EFAULT`; `EOPNOTSUPP` for commands that the card has no answer for.
pub fn control(interface: &Interface, argument: UserPointer) -> Result<(), Errno> {
    let wanted: u32 = read_object(argument)?;
    match wanted {
        command::LINK => {
            let link = u32::from(interface.flags & flag::LOWER_UP != 0);
            write_object(argument.offset(4), &link)
        }
        _ if interface.is_loopback() => Err(Errno::EOPNOTSUPP),
        command::DRIVER => {
            let mut bytes = [0; DRIVER];
            bytes[..4].copy_from_slice(&wanted.to_ne_bytes());
            bytes[4..14].copy_from_slice(b"virtio_net");
            bytes[36..41].copy_from_slice(b"1.0.0");
            let count = statistics(interface).len() as u32;
            bytes[DRIVER_STATISTICS..DRIVER_STATISTICS + 4].copy_from_slice(&count.to_ne_bytes());
            copy_to_user(argument, &bytes)
        }
        command::SIZES => {
            let asked: u64 = read_object(argument.offset(8))?;
            let known = asked & 1 << STATISTICS_SET;
            if known != 0 {
                write_object(argument.offset(16), &(statistics(interface).len() as u32))?;
            }
            write_object(argument.offset(8), &known)
        }
        command::STRINGS => {
            let set: u32 = read_object(argument.offset(4))?;
            if set != STATISTICS_SET {
                return Err(Errno::EOPNOTSUPP);
            }
            let list = statistics(interface);
            let mut bytes = alloc::vec![0; list.len() * NAME];
            for (place, (name, _)) in bytes.chunks_exact_mut(NAME).zip(&list) {
                place[..name.len()].copy_from_slice(name.as_bytes());
            }
            write_object(argument.offset(8), &(list.len() as u32))?;
            copy_to_user(argument.offset(12), &bytes)
        }
        command::STATISTICS => {
            let values: Vec<u8> = statistics(interface)
                .iter()
                .flat_map(|(_, value)| value.to_ne_bytes())
                .collect();
            write_object(argument.offset(4), &((values.len() / 8) as u32))?;
            copy_to_user(argument.offset(8), &values)
        }
        command::CHANNELS => {
            let all = interfaces::queues(interface.index);
            let used = all.iter().filter(|queue| queue.used).count() as u32;
            // Most for receiving, for sending, for something else and combined; then as many as there are.
            let answer = [wanted, 0, 0, 0, all.len() as u32, 0, 0, 0, used];
            write_object(argument, &answer)
        }
        _ => Err(Errno::EOPNOTSUPP),
    }
}
