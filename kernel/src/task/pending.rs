//! Signals that were sent and not yet delivered: to a process, or to one of its threads.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use pith_linux::Errno;
use pith_linux::signal::{SYNCHRONOUS, Signal, SignalInformation, code};

use crate::sync::InterruptMutex;

/// Most real-time signals that are queued at one place, whatever the limits say.
const MOST: usize = 4096;

/// Pending signals. Everything here may be called by interrupt handlers.
#[derive(Debug, Default)]
pub struct PendingSignals {
    /// Bit n-1 is signal n. Changed with the queue locked, read by anybody.
    set: AtomicU64,
    /// What is known about them beyond their numbers, in the order in which they came.
    queue: InterruptMutex<Vec<SignalInformation>>,
}

impl PendingSignals {
    /// Which signals are pending: bit n-1 is signal n.
    #[inline]
    pub fn set(&self) -> u64 {
        self.set.load(Ordering::Acquire)
    }

    /// Pieces of information that are queued.
    pub fn queued(&self) -> usize {
        self.queue.lock().len()
    }

    /// Adds a signal. A standard signal is pending once; real-time signals queue, up to `limit`.
    ///
    /// # Errors
    /// `EAGAIN` if too many real-time signals are queued. (A standard signal without memory only loses what is known
    /// about it.)
    pub fn add(&self, signal: Signal, information: SignalInformation, limit: u64) -> Result<(), Errno> {
        let mut queue = self.queue.lock();
        let is_pending = self.set.load(Ordering::Relaxed) & signal.bit() != 0;
        // As on Linux, a timer's signal, of which there is one, does not merge with those of others.
        if signal.is_real_time() || !is_pending || information.is_of_timer() {
            // As on Linux, what is known about a standard signal is kept beyond the limit unless a program made it up.
            let most = match signal.is_real_time() || information.code < 0 {
                true => limit.min(MOST as u64),
                false => MOST as u64,
            };
            let room = (queue.len() as u64) < most && queue.try_reserve(1).is_ok();
            if room {
                queue.push(information);
            } else if signal.is_real_time() && !matches!(information.code, code::SI_KERNEL | code::SI_USER) {
                return Err(Errno::EAGAIN);
            }
        }
        self.set.fetch_or(signal.bit(), Ordering::SeqCst);
        Ok(())
    }

    /// Adds a signal that has to be the next one, in place of what is known about it so far.
    pub fn add_first(&self, signal: Signal, information: SignalInformation) {
        let mut queue = self.queue.lock();
        queue.retain(|other| other.signal != information.signal);
        if queue.try_reserve(1).is_ok() {
            queue.insert(0, information);
        }
        self.set.fetch_or(signal.bit(), Ordering::SeqCst);
    }

    /// Takes the next signal of a set: synchronous ones first, then by number.
    pub fn take(&self, set: u64) -> Option<(Signal, SignalInformation)> {
        if self.set() & set == 0 {
            return None;
        }
        let mut queue = self.queue.lock();
        let pending = self.set.load(Ordering::Relaxed) & set;
        let urgent = pending & SYNCHRONOUS;
        let candidates = if urgent != 0 { urgent } else { pending };
        let signal = Signal::from_number(u64::from(candidates.trailing_zeros()) + 1)?;
        let number = i32::from(signal.number());
        let information = match queue.iter().position(|information| information.signal == number) {
            Some(index) => queue.remove(index),
            None => SignalInformation::new(signal, code::SI_KERNEL),
        };
        if !queue.iter().any(|information| information.signal == number) {
            self.set.fetch_and(!signal.bit(), Ordering::SeqCst);
        }
        Some((signal, information))
    }

    /// Forgets what timers sent. A signal that something else sent, too, stays pending.
    pub fn discard_timers(&self) {
        let mut queue = self.queue.lock();
        let (mut of_timers, mut others) = (0, 0);
        queue.retain(|information| {
            let timer = information.code == code::SI_TIMER;
            let signal = Signal::from_number(information.signal as u64);
            let set = if timer { &mut of_timers } else { &mut others };
            *set |= signal.map_or(0, |signal| signal.bit());
            !timer
        });
        self.set.fetch_and(!(of_timers & !others), Ordering::SeqCst);
    }

    /// Forgets signals of a set.
    pub fn discard(&self, set: u64) {
        let mut queue = self.queue.lock();
        queue.retain(|information| {
            let signal = Signal::from_number(information.signal as u64);
            signal.is_none_or(|signal| signal.bit() & set == 0)
        });
        self.set.fetch_and(!set, Ordering::SeqCst);
    }
}
