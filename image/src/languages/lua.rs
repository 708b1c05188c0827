//! Lua, which has its library inside: the application, and installed modules that it names.
//!
//! Directories that `LUA_PATH` and `LUA_CPATH` name come too. Installed modules lie in `share/lua/VERSION` and `lib/lua/VERSION` of `/usr` and `/usr/local`.

use std::path::{Path, PathBuf};

use super::application::{self, Application, Kind};
use super::gather::{self, Taken};
use super::{Basket, Rule, Start, is_called, version_behind};
use crate::closure::{Loaded, Program};
use crate::error::Error;
use crate::tree::Found;

/// The rule for Lua and LuaJIT.
pub(super) struct Lua;

const KIND: Kind = Kind {
    language: "lua",
    extensions: &["lua"],
    roots: &[],
    skipped: &[],
};

/// Takes the directory where the command is typed if `-l` names a module there, and the directories of `LUA_PATH` and
/// `LUA_CPATH`: of a pattern such as `/srv/lua/?/init.lua`, what stands before the first `?`.
fn take_named_modules(
    application: &mut Application,
    loaded: Option<&Loaded>,
    start: &Start,
    script: Option<usize>,
    basket: &mut Basket<'_, '_>,
) -> Result<(), Error> {
    let options = script.unwrap_or(start.arguments.len());
    for at in 0..options {
        let text = start.text(at);
        let name = match text.strip_prefix("-l") {
            Some("") => start.text(at + 1),
            Some(name) => name.to_owned(),
            None => continue,
        };
        let name = name
            .rsplit('=')
            .next()
            .unwrap_or_default()
            .replace('.', "/");
        for ending in [".lua", "/init.lua", ".so"] {
            let file = start.directory.join(format!("{name}{ending}"));
            if application.root.is_none() && gather::is_file(basket.closure, &file)? {
                basket.uses_directory = true;
                application.take_directory(&KIND, loaded, &start.directory, basket)?;
            }
        }
    }
    for variable in ["LUA_PATH", "LUA_CPATH"] {
        let list = start.variable(variable).unwrap_or_default();
        for pattern in list.to_string_lossy().split(';') {
            let Some((before, _)) = pattern.split_once('?') else {
                continue;
            };
            let (directory, _) = before.rsplit_once('/').unwrap_or((".", ""));
            let Ok(Found::Directory(directory)) =
                basket.closure.tree.find(&start.directory.join(directory))
            else {
                continue;
            };
            if application
                .root
                .as_ref()
                .is_none_or(|root| !directory.starts_with(root))
            {
                application.take_directory(&KIND, loaded, &directory, basket)?;
            }
        }
    }
    Ok(())
}

impl Rule for Lua {
    fn name(&self) -> &'static str {
        KIND.language
    }

    fn applies(&self, program: &Program) -> bool {
        is_called(program, "lua") || program.canonical.to_string_lossy().contains("/luajit")
    }

    fn collect(
        &self,
        program: &Program,
        start: &Start,
        basket: &mut Basket<'_, '_>,
    ) -> Result<(), Error> {
        let loaded = program.loaded.as_ref();
        let mut application = Application::default();
        application.read_arguments(start);
        let script = start.positional(0, &["-e", "-l"]);
        if let Some(at) = script {
            application.take_script(&KIND, loaded, start, at, basket)?;
            application.take_arguments(&KIND, start, at + 1, basket)?;
        }
        take_named_modules(&mut application, loaded, start, script, basket)?;
        let version = match version_behind(&program.canonical, "lua") {
            Some(version) if !version.is_empty() => version,
            // LuaJIT is made for the modules of this one.
            _ => "5.1",
        };
        let places: Vec<PathBuf> = ["/usr", "/usr/local"]
            .iter()
            .flat_map(|prefix| {
                ["share/lua", "lib/lua", "lib/x86_64-linux-gnu/lua"]
                    .map(|path| Path::new(prefix).join(path).join(version))
            })
            .collect();
        let mut left = Vec::new();
        for place in places {
            let names = gather::names(basket.closure, &place)?;
            left.extend(names.into_iter().map(|name| place.join(name)));
        }
        let mut taken = Taken::default();
        loop {
            let before = left.len();
            let (named, rest): (Vec<_>, Vec<_>) = left.into_iter().partition(|path| {
                let stem = path.file_stem().and_then(|stem| stem.to_str());
                stem.is_some_and(|stem| application.words.contains(stem))
            });
            left = rest;
            for path in named {
                let part = gather::either(basket.closure, loaded, &path)?;
                for file in part
                    .files
                    .iter()
                    .filter(|file| !gather::is_shared_object(file))
                {
                    application
                        .words
                        .add(&gather::contents(basket.closure, file)?);
                }
                taken.extend(part);
            }
            if left.len() == before {
                break;
            }
        }
        if !taken.files.is_empty() {
            application::note(&KIND, "took installed modules", &taken, basket);
        }
        Ok(())
    }
}
