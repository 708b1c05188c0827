//! The map behaves as the standard library's.

use std::collections::BTreeMap;

use pith_sorted_map::{SortedMap, sort_by_key};
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Step {
    Insert(u8, u32),
    GetOrInsert(u8, u32),
    Remove(u8),
    Change(u8, u32),
    Retain(u8),
    Clear,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (any::<u8>(), any::<u32>()).prop_map(|(key, value)| Step::Insert(key, value)),
        2 => (any::<u8>(), any::<u32>()).prop_map(|(key, value)| Step::GetOrInsert(key, value)),
        8 => any::<u8>().prop_map(Step::Remove),
        2 => (any::<u8>(), any::<u32>()).prop_map(|(key, value)| Step::Change(key, value)),
        1 => any::<u8>().prop_map(Step::Retain),
        1 => Just(Step::Clear),
    ]
}

proptest! {
    #[test]
    fn a_list_is_sorted_by_a_key(mut list in prop::collection::vec((any::<u8>(), any::<u16>()), 0..300)) {
        let mut model = list.clone();
        sort_by_key(&mut list, |entry| entry.0);
        prop_assert!(list.is_sorted_by_key(|entry| entry.0));
        // None got lost.
        list.sort();
        model.sort();
        prop_assert_eq!(list, model);
    }

    #[test]
    fn it_behaves_as_a_tree(steps in prop::collection::vec(step(), 0..400)) {
        let mut map = SortedMap::new();
        let mut model = BTreeMap::new();
        for step in steps {
            match step {
                Step::Insert(key, value) => prop_assert_eq!(map.insert(key, value), model.insert(key, value)),
                Step::GetOrInsert(key, value) => {
                    let own = *map.get_or_insert_with(key, || value);
                    prop_assert_eq!(own, *model.entry(key).or_insert(value));
                }
                Step::Remove(key) => prop_assert_eq!(map.remove(&key), model.remove(&key)),
                Step::Change(key, value) => {
                    let (own, other) = (map.get_mut(&key), model.get_mut(&key));
                    prop_assert_eq!(&own, &other);
                    if let (Some(own), Some(other)) = (own, other) {
                        (*own, *other) = (value, value);
                    }
                }
                Step::Retain(least) => {
                    map.retain(|key, _| *key >= least);
                    model.retain(|key, _| *key >= least);
                }
                Step::Clear => {
                    map.clear();
                    model.clear();
                }
            }
            prop_assert!(map.iter().eq(model.iter()));
            prop_assert!(map.values().eq(model.values()));
            prop_assert_eq!(map.last(), model.last_key_value());
            prop_assert_eq!((map.len(), map.is_empty()), (model.len(), model.is_empty()));
            for key in [0, 1, 100, 255] {
                prop_assert_eq!(map.get(&key), model.get(&key));
                prop_assert_eq!(map.contains_key(&key), model.contains_key(&key));
            }
        }
        map.values_mut().for_each(|value| *value /= 2);
        map.iter_mut().for_each(|(key, value)| *value ^= u32::from(*key));
        model.iter_mut().for_each(|(key, value)| *value = (*value / 2) ^ u32::from(*key));
        let entries: Vec<(u8, u32)> = (&map).into_iter().copied().collect();
        prop_assert!(entries.iter().copied().eq(model));
        prop_assert_eq!(map.into_iter().collect::<Vec<_>>(), entries);
    }
}
