//! Descriptors by which a program handles its own page faults: `userfaultfd(2)`, `ioctl_userfaultfd(2)`.
//!
//! A thread that meets a fault in a watched area puts it on a list and sleeps. Whoever reads the descriptor is told, puts a
//! page there, and wakes the thread, which tries its access again. How that and the tables of pages keep in step is said in
//! `memory/address_space/watch.rs`.

use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use bitflags::bitflags;
use pith_linux::Errno;
use pith_linux::files::{OpenFlags, PollEvents};
use spin::Mutex;
use zerocopy::IntoBytes;

use super::file::{File, OpenFile};
use super::proc::Text;
use crate::arch::layout::{PROGRAM_END, PROGRAM_START};
use crate::memory::{
    AddressSpace, AreaFlags, Destination, FaultReason, FaultWatcher, Fill, Frame, PAGE_SIZE, Purpose, RangeEvent,
    UserPointer, Waited, Waiting, WatchedFault, read_object, write_object,
};
use crate::task::{self, Capabilities, WaitQueue};

const PAGE: u64 = PAGE_SIZE as u64;

bitflags! {
    /// `UFFD_FEATURE_*`
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Features: u64 {
        const PAGEFAULT_FLAG_WP = 1 << 0;
        const EVENT_FORK = 1 << 1;
        const EVENT_REMAP = 1 << 2;
        const EVENT_REMOVE = 1 << 3;
        const MISSING_SHMEM = 1 << 5;
        const EVENT_UNMAP = 1 << 6;
        const SIGBUS = 1 << 7;
        const THREAD_ID = 1 << 8;
        const MINOR_SHMEM = 1 << 10;
        const EXACT_ADDRESS = 1 << 11;
        const WP_HUGETLBFS_SHMEM = 1 << 12;
        const WP_UNPOPULATED = 1 << 13;
        const POISON = 1 << 14;
        const WP_ASYNC = 1 << 15;
        const MOVE = 1 << 16;
        /// The program has chosen its features. Linux keeps that in the same word, and shows it in `fdinfo`.
        const INITIALISED = 1 << 31;
    }
}

/// What a program may ask for. What is for hugetlbfs is missing.
const SUPPORTED: Features = Features::all().difference(Features::INITIALISED);

/// `UFFD_API`
const API: u64 = 0xaa;
/// `UFFD_API_IOCTLS`: register, unregister and API.
const API_CONTROLS: u64 = 1 << 0x3f | 0b11;
/// `UFFD_API_RANGE_IOCTLS`: what can be done with a range, by number.
const RANGE_CONTROLS: u64 = 0b1_1111_1100;
const CONTROL_WRITE_PROTECT: u64 = 1 << 6;
const CONTROL_CONTINUE: u64 = 1 << 7;

const UFFDIO_API: u32 = 0xc018_aa3f;
const UFFDIO_REGISTER: u32 = 0xc020_aa00;
const UFFDIO_UNREGISTER: u32 = 0x8010_aa01;
const UFFDIO_WAKE: u32 = 0x8010_aa02;
const UFFDIO_COPY: u32 = 0xc028_aa03;
const UFFDIO_ZEROPAGE: u32 = 0xc020_aa04;
const UFFDIO_MOVE: u32 = 0xc028_aa05;
const UFFDIO_WRITEPROTECT: u32 = 0xc018_aa06;
const UFFDIO_CONTINUE: u32 = 0xc020_aa07;
const UFFDIO_POISON: u32 = 0xc020_aa08;

/// Bytes that are filled before others may have the processor.
const FILLED_AT_ONCE: u64 = 256 * PAGE;

/// `UFFDIO_*_MODE_DONTWAKE` of all that fills pages, and what else they know.
const DONT_WAKE: u64 = 1;
const PROTECT: u64 = 2;
const ALLOW_HOLES: u64 = 2;

