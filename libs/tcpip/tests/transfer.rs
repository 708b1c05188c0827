//! Whatever the network does, every byte arrives once and in order, or the connection says that it failed.

mod common;

use common::{Net, Weather, slice};
use pith_tcpip::tcp::{Algorithm, Options, State};
use pith_tcpip::time::{MILLISECOND, SECOND};

fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut random = common::Random(seed | 1);
    (0..length).map(|_| random.next() as u8).collect()
}

/// Sends `data[i]` from end `i`, and checks what arrives. Returns the net at the end.
fn exchange(seed: u64, weather: Weather, options: Options, lengths: [usize; 2]) -> Net {
    let data = [content(seed, lengths[0]), content(seed + 1, lengths[1])];
    let mut net = Net::new(seed, weather, options);
    let mut sent = [0, 0];
    let mut received: [Vec<u8>; 2] = [Vec::new(), Vec::new()];
    let mut steps = 0_u64;
    loop {
        for index in 0..2 {
            let Some(end) = net.ends[index].as_mut() else {
                continue;
            };
            while end.can_send() && sent[index] < lengths[index] && end.free() != 0 {
                let length = (lengths[index] - sent[index]).min(end.free()).min(10_000);
                end.send(slice(&data[index][sent[index]..sent[index] + length]));
                sent[index] += length;
            }
            if sent[index] == lengths[index] && end.can_send() {
                end.shut_down();
            }
            let available = end.available();
            if available != 0 {
                let bytes: Vec<u8> = end.data().flat_map(|part| part.to_vec()).collect();
                received[index].extend_from_slice(&bytes);
                end.consume(available);
            }
            assert_eq!(
                end.ending(),
                None,
                "seed {seed}: end {index} failed after {steps} steps"
            );
        }
        let done = (0..2).all(|index| received[index].len() == lengths[1 - index])
            && net.ends.iter().all(|end| {
                end.as_ref()
                    .is_some_and(|end| matches!(end.state(), State::TimeWait | State::Closed))
            });
        if done {
            break;
        }
        assert!(
            net.step(),
            "seed {seed}: nothing happens any more: {:?}",
            net.ends
        );
        steps += 1;
        assert!(steps < 2_000_000, "seed {seed}: no end");
    }
    assert!(
        received[0] == data[1] && received[1] == data[0],
        "seed {seed}: other bytes"
    );
    net
}

#[test]
fn in_good_weather_nothing_is_sent_twice() {
    for algorithm in [Algorithm::Reno, Algorithm::Cubic] {
        let options = Options {
            algorithm,
            ..Options::default()
        };
        let weather = Weather {
            delay: 10 * MILLISECOND,
            ..Weather::default()
        };
        let net = exchange(1, weather, options, [1_000_000, 300_000]);
        assert_eq!(net.bytes, 1_300_000);
        assert!(net.now.0 < 5 * SECOND, "{}", net.now.0);
    }
}

#[test]
fn without_data_it_opens_and_closes() {
    let net = exchange(3, Weather::default(), Options::default(), [0, 0]);
    assert!(net.packets <= 8, "{}", net.packets);
}

#[test]
fn in_any_weather_every_byte_arrives_once() {
    let weathers = [
        (10, 0, 0),
        (50, 20, 100),
        (0, 300, 500),
        (200, 50, 200),
        (300, 0, 0),
    ];
    for (index, (loss, repetition, reordering)) in weathers.into_iter().enumerate() {
        for seed in 0..20 {
            let weather = Weather {
                loss,
                repetition,
                reordering,
                delay: (1 + seed % 5 * 10) * MILLISECOND,
            };
            let size = if loss >= 200 { 20_000 } else { 200_000 };
            exchange(
                1000 * index as u64 + seed,
                weather,
                Options::default(),
                [size, size / 3],
            );
        }
    }
}

#[test]
fn small_buffers_do() {
    for seed in 0..10 {
        let options = Options {
            send_capacity: 5000,
            receive_capacity: 3000,
            ..Options::default()
        };
        let weather = Weather {
            loss: 20,
            delay: MILLISECOND,
            ..Weather::default()
        };
        exchange(seed, weather, options, [50_000, 50_000]);
    }
}
