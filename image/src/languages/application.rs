//! The application that an interpreter is told to run: a script, and what lies around it.
//!
//! * The script lies in a **directory of its own**: the whole directory is taken, from where a file such as
//!   `package.json` marks the project's root or the command is typed. Templates, data and modules come with it.
//! * The script lies in a **directory shared with other things** (`/`, `/tmp`, a home directory): the script, and what
//!   lies beside it and is named in it, and so on.
//! * The script belongs to the **system** (`/usr/bin`): the script alone.
//! * The **user placed the script** with `--file` or `root`: nothing more; the user says what there is.
//!
//! Arguments that name files come with it in any case.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::gather::{self, Taken};
use super::words::Words;
use super::{Basket, Note, Start};
use crate::closure::Loaded;
use crate::error::Error;
use crate::tree::Found;

/// What differs between languages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    /// Name of the rule.
    pub language: &'static str,
    /// How names of sources end, behind the point.
    pub extensions: &'static [&'static str],
    /// Files that mark the root of a project.
    pub roots: &'static [&'static str],
    /// Directories in a project that a rule of its own looks after, or that nothing needs at run time.
    pub skipped: &'static [&'static str],
}

/// An application in the image.
#[derive(Clone, Debug, Default)]
pub(super) struct Application {
    /// The directory that was taken whole, as a guest path without links.
    pub root: Option<PathBuf>,
    /// The words of its sources and of the arguments.
    pub words: Words,
    /// Its sources, as paths of the host.
    pub sources: Vec<PathBuf>,
}

/// Whether a directory is one of an application's own, not of the system or for everybody.
pub(crate) fn is_own(directory: &Path) -> bool {
    owner(directory) == Owner::Application
}

/// Whom a directory belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Application,
    Shared,
    System,
}

/// Directories in which applications lie side by side with other things.
const SHARED: [&str; 11] = [
    "/", "/home", "/media", "/mnt", "/opt", "/root", "/srv", "/tmp", "/var", "/var/tmp", "/dev/shm",
];

/// Directories of the system.
const SYSTEM: [&str; 10] = [
    "/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys",
];

/// Directories that a kernel fills.
const KERNELS: [&str; 3] = ["/dev", "/proc", "/sys"];

fn owner(directory: &Path) -> Owner {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let is_home =
        home.as_deref() == Some(directory) || directory.parent() == Some(Path::new("/home"));
    let is_virtual_environment = directory.ends_with("bin")
        && directory
            .parent()
            .is_some_and(|parent| parent.join("pyvenv.cfg").exists());
    if is_home || SHARED.iter().any(|shared| directory == Path::new(shared)) {
        return Owner::Shared;
    }
    let of_system = SYSTEM.iter().any(|system| directory.starts_with(system))
        // Programs that are built on the machine lie in `/usr/src` by custom.
        || directory.starts_with("/usr") && !directory.starts_with("/usr/src");
    match of_system || is_virtual_environment {
        true => Owner::System,
        false => Owner::Application,
    }
}

/// Directories beside `bin` in which programs in it have their parts.
const BESIDE_PROGRAMS: [&str; 5] = ["lib", "libexec", "local", "share", "vendor"];

/// The root of the application whose script lies in a directory: the directory where the command is typed, if the
/// script lies below it; or else the nearest directory with one of the files that mark a root; or else the directory above
/// `bin`, if the program's parts lie beside that; or else the script's.
fn root(directory: &Path, marks: &[&str], typed: &Path) -> PathBuf {
    let is_marked = |ancestor: &Path| marks.iter().any(|mark| ancestor.join(mark).exists());
    let of_application = || {
        directory
            .ancestors()
            .take_while(|ancestor| owner(ancestor) == Owner::Application)
    };
    // The outermost of these: what is typed in a part of a project may use all of it.
    let marked = of_application().find(|ancestor| is_marked(ancestor));
    let typed = of_application().find(|ancestor| *ancestor == typed);
    let has_parts = |above: &&Path| BESIDE_PROGRAMS.iter().any(|part| above.join(part).is_dir());
    let installed = of_application()
        .nth(1)
        .filter(|_| directory.ends_with("bin"))
        .filter(has_parts);
    [marked, typed, installed]
        .into_iter()
        .flatten()
        .min_by_key(|path| path.components().count())
        .unwrap_or(directory)
        .to_path_buf()
}

