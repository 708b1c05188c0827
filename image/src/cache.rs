//! Images that were built before, so that running a program again builds nothing.
//!
//! The cache is a directory of images named by their key: a hash over the kernel, the configuration and,
//! for every file, its place, attributes and identity on the host. An identity (device, inode, change
//! time, size) changes with the file's contents, and is known without reading them.
//!
//! Images are created under other names and renamed when complete, so that several commands may use the
//! cache at a time. After an image was added, the ones that were used least recently are deleted until
//! the rest fits [`MAXIMUM_SIZE`]; images that were used within the last minute stay, for their machine
//! may be starting.

use std::fs::{self, File, FileTimes};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use sha2::Digest;

use crate::assemble::{Kernel, TEMPORARY_SUFFIX, build, hexadecimal};
use crate::error::Error;
use crate::inspect::read_configuration;
use crate::plan::{BuildPlan, field};

/// How much the images in the cache take at most, in bytes: 4 GiB.
pub const MAXIMUM_SIZE: u64 = 4 << 30;

/// Images that were used so recently are not deleted.
const IN_USE: Duration = Duration::from_secs(60);

/// Incomplete images of this age were left behind by a command that was killed.
const ABANDONED: Duration = Duration::from_secs(60 * 60);

/// How names of cached images end.
const SUFFIX: &str = ".pith";

/// Where cached images are: `$PITH_CACHE`, otherwise `$XDG_CACHE_HOME/pith`, otherwise `~/.cache/pith`.
pub fn cache_directory() -> Result<PathBuf, Error> {
    let variable = |name| {
        let value = std::env::var_os(name).filter(|value| !value.is_empty())?;
        Some(PathBuf::from(value))
    };
    if let Some(directory) = variable("PITH_CACHE") {
        return Ok(directory);
    }
    // The XDG base directory specification has relative paths ignored.
    if let Some(directory) = variable("XDG_CACHE_HOME").filter(|path| path.is_absolute()) {
        return Ok(directory.join("pith"));
    }
    variable("HOME")
        .map(|home| home.join(".cache/pith"))
        .ok_or(Error::NoCacheDirectory)
}

/// Builds an image in the cache ([`cache_directory`]) unless it is there. Says whether it was.
pub fn build_cached(plan: &BuildPlan, kernel: &Kernel<'_>) -> Result<(PathBuf, bool), Error> {
    cached_image(plan, kernel, &cache_directory()?)
}

/// Builds an image in a cache unless it is there. Says whether it was.
pub fn cached_image(
    plan: &BuildPlan,
    kernel: &Kernel<'_>,
    directory: &Path,
) -> Result<(PathBuf, bool), Error> {
    let mut hash = plan.key();
    field(&mut hash, kernel.version.as_bytes());
    field(&mut hash, kernel.elf);
    // Another version of the builder may lay the same things out differently.
    field(&mut hash, env!("CARGO_PKG_VERSION").as_bytes());
    let path = directory.join(format!("{}{SUFFIX}", hexadecimal(&hash.finalize())));
    if is_complete(&path) {
        // The time of the last use decides what is deleted first; not knowing it does no harm.
        let now = FileTimes::new().set_modified(SystemTime::now());
        let _ = File::options()
            .write(true)
            .open(&path)
            .and_then(|file| file.set_times(now));
        return Ok((path, true));
    }
    fs::create_dir_all(directory).map_err(Error::unwritable(directory))?;
    build(plan, kernel, &path)?;
    shrink(directory, &path, MAXIMUM_SIZE);
    Ok((path, false))
}

/// Whether an image is there and reaches as far as its headers say.
fn is_complete(path: &Path) -> bool {
    read_configuration(path).is_ok()
}

/// Deletes images until the rest fits. Failing to delete something is no reason not to run a program, so
/// errors end in nothing being deleted.
fn shrink(directory: &Path, newest: &Path, maximum: u64) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    let mut images = Vec::new();
    let mut total = 0;
    for entry in entries.flatten() {
        let Ok(metadata) = entry.metadata() else {
            continue;
        };
        let path = entry.path();
        let age = metadata
            .modified()
            .ok()
            .and_then(|used| used.elapsed().ok())
            .unwrap_or_default();
        let name = entry.file_name();
        if name.as_bytes().ends_with(TEMPORARY_SUFFIX.as_bytes()) {
            if age > ABANDONED {
                let _ = fs::remove_file(&path);
            }
            continue;
        }
        if !metadata.is_file() || !name.as_bytes().ends_with(SUFFIX.as_bytes()) {
            continue;
        }
        total += metadata.len();
        if path != newest && age > IN_USE {
            images.push((age, path, metadata.len()));
        }
    }
    images.sort_unstable();
    while total > maximum
        && let Some((_, path, size)) = images.pop()
    {
        if fs::remove_file(path).is_ok() {
            total -= size;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &Path, size: usize, age: Duration) {
        fs::write(path, vec![0; size]).unwrap();
        let times = FileTimes::new().set_modified(SystemTime::now() - age);
        File::options()
            .write(true)
            .open(path)
            .unwrap()
            .set_times(times)
            .unwrap();
    }

    #[test]
    fn the_least_recently_used_images_go_first() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        file(&at("old.pith"), 100, Duration::from_secs(3000));
        file(&at("older.pith"), 100, Duration::from_secs(4000));
        file(&at("recent.pith"), 100, Duration::from_secs(1));
        file(&at("new.pith"), 100, Duration::from_secs(5000));
        file(&at(".left.tmp"), 10, Duration::from_secs(7200));
        file(&at(".current.tmp"), 10, Duration::from_secs(5));
        file(&at("unrelated"), 1000, Duration::from_secs(9000));
        shrink(directory.path(), &at("new.pith"), 300);
        assert!(!at("older.pith").exists() && !at(".left.tmp").exists());
        for kept in [
            "old.pith",
            "recent.pith",
            "new.pith",
            ".current.tmp",
            "unrelated",
        ] {
            assert!(at(kept).exists(), "{kept}");
        }
        shrink(directory.path(), &at("new.pith"), 0);
        assert!(!at("old.pith").exists());
        assert!(at("recent.pith").exists() && at("new.pith").exists());
    }
}
