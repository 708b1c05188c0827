//! Addresses that stations make of what routers tell (RFC 4862), with the messages of RFC 4861 and RFC 8106.

mod common;

use core::net::{IpAddr, Ipv6Addr};

use common::Random;
use common::host::*;
use pith_tcpip::stack::{Address, AddressState, Reach};
use pith_tcpip::time::SECOND;
use pith_tcpip::wire::icmp::Header;
use pith_tcpip::wire::icmpv6;

fn ip(text: &str) -> Ipv6Addr {
    text.parse().expect("an address")
}

/// A router's message.
fn advertisement(lifetime: u16, options: &[Vec<u8>]) -> Vec<u8> {
    let header = Header {
        kind: icmpv6::ROUTER_ADVERTISEMENT,
        code: 0,
        rest: 64 << 24 | u32::from(lifetime),
    };
    let body = [vec![0; 8], options.concat()].concat();
    icmp6(ip("fe80::9"), ip("ff02::1"), 255, header, &body)
}

/// Prefix, flags (L 0x80, A 0x40), valid and preferred time.
fn prefix(network: &str, flags: u8, valid: u32, preferred: u32) -> Vec<u8> {
    let mut option = vec![3, 4, 64, flags];
    option.extend_from_slice(&valid.to_be_bytes());
    option.extend_from_slice(&preferred.to_be_bytes());
    option.extend_from_slice(&[0; 4]);
    option.extend_from_slice(&ip(network).octets());
    option
}

fn host() -> Host {
    let mut host = Host::bare();
    let now = host.now;
    host.stack.start_slaac(CARD, now);
    host
}

/// One that has asked.
fn asking() -> Host {
    let mut host = host();
    host.pass(2 * SECOND);
    host.sent();
    host
}

fn hear(host: &mut Host, packet: &[u8]) {
    let all = pith_tcpip::wire::ethernet::HardwareAddress([0x33, 0x33, 0, 0, 0, 1]);
    let _ = host.frame(all, 0x86dd, packet);
}

/// The address that is made of the usual prefix.
const MADE: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 5, 0, 0, 0xff, 0xfe00, 1);

fn made(host: &Host) -> Option<Address> {
    let list = &host.stack.interfaces()[CARD].addresses;
    list.iter().find(|own| own.ip == MADE).copied()
}

#[test]
fn routers_are_asked_three_times() {
    let mut host = host();
    let mut asked = 0;
    for _ in 0..30 {
        host.pass(SECOND);
        for sent in host.sent() {
            let (header, _) = sent.v6();
            if header.next == 58 && sent.icmpv6().0.kind == icmpv6::ROUTER_SOLICITATION {
                let (_, body) = sent.icmpv6();
                assert_eq!(header.source, ip("fe80::ff:fe00:1"));
                assert_eq!((header.destination, header.hops), (ip("ff02::2"), 255));
                assert_eq!(body, [&[1, 1][..], &OWN_CARD.0].concat());
                asked += 1;
            }
        }
    }
    assert_eq!(asked, 3);
    assert!(host.stack.is_configured(), "nobody is there");
}

#[test]
fn a_prefix_makes_an_address_and_a_router_a_way() {
    let mut host = asking();
    assert!(!host.stack.is_configured());
    let mut servers = vec![25, 5, 0, 0, 0, 0, 1, 0];
    servers.extend_from_slice(&ip("2001:db8::53").octets());
    servers.extend_from_slice(&ip("ff02::1").octets());
    let mtu = vec![5, 1, 0, 0, 0, 0, 5, 120];
    let options = [prefix("2001:db8:5::", 0xc0, 7200, 3600), mtu, servers];
    hear(&mut host, &advertisement(1800, &options));
    assert_eq!(made(&host).expect("made").state, AddressState::Tentative);
    assert!(!host.stack.is_configured());
    host.pass(2 * SECOND);
    assert_eq!(made(&host).expect("made").state, AddressState::Preferred);
    assert!(host.stack.is_configured());
    let servers = [IpAddr::V6(ip("2001:db8::53"))];
    assert_eq!(host.stack.name_servers(host.now), servers);
    assert_eq!(host.stack.interfaces()[CARD].mtu_v6, 1400);
    assert_eq!(host.stack.interfaces()[CARD].mtu, 1500);
    let socket = host.stack.udp_open(Reach::V6, 1000);
    let send = |host: &mut Host, to: Ipv6Addr| {
        let now = host.now;
        host.sent();
        let sent = host
            .stack
            .udp_send(socket, Some((to, 9).into()), common::slice(b"x"), now);
        sent.map(|()| host.sent().pop().expect("a packet").v6().0)
    };
    assert_eq!(send(&mut host, FAR_V6).expect("a way").source, MADE);
    // Time passes: the router is gone, then the address should not be used, then there is none.
    host.pass(1900 * SECOND);
    assert!(send(&mut host, FAR_V6).is_err());
    assert!(send(&mut host, ip("2001:db8:5::77")).is_ok());
    assert!(host.stack.name_servers(host.now).is_empty());
    host.pass(1800 * SECOND);
    assert_eq!(made(&host).expect("made").state, AddressState::Deprecated);
    host.pass(3600 * SECOND);
    assert_eq!(made(&host), None);
    assert!(send(&mut host, ip("2001:db8:5::77")).is_err());
}

