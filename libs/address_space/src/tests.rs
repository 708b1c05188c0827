//! The map against a model that knows every page.
#![expect(
    clippy::single_range_in_vec_init,
    reason = "a list of ranges may have one"
)]

use super::*;
use proptest::prelude::*;
use std::ops::Range;

/// Zeroes, or a file from some offset on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Content {
    Zeroes,
    File { number: u32, offset: u64 },
}

impl Backing for Content {
    fn advance(&self, bytes: u64) -> Self {
        match *self {
            Self::Zeroes => Self::Zeroes,
            Self::File { number, offset } => Self::File {
                number,
                offset: offset + bytes,
            },
        }
    }
}

/// Lowest page of the tests' maps.
const LOW: u64 = 16;
/// Page behind the highest.
const HIGH: u64 = 16 + 2048;

fn page(number: u64) -> u64 {
    number * PAGE_SIZE
}

fn map() -> AddressMap<Content> {
    AddressMap::new(page(LOW)..page(HIGH))
}

fn area(pages: Range<u64>) -> Area<Content> {
    Area {
        start: page(pages.start),
        end: page(pages.end),
        protection: Protection::READ | Protection::WRITE,
        maximum_protection: Protection::all(),
        flags: AreaFlags::empty(),
        watcher: 0,
        policy: 0,
        name: AreaName::None,
        backing: Content::Zeroes,
    }
}

fn file(pages: Range<u64>, number: u32, first_page: u64) -> Area<Content> {
    Area {
        backing: Content::File {
            number,
            offset: page(first_page),
        },
        ..area(pages)
    }
}

fn stack(pages: Range<u64>) -> Area<Content> {
    Area {
        flags: AreaFlags::GROWS_DOWN,
        name: AreaName::Stack,
        ..area(pages)
    }
}

fn ranges(map: &AddressMap<Content>) -> Vec<Range<u64>> {
    map.iter()
        .map(|area| area.start / PAGE_SIZE..area.end / PAGE_SIZE)
        .collect()
}

#[test]
fn neighbours_without_difference_are_one() {
    let mut map = map();
    map.insert(area(20..30)).expect("free");
    map.insert(area(40..50)).expect("free");
    assert_eq!(ranges(&map), [20..30, 40..50]);
    map.insert(area(30..40)).expect("free");
    assert_eq!(ranges(&map), [20..50]);
    map.insert(Area {
        name: AreaName::Heap,
        ..area(50..60)
    })
    .expect("free");
    assert_eq!(ranges(&map), [20..50, 50..60]);
    assert_eq!(map.total_bytes(), page(40));
}

#[test]
fn what_was_written_is_remembered_by_all_of_an_area() {
    let mut map = map();
    let written = |map: &AddressMap<Content>, number: u64| {
        map.find(page(number))
            .is_some_and(|area| area.flags.contains(AreaFlags::WRITTEN))
    };
    map.insert(area(20..24)).expect("free");
    let set = map.modify_flags(page(20), page(24), AreaFlags::WRITTEN, AreaFlags::empty());
    assert_eq!(set, Ok(()));
    // Parts know it too.
    map.protect(page(22), page(23), Protection::READ)
        .expect("mapped");
    assert!(written(&map, 20) && written(&map, 22) && written(&map, 23));
    // What comes beside it does not, until it is one with it: above, below, and between.
    map.insert(area(24..26)).expect("free");
    map.insert(area(18..20)).expect("free");
    map.insert(area(28..30)).expect("free");
    assert!(written(&map, 25) && written(&map, 18) && !written(&map, 28));
    map.insert(area(26..28)).expect("free");
    assert!(written(&map, 29));
    assert_eq!(ranges(&map), [18..22, 22..23, 23..30]);
    map.protect(page(22), page(23), Protection::READ | Protection::WRITE)
        .expect("mapped");
    assert_eq!(ranges(&map), [18..30]);
}

