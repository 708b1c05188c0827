//! Futexes: waiting in the kernel for a word of the program's memory (`futex(2)`).
//!
//! Who waits for which word is in a table of `libs/waiting`. The word is read under the lock of the table's bucket,
//! and wakers change the word before they take that lock: so no wake-up falls between looking and waiting.
//!
//! Words with *priority inheritance* hold the number of their owner; their waiters are few and in a list of their own.
//! The owner runs with the highest priority of those that wait for it, and hands the word over to the first of them.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use pith_linux::Errno;
use pith_scheduling::Policy;
use pith_waiting::{Bucket, FutexKey, FutexTable, FutexWaiter, Lock};
use spin::Mutex;

use super::clock::Instant;
use super::scheduler;
use super::signal::{self, Restart};
use super::thread::{Thread, current};
use super::threads::find_thread;
use super::wait::{WaitError, wait_any};
use crate::arch;
use crate::memory::{UserPointer, read_object};

/// The owner's number in a word with priority inheritance, and in a robust one.
const OWNER: u32 = 0x3fff_ffff;
/// The owner of a robust word has died.
const OWNER_DIED: u32 = 0x4000_0000;
/// Threads wait for the word.
const WAITERS: u32 = 0x8000_0000;

/// Who shares a futex.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// The threads of the process: the address says which futex it is.
    Private,
    /// Whoever maps the same object.
    Shared,
}

/// Until when to wait.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    at: Instant,
    /// The program gave a time from now: a call that starts again must not wait that long once more.
    relative: bool,
}

impl Deadline {
    /// Until then.
    pub fn new(at: Instant, relative: bool) -> Self {
        Self { at, relative }
    }
}

/// What the table wakes.
type Waiter = Arc<FutexWaiter<Arc<Thread>>>;

/// A bucket with its lock. Interrupts stay on, for the program's memory is looked at with the lock held, and that may
/// fault; interrupt handlers have no business here.
struct LockedBucket(Mutex<Bucket<Arc<Thread>>>);

impl Lock<Bucket<Arc<Thread>>> for LockedBucket {
    fn with<R>(&self, action: impl FnOnce(&mut Bucket<Arc<Thread>>) -> R) -> R {
        action(&mut self.0.lock())
    }
}

const BUCKETS: usize = 256;

static TABLE: FutexTable<Arc<Thread>, LockedBucket, [LockedBucket; BUCKETS]> =
    FutexTable::new([const { LockedBucket(Mutex::new(Bucket::new())) }; BUCKETS]);

/// Lets a waiter go on that was taken out of the table.
fn go_on(thread: &Arc<Thread>) {
    scheduler::wake(thread);
}

fn enqueue(key: FutexKey, bits: u32, waiter: &Waiter, address: u64, value: u32) -> Result<(), Errno> {
    let urgency = urgency(&current());
    TABLE.enqueue_if(key, bits, urgency, waiter, Errno::ENOMEM, || word_is(address, value))
}

