//! `/proc` (to be filled).
use alloc::sync::Arc;
use crate::fs::inode::{FileSystem, Inode};
use crate::fs::tree::{Character, Tree};
use pith_linux::files::DeviceNumber;
/// x
pub struct ProcessFileSystem;
impl ProcessFileSystem {
    /// x
    pub fn new(above: Arc<dyn Inode>) -> Arc<dyn FileSystem> {
        let tree = Tree::new(Character { type_name: "proc", magic: 0x9fa0, device: DeviceNumber::new(0, 21) }, 0o555);
        tree.attach(b"/proc", above);
        tree
    }
}
