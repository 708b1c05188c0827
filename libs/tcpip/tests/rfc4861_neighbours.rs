//! Neighbour discovery (RFC 4861) and duplicate addresses (RFC 4862), frame by frame.

mod common;

use core::net::{Ipv6Addr, SocketAddr};

use common::{Memory, slice};
use pith_tcpip::stack::{AddressState, Error, NeighbourState, Offload, Reach, link_local_address};
use pith_tcpip::time::{MILLISECOND, SECOND};
use pith_tcpip::wire::ethernet::{self, HardwareAddress};
use pith_tcpip::wire::icmp::Header;
use pith_tcpip::wire::icmpv6::{self, Neighbour};
use pith_tcpip::wire::{ip, ipv6};
use pith_tcpip::{Instant, Stack};

const OWN: HardwareAddress = HardwareAddress([2, 0, 0, 0, 0, 1]);
const OTHER: HardwareAddress = HardwareAddress([2, 0, 0, 0, 0, 2]);
const START: Instant = Instant(1_000_000_000);

fn ip(text: &str) -> Ipv6Addr {
    text.parse().expect("an address")
}

/// A machine with 2001:db8::1, whose addresses are known to be free.
fn machine() -> (Stack<Memory>, Instant) {
    let mut stack = Stack::new([1, 2]);
    let card = stack.add_card(OWN, 1500, Offload::default(), START);
    stack.add_address(card, ip("2001:db8::1").into(), 64, START);
    let now = START + 2 * SECOND;
    stack.expire(now);
    while stack.take_frame().is_some() {}
    (stack, now)
}

/// A frame with a message, from the other station.
fn message(
    (source, destination): (Ipv6Addr, Ipv6Addr),
    hops: u8,
    header: Header,
    body: &[u8],
) -> Vec<u8> {
    let frame = ethernet::Header {
        destination: match destination.is_multicast() {
            true => HardwareAddress::of_group(destination.into()),
            false => OWN,
        },
        source: OTHER,
        kind: ethernet::IPV6,
    };
    let packet = ipv6::Header {
        source,
        destination,
        next: ip::ICMPV6,
        hops,
        service: 0,
        flow: 0,
        payload_length: 8 + body.len(),
    };
    let bytes = icmpv6::bytes(&header, source, destination, body);
    [&frame.bytes()[..], &packet.bytes(), &bytes, body].concat()
}

fn neighbour(
    kind: u8,
    rest: u32,
    target: Ipv6Addr,
    hardware: Option<HardwareAddress>,
) -> (Header, Vec<u8>) {
    let header = Header {
        kind,
        code: 0,
        rest,
    };
    let option = match kind {
        icmpv6::SOLICITATION => icmpv6::SOURCE_LINK,
        _ => icmpv6::TARGET_LINK,
    };
    let mut bytes = [0; Neighbour::LENGTH];
    let length = Neighbour { target, hardware }.write(option, &mut bytes);
    (header, bytes[..length].to_vec())
}

/// What a frame that was sent is: station, addresses, message, target.
type Sent = (HardwareAddress, Ipv6Addr, Ipv6Addr, Header, Neighbour);

fn sent(stack: &mut Stack<Memory>) -> Option<Sent> {
    let frame = stack.take_frame()?;
    let bytes = frame.to_vec();
    let link = ethernet::Header::read(&bytes).expect("a frame");
    let packet = ipv6::Header::read(&bytes[14..]).expect("a packet");
    if packet.next == ipv6::HOP_BY_HOP {
        // A report of a group.
        return sent(stack);
    }
    let header = icmpv6::read(packet.source, packet.destination, &bytes[54..]).expect("a message");
    if matches!(header.kind, icmpv6::SOLICITATION | icmpv6::ADVERTISEMENT) {
        assert_eq!(packet.hops, 255);
    }
    let option = match header.kind {
        icmpv6::SOLICITATION => icmpv6::SOURCE_LINK,
        _ => icmpv6::TARGET_LINK,
    };
    let body = Neighbour::read(&bytes[62..], option).unwrap_or(Neighbour {
        target: Ipv6Addr::UNSPECIFIED,
        hardware: None,
    });
    Some((
        link.destination,
        packet.source,
        packet.destination,
        header,
        body,
    ))
}

