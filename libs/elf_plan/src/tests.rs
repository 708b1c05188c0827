//! Plans against `readelf`, against a naive loader and against Linux itself.

mod hostile;
mod programs;
mod scripts;
mod stacks;
#[path = "../fuzz/subject.rs"]
mod subject;

/// Makes ELF files for tests: as damaged as wanted.
pub struct Builder {
    /// `e_type`.
    pub kind: u16,
    /// `e_entry`.
    pub entry: u64,
    /// The program headers.
    pub headers: Vec<Header>,
    /// Size of the file in bytes; the content behind the headers is [`content`].
    pub size: usize,
}

/// One program header.
#[derive(Clone, Copy, Debug)]
pub struct Header {
    pub kind: u32,
    pub flags: u32,
    pub offset: u64,
    pub address: u64,
    pub file_size: u64,
    pub memory_size: u64,
    pub alignment: u64,
}

/// The byte at an offset of a file: never zero, and different in neighbouring pages.
pub fn content(offset: usize) -> u8 {
    (offset % 251) as u8 | 1
}

impl Header {
    /// A loadable segment of which address and offset agree.
    pub fn load(address: u64, offset: u64, file_size: u64, memory_size: u64) -> Self {
        Self {
            kind: elf::abi::PT_LOAD,
            flags: elf::abi::PF_R,
            offset,
            address,
            file_size,
            memory_size,
            alignment: 4096,
        }
    }
}

impl Builder {
    /// A file of four pages with these headers.
    pub fn new(kind: u16, headers: &[Header]) -> Self {
        Self {
            kind,
            entry: 0x40_1000,
            headers: headers.to_vec(),
            size: 4 * 4096,
        }
    }

    /// The file.
    pub fn build(&self) -> Vec<u8> {
        let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        file.extend(self.kind.to_le_bytes());
        file.extend(elf::abi::EM_X86_64.to_le_bytes());
        file.extend(1u32.to_le_bytes());
        file.extend(self.entry.to_le_bytes());
        file.extend(64u64.to_le_bytes());
        file.extend(0u64.to_le_bytes());
        file.extend(0u32.to_le_bytes());
        for half in [64, 56, self.headers.len() as u16, 64, 0, 0] {
            file.extend(half.to_le_bytes());
        }
        for header in &self.headers {
            file.extend(header.kind.to_le_bytes());
            file.extend(header.flags.to_le_bytes());
            for word in [
                header.offset,
                header.address,
                header.address,
                header.file_size,
                header.memory_size,
                header.alignment,
            ] {
                file.extend(word.to_le_bytes());
            }
        }
        let start = file.len();
        file.extend((start..self.size.max(start)).map(content));
        file
    }
}
