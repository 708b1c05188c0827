//! Waiting: for a condition that somebody else makes true, for a time, for a signal.
//!
//! A thread that waits registers at the queues where it is to be woken, announces that it is about to sleep, and
//! looks at its condition again; only then does it give the processor up. Whoever makes a condition true wakes the
//! queue afterwards, so that one of both sees the other (see `libs/scheduling`).

use alloc::sync::{Arc, Weak};

use pith_linux::Errno;
use pith_linux::files::PollEvents;
use pith_waiting::{OutOfMemory, Population, WaitList};

use crate::sync::InterruptMutex;

use super::clock::{Instant, monotonic};
use super::thread::{Thread, current};
use super::timer::TimerTarget;
use super::{scheduler, signal};

/// Somebody who wants to be told that a condition may have changed.
pub trait Wakeable: Send + Sync {
    /// Tells which events may have come. Called under the queue's lock with interrupts off, perhaps by an interrupt
    /// handler. True if the wake-up was of use: then no other exclusive waiter is woken.
    fn wake(&self, events: PollEvents) -> bool;
}

/// Where threads wait for a condition.
#[derive(Default)]
pub struct WaitQueue {
    entries: InterruptMutex<WaitList<Arc<dyn Wakeable>>>,
    population: Population,
}

/// Why a wait ended without its condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitError {
    /// A signal wants to be delivered (`EINTR`, or a restart of the call).
    Interrupted,
    /// The deadline has passed.
    TimedOut,
}

/// A wait without deadline was interrupted by a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted;

impl From<Interrupted> for pith_linux::Errno {
    fn from(_: Interrupted) -> Self {
        Self::EINTR
    }
}

impl WaitQueue {
    /// An empty queue.
    pub const fn new() -> Self {
        Self {
            entries: InterruptMutex::new(WaitList::new()),
            population: Population::new(),
        }
    }

    /// Lets all who wait look at their conditions again. May be called by interrupt handlers.
    pub fn wake_all(&self) {
        if self.population.anybody() {
            self.entries.lock().wake_all(|who| {
                who.wake(PollEvents::all());
            });
        }
    }

    /// Tells all waiters about events, of the exclusive ones only the first that has a use for it.
    #[inline]
    pub fn wake(&self, events: PollEvents) {
        if self.population.anybody() {
            self.wake_somebody(events);
        }
    }

    #[inline(never)]
    fn wake_somebody(&self, events: PollEvents) {
        self.entries.lock().wake(|who| who.wake(events));
    }

    /// Adds somebody who is to be told.
    ///
    /// # Errors
    /// `ENOMEM`.
    pub fn register(&self, who: &Arc<dyn Wakeable>, exclusive: bool) -> Result<(), Errno> {
        let registered = self.entries.lock().register(who.clone(), exclusive);
        registered.map_err(|OutOfMemory| Errno::ENOMEM)?;
        self.population.enter();
        Ok(())
    }

    /// Takes somebody out again.
    pub fn unregister(&self, who: &Arc<dyn Wakeable>) {
        let found = self.entries.lock().unregister(|entry| Arc::ptr_eq(entry, who));
        if found.is_some() {
            self.population.leave();
        }
        // Not under the lock: it may be the last reference.
        drop(found);
    }

    /// As [`Self::wait`], until a deadline at most.
    ///
    /// # Errors
    /// [`WaitError`].
    pub fn wait_until<T>(
        &self,
        deadline: Option<Instant>,
        condition: impl FnMut() -> Option<T>,
    ) -> Result<T, WaitError> {
        wait_any(&[self], deadline, condition)
    }

    /// As [`Self::wait_until`], woken one at a time by [`Self::wake`]: whoever leaves something for others wakes the next.
    ///
    /// # Errors
    /// [`WaitError`].
    pub fn wait_exclusive<T>(
        &self,
        deadline: Option<Instant>,
        condition: impl FnMut() -> Option<T>,
    ) -> Result<T, WaitError> {
        wait_on(&[self], deadline, Ending::Signals, true, condition)
    }

    /// Waits until `condition` gives a value, woken one at a time by [`Self::wake`], whatever happens: as for a lock.
    pub fn wait_for_turn<T>(&self, condition: impl FnMut() -> Option<T>) -> T {
        match wait_on(&[self], None, Ending::Nothing, true, condition) {
            Ok(value) => value,
            Err(_) => unreachable!("nothing interrupts this wait"),
        }
    }

    /// As [`Self::wait`], but only a signal that ends the program, or the end of the thread, interrupts it.
    ///
    /// # Errors
    /// [`Interrupted`]
    pub fn wait_killable<T>(&self, condition: impl FnMut() -> Option<T>) -> Result<T, Interrupted> {
        wait_on(&[self], None, Ending::Death, false, condition).map_err(|_| Interrupted)
    }

