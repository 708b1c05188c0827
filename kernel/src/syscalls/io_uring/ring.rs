//! A ring: its queues, what is registered with it, and the requests that wait.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use pith_linux::Errno;
use pith_linux::files::{OpenFlags, PollEvents};
use pith_linux::io_uring::{
    ALLOCATE_INDEX, CQ_EVENTFD_DISABLED, CQE_BUFFER, CQE_BUFFER_SHIFT, Completion, Entry, MAXIMUM_BUFFER,
    MAXIMUM_BUFFERS, MAXIMUM_FILES, OFFSET_ENTRIES, SKIP_FILE, SQ_CQ_OVERFLOW, Shape, entry_flag, opcode, setup,
};
use pith_sorted_map::SortedMap;
use spin::{Mutex, Once};

use super::operation::{Match, Operation, Outcome, Timeout};
use super::request::{Chain, Pending, Request};
use crate::fs::event_counter::{self, EventCounter};
use crate::fs::file::{File, Mappable, OpenFile};
use crate::fs::turn::Turn;
use crate::fs::{anonymous, context};
use crate::memory::{Frame, IoSlice, PAGE_SIZE, PageError, PageSource, RingMemory, UserPointer, is_low, read_object};
use crate::sync::InterruptMutex;
use crate::task::deferred::{self, Ticket, Work};
use crate::task::{self, Instant, WaitError, WaitQueue, threads};

/// The first page of the entries, as `mmap(2)` asks for them.
const FIRST_ENTRY_PAGE: u64 = OFFSET_ENTRIES / PAGE_SIZE as u64;
/// Page numbers within one of the mappings.
const PAGE_MASK: u64 = 0x7fff;

/// What the program maps.
struct Memory {
    queues: RingMemory,
    entries: RingMemory,
}

impl PageSource for Memory {
    fn page(&self, index: u64, _write: bool) -> Result<Frame, PageError> {
        let (memory, page) = if index >= FIRST_ENTRY_PAGE {
            (&self.entries, index - FIRST_ENTRY_PAGE)
        } else {
            (&self.queues, index & PAGE_MASK)
        };
        memory.frame(page as usize).ok_or(PageError::BeyondEnd)
    }

    fn existing(&self, index: u64, write: bool) -> Option<Frame> {
        self.page(index, write).ok()
    }

    fn name(&self) -> String {
        String::from("anon_inode:[io_uring]")
    }

    fn identity(&self) -> (u64, u64) {
        (1, 2)
    }
}

/// A buffer that the program has provided.
#[derive(Clone, Copy)]
pub(super) struct Provided {
    pub(super) address: u64,
    pub(super) length: u32,
    number: u16,
}

impl Provided {
    /// How a completion says which buffer was used.
    pub(super) fn completion_flags(&self) -> u32 {
        CQE_BUFFER | u32::from(self.number) << CQE_BUFFER_SHIFT
    }
}

struct Completions {
    tail: u32,
    /// Those for which there was no room.
    overflow: VecDeque<Completion>,
    /// Number of completions that count for timeouts.
    counted: u32,
}

/// Chains that wait for all requests before them.
#[derive(Default)]
struct Waiting {
    chains: VecDeque<Chain>,
    /// A request that lets nothing pass is under way.
    blocked: bool,
}

/// An event counter that is told of completions.
struct Event {
    counter: Arc<EventCounter>,
    /// Only of those that did not end at once.
    only_later: bool,
}

/// A ring.
pub(super) struct Ring {
    /// The address space of whoever made it, where its requests have their memory.
    space: u64,
    /// The process that made it.
    maker: u32,
    itself: Weak<Ring>,
    shape: Shape,
    flags: u32,
    memory: Arc<Memory>,
    /// Nothing is submitted yet.
    disabled: AtomicBool,
    /// The thread that alone may submit; 0 for none yet.
    issuer: AtomicU32,
    /// One thread submits at a time.
    submitting: Turn,
    head: AtomicU32,
    completions: Mutex<Completions>,
    /// There are completions without room. Changed under their lock.
    overflows: AtomicBool,
    /// There are completions that nobody was told of.
    unannounced: AtomicBool,
    /// Threads that wait for completions.
    waiters: WaitQueue,
    waiter_count: AtomicUsize,
    /// Who polls the ring.
    pollers: WaitQueue,
    /// Requests that were woken. There is room for all that wait.
    ready: InterruptMutex<VecDeque<Arc<Pending>>>,
    /// There may be some.
    has_ready: AtomicBool,
    pending: Mutex<SortedMap<u64, Arc<Pending>>>,
    /// No request waits any more. Changed under their lock.
    closed: AtomicBool,
    sequence: AtomicU64,
    /// How many timeouts wait for a number of completions.
    counting: AtomicUsize,
    waiting: Mutex<Waiting>,
    /// No request may let all others end first.
    draining_disabled: AtomicBool,
    /// The order matters: a request has let others wait. Set while submitting, and for ever.
    orders: AtomicBool,
    /// Somebody starts those that waited.
    settling: AtomicBool,
    /// How many threads may sleep for requests.
    workers: AtomicUsize,
    /// Told when one no longer does.
    worker_free: WaitQueue,
    ticket: Once<Ticket>,
    files: Mutex<Option<Vec<Option<Arc<OpenFile>>>>>,
    buffers: Mutex<Option<Vec<Option<IoSlice>>>>,
    provided: Mutex<SortedMap<u16, VecDeque<Provided>>>,
    event: Mutex<Option<Event>>,
    /// There is one.
    tells_event: AtomicBool,
}