/// What a program can ask of a new descriptor: only faults of the program itself are handled (`UFFD_USER_MODE_ONLY`).
pub const USER_MODE_ONLY: u32 = 1;

/// Whether programs without privilege may handle faults of the kernel (`/proc/sys/vm/unprivileged_userfaultfd`).
pub static UNPRIVILEGED: AtomicBool = AtomicBool::new(false);

/// `struct uffd_msg`, as four words.
type Message = [u64; 4];
const MESSAGE_SIZE: usize = size_of::<Message>();

/// A fault or an event that somebody waits for.
struct Notice {
    message: Message,
    /// Where the fault was.
    address: u64,
    /// Nobody has to wait any more.
    done: AtomicBool,
    /// The file by which the child of a fork is watched: whoever reads the message gets a descriptor of it.
    child: Option<Arc<UserFaults>>,
}

impl Notice {
    fn new(message: Message, address: u64, child: Option<Arc<UserFaults>>) -> Arc<Self> {
        Arc::new(Self {
            message,
            address,
            done: AtomicBool::new(false),
            child,
        })
    }
}

#[derive(Default)]
struct Lists {
    /// Faults that were not read yet.
    pending: VecDeque<Arc<Notice>>,
    /// Faults that were.
    told: Vec<Arc<Notice>>,
    /// Events that were not read yet.
    events: VecDeque<Arc<Notice>>,
}

/// What the descriptor and the address space share.
struct Watch {
    number: u32,
    user_mode_only: bool,
    /// The flags with which the descriptor was made: those of children's are the same.
    flags: OpenFlags,
    features: AtomicU64,
    lists: Mutex<Lists>,
    /// Files for children that are being made, by the numbers of their watchers.
    unborn: Mutex<Vec<Arc<UserFaults>>>,
    /// The descriptor is closed.
    released: AtomicBool,
    /// Events that are being told: the map changes.
    changing: AtomicUsize,
    /// Who reads.
    readers: WaitQueue,
    /// Who waits to go on.
    waiters: WaitQueue,
}

