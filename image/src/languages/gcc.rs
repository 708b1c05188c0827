//! The GNU compilers: `gcc`, `g++`, `gfortran`, `gdc`, GNAT, and what others start to assemble and link.
//!
//! The command is only a driver. With it come the compilers of the languages that it is for or that its sources are in,
//! the assembler and the linker, what every program is linked with and what `-l` names, and of the headers those that the
//! sources include, and that these include. Where no source is known, as when another compiler is the one that starts it,
//! the usual headers of C count as included.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::application::{self, Application, Kind};
use super::gather::{self, Taken};
use super::{Basket, Rule, Start, command};
use crate::closure::{Closure, Program};
use crate::error::Error;
use crate::tree::Found;

/// The rule for the GNU compilers.
pub(super) struct Gcc;

const KIND: Kind = Kind {
    language: "gcc",
    extensions: &[
        "c", "h", "S", "s", "cc", "cpp", "cxx", "C", "hh", "hpp", "hxx", "f", "f90", "f95", "F90",
        "d", "di", "ads", "adb",
    ],
    roots: &["Makefile", "CMakeLists.txt", "configure", "meson.build"],
    skipped: &[],
};

/// What distinguishes a language.
struct Language {
    /// How names of drivers begin.
    drivers: &'static [&'static str],
    /// How names of sources end.
    extensions: &'static [&'static str],
    /// The compiler.
    compiler: &'static str,
    /// How names of what belongs to it begin in the directory of the compilers.
    parts: &'static [&'static str],
}

const LANGUAGES: [Language; 5] = [
    Language {
        drivers: &["gcc", "cpp"],
        extensions: &["c", "s", "S"],
        compiler: "cc1",
        parts: &[],
    },
    Language {
        drivers: &["g++"],
        extensions: &["cc", "cpp", "cxx", "C"],
        compiler: "cc1plus",
        parts: &["libstdc++.so"],
    },
    Language {
        drivers: &["gfortran"],
        extensions: &["f", "f90", "f95", "F90"],
        compiler: "f951",
        parts: &["finclude", "libgfortran.", "libquadmath.", "libcaf_single."],
    },
    Language {
        drivers: &["gdc"],
        extensions: &["d"],
        compiler: "d21",
        parts: &["libgphobos.", "libgdruntime."],
    },
    Language {
        drivers: &["gnat"],
        extensions: &["ads", "adb"],
        compiler: "gnat1",
        parts: &["ada"],
    },
];

/// How names of what every program needs begin in the directory of the compilers.
const PARTS: [&str; 10] = [
    "collect2",
    "crt",
    "include",
    "libatomic.so",
    "libgcc",
    "libgomp.",
    "libitm.spec",
    "liblto_plugin.so",
    "libssp_nonshared.a",
    "lto-wrapper",
];

/// What programs are linked with, in the directory of libraries.
const LINKED: [&str; 14] = [
    "Scrt1.o",
    "crt1.o",
    "crti.o",
    "crtn.o",
    "gcrt1.o",
    "libc.so",
    "libc_nonshared.a",
    "libm.so",
    "libpthread.a",
    "libdl.a",
    "librt.a",
    "libresolv.so",
    "libutil.a",
    "libz.so",
];

/// Where headers and libraries lie for this processor.
const HEADERS: [&str; 3] = [
    "/usr/local/include",
    "/usr/include/x86_64-linux-gnu",
    "/usr/include",
];
const LIBRARIES: [&str; 2] = ["/usr/local/lib", "/usr/lib/x86_64-linux-gnu"];

/// Headers that count as included where no source is known.
const USUAL: [&str; 42] = [
    "arpa/inet",
    "assert",
    "ctype",
    "dirent",
    "dlfcn",
    "errno",
    "fcntl",
    "float",
    "inttypes",
    "limits",
    "locale",
    "math",
    "net/if",
    "netdb",
    "netinet/in",
    "netinet/tcp",
    "poll",
    "pthread",
    "pwd",
    "sched",
    "semaphore",
    "setjmp",
    "signal",
    "stdio",
    "stdlib",
    "string",
    "sys/ioctl",
    "sys/mman",
    "sys/resource",
    "sys/select",
    "sys/socket",
    "sys/stat",
    "sys/time",
    "sys/types",
    "sys/uio",
    "sys/un",
    "sys/utsname",
    "sys/wait",
    "termios",
    "time",
    "unistd",
    "wchar",
];

