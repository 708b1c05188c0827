//! The channel's state, shared by threads and the interrupt handler under one lock.

use alloc::boxed::Box;
use alloc::collections::{TryReserveError, VecDeque};
use alloc::vec::Vec;
use core::fmt::Write;
use core::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use pith_abi::channel::FrameKind;
use pith_abi::image::LogLevel;
use pith_channel::{Credit, HEADER_LENGTH, HostDecoder, HostEvent, Malformed, header};

use super::{Allocation, ConsoleDevice};
use crate::devices::shared_memory::Buffer;

/// Bytes of standard input that are kept for the program.
const INPUT_CAPACITY: u32 = 64 * 1024;
/// The signal that a terminal's new size causes.
const SIGWINCH: u8 = 28;

/// Output streams that nobody reads any more: bit 1 and bit 2.
pub static CLOSED: AtomicU8 = AtomicU8::new(0);
/// The terminal's size: rows in the upper half, columns in the lower.
pub static WINDOW: AtomicU32 = AtomicU32::new(0);

/// How the host broke the channel.
#[derive(Clone, Copy, Debug)]
enum Complaint {
    Malformed(Malformed),
    MoreThanGranted,
}

/// What arrives.
struct Incoming {
    /// `None` where plain bytes arrive.
    decoder: Option<HostDecoder>,
    bytes: VecDeque<u8>,
    credit: Credit,
    /// Whether the host was asked for input. Programs that never read leave it to others.
    asked: bool,
    /// A thread is copying input to the program; others wait, so that every byte is read once and in order.
    being_read: bool,
    ended: bool,
    /// Signals to deliver: bit n-1 is signal n.
    signals: u64,
    /// What time the host said that it was when it answered.
    time: Option<u64>,
    complaint: Option<Complaint>,
    /// After a complaint, nothing is taken any more.
    broken: bool,
}

impl Incoming {
    /// Takes bytes from the device. Runs in the interrupt handler: nothing here may allocate.
    fn take(&mut self, mut bytes: &[u8]) {
        let Some(decoder) = &mut self.decoder else {
            // No more than there is room for was asked of the device.
            let room = self.bytes.capacity() - self.bytes.len();
            self.bytes.extend(&bytes[..bytes.len().min(room)]);
            return;
        };
        if self.broken {
            return;
        }
        loop {
            match decoder.next(&mut bytes) {
                Ok(None) => return,
                Ok(Some(HostEvent::Input(piece))) => {
                    let room = self.bytes.capacity() - self.bytes.len();
                    if !self.credit.receive(piece.len()) || piece.len() > room || self.ended {
                        self.complain(Complaint::MoreThanGranted);
                        return;
                    }
                    self.bytes.extend(piece);
                }
                Ok(Some(HostEvent::InputEnd)) => self.ended = true,
                Ok(Some(HostEvent::Signal(signal))) => self.signals |= 1 << (signal - 1),
                Ok(Some(HostEvent::WindowSize { rows, columns })) => {
                    let size = u32::from(rows) << 16 | u32::from(columns);
                    if WINDOW.swap(size, Ordering::Relaxed) != size {
                        self.signals |= 1 << (SIGWINCH - 1);
                    }
                }
                Ok(Some(HostEvent::Time(time))) => {
                    self.time = Some(time);
                }
                Ok(Some(HostEvent::OutputClosed(stream))) => {
                    CLOSED.fetch_or(1 << stream, Ordering::Relaxed);
                }
                Err(malformed) => {
                    self.complain(Complaint::Malformed(malformed));
                    return;
                }
            }
        }
    }

    /// The stream has no meaning any more: no more input, and one message about it.
    fn complain(&mut self, complaint: Complaint) {
        self.broken = true;
        self.ended = true;
        self.complaint = Some(complaint);
    }
}

/// The channel.
pub struct Channel {
    pub device: Box<dyn ConsoleDevice>,
    framed: bool,
    incoming: Incoming,
    /// Frames that wait for the device to finish what it has, so that many small ones become one request.
    pending: Option<(Buffer, usize)>,
    /// Credit that could not be sent yet.
    credit_due: u32,
}

