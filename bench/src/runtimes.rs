//! Debian's runtimes on both sides. Pith takes what its rules for the language take, as it always does; Linux gets only the
//! files that the measured program opens, since its initial file system is unpacked into memory at each boot.

use crate::archive::{Entry, pack_below};
use crate::pith;
use crate::run::{Workshop, read, time};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long the machine may take whose calls tell which files are needed.
const LIMIT: Duration = Duration::from_secs(60);

/// A program of a runtime.
#[derive(Clone, Copy, Debug)]
pub struct Runtime {
    /// What images and archives are called.
    pub name: &'static str,
    /// How it is called for people.
    pub title: &'static str,
    /// The interpreter.
    pub interpreter: &'static str,
    /// Its arguments.
    pub arguments: &'static [&'static str],
    /// Files that the measured program has beside its interpreter: from the benchmark, and in the machine.
    pub files: &'static [(&'static str, &'static str)],
    /// Memory of the machines whose time is measured, in MiB.
    pub memory: u32,
    /// Most memory that is tried when looking for the least, in MiB.
    pub most_memory: u32,
}

/// A program of each runtime that prints 1.
pub const RUNTIMES: [Runtime; 6] = [
    Runtime {
        name: "python-hello",
        title: "python3 -c 'print(1)'",
        interpreter: "/usr/bin/python3",
        arguments: &["-c", "print(1)"],
        files: &[],
        memory: 256,
        most_memory: 512,
    },
    Runtime {
        name: "node-hello",
        title: "node -e 'console.log(1)'",
        interpreter: "/usr/bin/node",
        arguments: &["-e", "console.log(1)"],
        files: &[],
        memory: 1024,
        most_memory: 1024,
    },
    Runtime {
        name: "java-hello",
        title: "java Hello",
        interpreter: "/usr/bin/java",
        arguments: &["-cp", "/classes", "Hello"],
        files: &[("Hello.class", "/classes/Hello.class")],
        memory: 1024,
        most_memory: 1024,
    },
    Runtime {
        name: "ruby-hello",
        title: "ruby -e 'puts 1'",
        interpreter: "/usr/bin/ruby",
        arguments: &["-e", "puts 1"],
        files: &[],
        memory: 256,
        most_memory: 512,
    },
    Runtime {
        name: "php-hello",
        title: "php -r 'echo 1, PHP_EOL;'",
        interpreter: "/usr/bin/php",
        arguments: &["-r", "echo 1, PHP_EOL;"],
        files: &[],
        memory: 512,
        most_memory: 512,
    },
    Runtime {
        name: "erlang-hello",
        title: "erl -noshell -eval 'io:put_chars(\"1\\n\"), halt().'",
        interpreter: "/usr/bin/erl",
        arguments: &["-noshell", "-eval", "io:put_chars(\"1\\n\"), halt()."],
        files: &[],
        memory: 512,
        most_memory: 512,
    },
];

/// Python, computing.
pub const PYTHON: Runtime = Runtime {
    name: "python",
    title: "python3 python.py",
    arguments: &["/python.py"],
    files: &[("python.py", "/python.py")],
    ..RUNTIMES[0]
};

/// What tells how long a program ran.
const TIMED: [(&str, &str); 2] = [
    ("timed.so", "/timed.so"),
    ("ld.so.preload", "/etc/ld.so.preload"),
];

/// Programs that work on files, timed from the inside, so that booting and loading do not count.
pub const FILE_PROGRAMS: [Runtime; 2] = [
    Runtime {
        name: "tar",
        title: "`tar` of some 760 files (6 MiB) to a file in tmpfs",
        interpreter: "/usr/bin/tar",
        arguments: &["-cf", "/tmp/tree.tar", "-C", "/", "tree"],
        files: &[TIMED[0], TIMED[1], ("/usr/include/linux", "/tree/linux")],
        ..RUNTIMES[0]
    },
    Runtime {
        name: "sqlite",
        title: "SQLite: a script of inserts, selects and transactions (`bench/programs/speed.sql`)",
        interpreter: "/usr/bin/sqlite3",
        arguments: &["/tmp/speed.db", ".read /speed.sql"],
        files: &[TIMED[0], TIMED[1], ("speed.sql", "/speed.sql")],
        ..RUNTIMES[0]
    },
];

/// All of them.
pub fn all() -> impl Iterator<Item = Runtime> {
    RUNTIMES.into_iter().chain([PYTHON]).chain(FILE_PROGRAMS)
}

/// Compiles what needs it.
pub fn prepare(workshop: &Workshop, sources: &Path) -> Result<(), String> {
    lines_of(
        Command::new("javac")
            .arg("-d")
            .arg(workshop.path(""))
            .arg(sources.join("Hello.java")),
    )
    .map(drop)
}

impl Runtime {
    /// Words for `pith run` and `pith build`, up to the end of the command.
    pub fn words(&self, workshop: &Workshop, sources: &Path) -> Vec<String> {
        let mut words = Vec::new();
        for (host, guest) in self.placed(workshop, sources) {
            words.extend(["--file".into(), format!("{}:{guest}", host.display())]);
        }
        words.extend(["--".into(), self.interpreter.into()]);
        words.extend(self.arguments.iter().map(|&word| word.into()));
        words
    }

    fn placed(&self, workshop: &Workshop, sources: &Path) -> Vec<(PathBuf, &'static str)> {
        let find = |name: &str| match sources.join(name) {
            path if path.exists() => path,
            _ => workshop.path(name),
        };
        self.files
            .iter()
            .map(|&(name, guest)| (find(name), guest))
            .collect()
    }

