//! Sockets that see and send whole frames (`packet(7)`).

use super::datagrams::footprint;
use super::raw::run_filter;
use super::*;

/// All frames, in both directions (`ETH_P_ALL`).
pub const EVERY_PROTOCOL: u16 = 3;
/// Numbers of such sockets are below those that tables give.
const NUMBERS: core::ops::Range<Handle> = 1..1 << 20;

/// To whom a frame was sent (`PACKET_…`).
pub mod packet_kind {
    /// This machine.
    pub const HOST: u8 = 0;
    /// All stations.
    pub const BROADCAST: u8 = 1;
    /// A group.
    pub const MULTICAST: u8 = 2;
    /// Another station.
    pub const OTHER: u8 = 3;
    /// It comes from this machine.
    pub const OUTGOING: u8 = 4;
}

/// What is known of the checksum within a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeenChecksum {
    /// Nobody has looked.
    Unknown,
    /// It is right.
    Right,
    /// It is not there yet: a card completes it, or the packet does not leave the machine.
    Missing,
}

/// A frame that was seen.
#[derive(Clone, Debug)]
pub struct Seen<B> {
    /// By which interface it came or went.
    pub interface: usize,
    /// One of [`packet_kind`].
    pub kind: u8,
    /// The type in its header.
    pub protocol: u16,
    /// Who has sent it.
    pub source: HardwareAddress,
    /// When it was seen.
    pub at: Instant,
    /// What is known of the checksum in it.
    pub checksum: SeenChecksum,
    /// Bytes that it had before a filter cut it.
    pub length: usize,
    /// Its bytes: from its header on, or from behind it, as the socket wants it.
    pub data: Pieces<B>,
}

#[derive(Debug)]
struct Tap<B> {
    /// Whether it sees headers.
    headers: bool,
    /// The interface, counted from 1; 0 for all.
    interface: u32,
    /// The type of frames that it sees; 0 for none.
    protocol: u16,
    /// Whether it sees what this machine sends.
    outgoing: bool,
    filter: Option<Arc<Program>>,
    queue: VecDeque<Seen<B>>,
    queued: usize,
    capacity: usize,
    /// Frames that were queued, and that were not for want of room.
    counts: (u32, u32),
}

#[derive(Debug)]
pub(super) struct Taps<B> {
    list: SortedMap<Handle, Tap<B>>,
    /// Frames that such sockets send by cards: others have seen them already.
    frames: VecDeque<Frame<B>>,
}

impl<B> Default for Taps<B> {
    fn default() -> Self {
        Self {
            list: SortedMap::new(),
            frames: VecDeque::new(),
        }
    }
}

