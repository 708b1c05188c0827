//! The names that a directory knows.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::borrow::Borrow;
use core::cmp::Ordering;

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// A name, ordered by its length first: most others differ in that, and their bytes need not be looked at.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned, PartialEq, Eq)]
#[repr(C)]
struct Name([u8]);

impl Name {
    fn of(bytes: &[u8]) -> &Self {
        match Self::ref_from_bytes(bytes) {
            Ok(name) => name,
            // Any bytes are a name, wherever they are.
            Err(_) => unreachable!(),
        }
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        let lengths = self.0.len().cmp(&other.0.len());
        lengths.then_with(|| compare(&self.0, &other.0))
    }
}

/// The order of two names of the same length, word by word: names are short, and a call to compare them would take longer
/// than that does.
fn compare(mut one: &[u8], mut other: &[u8]) -> Ordering {
    while let (Some((word, rest)), Some((other_word, other_rest))) =
        (one.split_first_chunk(), other.split_first_chunk())
    {
        if word != other_word {
            return u64::from_be_bytes(*word).cmp(&u64::from_be_bytes(*other_word));
        }
        (one, other) = (rest, other_rest);
    }
    one.iter().cmp(other)
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[derive(PartialEq, Eq)]
struct Key(Arc<[u8]>);

impl Borrow<Name> for Key {
    fn borrow(&self) -> &Name {
        Name::of(&self.0)
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        Name::of(&self.0).cmp(Name::of(&other.0))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// What is known about names.
pub(super) struct Names<T>(BTreeMap<Key, T>);

impl<T> Default for Names<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T> Names<T> {
    pub(super) fn get(&self, name: &[u8]) -> Option<&T> {
        self.0.get(Name::of(name))
    }

    /// Sets what is known about a name. Returns what was known before.
    pub(super) fn insert(&mut self, name: Arc<[u8]>, value: T) -> Option<T> {
        self.0.insert(Key(name), value)
    }

    /// Forgets a name. Returns what was known about it.
    pub(super) fn remove(&mut self, name: &[u8]) -> Option<T> {
        self.0.remove(Name::of(name))
    }
}
