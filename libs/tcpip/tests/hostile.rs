//! Whatever arrives: no panic, no memory without bound, and what is right goes on.

mod common;

use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use common::{Memory, Random, address, slice};
use pith_tcpip::stack::{Offload, Reach, Route, link_local_address};
use pith_tcpip::tcp::{Connection, Options, Path, Sequence};
use pith_tcpip::wire::checksum::Sum;
use pith_tcpip::wire::ethernet::{self, HardwareAddress};
use pith_tcpip::wire::tcp::{Header, LONGEST_HEADER};
use pith_tcpip::wire::{arp, icmp, icmpv6, ip, ipv4, ipv6, udp};
use pith_tcpip::{Instant, Stack};

const OWN: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

/// A number near another one, or any.
fn near(random: &mut Random, number: u32) -> Sequence {
    match random.next() % 4 {
        0 => Sequence(random.next() as u32),
        1 => Sequence(number),
        _ => Sequence(
            number
                .wrapping_add((random.next() % 5000) as u32)
                .wrapping_sub(2500),
        ),
    }
}

fn header(random: &mut Random, sequence: u32, acknowledgement: u32) -> Header {
    let mut header = Header {
        source: 80,
        destination: 40_000,
        sequence: near(random, sequence),
        acknowledgement: near(random, acknowledgement),
        flags: if random.happens(700) {
            0x10
        } else {
            random.next() as u8 & 0x3f
        },
        window: random.next() as u16,
        ..Header::default()
    };
    if random.happens(300) {
        header.timestamps = Some((random.next() as u32, random.next() as u32));
    }
    if random.happens(100) {
        header.maximum_segment = Some(random.next() as u16);
        header.window_scale = Some(random.next() as u8 % 15);
        header.sack_permitted = random.happens(500);
    }
    for place in &mut header.sack {
        if random.happens(200) {
            *place = Some((near(random, acknowledgement), near(random, acknowledgement)));
        }
    }
    header
}

#[test]
fn a_connection_survives_any_segments_calls_and_times() {
    for seed in 1..400 {
        let mut random = Random(seed * 7919);
        let mut now = Instant(1_000_000_000);
        let mut end: Connection<Memory> = Connection::connect(
            (address(40_000), address(80)),
            (Sequence(100), 5),
            Path { segment: 1460 },
            Options::default(),
            now,
        );
        let mut sent: u32 = 100;
        let mut received: u32 = 0;
        for _ in 0..300 {
            let mut out = Vec::new();
            match random.next() % 10 {
                0..=5 => {
                    let header = header(&mut random, received, sent);
                    let data =
                        vec![1; (random.next() % 3000) as usize * usize::from(random.happens(500))];
                    end.receive(&header, slice(&data), now);
                }
                6 => {
                    if end.can_send() && end.free() != 0 {
                        let length = (random.next() as usize % 20_000).min(end.free());
                        end.send(slice(&vec![2; length]));
                    }
                }
                7 => end.consume((random.next() % 5000) as usize % (end.available() + 1)),
                8 => {
                    now = now + random.next() % 3_000_000_000;
                    end.expire(now, &mut out);
                }
                _ => match random.next() % 20 {
                    0 => end.shut_down(),
                    1 => end.close(now),
                    2 => end.choose(|options| options.no_delay = true, now),
                    _ => {}
                },
            }
            end.transmit(now, if random.happens(500) { 0 } else { 65_000 }, &mut out);
            assert!(
                out.len() < 1000,
                "seed {seed}: {} segments at once",
                out.len()
            );
            for segment in out {
                assert!(segment.length() <= 65_000);
                sent = segment.header.sequence.0;
                if segment.header.acknowledgement.0 != 0 {
                    received = segment.header.acknowledgement.0;
                }
            }
        }
    }
}

fn stack() -> Stack<Memory> {
    let now = Instant(1_000_000_000);
    let mut stack = Stack::new([1, 2]);
    let hardware = HardwareAddress([2, 0, 0, 0, 0, 1]);
    let card = stack.add_card(hardware, 1500, Offload::default(), now);
    stack.add_address(card, OWN.into(), 24, now);
    stack.add_route(Route {
        network: Ipv4Addr::UNSPECIFIED.into(),
        prefix: 0,
        interface: card,
        gateway: Some(OTHER.into()),
        metric: 0,
        expires: None,
    });
    let listener = stack.tcp_open(Reach::Both, Options::default());
    let any = |port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
    stack.bind(listener, any(80), false).expect("free");
    stack.tcp_listen(listener, 8).expect("new");
    let datagrams = stack.udp_open(Reach::Both, 10_000);
    stack.bind(datagrams, any(53), false).expect("free");
    stack
}

