//! Event polls: `epoll(7)`.
//!
//! An [`EventPoll`] holds an [`Interest`] for every file that it watches. The interest is registered at the file's wait
//! queue; when it is told of an event, it puts itself on the poll's ready list and wakes one thread that waits for the
//! poll. Whoever collects events takes interests off the list, asks each file what is really the case, and puts those
//! back that are to be reported again (unless [`InterestFlags::EDGE`] is set). So an idle file costs nothing, however
//! many there are.
//!
//! Locks, in the order in which they may be taken: `collecting` of an event poll, then that of one it watches (they
//! form no cycle, see [`check_nesting`]), and whatever [`File::readiness`] takes; then the ready list, which wake-ups
//! take under the lock of a wait queue, in interrupt handlers too. `interests` is never held while a file is asked.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use pith_linux::Errno;
use pith_linux::events::{EventControl, EventRecord, InterestFlags};
use pith_linux::files::{OpenFlags, PollEvents};
use pith_waiting::{End, Listed, Membership, ReadyList};
use spin::{Mutex, Once};
use zerocopy::IntoBytes;

use super::file::{File, OpenFile};
use super::turn::Turn;
use crate::memory::{UserPointer, copy_to_user};
use crate::sync::InterruptMutex;
use crate::task::{Instant, WaitError, WaitQueue, Wakeable};

/// Event polls may watch event polls, up to this many levels (`EP_MAX_NESTS`).
const MAXIMUM_NESTING: usize = 4;
/// Most ways from a file up to event polls that nobody watches, by how many event polls lie between (`path_limits`): an event
/// is told along each of them.
const MOST_WAYS: [usize; MAXIMUM_NESTING + 1] = [usize::MAX, 500, 100, 50, 10];
/// Events that are collected at a time.
const BATCH: usize = 32;
/// Where no more are to be expected, a small batch does, which is prepared sooner.
const SMALL_BATCH: usize = 4;
/// All that can happen to a file; an interest in none of it is switched off.
const EVENTS: u32 = 0xffff;
/// Reported whether asked for or not.
const ALWAYS: PollEvents = PollEvents::ERROR.union(PollEvents::HANG_UP);
/// What an exclusive interest may ask for.
const EXCLUSIVE_EVENTS: PollEvents = PollEvents::IN.union(PollEvents::OUT).union(ALWAYS);
const READABLE: PollEvents = PollEvents::IN.union(PollEvents::READ_NORMAL);

/// A descriptor and the open file behind it: what an interest is known by.
type Key = (i32, usize);

/// What wake-ups touch.
struct Core {
    ready: ReadyList<Interest, InterruptMutex<VecDeque<Arc<Interest>>>>,
    /// Threads that wait for events.
    threads: WaitQueue,
    /// Who watches the event poll itself.
    watchers: WaitQueue,
}

/// A file that an event poll watches. Dropping the last reference may happen in an interrupt handler and frees memory
/// only.
pub struct Interest {
    itself: Weak<Interest>,
    core: Arc<Core>,
    poll: Weak<EventPoll>,
    file: Weak<OpenFile>,
    key: Key,
    /// Events and [`InterestFlags`].
    mask: AtomicU32,
    data: AtomicU64,
    membership: Membership,
}

impl Listed for Interest {
    fn membership(&self) -> &Membership {
        &self.membership
    }
}

impl Interest {
    fn wanted(&self) -> PollEvents {
        PollEvents::from_bits_retain(self.mask.load(Ordering::Acquire) as u16)
    }

    fn flags(&self) -> InterestFlags {
        InterestFlags::from_bits_truncate(self.mask.load(Ordering::Acquire))
    }

    /// Puts it on the ready list, where there is room for all interests: it was made when they were added.
    fn enqueue(&self, end: End) {
        if let Some(itself) = self.itself.upgrade() {
            self.core.ready.enqueue(itself, end);
        }
    }

