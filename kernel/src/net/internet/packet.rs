//! Sockets that see and send whole frames of interfaces (`packet(7)`).

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use pith_linux::Errno;
use pith_linux::files::PollEvents;
use pith_linux::sockets::{MessageFlags, Shutdown, SocketKind, family, level, option};
use pith_tcpip::Slice;
use pith_tcpip::stack::Handle;
use pith_tcpip::wire::ethernet::{self, HardwareAddress};

use super::errors::errno;
use super::interfaces::{self, Interface};
use super::{Network, configured_network};
use crate::fs::pipe;
use crate::memory::{PacketRoom, UserPointer, is_low, write_object};
use crate::net::address::Address;
use crate::net::message::{Incoming, Outgoing};
use crate::net::options::{Common, OptionValue};
use crate::net::socket::Socket;
use crate::task::{self, WaitQueue};

/// The level of these sockets' options (`SOL_PACKET`).
const LEVEL: i32 = 263;
/// `PACKET_STATISTICS`
const STATISTICS: i32 = 6;
/// Bytes of `struct sockaddr_ll`, and of it in front of the hardware address.
const ADDRESS: usize = 20;
const BEFORE_HARDWARE: usize = 12;
/// Bytes of a hardware address.
const HARDWARE: usize = 6;
/// `FIONREAD`, `SIOCOUTQ`
const BYTES_TO_READ: u32 = 0x541b;
const BYTES_IN_FLIGHT: u32 = 0x5411;

/// A socket.
pub struct PacketSocket {
    network: &'static Network,
    handle: Handle,
    kind: SocketKind,
    number: u64,
    common: Common,
    queue: WaitQueue,
}

/// An address as programs write it.
struct LinkAddress<'a> {
    protocol: u16,
    interface: u32,
    hardware: &'a [u8],
}

impl<'a> LinkAddress<'a> {
    fn read(address: &'a Address) -> Result<Self, Errno> {
        let bytes = address.bytes();
        let (head, hardware) = bytes.split_first_chunk::<BEFORE_HARDWARE>().ok_or(Errno::EINVAL)?;
        let length = usize::from(head[11]);
        if bytes.len() < ADDRESS || hardware.len() < length {
            return Err(Errno::EINVAL);
        }
        Ok(Self {
            protocol: u16::from_be_bytes([head[2], head[3]]),
            interface: u32::from_ne_bytes([head[4], head[5], head[6], head[7]]),
            hardware: &hardware[..length],
        })
    }
}

/// Writes an address; without an interface, it has no hardware address either.
fn written(protocol: u16, number: u32, kind: u8, hardware: Option<HardwareAddress>) -> Vec<u8> {
    let device = interfaces::by_index(number).map_or(0, |interface| interface.hardware_kind());
    let mut bytes = Vec::from(family::PACKET.to_ne_bytes());
    bytes.extend_from_slice(&protocol.to_be_bytes());
    bytes.extend_from_slice(&number.to_ne_bytes());
    bytes.extend_from_slice(&device.to_ne_bytes());
    bytes.extend_from_slice(&[kind, if hardware.is_some() { HARDWARE as u8 } else { 0 }]);
    bytes.extend_from_slice(hardware.as_ref().map_or(&[][..], |address| &address.0));
    bytes
}

/// A new socket.
///
/// # Errors
/// `ESOCKTNOSUPPORT`, `ENOMEM`.
pub fn create(kind: u32, protocol: i32) -> Result<Arc<PacketSocket>, Errno> {
    let kind = match SocketKind::from_number(kind) {
        Some(kind @ (SocketKind::Raw | SocketKind::Datagram)) => kind,
        Some(SocketKind::Packet) => {
            crate::warning_once!("SOCK_PACKET is not supported: socket answers ESOCKTNOSUPPORT");
            return Err(Errno::ESOCKTNOSUPPORT);
        }
        _ => return Err(Errno::ESOCKTNOSUPPORT),
    };
    if is_low() {
        return Err(Errno::ENOMEM);
    }
    let network = configured_network();
    network.start()?;
    let common = Common::default();
    let capacity = common.receive_buffer.load(Ordering::Relaxed);
    let protocol = u16::from_be(protocol as u16);
    let handle = network.with(|stack, _| stack.tap_open(kind == SocketKind::Raw, protocol, capacity));
    let handle = handle.map_err(errno)?;
    let socket = Arc::new(PacketSocket {
        network,
        handle,
        kind,
        number: pipe::next_number(),
        common,
        queue: WaitQueue::new(),
    });
    network
        .taps
        .lock()
        .insert(handle, Arc::<PacketSocket>::downgrade(&socket));
    Ok(socket)
}

