//! A queue against an honest device, and against devices that lie.

use super::*;
use proptest::prelude::*;
use std::cell::RefCell;
use std::rc::Rc;

const SIZE: u16 = 4;

#[derive(Clone, Debug)]
struct Memory(Rc<RefCell<Vec<u8>>>);

impl Memory {
    fn new() -> Self {
        Self(Rc::new(RefCell::new(vec![0; Layout::new(SIZE).length])))
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// A device that scribbles over all shared memory gets each buffer returned at most once.
    #[test]
    fn scribbles(writes in prop::collection::vec((0_usize..Layout::new(SIZE).length / 2, 0_u16..9), 0..60)) {
        let (mut queue, device) = queue();
        let mut outside = vec![0, 1, 2, 3];
        for (word, value) in writes {
            device.memory.clone().write_u16(word * 2, value);
            while let Some((buffer, written)) = queue.take_used() {
                prop_assert!(written <= 100);
                prop_assert!(!outside.contains(&buffer));
                outside.push(buffer);
            }
            if let Some(buffer) = outside.pop()
                && let Err(buffer) = queue.submit(buffer, region(buffer), Direction::FromDevice)
            {
                outside.push(buffer);
            }
            if queue.misbehaviour().is_none() {
                prop_assert_eq!(queue.in_flight() + outside.len(), 4);
            }
        }
    }
}