impl Kind {
    /// Whether a file is a source by its name.
    pub fn is_source(&self, path: &Path) -> bool {
        let extension = path.extension().and_then(OsStr::to_str);
        extension.is_some_and(|extension| self.extensions.contains(&extension))
    }
}

impl Application {
    /// Adds the words of what is given on the command line.
    pub fn read_arguments(&mut self, start: &Start) {
        for argument in &start.arguments {
            self.words.add(&argument.to_string_lossy());
        }
    }

    /// Takes the application that starts with the file or directory that the argument at `at` names.
    pub fn take_script(
        &mut self,
        kind: &Kind,
        loaded: Option<&Loaded>,
        start: &Start,
        at: usize,
        basket: &mut Basket<'_, '_>,
    ) -> Result<(), Error> {
        let Some(name) = start.arguments.get(at) else {
            return Ok(());
        };
        let path = start.directory.join(name);
        let (script, directory) = match basket.closure.tree.find(&path)? {
            Found::File(script) => {
                let directory = script.parent().unwrap_or(Path::new("/")).to_path_buf();
                (Some(script), directory)
            }
            Found::Directory(directory) => (None, directory),
            // The interpreter will say so, in its own words.
            Found::Nothing => return Ok(()),
        };
        basket.uses_directory |= Path::new(name).is_relative();
        if let Some(script) = &script
            && start.placed.contains(script)
        {
            self.read_sources(kind, &directory, start, basket);
            // It need not be called as its language's sources are.
            if !kind.is_source(script) {
                self.read_source(basket.closure.tree.host_path(script));
            }
            return Ok(());
        }
        match script {
            Some(script) => self.take_around(kind, loaded, start, &script, basket)?,
            None => self.take_directory(kind, loaded, &directory, basket)?,
        }
        // Links on the way to it.
        basket.closure.tree.import(&path).map(drop)
    }

    /// Takes a script and what lies around it.
    fn take_around(
        &mut self,
        kind: &Kind,
        loaded: Option<&Loaded>,
        start: &Start,
        script: &Path,
        basket: &mut Basket<'_, '_>,
    ) -> Result<(), Error> {
        let directory = script.parent().unwrap_or(Path::new("/"));
        let owner = match start.by_another {
            true => Owner::System,
            false => owner(directory),
        };
        match owner {
            Owner::Application => {
                let root = root(directory, kind.roots, &start.directory);
                self.take_directory(kind, loaded, &root, basket)?;
                // A script need not be called as its language's sources are.
                self.read_source(basket.closure.tree.host_path(script));
                Ok(())
            }
            Owner::Shared => {
                basket.closure.tree.import(script)?;
                self.take_named(kind, loaded, script, directory, basket)
            }
            Owner::System => {
                basket.closure.tree.import(script)?;
                self.read_source(basket.closure.tree.host_path(script));
                Ok(())
            }
        }
    }

    /// Takes a directory of the application's own, or nothing of one that is shared.
    pub fn take_directory(
        &mut self,
        kind: &Kind,
        loaded: Option<&Loaded>,
        directory: &Path,
        basket: &mut Basket<'_, '_>,
    ) -> Result<(), Error> {
        if owner(directory) != Owner::Application {
            basket.notes.push(Note::new(
                kind.language,
                format!(
                    "left out `{}`, which holds other things too; add what the program needs with --file, or move it into a directory of its own",
                    directory.display()
                ),
            ));
            return Ok(());
        }
        let taken = gather::directory(
            basket.closure,
            loaded,
            directory,
            &mut |path, is_directory| {
                let name = path.file_name().unwrap_or_default();
                !(is_directory && kind.skipped.iter().any(|skipped| name == *skipped))
            },
        )?;
        for file in taken.files.iter().filter(|file| kind.is_source(file)) {
            self.read_source(basket.closure.tree.host_path(file));
        }
        for root in kind.roots {
            self.words
                .add(&gather::contents(basket.closure, &directory.join(root))?);
        }
        // The script itself may be all that there is.
        if !taken.files.is_empty() {
            let what = format!("took the directory `{}`", directory.display());
            note(kind, &what, &taken, basket);
        }
        self.root = Some(directory.to_path_buf());
        Ok(())
    }