#[test]
fn names_keep_areas_apart_until_they_are_the_same() {
    let named = |name: &str| AreaName::Given(name.into());
    let mut map = map();
    map.insert(area(20..30)).expect("free");
    map.insert(stack(40..50)).expect("free");
    assert_eq!(map.set_name(page(22), page(24), &named("first")), Ok(()));
    assert_eq!(ranges(&map), [20..22, 22..24, 24..30, 40..50]);
    // What comes without a name is no part of it.
    map.insert(area(30..32)).expect("free");
    assert_eq!(ranges(&map), [20..22, 22..24, 24..32, 40..50]);
    // Names are compared by what they say. A role is kept, and holes are told at the end.
    assert_eq!(
        map.set_name(page(24), page(50), &named("first")),
        Err(PartialChange {
            changed_until: page(50),
            error: MapError::Hole
        })
    );
    assert_eq!(ranges(&map), [20..22, 22..32, 40..50]);
    assert_eq!(
        map.find(page(45)).map(|area| &area.name),
        Some(&AreaName::Stack)
    );
    assert_eq!(
        map.fork().find(page(23)).map(|area| area.name.clone()),
        Some(named("first"))
    );
    assert_eq!(map.set_name(page(20), page(32), &AreaName::None), Ok(()));
    assert_eq!(ranges(&map), [20..32, 40..50]);
    assert_eq!(map.total_bytes(), page(22));
}

#[test]
fn a_hole_reaches_to_the_neighbours() {
    let mut map = map();
    assert_eq!(map.hole_around(page(20), page(30)), 0..u64::MAX);
    map.insert(area(20..30)).expect("free");
    map.insert(area(40..50)).expect("free");
    assert_eq!(map.hole_around(page(30), page(40)), page(30)..page(40));
    assert_eq!(map.hole_around(page(33), page(35)), page(30)..page(40));
    assert_eq!(map.hole_around(page(12), page(20)), 0..page(20));
    assert_eq!(map.hole_around(page(60), page(61)), page(50)..u64::MAX);
}

#[test]
fn a_file_goes_on_where_its_offset_does() {
    let mut map = map();
    map.insert(file(20..30, 1, 5)).expect("free");
    map.insert(file(30..40, 1, 15)).expect("free");
    map.insert(file(40..50, 1, 26)).expect("free");
    map.insert(file(50..60, 2, 36)).expect("free");
    assert_eq!(ranges(&map), [20..40, 40..50, 50..60]);
    let removed = map.unmap(page(25), page(45)).expect("valid");
    assert_eq!(removed, [file(25..40, 1, 10), file(40..45, 1, 26)]);
    assert_eq!(
        map.find(page(47)),
        Some(&file(45..50, 1, 31)),
        "the rest starts further on in the file"
    );
}

#[test]
fn finding() {
    let mut map = map();
    map.insert(area(20..30)).expect("free");
    map.insert(area(40..50)).expect("free");
    assert_eq!(map.find(page(20) - 1), None);
    assert_eq!(map.find(page(20)).map(|area| area.end), Some(page(30)));
    assert_eq!(map.find(page(30) - 1).map(|area| area.end), Some(page(30)));
    assert_eq!(map.find(page(30)), None);
    assert_eq!(map.find(u64::MAX), None);
    let above = |address| map.find_at_or_above(address).map(|area| area.start);
    assert_eq!(above(0), Some(page(20)));
    assert_eq!(above(page(25)), Some(page(20)));
    assert_eq!(above(page(30)), Some(page(40)));
    assert_eq!(above(page(50)), None);
    assert_eq!(map.range(page(29), page(41)).count(), 2);
    assert_eq!(map.range(page(30), page(40)).count(), 0);
    assert_eq!(map.range(page(45), page(45)).count(), 0);
    assert_eq!(map.range(page(45), page(21)).count(), 0);
    assert!(map.is_covered(page(22), page(30)));
    assert!(!map.is_covered(page(22), page(31)));
    assert!(!map.is_covered(page(19), page(22)));
}

