//! Node.js: the project of the script, and of `node_modules` what it needs.
//!
//! A package is taken whole if `package.json` of the project, or of a package that was taken, has it among its
//! `dependencies`, `optionalDependencies` or `peerDependencies`, or if a source of the project has its name in it, as in
//! `require("NAME/part")` or a configuration. So tools for development stay out. A package is looked for as Node does:
//! in `node_modules` beside the one that wants it, and in those of the directories above; then in `NODE_PATH`.
//!
//! Debian's Node has some of its own modules, and all packages of Debian, in `/usr/share/nodejs`: of these it takes the
//! ones that `libnode.so` names.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::application::{self, Application, Kind};
use super::gather::{self, Taken};
use super::{Basket, Rule, Start};
use crate::closure::{Closure, Program};
use crate::error::Error;
use crate::program::Format;
use crate::tree::Found;

/// The rule for Node.js.
pub(super) struct Node;

const KIND: Kind = Kind {
    language: "node",
    extensions: &["js", "mjs", "cjs", "ts", "mts", "cts", "jsx", "tsx", "json"],
    roots: &["package.json"],
    skipped: &["node_modules"],
};

/// Options whose value is the next argument.
const WITH_VALUE: [&str; 14] = [
    "-r",
    "--require",
    "--import",
    "--loader",
    "--experimental-loader",
    "-C",
    "--conditions",
    "--title",
    "--input-type",
    "--env-file",
    "--icu-data-dir",
    "--openssl-config",
    "--stack-trace-limit",
    "--watch-path",
];

/// Options behind which code stands.
const CODE: [&str; 5] = ["-e", "--eval", "-p", "--print", "-pe"];

/// Packages that have a shell run what `package.json` says.
const PACKAGE_MANAGERS: [&str; 3] = ["npm", "pnpm", "yarn"];

/// The shell that these run.
const SHELL: &str = "/bin/sh";

/// Where Debian keeps modules.
const DEBIAN: &str = "/usr/share/nodejs";

impl Rule for Node {
    fn name(&self) -> &'static str {
        KIND.language
    }

    fn applies(&self, program: &Program) -> bool {
        let name = program.canonical.file_name().unwrap_or_default();
        matches!(program.format, Format::Elf(_)) && (name == "node" || name == "nodejs")
    }

    fn collect(
        &self,
        program: &Program,
        start: &Start,
        basket: &mut Basket<'_, '_>,
    ) -> Result<(), Error> {
        let loaded = program.loaded.as_ref();
        take_own_modules(program, basket)?;
        let mut application = Application::default();
        let code = start
            .arguments
            .iter()
            .position(|argument| CODE.iter().any(|option| argument == *option));
        let script = start.positional(0, &WITH_VALUE);
        let rest = match (code, script) {
            (Some(code), script) if script.is_none_or(|script| code < script) => code + 2,
            (_, Some(at)) => {
                let resolved = resolved(basket.closure, &start.directory, &start.text(at))?;
                let mut start = start.clone();
                if let Some(path) = resolved {
                    basket.uses_directory |= Path::new(&start.arguments[at]).is_relative();
                    start.arguments[at] = path.into_os_string();
                }
                application.take_script(&KIND, loaded, &start, at, basket)?;
                at + 1
            }
            _ => start.arguments.len(),
        };
        application.take_arguments(&KIND, start, rest, basket)?;

        let mut packages = Packages::new(start);
        if let Some((name, directory)) = script
            .filter(|at| at + 1 == rest)
            .map(|at| command_package(basket.closure, start, at))
            .transpose()?
            .flatten()
        {
            if PACKAGE_MANAGERS.contains(&name.as_str()) {
                application.take_project(&KIND, loaded, start, KIND.roots, basket)?;
                take_scripts(start, rest, basket)?;
            }
            packages.want(&name, &directory);
        }
        for argument in &start.arguments {
            packages.want_named(&argument.to_string_lossy(), &start.directory);
        }
        for source in &application.sources {
            let text = std::fs::read(source).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let directory = source.parent().unwrap_or(Path::new("/"));
            let name = source.file_name().and_then(|name| name.to_str());
            match name.unwrap_or_default() {
                "package.json" => packages.want_required(&text, directory),
                // They name every package, or the tools of those who develop.
                "package-lock.json" | "npm-shrinkwrap.json" | "tsconfig.json" => {}
                _ => packages.want_named(&text, directory),
            }
        }
        packages.take(program, basket)
    }
}

