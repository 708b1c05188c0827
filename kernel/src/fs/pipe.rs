//! Pipes, with and without names: `pipe(7)`, `fifo(7)`.
//!
//! A pipe is a queue of segments, each a part of a frame. A writer fills a frame before it queues it, and a
//! reader takes a segment out before it copies it, so the program's memory is never touched under the lock.
//! Small writes go behind the last segment while its frame has room.

mod moves;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::any::Any;
use core::sync::atomic::{AtomicU64, Ordering};

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::{OpenFlags, PollEvents, Statfs};
use pith_linux::signal::Signal;
use spin::Mutex;

use super::file::{File, OpenFile, WriteAt};
use super::inode::{Inode, PathName};
use super::metadata::{AttributeChange, Metadata, Timestamp};
use super::owner::Notices;
use crate::memory::{Destination, Frame, PAGE_SIZE, Purpose, Source, UserPointer, write_object};
use crate::task::{WaitQueue, signal};

/// Writes of up to this many bytes are never mixed with others (`PIPE_BUF`).
const ATOMIC: usize = 4096;
/// Frames of a new pipe.
const STANDARD_FRAMES: usize = 16;
/// Most bytes of a pipe (`/proc/sys/fs/pipe-max-size`).
pub const MAXIMUM_CAPACITY: usize = 1 << 20;

/// `FIONREAD`
const BYTES_TO_READ: u32 = 0x541b;

const READABLE: PollEvents = PollEvents::IN.union(PollEvents::READ_NORMAL);
const WRITABLE: PollEvents = PollEvents::OUT.union(PollEvents::WRITE_NORMAL);
/// Something else than data and room has changed.
const LOOK: PollEvents = PollEvents::empty();

struct Segment {
    frame: Frame,
    start: usize,
    end: usize,
    /// Another segment lies in the same frame: nothing is written behind this one.
    is_shared: bool,
    /// It is read as a whole, or the rest of it is lost (`O_DIRECT`).
    is_packet: bool,
}

impl Segment {
    /// Whether so many bytes can be written behind it.
    fn has_room(&self, wanted: usize) -> bool {
        !self.is_shared && !self.is_packet && self.end + wanted <= PAGE_SIZE
    }
}

struct State {
    segments: VecDeque<Segment>,
    /// Most segments.
    frames: usize,
    readers: usize,
    writers: usize,
    /// Times that an end was opened: opening a named pipe waits for the other side's next one.
    reader_openings: u64,
    writer_openings: u64,
    /// Bytes of the segment that somebody is copying out; others wait, so that data keeps its order. Until that is done they
    /// count as being here: who polls is told of no more than what comes in.
    reading: Option<usize>,
    /// Somebody is copying in.
    writing: bool,
}

/// How what is written lies in a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// Small writes go behind what is there.
    Stream,
    /// Each write is a packet of its own (`O_DIRECT`), unless it goes behind what is none.
    Packets,
    /// Each page is a segment of its own, behind which nothing goes (`vmsplice(2)`).
    Pages,
}

/// A pipe.
pub struct Pipe {
    state: Mutex<State>,
    queue: WaitQueue,
}

impl State {
    fn length(&self) -> usize {
        let queued: usize = self.segments.iter().map(|segment| segment.end - segment.start).sum();
        queued + self.reading.unwrap_or(0)
    }

    /// Segments that it holds.
    fn used(&self) -> usize {
        self.segments.len() + usize::from(self.reading.is_some())
    }

    /// Takes the first segment out, if there is one and nobody is reading: the caller is.
    fn take_segment(&mut self) -> Option<Segment> {
        if self.reading.is_some() {
            return None;
        }
        let segment = self.segments.pop_front()?;
        self.reading = Some(segment.end - segment.start);
        Some(segment)
    }

    /// Whether `wanted` bytes, at most [`ATOMIC`], can go in at once.
    fn has_room(&self, wanted: usize) -> bool {
        self.used() < self.frames || self.segments.back().is_some_and(|last| last.has_room(wanted))
    }
}

impl Pipe {
    /// A pipe without ends.
    pub fn new() -> Arc<Self> {
        let state = State {
            segments: VecDeque::new(),
            frames: STANDARD_FRAMES,
            readers: 0,
            writers: 0,
            reader_openings: 0,
            writer_openings: 0,
            reading: None,
            writing: false,
        };
        Arc::new(Self {
            state: Mutex::new(state),
            queue: WaitQueue::new(),
        })
    }

    /// Opens an end, or both.
    fn end(self: &Arc<Self>, reads: bool, writes: bool) -> Arc<PipeEnd> {
        let mut state = self.state.lock();
        if reads {
            state.readers += 1;
            state.reader_openings += 1;
        }
        if writes {
            state.writers += 1;
            state.writer_openings += 1;
        }
        drop(state);
        self.queue.wake(LOOK);
        Arc::new(PipeEnd {
            pipe: self.clone(),
            reads,
            writes,
        })
    }

