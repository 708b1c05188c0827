//! The processes of the machine: who made whom, groups and sessions, and how a parent learns what became of its children.
//!
//! One list holds all processes, by number, from their start until somebody has learned how they ended; until then one that
//! has ended is a *zombie*. Its lock guards all relations between processes as well (who is whose parent, groups, sessions).
//! Interrupt handlers take it too, so it is held with interrupts off, nothing sleeps under it, and signals are sent after it.
//!
//! The first process has number 1, as in a container, and with it the machine ends: the others are killed. An orphan belongs
//! to the nearest ancestor that asked for orphans (`PR_SET_CHILD_SUBREAPER`), else to the kernel, which does for it in the
//! name of number 1 what `init` does elsewhere: such a process vanishes when it ends. So a program that knows nothing of
//! being number 1 meets no children that it never made, and leaves no zombies behind.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use pith_linux::Errno;
use pith_linux::signal::{ActionFlags, SIG_DFL, SIG_IGN, Signal, SignalInformation, code};
use pith_timekeeping::Split;
use spin::{Mutex, Once};

use super::clock;
use super::jobs;
use super::process::{ExitReason, Process};
use super::scheduler;
use super::signal;
use super::thread::{Thread, current};
use super::threads::find_thread;
use super::wait::WaitQueue;
use crate::sync::InterruptMutex;

/// The number of the first process.
pub const FIRST: u32 = 1;

/// All processes, by number, zombies included.
static PROCESSES: InterruptMutex<Vec<Arc<Process>>> = InterruptMutex::new(Vec::new());
/// Told whenever a process has ended.
static ENDED: WaitQueue = WaitQueue::new();
/// How many processes there have been; changed with the list locked.
static BIRTHS: AtomicU64 = AtomicU64::new(0);
/// The first process ends: there are no new ones any more. Changed with the list locked.
static CLOSED: AtomicBool = AtomicBool::new(false);

/// A signal as the kernel remembers that a parent was not told of it yet: nothing, that a process goes on, or by which
/// signal it was stopped.
const NOTHING: u8 = 0;
const GOES_ON: u8 = u8::MAX;

/// The place of a process among the others.
pub struct Family {
    parent: AtomicU32,
    /// The thread of its parent that made it, or has inherited it from another thread that has ended.
    maker: AtomicU32,
    /// The how many-th process it is.
    born: AtomicU64,
    /// It has or had children, so that its threads may have some.
    ever_parent: AtomicBool,
    /// Its parent has ended, and the kernel looks after it.
    adopted: AtomicBool,
    group: AtomicU32,
    session: AtomicU32,
    /// The signal that tells its parent of its end; 0 for none.
    end_signal: AtomicU8,
    /// Which time that a terminal began to control a session counts for it: it made that happen, or was forked since; 0 for
    /// none.
    pub terminal: AtomicU64,
    /// The group that was in the foreground of the terminal of the session that it leads, when that was hung up; 0 for none.
    pub last_foreground: AtomicU32,
    /// It has run another program: its parent may not put it into another group any more.
    has_executed: AtomicBool,
    /// It wants the orphans among its descendants (`PR_SET_CHILD_SUBREAPER`).
    pub takes_orphans: AtomicBool,
    /// The signal that it wants when its parent ends; 0 for none (`PR_SET_PDEATHSIG`).
    pub parent_end_signal: AtomicU8,
    /// It runs in its parent's memory, and the parent waits until it does no more (`vfork(2)`).
    borrows_memory: AtomicBool,
    /// How it ended: it is a zombie.
    outcome: InterruptMutex<Option<Outcome>>,
    /// The signal that stops it, while not all of its threads stand; otherwise 0.
    stopping: AtomicU8,
    /// Nobody can learn any more how it ended: its number is free.
    is_gone: AtomicBool,
    /// That it was stopped or goes on, of which its parent was not told.
    report: AtomicU8,
    /// Where its threads wait for its children.
    children: WaitQueue,
    /// Told when it has ended, or does not borrow memory any more.
    pub changes: WaitQueue,
    /// What its children have used whose end it has learned of.
    children_usage: Mutex<Usage>,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Exited(u8),
    Killed(u8),
}

/// What a process has used.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Processor time.
    pub time: Split,
    /// Most memory at one time, in bytes.
    pub memory: u64,
    /// Page faults.
    pub faults: u64,
    /// Switches to other threads, because it waited and because its time was over.
    pub switches: (u64, u64),
}