#[test]
fn bad_ranges_are_refused() {
    let mut map = map();
    map.insert(area(20..30)).expect("free");
    assert_eq!(map.insert(area(29..31)), Err(MapError::Overlap));
    assert_eq!(map.insert(area(10..18)), Err(MapError::OutOfRange));
    assert_eq!(
        map.insert(area(HIGH - 1..HIGH + 1)),
        Err(MapError::OutOfRange)
    );
    assert_eq!(map.insert(area(40..40)), Err(MapError::Invalid));
    let crooked = Area {
        start: page(40) + 1,
        ..area(40..41)
    };
    assert_eq!(map.insert(crooked), Err(MapError::Invalid));
    assert_eq!(map.unmap(page(30), page(20)), Err(MapError::Invalid));
    assert_eq!(map.unmap(page(20), page(20)), Err(MapError::Invalid));
    let growing_file = Area {
        flags: AreaFlags::GROWS_DOWN,
        ..file(40..50, 1, 9)
    };
    assert_eq!(map.insert(growing_file), Err(MapError::Invalid));
    assert_eq!(ranges(&map), [20..30]);
}

#[test]
fn protection_stops_at_a_hole_and_keeps_what_it_did() {
    let mut map = map();
    map.insert(area(20..30)).expect("free");
    map.insert(area(32..40)).expect("free");
    let answer = map.protect(page(25), page(35), Protection::READ);
    assert_eq!(
        answer,
        Err(PartialChange {
            changed_until: page(30),
            error: MapError::Hole
        })
    );
    assert_eq!(ranges(&map), [20..25, 25..30, 32..40]);
    assert_eq!(
        map.find(page(27)).map(|area| area.protection),
        Some(Protection::READ)
    );
    assert_eq!(
        map.find(page(33)).map(|area| area.protection),
        Some(Protection::READ | Protection::WRITE)
    );
}

#[test]
fn protection_ends_at_what_is_sealed_or_not_there() {
    let mut map = map();
    map.insert(area(20..30)).expect("free");
    map.insert(Area {
        flags: AreaFlags::SEALED,
        ..area(40..50)
    })
    .expect("free");
    let stopped = |at, error| {
        Err(PartialChange {
            changed_until: page(at),
            error,
        })
    };
    let answer = map.protect(page(25), page(45), Protection::READ);
    assert_eq!(answer, stopped(30, MapError::Hole));
    let answer = map.protect(page(40), page(45), Protection::READ);
    assert_eq!(answer, stopped(40, MapError::Sealed));
}

#[test]
fn protection_has_a_maximum() {
    let mut map = map();
    map.insert(area(20..30)).expect("free");
    map.insert(Area {
        protection: Protection::READ,
        maximum_protection: Protection::READ,
        ..file(30..40, 1, 0)
    })
    .expect("free");
    let answer = map.protect(page(25), page(35), Protection::WRITE);
    assert_eq!(
        answer,
        Err(PartialChange {
            changed_until: page(30),
            error: MapError::AccessDenied
        })
    );
    assert_eq!(map.protect(page(30), page(30), Protection::WRITE), Ok(()));
    assert_eq!(ranges(&map), [20..25, 25..30, 30..40]);
    let back = Protection::READ | Protection::WRITE;
    assert_eq!(map.protect(page(20), page(30), back), Ok(()));
    assert_eq!(ranges(&map), [20..30, 30..40]);
}

#[test]
fn flags_skip_holes_and_tell() {
    let mut map = map();
    map.insert(area(20..30)).expect("free");
    map.insert(area(32..40)).expect("free");
    let none = AreaFlags::empty();
    let answer = map.modify_flags(page(25), page(50), AreaFlags::LOCKED, none);
    assert_eq!(
        answer,
        Err(PartialChange {
            changed_until: page(50),
            error: MapError::Hole
        })
    );
    assert_eq!(ranges(&map), [20..25, 25..30, 32..40]);
    assert_eq!(map.locked_bytes(), page(13));
    let child = map.fork();
    assert_eq!(child.locked_bytes(), 0);
    assert_eq!(child.total_bytes(), map.total_bytes());
    assert_eq!(ranges(&child), [20..30, 32..40]);
    let answer = map.modify_flags(page(20), page(30), none, AreaFlags::LOCKED);
    assert_eq!(answer, Ok(()));
    assert_eq!(ranges(&map), [20..30, 32..40]);
    assert_eq!(map.locked_bytes(), page(8));
    map.modify_flags(page(32), page(34), AreaFlags::DONT_FORK, none)
        .expect("no hole");
    assert_eq!(ranges(&map.fork()), [20..30, 34..40]);
}