    /// Waits until nobody is reading and `take` finds something; `None` at the end.
    fn await_input<T>(&self, nonblocking: bool, take: impl Fn(&mut State) -> Option<T>) -> Result<Option<T>, Errno> {
        let attempt = || {
            let mut state = self.state.lock();
            if state.reading.is_some() {
                return None;
            }
            match take(&mut state) {
                Some(found) => Some(Ok(Some(found))),
                None if state.writers == 0 => Some(Ok(None)),
                None if nonblocking => Some(Err(Errno::EAGAIN)),
                None => None,
            }
        };
        self.queue.wait(attempt)?
    }

    /// Takes the first segment out; `None` at the end.
    fn take_segment(&self, nonblocking: bool) -> Result<Option<Segment>, Errno> {
        self.await_input(nonblocking, State::take_segment)
    }

    /// Reads; up to the end of a packet if `packets` is set.
    ///
    /// # Errors
    /// `EAGAIN`, `EINTR`, `EFAULT`.
    pub fn read(&self, to: &mut Destination<'_>, nonblocking: bool, packets: bool) -> Result<usize, Errno> {
        let mut done = 0;
        while to.remaining() != 0 {
            // Only the first piece is worth waiting for.
            let mut segment = match self.take_segment(nonblocking || done != 0) {
                Ok(Some(segment)) => segment,
                Ok(None) => break,
                Err(_) if done != 0 => break,
                Err(errno) => return Err(errno),
            };
            let wanted = to.remaining().min(segment.end - segment.start);
            let copied = match to.put_frame(&segment.frame, segment.start, wanted) {
                // As on Linux, a piece that the program's memory takes only a part of stays as a whole.
                Ok(copied) if copied < wanted => Err(Errno::EFAULT),
                result => result,
            };
            segment.start += copied.unwrap_or(0);
            let is_packet = packets && segment.is_packet;
            let rest = segment.start < segment.end && !(is_packet && copied.is_ok());
            let mut state = self.state.lock();
            if rest {
                state.segments.push_front(segment);
            }
            state.reading = None;
            drop(state);
            self.queue.wake(WRITABLE);
            match copied {
                Ok(copied) => done += copied,
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            }
            if rest || is_packet {
                break;
            }
        }
        Ok(done)
    }

    /// Waits for the turn to write: `merged` bytes behind the last segment, if they have room there, or else a new one.
    fn wait_to_write(&self, merged: usize, nonblocking: bool) -> Result<Option<(Frame, usize)>, Errno> {
        self.queue.wait(|| {
            let mut state = self.state.lock();
            if state.readers == 0 {
                return Some(Err(Errno::EPIPE));
            }
            let last = state.segments.back();
            let last = last.filter(|last| merged != 0 && last.has_room(merged));
            let tail = last.map(|last| (last.frame.clone(), last.end));
            if state.writing {
                // Also who would not wait for room waits for the other's bytes to be copied, as on Linux: there may be room.
                return None;
            }
            if tail.is_none() && state.used() >= state.frames {
                return if nonblocking { Some(Err(Errno::EAGAIN)) } else { None };
            }
            state.writing = true;
            Some(Ok(tail))
        })?
    }

    /// Copies up to `wanted` bytes, at most a frame, into the pipe. It is the writer's turn.
    fn write_piece(
        &self,
        tail: Option<(Frame, usize)>,
        from: &mut Source<'_>,
        wanted: usize,
        layout: Layout,
    ) -> Result<usize, Errno> {
        let (frame, start) = match tail {
            Some(tail) => tail,
            None => (Frame::zeroed(Purpose::User).ok_or(Errno::ENOMEM)?, 0),
        };
        let copied = from.take_to_frame(&frame, start, wanted)?;
        if copied < wanted {
            // As on Linux, a piece that can't be read to its end does not go in at all.
            return Err(Errno::EFAULT);
        }
        let mut state = self.state.lock();
        match state.segments.back_mut() {
            // The bytes lie right behind the last segment, if nobody has read that meanwhile.
            Some(last) if last.frame == frame && last.end == start && !last.is_shared && layout != Layout::Pages => {
                last.end += copied
            }
            _ => {
                state.segments.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
                state.segments.push_back(Segment {
                    frame,
                    start,
                    end: start + copied,
                    is_shared: layout == Layout::Pages,
                    is_packet: layout == Layout::Packets,
                });
            }
        }
        Ok(copied)
    }

