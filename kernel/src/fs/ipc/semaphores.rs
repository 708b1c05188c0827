//! System V semaphores: `semget(2)`, `semop(2)`, `semctl(2)`.
//!
//! The operations of a call happen all at once or not at all. Calls that wait stand in a row, and whoever changes
//! values does for them what has become possible, in that order; the one who waits only looks at the result.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, Ordering};

use pith_linux::Errno;
use pith_linux::ipc::{
    INFORMATION, NO_WAIT, Permission, REMOVE, SEM_GET_ALL, SEM_GET_PROCESS, SEM_GET_VALUE, SEM_GET_WAITING,
    SEM_GET_WAITING_FOR_ZERO, SEM_INFO, SEM_SET_ALL, SEM_SET_VALUE, SEM_STAT, SEM_STAT_ANY, SEM_UNDO, SET, STATUS,
    SemaphoreLimits, SemaphoreOperation, SemaphoreStatus, limit,
};
use pith_sorted_map::SortedMap;
use spin::Mutex;
use zerocopy::{FromBytes, IntoBytes};

use super::identifiers::{self, Object, READ, Table, WRITE};
use super::{process_id, seconds};
use crate::fs::proc::Text;
use crate::memory::{UserPointer, copy_from_user, copy_to_user, read_object, write_object};
use crate::task::signal::{self, Restart};
use crate::task::{Instant, WaitError, WaitQueue};

#[derive(Clone, Copy, Default)]
struct Semaphore {
    value: i32,
    /// Process that changed it last.
    process: i32,
}

/// The result of a call that still waits.
const WAITING: i32 = -1;

/// A call that waits.
struct Waiting {
    operations: Vec<SemaphoreOperation>,
    process: i32,
    /// Index of the operation that is not possible yet.
    blocked_by: usize,
    /// [`WAITING`], 0 for success, or an error number.
    result: Arc<AtomicI32>,
}

struct State {
    status: SemaphoreStatus,
    semaphores: Vec<Semaphore>,
    waiting: Vec<Waiting>,
    /// What is to be added when a process ends, for each semaphore.
    undo: SortedMap<i32, Vec<i32>>,
    removed: bool,
}

struct SemaphoreSet {
    state: Mutex<State>,
    queue: WaitQueue,
}

impl Object for Arc<SemaphoreSet> {
    fn permission(&self) -> Permission {
        self.state.lock().status.permission
    }
}

static SETS: Mutex<Table<Arc<SemaphoreSet>>> = Mutex::new(Table::new());

/// How an attempt at some operations went.
enum Attempt {
    Done,
    /// The operation with this index is not possible yet.
    Blocked(usize),
    Failed(Errno),
}

impl State {
    /// Does all operations, or none.
    fn attempt(&mut self, operations: &[SemaphoreOperation], process: i32) -> Attempt {
        let mut values: Vec<(usize, i32)> = Vec::with_capacity(operations.len());
        let mut undo: Vec<(usize, i32)> = Vec::new();
        for (index, operation) in operations.iter().enumerate() {
            let number = usize::from(operation.number);
            let known = values.iter().rev().find(|(other, _)| *other == number);
            let old = known.map_or(self.semaphores[number].value, |(_, value)| *value);
            let change = i32::from(operation.change);
            if change == 0 && old != 0 || old + change < 0 {
                if operation.flags & NO_WAIT as i16 != 0 {
                    return Attempt::Failed(Errno::EAGAIN);
                }
                return Attempt::Blocked(index);
            }
            if old + change > limit::SEM_VALUE {
                return Attempt::Failed(Errno::ERANGE);
            }
            if operation.flags & SEM_UNDO != 0 {
                let known = undo.iter().rev().find(|(other, _)| *other == number);
                let old = known.map_or_else(
                    || self.undo.get(&process).map_or(0, |undo| undo[number]),
                    |(_, value)| *value,
                );
                if !(-limit::SEM_VALUE - 1..=limit::SEM_VALUE).contains(&(old - change)) {
                    return Attempt::Failed(Errno::ERANGE);
                }
                undo.push((number, old - change));
            }
            values.push((number, old + change));
        }
        for (number, value) in values {
            self.semaphores[number] = Semaphore { value, process };
        }
        if !undo.is_empty() {
            let count = self.semaphores.len();
            let own = self.undo.get_or_insert_with(process, || vec![0; count]);
            for (number, value) in undo {
                own[number] = value;
            }
        }
        Attempt::Done
    }