impl Usage {
    /// What a process itself has used.
    pub fn of(process: &Process) -> Self {
        let space = process.address_space();
        let before = *process.former_usage.lock();
        let mut switches = process.ended_switches();
        for thread in process.threads() {
            let (voluntary, involuntary) = thread.entity.switches();
            switches.0 += u64::from(voluntary);
            switches.1 += u64::from(involuntary);
        }
        Self {
            time: process.split_time(),
            memory: space.peak_bytes().1.max(before.memory),
            faults: space.fault_count() + before.faults,
            switches,
        }
    }

    /// What the children of a process have used whose end it has learned of.
    pub fn of_children(process: &Process) -> Self {
        *process.family.children_usage.lock()
    }

    pub(super) fn add(&mut self, other: Self) {
        self.time.program += other.time.program;
        self.time.kernel += other.time.kernel;
        self.memory = self.memory.max(other.memory);
        self.faults += other.faults;
        self.switches.0 += other.switches.0;
        self.switches.1 += other.switches.1;
    }
}

impl Family {
    fn new(group: u32, session: u32, end_signal: u8) -> Self {
        Self {
            parent: AtomicU32::new(0),
            maker: AtomicU32::new(0),
            born: AtomicU64::new(0),
            ever_parent: AtomicBool::new(false),
            adopted: AtomicBool::new(false),
            group: AtomicU32::new(group),
            session: AtomicU32::new(session),
            end_signal: AtomicU8::new(end_signal),
            terminal: AtomicU64::new(0),
            last_foreground: AtomicU32::new(0),
            has_executed: AtomicBool::new(false),
            takes_orphans: AtomicBool::new(false),
            parent_end_signal: AtomicU8::new(0),
            borrows_memory: AtomicBool::new(false),
            outcome: InterruptMutex::new(None),
            stopping: AtomicU8::new(0),
            is_gone: AtomicBool::new(false),
            report: AtomicU8::new(NOTHING),
            children: WaitQueue::new(),
            changes: WaitQueue::new(),
            children_usage: Mutex::new(Usage::default()),
        }
    }

    /// That of the first process, which leads its group and its session.
    pub(super) fn first() -> Self {
        let first = Self::new(FIRST, FIRST, 0);
        first.terminal.store(jobs::FIRST_TERMINAL, Ordering::Relaxed);
        first
    }

    /// That of a process that is about to be made. Who it belongs to is settled when it is enlisted.
    pub(super) fn descendant(end_signal: u8) -> Self {
        Self::new(0, 0, end_signal)
    }

    /// Takes its place beside its maker, or below it. Called with the list locked, since all of this may change.
    fn settle(&self, maker: &Thread, sibling: bool) {
        let process = &maker.process;
        let own = &process.family;
        let copy = |to: &AtomicU32, from: &AtomicU32| to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        if sibling {
            copy(&self.parent, &own.parent);
            copy(&self.maker, &own.maker);
            self.adopted
                .store(own.adopted.load(Ordering::Relaxed), Ordering::Relaxed);
            let signal = own.end_signal.load(Ordering::Relaxed);
            self.end_signal.store(signal, Ordering::Relaxed);
        } else {
            self.parent.store(process.id, Ordering::Relaxed);
            self.maker.store(maker.id(), Ordering::Relaxed);
            own.ever_parent.store(true, Ordering::Relaxed);
        }
        copy(&self.group, &own.group);
        copy(&self.session, &own.session);
        self.terminal
            .store(own.terminal.load(Ordering::Relaxed), Ordering::Relaxed);
        let born = BIRTHS.fetch_add(1, Ordering::Relaxed) + 1;
        self.born.store(born, Ordering::Relaxed);
    }

    /// The how many-th process it is: no other ever has this number.
    pub fn birth(&self) -> u64 {
        self.born.load(Ordering::Relaxed)
    }

    /// The number of its parent; 0 for the first process.
    pub fn parent(&self) -> u32 {
        self.parent.load(Ordering::Relaxed)
    }

    /// The number of its process group.
    pub fn group(&self) -> u32 {
        self.group.load(Ordering::Relaxed)
    }

    /// The number of its session.
    pub fn session(&self) -> u32 {
        self.session.load(Ordering::Relaxed)
    }

    /// The number of the signal that tells its parent of its end; 0 for none.
    pub fn end_signal(&self) -> u8 {
        self.end_signal.load(Ordering::Relaxed)
    }