#[test]
fn gaps_are_taken_from_the_top() {
    let mut map = map();
    let base = page(1000);
    let request = |pages| GapRequest::new(page(pages), page(LOW)..base);
    assert_eq!(map.find_gap(&request(10)), Some(page(990)));
    map.insert(area(990..1000)).expect("free");
    assert_eq!(map.find_gap(&request(10)), Some(page(980)));
    map.insert(area(970..985)).expect("free");
    assert_eq!(map.find_gap(&request(5)), Some(page(985)));
    assert_eq!(map.find_gap(&request(6)), Some(page(964)));
    assert_eq!(map.find_gap(&request(970 - LOW)), Some(page(LOW)));
    assert_eq!(map.find_gap(&request(971 - LOW)), None);
    assert_eq!(map.find_gap(&request(0)), None);
    assert_eq!(
        map.find_gap(&GapRequest::new(u64::MAX, page(LOW)..base)),
        None
    );
    let high = GapRequest {
        fallback: page(LOW)..page(HIGH),
        ..request(971 - LOW)
    };
    assert_eq!(map.find_gap(&high), Some(page(1000)));
    let aligned = GapRequest {
        alignment: page(512),
        ..request(10)
    };
    assert_eq!(map.find_gap(&aligned), Some(page(512)));
    // A length that is not whole pages.
    assert_eq!(
        map.find_gap(&GapRequest::new(page(4) + 1, page(LOW)..base)),
        Some(page(985))
    );
}

#[test]
fn a_hint_is_taken_if_it_is_free() {
    let mut map = map();
    map.insert(area(100..110)).expect("free");
    map.insert(stack(1900..2000)).expect("free");
    let mut ask = |hint| {
        map.find_gap(&GapRequest {
            hint: Some(hint),
            ..GapRequest::new(page(10), page(LOW)..page(1000))
        })
    };
    assert_eq!(ask(page(200) + 77), Some(page(200)));
    assert_eq!(ask(page(110)), Some(page(110)));
    assert_eq!(ask(page(90)), Some(page(90)));
    let elsewhere = Some(page(990));
    assert_eq!(ask(page(91)), elsewhere);
    assert_eq!(ask(page(105)), elsewhere);
    assert_eq!(ask(0), elsewhere);
    assert_eq!(ask(u64::MAX), elsewhere);
    assert_eq!(ask(page(1900 - 256 - 10)), Some(page(1634)));
    assert_eq!(ask(page(1900 - 256 - 9)), elsewhere);
}

#[test]
fn an_area_in_a_guard_gap_makes_the_gap_below_larger() {
    let mut map = map();
    map.insert(stack(900..1000)).expect("free");
    map.insert(area(500..600)).expect("free");
    let request = GapRequest::new(page(100), page(LOW)..page(1000));
    // Between page 600 and the guard gap are 44 pages only.
    assert_eq!(map.find_gap(&request), Some(page(400)));
    // The program chose this address itself. Linux keeps the distance to the next area above only.
    map.insert(area(800..810)).expect("free");
    assert_eq!(map.find_gap(&request), Some(page(700)));
}

