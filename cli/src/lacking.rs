//! Files that the program looked for and the image lacks, although this machine has them: often why it stopped.

use std::path::{Path, PathBuf};

/// Paths that are named unless the user asks for more. The last come closest to why the program stopped.
const SHOWN: usize = 8;

/// Directories whose contents are not a matter of what is in an image.
const OF_THE_MACHINE: [&str; 5] = ["/dev", "/proc", "/run", "/sys", "/tmp"];

/// What the C library looks for and does well without: translated messages and other character sets.
const OPTIONAL: [&str; 3] = [
    "/usr/lib/locale",
    "/usr/lib/x86_64-linux-gnu/gconv",
    "/usr/share/locale",
];

/// Names those of the paths that this machine has.
pub fn tell(paths: &[PathBuf], everything: bool) {
    let mut here = found(paths, |path| path.symlink_metadata().is_ok());
    if !everything {
        here.retain(|path| !OPTIONAL.iter().any(|place| path.starts_with(place)));
    }
    if let Some(note) = note(&here, if everything { usize::MAX } else { SHOWN }) {
        eprintln!("pith: note: {note}");
    }
}

fn found(paths: &[PathBuf], exists: impl Fn(&Path) -> bool) -> Vec<&Path> {
    let paths = paths.iter().map(PathBuf::as_path);
    paths
        .filter(|path| !OF_THE_MACHINE.iter().any(|place| path.starts_with(place)))
        .filter(|path| exists(path))
        .collect()
}

fn note(paths: &[&Path], shown: usize) -> Option<String> {
    let before = paths.len().saturating_sub(shown);
    let names: Vec<String> = paths[before..]
        .iter()
        .map(|path| format!("`{}`", path.display()))
        .collect();
    let more = match before {
        0 => String::new(),
        _ => format!(" and {before} more (-v names them all)"),
    };
    (!names.is_empty()).then(|| {
        format!(
            "the program looked for what this machine has and the image lacks; add what it needs with --file: {}{more}",
            names.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_this_machine_are_named() {
        let paths = ["/etc/app", "/proc/7", "/nowhere", "/tmp/x", "/tmpfiles/y"].map(PathBuf::from);
        let here = found(&paths, |path| path != Path::new("/nowhere"));
        assert_eq!(here, [Path::new("/etc/app"), Path::new("/tmpfiles/y")]);
    }

    #[test]
    fn the_last_paths_are_named_and_the_others_counted() {
        let paths = [Path::new("/a"), Path::new("/b"), Path::new("/c")];
        let text = note(&paths, 2).unwrap();
        assert!(
            text.ends_with("`/b`, `/c` and 1 more (-v names them all)"),
            "{text}"
        );
        assert!(note(&paths, 3).unwrap().ends_with("`/a`, `/b`, `/c`"));
        assert_eq!(note(&[], 3), None);
    }
}