impl PacketSocket {
    /// Something may be possible that was not.
    pub(super) fn changed(&self) {
        self.queue.wake(self.readiness());
    }

    fn bound(&self) -> (u32, u16) {
        self.network.stack.lock().tap_bound(self.handle)
    }

    /// The header of a frame whose data a program sends.
    fn header(
        &self,
        to: Option<&LinkAddress<'_>>,
        interface: &Interface,
        kind: u16,
    ) -> Result<ethernet::Header, Errno> {
        let hardware = to.map_or(&[][..], |to| to.hardware);
        let destination = match hardware.first_chunk() {
            Some(bytes) => HardwareAddress(*bytes),
            None if interface.is_loopback() && hardware.is_empty() => HardwareAddress::default(),
            None => return Err(Errno::EINVAL),
        };
        Ok(ethernet::Header {
            destination,
            source: HardwareAddress(interface.hardware.unwrap_or_default()),
            kind,
        })
    }
}

impl Socket for PacketSocket {
    fn family(&self) -> u16 {
        family::PACKET
    }

    fn kind(&self) -> SocketKind {
        self.kind
    }

    fn number(&self) -> u64 {
        self.number
    }

    fn common(&self) -> &Common {
        &self.common
    }

    fn close(&self) {
        self.network.taps.lock().remove(&self.handle);
        self.network.with(|stack, _| stack.tap_close(self.handle));
    }

    fn bind(&self, address: &Address) -> Result<(), Errno> {
        let to = LinkAddress::read(address)?;
        if address.family() != Some(family::PACKET) {
            return Err(Errno::EINVAL);
        }
        if to.interface != 0 && interfaces::by_index(to.interface).is_none() {
            return Err(Errno::ENODEV);
        }
        let (_, before) = self.bound();
        let protocol = if to.protocol == 0 { before } else { to.protocol };
        self.network
            .with(|stack, _| stack.tap_bind(self.handle, to.interface, protocol));
        Ok(())
    }

    fn local_address(&self) -> Result<Address, Errno> {
        let (number, protocol) = self.bound();
        let interface = interfaces::by_index(number);
        let hardware = interface.map(|interface| HardwareAddress(interface.hardware.unwrap_or_default()));
        Ok(Address::new(&written(protocol, number, 0, hardware)))
    }

    fn peer_address(&self) -> Result<Address, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn send(&self, message: Outgoing<'_, '_>) -> Result<usize, Errno> {
        let (own, own_protocol) = self.bound();
        let to = message.address.as_ref().map(LinkAddress::read).transpose()?;
        let number = to.as_ref().map_or(own, |to| to.interface);
        let protocol = to.as_ref().map_or(own_protocol, |to| to.protocol);
        let interface = interfaces::by_index(number).ok_or(Errno::ENXIO)?;
        let raw = self.kind == SocketKind::Raw;
        let header = match raw {
            true => None,
            false => Some(self.header(to.as_ref(), &interface, protocol)?),
        };
        let length = message.data.remaining();
        let before = if raw { 0 } else { ethernet::HEADER };
        if length + before > interface.mtu as usize + ethernet::HEADER {
            return Err(Errno::EMSGSIZE);
        }
        if length + before < ethernet::HEADER {
            return Err(Errno::EINVAL);
        }
        let mut packet = PacketRoom::new(before + length).ok_or(Errno::ENOBUFS)?;
        let room = &mut packet.bytes_mut()[..before + length];
        if let Some(header) = header {
            room[..before].copy_from_slice(&header.bytes());
        }
        if message.data.take(&mut room[before..])? != length {
            return Err(Errno::EFAULT);
        }
        let frame = Slice::new(packet.filled(before + length));
        let sent = self
            .network
            .with(|stack, now| stack.tap_send(self.handle, number as usize - 1, frame, now));
        sent.map_err(errno)?;
        Ok(length)
    }

