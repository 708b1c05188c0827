//! Taking turns: a lock that may be held for long, since whoever waits for it sleeps.

use core::sync::atomic::{AtomicU8, Ordering};

use crate::task::{self, WaitQueue};

const FREE: u8 = 0;
const TAKEN: u8 = 1;
/// Taken, and somebody may be waiting.
const WANTED: u8 = 2;

/// One thread at a time has the turn. Signals don't interrupt waiting for it, so it must not be kept while waiting for
/// something that may never come.
#[derive(Default)]
pub struct Turn {
    state: AtomicU8,
    queue: WaitQueue,
}

/// Having the turn.
pub struct TurnGuard<'a>(&'a Turn);

impl Turn {
    /// A turn that nobody has.
    pub const fn new() -> Self {
        Self {
            state: AtomicU8::new(FREE),
            queue: WaitQueue::new(),
        }
    }

    /// Waits for the turn.
    pub fn take(&self) -> TurnGuard<'_> {
        if self
            .state
            .compare_exchange(FREE, TAKEN, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            self.wait();
        }
        TurnGuard(self)
    }

    #[cold]
    fn wait(&self) {
        let attempt = || (self.state.swap(WANTED, Ordering::Acquire) == FREE).then_some(());
        while self.queue.wait_exclusive(None, attempt).is_err() {
            // A signal is pending; it is dealt with after the call.
            task::yield_now();
        }
    }
}

impl Drop for TurnGuard<'_> {
    fn drop(&mut self) {
        if self.0.state.swap(FREE, Ordering::Release) == WANTED {
            self.0.queue.wake(pith_linux::files::PollEvents::all());
        }
    }
}
