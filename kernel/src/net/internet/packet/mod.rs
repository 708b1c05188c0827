//! Sockets that see and send whole frames of interfaces (`packet(7)`).

mod options;
mod ring;

use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::Ordering;

use pith_linux::Errno;
use pith_linux::files::PollEvents;
use pith_linux::packet::{ADDRESS, FrameFacts, LEVEL, option as packet_option, status};
use pith_linux::sockets::{MessageFlags, Shutdown, SocketKind, family, level, option};
use pith_linux::time::NANOSECONDS;
use pith_tcpip::Slice;
use pith_tcpip::stack::{Handle, Seen, SeenChecksum, packet_kind};
use pith_tcpip::wire::ethernet::{self, HardwareAddress};

use self::options::Settings;
use self::ring::{Capture, Mapped, ReceiveRing, TransmitRing};
use super::errors::errno;
use super::interfaces::{self, Interface};
use super::{Memory, Network, configured_network};
use crate::fs::turn::Turn;
use crate::fs::{Mappable, pipe};
use crate::memory::{PacketRoom, UserPointer, is_low, write_object};
use crate::net::address::Address;
use crate::net::message::{ControlMessage, Incoming, Outgoing};
use crate::net::options::{Common, OptionValue};
use crate::net::socket::Socket;
use crate::task::{self, WaitQueue};
use spin::Mutex;

/// Bytes of an address (`struct sockaddr_ll`) in front of the hardware address.
const BEFORE_HARDWARE: usize = 12;
/// Bytes of a hardware address.
const HARDWARE: usize = 6;
/// The number of the loopback interface.
const LOOPBACK: u32 = 1;
/// `FIONREAD`, `SIOCOUTQ`
const BYTES_TO_READ: u32 = 0x541b;
const BYTES_IN_FLIGHT: u32 = 0x5411;

/// The rings that a socket shares with its program.
#[derive(Default)]
struct Rings {
    receive: Option<ReceiveRing>,
    transmit: Option<TransmitRing>,
}

/// A socket.
pub struct PacketSocket {
    itself: Weak<Self>,
    network: &'static Network,
    handle: Handle,
    kind: SocketKind,
    number: u64,
    common: Common,
    queue: WaitQueue,
    settings: Mutex<Settings>,
    /// Locked before the stack.
    rings: Mutex<Rings>,
    /// One thread sends what is in the ring.
    sending: Turn,
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
    let device = match number {
        0 => 0,
        // The stack is not asked: it may be this that it tells.
        _ => interfaces::hardware_kind(number == LOOPBACK),
    };
    let mut bytes = Vec::from(family::PACKET.to_ne_bytes());
    bytes.extend_from_slice(&protocol.to_be_bytes());
    bytes.extend_from_slice(&number.to_ne_bytes());
    bytes.extend_from_slice(&device.to_ne_bytes());
    bytes.extend_from_slice(&[kind, if hardware.is_some() { HARDWARE as u8 } else { 0 }]);
    bytes.extend_from_slice(hardware.as_ref().map_or(&[][..], |address| &address.0));
    bytes
}

/// Who has sent a frame.
fn sender(seen: &Seen<Memory>) -> Vec<u8> {
    let number = seen.interface as u32 + 1;
    let mut address = written(seen.protocol, number, seen.kind, Some(seen.source));
    address.resize(ADDRESS, 0);
    address
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
    let socket = Arc::new_cyclic(|itself| PacketSocket {
        itself: itself.clone(),
        network,
        handle,
        kind,
        number: pipe::next_number(),
        common,
        queue: WaitQueue::new(),
        settings: Mutex::new(Settings::default()),
        rings: Mutex::new(Rings::default()),
        sending: Turn::new(),
    });
    network.taps.lock().insert(handle, socket.itself.clone());
    Ok(socket)
}

impl PacketSocket {
    /// Something may be possible that was not.
    pub(super) fn changed(&self) {
        self.fill_ring();
        self.queue.wake(self.readiness());
    }

    /// Puts what was seen into the ring, if there is one.
    fn fill_ring(&self) {
        let mut rings = self.rings.lock();
        let Some(ring) = &mut rings.receive else { return };
        let next = || self.network.stack.lock().tap_receive(self.handle, false);
        while let Some(seen) = next() {
            let capture = Capture {
                pieces: &mut seen.data.iter().map(|piece| &piece[..]),
                link_header: self.link_header(),
                facts: self.facts(&seen),
                address: &sender(&seen),
            };
            ring.put(capture);
        }
    }

    /// The time of a block in the ring is over.
    fn retire_block(&self) {
        let retired = self
            .rings
            .lock()
            .receive
            .as_mut()
            .is_some_and(ReceiveRing::retire_block);
        if retired {
            self.queue.wake(self.readiness());
        }
    }

    /// Bytes of the link's header that the program sees.
    fn link_header(&self) -> usize {
        match self.kind {
            SocketKind::Raw => ethernet::HEADER,
            _ => 0,
        }
    }

