//! Making processes: `fork(2)`, `vfork(2)` and what `clone(2)` can do between them and threads.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use pith_linux::Errno;
use pith_linux::credentials::Credentials;
use pith_scheduling::Entity;

use super::credentials;
use super::family::{self, Family};
use super::process::{Inheritance, Process, Resources};
use super::scheduler;
use super::seccomp;
use super::thread::{Thread, current};
use super::threads::{self, NewThread};
use crate::arch;
use crate::memory::{self, Overcommit, write_object};

/// What is wanted of a new process.
pub struct NewProcess {
    /// Its thread.
    pub thread: NewThread,
    /// Its files.
    pub resources: Arc<dyn Resources>,
    /// It runs in the memory of its maker (`CLONE_VM`); else it gets a copy.
    pub shares_memory: bool,
    /// Its maker waits until it runs another program or has ended (`CLONE_VFORK`).
    pub suspends_maker: bool,
    /// It becomes a child of its maker's parent (`CLONE_PARENT`).
    pub is_sibling: bool,
    /// The signal that tells of its end; 0 for none.
    pub end_signal: u8,
    /// It handles no signals (`CLONE_CLEAR_SIGHAND`).
    pub clears_handlers: bool,
}

/// Makes a process of the current thread and starts it. `announce` is told of it before it runs, and may still refuse it.
/// If its maker has to wait for it, that has happened when this returns.
///
/// # Errors
/// `EAGAIN` beyond the limit of processes, `EEXIST` if the number that it is to have names something, `ENOMEM`, `EINTR` if a signal has come (then it starts again), and what `announce` answers; nothing is left behind then.
pub fn create(new: NewProcess, announce: impl FnOnce(&Arc<Process>) -> Result<(), Errno>) -> Result<u32, Errno> {
    memory::trim_stacks();
    let parent = current();
    let maker = &parent.process;
    threads::check_room(maker)?;
    let reserved = threads::Number::of(new.thread.number)?;
    let number = reserved.0;
    let space = maker.address_space();
    let address_space = if new.shares_memory {
        space
    } else {
        let elsewhere = match Overcommit::current() {
            Overcommit::Never => memory::committed_elsewhere(space.number()),
            _ => 0,
        };
        space.duplicate(elsewhere)?
    };
    let relations = Family::descendant(new.end_signal);
    let process = maker.descendant(
        number,
        relations,
        Inheritance {
            address_space: address_space.clone(),
            resources: new.resources,
            credentials: Arc::new(Credentials {
                number: credentials::next_number(),
                ..Credentials::clone(&parent.credentials())
            }),
            clears_handlers: new.clears_handlers,
        },
    );
    let memory = match (new.shares_memory, new.suspends_maker) {
        (false, _) => MemoryOf::Copy,
        (true, true) => MemoryOf::SuspendedMaker,
        (true, false) => MemoryOf::Maker,
    };
    let started = thread_of(&process, &parent, &new.thread, memory).and_then(|thread| {
        family::enlist(&process, new.is_sibling)?;
        announce(&process).inspect_err(|_| family::withdraw(&process))?;
        Ok(thread)
    });
    let thread = match started {
        Ok(thread) => thread,
        Err(errno) => {
            address_space.leave();
            return Err(errno);
        }
    };
    if !new.thread.number_for_parent.is_null() {
        // As on Linux the process is there, whether that can be written or not.
        let _ = write_object(new.thread.number_for_parent, &number);
    }
    if !new.thread.number_for_child.is_null() {
        let _ = address_space.write(new.thread.number_for_child.0, &number.to_le_bytes());
    }
    if new.suspends_maker {
        process.family.borrow_memory();
    }
    threads::enlist(&thread);
    drop(reserved);
    scheduler::start(&thread);
    drop(thread);
    if new.suspends_maker {
        process.family.wait_until_returned();
    }
    Ok(number)
}

/// Where a new process runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MemoryOf {
    /// In a copy of its maker's memory.
    Copy,
    /// In its maker's, which goes on.
    Maker,
    /// In its maker's, which waits meanwhile.
    SuspendedMaker,
}

/// The only thread of a new process: a copy of its maker.
fn thread_of(process: &Arc<Process>, parent: &Thread, new: &NewThread, memory: MemoryOf) -> Result<Arc<Thread>, Errno> {
    let entity = Entity::inherit(&parent.entity);
    let thread = Thread::new(process.id, process.clone(), entity).ok_or(Errno::EAGAIN)?;
    arch::prepare_context(&thread, &new.registers, new.thread_pointer, true, || {});
    let blocked = parent.blocked.load(Ordering::Relaxed);
    thread.blocked.store(blocked, Ordering::Relaxed);
    thread.clear_on_exit.store(new.clear_on_exit, Ordering::Relaxed);
    *thread.name.lock() = *parent.name.lock();
    thread.inherit_habits(parent);
    seccomp::inherit(&thread, parent);
    if memory != MemoryOf::Maker {
        thread.signals.lock().inherit(&parent.signals.lock());
    }
    // In the same memory the area stays the maker's.
    if memory == MemoryOf::Copy {
        let area = parent.restartable_area.load(Ordering::Relaxed);
        thread.restartable_area.store(area, Ordering::Relaxed);
        let signature = parent.restartable_signature.load(Ordering::Relaxed);
        thread.restartable_signature.store(signature, Ordering::Relaxed);
    }
    Ok(thread)
}