/// All rings, for a process that becomes another program.
static RINGS: Mutex<Vec<Weak<Ring>>> = Mutex::new(Vec::new());

/// What descriptors of a ring refer to; with the last one its requests end.
pub(super) struct RingFile {
    ring: Arc<Ring>,
}

impl Drop for RingFile {
    fn drop(&mut self) {
        self.ring.close();
        RINGS
            .lock()
            .retain(|ring| ring.strong_count() != 0 && ring.as_ptr() != Arc::as_ptr(&self.ring));
    }
}

impl File for RingFile {
    fn mappable(&self) -> Result<Mappable, Errno> {
        Ok(Mappable::Object(self.ring.memory.clone()))
    }

    fn readiness(&self) -> PollEvents {
        let ring = &self.ring;
        let mut events = PollEvents::empty();
        let queues = &ring.memory.queues;
        let waiting = queues
            .load(Shape::SUBMISSION_TAIL)
            .wrapping_sub(ring.head.load(Ordering::Relaxed));
        events.set(
            PollEvents::OUT | PollEvents::WRITE_NORMAL,
            waiting < ring.shape.submissions,
        );
        let overflow = ring.overflows.load(Ordering::Relaxed);
        events.set(
            PollEvents::IN | PollEvents::READ_NORMAL,
            ring.available() != 0 || overflow,
        );
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.ring.pollers)
    }
}

/// A new ring and its open file.
///
/// # Errors
/// `ENOMEM`
pub(super) fn create(shape: Shape, flags: u32) -> Result<Arc<OpenFile>, Errno> {
    if is_low() {
        return Err(Errno::ENOMEM);
    }
    let queues = RingMemory::new(shape.ring_bytes()).ok_or(Errno::ENOMEM)?;
    let entries = RingMemory::new(shape.entry_bytes()).ok_or(Errno::ENOMEM)?;
    for (place, value) in [
        (Shape::SUBMISSION_MASK, shape.submissions - 1),
        (Shape::COMPLETION_MASK, shape.completions - 1),
        (Shape::SUBMISSION_ENTRIES, shape.submissions),
        (Shape::COMPLETION_ENTRIES, shape.completions),
    ] {
        queues.store(place, value);
    }
    let ring = Arc::new_cyclic(|itself| Ring {
        itself: itself.clone(),
        space: task::current_process().space_number(),
        maker: task::current_process().id,
        shape,
        flags,
        memory: Arc::new(Memory { queues, entries }),
        disabled: AtomicBool::new(flags & setup::R_DISABLED != 0),
        issuer: AtomicU32::new(0),
        submitting: Turn::new(),
        head: AtomicU32::new(0),
        completions: Mutex::new(Completions {
            tail: 0,
            overflow: VecDeque::new(),
            counted: 0,
        }),
        overflows: AtomicBool::new(false),
        unannounced: AtomicBool::new(false),
        waiters: WaitQueue::new(),
        waiter_count: AtomicUsize::new(0),
        pollers: WaitQueue::new(),
        ready: InterruptMutex::new(VecDeque::new()),
        has_ready: AtomicBool::new(false),
        pending: Mutex::new(SortedMap::new()),
        closed: AtomicBool::new(false),
        sequence: AtomicU64::new(0),
        counting: AtomicUsize::new(0),
        waiting: Mutex::new(Waiting::default()),
        draining_disabled: AtomicBool::new(false),
        orders: AtomicBool::new(false),
        settling: AtomicBool::new(false),
        workers: AtomicUsize::new(0),
        worker_free: WaitQueue::new(),
        ticket: Once::new(),
        files: Mutex::new(None),
        buffers: Mutex::new(None),
        provided: Mutex::new(SortedMap::new()),
        event: Mutex::new(None),
        tells_event: AtomicBool::new(false),
    });
    RINGS.lock().push(Arc::downgrade(&ring));
    Ok(anonymous::open(
        "anon_inode:[io_uring]",
        Arc::new(RingFile { ring }),
        OpenFlags::READ_WRITE,
    ))
}

/// The ring behind an open file.
///
/// # Errors
/// `EOPNOTSUPP` if it is something else.
pub(super) fn of(open: &OpenFile) -> Result<&Arc<Ring>, Errno> {
    let file: &dyn Any = &**open.file()?;
    let ring = file.downcast_ref::<RingFile>().ok_or(Errno::EOPNOTSUPP)?;
    Ok(&ring.ring)
}

/// The current process is about to leave its address space: no request of its rings may touch memory any more, for its
/// thread for deferred work goes with it to another one. What threads slept for is over when this returns, as on Linux: a
/// named pipe has one end fewer.
pub(in crate::syscalls) fn forget_all() {
    let process = task::current_process();
    let (own, maker) = (process.space_number(), process.id);
    let rings: Vec<Arc<Ring>> = RINGS.lock().iter().filter_map(Weak::upgrade).collect();
    for ring in rings.iter().filter(|ring| ring.space == own && ring.maker == maker) {
        ring.end_requests();
        ring.worker_free
            .wait_for_turn(|| (ring.workers.load(Ordering::SeqCst) == 0).then_some(()));
    }
}

