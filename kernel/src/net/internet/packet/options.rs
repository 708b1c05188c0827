//! Options of sockets that see frames (`packet(7)`).

use alloc::sync::Arc;
use alloc::vec::Vec;

use pith_linux::Errno;
use pith_linux::packet::{Membership, RingRequest, RingShape, Version, membership, option};
use zerocopy::{FromBytes, IntoBytes};

use super::ring::{self, ReceiveRing, TransmitRing};
use super::{PacketSocket, interfaces};
use crate::net::options::OptionValue;

/// Bytes of a hardware address.
const HARDWARE: u16 = 6;
/// Most memberships of a socket: more than anybody needs, and few enough to be searched.
const MEMBERSHIPS: usize = 256;

/// What a program has chosen.
#[derive(Default)]
pub(super) struct Settings {
    version: Version,
    reserve: u32,
    /// `PACKET_AUXDATA`
    pub(super) tells_auxiliary: bool,
    /// `PACKET_LOSS`: what makes no sense is not sent, and not told of either.
    pub(super) skips_malformed: bool,
    /// `PACKET_IGNORE_OUTGOING`
    ignores_outgoing: bool,
    /// Without meaning here, where no interface is part of another one, and nothing queues: only remembered.
    original_device: bool,
    discipline_bypass: bool,
    /// `PACKET_TIMESTAMP`: cards have no clocks here, so that all times are the kernel's, whatever is wanted.
    timestamp: i32,
    /// Each with how often it was joined.
    memberships: Vec<(Membership, u32)>,
}

/// `PACKET_HDRLEN`: bytes of headers in rings of a version.
pub(super) fn header_length(version: i32) -> Result<OptionValue, Errno> {
    let version = Version::from_number(version).ok_or(Errno::EINVAL)?;
    Ok(OptionValue::Integer(version.header() as i32))
}

impl PacketSocket {
    /// The value of an option of these sockets.
    pub(super) fn packet_option(&self, name: i32) -> Result<OptionValue, Errno> {
        let settings = self.settings.lock();
        let number = match name {
            option::STATISTICS => return Ok(OptionValue::Bytes(self.take_statistics(settings.version))),
            option::AUXILIARY_DATA => settings.tells_auxiliary.into(),
            option::ORIGINAL_DEVICE => settings.original_device.into(),
            option::VERSION => settings.version as i32,
            option::RESERVE => settings.reserve as i32,
            option::LOSS => settings.skips_malformed.into(),
            option::TIMESTAMP => settings.timestamp,
            option::DISCIPLINE_BYPASS => settings.discipline_bypass.into(),
            option::IGNORE_OUTGOING => settings.ignores_outgoing.into(),
            _ => return Err(Errno::ENOPROTOOPT),
        };
        Ok(OptionValue::Integer(number))
    }

    /// How many frames were seen and lost since the last call.
    fn take_statistics(&self, version: Version) -> Vec<u8> {
        let mut rings = self.rings.lock();
        let (queued, mut lost) = self.network.stack.lock().tap_take_counts(self.handle);
        // Those that were lost are counted among all.
        let seen = queued.wrapping_add(lost);
        let mut freezes = 0;
        if let Some(ring) = &mut rings.receive {
            lost = lost.wrapping_add(core::mem::take(&mut ring.lost));
            freezes = core::mem::take(&mut ring.freezes);
        }
        let mut bytes = Vec::from(seen.to_ne_bytes());
        bytes.extend_from_slice(&lost.to_ne_bytes());
        if version == Version::V3 {
            bytes.extend_from_slice(&freezes.to_ne_bytes());
        }
        bytes
    }