#[test]
fn the_stack_grows_to_its_limit() {
    let mut map = map();
    map.insert(stack(1990..2000)).expect("free");
    map.insert(area(1000..1100)).expect("free");
    let limit = page(700);
    assert_eq!(
        map.grow_stack(page(1980) + 5, limit),
        Ok(page(1980)..page(1990))
    );
    assert_eq!(ranges(&map), [1000..1100, 1980..2000]);
    assert_eq!(
        map.grow_stack(page(1985), limit).map(|r| r.is_empty()),
        Ok(true)
    );
    assert_eq!(map.grow_stack(page(1299), limit), Err(MapError::StackLimit));
    let unlimited = u64::MAX;
    // The guard gap: 256 pages above page 1100.
    assert_eq!(
        map.grow_stack(page(1355), unlimited),
        Err(MapError::StackLimit)
    );
    assert_eq!(
        map.grow_stack(page(1356), unlimited),
        Ok(page(1356)..page(1980))
    );
    assert_eq!(map.total_bytes(), page(100 + 644));
    // An area that nobody can touch may be near: it is a guard itself.
    map.protect(page(1000), page(1100), Protection::empty())
        .expect("mapped");
    assert_eq!(
        map.grow_stack(page(1100), unlimited),
        Ok(page(1100)..page(1356))
    );
    assert_eq!(map.grow_stack(page(900), unlimited), Err(MapError::Hole));
    assert_eq!(map.grow_stack(page(2001), unlimited), Err(MapError::Hole));
}

#[test]
fn the_first_hole_is_where_coverage_ends() {
    let mut map = map();
    for pages in [110..112, 112..120, 122..130] {
        map.insert(area(pages)).expect("free");
    }
    assert_eq!(map.first_hole(page(110), page(120)), page(120));
    assert_eq!(map.first_hole(page(111), page(115)), page(115));
    assert_eq!(map.first_hole(page(110), page(125)), page(120));
    assert_eq!(map.first_hole(page(105), page(125)), page(105));
    assert_eq!(map.first_hole(page(121), page(125)), page(121));
    assert_eq!(map.first_hole(page(122), page(140)), page(130));
}

#[test]
fn the_number_of_areas_can_be_set() {
    let mut map = map();
    map.set_maximum_areas(2);
    map.insert(area(110..114)).expect("the first");
    map.insert(area(120..124)).expect("the second");
    assert_eq!(map.insert(area(130..134)), Err(MapError::TooManyAreas));
    assert_eq!(map.unmap(page(121), page(122)), Err(MapError::TooManyAreas));
    map.set_maximum_areas(3);
    assert_eq!(map.fork().maximum_areas(), 3);
    assert!(map.unmap(page(121), page(122)).is_ok());
}

#[test]
fn a_process_has_a_largest_number_of_areas() {
    let mut map = AddressMap::new(0..1 << 40);
    // Every second page differs in protection, so nothing joins.
    for number in 0..MAXIMUM_AREAS as u64 {
        let mut one = area(3 * number..3 * number + 2);
        if number == 0 {
            one = area(0..3);
        }
        if number == 1 {
            one.name = AreaName::Heap;
        }
        map.insert(one).expect("below the limit");
    }
    assert_eq!(map.len(), MAXIMUM_AREAS);
    let outside = 4 * MAXIMUM_AREAS as u64;
    assert_eq!(
        map.insert(area(outside..outside + 1)),
        Err(MapError::TooManyAreas)
    );
    assert_eq!(map.unmap(page(1), page(2)), Err(MapError::TooManyAreas));
    assert_eq!(
        map.protect(page(1), page(2), Protection::READ),
        Err(PartialChange {
            changed_until: page(1),
            error: MapError::TooManyAreas
        })
    );
    assert_eq!(map.unmap(page(0), page(1)).map(|parts| parts.len()), Ok(1));
    assert_eq!(map.len(), MAXIMUM_AREAS);
}

/// What the model knows of a mapped page: everything but the extent.
type Page = (Protection, AreaFlags, (u32, u16), Content);

/// One step of the property test; numbers are pages.
#[derive(Clone, Debug)]
enum Step {
    Insert(u64, u64, Protection, AreaFlags, Option<u32>),
    Unmap(u64, u64),
    Protect(u64, u64, Protection),
    Flags(u64, u64, AreaFlags, AreaFlags),
    /// A watcher, and what it is told.
    Watch(u64, u64, u32, AreaFlags),
    Policy(u64, u64, u16),
    Gap {
        length: u64,
        alignment: u64,
        low: u64,
        limit: u64,
        hint: Option<u64>,
        fill: bool,
    },
    Grow(u64, u64),
}

