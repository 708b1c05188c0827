//! Gems and modules of Ruby that were installed in addition to its standard library, by `gem` or as packages of Debian.
//!
//! A **gem** is taken if the application names it (any word of its sources, of `Gemfile` or `Gemfile.lock`), if the application
//! requires a file that lies at the top of the gem's library (`active_record` of the gem `activerecord`), or if the
//! specification of a gem that was taken requires it. Debian's packages put some libraries into `vendor_ruby`, with a
//! specification that lists them or without any: of these **modules** those are taken that such a gem lists, that the
//! application names, and that modules which were taken require.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::application::{self, Application};
use super::gather::{self, Taken};
use super::ruby::{KIND, of_use};
use super::words::Words;
use super::{Basket, Start};
use crate::closure::Loaded;
use crate::error::Error;
use crate::tree::Found;

/// Where Debian's packages of gems are described, in directories for versions of Ruby and for `all`.
const DEBIAN: [&str; 2] = [
    "/usr/share/rubygems-integration",
    "/usr/lib/x86_64-linux-gnu/rubygems-integration",
];

/// Where Debian's packages put modules for every version of Ruby, below the interpreter's prefix.
pub(super) const VENDOR: &str = "lib/ruby/vendor_ruby";

/// RubyGems itself, which the interpreter loads at its start: Debian has newer ones there.
const RUBYGEMS: &str = "rubygems";

/// What an application needs of what was installed.
#[derive(Debug, Default)]
pub(super) struct Needs {
    words: Words,
    /// First parts of the names that it requires: `active_record` of `require "active_record/railtie"`.
    required: BTreeSet<String>,
}

impl Needs {
    /// Reads them from sources and arguments.
    pub fn of(application: &Application, start: &Start) -> Self {
        let mut required = BTreeSet::new();
        // What can't be read will be missed when the image is built.
        for source in &application.sources {
            let text = std::fs::read(source).unwrap_or_default();
            required.extend(requires(&String::from_utf8_lossy(&text)).map(str::to_owned));
        }
        for (at, argument) in start.arguments.iter().enumerate() {
            let text = argument.to_string_lossy();
            required.extend(requires(&text).map(str::to_owned));
            match text.strip_prefix("-r") {
                Some("") => required.extend(first_part(&start.text(at + 1)).map(str::to_owned)),
                Some(name) => required.extend(first_part(name).map(str::to_owned)),
                None => {}
            }
        }
        Self {
            words: application.words.clone(),
            required,
        }
    }

    fn has_gem(&self, name: &str, gem: &Gem) -> bool {
        let name = name.strip_suffix(".rb").unwrap_or(name);
        self.words.contains(name)
            // `rack-protection` is required as `rack/protection`.
            || name.contains('-') && name.split('-').all(|part| self.words.contains(part))
            || gem.provides.iter().any(|file| self.required.contains(file))
    }

    fn has_module(&self, name: &str) -> bool {
        name == RUBYGEMS || self.words.contains(name) || self.required.contains(name)
    }
}

/// The first parts of what a text requires, and of other texts in the same lines.
fn requires(text: &str) -> impl Iterator<Item = &str> {
    let is_of_interest = |line: &&str| line.contains("require") || line.contains("load");
    text.lines()
        .filter(is_of_interest)
        .flat_map(|line| line.split(['\'', '"']).skip(1).step_by(2))
        .filter_map(first_part)
}

/// `a` of `a/b.rb`; none if the name is relative.
fn first_part(name: &str) -> Option<&str> {
    let first = name.split('/').next()?;
    let first = first.strip_suffix(".rb").unwrap_or(first);
    (!first.is_empty() && !first.starts_with('.')).then_some(first)
}