    /// As [`Self::wait`], for a thread that waits in no call that could start again.
    ///
    /// # Errors
    /// [`Interrupted`] by a signal.
    pub fn wait_for_program<T>(&self, condition: impl FnMut() -> Option<T>) -> Result<T, Interrupted> {
        wait_on(&[self], None, Ending::SignalsOutsideCalls, false, condition).map_err(|_| Interrupted)
    }

    /// Waits until `condition` gives a value. It is called by the thread that waits, with interrupts on, and must not
    /// sleep or touch the program's memory. Who makes it true changes what it looks at first and wakes then.
    ///
    /// # Errors
    /// [`Interrupted`] by a signal.
    pub fn wait<T>(&self, condition: impl FnMut() -> Option<T>) -> Result<T, Interrupted> {
        wait_any(&[self], None, condition).map_err(|_| Interrupted)
    }
}

/// Waits on several queues, until a deadline at most. See [`WaitQueue::wait`].
///
/// # Errors
/// [`WaitError`].
pub fn wait_any<T>(
    queues: &[&WaitQueue],
    deadline: Option<Instant>,
    condition: impl FnMut() -> Option<T>,
) -> Result<T, WaitError> {
    wait_on(queues, deadline, Ending::Signals, false, condition)
}

/// What ends a wait.
enum Event<T> {
    Happened(T),
    Failed(WaitError),
}

/// What interrupts a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// A signal; the call may start again afterwards.
    Signals,
    /// A signal; there is no call that could start again.
    SignalsOutsideCalls,
    /// The end of the thread.
    Death,
    /// Only what is waited for.
    Nothing,
}

fn wait_on<T>(
    queues: &[&WaitQueue],
    deadline: Option<Instant>,
    ending: Ending,
    exclusive: bool,
    mut condition: impl FnMut() -> Option<T>,
) -> Result<T, WaitError> {
    if let Some(value) = condition() {
        return Ok(value);
    }
    let thread = current();
    let own = thread.arc().expect("a thread that runs lives");
    let who: Arc<dyn Wakeable> = own.clone();
    let mut registered = 0;
    for queue in queues {
        if queue.register(&who, exclusive).is_err() {
            break;
        }
        registered += 1;
    }
    if let Some(deadline) = deadline {
        let target: Weak<dyn TimerTarget> = Arc::<Thread>::downgrade(&own);
        thread.sleep_timer.arm(deadline, target);
    }
    let event = loop {
        thread.entity.prepare_to_sleep();
        let event = look(&thread, deadline, ending, &mut condition);
        if let Some(event) = event {
            thread.entity.stay_awake();
            break event;
        }
        if registered < queues.len() {
            // Without memory for the lists: look again and again, in turns with the others.
            thread.entity.stay_awake();
            scheduler::yield_now();
        } else {
            scheduler::block();
        }
    };
    if deadline.is_some() {
        thread.sleep_timer.disarm();
    }
    for queue in &queues[..registered] {
        queue.unregister(&who);
        if exclusive && matches!(event, Event::Failed(_)) {
            // The wake-up may have been meant for one that has a use for it.
            queue.wake(PollEvents::all());
        }
    }
    match event {
        Event::Happened(value) => Ok(value),
        Event::Failed(error) => Err(error),
    }
}

fn look<T>(
    thread: &Thread,
    deadline: Option<Instant>,
    ending: Ending,
    condition: &mut impl FnMut() -> Option<T>,
) -> Option<Event<T>> {
    if let Some(value) = condition() {
        return Some(Event::Happened(value));
    }
    let interrupted = match ending {
        Ending::Death => signal::is_dying(thread),
        Ending::Nothing => false,
        _ => thread.is_interrupted(),
    };
    if interrupted {
        if ending == Ending::Signals {
            // What most calls want; others say so after the wait.
            signal::set_restart(signal::Restart::IfHandlerAllows);
        }
        return Some(Event::Failed(WaitError::Interrupted));
    }
    match deadline {
        Some(deadline) if monotonic() >= deadline => Some(Event::Failed(WaitError::TimedOut)),
        _ => None,
    }
}

/// Sleeps until a time.
///
/// # Errors
/// [`Interrupted`] by a signal.
pub fn sleep_until(deadline: Instant) -> Result<(), Interrupted> {
    match wait_any(&[], Some(deadline), || None::<()>) {
        Ok(()) | Err(WaitError::TimedOut) => Ok(()),
        Err(WaitError::Interrupted) => Err(Interrupted),
    }
}
