//! DHCP (RFC 2131): from nothing to an address, keeping it, losing it; options (RFC 2132, RFC 3396, RFC 3442).

mod common;

use core::net::{IpAddr, Ipv4Addr};

use common::Random;
use common::host::*;
use pith_tcpip::Instant;
use pith_tcpip::dhcp::{Client, Event, Message};
use pith_tcpip::stack::Reach;
use pith_tcpip::time::SECOND;
use pith_tcpip::wire::{ip, ipv4, udp};

const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 50);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
const START: Instant = Instant(1_000_000_000);
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACKNOWLEDGE: u8 = 5;
const REFUSE: u8 = 6;

fn client() -> Client {
    Client::new(OWN_CARD, b"machine", 7, START)
}

/// The value of an option of a message.
fn option(message: &[u8], code: u8) -> Option<&[u8]> {
    let mut options = &message[240..];
    while options[0] != 255 {
        let length = usize::from(options[1]);
        if options[0] == code {
            return Some(&options[2..2 + length]);
        }
        options = &options[2 + length..];
    }
    None
}

/// An answer to a message, with these options after those that always are.
fn answer(to: &[u8], kind: u8, options: &[(u8, &[u8])]) -> Vec<u8> {
    let mut bytes = to[..240].to_vec();
    bytes[0] = 2;
    bytes[16..20].copy_from_slice(&ADDRESS.octets());
    bytes.extend_from_slice(&[53, 1, kind, 54, 4]);
    bytes.extend_from_slice(&SERVER.octets());
    for (code, value) in options {
        bytes.extend_from_slice(&[*code, value.len() as u8]);
        bytes.extend_from_slice(value);
    }
    bytes.push(255);
    bytes
}

const USUAL: [(u8, &[u8]); 3] = [
    (51, &[0, 0, 0x0e, 0x10]),
    (1, &[255, 255, 255, 0]),
    (3, &[10, 0, 0, 2]),
];

fn message(client: &mut Client) -> Message {
    let message = client.take_message().expect("a message");
    assert_eq!(client.take_message(), None);
    message
}

/// A client that has an address for an hour.
fn bound() -> Client {
    bound_with(&USUAL)
}

fn bound_with(options: &[(u8, &[u8])]) -> Client {
    let mut client = client();
    let discover = message(&mut client).bytes;
    let offered = client.receive(&answer(&discover, OFFER, options), START);
    assert_eq!(offered, Ok(None));
    let request = message(&mut client).bytes;
    let acknowledged = client.receive(&answer(&request, ACKNOWLEDGE, options), START);
    assert_eq!(acknowledged, Ok(Some(Event::Bound)));
    assert_eq!(client.take_message(), None);
    client
}

#[test]
fn an_address_is_asked_for_and_taken() {
    let mut client = client();
    let discover = message(&mut client);
    assert_eq!(discover.source, Ipv4Addr::UNSPECIFIED);
    assert_eq!(discover.destination, Ipv4Addr::BROADCAST);
    let bytes = &discover.bytes;
    assert_eq!(bytes[..4], [1, 1, 6, 0]);
    assert_eq!(bytes[10], 0x80, "answers have to go to everybody");
    assert_eq!(bytes[28..34], OWN_CARD.0);
    assert!(bytes.len() >= 300);
    assert_eq!(option(bytes, 53), Some(&[DISCOVER][..]));
    assert_eq!(option(bytes, 12), Some(&b"machine"[..]));
    for wanted in [1, 3, 6, 15, 26, 121] {
        assert!(option(bytes, 55).expect("a list").contains(&wanted));
    }
    assert_eq!(client.lease(), None);
    let offer = answer(bytes, OFFER, &USUAL);
    assert_eq!(client.receive(&offer, START), Ok(None));
    assert_eq!(client.lease(), None);
    let request = message(&mut client).bytes;
    assert_eq!(option(&request, 53), Some(&[REQUEST][..]));
    assert_eq!(option(&request, 50), Some(&ADDRESS.octets()[..]));
    assert_eq!(option(&request, 54), Some(&SERVER.octets()[..]));
    assert_eq!(request[4..8], bytes[4..8]);
    assert_eq!(request[12..16], [0; 4]);
    let acknowledge = answer(&request, ACKNOWLEDGE, &USUAL);
    assert_eq!(client.receive(&acknowledge, START), Ok(Some(Event::Bound)));
    let lease = client.lease().expect("a lease");
    assert_eq!(lease.address, Some((ADDRESS, 24)));
    assert_eq!(lease.routers, [OTHER_V4]);
    assert_eq!(lease.seconds, 3600);
}