    /// How it ended, as `wait(2)` tells it; 0 while it lives.
    pub fn ended_status(&self) -> i32 {
        match *self.outcome.lock() {
            Some(Outcome::Exited(status)) => i32::from(status) << 8,
            Some(Outcome::Killed(signal)) => signal.into(),
            None => 0,
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.outcome.lock().is_some()
    }

    /// Whether it has ended, and whoever wanted to know how has learned of it.
    pub fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
    }

    /// It runs another program now.
    pub fn executes(&self) {
        self.has_executed.store(true, Ordering::Relaxed);
        // Another program is always waited for in the usual way.
        self.end_signal.store(Signal::SIGCHLD.number(), Ordering::Relaxed);
        self.give_memory_back();
    }

    pub(super) fn borrow_memory(&self) {
        self.borrows_memory.store(true, Ordering::SeqCst);
    }

    /// Lets the parent go on that waits until this process does not run in its memory any more.
    fn give_memory_back(&self) {
        if self.borrows_memory.swap(false, Ordering::SeqCst) {
            self.changes.wake_all();
        }
    }

    /// Waits until a new process does not run in the current one's memory any more. As on Linux only what ends the process
    /// ends that early.
    pub(super) fn wait_until_returned(&self) {
        let thread = current();
        let mask = thread.blocked.swap(!Signal::SIGKILL.bit(), Ordering::SeqCst);
        let returned = || (!self.borrows_memory.load(Ordering::SeqCst)).then_some(());
        let mut stops = false;
        while self.changes.wait(returned).is_err() && !thread.must_end() && !thread.has_deliverable_signal() {
            stops |= thread.put_stop_off();
        }
        thread.blocked.store(mask, Ordering::SeqCst);
        if stops {
            thread.stop_later();
        }
    }
}

fn is_child(process: &Process, parent: u32) -> bool {
    process.family.parent() == parent && !process.family.adopted.load(Ordering::Relaxed)
}

fn position(list: &[Arc<Process>], number: u32) -> Result<usize, usize> {
    list.binary_search_by_key(&number, |process| process.id)
}

/// A process by its number, a zombie as well.
pub fn find_process(number: u32) -> Option<Arc<Process>> {
    let list = PROCESSES.lock();
    position(&list, number).ok().map(|index| list[index].clone())
}

/// All processes by their numbers, zombies included.
pub fn processes() -> Vec<Arc<Process>> {
    PROCESSES.lock().clone()
}

/// Whether there are processes besides the first.
pub fn has_others() -> bool {
    PROCESSES.lock().len() > 1
}

/// The first process.
pub fn first_process() -> Option<Arc<Process>> {
    find_process(FIRST)
}

/// Processes that carry a group's number.
pub fn members(group: u32) -> Vec<Arc<Process>> {
    let mut found = processes();
    found.retain(|process| process.family.group() == group);
    found
}

/// Lets something be told to all processes of a kind, by a signal or by none.
///
/// Whoever was told can't fork before the signal is delivered ([`enlist`]). But what was forked by then may have come too
/// late for our list: it is told too, if the signal does what it does by default. (Else it may be a child of a handler.)
pub fn tell_all(selected: &dyn Fn(&Process) -> bool, signal: Option<Signal>, tell: &mut dyn FnMut(&Arc<Process>)) {
    let mut told_until = None;
    loop {
        let (mut found, births) = {
            let list = PROCESSES.lock();
            (list.clone(), BIRTHS.load(Ordering::Relaxed))
        };
        let is_due = |process: &Process| match (told_until, signal) {
            (None, _) => true,
            (Some(until), Some(signal)) => {
                process.family.born.load(Ordering::Relaxed) > until
                    && process.actions.lock().get(signal).handler == SIG_DFL
            }
            (Some(_), None) => false,
        };
        found.retain(|process| selected(process) && is_due(process));
        if found.is_empty() {
            return;
        }
        found.iter().for_each(&mut *tell);
        told_until = Some(births);
    }
}

/// Whether a number names a process, a group or a session.
pub(super) fn is_taken(number: u32) -> bool {
    let list = PROCESSES.lock();
    list.iter().any(|process| {
        let family = &process.family;
        process.id == number || family.group() == number || family.session() == number
    })
}

pub(super) fn enlist_first(process: &Arc<Process>) {
    PROCESSES.lock().push(process.clone());
}

