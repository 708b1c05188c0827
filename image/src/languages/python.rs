//! Python (CPython 3 and PyPy 3): the standard library of the interpreter.
//!
//! CPython finds its library by looking for `lib/pythonX.Y/os.py` in the directories above its own,
//! resolved file (`Modules/getpath.py`); this rule does the same. Modules written in C lie in
//! `lib-dynload` and bring libraries of their own.
//!
//! Left out is what a deployed program doesn't use: the tests, IDLE, demonstrations, `ensurepip`, and files
//! for embedding Python. Compiled files (`.pyc`) are kept, for they spare the compiler at every start. Of packages
//! that were installed in addition (`site-packages`), those are taken that the application names, and what they need
//! (`python_packages.rs`).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::application::{Application, Kind};
use super::python_packages::{self, Places};
use super::{Basket, Note, Rule, Start, gather};
use crate::closure::{Closure, Program};
use crate::error::Error;
use crate::program::Format;
use crate::tree::{Found, Present};

/// The rule for CPython 3 and PyPy 3.
pub(super) struct Python;

/// What Python's applications look like.
const KIND: Kind = Kind {
    language: "python",
    extensions: &["py", "pyw", "pyi"],
    roots: &[
        "pyproject.toml",
        "setup.py",
        "setup.cfg",
        "requirements.txt",
    ],
    skipped: &[".mypy_cache", ".pytest_cache", ".ruff_cache", ".tox"],
};

/// Commands that look for an application where they are started, and what they find.
const LOOKING: [&str; 4] = ["flask", "fastapi", "quart", "gunicorn"];
const FOUND_UNTOLD: [&str; 5] = [
    "app.py",
    "wsgi.py",
    "main.py",
    "gunicorn.conf.py",
    "pyproject.toml",
];

/// Whether a script is one of these commands.
fn is_command(script: &OsStr) -> bool {
    let name = Path::new(script).file_name();
    LOOKING
        .iter()
        .any(|command| name == Some(OsStr::new(command)))
}

/// Options whose value is the next argument.
const WITH_VALUE: [&str; 3] = ["-W", "-X", "--check-hash-based-pycs"];

/// Directories of the standard library that are left out, wherever they are in it.
const OMITTED_DIRECTORIES: [&str; 8] = [
    "test",
    "tests",
    "idlelib",
    "idle_test",
    "turtledemo",
    "ensurepip",
    "site-packages",
    "dist-packages",
];

impl Rule for Python {
    fn name(&self) -> &'static str {
        "python"
    }

    fn applies(&self, program: &Program) -> bool {
        matches!(program.format, Format::Elf(_)) && name_of_library(&program.canonical).is_some()
    }

    /// pyenv puts shell scripts called `shims/python3` into `PATH` that choose a version at run time: from
    /// the variable `PYENV_VERSION`, the file `.python-version` of the directory or one above it, or the
    /// file `version` of pyenv.
    fn behind_shim(&self, path: &Path, base: &Path) -> Result<Option<PathBuf>, Error> {
        let name = path.file_name().unwrap_or_default();
        if !name.as_bytes().starts_with(b"python") || parent_name(path) != OsStr::new("shims") {
            return Ok(None);
        }
        let Some(pyenv) = path.parent().and_then(Path::parent) else {
            return Ok(None);
        };
        if !pyenv.join("versions").is_dir() {
            return Ok(None);
        }
        let chosen = std::env::var("PYENV_VERSION")
            .ok()
            .filter(|text| !text.is_empty())
            .or_else(|| {
                base.ancestors()
                    .map(|directory| directory.join(".python-version"))
                    .chain([pyenv.join("version")])
                    .find_map(|file| std::fs::read_to_string(file).ok())
            });
        let shim = |reason: String| Error::PyenvShim {
            path: path.into(),
            reason,
        };
        let chosen = chosen.ok_or_else(|| shim("no version is chosen".into()))?;
        for version in chosen
            .split([':', '\n', ' '])
            .map(str::trim)
            .filter(|text| !text.is_empty())
        {
            if let Some(directory) = installed(&pyenv.join("versions"), version) {
                let interpreter = directory.join("bin").join(name);
                if interpreter.exists() {
                    return Ok(Some(interpreter));
                }
            }
        }
        Err(shim(format!(
            "the chosen version `{}` has no `{}`",
            chosen.trim(),
            name.display()
        )))
    }

    fn collect(
        &self,
        program: &Program,
        start: &Start,
        basket: &mut Basket<'_, '_>,
    ) -> Result<(), Error> {
        let Some(name) = name_of_library(&program.canonical) else {
            return Ok(());
        };
        let Some(library) = find_library(program, basket.closure, &name)? else {
            basket.notes.push(Note::new(self.name(), format!(
                "no lib/{name}/os.py above `{}`; the program must bring its standard library, or add it with --file",
                program.canonical.display()
            )));
            return Ok(());
        };
        take_library(program, &library, &name, basket)?;
        let application = take_application(program, start, basket)?;
        let places = Places::find(program, start, &library, &name, basket.closure)?;
        python_packages::take(&application, &places, program, basket)
    }
}

