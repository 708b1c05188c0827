//! Interpreters and compilers whose library lies in a few directories of its own: Tcl, Guile, Steel Bank Common Lisp,
//! Racket, Chicken, R, Octave, SWI-Prolog, Gforth, Mono, CMake, GHC, LDC, Nim, Crystal, Free Pascal.
//!
//! The library is taken whole. The application is the first argument that names a file, and what lies around that. Packages
//! of which there are many are taken if their names are words of the application, or of the
//! descriptions of packages that were taken (`info.rkt`).

use std::path::{Path, PathBuf};

use super::application::{self, Application, Kind};
use super::gather::{self, Taken};
use super::{Basket, Rule, Start, is_called};
use crate::closure::{Closure, Loaded, Program};
use crate::error::Error;
use crate::tree::Found;

/// An interpreter and its library.
pub(super) struct Interpreter {
    kind: Kind,
    /// Names of its file, without a version.
    called: &'static [&'static str],
    /// Its library: directories and files below `/usr` and `/usr/local`, or with whole paths. A last part that ends in `*`
    /// stands for all that begin so.
    library: &'static [&'static str],
    /// Directories with packages that are taken by name.
    packages: &'static [&'static str],
    /// Directories that are left out of all this, wherever they lie: for people, compilers and tests. One that ends in `*`
    /// stands for all that begin so.
    omitted: &'static [&'static str],
    /// Programs that it starts.
    starts: &'static [&'static str],
    /// A variable with directories of modules.
    variable: Option<&'static str>,
}

const fn kind(
    language: &'static str,
    extensions: &'static [&'static str],
    roots: &'static [&'static str],
) -> Kind {
    Kind {
        language,
        extensions,
        roots,
        skipped: &[],
    }
}

/// Tcl, with the packages of Debian.
pub(super) static TCL: Interpreter = Interpreter {
    kind: kind("tcl", &["tcl", "tm"], &["pkgIndex.tcl"]),
    called: &["tclsh", "wish", "expect"],
    library: &["share/tcltk", "lib/tcltk", "lib/x86_64-linux-gnu/tcltk"],
    packages: &[],
    omitted: &["demos"],
    starts: &[],
    variable: None,
};

/// Guile: sources, and what was compiled of them.
pub(super) static GUILE: Interpreter = Interpreter {
    kind: kind("guile", &["scm", "sls"], &["guix.scm"]),
    called: &["guile", "guile-"],
    library: &["share/guile", "lib/x86_64-linux-gnu/guile"],
    packages: &[],
    omitted: &[],
    starts: &[],
    variable: Some("GUILE_LOAD_PATH"),
};

/// Steel Bank Common Lisp: the core, and modules that belong to it.
pub(super) static SBCL: Interpreter = Interpreter {
    kind: kind("sbcl", &["lisp", "lsp", "cl", "asd"], &[]),
    called: &["sbcl"],
    library: &["lib/sbcl"],
    packages: &[],
    omitted: &[],
    starts: &[],
    variable: None,
};

/// Racket: its collections, and packages by name.
pub(super) static RACKET: Interpreter = Interpreter {
    kind: kind("racket", &["rkt", "rktd", "scrbl"], &["info.rkt"]),
    called: &["racket"],
    library: &[
        "/etc/racket",
        "share/racket/collects",
        "share/racket/*.rktd",
        "lib/racket/compiled/usr/share/racket/collects",
        "lib/racket/*.rktd",
    ],
    packages: &[
        "share/racket/pkgs",
        "lib/racket/compiled/usr/share/racket/pkgs",
    ],
    omitted: &["scribblings", "tests", "doc"],
    starts: &[],
    variable: Some("PLTCOLLECTS"),
};

/// Chicken Scheme's interpreter.
pub(super) static CHICKEN: Interpreter = Interpreter {
    kind: kind("chicken", &["scm", "sld"], &[]),
    called: &["csi"],
    library: &["/var/lib/chicken", "share/chicken"],
    packages: &[],
    omitted: &[],
    starts: &[],
    variable: None,
};

/// R: `Rscript` starts a script for the shell, which starts the program proper.
pub(super) static R: Interpreter = Interpreter {
    kind: kind("r", &["R", "r", "Rmd"], &["DESCRIPTION"]),
    called: &["Rscript", "R"],
    library: &["/etc/R", "lib/R", "share/R/share"],
    packages: &[],
    omitted: &[
        "doc",
        "demo",
        "help",
        "html",
        "include",
        "po",
        "tests",
        "translations",
    ],
    starts: &["/usr/bin/R", "/usr/lib/R/bin/exec/R", "/usr/bin/which"],
    variable: Some("R_LIBS"),
};

