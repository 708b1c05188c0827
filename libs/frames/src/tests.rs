//! The allocator against a model that looks at every frame.
#![expect(
    clippy::single_range_in_vec_init,
    reason = "a list of ranges may have one"
)]

use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Records as they come from memory that was used for something else.
fn garbage(length: usize) -> Vec<FrameRecord> {
    let bytes = vec![0xa5; length * size_of::<FrameRecord>()];
    <[FrameRecord]>::ref_from_bytes(&bytes)
        .map(<[FrameRecord]>::to_vec)
        .unwrap_or_else(|_| {
            // The bytes are not aligned for records: copy them one by one.
            bytes
                .chunks_exact(size_of::<FrameRecord>())
                .map(|chunk| FrameRecord::read_from_bytes(chunk).expect("16 bytes"))
                .collect()
        })
}

/// Walks the free lists and checks that they say what the counters say.
fn check_lists(allocator: &FrameAllocator<'_>) {
    let mut listed = 0;
    for order in 0..=MAXIMUM_ORDER {
        let mut previous = NO_FRAME;
        let mut index = allocator.free_lists[usize::from(order)];
        assert_eq!(index != NO_FRAME, allocator.free_orders >> order & 1 == 1);
        while index != NO_FRAME {
            let record = &allocator.records[index as usize];
            let frame = allocator.base_frame + u64::from(index);
            assert_eq!((record.state, record.order), (FREE, order));
            assert_eq!(record.previous, previous);
            assert!(frame.is_multiple_of(1 << order));
            let region = allocator.region_of(frame).expect("free block in a region");
            assert!(frame + (1 << order) <= region.watermark);
            listed += 1 << order;
            previous = index;
            index = record.next;
        }
    }
    assert_eq!(
        listed + allocator.statistics().untouched,
        allocator.free(),
        "every free frame is in a list or untouched"
    );
}

#[test]
fn a_record_has_16_bytes() {
    assert_eq!(size_of::<FrameRecord>(), 16);
}

#[test]
fn starting_touches_no_record() {
    let mut records = garbage(1 << 16);
    let allocator = FrameAllocator::new(0, &mut records, &[0x100..0x1_0000]).expect("layout");
    assert_eq!(allocator.total(), 0x1_0000 - 0x100);
    assert_eq!(allocator.free(), allocator.total());
    assert_eq!(allocator.statistics().untouched, allocator.total());
    assert!(
        records
            .iter()
            .all(|record| record.as_bytes() == [0xa5; size_of::<FrameRecord>()])
    );
}

#[test]
fn only_frames_below_the_watermark_are_initialised() {
    let mut records = garbage(4096);
    let mut allocator = FrameAllocator::new(0, &mut records, &[0..4096]).expect("layout");
    for _ in 0..10 {
        allocator.allocate(0, Purpose::User).expect("frame");
    }
    allocator.allocate(4, Purpose::User).expect("block");
    let untouched = allocator.statistics().untouched;
    assert_eq!(untouched, 4096 - 32);
    for record in &records[32..] {
        assert_eq!(record.as_bytes(), [0xa5; size_of::<FrameRecord>()]);
    }
}

#[test]
fn memory_that_was_used_is_used_again_first() {
    let mut records = garbage(64);
    let mut allocator = FrameAllocator::new(0, &mut records, &[0..64]).expect("layout");
    let first = allocator.allocate(0, Purpose::User).expect("frame");
    allocator.allocate(0, Purpose::User).expect("frame");
    assert_eq!(allocator.release(first), Ok(true));
    assert_eq!(allocator.allocate(0, Purpose::User), Some(first));
}

#[test]
fn a_large_block_may_need_frames_on_both_sides_of_the_watermark() {
    let mut records = garbage(1024);
    let mut allocator = FrameAllocator::new(0, &mut records, &[0..1024]).expect("layout");
    let frames: Vec<u64> = (0..37)
        .map(|_| allocator.allocate(0, Purpose::User).expect("frame"))
        .collect();
    for frame in frames {
        assert_eq!(allocator.release(frame), Ok(true));
    }
    assert_eq!(allocator.allocate(10, Purpose::User), Some(0));
    check_lists(&allocator);
}

