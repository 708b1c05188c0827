//! A process: what its threads share. How processes come to be and end is in [`super::family`].

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicBool, AtomicI8, AtomicI32, AtomicU8, AtomicU32, AtomicU64, Ordering};

use spin::{Mutex, Once};

use pith_linux::credentials::{Capabilities, Credentials};
use pith_linux::signal::Signal;
use pith_timekeeping::Split;

use super::accounting::Accounting;
use super::deferred::Server;
use super::family::{self, FIRST, Family, Usage};
use super::interval_timers::IntervalTimers;
use super::pending::PendingSignals;
use super::posix_timers::PosixTimers;
use super::scheduler;
use super::signal::SignalActions;
use super::thread::{MUST_END, MUST_STOP, Thread};
use super::time_limits::{self, TimeLimit};
use super::wait::WaitQueue;
use crate::arch;
use crate::memory::{self, AddressSpace, Allowance, Overcommit};
use crate::sync::InterruptMutex;

/// What floors above this one keep per process (open files, working directory), or for a thread that has it for itself.
pub trait Resources: Any + Send + Sync {
    /// The process is about to run another program (`execve`): it shares nothing with others any more, and what was marked
    /// so is closed.
    fn before_exec(&self);

    /// The process ends, or the thread that had this for itself: everything is closed that nobody else shares.
    fn end(&self);
}

/// The program that a process runs, for `/proc`.
#[derive(Clone, Debug, Default)]
pub struct ProgramIdentity {
    /// Guest path of the executable, resolved.
    pub path: Vec<u8>,
    /// Where the argument strings lie in the program's memory: first address and address behind the last.
    pub arguments: (u64, u64),
    /// Where the environment strings lie.
    pub environment: (u64, u64),
    /// Where the auxiliary vector lies.
    pub auxiliary: (u64, u64),
    /// Initial stack pointer.
    pub stack: u64,
    /// What is kept for as long as it runs: that nobody writes its file.
    pub execution: Option<Arc<dyn Any + Send + Sync>>,
}

/// Resource limits, as `getrlimit(2)` knows them: (soft, hard) by resource number.
#[derive(Clone, Debug)]
pub struct Limits(pub [(u64, u64); 16]);

impl Limits {
    /// No limit.
    pub const INFINITY: u64 = u64::MAX;
    /// `RLIMIT_STACK`.
    pub const STACK: usize = 3;
    /// `RLIMIT_NOFILE`.
    pub const OPEN_FILES: usize = 7;
    /// `RLIMIT_NPROC`.
    pub const PROCESSES: usize = 6;
    /// `RLIMIT_DATA`.
    pub const DATA: usize = 2;
    /// `RLIMIT_MEMLOCK`.
    pub const LOCKED_MEMORY: usize = 8;
    /// `RLIMIT_AS`.
    pub const ADDRESS_SPACE: usize = 9;
    /// `RLIMIT_SIGPENDING`.
    pub const PENDING_SIGNALS: usize = 11;
    /// `RLIMIT_NICE`.
    pub const NICE: usize = 13;
    /// `RLIMIT_RTPRIO`.
    pub const REAL_TIME_PRIORITY: usize = 14;
    /// `RLIMIT_FSIZE`.
    pub const FILE_SIZE: usize = 1;
    /// `RLIMIT_CPU`, in seconds.
    pub const PROCESSOR_TIME: usize = 0;
    /// `RLIMIT_RTTIME`, in microseconds.
    pub const REAL_TIME: usize = 15;
}

impl Default for Limits {
    fn default() -> Self {
        let mut limits = [(Self::INFINITY, Self::INFINITY); 16];
        limits[Self::STACK].0 = 8 << 20;
        limits[4] = (0, Self::INFINITY); // core dumps
        limits[Self::OPEN_FILES] = (1024, 1_048_576);
        limits[Self::LOCKED_MEMORY] = (8 << 20, 8 << 20);
        limits[12] = (819_200, 819_200); // bytes in message queues
        limits[Self::NICE] = (0, 0);
        limits[Self::REAL_TIME_PRIORITY] = (0, 0);
        Self(limits)
    }
}