impl Watch {
    fn new(user_mode_only: bool, flags: OpenFlags, features: u64) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            user_mode_only,
            flags,
            features: AtomicU64::new(features),
            lists: Mutex::new(Lists::default()),
            unborn: Mutex::new(Vec::new()),
            released: AtomicBool::new(false),
            changing: AtomicUsize::new(0),
            readers: WaitQueue::new(),
            waiters: WaitQueue::new(),
        }
    }

    fn features(&self) -> Features {
        Features::from_bits_retain(self.features.load(Ordering::Acquire))
    }

    fn has(&self, feature: Features) -> bool {
        self.features().contains(feature)
    }

    /// Lets all go on whose faults lie in a range.
    fn wake(&self, range: &Range<u64>) {
        let mut woken = false;
        {
            let mut lists = self.lists.lock();
            let mut stays = |notice: &Arc<Notice>| {
                let inside = range.contains(&notice.address);
                if inside {
                    notice.done.store(true, Ordering::Release);
                    woken = true;
                }
                !inside
            };
            lists.pending.retain(&mut stays);
            lists.told.retain(&mut stays);
        }
        if woken {
            self.waiters.wake_all();
        }
    }

    /// Waits until a notice that is in the lists is done, and takes it out. False if the wait was interrupted.
    fn await_notice(&self, notice: &Arc<Notice>, waiting: Waiting) -> bool {
        let done = || (notice.done.load(Ordering::Acquire) || self.released.load(Ordering::Acquire)).then_some(());
        let result = match waiting {
            Waiting::Interruptible => self.waiters.wait_for_program(done),
            Waiting::Never | Waiting::Killable => self.waiters.wait_killable(done),
        };
        self.withdraw(notice);
        // Who is about to read it puts it back no more.
        notice.done.store(true, Ordering::Release);
        result.is_ok()
    }

    /// Puts an event on the list and waits until it was read.
    fn tell_notice(&self, notice: &Arc<Notice>) {
        let room = {
            let mut lists = self.lists.lock();
            let room = lists.events.try_reserve(1).is_ok();
            if room {
                lists.events.push_back(notice.clone());
            }
            room
        };
        if room {
            self.readers.wake(PollEvents::IN | PollEvents::READ_NORMAL);
            self.await_notice(notice, Waiting::Killable);
        } else {
            crate::warning!("an event of userfaultfd was lost: no memory");
        }
    }

    fn withdraw(&self, notice: &Arc<Notice>) {
        let mut lists = self.lists.lock();
        let other = |one: &Arc<Notice>| !Arc::ptr_eq(one, notice);
        lists.pending.retain(other);
        lists.told.retain(other);
        lists.events.retain(other);
    }

    /// The next message, faults before events. One with a child is done only when that has a descriptor.
    fn next(&self) -> Option<Arc<Notice>> {
        let mut lists = self.lists.lock();
        if let Some(fault) = lists.pending.front().cloned() {
            // Without room for it, it stays the next.
            if lists.told.try_reserve(1).is_err() {
                return None;
            }
            lists.pending.pop_front();
            lists.told.push(fault.clone());
            return Some(fault);
        }
        let event = lists.events.pop_front()?;
        drop(lists);
        if event.child.is_none() {
            self.finish(&event);
        }
        Some(event)
    }

    /// Lets whoever told an event go on.
    fn finish(&self, event: &Notice) {
        event.done.store(true, Ordering::Release);
        self.waiters.wake_all();
    }

    /// Makes the message of what was taken from the lists: a child gets its descriptor.
    ///
    /// # Errors
    /// `EMFILE`, `ENOMEM`: the event is the next one again.
    fn message_of(&self, notice: &Arc<Notice>) -> Result<Message, Errno> {
        let Some(child) = &notice.child else {
            return Ok(notice.message);
        };
        let flags = child.watch.flags;
        let open = open_file(child.clone());
        match super::context::current().add(open, flags.contains(OpenFlags::CLOSE_ON_EXEC), 0) {
            Ok(descriptor) => {
                self.finish(notice);
                Ok([notice.message[0], descriptor as u64, 0, 0])
            }
            Err(errno) => {
                let mut lists = self.lists.lock();
                if !notice.done.load(Ordering::Acquire) && lists.events.try_reserve(1).is_ok() {
                    lists.events.push_front(notice.clone());
                }
                Err(errno)
            }
        }
    }

    fn has_message(&self) -> bool {
        let lists = self.lists.lock();
        !lists.pending.is_empty() || !lists.events.is_empty()
    }
}

impl FaultWatcher for Watch {
    fn number(&self) -> u32 {
        self.number
    }

    fn lets_writes_pass(&self) -> bool {
        self.has(Features::WP_ASYNC)
    }

    fn protects_absent(&self) -> bool {
        self.features()
            .intersects(Features::WP_UNPOPULATED | Features::WP_ASYNC)
    }

    fn follows_moves(&self) -> bool {
        self.has(Features::EVENT_REMAP)
    }

    fn wait(&self, fault: &WatchedFault, waiting: Waiting, unhandled: &dyn Fn() -> bool) -> Waited {
        if self.has(Features::SIGBUS) || self.user_mode_only && waiting != Waiting::Interruptible {
            return Waited::Refused;
        }
        let thread = task::current();
        let page = fault.address & !(PAGE - 1);
        let exact = self.has(Features::EXACT_ADDRESS);
        let named = self.has(Features::THREAD_ID);
        let reason = match fault.reason {
            FaultReason::Missing => 0,
            FaultReason::Protected => 2,
            FaultReason::Minor => 4,
        };
        let message = [
            0x12, // UFFD_EVENT_PAGEFAULT
            u64::from(fault.write) | reason,
            if exact { fault.address } else { page },
            if named { u64::from(thread.id()) } else { 0 },
        ];
        let notice = Notice::new(message, page, None);
        {
            let mut lists = self.lists.lock();
            if lists.pending.try_reserve(1).is_err() {
                drop(lists);
                task::yield_now();
                return Waited::Woken;
            }
            lists.pending.push_back(notice.clone());
        }
        // From here on nobody can handle the fault without finding who waits for it.
        if !unhandled() {
            self.withdraw(&notice);
            return Waited::Woken;
        }
        self.readers.wake(PollEvents::IN | PollEvents::READ_NORMAL);
        if self.await_notice(&notice, waiting) {
            Waited::Woken
        } else {
            Waited::Interrupted
        }
    }