/// Has the rules look at the scripts of the project's `package.json` that the arguments from `from` on name, with those that
/// come before and after (npm-run-script(1)). They are run by a shell that looks for commands in `node_modules/.bin` first.
fn take_scripts(start: &Start, from: usize, basket: &mut Basket<'_, '_>) -> Result<(), Error> {
    let json = gather::contents(basket.closure, &start.directory.join("package.json"))?;
    let package = serde_json::from_str::<serde_json::Value>(&json).unwrap_or_default();
    let script = |name: &str| package.get("scripts")?.get(name)?.as_str();
    let mut path = start
        .directory
        .join("node_modules/.bin")
        .into_os_string()
        .into_encoded_bytes();
    let list = start.variable("PATH").unwrap_or_default();
    path.push(b':');
    path.extend(list.as_encoded_bytes());
    for argument in start.arguments.iter().skip(from) {
        let name = argument.to_string_lossy();
        let around = [
            format!("pre{name}"),
            name.to_string(),
            format!("post{name}"),
        ];
        for code in around.iter().filter_map(|name| script(name)) {
            let chain = basket.closure.add_program(Path::new(SHELL))?;
            let started = Start {
                arguments: ["-c", code].map(Into::into).to_vec(),
                environment: [[b"PATH=", path.as_slice()].concat()]
                    .into_iter()
                    .chain(start.environment.iter().cloned())
                    .collect(),
                ..start.clone()
            };
            basket.uses_directory = true;
            basket.start_with(chain, started);
        }
    }
    Ok(())
}

/// Takes the modules that this Node does not have inside.
fn take_own_modules(program: &Program, basket: &mut Basket<'_, '_>) -> Result<(), Error> {
    let Some(library) = program
        .loaded
        .iter()
        .flat_map(|loaded| loaded.libraries())
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("libnode.so"))
        })
    else {
        return Ok(());
    };
    let bytes = std::fs::read(library).map_err(Error::unreadable(library))?;
    let mut names = own_modules(&bytes);
    if names.is_empty() {
        names = gather::names(basket.closure, Path::new(DEBIAN))?;
    }
    let mut taken = Taken::default();
    for name in names {
        let path = Path::new(DEBIAN).join(name);
        taken.extend(gather::either(basket.closure, None, &path)?);
    }
    if !taken.files.is_empty() {
        application::note(
            &KIND,
            &format!("took Node's own modules of `{DEBIAN}`"),
            &taken,
            basket,
        );
    }
    Ok(())
}

