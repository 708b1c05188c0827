//! Redirects (RFC 792; RFC 1122, section 3.2.2.2; RFC 4861, section 8): a router knows a better way.

mod common;

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use common::host::*;
use common::slice;
use pith_tcpip::stack::{Handle, Reach, Route};
use pith_tcpip::time::SECOND;
use pith_tcpip::wire::ethernet::HardwareAddress;
use pith_tcpip::wire::{arp, icmp, icmpv6};

const BETTER_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 2);
const BETTER_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 9);
const BETTER_CARD: HardwareAddress = HardwareAddress([2, 0, 0, 0, 0, 9]);

/// Sends a datagram to a station far away and gives the packet, with the station that the frame goes to.
fn send(host: &mut Host, socket: Handle, to: IpAddr) -> Option<(HardwareAddress, Vec<u8>)> {
    let now = host.now;
    let to = SocketAddr::new(to, 53);
    let sent = host.stack.udp_send(socket, Some(to), slice(b"data"), now);
    assert_eq!(sent, Ok(()));
    let mut found = None;
    while let Some(frame) = host.stack.take_frame() {
        let destination = HardwareAddress(frame.headers[..6].try_into().expect("an address"));
        let mut bytes = frame.headers[14..].to_vec();
        for piece in frame.payload.iter() {
            bytes.extend_from_slice(piece);
        }
        // The question for the station is answered below.
        if frame.headers[12..14] != [8, 6] {
            found = Some((destination, bytes));
        }
    }
    found
}

/// The other stations are known.
fn introduce(host: &mut Host, ip: Ipv4Addr, hardware: HardwareAddress) {
    let answer = arp::Packet {
        is_reply: true,
        sender: (hardware, ip),
        target: (OWN_CARD, OWN_V4),
    };
    assert_eq!(host.frame(OWN_CARD, 0x0806, &answer.bytes()), Ok(()));
}

fn redirect(next: Ipv4Addr) -> icmp::Header {
    icmp::Header {
        kind: icmp::REDIRECT,
        code: 1,
        rest: next.to_bits(),
    }
}

#[test]
fn a_better_router_is_used_for_that_station_until_it_is_forgotten() {
    let mut host = Host::new();
    let socket = host.udp(Reach::V4, 1000);
    let _ = send(&mut host, socket, FAR_V4.into());
    introduce(&mut host, OTHER_V4, OTHER_CARD);
    let (to, packet) = send(&mut host, socket, FAR_V4.into()).expect("a packet");
    assert_eq!(to, OTHER_CARD);
    assert_eq!(
        host.receive(&icmp4(OTHER_V4, redirect(BETTER_V4), &packet)),
        Ok(())
    );
    // The new router is asked for first.
    let _ = send(&mut host, socket, FAR_V4.into());
    introduce(&mut host, BETTER_V4, BETTER_CARD);
    let sent = send(&mut host, socket, FAR_V4.into());
    assert_eq!(sent.map(|(to, _)| to), Some(BETTER_CARD));
    // Others go by the old way.
    let other = Ipv4Addr::new(198, 51, 100, 8);
    introduce(&mut host, OTHER_V4, OTHER_CARD);
    let sent = send(&mut host, socket, other.into());
    assert_eq!(sent.map(|(to, _)| to), Some(OTHER_CARD));
    host.pass(301 * SECOND);
    introduce(&mut host, OTHER_V4, OTHER_CARD);
    let _ = send(&mut host, socket, FAR_V4.into());
    introduce(&mut host, OTHER_V4, OTHER_CARD);
    let sent = send(&mut host, socket, FAR_V4.into());
    assert_eq!(sent.map(|(to, _)| to), Some(OTHER_CARD));
}