    fn tell(&self, event: RangeEvent) {
        let (feature, message, address) = match event {
            RangeEvent::Moved { from, to, length } => (Features::EVENT_REMAP, [0x14, from, to, length], from),
            RangeEvent::Removed(start, end) => (Features::EVENT_REMOVE, [0x15, start, end, 0], start),
            RangeEvent::Unmapped(start, end) => (Features::EVENT_UNMAP, [0x16, start, end, 0], start),
        };
        if !self.has(feature) || self.released.load(Ordering::Acquire) {
            return;
        }
        self.changing.fetch_add(1, Ordering::SeqCst);
        self.tell_notice(&Notice::new(message, address, None));
        self.changing.fetch_sub(1, Ordering::SeqCst);
    }

    fn descendant(&self, copy: &Arc<AddressSpace>) -> Option<Arc<dyn FaultWatcher>> {
        if !self.has(Features::EVENT_FORK) || self.released.load(Ordering::Acquire) {
            return None;
        }
        let features = self.features.load(Ordering::Acquire);
        let watch = Arc::new(Watch::new(self.user_mode_only, self.flags, features));
        let file = UserFaults {
            watch: watch.clone(),
            space: Arc::downgrade(copy),
        };
        let mut unborn = self.unborn.lock();
        unborn.try_reserve(1).ok()?;
        unborn.push(Arc::new(file));
        self.changing.fetch_add(1, Ordering::SeqCst);
        Some(watch)
    }

