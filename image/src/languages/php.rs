//! PHP: its configuration, the extensions that this loads, and the application.
//!
//! The configuration is Debian's (`/etc/php/VERSION/cli`) or that of PHP built from source (`etc/php.ini`,
//! `lib/php.ini` and `etc/php/conf.d` beside the interpreter). Extensions are taken that it names or that `-d` names.
//! Debian's PHP reads the system's time zones. With `-S`, the application is the directory where the command is typed if
//! the document root lies in it, since pages use what lies beside that root; otherwise the root alone.

use std::path::{Path, PathBuf};

use super::application::{self, Application, Kind};
use super::gather::{self, Taken};
use super::{Basket, Rule, Start, is_called, prefix_of, version_behind};
use crate::closure::{Closure, Program};
use crate::error::Error;
use crate::tree::Found;

/// The rule for PHP.
pub(super) struct Php;

const KIND: Kind = Kind {
    language: "php",
    extensions: &["php", "phtml", "inc"],
    roots: &["composer.json"],
    skipped: &["node_modules"],
};

/// Options whose value is the next argument.
const WITH_VALUE: [&str; 12] = [
    "-c",
    "-d",
    "-z",
    "-S",
    "-t",
    "-B",
    "-R",
    "-E",
    "-r",
    "-F",
    "--define",
    "--php-ini",
];

impl Rule for Php {
    fn name(&self) -> &'static str {
        KIND.language
    }

    fn applies(&self, program: &Program) -> bool {
        is_called(program, "php") || program.canonical.ends_with("php.default")
    }

    fn collect(
        &self,
        program: &Program,
        start: &Start,
        basket: &mut Basket<'_, '_>,
    ) -> Result<(), Error> {
        let loaded = program.loaded.as_ref();
        let version = version_behind(&program.canonical, "php").unwrap_or_default();
        let prefix = prefix_of(program);
        let debian = Path::new("/etc/php").join(version).join("cli");
        let mut configuration = Taken::default();
        let mut places = vec![
            debian.clone(),
            prefix.join("etc/php.ini"),
            prefix.join("lib/php.ini"),
            prefix.join("etc/php"),
        ];
        for (at, argument) in start.arguments.iter().enumerate() {
            if argument == "-c" || argument == "--php-ini" {
                places.push(start.directory.join(start.text(at + 1)));
                basket.uses_directory = true;
            }
        }
        if version.is_empty() {
            places.remove(0);
        }
        for place in &places {
            configuration.extend(gather::either(basket.closure, None, place)?);
        }
        // Links lead from there to files that are not counted above.
        let mut texts = start
            .arguments
            .iter()
            .map(|argument| {
                argument
                    .to_string_lossy()
                    .trim_start_matches("-d")
                    .to_owned()
                    + "\n"
            })
            .collect::<String>();
        let directories = [debian.join("conf.d"), prefix.join("etc/php/conf.d")];
        for directory in &directories {
            for name in gather::names(basket.closure, directory)? {
                texts += &gather::contents(basket.closure, &directory.join(name))?;
                texts.push('\n');
            }
        }
        for file in &configuration.files {
            texts += &gather::contents(basket.closure, file)?;
            texts.push('\n');
        }
        for place in extension_directories(basket.closure, prefix)? {
            for name in extensions(&texts) {
                let named = if name.ends_with(".so") {
                    name.to_owned()
                } else {
                    format!("{name}.so")
                };
                configuration.extend(gather::file(basket.closure, loaded, &place.join(named))?);
            }
        }
        if !version.is_empty() {
            // Debian's has no time zones of its own.
            configuration.extend(gather::either(
                basket.closure,
                None,
                Path::new("/usr/share/zoneinfo"),
            )?);
        }
        configuration.extend(gather::either(
            basket.closure,
            loaded,
            Path::new("/usr/share/php"),
        )?);
        application::note(
            &KIND,
            "took configuration, extensions and time zones",
            &configuration,
            basket,
        );
        take_application(program, start, basket)
    }
}

fn take_application(
    program: &Program,
    start: &Start,
    basket: &mut Basket<'_, '_>,
) -> Result<(), Error> {
    let loaded = program.loaded.as_ref();
    let value = |option: &str| {
        let at = start
            .arguments
            .iter()
            .position(|argument| argument == option)?;
        start
            .arguments
            .get(at + 1)
            .map(|value| start.directory.join(value))
    };
    let mut application = Application::default();
    let script = start.positional(0, &WITH_VALUE);
    if value("-S").is_some() {
        let root = value("-t").unwrap_or_else(|| start.directory.clone());
        if let Found::Directory(root) = basket.closure.tree.find(&root)? {
            // What the user placed is there already.
            if start.placed.iter().any(|file| file.starts_with(&root)) {
                return Ok(());
            }
            let directory = match root.starts_with(&start.directory) {
                true => &start.directory,
                false => &root,
            };
            basket.uses_directory = true;
            application.take_directory(&KIND, loaded, directory, basket)?;
        }
    }
    let has_code = start
        .arguments
        .iter()
        .take(script.unwrap_or(usize::MAX))
        .any(|argument| argument == "-r");
    match script {
        Some(at) if !has_code && application.root.is_none() => {
            application.take_script(&KIND, loaded, start, at, basket)?;
            application.take_arguments(&KIND, start, at + 1, basket)
        }
        Some(at) => application.take_arguments(&KIND, start, at, basket),
        None => Ok(()),
    }
}

/// Where extensions lie: Debian's by the number of the interface, others by its settings too.
fn extension_directories(closure: &Closure<'_>, prefix: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for parent in [prefix.join("lib/php"), prefix.join("lib/php/extensions")] {
        for name in gather::names(closure, &parent)? {
            if name.ends_with(|last: char| last.is_ascii_digit()) {
                found.push(parent.join(name));
            }
        }
    }
    Ok(found)
}

/// The extensions that a configuration loads.
fn extensions(configuration: &str) -> impl Iterator<Item = &str> {
    configuration.lines().filter_map(|line| {
        let (key, value) = line.split_once('=')?;
        let value = value.split(';').next()?.trim().trim_matches('"');
        let loads = matches!(key.trim(), "extension" | "zend_extension");
        (loads && !value.is_empty()).then_some(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_are_named_in_the_configuration() {
        let text = "; extension=no\n;extension=nor\nzend_extension=opcache.so\nextension = \"curl\" ; why\nextension_dir=x\n";
        assert_eq!(extensions(text).collect::<Vec<_>>(), ["opcache.so", "curl"]);
    }
}
