//! Large images: a warning that says what takes the room.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::languages::Note;
use crate::text;

/// From this many bytes on, an image is called large. It lies in the machine's memory as a whole.
const LARGE: u64 = 256 << 20;

/// How many parts are named.
const NAMED: usize = 5;

/// A remark on files, given with their sizes in bytes, that together are large.
pub(crate) fn warning<'a>(files: impl Iterator<Item = (&'a Path, u64)>) -> Option<Note> {
    let mut sums: HashMap<PathBuf, u64> = HashMap::new();
    for (path, size) in files {
        for place in path.ancestors() {
            *sums.entry(place.to_path_buf()).or_default() += size;
        }
    }
    let total = sums.get(Path::new("/")).copied().unwrap_or_default();
    if total < LARGE {
        return None;
    }
    let parts: Vec<String> = largest(&sums)
        .into_iter()
        .map(|(path, size)| format!("`{}` ({})", path.display(), text::size(size)))
        .collect();
    Some(Note::new(
        "size",
        format!(
            "the image holds {}, all of it in the machine's memory; most of it are {}",
            text::size(total),
            parts.join(", ")
        ),
    ))
}

/// The parts that take most: files, or directories in which nothing takes the half, largest first.
fn largest(sums: &HashMap<PathBuf, u64>) -> Vec<(&Path, u64)> {
    let mut children: HashMap<&Path, Vec<(&Path, u64)>> = HashMap::new();
    for (path, &size) in sums {
        if let Some(parent) = path.parent() {
            children.entry(parent).or_default().push((path, size));
        }
    }
    let mut parts = Vec::new();
    let mut open = vec![(
        Path::new("/"),
        sums.get(Path::new("/")).copied().unwrap_or_default(),
    )];
    while parts.len() < NAMED {
        open.sort_unstable_by_key(|&(path, size)| (size, path));
        let Some((path, size)) = open.pop() else {
            break;
        };
        let below = children.get(path).map(Vec::as_slice).unwrap_or_default();
        let dominant = below.iter().any(|&(_, part)| part * 2 >= size);
        match dominant || path.components().count() <= 2 && !below.is_empty() {
            true => open.extend(below),
            false => parts.push((path, size)),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_parts_are_named() {
        let files = [
            ("/usr/lib/jvm/lib/modules", 200 << 20),
            ("/usr/lib/jvm/lib/libjvm.so", 20 << 20),
            ("/srv/app/data/one", 50 << 20),
            ("/srv/app/data/two", 40 << 20),
            ("/srv/app/data/three", 30 << 20),
            ("/etc/passwd", 100),
        ]
        .map(|(path, size)| (Path::new(path), size));
        let note = warning(files.into_iter())
            .expect("that is large")
            .to_string();
        let position = |text: &str| note.find(text).unwrap_or_else(|| panic!("{text}: {note}"));
        assert!(
            position("`/usr/lib/jvm/lib/modules` (200.0 MiB)")
                < position("`/srv/app/data` (120.0 MiB)")
        );
        assert!(note.contains("holds 340.0 MiB"), "{note}");
    }

    #[test]
    fn small_images_need_no_remark() {
        assert_eq!(warning([(Path::new("/bin/ls"), 150_000)].into_iter()), None);
    }
}