/// Adds a process to the list that the current thread makes, as its child or beside it.
///
/// # Errors
/// `EAGAIN` without memory, `ENOMEM` when the machine ends; `EINTR` if a signal has come, which is to be delivered to the
/// maker alone: the call starts again.
pub(super) fn enlist(process: &Arc<Process>, sibling: bool) -> Result<(), Errno> {
    let maker = current();
    let mut list = PROCESSES.lock();
    if maker.is_interrupted() {
        signal::set_restart(signal::Restart::Always);
        return Err(Errno::EINTR);
    }
    if CLOSED.load(Ordering::Relaxed) {
        return Err(Errno::ENOMEM);
    }
    list.try_reserve(1).map_err(|_| Errno::EAGAIN)?;
    let Err(place) = position(&list, process.id) else {
        return Err(Errno::EAGAIN);
    };
    process.family.settle(&maker, sibling);
    list.insert(place, process.clone());
    Ok(())
}

/// Takes a process out of the list. The caller drops it without the lock.
fn remove(list: &mut Vec<Arc<Process>>, number: u32) -> Option<Arc<Process>> {
    let removed = list.remove(position(list, number).ok()?);
    removed.family.is_gone.store(true, Ordering::Relaxed);
    Some(removed)
}

/// Takes a process out of the list that never ran.
pub(super) fn withdraw(process: &Process) {
    let removed = remove(&mut PROCESSES.lock(), process.id);
    drop(removed);
}

/// How many threads the processes of a user have.
pub(super) fn threads_of_user(user: u32) -> u64 {
    let own = |process: &Arc<Process>| process.real_user() == user;
    let counted = processes().into_iter().filter(own);
    counted.map(|process| process.thread_count() as u64).sum()
}

// ---- Groups and sessions ----

/// Puts a process into a group, as `setpgid(2)`.
///
/// # Errors
/// `EINVAL`, `ESRCH`, `EPERM`, `EACCES`.
pub fn set_group(number: u32, group: u32) -> Result<(), Errno> {
    let caller = super::current_process();
    let (number, group) = match (number, group) {
        (0, group) => (caller.id, group),
        other => other,
    };
    let group = if group == 0 { number } else { group };
    // The number of a thread that is not the first is none of a process.
    let names_thread = find_thread(number).is_some();
    let list = PROCESSES.lock();
    let unknown = if names_thread { Errno::EINVAL } else { Errno::ESRCH };
    let process = position(&list, number).map(|index| &list[index]).map_err(|_| unknown)?;
    let family = &process.family;
    if is_child(process, caller.id) {
        if family.session() != caller.family.session() {
            return Err(Errno::EPERM);
        }
        if family.has_executed.load(Ordering::Relaxed) {
            return Err(Errno::EACCES);
        }
    } else if process.id != caller.id {
        return Err(Errno::ESRCH);
    }
    if family.session() == process.id {
        return Err(Errno::EPERM);
    }
    let session = caller.family.session();
    let exists = |other: &Arc<Process>| other.family.group() == group && other.family.session() == session;
    if group != process.id && !list.iter().any(exists) {
        return Err(Errno::EPERM);
    }
    family.group.store(group, Ordering::Relaxed);
    Ok(())
}

/// Makes the current process the leader of a new session and of a new group, as `setsid(2)`.
///
/// # Errors
/// `EPERM` if a group has its number.
pub fn new_session() -> Result<u32, Errno> {
    let caller = super::current_process();
    let list = PROCESSES.lock();
    if list.iter().any(|process| process.family.group() == caller.id) {
        return Err(Errno::EPERM);
    }
    caller.family.session.store(caller.id, Ordering::Relaxed);
    caller.family.terminal.store(0, Ordering::Relaxed);
    caller.family.last_foreground.store(0, Ordering::Relaxed);
    caller.family.group.store(caller.id, Ordering::Relaxed);
    Ok(caller.id)
}

/// Whether nobody looks after a group: none of its processes has a parent in the same session and another group.
fn is_orphaned(list: &[Arc<Process>], group: u32) -> bool {
    !list.iter().any(|process| {
        let family = &process.family;
        let parent = position(list, family.parent()).map(|index| &list[index]);
        family.group() == group
            && !family.has_ended()
            && !family.adopted.load(Ordering::Relaxed)
            && parent.is_ok_and(|parent| parent.family.session() == family.session() && parent.family.group() != group)
    })
}

/// Whether nobody looks after the group of a process, so that it is not stopped by a terminal.
pub fn group_is_orphaned(process: &Process) -> bool {
    is_orphaned(&PROCESSES.lock(), process.family.group())
}

// ---- Stopping and going on ----

