//! What languages need beyond the closure: the files that an interpreter opens by itself.
//!
//! Each language is a [`Rule`]. A rule recognises an interpreter among the programs of an image and adds
//! its files; it tells what it took and what it left out, so that nobody has to guess. To add a language,
//! write a module with a rule and name it in [`RULES`].

mod python;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::closure::{Closure, Program};
use crate::error::Error;

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

/// Knows which files programs of one language need.
pub(crate) trait Rule: Sync {
    /// Name of the language.
    fn name(&self) -> &'static str;

    /// Whether this program is the language's interpreter.
    fn applies(&self, program: &Program) -> bool;

    /// If a program found in `PATH` is a stand-in of a version manager, which would look for the
    /// interpreter at run time: the interpreter itself. `base` is the current directory.
    fn behind_shim(&self, path: &Path, base: &Path) -> Result<Option<PathBuf>, Error>;

    /// Adds the files that the interpreter needs.
    fn collect(
        &self,
        program: &Program,
        closure: &mut Closure<'_>,
        notes: &mut Vec<Note>,
    ) -> Result<(), Error>;
}

/// All rules.
static RULES: &[&dyn Rule] = &[&python::Python];

/// Applies every rule that fits to every program of an image.
pub(crate) fn collect(
    programs: &[Program],
    closure: &mut Closure<'_>,
    notes: &mut Vec<Note>,
) -> Result<(), Error> {
    for program in programs {
        for rule in RULES.iter().filter(|rule| rule.applies(program)) {
            rule.collect(program, closure, notes)?;
        }
    }
    Ok(())
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
