//! Where test programs are compiled, and files and images lie.

use rustix::fs::XattrFlags;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

/// How a test program is made from its source in `tests/programs/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Build {
    /// C with glibc, linked statically at a fixed address (`ET_EXEC`).
    Static,
    /// C with glibc, linked statically, position independent (`ET_DYN` without `PT_INTERP`).
    StaticPie,
    /// C with glibc's shared library (`ET_DYN` with `PT_INTERP`).
    Dynamic,
    /// C with musl's shared library: another dynamic linker.
    MuslDynamic,
    /// Rust with its standard library, linked statically to musl.
    RustStatic,
    /// Rust with its standard library, linked dynamically to glibc.
    RustDynamic,
    /// Go, which links statically.
    Go,
    /// C with OpenMP.
    OpenMp,
    /// C++, with a library of its own from `thrower.cpp`. Handlers of signals may throw.
    Cpp,
    /// A binary of the cargo project `tests/runtimes/rust`.
    Cargo,
    /// Java: a jar whose main class is the program's name.
    Java,
    /// Haskell, with GHC's runtime for several processors.
    Haskell,
    /// OCaml, compiled to the processor's code.
    OCaml,
}

impl Build {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Static,
        Self::StaticPie,
        Self::Dynamic,
        Self::MuslDynamic,
        Self::RustStatic,
        Self::RustDynamic,
        Self::Go,
        Self::OpenMp,
        Self::Cpp,
        Self::Cargo,
        Self::Java,
        Self::Haskell,
        Self::OCaml,
    ];

    /// What stands behind the colon in a case: `{hello:static}`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::StaticPie => "static-pie",
            Self::Dynamic => "dynamic",
            Self::MuslDynamic => "musl",
            Self::RustStatic => "rust-static",
            Self::RustDynamic => "rust-dynamic",
            Self::Go => "go",
            Self::OpenMp => "openmp",
            Self::Cpp => "c++",
            Self::Cargo => "cargo",
            Self::Java => "java",
            Self::Haskell => "haskell",
            Self::OCaml => "ocaml",
        }
    }

    /// The builds that take more than a compiler and its options.
    fn script(self, source: &Path, program: &Path) -> Command {
        let script = match self {
            Self::Go => r#"CGO_ENABLED=0 GOFLAGS=-mod=mod exec go build -o "$2" "$1""#,
            Self::Cpp => {
                r#"set -e
                directory=$(dirname "$2")
                g++ -O2 -fPIC -shared -o "$directory/libthrower.so" "$(dirname "$1")/thrower.cpp"
                exec g++ -O2 -std=c++20 -fnon-call-exceptions -pthread -o "$2" "$1" "$directory/libthrower.so""#
            }
            Self::Java => {
                r#"set -e
                javac -d "$2.classes" "$1"
                exec jar --create --file "$2" --main-class "$(basename "$2")" -C "$2.classes" ."#
            }
            Self::Haskell => r#"exec ghc -v0 -O -threaded -outputdir "$2.objects" -o "$2" "$1""#,
            Self::OCaml => {
                // The compiler leaves what it makes beside the source.
                r#"set -e
                mkdir -p "$2.objects"
                cp "$1" "$2.objects/program.ml"
                exec ocamlopt -I +threads unix.cmxa threads.cmxa -o "$2" "$2.objects/program.ml""#
            }
            _ => {
                r#"set -e
                cd "$(dirname "$1")/../runtimes/rust"
                name=$(basename "$2")
                # What was compiled stays there for the next run: these are a hundred crates.
                target=$(dirname "$2")/../../../runtimes
                cargo build --quiet --release --locked --target-dir "$target"
                exec cp "$target/release/$name" "$2""#
            }
        };
        let mut command = Command::new("sh");
        command
            .args(["-c", script, "sh"])
            .arg(source)
            .arg(program)
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_TARGET_DIR");
        command
    }

    fn command(self, source: &Path, program: &Path) -> Command {
        let (compiler, options): (&str, &[&str]) = match self {
            Self::Static => ("gcc", &["-static", "-no-pie"]),
            Self::StaticPie => ("gcc", &["-static-pie"]),
            Self::Dynamic => ("gcc", &["-pie", "-fPIE"]),
            Self::MuslDynamic => ("musl-gcc", &["-pie", "-fPIE"]),
            Self::RustStatic => ("rustc", &["--target", "x86_64-unknown-linux-musl"]),
            Self::RustDynamic => ("rustc", &[]),
            Self::OpenMp => ("gcc", &["-fopenmp"]),
            Self::Go | Self::Cpp | Self::Cargo | Self::Java | Self::Haskell | Self::OCaml => {
                return self.script(source, program);
            }
        };
        let mut command = Command::new(compiler);
        command.args(options);
        if compiler == "rustc" {
            command.args(["--edition", "2024", "-O"]);
        } else {
            // The programs hand over bad values on purpose.
            command.args([
                "-std=gnu17",
                "-O1",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-Wno-stringop-overflow",
                "-Wno-infinite-recursion",
            ]);
        }
        command.arg("-o").arg(program).arg(source);
        if compiler != "rustc" {
            command.arg("-lm");
        }
        if matches!(self, Self::Dynamic) {
            // What some programs use; the others don't get to need it.
            command.args(["-Wl,--as-needed", "-luring", "-laio"]);
        }
        command
    }
}

