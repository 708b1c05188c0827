//! What is to be done when.

use alloc::collections::BTreeSet;

use crate::time::Instant;

/// Things to do, by their times. The first time is known without looking for it: it is asked for at each call.
#[derive(Debug)]
pub(super) struct Agenda<T> {
    entries: BTreeSet<(Instant, T)>,
    first: Option<Instant>,
}

impl<T: Ord> Agenda<T> {
    pub(super) const fn new() -> Self {
        Self {
            entries: BTreeSet::new(),
            first: None,
        }
    }

    /// When something is to be done.
    pub(super) fn first(&self) -> Option<Instant> {
        self.first
    }

    pub(super) fn insert(&mut self, (at, what): (Instant, T)) {
        if self.first.is_none_or(|first| at < first) {
            self.first = Some(at);
        }
        self.entries.insert((at, what));
    }

    pub(super) fn remove(&mut self, entry: &(Instant, T)) {
        if self.entries.remove(entry) && self.first == Some(entry.0) {
            self.look();
        }
    }

    /// Takes what is to be done now, one after the other.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<T> {
        if self.first? > now {
            return None;
        }
        let (_, what) = self.entries.pop_first()?;
        self.look();
        Some(what)
    }

    fn look(&mut self) {
        self.first = self.entries.first().map(|(at, _)| *at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_time_is_always_known() {
        let mut agenda = Agenda::new();
        let mut model = BTreeSet::new();
        let mut state = 1_u64;
        for round in 0..20_000_u64 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(round);
            let entry = (Instant(state >> 33 & 63), state >> 40 & 7);
            match state >> 60 {
                0..7 => {
                    agenda.insert(entry);
                    model.insert(entry);
                }
                7..12 => {
                    agenda.remove(&entry);
                    model.remove(&entry);
                }
                12 => {
                    let due = model.first().copied().filter(|(at, _)| *at <= entry.0);
                    if let Some(first) = due {
                        model.remove(&first);
                    }
                    assert_eq!(agenda.take_due(entry.0), due.map(|(_, what)| what));
                }
                _ => {}
            }
            assert_eq!(agenda.first(), model.first().map(|(at, _)| *at));
        }
    }
}