/// GNU Octave without windows.
pub(super) static OCTAVE: Interpreter = Interpreter {
    kind: kind("octave", &["m"], &[]),
    called: &["octave-cli", "octave-cli-"],
    library: &["share/octave", "lib/x86_64-linux-gnu/octave"],
    packages: &[],
    omitted: &["doc", "icons", "locale"],
    starts: &[],
    variable: None,
};

/// SWI-Prolog.
pub(super) static PROLOG: Interpreter = Interpreter {
    kind: kind("prolog", &["pl", "pro", "prolog"], &["pack.pl"]),
    called: &["swipl"],
    library: &["lib/swi-prolog"],
    packages: &[],
    omitted: &["cmake", "demo", "doc", "include", "test"],
    starts: &[],
    variable: None,
};

/// Gforth: the image and its sources.
pub(super) static FORTH: Interpreter = Interpreter {
    kind: kind("gforth", &["fs", "fth", "4th"], &[]),
    called: &["gforth", "gforth-", "gforth-fast", "gforth-fast-"],
    library: &["lib/gforth", "lib/x86_64-linux-gnu/gforth", "share/gforth"],
    packages: &[],
    omitted: &[],
    starts: &[],
    variable: Some("GFORTHPATH"),
};

/// Mono: assemblies for everybody and those of its own, and libraries that it opens by need.
pub(super) static MONO: Interpreter = Interpreter {
    kind: kind("mono", &["exe", "dll", "config"], &[]),
    called: &["mono", "mono-sgen"],
    library: &["/etc/mono", "lib/mono", "lib/libmono*", "lib/libMono*"],
    packages: &[],
    omitted: &["xbuild", "xbuild-frameworks", "msbuild"],
    starts: &[],
    variable: Some("MONO_PATH"),
};

/// CMake with its modules. What it is to configure a project for is the user's to name.
pub(super) static CMAKE: Interpreter = Interpreter {
    kind: kind("cmake", &["cmake", "txt"], &["CMakeLists.txt"]),
    called: &["cmake", "ctest", "cpack"],
    library: &["share/cmake-*"],
    packages: &[],
    omitted: &["Help"],
    starts: &[],
    variable: Some("CMAKE_MODULE_PATH"),
};

/// The compiler of Haskell: libraries to link with, without those for its own parts.
pub(super) static GHC: Interpreter = Interpreter {
    kind: kind("ghc", &["hs", "lhs"], &["cabal.project"]),
    called: &["ghc", "runghc"],
    library: &[
        "lib/ghc",
        "/var/lib/ghc",
        "lib/x86_64-linux-gnu/libffi.*",
        "lib/x86_64-linux-gnu/libgmp.*",
    ],
    packages: &[],
    omitted: &[
        "Cabal-*",
        "ghc-9*",
        "ghc-iserv*",
        "haddock",
        "html",
        "latex",
    ],
    starts: &[
        "/usr/bin/x86_64-linux-gnu-gcc",
        "/usr/bin/x86_64-linux-gnu-ld",
        "/usr/bin/x86_64-linux-gnu-ld.gold",
        "/usr/lib/ghc/bin/ghc",
    ],
    variable: None,
};

/// LLVM's compiler of D.
pub(super) static LDC: Interpreter = Interpreter {
    kind: kind("ldc", &["d", "di"], &["dub.json", "dub.sdl"]),
    called: &["ldc", "ldmd"],
    library: &[
        "/etc/ldc2.conf",
        "lib/ldc",
        "lib/ldc_rt.dso.o",
        "lib/x86_64-linux-gnu/libphobos2-ldc*",
        "lib/x86_64-linux-gnu/libdruntime-ldc*",
    ],
    packages: &[],
    omitted: &[],
    starts: &["/usr/bin/cc"],
    variable: None,
};

/// Nim, which has a compiler of C compile what it wrote.
pub(super) static NIM: Interpreter = Interpreter {
    kind: kind("nim", &["nim", "nims"], &["nim.cfg"]),
    called: &["nim"],
    library: &["/etc/nim", "lib/nim"],
    packages: &[],
    omitted: &[],
    starts: &["/usr/bin/gcc"],
    variable: None,
};

/// Crystal, which links with these libraries.
pub(super) static CRYSTAL: Interpreter = Interpreter {
    kind: kind("crystal", &["cr"], &["shard.yml"]),
    called: &["crystal"],
    library: &[
        "lib/crystal",
        "share/crystal",
        "lib/x86_64-linux-gnu/libgc.*",
        "lib/x86_64-linux-gnu/libevent*",
        "lib/x86_64-linux-gnu/libpcre*",
    ],
    packages: &[],
    omitted: &[],
    starts: &["/usr/bin/cc", "/bin/sh"],
    variable: None,
};