/// A process begins to stop by a signal, unless it was told to go on since `continues` was read. False then. Its parent is
/// told as soon as all of its threads stand.
pub(super) fn stop(process: &Process, signal: Signal, continues: u64) -> bool {
    let _list = PROCESSES.lock();
    if process.continues.load(Ordering::SeqCst) != continues {
        return false;
    }
    let family = &process.family;
    if !process.stopped.swap(true, Ordering::SeqCst) || family.stopping.load(Ordering::Relaxed) != 0 {
        family.stopping.store(signal.number(), Ordering::Relaxed);
    }
    true
}

/// A thread of a process stands, or has ended: if it was the last that ran of one that stops, its parent is told.
pub(super) fn stands(process: &Process) {
    if !process.is_stopped() {
        return;
    }
    let list = PROCESSES.lock();
    let family = &process.family;
    let Some(signal) = Signal::from_number(family.stopping.load(Ordering::Relaxed).into()) else {
        return;
    };
    if !process.all_threads_stand() {
        return;
    }
    // What is the case and what the parent learns change together.
    family.stopping.store(0, Ordering::Relaxed);
    family.report.store(signal.number(), Ordering::Relaxed);
    let parent = parent_of(&list, process);
    drop(list);
    if let Some(parent) = parent {
        tell_of_stop(&parent, process, CLD_STOPPED, signal);
    }
}

/// A process goes on if it was stopped, since it is told to (`is_told`) or has to end. May be called by interrupt handlers.
pub(super) fn go_on(process: &Process, is_told: bool) {
    let list = PROCESSES.lock();
    process.continues.fetch_add(1, Ordering::SeqCst);
    if !process.stopped.swap(false, Ordering::SeqCst) {
        return;
    }
    process.family.stopping.store(0, Ordering::Relaxed);
    let report = if is_told { GOES_ON } else { NOTHING };
    process.family.report.store(report, Ordering::Relaxed);
    let parent = parent_of(&list, process).filter(|_| is_told);
    drop(list);
    process.continued.wake_all();
    if let Some(parent) = parent {
        tell_of_stop(&parent, process, CLD_CONTINUED, Signal::SIGCONT);
    }
}

/// The parent of a process, unless the kernel looks after it.
fn parent_of(list: &[Arc<Process>], process: &Process) -> Option<Arc<Process>> {
    if process.family.adopted.load(Ordering::Relaxed) {
        return None;
    }
    let index = position(list, process.family.parent()).ok()?;
    Some(list[index].clone())
}

/// Tells a parent that its child was stopped or goes on.
fn tell_of_stop(parent: &Process, process: &Process, what: i32, signal: Signal) {
    let action = parent.actions.lock().get(Signal::SIGCHLD);
    let wanted = !ActionFlags::from_bits_truncate(action.flags).contains(ActionFlags::NOCLDSTOP);
    if action.handler != SIG_IGN && wanted {
        let information = child_information(process, Signal::SIGCHLD, what, signal.number().into());
        let _ = signal::send(parent, Signal::SIGCHLD, information);
    }
    parent.family.children.wake_all();
}

// ---- The end ----

const CLD_EXITED: i32 = 1;
const CLD_KILLED: i32 = 2;
const CLD_STOPPED: i32 = 5;
const CLD_CONTINUED: i32 = 6;

/// What is told of a child: who, how, its status, and its processor time in hundredths of seconds.
fn child_information(process: &Process, signal: Signal, what: i32, status: i32) -> SignalInformation {
    const HUNDREDTH: u64 = 10_000_000;
    let mut information = SignalInformation::sent(signal, what, process.id, process.real_user());
    information.fields[8..12].copy_from_slice(&status.to_le_bytes());
    let time = process.split_time();
    information.fields[16..24].copy_from_slice(&(time.program / HUNDREDTH).to_le_bytes());
    information.fields[24..32].copy_from_slice(&(time.kernel / HUNDREDTH).to_le_bytes());
    information
}

/// What else is done when a process ends, by the floors above.
pub type EndHook = fn(&Arc<Process>);

static END_HOOK: Once<EndHook> = Once::new();

/// Names what else is done when a process ends.
pub fn on_end(hook: EndHook) {
    END_HOOK.call_once(|| hook);
}

/// Signals that are to be sent when the lock is free.
type Letters = Vec<(Arc<Process>, Signal, SignalInformation)>;

fn deliver(letters: Letters) {
    for (process, signal, information) in letters {
        // One that can't be queued is lost, as on Linux.
        let _ = signal::send(&process, signal, information);
    }
}

