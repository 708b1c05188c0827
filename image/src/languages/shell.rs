//! Shells: the commands that a script starts, with what rules of their own say that those need.
//!
//! A script for the shell is of no use without the commands in it. Taken is every command of `PATH` whose name is a word of
//! the script's code (`shell_words.rs`), and every file or directory of the system that the code names by its whole path,
//! such as `/usr/share/java/x.jar`. Commands that are scripts themselves are followed. So launchers work as well: `groovy`,
//! `clojure` and `R` are scripts that start `java` and the like.
//!
//! What a script puts together at run time is missed: name it with `--file`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::application::{self, Application, Kind};
use super::gather::{self, Taken};
use super::shell_words;
use super::{Basket, Rule, Start, command, java};
use crate::closure::{Closure, Loaded, Program};
use crate::error::Error;
use crate::program::Format;
use crate::tree::Found;

/// The rule for shells.
pub(super) struct Shell;

const KIND: Kind = Kind {
    language: "shell",
    extensions: &["sh", "bash", "ksh", "zsh"],
    roots: &[],
    skipped: &[],
};

/// Names of shells whose language is that of POSIX, more or less. BusyBox has its commands inside.
const SHELLS: [&str; 7] = ["sh", "dash", "bash", "ksh", "ksh93", "mksh", "zsh"];

/// What shells do themselves, and words of their language.
const BUILT_IN: [&str; 54] = [
    "alias", "bg", "break", "case", "cd", "command", "continue", "declare", "do", "done", "echo",
    "elif", "else", "esac", "eval", "exec", "exit", "export", "false", "fc", "fg", "fi", "for",
    "function", "getopts", "hash", "if", "in", "jobs", "kill", "let", "local", "printf", "pwd",
    "read", "readonly", "return", "select", "set", "shift", "source", "test", "then", "times",
    "trap", "true", "type", "typeset", "ulimit", "umask", "unalias", "unset", "until", "while",
];

/// Directories whose own directories belong to one program each.
const PARENTS: [&str; 6] = [
    "/etc",
    "/opt",
    "/usr/lib",
    "/usr/local/share",
    "/usr/share",
    "/usr/lib/x86_64-linux-gnu",
];

/// Directories below these that belong to many.
const COMMON: [&str; 7] = [
    "/etc/alternatives",
    "/usr/lib/locale",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/share/doc",
    "/usr/share/java",
    "/usr/share/locale",
    "/usr/share/man",
];

impl Rule for Shell {
    fn name(&self) -> &'static str {
        KIND.language
    }

    fn applies(&self, program: &Program) -> bool {
        let name = program.canonical.file_name().unwrap_or_default();
        matches!(program.format, Format::Elf(_)) && SHELLS.iter().any(|shell| name == *shell)
    }

    fn collect(
        &self,
        program: &Program,
        start: &Start,
        basket: &mut Basket<'_, '_>,
    ) -> Result<(), Error> {
        let loaded = program.loaded.as_ref();
        let mut application = Application::default();
        let mut named = BTreeSet::new();
        match main(start) {
            Main::Code(at) => {
                named.extend(shell_words::words(&start.text(at)));
                take_simple_commands(&start.text(at), &named, start, basket)?;
                application.take_arguments(&KIND, start, at + 1, basket)?;
            }
            Main::Script(at) => {
                application.take_script(&KIND, loaded, start, at, basket)?;
                let mut scripts = vec![at];
                // A launcher of the system is told what to run.
                if application.root.is_none()
                    && let Some(at) = start.file_from(at + 1, basket.closure)
                    && !is_taken(&start.directory.join(&start.arguments[at]), basket)
                {
                    application.take_script(&KIND, loaded, start, at, basket)?;
                    // Words of other languages name no commands.
                    if is_for_a_shell(&start.directory.join(&start.arguments[at]), basket.closure) {
                        scripts.push(at);
                    }
                }
                application.take_arguments(&KIND, start, at + 1, basket)?;
                take_home(&start.directory.join(&start.arguments[at]), loaded, basket)?;
                let scripts = scripts.iter().filter_map(|&at| {
                    let path = start.directory.join(&start.arguments[at]);
                    match basket.closure.tree.find(&path) {
                        Ok(Found::File(file)) => Some(basket.closure.tree.host_path(&file)),
                        _ => None,
                    }
                });
                for text in texts(scripts.collect(), &application.sources) {
                    named.extend(shell_words::words(&text));
                    // Paths in the user's own scripts are relative to where these are typed, more often than not.
                    if !start.by_another && application.root.is_some() {
                        take_simple_commands(&text, &named, start, basket)?;
                    }
                }
            }
            Main::Prompt => return Ok(()),
        }
        take_commands(&named, start, basket)?;
        take_places(&named, loaded, basket)
    }
}

