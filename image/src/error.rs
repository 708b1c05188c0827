//! What can go wrong between a program and its image, said so that a person knows what to do next.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// Why an image could not be planned, built or read.
///
/// Each message names the thing at fault and the remedy, and can be shown as it is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A program named without a slash is in no directory of `PATH`.
    #[error(
        "program `{}` is in no directory of PATH ({searched}): check its spelling, install it, or give its path",
        .name.display()
    )]
    ProgramNotFound {
        /// The name as given.
        name: OsString,
        /// The directories that were searched, separated by colons.
        searched: String,
    },
    /// No program was named at all.
    #[error("no program is named: give one, for example `pith run /bin/ls`")]
    NoProgram,
    /// A file of the host that the request names does not exist.
    #[error("{role} `{}` does not exist: check the path", .path.display())]
    Missing {
        /// What the file was wanted for, such as `program`.
        role: &'static str,
        /// The path that was looked up.
        path: PathBuf,
    },
    /// The interpreter that an ELF file or a script names does not exist.
    #[error(
        "`{}` needs the interpreter `{}`, which does not exist on this machine: install the package that provides it, or add it with --file HOST:{}",
        .program.display(), .interpreter.display(), .interpreter.display()
    )]
    MissingInterpreter {
        /// The program that names the interpreter.
        program: PathBuf,
        /// The interpreter's path in the guest.
        interpreter: PathBuf,
    },
    /// Scripts whose interpreters are scripts in turn, deeper than Linux follows.
    #[error("`{}` is a script whose interpreter is a script, and so on more than {limit} times: name the last interpreter directly", .path.display())]
    InterpreterLoop {
        /// The script that started the chain.
        path: PathBuf,
        /// How many steps are followed.
        limit: usize,
    },
    /// A shared library was found nowhere.
    #[error(
        "library `{name}` is missing; `{}` needs it. Searched: {searched}. Install the package that provides it, or add it with --file HOST:GUEST into one of these directories",
        .needed_by.display()
    )]
    MissingLibrary {
        /// `DT_NEEDED` name of the library.
        name: String,
        /// Guest path of the object that needs it.
        needed_by: PathBuf,
        /// Where the dynamic linker of the guest would look, in order.
        searched: SearchedPlaces,
    },
    /// The program is a directory, a socket or the like.
    #[error("program `{}` is {kind}, not a program: name an executable file", .path.display())]
    NotAFile {
        /// The path that was looked up.
        path: PathBuf,
        /// What it is instead, with its article.
        kind: &'static str,
    },
    /// The file is neither ELF nor a script.
    #[error("`{}` is not a Linux program: it is neither an ELF file nor a script that starts with `#!`", .path.display())]
    NotAProgram {
        /// The file.
        path: PathBuf,
    },
    /// A program without execute permission.
    #[error("`{}` is not executable: run `chmod +x` on it", .path.display())]
    NotExecutable {
        /// The file.
        path: PathBuf,
    },
    /// A 32-bit ELF file.
    #[error("`{}` is a 32-bit program; Pith runs 64-bit x86-64 programs: use or build its 64-bit version", .path.display())]
    ThirtyTwoBit {
        /// The file.
        path: PathBuf,
    },
    /// An ELF file for another processor.
    #[error("`{}` is a program for {architecture}; Pith runs x86-64 programs: use or build its x86-64 version", .path.display())]
    ForeignArchitecture {
        /// The file.
        path: PathBuf,
        /// Name of the processor.
        architecture: String,
    },
    /// An ELF file of a kind that can't be started or loaded.
    #[error("`{}` is a damaged or unusual ELF file ({reason}): rebuild or reinstall it", .path.display())]
    MalformedElf {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A shim of pyenv stands for Python, and the interpreter behind it can't be told.
    #[error("`{}` has a shim of pyenv as its Python, but {reason}: name the interpreter itself, as `pyenv which python3` prints it", .path.display())]
    PyenvShim {
        /// Path of the shim.
        path: PathBuf,
        /// Why the shim could not be followed.
        reason: String,
    },
    /// Symbolic links that lead in a circle.
    #[error("`{}` leads through more than 40 symbolic links, perhaps in a circle: correct the links", .path.display())]
    TooManyLinks {
        /// The path that was followed.
        path: PathBuf,
    },
    /// A socket, pipe or device where only files, directories and links can be stored.
    #[error("`{}` is {kind}, which an image can't hold: remove it from there, or leave it out", .path.display())]
    SpecialFile {
        /// The file.
        path: PathBuf,
        /// What it is, with its article.
        kind: &'static str,
    },
    /// The overlay of `--root` is not a directory.
    #[error("root `{}` is not a directory: name the directory whose contents become `/`", .path.display())]
    RootNotADirectory {
        /// The path as resolved.
        path: PathBuf,
    },
    /// Something is in the way of a file in the image.
    #[error("`{}` can't be put into the image: {reason}; choose another guest path", .guest.display())]
    Conflict {
        /// Where the file should go.
        guest: PathBuf,
        /// What is in the way.
        reason: String,
    },
    /// A file mapping that can't be understood.
    #[error("file mapping `{text}` is not HOST[:GUEST]: {reason}")]
    BadMapping {
        /// The text as given.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A text or path that the machine's configuration can't hold.
    #[error("{what} `{value}` {reason}")]
    BadValue {
        /// Which setting, such as `hostname`.
        what: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it and what would be right.
        reason: String,
    },
    /// `pith.toml` is not valid.
    #[error("{}:{line}:{column}: {message}", .path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Line, counted from 1.
        line: usize,
        /// Column in characters, counted from 1.
        column: usize,
        /// What is wrong, and the remedy.
        message: String,
    },
    /// A file could not be read or examined.
    #[error("cannot read `{}`: {source}{}", .path.display(), permission_hint(.source))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file changed after the plan was made.
    #[error("`{}` changed while the image was being built: run the command again", .path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The image, or its cache, could not be written.
    #[error("cannot write `{}`: {source}", .path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// No directory for the cache is known.
    #[error("no place for cached images is known: set HOME, XDG_CACHE_HOME or PITH_CACHE")]
    NoCacheDirectory,
    /// The kernel that the caller gave can't carry an image.
    #[error("the kernel is not usable: {reason}; rebuild it with `cargo xtask build`")]
    BadKernel {
        /// What is wrong with it.
        reason: String,
    },
    /// The root file system is too large for the machine's first memory range.
    #[error(
        "the image needs {needed} bytes of memory below {limit}, the end of the first memory range of virtual machines: leave out files (`pith inspect` lists them by size)"
    )]
    TooLarge {
        /// First physical address behind the image.
        needed: u64,
        /// First physical address that it may not reach.
        limit: u64,
    },
    /// The EROFS writer refused the tree.
    #[error("cannot make the root file system: {reason}")]
    FileSystem {
        /// What the writer said.
        reason: String,
    },
    /// A file is not a Pith image, or not an intact one.
    #[error("`{}` is not an intact Pith image: {reason}", .path.display())]
    BadImage {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and the remedy where there is one.
        reason: String,
    },
}

impl Error {
    /// An [`Error::Unreadable`] for `path`.
    pub(crate) fn unreadable(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Unreadable { path, source }
    }

    /// An [`Error::Unwritable`] for `path`.
    pub(crate) fn unwritable(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Unwritable { path, source }
    }

    /// An [`Error::BadImage`] for `path`.
    pub(crate) fn bad_image(path: &Path, reason: impl Into<String>) -> Self {
        Self::BadImage {
            path: path.into(),
            reason: reason.into(),
        }
    }
}

/// The remedy that a refused permission calls for.
fn permission_hint(error: &std::io::Error) -> &'static str {
    if error.kind() == std::io::ErrorKind::PermissionDenied {
        " (run as a user who may read it, or change its permissions)"
    } else {
        ""
    }
}

/// Where a library was looked for, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchedPlaces(pub Vec<String>);

impl fmt::Display for SearchedPlaces {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return formatter.write_str("nowhere, for the object forbids the default directories");
        }
        formatter.write_str(&self.0.join(", "))
    }
}
