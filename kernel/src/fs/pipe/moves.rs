//! Moving bytes between pipes and other files without the program's memory (`splice(2)`, `tee(2)`).
//!
//! From pipe to pipe frames go as they are; a frame that two pipes share is never written behind its bytes again. To and
//! from other files bytes are copied once.

use alloc::vec::Vec;
use core::ops::Range;

use pith_linux::Errno;
use pith_linux::files::PollEvents;
use pith_linux::signal::Signal;

use super::{Pipe, READABLE, Segment, State, WRITABLE};
use crate::memory::{Destination, Frame, PAGE_SIZE, Purpose, Source};
use crate::task::signal;

/// Most bytes that are copied at a time.
const PIECE: usize = 16 * PAGE_SIZE;

/// Room for up to so many bytes.
fn buffer(length: usize) -> Result<Vec<u8>, Errno> {
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
    bytes.resize(length, 0);
    Ok(bytes)
}

impl Pipe {
    /// Waits for the turn to write, and room for at least one frame. Returns for how many there is.
    fn reserve(&self, nonblocking: bool) -> Result<usize, Errno> {
        let reserved = self.queue.wait(|| {
            let mut state = self.state.lock();
            if state.readers == 0 {
                return Some(Err(Errno::EPIPE));
            }
            let free = state.frames.saturating_sub(state.used());
            if state.writing || free == 0 {
                return nonblocking.then_some(Err(Errno::EAGAIN));
            }
            state.writing = true;
            Some(Ok(free))
        })?;
        if reserved == Err(Errno::EPIPE) {
            signal::raise(Signal::SIGPIPE);
        }
        reserved
    }

    /// Ends the turn that [`Self::reserve`] began, with what is to be queued.
    fn queue_all(&self, segments: Vec<Segment>) -> Result<(), Errno> {
        let mut state = self.state.lock();
        state.writing = false;
        let events = if segments.is_empty() {
            PollEvents::empty()
        } else {
            READABLE
        };
        let result = state.segments.try_reserve(segments.len());
        if result.is_ok() {
            state.segments.extend(segments);
        }
        drop(state);
        self.queue.wake(events); // who waits for the turn is woken in any case
        result.map_err(|_| Errno::ENOMEM)
    }

    /// Ends the turn that [`Self::take_segment`] began, with what is left of the segment.
    fn put_back(&self, segment: Segment) {
        let mut state = self.state.lock();
        if segment.start < segment.end {
            // It was there before, so there is room.
            state.segments.push_front(segment);
        }
        state.reading = None;
        drop(state);
        self.queue.wake(WRITABLE);
    }

    /// Waits until there is room for at least one frame.
    ///
    /// # Errors
    /// `EPIPE`, `EAGAIN`, `EINTR`.
    pub fn await_room(&self, nonblocking: bool) -> Result<(), Errno> {
        self.reserve(nonblocking)?;
        self.queue_all(Vec::new())
    }