    /// Whether anybody can read what is written.
    ///
    /// # Errors
    /// `EPIPE`, with the signal `SIGPIPE`.
    pub fn check_readers(&self) -> Result<(), Errno> {
        if self.state.lock().readers == 0 {
            signal::raise(Signal::SIGPIPE);
            return Err(Errno::EPIPE);
        }
        Ok(())
    }

    /// Writes.
    ///
    /// # Errors
    /// `EAGAIN`, `EINTR`, `EFAULT`, `ENOMEM`; `EPIPE` with the signal `SIGPIPE`.
    pub fn write(&self, from: &mut Source<'_>, nonblocking: bool, layout: Layout) -> Result<usize, Errno> {
        let total = from.remaining();
        let mut done = 0;
        while from.remaining() != 0 {
            // As on Linux, the part of a write that fills no page goes behind what is there, if there is room for all of
            // it, and anything else into pages of its own. So a small write goes in as a whole or not at all. A packet does
            // so too: what matters is how that lies there which it goes behind.
            let merged = if done == 0 && layout != Layout::Pages {
                total % PAGE_SIZE
            } else {
                0
            };
            let wanted = match layout {
                // A page of the program at a time, of which less may be wanted.
                Layout::Pages => from.remaining_in_page(),
                Layout::Stream | Layout::Packets => from.remaining().min(PAGE_SIZE),
            };
            let result = self.wait_to_write(merged, nonblocking).and_then(|tail| {
                let wanted = if tail.is_some() { merged } else { wanted };
                let result = self.write_piece(tail, from, wanted, layout);
                self.state.lock().writing = false;
                self.queue.wake(if result.is_ok() { READABLE } else { LOOK });
                result
            });
            match result {
                Ok(0) => break,
                Ok(copied) => done += copied,
                Err(errno) => {
                    if errno == Errno::EPIPE {
                        signal::raise(Signal::SIGPIPE);
                    }
                    if done == 0 {
                        return Err(errno);
                    }
                    break;
                }
            }
        }
        Ok(done)
    }

    fn set_capacity(&self, bytes: usize) -> Result<usize, Errno> {
        if bytes > 1 << 31 {
            return Err(Errno::EINVAL);
        }
        if bytes > MAXIMUM_CAPACITY {
            return Err(Errno::EPERM);
        }
        let frames = bytes.max(1).div_ceil(PAGE_SIZE).next_power_of_two();
        let mut state = self.state.lock();
        if state.used() > frames {
            return Err(Errno::EBUSY);
        }
        state.frames = frames;
        drop(state);
        self.queue.wake(LOOK);
        Ok(frames * PAGE_SIZE)
    }
}

/// An open end of a pipe, or both.
pub struct PipeEnd {
    pipe: Arc<Pipe>,
    reads: bool,
    writes: bool,
}

impl Drop for PipeEnd {
    fn drop(&mut self) {
        let mut state = self.pipe.state.lock();
        state.readers -= usize::from(self.reads);
        state.writers -= usize::from(self.writes);
        // Signals tell the end only if there is still somebody at one side.
        let last_of_side = (state.readers == 0) != (state.writers == 0);
        let unread = if state.readers == 0 && state.writers == 0 {
            core::mem::take(&mut state.segments)
        } else {
            VecDeque::new()
        };
        drop(state);
        drop(unread);
        if last_of_side {
            self.pipe.queue.wake_all();
        } else {
            self.pipe.queue.wake(LOOK);
        }
    }
}

impl File for PipeEnd {
    fn read(&self, _position: u64, to: &mut Destination<'_>, flags: OpenFlags) -> Result<usize, Errno> {
        self.pipe.read(to, flags.contains(OpenFlags::NONBLOCKING), true)
    }

    fn write(&self, _at: WriteAt, from: &mut Source<'_>, flags: OpenFlags) -> Result<(usize, u64), Errno> {
        let layout = if flags.contains(OpenFlags::DIRECT) {
            Layout::Packets
        } else {
            Layout::Stream
        };
        let nonblocking = flags.contains(OpenFlags::NONBLOCKING);
        self.pipe.write(from, nonblocking, layout).map(|done| (done, 0))
    }

    fn control(&self, request: u32, argument: UserPointer) -> Result<usize, Errno> {
        match request {
            BYTES_TO_READ => {
                let length = self.pipe.state.lock().length() as i32;
                write_object(argument, &length)?;
                Ok(0)
            }
            _ => Err(Errno::ENOTTY),
        }
    }