/// What a program has said about itself, mostly by `prctl(2)`. A process that forks passes it on.
pub struct Settings {
    /// Others of its user may look into it (`PR_SET_DUMPABLE`).
    pub dumpable: AtomicBool,
    /// How late its timers may be, in nanoseconds (`PR_SET_TIMERSLACK`).
    pub timer_slack: AtomicI32,
    /// How willingly it is killed when memory is short (`/proc/self/oom_score_adj`), and the least that it may say without
    /// the privilege for more.
    pub memory_adjustment: AtomicI32,
    /// See there.
    pub least_memory_adjustment: AtomicI32,
    /// What a dump of its memory would hold (`/proc/self/coredump_filter`).
    pub dump_filter: AtomicU32,
    /// For which commands of `membarrier(2)` it has registered: their numbers, which are bits.
    pub barriers: AtomicU32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dumpable: AtomicBool::new(true),
            timer_slack: AtomicI32::new(50_000),
            memory_adjustment: AtomicI32::new(0),
            least_memory_adjustment: AtomicI32::new(0),
            dump_filter: AtomicU32::new(0x33),
            barriers: AtomicU32::new(0),
        }
    }
}

impl Settings {
    /// Those of a new process.
    fn inherit(&self) -> Self {
        Self {
            dumpable: AtomicBool::new(self.dumpable.load(Ordering::Relaxed)),
            timer_slack: AtomicI32::new(self.timer_slack.load(Ordering::Relaxed)),
            memory_adjustment: AtomicI32::new(self.memory_adjustment.load(Ordering::Relaxed)),
            least_memory_adjustment: AtomicI32::new(self.least_memory_adjustment.load(Ordering::Relaxed)),
            dump_filter: AtomicU32::new(self.dump_filter.load(Ordering::Relaxed)),
            barriers: AtomicU32::new(self.barriers.load(Ordering::Relaxed)),
        }
    }

    /// Forgets what another program does not take over (`execve(2)`).
    pub fn reset_for_exec(&self) {
        self.dumpable.store(true, Ordering::Relaxed);
        self.barriers.store(0, Ordering::Relaxed);
    }
}

/// What was read and written by calls such as `read(2)` (`/proc/self/io`).
#[derive(Default)]
pub struct Transfers {
    /// Bytes read and bytes written.
    pub bytes: [AtomicU64; 2],
    /// Calls that read and calls that wrote, successful or not.
    pub calls: [AtomicU64; 2],
}

/// The half of [`Transfers`] that is about reading.
pub const READ: usize = 0;
/// That about writing.
pub const WRITTEN: usize = 1;

impl Transfers {
    /// Counts a call that moved so many bytes. Only the thread whose they are calls it.
    #[inline]
    pub fn count(&self, half: usize, bytes: usize) {
        for (counter, more) in [(&self.bytes[half], bytes as u64), (&self.calls[half], 1)] {
            counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
        }
    }

    /// The counters: bytes read and written, calls that read and wrote.
    pub fn get(&self) -> [u64; 4] {
        let [read, written] = &self.bytes;
        let [reads, writes] = &self.calls;
        [read, written, reads, writes].map(|counter| counter.load(Ordering::Relaxed))
    }

    /// Adds those of a thread that has ended.
    fn add(&self, other: &Self) {
        let counters = self.bytes.iter().chain(&self.calls);
        for (counter, more) in counters.zip(other.get()) {
            counter.fetch_add(more, Ordering::Relaxed);
        }
    }
}

/// Why a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// It called `exit_group` with this status.
    Exited(u8),
    /// A signal killed it; the text says why.
    Signaled(u8, String),
}

/// What the machine does when its process has ended.
pub type ExitHook = fn(ExitReason) -> !;

static EXIT_HOOK: Once<ExitHook> = Once::new();

/// Names what happens when the first process ends.
pub fn on_exit(hook: ExitHook) {
    EXIT_HOOK.call_once(|| hook);
}