impl Rule for Gcc {
    fn name(&self) -> &'static str {
        KIND.language
    }

    fn applies(&self, program: &Program) -> bool {
        driver(&program.canonical).is_some()
    }

    fn collect(
        &self,
        program: &Program,
        start: &Start,
        basket: &mut Basket<'_, '_>,
    ) -> Result<(), Error> {
        let Some((name, version)) = driver(&program.canonical) else {
            return Ok(());
        };
        let mut application = Application::default();
        let is_source = |at: &usize| KIND.is_source(Path::new(&start.arguments[*at]));
        if let Some(at) = (0..start.arguments.len()).find(is_source) {
            application.take_script(&KIND, program.loaded.as_ref(), start, at, basket)?;
        }
        application.take_arguments(&KIND, start, 0, basket)?;
        let extensions: HashSet<&OsStr> = application
            .sources
            .iter()
            .map(PathBuf::as_path)
            .chain(start.arguments.iter().map(Path::new))
            .filter_map(Path::extension)
            .collect();
        let languages: Vec<&Language> = LANGUAGES
            .iter()
            .filter(|language| {
                language
                    .drivers
                    .iter()
                    .any(|driver| name.starts_with(driver))
                    || language
                        .extensions
                        .iter()
                        .any(|ending| extensions.contains(OsStr::new(ending)))
            })
            .collect();
        let home = super::prefix_of(program)
            .join("lib/gcc/x86_64-linux-gnu")
            .join(version);
        let mut taken = take_compilers(&home, &languages, basket)?;
        taken.extend(take_linked(start, basket)?);
        taken.extend(take_headers(&home, version, &application, start, basket)?);
        application::note(
            &KIND,
            "took compilers, headers and what programs are linked with",
            &taken,
            basket,
        );
        // Drivers of one language start those of another.
        let tools = ["as", "ld", "ld.bfd", "ld.gold"].map(str::to_owned);
        let drivers = match name.starts_with("gnat") {
            true => ["gcc", "gnatbind", "gnatlink"]
                .map(|tool| format!("{tool}-{version}"))
                .to_vec(),
            false => Vec::new(),
        };
        let list = start.variable("PATH").unwrap_or_default();
        for tool in tools.iter().chain(&drivers) {
            if let Some(path) = command::executable(OsStr::new(tool), &list, start, basket.closure)
            {
                let chain = basket.closure.add_program(&path)?;
                basket.start(chain, start);
            }
        }
        Ok(())
    }
}

/// The driver that a file is, and its version: `g++` and `12` of `x86_64-linux-gnu-g++-12`.
fn driver(path: &Path) -> Option<(&str, &str)> {
    let name = path.file_name()?.to_str()?;
    let name = name.strip_prefix("x86_64-linux-gnu-").unwrap_or(name);
    let (name, version) = name.rsplit_once('-')?;
    let is_driver = ["cpp", "g++", "gcc", "gdc", "gfortran"].contains(&name)
        || name == "gnat"
        || ["gnatmake", "gnatbind", "gnatlink"].contains(&name);
    let is_version = !version.is_empty()
        && version
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
    (is_driver && is_version).then_some((name, version))
}

/// Takes the compilers with what belongs to them.
fn take_compilers(
    home: &Path,
    languages: &[&Language],
    basket: &mut Basket<'_, '_>,
) -> Result<Taken, Error> {
    gather::directory(basket.closure, None, home, &mut |path, _| {
        let Ok(part) = path.strip_prefix(home) else {
            return true;
        };
        if part.components().count() > 1 {
            // D's own headers lie beside C's.
            return part != Path::new("include/d")
                || languages.iter().any(|language| language.compiler == "d21");
        }
        let name = part.to_str().unwrap_or_default();
        PARTS.iter().any(|part| name.starts_with(part))
            || languages.iter().any(|language| {
                name == language.compiler
                    || language.parts.iter().any(|part| name.starts_with(part))
            })
    })
}

