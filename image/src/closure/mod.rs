//! The closure of a program: every file that the kernel and the dynamic linker open before `main`.
//!
//! A dynamic program names its dynamic linker (`PT_INTERP`) and its libraries (`DT_NEEDED`); the linker
//! looks for each library in places that the program, the environment and the system name, as ld.so(8)
//! and, for musl, its own documentation say. This module repeats that search in the view of
//! [`Tree`]: the files placed by the user on top of the host's. So what it finds is what the linker in
//! the guest will find under the same path.
//!
//! **Variants for certain processors** (`glibc-hwcaps`) are left out, and the base library is taken:
//! it runs on every processor that the image may meet, and an image then doesn't depend on the processor
//! of the machine that built it. Where glibc finds no variant it takes the base library, so nothing
//! is lost but the variant's speed.

mod cache;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::error::{Error, SearchedPlaces};
use crate::program::{self, Executable, Format, UNWINDER};
use crate::tree::{Content, Found, Tree, kind_of};
use cache::{LibraryCache, directories};

/// Linux follows at most this many scripts in a row (`exec_binprm`).
const MAXIMUM_INTERPRETERS: usize = 5;

/// Where glibc's cache lies.
const LIBRARY_CACHE: &str = "/etc/ld.so.cache";

/// Where musl's list of directories lies.
const MUSL_PATH: &str = "/etc/ld-musl-x86_64.path";

/// The families of dynamic linkers, which search differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Linker {
    Glibc,
    Musl,
}

impl Linker {
    fn of(interpreter: &Path) -> Self {
        let name = interpreter.file_name().unwrap_or_default();
        if name.as_bytes().starts_with(b"ld-musl") {
            Self::Musl
        } else {
            Self::Glibc
        }
    }
}

/// An object that the dynamic linker has mapped.
#[derive(Clone, Debug)]
struct Object {
    /// The path under which the linker opens it.
    path: PathBuf,
    /// What `$ORIGIN` stands for in it.
    origin: PathBuf,
    executable: Rc<Executable>,
    /// The object that asked for it; none for the program.
    loader: Option<usize>,
}

/// A program with the libraries that are mapped when it starts.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    linker: Linker,
    objects: Vec<Object>,
    /// Names that a `DT_NEEDED` may use for what is already mapped, and canonical paths.
    names: HashMap<OsString, usize>,
}

impl Loaded {
    /// Paths of the libraries as the linker opens them, without program and linker.
    pub fn libraries(&self) -> impl Iterator<Item = &Path> {
        self.objects
            .iter()
            .skip(2)
            .map(|object| object.path.as_path())
    }

    fn knows(&self, name: &OsStr) -> bool {
        self.names.contains_key(name)
    }

    fn add(&mut self, object: Object, names: impl IntoIterator<Item = OsString>) {
        let index = self.objects.len();
        for name in names.into_iter().chain(object.executable.name.clone()) {
            self.names.entry(name).or_insert(index);
        }
        self.objects.push(object);
    }
}

/// A program as found in the view.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    /// The guest path under which it is started; the last link is not followed.
    pub path: PathBuf,
    /// The same without links.
    pub canonical: PathBuf,
    /// What it is.
    pub format: Format,
    /// Its libraries, if it is dynamic.
    pub loaded: Option<Loaded>,
}

/// Settings of the guest that take part in the search.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    /// `PATH` of the guest.
    pub path: OsString,
    /// `LD_LIBRARY_PATH` of the guest.
    pub library_path: Option<OsString>,
    /// Working directory of the guest.
    pub working_directory: PathBuf,
}

/// Finds closures and stores them in a tree.
pub(crate) struct Closure<'tree> {
    pub tree: &'tree mut Tree,
    surroundings: Surroundings,
    executables: HashMap<PathBuf, Rc<Executable>>,
    programs: Vec<Executable>,
    library_cache: Option<Rc<LibraryCache>>,
    musl_directories: Option<Vec<OsString>>,
    /// Whether libraries lie in `lib/x86_64-linux-gnu` (Debian) rather than in `lib64`.
    multiarch: bool,
    /// Which linkers were met.
    linkers: Vec<Linker>,
    /// A file of the host that is part of no directory: the image that is being built.
    pub left_out: Option<PathBuf>,
    /// Whether a library was found by a path that is relative to the working directory.
    uses_working_directory: bool,
}

