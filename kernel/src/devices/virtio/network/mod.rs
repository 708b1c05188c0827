//! Virtio network cards (section 5.1).
//!
//! What a card can do is used: it completes checksums and looks at them, cuts large segments of TCP and datagrams
//! of UDP, puts segments together, puts a frame into as many buffers as it needs. Nothing that it says is believed: queues compare what comes
//! back with what was given, and the header of a frame is checked.
//!
//! A card with several *pairs* of queues, one for frames that come in and one for those that go out, gets a processor for
//! each pair. What a conversation sends goes by the pair of the processor on which the program last took part in it; a
//! device notes by which pair a conversation's frames go out, and lets those that come in come by the same. So processors
//! don't wait for each other at the card, and threads are woken on the processor that they run on. Over PCI each queue interrupts its processor; where there is one interrupt for all, its
//! handler looks at which pairs have something, and tells their processors.

mod control;
mod receive;
mod transmit;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};

use pith_tcpip::stack::{Frame, Offload, Received};
use pith_virtqueue::control::{Command, pairs, queue_number};
use pith_virtqueue::{Agreement, network as header};
use spin::Mutex;

use self::control::Control;
use self::receive::Receive;
use self::transmit::{PIECES, Transmit};
use super::{Failure, Interrupts, Transport, choose, kind, make_queue_for, start};
use crate::arch;
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
    /// The device cuts datagrams into parts.
    pub const HOST_UFO: u64 = 1 << 14;
    /// A frame may be in several buffers.
    pub const MERGED_BUFFERS: u64 = 1 << 15;
    /// The device says whether there is a signal.
    pub const STATUS: u64 = 1 << 16;
    /// The device takes commands.
    pub const CONTROL: u64 = 1 << 17;
    /// The device has several pairs of queues.
    pub const PAIRS: u64 = 1 << 22;
    /// Tables of descriptors (section 6).
    pub const INDIRECT: u64 = 1 << 28;
    /// Indices at which each side wants to be told.
    pub const EVENT_INDEX: u64 = 1 << 29;
    /// The device cuts into datagrams.
    pub const HOST_USO: u64 = 1 << 56;
}

/// Places in the device's configuration (section 5.1.4).
mod place {
    pub const ADDRESS: u64 = 0;
    pub const STATUS: u64 = 6;
    pub const PAIRS: u64 = 8;
    pub const MTU: u64 = 10;
}

/// Bit of the status: there is a signal.
const LINK_UP: u8 = 1;