/// Whether a file is a script for a shell, by its name or its first line.
fn is_for_a_shell(path: &Path, closure: &Closure<'_>) -> bool {
    let Ok(Found::File(canonical)) = closure.tree.find(path) else {
        return false;
    };
    let names_shell = || match Format::of(&closure.tree.host_path(&canonical)) {
        Ok(Some(Format::Script {
            interpreter,
            argument,
        })) => {
            let argument = argument.unwrap_or_default();
            let named = argument.to_string_lossy();
            let mut words = named.split_whitespace().map(Path::new);
            let is_shell = |path: &Path| SHELLS.iter().any(|shell| path.ends_with(shell));
            is_shell(&interpreter) || interpreter.ends_with("env") && words.any(is_shell)
        }
        _ => false,
    };
    KIND.is_source(path) || names_shell()
}

/// The texts of scripts and of those among `others` that they name, and that those name in turn. What else lies beside a
/// script may be for other occasions.
fn texts(scripts: Vec<PathBuf>, others: &[PathBuf]) -> Vec<String> {
    let mut pending = scripts;
    let mut left: Vec<&PathBuf> = others
        .iter()
        .filter(|other| !pending.contains(other))
        .collect();
    let mut texts = Vec::new();
    while let Some(script) = pending.pop() {
        // One that can't be read has no text: it will be missed when the image is built.
        let text = std::fs::read(script).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let (named, rest): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|path| may_name(&text, path));
        pending.extend(named.into_iter().cloned());
        left = rest;
        texts.push(text);
    }
    texts
}

/// Whether a script's text may mean a file: by its name, by a pattern, or by a name that a variable is part of.
fn may_name(text: &str, path: &Path) -> bool {
    let part = |part: Option<&OsStr>| part.and_then(OsStr::to_str).unwrap_or_default().to_owned();
    let name = part(path.file_name());
    let directory = part(path.parent().and_then(Path::file_name));
    let ending = format!(".{}", part(path.extension()));
    let in_name = |character: char| character.is_alphanumeric() || "_-.".contains(character);
    // `$name.sh`, `"${name}".sh`, `*.sh`
    let put_together = || {
        text.match_indices(&ending).any(|(at, _)| {
            let before = text[..at].trim_end_matches(in_name);
            before.ends_with(['*', '?', '$', '}', ')', '"', '\''])
        })
    };
    text.contains(&name)
        || !directory.is_empty() && text.contains(&format!("{directory}/*"))
        || path.extension().is_some() && put_together()
}

/// Takes the directory that belongs to the program of which a script of the system is part, such as `/usr/share/maven`
/// of `/usr/share/maven/bin/mvn`: such scripts find the rest from where they lie themselves.
fn take_home(
    script: &Path,
    loaded: Option<&Loaded>,
    basket: &mut Basket<'_, '_>,
) -> Result<(), Error> {
    let Ok(Found::File(canonical)) = basket.closure.tree.find(script) else {
        return Ok(());
    };
    let home = canonical
        .ancestors()
        .skip(1)
        .filter(|directory| of_a_program(directory))
        .last();
    let Some(home) = home else { return Ok(()) };
    let taken = gather::directory(basket.closure, loaded, home, &mut |_, _| true)?;
    if !taken.files.is_empty() {
        let what = format!("took the directory `{}` of the script", home.display());
        application::note(&KIND, &what, &taken, basket);
    }
    Ok(())
}