/// Free Pascal: the compiler proper and its units.
pub(super) static PASCAL: Interpreter = Interpreter {
    kind: kind("pascal", &["pas", "pp", "inc", "lpr"], &[]),
    called: &["fpc", "x86_64-linux-gnu-fpc-", "ppcx64"],
    library: &["/etc/fpc*", "lib/x86_64-linux-gnu/fpc"],
    packages: &[],
    omitted: &["fcl-db", "googleapi", "ide", "odata"],
    starts: &["/usr/bin/gcc", "/usr/bin/ppcx64"],
    variable: None,
};

impl Rule for Interpreter {
    fn name(&self) -> &'static str {
        self.kind.language
    }

    fn applies(&self, program: &Program) -> bool {
        self.called.iter().any(|name| is_called(program, name))
    }

    fn collect(
        &self,
        program: &Program,
        start: &Start,
        basket: &mut Basket<'_, '_>,
    ) -> Result<(), Error> {
        let loaded = program.loaded.as_ref();
        let mut library = Taken::default();
        for place in self.places(self.library, basket.closure)? {
            library.extend(self.take(&place, loaded, basket)?);
        }
        application::note(&self.kind, "took the library", &library, basket);
        for path in self.starts.iter().map(Path::new) {
            if path != program.path && gather::is_file(basket.closure, path)? {
                let chain = basket.closure.add_program(path)?;
                basket.start(chain, start);
            }
        }
        let mut application = Application::default();
        application.read_arguments(start);
        if let Some(at) = start.file_from(0, basket.closure) {
            application.take_script(&self.kind, loaded, start, at, basket)?;
        }
        application.take_arguments(&self.kind, start, 0, basket)?;
        if let Some(variable) = self.variable {
            let directories = start.directories(variable);
            application::take_directories(&self.kind, loaded, &directories, basket)?;
        }
        self.take_packages(&application, loaded, basket)
    }
}

impl Interpreter {
    /// The files and directories that places of the table stand for.
    fn places(&self, places: &[&str], closure: &Closure<'_>) -> Result<Vec<PathBuf>, Error> {
        let mut found = Vec::new();
        for place in places {
            for prefix in ["/usr", "/usr/local"] {
                // A whole path takes the place of the prefix.
                let path = Path::new(prefix).join(place);
                let name = path.file_name().and_then(|name| name.to_str());
                match name.and_then(|name| name.split_once('*')) {
                    Some((begin, end)) => {
                        let directory = path.parent().unwrap_or(Path::new("/"));
                        for name in gather::names(closure, directory)? {
                            if name.starts_with(begin) && name.ends_with(end) {
                                found.push(directory.join(name));
                            }
                        }
                    }
                    None if !found.contains(&path) => found.push(path),
                    None => {}
                }
            }
        }
        Ok(found)
    }

    /// Takes a file or directory of the library or of a package.
    fn take(
        &self,
        path: &Path,
        loaded: Option<&Loaded>,
        basket: &mut Basket<'_, '_>,
    ) -> Result<Taken, Error> {
        match basket.closure.tree.find(path)? {
            Found::Directory(_) => {
                gather::directory(basket.closure, loaded, path, &mut |path, is_directory| {
                    let name = path.file_name().unwrap_or_default().to_string_lossy();
                    let is_name = |omitted: &&str| match omitted.strip_suffix('*') {
                        Some(begin) => name.starts_with(begin),
                        None => name == **omitted,
                    };
                    !(is_directory && self.omitted.iter().any(is_name))
                })
            }
            _ => gather::file(basket.closure, loaded, path),
        }
    }

    /// Takes packages by their names.
    fn take_packages(
        &self,
        application: &Application,
        loaded: Option<&Loaded>,
        basket: &mut Basket<'_, '_>,
    ) -> Result<(), Error> {
        let mut left = Vec::new();
        for place in self.places(self.packages, basket.closure)? {
            for name in gather::names(basket.closure, &place)? {
                left.push((place.join(&name), name));
            }
        }
        let mut words = application.words.clone();
        let mut taken = Taken::default();
        loop {
            let before = left.len();
            let (named, rest): (Vec<_>, Vec<_>) = left
                .into_iter()
                .partition(|(_, name)| words.contains(name.as_str()));
            left = rest;
            for (path, _) in named {
                for description in self.kind.roots {
                    words.add(&gather::contents(basket.closure, &path.join(description))?);
                }
                taken.extend(self.take(&path, loaded, basket)?);
            }
            if left.len() == before {
                break;
            }
        }
        if !taken.files.is_empty() {
            application::note(&self.kind, "took installed packages", &taken, basket);
        }
        Ok(())
    }
}