    /// Takes the project in the directory where the command is typed, for a command of the system that works on it, such
    /// as `rackup`. One of `marks` shows that a project is there.
    pub fn take_project(
        &mut self,
        kind: &Kind,
        loaded: Option<&Loaded>,
        start: &Start,
        marks: &[&str],
        basket: &mut Basket<'_, '_>,
    ) -> Result<(), Error> {
        // What another program starts has no project, and what the user placed is there already.
        let is_told = self.root.is_some()
            || start.by_another
            || start
                .placed
                .iter()
                .any(|file| file.starts_with(&start.directory));
        if is_told || owner(&start.directory) != Owner::Application {
            return Ok(());
        }
        for mark in marks {
            if gather::is_file(basket.closure, &start.directory.join(mark))? {
                basket.uses_directory = true;
                return self.take_directory(kind, loaded, &start.directory, basket);
            }
        }
        Ok(())
    }

    /// Takes a script in a shared directory, and what lies beside it and is named by it, or by what is named by it.
    fn take_named(
        &mut self,
        kind: &Kind,
        loaded: Option<&Loaded>,
        script: &Path,
        directory: &Path,
        basket: &mut Basket<'_, '_>,
    ) -> Result<(), Error> {
        self.read_source(basket.closure.tree.host_path(script));
        let mut left = gather::names(basket.closure, directory)?;
        if directory.parent().is_none() {
            left.clear();
        }
        let mut taken = Taken::default();
        loop {
            let before = left.len();
            let (named, rest): (Vec<_>, Vec<_>) = left.into_iter().partition(|name| {
                let path = directory.join(name);
                let stem = path.file_stem().and_then(OsStr::to_str);
                path != script
                    && stem.is_some_and(|stem| self.words.contains(stem))
                    && self.is_part(kind, &path)
            });
            left = rest;
            for name in named {
                let part = gather::either(basket.closure, loaded, &directory.join(name))?;
                for file in part.files.iter().filter(|file| kind.is_source(file)) {
                    self.read_source(basket.closure.tree.host_path(file));
                }
                taken.extend(part);
            }
            if left.len() == before {
                break;
            }
        }
        if !taken.files.is_empty() {
            let what = format!("took what `{}` names beside itself", script.display());
            note(kind, &what, &taken, basket);
        }
        Ok(())
    }

    /// Whether something in a shared directory may be part of an application: a file, or a directory with sources.
    fn is_part(&self, kind: &Kind, path: &Path) -> bool {
        if !path.is_dir() {
            return path.is_file();
        }
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries
            .map(|entry| entry.path())
            .any(|entry| kind.is_source(&entry))
    }

    /// Takes files and directories that arguments from the place `from` on name: data, configuration.
    pub fn take_arguments(
        &mut self,
        kind: &Kind,
        start: &Start,
        from: usize,
        basket: &mut Basket<'_, '_>,
    ) -> Result<(), Error> {
        let mut taken = Taken::default();
        for argument in start.arguments.iter().skip(from) {
            let text = argument.to_string_lossy();
            // `--config=FILE` names a file too.
            for name in [
                text.as_ref(),
                text.split_once('=').map_or("", |(_, value)| value),
            ] {
                if name.is_empty() || name.starts_with('-') {
                    continue;
                }
                let path = start.directory.join(name);
                // The machine has these itself.
                if KERNELS.iter().any(|kernels| path.starts_with(kernels)) {
                    continue;
                }
                // What can't be a path is none.
                let found = basket.closure.tree.find(&path).unwrap_or(Found::Nothing);
                let part = match &found {
                    Found::File(file) if basket.closure.tree.get(file).is_none() => {
                        gather::file(basket.closure, None, &path)?
                    }
                    Found::Directory(directory)
                        if owner(directory) == Owner::Application
                            && basket.closure.tree.get(directory).is_none() =>
                    {
                        gather::directory(basket.closure, None, &path, &mut |_, _| true)?
                    }
                    // Taken already, perhaps under another name.
                    Found::File(_) => {
                        basket.closure.tree.import(&path)?;
                        Taken::default()
                    }
                    _ => continue,
                };
                basket.uses_directory |= Path::new(name).is_relative();
                taken.extend(part);
            }
        }
        if !taken.files.is_empty() {
            note(kind, "took what the arguments name", &taken, basket);
        }
        Ok(())
    }