fn state(stack: &Stack<Memory>, of: &str) -> Option<NeighbourState> {
    let mut list = stack.neighbours();
    list.find(|(_, address, ..)| *address == ip(of))
        .map(|(.., state)| state)
}

/// Sends a datagram to a station.
fn talk(stack: &mut Stack<Memory>, to: &str, now: Instant) {
    let socket = stack.udp_open(Reach::V6, 1000);
    let to = SocketAddr::from((ip(to), 9));
    stack
        .udp_send(socket, Some(to), slice(b"x"), now)
        .expect("a way there");
    stack.close(socket, now);
}

#[test]
fn an_address_is_asked_for_before_it_is_used() {
    let mut stack: Stack<Memory> = Stack::new([1, 2]);
    let card = stack.add_card(OWN, 1500, Offload::default(), START);
    let own = link_local_address(OWN);
    assert_eq!(own, ip("fe80::ff:fe00:1"));
    let (link, source, destination, header, question) = sent(&mut stack).expect("a question");
    assert_eq!(link, HardwareAddress([0x33, 0x33, 0xff, 0, 0, 1]));
    assert_eq!((source, destination), (ip("::"), ip("ff02::1:ff00:1")));
    assert_eq!(header.kind, icmpv6::SOLICITATION);
    assert_eq!((question.target, question.hardware), (own, None));
    let first = |stack: &Stack<Memory>| stack.interfaces()[card].addresses[0].state;
    assert_eq!(first(&stack), AddressState::Tentative);
    // Until then nobody gets an answer.
    let (header, body) = neighbour(icmpv6::SOLICITATION, 0, own, Some(OTHER));
    let asked = message((ip("fe80::2"), ip("ff02::1:ff00:1")), 255, header, &body);
    assert_eq!(stack.receive(card, slice(&asked), START), Ok(()));
    assert_eq!(sent(&mut stack), None);
    stack.expire(START + SECOND);
    assert_eq!(first(&stack), AddressState::Preferred);
    assert_eq!(stack.receive(card, slice(&asked), START + SECOND), Ok(()));
    let (link, .., header, answer) = sent(&mut stack).expect("an answer");
    assert_eq!(link, OTHER);
    assert_eq!(header.kind, icmpv6::ADVERTISEMENT);
    assert_eq!(header.rest, icmpv6::SOLICITED | icmpv6::OVERRIDE);
    assert_eq!((answer.target, answer.hardware), (own, Some(OWN)));
}

#[test]
fn an_address_that_another_station_has_is_never_used() {
    let own = link_local_address(OWN);
    let group = icmpv6::solicited_group(own);
    let taken = neighbour(icmpv6::ADVERTISEMENT, icmpv6::OVERRIDE, own, Some(OTHER));
    let wanted = neighbour(icmpv6::SOLICITATION, 0, own, None);
    for ((header, body), addresses) in [
        (taken, (own, ip("ff02::1"))),
        (wanted, (Ipv6Addr::UNSPECIFIED, group)),
    ] {
        let mut stack: Stack<Memory> = Stack::new([1, 2]);
        let card = stack.add_card(OWN, 1500, Offload::default(), START);
        let frame = message(addresses, 255, header, &body);
        let now = START + 500 * MILLISECOND;
        assert_eq!(stack.receive(card, slice(&frame), now), Ok(()));
        stack.expire(START + 5 * SECOND);
        let address = stack.interfaces()[card].addresses[0];
        assert_eq!(address.state, AddressState::Duplicate);
        let to = SocketAddr::from((ip("fe80::2"), 9));
        let SocketAddr::V6(mut to) = to else {
            unreachable!("it is of version 6")
        };
        to.set_scope_id(2);
        let socket = stack.udp_open(Reach::V6, 1000);
        assert!(
            stack
                .udp_send(socket, Some(to.into()), slice(b"x"), now)
                .is_err()
        );
    }
}