type Compiled = Arc<OnceLock<Result<PathBuf, String>>>;

/// The directories of a test run. They lie below cargo's target directory and are made anew each time.
#[derive(Debug)]
pub struct Workshop {
    directory: PathBuf,
    sources: PathBuf,
    command: PathBuf,
    compiled: Mutex<HashMap<PathBuf, Compiled>>,
}

impl Workshop {
    /// Empties `directory` and works there. `sources` holds the test programs; `command` is `pith`.
    pub fn new(directory: &Path, sources: &Path, command: &Path) -> Result<Self, String> {
        if directory.exists() {
            fs::remove_dir_all(directory).map_err(with_path("can't empty", directory))?;
        }
        make_directory(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            sources: sources.to_owned(),
            command: command.to_owned(),
            compiled: Mutex::default(),
        })
    }

    /// The `pith` command under test.
    pub fn command(&self) -> &Path {
        &self.command
    }

    /// `pith SUBCOMMAND`, with a cache of this test run's own.
    pub fn pith(&self, subcommand: &str) -> Command {
        let mut command = Command::new(&self.command);
        command
            .arg(subcommand)
            .env("PITH_CACHE", self.directory.join("cache"));
        command
    }

    /// An empty directory for the case of this name.
    pub fn directory_for(&self, name: &str) -> Result<PathBuf, String> {
        let directory = self
            .directory
            .join("cases")
            .join(name.replace(['/', ':'], "-"));
        if directory.exists() {
            fs::remove_dir_all(&directory).map_err(with_path("can't empty", &directory))?;
        }
        make_directory(&directory)?;
        Ok(directory)
    }

    /// The program of this name, compiled when it is first asked for.
    pub fn program(&self, name: &str, build: Build) -> Result<PathBuf, String> {
        let extension = match build {
            Build::RustStatic | Build::RustDynamic => "rs",
            Build::Go => "go",
            Build::Cpp => "cpp",
            Build::Java => "java",
            Build::Haskell => "hs",
            Build::OCaml => "ml",
            _ => "c",
        };
        let source = self.sources.join(format!("{name}.{extension}"));
        let directory = self.directory.join("programs").join(build.name());
        let program = directory.join(name);
        let slot = {
            let mut compiled = self.compiled.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(compiled.entry(program.clone()).or_default())
        };
        slot.get_or_init(|| {
            make_directory(&directory)?;
            let mut command = build.command(&source, &program);
            let output = command
                .output()
                .map_err(|error| format!("can't start {command:?}: {error}"))?;
            if output.status.success() {
                Ok(program.clone())
            } else {
                let errors = String::from_utf8_lossy(&output.stderr);
                Err(format!("{command:?} failed:\n{errors}"))
            }
        })
        .clone()
    }

    /// Replaces `{NAME:BUILD}` by the path of a test program and `{fixture}` by the fixture's.
    pub fn expand(&self, text: &str, fixture: &Path) -> Result<String, String> {
        let mut expanded = text.replace("{fixture}", &fixture.display().to_string());
        for build in Build::ALL {
            let end = format!(":{}}}", build.name());
            while let Some(close) = expanded.find(&end) {
                let open = expanded[..close]
                    .rfind('{')
                    .ok_or_else(|| format!("'{text}' has a '}}' without '{{'"))?;
                let program = self.program(&expanded[open + 1..close], build)?;
                expanded.replace_range(open..close + end.len(), &program.display().to_string());
            }
        }
        Ok(expanded)
    }
}