    /// Puts it on the ready list and tells those who wait for that. True if a thread waited.
    fn report(&self) -> bool {
        let Some(itself) = self.itself.upgrade() else {
            return false;
        };
        let waited = self.core.ready.report(itself, || self.core.threads.wake(READABLE));
        self.core.watchers.wake(READABLE);
        waited
    }
}

impl Wakeable for Interest {
    fn wake(&self, events: PollEvents) -> bool {
        let mask = self.mask.load(Ordering::Acquire);
        if mask & EVENTS == 0 || self.membership.is_removed() {
            return false;
        }
        if !events.is_empty() && u32::from(events.bits()) & mask == 0 {
            return false;
        }
        let waited = self.report();
        if !self.flags().contains(InterestFlags::EXCLUSIVE) {
            return true;
        }
        // Another event poll gets the chance if nobody is waiting at this one, or if it asks for the other direction.
        let directions = events & (PollEvents::IN | PollEvents::OUT);
        let meant = match (directions == PollEvents::IN, directions == PollEvents::OUT) {
            (true, _) => self.wanted().contains(PollEvents::IN),
            (_, true) => self.wanted().contains(PollEvents::OUT),
            _ => directions.is_empty(),
        };
        waited && meant
    }
}

/// The interests in an open file, which end with it.
#[derive(Default)]
pub struct Watchers {
    list: Mutex<Vec<Weak<Interest>>>,
}

impl Watchers {
    fn add(&self, interest: &Arc<Interest>) -> Result<(), Errno> {
        let mut list = self.list.lock();
        list.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        list.push(Arc::downgrade(interest));
        Ok(())
    }

    fn remove(&self, interest: &Arc<Interest>) {
        let mut list = self.list.lock();
        if let Some(index) = list.iter().position(|weak| weak.as_ptr() == Arc::as_ptr(interest)) {
            list.swap_remove(index);
        }
    }

    /// The last descriptor of the file was closed.
    pub fn end(&mut self, file: &dyn File) {
        for weak in core::mem::take(self.list.get_mut()) {
            let Some(interest) = weak.upgrade() else { continue };
            unregister(file, &interest);
            if let Some(poll) = interest.poll.upgrade() {
                let removed = poll.interests.lock().remove(&interest.key);
                drop(removed);
            }
            interest.take_out();
        }
    }

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.list.lock().is_empty()
    }

    /// The event polls that watch the file.
    fn polls(&self) -> Vec<Arc<EventPoll>> {
        let list = self.list.lock();
        list.iter()
            .filter_map(Weak::upgrade)
            .filter_map(|interest| interest.poll.upgrade())
            .collect()
    }
}

fn unregister(file: &dyn File, interest: &Arc<Interest>) {
    if let Some(queue) = file.wait_queue() {
        let who: Arc<dyn Wakeable> = interest.clone();
        queue.unregister(&who);
    }
}

impl Interest {
    /// Sees to it that it is never reported again.
    fn take_out(&self) {
        self.core.ready.take_out(self);
    }
}

/// An event poll.
pub struct EventPoll {
    itself: Weak<EventPoll>,
    /// Its own open file, known once it has one.
    open: Once<Weak<OpenFile>>,
    core: Arc<Core>,
    interests: Mutex<BTreeMap<Key, Arc<Interest>>>,
    /// Held while one thread collects events.
    collecting: Mutex<()>,
}

/// Held while an event poll is put into another, so that the shape of all of them stands still. Files that are closed meanwhile
/// may go then, which may sleep.
static NESTING: Turn = Turn::new();

fn of_file(file: &Arc<dyn File>) -> Option<&EventPoll> {
    let any: &dyn Any = &**file;
    any.downcast_ref()
}

/// The event poll behind an open file.
fn of(open: &OpenFile) -> Option<&EventPoll> {
    open.file().ok().and_then(of_file)
}

