//! Ruby: the standard library, and the gems that the application names.
//!
//! The standard library (`lib/ruby` beside the interpreter, with the gems that belong to Ruby) is taken whole. Of gems
//! that were installed in addition, those are taken whose names stand in the application's sources, its `Gemfile` or
//! `Gemfile.lock`, and the ones that their specifications require. `RUBYLIB` and directories of `-I` are taken whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::application::{self, Application, Kind};
use super::gather::{self, Taken};
use super::words::Words;
use super::{Basket, Rule, Start, is_called, prefix_of, version_behind};
use crate::closure::{Closure, Program};
use crate::error::Error;
use crate::tree::Found;

/// The rule for Ruby.
pub(super) struct Ruby;

const KIND: Kind = Kind {
    language: "ruby",
    extensions: &["rb", "ru", "rake", "gemspec", "erb", "yml"],
    roots: &[
        "Gemfile",
        "Gemfile.lock",
        "gems.rb",
        "config.ru",
        "Rakefile",
        "_config.yml",
    ],
    skipped: &["log", "tmp"],
};

/// Where Debian's packages of gems are described, in directories for versions of Ruby and for `all`. They are taken whole,
/// and require gems in turn that are not.
const DEBIAN: [&str; 2] = [
    "/usr/share/rubygems-integration",
    "/usr/lib/x86_64-linux-gnu/rubygems-integration",
];

/// Options whose value is the next argument.
const WITH_VALUE: [&str; 5] = ["-I", "-r", "-C", "-E", "-S"];

impl Rule for Ruby {
    fn name(&self) -> &'static str {
        KIND.language
    }

    fn applies(&self, program: &Program) -> bool {
        is_called(program, "ruby")
    }

    fn collect(
        &self,
        program: &Program,
        start: &Start,
        basket: &mut Basket<'_, '_>,
    ) -> Result<(), Error> {
        let loaded = program.loaded.as_ref();
        let prefix = prefix_of(program);
        let mut library = Taken::default();
        let own = ["lib/ruby", "lib/x86_64-linux-gnu/ruby"].map(|path| prefix.join(path));
        let common = DEBIAN.into_iter().chain(["/usr/local/lib/site_ruby"]);
        for path in own.into_iter().chain(common.map(PathBuf::from)) {
            library.extend(gather::directory(
                basket.closure,
                loaded,
                &path,
                &mut |path, is_directory| of_use(path, is_directory) && !is_of_installed_gem(path),
            )?);
        }
        application::note(&KIND, "took the standard library", &library, basket);

        let mut application = Application::default();
        application.read_arguments(start);
        let code = start.arguments.iter().position(|argument| argument == "-e");
        let script = start.positional(0, &WITH_VALUE);
        let rest = match (code, script) {
            (Some(code), script) if script.is_none_or(|script| code < script) => code + 2,
            (_, Some(at)) => {
                application.take_script(&KIND, loaded, start, at, basket)?;
                // A command such as `rackup` or `puma` works on the project where it is started.
                application.take_project(&KIND, loaded, start, KIND.roots, basket)?;
                if start.text(at + 1) == "exec" {
                    take_executed(start, at + 2, basket)?;
                }
                at + 1
            }
            _ => start.arguments.len(),
        };
        application.take_arguments(&KIND, start, rest, basket)?;
        application::take_directories(&KIND, loaded, &start.included("RUBYLIB", true), basket)?;
        if start.arguments.is_empty() {
            return Ok(());
        }
        let mut homes = start.directories("GEM_HOME");
        homes.extend(start.directories("GEM_PATH"));
        let version = version(basket.closure, prefix, &program.canonical)?;
        if let Some(version) = &version {
            homes.push(Path::new("/var/lib/gems").join(version));
            homes.push(Path::new("/usr/local/lib/ruby/gems").join(version));
            homes.push(prefix.join("lib/ruby/gems").join(version));
            if let Some(home) = start.variable("HOME") {
                homes.push(Path::new(&home).join(".local/share/gem/ruby").join(version));
            }
            let debian = DEBIAN.map(Path::new);
            homes.extend(debian.map(|path| path.join(version)));
            homes.extend(debian.map(|path| path.join("all")));
        }
        take_gems(&application.words, &homes, program, basket)
    }
}

/// Takes the program that `bundle exec` starts, and what that needs, if it is none of the project's gems.
fn take_executed(start: &Start, at: usize, basket: &mut Basket<'_, '_>) -> Result<(), Error> {
    let Some(name) = start.arguments.get(at) else {
        return Ok(());
    };
    let list = start.variable("PATH").unwrap_or_default();
    // Of gems, Bundler knows the commands.
    if let Ok(path) = basket.closure.find_in_path(name, &list, &start.directory) {
        let chain = basket.closure.add_program(&path)?;
        basket.start(chain, start);
    }
    Ok(())
}

/// Whether a file of Ruby's directories is of use when a program runs.
fn of_use(path: &Path, is_directory: bool) -> bool {
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    match is_directory {
        true => !matches!(name, "ri" | "rdoc" | "cache" | "doc"),
        false => !matches!(
            path.extension().and_then(|end| end.to_str()),
            Some("a" | "o" | "h" | "ri")
        ),
    }
}

/// Whether a file or directory is a gem's that was installed in addition: `ruby/gems/X.Y.0/gems/NAME`, its specification
/// or its extension. A specification without its gem would have Ruby complain.
fn is_of_installed_gem(path: &Path) -> bool {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_owned();
    let mut above = path.ancestors().skip(1);
    let (Some(kind), Some(_version), Some(gems)) = (above.next(), above.next(), above.next())
    else {
        return false;
    };
    let kind = name(kind);
    gems.ends_with("ruby/gems")
        && (kind == "gems"
            || kind == "extensions"
            || kind == "specifications" && name(path) != "default")
}

