//! From the headers of an ELF file to a list of mappings.

use alloc::vec::Vec;
use core::ops::Range;

use elf::abi;
use elf::endian::LittleEndian;
use elf::file::{Class, ELF64_EHDR_TAILSIZE, FileHeader};
use elf::parse::ParseAt;
use elf::segment::ProgramHeader;

use crate::{Error, PAGE_SIZE, USER_END, USER_START};

/// Size of the ELF header, in bytes.
const HEADER_SIZE: usize = abi::EI_NIDENT + ELF64_EHDR_TAILSIZE;

/// Size of one program header, in bytes.
const PROGRAM_HEADER_SIZE: u16 = 56;

/// Largest table of program headers, in bytes, as on Linux.
const PROGRAM_HEADERS_LIMIT: u64 = 65536;

/// Longest path of an interpreter with its NUL, in bytes: `PATH_MAX`.
const INTERPRETER_LIMIT: u64 = 4096;

/// Whether a program chooses its addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It does (`ET_EXEC`): addresses of the plan are those of the process.
    Fixed,
    /// The kernel does (`ET_DYN`: position-independent programs and interpreters): a *load bias* is added to each
    /// address of the plan. It must be a multiple of [`Plan::alignment`].
    PositionIndependent,
}

/// What a program may do with a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Protection {
    /// Read.
    pub read: bool,
    /// Write.
    pub write: bool,
    /// Execute instructions.
    pub execute: bool,
}

/// A part of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileRange {
    /// Where it starts, in bytes from the start of the file.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// One range of pages to map. Segments of a plan are in ascending order and share no page.
///
/// ```text
/// virtual_address          + file_bytes                  + memory_bytes
/// │ pages of the file ……………… │ to clear, to the page's end │ anonymous pages … │
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First address; a multiple of [`PAGE_SIZE`].
    pub virtual_address: u64,
    /// Where in the file the content of the first address is; a multiple of [`PAGE_SIZE`].
    pub file_offset: u64,
    /// How many bytes from `virtual_address` on come from the file; 0 if none do. Not rounded to pages.
    pub file_bytes: u64,
    /// How many bytes from `virtual_address` on belong to the segment. Not rounded to pages.
    pub memory_bytes: u64,
    /// What the program may do with it.
    pub protection: Protection,
}

impl Segment {
    /// The pages that the file backs (privately).
    pub fn file_pages(&self) -> Range<u64> {
        self.virtual_address..page_ceiling(self.virtual_address + self.file_bytes)
    }

    /// The addresses in the last of these pages that must read as zero although the file may hold something else
    /// there. Empty if the segment has no more memory than file content: then the rest of the page is as `mmap`
    /// gives it.
    pub fn to_clear(&self) -> Range<u64> {
        let start = self.virtual_address + self.file_bytes;
        if self.memory_bytes > self.file_bytes {
            start..page_ceiling(start)
        } else {
            start..start
        }
    }

    /// The pages behind them, which start as zero.
    pub fn anonymous_pages(&self) -> Range<u64> {
        let start = self.file_pages().end;
        start..page_ceiling(self.virtual_address + self.memory_bytes).max(start)
    }

    /// All pages of the segment.
    pub fn pages(&self) -> Range<u64> {
        self.virtual_address..self.anonymous_pages().end
    }
}

/// How to load an ELF file. All addresses are without load bias.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whether the addresses are final.
    pub kind: Kind,
    /// Address of the first instruction (`AT_ENTRY`). Not checked: an address that is not mapped faults.
    pub entry: u64,
    /// What to map, in ascending order, not overlapping, at least one.
    pub segments: Vec<Segment>,
    /// Where the path of the interpreter is in the file, with its NUL; see [`Plan::interpreter_path`].
    pub interpreter: Option<FileRange>,
    /// Where the program headers are in memory (`AT_PHDR`), if they are.
    pub program_headers_address: Option<u64>,
    /// Number of program headers (`AT_PHNUM`).
    pub program_header_count: u16,
    /// Size of one program header, in bytes (`AT_PHENT`).
    pub program_header_size: u16,
    /// Whether the program asks for a stack on which instructions can be executed (`PT_GNU_STACK`).
    pub executable_stack: bool,
    /// Largest alignment of a segment, in bytes; a power of two, at least [`PAGE_SIZE`].
    pub alignment: u64,
    /// Address of the first page behind all segments, where `brk(2)` starts before randomisation.
    pub break_start: u64,
}

impl Plan {
    /// Reads the headers of a file of `file_size` bytes. `start` is a part of the file from its beginning on;
    /// one page is nearly always enough.
    ///
    /// # Errors
    /// [`Error::NeedMore`] if the headers reach beyond `start`; otherwise what is wrong with the file.
    pub fn parse(start: &[u8], file_size: u64) -> Result<Self, Error> {
        let range = Self::program_headers(start, file_size)?;
        let end = range.offset + range.length;
        let table = usize::try_from(range.offset)
            .ok()
            .zip(usize::try_from(end).ok())
            .and_then(|(offset, end)| start.get(offset..end))
            .ok_or(Error::NeedMore { bytes: end })?;
        Self::parse_parts(start, table, file_size)
    }

