//! What languages need beyond the closure: the files that an interpreter opens by itself, and the application that it
//! is told to run.
//!
//! Each language is a [`Rule`]. A rule recognises an interpreter among the programs of an image and adds its files; it
//! tells what it took and what it left out, so that nobody has to guess. To add a language, write a module with a rule,
//! name it in [`RULES`], and describe it in `docs/languages.md`.

mod application;
mod command;
mod erlang;
mod gather;
mod gcc;
mod java;
mod libraries;
mod lua;
mod node;
mod perl;
mod perl_modules;
mod php;
mod python;
mod python_packages;
mod ruby;
mod ruby_gems;
mod shell;
mod shell_words;
mod words;

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

pub(crate) use self::application::is_own;
use crate::closure::{Closure, Program};
use crate::error::Error;
use crate::tree::Found;

/// A remark about what went into an image or was left out, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Note {
    /// What it is about: a rule such as `python`, or an option such as `--file`.
    pub subject: String,
    /// One sentence or more.
    pub message: String,
}

impl Note {
    pub(crate) fn new(subject: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            subject: subject.into(),
            message: message.into(),
        }
    }
}

impl fmt::Display for Note {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.subject, self.message)
    }
}

/// How an interpreter is started, as far as it decides what it opens.
#[derive(Clone, Debug, Default)]
pub(crate) struct Start {
    /// Its arguments. For a script that is started by its name, the script's path and then those of the request.
    pub arguments: Vec<OsString>,
    /// The directory that relative paths in them refer to.
    pub directory: PathBuf,
    /// Environment of the guest, as `NAME=VALUE`.
    pub environment: Vec<Vec<u8>>,
    /// Guest paths of the files that the user placed.
    pub placed: HashSet<PathBuf>,
    /// Another program starts it, not the user: what lies around its script is not its application.
    pub by_another: bool,
}

impl Start {
    /// A variable of the guest's environment.
    fn variable(&self, name: &str) -> Option<OsString> {
        use std::os::unix::ffi::OsStringExt;
        self.environment.iter().find_map(|entry| {
            let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            Some(OsString::from_vec(value.to_vec()))
        })
    }

    /// The directories of a variable such as `PYTHONPATH`.
    fn directories(&self, name: &str) -> Vec<PathBuf> {
        let list = self.variable(name).unwrap_or_default();
        std::env::split_paths(&list)
            .filter(|path| !path.as_os_str().is_empty())
            .map(|path| self.directory.join(path))
            .collect()
    }

    /// Whether a variable has a relative path in it.
    fn names_relative(&self, name: &str) -> bool {
        let list = self.variable(name).unwrap_or_default();
        let list = list.to_string_lossy();
        list.split([':', ';'])
            .any(|path| !path.is_empty() && !path.starts_with('/'))
    }

    /// The directories of modules that a variable and the option `-I` name. `lists` says that one option may name several,
    /// with colons between.
    fn included(&self, variable: &str, lists: bool) -> Vec<PathBuf> {
        let mut directories = self.directories(variable);
        for (at, argument) in self.arguments.iter().enumerate() {
            let text = argument.to_string_lossy();
            match text.strip_prefix("-I") {
                Some("") => directories.push(self.directory.join(self.text(at + 1))),
                Some(list) if lists => {
                    directories.extend(list.split(':').map(|path| self.directory.join(path)));
                }
                Some(directory) => directories.push(self.directory.join(directory)),
                None => {}
            }
        }
        directories
    }

    /// The place of the first argument from `from` on that is neither an option nor the value of one.
    fn positional(&self, from: usize, with_value: &[&str]) -> Option<usize> {
        let mut at = from;
        while let Some(argument) = self.arguments.get(at) {
            if argument == "--" {
                return (at + 1 < self.arguments.len()).then_some(at + 1);
            }
            let text = argument.to_string_lossy();
            if !text.starts_with('-') || text == "-" {
                return Some(at);
            }
            at += 1 + usize::from(with_value.contains(&text.as_ref()));
        }
        None
    }

    /// The place of the first argument from `from` on that names a file.
    fn file_from(&self, from: usize, closure: &Closure<'_>) -> Option<usize> {
        (from..self.arguments.len()).find(|&at| {
            let path = self.directory.join(&self.arguments[at]);
            // What can't be a path names none.
            matches!(closure.tree.find(&path), Ok(Found::File(_)))
        })
    }

    /// The argument at a place as text; empty if there is none.
    fn text(&self, at: usize) -> String {
        self.arguments
            .get(at)
            .map(|argument| argument.to_string_lossy().into_owned())
            .unwrap_or_default()
    }
}

