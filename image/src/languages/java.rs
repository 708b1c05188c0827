//! Java: the runtime that the command `java` belongs to, and what the class path names.
//!
//! Of a runtime (`JAVA_HOME`) are taken `conf`, `release` and `lib`, without the sources (`src.zip`), what only the
//! compiler reads (`ct.sym`), and libraries whose own libraries are not installed, as those for windows mostly are. Debian's
//! keeps its settings in `/etc`, to which links lead.
//!
//! The application is what `-jar` and `-cp` name: jars, with those that the manifest of a jar names (`Class-Path`), and
//! directories. Without either it is the directory where the command is typed, as Java itself has it. Agents, argument
//! files and whatever else arguments name come too.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use super::application::{self, Application, Kind};
use super::gather::{self, Taken};
use super::{Basket, Rule, Start, prefix_of};
use crate::closure::{Closure, Loaded, Program};
use crate::error::Error;
use crate::tree::Found;

/// The rule for Java.
pub(super) struct Java;

const KIND: Kind = Kind {
    language: "java",
    extensions: &["java"],
    roots: &[],
    skipped: &[],
};

/// Options whose value is the next argument.
const WITH_VALUE: [&str; 14] = [
    "-cp",
    "-classpath",
    "--class-path",
    "-p",
    "--module-path",
    "--upgrade-module-path",
    "--add-modules",
    "--add-reads",
    "--add-exports",
    "--add-opens",
    "--limit-modules",
    "--patch-module",
    "-d",
    "--describe-module",
];

/// Those whose value is a list of places with classes.
const CLASSES: [&str; 5] = ["-cp", "-classpath", "--class-path", "-p", "--module-path"];

/// The library that holds the virtual machine. Others are linked with it, and it is not where the linker looks.
const MACHINE: &str = "lib/server/libjvm.so";

/// Largest manifest that is read, in bytes.
const MAXIMUM_MANIFEST: u64 = 1 << 20;

impl Rule for Java {
    fn name(&self) -> &'static str {
        KIND.language
    }

    fn applies(&self, program: &Program) -> bool {
        program.canonical.ends_with("bin/java")
    }

    fn collect(
        &self,
        program: &Program,
        start: &Start,
        basket: &mut Basket<'_, '_>,
    ) -> Result<(), Error> {
        let home = prefix_of(program);
        if let Some(loaded) = &program.loaded {
            take_runtime(home, loaded.clone(), start, basket)?;
        }
        if start.arguments.is_empty() {
            return Ok(());
        }
        take_agents(start, basket)?;
        let start = &with_files_of_arguments(start, basket.closure)?;
        let mut application = Application::default();
        let mut taken = Taken::default();
        let mut has_classes = false;
        let words = || {
            start
                .arguments
                .iter()
                .map(|argument| argument.to_string_lossy())
        };
        for (option, value) in words().zip(words().skip(1)) {
            if option == "-jar" {
                has_classes = true;
                take_jar(&start.directory.join(value.as_ref()), &mut taken, basket)?;
            } else if CLASSES.contains(&option.as_ref()) {
                has_classes = true;
                take_classes(&value, start, &mut taken, basket)?;
            }
        }
        if let Some(list) = start.variable("CLASSPATH") {
            has_classes = true;
            take_classes(&list.to_string_lossy(), start, &mut taken, basket)?;
        }
        if !taken.files.is_empty() {
            basket.uses_directory = true;
            application::note(&KIND, "took the class path", &taken, basket);
        }
        let main = start.positional(0, &WITH_VALUE);
        match main {
            Some(at) if start.text(at).ends_with(".java") => {
                application.take_script(&KIND, None, start, at, basket)?;
            }
            // `-version` and the like run no class.
            Some(at) if !has_classes && is_class(basket.closure, start, &start.text(at))? => {
                basket.uses_directory = true;
                application.take_directory(
                    &KIND,
                    program.loaded.as_ref(),
                    &start.directory,
                    basket,
                )?;
            }
            _ => {}
        }
        application.take_arguments(&KIND, start, 0, basket)
    }
}

