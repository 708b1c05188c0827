//! What kind of program a file is: an ELF file with its needs, a script, or neither.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use elf::abi;
use elf::dynamic::DynamicTable;
use elf::endian::LittleEndian;
use elf::file::Class;
use elf::segment::{ProgramHeader, SegmentTable};

use crate::error::Error;

/// Linux reads this much of a file to recognise its format (`BINPRM_BUF_SIZE`).
const RECOGNITION_LENGTH: usize = 256;

/// Largest table or string area that is read from an ELF file, in bytes. Real ones stay below a megabyte;
/// the bound keeps a damaged file from asking for all memory.
const MAXIMUM_TABLE: u64 = 64 << 20;

/// How much of a program is searched for the names of libraries, in bytes.
const MAXIMUM_CONSTANTS: u64 = 64 << 20;

/// A file that can be executed.
#[derive(Clone, Debug)]
pub(crate) enum Format {
    /// An x86-64 ELF file.
    Elf(Executable),
    /// A script: `#!` with interpreter and, perhaps, one argument (execve(2)).
    Script {
        interpreter: PathBuf,
        argument: Option<OsString>,
    },
}

/// What the dynamic linker reads from an ELF file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Executable {
    /// `PT_INTERP`: the dynamic linker.
    pub interpreter: Option<PathBuf>,
    /// `DT_NEEDED`, in order.
    pub needed: Vec<OsString>,
    /// `DT_SONAME`.
    pub name: Option<OsString>,
    /// `DT_RPATH`, absent where `DT_RUNPATH` overrides it.
    pub rpath: Option<OsString>,
    /// `DT_RUNPATH`.
    pub runpath: Option<OsString>,
    /// Whether it has an entry point. Libraries that are not programs as well have none.
    pub has_entry: bool,
    /// `DF_1_NODEFLIB`: default directories are not searched.
    pub no_default_directories: bool,
    /// It calls functions for which glibc loads [`UNWINDER`] when they are called.
    pub unwinds: bool,
    /// It may open sockets: it knows the function, or is linked statically, so that nobody can tell.
    pub sockets: bool,
    /// It looks hosts, services or protocols up by name.
    pub looks_names_up: bool,
}

impl Format {
    /// Recognises a file by its contents. `None` is neither ELF nor script.
    pub fn of(path: &Path) -> Result<Option<Self>, Error> {
        let file = File::open(path).map_err(Error::unreadable(path))?;
        let mut start = [0; RECOGNITION_LENGTH];
        let length = read_up_to(&file, &mut start).map_err(Error::unreadable(path))?;
        let start = &start[..length];
        if start.starts_with(b"\x7fELF") {
            return Executable::read(path, &file, start)
                .map(|executable| Some(Self::Elf(executable)));
        }
        Ok(start.strip_prefix(b"#!").and_then(script))
    }
}

/// Names of libraries that stand among a program's constants, each a text of its own: `./libx.so`, `libx.so.1`.
pub(crate) fn named_libraries(path: &Path) -> Result<BTreeSet<OsString>, Error> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAXIMUM_CONSTANTS).read_to_end(&mut bytes))
        .map_err(Error::unreadable(path))?;
    Ok(bytes
        .split(|&byte| byte == 0)
        .filter(|text| is_library_name(text))
        .map(|text| OsString::from_vec(text.to_vec()))
        .collect())
}

/// Whether a text is `NAME.so` or `NAME.so.VERSION`, perhaps with directories before it.
fn is_library_name(text: &[u8]) -> bool {
    let number = |byte: &u8| byte.is_ascii_digit() || *byte == b'.';
    let digits = text.iter().rev().take_while(|byte| number(byte)).count();
    let before = &text[..text.len() - digits];
    let has_version = text[before.len()..].starts_with(b".") && digits > 1;
    let stem = match before.strip_suffix(b".so") {
        Some(stem) if digits == 0 || has_version => stem,
        _ => return false,
    };
    let name = stem.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    !name.is_empty()
        && stem.len() < 4096
        && stem
            .iter()
            .all(|&byte| byte.is_ascii_alphanumeric() || b"_-+./$".contains(&byte))
}