    /// Does for those who wait what has become possible. True if somebody is to be woken.
    fn update(&mut self) -> bool {
        let mut woken = false;
        let mut index = 0;
        while index < self.waiting.len() {
            let operations = core::mem::take(&mut self.waiting[index].operations);
            let process = self.waiting[index].process;
            match self.attempt(&operations, process) {
                Attempt::Blocked(by) => {
                    self.waiting[index].operations = operations;
                    self.waiting[index].blocked_by = by;
                    index += 1;
                }
                done => {
                    let result = match done {
                        Attempt::Failed(errno) => i32::from(errno.number()),
                        _ => 0,
                    };
                    self.waiting.remove(index).result.store(result, Ordering::Release);
                    woken = true;
                    if result == 0 {
                        self.status.operated = seconds();
                        // What it did may let others go on that stand before it.
                        index = 0;
                    }
                }
            }
        }
        woken
    }

    /// How many wait for a semaphore: for zero, or to grow.
    fn waiting_for(&self, number: usize, zero: bool) -> usize {
        self.waiting
            .iter()
            .map(|waiting| waiting.operations[waiting.blocked_by])
            .filter(|operation| usize::from(operation.number) == number && (operation.change == 0) == zero)
            .count()
    }
}

/// `semget(2)`
///
/// # Errors
/// As `semget(2)`.
pub fn get(key: i32, count: i32, flags: i32) -> Result<i32, Errno> {
    let count = u64::try_from(count)
        .ok()
        .filter(|count| *count <= limit::SEM_PER_SET)
        .ok_or(Errno::EINVAL)? as usize;
    let suits = |set: &Arc<SemaphoreSet>| {
        if count > set.state.lock().semaphores.len() {
            Err(Errno::EINVAL)
        } else {
            Ok(())
        }
    };
    SETS.lock().get(key, flags, limit::SEM_SETS, suits, |permission| {
        if count == 0 {
            return Err(Errno::EINVAL);
        }
        let mut semaphores = Vec::new();
        semaphores.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
        semaphores.resize(count, Semaphore::default());
        Ok(Arc::new(SemaphoreSet {
            state: Mutex::new(State {
                status: SemaphoreStatus {
                    permission,
                    changed: seconds(),
                    count: count as u64,
                    ..SemaphoreStatus::default()
                },
                semaphores,
                waiting: Vec::new(),
                undo: SortedMap::new(),
                removed: false,
            }),
            queue: WaitQueue::new(),
        }))
    })
}

/// `semop(2)`, until a deadline at most.
///
/// # Errors
/// As `semtimedop(2)`.
pub fn operate(id: i32, operations: UserPointer, count: usize, deadline: Option<Instant>) -> Result<(), Errno> {
    if count < 1 || id < 0 {
        return Err(Errno::EINVAL);
    }
    if count as u64 > limit::SEM_OPERATIONS {
        return Err(Errno::E2BIG);
    }
    let mut list = vec![SemaphoreOperation::default(); count];
    copy_from_user(list.as_mut_bytes(), operations)?;
    let changes = list.iter().any(|operation| operation.change != 0);
    let process = process_id();

    let set = SETS.lock().find(id)?.clone();
    let result = {
        let mut state = set.state.lock();
        if list
            .iter()
            .any(|operation| usize::from(operation.number) >= state.semaphores.len())
        {
            return Err(Errno::EFBIG);
        }
        identifiers::check(&state.status.permission, if changes { WRITE } else { READ })?;
        if state.removed {
            return Err(Errno::EIDRM);
        }
        match state.attempt(&list, process) {
            Attempt::Done => {
                state.status.operated = seconds();
                let woken = changes && state.update();
                drop(state);
                if woken {
                    set.queue.wake_all();
                }
                return Ok(());
            }
            Attempt::Failed(errno) => return Err(errno),
            Attempt::Blocked(blocked_by) => {
                let result = Arc::new(AtomicI32::new(WAITING));
                state.waiting.push(Waiting {
                    operations: list,
                    process,
                    blocked_by,
                    result: result.clone(),
                });
                result
            }
        }
    };
    let finished = || match result.load(Ordering::Acquire) {
        WAITING => None,
        value => Some(value),
    };
    let waited = set.queue.wait_until(deadline, finished);
    let value = match waited {
        Ok(value) => value,
        Err(error) => {
            // Whether it was done meanwhile is decided under the lock.
            let mut state = set.state.lock();
            match finished() {
                Some(value) => value,
                None => {
                    state.waiting.retain(|waiting| !Arc::ptr_eq(&waiting.result, &result));
                    // Never started again, whatever the handler says: signal(7).
                    signal::set_restart(Restart::Never);
                    return Err(match error {
                        WaitError::Interrupted => Errno::EINTR,
                        WaitError::TimedOut => Errno::EAGAIN,
                    });
                }
            }
        }
    };
    match u16::try_from(value).ok().and_then(Errno::from_number) {
        None => Ok(()),
        Some(errno) => Err(errno),
    }
}