fn aligned(address: u64) -> Result<(), Errno> {
    if address.is_multiple_of(4) {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

/// Which futex an address is.
fn key_of(address: u64, space: Space) -> Result<FutexKey, Errno> {
    aligned(address)?;
    let process = &current().process;
    let address_space = process.address_space();
    let own = Arc::as_ptr(&address_space) as u64;
    Ok(match space {
        Space::Private => FutexKey { space: own, address },
        Space::Shared => match address_space.shared_object(address)? {
            Some((object, offset)) => FutexKey {
                space: object,
                address: offset,
            },
            // Private memory, whoever asks for it; told apart from private futexes as on Linux.
            None => FutexKey {
                space: own | 1,
                address,
            },
        },
    })
}

fn word_is(address: u64, value: u32) -> Result<(), Errno> {
    if load(address)? == value {
        Ok(())
    } else {
        Err(Errno::EAGAIN)
    }
}

/// Reads a word with a lock of the table held: a page that somebody has to bring first (`userfaultfd(2)`) is `EFAULT`. The
/// call is tried again then, after [`touch`].
fn load(address: u64) -> Result<u32, Errno> {
    let thread = current();
    thread.forbid_waiting_for_faults(true);
    let found = arch::load_word(address);
    thread.forbid_waiting_for_faults(false);
    found.ok_or(Errno::EFAULT)
}

/// Touches a word as a call would, with no lock held, so that whoever handles the page's faults can bring it.
///
/// # Errors
/// `EFAULT`
pub fn touch(address: u64, write: bool) -> Result<(), Errno> {
    let found = arch::load_word(address).ok_or(Errno::EFAULT)?;
    if write {
        // Whatever the word is meanwhile, the page can be written.
        let _ = arch::compare_exchange_program(address, found, found).ok_or(Errno::EFAULT)?;
    }
    Ok(())
}

/// How a wait ended that nobody ended by waking.
fn failure(error: WaitError, deadline: Option<Deadline>) -> Errno {
    match error {
        WaitError::TimedOut => Errno::ETIMEDOUT,
        WaitError::Interrupted => {
            if let Some(deadline) = deadline {
                // Linux starts a wait with a deadline again only if no handler runs.
                signal::set_restart(Restart::IfNoHandlerRuns);
                if deadline.relative {
                    signal::keep_deadline(deadline.at);
                }
            }
            Errno::EINTR
        }
    }
}

/// `FUTEX_WAIT`, `FUTEX_WAIT_BITSET`
///
/// # Errors
/// `EAGAIN` if the word has another value, `ETIMEDOUT`, `EINTR`, `EFAULT`, `EINVAL`.
pub fn wait(address: u64, space: Space, value: u32, bits: u32, deadline: Option<Deadline>) -> Result<usize, Errno> {
    if bits == 0 {
        return Err(Errno::EINVAL);
    }
    let deadline = deadline.map(|deadline| Deadline {
        at: signal::kept_deadline()
            .filter(|_| deadline.relative)
            .unwrap_or(deadline.at),
        ..deadline
    });
    let key = key_of(address, space)?;
    let waiter = new_waiter();
    enqueue(key, bits, &waiter, address, value)?;
    let waited = wait_any(&[], deadline.map(|deadline| deadline.at), || {
        waiter.is_woken().then_some(())
    });
    match waited {
        Ok(()) => Ok(0),
        // Woken at the last moment: the wake-up must not be lost.
        Err(_) if !TABLE.cancel(&waiter) => Ok(0),
        Err(error) => Err(failure(error, deadline)),
    }
}

/// `FUTEX_WAKE`, `FUTEX_WAKE_BITSET`: wakes up to `count` waiters; gives how many.
///
/// # Errors
/// `EINVAL`, `EFAULT`.
pub fn wake(address: u64, space: Space, count: u32, bits: u32) -> Result<usize, Errno> {
    if bits == 0 {
        return Err(Errno::EINVAL);
    }
    let key = key_of(address, space)?;
    Ok(TABLE.wake(key, count_of(count), bits, go_on))
}

/// Linux takes the count as a signed number and wakes one if it is not positive.
fn count_of(count: u32) -> usize {
    (count as i32).max(1) as usize
}

/// Wakes those who wait for a word that the kernel has changed, whoever shares it.
pub fn wake_address(address: u64, count: usize) {
    for space in [Space::Private, Space::Shared] {
        if let Ok(key) = key_of(address, space) {
            TABLE.wake(key, count, u32::MAX, go_on);
        }
    }
}

/// `FUTEX_REQUEUE`, `FUTEX_CMP_REQUEUE`: wakes some waiters and lets others wait for another word.
///
/// # Errors
/// `EAGAIN` if the word has another value than expected; `EINVAL`, `EFAULT`.
pub fn requeue(
    address: u64,
    target: u64,
    space: Space,
    wake: u32,
    moved: u32,
    expected: Option<u32>,
) -> Result<usize, Errno> {
    if (wake as i32) < 0 || (moved as i32) < 0 {
        return Err(Errno::EINVAL);
    }
    let (from, to) = (key_of(address, space)?, key_of(target, space)?);
    let check = || expected.map_or(Ok(()), |value| word_is(address, value));
    let (woken, requeued) = TABLE.requeue(from, to, (wake as usize, moved as usize), check, go_on)?;
    // The plain operation does not count those that it moves.
    Ok(if expected.is_some() { woken + requeued } else { woken })
}

/// `FUTEX_WAKE_OP`: changes the second word, wakes waiters of the first, and of the second if its old value compares as
/// asked.
///
/// # Errors
/// `EFAULT`, `EINVAL`, `ENOSYS` for an unknown operation.
pub fn wake_operation(
    address: u64,
    target: u64,
    space: Space,
    count: u32,
    target_count: u32,
    encoded: u32,
) -> Result<usize, Errno> {
    let (first, second) = (key_of(address, space)?, key_of(target, space)?);
    let shifted = encoded & 0x8000_0000 != 0;
    let operation = encoded >> 28 & 7;
    let comparison = encoded >> 24 & 15;
    let sign_extended = |field: u32| ((field << 20) as i32 >> 20) as u32;
    let compared_with = sign_extended(encoded & 0xfff);
    let argument = sign_extended(encoded >> 12 & 0xfff);
    let argument = if shifted { 1 << (argument & 31) } else { argument };
    let change = |old: u32| {
        Some(match operation {
            0 => argument,
            1 => old.wrapping_add(argument),
            2 => old | argument,
            3 => old & !argument,
            4 => old ^ argument,
            _ => return None,
        })
    };
    let operation = || {
        let old = update_word(target, change)?;
        let (old, with) = (old as i32, compared_with as i32);
        Ok(match comparison {
            0 => old == with,
            1 => old != with,
            2 => old < with,
            3 => old <= with,
            4 => old > with,
            5 => old >= with,
            _ => return Err(Errno::ENOSYS),
        })
    };
    TABLE.wake_two(
        (first, count_of(count)),
        (second, count_of(target_count)),
        operation,
        go_on,
    )
}

/// Changes a word of the program atomically; gives its old value. `None` from `change` is an unknown operation.
fn update_word(address: u64, change: impl Fn(u32) -> Option<u32>) -> Result<u32, Errno> {
    loop {
        let old = load(address)?;
        let new = change(old).ok_or(Errno::ENOSYS)?;
        if compare_exchange(address, old, new)? == old {
            return Ok(old);
        }
    }
}

/// Replaces a word if it has the expected value; gives the value that it had.
fn compare_exchange(address: u64, expected: u32, new: u32) -> Result<u32, Errno> {
    let thread = current();
    thread.forbid_waiting_for_faults(true);
    let exchanged = arch::compare_exchange_program(address, expected, new);
    thread.forbid_waiting_for_faults(false);
    match exchanged {
        None => Err(Errno::EFAULT),
        Some(Ok(old) | Err(old)) => Ok(old),
    }
}

/// `futex_waitv(2)`: waits for several words; gives the index of one that was woken.
///
/// # Errors
/// As [`wait`].
pub fn wait_many(wanted: &[(u64, Space, u32)], deadline: Option<Instant>) -> Result<usize, Errno> {
    let mut waiters: Vec<Waiter> = Vec::new();
    let leave = |waiters: &[Waiter]| {
        // All of them leave; the first that had been woken already counts.
        waiters
            .iter()
            .map(|waiter| !TABLE.cancel(waiter))
            .collect::<Vec<_>>()
            .iter()
            .position(|&woken| woken)
    };
    for &(address, space, value) in wanted {
        let waiter = new_waiter();
        let queued = key_of(address, space).and_then(|key| enqueue(key, u32::MAX, &waiter, address, value));
        if let Err(errno) = queued {
            return leave(&waiters).ok_or(errno);
        }
        waiters.push(waiter);
    }
    let waited = wait_any(&[], deadline, || {
        waiters.iter().any(|waiter| waiter.is_woken()).then_some(())
    });
    match (leave(&waiters), waited) {
        (Some(index), _) => Ok(index),
        (None, Err(WaitError::TimedOut)) => Err(Errno::ETIMEDOUT),
        (None, _) => {
            signal::set_restart(Restart::IfHandlerAllows);
            Err(Errno::EINTR)
        }
    }
}

// ---- Priority inheritance ----

/// Somebody waits for a word with priority inheritance.
struct Heir {
    key: FutexKey,
    address: u64,
    thread: Arc<Thread>,
    owner: u32,
    /// The word is its own now.
    granted: Arc<AtomicBool>,
}

static HEIRS: Mutex<Vec<Heir>> = Mutex::new(Vec::new());

/// What decides who goes first: smaller is first.
fn urgency(thread: &Thread) -> u8 {
    match thread.entity.policy() {
        (policy, priority) if policy.is_real_time() => 99 - priority,
        _ => 100,
    }
}

/// Gives the owner the highest priority of those that wait for it, or its own again.
fn inherit(heirs: &[Heir], owner: u32) {
    let Some(thread) = find_thread(owner) else { return };
    let mut base = thread.base_policy.lock();
    let own = base.unwrap_or(thread.entity.policy());
    let first = heirs
        .iter()
        .filter(|heir| heir.owner == owner)
        .map(|heir| heir.thread.entity.policy())
        .filter(|(policy, _)| policy.is_real_time())
        .max_by_key(|&(_, priority)| priority);
    let wanted = match first {
        Some((_, priority)) if !own.0.is_real_time() || priority > own.1 => (Policy::FirstInFirstOut, priority),
        _ => own,
    };
    *base = (wanted != own).then_some(own);
    if thread.entity.policy() != wanted {
        scheduler::set_policy(&thread, wanted.0, wanted.1);
    }
}

/// Tries to take a free word. `Ok(None)`: it is taken; else its value now.
fn take_free(address: u64, own: u32) -> Result<Result<(), u32>, Errno> {
    loop {
        let found = load(address)?;
        if found & OWNER == own {
            return Err(Errno::EDEADLK);
        }
        if found & OWNER != 0 {
            return Ok(Err(found));
        }
        // Free, or left by one that died.
        let new = own | found & (WAITERS | OWNER_DIED);
        if compare_exchange(address, found, new)? == found {
            return Ok(Ok(()));
        }
    }
}

/// `FUTEX_TRYLOCK_PI`
///
/// # Errors
/// `EAGAIN` if it is taken, `EDEADLK` if by the caller, `EFAULT`, `EINVAL`.
pub fn try_lock_pi(address: u64, space: Space) -> Result<usize, Errno> {
    key_of(address, space)?;
    let _turn = HEIRS.lock();
    match take_free(address, current().id())? {
        Ok(()) => Ok(0),
        Err(_) => Err(Errno::EAGAIN),
    }
}

/// `FUTEX_LOCK_PI`, `FUTEX_LOCK_PI2`
///
/// # Errors
/// `EDEADLK` if the caller has it, `ESRCH` if its owner does not exist, `ETIMEDOUT`, `EFAULT`, `EINVAL`.
pub fn lock_pi(address: u64, space: Space, deadline: Option<Deadline>) -> Result<usize, Errno> {
    let key = key_of(address, space)?;
    let thread = current();
    let own = thread.id();
    let granted = Arc::new(AtomicBool::new(false));
    {
        let mut heirs = HEIRS.lock();
        let owner = loop {
            let found = match take_free(address, own)? {
                Ok(()) => return Ok(0),
                Err(found) => found,
            };
            if find_thread(found & OWNER).is_none() {
                return Err(Errno::ESRCH);
            }
            if found & WAITERS != 0 || compare_exchange(address, found, found | WAITERS)? == found {
                break found & OWNER;
            }
        };
        heirs.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        heirs.push(Heir {
            key,
            address,
            thread: thread.arc().ok_or(Errno::EINVAL)?,
            owner,
            granted: granted.clone(),
        });
        inherit(&heirs, owner);
    }
    let waited = wait_any(&[], deadline.map(|deadline| deadline.at), || {
        granted.load(Ordering::Acquire).then_some(())
    });
    let mut heirs = HEIRS.lock();
    if granted.load(Ordering::Acquire) {
        // A process that died could not reach the word here.
        if load(address)? & OWNER != own {
            update_word(address, |old| Some(own | old & WAITERS | OWNER_DIED))?;
        }
        return Ok(0);
    }
    if let Some(index) = heirs.iter().position(|heir| Arc::ptr_eq(&heir.granted, &granted)) {
        let heir = heirs.swap_remove(index);
        inherit(&heirs, heir.owner);
    }
    drop(heirs);
    match waited {
        Err(WaitError::TimedOut) => Err(Errno::ETIMEDOUT),
        _ => {
            // The call starts again whether a handler runs or not (as Linux's `ERESTARTNOINTR`).
            signal::set_restart(Restart::Always);
            Err(Errno::EINTR)
        }
    }
}

/// Hands a word over to the most urgent of those that wait for it, or frees it. `marks` go into the word too. Without an
/// address the word lies in the memory of another process, and whoever gets it writes it.
fn hand_over(heirs: &mut Vec<Heir>, key: FutexKey, address: Option<u64>, marks: u32) -> Result<(), Errno> {
    let set = |word: u32| match address {
        Some(address) => update_word(address, |_| Some(word)).map(drop),
        None => Ok(()),
    };
    let next = heirs
        .iter()
        .enumerate()
        .filter(|(_, heir)| heir.key == key)
        .min_by_key(|(_, heir)| urgency(&heir.thread))
        .map(|(index, _)| index);
    let Some(index) = next else {
        return set(marks);
    };
    let new_owner = heirs[index].thread.id();
    let more = heirs.iter().filter(|other| other.key == key).count() > 1;
    let word = new_owner | marks | if more { WAITERS } else { 0 };
    set(word)?;
    let heir = heirs.remove(index);
    for other in heirs.iter_mut().filter(|other| other.key == key) {
        other.owner = new_owner;
    }
    heir.granted.store(true, Ordering::Release);
    inherit(heirs, new_owner);
    scheduler::wake(&heir.thread);
    Ok(())
}

/// `FUTEX_UNLOCK_PI`
///
/// # Errors
/// `EPERM` if the caller does not have it, `EFAULT`, `EINVAL`.
pub fn unlock_pi(address: u64, space: Space) -> Result<usize, Errno> {
    let key = key_of(address, space)?;
    let own = current().id();
    let mut heirs = HEIRS.lock();
    let found = load(address)?;
    if found & OWNER != own {
        return Err(Errno::EPERM);
    }
    hand_over(&mut heirs, key, Some(address), 0)?;
    inherit(&heirs, own);
    Ok(0)
}

// ---- The death of an owner ----

/// Most entries of a robust list that are looked at, as on Linux: the list may be a circle.
const ROBUST_LIMIT: usize = 2048;

/// A thread ends: marks the robust futexes that it holds and wakes a waiter of each; hands words with priority
/// inheritance over. What the program left in its list is not trusted.
pub fn release_robust_list(thread: &Thread) {
    let head = thread.robust_list.swap(0, Ordering::Relaxed);
    if head != 0 {
        // A list that can't be read ends there.
        let _ = walk(thread.id(), head);
    }
    let own = thread.id();
    let mut heirs = HEIRS.lock();
    while let Some((key, address)) = heirs.iter().find(|heir| heir.owner == own).map(|heir| {
        let here = heir.thread.process.space_number() == thread.process.space_number();
        (heir.key, here.then_some(heir.address))
    }) {
        if hand_over(&mut heirs, key, address, OWNER_DIED).is_err() {
            heirs.retain(|heir| heir.key != key);
        }
    }
}

fn walk(own: u32, head: u64) -> Result<(), Errno> {
    let [first, offset, pending]: [u64; 3] = read_object(UserPointer(head))?;
    let mut entry = first;
    for _ in 0..ROBUST_LIMIT {
        if entry & !1 == head {
            break;
        }
        // The lowest bit of a pointer tells a futex with priority inheritance.
        let next: Result<u64, Errno> = read_object(UserPointer(entry & !1));
        if entry & !1 != pending & !1 {
            mark_dead(own, (entry & !1).wrapping_add(offset), entry & 1 != 0, false)?;
        }
        entry = next?;
    }
    if pending & !1 != 0 {
        mark_dead(own, (pending & !1).wrapping_add(offset), pending & 1 != 0, true)?;
    }
    Ok(())
}

fn mark_dead(own: u32, address: u64, inherits: bool, pending: bool) -> Result<(), Errno> {
    aligned(address)?;
    loop {
        let found = arch::load_word(address).ok_or(Errno::EFAULT)?;
        if pending && !inherits && found == 0 {
            // It died between unlocking and waking.
            wake_address(address, 1);
            return Ok(());
        }
        if found & OWNER != own {
            return Ok(());
        }
        if compare_exchange(address, found, found & WAITERS | OWNER_DIED)? == found {
            if !inherits && found & WAITERS != 0 {
                wake_address(address, 1);
            }
            return Ok(());
        }
    }
}

fn new_waiter() -> Waiter {
    Arc::new(FutexWaiter::new(current().arc().expect("a thread that runs lives")))
}
