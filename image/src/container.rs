//! The ELF file around kernel and payload: its header, its segments, and the note of the boot protocol.
//!
//! `pith_abi::image` defines the layout. An image has the kernel's loadable segments and notes (sections
//! and everything else of the kernel's file are dropped) and the payload as its last segment.

use std::fs::File;
use std::os::unix::fs::FileExt;

use elf::abi;
use elf::endian::LittleEndian;
use elf::file::Class;
use elf::note::{Note, NoteIterator};
use pith_abi::image::PAYLOAD_ALIGNMENT;
use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Type of the note with the 32-bit entry point of PVH (`XEN_ELFNOTE_PHYS32_ENTRY`, Xen's `elfnote.h`).
const PVH_ENTRY_NOTE: u64 = 18;

/// More program headers than any kernel has; a bound for damaged files.
const MAXIMUM_SEGMENTS: u16 = 64;

/// Largest area of notes that is read, in bytes.
const MAXIMUM_NOTES: u64 = 1 << 20;

/// `Elf64_Ehdr` (elf(5)).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct FileHeader {
    pub identification: [u8; 16],
    pub kind: U16,
    pub machine: U16,
    pub version: U32,
    pub entry: U64,
    pub segments_offset: U64,
    pub sections_offset: U64,
    pub flags: U32,
    pub header_size: U16,
    pub segment_size: U16,
    pub segment_count: U16,
    pub section_size: U16,
    pub section_count: U16,
    pub section_names: U16,
}

/// `Elf64_Phdr` (elf(5)).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(crate) struct Segment {
    pub kind: U32,
    pub flags: U32,
    pub offset: U64,
    pub virtual_address: U64,
    pub physical_address: U64,
    pub file_size: U64,
    pub memory_size: U64,
    pub alignment: U64,
}

/// Random access to a file's bytes, wherever they are.
pub(crate) trait Source {
    /// Length of the file in bytes.
    fn length(&self) -> std::io::Result<u64>;

    /// Fills the buffer from an offset on; an error if the file ends before.
    fn read(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()>;
}

impl Source for File {
    fn length(&self) -> std::io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        self.read_exact_at(buffer, offset)
    }
}

impl Source for &[u8] {
    fn length(&self) -> std::io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        let part = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.get(offset..)?.get(..buffer.len()))
            .ok_or(std::io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(part);
        Ok(())
    }
}

/// The parts of an ELF file that boots by PVH.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    pub header: FileHeader,
    /// `PT_LOAD` segments in the order of the file.
    pub loads: Vec<Segment>,
    /// `PT_NOTE` segments.
    pub notes: Vec<Segment>,
}

impl Container {
    /// Reads and checks header and segments. An error is a phrase that says what is wrong.
    pub fn read(source: &impl Source) -> Result<Self, String> {
        let size = source.length().map_err(|error| error.to_string())?;
        let mut header = FileHeader::new_zeroed();
        source
            .read(0, header.as_mut_bytes())
            .map_err(|_| "it is shorter than an ELF header".to_owned())?;
        let identification = &header.identification;
        if !identification.starts_with(b"\x7fELF") {
            return Err("it is not an ELF file".into());
        }
        if identification[abi::EI_CLASS] != abi::ELFCLASS64
            || identification[abi::EI_DATA] != abi::ELFDATA2LSB
            || header.machine.get() != abi::EM_X86_64
        {
            return Err("it is not an ELF file for 64-bit x86".into());
        }
        if header.kind.get() != abi::ET_EXEC {
            return Err("it is not an ELF executable at fixed addresses (ET_EXEC)".into());
        }
        let count = header.segment_count.get();
        if usize::from(header.segment_size.get()) != size_of::<Segment>()
            || count > MAXIMUM_SEGMENTS
        {
            return Err("its program header table has an unusual shape".into());
        }
        let mut container = Self {
            header,
            loads: Vec::new(),
            notes: Vec::new(),
        };
        let mut last_end = 0;
        for index in 0..u64::from(count) {
            let mut segment = Segment::new_zeroed();
            let offset = header
                .segments_offset
                .get()
                .checked_add(index * size_of::<Segment>() as u64)
                .ok_or("its program header table lies outside the file")?;
            source.read(offset, segment.as_mut_bytes()).map_err(|_| {
                "its program header table lies outside the file; the file is cut off".to_owned()
            })?;
            let kind = segment.kind.get();
            if kind != abi::PT_LOAD && kind != abi::PT_NOTE {
                continue;
            }
            let end = segment.offset.get().checked_add(segment.file_size.get());
            if end.is_none_or(|end| end > size) {
                return Err(
                    "a segment reaches beyond the end of the file; the file is cut off".into(),
                );
            }
            if kind == abi::PT_NOTE {
                container.notes.push(segment);
                continue;
            }
            if segment.memory_size.get() == 0 {
                continue;
            }
            if segment.file_size.get() > segment.memory_size.get() {
                return Err("a segment is larger in the file than in memory".into());
            }
            let end = segment
                .physical_end()
                .ok_or("a segment reaches beyond all addresses")?;
            if segment.physical_address.get() < last_end {
                return Err(
                    "its segments overlap or are not in the order of their addresses".into(),
                );
            }
            last_end = end;
            container.loads.push(segment);
        }
        if container.loads.is_empty() {
            return Err("it has no loadable segment".into());
        }
        if !container.boots_by_pvh(source)? {
            return Err("it has no note for the PVH boot protocol".into());
        }
        Ok(container)
    }

    fn boots_by_pvh(&self, source: &impl Source) -> Result<bool, String> {
        for segment in &self.notes {
            let size = segment.file_size.get();
            if size > MAXIMUM_NOTES {
                return Err("its notes are unreasonably large".into());
            }
            let mut bytes = vec![0; size as usize];
            source
                .read(segment.offset.get(), &mut bytes)
                .map_err(|error| error.to_string())?;
            let alignment = if segment.alignment.get() == 8 { 8 } else { 4 };
            let found =
                NoteIterator::new(LittleEndian, Class::ELF64, alignment, &bytes).any(|note| {
                    matches!(note, Note::Unknown(note)
                    if note.n_type == PVH_ENTRY_NOTE
                        && note.name.strip_suffix(&[0]).unwrap_or(note.name) == b"Xen")
                });
            if found {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Where the payload of a kernel begins: the first page at or above the end of its segments.
    pub fn payload_address(loads: &[Segment]) -> Option<u64> {
        let end = loads.iter().map(|segment| segment.physical_end()).max()??;
        end.checked_next_multiple_of(PAYLOAD_ALIGNMENT)
    }
}

impl Segment {
    /// First physical address behind the segment.
    pub fn physical_end(&self) -> Option<u64> {
        self.physical_address
            .get()
            .checked_add(self.memory_size.get())
    }

    /// The segment of a payload.
    pub fn payload(offset: u64, address: u64, length: u64) -> Self {
        Self {
            kind: U32::new(abi::PT_LOAD),
            flags: U32::new(abi::PF_R),
            offset: U64::new(offset),
            virtual_address: U64::new(address),
            physical_address: U64::new(address),
            file_size: U64::new(length),
            memory_size: U64::new(length),
            alignment: U64::new(PAYLOAD_ALIGNMENT),
        }
    }
}