/// The last thread of a process ends, which is not the first process: gives back all that it has, and tells whoever has to
/// know. Nothing of the program's memory may be touched afterwards.
pub(super) fn end(process: &Arc<Process>) {
    if let Some(hook) = END_HOOK.get() {
        hook(process);
    }
    process.resources.end();
    if let Some(server) = process.deferred.get() {
        server.close();
    }
    process.posix_timers.clear();
    process.interval_timers.clear();
    process.time_limit.clear();
    process.address_space().leave();
    let outcome = match process.exit_reason() {
        ExitReason::Exited(status) => Outcome::Exited(status),
        ExitReason::Signaled(signal, reason) => {
            crate::info!("process {} was killed by signal {signal}: {reason}", process.id);
            Outcome::Killed(signal)
        }
    };
    let mut letters = Letters::new();
    let mut gone = Vec::new();
    let parent = {
        let mut list = PROCESSES.lock();
        leave_children(&mut list, process, &mut letters, &mut gone);
        let looked_after = parent_of(&list, process).is_some_and(|parent| looks_after(&parent, process));
        let parent = bury(&mut list, process, outcome, &mut letters, &mut gone);
        if looked_after {
            hang_up(&list, process.family.group(), &mut letters);
        }
        parent
    };
    // Not under the lock: it may be the last reference to much.
    for one in gone {
        one.family.changes.wake_all();
    }
    process.family.give_memory_back();
    process.family.changes.wake_all();
    deliver(letters);
    if let Some(parent) = parent {
        parent.family.children.wake_all();
    }
    ENDED.wake_all();
}

/// Finds new parents for the children of a process that ends.
fn leave_children(
    list: &mut Vec<Arc<Process>>,
    process: &Process,
    letters: &mut Letters,
    gone: &mut Vec<Arc<Process>>,
) {
    let children: Vec<_> = list
        .iter()
        .filter(|child| child.family.parent() == process.id)
        .cloned()
        .collect();
    if children.is_empty() {
        return;
    }
    let heir = heir(list, process);
    let (number, maker) = heir
        .as_ref()
        .map_or((FIRST, FIRST), |heir| (heir.id, heir.any_thread()));
    if let Some(heir) = &heir {
        heir.family.ever_parent.store(true, Ordering::Relaxed);
    }
    for child in &children {
        let family = &child.family;
        family.parent.store(number, Ordering::Relaxed);
        family.maker.store(maker, Ordering::Relaxed);
        family.adopted.store(heir.is_none(), Ordering::Relaxed);
        family.end_signal.store(Signal::SIGCHLD.number(), Ordering::Relaxed);
        tell_of_parent(child, process, letters);
        let outcome = *family.outcome.lock();
        if let Some(outcome) = outcome {
            let parent = bury(list, child, outcome, letters, gone);
            if let Some(parent) = parent {
                parent.family.children.wake_all();
            }
        }
    }
    // Only now it is known which groups nobody looks after any more; each is told once.
    let mut groups: Vec<u32> = Vec::new();
    for child in children.iter().filter(|child| looks_after(process, child)) {
        let group = child.family.group();
        if !groups.contains(&group) {
            groups.push(group);
            hang_up(list, group, letters);
        }
    }
    // Perhaps the last references to some that were zombies.
    gone.extend(children);
}

/// A child learns that its parent, or the thread that made it, has ended, if it wants to.
fn tell_of_parent(child: &Arc<Process>, parent: &Process, letters: &mut Letters) {
    if let Some(signal) = Signal::from_number(child.family.parent_end_signal.load(Ordering::Relaxed).into()) {
        let information = SignalInformation::sent(signal, code::SI_USER, parent.id, parent.real_user());
        letters.push((child.clone(), signal, information));
    }
}

/// A thread of a process ends, and others are left: those are the makers of its children now.
pub(super) fn thread_ends(process: &Process, thread: u32) {
    if !process.family.ever_parent.load(Ordering::Relaxed) {
        return;
    }
    let mut letters = Letters::new();
    let list = PROCESSES.lock();
    let heir = process.any_thread();
    for child in list.iter().filter(|child| is_child(child, process.id)) {
        if child.family.maker.load(Ordering::Relaxed) == thread {
            child.family.maker.store(heir, Ordering::Relaxed);
            tell_of_parent(child, process, &mut letters);
        }
    }
    drop(list);
    deliver(letters);
}

