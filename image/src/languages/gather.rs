//! Taking directories into an image: what rules have in common.

use std::collections::BTreeSet;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::closure::{Closure, Loaded};
use crate::error::Error;
use crate::program::Format;
use crate::text;
use crate::tree::{Content, Found, Present};

/// Directories of version control. No program needs them to run.
const VERSION_CONTROL: [&str; 4] = [".git", ".hg", ".svn", ".bzr"];

/// What was taken from a place.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken {
    /// Guest paths of the regular files, with those that links in the place lead to, not the links themselves.
    pub files: Vec<PathBuf>,
    /// Their size in bytes.
    pub bytes: u64,
    /// Shared objects that can't be loaded, and the library that each lacks.
    pub lacking: Vec<String>,
}

impl Taken {
    /// Adds what was taken from elsewhere.
    pub fn extend(&mut self, other: Self) {
        self.files.extend(other.files);
        self.bytes += other.bytes;
        self.lacking.extend(other.lacking);
    }
}

impl std::fmt::Display for Taken {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "{} files, {}",
            self.files.len(),
            text::size(self.bytes)
        )
    }
}

/// Files that mark a directory which an application does not need, or that a rule of its own looks after: caches
/// (bford.info/cachedir), of compilers for example, and virtual environments of Python.
const MARKS: [&str; 2] = ["CACHEDIR.TAG", "pyvenv.cfg"];

/// Whether a file is the one that this process's own output goes to: it changes while the image is built.
fn is_own_output(metadata: &Metadata) -> bool {
    static OUTPUTS: LazyLock<Vec<(u64, u64)>> = LazyLock::new(|| {
        let (output, error) = (io::stdout(), io::stderr());
        [output.as_fd(), error.as_fd()]
            .into_iter()
            .filter_map(|stream| {
                let metadata = File::from(stream.try_clone_to_owned().ok()?)
                    .metadata()
                    .ok()?;
                metadata.is_file().then(|| (metadata.dev(), metadata.ino()))
            })
            .collect()
    });
    OUTPUTS.contains(&(metadata.dev(), metadata.ino()))
}

/// Whether a file below a directory is nothing that a program needs: version control, caches, sockets, pipes, devices, and
/// the output of `pith` itself.
fn never_wanted(path: &Path, is_directory: bool) -> bool {
    if is_directory {
        let name = path.file_name().unwrap_or_default();
        return VERSION_CONTROL.iter().any(|other| name == *other)
            || MARKS.iter().any(|mark| path.join(mark).exists());
    }
    fs::symlink_metadata(path).is_ok_and(|metadata| {
        !metadata.is_file() && !metadata.is_symlink() || is_own_output(&metadata)
    })
}