fn extent() -> impl Strategy<Value = (u64, u64)> {
    (
        LOW..HIGH,
        prop_oneof![4 => 1u64..20, 2 => 1u64..400, 1 => 1u64..2000],
    )
        .prop_map(|(start, length)| (start, (start + length).min(HIGH)))
}

fn protection() -> impl Strategy<Value = Protection> {
    prop_oneof![
        Just(Protection::READ),
        Just(Protection::READ | Protection::WRITE),
        Just(Protection::empty()),
        Just(Protection::READ | Protection::EXECUTE),
    ]
}

fn flags() -> impl Strategy<Value = AreaFlags> {
    prop_oneof![
        6 => Just(AreaFlags::empty()),
        1 => Just(AreaFlags::GROWS_DOWN),
        2 => Just(AreaFlags::LOCKED),
        1 => Just(AreaFlags::DONT_FORK),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (extent(), protection(), flags(), prop::option::of(0u32..2)).prop_map(
            |((start, end), protection, flags, file)| {
                let file = file.filter(|_| !flags.contains(AreaFlags::GROWS_DOWN));
                Step::Insert(start, end, protection, flags, file)
            }
        ),
        3 => extent().prop_map(|(start, end)| Step::Unmap(start, end)),
        3 => (extent(), protection()).prop_map(|((start, end), new)| Step::Protect(start, end, new)),
        2 => (extent(), prop_oneof![Just(AreaFlags::LOCKED), Just(AreaFlags::DONT_FORK)], any::<bool>())
            .prop_map(|((start, end), flag, set)| {
                let none = AreaFlags::empty();
                let (set, clear) = if set { (flag, none) } else { (none, flag) };
                Step::Flags(start, end, set, clear)
            }),
        2 => (extent(), prop_oneof![
            Just((0, AreaFlags::empty())),
            Just((1, AreaFlags::WATCH_MISSING)),
            Just((2, AreaFlags::WATCH_MISSING)),
            Just((2, AreaFlags::WATCH_WRITES)),
        ])
            .prop_map(|((start, end), (watcher, what))| Step::Watch(start, end, watcher, what)),
        1 => (extent(), 0u16..3).prop_map(|((start, end), policy)| Step::Policy(start, end, policy)),
        8 => (
            prop_oneof![3 => 1u64..8, 1 => 1u64..300],
            prop_oneof![3 => Just(1u64), 1 => Just(16u64), 1 => Just(512u64)],
            prop_oneof![3 => Just(LOW), 1 => LOW..HIGH],
            prop_oneof![3 => Just(1500u64), 1 => LOW..HIGH],
            prop::option::weighted(0.2, LOW..HIGH),
            any::<bool>(),
        )
            .prop_map(|(length, alignment, low, limit, hint, fill)| Step::Gap {
                length, alignment, low, limit, hint, fill
            }),
        1 => (LOW..HIGH, 1u64..1000).prop_map(|(address, limit)| Step::Grow(address, limit)),
    ]
}

/// The model: one entry for each page.
struct Model {
    pages: Vec<Option<Page>>,
}

impl Model {
    fn at(&self, number: u64) -> Option<&Page> {
        self.pages.get((number - LOW) as usize)?.as_ref()
    }

    fn set(&mut self, number: u64, page: Option<Page>) {
        self.pages[(number - LOW) as usize] = page;
    }

    /// Which pages new mappings must leave alone: something is there, or the next thing above grows down and is
    /// not further away than the guard gap.
    fn blocked(&self) -> Vec<bool> {
        let mut blocked = vec![false; self.pages.len()];
        let mut guard = 0;
        for (index, page) in self.pages.iter().enumerate().rev() {
            match page {
                Some(page) => {
                    blocked[index] = true;
                    let grows = page.1.contains(AreaFlags::GROWS_DOWN);
                    guard = if grows { 256 } else { 0 };
                }
                None => {
                    blocked[index] = guard > 0;
                    guard = u64::saturating_sub(guard, 1);
                }
            }
        }
        blocked
    }
}