/// Fills `buffer` as far as the file reaches, and returns how far.
fn read_up_to(file: &File, buffer: &mut [u8]) -> std::io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read_at(&mut buffer[filled..], filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Splits the first line of a script as Linux does: interpreter, then the rest as one argument.
fn script(line: &[u8]) -> Option<Format> {
    let end = line
        .iter()
        .position(|&byte| byte == b'\n')
        .unwrap_or(line.len());
    let line = line[..end].trim_ascii();
    let split = line
        .iter()
        .position(|byte| matches!(byte, b' ' | b'\t'))
        .unwrap_or(line.len());
    let (interpreter, argument) = line.split_at(split);
    if interpreter.is_empty() {
        return None;
    }
    let argument = argument.trim_ascii();
    Some(Format::Script {
        interpreter: OsStr::from_bytes(interpreter).into(),
        argument: (!argument.is_empty()).then(|| OsStr::from_bytes(argument).into()),
    })
}

impl Executable {
    /// Reads program headers and dynamic section. `start` is the file's beginning.
    fn read(path: &Path, file: &File, start: &[u8]) -> Result<Self, Error> {
        let malformed = |reason: &str| Error::MalformedElf {
            path: path.into(),
            reason: reason.into(),
        };
        // The identification decides how the rest is read, so it comes first.
        if start.len() < abi::EI_NIDENT + 4 {
            return Err(malformed("the file ends within its header"));
        }
        let big_endian = start[abi::EI_DATA] == abi::ELFDATA2MSB;
        let field = |offset: usize| {
            let bytes = [start[offset], start[offset + 1]];
            if big_endian {
                u16::from_be_bytes(bytes)
            } else {
                u16::from_le_bytes(bytes)
            }
        };
        let (kind, machine) = (field(16), field(18));
        if machine != abi::EM_X86_64 || big_endian {
            if machine == abi::EM_386 && !big_endian {
                return Err(Error::ThirtyTwoBit { path: path.into() });
            }
            return Err(Error::ForeignArchitecture {
                path: path.into(),
                architecture: architecture(machine),
            });
        }
        if start[abi::EI_CLASS] == abi::ELFCLASS32 {
            return Err(Error::ThirtyTwoBit { path: path.into() });
        }
        match kind {
            abi::ET_EXEC | abi::ET_DYN => {}
            abi::ET_REL => return Err(malformed("an object file that is not linked yet")),
            abi::ET_CORE => return Err(malformed("a core dump")),
            _ => return Err(malformed("neither executable nor shared object")),
        }
        let header = elf::file::parse_ident::<LittleEndian>(start)
            .and_then(|ident| elf::file::FileHeader::parse_tail(ident, &start[abi::EI_NIDENT..]))
            .map_err(|error| malformed(&format!("its header does not parse: {error}")))?;
        let size = file.metadata().map_err(Error::unreadable(path))?.len();
        let area = |offset: u64, length: u64, what: &str| -> Result<Vec<u8>, Error> {
            let inside = offset.checked_add(length).is_some_and(|end| end <= size);
            if !inside || length > MAXIMUM_TABLE {
                return Err(malformed(&format!("its {what} lies outside the file")));
            }
            let mut bytes = vec![0; length as usize];
            file.read_exact_at(&mut bytes, offset)
                .map_err(Error::unreadable(path))?;
            Ok(bytes)
        };
        if header.e_phnum != 0 && header.e_phentsize != 56 {
            return Err(malformed("its program headers have an unknown size"));
        }
        let table = area(
            header.e_phoff,
            u64::from(header.e_phnum) * 56,
            "program header table",
        )?;
        let segments: Vec<ProgramHeader> = SegmentTable::new(LittleEndian, Class::ELF64, &table)
            .iter()
            .collect();

        let mut executable = Self {
            has_entry: header.e_entry != 0,
            sockets: true,
            looks_names_up: true,
            ..Self::default()
        };
        if let Some(segment) = segments
            .iter()
            .find(|segment| segment.p_type == abi::PT_INTERP)
        {
            let bytes = area(segment.p_offset, segment.p_filesz, "interpreter name")?;
            let name = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
            if name.is_empty() {
                return Err(malformed("its interpreter name is empty"));
            }
            executable.interpreter = Some(OsString::from_vec(name.to_vec()).into());
        }
        let Some(segment) = segments
            .iter()
            .find(|segment| segment.p_type == abi::PT_DYNAMIC)
        else {
            return Ok(executable);
        };
        let dynamic = area(segment.p_offset, segment.p_filesz, "dynamic section")?;
        let entries: Vec<(i64, u64)> = DynamicTable::new(LittleEndian, Class::ELF64, &dynamic)
            .iter()
            .map(|entry| (entry.d_tag, entry.d_val()))
            .take_while(|&(tag, _)| tag != abi::DT_NULL)
            .collect();
        let value = |wanted: i64| {
            entries
                .iter()
                .find(|&&(tag, _)| tag == wanted)
                .map(|&(_, value)| value)
        };
        executable.no_default_directories =
            value(abi::DT_FLAGS_1).is_some_and(|flags| flags & DF_1_NODEFLIB != 0);
        let wants_strings = entries.iter().any(|(tag, _)| {
            [
                abi::DT_NEEDED,
                abi::DT_SONAME,
                abi::DT_RPATH,
                abi::DT_RUNPATH,
            ]
            .contains(tag)
        });
        if !wants_strings {
            return Ok(executable);
        }
        let (Some(address), Some(length)) = (value(abi::DT_STRTAB), value(abi::DT_STRSZ)) else {
            return Err(malformed("its dynamic section has no string table"));
        };
        // The dynamic section speaks of addresses in memory; the loadable segments say where these are in
        // the file.
        let offset = segments
            .iter()
            .filter(|segment| segment.p_type == abi::PT_LOAD)
            .find_map(|segment| {
                let inside = address.checked_sub(segment.p_vaddr)?;
                (inside < segment.p_filesz).then(|| segment.p_offset.checked_add(inside))?
            })
            .ok_or_else(|| malformed("its string table lies in no segment"))?;
        let strings = area(offset, length, "string table")?;
        let text = |offset: u64| -> Result<OsString, Error> {
            let rest = usize::try_from(offset)
                .ok()
                .and_then(|offset| strings.get(offset..))
                .ok_or_else(|| malformed("a name lies outside its string table"))?;
            let end = rest
                .iter()
                .position(|&byte| byte == 0)
                .ok_or_else(|| malformed("a name in its string table does not end"))?;
            Ok(OsString::from_vec(rest[..end].to_vec()))
        };
        for &(tag, value) in &entries {
            match tag {
                abi::DT_NEEDED => executable.needed.push(text(value)?),
                abi::DT_SONAME => executable.name = Some(text(value)?),
                abi::DT_RPATH => executable.rpath = Some(text(value)?),
                abi::DT_RUNPATH => executable.runpath = Some(text(value)?),
                _ => {}
            }
        }
        if executable.runpath.is_some() {
            executable.rpath = None;
        }
        let mentions = |name: &[u8]| strings.split(|&byte| byte == 0).any(|word| word == name);
        executable.unwinds = UNWINDING.iter().any(|name| mentions(name));
        // A static program that is moved about has a dynamic section too, but needs no library.
        let is_static = executable.needed.is_empty() && executable.has_entry;
        let begins = |list: &[&[u8]]| {
            strings
                .split(|&byte| byte == 0)
                .any(|word| list.iter().any(|start| word.starts_with(start)))
        };
        executable.looks_names_up = is_static || begins(&NAMES);
        executable.sockets = executable.looks_names_up || SOCKETS.iter().any(|name| mentions(name));
        Ok(executable)
    }
}

/// The library that glibc loads by itself to unwind a stack: of a thread that ends, or for backtrace(3).
pub(crate) const UNWINDER: &str = "libgcc_s.so.1";

/// Functions of glibc that need [`UNWINDER`].
const UNWINDING: [&[u8]; 4] = [
    b"pthread_exit",
    b"pthread_cancel",
    b"thrd_exit",
    b"backtrace",
];

/// Functions without which a program opens no socket of the Internet itself.
const SOCKETS: [&[u8]; 4] = [b"socket", b"syscall", b"getifaddrs", b"if_nameindex"];

/// How the names of functions begin that look something up in `/etc/hosts`, `/etc/services` or `/etc/protocols`, or by
/// DNS, for which the C library opens sockets itself.
const NAMES: [&[u8]; 7] = [
    b"getaddrinfo",
    b"getnameinfo",
    b"gethost",
    b"getserv",
    b"getproto",
    b"res_",
    b"__res_",
];

/// `DF_1_NODEFLIB` of `DT_FLAGS_1` (`<elf.h>`).
const DF_1_NODEFLIB: u64 = 0x800;

/// The name of a processor that people know.
fn architecture(machine: u16) -> String {
    let name = match machine {
        abi::EM_AARCH64 => "64-bit ARM (aarch64)",
        abi::EM_ARM => "32-bit ARM",
        abi::EM_RISCV => "RISC-V",
        abi::EM_PPC64 => "64-bit PowerPC",
        abi::EM_PPC => "32-bit PowerPC",
        abi::EM_S390 => "IBM Z (s390x)",
        abi::EM_MIPS => "MIPS",
        abi::EM_SPARCV9 => "SPARC",
        abi::EM_IA_64 => "Itanium",
        abi::EM_LOONGARCH => "LoongArch",
        abi::EM_BPF => "the BPF virtual machine",
        _ => return format!("an unknown processor (ELF machine {machine})"),
    };
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_libraries_are_told_from_other_texts() {
        for (text, expected) in [
            ("libx.so", true),
            ("./libx.so", true),
            ("$ORIGIN/parts/libx.so.1.2", true),
            ("libx.so.", false),
            ("libx.so1", false),
            (".so", false),
            ("parts/.so", false),
            ("lib%s.so", false),
            ("cannot load libx.so", false),
            ("libx.so.1-beta", false),
            ("", false),
        ] {
            assert_eq!(is_library_name(text.as_bytes()), expected, "{text}");
        }
    }
}
