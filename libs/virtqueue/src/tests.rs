//! A queue against an honest device, and against devices that lie.

use super::*;
use proptest::prelude::*;
use std::cell::RefCell;
use std::rc::Rc;

const SIZE: u16 = 4;
/// Entries of tables in tests that have any.
const TABLE: u16 = 3;
/// Where the memory begins for the device.
const BASE: u64 = 0x10_0000;

#[derive(Clone, Debug)]
struct Memory(Rc<RefCell<Vec<u8>>>);

impl Memory {
    fn new() -> Self {
        let length = Layout::with_tables(SIZE, TABLE).length;
        Self(Rc::new(RefCell::new(vec![0; length])))
    }

    fn read<const N: usize>(&self, offset: usize) -> [u8; N] {
        assert!(offset.is_multiple_of(N), "aligned");
        self.0.borrow()[offset..offset + N].try_into().unwrap()
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset.is_multiple_of(bytes.len()), "aligned");
        self.0.borrow_mut()[offset..offset + bytes.len()].copy_from_slice(bytes);
    }
}

impl RingMemory for Memory {
    fn address(&self, offset: usize) -> u64 {
        BASE + offset as u64
    }
    fn read_u16(&self, offset: usize) -> u16 {
        u16::from_le_bytes(self.read(offset))
    }
    fn read_u32(&self, offset: usize) -> u32 {
        u32::from_le_bytes(self.read(offset))
    }
    fn write_u16(&mut self, offset: usize, value: u16) {
        self.write(offset, &value.to_le_bytes());
    }
    fn write_u32(&mut self, offset: usize, value: u32) {
        self.write(offset, &value.to_le_bytes());
    }
    fn write_u64(&mut self, offset: usize, value: u64) {
        self.write(offset, &value.to_le_bytes());
    }
}

/// A region as the device sees it: address, length, and whether it may write there.
type Seen = (u64, u32, bool);

/// The device's side, as the specification describes it.
struct Device {
    memory: Memory,
    seen: u16,
    used: u16,
}

impl Device {
    fn new(memory: &Memory) -> Self {
        Self {
            memory: memory.clone(),
            seen: 0,
            used: 0,
        }
    }

    /// The next descriptor that is available: number, address, length, flags.
    fn take(&mut self) -> Option<(u16, u64, u32, u16)> {
        let layout = Layout::new(SIZE);
        if self.memory.read_u16(layout.available + 2) == self.seen {
            return None;
        }
        let slot = usize::from(self.seen % SIZE);
        let number = self.memory.read_u16(layout.available + 4 + slot * 2);
        self.seen = self.seen.wrapping_add(1);
        let entry = usize::from(number) * 16;
        Some((
            number,
            u64::from_le_bytes(self.memory.read(entry)),
            self.memory.read_u32(entry + 8),
            self.memory.read_u16(entry + 12),
        ))
    }

    /// The next request: its number, and the regions of its chain, each with whether the device writes it.
    fn take_chain(&mut self) -> Option<(u16, Vec<Seen>)> {
        let (number, address, length, flags) = self.take()?;
        let mut regions = Vec::new();
        if flags & 4 != 0 {
            assert_eq!(flags, 4, "a table stands alone");
            let table = (address - BASE) as usize;
            let count = length / 16;
            let mut index = 0;
            loop {
                assert!(index < count, "inside of the table");
                let entry = table + index as usize * 16;
                let (address, length, flags, next) = self.descriptor(entry);
                regions.push((address, length, flags & 2 != 0));
                if flags & 1 == 0 {
                    assert_eq!(regions.len(), count as usize);
                    return Some((number, regions));
                }
                index = u32::from(next);
            }
        }
        let mut current = number;
        loop {
            let (address, length, flags, next) = self.descriptor(usize::from(current) * 16);
            regions.push((address, length, flags & 2 != 0));
            if flags & 1 == 0 {
                return Some((number, regions));
            }
            assert!(regions.len() < usize::from(SIZE), "no circle");
            current = next;
        }
    }