/// A process.
pub struct Process {
    /// Its number; the first is 1, as in a container.
    pub id: u32,
    address_space: Mutex<Arc<AddressSpace>>,
    /// The number of that address space, for processors that change to one of its threads.
    space_number: AtomicU64,
    /// Its place among the processes.
    pub family: Family,
    /// What its program has said about itself.
    pub settings: Settings,
    /// What the floors above keep.
    pub resources: Arc<dyn Resources>,
    /// Signal handlers.
    pub actions: InterruptMutex<SignalActions>,
    /// Signals that are pending for the process: any of its threads may take them.
    pub pending: PendingSignals,
    /// Signals that interrupt no wait, since nothing happens on their delivery; kept by the owner of `actions`.
    pub silent: AtomicU64,
    /// Told whenever a signal has come, for the process or one of its threads: for those that wait for signals.
    pub signal_queue: WaitQueue,
    /// It was stopped and waits for `SIGCONT`.
    pub(super) stopped: AtomicBool,
    /// How often it was told to go on.
    pub(super) continues: AtomicU64,
    /// Where its threads wait for that.
    pub(super) continued: WaitQueue,
    /// Its interval timers (`setitimer(2)`).
    pub interval_timers: IntervalTimers,
    /// What watches over its processor time (`RLIMIT_CPU`).
    pub time_limit: TimeLimit,
    /// Its POSIX timers (`timer_create(2)`).
    pub posix_timers: PosixTimers,
    /// Who its first thread is, and so who it is for others. Interrupt handlers look here.
    pub(super) credentials: InterruptMutex<Arc<Credentials>>,
    /// Its limits.
    pub limits: Mutex<Limits>,
    /// The program it runs.
    pub program: Mutex<ProgramIdentity>,
    /// Who does work in its memory that was left for later.
    pub(super) deferred: Once<Arc<Server>>,
    /// Its threads, by number (a `u64`, as in the list of all).
    threads: InterruptMutex<BTreeMap<u64, Arc<Thread>>>,
    /// Memory and faults of the programs that it ran before the present one.
    pub(super) former_usage: Mutex<Usage>,
    /// Ticks of processor time of the threads that have ended.
    ended_ticks: AtomicU64,
    /// Most ticks of processor time that anybody was told.
    told_ticks: AtomicU64,
    /// Whether their time was the program's.
    ended_accounting: Accounting,
    /// How often they gave way, because they waited and because their time was over.
    ended_switches: [AtomicU64; 2],
    /// How long they waited for processors, in ticks, and how often they got one.
    ended_waits: [AtomicU64; 2],
    /// What they have read and written.
    ended_transfers: Transfers,
    /// The name that its first thread had when that ended.
    last_name: Mutex<[u8; 16]>,
    /// See [`Self::last_nice`].
    last_nice: AtomicI8,
    /// When it was made, by the time stamp counter.
    pub started: u64,
    /// What the first thread gave to `exit(2)`.
    status: AtomicU8,
    /// A thread ends all others to run another program.
    being_replaced: AtomicBool,
    /// Why it ends, once that is certain: its threads are on their way out.
    ending: InterruptMutex<Option<ExitReason>>,
}

/// What a new process takes over from the one that makes it, or not.
pub struct Inheritance {
    /// Its address space: a copy, or the same one.
    pub address_space: Arc<AddressSpace>,
    /// Its files.
    pub resources: Arc<dyn Resources>,
    /// Who it is.
    pub credentials: Arc<Credentials>,
    /// Signals that are handled get their default actions (`CLONE_CLEAR_SIGHAND`).
    pub clears_handlers: bool,
}

impl Process {
    /// The first process, with an address space that is still empty.
    pub fn first(
        address_space: Arc<AddressSpace>,
        resources: Arc<dyn Resources>,
        credentials: Arc<Credentials>,
    ) -> Arc<Self> {
        let process = Self::new(FIRST, address_space, resources, Family::first(), credentials);
        let process = Arc::new(process);
        family::enlist_first(&process);
        process
    }

    fn new(
        id: u32,
        address_space: Arc<AddressSpace>,
        resources: Arc<dyn Resources>,
        family: Family,
        credentials: Arc<Credentials>,
    ) -> Self {
        address_space.enter();
        Self {
            id,
            space_number: AtomicU64::new(address_space.number()),
            address_space: Mutex::new(address_space),
            family,
            settings: Settings::default(),
            resources,
            actions: InterruptMutex::new(SignalActions::default()),
            pending: PendingSignals::default(),
            silent: AtomicU64::new(SignalActions::default().silent()),
            signal_queue: WaitQueue::new(),
            stopped: AtomicBool::new(false),
            continues: AtomicU64::new(0),
            continued: WaitQueue::new(),
            interval_timers: IntervalTimers::default(),
            time_limit: TimeLimit::default(),
            posix_timers: PosixTimers::default(),
            credentials: InterruptMutex::new(credentials),
            limits: Mutex::new(Limits::default()),
            program: Mutex::new(ProgramIdentity::default()),
            deferred: Once::new(),
            threads: InterruptMutex::new(BTreeMap::new()),
            former_usage: Mutex::new(Usage::default()),
            ended_ticks: AtomicU64::new(0),
            told_ticks: AtomicU64::new(0),
            ended_accounting: Accounting::new(),
            ended_switches: [const { AtomicU64::new(0) }; 2],
            ended_waits: [const { AtomicU64::new(0) }; 2],
            ended_transfers: Transfers::default(),
            last_name: Mutex::new([0; 16]),
            last_nice: AtomicI8::new(0),
            started: arch::read_time_stamp_counter(),
            status: AtomicU8::new(0),
            being_replaced: AtomicBool::new(false),
            ending: InterruptMutex::new(None),
        }
    }