/// Where the open file is that an event poll watches under a descriptor (`kcmp(2)`): of several, those after `skipped` others.
///
/// # Errors
/// `EINVAL` if it is no event poll, `ENOENT` if it watches nothing of that kind.
pub fn watched(open: &OpenFile, descriptor: i32, skipped: usize) -> Result<usize, Errno> {
    let interests = of(open).ok_or(Errno::EINVAL)?.interests.lock();
    let mut keys = interests.keys().filter(|key| key.0 == descriptor);
    keys.nth(skipped).map(|key| key.1).ok_or(Errno::ENOENT)
}

/// How many levels of event polls lie below one, itself not counted. `None` if `above` is among them, or if there are
/// too many.
fn levels_below(poll: &EventPoll, above: &EventPoll, level: usize) -> Option<usize> {
    let files = poll.files();
    let mut deepest = 0;
    for inner in files.iter().filter_map(|file| of(file)) {
        if core::ptr::eq(inner, above) || level > MAXIMUM_NESTING {
            return None;
        }
        deepest = deepest.max(levels_below(inner, above, level + 1)? + 1);
        if deepest > MAXIMUM_NESTING {
            return None;
        }
    }
    Some(deepest)
}

/// How many levels of event polls lie above one.
fn levels_above(poll: &EventPoll, level: usize) -> usize {
    let Some(open) = poll.open.get().and_then(Weak::upgrade) else {
        return 0;
    };
    if level > MAXIMUM_NESTING {
        return 0;
    }
    open.watchers
        .polls()
        .iter()
        .map(|outer| levels_above(outer, level + 1) + 1)
        .max()
        .unwrap_or(0)
}

/// Whether one event poll may watch another.
fn check_nesting(outer: &EventPoll, inner: &EventPoll) -> Result<(), Errno> {
    let below = levels_below(inner, outer, 0).ok_or(Errno::ELOOP)?;
    if below + 1 + levels_above(outer, 0) > MAXIMUM_NESTING {
        return Err(Errno::ELOOP);
    }
    Ok(())
}

/// Counts the ways from a file up.
fn count_ways(watchers: &Watchers, level: usize, counts: &mut [usize; MOST_WAYS.len()]) -> Result<(), Errno> {
    let most = *MOST_WAYS.get(level).ok_or(Errno::EINVAL)?;
    for outer in watchers.polls() {
        match outer.open.get().and_then(Weak::upgrade) {
            Some(open) if !open.watchers.is_empty() => count_ways(&open.watchers, level + 1, counts)?,
            _ => counts[level] += 1,
        }
        if counts[level] > most {
            return Err(Errno::EINVAL);
        }
    }
    Ok(())
}

/// Whether not too many ways lead up from a file, or from all that is watched below if it is an event poll.
fn check_ways(open: &OpenFile) -> Result<(), Errno> {
    let Some(poll) = of(open) else {
        return count_ways(&open.watchers, 0, &mut [0; MOST_WAYS.len()]);
    };
    poll.files().iter().try_for_each(|file| check_ways(file))
}

/// What was collected: kept until the program has it.
struct Batch<const SIZE: usize> {
    records: [EventRecord; SIZE],
    interests: [Option<Arc<Interest>>; SIZE],
    /// What the interests asked for before they were reported.
    masks: [u32; SIZE],
    length: usize,
}

impl EventPoll {
    /// The files that it watches.
    fn files(&self) -> Vec<Arc<OpenFile>> {
        let interests = self.interests.lock();
        let files = interests.values().filter_map(|interest| interest.file.upgrade());
        files.collect()
    }