/// Where rules put what they find.
pub(crate) struct Basket<'a, 'tree> {
    /// The files.
    pub closure: &'a mut Closure<'tree>,
    /// What to tell.
    pub notes: &'a mut Vec<Note>,
    /// Whether something was taken that is found only from the directory where the command was typed.
    pub uses_directory: bool,
    /// Programs that were taken since others start them; rules look at them too.
    started: Vec<Started>,
    /// Those that were looked at, with their arguments.
    seen: HashSet<(PathBuf, Vec<OsString>)>,
}

/// A program that another one starts.
struct Started {
    /// A script and its interpreters, or a program alone.
    chain: Vec<Program>,
    /// How it is started, without the name of a script.
    start: Start,
}

impl Basket<'_, '_> {
    /// Has the rules look at a program that another one starts, nobody knows how.
    fn start(&mut self, chain: Vec<Program>, by: &Start) {
        let start = Start {
            arguments: Vec::new(),
            by_another: true,
            ..by.clone()
        };
        self.start_with(chain, start);
    }

    /// Has the rules look at a program that is started in this way.
    fn start_with(&mut self, chain: Vec<Program>, start: Start) {
        let Some(program) = chain.first() else {
            return;
        };
        let key = (program.canonical.clone(), start.arguments.clone());
        let is_known = start.arguments.is_empty()
            && self.seen.iter().any(|(path, _)| *path == program.canonical);
        if !is_known && self.seen.insert(key) {
            self.started.push(Started { chain, start });
        }
    }

    /// Tells something.
    fn note(&mut self, subject: &str, message: String) {
        self.notes.push(Note::new(subject, message));
    }
}

/// Knows which files programs of one language need.
pub(crate) trait Rule: Sync {
    /// Name of the language.
    fn name(&self) -> &'static str;

    /// Whether this program is the language's interpreter.
    fn applies(&self, program: &Program) -> bool;

    /// If a program found in `PATH` is a stand-in of a version manager, which would look for the
    /// interpreter at run time: the interpreter itself. `base` is the current directory.
    fn behind_shim(&self, _path: &Path, _base: &Path) -> Result<Option<PathBuf>, Error> {
        Ok(None)
    }

    /// Adds the files that the interpreter and its application need.
    fn collect(
        &self,
        program: &Program,
        start: &Start,
        basket: &mut Basket<'_, '_>,
    ) -> Result<(), Error>;
}

/// Variables that name files or directories for interpreters. Some lists have other parts too.
const VARIABLES: [&str; 8] = [
    "CLASSPATH",
    "LUA_CPATH",
    "LUA_PATH",
    "NODE_PATH",
    "PERL5LIB",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "RUBYLIB",
];

/// All rules.
static RULES: &[&dyn Rule] = &[
    &python::Python,
    &node::Node,
    &java::Java,
    &ruby::Ruby,
    &php::Php,
    &perl::Perl,
    &lua::Lua,
    &erlang::Erlang,
    &erlang::Elixir,
    &shell::Shell,
    &command::Command,
    &gcc::Gcc,
    &libraries::CMAKE,
    &libraries::CRYSTAL,
    &libraries::GHC,
    &libraries::LDC,
    &libraries::NIM,
    &libraries::PASCAL,
    &libraries::TCL,
    &libraries::GUILE,
    &libraries::SBCL,
    &libraries::RACKET,
    &libraries::CHICKEN,
    &libraries::R,
    &libraries::OCTAVE,
    &libraries::PROLOG,
    &libraries::FORTH,
    &libraries::MONO,
];

/// The programs of an image when the rules begin.
pub(crate) struct Main<'a> {
    /// The one that is started, and the interpreters that it needs.
    pub programs: &'a [Program],
    /// Others that the user placed.
    pub others: &'a [Program],
    /// Scripts that the user placed, each with its interpreters.
    pub scripts: Vec<Vec<Program>>,
}

