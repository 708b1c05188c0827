//! Linux's native asynchronous input and output: `io_setup(2)`, `io_submit(2)` and their kin.
//!
//! As on Linux with files in its page cache, transfers are done where they are submitted. Only polls wait: they are
//! registered at the file's wait queue, and the kernel's thread for deferred work tells of their end.

use alloc::collections::VecDeque;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU8, Ordering};

use pith_linux::Errno;
use pith_linux::asynchronous::{ControlBlock, Event, HAS_PRIORITY, MAXIMUM_REQUESTS, TELL_EVENT_COUNTER, command};
use pith_linux::files::PollEvents;
use pith_linux::time::Timespec;
use pith_sorted_map::SortedMap;
use spin::Mutex;

use super::files;
use super::waiting::read_sized_mask;
use crate::fs::context;
use crate::fs::event_counter::{self, EventCounter};
use crate::fs::file::{File, OpenFile, Place};
use crate::memory::{
    AreaFlags, AreaName, Backing, Destination, MapRequest, PAGE_SIZE, Placement, Protection, Source, UserPointer,
    is_low, read_object, write_object,
};
use crate::sync::InterruptMutex;
use crate::task::deferred::{self, Ticket, Work};
use crate::task::{self, Instant, WaitError, WaitQueue, Wakeable, signal};

/// A poll that waits to be woken.
const ARMED: u8 = 0;
/// It was woken and is on its context's list.
const QUEUED: u8 = 1;
/// It is over.
const OVER: u8 = 2;

/// What is told of a request when it is over.
struct Report {
    data: u64,
    request: u64,
    counter: Option<Arc<EventCounter>>,
}

/// A poll.
struct Poll {
    itself: Weak<Poll>,
    context: Arc<Context>,
    file: Arc<OpenFile>,
    wanted: PollEvents,
    state: AtomicU8,
    report: Report,
}

impl Poll {
    /// Looks at the file. Ends the poll if there is something to tell.
    fn look(&self) {
        let found = self.file.readiness() & self.wanted;
        if !found.is_empty() && self.finish() {
            self.context.tell(&self.report, found.bits().into());
        }
    }

    /// Takes it out. False if somebody else did, or will.
    fn finish(&self) -> bool {
        let taken = self
            .state
            .compare_exchange(ARMED, OVER, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok();
        if taken {
            if let (Some(this), Ok(file)) = (self.itself.upgrade(), self.file.file())
                && let Some(queue) = file.wait_queue()
            {
                let who: Arc<dyn Wakeable> = this;
                queue.unregister(&who);
            }
            let mut polls = self.context.polls.lock();
            let index = polls.iter().position(|poll| core::ptr::eq(&**poll, self));
            let own = index.map(|index| polls.swap_remove(index));
            drop(polls);
            drop(own);
        }
        taken
    }
}

impl Wakeable for Poll {
    fn wake(&self, events: PollEvents) -> bool {
        if !events.is_empty() && !events.intersects(self.wanted) {
            return false;
        }
        let woken = self
            .state
            .compare_exchange(ARMED, QUEUED, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok();
        if woken && let Some(this) = self.itself.upgrade() {
            let context = this.context.clone();
            context.woken.lock().push_back(this);
            deferred::defer(context);
        }
        woken
    }
}

/// A context: what `io_setup(2)` makes.
struct Context {
    ticket: Ticket,
    /// Most requests whose events were not taken.
    capacity: usize,
    events: Mutex<VecDeque<Event>>,
    queue: WaitQueue,
    polls: Mutex<Vec<Arc<Poll>>>,
    /// Polls that were woken. There is room for all.
    woken: InterruptMutex<VecDeque<Arc<Poll>>>,
    /// It was destroyed. Changed under the lock of the polls: none comes afterwards.
    ended: AtomicBool,
}

impl Work for Context {
    fn ticket(&self) -> &Ticket {
        &self.ticket
    }