/// A machine with 2001:db8::1 a moment ago, which has asked whether somebody has it.
fn hasty() -> (Stack<Memory>, usize) {
    let mut stack: Stack<Memory> = Stack::new([1, 2]);
    let card = stack.add_card(OWN, 1500, Offload::default(), START);
    stack.add_address(card, ip("2001:db8::1").into(), 64, START);
    let mut asked = Vec::new();
    while let Some((_, source, .., question)) = sent(&mut stack) {
        asked.push((source, question.target));
    }
    assert!(asked.contains(&(ip("::"), ip("2001:db8::1"))));
    (stack, card)
}

#[test]
fn a_fixed_address_is_used_while_others_are_asked() {
    let (mut stack, card) = hasty();
    let state = |stack: &Stack<Memory>| stack.interfaces()[card].addresses[1].state;
    assert_eq!(state(&stack), AddressState::Optimistic);
    // Nobody is to remember who asks (RFC 4429, section 3.2) ...
    talk(&mut stack, "2001:db8::2", START);
    let (_, source, .., question) = sent(&mut stack).expect("a question");
    assert_eq!(
        (source, question.target),
        (ip("2001:db8::1"), ip("2001:db8::2"))
    );
    assert_eq!(question.hardware, None);
    // ... or to forget another station that has the address.
    let (header, body) = neighbour(icmpv6::SOLICITATION, 0, ip("2001:db8::1"), Some(OTHER));
    let asked = message(
        (ip("2001:db8::2"), ip("ff02::1:ff00:1")),
        255,
        header,
        &body,
    );
    assert_eq!(stack.receive(card, slice(&asked), START), Ok(()));
    let mut answer = None;
    while let Some(frame) = stack.take_frame() {
        let bytes = frame.to_vec();
        if bytes[14 + 6] == ip::ICMPV6 && bytes[54] == icmpv6::ADVERTISEMENT {
            answer = Some(bytes[58]);
        }
    }
    assert_eq!(answer, Some((icmpv6::SOLICITED >> 24) as u8));
    // Then it is certain.
    let now = START + SECOND;
    stack.expire(now);
    assert_eq!(state(&stack), AddressState::Preferred);
    assert_eq!(stack.receive(card, slice(&asked), now), Ok(()));
    let (.., header, _) = sent(&mut stack).expect("an answer");
    assert_eq!(header.rest, icmpv6::SOLICITED | icmpv6::OVERRIDE);
    talk(&mut stack, "2001:db8::3", now);
    let (.., question) = sent(&mut stack).expect("a question");
    assert_eq!(question.hardware, Some(OWN));
}

#[test]
fn a_fixed_address_that_another_station_has_is_used_no_longer() {
    let own = ip("2001:db8::1");
    let taken = neighbour(icmpv6::ADVERTISEMENT, icmpv6::OVERRIDE, own, Some(OTHER));
    let wanted = neighbour(icmpv6::SOLICITATION, 0, own, None);
    for ((header, body), addresses) in [
        (taken, (own, ip("ff02::1"))),
        (
            wanted,
            (Ipv6Addr::UNSPECIFIED, icmpv6::solicited_group(own)),
        ),
    ] {
        let (mut stack, card) = hasty();
        let frame = message(addresses, 255, header, &body);
        assert_eq!(stack.receive(card, slice(&frame), START), Ok(()));
        stack.expire(START + 5 * SECOND);
        let address = stack.interfaces()[card].addresses[1];
        assert_eq!(
            (address.ip, address.state),
            (own.into(), AddressState::Duplicate)
        );
        let socket = stack.udp_open(Reach::V6, 1000);
        let bound = stack.bind(socket, SocketAddr::from((own, 7)), false);
        assert_eq!(bound, Err(Error::NotLocal));
    }
}

