//! Work that an interrupt handler, or somebody with locks in hand, leaves to a thread of the kernel.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use pith_linux::Errno;
use pith_linux::files::PollEvents;

use super::thread::current_process;
use super::threads::spawn_kernel_thread;
use super::wait::WaitQueue;
use crate::sync::InterruptMutex;

/// Something that has work to be done later.
pub trait Work: Send + Sync {
    /// Its ticket.
    fn ticket(&self) -> &Ticket;

    /// Does what there is to do. Called by a thread of the kernel that all share: must not wait for long.
    fn work(&self);
}

struct Queue {
    waiting: VecDeque<Arc<dyn Work>>,
    /// How many tickets there are: for so many there is room in the queue.
    tickets: usize,
}

static QUEUE: InterruptMutex<Queue> = InterruptMutex::new(Queue {
    waiting: VecDeque::new(),
    tickets: 0,
});
static ARRIVED: WaitQueue = WaitQueue::new();

/// The right to be in the queue, once at a time.
pub struct Ticket {
    queued: AtomicBool,
}

impl Ticket {
    /// A ticket; the first one starts the thread.
    ///
    /// # Errors
    /// `ENOMEM`, `EAGAIN` without memory.
    pub fn new() -> Result<Self, Errno> {
        static STARTED: AtomicBool = AtomicBool::new(false);
        {
            let mut queue = QUEUE.lock();
            let room = queue.tickets + 1;
            queue.waiting.try_reserve(room).map_err(|_| Errno::ENOMEM)?;
            queue.tickets += 1;
        }
        let ticket = Self {
            queued: AtomicBool::new(false),
        };
        if !STARTED.swap(true, Ordering::SeqCst) {
            spawn_kernel_thread(&current_process(), "deferred", Box::new(serve))
                .inspect_err(|_| STARTED.store(false, Ordering::SeqCst))?;
        }
        Ok(ticket)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        QUEUE.lock().tickets -= 1;
    }
}

/// Has `work` done soon. May be called by interrupt handlers, and with the locks of wait queues held.
pub fn defer(work: Arc<dyn Work>) {
    if work.ticket().queued.swap(true, Ordering::SeqCst) {
        return;
    }
    QUEUE.lock().waiting.push_back(work);
    ARRIVED.wake(PollEvents::all());
}

fn serve() {
    loop {
        // No signal is ever meant for this thread.
        let Ok(work) = ARRIVED.wait(|| QUEUE.lock().waiting.pop_front()) else {
            continue;
        };
        work.ticket().queued.store(false, Ordering::SeqCst);
        work.work();
    }
}