/// Submission.
impl Ring {
    /// Whether it takes requests.
    ///
    /// # Errors
    /// `EBADFD` while it is disabled; `EOPNOTSUPP` for another process than the one that made it.
    pub(super) fn check_enabled(&self) -> Result<(), Errno> {
        if self.space != task::current_process().space_number() {
            crate::warning_once!(
                "a ring of io_uring serves only the process that made it: io_uring_enter answers EOPNOTSUPP"
            );
            return Err(Errno::EOPNOTSUPP);
        }
        if self.disabled.load(Ordering::Acquire) {
            return Err(Errno::EBADFD);
        }
        Ok(())
    }

    /// Lets it take requests.
    ///
    /// # Errors
    /// `EBADFD` if it does already.
    pub(super) fn enable(&self) -> Result<(), Errno> {
        if self.disabled.swap(false, Ordering::AcqRel) {
            Ok(())
        } else {
            Err(Errno::EBADFD)
        }
    }

    /// Whether the current thread may submit.
    ///
    /// # Errors
    /// `EEXIST` if another one may and no other.
    pub(super) fn check_issuer(&self) -> Result<(), Errno> {
        if self.flags & setup::SINGLE_ISSUER == 0 {
            return Ok(());
        }
        let own = task::current().id();
        match self
            .issuer
            .compare_exchange(0, own, Ordering::AcqRel, Ordering::Acquire)
        {
            Ok(_) => Ok(()),
            Err(issuer) if issuer == own => Ok(()),
            Err(_) => Err(Errno::EEXIST),
        }
    }

    /// The entry at a position of the submission queue; `None` for an index that does not exist.
    fn entry(&self, head: u32) -> Option<Entry> {
        let index = self.memory.queues.load(self.shape.index_at(head));
        if index >= self.shape.submissions {
            let dropped = self.memory.queues.load(Shape::DROPPED);
            self.memory.queues.store(Shape::DROPPED, dropped.wrapping_add(1));
            return None;
        }
        let words = self.memory.entries.read(index as usize * size_of::<Entry>());
        Some(Entry::from_words(words))
    }

    /// Takes up to `most` entries from the submission queue. Returns how many.
    pub(super) fn submit(self: &Arc<Self>, most: u32) -> u32 {
        let turn = self.submitting.take();
        let first = self.head.load(Ordering::Relaxed);
        let tail = self.memory.queues.load(Shape::SUBMISSION_TAIL);
        let count = Shape::used(first, tail, self.shape.submissions).min(most);
        let mut chain: Option<Chain> = None;
        let mut taken = 0;
        let mut done = 0;
        while taken < count {
            let entry = self.entry(first.wrapping_add(taken));
            taken += 1;
            let Some(entry) = entry else { break };
            done += 1;
            if entry.flags & entry_flag::WITH_OTHERS == 0 && chain.is_none() && !self.orders.load(Ordering::Relaxed) {
                // Nearly always: it has nothing to do with others.
                if entry.opcode == opcode::NOP && entry.flags == 0 && entry.personality == 0 {
                    self.post(entry.user_data, 0, 0, true);
                    continue;
                }
                let refused = Request::read(&entry).map(|request| request.start_alone(self)).err();
                if let Some(errno) = refused {
                    self.post(entry.user_data, -i32::from(errno.number()), 0, true);
                    if self.flags & setup::SUBMIT_ALL == 0 {
                        break;
                    }
                }
                continue;
            }
            let mut links = chain.take().unwrap_or_default();
            if links.push(self, &entry) && taken < count {
                chain = Some(links);
                continue;
            }
            let refused = links.is_refused();
            self.begin(links);
            if refused && self.flags & setup::SUBMIT_ALL == 0 {
                break;
            }
        }
        if let Some(chain) = chain {
            self.begin(chain);
        }
        let head = first.wrapping_add(taken);
        self.head.store(head, Ordering::Relaxed);
        self.memory.queues.store(Shape::SUBMISSION_HEAD, head);
        drop(turn);
        self.settle(false);
        done
    }

    /// Starts a chain, or lets it wait for those before it.
    fn begin(self: &Arc<Self>, chain: Chain) {
        {
            if chain.drains() {
                self.orders.store(true, Ordering::Relaxed);
            }
            let mut waiting = self.waiting.lock();
            let must_wait = waiting.blocked || !waiting.chains.is_empty();
            if must_wait || chain.drains() && !self.pending.lock().is_empty() {
                waiting.chains.push_back(chain);
                return;
            }
            waiting.blocked = chain.drains();
        }
        chain.start(self);
        self.unblock();
    }

    /// Whether a request may let all before it end first.
    pub(super) fn can_drain(&self) -> bool {
        !self.draining_disabled.load(Ordering::Relaxed)
    }

    /// From now on none may.
    pub(super) fn disable_draining(&self) {
        self.draining_disabled.store(true, Ordering::Relaxed);
    }

    /// Nothing is under way any more that lets nothing pass.
    fn unblock(&self) {
        let mut waiting = self.waiting.lock();
        if waiting.blocked && self.pending.lock().is_empty() {
            waiting.blocked = false;
        }
    }