    fn descriptor(&self, entry: usize) -> (u64, u32, u16, u16) {
        (
            u64::from_le_bytes(self.memory.read(entry)),
            self.memory.read_u32(entry + 8),
            self.memory.read_u16(entry + 12),
            self.memory.read_u16(entry + 14),
        )
    }

    /// Names the index at which the device wants to be told.
    fn want_event(&mut self, index: u16) {
        let place = Layout::new(SIZE).used + 4 + usize::from(SIZE) * 8;
        self.memory.write_u16(place, index);
    }

    /// Whether the driver wants an interrupt after what was given back since the used index was `old`.
    fn may_interrupt(&self, old: u16) -> bool {
        let event = self
            .memory
            .read_u16(Layout::new(SIZE).available + 4 + usize::from(SIZE) * 2);
        self.used.wrapping_sub(event).wrapping_sub(1) < self.used.wrapping_sub(old)
    }

    fn give_back(&mut self, number: u32, written: u32) {
        let layout = Layout::new(SIZE);
        let slot = usize::from(self.used % SIZE);
        self.memory.write_u32(layout.used + 4 + slot * 8, number);
        self.memory.write_u32(layout.used + 8 + slot * 8, written);
        self.used = self.used.wrapping_add(1);
        self.memory.write_u16(layout.used + 2, self.used);
    }
}

fn queue() -> (Queue<Memory, u32>, Device) {
    let memory = Memory::new();
    let device = Device::new(&memory);
    (Queue::new(memory, SIZE), device)
}

fn queue_with(table_entries: u16, event_index: bool) -> (Queue<Memory, u32>, Device) {
    let memory = Memory::new();
    let device = Device::new(&memory);
    let agreement = Agreement {
        table_entries,
        event_index,
    };
    (Queue::with_agreement(memory, SIZE, agreement), device)
}

fn region(buffer: u32) -> Region {
    Region {
        address: u64::from(buffer) << 32,
        length: 100,
    }
}

#[test]
fn the_layout_is_that_of_the_specification() {
    let layout = Layout::new(256);
    assert_eq!(
        (layout.descriptors, layout.available, layout.used),
        (0, 4096, 4096 + 6 + 512 + 2)
    );
    assert_eq!(layout.length, layout.used + 6 + 2048);
    assert!(Layout::new(64).length <= 4096);
}

#[test]
fn buffers_go_round_in_any_order() {
    let (mut queue, mut device) = queue();
    // More rounds than a 16-bit index counts.
    for round in 0..70_000_u32 {
        queue
            .submit(round * 2, region(7), Direction::FromDevice)
            .unwrap();
        queue
            .submit(round * 2 + 1, region(9), Direction::ToDevice)
            .unwrap();
        let first = device.take().unwrap();
        let second = device.take().unwrap();
        assert_eq!((first.1, first.2, first.3), (7 << 32, 100, 2));
        assert_eq!((second.1, second.2, second.3), (9 << 32, 100, 0));
        device.give_back(second.0.into(), 0);
        device.give_back(first.0.into(), 55);
        assert_eq!(queue.take_used(), Some((round * 2 + 1, 0)));
        assert_eq!(queue.take_used(), Some((round * 2, 55)));
        assert_eq!(queue.take_used(), None);
    }
    assert_eq!(queue.misbehaviour(), None);
}

#[test]
fn a_full_queue_returns_the_buffer() {
    let (mut queue, _device) = queue();
    for buffer in 0..4 {
        queue
            .submit(buffer, region(buffer), Direction::ToDevice)
            .unwrap();
    }
    assert_eq!(queue.in_flight(), 4);
    assert_eq!(queue.submit(4, region(4), Direction::ToDevice), Err(4));
}

#[test]
fn suppression_flags() {
    let (mut queue, device) = queue();
    let layout = Layout::new(SIZE);
    assert!(queue.wants_notification());
    device.memory.clone().write_u16(layout.used, 1);
    assert!(!queue.wants_notification());
    queue.set_interrupts(false);
    assert_eq!(device.memory.read_u16(layout.available), 1);
    queue.set_interrupts(true);
    assert_eq!(device.memory.read_u16(layout.available), 0);
}