    fn add(&self, key: Key, open: &Arc<OpenFile>, record: EventRecord) -> Result<(), Errno> {
        let queue = open.file()?.wait_queue().ok_or(Errno::EPERM)?;
        let mask = record.events | u32::from(ALWAYS.bits());
        let interest = Arc::new_cyclic(|itself| Interest {
            itself: itself.clone(),
            core: self.core.clone(),
            poll: self.itself.clone(),
            file: Arc::downgrade(open),
            key,
            mask: AtomicU32::new(mask),
            data: AtomicU64::new(record.data),
            membership: Membership::new(),
        });
        {
            let mut interests = self.interests.lock();
            if interests.contains_key(&key) {
                return Err(Errno::EEXIST);
            }
            if !self.core.ready.reserve(interests.len() + 1) {
                return Err(Errno::ENOMEM);
            }
            interests.insert(key, interest.clone());
        }
        let who: Arc<dyn Wakeable> = interest.clone();
        let exclusive = interest.flags().contains(InterestFlags::EXCLUSIVE);
        let registered = open
            .watchers
            .add(&interest)
            .and_then(|()| queue.register(&who, exclusive));
        if let Err(errno) = registered {
            self.forget(key, open, &interest);
            return Err(errno);
        }
        if !(open.readiness() & interest.wanted()).is_empty() {
            interest.report();
        }
        Ok(())
    }

    fn forget(&self, key: Key, open: &OpenFile, interest: &Arc<Interest>) {
        let removed = self.interests.lock().remove(&key);
        drop(removed);
        open.watchers.remove(interest);
        if let Ok(file) = open.file() {
            unregister(&**file, interest);
        }
        interest.take_out();
    }

    fn modify(&self, interest: &Interest, open: &OpenFile, record: EventRecord) -> Result<(), Errno> {
        if interest.flags().contains(InterestFlags::EXCLUSIVE) {
            return Err(Errno::EINVAL);
        }
        {
            // Not while it is being reported, so that events and data belong together.
            let _collecting = self.collecting.lock();
            interest.data.store(record.data, Ordering::Relaxed);
            let mask = record.events | u32::from(ALWAYS.bits());
            interest.mask.store(mask, Ordering::SeqCst);
        }
        if !(open.readiness() & interest.wanted()).is_empty() {
            interest.report();
        }
        Ok(())
    }

    fn find(&self, key: Key) -> Result<Arc<Interest>, Errno> {
        self.interests.lock().get(&key).cloned().ok_or(Errno::ENOENT)
    }

    /// Asks up to `candidates` interests of the ready list, in their order, what is the case, until `most` have
    /// something to report.
    fn collect<const SIZE: usize>(&self, batch: &mut Batch<SIZE>, most: usize, candidates: &mut usize) {
        // A file that was closed meanwhile goes when nothing is locked any more.
        let mut asked: [Option<Arc<OpenFile>>; SIZE] = [const { None }; SIZE];
        let collecting = self.collecting.lock();
        for place in &mut asked {
            if *candidates == 0 || batch.length == most.min(SIZE) {
                break;
            }
            *candidates -= 1;
            let Some(interest) = self.core.ready.next() else { break };
            let Some(open) = interest.file.upgrade() else { continue };
            let open = place.insert(open);
            let found = open.readiness() & interest.wanted();
            if found.is_empty() {
                continue;
            }
            batch.records[batch.length] = EventRecord {
                events: found.bits().into(),
                data: interest.data.load(Ordering::Relaxed),
            };
            let flags = interest.flags();
            batch.masks[batch.length] = interest.mask.load(Ordering::Relaxed);
            if flags.contains(InterestFlags::ONE_SHOT) {
                interest.mask.fetch_and(!EVENTS, Ordering::SeqCst);
            } else if !flags.contains(InterestFlags::EDGE) {
                interest.enqueue(End::Last);
            }
            batch.interests[batch.length] = Some(interest);
            batch.length += 1;
        }
        drop(collecting);
    }

