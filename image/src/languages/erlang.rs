//! Erlang and Elixir: the emulator with its helpers, and the applications of OTP that the program names.
//!
//! `erl` is a script for the shell that starts `erlexec`, which starts `beam.smp`, which starts `erl_child_setup`: none of
//! them names the next in a way that a closure could follow. Of OTP's applications `kernel`, `stdlib` and `erts` are always
//! taken, and others if their names, or those of their modules, are words of the program; from there, what they say that
//! they need (`applications` in `NAME.app`). Only `ebin` and `priv` of them are used at run time.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::application::{self, Application, Kind};
use super::gather::{self, Taken};
use super::{Basket, Rule, Start, prefix_of};
use crate::closure::{Closure, Loaded, Program};
use crate::error::Error;

/// The rule for Erlang/OTP.
pub(super) struct Erlang;

const KIND: Kind = Kind {
    language: "erlang",
    extensions: &["erl", "hrl", "app", "beam", "config", "escript", "src"],
    roots: &["rebar.config", "erlang.mk"],
    skipped: &[],
};

/// Programs beside the emulator that it starts.
const HELPERS: [&str; 5] = [
    "erlexec",
    "erl_child_setup",
    "inet_gethost",
    "epmd",
    "heart",
];

/// What the script `erl` starts before the emulator.
const COMMANDS: [&str; 2] = ["basename", "dirname"];

/// Applications that the emulator can't start without.
const NEEDED: [&str; 3] = ["kernel", "stdlib", "erts"];

impl Rule for Erlang {
    fn name(&self) -> &'static str {
        KIND.language
    }

    fn applies(&self, program: &Program) -> bool {
        let name = program.canonical.file_name().unwrap_or_default();
        let root = prefix_of(program);
        (name == "erl" || name == "escript") && root.ends_with("erlang")
    }

    fn collect(
        &self,
        program: &Program,
        start: &Start,
        basket: &mut Basket<'_, '_>,
    ) -> Result<(), Error> {
        let root = prefix_of(program);
        let scripts = program.canonical.ends_with("bin/escript");
        let loaded = take_emulator(program, root, basket)?;
        let loaded = loaded.as_ref();

        let mut application = Application::default();
        application.read_arguments(start);
        if scripts {
            application.words.add("compiler");
            if let Some(at) = start.positional(0, &[]) {
                application.take_script(&KIND, loaded, start, at, basket)?;
                application.take_arguments(&KIND, start, at + 1, basket)?;
            }
        } else {
            take_code_path(&mut application, loaded, start, basket)?;
            application.take_arguments(&KIND, start, 0, basket)?;
        }
        take_applications(&mut application, root, loaded, basket)
    }
}

/// The rule for Elixir, whose commands are scripts that start `erl`.
pub(super) struct Elixir;

const ELIXIR: Kind = Kind {
    language: "elixir",
    extensions: &["ex", "exs", "eex", "heex", "app", "config"],
    roots: &["mix.exs"],
    skipped: &[],
};

impl Rule for Elixir {
    fn name(&self) -> &'static str {
        ELIXIR.language
    }

    fn applies(&self, program: &Program) -> bool {
        let is_command = ["elixir", "elixirc", "iex", "mix"]
            .iter()
            .any(|name| program.canonical.ends_with(Path::new("bin").join(name)));
        is_command && prefix_of(program).ends_with("elixir")
    }

    fn collect(
        &self,
        program: &Program,
        start: &Start,
        basket: &mut Basket<'_, '_>,
    ) -> Result<(), Error> {
        let list = start.variable("PATH").unwrap_or_default();
        let erl = basket
            .closure
            .find_in_path(OsStr::new("erl"), &list, &start.directory)?;
        let chain = basket.closure.add_program(&erl)?;
        let Some(erl) = chain.first() else {
            return Ok(());
        };
        let root = prefix_of(erl);
        let loaded = take_emulator(erl, root, basket)?;
        let loaded = loaded.as_ref();
        let library = prefix_of(program).join("lib");
        let taken = gather::directory(basket.closure, loaded, &library, &mut |_, _| true)?;
        application::note(&ELIXIR, "took the library", &taken, basket);
        let mut application = Application::default();
        application.read_arguments(start);
        application.words.add("compiler");
        if let Some(at) = start.file_from(0, basket.closure) {
            application.take_script(&ELIXIR, loaded, start, at, basket)?;
        }
        application.take_arguments(&ELIXIR, start, 0, basket)?;
        take_applications(&mut application, root, loaded, basket)
    }
}

