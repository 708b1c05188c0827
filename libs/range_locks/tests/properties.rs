//! Locks on ranges against a model that keeps what each owner holds on each byte.

use pith_range_locks::{Range, RangeLock, RangeLocks};
use proptest::prelude::*;

const BYTES: u64 = 16;
const OWNERS: usize = 3;

#[derive(Clone, Debug)]
struct Step {
    owner: usize,
    range: Range,
    /// Shared, exclusive, or none.
    kind: Option<bool>,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = (
        0..OWNERS,
        0..BYTES,
        0..BYTES,
        proptest::option::of(any::<bool>()),
    );
    let step = step.prop_map(|(owner, one, other, kind)| Step {
        owner,
        range: Range {
            start: one.min(other),
            last: one.max(other),
        },
        kind,
    });
    proptest::collection::vec(step, 1..40)
}

proptest! {
    #[test]
    fn each_byte_is_locked_as_was_said_last(steps in steps()) {
        let mut locks = RangeLocks::default();
        let mut model = [[None; BYTES as usize]; OWNERS];
        for Step { owner, range, kind } in steps {
            match kind {
                Some(exclusive) => locks.lock(RangeLock { owner, range, exclusive }),
                None => locks.unlock(owner, range),
            }
            .expect("there is memory");
            for byte in range.start..=range.last {
                model[owner][byte as usize] = kind;
            }
            for asker in 0..OWNERS {
                for byte in 0..BYTES {
                    let range = Range { start: byte, last: byte };
                    let held = locks.own(asker, range).map(|lock| lock.exclusive);
                    prop_assert_eq!(held, model[asker][byte as usize]);
                    for exclusive in [false, true] {
                        let wanted = RangeLock { owner: asker, range, exclusive };
                        let expected = (0..OWNERS).any(|other| {
                            other != asker
                                && model[other][byte as usize].is_some_and(|held| held || exclusive)
                        });
                        prop_assert_eq!(locks.conflict(&wanted).is_some(), expected);
                    }
                }
            }
        }
        for owner in 0..OWNERS {
            locks.release(owner);
        }
        prop_assert!(locks.is_empty());
    }

    #[test]
    fn neighbours_of_one_kind_are_one_lock(steps in steps()) {
        let mut locks = RangeLocks::default();
        for Step { owner, range, kind } in steps {
            if let Some(exclusive) = kind {
                locks.lock(RangeLock { owner, range, exclusive }).expect("there is memory");
            }
            for owner in 0..OWNERS {
                let mut start = 0;
                let mut before: Option<RangeLock<usize>> = None;
                while let Some(lock) = locks.own(owner, Range { start, last: BYTES }) {
                    if let Some(before) = before {
                        prop_assert!(before.range.last < lock.range.start);
                        prop_assert!(
                            before.exclusive != lock.exclusive || before.range.last + 1 < lock.range.start
                        );
                    }
                    start = lock.range.last + 1;
                    before = Some(lock);
                }
            }
        }
    }
}