    /// Gives the program one batch of what there is, up to `most` events. Returns how many it got, and whether that were
    /// all of the batch.
    fn deliver_batch<const SIZE: usize>(
        &self,
        place: UserPointer,
        most: usize,
        candidates: &mut usize,
    ) -> (usize, Result<(), Errno>) {
        let mut batch = Batch {
            records: [EventRecord::default(); SIZE],
            interests: [const { None }; SIZE],
            masks: [0; SIZE],
            length: 0,
        };
        self.collect(&mut batch, most, candidates);
        // The records of a batch go out at once; only if that fails, one by one.
        let records = &batch.records[..batch.length];
        if copy_to_user(place, records.as_bytes()).is_ok() {
            return (batch.length, Ok(()));
        }
        let copies = records.iter().enumerate().map(|(index, record)| {
            copy_to_user(
                place.offset((index * size_of::<EventRecord>()) as u64),
                record.as_bytes(),
            )
        });
        let copied = copies.take_while(Result::is_ok).count();
        for index in copied..batch.length {
            if let Some(interest) = &batch.interests[index] {
                // The program will ask again.
                interest.mask.fetch_or(batch.masks[index] & EVENTS, Ordering::SeqCst);
                interest.enqueue(End::Last);
            }
        }
        (copied, Err(Errno::EFAULT))
    }

    /// Gives the program what there is, up to `most` events.
    fn deliver(&self, events: UserPointer, most: usize) -> Result<usize, Errno> {
        let mut done = 0;
        let mut candidates = self.core.ready.len();
        let mut result = Ok(());
        while candidates != 0 && done < most && result.is_ok() {
            let place = events.offset((done * size_of::<EventRecord>()) as u64);
            let expected = candidates.min(most - done);
            let copied;
            (copied, result) = match expected {
                ..=SMALL_BATCH => self.deliver_batch::<SMALL_BATCH>(place, expected, &mut candidates),
                _ => self.deliver_batch::<BATCH>(place, most - done, &mut candidates),
            };
            done += copied;
        }
        self.pass_on();
        if done == 0 {
            result?;
        }
        Ok(done)
    }

    /// Whether there are interests on the ready list. Who collects takes them off for a moment.
    fn has_ready(&self) -> bool {
        let _collecting = self.collecting.lock();
        !self.core.ready.is_empty()
    }

    /// Tells one more thread that waits for what is on the ready list now, perhaps again.
    fn pass_on(&self) {
        if self.core.ready.has_waiters() && !self.core.ready.is_empty() {
            self.core.threads.wake(READABLE);
        }
    }

    /// Waits for events, and gives the program up to `most`. 0 when the deadline has passed, or if `only_look` is set and
    /// there are none.
    ///
    /// # Errors
    /// `EINTR`, `EFAULT`.
    pub fn wait(
        &self,
        events: UserPointer,
        most: usize,
        deadline: Option<Instant>,
        only_look: bool,
    ) -> Result<usize, Errno> {
        loop {
            if !self.core.ready.is_empty() {
                let done = self.deliver(events, most)?;
                if done != 0 {
                    return Ok(done);
                }
            }
            if only_look {
                match self.has_ready() {
                    true => continue,
                    false => return Ok(0),
                }
            }
            self.core.ready.begin_wait();
            let ready = self
                .core
                .threads
                .wait_exclusive(deadline, || (!self.core.ready.is_empty()).then_some(()));
            self.core.ready.end_wait();
            match ready {
                Ok(()) => {}
                Err(WaitError::TimedOut) => return Ok(0),
                Err(WaitError::Interrupted) => return Err(Errno::EINTR),
            }
        }
    }
}

impl Drop for EventPoll {
    fn drop(&mut self) {
        for (_, interest) in core::mem::take(self.interests.get_mut()) {
            // If the file is just going, it takes the interest out itself.
            if let Some(open) = interest.file.upgrade() {
                open.watchers.remove(&interest);
                if let Ok(file) = open.file() {
                    unregister(&**file, &interest);
                }
            }
            interest.take_out();
        }
    }
}

impl File for EventPoll {
    fn can_be_read(&self) -> bool {
        false
    }

    fn can_be_written(&self) -> bool {
        false
    }

    fn control(&self, _request: u32, _argument: UserPointer) -> Result<usize, Errno> {
        Err(Errno::EINVAL)
    }

    fn ignores_seeking(&self) -> bool {
        true
    }

