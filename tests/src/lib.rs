//! Boots programs with `pith run` and compares them with the same command on the host.
//!
//! What is tested stands in tables of [`Case`]s (in `end_to_end/`): program, arguments, files, input. A case
//! is run twice, in a machine and on the host, with the same arguments, environment, working directory and
//! input. Standard output, standard error and status must agree byte for byte. Where Linux itself would
//! differ from one machine to the next (inode numbers, say), the case names the pattern and why.
//!
//! `pith` and the kernel speak on standard error too, in lines that begin with `pith:`. They are no part of
//! the comparison; but each must be one that the case announces, and each announced one must come. So a
//! case without announcements proves that the kernel had nothing to complain about.
#![forbid(unsafe_code)]

pub mod case;
pub mod compare;
pub mod differential;
pub mod execute;
pub mod flood;
pub mod guest;
pub mod http;
pub mod namespace;
pub mod suite;
pub mod workshop;

pub use case::{Case, Expectation, Machine};
pub use workshop::Workshop;
