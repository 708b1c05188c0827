//! Tables whose entries have numbers that are not given out again soon.

use alloc::boxed::Box;
use alloc::vec::Vec;

/// Bits of a number that say where in the table the entry is; the others count how often the place was used.
const PLACE_BITS: u32 = 20;
const PLACES: u32 = 1 << PLACE_BITS;

#[derive(Debug)]
struct Slot<T> {
    /// The number of its entry, or of its next one.
    number: u32,
    value: Option<Box<T>>,
}

/// A table.
#[derive(Debug)]
pub(super) struct Table<T> {
    slots: Vec<Slot<T>>,
    /// Places without an entry.
    free: Vec<u32>,
}

impl<T> Table<T> {
    pub(super) const fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
        }
    }

    /// How many entries there are.
    pub(super) fn count(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Adds an entry. Returns its number; `None` if the table is full.
    pub(super) fn insert(&mut self, value: T) -> Option<u32> {
        let place = match self.free.pop() {
            Some(place) => place,
            None if self.slots.len() < PLACES as usize => {
                let place = self.slots.len() as u32;
                self.slots.push(Slot {
                    number: PLACES | place,
                    value: None,
                });
                place
            }
            None => return None,
        };
        let slot = self.slots.get_mut(place as usize)?;
        slot.value = Some(Box::new(value));
        Some(slot.number)
    }

    fn slot(&self, number: u32) -> Option<&Slot<T>> {
        let slot = self.slots.get((number % PLACES) as usize)?;
        (slot.number == number).then_some(slot)
    }

    /// An entry.
    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.slot(number)?.value.as_deref()
    }

    /// An entry, to be changed.
    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        let slot = self.slots.get_mut((number % PLACES) as usize)?;
        if slot.number != number {
            return None;
        }
        slot.value.as_deref_mut()
    }

    /// Takes an entry out.
    pub(super) fn remove(&mut self, number: u32) -> Option<T> {
        let slot = self.slots.get_mut((number % PLACES) as usize)?;
        if slot.number != number {
            return None;
        }
        let value = slot.value.take()?;
        // The next entry there has another number; 0 is none.
        slot.number = slot.number.wrapping_add(PLACES);
        if slot.number < PLACES {
            slot.number += PLACES;
        }
        self.free.push(number % PLACES);
        Some(*value)
    }

    /// All entries with their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.slots
            .iter()
            .filter_map(|slot| Some((slot.number, slot.value.as_deref()?)))
    }

    /// All entries with their numbers, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        self.slots
            .iter_mut()
            .filter_map(|slot| Some((slot.number, slot.value.as_deref_mut()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_found_by_their_numbers_only() {
        let mut table = Table::new();
        let first = table.insert("first").expect("room");
        let second = table.insert("second").expect("room");
        assert_ne!(first, second);
        assert_eq!(table.get(first), Some(&"first"));
        assert_eq!(table.remove(first), Some("first"));
        assert_eq!(table.get(first), None);
        assert_eq!(table.remove(first), None);
        let third = table.insert("third").expect("room");
        assert_ne!(third, first);
        assert_eq!(table.get(first), None);
        assert_eq!(table.get_mut(third), Some(&mut "third"));
        assert_eq!(table.count(), 2);
        let all: Vec<u32> = table.iter().map(|(number, _)| number).collect();
        assert_eq!(all, [third, second]);
    }

    #[test]
    fn a_place_may_be_used_again_and_again() {
        let mut table = Table::new();
        let mut last = 0;
        for _ in 0..10_000 {
            let number = table.insert(()).expect("room");
            assert!(number != last && number != 0);
            assert!(table.remove(number).is_some());
            last = number;
        }
        assert_eq!((table.count(), table.slots.len()), (0, 1));
    }

    #[test]
    fn it_is_full_at_last() {
        let mut table = Table::new();
        let mut count = 0;
        while table.insert(()).is_some() {
            count += 1;
        }
        assert_eq!(count, PLACES);
    }
}
