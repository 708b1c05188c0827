//! Placeholder.
#![allow(missing_docs)]
use alloc::sync::Arc; use crate::memory::{PageSource, SharedMemory};
pub const DATA_PAGES: u64 = 1;
pub fn code_pages() -> u64 { 1 }
pub fn sources() -> (Arc<dyn PageSource>, Arc<dyn PageSource>) { (Arc::new(SharedMemory::default()), Arc::new(SharedMemory::default())) }