    /// A new process, made by this one, with a number and a place among the others: what `fork(2)` says is inherited.
    pub(super) fn descendant(&self, id: u32, family: Family, inheritance: Inheritance) -> Arc<Self> {
        let Inheritance {
            address_space,
            resources,
            credentials,
            clears_handlers,
        } = inheritance;
        let mut actions = self.actions.lock().clone();
        if clears_handlers {
            actions.reset();
        }
        let descendant = Arc::new(Self {
            settings: self.settings.inherit(),
            silent: AtomicU64::new(actions.silent()),
            actions: InterruptMutex::new(actions),
            limits: Mutex::new(self.limits.lock().clone()),
            program: Mutex::new(self.program.lock().clone()),
            ..Self::new(id, address_space, resources, family, credentials)
        });
        time_limits::set(&descendant, descendant.limit(Limits::PROCESSOR_TIME));
        descendant
    }

    /// Its address space.
    pub fn address_space(&self) -> Arc<AddressSpace> {
        self.address_space.lock().clone()
    }

    /// The number of its address space.
    pub fn space_number(&self) -> u64 {
        self.space_number.load(Ordering::Acquire)
    }

    /// Replaces the address space (`execve`) and makes it the processor's.
    pub fn replace_address_space(&self, new: Arc<AddressSpace>) {
        new.enter();
        let number = new.number();
        let old = core::mem::replace(&mut *self.address_space.lock(), new);
        self.space_number.store(number, Ordering::Release);
        if !old.is_shared() {
            self.former_usage.lock().add(Usage {
                memory: old.peak_bytes().1,
                faults: old.fault_count(),
                ..Usage::default()
            });
        }
        scheduler::address_space_replaced();
        old.leave();
    }

    /// Its threads.
    pub fn threads(&self) -> Vec<Arc<Thread>> {
        self.threads.lock().values().cloned().collect()
    }

    /// Does something with each of its threads, under the lock of their list. May be called by interrupt handlers, which must
    /// not be left with the last reference to a thread.
    pub(super) fn each_thread(&self, action: &mut dyn FnMut(&Thread)) {
        for thread in self.threads.lock().values() {
            action(thread);
        }
    }

    /// Whether all of its threads wait until it goes on.
    pub(super) fn all_threads_stand(&self) -> bool {
        let threads = self.threads.lock();
        threads.values().all(|thread| thread.stands.load(Ordering::SeqCst))
    }

    /// How many threads it has.
    pub fn thread_count(&self) -> usize {
        self.threads.lock().len()
    }

    /// The number of one of its threads: of the first if that has not ended, which is most likely.
    pub(super) fn any_thread(&self) -> u32 {
        let threads = self.threads.lock();
        if threads.contains_key(&self.id.into()) {
            return self.id;
        }
        threads.keys().next().map_or(self.id, |&first| first as u32)
    }

    pub(super) fn add_thread(&self, thread: Arc<Thread>) {
        let mut threads = self.threads.lock();
        // As for those that end.
        if self.is_stopped() {
            thread.attention.fetch_or(MUST_STOP, Ordering::SeqCst);
        }
        // Whoever ends the threads of the process says so before it looks for them.
        if self.is_ending() || self.being_replaced.load(Ordering::SeqCst) {
            thread.attention.fetch_or(MUST_END, Ordering::SeqCst);
        }
        threads.insert(thread.id().into(), thread);
    }

    /// Whether its threads are on their way out.
    pub fn is_ending(&self) -> bool {
        self.ending.lock().is_some()
    }