impl<B> Taps<B> {
    /// Whether nobody sees anything.
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl<B: Buffer> Stack<B> {
    /// A new socket that sees frames of a type at all interfaces, with their headers or without. So many bytes may wait.
    ///
    /// # Errors
    /// [`Error::TooMany`].
    pub fn tap_open(
        &mut self,
        headers: bool,
        protocol: u16,
        capacity: usize,
    ) -> Result<Handle, Error> {
        let mut numbers = NUMBERS;
        let handle = numbers.find(|number| !self.taps.list.contains_key(number));
        let handle = handle.ok_or(Error::TooMany)?;
        let tap = Tap {
            headers,
            interface: 0,
            protocol,
            outgoing: true,
            filter: None,
            queue: VecDeque::new(),
            queued: 0,
            capacity,
            counts: (0, 0),
        };
        self.taps.list.insert(handle, tap);
        Ok(handle)
    }

    /// The program is done with it.
    pub fn tap_close(&mut self, handle: Handle) {
        self.taps.list.remove(&handle);
    }

    /// It sees only frames of this type, at this interface (counted from 1; 0 for all), from now on.
    pub fn tap_bind(&mut self, handle: Handle, interface: u32, protocol: u16) {
        if let Some(tap) = self.taps.list.get_mut(&handle) {
            (tap.interface, tap.protocol) = (interface, protocol);
        }
    }

    /// The interface, counted from 1, and the type of frames that it sees.
    pub fn tap_bound(&self, handle: Handle) -> (u32, u16) {
        let tap = self.taps.list.get(&handle);
        tap.map_or((0, 0), |tap| (tap.interface, tap.protocol))
    }

    /// Changes how many bytes may wait, and which frames a filter lets through.
    pub fn tap_choose(&mut self, handle: Handle, capacity: usize, filter: Option<Arc<Program>>) {
        if let Some(tap) = self.taps.list.get_mut(&handle) {
            (tap.capacity, tap.filter) = (capacity, filter);
        }
    }

    /// Whether it sees what this machine sends (`PACKET_IGNORE_OUTGOING`).
    pub fn tap_see_outgoing(&mut self, handle: Handle, outgoing: bool) {
        if let Some(tap) = self.taps.list.get_mut(&handle) {
            tap.outgoing = outgoing;
        }
    }

    /// The next frame that was seen; it stays if it is only looked at.
    pub fn tap_receive(&mut self, handle: Handle, only_look: bool) -> Option<Seen<B>> {
        let tap = self.taps.list.get_mut(&handle)?;
        if only_look {
            return tap.queue.front().cloned();
        }
        let seen = tap.queue.pop_front()?;
        tap.queued -= footprint(&seen.data);
        Some(seen)
    }

    /// Bytes of the next frame; `None` if there is none.
    pub fn tap_next(&self, handle: Handle) -> Option<usize> {
        let tap = self.taps.list.get(&handle)?;
        tap.queue.front().map(|seen| seen.data.length())
    }

    /// How many frames were queued, and how many were not for want of room, since the last call.
    pub fn tap_take_counts(&mut self, handle: Handle) -> (u32, u32) {
        let tap = self.taps.list.get_mut(&handle);
        tap.map_or((0, 0), |tap| core::mem::take(&mut tap.counts))
    }

    /// Sends a frame with its header as it is, by an interface, counted from 0.
    ///
    /// # Errors
    /// [`Error::NoInterface`]; [`Error::State`] without a header.
    pub fn tap_send(
        &mut self,
        handle: Handle,
        interface: usize,
        frame: Slice<B>,
        now: Instant,
    ) -> Result<(), Error> {
        let one = self.interfaces.get(interface).ok_or(Error::NoInterface)?;
        let header = ethernet::Header::read(&frame).map_err(|_| Error::State)?;
        let is_loopback = one.hardware.is_none();
        let whole = Pieces::from(frame.clone());
        let mut seen = Seen {
            interface,
            kind: packet_kind::OUTGOING,
            protocol: header.kind,
            source: header.source,
            at: now,
            checksum: SeenChecksum::Unknown,
            length: frame.len(),
            data: whole,
        };
        self.see(&seen, handle);
        let rest = frame.part(ethernet::HEADER, frame.len());
        if !is_loopback {
            let mut headers = Headers::new();
            headers.push(&header.bytes());
            self.taps.frames.push_back(Frame {
                interface,
                headers,
                payload: rest.into(),
                partial: None,
                cut: None,
                lane: None,
            });
            return Ok(());
        }
        seen.kind = kind_of(header.destination, None);
        self.see(&seen, 0);
        let version = match header.kind {
            ethernet::IPV4 => 4,
            ethernet::IPV6 => 6,
            _ => return Ok(()),
        };
        if seen.kind != packet_kind::OTHER {
            let group = header.destination.is_group();
            // What makes no sense is thrown away, as from a wire.
            let _ = self.receive_packet(interface, (version, group), rest.into(), now);
        }
        Ok(())
    }

    /// The next frame that is to be sent, which those see that want to.
    pub fn take_frame_at(&mut self, now: Instant) -> Option<Frame<B>> {
        if self.taps.is_empty() && self.taps.frames.is_empty() {
            return self.take_frame();
        }
        if let Some(frame) = self.taps.frames.pop_front() {
            return Some(frame);
        }
        let frame = self.take_frame()?;
        let Some(headers) = B::joined(&frame.headers, &[]) else {
            return Some(frame);
        };
        let checksum = match frame.partial {
            Some(_) => SeenChecksum::Missing,
            None => SeenChecksum::Unknown,
        };
        let mut data = Pieces::from(Slice::new(headers));
        for piece in frame.payload.iter() {
            data.push(piece.clone());
        }
        let kind = Some(packet_kind::OUTGOING);
        self.see_bytes((frame.interface, kind), checksum, data, now);
        Some(frame)
    }

    /// Whether there is a frame to be sent, or a socket whose readiness may have changed.
    pub fn has_output(&self) -> bool {
        !(self.frames.is_empty() && self.events.is_empty() && self.taps.frames.is_empty())
    }

    /// Gives all frames that are to be sent, and those that come of that, to `send`. As [`Self::take_frame_at`], without
    /// moving them.
    pub fn send_frames(&mut self, now: Instant, mut send: impl FnMut(&mut Self, &mut Frame<B>)) {
        while self.taps.is_empty() && self.taps.frames.is_empty() {
            let mut frames = core::mem::take(&mut self.frames);
            if frames.is_empty() {
                self.frames = frames;
                return;
            }
            for frame in &mut frames {
                send(self, frame);
            }
            frames.clear();
            // Its memory is kept for the next ones.
            if self.frames.is_empty() {
                self.frames = frames;
            }
        }
        while let Some(mut frame) = self.take_frame_at(now) {
            send(self, &mut frame);
        }
    }

    /// A frame has arrived.
    pub(super) fn see_arrival(
        &mut self,
        interface: usize,
        frame: &Pieces<B>,
        verified: bool,
        now: Instant,
    ) {
        let checksum = match verified {
            true if self.interfaces[interface].hardware.is_none() => SeenChecksum::Missing,
            true => SeenChecksum::Right,
            false => SeenChecksum::Unknown,
        };
        self.see_bytes((interface, None), checksum, frame.clone(), now);
    }

    /// Shows a frame; one of the loopback interface gets a header.
    fn see_bytes(
        &mut self,
        (interface, kind): (usize, Option<u8>),
        checksum: SeenChecksum,
        mut data: Pieces<B>,
        now: Instant,
    ) {
        let hardware = self.interfaces[interface].hardware;
        if hardware.is_none() {
            let version = data.first().and_then(|first| first.first()).copied();
            let header = ethernet::Header {
                destination: HardwareAddress::default(),
                source: HardwareAddress::default(),
                kind: match version.unwrap_or_default() >> 4 {
                    6 => ethernet::IPV6,
                    _ => ethernet::IPV4,
                },
            };
            let Some(bytes) = B::joined(&header.bytes(), &[]) else {
                return;
            };
            let mut whole = Pieces::from(Slice::new(bytes));
            for piece in data.iter() {
                whole.push(piece.clone());
            }
            data = whole;
        }
        let header = data.first().map(|first| ethernet::Header::read(first));
        let Some(Ok(header)) = header else { return };
        let seen = Seen {
            interface,
            kind: kind.unwrap_or_else(|| kind_of(header.destination, hardware)),
            protocol: header.kind,
            source: header.source,
            at: now,
            checksum,
            length: data.length(),
            data,
        };
        self.see(&seen, 0);
    }

    /// Shows a frame to all sockets that want to see it, but not to the one that sends it.
    fn see(&mut self, seen: &Seen<B>, sender: Handle) {
        let number = seen.interface as u32 + 1;
        let facts = About {
            protocol: seen.protocol,
            kind: seen.kind,
            interface: number,
        };
        for (handle, tap) in self.taps.list.iter_mut() {
            // As on Linux, what leaves is seen by those only that see everything.
            let wanted = tap.protocol == EVERY_PROTOCOL
                || tap.protocol == seen.protocol && seen.kind != packet_kind::OUTGOING;
            let wanted = wanted && (tap.outgoing || seen.kind != packet_kind::OUTGOING);
            if *handle == sender || !wanted || tap.interface != 0 && tap.interface != number {
                continue;
            }
            let mut data = seen.data.clone();
            if !tap.headers {
                data.advance(ethernet::HEADER);
            }
            let length = data.length();
            if let Some(filter) = tap.filter.as_deref() {
                let kept = run_filter(filter, &data, facts);
                if kept == 0 {
                    continue;
                }
                data.truncate(kept);
            }
            if tap.queued >= tap.capacity {
                tap.counts.1 = tap.counts.1.wrapping_add(1);
                continue;
            }
            tap.counts.0 = tap.counts.0.wrapping_add(1);
            tap.queued += footprint(&data);
            tap.queue.push_back(Seen {
                length,
                data,
                ..seen.clone()
            });
            self.events.push_back(*handle);
        }
    }
}

/// To whom a frame goes, at an interface with such an address. As on Linux, the loopback interface has one of zeros, and
/// none for everybody.
fn kind_of(destination: HardwareAddress, own: Option<HardwareAddress>) -> u8 {
    match destination {
        HardwareAddress::BROADCAST if own.is_some() => packet_kind::BROADCAST,
        one if one.is_group() => packet_kind::MULTICAST,
        one if one == own.unwrap_or_default() => packet_kind::HOST,
        _ => packet_kind::OTHER,
    }
}