/// A frame that is right in every way.
fn frame(random: &mut Random) -> Vec<u8> {
    let payload: Vec<u8> = (0..random.next() % 200)
        .map(|_| random.next() as u8)
        .collect();
    let (protocol, inner) = match random.next() % 4 {
        0 => {
            let mut header = header(random, 0, 0);
            header.destination = 80;
            header.source = random.next() as u16 % 50 + 1000;
            let mut bytes = [0; LONGEST_HEADER];
            let length = header.write(&mut bytes);
            let mut inner = bytes[..length].to_vec();
            inner.extend_from_slice(&payload);
            let sum = Sum::default().pseudo_header(OTHER.into(), OWN.into(), ip::TCP, inner.len());
            let checksum = sum.bytes(&inner).checksum();
            inner[16..18].copy_from_slice(&checksum);
            (ip::TCP, inner)
        }
        1 => {
            let header = udp::Header {
                source: 1000,
                destination: 53,
                length: (8 + payload.len()) as u16,
                checksum: 0,
            };
            (ip::UDP, [&header.bytes()[..], &payload].concat())
        }
        2 => {
            let header = icmp::Header {
                kind: if random.happens(500) {
                    icmp::ECHO
                } else {
                    icmp::UNREACHABLE
                },
                code: 3,
                rest: 1,
            };
            (ip::ICMP, [&header.bytes(&payload)[..], &payload].concat())
        }
        _ => {
            let packet = arp::Packet {
                is_reply: random.happens(500),
                sender: (HardwareAddress([2, 0, 0, 0, 0, 2]), OTHER),
                target: (HardwareAddress::default(), OWN),
            };
            let header = ethernet::Header {
                destination: HardwareAddress::BROADCAST,
                source: HardwareAddress([2, 0, 0, 0, 0, 2]),
                kind: ethernet::ARP,
            };
            return [&header.bytes()[..], &packet.bytes()].concat();
        }
    };
    let packet = ipv4::Header::new(OTHER, OWN, protocol, inner.len());
    let header = ethernet::Header {
        destination: HardwareAddress([2, 0, 0, 0, 0, 1]),
        source: HardwareAddress([2, 0, 0, 0, 0, 2]),
        kind: ethernet::IPV4,
    };
    [&header.bytes()[..], &packet.bytes(), &inner].concat()
}

const OTHER_6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
const GROUP: Ipv6Addr = Ipv6Addr::new(0xff05, 0, 0, 0, 0, 0, 0, 0x123);

