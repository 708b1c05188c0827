//! Controls that all sockets have (`netdevice(7)`, `socket(7)`): interfaces by name and number.

use alloc::vec::Vec;
use core::net::Ipv4Addr;

use pith_linux::Errno;
use pith_linux::sockets::family;

use super::ethtool;
use super::internet::administration;
use super::internet::interfaces::{self, Interface, QUEUE_LENGTH, mask_v4};
use crate::memory::{UserPointer, copy_to_user, read_object, write_object};

/// Bytes of an interface's name, the zero at its end included (`IFNAMSIZ`).
const NAME: usize = 16;
/// Bytes of a request (`struct ifreq`).
const REQUEST: usize = 40;
/// Bytes of a socket's address within it.
const ADDRESS: usize = 16;
/// Most bytes that a list of interfaces may have.
const LIST: i32 = 1 << 16;

/// Requests (`SIOC…`), in the numbers of `ioctl_list(2)`.
mod request {
    pub const ADD_ROUTE: u32 = 0x890b;
    pub const DELETE_ROUTE: u32 = 0x890c;
    pub const GET_NAME: u32 = 0x8910;
    pub const SET_LINK: u32 = 0x8911;
    pub const LIST: u32 = 0x8912;
    pub const GET_FLAGS: u32 = 0x8913;
    pub const SET_FLAGS: u32 = 0x8914;
    pub const GET_ADDRESS: u32 = 0x8915;
    pub const SET_ADDRESS: u32 = 0x8916;
    pub const GET_PEER: u32 = 0x8917;
    pub const SET_PEER: u32 = 0x8918;
    pub const GET_BROADCAST: u32 = 0x8919;
    pub const SET_BROADCAST: u32 = 0x891a;
    pub const GET_MASK: u32 = 0x891b;
    pub const SET_MASK: u32 = 0x891c;
    pub const GET_METRIC: u32 = 0x891d;
    pub const SET_METRIC: u32 = 0x891e;
    pub const GET_MEMORY: u32 = 0x891f;
    pub const SET_MEMORY: u32 = 0x8920;
    pub const GET_MTU: u32 = 0x8921;
    pub const SET_MTU: u32 = 0x8922;
    pub const SET_NAME: u32 = 0x8923;
    pub const SET_HARDWARE: u32 = 0x8924;
    pub const GET_HARDWARE: u32 = 0x8927;
    pub const ADD_GROUP: u32 = 0x8931;
    pub const DELETE_GROUP: u32 = 0x8932;
    pub const GET_INDEX: u32 = 0x8933;
    pub const SET_HARDWARE_BROADCAST: u32 = 0x8937;
    pub const GET_QUEUE_LENGTH: u32 = 0x8942;
    pub const SET_QUEUE_LENGTH: u32 = 0x8943;
    pub const TOOL: u32 = 0x8946;
    pub const GET_MAP: u32 = 0x8970;
    pub const SET_MAP: u32 = 0x8971;
    /// From here to the last: what only one kind of card has.
    pub const FIRST_PRIVATE: u32 = 0x89f0;
    pub const LAST_PRIVATE: u32 = 0x89ff;
}

/// An address of IPv4 as `struct sockaddr_in`.
fn socket_address(address: Ipv4Addr) -> [u8; ADDRESS] {
    let mut bytes = [0; ADDRESS];
    bytes[..2].copy_from_slice(&family::INTERNET.to_ne_bytes());
    bytes[4..8].copy_from_slice(&address.octets());
    bytes
}

/// A request about one interface, filled with its name.
fn named(name: &str) -> [u8; REQUEST] {
    let mut bytes = [0; REQUEST];
    let length = name.len().min(NAME - 1);
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    bytes
}

/// `SIOCGIFCONF`: every interface with an address of IPv4.
fn list(argument: UserPointer) -> Result<usize, Errno> {
    let [length, buffer]: [u64; 2] = read_object(argument)?;
    let room = length as i32;
    let mut bytes = Vec::new();
    for interface in interfaces::all() {
        if let Some((address, _)) = interface.address_v4() {
            let mut entry = named(&interface.name);
            entry[NAME..NAME + ADDRESS].copy_from_slice(&socket_address(address));
            bytes.extend_from_slice(&entry);
        }
    }
    if buffer != 0 {
        let room = usize::try_from(room.min(LIST)).unwrap_or(0);
        // Only whole entries.
        bytes.truncate(room / REQUEST * REQUEST);
        copy_to_user(UserPointer(buffer), &bytes)?;
    }
    write_object(argument, &(bytes.len() as i32))?;
    Ok(0)
}