    /// A thread has ended. Returns how many are left.
    pub(super) fn remove_thread(&self, thread: &Thread) -> usize {
        self.ended_accounting.add(&thread.accounting);
        let (waited, gave_way) = thread.entity.switches();
        self.ended_switches[0].fetch_add(waited.into(), Ordering::Relaxed);
        self.ended_switches[1].fetch_add(gave_way.into(), Ordering::Relaxed);
        let (delayed, turns) = thread.entity.waits();
        self.ended_waits[0].fetch_add(delayed, Ordering::Relaxed);
        self.ended_waits[1].fetch_add(turns, Ordering::Relaxed);
        self.ended_transfers.add(&thread.transfers);
        if thread.id() == self.id {
            *self.last_name.lock() = *thread.name.lock();
            self.set_last_nice(thread.entity.nice());
        }
        let mut threads = self.threads.lock();
        let removed = threads.remove(&thread.id().into());
        // Under the lock: nobody counts its time twice, or not at all.
        self.ended_ticks
            .fetch_add(scheduler::used_ticks(thread), Ordering::Relaxed);
        let left = threads.len();
        drop(threads);
        drop(removed);
        left
    }

    /// The thread that calls `execve` takes over the process's number.
    pub(super) fn renumber_thread(&self, old: u32, new: u32) {
        let mut threads = self.threads.lock();
        if let Some(thread) = threads.remove(&old.into()) {
            threads.insert(new.into(), thread);
        }
    }

    /// How often threads that have ended gave way, because they waited and because their time was over.
    pub fn ended_switches(&self) -> (u64, u64) {
        let [waited, gave_way] = &self.ended_switches;
        (waited.load(Ordering::Relaxed), gave_way.load(Ordering::Relaxed))
    }

    /// What its threads have read and written: as [`Transfers::get`].
    pub fn transfers(&self) -> [u64; 4] {
        let mut sum = self.ended_transfers.get();
        for thread in self.threads() {
            sum.iter_mut()
                .zip(thread.transfers.get())
                .for_each(|(sum, more)| *sum += more);
        }
        sum
    }

    /// How long its threads have waited for processors, in ticks of the time stamp counter, and how often they got one.
    pub fn waits(&self) -> (u64, u64) {
        let [delayed, turns] = &self.ended_waits;
        let ended = (delayed.load(Ordering::Relaxed), turns.load(Ordering::Relaxed));
        let waits = self.threads().into_iter().map(|thread| thread.entity.waits());
        waits.fold(ended, |sum, more| (sum.0 + more.0, sum.1 + more.1))
    }

    /// The name that its first thread had when that ended.
    pub fn last_name(&self) -> [u8; 16] {
        *self.last_name.lock()
    }

    /// The nice value that its first thread had when that ended, or was given since then: it can be asked for until the
    /// process was waited for.
    pub fn last_nice(&self) -> i8 {
        self.last_nice.load(Ordering::Relaxed)
    }

    /// Changes what [`Self::last_nice`] tells.
    pub fn set_last_nice(&self, nice: i8) {
        self.last_nice.store(nice, Ordering::Relaxed);
    }

    /// Processor time that all its threads have used, in nanoseconds.
    pub fn cpu_time(&self) -> u64 {
        let threads = self.threads.lock();
        let living: u64 = threads.values().map(|thread| scheduler::used_ticks(thread)).sum();
        let ticks = living + self.ended_ticks.load(Ordering::Relaxed);
        drop(threads);
        // It never goes back, also if a thread is just being charged on its processor.
        let told = self.told_ticks.fetch_max(ticks, Ordering::Relaxed);
        super::clock::ticks_to_nanoseconds(ticks.max(told))
    }

    /// The same, told apart.
    pub fn split_time(&self) -> Split {
        let mut samples = self.ended_accounting.samples();
        self.each_thread(&mut |thread| {
            let more = thread.accounting.samples();
            samples = (samples.0 + more.0, samples.1 + more.1);
        });
        self.ended_accounting.divide(self.cpu_time(), samples)
    }

    pub(super) fn note_status(&self, status: u8) {
        self.status.store(status, Ordering::Relaxed);
    }

    /// A thread begins to end all others. False if another does already.
    pub(super) fn begin_replacement(&self) -> bool {
        !self.being_replaced.swap(true, Ordering::SeqCst)
    }

    pub(super) fn end_replacement(&self) {
        self.being_replaced.store(false, Ordering::SeqCst);
    }

