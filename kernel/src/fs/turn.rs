//! Taking turns: a lock that may be held for long, since whoever waits for it sleeps.

use core::sync::atomic::{AtomicU8, Ordering};

use crate::task::WaitQueue;

const FREE: u8 = 0;
const TAKEN: u8 = 1;
/// Taken, and somebody may be waiting.
const WANTED: u8 = 2;

/// One thread at a time has the turn. Nothing interrupts waiting for it, not even the end of the process: so it must not be
/// kept while waiting for something that may never come, unless the end of the process ends that.
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
        self.queue
            .wait_for_turn(|| (self.state.swap(WANTED, Ordering::Acquire) == FREE).then_some(()));
    }
}

impl Drop for TurnGuard<'_> {
    fn drop(&mut self) {
        if self.0.state.swap(FREE, Ordering::Release) == WANTED {
            self.0.queue.wake(pith_linux::files::PollEvents::all());
        }
    }
}
