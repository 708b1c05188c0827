//! Puts names to the kernel's addresses.
//!
//! The image holds a kernel without its symbol table, and a panicking kernel should do as little as
//! possible. So it prints addresses, and the host, which has the kernel with its symbols, adds the names.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use elf::ElfBytes;
use elf::abi::{PF_X, PT_LOAD, STT_FUNC, STT_NOTYPE};
use elf::endian::AnyEndian;

/// The start of every kernel address in hexadecimal: the top 2 GiB of the address space.
pub(crate) const PREFIX: &str = "0xffffffff8";

/// Most bytes at the start of an image that may hold its program headers.
const IMAGE_HEADERS: u64 = 65536;

/// The functions of a kernel, by address.
#[derive(Clone, Debug, Default)]
pub struct Symbols {
    /// Sorted by address.
    functions: Vec<Function>,
}

#[derive(Clone, Debug)]
struct Function {
    address: u64,
    /// 0 if the table doesn't say; then it reaches to the next function.
    size: u64,
    name: String,
}

impl Symbols {
    /// Reads the symbol table of a kernel. A file without one, or one that makes no sense, has no symbols.
    pub fn parse(kernel: &[u8]) -> Self {
        Self {
            functions: read_functions(kernel).unwrap_or_default(),
        }
    }

    /// The function that holds an address, and the distance from its start.
    pub fn find(&self, address: u64) -> Option<(&str, u64)> {
        let next = self
            .functions
            .partition_point(|function| function.address <= address);
        let function = &self.functions[next.checked_sub(1)?];
        let offset = address - function.address;
        // A call at the very end of a function that never returns leaves an address just behind it.
        if function.size != 0 && offset > function.size {
            return None;
        }
        // Without a size, and with nothing behind it, the last function would reach to the end of memory.
        if function.size == 0 && next == self.functions.len() {
            return None;
        }
        Some((&function.name, offset))
    }

    /// The text with ` <function+0x12>` after each kernel address that belongs to a function.
    pub fn annotate(&self, text: &str) -> String {
        let mut result = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find(PREFIX) {
            let digits = start + 2;
            let end = rest[digits..]
                .find(|character: char| !character.is_ascii_hexdigit())
                .map_or(rest.len(), |length| digits + length);
            result.push_str(&rest[..end]);
            if end - digits == 16
                && let Ok(address) = u64::from_str_radix(&rest[digits..end], 16)
                && let Some((name, offset)) = self.find(address)
            {
                result.push_str(&format!(" <{name}+{offset:#x}>"));
            }
            rest = &rest[end..];
        }
        result.push_str(rest);
        result
    }
}

/// The functions of an ELF file's symbol table, sorted by address.
fn read_functions(kernel: &[u8]) -> Option<Vec<Function>> {
    let file = ElfBytes::<AnyEndian>::minimal_parse(kernel).ok()?;
    let (symbols, names) = file.symbol_table().ok()??;
    let mut functions: Vec<Function> = symbols
        .iter()
        .filter(|symbol| {
            // Labels in assembly have no type.
            matches!(symbol.st_symtype(), STT_FUNC | STT_NOTYPE)
                && symbol.st_value >> 31 == u64::MAX >> 31
                && !symbol.is_undefined()
        })
        .filter_map(|symbol| {
            let name = names.get(symbol.st_name as usize).ok()?;
            (!name.is_empty()).then(|| Function {
                address: symbol.st_value,
                size: symbol.st_size,
                // The alternate form leaves out the hash at the end.
                name: format!("{:#}", rustc_demangle::demangle(name)),
            })
        })
        .collect();
    // Of several names at one address, the one with a size tells more.
    functions.sort_by_key(|function| (function.address, function.size == 0));
    functions.dedup_by_key(|function| function.address);
    Some(functions)
}

/// Whether the image was built with this very kernel, so that its symbols are true for it: the executable
/// segments must be the same bytes at the same addresses.
pub fn image_has_kernel(image: &Path, kernel: &[u8]) -> bool {
    compare(image, kernel).unwrap_or(false)
}

