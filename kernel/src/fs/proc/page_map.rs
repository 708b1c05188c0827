//! `/proc/self/pagemap`: a word of 64 bits for each page of the program's addresses.

use alloc::sync::Arc;

use pith_linux::Errno;
use pith_linux::files::OpenFlags;
use zerocopy::IntoBytes;

use crate::arch::layout::PROGRAM_END;
use crate::fs::file::File;
use crate::memory::{AddressSpace, Destination, PAGE_SIZE};
use crate::task::{self, Capabilities};

/// Bytes of a word.
const WORD: u64 = 8;
/// The bits that tell the frame, for those who may know it.
const FRAME: u64 = (1 << 55) - 1;
/// Words that are made at a time.
const PIECE: usize = 128;

/// The file.
pub struct PageMap(pub Arc<AddressSpace>);

impl File for PageMap {
    fn seekable(&self) -> bool {
        true
    }

    fn read(&self, position: u64, to: &mut Destination<'_>, _flags: OpenFlags) -> Result<usize, Errno> {
        if !position.is_multiple_of(WORD) || !(to.remaining() as u64).is_multiple_of(WORD) {
            return Err(Errno::EINVAL);
        }
        let space = &self.0;
        let may_know = task::has_capability(Capabilities::ADMINISTRATION);
        let mut page = position / WORD;
        let end = PROGRAM_END / PAGE_SIZE as u64;
        let mut done = 0;
        while to.remaining() != 0 && page < end {
            let mut words = [0; PIECE];
            let count = (to.remaining() / WORD as usize).min(PIECE).min((end - page) as usize);
            let words = &mut words[..count];
            space.page_words(page * PAGE_SIZE as u64, words);
            if !may_know {
                words.iter_mut().for_each(|word| *word &= !FRAME);
            }
            match to.put(words.as_bytes()) {
                Ok(copied) => done += copied,
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            }
            page += count as u64;
        }
        Ok(done)
    }
}