/// Applies every rule that fits to every program of an image.
///
/// `start` is for the last of the main programs, and a script among them that is an interpreter itself gets what
/// stands behind its name. Answers whether the program has to start in `start.directory`, because arguments are relative to
/// it.
pub(crate) fn collect(
    main: Main<'_>,
    start: &Start,
    closure: &mut Closure<'_>,
    notes: &mut Vec<Note>,
) -> Result<bool, Error> {
    let programs = || main.programs.iter().chain(main.others);
    let mut basket = Basket {
        closure,
        notes,
        uses_directory: false,
        started: Vec::new(),
        seen: programs()
            .map(|program| (program.canonical.clone(), Vec::new()))
            .collect(),
    };
    let other = Start {
        arguments: Vec::new(),
        ..start.clone()
    };
    let of_script = Start {
        arguments: start.arguments.iter().skip(1).cloned().collect(),
        ..start.clone()
    };
    basket.uses_directory = VARIABLES.iter().any(|name| start.names_relative(name));
    // Which rules were asked.
    let mut asked = HashSet::new();
    for (index, program) in programs().enumerate() {
        let start = match index {
            _ if index + 1 == main.programs.len() => start,
            0 => &of_script,
            _ => &other,
        };
        for rule in RULES.iter().filter(|rule| rule.applies(program)) {
            rule.collect(program, start, &mut basket)?;
            asked.insert(rule.name());
        }
    }
    for chain in main.scripts {
        basket.start(chain, start);
    }
    while let Some(Started { chain, start }) = basket.started.pop() {
        let script = chain.first().filter(|_| chain.len() > 1);
        let of_interpreter = Start {
            arguments: script
                .map(|script| script.path.clone().into_os_string())
                .into_iter()
                .chain(start.arguments.iter().cloned())
                .collect(),
            ..start.clone()
        };
        for (index, program) in chain.iter().enumerate() {
            let start = match index {
                _ if index + 1 == chain.len() => &of_interpreter,
                0 => &start,
                _ => &other,
            };
            for rule in RULES.iter().filter(|rule| rule.applies(program)) {
                // Without arguments it would say the same again.
                if asked.insert(rule.name()) || !start.arguments.is_empty() {
                    rule.collect(program, start, &mut basket)?;
                }
            }
        }
    }
    Ok(basket.uses_directory)
}

/// The program that is meant by what was found in `PATH`.
pub(crate) fn behind_shim(
    path: &Path,
    base: &Path,
    notes: &mut Vec<Note>,
) -> Result<PathBuf, Error> {
    for rule in RULES {
        if let Some(interpreter) = rule.behind_shim(path, base)? {
            notes.push(Note::new(
                rule.name(),
                format!(
                    "took `{}` behind the shim `{}`",
                    interpreter.display(),
                    path.display()
                ),
            ));
            return Ok(interpreter);
        }
    }
    Ok(path.into())
}

/// Names of the languages that have a rule.
#[must_use]
pub fn languages() -> Vec<&'static str> {
    RULES.iter().map(|rule| rule.name()).collect()
}

/// Where an interpreter was installed: `/usr` for `/usr/bin/ruby`.
fn prefix_of(program: &Program) -> &Path {
    program
        .canonical
        .ancestors()
        .nth(2)
        .unwrap_or(Path::new("/"))
}

/// Whether a file is called `name`, perhaps with a version behind it: `lua`, `lua5.4`, `php8.2`.
fn is_called(program: &Program, name: &str) -> bool {
    version_behind(&program.canonical, name).is_some()
}

/// The version behind a name: `8.2` of `php8.2`; empty without one.
fn version_behind<'a>(path: &'a Path, name: &str) -> Option<&'a str> {
    let version = path
        .file_name()
        .and_then(OsStr::to_str)?
        .strip_prefix(name)?;
    let is_version = version
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.');
    is_version.then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Start {
        /// A start with arguments that are words between spaces.
        pub(super) fn of_words(words: &str) -> Self {
            Self {
                arguments: words.split_whitespace().map(Into::into).collect(),
                ..Self::default()
            }
        }
    }

    fn start(arguments: &[&str]) -> Start {
        Start {
            arguments: arguments.iter().map(OsString::from).collect(),
            directory: "/base".into(),
            environment: vec![b"LIST=a:/b::c".to_vec()],
            placed: HashSet::new(),
            by_another: false,
        }
    }

    #[test]
    fn the_first_argument_that_is_no_option_is_found() {
        let with_value = ["-W", "--loader"];
        let at = |arguments: &[&str]| start(arguments).positional(0, &with_value);
        assert_eq!(at(&["app"]), Some(0));
        assert_eq!(
            at(&["-u", "-W", "error", "--loader", "x", "app", "-z"]),
            Some(5)
        );
        assert_eq!(at(&["-u", "--", "-app"]), Some(2));
        assert_eq!(at(&["-u", "--"]), None);
        assert_eq!(at(&["-"]), Some(0));
        assert_eq!(at(&["-W"]), None);
    }

    #[test]
    fn lists_of_directories_are_relative_to_where_the_program_starts() {
        let found = start(&[]).directories("LIST");
        assert_eq!(
            found,
            ["/base/a", "/b", "/base/c"].map(PathBuf::from).to_vec()
        );
        assert!(start(&[]).directories("NONE").is_empty());
        assert!(start(&[]).names_relative("LIST"));
        assert!(!start(&[]).names_relative("NONE"));
    }

    #[test]
    fn versions_stand_behind_names() {
        let version = |name: &'static str| version_behind(Path::new(name), "php");
        assert_eq!(version("/usr/bin/php8.2"), Some("8.2"));
        assert_eq!(version("/usr/bin/php"), Some(""));
        assert_eq!(version("/usr/bin/phpize"), None);
        assert_eq!(version("/usr/bin/php-cgi"), None);
    }
}
