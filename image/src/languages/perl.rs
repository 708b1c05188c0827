//! Perl: its own library, and the modules that the application uses.
//!
//! The library that belongs to Perl is taken whole, without documentation and what only compilers read: much of it is
//! loaded by need, such as the tables of Unicode and encodings. Of modules that were installed in addition, everything
//! below a first part of a name is taken (`LWP` for `LWP::UserAgent`) that is a word of the application's sources or of
//! modules that were taken. `PERL5LIB` and directories of `-I` are taken whole.

use std::path::{Path, PathBuf};

use super::application::{self, Application, Kind};
use super::gather::{self, Taken};
use super::{Basket, Rule, Start, is_called, prefix_of};
use crate::closure::{Closure, Loaded, Program};
use crate::error::Error;

/// The rule for Perl.
pub(super) struct Perl;

const KIND: Kind = Kind {
    language: "perl",
    extensions: &["pl", "pm", "t", "psgi", "cgi"],
    roots: &["cpanfile", "Makefile.PL", "Build.PL", "dist.ini"],
    skipped: &["blib"],
};

impl Rule for Perl {
    fn name(&self) -> &'static str {
        KIND.language
    }

    fn applies(&self, program: &Program) -> bool {
        is_called(program, "perl")
    }

    fn collect(
        &self,
        program: &Program,
        start: &Start,
        basket: &mut Basket<'_, '_>,
    ) -> Result<(), Error> {
        let loaded = program.loaded.as_ref();
        let prefix = prefix_of(program);
        let (own, installed) = libraries(basket.closure, prefix)?;
        let mut library = Taken::default();
        for directory in &own {
            library.extend(gather::directory(
                basket.closure,
                loaded,
                directory,
                &mut wanted,
            )?);
        }
        application::note(&KIND, "took the standard library", &library, basket);

        let mut application = Application::default();
        application.read_arguments(start);
        // `-e` may stand behind other letters: `-ne`.
        let is_code = |text: &str| {
            text.starts_with('-')
                && !text.starts_with("--")
                && !text.starts_with("-I")
                && !text.starts_with("-M")
                && !text.starts_with("-m")
                && text.ends_with(['e', 'E'])
        };
        let script = start.positional(0, &["-I"]);
        let code = start
            .arguments
            .iter()
            .take(script.unwrap_or(usize::MAX))
            .position(|argument| is_code(&argument.to_string_lossy()));
        let rest = match (code, script) {
            (Some(code), _) => code + 2,
            (None, Some(at)) => {
                application.take_script(&KIND, loaded, start, at, basket)?;
                at + 1
            }
            (None, None) => start.arguments.len(),
        };
        application.take_arguments(&KIND, start, rest, basket)?;
        let mut directories = start.included("PERL5LIB", false);
        directories.extend(pragmas(start));
        application::take_directories(&KIND, loaded, &directories, basket)?;
        take_shell(&application, start, basket)?;
        if start.arguments.is_empty() {
            return Ok(());
        }
        take_modules(&mut application, &installed, loaded, basket)
    }
}

/// The directories that `-Mlib=DIRECTORY` and `-Mlocal::lib=DIRECTORY` name.
fn pragmas(start: &Start) -> Vec<PathBuf> {
    let words = start.arguments.iter().map(|word| word.to_string_lossy());
    words
        .filter_map(|word| {
            let list = ["-Mlib=", "-Mlocal::lib="]
                .iter()
                .find_map(|option| word.strip_prefix(option))?;
            Some(
                list.split(',')
                    .map(|path| start.directory.join(path))
                    .collect::<Vec<_>>(),
            )
        })
        .flatten()
        .collect()
}