/// The version of the library: `3.1.0`.
fn version(closure: &Closure<'_>, prefix: &Path, program: &Path) -> Result<Option<String>, Error> {
    let wanted = version_behind(program, "ruby").unwrap_or_default();
    let names = gather::names(closure, &prefix.join("lib/ruby"))?;
    Ok(names.into_iter().rfind(|name| {
        name.starts_with(|first: char| first.is_ascii_digit()) && name.starts_with(wanted)
    }))
}

/// Takes gems that words name, and those that they require.
fn take_gems(
    words: &Words,
    homes: &[PathBuf],
    program: &Program,
    basket: &mut Basket<'_, '_>,
) -> Result<(), Error> {
    // By name: every version, with its home and the name with the version.
    let mut installed: BTreeMap<String, Vec<(PathBuf, String)>> = BTreeMap::new();
    for home in homes {
        // A home that belongs to somebody else may not be looked into.
        if !matches!(basket.closure.tree.find(home), Ok(Found::Directory(_))) {
            continue;
        }
        for file in gather::names(basket.closure, &home.join("specifications"))? {
            if let Some((full, name)) = gem_of_specification(&file) {
                let entry = installed.entry(name.to_owned()).or_default();
                entry.push((home.clone(), full.to_owned()));
            }
        }
    }
    let is_named = |name: &str| {
        words.contains(name)
            // `rack-protection` is required as `rack/protection`.
            || name.contains('-') && name.split('-').all(|part| words.contains(part))
    };
    let named = installed.keys().filter(|name| is_named(name));
    let mut wanted: Vec<String> = named.cloned().collect();
    let mut taken = Taken::default();
    let mut names = Vec::new();
    while let Some(name) = wanted.pop() {
        for (home, full) in installed.remove(&name).unwrap_or_default() {
            let specification = home.join("specifications").join(format!("{full}.gemspec"));
            let text = gather::contents(basket.closure, &specification)?;
            wanted.extend(dependencies(&text).map(str::to_owned));
            if DEBIAN.iter().any(|debian| home.starts_with(debian)) {
                continue;
            }
            let loaded = program.loaded.as_ref();
            taken.extend(gather::file(basket.closure, None, &specification)?);
            taken.extend(gather::directory(
                basket.closure,
                loaded,
                &home.join("gems").join(&full),
                &mut of_use,
            )?);
            for platform in gather::names(basket.closure, &home.join("extensions"))? {
                for version in
                    gather::names(basket.closure, &home.join("extensions").join(&platform))?
                {
                    let extension = home
                        .join("extensions")
                        .join(&platform)
                        .join(version)
                        .join(&full);
                    taken.extend(gather::directory(
                        basket.closure,
                        loaded,
                        &extension,
                        &mut |_, _| true,
                    )?);
                }
            }
            names.push(full);
        }
    }
    if !names.is_empty() {
        names.sort_unstable();
        let what = format!("took the gems {}", names.join(", "));
        application::note(&KIND, &what, &taken, basket);
    }
    Ok(())
}

/// `(NAME-VERSION, NAME)` of `NAME-VERSION.gemspec`; a platform may stand behind the version.
fn gem_of_specification(file: &str) -> Option<(&str, &str)> {
    let full = file.strip_suffix(".gemspec")?;
    let dash = full
        .match_indices('-')
        .find(|(at, _)| full[at + 1..].starts_with(|first: char| first.is_ascii_digit()))?
        .0;
    Some((full, &full[..dash]))
}

/// The gems that a specification requires at run time.
fn dependencies(specification: &str) -> impl Iterator<Item = &str> {
    specification
        .lines()
        .filter(|line| line.contains("add_runtime_dependency") || line.contains("add_dependency"))
        .filter_map(|line| {
            let start = line.find(['<', '"', '\''])? + 1;
            let end = line[start..].find(['>', '"', '\''])?;
            Some(&line[start..start + end])
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifications_are_understood() {
        assert_eq!(
            gem_of_specification("rack-protection-3.0.5.gemspec"),
            Some(("rack-protection-3.0.5", "rack-protection"))
        );
        assert_eq!(
            gem_of_specification("nokogiri-1.15.0-x86_64-linux.gemspec"),
            Some(("nokogiri-1.15.0-x86_64-linux", "nokogiri"))
        );
        assert_eq!(gem_of_specification("default"), None);
        let text = "s.add_runtime_dependency(%q<rack>.freeze, [\"~> 2\"])\ns.add_development_dependency(%q<rspec>)\n  s.add_dependency 'tilt', '~> 2'\n";
        assert_eq!(dependencies(text).collect::<Vec<_>>(), ["rack", "tilt"]);
    }

    #[test]
    fn installed_gems_are_told_from_the_library() {
        for (path, expected) in [
            ("/usr/lib/ruby/gems/3.1.0/gems/rake-13.0", true),
            (
                "/usr/lib/ruby/gems/3.1.0/specifications/rake-13.0.gemspec",
                true,
            ),
            ("/usr/lib/ruby/gems/3.1.0/specifications/default", false),
            (
                "/usr/lib/ruby/gems/3.1.0/specifications/default/json-2.6.gemspec",
                false,
            ),
            ("/usr/lib/ruby/3.1.0/rubygems/specification.rb", false),
        ] {
            assert_eq!(is_of_installed_gem(Path::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn what_is_only_for_people_and_compilers_is_left_out() {
        assert!(!of_use(Path::new("/x/ri"), true));
        assert!(!of_use(Path::new("/x/ruby.h"), false));
        assert!(of_use(Path::new("/x/set.rb"), false));
    }
}
