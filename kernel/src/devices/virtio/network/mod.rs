//! Virtio network cards (section 5.1).
//!
//! What a card can do is used: it completes checksums and looks at them, cuts large segments of TCP and puts them
//! together, puts a frame into as many buffers as it needs. Nothing that it says is believed: queues compare what comes
//! back with what was given, and the header of a frame is checked.

mod receive;
mod transmit;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use pith_tcpip::stack::{Frame, Offload, Received};
use pith_virtqueue::{Agreement, network as header};
use spin::Mutex;

use self::receive::Receive;
use self::transmit::{PIECES, Transmit};
use super::{Failure, Transport, choose, kind, make_queue_for, start};
use crate::devices::interrupts::Handler;
use crate::devices::pci as bus;
use crate::devices::virtio;
use crate::memory::{self, LARGE_PACKET, Packet};

/// Features (section 5.1.3).
mod feature {
    /// The device completes checksums.
    pub const CHECKSUM: u64 = 1 << 0;
    /// The driver does not need complete ones.
    pub const GUEST_CHECKSUM: u64 = 1 << 1;
    /// The device says how long packets may be.
    pub const MTU: u64 = 1 << 3;
    /// The device says its address.
    pub const ADDRESS: u64 = 1 << 5;
    /// The device may put segments together.
    pub const GUEST_TSO_V4: u64 = 1 << 7;
    pub const GUEST_TSO_V6: u64 = 1 << 8;
    /// The device cuts segments.
    pub const HOST_TSO_V4: u64 = 1 << 11;
    pub const HOST_TSO_V6: u64 = 1 << 12;
    /// A frame may be in several buffers.
    pub const MERGED_BUFFERS: u64 = 1 << 15;
    /// The device says whether there is a signal.
    pub const STATUS: u64 = 1 << 16;
    /// Tables of descriptors (section 6).
    pub const INDIRECT: u64 = 1 << 28;
    /// Indices at which each side wants to be told.
    pub const EVENT_INDEX: u64 = 1 << 29;
}

/// Places in the device's configuration (section 5.1.4).
mod place {
    pub const ADDRESS: u64 = 0;
    pub const STATUS: u64 = 6;
    pub const MTU: u64 = 10;
}

/// Bit of the status: there is a signal.
const LINK_UP: u8 = 1;

const RECEIVE: u16 = 0;
const TRANSMIT: u16 = 1;
/// Entries of the queues.
const RECEIVE_SIZE: u16 = 256;
const TRANSMIT_SIZE: u16 = 128;
/// Bytes of an Ethernet header with a tag.
const ETHERNET: usize = 18;
/// Buffers for frames take no more than this part of the memory, but at least so many there are.
const MEMORY_PART: u64 = 128;
const LEAST_BUFFERS: usize = 16;

/// What of the features on offer is used.
fn wanted(offered: u64) -> u64 {
    let mut wanted = feature::MTU
        | feature::ADDRESS
        | feature::GUEST_CHECKSUM
        | feature::MERGED_BUFFERS
        | feature::STATUS
        | feature::INDIRECT
        | feature::EVENT_INDEX;
    if offered & feature::CHECKSUM != 0 {
        wanted |= feature::CHECKSUM | feature::HOST_TSO_V4 | feature::HOST_TSO_V6;
    }
    // Without merged buffers each would have to be 64 KiB long.
    let together = feature::GUEST_CHECKSUM | feature::MERGED_BUFFERS;
    if offered & together == together {
        wanted |= feature::GUEST_TSO_V4 | feature::GUEST_TSO_V6;
    }
    wanted
}

/// A card that was found, and agrees with the driver, but does not work yet.
pub struct Found {
    transport: Box<dyn Transport>,
    features: u64,
    /// Its address.
    pub hardware: [u8; 6],
    /// Most bytes of a packet, if it says so.
    pub mtu: Option<u16>,
}

impl Found {
    /// Finds a network card of the machine: the first has index 0.
    ///
    /// # Errors
    /// [`Failure::Absent`], or why it can't be used.
    pub fn new(command_line: &str, index: usize) -> Result<Self, Failure> {
        let transport = virtio::find(command_line, kind::NETWORK, index, bus::functions)?;
        let features = choose(&*transport, &wanted)?;
        if features & feature::ADDRESS == 0 {
            return Err(Failure::Features);
        }
        let byte = |place| transport.configuration(place);
        let mut hardware = [0; 6];
        for (offset, value) in hardware.iter_mut().enumerate() {
            *value = byte(place::ADDRESS + offset as u64);
        }
        let mtu = u16::from_le_bytes([byte(place::MTU), byte(place::MTU + 1)]);
        Ok(Self {
            hardware,
            mtu: (features & feature::MTU != 0).then_some(mtu),
            features,
            transport,
        })
    }

    fn has(&self, feature: u64) -> bool {
        self.features & feature != 0
    }

    /// What it does by itself with frames that are to be sent.
    pub fn offload(&self) -> Offload {
        Offload {
            checksum: self.has(feature::CHECKSUM),
            segmentation_v4: self.has(feature::HOST_TSO_V4),
            segmentation_v6: self.has(feature::HOST_TSO_V6),
        }
    }

