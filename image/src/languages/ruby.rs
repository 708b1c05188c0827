//! Ruby: the standard library, and the gems that the application names.
//!
//! The standard library (`lib/ruby` beside the interpreter) is taken whole, and so are `RUBYLIB` and directories of `-I`. Of
//! gems and modules that were installed in addition, those are taken that the application needs (`ruby_gems.rs`).

use std::path::Path;

use super::application::{self, Application, Kind};
use super::gather::{self, Taken};
use super::ruby_gems::{self, Needs, VENDOR};
use super::{Basket, Rule, Start, is_called, prefix_of, version_behind};
use crate::closure::{Closure, Program};
use crate::error::Error;

/// The rule for Ruby.
pub(super) struct Ruby;

pub(super) const KIND: Kind = Kind {
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
        for path in own.into_iter().chain(["/usr/local/lib/site_ruby".into()]) {
            library.extend(gather::directory(
                basket.closure,
                loaded,
                &path,
                &mut |path, is_directory| {
                    of_use(path, is_directory) && !ruby_gems::is_in_addition(path)
                },
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
        let version = version(basket.closure, prefix, &program.canonical)?;
        let homes = ruby_gems::homes(start, prefix, version.as_deref());
        let mut needs = Needs::of(&application, start);
        ruby_gems::take(&mut needs, &homes, loaded, basket)?;
        ruby_gems::take_modules(&mut needs, &prefix.join(VENDOR), loaded, basket)
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
pub(super) fn of_use(path: &Path, is_directory: bool) -> bool {
    let ending = path.extension().and_then(|end| end.to_str());
    is_directory || !matches!(ending, Some("a" | "o" | "h" | "ri"))
}

/// The version of the library: `3.1.0`.
fn version(closure: &Closure<'_>, prefix: &Path, program: &Path) -> Result<Option<String>, Error> {
    let wanted = version_behind(program, "ruby").unwrap_or_default();
    let names = gather::names(closure, &prefix.join("lib/ruby"))?;
    Ok(names.into_iter().rfind(|name| {
        name.starts_with(|first: char| first.is_ascii_digit()) && name.starts_with(wanted)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_only_for_compilers_is_left_out() {
        assert!(!of_use(Path::new("/x/ruby.h"), false));
        assert!(of_use(Path::new("/x/set.rb"), false));
        assert!(of_use(Path::new("/x/active_support/cache"), true));
    }
}
