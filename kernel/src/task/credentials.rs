//! Who the threads are. Each has credentials of its own, as on Linux, where libraries make all threads of a process follow
//! one; others see a process as its first thread is.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};

use pith_linux::Errno;
use pith_linux::credentials::{Capabilities, Credentials};

use super::family;
use super::process::{Limits, Process};
use super::thread::{Thread, current, try_current};

/// In whose name a process is looked into (`ptrace(2)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looker {
    /// The real user, with what capabilities it has: `PTRACE_MODE_REALCREDS`.
    Real,
    /// The user in whose name files are used: `PTRACE_MODE_FSCREDS`.
    OfFiles,
}

impl Thread {
    /// Who it is. Threads of the kernel are who their process is.
    pub fn credentials(&self) -> Arc<Credentials> {
        match self.id() {
            0 => self.process.credentials(),
            _ => self.own_credentials.lock().clone(),
        }
    }

    /// The same, to be looked at for a moment.
    #[inline]
    pub fn with_credentials<T>(&self, look: impl FnOnce(&Credentials) -> T) -> T {
        match self.id() {
            0 => look(&self.process.credentials()),
            _ => look(&self.own_credentials.lock()),
        }
    }

    fn change_credentials(&self, change: impl FnOnce(&Credentials) -> Credentials) {
        let mut own = self.own_credentials.lock();
        let new = Arc::new(change(&own));
        let old = core::mem::replace(&mut *own, new.clone());
        drop(own);
        drop(old);
        if self.id() == self.process.id {
            let old = core::mem::replace(&mut *self.process.credentials.lock(), new);
            drop(old);
        }
    }

    /// The thread becomes somebody else.
    pub(super) fn replace_credentials(&self, new: Credentials) {
        self.change_credentials(|own| Credentials {
            // Another thread may have said so meanwhile, and nobody takes it back.
            no_new_privileges: new.no_new_privileges || own.no_new_privileges,
            ..new
        });
    }

    /// No program that it runs has more rights from now on (`PR_SET_NO_NEW_PRIVS`; `SECCOMP_FILTER_FLAG_TSYNC` of `seccomp(2)`,
    /// told by another thread). It stays who it is.
    pub fn forgo_privileges(&self) {
        self.change_credentials(|own| Credentials {
            no_new_privileges: true,
            ..Credentials::clone(own)
        });
    }
}

/// A number that no credentials had before.
pub(super) fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The number of the current thread's credentials; 0 where there is no thread yet.
pub fn credentials_number() -> u64 {
    try_current().map_or(0, |thread| thread.with_credentials(|own| own.number))
}

/// Who the current thread is.
pub fn credentials() -> Arc<Credentials> {
    current().credentials()
}

/// The same where there may be no thread yet.
pub fn try_credentials() -> Option<Arc<Credentials>> {
    try_current().map(|thread| thread.credentials())
}

/// Whether the current thread has a capability.
pub fn has_capability(capability: u64) -> bool {
    current().with_credentials(|own| own.has(capability))
}

/// The current thread becomes somebody else.
pub fn set_credentials(mut new: Credentials) {
    new.number = next_number();
    let thread = current();
    if thread.with_credentials(|old| old.hides(&new)) {
        hide(&thread.process);
    }
    let user = new.users[0];
    if thread.with_credentials(|old| old.users[0] != user) {
        // Too many programs don't look whether they became somebody else: only the next program is refused.
        let too_many = user != 0 && family::threads_of_user(user) > thread.process.limit(Limits::PROCESSES);
        thread.too_many.store(too_many, Ordering::Relaxed);
    }
    thread.replace_credentials(new);
}

/// Whether the current thread may run another program, although its user had too many threads when it became that.
///
/// # Errors
/// `EAGAIN` if there are still too many.
pub fn check_thread_limit() -> Result<(), Errno> {
    let thread = current();
    if thread.too_many.load(Ordering::Relaxed) {
        let user = thread.credentials().users[0];
        if family::threads_of_user(user) > thread.process.limit(Limits::PROCESSES) {
            return Err(Errno::EAGAIN);
        }
        thread.too_many.store(false, Ordering::Relaxed);
    }
    Ok(())
}

/// Others of its user may not look into a process any more, since it was, or is, somebody else. Nor may its parent signal it
/// by its end.
fn hide(process: &Process) {
    process.settings.dumpable.store(false, Ordering::Relaxed);
    process.family.parent_end_signal.store(0, Ordering::Relaxed);
}

/// Whether the current thread may look into a process (`PTRACE_MODE_*` of `ptrace(2)`).
pub fn may_look_into(other: &Process, by: Looker) -> bool {
    let thread = current();
    if thread.process.id == other.id {
        return true;
    }
    let own = thread.credentials();
    if own.has(Capabilities::TRACE) {
        return true;
    }
    let (user, group, capabilities) = match by {
        Looker::Real => (own.users[0], own.groups[0], own.capabilities.permitted),
        Looker::OfFiles => (own.file_user, own.file_group, own.capabilities.effective),
    };
    let theirs = other.credentials();
    theirs.users == [user; 3]
        && theirs.groups == [group; 3]
        && other.is_dumpable()
        && theirs.capabilities.permitted & !capabilities == 0
}