/// Makes the files that cases read and change: small and large, empty, links good and bad, names with
/// spaces and beyond ASCII, modes and dates that differ.
pub fn fixture(directory: &Path) -> Result<(), String> {
    let large: Vec<u8> = (0..1_500_001_u32)
        .map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect();
    let numbers: String = (0..2000_u32)
        .map(|index| format!("{}\n", index.wrapping_mul(7919) % 2003))
        .collect();
    let table: String = (1..=300)
        .map(|index| format!("item{index},{},{}\n", index * 37 % 101, index % 7))
        .collect();
    let poem = "Wer reitet so spät\ndurch Nacht und Wind?\n\n  tabs\tand trailing  \nno newline at the end";

    make_directory(&directory.join("directory/deeper"))?;
    make_directory(&directory.join("empty directory"))?;
    let files: [(&str, &[u8], u32); 9] = [
        ("small.txt", b"small file\n", 0o644),
        ("empty", b"", 0o600),
        ("large.bin", &large, 0o640),
        ("numbers.txt", numbers.as_bytes(), 0o644),
        ("table.csv", table.as_bytes(), 0o444),
        ("poem.txt", poem.as_bytes(), 0o755),
        ("name with spaces", b"spaces\n", 0o644),
        ("directory/nested.txt", b"nested\n", 0o644),
        ("directory/deeper/\u{fc}mlaut.txt", b"deep\n", 0o644),
    ];
    for (index, (name, content, mode)) in files.iter().enumerate() {
        let path = directory.join(name);
        fs::write(&path, content).map_err(with_path("can't write", &path))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(*mode))
            .map_err(with_path("can't change", &path))?;
        date(&path, 1_000_000_000 + 86_413 * index as u64)?;
    }
    let extended = [
        ("poem.txt", "user.origin", &b"the fixture"[..]),
        ("poem.txt", "user.empty", b""),
        ("directory", "user.origin", b"a directory"),
        ("directory/deeper", "user.empty", b""),
    ];
    for (file, name, value) in extended {
        let path = directory.join(file);
        match rustix::fs::setxattr(&path, name, value, XattrFlags::empty()) {
            // Without them, both sides see none.
            Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => {}
            Err(errno) => return Err(format!("{}: {errno}", path.display())),
        }
    }
    for (name, target) in [
        ("link-to-small", "small.txt"),
        ("link-to-directory", "directory"),
        ("dangling", "nowhere"),
        ("loop", "loop"),
    ] {
        let path = directory.join(name);
        symlink(target, &path).map_err(with_path("can't link", &path))?;
    }
    for (index, name) in ["directory/deeper", "directory", "empty directory", "."]
        .iter()
        .enumerate()
    {
        date(&directory.join(name), 1_200_000_000 + index as u64)?;
    }
    Ok(())
}

fn date(path: &Path, seconds: u64) -> Result<(), String> {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    fs::File::open(path)
        .and_then(|file| file.set_modified(time))
        .map_err(with_path("can't date", path))
}

/// `mkdir -p`.
pub fn make_directory(path: &Path) -> Result<(), String> {
    fs::create_dir_all(path).map_err(with_path("can't make", path))
}

fn with_path(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> String {
    let path = path.display().to_string();
    move |error| format!("{what} {path}: {error}")
}