    fn forked(&self, descendant: u32, succeeded: bool) {
        let child = {
            let mut unborn = self.unborn.lock();
            let index = unborn.iter().position(|child| child.watch.number == descendant);
            index.map(|index| unborn.swap_remove(index))
        };
        // If nobody reads of it, or there is no child, the file goes here, and with it all that is watched.
        if let Some(child) = child
            && succeeded
            && !self.released.load(Ordering::Acquire)
        {
            const EVENT_FORK: u64 = 0x13;
            self.tell_notice(&Notice::new([EVENT_FORK, 0, 0, 0], 0, Some(child)));
        }
        self.changing.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The file.
struct UserFaults {
    watch: Arc<Watch>,
    space: Weak<AddressSpace>,
}

impl Drop for UserFaults {
    fn drop(&mut self) {
        self.watch.released.store(true, Ordering::SeqCst);
        if let Some(space) = self.space.upgrade() {
            space.forget_watcher(self.watch.number);
        }
        self.watch.waiters.wake_all();
    }
}

/// A range as all of these calls check it.
fn range(start: u64, length: u64) -> Result<Range<u64>, Errno> {
    let end = start.checked_add(length).ok_or(Errno::EINVAL)?;
    let aligned = start.is_multiple_of(PAGE) && length.is_multiple_of(PAGE);
    if aligned && length != 0 && start >= PROGRAM_START && end <= PROGRAM_END {
        Ok(start..end)
    } else {
        Err(Errno::EINVAL)
    }
}

impl UserFaults {
    /// `UFFDIO_API`: the program chooses its features, once.
    fn choose(&self, argument: UserPointer) -> Result<usize, Errno> {
        let [api, wanted, _]: [u64; 3] = read_object(argument)?;
        let mut features = Features::from_bits_retain(wanted);
        let chosen = if api != API {
            Err(Errno::EINVAL)
        } else if features.contains(Features::EVENT_FORK) && !task::has_capability(Capabilities::TRACE) {
            Err(Errno::EPERM)
        } else if !SUPPORTED.contains(features) {
            Err(Errno::EINVAL)
        } else {
            if features.contains(Features::WP_ASYNC) {
                features |= Features::WP_UNPOPULATED;
            }
            write_object(argument, &[API, SUPPORTED.bits(), API_CONTROLS])?;
            let new = (features | Features::INITIALISED).bits();
            let set = self
                .watch
                .features
                .compare_exchange(0, new, Ordering::AcqRel, Ordering::Acquire);
            set.map_err(|_| Errno::EINVAL)
        };
        if chosen.is_err() {
            write_object(argument, &[0u64; 3])?;
        }
        chosen.map(|_| 0)
    }

    fn register(&self, space: &AddressSpace, argument: UserPointer) -> Result<usize, Errno> {
        let [start, length, mode]: [u64; 3] = read_object(argument)?;
        let mut what = AreaFlags::empty();
        for (bit, flag) in [
            (1, AreaFlags::WATCH_MISSING),
            (2, AreaFlags::WATCH_WRITES),
            (4, AreaFlags::WATCH_MINOR),
        ] {
            what.set(flag, mode & bit != 0);
        }
        if mode == 0 || mode & !7 != 0 {
            return Err(Errno::EINVAL);
        }
        let range = range(start, length)?;
        let watcher: Arc<dyn FaultWatcher> = self.watch.clone();
        space.watch(range, &watcher, what)?;
        let mut controls = RANGE_CONTROLS;
        if !what.contains(AreaFlags::WATCH_WRITES) {
            controls &= !CONTROL_WRITE_PROTECT;
        }
        if !what.contains(AreaFlags::WATCH_MINOR) {
            controls &= !CONTROL_CONTINUE;
        }
        write_object(argument.offset(24), &controls)?;
        Ok(0)
    }

    fn unregister(&self, space: &AddressSpace, argument: UserPointer) -> Result<usize, Errno> {
        let [start, length]: [u64; 2] = read_object(argument)?;
        let range = range(start, length)?;
        space.unwatch(range.clone(), &*self.watch)?;
        self.watch.wake(&range);
        Ok(0)
    }

    fn write_protect(&self, space: &AddressSpace, argument: UserPointer) -> Result<usize, Errno> {
        self.check_settled()?;
        let [start, length, mode]: [u64; 3] = read_object(argument)?;
        let range = range(start, length)?;
        // UFFDIO_WRITEPROTECT_MODE_WP is 1 and UFFDIO_WRITEPROTECT_MODE_DONTWAKE is 2: both together make no sense.
        if mode >= 3 {
            return Err(Errno::EINVAL);
        }
        space.protect_watched(range.clone(), mode == 1, task::go_on)?;
        if mode == 0 {
            self.watch.wake(&range);
        }
        Ok(0)
    }

    /// Refuses (`EAGAIN`) to change pages while an event tells that the map changes.
    fn check_settled(&self) -> Result<(), Errno> {
        if self.watch.changing.load(Ordering::SeqCst) == 0 {
            Ok(())
        } else {
            Err(Errno::EAGAIN)
        }
    }

    /// Fills a range page by page, by `step` (address, offset), tells how far that came in the word at `answer`, and wakes.
    /// The end of the thread ends it (`EINTR`).
    fn fill(
        &self,
        range: &Range<u64>,
        answer: UserPointer,
        wakes: bool,
        step: &mut dyn FnMut(u64, u64) -> Result<(), Errno>,
    ) -> Result<usize, Errno> {
        let mut done = 0;
        let mut failure = None;
        while done < range.end - range.start {
            if let Err(errno) = step(range.start + done, done) {
                failure = Some(errno);
                break;
            }
            done += PAGE;
            if done.is_multiple_of(FILLED_AT_ONCE) && !task::go_on() {
                failure = Some(Errno::EINTR);
                break;
            }
        }
        let told = match failure {
            Some(errno) if done == 0 => -(errno.number() as i64),
            _ => done as i64,
        };
        write_object(answer, &told)?;
        if done != 0 && wakes {
            self.watch.wake(&(range.start..range.start + done));
        }
        match failure {
            None => Ok(0),
            Some(errno) if done == 0 => Err(errno),
            Some(_) => Err(Errno::EAGAIN),
        }
    }

    fn copy(&self, space: &AddressSpace, argument: UserPointer) -> Result<usize, Errno> {
        self.check_settled()?;
        let [to, from, length, mode]: [u64; 4] = read_object(argument)?;
        from.checked_add(length)
            .filter(|end| *end <= PROGRAM_END)
            .ok_or(Errno::EINVAL)?;
        let range = range(to, length)?;
        if mode & !(DONT_WAKE | PROTECT) != 0 {
            return Err(Errno::EINVAL);
        }
        let protected = mode & PROTECT != 0;
        self.fill(
            &range,
            argument.offset(32),
            mode & DONT_WAKE == 0,
            &mut |page, offset| {
                let frame = Frame::zeroed(Purpose::User).ok_or(Errno::ENOMEM)?;
                if frame.write_from_user(0, from + offset, PAGE_SIZE) != 0 {
                    return Err(Errno::EFAULT);
                }
                space.fill(&range, page, Fill::Frame { frame, protected })
            },
        )
    }

    /// What fills a range by its address alone: zeroes, the object's content, poison.
    fn simple_fill(&self, space: &AddressSpace, argument: UserPointer, request: u32) -> Result<usize, Errno> {
        self.check_settled()?;
        let [start, length, mode]: [u64; 3] = read_object(argument)?;
        let range = range(start, length)?;
        let known = if request == UFFDIO_CONTINUE {
            DONT_WAKE | PROTECT
        } else {
            DONT_WAKE
        };
        if mode & !known != 0 {
            return Err(Errno::EINVAL);
        }
        self.fill(&range, argument.offset(24), mode & DONT_WAKE == 0, &mut |page, _| {
            let fill = match request {
                UFFDIO_ZEROPAGE => Fill::Zeroes,
                UFFDIO_CONTINUE => Fill::Content {
                    protected: mode & PROTECT != 0,
                },
                _ => Fill::Poison,
            };
            space.fill(&range, page, fill)
        })
    }

    fn move_pages(&self, space: &AddressSpace, argument: UserPointer) -> Result<usize, Errno> {
        self.check_settled()?;
        let [to, from, length, mode]: [u64; 4] = read_object(argument)?;
        let target = range(to, length)?;
        let source = range(from, length)?;
        if mode & !(DONT_WAKE | ALLOW_HOLES) != 0 {
            return Err(Errno::EINVAL);
        }
        let may_be_absent = mode & ALLOW_HOLES != 0;
        self.fill(
            &target,
            argument.offset(32),
            mode & DONT_WAKE == 0,
            &mut |page, offset| {
                let fill = Fill::Moved {
                    from: from + offset,
                    may_be_absent,
                    source: &source,
                };
                space.fill(&target, page, fill)
            },
        )
    }
}

impl File for UserFaults {
    fn ignores_seeking(&self) -> bool {
        true
    }

    fn can_be_written(&self) -> bool {
        false
    }

    fn read(&self, _position: u64, to: &mut Destination<'_>, flags: OpenFlags) -> Result<usize, Errno> {
        if !self.watch.has(Features::INITIALISED) {
            return Err(Errno::EINVAL);
        }
        let mut done = 0;
        loop {
            if to.remaining() < MESSAGE_SIZE {
                return if done == 0 { Err(Errno::EINVAL) } else { Ok(done) };
            }
            let notice = match self.watch.next() {
                Some(notice) => notice,
                None if done != 0 => return Ok(done),
                None if flags.contains(OpenFlags::NONBLOCKING) => return Err(Errno::EAGAIN),
                None => self.watch.readers.wait(|| self.watch.next())?,
            };
            let message = match self.watch.message_of(&notice) {
                Ok(message) => message,
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => return Ok(done),
            };
            match to.put(message.as_bytes()) {
                Ok(MESSAGE_SIZE) => done += MESSAGE_SIZE,
                _ if done != 0 => return Ok(done),
                _ => return Err(Errno::EFAULT),
            }
        }
    }

    fn control(&self, request: u32, argument: UserPointer) -> Result<usize, Errno> {
        if request == UFFDIO_API {
            return self.choose(argument);
        }
        if !self.watch.has(Features::INITIALISED) {
            return Err(Errno::EINVAL);
        }
        let space = self.space.upgrade().ok_or(Errno::ESRCH)?;
        match request {
            UFFDIO_REGISTER => self.register(&space, argument),
            UFFDIO_UNREGISTER => self.unregister(&space, argument),
            UFFDIO_WAKE => {
                let [start, length]: [u64; 2] = read_object(argument)?;
                self.watch.wake(&range(start, length)?);
                Ok(0)
            }
            UFFDIO_COPY => self.copy(&space, argument),
            UFFDIO_ZEROPAGE | UFFDIO_CONTINUE | UFFDIO_POISON => self.simple_fill(&space, argument, request),
            UFFDIO_MOVE => self.move_pages(&space, argument),
            UFFDIO_WRITEPROTECT => self.write_protect(&space, argument),
            _ => Err(Errno::EINVAL),
        }
    }

    fn readiness(&self) -> PollEvents {
        if !self.watch.has(Features::INITIALISED) {
            return PollEvents::ERROR;
        }
        if self.watch.has_message() {
            PollEvents::IN
        } else {
            PollEvents::empty()
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.watch.readers)
    }

    fn describe(&self, text: &mut Text) -> Result<(), Errno> {
        let (pending, all) = {
            let lists = self.watch.lists.lock();
            (lists.pending.len(), lists.pending.len() + lists.told.len())
        };
        let features = self.watch.features.load(Ordering::Relaxed);
        let controls = API_CONTROLS | RANGE_CONTROLS;
        writeln!(
            text,
            "pending:\t{pending}\ntotal:\t{all}\nAPI:\t{API:x}:{features:x}:{controls:x}"
        )
    }
}

fn open_file(file: Arc<UserFaults>) -> Arc<OpenFile> {
    let flags = file.watch.flags & OpenFlags::NONBLOCKING;
    super::anonymous::open("anon_inode:[userfaultfd]", file, flags)
}

/// `userfaultfd(2)` and its device's `USERFAULTFD_IOC_NEW`, after the question whether it is allowed.
///
/// # Errors
/// `EINVAL` for unknown flags, `EMFILE`.
pub fn open(flags: u32) -> Result<usize, Errno> {
    let known = USER_MODE_ONLY | OpenFlags::CLOSE_ON_EXEC.bits() | OpenFlags::NONBLOCKING.bits();
    if flags & !known != 0 {
        return Err(Errno::EINVAL);
    }
    let open = OpenFlags::from_bits_truncate(flags & !USER_MODE_ONLY);
    let file = UserFaults {
        watch: Arc::new(Watch::new(flags & USER_MODE_ONLY != 0, open, 0)),
        space: Arc::downgrade(&task::current_process().address_space()),
    };
    let descriptor =
        super::context::current().add(open_file(Arc::new(file)), open.contains(OpenFlags::CLOSE_ON_EXEC), 0)?;
    Ok(descriptor as usize)
}