impl Channel {
    pub fn new(device: Box<dyn ConsoleDevice>, framed: bool, has_input: bool) -> Self {
        Self {
            device,
            framed,
            incoming: Incoming {
                decoder: framed.then(HostDecoder::new),
                bytes: VecDeque::new(),
                credit: Credit::new(INPUT_CAPACITY),
                asked: false,
                being_read: false,
                ended: !has_input,
                signals: 0,
                time: None,
                complaint: None,
                broken: false,
            },
            pending: None,
            credit_due: 0,
        }
    }

    /// Whether frames are spoken, and not plain text.
    pub fn is_framed(&self) -> bool {
        self.framed
    }

    /// Bytes of a buffer in front of the payload.
    pub fn prefix(&self) -> usize {
        if self.framed { HEADER_LENGTH } else { 0 }
    }

    /// Sends a buffer whose payload of `length` bytes lies behind [`Self::prefix`].
    pub fn finish(&mut self, mut buffer: Buffer, kind: FrameKind, detail: u8, length: usize) {
        if self.framed {
            buffer.bytes_mut()[..HEADER_LENGTH].copy_from_slice(&header(kind, detail, length as u32));
        }
        let total = self.prefix() + length;
        self.transmit(buffer, total);
    }

    /// Sends or queues bytes. An idle device gets them at once; a busy one gets them together with what comes
    /// until it is done.
    fn transmit(&mut self, buffer: Buffer, length: usize) {
        if self.device.in_flight() == 0 {
            self.send_pending();
            self.device.send(buffer, length);
            return;
        }
        if let Some((waiting, used)) = &mut self.pending {
            if waiting.length() - *used >= length {
                waiting.bytes_mut()[*used..*used + length].copy_from_slice(&buffer.bytes()[..length]);
                *used += length;
                self.device.keep_buffer(buffer);
                self.await_completion();
                return;
            }
            self.send_pending();
        }
        if length > buffer.length() / 2 {
            self.device.send(buffer, length);
        } else {
            self.pending = Some((buffer, length));
            self.await_completion();
        }
    }

    fn send_pending(&mut self) {
        if let Some((buffer, length)) = self.pending.take() {
            self.device.send(buffer, length);
        }
    }

    /// Makes sure that what is pending goes out as soon as the device is done.
    pub fn await_completion(&mut self) {
        self.device.set_completion_interrupts(true);
        // What was done before that causes no interrupt.
        self.progress();
    }

    /// Sends what has waited, if the device is done.
    fn progress(&mut self) {
        if self.device.in_flight() == 0 {
            self.send_pending();
        }
        self.send_due();
    }

    /// Whether the device has taken everything.
    pub fn is_flushed(&mut self) -> bool {
        self.progress();
        self.pending.is_none() && self.device.in_flight() == 0
    }

    /// Sends a short message if there is a buffer for it.
    pub fn message(&mut self, kind: FrameKind, detail: u8, payload: &[u8]) -> bool {
        let Some(mut buffer) = self.device.take_buffer(Allocation::Forbidden) else {
            return false;
        };
        let prefix = self.prefix();
        let length = payload.len().min(buffer.length() - prefix);
        buffer.bytes_mut()[prefix..prefix + length].copy_from_slice(&payload[..length]);
        self.finish(buffer, kind, detail, length);
        true
    }

    /// Gives a buffer back that turned out not to be needed.
    pub fn give_back(&mut self, buffer: Buffer) {
        self.device.keep_buffer(buffer);
        // Somebody may have missed it meanwhile.
        self.send_due();
    }

    /// Sends the credit and the complaint that are due, now or with the next completion.
    fn send_due(&mut self) {
        if !self.try_to_send_due() {
            self.device.set_completion_interrupts(true);
            // What was done before that causes no interrupt.
            self.try_to_send_due();
        }
    }

    /// Whether nothing is due any more.
    fn try_to_send_due(&mut self) -> bool {
        if self.credit_due != 0 {
            let granted = core::mem::take(&mut self.credit_due);
            if !self.message(FrameKind::InputCredit, 0, &granted.to_le_bytes()) {
                self.credit_due = granted;
                return false;
            }
        }
        if let Some(complaint) = self.incoming.complaint.take() {
            let mut text = Text::default();
            // `Text` cuts what is too long and never fails.
            let _ = match complaint {
                Complaint::Malformed(how) => {
                    write!(text, "console: the host sent {how}; nothing more is taken from it")
                }
                Complaint::MoreThanGranted => {
                    write!(
                        text,
                        "console: the host sent more input than it was granted; nothing more is taken from it"
                    )
                }
            };
            if !self.message(FrameKind::Log, LogLevel::Error as u8, text.bytes()) {
                self.incoming.complaint = Some(complaint);
                return false;
            }
        }
        true
    }

