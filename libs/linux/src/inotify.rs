//! Notices of what happens to files: the events of `inotify(7)`, and the queue in which they wait for a reader.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bitflags::bitflags;

bitflags! {
    /// What happened, what is to be told, and how (`IN_*`).
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct FileEvents: u32 {
        /// Read, or a directory listed (`IN_ACCESS`).
        const ACCESS = 0x1;
        /// Content or length changed (`IN_MODIFY`).
        const MODIFY = 0x2;
        /// Metadata changed (`IN_ATTRIB`).
        const ATTRIBUTES = 0x4;
        /// Closed that was open for writing (`IN_CLOSE_WRITE`).
        const CLOSE_WRITE = 0x8;
        /// Closed that was not open for writing (`IN_CLOSE_NOWRITE`).
        const CLOSE_NO_WRITE = 0x10;
        /// Opened (`IN_OPEN`).
        const OPEN = 0x20;
        /// A name went away from the directory (`IN_MOVED_FROM`).
        const MOVED_FROM = 0x40;
        /// A name came into the directory (`IN_MOVED_TO`).
        const MOVED_TO = 0x80;
        /// A name was made in the directory (`IN_CREATE`).
        const CREATE = 0x100;
        /// A name was removed from the directory (`IN_DELETE`).
        const DELETE = 0x200;
        /// The file itself is gone: no name and nobody who has it open (`IN_DELETE_SELF`).
        const DELETE_SELF = 0x400;
        /// The file itself got another name (`IN_MOVE_SELF`).
        const MOVE_SELF = 0x800;
        /// The file system was taken away (`IN_UNMOUNT`).
        const UNMOUNT = 0x2000;
        /// Events were lost (`IN_Q_OVERFLOW`).
        const OVERFLOW = 0x4000;
        /// The watch is gone (`IN_IGNORED`).
        const IGNORED = 0x8000;
        /// Only watch a directory (`IN_ONLYDIR`).
        const ONLY_DIRECTORY = 0x0100_0000;
        /// Don't follow a symbolic link (`IN_DONT_FOLLOW`).
        const DONT_FOLLOW = 0x0200_0000;
        /// Nothing about files of the directory whose names were removed (`IN_EXCL_UNLINK`).
        const EXCLUDE_UNLINKED = 0x0400_0000;
        /// Fail if the file is watched already (`IN_MASK_CREATE`).
        const MASK_CREATE = 0x1000_0000;
        /// Add to what is watched (`IN_MASK_ADD`).
        const MASK_ADD = 0x2000_0000;
        /// It is a directory to which it happened (`IN_ISDIR`).
        const IS_DIRECTORY = 0x4000_0000;
        /// One event, then the watch is gone (`IN_ONESHOT`).
        const ONE_SHOT = 0x8000_0000;
    }
}

impl FileEvents {
    /// All that a program may ask to be told (`IN_ALL_EVENTS`).
    pub const ASKED: Self = Self::from_bits_retain(0xfff);
}

/// Bytes of an event without a name (`struct inotify_event`).
pub const HEADER: usize = 16;

/// An event that waits.
#[derive(Debug)]
struct Queued {
    watch: i32,
    events: u32,
    cookie: u32,
    name: Box<[u8]>,
}

impl Queued {
    /// Bytes that a reader gets: the name has a NUL at least, and fills a multiple of the header.
    fn size(&self) -> usize {
        match self.name.len() {
            0 => HEADER,
            length => HEADER + (length + 1).next_multiple_of(HEADER),
        }
    }
}

/// Events that wait for a reader, oldest first.
#[derive(Debug, Default)]
pub struct EventQueue {
    waiting: VecDeque<Queued>,
    /// Bytes that all of them take when they are read.
    bytes: usize,
    /// The notice that events were lost waits too.
    told_of_loss: bool,
}