    /// A signal has become pending for the process: lets one of the threads that do not block it look, and those that
    /// wait for signals.
    pub(super) fn signal_came(&self, signal: Signal) {
        let free = |thread: &&Arc<Thread>| thread.blocked.load(Ordering::SeqCst) & signal.bit() == 0;
        let threads = self.threads.lock();
        // The first thread, as on Linux; the program may have made it the one that handles signals.
        if let Some(thread) = threads
            .get(&self.id.into())
            .filter(free)
            .or_else(|| threads.values().find(free))
        {
            thread.interrupt();
        }
        drop(threads);
        self.signal_queue.wake_all();
        super::signal::FILES.wake_all();
    }

    /// Signals that are pending for the process became blocked in a thread, or it ends: lets others look.
    pub(super) fn reconsider_signals(&self, signals: u64) {
        for number in (1..=64).filter_map(Signal::from_number) {
            if signals & number.bit() != 0 {
                self.signal_came(number);
            }
        }
    }

    /// Whether it was stopped and waits for `SIGCONT`.
    pub fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::SeqCst)
    }

    /// A soft limit.
    pub fn limit(&self, resource: usize) -> u64 {
        self.limits.lock().0[resource].0
    }

    /// Who its first thread is, and so who it is for others.
    pub fn credentials(&self) -> Arc<Credentials> {
        self.credentials.lock().clone()
    }

    /// Its real user. May be asked for by interrupt handlers.
    pub fn real_user(&self) -> u32 {
        self.credentials.lock().users[0]
    }

    /// Its real and its saved user. May be asked for by interrupt handlers.
    pub fn real_and_saved_users(&self) -> [u32; 2] {
        let [real, _, saved] = self.credentials.lock().users;
        [real, saved]
    }

    /// Whether others of its user may look into it.
    pub fn is_dumpable(&self) -> bool {
        self.settings.dumpable.load(Ordering::Relaxed)
    }

    /// How much memory it may map.
    pub fn allowance(&self) -> Allowance {
        let privileged = super::credentials().has(Capabilities::LOCK_MEMORY);
        let promised_elsewhere = match Overcommit::current() {
            Overcommit::Never => memory::committed_elsewhere(self.space_number()),
            _ => 0,
        };
        let limits = self.limits.lock();
        Allowance {
            promised_elsewhere,
            address_space: limits.0[Limits::ADDRESS_SPACE].0,
            // As on Linux: what `setrlimit` could undo is no limit of mappings, for the sake of old programs.
            data: match limits.0[Limits::DATA] {
                (0, hard) => hard,
                (soft, _) => soft,
            },
            heap: limits.0[Limits::DATA].0,
            locked: if privileged {
                Limits::INFINITY
            } else {
                limits.0[Limits::LOCKED_MEMORY].0
            },
        }
    }

    /// Ends the process, and with the first one the machine.
    pub fn exit(&self, reason: ExitReason) -> ! {
        let alone = self.id == FIRST && !family::has_others();
        let first_to_end = {
            let mut ending = self.ending.lock();
            let first_to_end = ending.is_none();
            ending.get_or_insert(reason);
            first_to_end
        };
        if alone && first_to_end {
            // Nobody needs the processor any more, and the machine takes everything with it.
            self.end_machine();
        }
        if alone {
            scheduler::stay_halted();
        }
        if first_to_end {
            self.end_threads();
        }
        super::threads::exit_current(0)
    }

    /// Lets all threads end, but for the current one.
    pub(super) fn end_threads(&self) {
        let own = super::thread::current();
        for other in self.threads() {
            if !core::ptr::eq(&*own, &*other) {
                other.attention.fetch_or(MUST_END, Ordering::SeqCst);
                other.interrupt();
            }
        }
        // Those that were stopped wait here.
        self.continued.wake_all();
    }

    /// Why it ends: what was said first, or the status of its first thread if its threads ended one by one.
    pub(super) fn exit_reason(&self) -> ExitReason {
        let said = self.ending.lock().clone();
        said.unwrap_or(ExitReason::Exited(self.status.load(Ordering::Relaxed)))
    }

    /// Ends the machine as this process, the first one, has ended.
    pub(super) fn end_machine(&self) -> ! {
        end_machine(self.exit_reason())
    }
}

/// From now on no thread but the current one goes on with its program: each ends instead, as soon as it would. Nobody waits
/// for that here.
pub fn end_all_threads() {
    for process in family::processes() {
        process.end_threads();
    }
}

/// Ends the machine, whoever runs in it, as if its first process had ended so.
pub fn end_machine(reason: ExitReason) -> ! {
    match EXIT_HOOK.get() {
        Some(hook) => hook(reason),
        None => panic!("the process ended before the machine was ready: {reason:?}"),
    }
}