#[test]
fn without_answer_it_asks_again_less_and_less_often() {
    let mut client = client();
    let mut last = START;
    for expected in [4, 8, 16, 32, 64, 64, 64] {
        message(&mut client);
        let wait = client.deadline().since(last);
        assert!(
            wait.abs_diff(expected * SECOND) <= SECOND,
            "{wait} instead of {expected} s"
        );
        last = client.deadline();
        assert_eq!(client.expire(last), None);
    }
}

#[test]
fn a_server_that_does_not_keep_its_offer_is_left() {
    let mut client = client();
    let discover = message(&mut client).bytes;
    let offer = answer(&discover, OFFER, &USUAL);
    assert_eq!(client.receive(&offer, START), Ok(None));
    for _ in 0..4 {
        assert_eq!(
            option(&message(&mut client).bytes, 53),
            Some(&[REQUEST][..])
        );
        client.expire(client.deadline());
    }
    let again = message(&mut client).bytes;
    assert_eq!(option(&again, 53), Some(&[DISCOVER][..]));
    assert_ne!(again[4..8], discover[4..8], "a new conversation");
    // And one that takes it back.
    let offer = answer(&again, OFFER, &USUAL);
    assert_eq!(client.receive(&offer, client.deadline()), Ok(None));
    let request = message(&mut client).bytes;
    let refuse = answer(&request, REFUSE, &[]);
    assert_eq!(client.receive(&refuse, client.deadline()), Ok(None));
    assert_eq!(
        option(&message(&mut client).bytes, 53),
        Some(&[DISCOVER][..])
    );
}

#[test]
fn what_is_not_for_this_client_is_passed_over() {
    let mut client = client();
    let discover = message(&mut client).bytes;
    let good = answer(&discover, OFFER, &USUAL);
    for place in [4, 28] {
        let mut other = good.clone();
        other[place] ^= 1;
        assert_eq!(client.receive(&other, START), Ok(None));
        assert_eq!(client.take_message(), None);
    }
    for place in [0, 236] {
        let mut other = good.clone();
        other[place] ^= 1;
        assert!(client.receive(&other, START).is_err());
    }
    // An acknowledgement of what was never asked; an offer of no address, of a group's.
    let early = answer(&discover, ACKNOWLEDGE, &USUAL);
    assert_eq!(client.receive(&early, START), Ok(None));
    for address in [[0; 4], [224, 0, 0, 1], [127, 0, 0, 1], [255; 4]] {
        let mut other = good.clone();
        other[16..20].copy_from_slice(&address);
        assert!(client.receive(&other, START).is_err());
    }
    assert_eq!(client.take_message(), None);
    // The acknowledgement has to be of what was asked for, and of the server that was asked.
    assert_eq!(client.receive(&good, START), Ok(None));
    let request = message(&mut client).bytes;
    let acknowledge = answer(&request, ACKNOWLEDGE, &USUAL);
    for place in [19, 248] {
        let mut other = acknowledge.clone();
        other[place] ^= 1;
        assert_eq!(client.receive(&other, START), Ok(None));
    }
    assert_eq!(client.lease(), None);
    assert_eq!(client.receive(&acknowledge, START), Ok(Some(Event::Bound)));
}

#[test]
fn a_lease_is_extended_by_the_server_then_by_any_and_then_ends() {
    let mut client = bound();
    assert_eq!(client.deadline(), START + 1800 * SECOND);
    assert_eq!(client.expire(client.deadline()), None);
    let renew = message(&mut client);
    assert_eq!((renew.source, renew.destination), (ADDRESS, SERVER));
    assert_eq!(renew.bytes[12..16], ADDRESS.octets());
    assert_eq!(renew.bytes[10], 0);
    assert_eq!(option(&renew.bytes, 50), None);
    assert_eq!(option(&renew.bytes, 54), None);
    // Half of the time until the second date, and so on.
    assert_eq!(client.deadline(), START + (1800 + 675) * SECOND);
    let mut broadcasts = 0;
    let mut messages = 0;
    while client.deadline() < START + 3600 * SECOND {
        assert_eq!(client.expire(client.deadline()), None);
        let again = message(&mut client);
        messages += 1;
        broadcasts += usize::from(again.destination == Ipv4Addr::BROADCAST);
        assert_eq!(again.source, ADDRESS);
        assert!(client.lease().is_some());
    }
    assert!((2..8).contains(&broadcasts), "{broadcasts}");
    assert!(messages < 20, "{messages}");
    assert_eq!(client.expire(client.deadline()), Some(Event::Lost));
    assert_eq!(client.lease(), None);
    assert_eq!(
        option(&message(&mut client).bytes, 53),
        Some(&[DISCOVER][..])
    );
}