/// The modules of Debian's directory that a library names.
fn own_modules(library: &[u8]) -> Vec<String> {
    let prefix = format!("{DEBIAN}/");
    let mut names: Vec<String> = library
        .windows(prefix.len())
        .enumerate()
        .filter(|(_, window)| *window == prefix.as_bytes())
        .filter_map(|(at, _)| {
            let rest = &library[at + prefix.len()..];
            let end = rest.iter().position(|byte| !is_of_name(*byte))?;
            let name = std::str::from_utf8(&rest[..end]).ok()?;
            (!name.is_empty()).then(|| name.to_owned())
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

/// The file that Node runs for a name on its command line: the file, the same with an ending, or the main file of a
/// directory.
fn resolved(closure: &Closure<'_>, directory: &Path, name: &str) -> Result<Option<PathBuf>, Error> {
    let path = directory.join(name);
    for ending in ["", ".js", ".json", ".node", ".cjs", ".mjs"] {
        let candidate = PathBuf::from(format!("{}{ending}", path.display()));
        if gather::is_file(closure, &candidate)? {
            return Ok(Some(candidate));
        }
    }
    let text = gather::contents(closure, &path.join("package.json"))?;
    let main = serde_json::from_str::<serde_json::Value>(&text)
        .ok()
        .and_then(|package| package.get("main")?.as_str().map(str::to_owned));
    for name in main.iter().map(String::as_str).chain(["index"]) {
        for ending in ["", ".js", ".json", "/index.js"] {
            let candidate = path.join(format!("{name}{ending}"));
            if gather::is_file(closure, &candidate)? {
                return Ok(Some(candidate));
            }
        }
    }
    Ok(None)
}

/// The package that a command such as `/usr/bin/tsc` or `node_modules/.bin/tsc` is a link into, and the directory with
/// `node_modules` in which it is looked for.
fn command_package(
    closure: &Closure<'_>,
    start: &Start,
    at: usize,
) -> Result<Option<(String, PathBuf)>, Error> {
    let path = start.directory.join(&start.arguments[at]);
    Ok(match closure.tree.find(&path)? {
        Found::File(script) => package_of(&script),
        _ => None,
    })
}

/// The package that a file is part of, and the directory with `node_modules` in which it is looked for.
fn package_of(file: &Path) -> Option<(String, PathBuf)> {
    let modules = file
        .ancestors()
        .find(|directory| *directory == Path::new(DEBIAN) || directory.ends_with("node_modules"))?;
    let name = package_name(file.strip_prefix(modules).ok()?.to_str()?)?;
    Some((name.to_owned(), modules.parent()?.to_path_buf()))
}

/// The packages that a project needs.
struct Packages {
    /// Names, and the directory of what wants them.
    wanted: Vec<(String, PathBuf)>,
    seen: HashSet<(String, PathBuf)>,
    /// `NODE_PATH`.
    named: Vec<PathBuf>,
}

impl Packages {
    fn new(start: &Start) -> Self {
        let mut named = start.directories("NODE_PATH");
        named.push(DEBIAN.into());
        Self {
            wanted: Vec::new(),
            seen: HashSet::new(),
            named,
        }
    }

    fn want(&mut self, name: &str, directory: &Path) {
        let entry = (name.to_owned(), directory.to_path_buf());
        if self.seen.insert(entry.clone()) {
            self.wanted.push(entry);
        }
    }

    /// Wants every package that a text may name.
    fn want_named(&mut self, text: &str, directory: &Path) {
        let names: HashSet<&str> = package_names(text).collect();
        for name in names {
            self.want(name, directory);
        }
    }

    /// Wants what a `package.json` says that the package requires.
    fn want_required(&mut self, json: &str, directory: &Path) {
        let Ok(package) = serde_json::from_str::<serde_json::Value>(json) else {
            return;
        };
        for key in ["dependencies", "optionalDependencies", "peerDependencies"] {
            let list = package.get(key).and_then(serde_json::Value::as_object);
            for name in list.into_iter().flat_map(serde_json::Map::keys) {
                self.want(name, directory);
            }
        }
    }

    /// Takes what is wanted, and what that wants.
    fn take(mut self, program: &Program, basket: &mut Basket<'_, '_>) -> Result<(), Error> {
        let mut taken = Taken::default();
        let mut done = HashSet::new();
        while let Some((name, wanted_in)) = self.wanted.pop() {
            let places: Vec<PathBuf> = wanted_in
                .ancestors()
                .filter(|directory| !directory.ends_with("node_modules"))
                .map(|directory| directory.join("node_modules"))
                .chain(self.named.iter().cloned())
                .map(|modules| modules.join(&name))
                .collect();
            for path in places {
                // Paths made of words of a source may be anything.
                let Ok(Found::Directory(directory)) = basket.closure.tree.find(&path) else {
                    continue;
                };
                if !done.insert(directory.clone()) {
                    // Two links may lead to one package.
                    basket.closure.tree.import(&path)?;
                    break;
                }
                let loaded = program.loaded.as_ref();
                taken.extend(gather::directory(
                    basket.closure,
                    loaded,
                    &path,
                    &mut |path, is_directory| !(is_directory && path.ends_with("node_modules")),
                )?);
                let json = gather::contents(basket.closure, &directory.join("package.json"))?;
                self.want_required(&json, &directory);
                break;
            }
        }
        if !done.is_empty() {
            let what = format!("took {} packages", done.len());
            application::note(&KIND, &what, &taken, basket);
        }
        Ok(())
    }
}

/// What may be names of packages in a text: `NAME` or `@SCOPE/NAME`, the start of each run of such characters.
fn package_names(text: &str) -> impl Iterator<Item = &str> {
    let of_name = |character: char| {
        character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.' | '/' | '@')
    };
    text.split(move |character| !of_name(character))
        .filter_map(package_name)
}

/// The package of a path such as `@scope/name/part`.
fn package_name(path: &str) -> Option<&str> {
    let parts = if path.starts_with('@') { 2 } else { 1 };
    let end = path
        .match_indices('/')
        .nth(parts - 1)
        .map_or(path.len(), |(at, _)| at);
    let name = &path[..end];
    let is_whole = parts == 1 || name.contains('/');
    let is_name = !name.is_empty() && !name.starts_with(['.', '-', '/']) && name.len() <= 214;
    (is_whole && is_name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_named_in_sources() {
        let names: Vec<&str> = package_names(
            "const a = require('express'); import b from \"@scope/name/part\"; './own' lodash/fp",
        )
        .collect();
        for name in ["express", "@scope/name", "lodash"] {
            assert!(names.contains(&name), "{name}: {names:?}");
        }
        assert!(!names.iter().any(|name| name.starts_with('.')));
        assert_eq!(package_name("@scope"), None);
        assert_eq!(package_name("/absolute"), None);
    }

    #[test]
    fn commands_are_part_of_packages() {
        for (file, name, directory) in [
            (
                "/usr/share/nodejs/typescript/bin/tsc",
                "typescript",
                "/usr/share",
            ),
            ("/app/node_modules/@scope/name/x.js", "@scope/name", "/app"),
            (
                "/app/node_modules/a/node_modules/b/c",
                "b",
                "/app/node_modules/a",
            ),
        ] {
            let package = Some((name.to_owned(), PathBuf::from(directory)));
            assert_eq!(package_of(Path::new(file)), package);
        }
        assert_eq!(package_of(Path::new("/app/node_modules/.bin/tsc")), None);
        assert_eq!(package_of(Path::new("/app/bin/tsc")), None);
    }

    #[test]
    fn the_library_of_node_names_its_modules() {
        let library = b"\0/usr/share/nodejs/acorn/dist/acorn.js\0/usr/share/nodejs/undici/undici.js\0/usr/share/nodejs/acorn/x\0/usr/share/nodejs/\0";
        assert_eq!(own_modules(library), ["acorn", "undici"]);
    }
}
