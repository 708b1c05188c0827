//! Lua, which has its library inside: the application, and installed modules that it names.
//!
//! Modules lie in `share/lua/VERSION` and `lib/lua/VERSION` of `/usr` and `/usr/local`.

use std::path::{Path, PathBuf};

use super::application::{self, Application, Kind};
use super::gather::{self, Taken};
use super::{Basket, Rule, Start, is_called, version_behind};
use crate::closure::Program;
use crate::error::Error;

/// The rule for Lua and LuaJIT.
pub(super) struct Lua;

const KIND: Kind = Kind {
    language: "lua",
    extensions: &["lua"],
    roots: &[],
    skipped: &[],
};

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
