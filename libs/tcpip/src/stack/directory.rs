//! Which connection, request or late record a pair of addresses belongs to.

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::secret::Secret;
use super::{Handle, Tuple};

/// Who gets the segments of a pair of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A socket with a connection.
    Socket(Handle),
    /// A request that is not yet a connection.
    Request(u32),
    /// What is left of a connection.
    Late(u32),
}

/// The directory. It is hashed with the secret of the stack, so that nobody can choose addresses that all fall together.
#[derive(Debug)]
pub(super) struct Directory {
    secret: Secret,
    table: HashTable<(Tuple, Place)>,
}

impl Directory {
    pub(super) fn new(secret: Secret) -> Self {
        Self {
            secret,
            table: HashTable::new(),
        }
    }

    fn hash(&self, tuple: &Tuple) -> u64 {
        self.secret.of_tuple(tuple, 0)
    }

    pub(super) fn find(&self, tuple: &Tuple) -> Option<Place> {
        let found = self
            .table
            .find(self.hash(tuple), |(other, _)| other == tuple);
        found.map(|(_, place)| *place)
    }

    /// Enters a place, instead of another one if there is one.
    pub(super) fn insert(&mut self, tuple: Tuple, place: Place) {
        let hash = self.hash(&tuple);
        let secret = self.secret;
        let entry = self.table.entry(
            hash,
            |(other, _)| *other == tuple,
            |(other, _)| secret.of_tuple(other, 0),
        );
        match entry {
            Entry::Occupied(mut entry) => entry.get_mut().1 = place,
            Entry::Vacant(entry) => {
                entry.insert((tuple, place));
            }
        }
    }

    /// Takes a pair of addresses out, if it still belongs to that place.
    pub(super) fn remove(&mut self, tuple: &Tuple, place: Place) -> bool {
        let hash = self.hash(tuple);
        let found = self
            .table
            .find_entry(hash, |other| other.0 == *tuple && other.1 == place);
        found.map(|entry| entry.remove()).is_ok()
    }
}