/// The only thread of a process has another number now.
pub(super) fn thread_renumbered(process: &Process, number: u32) {
    let list = PROCESSES.lock();
    for child in list.iter().filter(|child| is_child(child, process.id)) {
        child.family.maker.store(number, Ordering::Relaxed);
    }
}

/// Whether a process looks after the group of its child, as a shell does after those of its jobs.
fn looks_after(parent: &Process, child: &Process) -> bool {
    let (own, theirs) = (&parent.family, &child.family);
    own.session() == theirs.session() && own.group() != theirs.group()
}

/// The nearest ancestor that wants orphans.
fn heir(list: &[Arc<Process>], process: &Process) -> Option<Arc<Process>> {
    let mut number = process.family.parent();
    while let Ok(index) = position(list, number) {
        let ancestor = &list[index];
        let family = &ancestor.family;
        if family.takes_orphans.load(Ordering::Relaxed) && !family.has_ended() && !ancestor.is_ending() {
            return Some(ancestor.clone());
        }
        number = family.parent();
    }
    None
}

/// A process has ended: makes it a zombie and prepares what tells its parent, or takes it out of the list if nobody wants to
/// know. Answers who may wait for it.
fn bury(
    list: &mut Vec<Arc<Process>>,
    process: &Process,
    outcome: Outcome,
    letters: &mut Letters,
    gone: &mut Vec<Arc<Process>>,
) -> Option<Arc<Process>> {
    let family = &process.family;
    *family.outcome.lock() = Some(outcome);
    if family.adopted.load(Ordering::Relaxed) {
        gone.extend(remove(list, process.id));
        return None;
    }
    let parent = position(list, family.parent()).ok().map(|index| list[index].clone())?;
    let action = parent.actions.lock().get(Signal::SIGCHLD);
    let signal = Signal::from_number(family.end_signal.load(Ordering::Relaxed).into());
    let told_usually = signal == Some(Signal::SIGCHLD);
    let forgets = ActionFlags::from_bits_truncate(action.flags).contains(ActionFlags::NOCLDWAIT);
    if told_usually && (action.handler == SIG_IGN || forgets) {
        gone.extend(remove(list, process.id));
    }
    if let Some(signal) = signal.filter(|_| !(told_usually && action.handler == SIG_IGN)) {
        let (what, status) = match outcome {
            Outcome::Exited(status) => (CLD_EXITED, status),
            Outcome::Killed(signal) => (CLD_KILLED, signal),
        };
        letters.push((
            parent.clone(),
            signal,
            child_information(process, signal, what, status.into()),
        ));
    }
    Some(parent)
}

/// Somebody who looked after a group does not any more: if nobody does now and some of it is stopped, it is told to hang up
/// and to go on.
fn hang_up(list: &[Arc<Process>], group: u32, letters: &mut Letters) {
    let of_group = |other: &&Arc<Process>| other.family.group() == group && !other.family.has_ended();
    let stopped = list.iter().filter(of_group).any(|other| other.is_stopped());
    if stopped && is_orphaned(list, group) {
        for other in list.iter().filter(of_group) {
            for signal in [Signal::SIGHUP, Signal::SIGCONT] {
                letters.push((other.clone(), signal, SignalInformation::new(signal, code::SI_KERNEL)));
            }
        }
    }
}

/// The first process ends: kills all others and waits until they have ended, for some seconds at most.
pub(super) fn end_others() {
    /// In nanoseconds.
    const PATIENCE: u64 = 5_000_000_000;
    let others = || processes().into_iter().filter(|process| process.id != FIRST);
    {
        let _list = PROCESSES.lock();
        CLOSED.store(true, Ordering::Relaxed);
    }
    for process in others() {
        signal::post(&process, Signal::SIGKILL);
    }
    let deadline = clock::monotonic().after(PATIENCE);
    let all_ended = || others().all(|process| process.family.has_ended()).then_some(());
    if ENDED.wait_until(Some(deadline), all_ended).is_err() {
        crate::warning!("the machine ends although processes have not ended within {PATIENCE} ns");
    }
}

// ---- Waiting ----

/// For which children to wait.
pub enum Whom {
    /// All.
    Any,
    /// The one with this number.
    Process(u32),
    /// Those of this group.
    Group(u32),
}