/// Whether a file or directory belongs to what was installed in addition, and not to the standard library: a gem
/// (`ruby/gems/X.Y.0/gems/NAME`), its specification (without its gem, Ruby would complain) or extension, what is kept of
/// how it was installed, or a module of `vendor_ruby`.
pub(super) fn is_in_addition(path: &Path) -> bool {
    let name = |path: &Path| path.file_name().unwrap_or_default().to_owned();
    let is_version = |path: &Path| {
        let name = name(path);
        name.as_encoded_bytes()
            .first()
            .is_some_and(u8::is_ascii_digit)
    };
    let mut above = path.ancestors().skip(1);
    let (Some(kind), Some(version), Some(gems)) = (above.next(), above.next(), above.next()) else {
        return false;
    };
    if kind.ends_with("vendor_ruby") {
        // `vendor_ruby/3.1.0` has what Debian compiled for that version.
        return !is_version(path);
    }
    let of_home = kind
        .ancestors()
        .nth(1)
        .is_some_and(|gems| gems.ends_with("ruby/gems"));
    if of_home && is_version(kind) {
        return ["build_info", "cache", "doc", "plugins"]
            .iter()
            .any(|other| name(path) == *other);
    }
    let kind = name(kind);
    gems.ends_with("ruby/gems")
        && is_version(version)
        && (kind == "gems"
            || kind == "extensions"
            || kind == "specifications" && name(path) != "default")
}

/// The directories where gems may be installed.
pub(super) fn homes(start: &Start, prefix: &Path, version: Option<&str>) -> Vec<PathBuf> {
    let mut homes = start.directories("GEM_HOME");
    homes.extend(start.directories("GEM_PATH"));
    let Some(version) = version else {
        return homes;
    };
    homes.push(Path::new("/var/lib/gems").join(version));
    homes.push(Path::new("/usr/local/lib/ruby/gems").join(version));
    homes.push(prefix.join("lib/ruby/gems").join(version));
    if let Some(home) = start.variable("HOME") {
        homes.push(Path::new(&home).join(".local/share/gem/ruby").join(version));
    }
    let debian = DEBIAN.map(Path::new);
    homes.extend(debian.map(|path| path.join(version)));
    homes.extend(debian.map(|path| path.join("all")));
    homes
}

/// An installed gem.
#[derive(Debug)]
struct Gem {
    home: PathBuf,
    /// Name and version, and perhaps a platform.
    full: String,
    /// Its specification's text.
    specification: String,
    /// Names of the files at the top of its library, without their endings.
    provides: Vec<String>,
}

impl Gem {
    fn read(home: &Path, full: &str, basket: &Basket<'_, '_>) -> Result<Self, Error> {
        let specification = home.join("specifications").join(format!("{full}.gemspec"));
        let specification = gather::contents(basket.closure, &specification)?;
        let root = home.join("gems").join(full);
        let mut provides = Vec::new();
        for path in require_paths(&specification) {
            let names = gather::names(basket.closure, &root.join(path))?;
            provides.extend(
                names
                    .iter()
                    .filter_map(|name| Some(name.strip_suffix(".rb")?.to_owned())),
            );
        }
        Ok(Self {
            home: home.into(),
            full: full.into(),
            specification,
            provides,
        })
    }

    /// Names of the modules that may be its own: those that it lists, and those that are called as it is.
    fn modules(&self, name: &str) -> impl Iterator<Item = String> {
        let listed = listed(&self.specification).map(str::to_owned);
        // `a-b` is required as `a-b`, `a_b` or `a/b`.
        let first = name.split('-').next().unwrap_or(name);
        let names = [name, first].map(str::to_owned);
        listed.chain(names).chain([name.replace('-', "_")])
    }

