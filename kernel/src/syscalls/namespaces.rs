//! What a process shares with others and could have for itself: `unshare(2)`, `setns(2)`, `kcmp(2)`.
//!
//! There are no namespaces: calls that ask for one answer as a Linux that was built without them.

use alloc::sync::Arc;
use core::cmp::Ordering as Order;

use pith_linux::Errno;
use spin::Once;

use super::threads::CloneFlags;
use crate::fs::file::OpenFile;
use crate::fs::{context, event_poll, ipc, permission, process_file};
use crate::memory::{UserPointer, read_object};
use crate::task::{self, Capabilities, Thread};

/// Kinds of namespaces.
pub(super) const NAMESPACES: CloneFlags = CloneFlags::NEWNS
    .union(CloneFlags::NEWCGROUP)
    .union(CloneFlags::NEWUTS)
    .union(CloneFlags::NEWIPC)
    .union(CloneFlags::NEWUSER)
    .union(CloneFlags::NEWPID)
    .union(CloneFlags::NEWNET);
/// `CLONE_NEWTIME`, which `clone(2)` takes for part of a signal.
const NEW_TIME: u64 = 0x80;

/// What Linux answers who asks for a namespace where there are none of that kind: `EPERM` comes first.
pub(super) fn refuse_namespaces(call: &str) -> Errno {
    if let Err(errno) = permission::require(Capabilities::ADMINISTRATION) {
        return errno;
    }
    crate::warning_once!("there are no namespaces: {call} answers EINVAL, as a Linux without them");
    Errno::EINVAL
}

/// `unshare(2)`
pub fn unshare(flags: u64) -> Result<usize, Errno> {
    const KNOWN: CloneFlags = NAMESPACES
        .union(CloneFlags::THREAD)
        .union(CloneFlags::FS)
        .union(CloneFlags::SIGHAND)
        .union(CloneFlags::VM)
        .union(CloneFlags::FILES)
        .union(CloneFlags::SYSVSEM);
    let wants_time = flags & NEW_TIME != 0;
    let mut flags = CloneFlags::from_bits(flags & !NEW_TIME).ok_or(Errno::EINVAL)?;
    // One thing goes with another.
    for (flag, others) in [
        (CloneFlags::NEWUSER, CloneFlags::THREAD | CloneFlags::FS),
        (CloneFlags::VM, CloneFlags::SIGHAND | CloneFlags::THREAD),
        (CloneFlags::SIGHAND, CloneFlags::THREAD),
        (CloneFlags::NEWNS, CloneFlags::FS),
    ] {
        if flags.contains(flag) {
            flags |= others;
        }
    }
    if !KNOWN.contains(flags) {
        return Err(Errno::EINVAL);
    }
    let process = task::current_process();
    let has_others = process.thread_count() > 1;
    if flags.contains(CloneFlags::THREAD) && has_others
        || flags.contains(CloneFlags::VM) && process.address_space().is_shared()
    {
        return Err(Errno::EINVAL);
    }
    if flags.contains(CloneFlags::NEWUSER) {
        // Anybody may ask for one.
        crate::warning_once!("there are no namespaces of users: unshare answers EINVAL, as a Linux without them");
        return Err(Errno::EINVAL);
    }
    if wants_time || flags.intersects(NAMESPACES) {
        return Err(refuse_namespaces("unshare"));
    }
    context::unshare(flags.contains(CloneFlags::FILES), flags.contains(CloneFlags::FS))?;
    if flags.contains(CloneFlags::SYSVSEM) {
        ipc::semaphores::process_ends(process.id);
    }
    Ok(0)
}

/// `setns(2)`
pub fn setns(fd: i32, flags: i32) -> Result<usize, Errno> {
    let file = context::current().file(fd)?;
    let flags = CloneFlags::from_bits(flags as u32 as u64 & !NEW_TIME).ok_or(Errno::EINVAL)?;
    if process_file::of(&file).is_ok() && !flags.is_empty() && NAMESPACES.contains(flags) {
        crate::warning_once!("there are no namespaces: setns answers EINVAL, as a Linux without them");
    }
    // It names no namespace, since there are none.
    Err(Errno::EINVAL)
}