    fn readiness(&self) -> PollEvents {
        let state = self.pipe.state.lock();
        let mut events = PollEvents::empty();
        if self.reads {
            if state.used() != 0 {
                events |= PollEvents::IN | PollEvents::READ_NORMAL;
            }
            if state.writers == 0 && state.writer_openings != 0 {
                events |= PollEvents::HANG_UP;
            }
        }
        if self.writes {
            if state.has_room(ATOMIC) {
                events |= PollEvents::OUT | PollEvents::WRITE_NORMAL;
            }
            if state.readers == 0 {
                events |= PollEvents::ERROR;
            }
        }
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.pipe.queue)
    }

    fn notices(&self) -> Option<Notices> {
        Some(Notices::Pipe {
            reads: self.reads,
            writes: self.writes,
        })
    }

    fn pipe_capacity(&self, new: Option<usize>) -> Result<usize, Errno> {
        match new {
            Some(bytes) => self.pipe.set_capacity(bytes),
            None => Ok(self.pipe.state.lock().frames * PAGE_SIZE),
        }
    }
}

/// The pipe behind an open file; `None` if it is something else.
pub fn of(open: &OpenFile) -> Option<&Arc<Pipe>> {
    let file: &dyn Any = &**open.file().ok()?;
    file.downcast_ref::<PipeEnd>().map(|end| &end.pipe)
}

/// Opens a named pipe: an end waits for the other side (`fifo(7)`).
///
/// # Errors
/// `ENXIO` for writing without waiting when nobody reads, `EINTR`, `EINVAL` for neither reading nor writing.
pub fn open_named(pipe: &Arc<Pipe>, flags: OpenFlags) -> Result<Arc<dyn File>, Errno> {
    let nonblocking = flags.contains(OpenFlags::NONBLOCKING);
    let (reads, writes) = (flags.reads(), flags.writes());
    if !reads && !writes {
        return Err(Errno::EINVAL);
    }
    if writes && !reads && nonblocking && pipe.state.lock().readers == 0 {
        return Err(Errno::ENXIO);
    }
    let (readers_before, writers_before) = {
        let state = pipe.state.lock();
        (state.reader_openings, state.writer_openings)
    };
    let end = pipe.end(reads, writes);
    if reads != writes && !nonblocking {
        pipe.queue.wait(|| {
            let state = pipe.state.lock();
            let met = if reads {
                state.writers != 0 || state.writer_openings != writers_before
            } else {
                state.readers != 0 || state.reader_openings != readers_before
            };
            met.then_some(())
        })?;
    }
    Ok(end)
}

/// A pipe without name, as an inode.
struct PipeInode {
    pipe: Arc<Pipe>,
    metadata: Mutex<Metadata>,
}

static NEXT_NUMBER: AtomicU64 = AtomicU64::new(16);

/// A number for an inode without name, from 16 on.
pub fn next_number() -> u64 {
    NEXT_NUMBER.fetch_add(1, Ordering::Relaxed)
}

impl Inode for PipeInode {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn statistics(&self) -> Statfs {
        statistics()
    }

    fn metadata(&self) -> Metadata {
        *self.metadata.lock()
    }

    fn kind(&self) -> FileKind {
        FileKind::Fifo
    }

    fn path(&self) -> PathName {
        PathName {
            bytes: super::description("pipe", self.metadata.lock().number),
            removed: false,
        }
    }

    fn open(self: Arc<Self>, flags: OpenFlags) -> Result<Arc<dyn File>, Errno> {
        // By a link in /proc: other than one with a name, it waits for nobody.
        match (flags.reads(), flags.writes()) {
            (false, false) => Err(Errno::EINVAL),
            (reads, writes) => Ok(self.pipe.end(reads, writes)),
        }
    }

    fn change(&self, change: AttributeChange) -> Result<(), Errno> {
        self.metadata.lock().apply(&change);
        Ok(())
    }
}

/// What `statfs(2)` tells about pipes and streams (`PIPEFS_MAGIC`).
pub fn statistics() -> Statfs {
    Statfs {
        kind: 0x5049_5045,
        block_size: 4096,
        fragment_size: 4096,
        name_length: 255,
        ..Statfs::default()
    }
}

/// A new pipe: its reading end and its writing end.
pub fn create(flags: OpenFlags) -> (Arc<OpenFile>, Arc<OpenFile>) {
    let pipe = Pipe::new();
    let metadata = Metadata::of_current(
        super::NAMELESS_DEVICE,
        next_number(),
        FileKind::Fifo,
        0o600,
        Timestamp::now(),
    );
    let inode: Arc<dyn Inode> = Arc::new(PipeInode {
        pipe: pipe.clone(),
        metadata: Mutex::new(metadata),
    });
    let kept = flags & (OpenFlags::NONBLOCKING | OpenFlags::DIRECT);
    let reader = OpenFile::new(inode.clone(), pipe.end(true, false), kept - OpenFlags::DIRECT);
    let writer = OpenFile::new(inode, pipe.end(false, true), kept | OpenFlags::WRITE_ONLY);
    (reader, writer)
}