#[test]
fn a_router_can_extend_lifetimes_but_not_end_them_at_once() {
    let mut host = asking();
    let tell = |host: &mut Host, valid, preferred| {
        let option = prefix("2001:db8:5::", 0xc0, valid, preferred);
        hear(host, &advertisement(1800, &[option]));
        let expires = made(host).expect("made").expires;
        expires.map(|at| at.since(host.now) / SECOND)
    };
    assert_eq!(tell(&mut host, 100_000, 50_000), Some(100_000));
    assert_eq!(tell(&mut host, 200_000, 50_000), Some(200_000));
    assert_eq!(tell(&mut host, 10_000, 5000), Some(10_000));
    // Less than two hours: two hours, or what is left.
    assert_eq!(tell(&mut host, 10, 5), Some(7200));
    host.pass(1000 * SECOND);
    assert_eq!(tell(&mut host, 10, 5), Some(6200));
    assert_eq!(tell(&mut host, 7000, 5), Some(7000));
    assert_eq!(tell(&mut host, u32::MAX, u32::MAX), None);
    // It is preferred again when that is said.
    assert_eq!(tell(&mut host, 100_000, 10), Some(100_000));
    host.pass(20 * SECOND);
    assert_eq!(made(&host).expect("made").state, AddressState::Deprecated);
    tell(&mut host, 100_000, 1000);
    assert_eq!(made(&host).expect("made").state, AddressState::Preferred);
    // A router that ends its own service is believed.
    hear(&mut host, &advertisement(0, &[]));
    let default = |host: &Host| host.stack.routes().iter().any(|route| route.prefix == 0);
    assert!(!default(&host));
}

#[test]
fn what_makes_no_sense_is_thrown_away() {
    let good = prefix("2001:db8:5::", 0xc0, 7200, 3600);
    let mut empty = good.clone();
    empty.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0]);
    let mut longer = good.clone();
    longer[2] = 63;
    for option in [
        empty,
        longer,
        prefix("2001:db8:5::", 0xc0, 3600, 7200),
        prefix("2001:db8:5::", 0xc0, 0, 0),
        prefix("2001:db8:5::", 0x80, 7200, 3600),
        prefix("fe80::", 0xc0, 7200, 3600),
    ] {
        let mut host = asking();
        hear(&mut host, &advertisement(1800, &[option]));
        assert_eq!(made(&host), None);
    }
    // It has passed a router, or comes from somewhere else.
    for (source, hops) in [(ip("fe80::9"), 254), (ip("2001:db8::9"), 255)] {
        let mut host = asking();
        let header = Header {
            kind: icmpv6::ROUTER_ADVERTISEMENT,
            code: 0,
            rest: 1800,
        };
        let body = [vec![0; 8], good.clone()].concat();
        hear(
            &mut host,
            &icmp6(source, ip("ff02::1"), hops, header, &body),
        );
        assert_eq!(made(&host), None);
        assert!(host.stack.routes().iter().all(|route| route.prefix != 0));
    }
    // Who has not asked takes nothing.
    let mut host = Host::bare();
    hear(&mut host, &advertisement(1800, &[good]));
    assert_eq!(made(&host), None);
}

#[test]
fn a_flood_of_prefixes_and_routers_is_bounded() {
    let mut host = asking();
    let mut random = Random(99);
    for number in 0..2000_u32 {
        let network = format!("2001:db8:{:x}::", number + 1);
        let header = Header {
            kind: icmpv6::ROUTER_ADVERTISEMENT,
            code: 0,
            rest: 1800,
        };
        let body = [vec![0; 8], prefix(&network, 0xc0, 7200, 3600)].concat();
        let router = Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(random.next()));
        hear(&mut host, &icmp6(router, ip("ff02::1"), 255, header, &body));
        host.sent();
    }
    assert!(host.stack.interfaces()[CARD].addresses.len() <= 17);
    assert!(host.stack.routes().len() <= 34);
    host.pass(8000 * SECOND);
    assert_eq!(host.stack.interfaces()[CARD].addresses.len(), 1);
    assert_eq!(host.stack.routes().len(), 1);
}
