//! From a request to a plan: which files and which configuration an image gets.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use pith_abi::image::{Configuration, MAXIMUM_CPUS};
use sha2::{Digest, Sha256};

use crate::closure::{Closure, Linker, Program, Surroundings};
use crate::error::Error;
use crate::languages::{self, Note, Start};
use crate::network_files;
use crate::program::Format;
use crate::request::{BuildRequest, DEFAULT_ENVIRONMENT, DEFAULT_HOSTNAME, ModificationTimes};
use crate::size;
use crate::system_files;
use crate::tree::{Content, Found, Metadata, Node, Present, Tree, is_of_kernel};
use crate::user;

/// What an image will hold. Nothing is written yet, and file contents are not read.
#[derive(Clone, Debug)]
pub struct BuildPlan {
    pub(crate) tree: Tree,
    /// Without the kernel's version, which is known when the image is built.
    pub(crate) configuration: Configuration,
    notes: Vec<Note>,
}

impl BuildPlan {
    /// Remarks about what was taken and what was left out.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// Guest paths and sizes in bytes of all regular files, sorted by path.
    pub fn files(&self) -> impl Iterator<Item = (&Path, u64)> {
        self.tree.iter().filter_map(|(path, node)| {
            let size = match &node.content {
                Content::Host(file) => file.length,
                Content::Bytes(bytes) => bytes.len() as u64,
                Content::Directory | Content::Link(_) => return None,
            };
            Some((path, size))
        })
    }

    /// The configuration, with an empty kernel version.
    #[must_use]
    pub fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// Guest paths of all files, directories and links, sorted.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.tree.iter().map(|(path, _)| path)
    }

    /// A digest of everything that decides the image but the kernel. Files of the host are taken into
    /// account by identity (device, inode, change time, size), without reading them.
    pub(crate) fn key(&self) -> Sha256 {
        let mut hash = Sha256::new();
        // Debug output of a plain structure of integers and byte strings is unambiguous.
        field(&mut hash, format!("{:?}", self.configuration).as_bytes());
        for (path, node) in self.tree.iter() {
            field(&mut hash, path.as_os_str().as_bytes());
            let Metadata {
                mode,
                uid,
                gid,
                seconds,
                nanoseconds,
            } = node.metadata;
            let numbers = [
                mode.into(),
                uid.into(),
                gid.into(),
                seconds as u64,
                nanoseconds.into(),
            ];
            hash.update(numbers.map(u64::to_le_bytes).as_flattened());
            match &node.content {
                Content::Directory => {
                    field(&mut hash, b"directory");
                    for (name, value) in &node.extended {
                        field(&mut hash, name);
                        field(&mut hash, value);
                    }
                }
                Content::Link(target) => {
                    field(&mut hash, b"link");
                    field(&mut hash, target.as_os_str().as_bytes());
                }
                Content::Bytes(bytes) => {
                    field(&mut hash, b"bytes");
                    field(&mut hash, bytes);
                }
                Content::Host(file) => {
                    field(&mut hash, b"host");
                    let (device, inode, seconds, nanoseconds) = file.identity;
                    let numbers = [
                        file.length,
                        file.links,
                        device,
                        inode,
                        seconds as u64,
                        nanoseconds as u64,
                    ];
                    hash.update(numbers.map(u64::to_le_bytes).as_flattened());
                }
            }
        }
        hash
    }
}