impl<'tree> Closure<'tree> {
    pub fn new(tree: &'tree mut Tree, surroundings: Surroundings) -> Result<Self, Error> {
        let multiarch = matches!(
            tree.find(Path::new("/usr/lib/x86_64-linux-gnu"))?,
            Found::Directory(_)
        );
        Ok(Self {
            tree,
            surroundings,
            executables: HashMap::new(),
            programs: Vec::new(),
            library_cache: None,
            musl_directories: None,
            multiarch,
            linkers: Vec::new(),
            left_out: None,
            uses_working_directory: false,
        })
    }

    /// Adds a program with everything that it needs to start. For a script, that is the chain of its
    /// interpreters; the answer holds the program first, then them.
    pub fn add_program(&mut self, path: &Path) -> Result<Vec<Program>, Error> {
        let mut chain = Vec::new();
        let mut next = path.to_path_buf();
        loop {
            let program = self.add_one(&next, chain.last())?;
            let interpreter = match &program.format {
                Format::Elf(_) => None,
                Format::Script {
                    interpreter,
                    argument,
                } => {
                    let interpreter = self.surroundings.working_directory.join(interpreter);
                    Some((interpreter, argument.clone()))
                }
            };
            chain.push(program);
            let Some((interpreter, argument)) = interpreter else {
                return Ok(chain);
            };
            if chain.len() > MAXIMUM_INTERPRETERS {
                return Err(Error::InterpreterLoop {
                    path: path.into(),
                    limit: MAXIMUM_INTERPRETERS,
                });
            }
            // `#!/usr/bin/env NAME` finds the interpreter proper by PATH, at run time.
            if interpreter.file_name() == Some(OsStr::new("env"))
                && let Some(name) = argument.as_deref().and_then(command_of_env)
            {
                let env = self.add_one(&interpreter, chain.last())?;
                chain.push(env);
                let Surroundings {
                    path,
                    working_directory,
                    ..
                } = &self.surroundings;
                next = self.find_in_path(&name, path, working_directory)?;
            } else {
                next = interpreter;
            }
        }
    }

    /// Adds one file of a chain. `wanted_by` is the script that names it.
    fn add_one(&mut self, path: &Path, wanted_by: Option<&Program>) -> Result<Program, Error> {
        let canonical = match self.tree.import(path)? {
            Found::File(canonical) => canonical,
            Found::Directory(_) => {
                return Err(Error::NotAFile {
                    path: path.into(),
                    kind: "a directory",
                });
            }
            Found::Nothing => {
                if let Ok(metadata) = std::fs::metadata(path) {
                    return Err(Error::NotAFile {
                        path: path.into(),
                        kind: kind_of(&metadata),
                    });
                }
                return Err(match wanted_by {
                    Some(program) => Error::MissingInterpreter {
                        program: program.path.clone(),
                        interpreter: path.into(),
                    },
                    None => Error::Missing {
                        role: "program",
                        path: path.into(),
                    },
                });
            }
        };
        let host = self.tree.host_path(&canonical);
        let metadata = std::fs::metadata(&host).map_err(Error::unreadable(&host))?;
        let Some(format) = Format::of(&host)? else {
            return Err(Error::NotAProgram { path: host });
        };
        if metadata.permissions().mode() & 0o111 == 0 {
            return Err(Error::NotExecutable { path: host });
        }
        let loaded = match &format {
            Format::Elf(executable) => {
                self.programs.push(executable.clone());
                let loaded = self.load(path, &canonical, executable)?;
                if let Some(loaded) = &loaded {
                    self.add_named_libraries(loaded, &host)?;
                }
                loaded
            }
            Format::Script { .. } => None,
        };
        Ok(Program {
            path: path.into(),
            canonical,
            format,
            loaded,
        })
    }