#[test]
fn lies_are_named_and_end_the_queue() {
    let lie = |tell: fn(&mut Device)| {
        let (mut queue, mut device) = queue();
        queue.submit(1, region(1), Direction::FromDevice).unwrap();
        queue.submit(2, region(2), Direction::ToDevice).unwrap();
        tell(&mut device);
        while queue.take_used().is_some() {}
        assert_eq!(queue.submit(3, region(3), Direction::ToDevice), Err(3));
        queue.misbehaviour().unwrap()
    };
    assert_eq!(
        lie(|device| device.give_back(3, 0)),
        Misbehaviour::NotGiven(3)
    );
    assert_eq!(
        lie(|device| device.give_back(u32::MAX, 0)),
        Misbehaviour::NotGiven(u32::MAX)
    );
    assert_eq!(
        lie(|device| {
            device.give_back(0, 0);
            device.give_back(0, 0);
        }),
        Misbehaviour::NotGiven(0)
    );
    assert_eq!(
        lie(|device| device.give_back(0, 101)),
        Misbehaviour::TooLong {
            written: 101,
            room: 100
        }
    );
    assert_eq!(
        lie(|device| (0..3).for_each(|_| device.give_back(1, 0))),
        Misbehaviour::IndexTooFar { index: 3, seen: 0 }
    );
}

#[test]
fn a_length_for_a_buffer_that_is_only_read_means_nothing() {
    let (mut queue, mut device) = queue();
    queue.submit(1, region(1), Direction::ToDevice).unwrap();
    let (number, ..) = device.take().unwrap();
    device.give_back(number.into(), 4711);
    assert_eq!(queue.take_used(), Some((1, 0)));
}

#[test]
fn chains_arrive_as_they_were_given() {
    for table_entries in [0, TABLE] {
        let (mut queue, mut device) = queue_with(table_entries, false);
        for round in 0..1000_u32 {
            let regions: Vec<Region> = (0..4).map(|part| region(round * 4 + part)).collect();
            for (readable, writable) in [(1, 0), (3, 0), (0, 2), (2, 2), (1, 1)] {
                let (first, rest) = regions.split_at(readable);
                queue.submit_chain(round, first, &rest[..writable]).unwrap();
                let (number, seen) = device.take_chain().unwrap();
                let expected: Vec<_> = (regions.iter().enumerate())
                    .take(readable + writable)
                    .map(|(index, region)| (region.address, region.length, index >= readable))
                    .collect();
                assert_eq!(seen, expected);
                let most = 100 * writable as u32;
                device.give_back(number.into(), most);
                assert_eq!(queue.take_used(), Some((round, most as usize)));
                assert_eq!(queue.in_flight(), 0);
            }
        }
    }
}

#[test]
fn a_table_takes_one_descriptor_and_a_chain_all() {
    let parts = [region(1), region(2), region(3), region(4)];
    let (mut queue, mut device) = queue_with(TABLE, false);
    for buffer in 0..4 {
        assert!(queue.has_room(3));
        queue.submit_chain(buffer, &parts[..3], &[]).unwrap();
    }
    assert!(!queue.has_room(1));
    assert_eq!(queue.submit_chain(4, &parts[..1], &[]), Err(4));
    // Longer than a table: it waits for as many descriptors.
    let mut numbers = Vec::new();
    while let Some((number, regions)) = device.take_chain() {
        assert_eq!(regions.len(), 3);
        numbers.push(number);
    }
    for number in numbers {
        assert!(!queue.has_room(4));
        device.give_back(number.into(), 0);
        queue.take_used().unwrap();
    }
    queue.submit_chain(5, &parts, &[]).unwrap();
    assert!(!queue.has_room(1));
    assert_eq!(device.take_chain().unwrap().1.len(), 4);
    assert_eq!(queue.submit_chain(6, &[], &[]), Err(6));
    assert_eq!(
        Queue::<Memory, u32>::new(Memory::new(), SIZE).submit_chain(7, &[region(0); 5], &[]),
        Err(7)
    );
}