/// The arguments with those of files in place of `@FILE` (java(1), "Using the JDK_JAVA_OPTIONS" and "java Command-Line
/// Argument Files"). Files of arguments may not name others.
fn with_files_of_arguments(start: &Start, closure: &Closure<'_>) -> Result<Start, Error> {
    let mut arguments = Vec::new();
    for argument in &start.arguments {
        match argument.to_string_lossy().strip_prefix('@') {
            Some(name) => {
                let text = gather::contents(closure, &start.directory.join(name))?;
                arguments.extend(arguments_in(&text).into_iter().map(Into::into));
            }
            None => arguments.push(argument.clone()),
        }
    }
    Ok(Start {
        arguments,
        ..start.clone()
    })
}

/// The arguments in a file: between white space, in quotes of either kind with it; `#` begins a comment.
fn arguments_in(text: &str) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut current: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(end), _) if character == end => quote = None,
            (Some(_), '\\') => match characters.next() {
                // A line goes on in the next one, without what that is indented by.
                Some('\n') => while characters.next_if(|next| next.is_whitespace()).is_some() {},
                Some(next) => current.get_or_insert_default().push(next),
                None => {}
            },
            (Some(_), _) => current.get_or_insert_default().push(character),
            (None, '"' | '\'') => {
                quote = Some(character);
                current.get_or_insert_default();
            }
            (None, '#') if current.is_none() => {
                while characters.next_if(|next| *next != '\n').is_some() {}
            }
            (None, _) if character.is_whitespace() => arguments.extend(current.take()),
            (None, _) => current.get_or_insert_default().push(character),
        }
    }
    arguments.extend(current);
    arguments
}

/// Whether a class lies below the directory where the program starts.
fn is_class(closure: &Closure<'_>, start: &Start, name: &str) -> Result<bool, Error> {
    let path = name.replace('.', "/") + ".class";
    gather::is_file(closure, &start.directory.join(path))
}

/// Takes the runtime.
fn take_runtime(
    home: &Path,
    mut loaded: Loaded,
    start: &Start,
    basket: &mut Basket<'_, '_>,
) -> Result<(), Error> {
    let machine = home.join(MACHINE);
    if !gather::is_file(basket.closure, &machine)? {
        return Ok(());
    }
    basket.closure.tree.import(&machine)?;
    basket.closure.open_library(&mut loaded, &machine)?;
    // Archives of classes for heaps beyond 32 GiB, where references take eight bytes.
    let wide = start
        .arguments
        .iter()
        .any(|argument| argument == "-XX:-UseCompressedOops");
    let mut taken = gather::file(basket.closure, None, &home.join("release"))?;
    for part in ["conf", "lib"] {
        taken.extend(gather::directory(
            basket.closure,
            Some(&loaded),
            &home.join(part),
            &mut |path, _| {
                let name = path
                    .file_name()
                    .and_then(|name| name.to_str())
                    .unwrap_or_default();
                !matches!(name, "src.zip" | "ct.sym") && (wide || !name.contains("nocoops"))
            },
        )?);
    }
    // A library for windows that can't be loaded would only take room; Java says itself that it is missing.
    let lacking = std::mem::take(&mut taken.lacking);
    for object in &lacking {
        let name = object.split(' ').next().unwrap_or_default();
        let path = home.join("lib").join(name);
        basket.closure.tree.remove(&path);
        taken.files.retain(|file| *file != path);
    }
    application::note(
        &KIND,
        &format!("took the runtime `{}`", home.display()),
        &taken,
        basket,
    );
    Ok(())
}

/// Takes a list of jars and directories; `DIRECTORY/*` stands for the jars in it.
fn take_classes(
    list: &str,
    start: &Start,
    taken: &mut Taken,
    basket: &mut Basket<'_, '_>,
) -> Result<(), Error> {
    for place in list.split(':').filter(|place| !place.is_empty()) {
        let path = start.directory.join(place);
        if path.ends_with("*") {
            let directory = path.parent().unwrap_or(Path::new("/"));
            for name in gather::names(basket.closure, directory)? {
                if name.to_ascii_lowercase().ends_with(".jar") {
                    take_jar(&directory.join(name), taken, basket)?;
                }
            }
        } else if let Found::Directory(_) = basket.closure.tree.find(&path)? {
            taken.extend(gather::either(basket.closure, None, &path)?);
        } else {
            take_jar(&path, taken, basket)?;
        }
    }
    Ok(())
}

