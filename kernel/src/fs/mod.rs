//! Floor 5: files. Placeholder until the file systems land.
#![allow(missing_docs)]
use alloc::sync::Arc;
use alloc::vec::Vec;
use crate::memory::{PageSource, PageError, Frame};
use pith_linux::Errno;
static ROOT: spin::Once<&'static [u8]> = spin::Once::new();
pub struct FileContext;
impl FileContext { pub fn first(_: &[u8]) -> Result<Arc<Self>, Errno> { Ok(Arc::new(Self)) } }
impl crate::task::Resources for FileContext { fn as_any(&self) -> &dyn core::any::Any { self } fn before_exec(&self) {} }
pub enum Mappable { Zero, Object(Arc<dyn PageSource>) }
pub struct MappableFile { pub readable: bool, pub writable: bool, pub object: Mappable }
pub fn file_for_mapping(_: i32) -> Result<MappableFile, Errno> { Err(Errno::ENODEV) }
pub fn mount_root(image: &'static [u8]) -> Result<(), &'static str> { ROOT.call_once(|| image); Ok(()) }
pub struct Executable { path: Vec<u8>, nid: u64 }
struct Source(u64);
fn volume() -> pith_erofs::Volume<'static> { pith_erofs::Volume::open(ROOT.get().unwrap()).map_err(|_| ()).unwrap() }
impl PageSource for Source {
    fn page(&self, index: u64, _: bool) -> Result<Frame, PageError> {
        let v = volume(); let i = v.inode(self.0).map_err(|_| PageError::Unreadable)?;
        let mut b = [0; 4096];
        let n = v.read_at(&i, index * 4096, &mut b).map_err(|_| PageError::Unreadable)?;
        if n == 0 { return Err(PageError::BeyondEnd); }
        let f = Frame::zeroed(crate::memory::Purpose::User).ok_or(PageError::OutOfMemory)?; f.write(0, &b); Ok(f)
    }
    fn name(&self) -> alloc::string::String { "x".into() }
    fn identity(&self) -> (u64, u64) { (0, 0) }
}
pub fn open_executable(path: &[u8]) -> Result<Executable, Errno> {
    let v = volume(); let mut dir = v.root().map_err(|_| Errno::EIO)?;
    let mut nid = 0;
    for p in path.split(|b| *b == b'/').filter(|p| !p.is_empty()) {
        nid = v.lookup(&dir, p).map_err(|_| Errno::EIO)?.ok_or(Errno::ENOENT)?;
        dir = v.inode(nid).map_err(|_| Errno::EIO)?;
    }
    Ok(Executable { path: path.to_vec(), nid })
}
impl Executable {
    pub fn read_at(&self, offset: u64, b: &mut [u8]) -> Result<usize, Errno> { let v = volume(); let i = v.inode(self.nid).map_err(|_| Errno::EIO)?; v.read_at(&i, offset, b).map_err(|_| Errno::EIO) }
    pub fn size(&self) -> u64 { volume().inode(self.nid).map(|i| i.size).unwrap_or(0) }
    pub fn page_source(&self) -> Arc<dyn PageSource> { Arc::new(Source(self.nid)) }
    pub fn resolved_path(&self) -> Vec<u8> { self.path.clone() }
}