#[test]
fn a_neighbour_is_asked_for_three_times() {
    let (mut stack, mut now) = machine();
    talk(&mut stack, "2001:db8::2", now);
    for _ in 0..3 {
        let (link, source, destination, header, question) = sent(&mut stack).expect("a question");
        assert_eq!(link, HardwareAddress([0x33, 0x33, 0xff, 0, 0, 2]));
        assert_eq!(
            (source, destination),
            (ip("2001:db8::1"), ip("ff02::1:ff00:2"))
        );
        assert_eq!(header.kind, icmpv6::SOLICITATION);
        assert_eq!(question.target, ip("2001:db8::2"));
        assert_eq!(question.hardware, Some(OWN));
        assert_eq!(sent(&mut stack), None);
        assert_eq!(
            state(&stack, "2001:db8::2"),
            Some(NeighbourState::Incomplete)
        );
        now = now + SECOND;
        stack.expire(now);
    }
    assert_eq!(sent(&mut stack), None);
    assert_eq!(state(&stack, "2001:db8::2"), None);
}

/// A machine to which 2001:db8::2 has answered.
fn acquainted() -> (Stack<Memory>, Instant) {
    let (mut stack, now) = machine();
    talk(&mut stack, "2001:db8::2", now);
    assert!(sent(&mut stack).is_some());
    let flags = icmpv6::SOLICITED | icmpv6::OVERRIDE;
    let (header, body) = neighbour(icmpv6::ADVERTISEMENT, flags, ip("2001:db8::2"), Some(OTHER));
    let frame = message((ip("2001:db8::2"), ip("2001:db8::1")), 255, header, &body);
    assert_eq!(stack.receive(1, slice(&frame), now), Ok(()));
    let waited = stack.take_frame().expect("what waited");
    assert_eq!(waited.headers[..6], OTHER.0);
    assert_eq!(
        state(&stack, "2001:db8::2"),
        Some(NeighbourState::Reachable)
    );
    (stack, now)
}

#[test]
fn a_neighbour_that_was_silent_is_asked_when_it_is_used() {
    let (mut stack, mut now) = acquainted();
    now = now + 29 * SECOND;
    talk(&mut stack, "2001:db8::2", now);
    assert!(stack.take_frame().is_some());
    assert_eq!(
        state(&stack, "2001:db8::2"),
        Some(NeighbourState::Reachable)
    );
    now = now + 2 * SECOND;
    talk(&mut stack, "2001:db8::2", now);
    assert_eq!(
        stack.take_frame().expect("sent at once").headers[..6],
        OTHER.0
    );
    assert_eq!(state(&stack, "2001:db8::2"), Some(NeighbourState::Delay));
    now = now + 5 * SECOND;
    stack.expire(now);
    // It alone is asked.
    let (link, _, destination, header, _) = sent(&mut stack).expect("a question");
    assert_eq!((link, destination), (OTHER, ip("2001:db8::2")));
    assert_eq!(header.kind, icmpv6::SOLICITATION);
    assert_eq!(state(&stack, "2001:db8::2"), Some(NeighbourState::Probe));
    // An answer without hardware address does, if it answers a question.
    let (header, body) = neighbour(
        icmpv6::ADVERTISEMENT,
        icmpv6::SOLICITED,
        ip("2001:db8::2"),
        None,
    );
    let frame = message((ip("2001:db8::2"), ip("2001:db8::1")), 255, header, &body);
    assert_eq!(stack.receive(1, slice(&frame), now), Ok(()));
    assert_eq!(
        state(&stack, "2001:db8::2"),
        Some(NeighbourState::Reachable)
    );
    // Without an answer it is forgotten.
    now = now + 31 * SECOND;
    talk(&mut stack, "2001:db8::2", now);
    for _ in 0..4 {
        now = now + 5 * SECOND;
        stack.expire(now);
    }
    assert_eq!(state(&stack, "2001:db8::2"), None);
}