/// Takes a jar and those that its manifest names.
pub(super) fn take_jar(
    path: &Path,
    taken: &mut Taken,
    basket: &mut Basket<'_, '_>,
) -> Result<(), Error> {
    let mut pending = vec![path.to_path_buf()];
    while let Some(path) = pending.pop() {
        let Found::File(jar) = basket.closure.tree.find(&path)? else {
            continue;
        };
        if taken.files.contains(&jar) {
            continue;
        }
        taken.extend(gather::file(basket.closure, None, &path)?);
        let directory = path.parent().unwrap_or(Path::new("/"));
        let manifest = manifest(&basket.closure.tree.host_path(&jar));
        pending.extend(class_path(&manifest).map(|name| directory.join(name)));
    }
    Ok(())
}

/// The manifest of a jar; empty if there is none, or if the file is no jar, which is Java's to tell.
fn manifest(jar: &Path) -> String {
    let mut text = String::new();
    let archive = File::open(jar).map(zip::ZipArchive::new);
    if let Ok(Ok(mut archive)) = archive
        && let Ok(entry) = archive.by_name("META-INF/MANIFEST.MF")
    {
        // What can't be read to the end, is used as far as it goes.
        let _ = entry.take(MAXIMUM_MANIFEST).read_to_string(&mut text);
    }
    text
}

/// The relative names in a manifest's `Class-Path`. A line that begins with a space continues the one before (JAR file
/// specification, "Notes on manifest and signature files").
fn class_path(manifest: &str) -> impl Iterator<Item = PathBuf> {
    let joined = manifest.replace("\r\n", "\n").replace("\n ", "");
    let list = joined
        .lines()
        .find_map(|line| line.strip_prefix("Class-Path:"))
        .unwrap_or_default()
        .to_owned();
    let names: Vec<PathBuf> = list
        .split_whitespace()
        .map(|name| PathBuf::from(name.strip_prefix("file:").unwrap_or(name)))
        .collect();
    names.into_iter()
}

/// Takes files of arguments (`@FILE`) and agents (`-javaagent:JAR=OPTIONS`).
fn take_agents(start: &Start, basket: &mut Basket<'_, '_>) -> Result<(), Error> {
    let mut taken = Taken::default();
    for argument in &start.arguments {
        let text = argument.to_string_lossy();
        let name = ["@", "-javaagent:", "-agentpath:"]
            .iter()
            .find_map(|prefix| text.strip_prefix(prefix));
        if let Some(name) = name {
            let path = start
                .directory
                .join(name.split('=').next().unwrap_or_default());
            take_jar(&path, &mut taken, basket)?;
        }
    }
    if !taken.files.is_empty() {
        basket.uses_directory = true;
        application::note(&KIND, "took agents and files of arguments", &taken, basket);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_paths_are_continued_in_the_next_line() {
        let manifest =
            "Manifest-Version: 1.0\r\nClass-Path: lib/a.jar li\r\n b/b.jar\r\nMain-Class: X\r\n";
        let paths: Vec<PathBuf> = class_path(manifest).collect();
        assert_eq!(
            paths,
            ["lib/a.jar", "lib/b.jar"].map(PathBuf::from).to_vec()
        );
        assert_eq!(class_path("Main-Class: X\n").count(), 0);
    }

    #[test]
    fn files_of_arguments_are_read() {
        let text = "-cp \"a b.jar\"  # comment\n'-Dx=\\\\y' \"one\\\n   two\" Main#x\n\"\"";
        assert_eq!(
            arguments_in(text),
            ["-cp", "a b.jar", "-Dx=\\y", "onetwo", "Main#x", ""]
        );
    }

    #[test]
    fn what_is_no_jar_has_no_manifest() {
        assert_eq!(manifest(Path::new("/bin/sh")), "");
    }
}