    /// What is told of a frame beside its data.
    fn facts(&self, seen: &Seen<Memory>) -> FrameFacts {
        let time = task::wall_clock_at(task::Instant(seen.at.0));
        let checksum = match seen.checksum {
            SeenChecksum::Missing => status::CHECKSUM_MISSING,
            SeenChecksum::Right if seen.kind != packet_kind::OUTGOING => status::CHECKSUM_RIGHT,
            _ => 0,
        };
        FrameFacts {
            status: status::USER | checksum,
            length: seen.length as u32,
            captured: seen.data.length() as u32,
            start: 0,
            inner: self.link_header() as u16,
            seconds: (time / NANOSECONDS) as u32,
            nanoseconds: (time % NANOSECONDS) as u32,
            next: 0,
        }
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

impl PacketSocket {
    /// Sends a frame whose data `fill` provides.
    fn send_frame(
        &self,
        to: Option<&LinkAddress<'_>>,
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> Result<(), Errno>,
    ) -> Result<usize, Errno> {
        let (own, own_protocol) = self.bound();
        let number = to.map_or(own, |to| to.interface);
        let protocol = to.map_or(own_protocol, |to| to.protocol);
        let interface = interfaces::by_index(number).ok_or(Errno::ENXIO)?;
        let header = match self.kind {
            SocketKind::Raw => None,
            _ => Some(self.header(to, &interface, protocol)?),
        };
        let before = ethernet::HEADER - self.link_header();
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
        fill(&mut room[before..])?;
        let frame = Slice::new(packet.filled(before + length));
        let sent = self
            .network
            .with(|stack, now| stack.tap_send(self.handle, number as usize - 1, frame, now));
        sent.map_err(errno)?;
        Ok(length)
    }

    /// Sends all frames that the program has put into the ring for that.
    fn send_ring(&self, to: Option<&LinkAddress<'_>>) -> Result<usize, Errno> {
        let _turn = self.sending.take();
        let skips = self.settings.lock().skips_malformed;
        let mut total = 0;
        loop {
            let next = {
                let rings = self.rings.lock();
                let ring = rings.transmit.as_ref();
                ring.and_then(|ring| Some((ring.next()?, ring.longest(), ring.memory.clone())))
            };
            let Some(((start, length), longest, memory)) = next else {
                return Ok(total);
            };
            let sent = match length > longest {
                true => Err(Errno::EMSGSIZE),
                false => self.send_frame(to, length, |room| {
                    memory.copy_out(start, room);
                    Ok(())
                }),
            };
            let is_malformed = matches!(sent, Err(Errno::EMSGSIZE | Errno::EINVAL));
            if sent.is_err() && !is_malformed {
                return sent;
            }
            if let Some(ring) = &mut self.rings.lock().transmit {
                match is_malformed && !skips {
                    true => ring.done(status::WRONG_FORMAT),
                    false => ring.done(status::KERNEL),
                }
            }
            match sent {
                Ok(length) => total += length,
                Err(_) if skips => {}
                Err(errno) => return Err(errno),
            }
        }
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
        self.leave_all();
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
        let to = message.address.as_ref().map(LinkAddress::read).transpose()?;
        if self.rings.lock().transmit.is_some() {
            return self.send_ring(to.as_ref());
        }
        let length = message.data.remaining();
        let fill = |room: &mut [u8]| match message.data.take(room)? {
            taken if taken == length => Ok(()),
            _ => Err(Errno::EFAULT),
        };
        self.send_frame(to.as_ref(), length, fill)
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
        message.address = Some(Address::new(&sender(&seen)));
        let length = seen.data.length();
        let copied = message.fill(&seen.data)?;
        self.common
            .stamp(task::wall_clock_at(task::Instant(seen.at.0)), message);
        if self.settings.lock().tells_auxiliary {
            message.ancillary.others.push(ControlMessage {
                level: LEVEL,
                kind: packet_option::AUXILIARY_DATA,
                bytes: Vec::from(self.facts(&seen).auxiliary()),
            });
        }
        let full = message.flags.contains(MessageFlags::TRUNCATED);
        Ok(if full { length } else { copied })
    }

    fn shutdown(&self, _how: Shutdown) -> Result<(), Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn readiness(&self) -> PollEvents {
        let rings = self.rings.lock();
        let waits = match &rings.receive {
            Some(ring) => ring.is_readable(),
            None => self.network.stack.lock().tap_next(self.handle).is_some(),
        };
        let writable = rings.transmit.as_ref().is_none_or(TransmitRing::is_writable);
        let mut events = PollEvents::empty();
        events.set(PollEvents::IN | PollEvents::READ_NORMAL, waits);
        events.set(PollEvents::OUT | PollEvents::WRITE_NORMAL, writable);
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
        match number {
            LEVEL => Some(self.packet_option(name)),
            level::SOCKET => None,
            _ => Some(Err(Errno::ENOPROTOOPT)),
        }
    }

    fn option_about(
        &self,
        number: i32,
        name: i32,
        question: &dyn Fn() -> Result<i32, Errno>,
    ) -> Option<Result<OptionValue, Errno>> {
        matches!((number, name), (LEVEL, packet_option::HEADER_LENGTH)).then(|| options::header_length(question()?))
    }

    fn set_option(&self, level: i32, name: i32, value: &[u8]) -> Result<(), Errno> {
        match level {
            LEVEL => self.set_packet_option(name, value),
            _ => Err(Errno::ENOPROTOOPT),
        }
    }

    fn mappable(&self) -> Result<Mappable, Errno> {
        let rings = self.rings.lock();
        let mapped = Mapped {
            rings: [
                rings.receive.as_ref().map(|ring| ring.memory.clone()),
                rings.transmit.as_ref().map(|ring| ring.memory.clone()),
            ],
        };
        match mapped.rings.iter().any(Option::is_some) {
            true => Ok(Mappable::Object(Arc::new(mapped))),
            false => Err(Errno::EINVAL),
        }
    }
}