    /// Fills the pipe once with up to `length` bytes that `read` gives, of which up to `first` go into the first frame.
    ///
    /// # Errors
    /// `EPIPE`, `EAGAIN`, `EINTR`, `ENOMEM`, and what `read` answers.
    pub fn fill(
        &self,
        length: usize,
        first: usize,
        nonblocking: bool,
        read: impl FnOnce(&mut Destination<'_>) -> Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        let free = self.reserve(nonblocking)?;
        let room = first + (free - 1) * PAGE_SIZE;
        let filled = Self::read_segments(length.min(room).min(PIECE), first, read);
        let (segments, result) = match filled {
            Ok((segments, length)) => (segments, Ok(length)),
            Err(errno) => (Vec::new(), Err(errno)),
        };
        self.queue_all(segments)?;
        result
    }

    /// Queues a part of a file's page as it is: who reads the pipe sees what is written to the file until then.
    ///
    /// # Errors
    /// `EPIPE`, `EAGAIN`, `EINTR`, `ENOMEM`.
    pub fn queue_page(&self, frame: Frame, part: Range<usize>, nonblocking: bool) -> Result<usize, Errno> {
        self.reserve(nonblocking)?;
        let length = part.len();
        self.queue_all(Vec::from([Segment {
            frame,
            start: part.start,
            end: part.end,
            is_shared: true,
            is_packet: false,
        }]))?;
        Ok(length)
    }

    /// Reads bytes into new frames.
    fn read_segments(
        length: usize,
        first: usize,
        read: impl FnOnce(&mut Destination<'_>) -> Result<usize, Errno>,
    ) -> Result<(Vec<Segment>, usize), Errno> {
        // Everything that can fail comes before bytes are taken that would be lost.
        let mut segments = Vec::new();
        let frames = |length: usize| match length.checked_sub(first) {
            Some(rest) => 1 + rest.div_ceil(PAGE_SIZE),
            None => usize::from(length != 0),
        };
        for _ in 0..frames(length) {
            segments.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            segments.push(Segment {
                frame: Frame::zeroed(Purpose::User).ok_or(Errno::ENOMEM)?,
                start: 0,
                end: 0,
                // As on Linux, where these are the file's pages, nothing is written behind them.
                is_shared: true,
                is_packet: false,
            });
        }
        let mut bytes = buffer(length)?;
        let length = read(&mut Destination::kernel(&mut bytes))?;
        segments.truncate(frames(length));
        let mut source = Source::kernel(&bytes[..length]);
        for (index, segment) in segments.iter_mut().enumerate() {
            let wanted = source.remaining().min(if index == 0 { first } else { PAGE_SIZE });
            segment.end = source.take_to_frame(&segment.frame, 0, wanted)?;
        }
        Ok((segments, length))
    }

    /// Empties the pipe of up to `length` bytes, which `write` takes. Waits for the first only.
    ///
    /// # Errors
    /// `EAGAIN`, `EINTR`, `ENOMEM`, and what `write` answers, if nothing was taken.
    pub fn empty(
        &self,
        length: usize,
        nonblocking: bool,
        mut write: impl FnMut(&mut Source<'_>) -> Result<usize, Errno>,
    ) -> Result<usize, Errno> {
        let mut bytes = buffer(PAGE_SIZE)?;
        let mut done = 0;
        while done < length {
            let mut segment = match self.take_segment(nonblocking || done != 0) {
                Ok(Some(segment)) => segment,
                Ok(None) => break,
                Err(_) if done != 0 => break,
                Err(errno) => return Err(errno),
            };
            let wanted = (segment.end - segment.start).min(length - done);
            let result = Destination::kernel(&mut bytes)
                .put_frame(&segment.frame, segment.start, wanted)
                .and_then(|copied| write(&mut Source::kernel(&bytes[..copied])));
            let taken = *result.as_ref().unwrap_or(&0);
            segment.start += taken;
            self.put_back(segment);
            done += taken;
            match result {
                Err(errno) if done == 0 => return Err(errno),
                Ok(taken) if taken == wanted => {}
                _ => break,
            }
        }
        Ok(done)
    }

    /// Waits until there is something to read and nobody is reading. False if nothing more comes.
    fn await_data(&self, nonblocking: bool) -> Result<bool, Errno> {
        let something = |state: &mut State| (!state.segments.is_empty()).then_some(());
        Ok(self.await_input(nonblocking, something)?.is_some())
    }

    /// Moves up to `length` bytes into another pipe, frames and all. Waits for the first only, and meanwhile others can read
    /// this pipe.
    ///
    /// # Errors
    /// `EPIPE`, `EAGAIN`, `EINTR`, `ENOMEM`, if nothing was moved.
    pub fn move_to(&self, other: &Self, length: usize, nonblocking: bool) -> Result<usize, Errno> {
        let mut done = 0;
        while done < length {
            if done == 0 && !self.await_data(nonblocking)? {
                // Nothing more comes; that nobody would read it is told all the same.
                return other.check_readers().map(|()| 0);
            }
            match other.reserve(nonblocking || done != 0) {
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
                Ok(_) => {}
            }
            let taken = self.state.lock().take_segment();
            let Some(mut segment) = taken else {
                other.queue_all(Vec::new())?;
                if done != 0 {
                    break;
                }
                // A reader came in between.
                continue;
            };
            let wanted = (segment.end - segment.start).min(length - done);
            let moved = Segment {
                frame: segment.frame.clone(),
                start: segment.start,
                end: segment.start + wanted,
                is_shared: true,
                is_packet: segment.is_packet,
            };
            let result = other.queue_all(Vec::from([moved]));
            if result.is_ok() {
                segment.start += wanted;
                done += wanted;
            }
            self.put_back(segment);
            match result {
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
                Ok(()) => {}
            }
        }
        Ok(done)
    }

    /// Gives another pipe up to `length` of the bytes, which stay.
    ///
    /// # Errors
    /// `EPIPE`, `EAGAIN`, `EINTR`, `ENOMEM`.
    pub fn copy_to(&self, other: &Self, length: usize, nonblocking: bool) -> Result<usize, Errno> {
        loop {
            if !self.await_data(nonblocking)? {
                return other.check_readers().map(|()| 0);
            }
            let free = other.reserve(nonblocking)?;
            let (copies, done) = self.share(length, free);
            other.queue_all(copies)?;
            // Otherwise a reader came in between.
            if done != 0 {
                return Ok(done);
            }
        }
    }

    /// Other segments for up to `length` of the bytes, at most `most` of them. None while somebody is reading, who may leave
    /// some of the first.
    fn share(&self, length: usize, most: usize) -> (Vec<Segment>, usize) {
        let mut copies = Vec::with_capacity(most.min(self.state.lock().segments.len()));
        let mut done = 0;
        let state = self.state.lock();
        let most = if state.reading.is_some() { 0 } else { most };
        for segment in state.segments.iter().take(most) {
            let wanted = (segment.end - segment.start).min(length - done);
            if wanted == 0 {
                break;
            }
            copies.push(Segment {
                frame: segment.frame.clone(),
                start: segment.start,
                end: segment.start + wanted,
                is_shared: true,
                is_packet: segment.is_packet,
            });
            done += wanted;
        }
        (copies, done)
    }
}