#[test]
fn another_hardware_address_replaces_only_if_it_says_so() {
    let (mut stack, now) = acquainted();
    let third = HardwareAddress([2, 0, 0, 0, 0, 3]);
    for (flags, known, expected) in [
        (0, OTHER, NeighbourState::Stale),
        (icmpv6::OVERRIDE, third, NeighbourState::Stale),
    ] {
        let (header, body) =
            neighbour(icmpv6::ADVERTISEMENT, flags, ip("2001:db8::2"), Some(third));
        let frame = message((ip("2001:db8::2"), ip("ff02::1")), 255, header, &body);
        assert_eq!(stack.receive(1, slice(&frame), now), Ok(()));
        let entry = stack
            .neighbours()
            .find(|(_, address, ..)| *address == ip("2001:db8::2"))
            .expect("known");
        assert_eq!((entry.2, entry.3), (Some(known), expected));
    }
}

#[test]
fn messages_that_passed_a_router_or_contradict_themselves_are_not_believed() {
    let (mut stack, now) = machine();
    let own = ip("2001:db8::1");
    let group = icmpv6::solicited_group(own);
    let (question, body) = neighbour(icmpv6::SOLICITATION, 0, own, Some(OTHER));
    let far = message((ip("2001:db8::2"), group), 254, question, &body);
    assert_eq!(stack.receive(1, slice(&far), now), Ok(()));
    // From nobody, and yet with a hardware address; and not to the group.
    let nobody = message((Ipv6Addr::UNSPECIFIED, group), 255, question, &body);
    assert!(stack.receive(1, slice(&nobody), now).is_err());
    let (question, body) = neighbour(icmpv6::SOLICITATION, 0, own, None);
    let alone = message((Ipv6Addr::UNSPECIFIED, own), 255, question, &body);
    assert!(stack.receive(1, slice(&alone), now).is_err());
    // An answer to all that says it answers a question.
    let flags = icmpv6::SOLICITED;
    let (answer, body) = neighbour(icmpv6::ADVERTISEMENT, flags, ip("2001:db8::2"), Some(OTHER));
    let all = message((ip("2001:db8::2"), ip("ff02::1")), 255, answer, &body);
    assert!(stack.receive(1, slice(&all), now).is_err());
    // Answers that nobody asked for make no entries.
    let (answer, body) = neighbour(icmpv6::ADVERTISEMENT, 0, ip("2001:db8::2"), Some(OTHER));
    let news = message((ip("2001:db8::2"), ip("ff02::1")), 255, answer, &body);
    assert_eq!(stack.receive(1, slice(&news), now), Ok(()));
    assert_eq!(sent(&mut stack), None);
    assert_eq!(stack.neighbours().count(), 0);
}

#[test]
fn who_asks_for_a_free_address_is_told_that_it_is_taken() {
    let (mut stack, now) = machine();
    let own = ip("2001:db8::1");
    let (question, body) = neighbour(icmpv6::SOLICITATION, 0, own, None);
    let group = icmpv6::solicited_group(own);
    let frame = message((Ipv6Addr::UNSPECIFIED, group), 255, question, &body);
    assert_eq!(stack.receive(1, slice(&frame), now), Ok(()));
    let (_, source, destination, header, answer) = sent(&mut stack).expect("an answer");
    assert_eq!((source, destination), (own, ip("ff02::1")));
    assert_eq!(header.rest, icmpv6::OVERRIDE);
    assert_eq!(answer.hardware, Some(OWN));
}

#[test]
fn a_flood_of_unknown_stations_costs_bounded_memory() {
    let (mut stack, now) = machine();
    let socket = stack.udp_open(Reach::V6, 1000);
    for number in 0..5000_u128 {
        let to = Ipv6Addr::from_bits(ip("2001:db8::1:0").to_bits() + number);
        let to = SocketAddr::from((to, 9));
        stack
            .udp_send(socket, Some(to), slice(&[0; 1000]), now)
            .expect("a way there");
        while stack.take_frame().is_some() {}
    }
    assert!(stack.neighbours().count() <= 1024);
    // Those that were asked for are forgotten, and others have their place.
    for second in 1..5 {
        stack.expire(now + second * SECOND);
    }
    assert_eq!(stack.neighbours().count(), 0);
    talk(&mut stack, "2001:db8::2", now + 6 * SECOND);
    while stack.take_frame().is_some() {}
    assert_eq!(stack.neighbours().count(), 1);
}