/// Takes a directory of the view with everything below it that `wanted` does not refuse, what links in it lead to, and
/// the libraries that shared objects in it need. Nothing, if there is no such directory.
pub(super) fn directory(
    closure: &mut Closure<'_>,
    loaded: Option<&Loaded>,
    path: &Path,
    wanted: &mut dyn FnMut(&Path, bool) -> bool,
) -> Result<Taken, Error> {
    let mut taken = Taken::default();
    let mut pending = vec![path.to_path_buf()];
    let mut seen: Vec<PathBuf> = Vec::new();
    let mut linked = BTreeSet::new();
    while let Some(path) = pending.pop() {
        let Found::Directory(canonical) = closure.tree.import(&path)? else {
            continue;
        };
        // A link may lead back into what was taken, or to everything.
        if canonical.parent().is_none() || seen.iter().any(|other| canonical.starts_with(other)) {
            continue;
        }
        let host = closure.tree.host_path(&canonical);
        if !host.is_dir() {
            // The user placed it, with all that is to be in it.
            continue;
        }
        let left_out = closure.left_out.clone();
        let files = closure.tree.copy(
            &host,
            &canonical,
            Present::Keep,
            &mut |path, is_directory| {
                left_out.as_deref() != Some(path)
                    && !never_wanted(path, is_directory)
                    && wanted(path, is_directory)
            },
        )?;
        taken.files.extend(files);
        for link in closure.tree.links_below(&canonical) {
            match closure.tree.import(&link) {
                Ok(Found::Directory(_)) => pending.push(link),
                Ok(Found::File(canonical)) => {
                    linked.insert(canonical);
                }
                // Links that lead round in a circle lead to nothing on the host either.
                Ok(Found::Nothing) | Err(Error::TooManyLinks { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        seen.push(canonical);
    }
    // Debian's modules for one version of a language are often links to those for another.
    linked.retain(|file| !seen.iter().any(|other| file.starts_with(other)));
    taken.files.extend(linked);
    taken.bytes = taken.files.iter().map(|file| length(closure, file)).sum();
    taken.lacking = libraries(closure, loaded, &taken.files)?;
    Ok(taken)
}

/// Takes a single file of the view, if it is there.
pub(super) fn file(
    closure: &mut Closure<'_>,
    loaded: Option<&Loaded>,
    path: &Path,
) -> Result<Taken, Error> {
    let Found::File(canonical) = closure.tree.import(path)? else {
        return Ok(Taken::default());
    };
    let bytes = length(closure, &canonical);
    let files = vec![canonical];
    let lacking = libraries(closure, loaded, &files)?;
    Ok(Taken {
        files,
        bytes,
        lacking,
    })
}

/// Takes a file or a directory.
pub(super) fn either(
    closure: &mut Closure<'_>,
    loaded: Option<&Loaded>,
    path: &Path,
) -> Result<Taken, Error> {
    match closure.tree.find(path)? {
        Found::Directory(_) => directory(closure, loaded, path, &mut |_, _| true),
        Found::File(_) => file(closure, loaded, path),
        Found::Nothing => Ok(Taken::default()),
    }
}

/// Adds the libraries that programs need, and those that shared objects need if it is known which program loads them; tells
/// which can't be loaded.
fn libraries(
    closure: &mut Closure<'_>,
    loaded: Option<&Loaded>,
    files: &[PathBuf],
) -> Result<Vec<String>, Error> {
    let mut lacking = Vec::new();
    for object in files {
        let added = match loaded {
            Some(loaded) if is_shared_object(object) => closure.add_library(loaded, object),
            _ if is_dynamic_program(closure, object) => closure.add_program(object).map(drop),
            _ => continue,
        };
        match added {
            Ok(()) => {}
            Err(Error::MissingLibrary { name, .. }) => {
                let object = object.file_name().unwrap_or_default().to_string_lossy();
                lacking.push(format!("{object} (needs {name})"));
            }
            // Made for another machine, or no library at all: the program can't load it on the host either.
            Err(
                Error::MalformedElf { .. }
                | Error::ThirtyTwoBit { .. }
                | Error::ForeignArchitecture { .. }
                | Error::NotAProgram { .. }
                | Error::MissingInterpreter { .. },
            ) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(lacking)
}

/// Whether a file of the tree is a program that a dynamic linker starts.
fn is_dynamic_program(closure: &Closure<'_>, file: &Path) -> bool {
    let Some(node) = closure.tree.get(file) else {
        return false;
    };
    let format = match &node.content {
        Content::Host(file) if node.metadata.mode & 0o111 != 0 => Format::of(&file.path),
        _ => return false,
    };
    // What can't be read as a program is data.
    matches!(format, Ok(Some(Format::Elf(executable))) if executable.interpreter.is_some())
}

/// Whether a file's name is that of a shared object: `NAME.so`, `NAME.so.1`, or Node's `NAME.node`.
pub(super) fn is_shared_object(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    name.ends_with(b".so")
        || name.ends_with(b".node")
        || name.windows(4).any(|part| part == b".so.")
}

/// The size of a file of the tree in bytes.
fn length(closure: &Closure<'_>, file: &Path) -> u64 {
    match closure.tree.get(file).map(|node| &node.content) {
        Some(Content::Host(file)) => file.length,
        Some(Content::Bytes(bytes)) => bytes.len() as u64,
        _ => 0,
    }
}

/// The names in a directory of the view, sorted; none if it is not there.
pub(super) fn names(closure: &Closure<'_>, path: &Path) -> Result<Vec<String>, Error> {
    let Found::Directory(canonical) = closure.tree.find(path)? else {
        return Ok(Vec::new());
    };
    let mut names: Vec<String> = fs::read_dir(closure.tree.host_path(&canonical))
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    let placed = closure.tree.children(&canonical);
    names.extend(placed.filter_map(|name| name.to_str().map(str::to_owned)));
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// Whether there is a file of the view.
pub(super) fn is_file(closure: &Closure<'_>, path: &Path) -> Result<bool, Error> {
    Ok(matches!(closure.tree.find(path)?, Found::File(_)))
}

/// The text of a file of the view; empty if there is none.
pub(super) fn contents(closure: &Closure<'_>, path: &Path) -> Result<String, Error> {
    let Found::File(canonical) = closure.tree.find(path)? else {
        return Ok(String::new());
    };
    if let Some(Content::Bytes(bytes)) = closure.tree.get(&canonical).map(|node| &node.content) {
        return Ok(String::from_utf8_lossy(bytes).into_owned());
    }
    let host = closure.tree.host_path(&canonical);
    let bytes = fs::read(&host).map_err(Error::unreadable(&host))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