#[test]
fn releasing_twice_is_refused_and_harmless() {
    let mut records = garbage(64);
    let mut allocator = FrameAllocator::new(0x100, &mut records, &[0x100..0x140]).expect("layout");
    let block = allocator.allocate(2, Purpose::User).expect("block");
    for frame in block + 1..block + 4 {
        assert_eq!(
            allocator.release(frame),
            Err(FrameError::NotAllocated { frame })
        );
        assert_eq!(allocator.references(frame), 0);
    }
    assert_eq!(allocator.release(block), Ok(true));
    let refused = Err(FrameError::NotAllocated { frame: block });
    assert_eq!(allocator.release(block), refused);
    assert_eq!(
        allocator.retain(block),
        Err(FrameError::NotAllocated { frame: block })
    );
    assert_eq!(
        allocator.split(block),
        Err(FrameError::NotAllocated { frame: block })
    );
    // A frame that was never handed out, of which the record is garbage.
    assert_eq!(
        allocator.release(0x13f),
        Err(FrameError::NotAllocated { frame: 0x13f })
    );
    assert_eq!(allocator.references(0x13f), 0);
    check_lists(&allocator);
    assert_eq!(allocator.free(), 64);
}

#[test]
fn stale_records_of_untouched_memory_are_not_believed() {
    // What a machine that was reset may hold: records of an earlier life.
    let mut records = vec![
        FrameRecord {
            references: 7,
            state: ALLOCATED,
            ..FrameRecord::INTERIOR
        };
        64
    ];
    let mut allocator = FrameAllocator::new(0, &mut records, &[0..64]).expect("layout");
    assert_eq!(allocator.references(5), 0);
    assert_eq!(
        allocator.release(5),
        Err(FrameError::NotAllocated { frame: 5 })
    );
    let block = allocator.allocate(3, Purpose::User).expect("block");
    assert_eq!(allocator.references(block + 1), 0);
    assert_eq!(allocator.order(block), Some(3));
}

#[test]
fn reserved_frames_are_pinned() {
    let mut records = garbage(64);
    let mut allocator = FrameAllocator::new(0, &mut records, &[8..16, 32..64]).expect("layout");
    for frame in [0, 7, 16, 31, 64, 1 << 40, u64::MAX] {
        assert!(allocator.is_reserved(frame));
        assert_eq!(allocator.retain(frame), Ok(()));
        assert_eq!(allocator.release(frame), Ok(false));
        assert_eq!(allocator.references(frame), u32::MAX);
        assert_eq!(allocator.order(frame), None);
        assert_eq!(
            allocator.split(frame),
            Err(FrameError::NotAllocated { frame })
        );
    }
    assert_eq!(allocator.free(), 40);
}

#[test]
fn the_last_frames_are_for_the_kernel() {
    let mut records = garbage(16);
    let mut allocator = FrameAllocator::new(0, &mut records, &[0..16]).expect("layout");
    allocator.set_reserve(4);
    assert_eq!(allocator.allocate(4, Purpose::User), None);
    for _ in 0..12 {
        assert!(allocator.allocate(0, Purpose::User).is_some());
    }
    assert_eq!(allocator.allocate(0, Purpose::User), None);
    for _ in 0..4 {
        assert!(allocator.allocate(0, Purpose::Kernel).is_some());
    }
    assert_eq!(allocator.allocate(0, Purpose::Kernel), None);
    assert_eq!(allocator.peak_used(), 16);
}

#[test]
fn references_are_counted_up_to_the_limit() {
    let mut records = garbage(4);
    let mut allocator = FrameAllocator::new(0, &mut records, &[0..4]).expect("layout");
    let frame = allocator.allocate(0, Purpose::User).expect("frame");
    allocator.records[frame as usize].references = u32::MAX - 2;
    assert_eq!(allocator.retain(frame), Ok(()));
    assert_eq!(
        allocator.retain(frame),
        Err(FrameError::TooManyReferences { frame })
    );
    assert_eq!(allocator.references(frame), u32::MAX - 1);
}

#[test]
fn regions_are_sorted_and_joined() {
    let mut records = garbage(256);
    let regions = [128..160, 0..16, 40..40, 16..32, 150..170, 64..80];
    let mut allocator = FrameAllocator::new(0, &mut records, &regions).expect("layout");
    assert_eq!(allocator.region_count, 3);
    assert_eq!(allocator.total(), 32 + 16 + 42);
    assert_eq!(allocator.allocate(5, Purpose::User), Some(0));
    assert_eq!(allocator.allocate(5, Purpose::User), Some(128));
    assert_eq!(allocator.allocate(5, Purpose::User), None);
}