    /// The next chain that has waited long enough.
    fn next_waiting(&self) -> Option<Chain> {
        let mut waiting = self.waiting.lock();
        let idle = self.pending.lock().is_empty();
        if idle {
            waiting.blocked = false;
        }
        if waiting.blocked || waiting.chains.front()?.drains() && !idle {
            return None;
        }
        let chain = waiting.chains.pop_front()?;
        waiting.blocked = chain.drains();
        Some(chain)
    }

    /// Tries the requests that were woken, does what the end of others makes possible, and tells of completions.
    /// `later`: they did not end at once.
    #[inline]
    fn settle(&self, later: bool) {
        // Nearly always there is only something to tell.
        if self.has_ready.load(Ordering::SeqCst)
            || self.counting.load(Ordering::Relaxed) != 0
            || self.orders.load(Ordering::Relaxed)
        {
            self.settle_others();
        }
        self.announce(later);
    }

    #[inline(never)]
    fn settle_others(&self) {
        loop {
            let mut progress = self.run_ready();
            let counting = self.counting.load(Ordering::Relaxed) != 0;
            if !counting && !self.orders.load(Ordering::Relaxed) {
                break;
            }
            // One thread is enough for the rest: it looks again until there is nothing.
            if self.settling.swap(true, Ordering::SeqCst) {
                break;
            }
            if let Some(this) = self.itself.upgrade() {
                while let Some(chain) = self.next_waiting() {
                    progress = true;
                    chain.start(&this);
                }
            }
            progress |= counting && self.end_counted();
            self.settling.store(false, Ordering::SeqCst);
            if !progress {
                break;
            }
        }
    }

    fn run_ready(&self) -> bool {
        if !self.has_ready.load(Ordering::SeqCst) {
            return false;
        }
        // What comes from here on sets it again.
        self.has_ready.store(false, Ordering::SeqCst);
        let mut any = false;
        loop {
            let next = self.ready.lock().pop_front();
            let Some(request) = next else { return any };
            any = true;
            request.resume();
        }
    }

    /// Ends timeouts that waited for a number of completions.
    fn end_counted(&self) -> bool {
        let counted = self.counted();
        let due: Vec<Arc<Pending>> = {
            let pending = self.pending.lock();
            let due = pending.values().filter(|pending| pending.ends_at(counted));
            due.cloned().collect()
        };
        let mut any = false;
        for timeout in due {
            if timeout.claim() {
                timeout.end(Outcome::from(Ok(0)));
                any = true;
            }
        }
        any
    }
}

/// Completions.
impl Ring {
    /// How many completions the program has not taken.
    pub(super) fn available(&self) -> u32 {
        let queues = &self.memory.queues;
        let (head, tail) = (queues.load(Shape::COMPLETION_HEAD), queues.load(Shape::COMPLETION_TAIL));
        tail.wrapping_sub(head)
    }

    pub(super) fn most_completions(&self) -> u32 {
        self.shape.completions
    }

    /// Completions that count for timeouts, so far.
    pub(super) fn counted(&self) -> u32 {
        self.completions.lock().counted
    }

    #[inline]
    fn put(&self, completions: &mut Completions, completion: &Completion) -> bool {
        let queues = &self.memory.queues;
        let head = queues.load(Shape::COMPLETION_HEAD);
        if completions.tail.wrapping_sub(head) >= self.shape.completions {
            return false;
        }
        queues.write(self.shape.completion_at(completions.tail), completion.to_words());
        completions.tail = completions.tail.wrapping_add(1);
        queues.store(Shape::COMPLETION_TAIL, completions.tail);
        true
    }

    /// Adds a completion. `counts`: for timeouts that end after a number of them.
    pub(super) fn post(&self, user_data: u64, result: i32, flags: u32, counts: bool) {
        let completion = Completion {
            user_data,
            result,
            flags,
        };
        let mut completions = self.completions.lock();
        if counts {
            completions.counted = completions.counted.wrapping_add(1);
        }
        if !completions.overflow.is_empty() || !self.put(&mut completions, &completion) {
            self.keep_overflow(&mut completions, completion);
        }
        drop(completions);
        if !self.unannounced.load(Ordering::Relaxed) {
            self.unannounced.store(true, Ordering::Release);
        }
    }

    /// Keeps a completion for which there is no room.
    #[cold]
    #[inline(never)]
    fn keep_overflow(&self, completions: &mut Completions, completion: Completion) {
        completions.overflow.push_back(completion);
        self.overflows.store(true, Ordering::Relaxed);
        self.memory
            .queues
            .change_bits(Shape::SUBMISSION_FLAGS, SQ_CQ_OVERFLOW, true);
    }

    /// Whether completions have found no room, which ends requests with several results.
    pub(super) fn overflows(&self) -> bool {
        self.overflows.load(Ordering::Relaxed)
    }

    /// A completion that another ring sends.
    pub(super) fn receive(&self, user_data: u64, result: i32) {
        self.post(user_data, result, 0, true);
        self.announce(true);
    }

    /// Moves completions that found no room to where there is some.
    fn flush_overflow(&self) {
        let mut completions = self.completions.lock();
        while let Some(completion) = completions.overflow.pop_front() {
            if !self.put(&mut completions, &completion) {
                completions.overflow.push_front(completion);
                return;
            }
        }
        self.overflows.store(false, Ordering::Relaxed);
        self.memory
            .queues
            .change_bits(Shape::SUBMISSION_FLAGS, SQ_CQ_OVERFLOW, false);
    }