/// Hashes bytes so that where they end is part of the hash.
pub(crate) fn field(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

/// Finds out what an image needs.
pub fn plan(request: &BuildRequest) -> Result<BuildPlan, Error> {
    let configuration = configure(request)?;
    let base = std::path::absolute(&request.base).map_err(Error::unreadable(&request.base))?;
    let mut notes = Vec::new();
    let mut tree = Tree::new();

    if let Some(root) = &request.root {
        add_root(&mut tree, &base.join(root))?;
    }
    let mut added = Vec::new();
    let mut scripts = Vec::new();
    for mapping in &request.files {
        let host = base.join(&mapping.host);
        let files = add_files(&mut tree, &host, mapping.guest.as_deref())?;
        scripts.extend(scripts_in(&files, &host, &tree, &mut notes));
        added.extend(files);
    }

    let mut working_directory =
        PathBuf::from(OsString::from_vec(configuration.working_directory.clone()));
    tree.create_directory(&working_directory)?;
    let is_file = |node: &Node| !matches!(node.content, Content::Directory);
    let placed = tree
        .iter()
        .filter(|(_, node)| is_file(node))
        .map(|(path, _)| path.to_path_buf())
        .collect();
    let variable = |name: &str| {
        configuration.environment.iter().find_map(|entry| {
            let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            Some(OsString::from_vec(value.to_vec()))
        })
    };
    // What is typed refers to where it is typed, unless the program is to start elsewhere.
    let start_directory = request.working_directory.clone().unwrap_or(base.clone());
    let mut closure = Closure::new(
        &mut tree,
        Surroundings {
            path: variable("PATH").unwrap_or_default(),
            library_path: variable("LD_LIBRARY_PATH"),
            working_directory: start_directory.clone(),
        },
    )?;
    // Paths of directories that are taken have no links in them.
    closure.left_out = request
        .output
        .as_ref()
        .and_then(|output| std::fs::canonicalize(output).ok());
    let path = locate(&request.program, &base, &closure, &mut notes)?;
    let mut programs = closure.add_program(&path)?;
    let main_count = programs.len();
    let mut start = Start {
        arguments: request.arguments.clone(),
        directory: start_directory,
        environment: configuration.environment.clone(),
        placed,
        by_another: false,
    };
    if main_count > 1 {
        start.arguments.insert(0, path.clone().into_os_string());
    }
    add_needs_of_files(&added, &mut closure, &mut programs, &mut notes)?;
    let scripts = add_interpreters(&scripts, &mut closure, &mut notes)?;
    let main = languages::Main {
        programs: &programs[..main_count],
        others: &programs[main_count..],
        scripts,
    };
    let uses_directory = languages::collect(main, &start, &mut closure, &mut notes)?;
    // `./app` is to its interpreter what `app` is in `python3 app`.
    let is_relative_script = main_count > 1 && is_relative_path(&request.program);
    if uses_directory || is_relative_script || closure.uses_working_directory() {
        closure.tree.create_directory(&start.directory)?;
        working_directory = start.directory;
    }
    closure.add_library_cache()?;
    let uses_glibc = closure.met(Linker::Glibc);
    // What a directory of the user's holds, was not looked into.
    let sockets = request.root.is_some() || closure.any(|executable| executable.sockets);
    let looks_names_up = closure.any(|executable| executable.looks_names_up);
    system_files::add(
        &mut tree,
        request.system_files,
        &configuration.hostname,
        uses_glibc,
    )?;
    if sockets {
        network_files::add(&mut tree, uses_glibc && looks_names_up)?;
    }
    let account = match &request.user {
        Some(text) => Some(user::resolve(text, &tree)?),
        None => None,
    };
    if let ModificationTimes::Fixed(seconds) = request.modification_times {
        tree.set_times(seconds);
    }
    let mut plan = BuildPlan {
        configuration: Configuration {
            program: path.into_os_string().into_vec(),
            sockets,
            working_directory: working_directory.into_os_string().into_vec(),
            ..configuration
        },
        tree,
        notes,
    };
    if let Some(account) = account {
        set_user(&mut plan.configuration, account, request);
    }
    plan.notes.extend(size::warning(plan.files()));
    Ok(plan)
}

/// Says in whose name the program runs. Its home is the user's, unless the request says otherwise.
fn set_user(configuration: &mut Configuration, account: user::Account, request: &BuildRequest) {
    if !request.environment.iter().any(|(name, _)| name == "HOME") {
        configuration
            .environment
            .retain(|entry| !entry.starts_with(b"HOME="));
        let home = [b"HOME=", account.home.as_slice()].concat();
        configuration.environment.push(home);
    }
    configuration.user = Some(account.user);
}

/// Copies the overlay of `--root`.
fn add_root(tree: &mut Tree, root: &Path) -> Result<(), Error> {
    match std::fs::metadata(root) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(Error::RootNotADirectory { path: root.into() }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::Missing {
                role: "root directory",
                path: root.into(),
            });
        }
        Err(error) => return Err(Error::unreadable(root)(error)),
    }
    tree.copy(root, Path::new("/"), Present::Replace, &mut |_, _| true)?;
    // What the directory is called and who owns it on the host says nothing about `/`.
    tree.reset_root();
    Ok(())
}