#[test]
fn bad_layouts_are_refused() {
    let mut records = garbage(256);
    let outside = |start, end| Some(LayoutError::RegionOutsideRecords { start, end });
    let mut try_regions =
        |base, regions: &[Range<u64>]| FrameAllocator::new(base, &mut records, regions).err();
    assert_eq!(
        try_regions(16, std::slice::from_ref(&(0..32))),
        outside(0, 32)
    );
    assert_eq!(
        try_regions(16, std::slice::from_ref(&(32..273))),
        outside(32, 273)
    );
    let backwards = Range { start: 9, end: 8 };
    assert_eq!(try_regions(0, &[backwards]), outside(9, 8));
    assert_eq!(
        try_regions(u64::MAX - 3, &[]),
        Some(LayoutError::SpanTooLarge)
    );
    let scattered: Vec<Range<u64>> = (0..33).map(|number| number * 4..number * 4 + 1).collect();
    assert_eq!(
        try_regions(0, &scattered),
        Some(LayoutError::TooManyRegions)
    );
    assert_eq!(try_regions(0, &scattered[1..]), None);
}

#[test]
fn an_order_beyond_the_largest_is_refused() {
    let mut records = garbage(16);
    let mut allocator = FrameAllocator::new(0, &mut records, &[0..16]).expect("layout");
    for order in [MAXIMUM_ORDER, MAXIMUM_ORDER + 1, 64, u8::MAX] {
        assert_eq!(allocator.allocate(order, Purpose::Kernel), None);
    }
}

#[test]
fn the_largest_block_is_split_and_comes_back() {
    let size = 1usize << MAXIMUM_ORDER;
    let mut records = garbage(2 * size);
    let regions = [1..2 * size as u64];
    let mut allocator = FrameAllocator::new(0, &mut records, &regions).expect("layout");
    let block = allocator.allocate(MAXIMUM_ORDER, Purpose::User);
    assert_eq!(block, Some(size as u64));
    allocator.split(size as u64).expect("allocated");
    for frame in size as u64..2 * size as u64 {
        assert_eq!(allocator.release(frame), Ok(true));
    }
    check_lists(&allocator);
    assert_eq!(allocator.allocate(MAXIMUM_ORDER, Purpose::User), block);
}

/// One step of the property test.
#[derive(Clone, Debug)]
enum Step {
    Allocate { order: u8, kernel: bool },
    Retain(prop::sample::Index),
    Release(prop::sample::Index),
    Split(prop::sample::Index),
    ReleaseAnyFrame(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0u8..8, any::<bool>()).prop_map(|(order, kernel)| Step::Allocate { order, kernel }),
        4 => (0u8..2, any::<bool>()).prop_map(|(order, kernel)| Step::Allocate { order, kernel }),
        2 => any::<prop::sample::Index>().prop_map(Step::Retain),
        9 => any::<prop::sample::Index>().prop_map(Step::Release),
        1 => any::<prop::sample::Index>().prop_map(Step::Split),
        1 => (0u64..700).prop_map(Step::ReleaseAnyFrame),
    ];
    prop::collection::vec(step, 1..250)
}

