//! Work that an interrupt handler, or somebody with locks in hand, leaves to a thread of the kernel.
//!
//! There is one such thread for what concerns no program's memory, and one for each process that has work to be done in its
//! memory.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use pith_linux::Errno;
use pith_linux::files::PollEvents;
use spin::Once;

use super::process::Process;
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
    /// Its thread ends, and nothing more is done.
    closed: bool,
}

/// A queue with a thread that does what is in it.
pub struct Server {
    queue: InterruptMutex<Queue>,
    arrived: WaitQueue,
    started: AtomicBool,
}

static COMMON: Once<Arc<Server>> = Once::new();

impl Server {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            queue: InterruptMutex::new(Queue {
                waiting: VecDeque::new(),
                tickets: 0,
                closed: false,
            }),
            arrived: WaitQueue::new(),
            started: AtomicBool::new(false),
        })
    }

    fn ticket(self: &Arc<Self>, process: &Arc<Process>) -> Result<Ticket, Errno> {
        {
            let mut queue = self.queue.lock();
            let room = queue.tickets + 1;
            queue.waiting.try_reserve(room).map_err(|_| Errno::ENOMEM)?;
            queue.tickets += 1;
        }
        let ticket = Ticket {
            queued: AtomicBool::new(false),
            server: self.clone(),
        };
        if !self.started.swap(true, Ordering::SeqCst) {
            let server = self.clone();
            spawn_kernel_thread(process, "deferred", Box::new(move || server.serve()))
                .inspect_err(|_| self.started.store(false, Ordering::SeqCst))?;
        }
        Ok(ticket)
    }

    fn serve(&self) {
        loop {
            // No signal is ever meant for this thread.
            let next = self.arrived.wait(|| {
                let mut queue = self.queue.lock();
                let next = queue.waiting.pop_front();
                if next.is_none() && queue.closed {
                    return Some(None);
                }
                next.map(Some)
            });
            match next {
                Ok(Some(work)) => {
                    work.ticket().queued.store(false, Ordering::SeqCst);
                    work.work();
                }
                Ok(None) => return,
                Err(_) => {}
            }
        }
    }

    /// Its process has ended: lets its thread end when it has done what is in the queue.
    pub fn close(&self) {
        self.queue.lock().closed = true;
        self.arrived.wake(PollEvents::all());
    }
}

/// The right to be in the queue, once at a time.
pub struct Ticket {
    queued: AtomicBool,
    server: Arc<Server>,
}

impl Ticket {
    /// A ticket for work that touches no program's memory; the first one starts the thread.
    ///
    /// # Errors
    /// `ENOMEM`, `EAGAIN` without memory.
    pub fn new() -> Result<Self, Errno> {
        // The thread needs some process, and outlives it.
        COMMON.call_once(Server::new).ticket(&current_process())
    }

    /// A ticket for work in the memory of the current process.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn of_process() -> Result<Self, Errno> {
        let process = current_process();
        process.deferred.call_once(Server::new).ticket(&process)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.server.queue.lock().tickets -= 1;
    }
}

/// Has `work` done soon. May be called by interrupt handlers, and with the locks of wait queues held.
pub fn defer(work: Arc<dyn Work>) {
    let ticket = work.ticket();
    if ticket.queued.swap(true, Ordering::SeqCst) {
        return;
    }
    let server = ticket.server.clone();
    server.queue.lock().waiting.push_back(work);
    server.arrived.wake(PollEvents::all());
}