/// Adds the files of one `--file`, and returns the guest paths of the regular ones.
fn add_files(tree: &mut Tree, host: &Path, guest: Option<&Path>) -> Result<Vec<PathBuf>, Error> {
    match std::fs::metadata(host) {
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Error::Missing {
                role: "file",
                path: host.into(),
            });
        }
        Err(error) => return Err(Error::unreadable(host)(error)),
    }
    let all = &mut |_: &Path, _| true;
    if let Some(guest) = guest {
        return tree.copy(host, guest, Present::Replace, all);
    }
    // Under its own path: links that lead to it are kept, unless something else lies there already.
    let resolved = std::fs::canonicalize(host).map_err(Error::unreadable(host))?;
    match tree.import(host)? {
        Found::File(canonical) if tree.host_path(&canonical) == resolved => Ok(vec![canonical]),
        Found::Directory(canonical) => tree.copy(host, &canonical, Present::Replace, all),
        // A link into the host's /proc, which leads into the machine's own there.
        Found::Nothing if is_of_kernel(&resolved) && !is_of_kernel(host) => {
            tree.import_way(host)?;
            Ok(Vec::new())
        }
        Found::File(_) | Found::Nothing => tree.copy(host, host, Present::Replace, all),
    }
}

/// Finds the program as a shell does, in the view: its guest path.
fn locate(
    name: &OsStr,
    base: &Path,
    closure: &Closure<'_>,
    notes: &mut Vec<Note>,
) -> Result<PathBuf, Error> {
    if name.is_empty() {
        return Err(Error::NoProgram);
    }
    if name.as_bytes().contains(&b'/') {
        return Ok(base.join(name));
    }
    let default = DEFAULT_ENVIRONMENT[0].1;
    let list = std::env::var_os("PATH").unwrap_or_else(|| default.into());
    let found = closure.find_in_path(name, &list, base)?;
    languages::behind_shim(&found, base, notes)
}

/// Whether a program is named by a path from the current directory, and not by a name that is looked up.
fn is_relative_path(name: &OsStr) -> bool {
    name.as_bytes().contains(&b'/') && Path::new(name).is_relative()
}