/// A frame of IPv6 that is right in most ways: messages for neighbours, routers and groups, errors, datagrams, headers in
/// between, parts.
fn frame_6(random: &mut Random) -> Vec<u8> {
    let own = link_local_address(HardwareAddress([2, 0, 0, 0, 0, 1]));
    let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let destination = [own, all, GROUP, icmpv6::solicited_group(own)][random.next() as usize % 4];
    let mut body: Vec<u8> = (0..random.next() % 100)
        .map(|_| random.next() as u8)
        .collect();
    let (mut next, mut inner) = match random.next() % 3 {
        0 => {
            let bytes =
                common::host::datagram(OTHER_6.into(), destination.into(), (1000, 53), &body);
            (ip::UDP, bytes)
        }
        _ => {
            let kinds = [1, 2, 3, 4, 128, 129, 130, 131, 133, 134, 135, 136, 137, 143];
            let kind = kinds[random.next() as usize % kinds.len()];
            if random.happens(700) {
                // Something that the message needs, and options of all kinds.
                let mut made = Vec::new();
                match kind {
                    1..=4 => made.extend_from_slice(
                        &common::host::packet6_to(own, OTHER_6, 64, ip::UDP, &body)[..],
                    ),
                    134 => made.extend_from_slice(&[0; 8]),
                    _ => made.extend_from_slice(&own.octets()),
                }
                for _ in 0..random.next() % 4 {
                    let option = [1, 2, 3, 5, 25, 31][random.next() as usize % 6];
                    let words = 1 + random.next() as usize % 5;
                    let start = made.len();
                    made.extend([option, words as u8]);
                    made.extend((2..words * 8).map(|_| random.next() as u8));
                    if option == 3 && words == 4 {
                        made[start + 2] = 64;
                        made[start + 16] = 0x20;
                    }
                }
                body = made;
            }
            let header = icmp::Header {
                kind,
                code: if random.happens(800) {
                    0
                } else {
                    random.next() as u8
                },
                rest: random.next() as u32,
            };
            let bytes = icmpv6::bytes(&header, OTHER_6, destination, &body);
            (ip::ICMPV6, [&bytes[..], &body].concat())
        }
    };
    for _ in 0..random.next() % 3 {
        let kind = [0, 43, 44, 60][random.next() as usize % 4];
        let mut header = [next, 0, 1, 4, 0, 0, 0, random.next() as u8 % 3];
        if kind == ipv6::FRAGMENT {
            header[2] = 0;
            header[3] = random.next() as u8 & 0x19;
        } else {
            header[4..].fill(0);
        }
        inner = [&header[..], &inner].concat();
        next = kind;
    }
    let hops = [255, 1, 64][random.next() as usize % 3];
    let packet = common::host::packet6_to(OTHER_6, destination, hops, next, &inner);
    let header = ethernet::Header {
        destination: match destination.is_multicast() {
            true => HardwareAddress::of_group(destination.into()),
            false => HardwareAddress([2, 0, 0, 0, 0, 1]),
        },
        source: HardwareAddress([2, 0, 0, 0, 0, 2]),
        kind: ethernet::IPV6,
    };
    [&header.bytes()[..], &packet].concat()
}

#[test]
fn a_stack_that_takes_addresses_from_others_survives_what_they_say() {
    let mut random = Random(7);
    for seed in 0..50 {
        let mut now = Instant(1_000_000_000);
        let mut stack = stack();
        stack.start_slaac(1, now);
        stack.start_dhcp(1, b"machine", now);
        let listener = stack.udp_open(Reach::V6, 10_000);
        stack
            .udp_join(listener, GROUP.into(), 2, now)
            .expect("a group");
        now = now + 2_000_000_000;
        stack.expire(now);
        for _ in 0..2000 {
            let mut bytes = frame_6(&mut random);
            match random.next() % 6 {
                0 => bytes.truncate(random.next() as usize % (bytes.len() + 1)),
                1 => {
                    let place = random.next() as usize % bytes.len();
                    bytes[place] = random.next() as u8;
                }
                _ => {}
            }
            let _ = stack.receive(1, slice(&bytes), now);
            if random.happens(100) {
                now = now + random.next() % 20_000_000_000;
                stack.expire(now);
            }
            let mut frames = 0;
            while stack.take_frame().is_some() {
                frames += 1;
                assert!(frames < 500);
            }
            while stack.take_event().is_some() {}
        }
        let one = &stack.interfaces()[1];
        assert!(
            one.addresses.len() < 20 && one.groups.len() < 40,
            "seed {seed}"
        );
        assert!(stack.routes().len() < 50 && stack.neighbours().count() <= 1024);
    }
}

#[test]
fn a_stack_survives_frames_that_are_cut_and_changed() {
    let mut random = Random(99);
    for _ in 0..50 {
        let mut stack = stack();
        let mut now = Instant(1_000_000_000);
        for _ in 0..2000 {
            let mut bytes = frame(&mut random);
            match random.next() % 4 {
                0 => bytes.truncate(random.next() as usize % (bytes.len() + 1)),
                1 => {
                    for _ in 0..1 + random.next() % 4 {
                        let place = random.next() as usize % bytes.len();
                        bytes[place] = random.next() as u8;
                    }
                }
                _ => {}
            }
            let _ = stack.receive(1, slice(&bytes), now);
            if random.happens(100) {
                now = now + random.next() % 2_000_000_000;
                stack.expire(now);
            }
            let mut frames = 0;
            while stack.take_frame().is_some() {
                frames += 1;
                assert!(frames < 200);
            }
            while stack.take_event().is_some() {}
        }
    }
}