/// Takes the emulator and what it starts. Answers the emulator's libraries.
fn take_emulator(
    program: &Program,
    root: &Path,
    basket: &mut Basket<'_, '_>,
) -> Result<Option<Loaded>, Error> {
    let closure = &mut *basket.closure;
    // `escript` starts the `erl` that lies beside it.
    for erl in [program.path.with_file_name("erl"), root.join("bin/erl")] {
        if gather::is_file(closure, &erl)? {
            closure.add_program(&erl)?;
        }
    }
    for name in COMMANDS {
        for directory in ["/usr/bin", "/bin"] {
            let path = Path::new(directory).join(name);
            if gather::is_file(closure, &path)? {
                closure.add_program(&path)?;
                break;
            }
        }
    }
    let mut loaded = None;
    for runtime in gather::names(closure, root)? {
        if !runtime.starts_with("erts-") {
            continue;
        }
        let directory = root.join(runtime).join("bin");
        for helper in HELPERS {
            let path = directory.join(helper);
            if gather::is_file(closure, &path)? {
                closure.add_program(&path)?;
            }
        }
        let emulator = directory.join("beam.smp");
        if gather::is_file(closure, &emulator)? {
            let programs = closure.add_program(&emulator)?;
            loaded = programs.first().and_then(|program| program.loaded.clone());
        }
    }
    // Which modules are loaded first.
    let is_boot = |path: &Path, _: bool| path.extension().is_some_and(|ending| ending == "boot");
    gather::directory(closure, None, &root.join("bin"), &mut { is_boot })?;
    gather::directory(closure, None, &root.join("releases"), &mut |_, _| true)?;
    Ok(loaded)
}

/// Takes the directories in which `erl` is told to look for modules, and the one where it is started if a module that it is
/// to run lies there.
fn take_code_path(
    application: &mut Application,
    loaded: Option<&Loaded>,
    start: &Start,
    basket: &mut Basket<'_, '_>,
) -> Result<(), Error> {
    let mut option = String::new();
    for argument in &start.arguments {
        let text = argument.to_string_lossy();
        if text.starts_with('-') {
            option = text.into_owned();
            continue;
        }
        let path = start.directory.join(argument);
        let wanted = match option.as_str() {
            "-pa" | "-pz" => Some(path),
            "-s" | "-run" => {
                let module = start.directory.join(format!("{text}.beam"));
                gather::is_file(basket.closure, &module)?.then(|| start.directory.clone())
            }
            // The ending is left out.
            "-config" | "-boot" => {
                for ending in ["config", "boot"] {
                    let file = PathBuf::from(format!("{}.{ending}", path.display()));
                    let taken = gather::file(basket.closure, None, &file)?;
                    basket.uses_directory |= !taken.files.is_empty();
                }
                None
            }
            _ => None,
        };
        if let Some(directory) = wanted {
            application.take_directory(&KIND, loaded, &directory, basket)?;
            basket.uses_directory = true;
        }
    }
    Ok(())
}

/// An application of OTP that is installed.
struct Installed {
    name: String,
    place: PathBuf,
}

impl Installed {
    /// Whether the program names it or one of its modules.
    fn is_named(&self, application: &Application, closure: &Closure<'_>) -> Result<bool, Error> {
        if application.words.contains(&self.name) {
            return Ok(true);
        }
        let modules = gather::names(closure, &self.place.join("ebin"))?;
        Ok(modules
            .iter()
            .filter_map(|file| file.strip_suffix(".beam"))
            .any(|module| application.words.contains(module)))
    }
}

/// What an application says that it needs: the list `applications` of its description.
fn needs(description: &str) -> Vec<String> {
    let list = description
        .split_once("{applications,")
        .and_then(|(_, rest)| rest.split_once(']'))
        .map_or("", |(list, _)| list);
    list.split([',', '[', '\'', '"'])
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

/// Takes the applications that are needed.
fn take_applications(
    application: &mut Application,
    root: &Path,
    loaded: Option<&Loaded>,
    basket: &mut Basket<'_, '_>,
) -> Result<(), Error> {
    let library = root.join("lib");
    let mut left: Vec<Installed> = gather::names(basket.closure, &library)?
        .into_iter()
        .filter_map(|entry| {
            let (name, _) = entry.rsplit_once('-')?;
            Some(Installed {
                name: name.to_owned(),
                place: library.join(&entry),
            })
        })
        .collect();
    let mut wanted: Vec<String> = NEEDED.map(str::to_owned).to_vec();
    for installed in &left {
        if installed.is_named(application, basket.closure)? {
            wanted.push(installed.name.clone());
        }
    }
    let mut taken = Taken::default();
    let mut names = Vec::new();
    while let Some(name) = wanted.pop() {
        let Some(at) = left.iter().position(|installed| installed.name == name) else {
            continue;
        };
        let Installed { name, place } = left.swap_remove(at);
        for part in ["ebin", "priv"] {
            let part = gather::either(basket.closure, loaded, &place.join(part))?;
            taken.extend(part);
        }
        let description = place.join("ebin").join(format!("{name}.app"));
        wanted.extend(needs(&gather::contents(basket.closure, &description)?));
        names.push(name);
    }
    names.sort_unstable();
    let what = format!("took of OTP {}", names.join(", "));
    application::note(&KIND, &what, &taken, basket);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_say_what_an_application_needs() {
        let description = "{application,inets,\n [{applications,[kernel,stdlib,\n 'ssl']},{mod,{inets_app,[]}}]}.";
        assert_eq!(needs(description), ["kernel", "stdlib", "ssl"]);
        assert!(needs("{application, x, []}.").is_empty());
    }
}