    fn receive(&self, message: &mut Incoming<'_, '_>) -> Result<usize, Errno> {
        if message
            .flags
            .intersects(MessageFlags::OUT_OF_BAND | MessageFlags::ERROR_QUEUE)
        {
            // Nothing is ever reported.
            let errors = message.flags.contains(MessageFlags::ERROR_QUEUE);
            return Err(if errors { Errno::EAGAIN } else { Errno::EINVAL });
        }
        let patience = self
            .common
            .receive_patience(message.flags.contains(MessageFlags::DO_NOT_WAIT));
        let only_look = message.peeks();
        let next = || self.network.stack.lock().tap_receive(self.handle, only_look);
        let seen = patience.wait(&self.queue, next)?;
        let number = seen.interface as u32 + 1;
        let mut address = written(seen.protocol, number, seen.kind, Some(seen.source));
        address.resize(ADDRESS, 0);
        message.address = Some(Address::new(&address));
        let length = seen.data.length();
        let mut copied = 0;
        for piece in seen.data.iter() {
            if message.data.remaining() == 0 {
                break;
            }
            copied += message.data.put(piece)?;
        }
        if copied < length {
            message.result |= MessageFlags::TRUNCATED;
        }
        self.common
            .stamp(task::wall_clock_at(task::Instant(seen.at.0)), message);
        let full = message.flags.contains(MessageFlags::TRUNCATED);
        Ok(if full { length } else { copied })
    }

    fn shutdown(&self, _how: Shutdown) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn readiness(&self) -> PollEvents {
        let mut events = PollEvents::OUT | PollEvents::WRITE_NORMAL;
        let waits = self.network.stack.lock().tap_next(self.handle).is_some();
        events.set(PollEvents::IN | PollEvents::READ_NORMAL, waits);
        events
    }

    fn wait_queue(&self) -> &WaitQueue {
        &self.queue
    }

    fn control(&self, request: u32, argument: UserPointer) -> Result<usize, Errno> {
        let bytes = match request {
            BYTES_TO_READ => self.network.stack.lock().tap_next(self.handle).unwrap_or(0),
            // All was given to the card.
            BYTES_IN_FLIGHT => 0,
            _ => return Err(Errno::ENOTTY),
        };
        write_object(argument, &(bytes as i32))?;
        Ok(0)
    }

    fn takes_option(&self, name: i32) -> bool {
        !matches!(
            name,
            option::BIND_TO_DEVICE | option::BIND_TO_INTERFACE | option::ZERO_COPY
        )
    }

    fn common_set(&self, _name: i32) {
        let capacity = self.common.receive_buffer.load(Ordering::Relaxed);
        let filter = self.common.filter();
        self.network.stack.lock().tap_choose(self.handle, capacity, filter);
    }

    fn option(&self, number: i32, name: i32) -> Option<Result<OptionValue, Errno>> {
        match (number, name) {
            (LEVEL, STATISTICS) => {
                let (seen, lost) = self.network.stack.lock().tap_take_counts(self.handle);
                // Those that were lost are counted among all.
                let mut bytes = Vec::from(seen.wrapping_add(lost).to_ne_bytes());
                bytes.extend_from_slice(&lost.to_ne_bytes());
                Some(Ok(OptionValue::Bytes(bytes)))
            }
            (LEVEL, _) => Some(Err(Errno::ENOPROTOOPT)),
            (level::SOCKET, _) => None,
            _ => Some(Err(Errno::ENOPROTOOPT)),
        }
    }

    fn set_option(&self, level: i32, name: i32, _value: &[u8]) -> Result<(), Errno> {
        if level == LEVEL {
            crate::warning_once!("option {name} of packet sockets is not supported: setsockopt answers ENOPROTOOPT");
        }
        Err(Errno::ENOPROTOOPT)
    }
}