#[test]
fn an_answer_extends_the_lease_and_a_refusal_ends_it() {
    let mut client = bound();
    let at = client.deadline();
    client.expire(at);
    let renew = message(&mut client).bytes;
    let acknowledge = answer(&renew, ACKNOWLEDGE, &USUAL);
    assert_eq!(client.receive(&acknowledge, at), Ok(Some(Event::Bound)));
    assert_eq!(client.deadline(), at + 1800 * SECOND);
    let at = client.deadline();
    client.expire(at);
    let renew = message(&mut client).bytes;
    let refuse = answer(&renew, REFUSE, &[]);
    assert_eq!(client.receive(&refuse, at), Ok(Some(Event::Lost)));
    assert_eq!(client.lease(), None);
    assert_eq!(
        option(&message(&mut client).bytes, 53),
        Some(&[DISCOVER][..])
    );
}

#[test]
fn dates_that_make_no_sense_are_made_up() {
    let hour: (u8, &[u8]) = (51, &[0, 0, 0x0e, 0x10]);
    for (first, second, expected) in [
        (600_u32, 1200_u32, 600),
        (1200, 600, 600),
        (4000, 5000, 1800),
    ] {
        let (first, second) = (first.to_be_bytes(), second.to_be_bytes());
        let client = bound_with(&[hour, (58, &first), (59, &second)]);
        assert_eq!(client.deadline(), START + expected * SECOND);
    }
    let client = bound_with(&[(51, &[255; 4])]);
    assert_eq!(client.deadline(), Instant(u64::MAX), "for ever");
    // Nobody makes the client ask all the time.
    let client = bound_with(&[(51, &[0; 4])]);
    assert!(client.deadline() >= START + 15 * SECOND);
}