/// Whether the model has a free block, found by looking at every frame.
fn has_free_block(regions: &[Range<u64>], taken: &[bool], base: u64, order: u8) -> bool {
    let size = 1u64 << order;
    regions.iter().any(|region| {
        let mut start = region.start.next_multiple_of(size);
        while start + size <= region.end {
            let first = (start - base) as usize;
            if taken[first..first + size as usize]
                .iter()
                .all(|taken| !taken)
            {
                return true;
            }
            start += size;
        }
        false
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_allocator_agrees_with_a_model(
        base in 0u64..100,
        cuts in prop::collection::btree_set(0u64..600, 1..8),
        reserve in 0u64..20,
        stale in prop::option::of((FREE..=ALLOCATED, 0u8..6)),
        steps in steps(),
    ) {
        // Every second interval between the cuts is a region.
        let cuts: Vec<u64> = cuts.into_iter().map(|cut| cut + base).collect();
        let regions: Vec<Range<u64>> = cuts.chunks_exact(2).map(|pair| pair[0]..pair[1]).collect();
        let mut records = garbage(600);
        if let Some((state, order)) = stale {
            // The records of an earlier life, which look as if they were true.
            records.fill(FrameRecord { next: 3, previous: 5, references: 7, order, state, reserved: 0 });
        }
        let mut allocator = FrameAllocator::new(base, &mut records, &regions).expect("layout");
        allocator.set_reserve(reserve);
        let total: u64 = regions.iter().map(|region| region.end - region.start).sum();
        let mut taken = vec![false; 600];
        // Head -> (order, references).
        let mut blocks: BTreeMap<u64, (u8, u32)> = BTreeMap::new();
        let mut used = 0;
        let mut peak = 0;
        for step in steps {
            match step {
                Step::Allocate { order, kernel } => {
                    let purpose = if kernel { Purpose::Kernel } else { Purpose::User };
                    let floor = if kernel { 0 } else { reserve };
                    let size = 1 << order;
                    let expected = total - used >= size + floor
                        && has_free_block(&regions, &taken, base, order);
                    let answer = allocator.allocate(order, purpose);
                    prop_assert_eq!(answer.is_some(), expected);
                    if let Some(frame) = answer {
                        prop_assert!(frame.is_multiple_of(size));
                        let inside = regions
                            .iter()
                            .any(|region| region.start <= frame && frame + size <= region.end);
                        prop_assert!(inside);
                        for flag in &mut taken[(frame - base) as usize..][..size as usize] {
                            prop_assert!(!*flag, "handed out twice");
                            *flag = true;
                        }
                        blocks.insert(frame, (order, 1));
                        used += size;
                        peak = peak.max(used);
                    }
                }
                Step::Retain(which) if !blocks.is_empty() => {
                    let place = which.index(blocks.len());
                    let (frame, block) = blocks.iter_mut().nth(place).expect("in range");
                    prop_assert_eq!(allocator.retain(*frame), Ok(()));
                    block.1 += 1;
                }
                Step::Release(which) if !blocks.is_empty() => {
                    let frame = *blocks.keys().nth(which.index(blocks.len())).expect("in range");
                    let (order, references) = blocks[&frame];
                    prop_assert_eq!(allocator.release(frame), Ok(references == 1));
                    if references == 1 {
                        blocks.remove(&frame);
                        taken[(frame - base) as usize..][..1 << order].fill(false);
                        used -= 1 << order;
                    } else {
                        blocks.insert(frame, (order, references - 1));
                    }
                }
                Step::Split(which) if !blocks.is_empty() => {
                    let frame = *blocks.keys().nth(which.index(blocks.len())).expect("in range");
                    let (order, references) = blocks[&frame];
                    prop_assert_eq!(allocator.split(frame), Ok(()));
                    for single in frame..frame + (1 << order) {
                        blocks.insert(single, (0, references));
                    }
                }
                Step::ReleaseAnyFrame(frame) if !blocks.contains_key(&frame) => {
                    let reserved = !regions.iter().any(|region| region.contains(&frame));
                    let expected = if reserved { Ok(false) } else { Err(FrameError::NotAllocated { frame }) };
                    prop_assert_eq!(allocator.release(frame), expected);
                }
                _ => {}
            }
            check_lists(&allocator);
            prop_assert_eq!(allocator.free(), total - used);
            prop_assert_eq!(allocator.peak_used(), peak);
            for (frame, (order, references)) in &blocks {
                prop_assert_eq!(allocator.references(*frame), *references);
                prop_assert_eq!(allocator.order(*frame), Some(*order));
            }
        }
        for (frame, (_, references)) in blocks {
            for _ in 0..references {
                allocator.release(frame).expect("allocated");
            }
        }
        check_lists(&allocator);
        prop_assert_eq!(allocator.free(), total);
        // All of it is one again: the largest blocks that the regions have can be allocated.
        taken.fill(false);
        for order in (0..10).rev() {
            while has_free_block(&regions, &taken, base, order) {
                let frame = allocator.allocate(order, Purpose::Kernel);
                prop_assert!(frame.is_some());
                let first = (frame.expect("checked") - base) as usize;
                taken[first..first + (1 << order)].fill(true);
            }
        }
        prop_assert_eq!(allocator.free(), 0);
    }
}