    /// Bytes of each buffer for frames that come in.
    fn room(&self) -> usize {
        let longest = usize::from(self.mtu.unwrap_or(1500).max(1500)) + ETHERNET + header::LENGTH;
        match longest {
            ..=2016 => 2016,
            _ if self.has(feature::MERGED_BUFFERS) => 4064,
            _ => longest.min(LARGE_PACKET),
        }
    }
}

/// A network card.
pub struct VirtioNetwork {
    transport: Box<dyn Transport>,
    says_link: bool,
    receive: Mutex<Receive>,
    transmit: Mutex<Transmit>,
    /// An interrupt has come, and nobody has looked since.
    interrupted: AtomicBool,
}

impl VirtioNetwork {
    /// Makes the queues. `handler` is called by its interrupts, none of which comes before [`Self::start`].
    ///
    /// # Errors
    /// Why it can't be used.
    pub fn new(found: Found, handler: Handler) -> Result<Self, Failure> {
        let room = found.room();
        let merges = found.has(feature::MERGED_BUFFERS);
        let together = found.has(feature::GUEST_TSO_V4) || found.has(feature::GUEST_TSO_V6);
        let says_link = found.has(feature::STATUS);
        let event_index = found.has(feature::EVENT_INDEX);
        let agreement = |entries| Agreement {
            table_entries: if found.has(feature::INDIRECT) { entries } else { 0 },
            event_index,
        };
        let (for_receive, for_transmit) = (agreement(0), agreement(PIECES as u16));
        let mut transport = found.transport;
        transport.connect_interrupt(handler)?;
        let receive = make_queue_for(&mut *transport, RECEIVE, RECEIVE_SIZE, for_receive)?;
        let transmit = make_queue_for(&mut *transport, TRANSMIT, TRANSMIT_SIZE, for_transmit)?;
        if transmit.most_regions() < PIECES {
            return Err(Failure::Queue(TRANSMIT));
        }
        let mut receive = Receive::new(receive, RECEIVE, room, merges, together);
        let affordable = memory::counters().total / MEMORY_PART / (room as u64);
        if !receive.fill((affordable as usize).max(LEAST_BUFFERS)) {
            return Err(Failure::Memory);
        }
        Ok(Self {
            transport,
            says_link,
            receive: Mutex::new(receive),
            transmit: Mutex::new(Transmit::new(transmit, TRANSMIT)),
            interrupted: AtomicBool::new(false),
        })
    }

    /// Lets the device begin.
    pub fn start(&self) {
        start(&*self.transport);
        let mut receive = self.receive.lock();
        let number = receive.number;
        super::notify(&*self.transport, &mut receive.queue, number);
    }

    /// Whether there is a signal.
    pub fn has_link(&self) -> bool {
        !self.says_link || self.transport.configuration(place::STATUS) & LINK_UP != 0
    }

    /// Its interrupt has come. Called by the handler.
    pub fn interrupt(&self) {
        if self.interrupted.swap(true, Ordering::AcqRel) {
            // Not for a queue, or not only: everything is asked for and acknowledged.
            self.transport.acknowledge_interrupt();
        } else {
            self.transport.acknowledge_queues();
        }
    }

    /// Sends a frame, whose data it takes. The device may have to be told: see [`Self::tell`].
    pub fn send(&self, frame: &mut Frame<Packet>) {
        self.transmit.lock().send(frame);
    }

    /// Tells the device of what was sent since it was last told.
    pub fn tell(&self) {
        self.transmit.lock().tell(&*self.transport);
    }

    /// Takes up to `most` frames that have come, and sends those that wait. Interrupts come again when there are no more.
    /// Returns how many frames there were; with fewer than `most` there are no more.
    pub fn poll(&self, most: usize, frames: &mut Vec<Received<Packet>>) -> usize {
        self.interrupted.store(false, Ordering::Release);
        let mut count = 0;
        {
            let mut receive = self.receive.lock();
            while count < most {
                let taken = receive.take(&*self.transport, most - count, frames);
                count += taken;
                if taken != 0 {
                    continue;
                }
                receive.queue.set_interrupts(true);
                if !receive.queue.has_used() {
                    break;
                }
            }
            if count >= most {
                receive.queue.set_interrupts(false);
            }
        }
        let mut transmit = self.transmit.lock();
        transmit.reclaim();
        if transmit.resume() {
            transmit.tell(&*self.transport);
        }
        count
    }

    /// Frames that were lost here: those that came in, and those that were to go out.
    pub fn lost(&self) -> (u64, u64) {
        (self.receive.lock().lost, self.transmit.lock().lost)
    }

    /// Why it is of no use any more, if so.
    pub fn failure(&self) -> Option<Failure> {
        let receive = self.receive.lock().queue.misbehaviour();
        receive
            .or_else(|| self.transmit.lock().queue.misbehaviour())
            .map(Failure::Misbehaved)
    }
}