/// What is to be executed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Main {
    /// The script at this place.
    Script(usize),
    /// A module that the argument at this place names.
    Module(usize),
    /// Code in the argument at this place, a prompt, or standard input; behind it are arguments of the program.
    Other(usize),
}

/// Finds out what the arguments have Python do (python(1), "COMMAND LINE OPTIONS").
fn main(start: &Start) -> Main {
    let mut at = 0;
    while let Some(argument) = start.arguments.get(at) {
        let text = argument.to_string_lossy();
        let Some(letters) = text.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
            return match text == "-" {
                true => Main::Other(at + 1),
                false => Main::Script(at),
            };
        };
        if letters == "-" {
            return Main::Script(at + 1);
        }
        at += 1 + usize::from(WITH_VALUE.contains(&text.as_ref()));
        if letters.starts_with('-') || letters.starts_with(['W', 'X']) {
            continue;
        }
        // Letters can stand behind each other: `-um NAME`, `-umNAME`.
        if let Some(position) = letters.find(['c', 'm']) {
            let at = if position + 1 == letters.len() {
                at
            } else {
                at - 1
            };
            return match letters.as_bytes()[position] {
                b'm' => Main::Module(at),
                _ => Main::Other(at),
            };
        }
    }
    Main::Other(at)
}

/// Takes the application that Python is told to run.
fn take_application(
    program: &Program,
    start: &Start,
    basket: &mut Basket<'_, '_>,
) -> Result<Application, Error> {
    let loaded = program.loaded.as_ref();
    let mut application = Application::default();
    application.read_arguments(start);
    let rest = match main(start) {
        Main::Script(at) => {
            application.take_script(&KIND, loaded, start, at, basket)?;
            // A command such as `flask` or `uvicorn` is told a module of the directory where it is typed.
            if application.root.is_none() {
                take_module(&mut application, program, start, at + 1, basket)?;
                // Or finds it there without being told.
                if is_command(&start.arguments[at]) {
                    application.take_project(&KIND, loaded, start, &FOUND_UNTOLD, basket)?;
                }
            }
            at + 1
        }
        Main::Module(at) => {
            take_module(&mut application, program, start, at, basket)?;
            at + 1
        }
        Main::Other(at) => at + 1,
    };
    application.take_arguments(&KIND, start, rest, basket)?;
    Ok(application)
}

/// Takes the directory where the command is typed, if an argument names a module in it.
fn take_module(
    application: &mut Application,
    program: &Program,
    start: &Start,
    from: usize,
    basket: &mut Basket<'_, '_>,
) -> Result<(), Error> {
    for argument in start.arguments.iter().skip(from) {
        let text = argument.to_string_lossy();
        for file in files_of_module(text.trim_start_matches("-m")) {
            let file = start.directory.join(file);
            if !gather::is_file(basket.closure, &file)? || start.placed.contains(&file) {
                continue;
            }
            basket.uses_directory = true;
            let loaded = program.loaded.as_ref();
            return application.take_directory(&KIND, loaded, &start.directory, basket);
        }
    }
    Ok(())
}

/// The files that a name such as `shop.main:app` may mean: of the whole name, and of its first part, for the rest may be
/// something in that module. A package need not have a file `__init__.py` if the name goes on.
fn files_of_module(name: &str) -> Vec<PathBuf> {
    let name = name.split([':', '/']).next().unwrap_or_default();
    let is_identifier = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|character| character.is_alphanumeric() || character == '_')
    };
    let parts: Vec<&str> = name.split('.').collect();
    if !is_identifier(parts[0]) {
        return Vec::new();
    }
    let mut modules = vec![PathBuf::from(parts[0])];
    if parts.len() > 1 && parts.iter().all(|part| is_identifier(part)) {
        modules.push(parts.iter().collect());
        modules.push(parts[..parts.len() - 1].iter().collect());
    }
    modules
        .into_iter()
        .flat_map(|module| {
            [
                module.with_extension("py"),
                module.join("__init__.py"),
                module.join("__main__.py"),
            ]
        })
        .collect()
}