    fn readiness(&self) -> PollEvents {
        let mut candidates = self.core.ready.len();
        let mut asked = Vec::new();
        let mut events = PollEvents::empty();
        let collecting = self.collecting.lock();
        while candidates != 0 {
            candidates -= 1;
            let Some(interest) = self.core.ready.next() else { break };
            let Some(open) = interest.file.upgrade() else { continue };
            let found = !(open.readiness() & interest.wanted()).is_empty();
            asked.push(open);
            if found {
                interest.enqueue(End::First);
                events = READABLE;
                break;
            }
        }
        drop(collecting);
        // One that began to wait meanwhile has found the list empty.
        self.pass_on();
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.core.watchers)
    }
}

/// A new event poll.
pub fn create() -> Arc<OpenFile> {
    let poll = Arc::new_cyclic(|itself| EventPoll {
        itself: itself.clone(),
        open: Once::new(),
        core: Arc::new(Core {
            ready: ReadyList::new(InterruptMutex::new(VecDeque::new())),
            threads: WaitQueue::new(),
            watchers: WaitQueue::new(),
        }),
        interests: Mutex::new(BTreeMap::new()),
        collecting: Mutex::new(()),
    });
    let open = super::anonymous::open("anon_inode:[eventpoll]", poll.clone(), OpenFlags::READ_WRITE);
    poll.open.call_once(|| Arc::downgrade(&open));
    open
}

/// Adds, changes or removes an interest (`epoll_ctl(2)`). `operation` is `None` for a number that means nothing.
///
/// # Errors
/// `EPERM` for a file that is always ready, `EINVAL`, `EEXIST`, `ENOENT`, `ELOOP`, `ENOMEM`.
pub fn control(
    poll: &OpenFile,
    operation: Option<EventControl>,
    descriptor: i32,
    target: &Arc<OpenFile>,
    record: EventRecord,
) -> Result<(), Errno> {
    target.file()?.wait_queue().ok_or(Errno::EPERM)?;
    let inner = of(target);
    let outer = of(poll)
        .filter(|_| !core::ptr::eq(poll, &**target))
        .ok_or(Errno::EINVAL)?;
    let mut record = record;
    // The machine never sleeps: Linux forgets it as well where the program may not keep the machine awake.
    record.events &= !InterestFlags::WAKE_UP.bits();
    if record.flags().contains(InterestFlags::EXCLUSIVE) {
        match operation {
            Some(EventControl::Modify) => return Err(Errno::EINVAL),
            Some(EventControl::Add) => {
                let allowed =
                    u32::from(EXCLUSIVE_EVENTS.bits()) | InterestFlags::EXCLUSIVE.bits() | InterestFlags::EDGE.bits();
                if inner.is_some() || record.events & !allowed != 0 {
                    return Err(Errno::EINVAL);
                }
            }
            _ => {}
        }
    }
    let key = (descriptor, Arc::as_ptr(target).addr());
    match operation {
        Some(EventControl::Add) => {
            // Event polls that are not nested need no common turn.
            let nested = inner.is_some() || !poll.watchers.is_empty();
            let _nesting = nested.then(|| NESTING.take());
            if let Some(inner) = inner {
                check_nesting(outer, inner)?;
            }
            outer.add(key, target, record)?;
            if nested && let Err(errno) = check_ways(target) {
                outer.forget(key, target, &outer.find(key)?);
                return Err(errno);
            }
            Ok(())
        }
        Some(EventControl::Delete) => {
            let interest = outer.find(key)?;
            outer.forget(key, target, &interest);
            Ok(())
        }
        Some(EventControl::Modify) => outer.modify(&*outer.find(key)?, target, record),
        None => Err(Errno::EINVAL),
    }
}

/// The event poll behind an open file, for `epoll_wait(2)`.
///
/// # Errors
/// `EINVAL` if it is something else.
pub fn event_poll(open: &OpenFile) -> Result<&EventPoll, Errno> {
    of(open).ok_or(Errno::EINVAL)
}
