//! Test suites that Debian has in source packages only.

use crate::process::{Failure, find_program, output, run, target_directory};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A source package of Debian, and what of it is unpacked.
struct Source {
    package: &'static str,
    directory: &'static str,
}

const SOURCES: &[Source] = &[Source {
    package: "redis",
    directory: "tests",
}];

/// Fetches what is not there yet, by `apt-get`, which checks it against Debian's signatures. The machine's own lists of
/// sources are left as they are.
pub fn fetch() -> Result<(), Failure> {
    for source in SOURCES {
        let place = target_directory().join("tmp/sources").join(source.package);
        if !place.join(source.directory).is_dir() {
            fetch_one(source, &place)?;
        }
    }
    Ok(())
}

fn fetch_one(source: &Source, place: &Path) -> Result<(), Failure> {
    let package = source.package;
    if find_program("apt-get").is_none() {
        return Err(Failure::new(format!(
            "the tests of {package} come from Debian's source package, and there is no apt-get; \
             unpack the sources of {package} 7.0 into {}",
            place.display()
        )));
    }
    eprintln!("==> fetching the sources of {package}");
    let lists = place.join("lists/partial");
    make(&lists)?;
    let list = place.join("debian.sources");
    write(&list, &sources_list()?)?;
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command
            .arg("--quiet")
            .args(["-o", "APT::Sandbox::User=root"])
            .args(["-o", "Dir::Etc::sourceparts=/nonexistent"])
            .arg("-o")
            .arg(format!("Dir::Etc::sourcelist={}", list.display()))
            .arg("-o")
            .arg(format!(
                "Dir::State::lists={}",
                place.join("lists").display()
            ))
            .args(arguments)
            .current_dir(place);
        run(&mut command)
    };
    apt(&["update"])?;
    apt(&["source", "--download-only", package])?;
    let archive = archive(place)?;
    run(Command::new("tar")
        .args(["--extract", "--strip-components=1", "--file"])
        .arg(&archive)
        .current_dir(place))
}

/// Debian's sources for the release that this machine runs.
fn sources_list() -> Result<String, Failure> {
    let release =
        output(Command::new("sh").args(["-c", ". /etc/os-release; echo $VERSION_CODENAME"]))?;
    let part = |address: &str, suite: &str| {
        format!(
            "Types: deb-src\nURIs: http://deb.debian.org/{address}\nSuites: {suite}\nComponents: main\n\
             Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n"
        )
    };
    Ok(part("debian", &release) + &part("debian-security", &format!("{release}-security")))
}

/// The package's upstream part.
fn archive(place: &Path) -> Result<PathBuf, Failure> {
    let entries = fs::read_dir(place)
        .map_err(|error| Failure::new(format!("can't read {}: {error}", place.display())))?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().contains(".orig.tar."))
        .ok_or_else(|| Failure::new(format!("no archive came to {}", place.display())))
}

fn make(directory: &Path) -> Result<(), Failure> {
    fs::create_dir_all(directory)
        .map_err(|error| Failure::new(format!("can't make {}: {error}", directory.display())))
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text)
        .map_err(|error| Failure::new(format!("can't write {}: {error}", path.display())))
}