fn compare(image: &Path, kernel: &[u8]) -> Option<bool> {
    let mut file = File::open(image).ok()?;
    let mut headers = Vec::new();
    file.by_ref()
        .take(IMAGE_HEADERS)
        .read_to_end(&mut headers)
        .ok()?;
    let image_segments = ElfBytes::<AnyEndian>::minimal_parse(&headers)
        .ok()?
        .segments()?;
    let kernel_file = ElfBytes::<AnyEndian>::minimal_parse(kernel).ok()?;
    let mut compared = false;
    for segment in kernel_file.segments()?.iter() {
        if segment.p_type != PT_LOAD || segment.p_flags & PF_X == 0 {
            continue;
        }
        let expected = kernel_file.segment_data(&segment).ok()?;
        let twin = image_segments.iter().find(|candidate| {
            candidate.p_type == PT_LOAD
                && candidate.p_vaddr == segment.p_vaddr
                && candidate.p_filesz == segment.p_filesz
        })?;
        let mut found = vec![0; expected.len()];
        file.seek(SeekFrom::Start(twin.p_offset)).ok()?;
        file.read_exact(&mut found).ok()?;
        if found != expected {
            return Some(false);
        }
        compared = true;
    }
    Some(compared)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols() -> Symbols {
        let function = |address, size, name: &str| Function {
            address,
            size,
            name: name.into(),
        };
        Symbols {
            functions: vec![
                function(0xffff_ffff_8000_1000, 0x20, "start"),
                function(0xffff_ffff_8000_2000, 0, "label"),
                function(0xffff_ffff_8000_3000, 0x100, "pith_kernel::main"),
            ],
        }
    }

    #[test]
    fn addresses_get_the_name_of_their_function() {
        let symbols = symbols();
        assert_eq!(
            symbols.annotate("at 0xffffffff80001004, then 0xFFFF and 0xffffffff800030ff."),
            "at 0xffffffff80001004 <start+0x4>, then 0xFFFF and 0xffffffff800030ff <pith_kernel::main+0xff>."
        );
        // Before the first, between two, after the last.
        for nobody in [
            "0xffffffff80000fff",
            "0xffffffff80001021",
            "0xffffffff80003101",
        ] {
            assert_eq!(symbols.annotate(nobody), nobody);
        }
        assert_eq!(symbols.find(0xffff_ffff_8000_2fff), Some(("label", 0xfff)));
        assert_eq!(symbols.find(0xffff_ffff_8000_1020), Some(("start", 0x20)));
    }

    #[test]
    fn text_that_only_looks_like_an_address_stays() {
        let symbols = symbols();
        for text in [
            "0xffffffff8",
            "0xffffffff800010040",
            "0xffffffff8000100é",
            "0xffffffff80001004",
        ] {
            let annotated = symbols.annotate(text);
            assert_eq!(
                annotated.contains('<'),
                text == "0xffffffff80001004",
                "{text}"
            );
            assert!(annotated.starts_with(text));
        }
        assert_eq!(
            Symbols::default().annotate("0xffffffff80001004"),
            "0xffffffff80001004"
        );
    }

    /// A kernel with one executable segment of eight bytes and two symbols, laid out by hand (ELF-64
    /// Object File Format, version 1.5).
    fn kernel(code: &[u8; 8]) -> Vec<u8> {
        let names = b"\0_ZN4pith5panic17h0123456789abcdefE\0start\0";
        let mut symbols = vec![0; 24];
        for (name, kind, address, size) in [
            (1_u32, 2_u8, 0xffff_ffff_8010_0000_u64, 4_u64),
            (36, 0, 0xffff_ffff_8010_0004, 4),
        ] {
            symbols.extend(name.to_le_bytes());
            symbols.extend([kind, 0, 1, 0]);
            symbols.extend(address.to_le_bytes());
            symbols.extend(size.to_le_bytes());
        }
        let code_offset = 64 + 56;
        let symbols_offset = code_offset + code.len() as u64;
        let names_offset = symbols_offset + symbols.len() as u64;
        let sections_offset = names_offset + names.len() as u64;

        let mut file = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
        file.extend([2, 0, 62, 0, 1, 0, 0, 0]);
        for word in [0, 64, sections_offset] {
            file.extend(word.to_le_bytes());
        }
        file.extend([0; 4]);
        for half in [64_u16, 56, 1, 64, 3, 0] {
            file.extend(half.to_le_bytes());
        }
        file.extend([1, 0, 0, 0, 5, 0, 0, 0]);
        let length = code.len() as u64;
        let address = 0xffff_ffff_8010_0000;
        for word in [code_offset, address, 0x10_0000, length, length, 1] {
            file.extend(word.to_le_bytes());
        }
        file.extend(code);
        file.extend(&symbols);
        file.extend(names);
        // The empty section, the symbol table (type 2) linked to its names, the names (type 3).
        file.extend([0; 64]);
        for (kind, offset, size, link, entry) in [
            (2_u32, symbols_offset, symbols.len() as u64, 2_u32, 24_u64),
            (3, names_offset, names.len() as u64, 0, 0),
        ] {
            file.extend(0_u32.to_le_bytes());
            file.extend(kind.to_le_bytes());
            for word in [0, 0, offset, size] {
                file.extend(word.to_le_bytes());
            }
            file.extend(link.to_le_bytes());
            file.extend(0_u32.to_le_bytes());
            for word in [1, entry] {
                file.extend(word.to_le_bytes());
            }
        }
        file
    }

    #[test]
    fn names_come_from_the_symbol_table_without_mangling() {
        let symbols = Symbols::parse(&kernel(b"codecode"));
        assert_eq!(
            symbols.annotate("0xffffffff80100002 0xffffffff80100007"),
            "0xffffffff80100002 <pith::panic+0x2> 0xffffffff80100007 <start+0x3>"
        );
        // Cut anywhere, it must not be taken for more than it is.
        let whole = kernel(b"codecode");
        for length in 0..whole.len() {
            assert!(Symbols::parse(&whole[..length]).functions.len() <= 2);
        }
    }

    #[test]
    fn symbols_count_only_for_the_same_kernel() {
        let image = std::env::temp_dir().join(format!("pith-symbols-{}", std::process::id()));
        std::fs::write(&image, kernel(b"codecode")).unwrap();
        let (same, other) = (
            image_has_kernel(&image, &kernel(b"codecode")),
            image_has_kernel(&image, &kernel(b"codec0de")),
        );
        std::fs::remove_file(&image).unwrap();
        assert!(same && !other);
    }

    #[test]
    fn what_is_no_elf_has_no_symbols() {
        assert!(Symbols::parse(b"").functions.is_empty());
        assert!(Symbols::parse(b"\x7fELF\x02\x01\x01").functions.is_empty());
        assert!(!image_has_kernel(Path::new("/nonexistent"), b""));
    }
}