/// What to wait for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wishes {
    /// That children have ended.
    pub ended: bool,
    /// That children were stopped.
    pub stopped: bool,
    /// That children go on.
    pub continued: bool,
    /// Not to wait at all.
    pub no_wait: bool,
    /// To leave what was found, so that it can be found again.
    pub leave: bool,
    /// Only children of the calling thread count.
    pub of_thread: bool,
    /// Which children count: `Some(true)` those whose end is not told by `SIGCHLD`, `Some(false)` the others, `None` all.
    pub unusual: Option<bool>,
}

/// What became of a child.
#[derive(Clone, Copy, Debug)]
pub struct News {
    /// Its number.
    pub process: u32,
    /// Its real user.
    pub user: u32,
    /// What happened, as `si_code` of `SIGCHLD` tells it.
    pub code: i32,
    /// Status or signal.
    pub status: i32,
    /// What it has used, with its children.
    pub usage: Usage,
}

impl News {
    /// The status as `wait(2)` gives it.
    pub fn wait_status(&self) -> i32 {
        match self.code {
            CLD_EXITED => self.status << 8,
            CLD_STOPPED => self.status << 8 | 0x7f,
            CLD_CONTINUED => 0xffff,
            _ => self.status,
        }
    }
}

/// What of a child's life is to be told now.
fn look_at(child: &Process, wishes: &Wishes) -> Option<(i32, i32)> {
    let outcome = *child.family.outcome.lock();
    if let Some(outcome) = outcome {
        return wishes.ended.then_some(match outcome {
            Outcome::Exited(status) => (CLD_EXITED, status.into()),
            Outcome::Killed(signal) => (CLD_KILLED, signal.into()),
        });
    }
    match child.family.report.load(Ordering::Relaxed) {
        NOTHING => None,
        GOES_ON => wishes
            .continued
            .then_some((CLD_CONTINUED, Signal::SIGCONT.number().into())),
        signal => wishes.stopped.then_some((CLD_STOPPED, signal.into())),
    }
}

/// Waits for a child of the current process, as `waitid(2)`. `None`: there are such children, but no news, and
/// [`Wishes::no_wait`] is set.
///
/// # Errors
/// `ECHILD` if there is no such child, `EINTR`.
pub fn wait_for_child(whom: &Whom, wishes: &Wishes) -> Result<Option<News>, Errno> {
    let process = super::current_process();
    let own = current().id();
    let look = || {
        let mut list = PROCESSES.lock();
        let mut any = false;
        let mut found = None;
        for child in list.iter().filter(|child| is_child(child, process.id)) {
            let meant = match whom {
                Whom::Any => true,
                Whom::Process(number) => child.id == *number,
                Whom::Group(group) => child.family.group() == *group,
            };
            if wishes.of_thread && child.family.maker.load(Ordering::Relaxed) != own {
                continue;
            }
            let is_unusual = child.family.end_signal.load(Ordering::Relaxed) != Signal::SIGCHLD.number();
            if !meant || wishes.unusual.is_some_and(|wanted| wanted != is_unusual) {
                continue;
            }
            // Of one that has ended, nothing but that is told.
            if child.family.has_ended() && !wishes.ended {
                continue;
            }
            any = true;
            if let Some(news) = look_at(child, wishes) {
                found = Some((child.clone(), news));
                break;
            }
        }
        match found {
            Some((child, news)) => {
                if !wishes.leave {
                    child.family.report.store(NOTHING, Ordering::Relaxed);
                    if child.family.has_ended() {
                        // The list's reference; ours is left to be dropped without the lock.
                        drop(remove(&mut list, child.id));
                    }
                }
                Some(Ok(Some((child, news))))
            }
            None if !any => Some(Err(Errno::ECHILD)),
            None => wishes.no_wait.then_some(Ok(None)),
        }
    };
    let found = process.family.children.wait(look).map_err(|_| Errno::EINTR)??;
    let Some((child, (code, status))) = found else {
        return Ok(None);
    };
    if child.family.is_gone() {
        child.family.changes.wake_all();
    }
    let mut usage = Usage::of(&child);
    usage.add(Usage::of_children(&child));
    // Not of one that has ended only since it was found stopped: it is still to be waited for.
    if matches!(code, CLD_EXITED | CLD_KILLED) && !wishes.leave {
        process.family.children_usage.lock().add(usage);
    }
    Ok(Some(News {
        process: child.id,
        user: child.real_user(),
        code,
        status,
        usage,
    }))
}

/// Threads of all processes that the scheduler may have to hold at once.
pub(super) fn reserve_room() -> bool {
    let threads: usize = processes().iter().map(|process| process.thread_count()).sum();
    scheduler::reserve(threads + 8)
}