/// Takes the standard library.
fn take_library(
    program: &Program,
    library: &Path,
    name: &str,
    basket: &mut Basket<'_, '_>,
) -> Result<(), Error> {
    let closure = &mut *basket.closure;
    let mut note = |message: String| basket.notes.push(Note::new(KIND.language, message));
    let host = closure.tree.host_path(library);
    let files = closure
        .tree
        .copy(&host, library, Present::Keep, &mut |path, is_directory| {
            wanted(path, is_directory, name)
        })?;
    follow_links(closure, library)?;
    let mut omitted = Vec::new();
    let mut modules = 0;
    for module in files.iter().filter(|file| is_extension(file)) {
        let Some(loaded) = &program.loaded else {
            break;
        };
        match closure.add_library(loaded, module) {
            Ok(()) => modules += 1,
            Err(Error::MissingLibrary { name, .. }) => {
                closure.tree.remove(module);
                let module = module.file_name().unwrap_or_default().to_string_lossy();
                let module = module.split('.').next().unwrap_or_default().to_owned();
                omitted.push(format!("{module} (needs {name})"));
            }
            Err(error) => return Err(error),
        }
    }
    // Another program may have brought it.
    if files.is_empty() {
        return Ok(());
    }
    note(format!(
        "took the standard library `{}`: {} files, {modules} of them modules in C",
        library.display(),
        files.len() - omitted.len(),
    ));
    if !omitted.is_empty() {
        note(format!(
            "left out modules whose libraries are not installed: {}",
            omitted.join(", ")
        ));
    }
    Ok(())
}

/// The directory of an installed version; `3.11` stands for the latest `3.11.N`.
fn installed(versions: &Path, version: &str) -> Option<PathBuf> {
    let exact = versions.join(version);
    if exact.is_dir() {
        return Some(exact);
    }
    let prefix = format!("{version}.");
    std::fs::read_dir(versions)
        .ok()?
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let patch: u32 = name.strip_prefix(&prefix)?.parse().ok()?;
            Some((patch, versions.join(name)))
        })
        .max()
        .map(|(_, directory)| directory)
}

/// The name of the library's directory, for the name of an interpreter's file: `python3.11`, `pypy3.9`.
fn name_of_library(canonical: &Path) -> Option<String> {
    let name = canonical.file_name()?.to_str()?;
    let kind = if name.starts_with("pypy") {
        "pypy3"
    } else {
        "python3"
    };
    let rest = name.strip_prefix(kind)?;
    // Builds with other thread or debug settings have a letter behind the version.
    let rest = rest.trim_end_matches(['d', 'm', 't', 'u']);
    let minor = match rest.strip_prefix('.') {
        Some(minor) if !minor.is_empty() => minor,
        None if rest.is_empty() => return Some(kind.into()),
        _ => return None,
    };
    minor
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| format!("{kind}.{minor}"))
}

/// The directory of the standard library: `lib/pythonX.Y` or `lib/pypyX.Y` above the interpreter.
fn find_library(
    program: &Program,
    closure: &Closure<'_>,
    name: &str,
) -> Result<Option<PathBuf>, Error> {
    for directory in program.canonical.ancestors().skip(1) {
        for library in ["lib", "lib64"] {
            let candidate = directory.join(library).join(name);
            if let Found::File(landmark) = closure.tree.find(&candidate.join("os.py"))? {
                return Ok(landmark.parent().map(Path::to_path_buf));
            }
        }
    }
    Ok(None)
}