    /// Tells those who wait of new completions.
    fn announce(&self, later: bool) {
        if !self.unannounced.load(Ordering::Acquire) || !self.unannounced.swap(false, Ordering::AcqRel) {
            return;
        }
        self.waiters.wake(PollEvents::IN);
        self.pollers.wake(PollEvents::IN | PollEvents::READ_NORMAL);
        if !self.tells_event.load(Ordering::Relaxed) {
            return;
        }
        let counter = {
            let event = self.event.lock();
            let told = event.as_ref().filter(|event| later || !event.only_later);
            told.map(|event| event.counter.clone())
        };
        if let Some(counter) = counter
            && self.memory.queues.load(Shape::COMPLETION_FLAGS) & CQ_EVENTFD_DISABLED == 0
        {
            counter.signal(1);
        }
    }

    /// Whether so many completions are there, and nothing else is to be done.
    #[inline]
    pub(super) fn has(&self, least: u32) -> bool {
        !self.has_ready.load(Ordering::SeqCst) && !self.overflows.load(Ordering::Relaxed) && self.available() >= least
    }

    /// Waits for so many completions.
    ///
    /// # Errors
    /// `EINTR`, `ETIME`.
    pub(super) fn wait(&self, least: u32, deadline: Option<Instant>) -> Result<(), Errno> {
        loop {
            if self.has_ready.load(Ordering::SeqCst) {
                self.settle(true);
            }
            if self.overflows.load(Ordering::Relaxed) {
                self.flush_overflow();
            }
            if self.available() >= least {
                return Ok(());
            }
            self.waiter_count.fetch_add(1, Ordering::SeqCst);
            let result = self.waiters.wait_until(deadline, || {
                (self.available() >= least || self.has_ready.load(Ordering::SeqCst)).then_some(())
            });
            self.waiter_count.fetch_sub(1, Ordering::SeqCst);
            if let Err(error) = result {
                // Somebody else has to do what this thread was woken for.
                if self.has_ready.load(Ordering::SeqCst) {
                    self.defer();
                }
                return match error {
                    _ if self.available() != 0 => Ok(()),
                    WaitError::TimedOut => Err(Errno::ETIME),
                    WaitError::Interrupted => Err(Errno::EINTR),
                };
            }
        }
    }
}

/// Requests that wait.
impl Ring {
    pub(super) fn next_sequence(&self) -> u64 {
        self.sequence.fetch_add(1, Ordering::Relaxed)
    }

    /// Keeps a request until it is over.
    ///
    /// # Errors
    /// `ENOMEM`, `EAGAIN` without memory; `ECANCELED` for a ring that is closed.
    pub(super) fn keep(&self, request: &Arc<Pending>) -> Result<(), Errno> {
        if is_low() {
            return Err(Errno::ENOMEM);
        }
        if self.ticket.get().is_none() {
            let ticket = Ticket::of_process()?;
            self.ticket.call_once(|| ticket);
        }
        let count = {
            let mut pending = self.pending.lock();
            if self.closed.load(Ordering::Relaxed) {
                return Err(Errno::ECANCELED);
            }
            pending.insert(request.sequence, request.clone());
            pending.len()
        };
        if request.has_count() {
            self.counting.fetch_add(1, Ordering::Relaxed);
        }
        let mut ready = self.ready.lock();
        let more = count.saturating_sub(ready.len());
        ready.try_reserve(more).map_err(|_| Errno::ENOMEM)
    }