/// What a request is answered with, behind the name.
fn answer(interface: &Interface, wanted: u32) -> Result<Vec<u8>, Errno> {
    let integer = |value: u32| Ok(Vec::from(value.to_ne_bytes()));
    let address = || interface.address_v4().ok_or(Errno::EADDRNOTAVAIL);
    let v4 = |address: Ipv4Addr| Ok(Vec::from(socket_address(address)));
    match wanted {
        request::GET_FLAGS => Ok(Vec::from((interface.flags as u16).to_ne_bytes())),
        request::GET_MTU => integer(interface.mtu),
        request::GET_INDEX => integer(interface.index),
        request::GET_METRIC => integer(0),
        request::GET_QUEUE_LENGTH => integer(QUEUE_LENGTH),
        // `struct ifmap`: a virtual card has neither memory nor ports.
        request::GET_MAP => Ok(alloc::vec![0; 24]),
        request::GET_HARDWARE => {
            let mut bytes = Vec::from(interface.hardware_kind().to_ne_bytes());
            // As on Linux, what is behind a short address stays as the program has it.
            bytes.extend_from_slice(&interface.hardware.unwrap_or([0; 6]));
            Ok(bytes)
        }
        request::GET_ADDRESS | request::GET_PEER => v4(address()?.0),
        request::GET_MASK => v4(Ipv4Addr::from_bits(mask_v4(address()?.1))),
        request::GET_BROADCAST => {
            let (address, prefix) = address()?;
            let everybody = interface.broadcast_of(address.into(), prefix);
            v4(everybody.unwrap_or(Ipv4Addr::UNSPECIFIED))
        }
        _ => Err(Errno::ENOTTY),
    }
}

/// The interface that a request names.
fn find(bytes: &[u8; REQUEST]) -> Result<Interface, Errno> {
    let name = &bytes[..NAME];
    let name = &name[..name.iter().position(|&byte| byte == 0).unwrap_or(NAME - 1)];
    // A name may be followed by that of an alias, of which there are none.
    let name = name.split(|&byte| byte == b':').next().unwrap_or(name);
    interfaces::by_name(name).ok_or(Errno::ENODEV)
}

/// Answers a request (`ioctl(2)`) that the family has no answer for. `is_internet`: the socket is one of IPv4.
///
/// # Errors
/// `ENODEV`, `EADDRNOTAVAIL`, `EFAULT`; `EPERM` for what would change an interface; `ENOTTY` for all else.
pub fn control(wanted: u32, argument: UserPointer, is_internet: bool) -> Result<usize, Errno> {
    match wanted {
        request::LIST => list(argument),
        request::GET_NAME => {
            let bytes: [u8; REQUEST] = read_object(argument)?;
            let index = bytes[NAME..]
                .first_chunk()
                .map_or(0, |bytes| u32::from_ne_bytes(*bytes));
            let interface = interfaces::by_index(index).ok_or(Errno::ENODEV)?;
            copy_to_user(argument, &named(&interface.name)[..NAME])?;
            Ok(0)
        }
        request::SET_FLAGS | request::SET_MTU => {
            let bytes: [u8; REQUEST] = read_object(argument)?;
            let interface = find(&bytes)?;
            administration::permit()?;
            let [a, b, c, d] = [0, 1, 2, 3].map(|index| bytes[NAME + index]);
            match wanted {
                request::SET_MTU => administration::set_mtu(interface.index, u32::from_ne_bytes([a, b, c, d]))?,
                _ => {
                    let flags = u32::from(u16::from_ne_bytes([a, b]));
                    administration::set_up(interface.index, flags & interfaces::flag::UP != 0)?;
                }
            }
            Ok(0)
        }
        request::ADD_ROUTE
        | request::DELETE_ROUTE
        | request::SET_LINK
        | request::SET_ADDRESS
        | request::SET_PEER
        | request::SET_BROADCAST
        | request::SET_MASK
        | request::SET_METRIC
        | request::SET_MEMORY
        | request::SET_NAME
        | request::SET_HARDWARE
        | request::ADD_GROUP
        | request::DELETE_GROUP
        | request::SET_HARDWARE_BROADCAST
        | request::SET_QUEUE_LENGTH
        | request::SET_MAP => Err(Errno::EPERM),
        request::GET_ADDRESS | request::GET_PEER | request::GET_BROADCAST | request::GET_MASK if !is_internet => {
            Err(Errno::ENOTTY)
        }
        request::GET_FLAGS..=request::GET_HARDWARE
        | request::GET_INDEX
        | request::GET_QUEUE_LENGTH
        | request::TOOL
        | request::GET_MAP
        | request::FIRST_PRIVATE..=request::LAST_PRIVATE => {
            let bytes: [u8; REQUEST] = read_object(argument)?;
            let interface = find(&bytes)?;
            match wanted {
                request::TOOL => {
                    // Where its own structure is.
                    let place = bytes[NAME..]
                        .first_chunk()
                        .map_or(0, |bytes| u64::from_ne_bytes(*bytes));
                    ethtool::control(&interface, UserPointer(place)).map(|()| 0)
                }
                request::FIRST_PRIVATE..=request::LAST_PRIVATE => Err(Errno::EOPNOTSUPP),
                request::GET_MEMORY => Err(Errno::ENOTTY),
                _ => {
                    let answer = answer(&interface, wanted)?;
                    copy_to_user(argument.offset(NAME as u64), &answer)?;
                    Ok(0)
                }
            }
        }
        _ => Err(Errno::ENOTTY),
    }
}
