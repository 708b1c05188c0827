//! Queues that mostly hold one thing, or none.

use alloc::collections::VecDeque;

/// A queue. Its first entry needs no memory of its own, and when it is empty it has none.
#[derive(Clone, Debug)]
pub(crate) struct Queue<T> {
    first: Option<T>,
    others: VecDeque<T>,
}

impl<T> Queue<T> {
    pub(crate) const fn new() -> Self {
        Self {
            first: None,
            others: VecDeque::new(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        usize::from(self.first.is_some()) + self.others.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(crate) fn push_back(&mut self, entry: T) {
        match self.first {
            None => self.first = Some(entry),
            Some(_) => self.others.push_back(entry),
        }
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let next = self.others.pop_front();
        if self.others.is_empty() && self.others.capacity() != 0 {
            self.others = VecDeque::new();
        }
        core::mem::replace(&mut self.first, next)
    }

    pub(crate) fn front(&self) -> Option<&T> {
        self.first.as_ref()
    }

    pub(crate) fn front_mut(&mut self) -> Option<&mut T> {
        self.first.as_mut()
    }

    pub(crate) fn back(&self) -> Option<&T> {
        self.others.back().or(self.first.as_ref())
    }

    pub(crate) fn back_mut(&mut self) -> Option<&mut T> {
        self.others.back_mut().or(self.first.as_mut())
    }

    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        match index.checked_sub(1) {
            None => self.first.as_ref(),
            Some(index) => self.others.get(index),
        }
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        match index.checked_sub(1) {
            None => self.first.as_mut(),
            Some(index) => self.others.get_mut(index),
        }
    }

    /// Puts an entry behind so many others.
    pub(crate) fn insert(&mut self, index: usize, entry: T) {
        match (index.checked_sub(1), self.first.take()) {
            (None, None) => self.first = Some(entry),
            (None, Some(old)) => {
                self.first = Some(entry);
                self.others.push_front(old);
            }
            (Some(index), first) => {
                self.first = first;
                self.others.insert(index.min(self.others.len()), entry);
            }
        }
    }

    /// How many entries at the front suit, if those that do all come first.
    pub(crate) fn partition_point(&self, mut suits: impl FnMut(&T) -> bool) -> usize {
        match &self.first {
            Some(first) if suits(first) => 1 + self.others.partition_point(suits),
            _ => 0,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.first.iter().chain(&self.others)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.first.iter_mut().chain(&mut self.others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn it_is_a_queue() {
        let mut queue = Queue::new();
        let mut model = VecDeque::new();
        let mut state = 1_u32;
        for round in 0..10_000 {
            state = state.wrapping_mul(1_103_515_245).wrapping_add(12345);
            match state >> 16 & 7 {
                0..3 => {
                    queue.push_back(round);
                    model.push_back(round);
                }
                3 => {
                    let index = (state >> 20) as usize % (model.len() + 1);
                    queue.insert(index, round);
                    model.insert(index, round);
                }
                _ => assert_eq!(queue.pop_front(), model.pop_front()),
            }
            assert!(queue.iter().eq(model.iter()));
            assert_eq!(queue.len(), model.len());
            assert_eq!((queue.front(), queue.back()), (model.front(), model.back()));
            let last = model.len().wrapping_sub(1);
            assert_eq!(queue.get(last), model.get(last));
            assert_eq!(queue.get_mut(0), model.get_mut(0));
        }
        while queue.pop_front().is_some() {}
        assert_eq!(queue.others.capacity(), 0);
        let sorted: Vec<u32> = (0..10).collect();
        for entry in &sorted {
            queue.push_back(*entry);
        }
        for limit in 0..12 {
            let expected = sorted.partition_point(|entry| *entry < limit);
            assert_eq!(queue.partition_point(|entry| *entry < limit), expected);
        }
    }
}