/// Adds the libraries of programs and libraries among the files that the user named. What is missing is
/// told, not refused: these files may never be executed.
fn add_needs_of_files(
    added: &[PathBuf],
    closure: &mut Closure<'_>,
    programs: &mut Vec<Program>,
    notes: &mut Vec<Note>,
) -> Result<(), Error> {
    for path in added {
        let Some(Content::Host(file)) = closure.tree.get(path).map(|node| &node.content) else {
            continue;
        };
        let mode = closure.tree.get(path).map_or(0, |node| node.metadata.mode);
        let name = path.file_name().unwrap_or_default().as_bytes();
        let library = name.ends_with(b".so") || name.windows(4).any(|part| part == b".so.");
        if mode & 0o111 == 0 && !library {
            continue;
        }
        let host = file.path.clone();
        let result = match Format::of(&host) {
            Ok(Some(Format::Elf(executable)))
                if executable.interpreter.is_some() && mode & 0o111 != 0 =>
            {
                closure
                    .add_program(path)
                    .map(|chain| programs.extend(chain))
            }
            Ok(Some(Format::Elf(_))) => {
                match programs.iter().find_map(|program| program.loaded.clone()) {
                    Some(loaded) => closure.add_library(&loaded, path),
                    None => Ok(()),
                }
            }
            Ok(_) | Err(Error::ThirtyTwoBit { .. } | Error::ForeignArchitecture { .. }) => Ok(()),
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => {}
            Err(
                error @ (Error::MissingLibrary { .. }
                | Error::MissingInterpreter { .. }
                | Error::MalformedElf { .. }),
            ) => notes.push(Note::new("--file", error.to_string())),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Directories of packages. Scripts in them are run by nobody, or by those who know what they need.
const PACKAGES: [&str; 5] = [
    ".git",
    "dist-packages",
    "gems",
    "node_modules",
    "site-packages",
];

/// Of a directory with more scripts than this, the interpreters are not taken: it is more likely that some of the scripts
/// are for other occasions, and they could bring half of the system.
const MOST_SCRIPTS: usize = 16;

/// Those files of one `--file` that are scripts which can be started.
fn scripts_in(files: &[PathBuf], host: &Path, tree: &Tree, notes: &mut Vec<Note>) -> Vec<PathBuf> {
    // Directories of the system hold scripts for every occasion, such as the tests of a language.
    if host.is_dir() && !languages::is_own(host) {
        return Vec::new();
    }
    let is_script = |path: &&PathBuf| match tree.get(path) {
        Some(Node {
            content: Content::Host(file),
            metadata,
            ..
        }) => {
            metadata.mode & 0o111 != 0
                && !path.iter().any(|part| PACKAGES.iter().any(|name| part == *name))
                // What can't be read will be missed when the image is built.
                && matches!(Format::of(&file.path), Ok(Some(Format::Script { .. })))
        }
        _ => false,
    };
    let scripts: Vec<PathBuf> = files.iter().filter(is_script).cloned().collect();
    if scripts.len() <= MOST_SCRIPTS {
        return scripts;
    }
    notes.push(Note::new(
        "--file",
        format!(
            "left out the interpreters of {} scripts in `{}`; name those that the program starts with --file",
            scripts.len(),
            host.display()
        ),
    ));
    Vec::new()
}

/// Adds the interpreters of scripts, and answers which these are. What is missing is told, not refused.
fn add_interpreters(
    scripts: &[PathBuf],
    closure: &mut Closure<'_>,
    notes: &mut Vec<Note>,
) -> Result<Vec<Vec<Program>>, Error> {
    let mut chains = Vec::new();
    for script in scripts {
        match closure.add_program(script) {
            Ok(chain) => chains.push(chain),
            Err(
                error @ (Error::MissingInterpreter { .. }
                | Error::MissingLibrary { .. }
                | Error::MalformedElf { .. }
                | Error::ThirtyTwoBit { .. }
                | Error::ForeignArchitecture { .. }
                | Error::NotAFile { .. }
                | Error::NotAProgram { .. }
                | Error::NotExecutable { .. }
                | Error::InterpreterLoop { .. }
                | Error::ProgramNotFound { .. }),
            ) => notes.push(Note::new("--file", error.to_string())),
            Err(error) => return Err(error),
        }
    }
    Ok(chains)
}

/// Makes the configuration, all but the program's path, and checks that it can be one.
fn configure(request: &BuildRequest) -> Result<Configuration, Error> {
    let hostname = request.hostname.as_deref().unwrap_or(DEFAULT_HOSTNAME);
    let fits = (1..=64).contains(&hostname.len())
        && hostname
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.');
    if !fits {
        return Err(Error::BadValue {
            what: "hostname",
            value: hostname.into(),
            reason: "is not 1 to 64 letters, digits, `-` and `.`".into(),
        });
    }
    if let Some(cpus) = request.cpus
        && !(1..=MAXIMUM_CPUS).contains(&cpus)
    {
        return Err(Error::BadValue {
            what: "number of CPUs",
            value: cpus.to_string(),
            reason: format!("is not from 1 to {MAXIMUM_CPUS}"),
        });
    }
    for settings in &request.network {
        settings.check().map_err(|problem| Error::BadValue {
            what: "network setting",
            value: problem.word,
            reason: problem.reason.into(),
        })?;
    }
    let text = |what, value: &OsStr| {
        if value.as_bytes().contains(&0) {
            return Err(Error::BadValue {
                what,
                value: value.to_string_lossy().into_owned(),
                reason: "has a NUL byte, which Linux can't pass to a program".into(),
            });
        }
        Ok(value.as_bytes().to_vec())
    };
    let working_directory = request
        .working_directory
        .as_deref()
        .unwrap_or(Path::new("/"));
    if !working_directory.is_absolute() {
        return Err(Error::BadValue {
            what: "working directory",
            value: working_directory.display().to_string(),
            reason: "is a path of the guest and must start with `/`".into(),
        });
    }
    let mut arguments = vec![text("program", &request.program)?];
    for argument in &request.arguments {
        arguments.push(text("argument", argument)?);
    }
    let mut variables: Vec<(Vec<u8>, Vec<u8>)> = DEFAULT_ENVIRONMENT
        .map(|(name, value)| (name.into(), value.into()))
        .to_vec();
    for (name, value) in &request.environment {
        let (name, value) = (
            text("environment variable", name)?,
            text("value of a variable", value)?,
        );
        if name.is_empty() || name.contains(&b'=') {
            return Err(Error::BadValue {
                what: "environment variable",
                value: String::from_utf8_lossy(&name).into_owned(),
                reason: "is not a name: it must not be empty or hold `=`".into(),
            });
        }
        match variables.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => *known = value,
            None => variables.push((name, value)),
        }
    }
    Ok(Configuration {
        kernel_version: String::new(),
        program: Vec::new(),
        arguments,
        environment: variables
            .into_iter()
            .map(|(name, value)| [name, value].join(&b'='))
            .collect(),
        working_directory: text("working directory", working_directory.as_os_str())?,
        user: None,
        hostname: hostname.into(),
        memory_mebibytes: request.memory_mebibytes.unwrap_or(0),
        cpus: request.cpus.unwrap_or(0),
        trace: request.trace,
        log_level: request.log_level,
        sockets: false,
        network: request.network.iter().map(ToString::to_string).collect(),
        storage: request.storage.iter().map(ToString::to_string).collect(),
        overridable: request.overridable,
    })
}