impl EventQueue {
    /// An empty queue.
    pub const fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            bytes: 0,
            told_of_loss: false,
        }
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Bytes that wait (`FIONREAD`).
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds an event. One that is the same as the last one is left out. If `most` events wait already, or there is no
    /// memory, the event is lost, and that is told once. True if there is something new to read.
    pub fn push(
        &mut self,
        watch: i32,
        events: FileEvents,
        cookie: u32,
        name: &[u8],
        most: usize,
    ) -> bool {
        if self.waiting.len() >= most {
            return self.lose();
        }
        let same = |last: &Queued| {
            last.watch == watch
                && last.events == events.bits()
                && *last.name == *name
                && !events.contains(FileEvents::IGNORED)
        };
        if self.waiting.back().is_some_and(same) {
            return false;
        }
        let mut copy = Vec::new();
        if copy.try_reserve_exact(name.len()).is_err() || self.waiting.try_reserve(1).is_err() {
            return self.lose();
        }
        copy.extend_from_slice(name);
        self.add(Queued {
            watch,
            events: events.bits(),
            cookie,
            name: copy.into(),
        });
        true
    }

    fn add(&mut self, event: Queued) {
        self.bytes += event.size();
        self.waiting.push_back(event);
    }

    fn lose(&mut self) -> bool {
        if self.told_of_loss || self.waiting.try_reserve(1).is_err() {
            return false;
        }
        self.told_of_loss = true;
        self.add(Queued {
            watch: -1,
            events: FileEvents::OVERFLOW.bits(),
            cookie: 0,
            name: Box::default(),
        });
        true
    }

    /// Takes the oldest event, as a reader gets it, if it fits into `room` bytes. `None` if none waits.
    ///
    /// # Errors
    /// The bytes that it needs; then it stays.
    pub fn take(&mut self, room: usize) -> Option<Result<Vec<u8>, usize>> {
        let size = self.waiting.front()?.size();
        if size > room {
            return Some(Err(size));
        }
        let event = self.waiting.pop_front()?;
        self.bytes -= size;
        self.told_of_loss &= event.events != FileEvents::OVERFLOW.bits();
        let mut bytes = Vec::with_capacity(size);
        bytes.extend_from_slice(&event.watch.to_ne_bytes());
        bytes.extend_from_slice(&event.events.to_ne_bytes());
        bytes.extend_from_slice(&event.cookie.to_ne_bytes());
        bytes.extend_from_slice(&((size - HEADER) as u32).to_ne_bytes());
        bytes.extend_from_slice(&event.name);
        bytes.resize(size, 0);
        Some(Ok(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_padded_and_short_buffers_refused() {
        let mut queue = EventQueue::new();
        assert!(queue.push(3, FileEvents::OPEN, 0, b"sixteen bytes 16", 10));
        assert_eq!(queue.bytes(), HEADER + 32);
        assert_eq!(queue.take(47), Some(Err(48)));
        let bytes = queue.take(48).unwrap().unwrap();
        assert_eq!(bytes.len(), 48);
        assert_eq!(bytes[..4], 3_i32.to_ne_bytes());
        assert_eq!(bytes[12..16], 32_u32.to_ne_bytes());
        assert_eq!(
            &bytes[16..],
            b"sixteen bytes 16\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
        );
        assert!(queue.is_empty());
        assert_eq!(queue.bytes(), 0);
        assert!(queue.take(100).is_none());
    }

    #[test]
    fn the_same_again_is_left_out() {
        let mut queue = EventQueue::new();
        assert!(queue.push(1, FileEvents::MODIFY, 0, b"a", 10));
        assert!(!queue.push(1, FileEvents::MODIFY, 0, b"a", 10));
        assert!(queue.push(1, FileEvents::MODIFY, 0, b"b", 10));
        assert!(queue.push(2, FileEvents::MODIFY, 0, b"b", 10));
        assert!(queue.push(1, FileEvents::MODIFY, 0, b"a", 10));
        // Watches that end are told each.
        assert!(queue.push(1, FileEvents::IGNORED, 0, b"", 10));
        assert!(queue.push(1, FileEvents::IGNORED, 0, b"", 10));
    }

    #[test]
    fn a_loss_is_told_once_until_it_was_read() {
        let mut queue = EventQueue::new();
        for (number, told) in [(1, true), (2, true), (3, true), (4, false)] {
            assert_eq!(queue.push(number, FileEvents::OPEN, 0, b"", 2), told);
        }
        assert_eq!(queue.bytes(), 3 * HEADER);
        for watch in [1_i32, 2, -1] {
            assert_eq!(
                queue.take(HEADER).unwrap().unwrap()[..4],
                watch.to_ne_bytes()
            );
        }
        for number in 0..3 {
            assert!(queue.push(number, FileEvents::OPEN, 0, b"", 2));
        }
    }
}
