//! What a user is told once, because it stays true: what pith does without, and what it does instead.

use std::fs;

/// Says something unless it was said before. Where nothing can be remembered, it is said each time. `topic` is a file
/// in the cache directory that remembers what was last said about it.
pub fn once(topic: &str, message: &str, quiet: bool) {
    if !quiet && is_news(topic, message) {
        eprintln!("pith: note: {message}. This is said once.");
    }
}

fn is_news(topic: &str, message: &str) -> bool {
    let Ok(directory) = pith_image::cache_directory() else {
        return true;
    };
    let path = directory.join(topic);
    if fs::read_to_string(&path).is_ok_and(|told| told == message) {
        return false;
    }
    let _ = fs::create_dir_all(&directory).and_then(|()| fs::write(&path, message));
    true
}