    /// Sets an option of these sockets.
    pub(super) fn set_packet_option(&self, name: i32, value: &[u8]) -> Result<(), Errno> {
        match name {
            option::ADD_MEMBERSHIP | option::DROP_MEMBERSHIP => {
                let (wanted, _) = Membership::read_from_prefix(value).map_err(|_| Errno::EINVAL)?;
                return match name {
                    option::ADD_MEMBERSHIP => self.join(wanted),
                    _ => self.leave(&wanted),
                };
            }
            option::RECEIVE_RING | option::TRANSMIT_RING => return self.set_ring(name == option::TRANSMIT_RING, value),
            _ => {}
        }
        let number = value.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes));
        let number = number.ok_or(Errno::EINVAL)?;
        let has_ring = {
            let rings = self.rings.lock();
            rings.receive.is_some() || rings.transmit.is_some()
        };
        let mut settings = self.settings.lock();
        match name {
            option::VERSION | option::RESERVE | option::LOSS if has_ring => return Err(Errno::EBUSY),
            option::VERSION => settings.version = Version::from_number(number).ok_or(Errno::EINVAL)?,
            option::RESERVE => settings.reserve = u32::try_from(number).map_err(|_| Errno::EINVAL)?,
            option::AUXILIARY_DATA => settings.tells_auxiliary = number != 0,
            option::ORIGINAL_DEVICE => settings.original_device = number != 0,
            option::LOSS => settings.skips_malformed = number != 0,
            option::TIMESTAMP => settings.timestamp = number,
            option::DISCIPLINE_BYPASS => settings.discipline_bypass = number != 0,
            option::IGNORE_OUTGOING if !matches!(number, 0 | 1) => return Err(Errno::EINVAL),
            option::IGNORE_OUTGOING => {
                settings.ignores_outgoing = number != 0;
                self.network.stack.lock().tap_see_outgoing(self.handle, number == 0);
            }
            _ => {
                crate::warning_once!(
                    "option {name} of packet sockets is not supported: setsockopt answers ENOPROTOOPT"
                );
                return Err(Errno::ENOPROTOOPT);
            }
        }
        Ok(())
    }

    /// Makes a ring, or takes it away.
    fn set_ring(&self, sends: bool, value: &[u8]) -> Result<(), Errno> {
        let (version, reserve) = {
            let settings = self.settings.lock();
            (settings.version, settings.reserve)
        };
        let given = value.get(..version.request()).ok_or(Errno::EINVAL)?;
        let mut request = RingRequest::default();
        request.as_mut_bytes()[..given.len()].copy_from_slice(given);
        let mut rings = self.rings.lock();
        // What a program still maps stays there for it, but it has to give it up first.
        let held = match sends {
            true => rings.transmit.as_ref().map(|ring| Arc::strong_count(&ring.memory)),
            false => rings.receive.as_ref().map(|ring| Arc::strong_count(&ring.memory)),
        };
        if held.is_some_and(|count| count > 1 || request.blocks != 0) {
            return Err(Errno::EBUSY);
        }
        let Some(shape) = RingShape::new(version, &request, reserve, sends)? else {
            match sends {
                true => rings.transmit = None,
                false => rings.receive = None,
            }
            return Ok(());
        };
        let memory = ring::memory_for(&shape).ok_or(Errno::ENOMEM)?;
        match sends {
            true => rings.transmit = Some(TransmitRing::new(shape, memory)),
            false => {
                let ring = ReceiveRing::new(shape, memory, self.itself.clone());
                rings.receive = Some(ring.ok_or(Errno::ENOMEM)?);
            }
        }
        Ok(())
    }

    fn join(&self, wanted: Membership) -> Result<(), Errno> {
        let index = u32::try_from(wanted.interface).map_err(|_| Errno::ENODEV)?;
        interfaces::by_index(index).ok_or(Errno::ENODEV)?;
        if wanted.length > HARDWARE {
            return Err(Errno::EINVAL);
        }
        let mut settings = self.settings.lock();
        if let Some((_, count)) = settings.memberships.iter_mut().find(|(known, _)| same(known, &wanted)) {
            *count += 1;
            return Ok(());
        }
        let needs_address = matches!(wanted.kind, membership::MULTICAST | membership::UNICAST);
        if needs_address && wanted.length != HARDWARE || wanted.kind > membership::UNICAST {
            return Err(Errno::EINVAL);
        }
        if settings.memberships.len() >= MEMBERSHIPS {
            return Err(Errno::ENOBUFS);
        }
        settings.memberships.push((wanted, 1));
        self.network.want_frames(index, wanted.kind, true);
        Ok(())
    }

    fn leave(&self, wanted: &Membership) -> Result<(), Errno> {
        let mut settings = self.settings.lock();
        let list = &mut settings.memberships;
        // As on Linux, what was never joined can be left.
        let Some(place) = list.iter().position(|(known, _)| same(known, wanted)) else {
            return Ok(());
        };
        list[place].1 -= 1;
        if list[place].1 == 0 {
            list.remove(place);
            self.network.want_frames(wanted.interface as u32, wanted.kind, false);
        }
        Ok(())
    }

    /// The socket is gone.
    pub(super) fn leave_all(&self) {
        for (one, _) in core::mem::take(&mut self.settings.lock().memberships) {
            self.network.want_frames(one.interface as u32, one.kind, false);
        }
    }
}

/// Whether two memberships are for the same thing: of the address, only so many bytes count.
fn same(one: &Membership, other: &Membership) -> bool {
    let length = usize::from(one.length).min(one.address.len());
    (one.interface, one.kind, one.length) == (other.interface, other.kind, other.length)
        && one.address[..length] == other.address[..length]
}