    /// Serves the device's interrupt.
    pub fn serve(&mut self) {
        self.device.acknowledge_interrupt();
        self.fetch();
        // Whoever waits for a buffer asks for interrupts again.
        self.device.set_completion_interrupts(false);
        self.progress();
        if self.pending.is_some() {
            self.await_completion();
        }
    }

    /// Takes what has arrived.
    fn fetch(&mut self) {
        let incoming = &mut self.incoming;
        let limit = match incoming.decoder {
            Some(_) => usize::MAX,
            None => incoming.bytes.capacity() - incoming.bytes.len(),
        };
        self.device.receive(limit, &mut |bytes| incoming.take(bytes));
    }

    /// Signals that have arrived, which are thereby taken.
    pub fn take_signals(&mut self) -> u64 {
        core::mem::take(&mut self.incoming.signals)
    }

    /// What time the host said that it was when it heard that the guest is ready, in nanoseconds since 1970, if that has come;
    /// it is thereby taken.
    pub fn take_time(&mut self) -> Option<u64> {
        self.incoming.time.take()
    }

    /// Asks the host for input, the first time that the program wants any. Not from interrupt handlers.
    ///
    /// # Errors
    /// There is no memory to keep input in.
    pub fn ask_for_input(&mut self) -> Result<(), TryReserveError> {
        if self.incoming.asked || self.incoming.ended {
            return Ok(());
        }
        self.incoming.bytes.try_reserve_exact(INPUT_CAPACITY as usize)?;
        self.incoming.asked = true;
        self.after_reading();
        Ok(())
    }

    /// Whether a read would return at once.
    pub fn has_input(&self) -> bool {
        !self.incoming.bytes.is_empty() || self.incoming.ended
    }

    /// A copy of up to `most` bytes of input for the one reader, whose turn lasts until [`Self::end_reading`].
    /// `None` while another has it.
    ///
    /// # Errors
    /// There is no memory for the copy; the turn is not taken.
    pub fn begin_reading(&mut self, most: usize) -> Option<Result<Vec<u8>, TryReserveError>> {
        if self.incoming.being_read {
            return None;
        }
        let count = most.min(self.incoming.bytes.len());
        let mut copy = Vec::new();
        if let Err(error) = copy.try_reserve_exact(count) {
            return Some(Err(error));
        }
        let (front, back) = self.incoming.bytes.as_slices();
        let (front, back) = match front.get(..count) {
            Some(front) => (front, &[][..]),
            None => (front, &back[..count - front.len()]),
        };
        copy.extend_from_slice(front);
        copy.extend_from_slice(back);
        self.incoming.being_read = true;
        Some(Ok(copy))
    }

    /// Ends the reader's turn. Of the bytes that it got, the program took the first `taken`; the others stay.
    pub fn end_reading(&mut self, taken: usize) {
        self.incoming.being_read = false;
        let taken = taken.min(self.incoming.bytes.len());
        self.incoming.bytes.drain(..taken);
        self.incoming.credit.consume(taken);
        self.after_reading();
    }

    /// Bytes of input that are here.
    pub fn input_length(&self) -> usize {
        self.incoming.bytes.len()
    }

    /// There is room: lets more come.
    fn after_reading(&mut self) {
        if !self.framed {
            // The port holds bytes back while there is no room, and does not interrupt again for them.
            self.fetch();
        } else if !self.incoming.ended
            && let Some(granted) = self.incoming.credit.grant()
        {
            self.credit_due += granted;
            self.send_due();
        }
    }
}

/// A line of text on the stack.
struct Text {
    bytes: [u8; 200],
    length: usize,
}

impl Default for Text {
    fn default() -> Self {
        Self {
            bytes: [0; 200],
            length: 0,
        }
    }
}

impl Text {
    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let room = self.bytes.len() - self.length;
        let taken = &text[..text.floor_char_boundary(room)];
        self.bytes[self.length..self.length + taken.len()].copy_from_slice(taken.as_bytes());
        self.length += taken.len();
        Ok(())
    }
}