    fn work(&self) {
        loop {
            let next = self.woken.lock().pop_front();
            let Some(poll) = next else { return };
            // A poll that is woken from here on comes again.
            poll.state.store(ARMED, Ordering::SeqCst);
            poll.look();
        }
    }
}

impl Context {
    fn tell(&self, report: &Report, result: i64) {
        self.events.lock().push_back(Event {
            data: report.data,
            request: report.request,
            result,
            result2: 0,
        });
        if let Some(counter) = &report.counter {
            counter.signal(1);
        }
        self.queue.wake(PollEvents::all());
    }

    /// Gives the program events from its `done`-th on, until it has `most`. Returns how many.
    fn take_events(&self, events: UserPointer, done: usize, most: usize) -> Result<usize, Errno> {
        for count in 0..most - done {
            let next = self.events.lock().pop_front();
            let Some(event) = next else { return Ok(count) };
            let place = events.offset(((done + count) * size_of::<Event>()) as u64);
            if let Err(errno) = write_object(place, &event) {
                self.events.lock().push_front(event);
                // Others may have missed it.
                self.queue.wake(PollEvents::all());
                return if done + count == 0 { Err(errno) } else { Ok(count) };
            }
        }
        Ok(most - done)
    }

    fn has_room(&self) -> bool {
        self.events.lock().len() + self.polls.lock().len() < self.capacity
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Ends all polls without a word, and whoever waits for events of them.
    fn end(&self) {
        loop {
            let polls = {
                let polls = self.polls.lock();
                self.ended.store(true, Ordering::SeqCst);
                polls.clone()
            };
            if polls.is_empty() {
                break;
            }
            for poll in polls {
                if !poll.finish() {
                    // It was woken. The kernel's thread may have to wait long until it comes to look at it.
                    self.work();
                }
            }
        }
        self.queue.wake_all();
    }
}

/// The contexts by the address space and what the program knows them by: the address of a page that is mapped for each.
/// (Linux keeps its ring of events there, and the C library looks whether it finds one.)
static CONTEXTS: Mutex<SortedMap<(u64, u64), Arc<Context>>> = Mutex::new(SortedMap::new());

/// What a context is known by in the current process.
fn key(id: u64) -> (u64, u64) {
    (task::current_process().space_number(), id)
}

fn find(id: u64) -> Result<Arc<Context>, Errno> {
    CONTEXTS.lock().get(&key(id)).cloned().ok_or(Errno::EINVAL)
}

/// The current process is about to leave its address space, in which no other process runs: ends what belongs to that.
pub(super) fn forget_all() {
    let (own, _) = key(0);
    loop {
        let context = {
            let mut contexts = CONTEXTS.lock();
            let found = contexts.iter().map(|(key, _)| *key).find(|(space, _)| *space == own);
            found.and_then(|found| contexts.remove(&found))
        };
        let Some(context) = context else { return };
        context.end();
    }
}

/// `io_setup(2)`
pub fn io_setup(count: u32, place: UserPointer) -> Result<usize, Errno> {
    let old: u64 = read_object(place)?;
    if old != 0 || count == 0 {
        return Err(Errno::EINVAL);
    }
    let used: usize = CONTEXTS.lock().values().map(|context| context.capacity / 2).sum();
    if u64::from(count) + used as u64 > MAXIMUM_REQUESTS {
        return Err(Errno::EAGAIN);
    }
    if is_low() {
        return Err(Errno::ENOMEM);
    }
    let process = task::current_process();
    let address = process.address_space().map(
        MapRequest {
            placement: Placement::Hint(0),
            length: PAGE_SIZE as u64,
            protection: Protection::READ | Protection::WRITE,
            maximum_protection: Protection::all(),
            flags: AreaFlags::empty(),
            name: AreaName::None,
            backing: Backing::Anonymous,
        },
        &process.allowance(),
    )?;
    let made = Ticket::new().and_then(|ticket| {
        let context = Context {
            ticket,
            capacity: 2 * (count as usize).max(32),
            events: Mutex::new(VecDeque::new()),
            queue: WaitQueue::new(),
            polls: Mutex::new(Vec::new()),
            woken: InterruptMutex::new(VecDeque::new()),
            ended: AtomicBool::new(false),
        };
        write_object(place, &address)?;
        CONTEXTS.lock().insert(key(address), Arc::new(context));
        Ok(0)
    });
    if made.is_err() {
        let _ = process.address_space().unmap(address, PAGE_SIZE as u64);
    }
    made
}

/// `io_destroy(2)`
pub fn io_destroy(id: u64) -> Result<usize, Errno> {
    let context = CONTEXTS.lock().remove(&key(id)).ok_or(Errno::EINVAL)?;
    context.end();
    let _ = task::current_process().address_space().unmap(id, PAGE_SIZE as u64);
    Ok(0)
}

/// `io_submit(2)`
pub fn io_submit(id: u64, count: i64, blocks: UserPointer) -> Result<usize, Errno> {
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    let context = find(id)?;
    for done in 0..count {
        let result = read_object(blocks.offset(done as u64 * 8)).and_then(|address| submit(&context, address));
        match result {
            Ok(()) => {}
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => return Ok(done),
        }
    }
    Ok(count)
}

fn submit(context: &Arc<Context>, address: u64) -> Result<(), Errno> {
    let pointer = UserPointer(address);
    let block: ControlBlock = read_object(pointer)?;
    if block.reserved != 0 || isize::try_from(block.length).is_err() {
        return Err(Errno::EINVAL);
    }
    if !context.has_room() || is_low() {
        return Err(Errno::EAGAIN);
    }
    let file = context::current().file(block.descriptor as i32)?;
    let counter = if block.flags & TELL_EVENT_COUNTER != 0 {
        let counter = context::current().file(block.event_counter as i32)?;
        Some(event_counter::of(&counter)?)
    } else {
        None
    };
    if block.flags & HAS_PRIORITY != 0 && block.priority as u16 >> 13 > 3 {
        return Err(Errno::EINVAL);
    }
    // The key, by which `io_cancel(2)` knows what is a request.
    write_object(pointer.offset(8), &0u32)?;
    let report = Report {
        data: block.data,
        request: address,
        counter,
    };
    let result = match block.command {
        command::PREAD | command::PREADV => {
            let more = files::transfer_flags(block.flags_of_transfer)?;
            let (place, pieces) = (place(&file, &block, file.readable())?, pieces(&block)?);
            file.read_with(place, &mut Destination::program(&pieces), more)
        }
        command::PWRITE | command::PWRITEV => {
            let more = files::transfer_flags(block.flags_of_transfer)?;
            let (place, pieces) = (place(&file, &block, file.writable())?, pieces(&block)?);
            file.write_with(place, &mut Source::program(&pieces), more)
        }
        command::FSYNC | command::FDSYNC => {
            if block.buffer != 0 || block.length != 0 || block.offset != 0 || block.flags_of_transfer != 0 {
                return Err(Errno::EINVAL);
            }
            file.file()?.synchronise()?;
            Ok(0)
        }
        command::POLL => return poll(context, file, &block, report),
        _ => return Err(Errno::EINVAL),
    };
    let result = match result {
        Ok(done) => done as i64,
        Err(errno) => -i64::from(errno.number()),
    };
    context.tell(&report, result);
    Ok(())
}

/// Where a transfer happens.
fn place(file: &OpenFile, block: &ControlBlock, allowed: bool) -> Result<Place, Errno> {
    if !allowed {
        return Err(Errno::EBADF);
    }
    if !file.file()?.seekable() {
        return Ok(Place::Current);
    }
    u64::try_from(block.offset).map(Place::At).map_err(|_| Errno::EINVAL)
}

fn pieces(block: &ControlBlock) -> Result<Vec<crate::memory::IoSlice>, Errno> {
    let buffer = UserPointer(block.buffer);
    match block.command {
        command::PREADV | command::PWRITEV => {
            files::pieces(buffer, i32::try_from(block.length).map_err(|_| Errno::EINVAL)?)
        }
        _ => files::one_piece(buffer, block.length as usize).map(Vec::from),
    }
}

fn poll(context: &Arc<Context>, file: Arc<OpenFile>, block: &ControlBlock, report: Report) -> Result<(), Errno> {
    if block.length != 0 || block.offset != 0 || block.flags_of_transfer != 0 {
        return Err(Errno::EINVAL);
    }
    let wanted = u16::try_from(block.buffer).map_err(|_| Errno::EINVAL)?;
    let poll = Arc::new_cyclic(|itself| Poll {
        itself: itself.clone(),
        context: context.clone(),
        wanted: PollEvents::from_bits_truncate(wanted) | PollEvents::ERROR | PollEvents::HANG_UP,
        file,
        state: AtomicU8::new(ARMED),
        report,
    });
    {
        let mut polls = context.polls.lock();
        if context.has_ended() {
            return Err(Errno::EINVAL);
        }
        polls.try_reserve(1).map_err(|_| Errno::EAGAIN)?;
        let room = polls.len() + 1;
        context.woken.lock().try_reserve(room).map_err(|_| Errno::EAGAIN)?;
        polls.push(poll.clone());
    }
    let file: Arc<dyn File> = poll.file.file()?.clone();
    if let Some(queue) = file.wait_queue() {
        let who: Arc<dyn Wakeable> = poll.clone();
        if let Err(errno) = queue.register(&who, false) {
            poll.finish();
            return Err(errno);
        }
    }
    poll.look();
    Ok(())
}

/// `io_cancel(2)`
pub fn io_cancel(id: u64, request: UserPointer, _result: UserPointer) -> Result<usize, Errno> {
    let block: ControlBlock = read_object(request)?;
    if block.key != 0 {
        return Err(Errno::EINVAL);
    }
    let context = find(id)?;
    let poll = {
        let polls = context.polls.lock();
        polls.iter().find(|poll| poll.report.request == request.0).cloned()
    };
    let poll = poll.ok_or(Errno::EINVAL)?;
    if poll.finish() {
        // As on Linux, its event says that it was cancelled: that nothing happened.
        context.tell(&poll.report, 0);
        Err(Errno::EINPROGRESS)
    } else {
        Err(Errno::EINVAL)
    }
}

fn wait_for_events(
    id: u64,
    least: i64,
    most: i64,
    events: UserPointer,
    timeout: UserPointer,
    mask: Option<u64>,
) -> Result<usize, Errno> {
    let deadline: Option<Instant> = if timeout.is_null() {
        None
    } else {
        let time: Timespec = read_object(timeout)?;
        Some(task::monotonic().after(time.to_nanoseconds()?))
    };
    let context = find(id)?;
    let (least, most) = (usize::try_from(least), usize::try_from(most));
    let (Ok(least), Ok(most)) = (least, most) else {
        return Err(Errno::EINVAL);
    };
    if least > most {
        return Err(Errno::EINVAL);
    }
    signal::with_mask(mask, || {
        let mut done = 0;
        let mut ended = None;
        loop {
            done += context.take_events(events, done, most)?;
            match ended {
                _ if context.has_ended() && done == 0 => return Err(Errno::EINVAL),
                _ if context.has_ended() => return Ok(done),
                _ if done >= least.max(1) || done == most => return Ok(done),
                None if least == 0 => return Ok(done),
                None => {}
                Some(WaitError::TimedOut) => return Ok(done),
                Some(WaitError::Interrupted) if done != 0 => return Ok(done),
                Some(WaitError::Interrupted) => {
                    signal::set_restart(signal::Restart::Never);
                    return Err(Errno::EINTR);
                }
            }
            let arrived = || (!context.events.lock().is_empty() || context.has_ended()).then_some(());
            ended = context.queue.wait_until(deadline, arrived).err();
        }
    })
}

/// `io_getevents(2)`
pub fn io_getevents(id: u64, least: i64, most: i64, events: UserPointer, timeout: UserPointer) -> Result<usize, Errno> {
    wait_for_events(id, least, most, events, timeout, None)
}

/// `io_pgetevents(2)`; the last argument points to the mask's address and size.
pub fn io_pgetevents(
    id: u64,
    least: i64,
    most: i64,
    events: UserPointer,
    timeout: UserPointer,
    mask: UserPointer,
) -> Result<usize, Errno> {
    let mask = read_sized_mask(mask)?;
    wait_for_events(id, least, most, events, timeout, mask)
}
