//! What programs look for in the image in vain.
//!
//! A program that stops for want of a file does not always name it. The host knows whether it has a file that the guest
//! was asked for, so the first paths are kept, and told when the machine ends.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};

use spin::Mutex;

use super::{Inode as _, Node};

/// Most paths that are kept.
const MAXIMUM_PATHS: usize = 512;
/// Most bytes of paths that are kept.
const MAXIMUM_BYTES: usize = 32 * 1024;

/// The paths so far.
struct Lacking {
    /// Sorted, one for each path: the directory's number and what is behind it, mixed.
    keys: Vec<u64>,
    /// The paths, each with a byte of zero behind it.
    paths: Vec<u8>,
}

static LACKING: Mutex<Lacking> = Mutex::new(Lacking {
    keys: Vec::new(),
    paths: Vec::new(),
});
/// No more are kept.
static FULL: AtomicBool = AtomicBool::new(false);

/// Two paths with the same key would count as one, which costs a note at most.
fn key_of(directory: u64, name: &[u8], rest: &[u8]) -> u64 {
    // FNV-1a.
    let start = directory ^ 0xcbf2_9ce4_8422_2325;
    let text = name.iter().chain(b"/").chain(rest);
    text.fold(start, |key, byte| {
        (key ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}

/// Keeps the path of a name that a directory does not have, with what a program wants behind it.
pub(super) fn note(directory: &Node, name: &[u8], rest: &[u8]) {
    if FULL.load(Ordering::Relaxed) {
        return;
    }
    let key = key_of(directory.number, name, rest);
    let is_new = |lacking: &Lacking| lacking.keys.binary_search(&key).err();
    if is_new(&LACKING.lock()).is_none() {
        return;
    }
    let path = directory.path();
    if path.removed {
        return;
    }
    let mut lacking = LACKING.lock();
    let lacking = &mut *lacking;
    // Somebody else may have been faster.
    let Some(place) = is_new(lacking) else { return };
    let length = path.bytes.len() + name.len() + rest.len() + 3;
    let fits = lacking.keys.len() < MAXIMUM_PATHS
        && lacking.paths.len() + length <= MAXIMUM_BYTES
        && lacking.keys.try_reserve(1).is_ok()
        && lacking.paths.try_reserve(length).is_ok();
    if !fits {
        FULL.store(true, Ordering::Relaxed);
        return;
    }
    lacking.keys.insert(place, key);
    lacking.paths.extend_from_slice(&path.bytes);
    if path.bytes != b"/" {
        lacking.paths.push(b'/');
    }
    lacking.paths.extend_from_slice(name);
    if !rest.is_empty() {
        lacking.paths.push(b'/');
        lacking.paths.extend_from_slice(rest);
    }
    lacking.paths.push(0);
}

/// Takes the paths, each with a byte of zero behind it. Nothing is kept from now on.
pub fn take() -> Vec<u8> {
    FULL.store(true, Ordering::Relaxed);
    core::mem::take(&mut LACKING.lock().paths)
}