    /// Forgets a request that is over.
    pub(super) fn forget(&self, request: &Pending) {
        let kept = self.pending.lock().remove(&request.sequence);
        if kept.is_some() && request.has_count() {
            self.counting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Has a request tried again soon. May be called by interrupt handlers, and with locks of wait queues held.
    pub(super) fn make_ready(&self, request: Arc<Pending>) {
        self.put_ready(request);
        if self.waiter_count.load(Ordering::SeqCst) != 0 {
            self.waiters.wake(PollEvents::IN);
        } else {
            self.defer();
        }
    }

    fn put_ready(&self, request: Arc<Pending>) {
        self.ready.lock().push_back(request);
        self.has_ready.store(true, Ordering::SeqCst);
    }

    fn defer(&self) {
        if let Some(this) = self.itself.upgrade() {
            deferred::defer(this);
        }
    }

    /// Runs something that may sleep in a thread of its own. It says so when it does not sleep any more
    /// ([`Self::worker_is_free`]).
    ///
    /// # Errors
    /// `EAGAIN`
    pub(super) fn spawn(&self, body: impl FnOnce() + Send + 'static) -> Result<(), Errno> {
        let this = self.itself.upgrade().ok_or(Errno::EAGAIN)?;
        let process = task::current_process();
        self.workers.fetch_add(1, Ordering::SeqCst);
        threads::spawn_kernel_thread(
            &process,
            "iou-wrk",
            Box::new(move || {
                body();
                this.settle(true);
            }),
        )
        .inspect_err(|_| self.worker_is_free())
    }

    /// A thread that was [`Self::spawn`]ed has done what it could have slept for.
    pub(super) fn worker_is_free(&self) {
        self.workers.fetch_sub(1, Ordering::SeqCst);
        self.worker_free.wake_all();
    }

    fn find_pending(&self, suits: impl Fn(&Pending) -> bool) -> Option<Arc<Pending>> {
        let pending = self.pending.lock();
        pending.values().find(|pending| suits(pending)).cloned()
    }

    /// Claims a request, whatever it waits for.
    fn claim(&self, suits: impl Fn(&Pending) -> bool) -> Result<Arc<Pending>, Errno> {
        let request = self.find_pending(suits).ok_or(Errno::ENOENT)?;
        if request.claim() {
            Ok(request)
        } else {
            Err(Errno::EALREADY)
        }
    }

    /// Cancels a request, or all that match, and returns how many.
    ///
    /// # Errors
    /// `ENOENT` if there is none, `EALREADY` if it is being dealt with.
    pub(super) fn cancel(&self, what: &Match, all: bool) -> Result<usize, Errno> {
        let suits = |pending: &Pending| match what {
            Match::UserData(user_data) => pending.user_data() == *user_data,
            Match::File(file) => pending.request.file.as_ref().is_some_and(|own| Arc::ptr_eq(own, file)),
            Match::Any => true,
        };
        let matching: Vec<Arc<Pending>> = {
            let pending = self.pending.lock();
            pending.values().filter(|pending| suits(pending)).cloned().collect()
        };
        let mut result = Err(Errno::ENOENT);
        let mut count = 0;
        for request in matching {
            if !request.claim() {
                request.interrupt();
                result = Err(Errno::EALREADY);
                continue;
            }
            count += 1;
            result = Ok(if all { count } else { 0 });
            // After the completion of the request that asks for it.
            self.cancel_later(request);
            if !all {
                return result;
            }
        }
        if all && count != 0 {
            Ok(count)
        } else if all {
            Ok(0)
        } else {
            result
        }
    }

    /// Tells of the requests that were cancelled outside of a submission.
    pub(super) fn settle_cancelled(&self) {
        self.settle(true);
    }

    /// Ends a claimed request with `ECANCELED` as soon as the current one has told its own result: whoever deals with
    /// that settles afterwards.
    fn cancel_later(&self, request: Arc<Pending>) {
        request.mark_cancelled();
        self.put_ready(request);
    }

    /// `IORING_OP_POLL_REMOVE`
    ///
    /// # Errors
    /// `ENOENT`, `EALREADY`.
    pub(super) fn change_poll(
        &self,
        user_data: u64,
        events: Option<(PollEvents, bool)>,
        new_user_data: Option<u64>,
    ) -> Result<usize, Errno> {
        let request = self.claim(|pending| {
            pending.user_data() == user_data && matches!(pending.request.operation, Operation::Poll { .. })
        })?;
        if events.is_none() && new_user_data.is_none() {
            self.cancel_later(request);
        } else {
            request.change_poll(events, new_user_data);
        }
        Ok(0)
    }

    /// `IORING_OP_TIMEOUT_REMOVE`
    ///
    /// # Errors
    /// `ENOENT`, `EALREADY`.
    pub(super) fn change_timeout(&self, user_data: u64, new: Option<Timeout>, of_link: bool) -> Result<usize, Errno> {
        let request = self.claim(|pending| {
            let right_kind = match pending.request.operation {
                Operation::Timeout { .. } => !of_link,
                Operation::LinkTimeout(_) => of_link,
                _ => false,
            };
            right_kind && pending.user_data() == user_data
        })?;
        match new {
            Some(timeout) => request.change_timeout(timeout),
            None => self.cancel_later(request),
        }
        Ok(0)
    }

    /// Ends all requests without a word, and those that other threads deal with when these come to an end of that.
    fn end_requests(&self) {
        {
            let _pending = self.pending.lock();
            self.closed.store(true, Ordering::Relaxed);
        }
        let waiting = core::mem::take(&mut self.waiting.lock().chains);
        drop(waiting);
        loop {
            let requests: Vec<Arc<Pending>> = self.pending.lock().values().cloned().collect();
            let mut any = false;
            for request in requests {
                any |= request.abandon();
            }
            if !any {
                break;
            }
        }
        let ready = core::mem::take(&mut *self.ready.lock());
        drop(ready);
    }

    fn close(&self) {
        self.end_requests();
        // Files go while nothing is locked.
        let files = self.files.lock().take();
        let event = self.event.lock().take();
        drop((files, event));
    }
}

impl Work for Ring {
    fn ticket(&self) -> &Ticket {
        match self.ticket.get() {
            Some(ticket) => ticket,
            // Requests are kept only with one.
            None => unreachable!("a ring with requests has a ticket"),
        }
    }

    fn work(&self) {
        self.settle(true);
    }
}

/// Registers a table. Another thread may have done so while this one was made.
///
/// # Errors
/// `EBUSY`
fn put_unless_there<T>(place: &Mutex<Option<Vec<T>>>, table: Vec<T>) -> Result<(), Errno> {
    let mut place = place.lock();
    if place.is_some() {
        // What is in the table goes while nothing is locked.
        drop(place);
        return Err(Errno::EBUSY);
    }
    *place = Some(table);
    Ok(())
}

/// What is registered.
impl Ring {
    /// The file that an entry means.
    ///
    /// # Errors
    /// `EBADF`
    pub(super) fn find_file(&self, descriptor: i32, fixed: bool) -> Result<Arc<OpenFile>, Errno> {
        if !fixed {
            return context::current().file(descriptor);
        }
        let index = usize::try_from(descriptor).map_err(|_| Errno::EBADF)?;
        let files = self.files.lock();
        let file = files.as_ref().and_then(|files| files.get(index)?.clone());
        file.ok_or(Errno::EBADF)
    }

    fn read_file(descriptors: UserPointer, index: u32) -> Result<i32, Errno> {
        read_object(descriptors.offset(u64::from(index) * size_of::<i32>() as u64))
    }

    /// The file of a descriptor that is to be registered; `None` for -1.
    fn file_to_register(descriptor: i32) -> Result<Option<Arc<OpenFile>>, Errno> {
        if descriptor == -1 {
            return Ok(None);
        }
        let file = context::current().file(descriptor)?;
        if of(&file).is_ok() {
            return Err(Errno::EBADF); // it would keep itself alive
        }
        Ok(Some(file))
    }

    /// Registers files. Without `descriptors` all places are empty.
    ///
    /// # Errors
    /// `EBUSY`, `EINVAL`, `EMFILE`, `EBADF`, `EFAULT`, `ENOMEM`.
    pub(super) fn register_files(&self, descriptors: UserPointer, count: u32) -> Result<(), Errno> {
        if self.files.lock().is_some() {
            return Err(Errno::EBUSY);
        }
        if count == 0 {
            return Err(Errno::EINVAL);
        }
        let limit = task::current_process().limit(task::Limits::OPEN_FILES);
        if count > MAXIMUM_FILES || u64::from(count) > limit {
            return Err(Errno::EMFILE);
        }
        let mut files = Vec::new();
        files.try_reserve_exact(count as usize).map_err(|_| Errno::ENOMEM)?;
        for index in 0..count {
            files.push(if descriptors.is_null() {
                None
            } else {
                Self::file_to_register(Self::read_file(descriptors, index)?)?
            });
        }
        put_unless_there(&self.files, files)
    }

    /// Forgets all files.
    ///
    /// # Errors
    /// `ENXIO`
    pub(super) fn unregister_files(&self) -> Result<(), Errno> {
        let files = self.files.lock().take();
        files.map(drop).ok_or(Errno::ENXIO)
    }

    /// Replaces registered files from an index on. Returns how many.
    ///
    /// # Errors
    /// `ENXIO`, `EINVAL`, `EBADF`, `EFAULT`.
    pub(super) fn update_files(&self, offset: u32, descriptors: UserPointer, count: u32) -> Result<usize, Errno> {
        let places = self.files.lock().as_ref().map(Vec::len).ok_or(Errno::ENXIO)?;
        let end = offset.checked_add(count).ok_or(Errno::EOVERFLOW)?;
        if end as usize > places {
            return Err(Errno::EINVAL);
        }
        for index in 0..count {
            let replaced = Self::read_file(descriptors, index).and_then(|descriptor| {
                if descriptor == SKIP_FILE {
                    return Ok(());
                }
                let new = Self::file_to_register(descriptor)?;
                self.put_file((offset + index) as usize, new)
            });
            match replaced {
                Ok(()) => {}
                Err(errno) if index == 0 => return Err(errno),
                Err(_) => return Ok(index as usize),
            }
        }
        Ok(count as usize)
    }

    fn put_file(&self, index: usize, new: Option<Arc<OpenFile>>) -> Result<(), Errno> {
        let old = {
            let mut files = self.files.lock();
            let place = files.as_mut().ok_or(Errno::ENXIO)?.get_mut(index);
            core::mem::replace(place.ok_or(Errno::EINVAL)?, new)
        };
        drop(old);
        Ok(())
    }

    /// Puts a file that was opened into a place: one above its index, or [`ALLOCATE_INDEX`].
    ///
    /// # Errors
    /// `ENXIO`, `EINVAL`, `ENFILE`.
    pub(super) fn install_file(&self, slot: u32, file: Arc<OpenFile>) -> Result<usize, Errno> {
        if slot != ALLOCATE_INDEX {
            self.put_file(slot as usize - 1, Some(file))?;
            return Ok(0);
        }
        let mut files = self.files.lock();
        let files = files.as_mut().ok_or(Errno::ENFILE)?;
        let index = files.iter().position(Option::is_none).ok_or(Errno::ENFILE)?;
        files[index] = Some(file);
        Ok(index)
    }

    /// Takes a registered file out.
    ///
    /// # Errors
    /// `ENXIO`, `EINVAL`, `EBADF`.
    pub(super) fn remove_file(&self, index: u32) -> Result<usize, Errno> {
        let old = {
            let mut files = self.files.lock();
            let place = files.as_mut().ok_or(Errno::ENXIO)?.get_mut(index as usize);
            place.ok_or(Errno::EINVAL)?.take()
        };
        old.map(|_| 0).ok_or(Errno::EBADF)
    }

    fn check_buffer(address: u64, length: u64) -> Result<Option<IoSlice>, Errno> {
        if address == 0 {
            return if length == 0 { Ok(None) } else { Err(Errno::EFAULT) };
        }
        if length == 0 || length > MAXIMUM_BUFFER {
            return Err(Errno::EFAULT);
        }
        let space = task::current_process().address_space();
        // What was pinned on Linux must be there; it is not pinned here, where nothing is ever paged out.
        space
            .populate(address, length, crate::arch::Access::Write, task::go_on)
            .map_err(|_| Errno::EFAULT)?;
        Ok(Some(IoSlice {
            address,
            length: length as usize,
        }))
    }

    fn read_buffer(vectors: UserPointer, index: u32) -> Result<Option<IoSlice>, Errno> {
        let [address, length]: [u64; 2] = read_object(vectors.offset(u64::from(index) * 16))?;
        Self::check_buffer(address, length)
    }

    /// Registers buffers. Without `vectors` all places are empty.
    ///
    /// # Errors
    /// `EBUSY`, `EINVAL`, `EFAULT`, `ENOMEM`.
    pub(super) fn register_buffers(&self, vectors: UserPointer, count: u32) -> Result<(), Errno> {
        if self.buffers.lock().is_some() {
            return Err(Errno::EBUSY);
        }
        if count == 0 || count > MAXIMUM_BUFFERS {
            return Err(Errno::EINVAL);
        }
        let mut buffers = Vec::new();
        buffers.try_reserve_exact(count as usize).map_err(|_| Errno::ENOMEM)?;
        for index in 0..count {
            buffers.push(if vectors.is_null() {
                None
            } else {
                Self::read_buffer(vectors, index)?
            });
        }
        put_unless_there(&self.buffers, buffers)
    }

    /// Forgets all buffers.
    ///
    /// # Errors
    /// `ENXIO`
    pub(super) fn unregister_buffers(&self) -> Result<(), Errno> {
        self.buffers.lock().take().map(drop).ok_or(Errno::ENXIO)
    }

    /// Replaces registered buffers from an index on. Returns how many.
    ///
    /// # Errors
    /// `ENXIO`, `EINVAL`, `EFAULT`.
    pub(super) fn update_buffers(&self, offset: u32, vectors: UserPointer, count: u32) -> Result<usize, Errno> {
        for index in 0..count {
            let new = Self::read_buffer(vectors, index);
            let mut buffers = self.buffers.lock();
            let buffers = buffers.as_mut().ok_or(Errno::ENXIO)?;
            let place = offset
                .checked_add(index)
                .and_then(|index| buffers.get_mut(index as usize));
            match (place, new) {
                (Some(place), Ok(new)) => *place = new,
                (_, Err(errno)) if index == 0 => return Err(errno),
                (None, _) if index == 0 => return Err(Errno::EINVAL),
                _ => return Ok(index as usize),
            }
        }
        Ok(count as usize)
    }

    /// Whether a piece lies in a registered buffer.
    ///
    /// # Errors
    /// `EFAULT`
    pub(super) fn check_registered(&self, index: u16, piece: IoSlice) -> Result<(), Errno> {
        let buffers = self.buffers.lock();
        let buffer = buffers.as_ref().and_then(|buffers| *buffers.get(usize::from(index))?);
        let inside = buffer.is_some_and(|buffer| {
            let end = buffer.address + buffer.length as u64;
            piece.address >= buffer.address && piece.address + piece.length as u64 <= end
        });
        if inside { Ok(()) } else { Err(Errno::EFAULT) }
    }

    /// Adds buffers to a group.
    ///
    /// # Errors
    /// `ENOMEM`
    pub(super) fn provide_buffers(
        &self,
        address: u64,
        length: u32,
        count: u16,
        group: u16,
        first: u16,
    ) -> Result<usize, Errno> {
        let mut provided = self.provided.lock();
        let buffers = provided.get_or_insert_with(group, VecDeque::new);
        buffers.try_reserve(usize::from(count)).map_err(|_| Errno::ENOMEM)?;
        for index in 0..count {
            buffers.push_back(Provided {
                address: address + u64::from(index) * u64::from(length),
                length,
                number: first.wrapping_add(index),
            });
        }
        Ok(0)
    }

    /// Takes buffers out of a group. Returns how many.
    ///
    /// # Errors
    /// `ENOENT`
    pub(super) fn remove_buffers(&self, count: u16, group: u16) -> Result<usize, Errno> {
        let mut provided = self.provided.lock();
        let buffers = provided.get_mut(&group).ok_or(Errno::ENOENT)?;
        let count = usize::from(count).min(buffers.len());
        buffers.drain(..count);
        Ok(count)
    }

    /// Takes the next buffer of a group.
    pub(super) fn take_buffer(&self, group: u16) -> Option<Provided> {
        self.provided.lock().get_mut(&group)?.pop_front()
    }

    /// Gives back a buffer that was not used.
    pub(super) fn give_buffer_back(&self, group: u16, buffer: Provided) {
        if let Some(buffers) = self.provided.lock().get_mut(&group) {
            buffers.push_front(buffer);
        }
    }

    /// Tells an event counter of completions.
    ///
    /// # Errors
    /// `EBUSY`, `EBADF`, `EINVAL` if it is no event counter.
    pub(super) fn register_event(&self, descriptor: i32, only_later: bool) -> Result<(), Errno> {
        let counter = event_counter::of(&*context::current().file(descriptor)?)?;
        let mut event = self.event.lock();
        if event.is_some() {
            return Err(Errno::EBUSY);
        }
        *event = Some(Event { counter, only_later });
        self.tells_event.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Tells it no more.
    ///
    /// # Errors
    /// `ENXIO`
    pub(super) fn unregister_event(&self) -> Result<(), Errno> {
        self.tells_event.store(false, Ordering::Relaxed);
        let event = self.event.lock().take();
        event.map(drop).ok_or(Errno::ENXIO)
    }
}
