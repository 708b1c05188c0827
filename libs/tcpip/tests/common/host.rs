//! One machine with a card, seen from its wire: packets go in and come out as bytes.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use pith_tcpip::stack::{Handle, Offload, Reach, Route};
use pith_tcpip::time::SECOND;
use pith_tcpip::wire::checksum::Sum;
use pith_tcpip::wire::ethernet::{self, HardwareAddress};
use pith_tcpip::wire::{Malformed, arp, icmp, icmpv6, ip, ipv4, ipv6, udp};
use pith_tcpip::{Instant, Stack};

use super::{Memory, slice};

/// The machine's card, and that of everybody else.
pub const OWN_CARD: HardwareAddress = HardwareAddress([2, 0, 0, 0, 0, 1]);
pub const OTHER_CARD: HardwareAddress = HardwareAddress([2, 0, 0, 0, 0, 2]);
/// The machine's addresses; a neighbour's; and those of a station behind the neighbour.
pub const OWN_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub const OTHER_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
pub const FAR_V4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
pub const OWN_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
pub const OTHER_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
pub const FAR_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 7);
pub const CARD: usize = 1;

pub struct Host {
    pub stack: Stack<Memory>,
    pub now: Instant,
}

/// A packet that the machine has sent, without its frame.
#[derive(Clone, Debug)]
pub struct Sent {
    pub bytes: Vec<u8>,
}

impl Sent {
    pub fn is_v4(&self) -> bool {
        self.bytes[0] >> 4 == 4
    }

    pub fn v4(&self) -> (ipv4::Header, &[u8]) {
        let header = ipv4::Header::read(&self.bytes).expect("a packet of IPv4");
        (header, &self.bytes[header.header_length..])
    }

    pub fn v6(&self) -> (ipv6::Header, &[u8]) {
        let header = ipv6::Header::read(&self.bytes).expect("a packet of IPv6");
        (header, &self.bytes[ipv6::HEADER..])
    }

    /// The message of ICMP, and what follows its header.
    pub fn icmp(&self) -> (icmp::Header, &[u8]) {
        let (header, payload) = self.v4();
        assert_eq!(header.protocol, ip::ICMP);
        assert!(Sum::default().bytes(payload).is_right());
        (
            icmp::Header::parse(payload).expect("a message"),
            &payload[8..],
        )
    }

    pub fn icmpv6(&self) -> (icmp::Header, &[u8]) {
        let (header, payload) = self.v6();
        assert_eq!(header.next, ip::ICMPV6);
        let message = icmpv6::read(header.source, header.destination, payload);
        (message.expect("a message"), &payload[8..])
    }
}

impl Host {
    /// The machine, with addresses of both versions, and the neighbour as its router.
    pub fn new() -> Self {
        Self::with_mtu(1500)
    }

    /// A machine with nothing but a card.
    pub fn bare() -> Self {
        let now = Instant(1_000_000_000);
        let mut stack = Stack::new([1, 2]);
        stack.add_card(OWN_CARD, 1500, Offload::default(), now);
        Self { stack, now }
    }

    pub fn with_mtu(mtu: usize) -> Self {
        let start = Instant(1_000_000_000);
        let mut stack = Stack::new([1, 2]);
        stack.add_card(OWN_CARD, mtu, Offload::default(), start);
        stack.add_address(CARD, OWN_V4.into(), 24, start);
        stack.add_address(CARD, OWN_V6.into(), 64, start);
        let gateways: [(IpAddr, IpAddr); 2] = [
            (Ipv4Addr::UNSPECIFIED.into(), OTHER_V4.into()),
            (Ipv6Addr::UNSPECIFIED.into(), OTHER_V6.into()),
        ];
        for (network, gateway) in gateways {
            stack.add_route(Route {
                network,
                prefix: 0,
                interface: CARD,
                gateway: Some(gateway),
                metric: 0,
                expires: None,
            });
        }
        let mut host = Self { stack, now: start };
        host.pass(2 * SECOND);
        host.sent();
        host
    }

    pub fn pass(&mut self, nanoseconds: u64) {
        let end = self.now + nanoseconds;
        while let Some(at) = self.stack.deadline()
            && at <= end
        {
            self.now = self.now.max(at);
            self.stack.expire(self.now);
        }
        self.now = end;
    }

    pub fn frame(
        &mut self,
        to: HardwareAddress,
        kind: u16,
        packet: &[u8],
    ) -> Result<(), Malformed> {
        let header = ethernet::Header {
            destination: to,
            source: OTHER_CARD,
            kind,
        };
        let bytes = [&header.bytes()[..], packet].concat();
        self.stack.receive(CARD, slice(&bytes), self.now)
    }

    /// A packet arrives.
    pub fn receive(&mut self, packet: &[u8]) -> Result<(), Malformed> {
        let kind = match packet[0] >> 4 {
            4 => ethernet::IPV4,
            _ => ethernet::IPV6,
        };
        self.frame(OWN_CARD, kind, packet)
    }