/// Entries of the queues.
const RECEIVE_SIZE: u16 = 256;
const TRANSMIT_SIZE: u16 = 128;
const CONTROL_SIZE: u16 = 4;
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
        wanted |= feature::HOST_UFO | feature::HOST_USO;
    }
    // There are no commands but for pairs.
    if offered & feature::CONTROL != 0 && offered & feature::PAIRS != 0 {
        wanted |= feature::CONTROL | feature::PAIRS;
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
    /// Pairs of queues that it has.
    pairs: u16,
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
        let number = |place| u16::from_le_bytes([byte(place), byte(place + 1)]);
        let (mtu, pairs) = (number(place::MTU), number(place::PAIRS));
        Ok(Self {
            hardware,
            mtu: (features & feature::MTU != 0).then_some(mtu),
            pairs: if features & feature::PAIRS != 0 { pairs } else { 1 },
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
            parts: self.has(feature::HOST_UFO),
            datagrams: self.has(feature::HOST_USO),
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

/// What a queue has carried.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Frames; one that the device cuts or has put together is one.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Frames that were lost for lack of memory, or because the device described or took them wrongly.
    pub lost: u64,
}

/// What a pair of queues has carried.
#[derive(Clone, Copy, Debug)]
pub struct PairCounts {
    /// The device uses it.
    pub used: bool,
    /// What came in.
    pub received: Counts,
    /// What went out.
    pub sent: Counts,
}

/// What an interrupt is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Whatever it may be.
    Any,
    /// The configuration has changed.
    Changed,
    /// The queue of this number.
    Queue(u16),
}

/// Two queues, and the processor that deals with them.
struct Pair {
    receive: Mutex<Receive>,
    transmit: Mutex<Transmit>,
    processor: usize,
}

impl Pair {
    /// Whether there may be something to do. Called by interrupt handlers, which can't wait: whoever holds a queue in this
    /// moment may have looked at it just before the device put something in.
    fn may_want_attention(&self) -> bool {
        let arrived = |queue: &Receive| queue.queue.has_used();
        let has_room = |queue: &Transmit| queue.is_waiting() && queue.queue.has_used();
        self.receive.try_lock().is_none_or(|queue| arrived(&queue))
            || self.transmit.try_lock().is_none_or(|queue| has_room(&queue))
    }
}

/// A network card.
pub struct VirtioNetwork {
    transport: Box<dyn Transport>,
    says_link: bool,
    pairs: Vec<Pair>,
    /// How many of them the device uses.
    used: AtomicUsize,
    control: Option<Mutex<Control>>,
    /// An interrupt for everything has come, and nobody has looked since.
    interrupted: AtomicBool,
    /// The configuration has changed, and nobody has looked since.
    changed: AtomicBool,
}

impl VirtioNetwork {
    /// Makes the queues, with a pair for each of `processors` if there are as many. `handler` makes the handler of its
    /// interrupts, none of which comes before [`Self::start`].
    ///
    /// # Errors
    /// Why it can't be used.
    pub fn new(found: Found, processors: &[usize], handler: &dyn Fn(Source) -> Handler) -> Result<Self, Failure> {
        let control = match found.pairs {
            _ if !found.has(feature::PAIRS) => None,
            offered => Some(queue_number(offered).ok_or(Failure::Features)?),
        };
        let count = pairs(found.pairs, processors.len());
        let owner = |pair: u16| processors.get(usize::from(pair)).copied().unwrap_or_default();
        let says_link = found.has(feature::STATUS);
        let queues: Vec<_> = (0..2 * count)
            .map(|queue| (handler(Source::Queue(queue)), owner(queue / 2)))
            .collect();
        let makers = Makers::new(&found, count);
        let mut transport = found.transport;
        transport.connect_interrupts(&Interrupts {
            any: handler(Source::Any),
            changed: (says_link).then(|| handler(Source::Changed)),
            queues: &queues,
        })?;
        let mut pairs = Vec::new();
        for pair in 0..count {
            pairs.push(Pair {
                receive: Mutex::new(makers.receive(&mut *transport, 2 * pair)?),
                transmit: Mutex::new(makers.transmit(&mut *transport, 2 * pair + 1)?),
                processor: owner(pair),
            });
        }
        let control = match control {
            Some(number) => {
                let queue = make_queue_for(&mut *transport, number, CONTROL_SIZE, Agreement::default())?;
                Some(Mutex::new(Control::new(queue, number)))
            }
            None => None,
        };
        Ok(Self {
            transport,
            says_link,
            pairs,
            used: AtomicUsize::new(1),
            control,
            interrupted: AtomicBool::new(false),
            changed: AtomicBool::new(false),
        })
    }

    /// Lets the device begin. If it does not do what it offers, it is used without, and the failure returned.
    ///
    /// # Errors
    /// Why it uses one pair of queues instead of several.
    pub fn start(&self) -> Result<(), Failure> {
        start(&*self.transport);
        for pair in &self.pairs {
            let mut receive = pair.receive.lock();
            let number = receive.number;
            super::notify(&*self.transport, &mut receive.queue, number);
        }
        if self.pairs.len() > 1 {
            self.command(Command::Pairs(self.pairs.len() as u16))?;
            self.used.store(self.pairs.len(), Ordering::Release);
        }
        Ok(())
    }

    /// Gives a command, and waits until it was carried out.
    fn command(&self, command: Command) -> Result<(), Failure> {
        match &self.control {
            Some(control) => control.lock().command(&*self.transport, command),
            None => Err(Failure::Features),
        }
    }

    /// How many pairs of queues there are, and how many the device uses.
    pub fn pairs(&self) -> (usize, usize) {
        (self.pairs.len(), self.used.load(Ordering::Relaxed))
    }

    /// The pair that belongs to a processor.
    pub fn pair_of(&self, processor: usize) -> Option<usize> {
        match self.pairs.get(processor) {
            Some(pair) if pair.processor == processor => Some(processor),
            _ => self.pairs.iter().position(|pair| pair.processor == processor),
        }
    }

    /// The pair by which what belongs to a processor is sent.
    fn pair_for(&self, processor: usize) -> usize {
        let used = self.used.load(Ordering::Acquire);
        let own = self.pair_of(processor).filter(|&pair| pair < used);
        own.unwrap_or(processor % used)
    }

    /// Whether there is a signal.
    pub fn has_link(&self) -> bool {
        !self.says_link || self.transport.configuration(place::STATUS) & LINK_UP != 0
    }

    /// Whether its configuration has changed since this was last asked.
    pub fn take_changed(&self) -> bool {
        self.changed.load(Ordering::Relaxed) && self.changed.swap(false, Ordering::AcqRel)
    }

    /// Its interrupt has come. Called by the handler. `wake` is told of the processors that have to look.
    pub fn interrupt(&self, source: Source, wake: fn(usize)) {
        let mut changed = source == Source::Changed;
        match source {
            Source::Changed => {}
            Source::Queue(queue) => {
                if let Some(pair) = self.pairs.get(usize::from(queue / 2)) {
                    wake(pair.processor);
                }
            }
            Source::Any => {
                if self.interrupted.swap(true, Ordering::AcqRel) {
                    // Not for a queue, or not only: everything is asked for and acknowledged.
                    changed = self.transport.acknowledge_interrupt();
                } else {
                    self.transport.acknowledge_queues();
                }
                // What comes from here on interrupts once more, so it does no harm that this may look too early for it. But
                // nothing may be looked at before the device has seen the acknowledgement.
                fence(Ordering::SeqCst);
                match &self.pairs[..] {
                    [only] => wake(only.processor),
                    several => {
                        let meant = several.iter().filter(|pair| pair.may_want_attention());
                        meant.for_each(|pair| wake(pair.processor));
                    }
                }
            }
        }
        if changed {
            self.changed.store(true, Ordering::Release);
            wake(self.pairs[0].processor);
        }
    }

    /// Sends a frame, whose data it takes, and returns by which pair. The device may have to be told: see [`Self::tell`].
    pub fn send(&self, frame: &mut Frame<Packet>) -> usize {
        let pair = self.pair_for(frame.lane.map_or_else(arch::cpu_index, usize::from));
        self.pairs[pair].transmit.lock().send(frame);
        pair
    }

    /// Tells the device of what was sent by some pairs since it was last told: bit n for pair n. Of others it tells nothing.
    pub fn tell(&self, mut pairs: u64) {
        while let Some(pair) = self.pairs.get(pairs.trailing_zeros() as usize) {
            pair.transmit.lock().tell(&*self.transport);
            pairs &= pairs - 1;
        }
    }

    /// Takes up to `most` frames that have come by a pair of queues, and sends those that wait. Interrupts come again when
    /// there are no more. Returns how many frames there were; with fewer than `most` there are no more.
    pub fn poll(&self, pair: usize, most: usize, frames: &mut Vec<Received<Packet>>) -> usize {
        let Some(pair) = self.pairs.get(pair) else { return 0 };
        self.interrupted.store(false, Ordering::Release);
        let mut count = 0;
        {
            let mut receive = pair.receive.lock();
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
        let mut transmit = pair.transmit.lock();
        transmit.reclaim();
        if transmit.resume() {
            transmit.tell(&*self.transport);
        }
        count
    }

    /// Frames that were lost here: those that came in, and those that were to go out.
    pub fn lost(&self) -> (u64, u64) {
        let received = self.pairs.iter().map(|pair| pair.receive.lock().counts.lost).sum();
        let sent = self.pairs.iter().map(|pair| pair.transmit.lock().counts.lost).sum();
        (received, sent)
    }

    /// What each pair of queues has carried.
    pub fn queues(&self) -> Vec<PairCounts> {
        let used = self.used.load(Ordering::Relaxed);
        let counts = self.pairs.iter().enumerate().map(|(index, pair)| PairCounts {
            used: index < used,
            received: pair.receive.lock().counts,
            sent: pair.transmit.lock().counts,
        });
        counts.collect()
    }

    /// Why a pair of queues is of no use any more, if so.
    pub fn failure(&self, pair: usize) -> Option<Failure> {
        let pair = self.pairs.get(pair)?;
        let receive = pair.receive.lock().queue.misbehaviour();
        receive
            .or_else(|| pair.transmit.lock().queue.misbehaviour())
            .map(Failure::Misbehaved)
    }
}

/// How queues for frames are made.
struct Makers {
    room: usize,
    merges: bool,
    together: bool,
    /// Buffers for each queue.
    buffers: usize,
    indirect: bool,
    event_index: bool,
}

impl Makers {
    fn new(found: &Found, pairs: u16) -> Self {
        let room = found.room();
        let affordable = memory::counters().total / MEMORY_PART / (room as u64) / u64::from(pairs);
        Self {
            room,
            merges: found.has(feature::MERGED_BUFFERS),
            together: found.has(feature::GUEST_TSO_V4) || found.has(feature::GUEST_TSO_V6),
            buffers: (affordable as usize).max(LEAST_BUFFERS),
            indirect: found.has(feature::INDIRECT),
            event_index: found.has(feature::EVENT_INDEX),
        }
    }

    fn agreement(&self, entries: usize) -> Agreement {
        Agreement {
            table_entries: if self.indirect { entries as u16 } else { 0 },
            event_index: self.event_index,
        }
    }

    fn receive(&self, transport: &mut dyn Transport, number: u16) -> Result<Receive, Failure> {
        let queue = make_queue_for(transport, number, RECEIVE_SIZE, self.agreement(0))?;
        let mut receive = Receive::new(queue, number, self.room, self.merges, self.together);
        match receive.fill(self.buffers) {
            true => Ok(receive),
            false => Err(Failure::Memory),
        }
    }

    fn transmit(&self, transport: &mut dyn Transport, number: u16) -> Result<Transmit, Failure> {
        let queue = make_queue_for(transport, number, TRANSMIT_SIZE, self.agreement(PIECES))?;
        match queue.most_regions() < PIECES {
            true => Err(Failure::Queue(number)),
            false => Ok(Transmit::new(queue, number)),
        }
    }
}