    /// Where the program headers are in the file, from its first 64 bytes. For files that have them far from the
    /// start (`patchelf` moves them), so that only these bytes need to be read, for [`Plan::parse_parts`].
    ///
    /// # Errors
    /// As [`Plan::parse`].
    pub fn program_headers(start: &[u8], file_size: u64) -> Result<FileRange, Error> {
        let header = parse_header(start, file_size)?;
        let range = FileRange {
            offset: header.e_phoff,
            length: u64::from(header.e_phnum) * u64::from(PROGRAM_HEADER_SIZE),
        };
        match range.offset.checked_add(range.length) {
            Some(end) if end <= file_size => Ok(range),
            _ => Err(Error::Truncated),
        }
    }

    /// Reads the headers of a file of `file_size` bytes: the ELF header from `start`, the program headers from
    /// `table`, the bytes that [`Plan::program_headers`] named.
    ///
    /// # Errors
    /// As [`Plan::parse`]; [`Error::Truncated`] if `table` is too short.
    pub fn parse_parts(start: &[u8], table: &[u8], file_size: u64) -> Result<Self, Error> {
        let header = parse_header(start, file_size)?;
        let mut plan = Self {
            kind: if header.e_type == abi::ET_EXEC {
                Kind::Fixed
            } else {
                Kind::PositionIndependent
            },
            entry: header.e_entry,
            segments: Vec::new(),
            interpreter: None,
            program_headers_address: None,
            program_header_count: header.e_phnum,
            program_header_size: PROGRAM_HEADER_SIZE,
            executable_stack: false,
            alignment: PAGE_SIZE,
            break_start: 0,
        };
        let mut position = 0;
        let mut end_of_last = 0;
        for index in 0..header.e_phnum {
            let entry = ProgramHeader::parse_at(LittleEndian, Class::ELF64, &mut position, table)
                .map_err(|_| Error::Truncated)?;
            match entry.p_type {
                abi::PT_LOAD if entry.p_memsz > 0 || entry.p_filesz > 0 => {
                    let (segment, end) = plan.segment(index, &entry, file_size, end_of_last)?;
                    end_of_last = end;
                    plan.add(segment)?;
                    if plan.program_headers_address.is_none()
                        && header.e_phoff >= entry.p_offset
                        && header.e_phoff - entry.p_offset < entry.p_filesz
                    {
                        plan.program_headers_address =
                            Some(entry.p_vaddr + (header.e_phoff - entry.p_offset));
                    }
                }
                abi::PT_INTERP if plan.interpreter.is_none() => {
                    plan.interpreter = Some(interpreter_range(&entry, index, file_size)?);
                }
                abi::PT_GNU_STACK => plan.executable_stack = entry.p_flags & abi::PF_X != 0,
                _ => {}
            }
        }
        if plan.segments.is_empty() {
            return Err(Error::NoSegments);
        }
        plan.break_start = page_ceiling(end_of_last);
        Ok(plan)
    }

    /// Address of the first page.
    pub fn lowest_address(&self) -> u64 {
        self.segments
            .first()
            .map_or(0, |segment| segment.virtual_address)
    }

    /// From the first page to the end of the last one, in bytes.
    pub fn span(&self) -> u64 {
        self.break_start - self.lowest_address()
    }

    /// The path of the interpreter from the bytes of the file that [`Plan::interpreter`] names.
    ///
    /// # Errors
    /// [`Error::BadInterpreter`] if it is empty or not terminated.
    pub fn interpreter_path(bytes: &[u8]) -> Result<&[u8], Error> {
        if bytes.last() != Some(&0) {
            return Err(Error::BadInterpreter);
        }
        let end = bytes.iter().position(|&byte| byte == 0);
        let path = end.map_or(bytes, |end| &bytes[..end]);
        if path.is_empty() {
            return Err(Error::BadInterpreter);
        }
        Ok(path)
    }

    /// Checks one loadable segment that must not start below `floor`, and returns it with its exact end.
    fn segment(
        &mut self,
        index: u16,
        entry: &ProgramHeader,
        file_size: u64,
        floor: u64,
    ) -> Result<(Segment, u64), Error> {
        if entry.p_filesz > entry.p_memsz {
            return Err(Error::LargerInFile { header: index });
        }
        let end = entry.p_vaddr.checked_add(entry.p_memsz);
        let Some(end) = end.filter(|&end| end <= USER_END) else {
            return Err(Error::BadAddress { header: index });
        };
        if self.kind == Kind::Fixed && page_floor(entry.p_vaddr) < USER_START {
            return Err(Error::BadAddress { header: index });
        }
        if entry.p_vaddr < floor {
            return Err(Error::OutOfOrder { header: index });
        }
        let offset_in_page = entry.p_vaddr % PAGE_SIZE;
        let virtual_address = entry.p_vaddr - offset_in_page;
        let mut segment = Segment {
            virtual_address,
            file_offset: 0,
            file_bytes: 0,
            memory_bytes: end - virtual_address,
            protection: Protection {
                read: entry.p_flags & abi::PF_R != 0,
                write: entry.p_flags & abi::PF_W != 0,
                execute: entry.p_flags & abi::PF_X != 0,
            },
        };
        if entry.p_filesz > 0 {
            if !in_file(entry, file_size) {
                return Err(Error::BeyondEndOfFile { header: index });
            }
            if entry.p_offset % PAGE_SIZE != offset_in_page {
                return Err(Error::Misaligned { header: index });
            }
            segment.file_offset = entry.p_offset - offset_in_page;
            segment.file_bytes = entry.p_filesz + offset_in_page;
        }
        // Linux ignores an alignment that is none.
        if entry.p_align.is_power_of_two() {
            if entry.p_align > USER_END {
                return Err(Error::HugeAlignment { header: index });
            }
            self.alignment = self.alignment.max(entry.p_align);
        }
        Ok((segment, end))
    }

