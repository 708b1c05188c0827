//! The words of sources: which of the things that are installed a program may name.
//!
//! Reading what a language imports by its grammar would miss names that are put together or that stand in strings and
//! configuration. Any word of an application's sources that is the name of something installed therefore counts. It
//! takes too much now and then, and misses only names that the sources don't contain.

use std::collections::HashSet;
use std::path::Path;

/// A set of words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Words(HashSet<String>);

impl Words {
    /// Adds the words of a text: runs of letters, digits and `_`, and longer runs that have `-` within as well.
    pub fn add(&mut self, text: &str) {
        let in_word = |character: char| character.is_alphanumeric() || character == '_';
        for long in text.split(|character| !in_word(character) && character != '-') {
            let long = long.trim_matches('-');
            if !long.is_empty() && !self.0.contains(long) {
                self.0.insert(long.to_owned());
                if long.contains('-') {
                    let parts = long.split('-').filter(|part| !part.is_empty());
                    self.0.extend(parts.map(str::to_owned));
                }
            }
        }
    }

    /// Adds the words of a file. One that can't be read has none: it will be missed when the image is built.
    pub fn add_file(&mut self, path: &Path) {
        if let Ok(bytes) = std::fs::read(path) {
            self.add(&String::from_utf8_lossy(&bytes));
        }
    }

    /// Whether this is one of them.
    pub fn contains(&self, word: &str) -> bool {
        self.0.contains(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_code_and_in_strings() {
        let mut words = Words::default();
        words.add("from numpy import *; importlib.import_module('foo_bar.baz')\nrequire \"rack-protection/x\" -- ü2");
        for word in [
            "numpy",
            "foo_bar",
            "baz",
            "rack-protection",
            "rack",
            "protection",
            "x",
            "ü2",
        ] {
            assert!(words.contains(word), "{word}");
        }
        for word in ["num", "", "-", "foo"] {
            assert!(!words.contains(word), "{word}");
        }
    }
}
