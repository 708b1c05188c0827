//! Debian's Python on both sides. Pith takes the whole standard library, as it always does; Linux gets only the files
//! that the measured program loads, since its initial file system is unpacked into memory at each boot.

use crate::archive::{Entry, pack_files};
use crate::run::read;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// The interpreter.
pub const INTERPRETER: &str = "/usr/bin/python3";

/// What the machines run: a name, and the arguments of the interpreter.
pub const PROGRAMS: [(&str, &[&str]); 2] = [
    ("python-hello", &["-c", "print(1)"]),
    ("python", &["/python.py"]),
];

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

/// The files that the program loads.
fn files(script: &Path) -> Result<BTreeSet<String>, String> {
    let modules = lines_of(Command::new(INTERPRETER).arg(script).arg("files"))?;
    let mut files = BTreeSet::from([INTERPRETER.to_owned()]);
    files.extend(libraries(INTERPRETER)?);
    for module in modules {
        if module.ends_with(".so") {
            files.extend(libraries(&module)?);
        }
        if Path::new(&module).exists() {
            files.insert(module);
        }
    }
    Ok(files)
}

/// An initial file system for Linux that runs the interpreter.
pub fn archive(init: &[u8], script: &Path, arguments: &[&str]) -> Result<Vec<u8>, String> {
    let mut contents = vec![
        ("init".to_owned(), init.to_owned()),
        ("python.py".to_owned(), read(script)?),
        (
            "arguments".to_owned(),
            format!("{INTERPRETER}\n{}\n", arguments.join("\n")).into_bytes(),
        ),
    ];
    for file in files(script)? {
        let name = file.trim_start_matches('/').to_owned();
        contents.push((name, read(Path::new(&file))?));
    }
    let console = ("dev/console", Entry::Device(5, 1));
    Ok(pack_files(&[], &[console], &contents))
}