/// Whether a file or directory of the standard library belongs in an image.
/// `library` is the name of its directory.
fn wanted(path: &Path, is_directory: bool, library: &str) -> bool {
    let name = path.file_name().unwrap_or_default();
    let bytes = name.as_bytes();
    if is_directory {
        return !OMITTED_DIRECTORIES.iter().any(|omitted| name == *omitted)
            && !bytes.starts_with(b"config-");
    }
    let extension = path.extension().unwrap_or_default();
    if extension == "a" || extension == "o" || extension == "exe" {
        return false;
    }
    if extension == "pyc" {
        // `python -O` is not how programs are started here, nor is another version.
        let tag = format!(
            ".{}.pyc",
            library.replace("python", "cpython-").replace('.', "")
        );
        return bytes.ends_with(tag.as_bytes()) || parent_name(path) != OsStr::new("__pycache__");
    }
    if parent_name(path) == OsStr::new("lib-dynload") {
        let testing: [&[u8]; 4] = [b"_test", b"_ctypes_test", b"_xxtestfuzz", b"xxlimited"];
        return !testing.iter().any(|prefix| bytes.starts_with(prefix));
    }
    true
}

fn parent_name(path: &Path) -> &OsStr {
    path.parent().and_then(Path::file_name).unwrap_or_default()
}

fn is_extension(file: &Path) -> bool {
    file.extension() == Some(OsStr::new("so"))
}

/// Stores what links in the library lead to: Debian's `sitecustomize.py` lies in `/etc`, for example.
fn follow_links(closure: &mut Closure<'_>, library: &Path) -> Result<(), Error> {
    let links = closure.tree.links_below(library);
    for link in links {
        closure.tree.import(&link)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_are_recognised_by_name() {
        for (name, expected) in [
            ("python3.11", Some("python3.11")),
            ("python3.7m", Some("python3.7")),
            ("python3.13t", Some("python3.13")),
            ("python3", Some("python3")),
            ("pypy3.9", Some("pypy3.9")),
            ("pypy3compile", None),
            ("python3.11-config", None),
            ("python3-config", None),
            ("python2.7", None),
            ("python", None),
        ] {
            assert_eq!(
                name_of_library(Path::new("/usr/bin").join(name).as_path()).as_deref(),
                expected,
                "{name}"
            );
        }
    }

    #[test]
    fn names_of_modules_mean_files() {
        let files = |name: &str| files_of_module(name);
        let has = |name: &str, file: &str| files(name).contains(&PathBuf::from(file));
        assert!(has("main:app", "main.py"));
        assert!(has("shop", "shop/__main__.py"));
        assert!(has("shop.wsgi:make()", "shop/wsgi.py"));
        assert!(has("shop.wsgi.app", "shop/wsgi.py"));
        assert!(has("shop.wsgi", "shop/__init__.py"));
        assert!(files("--bind").is_empty());
        assert!(
            files("0.0.0.0:8000")
                .iter()
                .all(|file| !file.starts_with("/"))
        );
        assert!(files("../x").is_empty());
    }

    #[test]
    fn what_python_is_told_to_run_is_understood() {
        for (words, expected) in [
            ("app.py x", Main::Script(0)),
            ("-u -W error app.py", Main::Script(3)),
            ("-X dev -I app.py", Main::Script(3)),
            ("-Wd app.py", Main::Script(1)),
            ("-m http.server 80", Main::Module(1)),
            ("-um flask", Main::Module(1)),
            ("-mflask", Main::Module(0)),
            ("-c code x", Main::Other(1)),
            ("-uccode", Main::Other(0)),
            ("- a b", Main::Other(1)),
            ("-i", Main::Other(1)),
            ("", Main::Other(0)),
            ("-- -app", Main::Script(1)),
        ] {
            assert_eq!(main(&Start::of_words(words)), expected, "{words}");
        }
    }

    #[test]
    fn what_deployed_programs_do_not_use_is_left_out() {
        let library = Path::new("/usr/lib/python3.11");
        for (path, is_directory, expected) in [
            ("os.py", false, true),
            ("json", true, true),
            ("test", true, false),
            ("unittest", true, true),
            ("config-3.11-x86_64-linux-gnu", true, false),
            ("__pycache__/os.cpython-311.pyc", false, true),
            ("__pycache__/os.cpython-311.opt-1.pyc", false, false),
            ("__pycache__/os.cpython-310.pyc", false, false),
            (
                "lib-dynload/_ctypes.cpython-311-x86_64-linux-gnu.so",
                false,
                true,
            ),
            (
                "lib-dynload/_testcapi.cpython-311-x86_64-linux-gnu.so",
                false,
                false,
            ),
            ("site-packages", true, false),
        ] {
            assert_eq!(
                wanted(&library.join(path), is_directory, "python3.11"),
                expected,
                "{path}"
            );
        }
    }
}