    /// Takes its files.
    fn take(&self, loaded: Option<&Loaded>, basket: &mut Basket<'_, '_>) -> Result<Taken, Error> {
        let specification = format!("specifications/{}.gemspec", self.full);
        let mut taken = gather::file(basket.closure, None, &self.home.join(specification))?;
        let root = self.home.join("gems").join(&self.full);
        taken.extend(gather::directory(
            basket.closure,
            loaded,
            &root,
            &mut |path, is_directory| {
                let is_help = ["doc", "rdoc", "ri"]
                    .iter()
                    .any(|help| path.ends_with(help));
                of_use(path, is_directory)
                    && !(is_directory && is_help && path.parent() == Some(&root))
            },
        )?);
        let extensions = self.home.join("extensions");
        for platform in gather::names(basket.closure, &extensions)? {
            let platform = extensions.join(platform);
            for version in gather::names(basket.closure, &platform)? {
                let extension = platform.join(version).join(&self.full);
                taken.extend(gather::directory(
                    basket.closure,
                    loaded,
                    &extension,
                    &mut |_, _| true,
                )?);
            }
        }
        Ok(taken)
    }
}

/// Takes the gems that are needed, tells which these are, and how many others there are. What they list of modules
/// is needed then as well.
pub(super) fn take(
    needs: &mut Needs,
    homes: &[PathBuf],
    loaded: Option<&Loaded>,
    basket: &mut Basket<'_, '_>,
) -> Result<(), Error> {
    // By name: every version, and every home.
    let mut installed: BTreeMap<String, Vec<Gem>> = BTreeMap::new();
    for home in homes {
        // A home that belongs to somebody else may not be looked into.
        if !matches!(basket.closure.tree.find(home), Ok(Found::Directory(_))) {
            continue;
        }
        for file in gather::names(basket.closure, &home.join("specifications"))? {
            if let Some((full, name)) = gem_of_specification(&file) {
                let gems = installed.entry(name.to_owned()).or_default();
                gems.push(Gem::read(home, full, basket)?);
            }
        }
    }
    let is_needed =
        |(name, gems): &(&String, &Vec<Gem>)| gems.iter().any(|gem| needs.has_gem(name, gem));
    let needed = installed.iter().filter(is_needed);
    let mut wanted: Vec<String> = needed.map(|(name, _)| name.clone()).collect();
    let mut taken = Taken::default();
    let mut names = Vec::new();
    while let Some(name) = wanted.pop() {
        for gem in installed.remove(&name).unwrap_or_default() {
            wanted.extend(dependencies(&gem.specification).map(str::to_owned));
            needs.required.extend(gem.modules(&name));
            taken.extend(gem.take(loaded, basket)?);
            names.push(gem.full);
        }
    }
    if !names.is_empty() {
        names.sort_unstable();
        let what = format!("took the gems {}", names.join(", "));
        application::note(&KIND, &what, &taken, basket);
    }
    tell_left(installed.values().flatten(), basket);
    Ok(())
}

/// Tells which gems were left out.
fn tell_left<'a>(gems: impl Iterator<Item = &'a Gem>, basket: &mut Basket<'_, '_>) {
    let mut homes = BTreeSet::new();
    let mut count = 0;
    for gem in gems {
        homes.insert(format!("`{}`", gem.home.display()));
        count += 1;
    }
    if count == 0 {
        return;
    }
    let homes: Vec<String> = homes.into_iter().collect();
    basket.note(
        KIND.language,
        format!(
            "left out {count} of the installed gems in {}, which the program does not name; name those it needs in a `Gemfile`, or add them with --file",
            homes.join(" and ")
        ),
    );
}