    /// Reads the words of the sources that the user placed in a directory, which may hold other things too.
    fn read_sources(
        &mut self,
        kind: &Kind,
        directory: &Path,
        start: &Start,
        basket: &Basket<'_, '_>,
    ) {
        let of_application = |path: &&PathBuf| path.starts_with(directory) && kind.is_source(path);
        for path in start.placed.iter().filter(of_application) {
            self.read_source(basket.closure.tree.host_path(path));
        }
    }

    fn read_source(&mut self, source: PathBuf) {
        self.words.add_file(&source);
        self.sources.push(source);
    }
}

/// Takes directories of modules, which are found from where the command was typed if their names are relative.
pub(super) fn take_directories(
    kind: &Kind,
    loaded: Option<&Loaded>,
    directories: &[PathBuf],
    basket: &mut Basket<'_, '_>,
) -> Result<(), Error> {
    let mut taken = Taken::default();
    for directory in directories {
        taken.extend(gather::either(basket.closure, loaded, directory)?);
    }
    if !taken.files.is_empty() {
        basket.uses_directory = true;
        note(kind, "took directories of modules", &taken, basket);
    }
    Ok(())
}

/// Tells what was taken.
pub(super) fn note(kind: &Kind, what: &str, taken: &Taken, basket: &mut Basket<'_, '_>) {
    let mut message = format!("{what}: {taken}");
    if !taken.lacking.is_empty() {
        message += &format!("; libraries are missing for {}", taken.lacking.join(", "));
    }
    basket.notes.push(Note::new(kind.language, message));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_belong_to_an_application_the_system_or_everybody() {
        for (directory, expected) in [
            ("/srv/shop", Owner::Application),
            ("/usr/src/app", Owner::Application),
            ("/home/ann/app", Owner::Application),
            ("/tmp/app", Owner::Application),
            ("/libraries", Owner::Application),
            ("/", Owner::Shared),
            ("/tmp", Owner::Shared),
            ("/home/ann", Owner::Shared),
            ("/usr/bin", Owner::System),
            ("/etc/init.d", Owner::System),
        ] {
            assert_eq!(owner(Path::new(directory)), expected, "{directory}");
        }
    }

    #[test]
    fn an_application_begins_at_its_marker_or_where_the_command_is_typed() {
        let directory = tempfile::tempdir().unwrap();
        let project = directory.path().join("project");
        let deep = project.join("source/deep");
        std::fs::create_dir_all(&deep).unwrap();
        let elsewhere = Path::new("/srv/other");
        let marks = &["package.json"];
        assert_eq!(root(&deep, marks, elsewhere), deep);
        assert_eq!(root(&deep, marks, &project), project);
        assert_eq!(root(&deep, marks, Path::new("/tmp")), deep);
        std::fs::write(project.join("package.json"), "{}").unwrap();
        assert_eq!(root(&deep, marks, &deep), project);
        assert_eq!(root(&deep, &[], elsewhere), deep);
        assert_eq!(root(&deep, marks, directory.path()), directory.path());

        let programs = directory.path().join("installed/bin");
        std::fs::create_dir_all(&programs).unwrap();
        assert_eq!(root(&programs, marks, &programs), programs);
        let above = programs.with_file_name("");
        std::fs::create_dir(above.join("lib")).unwrap();
        assert_eq!(root(&programs, marks, &programs), above);
    }
}