    /// The files that the program opens or looks at, by the calls that it makes in a machine of Pith's.
    fn opened(&self, workshop: &Workshop, sources: &Path) -> Result<BTreeSet<String>, String> {
        let mut command = Command::new(pith::command()?);
        command
            .args(["run", "--trace", "-m", &self.memory.to_string()])
            .args(self.words(workshop, sources));
        let run = time(&mut command, LIMIT)?
            .filter(|run| run.success)
            .ok_or_else(|| format!("{command:?} fails"))?;
        let program = std::fs::canonicalize(self.interpreter)
            .map_err(|error| format!("can't find {}: {error}", self.interpreter))?;
        let program = program.display().to_string();
        // A script names its interpreter in its first line, which is not among its calls.
        let loaded = interpreter_of(&program)?.unwrap_or_else(|| program.clone());
        let mut files: BTreeSet<String> = libraries(&loaded)?.into_iter().collect();
        files.extend(paths_in(&run.error).map(str::to_owned));
        files.extend([program, loaded]);
        files.retain(|path| Path::new(path).is_file());
        Ok(files)
    }

    /// An initial file system for Linux that runs the program.
    pub fn archive(
        &self,
        init: &[u8],
        workshop: &Workshop,
        sources: &Path,
    ) -> Result<Vec<u8>, String> {
        let program = std::fs::canonicalize(self.interpreter).map_err(|error| error.to_string())?;
        let arguments = format!("{}\n{}\n", program.display(), self.arguments.join("\n"));
        // Path in the machine: contents, and time of their last change.
        let mut files: BTreeMap<String, (Vec<u8>, u32)> = BTreeMap::new();
        let opened = self.opened(workshop, sources)?;
        let mut placed = Vec::new();
        for (host, guest) in self.placed(workshop, sources) {
            files_below(&host, guest.to_owned(), &mut placed)?;
        }
        for (host, guest) in opened
            .into_iter()
            .map(|path| (PathBuf::from(&path), path))
            .chain(placed)
        {
            let metadata = std::fs::metadata(&host).map_err(|error| error.to_string())?;
            let modified = u32::try_from(metadata.mtime()).unwrap_or_default();
            let name = guest.trim_start_matches('/').to_owned();
            files.insert(name, (read(&host)?, modified));
        }
        let mut entries = vec![
            ("init", Entry::Program(init)),
            ("arguments", Entry::Program(arguments.as_bytes())),
            ("dev/console", Entry::Device(5, 1)),
            ("dev/null", Entry::Device(1, 3)),
            ("dev/urandom", Entry::Device(1, 9)),
        ];
        entries.extend(
            files
                .iter()
                .map(|(name, (bytes, time))| (name.as_str(), Entry::Dated(bytes, *time))),
        );
        Ok(pack_below(&["proc", "tmp"], entries))
    }
}

/// Adds a file, or all files below a directory, with their paths in the machine.
fn files_below(
    host: &Path,
    guest: String,
    files: &mut Vec<(PathBuf, String)>,
) -> Result<(), String> {
    if !host.is_dir() {
        files.push((host.into(), guest));
        return Ok(());
    }
    let unreadable = |error| format!("can't read {}: {error}", host.display());
    let entries = std::fs::read_dir(host).map_err(unreadable)?;
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    names.sort();
    for name in names {
        let below = format!("{guest}/{}", name.display());
        files_below(&host.join(name), below, files)?;
    }
    Ok(())
}

/// Absolute paths between quotation marks in a trace of calls, without those of the kernel's own file systems.
fn paths_in(trace: &str) -> impl Iterator<Item = &str> {
    trace.split('"').filter(|text| {
        let own = ["/proc", "/sys", "/dev"];
        text.starts_with('/')
            && !text.contains('\n')
            && !own.iter().any(|directory| text.starts_with(directory))
    })
}

/// The program that the first line of a script names; nothing for other files.
fn interpreter_of(file: &str) -> Result<Option<String>, String> {
    let bytes = read(Path::new(file))?;
    let Some(rest) = bytes.strip_prefix(b"#!") else {
        return Ok(None);
    };
    let line = rest.split(|&byte| byte == b'\n').next().unwrap_or(rest);
    let line = String::from_utf8_lossy(line);
    Ok(line.split_whitespace().next().map(str::to_owned))
}

/// What a command prints, line by line.
fn lines_of(command: &mut Command) -> Result<Vec<String>, String> {
    let output = command
        .output()
        .map_err(|error| format!("can't start {command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?} fails"));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().map(str::to_owned).collect())
}

/// The shared objects that a file needs.
pub fn libraries(file: &str) -> Result<Vec<String>, String> {
    let lines = lines_of(Command::new("ldd").arg(file))?;
    let paths = lines.iter().filter_map(|line| {
        let mut words = line.split_whitespace();
        words.find(|word| word.starts_with('/')).map(str::to_owned)
    });
    Ok(paths.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_found_in_a_trace() {
        let trace = "openat(AT_FDCWD, \"/etc/hosts\", O_RDONLY) = 3\nwrite(1, \"1\\n\", 2) = 2\nopen(\"/proc/self/maps\") = 4\nstat(\"/usr/lib\", 0x1) = 0\n";
        assert_eq!(
            paths_in(trace).collect::<Vec<_>>(),
            ["/etc/hosts", "/usr/lib"]
        );
    }

    #[test]
    fn names_are_unique() {
        let names: BTreeSet<&str> = all().map(|runtime| runtime.name).collect();
        assert_eq!(names.len(), RUNTIMES.len() + FILE_PROGRAMS.len() + 1);
    }
}