/// Whether there is anything to undo when a process ends.
pub fn may_undo(process: u32) -> bool {
    let sets: Vec<Arc<SemaphoreSet>> = SETS.lock().iter().map(|(_, set)| set.clone()).collect();
    sets.iter()
        .any(|set| set.state.lock().undo.get(&(process as i32)).is_some())
}

/// A process ends: what it asked to be undone is undone, as far as values go.
pub fn process_ends(process: u32) {
    let process = process as i32;
    let sets: Vec<Arc<SemaphoreSet>> = SETS.lock().iter().map(|(_, set)| set.clone()).collect();
    for set in sets {
        let mut state = set.state.lock();
        let Some(undo) = state.undo.remove(&process) else {
            continue;
        };
        for (semaphore, change) in state.semaphores.iter_mut().zip(undo) {
            if change != 0 {
                let value = (semaphore.value + change).clamp(0, limit::SEM_VALUE);
                *semaphore = Semaphore { value, process };
            }
        }
        state.status.operated = seconds();
        let woken = state.update();
        drop(state);
        if woken {
            set.queue.wake_all();
        }
    }
}

fn remove(id: i32) -> Result<(), Errno> {
    let set = {
        let mut table = SETS.lock();
        identifiers::check_owner(&table.find(id)?.permission())?;
        table.remove(id)?
    };
    let mut state = set.state.lock();
    state.removed = true;
    state.undo.clear();
    for waiting in state.waiting.drain(..) {
        waiting
            .result
            .store(i32::from(Errno::EIDRM.number()), Ordering::Release);
    }
    drop(state);
    set.queue.wake_all();
    Ok(())
}

fn limits(command: i32) -> (SemaphoreLimits, usize) {
    let table = SETS.lock();
    let (sets, semaphores) = if command == SEM_INFO {
        let count = table.iter().map(|(_, set)| set.state.lock().semaphores.len()).sum();
        (table.len(), count)
    } else {
        (20, limit::SEM_VALUE as usize)
    };
    let limits = SemaphoreLimits {
        map: limit::SEM_TOTAL as i32,
        sets: limit::SEM_SETS as i32,
        semaphores: limit::SEM_TOTAL as i32,
        undo_structures: limit::SEM_TOTAL as i32,
        per_set: limit::SEM_PER_SET as i32,
        operations: limit::SEM_OPERATIONS as i32,
        undo_entries: limit::SEM_OPERATIONS as i32,
        sets_in_use: sets as i32,
        value: limit::SEM_VALUE,
        semaphores_in_use: semaphores as i32,
    };
    (limits, table.highest())
}

/// The set, if the current process may use it so.
fn find(id: i32, wanted: u32) -> Result<Arc<SemaphoreSet>, Errno> {
    let set = SETS.lock().find(id)?.clone();
    identifiers::check(&set.permission(), wanted)?;
    Ok(set)
}

fn set_all(id: i32, array: UserPointer) -> Result<(), Errno> {
    let set = find(id, WRITE)?;
    let count = set.state.lock().semaphores.len();
    let mut bytes = vec![0; count * 2];
    copy_from_user(&mut bytes, array)?;
    let values: Vec<i32> = bytes
        .chunks_exact(2)
        .map(|pair| u16::read_from_bytes(pair).unwrap_or(0).into())
        .collect();
    if values.iter().any(|value| *value > limit::SEM_VALUE) {
        return Err(Errno::ERANGE);
    }
    let process = process_id();
    let mut state = set.state.lock();
    if state.removed {
        return Err(Errno::EIDRM);
    }
    for (semaphore, value) in state.semaphores.iter_mut().zip(values) {
        *semaphore = Semaphore { value, process };
    }
    state.undo.clear();
    state.status.changed = seconds();
    let woken = state.update();
    drop(state);
    if woken {
        set.queue.wake_all();
    }
    Ok(())
}

