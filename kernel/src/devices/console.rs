//! Placeholder until the driver lands.
#![allow(missing_docs)]
use pith_abi::channel::ExitReport;
pub fn initialise(_: &'static str) {}
pub fn on_signal(_: fn(u8)) {}
pub fn panic_text(text: &str) { crate::arch::serial::print_early(format_args!("{text}")); }
pub fn write_output(_: u8, bytes: &[u8]) -> Result<usize, pith_linux::Errno> { crate::arch::serial::write_early(bytes); Ok(bytes.len()) }
pub fn report_exit(report: &ExitReport) -> ! { crate::arch::serial::print_early(format_args!("{report:?}\n")); crate::arch::power_off() }