fn check(map: &AddressMap<Content>, model: &Model) -> Result<(), TestCaseError> {
    let mut covered = 0;
    let mut locked = 0;
    let mut last: Option<&Area<Content>> = None;
    for area in map.iter() {
        prop_assert!(area.start < area.end);
        if let Some(last) = last {
            prop_assert!(last.end <= area.start, "overlap");
            prop_assert!(!last.joins(area), "two areas that differ in nothing");
        }
        for number in area.start / PAGE_SIZE..area.end / PAGE_SIZE {
            let content = area.backing.advance(page(number) - area.start);
            let expected = (
                area.protection,
                area.flags,
                (area.watcher, area.policy),
                content,
            );
            prop_assert_eq!(model.at(number), Some(&expected));
            covered += 1;
            locked += u64::from(area.flags.contains(AreaFlags::LOCKED));
        }
        last = Some(area);
    }
    let mapped = model.pages.iter().flatten().count() as u64;
    prop_assert_eq!(covered, mapped, "every mapped page is in an area");
    prop_assert_eq!(map.total_bytes(), page(covered));
    prop_assert_eq!(map.locked_bytes(), page(locked));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn the_map_agrees_with_a_model(steps in prop::collection::vec(step(), 1..80)) {
        let mut map = map();
        let mut model = Model { pages: vec![None; (HIGH - LOW) as usize] };
        for step in steps {
            match step {
                Step::Insert(start, end, protection, flags, number) => {
                    let backing = match number {
                        // The offset follows the address, so that areas of a file may join.
                        Some(number) => Content::File { number, offset: page(start) },
                        None => Content::Zeroes,
                    };
                    let new = Area { protection, flags, backing, ..area(start..end) };
                    let free = (start..end).all(|number| model.at(number).is_none());
                    prop_assert_eq!(map.is_free(page(start), page(end)), free);
                    let answer = map.insert(new.clone());
                    prop_assert_eq!(answer, if free { Ok(()) } else { Err(MapError::Overlap) });
                    if free {
                        for number in start..end {
                            let content = new.backing.advance(page(number - start));
                            model.set(number, Some((protection, flags, (0, 0), content)));
                        }
                    }
                }
                Step::Unmap(start, end) => {
                    let removed = map.unmap(page(start), page(end)).expect("few areas");
                    let mut pages = 0;
                    for part in &removed {
                        prop_assert!(part.start >= page(start) && part.end <= page(end));
                        for number in part.start / PAGE_SIZE..part.end / PAGE_SIZE {
                            let content = part.backing.advance(page(number) - part.start);
                            let expected = (part.protection, part.flags, (part.watcher, part.policy), content);
                            prop_assert_eq!(model.at(number), Some(&expected));
                            model.set(number, None);
                            pages += 1;
                        }
                    }
                    prop_assert!((start..end).all(|number| model.at(number).is_none()));
                    prop_assert!(pages <= end - start);
                }
                Step::Protect(start, end, protection) => {
                    let hole = (start..end).find(|&number| model.at(number).is_none());
                    let expected = match hole {
                        None => Ok(()),
                        Some(number) => Err(PartialChange {
                            changed_until: page(number),
                            error: MapError::Hole,
                        }),
                    };
                    prop_assert_eq!(map.protect(page(start), page(end), protection), expected);
                    for number in start..hole.unwrap_or(end) {
                        let old = model.at(number).cloned();
                        model.set(number, old.map(|old| (protection, old.1, old.2, old.3)));
                    }
                }
                Step::Flags(start, end, set, clear) => {
                    let covered = (start..end).all(|number| model.at(number).is_some());
                    prop_assert_eq!(map.is_covered(page(start), page(end)), covered);
                    let answer = map.modify_flags(page(start), page(end), set, clear);
                    let hole = PartialChange { changed_until: page(end), error: MapError::Hole };
                    prop_assert_eq!(answer, if covered { Ok(()) } else { Err(hole) });
                    for number in start..end {
                        let old = model.at(number).cloned();
                        model.set(number, old.map(|old| (old.0, old.1.difference(clear) | set, old.2, old.3)));
                    }
                }
                Step::Watch(start, end, watcher, what) => {
                    prop_assert_eq!(map.watch(page(start), page(end), watcher, what), Ok(()));
                    for number in start..end {
                        let old = model.at(number).cloned();
                        let new = old.map(|old| {
                            let flags = old.1.difference(AreaFlags::WATCHED) | what;
                            (old.0, flags, (watcher, old.2.1), old.3)
                        });
                        model.set(number, new);
                    }
                }
                Step::Policy(start, end, policy) => {
                    let covered = (start..end).all(|number| model.at(number).is_some());
                    let answer = map.set_policy(page(start), page(end), policy);
                    let hole = PartialChange { changed_until: page(end), error: MapError::Hole };
                    prop_assert_eq!(answer, if covered { Ok(()) } else { Err(hole) });
                    for number in start..end {
                        let old = model.at(number).cloned();
                        model.set(number, old.map(|old| (old.0, old.1, (old.2.0, policy), old.3)));
                    }
                }
                Step::Gap { length, alignment, low, limit, hint, fill } => {
                    let blocked = model.blocked();
                    let fits = |start: u64, low: u64, high: u64| {
                        start >= low && start + length <= high && start.is_multiple_of(alignment)
                            && blocked[(start - LOW) as usize..][..length as usize].iter().all(|taken| !taken)
                    };
                    let expected = hint
                        .filter(|&hint| fits(hint, LOW, HIGH))
                        .or_else(|| (LOW..HIGH).rev().find(|&start| fits(start, low, limit)))
                        .or_else(|| (LOW..HIGH).find(|&start| fits(start, 700, 1900)));
                    let answer = map.find_gap(&GapRequest {
                        length: page(length),
                        alignment: page(alignment),
                        hint: hint.map(page),
                        range: page(low)..page(limit),
                        fallback: page(700)..page(1900),
                    });
                    prop_assert_eq!(answer, expected.map(page));
                    if let Some(start) = expected.filter(|_| fill) {
                        map.insert(area(start..start + length)).expect("a gap is free");
                        let protection = Protection::READ | Protection::WRITE;
                        for number in start..start + length {
                            model.set(number, Some((protection, AreaFlags::empty(), (0, 0), Content::Zeroes)));
                        }
                    }
                }
                Step::Grow(number, limit) => {
                    let next = (number..HIGH).find(|&above| model.at(above).is_some());
                    let answer = map.grow_stack(page(number) + 123, page(limit));
                    let Some(next) = next else {
                        prop_assert_eq!(answer, Err(MapError::Hole));
                        continue;
                    };
                    let top = map.find(page(next)).expect("mapped").end / PAGE_SIZE;
                    let kind = model.at(next).cloned().expect("mapped");
                    let below = (LOW..number).rev().find(|&below| model.at(below).is_some());
                    let near = below.is_some_and(|below| {
                        let page = model.at(below).expect("mapped");
                        number - (below + 1) < 256
                            && !page.1.contains(AreaFlags::GROWS_DOWN)
                            && !page.0.is_empty()
                    });
                    let expected = if next == number {
                        Ok(page(number)..page(number))
                    } else if !kind.1.contains(AreaFlags::GROWS_DOWN) {
                        Err(MapError::Hole)
                    } else if top - number > limit || near {
                        Err(MapError::StackLimit)
                    } else {
                        Ok(page(number)..page(next))
                    };
                    if let Ok(added) = &expected && !added.is_empty() {
                        for added in number..next {
                            model.set(added, Some(kind.clone()));
                        }
                        // The grown area may have met one of its kind, which changes nothing in the model.
                    }
                    prop_assert_eq!(answer, expected);
                }
            }
            check(&map, &model)?;
        }
        let child = map.fork();
        for page in &mut model.pages {
            *page = page
                .take()
                .filter(|page| !page.1.contains(AreaFlags::DONT_FORK))
                .map(|page| (page.0, page.1.difference(AreaFlags::LOCKED | AreaFlags::WATCHED), (0, page.2.1), page.3));
        }
        check(&child, &model)?;
    }
}
