//! Configurations that were damaged, or are none: an error at worst.

#[path = "../fuzz/subject.rs"]
mod subject;

use pith_abi::image::{Configuration, LogLevel, User};

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn sample() -> Vec<u8> {
    let text = |text: &str| text.as_bytes().to_vec();
    let configuration = Configuration {
        kernel_version: "0.1.0".into(),
        program: text("/bin/ls"),
        arguments: vec![text("ls"), text("-l"), vec![]],
        environment: vec![text("HOME=/root"), vec![0xff; 300]],
        working_directory: text("/"),
        user: Some(User {
            user: 1000,
            group: 100,
            supplementary: vec![4, 24, u32::MAX],
        }),
        hostname: "pith".into(),
        memory_mebibytes: 256,
        cpus: 2,
        log_level: LogLevel::Debug,
        network: vec!["ip=10.0.0.2/24".into()],
        storage: vec!["/tmp:size=64m".into()],
        ..Configuration::default()
    };
    postcard::to_allocvec(&configuration).expect("it can be encoded")
}

#[test]
fn a_configuration_survives_the_way() {
    assert!(subject::configuration(&sample()));
}

#[test]
fn damage_is_refused_or_harmless() {
    let sample = sample();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (mut good, mut bad) = (0, 0);
    for _ in 0..20_000 {
        let mut bytes = sample.clone();
        for _ in 0..random.next() % 4 + 1 {
            let place = random.next() as usize % bytes.len();
            match random.next() % 4 {
                0 => bytes[place] = random.next() as u8,
                1 => bytes[place] ^= 1 << (random.next() % 8),
                // Lengths that are larger than anything.
                2 => bytes[place] = 0xff,
                _ => bytes.truncate(place.max(1)),
            }
        }
        if subject::configuration(&bytes) {
            good += 1;
        } else {
            bad += 1;
        }
    }
    // Neither ends at the door.
    assert!(good > 500 && bad > 500, "{good} {bad}");
}

#[test]
fn noise_is_refused_or_harmless() {
    let mut random = Random(0xd1b5_4a32_d192_ed03);
    for _ in 0..20_000 {
        let length = random.next() % 200;
        let bytes: Vec<u8> = (0..length).map(|_| (random.next() >> 32) as u8).collect();
        subject::configuration(&bytes);
    }
}