#[test]
fn options_are_read() {
    let client = bound_with(&[
        (51, &[0, 0, 0x0e, 0x10]),
        (1, &[255, 255, 240, 0]),
        (6, &[10, 0, 0, 3, 0, 0, 0, 0, 10, 0, 0, 4]),
        (12, b"name\0"),
        (15, b"example.org"),
        (26, &[5, 0]),
        // In two parts: 10.17.0.0/16 by 10.0.0.8, 192.0.2.128/25 on the link, everywhere else by 10.0.0.7.
        (121, &[16, 10, 17, 10, 0]),
        (121, &[0, 8, 25, 192, 0, 2, 128, 0, 0, 0, 0, 0, 10, 0, 0, 7]),
    ]);
    let lease = client.lease().expect("a lease");
    assert_eq!(lease.address, Some((ADDRESS, 20)));
    assert_eq!(
        lease.name_servers,
        [Ipv4Addr::new(10, 0, 0, 3), Ipv4Addr::new(10, 0, 0, 4)]
    );
    assert_eq!(lease.host_name.as_deref(), Some(&b"name"[..]));
    assert_eq!(lease.domain.as_deref(), Some(&b"example.org"[..]));
    assert_eq!(lease.mtu, Some(1280));
    let routes = [
        (Ipv4Addr::new(10, 17, 0, 0), 16, Ipv4Addr::new(10, 0, 0, 8)),
        (Ipv4Addr::new(192, 0, 2, 128), 25, Ipv4Addr::UNSPECIFIED),
        (Ipv4Addr::UNSPECIFIED, 0, Ipv4Addr::new(10, 0, 0, 7)),
    ];
    assert_eq!(lease.routes, routes);
    // Names that could do harm in a file, masks with holes, lengths that no link has.
    let client = bound_with(&[
        (51, &[0, 0, 0x0e, 0x10]),
        (1, &[255, 0, 255, 0]),
        (12, b"a b"),
        (15, b"x\nnameserver 6.6.6.6"),
        (26, &[0, 68]),
        (121, &[33, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ]);
    let lease = client.lease().expect("a lease");
    assert_eq!(lease.address, Some((ADDRESS, 8)));
    assert_eq!(
        (&lease.host_name, &lease.domain, lease.mtu),
        (&None, &None, None)
    );
    assert_eq!(lease.routes, []);
}

#[test]
fn options_may_be_where_names_are() {
    let mut client = client();
    let discover = message(&mut client).bytes;
    let mut offer = answer(&discover, OFFER, &[(52, &[3])]);
    offer[108..115].copy_from_slice(&[51, 4, 0, 0, 0x0e, 0x10, 255]);
    offer[44..51].copy_from_slice(&[1, 4, 255, 255, 255, 0, 255]);
    assert_eq!(client.receive(&offer, START), Ok(None));
    assert_eq!(
        option(&message(&mut client).bytes, 53),
        Some(&[REQUEST][..])
    );
}

#[test]
fn any_bytes_are_survived() {
    let mut random = Random(4711);
    for _ in 0..20_000 {
        let mut client = client();
        let mut last = message(&mut client).bytes;
        let mut now = START;
        for _ in 0..4 {
            let kind = [OFFER, ACKNOWLEDGE, REFUSE][random.next() as usize % 3];
            let mut bytes = answer(&last, kind, &USUAL);
            match random.next() % 4 {
                0 => bytes.truncate(random.next() as usize % bytes.len()),
                1 => {
                    for _ in 0..1 + random.next() % 5 {
                        let place = 240 + random.next() as usize % (bytes.len() - 240);
                        bytes[place] = random.next() as u8;
                    }
                }
                _ => {}
            }
            let _ = client.receive(&bytes, now);
            if random.happens(300) {
                now = now.max(client.deadline().min(now + 4000 * SECOND));
                client.expire(now);
            }
            while let Some(message) = client.take_message() {
                last = message.bytes;
            }
        }
    }
}

/// The message in a packet, and where it goes.
fn carried(packet: &Sent) -> (Ipv4Addr, Ipv4Addr, &[u8]) {
    let (header, payload) = packet.v4();
    assert_eq!(header.protocol, ip::UDP);
    let ports = udp::Header::read(payload).expect("a datagram");
    assert_eq!((ports.source, ports.destination), (68, 67));
    (header.source, header.destination, &payload[8..])
}

/// A packet of the server to everybody.
fn from_server(message: &[u8]) -> Vec<u8> {
    let everybody = Ipv4Addr::BROADCAST;
    let payload = datagram(SERVER.into(), everybody.into(), (67, 68), message);
    let header = ipv4::Header::new(SERVER, everybody, ip::UDP, payload.len());
    [&header.bytes()[..], &payload].concat()
}

#[test]
fn an_interface_gets_what_the_lease_says_and_loses_it() {
    let mut host = Host::bare();
    let now = host.now;
    host.stack.start_dhcp(CARD, b"machine", now);
    assert!(!host.stack.is_configured());
    let only_v4 = |host: &mut Host| -> Vec<Sent> {
        let sent = host.sent();
        sent.into_iter().filter(Sent::is_v4).collect()
    };
    let sent = only_v4(&mut host);
    let (source, destination, discover) = carried(&sent[0]);
    assert_eq!(source, Ipv4Addr::UNSPECIFIED);
    assert_eq!(destination, Ipv4Addr::BROADCAST);
    let options = [
        USUAL[0],
        USUAL[1],
        USUAL[2],
        (6, &[10, 0, 0, 3]),
        (26, &[5, 120]),
    ];
    let offer = from_server(&answer(discover, OFFER, &options));
    assert_eq!(host.receive(&offer), Ok(()));
    let sent = only_v4(&mut host);
    let (_, _, request) = carried(&sent[0]);
    let acknowledge = from_server(&answer(request, ACKNOWLEDGE, &options));
    assert_eq!(host.receive(&acknowledge), Ok(()));
    assert!(host.stack.is_configured());
    let one = &host.stack.interfaces()[CARD];
    assert!(
        one.addresses
            .iter()
            .any(|own| own.ip == ADDRESS && own.prefix == 24)
    );
    assert_eq!(one.mtu, 1400);
    let servers = [IpAddr::from([10, 0, 0, 3])];
    assert_eq!(host.stack.name_servers(host.now), servers);
    // A datagram to somewhere else goes by way of the router.
    let socket = host.stack.udp_open(Reach::V4, 1000);
    let now = host.now;
    let to = Some((FAR_V4, 53).into());
    let data = common::slice(b"x");
    host.stack
        .udp_send(socket, to, data.clone(), now)
        .expect("a way");
    let sent = only_v4(&mut host);
    assert_eq!(sent[0].v4().0.source, ADDRESS);
    // The server is gone: the address is kept to the end, and not longer.
    host.pass(3590 * SECOND);
    assert!(host.stack.lease(CARD).is_some());
    host.pass(20 * SECOND);
    assert!(host.stack.lease(CARD).is_none());
    let one = &host.stack.interfaces()[CARD];
    assert!(one.addresses.iter().all(|own| own.ip.is_ipv6()));
    assert_eq!(one.mtu, 1500);
    let now = host.now;
    assert!(host.stack.udp_send(socket, to, data, now).is_err());
    assert!(host.stack.name_servers(host.now).is_empty());
}