/// Takes the shell and `pwd` for the module `local::lib`, which asks them where it is.
fn take_shell(
    application: &Application,
    start: &Start,
    basket: &mut Basket<'_, '_>,
) -> Result<(), Error> {
    let names = |text: &str| text.contains("local::lib");
    let is_named = start
        .arguments
        .iter()
        .any(|word| names(&word.to_string_lossy()))
        || application.sources.iter().any(|source| {
            std::fs::read(source).is_ok_and(|text| names(&String::from_utf8_lossy(&text)))
        });
    if is_named {
        basket.uses_directory = true;
        for program in ["/bin/sh", "/bin/pwd"].map(Path::new) {
            if gather::is_file(basket.closure, program)? {
                basket.closure.add_program(program)?;
            }
        }
    }
    Ok(())
}

/// The directories of Perl's own library, and those of modules that were installed in addition.
fn libraries(closure: &Closure<'_>, prefix: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), Error> {
    let multiarch = prefix.join("lib/x86_64-linux-gnu");
    let mut own = vec![multiarch.join("perl-base")];
    let mut installed = vec![
        PathBuf::from("/etc/perl"),
        prefix.join("share/perl5"),
        PathBuf::from("/usr/local/lib/site_perl"),
    ];
    let versions = |parent: PathBuf| -> Result<Vec<PathBuf>, Error> {
        let names = gather::names(closure, &parent)?;
        Ok(names
            .iter()
            .filter(|name| name.starts_with(|first: char| first.is_ascii_digit()))
            .map(|name| parent.join(name))
            .collect())
    };
    // Debian's layout, and that of Perl built from source.
    own.extend(versions(prefix.join("share/perl"))?);
    own.extend(versions(multiarch.join("perl"))?);
    if own.len() == 1 {
        own.extend(["lib/perl5", "lib64/perl5"].map(|path| prefix.join(path)));
    }
    for parent in [
        multiarch.join("perl5"),
        PathBuf::from("/usr/local/share/perl"),
        PathBuf::from("/usr/local/lib/x86_64-linux-gnu/perl"),
    ] {
        installed.extend(versions(parent)?);
    }
    Ok((own, installed))
}

/// Whether a file of the library is of use when a program runs.
fn wanted(path: &Path, is_directory: bool) -> bool {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    if is_directory {
        return name != "CORE" && name != "pod";
    }
    let ending = path.extension().and_then(|ending| ending.to_str());
    !matches!(ending, Some("pod" | "h" | "a" | "ld")) && name != ".packlist"
}

/// Takes installed modules by the first parts of their names.
fn take_modules(
    application: &mut Application,
    directories: &[PathBuf],
    loaded: Option<&Loaded>,
    basket: &mut Basket<'_, '_>,
) -> Result<(), Error> {
    let mut left = Vec::new();
    for directory in directories {
        for name in gather::names(basket.closure, directory)? {
            left.push((directory.clone(), name));
        }
    }
    let mut taken = Taken::default();
    let mut names = Vec::new();
    loop {
        let before = left.len();
        let (named, rest): (Vec<_>, Vec<_>) = left
            .into_iter()
            .partition(|(_, name)| application.words.contains(name.trim_end_matches(".pm")));
        left = rest;
        for (directory, name) in named {
            let path = directory.join(&name);
            let part = gather::either(basket.closure, loaded, &path)?;
            for file in &part.files {
                application
                    .words
                    .add(&gather::contents(basket.closure, file)?);
            }
            // What is compiled lies apart, under the same name.
            let first = name.trim_end_matches(".pm").to_owned();
            let compiled = directory.join("auto").join(&first);
            taken.extend(gather::either(basket.closure, loaded, &compiled)?);
            taken.extend(part);
            names.push(first);
        }
        if left.len() == before {
            break;
        }
    }
    if !names.is_empty() {
        names.sort_unstable();
        names.dedup();
        let what = format!("took the installed modules {}", names.join(", "));
        application::note(&KIND, &what, &taken, basket);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_only_for_people_and_compilers_is_left_out() {
        for (path, is_directory, expected) in [
            ("/x/POSIX.pm", false, true),
            ("/x/POSIX.pod", false, false),
            ("/x/CORE", true, false),
            ("/x/unicore", true, true),
            ("/x/auto/re/re.so", false, true),
        ] {
            assert_eq!(wanted(Path::new(path), is_directory), expected, "{path}");
        }
    }
}
