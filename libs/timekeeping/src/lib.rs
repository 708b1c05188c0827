//! What the counters of a machine are worth in seconds, found by comparing them with the programmable interval timer, and
//! spans of time in ticks of a counter; and how processor time is told apart.
//!
//! The kernel reads the counters; here is only what follows from that. Nothing divides by more than 64 bits.
#![no_std]
#![forbid(unsafe_code)]

mod calibration;
mod ratio;
mod split;

pub use calibration::{Calibration, Frequencies, INTERVAL_TIMER_FREQUENCY, Reading, Span};
pub use ratio::Ratio;
pub use split::Split;