#[test]
fn only_the_head_of_a_chain_comes_back() {
    let (mut queue, mut device) = queue();
    queue
        .submit_chain(1, &[region(1)], &[region(2), region(3)])
        .unwrap();
    let (number, _) = device.take_chain().unwrap();
    let other = (0..u32::from(SIZE)).find(|&other| other != u32::from(number));
    device.give_back(other.unwrap(), 0);
    assert_eq!(queue.take_used(), None);
    assert_eq!(
        queue.misbehaviour(),
        Some(Misbehaviour::NotGiven(other.unwrap()))
    );
}

#[test]
fn what_was_written_is_compared_with_all_regions_that_may_be() {
    for (written, fits) in [(200, true), (201, false)] {
        let (mut queue, mut device) = queue_with(TABLE, false);
        queue
            .submit_chain(1, &[region(1)], &[region(2), region(3)])
            .unwrap();
        let (number, _) = device.take_chain().unwrap();
        device.give_back(number.into(), written);
        assert_eq!(queue.take_used().is_some(), fits);
    }
}

#[test]
fn the_device_is_told_at_the_index_that_it_names() {
    let (mut queue, mut device) = queue_with(0, true);
    // Over the end of the index and around.
    for round in 0..70_000_u32 {
        let first = (round * 2) as u16;
        // It wants to know of the second of two.
        device.want_event(first.wrapping_add(1));
        queue.submit(1, region(1), Direction::ToDevice).unwrap();
        assert!(!queue.wants_notification());
        queue.submit(2, region(2), Direction::ToDevice).unwrap();
        assert!(queue.wants_notification());
        assert!(!queue.wants_notification(), "once");
        for _ in 0..2 {
            let (number, ..) = device.take().unwrap();
            device.give_back(number.into(), 0);
            queue.take_used().unwrap();
        }
    }
}

#[test]
fn the_driver_is_told_at_the_index_that_it_names() {
    let (mut queue, mut device) = queue_with(0, true);
    for round in 0..70_000_u32 {
        for buffer in 0..3 {
            queue
                .submit(buffer, region(buffer), Direction::ToDevice)
                .unwrap();
        }
        let wanted = (round % 4) as u16;
        match wanted {
            3 => queue.set_interrupts(false),
            after => queue.interrupt_after(after),
        }
        assert!(!queue.has_used());
        for done in 0..3 {
            let old = device.used;
            let (number, ..) = device.take().unwrap();
            device.give_back(number.into(), 0);
            assert_eq!(device.may_interrupt(old), done == wanted);
        }
        assert!(queue.has_used());
        while queue.take_used().is_some() {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// A device that scribbles over all shared memory gets each buffer returned at most once.
    #[test]
    fn scribbles(
        writes in prop::collection::vec((0_usize..Layout::new(SIZE).length / 2, 0_u16..9), 0..60),
        table_entries in 0..=TABLE,
        event_index: bool,
        parts in 1_usize..4,
    ) {
        let (mut queue, device) = queue_with(table_entries, event_index);
        let mut outside = vec![0, 1, 2, 3];
        for (word, value) in writes {
            device.memory.clone().write_u16(word * 2, value);
            while let Some((buffer, written)) = queue.take_used() {
                prop_assert!(written <= 100 * parts);
                prop_assert!(!outside.contains(&buffer));
                outside.push(buffer);
            }
            if let Some(buffer) = outside.pop()
                && let Err(buffer) = queue.submit_chain(buffer, &[], &vec![region(buffer); parts])
            {
                outside.push(buffer);
            }
            queue.wants_notification();
            if queue.misbehaviour().is_none() {
                prop_assert_eq!(queue.in_flight() + outside.len(), 4);
            }
        }
    }
}