/// Takes of the modules in a directory those that are needed, and those that these require.
pub(super) fn take_modules(
    needs: &mut Needs,
    directory: &Path,
    loaded: Option<&Loaded>,
    basket: &mut Basket<'_, '_>,
) -> Result<(), Error> {
    let mut left = gather::names(basket.closure, directory)?;
    let mut taken = Taken::default();
    let mut names = BTreeSet::new();
    loop {
        let (needed, rest): (Vec<_>, Vec<_>) = left
            .into_iter()
            .partition(|name| first_part(name).is_some_and(|module| needs.has_module(module)));
        left = rest;
        if needed.is_empty() {
            break;
        }
        for name in needed {
            let part = gather::either(basket.closure, loaded, &directory.join(&name))?;
            names.extend(first_part(&name).map(str::to_owned));
            for file in part.files.iter().filter(|file| KIND.is_source(file)) {
                let text = gather::contents(basket.closure, file)?;
                // RubyGems can use more than it needs.
                if !file.starts_with(directory.join(RUBYGEMS)) {
                    needs.required.extend(requires(&text).map(str::to_owned));
                }
            }
            taken.extend(part);
        }
    }
    if !taken.files.is_empty() {
        let names: Vec<String> = names.into_iter().collect();
        let what = format!("took of `{}` {}", directory.display(), names.join(", "));
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

/// The texts in double quotes of a specification's line that assigns to `field`.
fn texts<'a>(specification: &'a str, field: &'static str) -> impl Iterator<Item = &'a str> {
    let assigns = move |line: &&str| {
        line.split_once('=')
            .is_some_and(|(name, _)| name.trim_end().ends_with(field))
    };
    let lines = specification.lines().filter(assigns);
    lines.flat_map(|line| line.split('"').skip(1).step_by(2))
}

/// The directories of a gem's libraries.
fn require_paths(specification: &str) -> impl Iterator<Item = &str> {
    texts(specification, ".require_paths")
}

/// The first parts of the libraries that a specification lists among the gem's files.
fn listed(specification: &str) -> impl Iterator<Item = &str> {
    texts(specification, ".files").filter_map(|file| first_part(file.strip_prefix("lib/")?))
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
        let text = "s.add_runtime_dependency(%q<rack>.freeze, [\"~> 2\"])\ns.add_development_dependency(%q<rspec>)\n  s.add_dependency 'tilt', '~> 2'\n  s.require_paths = [\"lib/x\".freeze, \"ext\".freeze]\n  s.files = [\"COPYING\".freeze, \"lib/tilt.rb\".freeze, \"lib/tilt/erb.rb\".freeze]\n  s.test_files = [\"lib/not.rb\"]\n";
        assert_eq!(dependencies(text).collect::<Vec<_>>(), ["rack", "tilt"]);
        assert_eq!(require_paths(text).collect::<Vec<_>>(), ["lib/x", "ext"]);
        assert_eq!(listed(text).collect::<Vec<_>>(), ["tilt", "tilt"]);
    }

    #[test]
    fn requirements_are_found_by_their_first_parts() {
        let text = "require 'a/b'\nrequire \"c.rb\" if x\n  autoload :D, 'd/e'\nrequire_relative './f'\nputs 'g'\n";
        assert_eq!(requires(text).collect::<Vec<_>>(), ["a", "c", "d"]);
    }

    #[test]
    fn what_was_installed_is_told_from_the_library() {
        for (path, expected) in [
            ("/usr/lib/ruby/gems/3.1.0/gems/rake-13.0", true),
            (
                "/usr/lib/ruby/gems/3.1.0/specifications/rake-13.0.gemspec",
                true,
            ),
            ("/usr/lib/ruby/gems/3.1.0/cache", true),
            ("/usr/lib/ruby/gems/3.1.0/specifications", false),
            ("/usr/lib/ruby/gems/3.1.0/specifications/default", false),
            (
                "/usr/lib/ruby/gems/3.1.0/specifications/default/json-2.6.gemspec",
                false,
            ),
            ("/usr/lib/ruby/3.1.0/rubygems/specification.rb", false),
            ("/usr/lib/ruby/vendor_ruby/tilt.rb", true),
            ("/usr/lib/ruby/vendor_ruby/3.1.0", false),
            (
                "/usr/lib/x86_64-linux-gnu/ruby/vendor_ruby/3.1.0/yajl/yajl.so",
                false,
            ),
            ("/usr/lib/ruby/3.1.0/rdoc", false),
        ] {
            assert_eq!(is_in_addition(Path::new(path)), expected, "{path}");
        }
    }
}