/// Has the rules look at commands as if each had been typed alone, if their names are among these.
fn take_simple_commands(
    code: &str,
    named: &BTreeSet<String>,
    start: &Start,
    basket: &mut Basket<'_, '_>,
) -> Result<(), Error> {
    let list = start.variable("PATH").unwrap_or_default();
    for words in shell_words::commands(code) {
        let name = OsStr::new(&words[0]);
        if !named.contains(&words[0]) || BUILT_IN.contains(&words[0].as_str()) {
            continue;
        }
        let Some(path) = command::executable(name, &list, start, basket.closure) else {
            continue;
        };
        basket.uses_directory |= words[0].contains('/') && path != Path::new(name);
        if let Some(chain) = add_command(&path, basket)? {
            let started = Start {
                arguments: words[1..].iter().map(Into::into).collect(),
                // What lies around a script that `PATH` leads to is not this application, but a command of the system
                // works on the project where it is started.
                by_another: chain.len() > 1
                    && !words[0].contains('/')
                    && path.parent().is_some_and(application::is_own),
                ..start.clone()
            };
            // Files of the system are the rules' business, and those of the command's own rule.
            let mut relative = started.clone();
            relative
                .arguments
                .retain(|argument| Path::new(argument).is_relative());
            Application::default().take_arguments(&KIND, &relative, 0, basket)?;
            basket.start_with(chain, started);
        }
    }
    Ok(())
}