fn set_value(id: i32, number: i32, value: i32) -> Result<(), Errno> {
    if !(0..=limit::SEM_VALUE).contains(&value) {
        return Err(Errno::ERANGE);
    }
    let set = SETS.lock().find(id)?.clone();
    let mut state = set.state.lock();
    let number = usize::try_from(number)
        .ok()
        .filter(|number| *number < state.semaphores.len())
        .ok_or(Errno::EINVAL)?;
    identifiers::check(&state.status.permission, WRITE)?;
    if state.removed {
        return Err(Errno::EIDRM);
    }
    state.semaphores[number] = Semaphore {
        value,
        process: process_id(),
    };
    for undo in state.undo.values_mut() {
        undo[number] = 0;
    }
    state.status.changed = seconds();
    let woken = state.update();
    drop(state);
    if woken {
        set.queue.wake_all();
    }
    Ok(())
}

/// `semctl(2)`
///
/// # Errors
/// As `semctl(2)`.
pub fn control(id: i32, number: i32, command: i32, argument: u64) -> Result<usize, Errno> {
    if id < 0 {
        return Err(Errno::EINVAL);
    }
    let buffer = UserPointer(argument);
    match command {
        INFORMATION | SEM_INFO => {
            let (limits, highest) = limits(command);
            write_object(buffer, &limits)?;
            Ok(highest)
        }
        STATUS | SEM_STAT | SEM_STAT_ANY => {
            let (id, status) = {
                let table = SETS.lock();
                let (found, set) = table.choose(id, command != STATUS)?;
                let status = set.state.lock().status;
                if command != SEM_STAT_ANY {
                    identifiers::check(&status.permission, READ)?;
                }
                (if command == STATUS { 0 } else { found }, status)
            };
            write_object(buffer, &status)?;
            Ok(id as usize)
        }
        SET => {
            let new: SemaphoreStatus = read_object(buffer)?;
            let set = SETS.lock().find(id)?.clone();
            let mut state = set.state.lock();
            identifiers::check_owner(&state.status.permission)?;
            identifiers::set(&mut state.status.permission, &new.permission)?;
            state.status.changed = seconds();
            Ok(0)
        }
        REMOVE => remove(id).map(|()| 0),
        SEM_GET_ALL => {
            let set = find(id, READ)?;
            let values: Vec<u16> = {
                let state = set.state.lock();
                state
                    .semaphores
                    .iter()
                    .map(|semaphore| semaphore.value as u16)
                    .collect()
            };
            copy_to_user(buffer, values.as_bytes())?;
            Ok(0)
        }
        SEM_SET_ALL => set_all(id, buffer).map(|()| 0),
        SEM_SET_VALUE => set_value(id, number, argument as i32).map(|()| 0),
        SEM_GET_VALUE | SEM_GET_PROCESS | SEM_GET_WAITING | SEM_GET_WAITING_FOR_ZERO => {
            let set = find(id, READ)?;
            let state = set.state.lock();
            let number = usize::try_from(number)
                .ok()
                .filter(|number| *number < state.semaphores.len())
                .ok_or(Errno::EINVAL)?;
            Ok(match command {
                SEM_GET_VALUE => state.semaphores[number].value as usize,
                SEM_GET_PROCESS => state.semaphores[number].process as usize,
                _ => state.waiting_for(number, command == SEM_GET_WAITING_FOR_ZERO),
            })
        }
        _ => Err(Errno::EINVAL),
    }
}

/// The text of `/proc/sysvipc/sem`.
///
/// # Errors
/// `ENOMEM`.
pub fn list(text: &mut Text) -> Result<(), Errno> {
    writeln!(
        text,
        "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime"
    )?;
    for (id, set) in SETS.lock().iter() {
        let status = set.state.lock().status;
        let permission = status.permission;
        writeln!(
            text,
            "{:>10} {:>10}  {:>4o} {:>10} {:>5} {:>5} {:>5} {:>5} {:>10} {:>10}",
            permission.key,
            id,
            permission.mode,
            status.count,
            permission.user,
            permission.group,
            permission.creator_user,
            permission.creator_group,
            status.operated,
            status.changed,
        )?;
    }
    Ok(())
}
