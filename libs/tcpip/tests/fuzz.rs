//! The functions of `fuzz/`, with inputs made by chance, but the same each time.

#[path = "../fuzz/subject.rs"]
mod subject;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        let count = self.next() % most;
        (0..count).map(|_| (self.next() >> 32) as u8).collect()
    }
}

#[test]
fn parsers_survive_any_bytes() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..50_000_u32 {
        let mut bytes = random.bytes(120);
        // Most of them begin as something that is known.
        let starts: [&[u8]; 6] = [
            &[0x45, 0, 0, 60, 0, 0, 0, 0, 64, 6],
            &[0x60, 0, 0, 0, 0, 60, 0, 64],
            &[0, 1, 8, 0, 6, 4, 0, 1],
            &[0, 80, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0xa0, 0x18],
            &[0, 53, 0, 53, 0, 20],
            &[135, 0],
        ];
        if let Some(start) = starts.get(round as usize % 8) {
            let length = start.len().min(bytes.len());
            bytes[..length].copy_from_slice(&start[..length]);
        }
        subject::parsers(&bytes);
    }
}

#[test]
fn the_engine_survives_any_input() {
    let mut random = Random(0xd1b5_4a32_d192_ed03);
    for _ in 0..1000 {
        subject::engine(&random.bytes(3000));
    }
}

#[test]
fn connections_carry_what_was_sent_whatever_happens() {
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for _ in 0..1000 {
        subject::connections(&random.bytes(4000));
    }
}

/// What coverage-guided runs have found (docs/development.md).
#[test]
fn what_was_found_before_stays_mended() {
    // Both ends asked at once, and what was acknowledged was never sent: the connection was left without a timer.
    subject::engine(&[
        0x6b, 0x0a, 0xff, 0x51, 0x51, 0x01, 0xa0, 0x1a, 0x1a, 0x0a, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0x2b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x51, 0x9b, 0x0a, 0x03,
        0xae, 0x51, 0xd1,
    ]);
}