    /// What was sent since the last call. Questions for neighbours are answered and left out.
    pub fn sent(&mut self) -> Vec<Sent> {
        let mut sent = Vec::new();
        while let Some(frame) = self.stack.take_frame() {
            let bytes = frame.to_vec();
            let header = ethernet::Header::read(&bytes).expect("a frame");
            let packet = &bytes[ethernet::HEADER..];
            if header.kind == ethernet::ARP {
                let question = arp::Packet::read(packet).expect("a question");
                let answer = arp::Packet {
                    is_reply: true,
                    sender: (OTHER_CARD, question.target.1),
                    target: question.sender,
                };
                assert_eq!(self.frame(OWN_CARD, ethernet::ARP, &answer.bytes()), Ok(()));
            } else if packet[6] == ip::ICMPV6 && packet[40] == icmpv6::SOLICITATION {
                self.answer_solicitation(packet);
            } else {
                sent.push(Sent {
                    bytes: packet.to_vec(),
                });
            }
        }
        sent
    }

    fn answer_solicitation(&mut self, packet: &[u8]) {
        let header = ipv6::Header::read(packet).expect("a packet");
        if header.source.is_unspecified() {
            return;
        }
        let question = icmpv6::Neighbour::read(&packet[48..], icmpv6::SOURCE_LINK).expect("one");
        let answer = icmpv6::Neighbour {
            target: question.target,
            hardware: Some(OTHER_CARD),
        };
        let mut body = [0; icmpv6::Neighbour::LENGTH];
        let length = answer.write(icmpv6::TARGET_LINK, &mut body);
        let message = icmp::Header {
            kind: icmpv6::ADVERTISEMENT,
            code: 0,
            rest: icmpv6::SOLICITED | icmpv6::OVERRIDE,
        };
        let answer = icmp6(
            question.target,
            header.source,
            255,
            message,
            &body[..length],
        );
        assert_eq!(self.receive(&answer), Ok(()));
    }

    pub fn udp(&mut self, reach: Reach, port: u16) -> Handle {
        let handle = self.stack.udp_open(reach, 200_000);
        let any = SocketAddr::new(reach.any(), port);
        self.stack.bind(handle, any, false).expect("free");
        handle
    }

    /// The data of the next datagram of a socket.
    pub fn datagram(&mut self, handle: Handle) -> Option<Vec<u8>> {
        let datagram = self.stack.udp_receive(handle, false)?;
        Some(
            datagram
                .data
                .iter()
                .flat_map(|piece| piece.to_vec())
                .collect(),
        )
    }
}

/// A packet of IPv4.
pub fn packet4(source: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let header = ipv4::Header::new(source, OWN_V4, protocol, payload.len());
    [&header.bytes()[..], payload].concat()
}

/// A packet of IPv6.
pub fn packet6(source: Ipv6Addr, next: u8, payload: &[u8]) -> Vec<u8> {
    packet6_to(source, OWN_V6, 64, next, payload)
}

pub fn packet6_to(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    hops: u8,
    next: u8,
    payload: &[u8],
) -> Vec<u8> {
    let header = ipv6::Header {
        source,
        destination,
        next,
        hops,
        service: 0,
        flow: 0,
        payload_length: payload.len(),
    };
    [&header.bytes()[..], payload].concat()
}

/// A packet with a message of ICMP.
pub fn icmp4(source: Ipv4Addr, message: icmp::Header, data: &[u8]) -> Vec<u8> {
    packet4(source, ip::ICMP, &[&message.bytes(data)[..], data].concat())
}

/// A packet with a message of ICMP for IPv6.
pub fn icmp6(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    hops: u8,
    message: icmp::Header,
    data: &[u8],
) -> Vec<u8> {
    let bytes = icmpv6::bytes(&message, source, destination, data);
    packet6_to(
        source,
        destination,
        hops,
        ip::ICMPV6,
        &[&bytes[..], data].concat(),
    )
}

/// A datagram with its checksum.
pub fn datagram(source: IpAddr, destination: IpAddr, ports: (u16, u16), data: &[u8]) -> Vec<u8> {
    let header = udp::Header {
        source: ports.0,
        destination: ports.1,
        length: (8 + data.len()) as u16,
        checksum: 0,
    };
    let mut bytes = [&header.bytes()[..], data].concat();
    let sum = Sum::default().pseudo_header(source, destination, ip::UDP, bytes.len());
    let checksum = sum.bytes(&bytes).checksum();
    bytes[6..8].copy_from_slice(&checksum);
    bytes
}

/// A segment with its checksum.
pub fn segment(
    source: IpAddr,
    destination: IpAddr,
    header: &pith_tcpip::wire::tcp::Header,
    data: &[u8],
) -> Vec<u8> {
    let mut bytes = [0; pith_tcpip::wire::tcp::LONGEST_HEADER];
    let length = header.write(&mut bytes);
    let mut bytes = [&bytes[..length], data].concat();
    let sum = Sum::default().pseudo_header(source, destination, ip::TCP, bytes.len());
    let checksum = sum.bytes(&bytes).checksum();
    bytes[16..18].copy_from_slice(&checksum);
    bytes
}