#[test]
fn nobody_else_redirects_and_not_to_anywhere() {
    let mut host = Host::new();
    let socket = host.udp(Reach::V4, 1000);
    let _ = send(&mut host, socket, FAR_V4.into());
    introduce(&mut host, OTHER_V4, OTHER_CARD);
    let (_, packet) = send(&mut host, socket, FAR_V4.into()).expect("a packet");
    let stranger = Ipv4Addr::new(10, 0, 0, 77);
    let mut forged = packet.clone();
    // A packet that this machine can't have sent.
    forged[12..16].copy_from_slice(&stranger.octets());
    for (from, next, quoted) in [
        (stranger, BETTER_V4, &packet),
        (OTHER_V4, FAR_V4, &packet),
        (OTHER_V4, OWN_V4, &packet),
        (OTHER_V4, OTHER_V4, &packet),
        (OTHER_V4, Ipv4Addr::new(10, 0, 0, 255), &packet),
        (OTHER_V4, Ipv4Addr::new(224, 0, 0, 1), &packet),
        (OTHER_V4, Ipv4Addr::new(127, 0, 0, 1), &packet),
        (OTHER_V4, Ipv4Addr::UNSPECIFIED, &packet),
        (OTHER_V4, BETTER_V4, &forged),
    ] {
        let _ = host.receive(&icmp4(from, redirect(next), quoted));
        introduce(&mut host, OTHER_V4, OTHER_CARD);
        let sent = send(&mut host, socket, FAR_V4.into());
        assert_eq!(sent.map(|(to, _)| to), Some(OTHER_CARD), "{from} {next}");
    }
    // What is cut off says nothing.
    // With the ports it would say enough.
    for length in 0..24 {
        let _ = host.receive(&icmp4(OTHER_V4, redirect(BETTER_V4), &packet[..length]));
    }
    let sent = send(&mut host, socket, FAR_V4.into());
    assert_eq!(sent.map(|(to, _)| to), Some(OTHER_CARD));
}

fn redirect_v6(target: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
    let mut body = Vec::from(target.octets());
    body.extend_from_slice(&destination.octets());
    body.extend_from_slice(&[icmpv6::TARGET_LINK, 1]);
    body.extend_from_slice(&BETTER_CARD.0);
    body
}

/// A machine whose router is known by its address of the link.
fn with_router() -> (Host, Handle) {
    let mut host = Host::new();
    let network = Ipv6Addr::UNSPECIFIED.into();
    let old = Some(Some(OTHER_V6.into()));
    host.stack.remove_route(network, 0, CARD, old);
    host.stack.add_route(Route {
        network,
        prefix: 0,
        interface: CARD,
        gateway: Some(ROUTER.into()),
        metric: 0,
        expires: None,
    });
    let socket = host.udp(Reach::V6, 1000);
    (host, socket)
}

#[test]
fn the_link_of_the_better_router_comes_with_the_redirect() {
    for target in [BETTER_V6, FAR_V6] {
        let (mut host, socket) = with_router();
        let header = icmp::Header {
            kind: icmpv6::REDIRECT,
            code: 0,
            rest: 0,
        };
        let body = redirect_v6(target, FAR_V6);
        assert_eq!(
            host.receive(&icmp6(ROUTER, OWN_V6, 255, header, &body)),
            Ok(())
        );
        let sent = send(&mut host, socket, FAR_V6.into());
        assert_eq!(sent.map(|(to, _)| to), Some(BETTER_CARD), "{target}");
    }
}

#[test]
fn redirects_from_afar_or_from_strangers_are_not_believed() {
    let header = icmp::Header {
        kind: icmpv6::REDIRECT,
        code: 0,
        rest: 0,
    };
    let stranger = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 77);
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    for (from, hops, target, destination) in [
        (ROUTER, 64, BETTER_V6, FAR_V6),
        (stranger, 255, BETTER_V6, FAR_V6),
        (OTHER_V6, 255, BETTER_V6, FAR_V6),
        (ROUTER, 255, OTHER_V6, FAR_V6),
        (ROUTER, 255, BETTER_V6, group),
    ] {
        let (mut host, socket) = with_router();
        let body = redirect_v6(target, destination);
        let _ = host.receive(&icmp6(from, OWN_V6, hops, header, &body));
        let sent = send(&mut host, socket, FAR_V6.into());
        // The router has to be asked for first: the question goes to its group.
        let to = sent.map(|(to, _)| to);
        assert_ne!(
            to,
            Some(BETTER_CARD),
            "{from} {hops} {target} {destination}"
        );
    }
}
