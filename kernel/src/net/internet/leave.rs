//! The end of the machine.
//!
//! On Linux the sockets of a program that exits are closed, and what it wrote is delivered although it is gone. Here the
//! kernel goes with the program. So it stays until peers have acknowledged what was sent and that nothing follows, or have
//! been silent for too long.

use alloc::sync::Weak;
use alloc::vec::Vec;

use spin::Once;

use super::{NETWORK, Network, Pairs, now};
use crate::task;

/// How long peers may be silent, in nanoseconds: a few repetitions of a segment that was lost.
const PATIENCE: u64 = 1_000_000_000;
/// How often the stack is tried that another processor uses in this moment.
const ATTEMPTS: u32 = 100_000;

/// Closes all sockets, and waits until peers know all that there is to know. No thread runs on this processor meanwhile.
pub fn leave() {
    let Some(network) = NETWORK.get() else { return };
    if network.cards.iter().all(|card| card.get().is_none()) {
        return;
    }
    // A program may have been ended for want of memory while this processor held the stack.
    if !(0..ATTEMPTS).any(|_| is_free(network)) {
        return;
    }
    // Those that run on other processors see nothing of it: whatever calls tell them, they do not come back from them.
    task::end_all_threads();
    let sockets: Vec<_> = network.sockets.lock().values().filter_map(Weak::upgrade).collect();
    for socket in sockets {
        socket.abort_unlingering();
    }
    let mut left = network.with(|stack, now| {
        stack.close_all(now);
        stack.unacknowledged()
    });
    let mut until = now().0 + PATIENCE;
    while left != 0 && now().0 < until {
        network.look(Pairs::All);
        let still = network.with(|stack, _| stack.unacknowledged());
        if still < left {
            until = now().0 + PATIENCE;
        }
        left = still;
    }
}

fn is_free(network: &Network) -> bool {
    core::hint::spin_loop();
    let mut batches = network
        .cards
        .iter()
        .filter_map(Once::get)
        .flat_map(|card| &card.batches);
    network.stack.try_lock().is_some()
        && batches.all(|batch| batch.try_lock().is_some())
        && network.sockets.try_lock().is_some()
}