/// Adds a command, unless it could not be executed on this machine either.
fn add_command(path: &Path, basket: &mut Basket<'_, '_>) -> Result<Option<Vec<Program>>, Error> {
    match basket.closure.add_program(path) {
        Ok(chain) => Ok(Some(chain)),
        Err(
            Error::NotAProgram { .. }
            | Error::NotExecutable { .. }
            | Error::MissingInterpreter { .. }
            | Error::MissingLibrary { .. }
            | Error::MalformedElf { .. }
            | Error::ThirtyTwoBit { .. }
            | Error::ForeignArchitecture { .. }
            | Error::ProgramNotFound { .. },
        ) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a rule for the launcher took the file already.
fn is_taken(path: &Path, basket: &Basket<'_, '_>) -> bool {
    let found = basket.closure.tree.find(path);
    matches!(found, Ok(Found::File(file)) if basket.closure.tree.get(&file).is_some())
}

/// What a shell is to execute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Main {
    /// The argument at this place.
    Code(usize),
    /// The script that the argument at this place names.
    Script(usize),
    /// What somebody types, or standard input.
    Prompt,
}

/// Finds out what the arguments have a shell do (sh(1p)).
fn main(start: &Start) -> Main {
    let Some(at) = start.positional(0, &["-o", "+o", "-O", "--rcfile", "--init-file"]) else {
        return Main::Prompt;
    };
    let options = start.arguments.iter().take(at);
    let is_short = |text: &str| text.starts_with('-') && !text.starts_with("--");
    let has = |letter: char| {
        options
            .clone()
            .map(|option| option.to_string_lossy())
            .any(|option| is_short(&option) && option.contains(letter))
    };
    match (has('c'), has('s')) {
        (true, _) => Main::Code(at),
        (_, true) => Main::Prompt,
        _ => Main::Script(at),
    }
}

/// Takes the commands among words, and has the rules look at them.
fn take_commands(
    named: &BTreeSet<String>,
    start: &Start,
    basket: &mut Basket<'_, '_>,
) -> Result<(), Error> {
    let list = start.variable("PATH").unwrap_or_default();
    let mut names = Vec::new();
    for word in named {
        let path = match word.contains('/') {
            false if BUILT_IN.contains(&word.as_str()) => continue,
            false => basket
                .closure
                .find_in_path(OsStr::new(word), &list, &start.directory)
                .ok(),
            // The home of a runtime of Java is named rather than its command.
            true => [word.clone(), format!("{word}/bin/java")]
                .iter()
                .find_map(|path| command_at(path, basket.closure)),
        };
        let Some(path) = path else { continue };
        let Some(chain) = add_command(&path, basket)? else {
            continue;
        };
        basket.start(chain, start);
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        names.push(name.into_owned());
    }
    if !names.is_empty() {
        basket.note(
            KIND.language,
            format!("took the commands {}", names.join(", ")),
        );
    }
    Ok(())
}

/// The path of a program that is named by its whole path.
fn command_at(word: &str, closure: &Closure<'_>) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let path = Path::new(word);
    if !path.is_absolute() {
        return None;
    }
    // Paths made of words may be anything.
    let Ok(Found::File(canonical)) = closure.tree.find(path) else {
        return None;
    };
    let metadata = std::fs::metadata(closure.tree.host_path(&canonical)).ok()?;
    (metadata.permissions().mode() & 0o111 != 0).then(|| path.to_path_buf())
}

/// Takes what words name by whole paths and is no command: jars and other files, and directories of one program.
fn take_places(
    named: &BTreeSet<String>,
    loaded: Option<&Loaded>,
    basket: &mut Basket<'_, '_>,
) -> Result<(), Error> {
    let mut taken = Taken::default();
    for word in named {
        let path = Path::new(word);
        if !path.is_absolute() || !of_a_program(path) {
            continue;
        }
        if path.extension().is_some_and(|ending| ending == "jar") {
            java::take_jar(path, &mut taken, basket)?;
        } else if let Ok(Found::File(_) | Found::Directory(_)) = basket.closure.tree.find(path) {
            taken.extend(gather::either(basket.closure, loaded, path)?);
        }
    }
    if !taken.files.is_empty() {
        application::note(&KIND, "took what the script names", &taken, basket);
    }
    Ok(())
}

/// Runtimes of which their own rules know what is needed: a script such as `erl` names where they are, and not all of them.
const RUNTIMES: [&str; 3] = ["/usr/lib/erlang", "/usr/lib/ghc", "/usr/lib/jvm"];

/// Whether a path lies in a directory that belongs to a program, or is such a directory.
fn of_a_program(path: &Path) -> bool {
    let is_common = COMMON.iter().any(|common| path == Path::new(common));
    let below = PARENTS
        .iter()
        .any(|parent| path.starts_with(parent) && path != Path::new(parent));
    below && !is_common && !RUNTIMES.iter().any(|runtime| path.starts_with(runtime))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_shell_is_told_to_run_is_understood() {
        for (words, expected) in [
            ("script x", Main::Script(0)),
            ("-eu script", Main::Script(1)),
            ("-o pipefail script", Main::Script(2)),
            ("-c code name", Main::Code(1)),
            ("-ec code", Main::Code(1)),
            ("--norc -c code", Main::Code(2)),
            ("-s argument", Main::Prompt),
            ("-i", Main::Prompt),
            ("", Main::Prompt),
        ] {
            assert_eq!(main(&Start::of_words(words)), expected, "{words}");
        }
    }

    #[test]
    fn scripts_name_each_other_in_several_ways() {
        let path = Path::new("/srv/app/hooks/setup-all.sh");
        for (text, expected) in [
            (". \"$(dirname \"$0\")/setup-all.sh\"", true),
            ("for f in hooks/*; do . $f; done", true),
            ("for f in \"$D\"/*.sh; do . $f; done", true),
            (". ./$name.sh", true),
            (". \"${name}\".sh", true),
            (". ./$prefix-all.sh", true),
            (". ./other.sh", false),
            ("for f in data/*; do cat $f; done", false),
            ("echo setup-all", false),
            ("", false),
        ] {
            assert_eq!(may_name(text, path), expected, "{text}");
        }
    }

    #[test]
    fn only_directories_of_one_program_are_taken() {
        for (path, expected) in [
            ("/usr/share/groovy", true),
            ("/usr/share/java/clojure.jar", true),
            ("/usr/share/java", false),
            ("/usr/share", false),
            ("/usr/lib/erlang", false),
            ("/usr/lib/jvm/java-17-openjdk-amd64", false),
            ("/etc", false),
            ("/etc/groovy/groovy.conf", true),
            ("/dev/null", false),
            ("/home/ann", false),
        ] {
            assert_eq!(of_a_program(Path::new(path)), expected, "{path}");
        }
    }
}