    /// Finds an executable file in the directories of a list such as `PATH`, in the view. Relative
    /// directories in it refer to `base`.
    pub fn find_in_path(&self, name: &OsStr, list: &OsStr, base: &Path) -> Result<PathBuf, Error> {
        for directory in directories(list, b":") {
            let candidate = base.join(directory).join(name);
            if let Found::File(canonical) = self.tree.find(&candidate)? {
                let host = self.tree.host_path(&canonical);
                let executable = std::fs::metadata(&host)
                    .is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0);
                if executable {
                    return Ok(candidate);
                }
            }
        }
        Err(Error::ProgramNotFound {
            name: name.into(),
            searched: list.to_string_lossy().into_owned(),
        })
    }

    /// Adds the dynamic linker and the libraries of an ELF program.
    fn load(
        &mut self,
        path: &Path,
        canonical: &Path,
        executable: &Executable,
    ) -> Result<Option<Loaded>, Error> {
        let Some(interpreter) = &executable.interpreter else {
            if executable.needed.is_empty() && executable.has_entry {
                return Ok(None);
            }
            return Err(Error::MalformedElf {
                path: path.into(),
                reason: "a shared library rather than a program: it names no dynamic linker".into(),
            });
        };
        let interpreter = self.surroundings.working_directory.join(interpreter);
        let linker = Linker::of(&interpreter);
        let Found::File(linker_file) = self.tree.import(&interpreter)? else {
            return Err(Error::MissingInterpreter {
                program: path.into(),
                interpreter,
            });
        };
        if !self.linkers.contains(&linker) {
            self.linkers.push(linker);
        }
        let linker_executable = self.executable(&linker_file)?;
        let mut loaded = Loaded {
            linker,
            objects: Vec::new(),
            names: HashMap::new(),
        };
        loaded.add(
            Object {
                path: path.into(),
                // The linker asks the kernel where the program is, and so gets the path without links.
                origin: parent(canonical),
                executable: Rc::new(executable.clone()),
                loader: None,
            },
            [canonical.as_os_str().into()],
        );
        loaded.add(
            Object {
                path: interpreter.clone(),
                origin: parent(&interpreter),
                executable: linker_executable,
                loader: Some(0),
            },
            [
                interpreter.file_name().unwrap_or_default().into(),
                interpreter.into(),
                linker_file.into(),
            ],
        );
        self.complete(&mut loaded, 0)?;
        Ok(Some(loaded))
    }

    /// Adds what a library needs that a program opens while it runs (dlopen(3)), beyond what the program
    /// has mapped already. If something is missing, nothing is added.
    pub fn add_library(&mut self, program: &Loaded, path: &Path) -> Result<(), Error> {
        self.open_library(&mut program.clone(), path)
    }

    /// The same for a library that stays mapped: those that are opened later find it by its name.
    pub fn open_library(&mut self, loaded: &mut Loaded, path: &Path) -> Result<(), Error> {
        let Found::File(canonical) = self.tree.find(path)? else {
            return Err(Error::Missing {
                role: "library",
                path: path.into(),
            });
        };
        let executable = self.executable(&canonical)?;
        let first = loaded.objects.len();
        loaded.add(
            Object {
                path: path.into(),
                origin: parent(path),
                executable,
                loader: Some(0),
            },
            [canonical.into()],
        );
        self.complete(loaded, first)
    }

    /// Adds the libraries that a program has the names of among its constants, for it may open them (dlopen(3)). What
    /// the linker would not find or take, the program does without on this machine too.
    fn add_named_libraries(&mut self, loaded: &Loaded, host: &Path) -> Result<(), Error> {
        for name in program::named_libraries(host)? {
            if loaded.knows(&name) || loaded.linker == Linker::Musl && is_part_of_musl(&name) {
                continue;
            }
            let added = self.find_library(loaded, 0, &name).and_then(|(path, _)| {
                self.add_library(loaded, &path)?;
                self.tree.import(&path)
            });
            match added {
                Ok(_)
                | Err(
                    Error::MissingLibrary { .. }
                    | Error::MalformedElf { .. }
                    | Error::ThirtyTwoBit { .. }
                    | Error::ForeignArchitecture { .. },
                ) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether the program finds its libraries only from the working directory.
    pub fn uses_working_directory(&self) -> bool {
        self.uses_working_directory
    }

    /// Finds the libraries that the objects from `first` on need, breadth first as ld.so does, and theirs.
    fn complete(&mut self, loaded: &mut Loaded, first: usize) -> Result<(), Error> {
        let mut found = Vec::new();
        let mut index = first;
        while index < loaded.objects.len() {
            let executable = Rc::clone(&loaded.objects[index].executable);
            let unwinder = OsString::from(UNWINDER);
            // glibc itself defines those functions; what calls them needs the library, if there is one.
            let calls = executable.unwinds && !is_glibc(&executable);
            let unwinder = (calls && loaded.linker == Linker::Glibc).then_some(&unwinder);
            for name in executable.needed.iter().chain(unwinder) {
                if loaded.knows(name) || loaded.linker == Linker::Musl && is_part_of_musl(name) {
                    continue;
                }
                let (path, canonical) = match self.find_library(loaded, index, name) {
                    Err(_) if unwinder == Some(name) => continue,
                    other => other?,
                };
                if let Some(&known) = loaded.names.get(canonical.as_os_str()) {
                    loaded.names.insert(name.clone(), known);
                    continue;
                }
                let executable = self.executable(&canonical)?;
                found.push(path.clone());
                loaded.add(
                    Object {
                        origin: parent(&path),
                        path,
                        executable,
                        loader: Some(index),
                    },
                    [name.clone(), canonical.into()],
                );
            }
            index += 1;
        }
        for path in found {
            self.tree.import(&path)?;
        }
        Ok(())
    }

    /// Where the linker finds the library `name` for an object: the path that it opens, and the same
    /// without links.
    fn find_library(
        &mut self,
        loaded: &Loaded,
        index: usize,
        name: &OsStr,
    ) -> Result<(PathBuf, PathBuf), Error> {
        let object = &loaded.objects[index];
        let mut searched = SearchedPlaces::default();
        if name.as_bytes().contains(&b'/') {
            let path = self.expand(name, &object.origin);
            if let Some(found) = self.found_at(&path)? {
                return Ok(found);
            }
            searched.0.push(path.display().to_string());
        } else {
            for place in self.places(loaded, index)? {
                match place {
                    Place::Directory(directory) => {
                        if let Some(found) = self.found_at(&directory.join(name))? {
                            return Ok(found);
                        }
                        let text = directory.display().to_string();
                        if !searched.0.contains(&text) {
                            searched.0.push(text);
                        }
                    }
                    Place::Cache => {
                        let cache = self.library_cache()?;
                        if let Some(path) = cache.get(name)
                            && !(object.executable.no_default_directories
                                && self
                                    .default_directories()
                                    .iter()
                                    .any(|default| path.starts_with(default)))
                            && let Some(canonical) = self.usable(path)?
                        {
                            return Ok((path.into(), canonical));
                        }
                        searched.0.push(LIBRARY_CACHE.into());
                    }
                }
            }
        }
        Err(Error::MissingLibrary {
            name: name.to_string_lossy().into_owned(),
            needed_by: object.path.clone(),
            searched,
        })
    }

    /// The places where the linker looks for a library of an object, in its order.
    fn places(&mut self, loaded: &Loaded, index: usize) -> Result<Vec<Place>, Error> {
        let object = &loaded.objects[index];
        let mut places = Vec::new();
        let expand_all = |list: &OsStr, separators: &[u8], origin: &Path| -> Vec<Place> {
            directories(list, separators)
                .iter()
                .map(|directory| Place::Directory(self.expand(directory, origin)))
                .collect()
        };
        let library_path = match &self.surroundings.library_path {
            Some(list) if !list.is_empty() => expand_all(list, b":;", &loaded.objects[0].origin),
            _ => Vec::new(),
        };
        let chain = || std::iter::successors(Some(index), |&at| loaded.objects[at].loader);
        match loaded.linker {
            Linker::Glibc => {
                if object.executable.runpath.is_none() {
                    for at in chain() {
                        let loader = &loaded.objects[at];
                        if let Some(list) = &loader.executable.rpath {
                            places.extend(expand_all(list, b":", &loader.origin));
                        }
                    }
                }
                places.extend(library_path);
                if let Some(list) = &object.executable.runpath {
                    places.extend(expand_all(list, b":", &object.origin));
                }
                places.push(Place::Cache);
                if !object.executable.no_default_directories {
                    places.extend(
                        self.default_directories()
                            .iter()
                            .map(|directory| Place::Directory(directory.into())),
                    );
                }
            }
            Linker::Musl => {
                // musl makes no difference between RPATH and RUNPATH: both are inherited.
                places.extend(library_path);
                for at in chain() {
                    let loader = &loaded.objects[at];
                    let executable = &loader.executable;
                    if let Some(list) = executable.runpath.as_ref().or(executable.rpath.as_ref()) {
                        places.extend(expand_all(list, b":", &loader.origin));
                    }
                }
                places.extend(
                    self.musl_directories()?
                        .iter()
                        .map(|directory| Place::Directory(directory.into())),
                );
            }
        }
        Ok(places)
    }

    /// The directories that glibc searches last. They are fixed when glibc is built: Debian's have the
    /// architecture in their name, most others' are called `lib64`.
    fn default_directories(&self) -> [&'static str; 4] {
        if self.multiarch {
            [
                "/lib/x86_64-linux-gnu",
                "/usr/lib/x86_64-linux-gnu",
                "/lib",
                "/usr/lib",
            ]
        } else {
            ["/lib64", "/usr/lib64", "/lib", "/usr/lib"]
        }
    }

    fn library_cache(&mut self) -> Result<Rc<LibraryCache>, Error> {
        if let Some(cache) = &self.library_cache {
            return Ok(Rc::clone(cache));
        }
        let cache = Rc::new(match self.contents(LIBRARY_CACHE)? {
            Some(bytes) => LibraryCache::parse(&bytes),
            None => LibraryCache::default(),
        });
        self.library_cache = Some(Rc::clone(&cache));
        Ok(cache)
    }

    fn musl_directories(&mut self) -> Result<Vec<OsString>, Error> {
        if let Some(directories) = &self.musl_directories {
            return Ok(directories.clone());
        }
        let list = match self.contents(MUSL_PATH)? {
            Some(bytes) => {
                self.tree.import(Path::new(MUSL_PATH))?;
                directories(OsStr::from_bytes(&bytes), b":\n")
            }
            None => ["/lib", "/usr/local/lib", "/usr/lib"]
                .map(OsString::from)
                .to_vec(),
        };
        let list: Vec<_> = list
            .into_iter()
            .filter(|directory| !directory.is_empty())
            .collect();
        self.musl_directories = Some(list.clone());
        Ok(list)
    }

    /// The contents of a file of the view, if there is one.
    fn contents(&self, path: &str) -> Result<Option<Vec<u8>>, Error> {
        let Found::File(canonical) = self.tree.find(Path::new(path))? else {
            return Ok(None);
        };
        if let Some(node) = self.tree.get(&canonical)
            && let Content::Bytes(bytes) = &node.content
        {
            return Ok(Some(bytes.clone()));
        }
        let host = self.tree.host_path(&canonical);
        std::fs::read(&host)
            .map(Some)
            .map_err(Error::unreadable(host))
    }

    /// Replaces `$ORIGIN`, `$LIB` and `$PLATFORM` as ld.so does. What comes out may be relative.
    fn expand(&self, text: &OsStr, origin: &Path) -> PathBuf {
        let library = if self.multiarch {
            "lib/x86_64-linux-gnu"
        } else {
            "lib64"
        };
        let tokens: [(&str, &[u8]); 3] = [
            ("ORIGIN", origin.as_os_str().as_bytes()),
            ("LIB", library.as_bytes()),
            ("PLATFORM", b"x86_64"),
        ];
        let mut rest = text.as_bytes();
        let mut expanded = Vec::new();
        'scan: while let Some((&byte, tail)) = rest.split_first() {
            if byte == b'$' {
                for (name, value) in tokens {
                    let braced = tail
                        .strip_prefix(b"{")
                        .and_then(|tail| tail.strip_prefix(name.as_bytes()))
                        .and_then(|tail| tail.strip_prefix(b"}"));
                    // Without braces the name ends where a letter, digit or `_` does not follow.
                    let bare = tail.strip_prefix(name.as_bytes()).filter(|tail| {
                        !tail
                            .first()
                            .is_some_and(|next| next.is_ascii_alphanumeric() || *next == b'_')
                    });
                    if let Some(tail) = braced.or(bare) {
                        expanded.extend_from_slice(value);
                        rest = tail;
                        continue 'scan;
                    }
                }
            }
            expanded.push(byte);
            rest = tail;
        }
        OsString::from_vec(expanded).into()
    }

    /// A library that the linker would accept under a path of its: the path from the root, and the same without links.
    fn found_at(&mut self, path: &Path) -> Result<Option<(PathBuf, PathBuf)>, Error> {
        let whole = self.surroundings.working_directory.join(path);
        let found = self.usable(&whole)?;
        self.uses_working_directory |= found.is_some() && path.is_relative();
        Ok(found.map(|canonical| (whole, canonical)))
    }

    /// The canonical path of a library that the linker would accept. It passes over files for other
    /// processors, and over what it may not read.
    fn usable(&mut self, path: &Path) -> Result<Option<PathBuf>, Error> {
        let canonical = match self.tree.find(path) {
            Ok(Found::File(canonical)) => canonical,
            Ok(_) | Err(Error::TooManyLinks { .. } | Error::Unreadable { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        match self.executable(&canonical) {
            Ok(_) => Ok(Some(canonical)),
            Err(
                Error::ThirtyTwoBit { .. }
                | Error::ForeignArchitecture { .. }
                | Error::Unreadable { .. },
            ) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads an ELF file of the view, once.
    fn executable(&mut self, canonical: &Path) -> Result<Rc<Executable>, Error> {
        if let Some(executable) = self.executables.get(canonical) {
            return Ok(Rc::clone(executable));
        }
        let host = self.tree.host_path(canonical);
        let Some(Format::Elf(executable)) = Format::of(&host)? else {
            return Err(Error::MalformedElf {
                path: host,
                reason: "a shared library should be here, but this is not an ELF file".into(),
            });
        };
        let executable = Rc::new(executable);
        self.executables
            .insert(canonical.into(), Rc::clone(&executable));
        Ok(executable)
    }

    /// Whether something holds for any program or library that was looked into, but the C library itself, which has
    /// everything and uses it on behalf of others.
    pub fn any(&self, holds: impl Fn(&Executable) -> bool) -> bool {
        self.executables
            .values()
            .map(|executable| &**executable)
            .chain(&self.programs)
            .any(|executable| !is_c_library(executable) && holds(executable))
    }

    /// Whether a program that uses this linker was added.
    pub fn met(&self, linker: Linker) -> bool {
        self.linkers.contains(&linker)
    }

    /// Adds `/etc/ld.so.cache` with those entries of the host's whose libraries are in the image, if a
    /// program uses glibc and the user gave no cache.
    pub fn add_library_cache(&mut self) -> Result<(), Error> {
        if !self.met(Linker::Glibc) || self.tree.get(Path::new(LIBRARY_CACHE)).is_some() {
            return Ok(());
        }
        let cache = self.library_cache()?;
        let tree = &*self.tree;
        let bytes = cache.filtered(|path| {
            matches!(tree.find(path), Ok(Found::File(canonical)) if tree.get(&canonical).is_some())
        });
        self.tree
            .generate(LIBRARY_CACHE, 0o644, Content::Bytes(bytes))
    }
}

/// One place where libraries may be.
enum Place {
    Directory(PathBuf),
    Cache,
}

fn parent(path: &Path) -> PathBuf {
    path.parent().unwrap_or(Path::new("/")).into()
}

/// Whether a library is glibc's own part that has threads.
fn is_glibc(executable: &Executable) -> bool {
    let name = executable.name.as_deref().unwrap_or_default();
    name == "libc.so.6" || name == "libpthread.so.0"
}

/// Whether a file is the C library, one of its parts, or the dynamic linker.
fn is_c_library(executable: &Executable) -> bool {
    let name = executable.name.as_deref().unwrap_or_default().as_bytes();
    is_glibc(executable)
        || name.starts_with(b"ld-")
        || name.starts_with(b"libc.musl-")
        || [&b"libresolv.so.2"[..], b"libanl.so.1", b"libnss_dns.so.2"].contains(&name)
}

/// Names that musl provides itself, whatever comes after the dot (`ldso/dynlink.c`).
fn is_part_of_musl(name: &OsStr) -> bool {
    let Some(rest) = name.as_bytes().strip_prefix(b"lib") else {
        return false;
    };
    ["c.", "pthread.", "rt.", "m.", "dl.", "util.", "xnet."]
        .iter()
        .any(|part| rest.starts_with(part.as_bytes()))
}

/// The command in the arguments of env(1): the first word that is neither option nor assignment.
fn command_of_env(arguments: &OsStr) -> Option<OsString> {
    let text = arguments.as_bytes();
    let text = text.strip_prefix(b"--split-string=").unwrap_or(text);
    text.split(|byte| byte.is_ascii_whitespace())
        .filter(|word| !word.is_empty())
        .map(|word| word.strip_prefix(b"-S").unwrap_or(word))
        .find(|word| !word.is_empty() && word[0] != b'-' && !word.contains(&b'='))
        .map(|word| OsStr::from_bytes(word).into())
}