/// Compares two addresses of the kernel in an order that tells nothing about them: that of their products with secret
/// numbers.
fn compare(one: usize, other: usize, kind: i32) -> usize {
    const KINDS: usize = 8;
    static SECRETS: Once<[(usize, usize); KINDS]> = Once::new();
    let secrets = SECRETS.call_once(|| {
        let mut bytes = [0; KINDS * 16];
        task::random::fill(&mut bytes);
        let mut secrets = [(0, 0); KINDS];
        for (secret, bytes) in secrets.iter_mut().zip(bytes.as_chunks::<8>().0.as_chunks::<2>().0) {
            let [mask, factor] = bytes.map(usize::from_ne_bytes);
            // Odd, so that different addresses stay different.
            *secret = (mask, factor | 1);
        }
        secrets
    });
    let (mask, factor) = secrets[kind as usize % KINDS];
    let hidden = |address: usize| (address ^ mask).wrapping_mul(factor);
    match hidden(one).cmp(&hidden(other)) {
        Order::Equal => 0,
        Order::Less => 1,
        Order::Greater => 2,
    }
}

/// Where something is that a thread has.
type AddressOf<'a> = &'a dyn Fn(&Arc<Thread>, u64) -> Result<usize, Errno>;

fn file_of(thread: &Thread, fd: u64) -> Result<Arc<OpenFile>, Errno> {
    let fd = i32::try_from(fd as u32).map_err(|_| Errno::EBADF)?;
    context::of_thread(thread).file(fd)
}

/// `kcmp(2)`: whether two threads share something.
pub fn kcmp(first: i32, second: i32, kind: i32, one: u64, other: u64) -> Result<usize, Errno> {
    const FILE: i32 = 0;
    const MEMORY: i32 = 1;
    const FILES: i32 = 2;
    const PLACE: i32 = 3;
    const HANDLERS: i32 = 4;
    const INPUT_AND_OUTPUT: i32 = 5;
    const SEMAPHORES: i32 = 6;
    const POLLED: i32 = 7;
    let found = |number: i32| {
        u32::try_from(number)
            .ok()
            .and_then(task::find_thread)
            .ok_or(Errno::ESRCH)
    };
    let (first, second) = (found(first)?, found(second)?);
    let may_look = |thread: &Thread| task::may_look_into(&thread.process, task::Looker::Real);
    if !may_look(&first) || !may_look(&second) {
        return Err(Errno::EPERM);
    }
    let address: AddressOf<'_> = match kind {
        FILE => &|thread, fd| file_of(thread, fd).map(|file| Arc::as_ptr(&file).addr()),
        MEMORY => &|thread, _| Ok(Arc::as_ptr(&thread.process.address_space()).addr()),
        FILES => &|thread, _| Ok(context::of_thread(thread).addresses().0),
        PLACE => &|thread, _| Ok(context::of_thread(thread).addresses().1),
        HANDLERS => &|thread, _| Ok(Arc::as_ptr(&thread.process).addr()),
        // Threads have something there only after they have used it, and all that have nothing are alike.
        INPUT_AND_OUTPUT => &|thread, _| {
            let used = thread.io_priority.load(core::sync::atomic::Ordering::Relaxed) != 0;
            Ok(if used { Arc::as_ptr(thread).addr() } else { 0 })
        },
        SEMAPHORES => &|thread, _| {
            let used = ipc::semaphores::may_undo(thread.process.id);
            Ok(if used { Arc::as_ptr(&thread.process).addr() } else { 0 })
        },
        POLLED => {
            // What is asked for: an event poll of the second, a descriptor that it watches, and how many of these to skip.
            let [poll, descriptor, skipped]: [u32; 3] = read_object(UserPointer(other))?;
            let file = file_of(&first, one)?;
            let poll = context::of_thread(&second).file(poll as i32)?;
            let watched = event_poll::watched(&poll, descriptor as i32, skipped as usize)?;
            return Ok(compare(Arc::as_ptr(&file).addr(), watched, FILE));
        }
        _ => return Err(Errno::EINVAL),
    };
    Ok(compare(address(&first, one)?, address(&second, other)?, kind))
}