    /// Adds a segment. If it starts in the last page of the one before, the page is its own, as it is when Linux
    /// maps one after the other: linkers that do this give both the same bytes of the file.
    fn add(&mut self, segment: Segment) -> Result<(), Error> {
        if let Some(last) = self.segments.last_mut()
            && last.pages().end > segment.virtual_address
        {
            last.memory_bytes = segment.virtual_address.saturating_sub(last.virtual_address);
            last.file_bytes = last.file_bytes.min(last.memory_bytes);
            if last.memory_bytes == 0 {
                self.segments.pop();
            }
        }
        self.segments
            .try_reserve(1)
            .map_err(|_| Error::OutOfMemory)?;
        self.segments.push(segment);
        Ok(())
    }
}

/// Reads and checks the ELF header.
fn parse_header(start: &[u8], file_size: u64) -> Result<FileHeader<LittleEndian>, Error> {
    let magic = abi::ELFMAGIC.len();
    if start.len() >= magic && !start.starts_with(&abi::ELFMAGIC) || file_size < magic as u64 {
        return Err(Error::NotExecutableFormat);
    }
    if file_size < HEADER_SIZE as u64 {
        return Err(Error::Truncated);
    }
    let Some((identification, tail)) = start
        .get(..HEADER_SIZE)
        .and_then(|header| header.split_at_checked(abi::EI_NIDENT))
    else {
        return Err(Error::NeedMore {
            bytes: HEADER_SIZE as u64,
        });
    };
    match identification[abi::EI_CLASS] {
        abi::ELFCLASS64 => {}
        abi::ELFCLASS32 => return Err(Error::Not64Bit),
        _ => return Err(Error::NotExecutableFormat),
    }
    match identification[abi::EI_DATA] {
        abi::ELFDATA2LSB => {}
        abi::ELFDATA2MSB => return Err(Error::BigEndian),
        _ => return Err(Error::NotExecutableFormat),
    }
    let version = identification[abi::EI_VERSION];
    if version != abi::EV_CURRENT {
        return Err(Error::UnknownVersion {
            version: u32::from(version),
        });
    }
    let header = FileHeader::parse_tail((LittleEndian, Class::ELF64, 0, 0), tail)
        .map_err(|_| Error::Truncated)?;
    if header.e_machine != abi::EM_X86_64 {
        return Err(Error::WrongMachine {
            machine: header.e_machine,
        });
    }
    if header.e_type != abi::ET_EXEC && header.e_type != abi::ET_DYN {
        return Err(Error::NotAProgram {
            kind: header.e_type,
        });
    }
    if header.e_phnum == 0
        || u64::from(header.e_phnum) * u64::from(PROGRAM_HEADER_SIZE) > PROGRAM_HEADERS_LIMIT
    {
        return Err(Error::HeaderCount {
            count: header.e_phnum,
        });
    }
    if header.e_phentsize != PROGRAM_HEADER_SIZE {
        return Err(Error::HeaderSize {
            size: header.e_phentsize,
        });
    }
    Ok(header)
}

/// Where the path of the interpreter is.
fn interpreter_range(
    entry: &ProgramHeader,
    index: u16,
    file_size: u64,
) -> Result<FileRange, Error> {
    if entry.p_filesz < 2 || entry.p_filesz > INTERPRETER_LIMIT {
        return Err(Error::BadInterpreter);
    }
    if !in_file(entry, file_size) {
        return Err(Error::BeyondEndOfFile { header: index });
    }
    Ok(FileRange {
        offset: entry.p_offset,
        length: entry.p_filesz,
    })
}

/// Whether all bytes of a program header's content are in the file.
fn in_file(entry: &ProgramHeader, file_size: u64) -> bool {
    entry
        .p_offset
        .checked_add(entry.p_filesz)
        .is_some_and(|end| end <= file_size)
}

/// The start of the page of `address`.
fn page_floor(address: u64) -> u64 {
    address & !(PAGE_SIZE - 1)
}

/// The first multiple of a page at or above `address`, which is at most [`USER_END`].
fn page_ceiling(address: u64) -> u64 {
    page_floor(address + (PAGE_SIZE - 1))
}