/// Takes what programs are linked with, and libraries that `-l` names.
fn take_linked(start: &Start, basket: &mut Basket<'_, '_>) -> Result<Taken, Error> {
    let mut names: Vec<String> = LINKED.map(str::to_owned).to_vec();
    for argument in &start.arguments {
        if let Some(name) = argument.to_string_lossy().strip_prefix("-l") {
            names.extend([format!("lib{name}.so"), format!("lib{name}.a")]);
        }
    }
    let mut taken = Taken::default();
    for (name, directory) in names
        .iter()
        .flat_map(|name| LIBRARIES.map(|directory| (name, directory)))
    {
        let path = Path::new(directory).join(name);
        let part = gather::file(basket.closure, None, &path)?;
        // A text for the linker that names the libraries proper.
        if name.ends_with(".so") && part.bytes < MAXIMUM_SCRIPT {
            let text = gather::contents(basket.closure, &path)?;
            for word in text.split_whitespace().filter(|word| word.starts_with('/')) {
                taken.extend(gather::file(basket.closure, None, Path::new(word))?);
            }
        }
        taken.extend(part);
    }
    Ok(taken)
}

/// Largest text for the linker, in bytes. Libraries are larger.
const MAXIMUM_SCRIPT: u64 = 4096;

/// Takes the headers that sources include.
fn take_headers(
    home: &Path,
    version: &str,
    application: &Application,
    start: &Start,
    basket: &mut Basket<'_, '_>,
) -> Result<Taken, Error> {
    let mut places = start.included("CPATH", false);
    places.extend([
        home.join("include"),
        Path::new("/usr/include/c++").join(version),
        Path::new("/usr/include/x86_64-linux-gnu/c++").join(version),
        Path::new("/usr/include/c++").join(version).join("backward"),
    ]);
    places.extend(HEADERS.map(PathBuf::from));
    let mut texts: Vec<(String, PathBuf)> = application
        .sources
        .iter()
        .map(|source| {
            let text = std::fs::read(source).unwrap_or_default();
            let directory = source.parent().unwrap_or(Path::new("/"));
            (
                String::from_utf8_lossy(&text).into_owned(),
                directory.to_path_buf(),
            )
        })
        .collect();
    // The preprocessor reads this one before all others.
    texts.push(("#include <stdc-predef.h>".into(), "/".into()));
    if application.sources.is_empty() {
        let usual = USUAL.map(|name| format!("#include <{name}.h>\n"));
        texts.push((usual.concat(), "/".into()));
    }
    let mut taken = Taken::default();
    let mut seen = HashSet::new();
    while let Some((text, directory)) = texts.pop() {
        for name in included(&text) {
            // All of these: one may include the next of the same name.
            for place in std::iter::once(&directory).chain(&places) {
                let path = place.join(name);
                if !seen.insert(path.clone()) || !is_header(&path, basket.closure) {
                    continue;
                }
                let header = gather::contents(basket.closure, &path)?;
                let below = path.parent().unwrap_or(Path::new("/")).to_path_buf();
                taken.extend(gather::file(basket.closure, None, &path)?);
                texts.push((header, below));
            }
        }
    }
    Ok(taken)
}

/// Whether a file is there. Names in sources may be anything.
fn is_header(path: &Path, closure: &Closure<'_>) -> bool {
    matches!(closure.tree.find(path), Ok(Found::File(_)))
}

/// The names of what a source includes.
fn included(text: &str) -> BTreeSet<&str> {
    text.lines()
        .filter_map(|line| {
            let rest = line.trim_start().strip_prefix('#')?.trim_start();
            let rest = rest.strip_prefix("include")?;
            let rest = rest.strip_prefix("_next").unwrap_or(rest).trim_start();
            let end = match rest.chars().next()? {
                '<' => '>',
                '"' => '"',
                _ => return None,
            };
            rest[1..].split_once(end).map(|(name, _)| name)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_are_known_by_their_names() {
        for (name, expected) in [
            ("x86_64-linux-gnu-gcc-12", Some(("gcc", "12"))),
            ("x86_64-linux-gnu-g++-12", Some(("g++", "12"))),
            ("gnatmake-12", Some(("gnatmake", "12"))),
            ("gcc", None),
            ("x86_64-linux-gnu-gcc-ar-12", None),
            ("gfortran-", None),
        ] {
            assert_eq!(
                driver(&Path::new("/usr/bin").join(name)),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn includes_are_read_from_lines_of_their_own() {
        let text = "#include <stdio.h>\n  #  include \"own/x.h\" // why\n#include_next <limits.h>\n#include MACRO\n// #include <no.h>\n#include <open";
        assert_eq!(
            included(text).into_iter().collect::<Vec<_>>(),
            ["limits.h", "own/x.h", "stdio.h"]
        );
    }
}
