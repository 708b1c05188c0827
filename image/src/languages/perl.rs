//! Perl: its own library, and the modules that the application uses.
//!
//! Modules are taken that the application names, and that these name (`perl_modules.rs`); without documentation and what
//! only compilers read. Where the application puts names together at run time, all of Perl's own library is taken, and of
//! modules that were installed in addition everything below a first part of a name (`LWP` for `LWP::UserAgent`) that is a
//! word of the application's sources or of modules that were taken. `PERL5LIB` and directories of `-I` are taken whole.

use std::collections::HashSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::application::{self, Application, Kind};
use super::gather::{self, Taken};
use super::perl_modules::{self, Names};
use super::{Basket, Rule, Start, is_called, prefix_of};
use crate::closure::{Closure, Loaded, Program};
use crate::error::Error;
use crate::tree::{Content, Found};

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
        let mut names = Names::default();
        // What is given by standard input, or to the debugger, nobody has read. Commands of Perl's own may load anything.
        let is_debugger = |word: &OsString| word.as_bytes().starts_with(b"-d");
        names.unknown = (code, script) == (None, None)
            || start.arguments.iter().any(is_debugger)
            || start
                .arguments
                .iter()
                .any(|word| word.as_bytes().starts_with(b"-MO="));
        for argument in &start.arguments {
            let text = argument.to_string_lossy();
            let module = ["-M", "-m"]
                .iter()
                .find_map(|option| text.strip_prefix(option));
            names.add(&format!("use {}", module.unwrap_or(&text)));
            application.words.add(module.unwrap_or_default());
        }
        for source in &application.sources {
            let text = std::fs::read(source).unwrap_or_default();
            names.add(&String::from_utf8_lossy(&text));
        }
        for directory in &directories {
            add_directory(&mut names, directory, basket.closure);
        }
        if !names.unknown {
            return take_named(&own, &installed, loaded, names, basket);
        }
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
        if start.arguments.is_empty() {
            return Ok(());
        }
        take_modules(&mut application, &installed, loaded, basket)
    }
}

/// Adds the names in all modules of a directory, which was taken whole.
fn add_directory(names: &mut Names, directory: &Path, closure: &Closure<'_>) {
    let Ok(Found::Directory(canonical)) = closure.tree.find(directory) else {
        return;
    };
    for (path, node) in closure.tree.iter() {
        if let Content::Host(file) = &node.content
            && path.starts_with(&canonical)
            && KIND.is_source(path)
        {
            let text = std::fs::read(&file.path).unwrap_or_default();
            names.add(&String::from_utf8_lossy(&text));
        }
    }
}

/// Takes the modules that are named, of Perl's own library and of those that were installed, and what they name. One
/// that puts names together brings all that lies below its own, or, if it was installed, below the first part of that; and so
/// does an installed one that uses such a one: Mojolicious has Mojo::Loader load its parts.
fn take_named(
    own: &[PathBuf],
    installed: &[PathBuf],
    loaded: Option<&Loaded>,
    mut names: Names,
    basket: &mut Basket<'_, '_>,
) -> Result<(), Error> {
    let mut left = Vec::new();
    let mut seen = HashSet::new();
    for directory in own.iter().chain(installed) {
        // Debian's directory for a version is a link to another.
        if let Found::Directory(canonical) = basket.closure.tree.import(directory)?
            && seen.insert(canonical.clone())
        {
            modules_below(&canonical, "", basket.closure, &mut left)?;
        }
    }
    let is_own = |directory: &Path, closure: &Closure<'_>| {
        let is_it = |own: &PathBuf| matches!(closure.tree.find(own), Ok(Found::Directory(canonical)) if canonical == directory);
        own.iter().any(is_it)
    };
    let mut library = Taken::default();
    let mut whole = HashSet::new();
    // Installed modules that put names together, and what others use with the first parts of those.
    let (mut loaders, mut uses) = (HashSet::new(), Vec::new());
    loop {
        let is_named = |file: &str| {
            names.has(file) || whole.iter().any(|whole: &String| file.starts_with(whole))
        };
        let (named, rest): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|(_, file)| is_named(file));
        left = rest;
        if named.is_empty() {
            break;
        }
        for (directory, file) in named {
            let path = directory.join(&file);
            // It names every module that this Perl was built with.
            if !file.starts_with("Config") {
                let text = gather::contents(basket.closure, &path)?;
                let parts = file.trim_end_matches(".pm");
                let brings = match (parts.split_once('/'), is_own(&directory, basket.closure)) {
                    // `base` and the like load what their callers name.
                    (None, true) => None,
                    (Some(_), true) => Some(parts),
                    (Some((first, _)), false) => Some(first),
                    (None, false) => Some(parts),
                };
                let is_loader = names.add_module(&text);
                if !is_own(&directory, basket.closure) {
                    let first = parts.split('/').next().unwrap_or(parts);
                    let used = perl_modules::used(&text).map(str::to_owned);
                    uses.push((format!("{first}/"), used.collect::<Vec<_>>()));
                    if is_loader {
                        loaders.insert(parts.replace('/', "::"));
                    }
                }
                if is_loader {
                    whole.extend(brings.map(|parts| format!("{parts}/")));
                }
            }
            library.extend(gather::file(basket.closure, loaded, &path)?);
            // What is compiled, and functions that are loaded by need, lie apart.
            let apart = directory.join("auto").join(file.trim_end_matches(".pm"));
            library.extend(gather::directory(
                basket.closure,
                loaded,
                &apart,
                &mut |path, is_directory| !is_directory && wanted(path, false),
            )?);
        }
        let has_loader = |used: &[String]| used.iter().any(|module| loaders.contains(module));
        let users = uses.iter().filter(|(_, used)| has_loader(used));
        whole.extend(users.map(|(below, _)| below.clone()));
    }
    application::note(&KIND, "took the modules that are used", &library, basket);
    Ok(())
}

/// The modules and other files with code below a directory of the library, as paths from that.
fn modules_below(
    directory: &Path,
    below: &str,
    closure: &Closure<'_>,
    modules: &mut Vec<(PathBuf, String)>,
) -> Result<(), Error> {
    for name in gather::names(closure, &directory.join(below))? {
        let file = match below {
            "" => name.clone(),
            _ => format!("{below}/{name}"),
        };
        let path = directory.join(&file);
        let is_directory = matches!(closure.tree.find(&path)?, Found::Directory(_));
        if !wanted(&path, is_directory) || file == "auto" {
            continue;
        }
        match is_directory {
            true => modules_below(directory, &file, closure, modules)?,
            false => modules.push((directory.to_path_buf(), file)),
        }
    }
    Ok(())
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
