//! IPv6 headers and the headers that may follow (RFC 8200).

use core::net::Ipv6Addr;

use super::{Malformed, array_at, u16_at, u32_at};

/// Bytes of the header.
pub const HEADER: usize = 40;
/// Bytes of the header of fragments.
pub const FRAGMENT_HEADER: usize = 8;
/// Every link carries packets of this length.
pub const LEAST_MTU: usize = 1280;
/// Options for every router on the way.
pub const HOP_BY_HOP: u8 = 0;
/// A list of stations to pass.
pub const ROUTING: u8 = 43;
/// A part of a packet.
pub const FRAGMENT: u8 = 44;
/// Options for the destination.
pub const DESTINATION_OPTIONS: u8 = 60;
/// Nothing follows.
pub const NOTHING: u8 = 59;
/// More headers than that are in no honest packet.
const MOST_HEADERS: usize = 8;
/// The option that makes routers look inside (RFC 2711).
const ROUTER_ALERT: u8 = 5;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// From where.
    pub source: Ipv6Addr,
    /// To where.
    pub destination: Ipv6Addr,
    /// What follows.
    pub next: u8,
    /// Routers that it may still pass.
    pub hops: u8,
    /// Traffic class.
    pub service: u8,
    /// Which flow it belongs to; 20 bits.
    pub flow: u32,
    /// Bytes behind the header.
    pub payload_length: usize,
}

impl Header {
    /// Reads the header at the start of a packet, which may have bytes of padding behind its end.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read(packet: &[u8]) -> Result<Self, Malformed> {
        Self::read_start(packet, packet.len())
    }

    /// As [`Self::read`], of a packet of which only the start is given, and how many bytes all of it has.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn read_start(packet: &[u8], length: usize) -> Result<Self, Malformed> {
        let first = u32_at(packet, 0)?;
        if first >> 28 != 6 {
            return Err(Malformed::Field);
        }
        let payload_length = usize::from(u16_at(packet, 4)?);
        let [next, hops] = array_at(packet, 6)?;
        let header = Self {
            source: array_at::<16>(packet, 8)?.into(),
            destination: array_at::<16>(packet, 24)?.into(),
            next,
            hops,
            service: (first >> 20) as u8,
            flow: first & 0xf_ffff,
            payload_length,
        };
        if HEADER + payload_length > length {
            return Err(Malformed::Short);
        }
        Ok(header)
    }

    /// The bytes.
    pub fn bytes(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let first = 6 << 28 | u32::from(self.service) << 20 | self.flow & 0xf_ffff;
        bytes[..4].copy_from_slice(&first.to_be_bytes());
        bytes[4..6].copy_from_slice(&(self.payload_length as u16).to_be_bytes());
        bytes[6] = self.next;
        bytes[7] = self.hops;
        bytes[8..24].copy_from_slice(&self.source.octets());
        bytes[24..40].copy_from_slice(&self.destination.octets());
        bytes
    }
}

/// The header of a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// What follows.
    pub next: u8,
    /// Where in the packet it begins, in bytes.
    pub offset: u16,
    /// More parts follow.
    pub more: bool,
    /// Which packet it belongs to.
    pub identification: u32,
}

impl Fragment {
    /// The bytes.
    pub fn bytes(&self) -> [u8; FRAGMENT_HEADER] {
        let mut bytes = [0; FRAGMENT_HEADER];
        bytes[0] = self.next;
        let offset = self.offset & !7 | u16::from(self.more);
        bytes[2..4].copy_from_slice(&offset.to_be_bytes());
        bytes[4..].copy_from_slice(&self.identification.to_be_bytes());
        bytes
    }
}

/// What is behind all headers of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upper {
    /// The protocol.
    pub protocol: u8,
    /// Where in the packet its header begins.
    pub offset: usize,
    /// Where the number of that protocol is.
    pub next_at: usize,
    /// The packet is only a part, and `offset` is where the part begins.
    pub fragment: Option<Fragment>,
    /// Routers were asked to look inside.
    pub router_alert: bool,
}

/// Why a packet goes no further than its headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// It is thrown away without a word.
    Malformed(Malformed),
    /// The sender is told what is wrong: the code of a *parameter problem* and where it is (RFC 4443, section 3.4);
    /// and whether even if the packet was for a group.
    Problem(u8, usize, bool),
}

impl From<Malformed> for Trouble {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// Goes through the headers behind the first one (RFC 8200, section 4). `packet` ends where the packet ends.
///
/// # Errors
/// [`Trouble`].
pub fn walk(packet: &[u8]) -> Result<Upper, Trouble> {
    let first = *packet.get(6).ok_or(Malformed::Short)?;
    let start = Upper {
        protocol: first,
        offset: HEADER,
        next_at: 6,
        fragment: None,
        router_alert: false,
    };
    walk_from(packet, start)
}

/// The same for what has been put together of parts: bytes that begin with what `next` says.
///
/// # Errors
/// [`Trouble`]. A part within a part is none of anything.
pub fn walk_inside(bytes: &[u8], next: u8) -> Result<Upper, Trouble> {
    let start = Upper {
        protocol: next,
        offset: 0,
        next_at: 0,
        fragment: None,
        router_alert: false,
    };
    let upper = match next {
        HOP_BY_HOP => return Err(Malformed::Field.into()),
        _ => walk_from(bytes, start)?,
    };
    match upper.fragment {
        None => Ok(upper),
        Some(_) => Err(Malformed::Field.into()),
    }
}

fn walk_from(packet: &[u8], mut upper: Upper) -> Result<Upper, Trouble> {
    for count in 0..MOST_HEADERS {
        let at = upper.offset;
        match upper.protocol {
            // Only right behind the first header.
            HOP_BY_HOP if count != 0 => return Err(Trouble::Problem(1, upper.next_at, false)),
            HOP_BY_HOP | DESTINATION_OPTIONS | ROUTING => {
                let [next, words] = array_at(packet, at)?;
                let length = (usize::from(words) + 1) * 8;
                let body = packet.get(at..at + length).ok_or(Malformed::Short)?;
                if upper.protocol == ROUTING {
                    // Nobody is sent on from here; lists of stations are a way to attack (RFC 5095).
                    if body[3] != 0 {
                        return Err(Trouble::Problem(0, at + 2, false));
                    }
                } else {
                    upper.router_alert |= read_options(body, at)? && upper.protocol == HOP_BY_HOP;
                }
                upper.protocol = next;
                upper.next_at = at;
                upper.offset = at + length;
            }
            FRAGMENT => {
                let [next, _] = array_at(packet, at)?;
                let offset = u16_at(packet, at + 2)?;
                upper.fragment = Some(Fragment {
                    next,
                    offset: offset & !7,
                    more: offset & 1 != 0,
                    identification: u32_at(packet, at + 4)?,
                });
                upper.protocol = next;
                // Where the whole packet keeps the number, once it is put together.
                upper.offset = at + FRAGMENT_HEADER;
                return Ok(upper);
            }
            _ => return Ok(upper),
        }
    }
    Err(Malformed::Field.into())
}

/// Looks at the options of a header. Returns whether there was a router alert.
fn read_options(body: &[u8], at: usize) -> Result<bool, Trouble> {
    let mut alert = false;
    let mut place = 2;
    while let Some(&kind) = body.get(place) {
        if kind == 0 {
            place += 1;
            continue;
        }
        let length = usize::from(*body.get(place + 1).ok_or(Malformed::Short)?);
        if place + 2 + length > body.len() {
            return Err(Malformed::Short.into());
        }
        match kind {
            1 => {}
            ROUTER_ALERT if length == 2 => alert = true,
            // The two highest bits say what becomes of the packet if the option is not known.
            _ => match kind >> 6 {
                0 => {}
                1 => return Err(Malformed::Field.into()),
                action => return Err(Trouble::Problem(2, at + place, action == 2)),
            },
        }
        place += 2 + length;
    }
    Ok(alert)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(next: u8, rest: &[u8]) -> Vec<u8> {
        let header = Header {
            source: Ipv6Addr::LOCALHOST,
            destination: Ipv6Addr::LOCALHOST,
            next,
            hops: 64,
            service: 0xa5,
            flow: 0x1_2345,
            payload_length: rest.len(),
        };
        [&header.bytes()[..], rest].concat()
    }

    #[test]
    fn what_is_written_is_read() {
        let mut bytes = packet(17, &[1, 2, 3]);
        let header = Header::read(&bytes).expect("a header");
        assert_eq!((header.service, header.flow), (0xa5, 0x1_2345));
        assert_eq!((header.next, header.payload_length), (17, 3));
        assert_eq!(header.bytes()[..], bytes[..HEADER]);
        for end in 0..bytes.len() {
            assert_eq!(Header::read(&bytes[..end]), Err(Malformed::Short));
        }
        bytes[0] = 0x45;
        assert_eq!(Header::read(&bytes), Err(Malformed::Field));
    }

    #[test]
    fn headers_are_walked_through() {
        let options = [17, 0, 1, 4, 0, 0, 0, 0];
        let upper = walk(&packet(DESTINATION_OPTIONS, &options)).expect("fine");
        assert_eq!((upper.protocol, upper.offset), (17, 48));
        let alert = [58, 0, ROUTER_ALERT, 2, 0, 0, 1, 0];
        assert!(
            walk(&packet(HOP_BY_HOP, &alert))
                .expect("fine")
                .router_alert
        );
        let part = Fragment {
            next: 17,
            offset: 1480,
            more: true,
            identification: 0xdead_beef,
        };
        let upper = walk(&packet(FRAGMENT, &part.bytes())).expect("fine");
        assert_eq!(upper.fragment, Some(part));
    }

    #[test]
    fn bad_headers_end_the_walk() {
        // Hop-by-hop options not first; a list of stations; options that must be known, or not be too long.
        let twice = [HOP_BY_HOP, 0, 1, 4, 0, 0, 0, 0, 17, 0, 1, 4, 0, 0, 0, 0];
        assert_eq!(
            walk(&packet(HOP_BY_HOP, &twice)),
            Err(Trouble::Problem(1, 40, false))
        );
        let stations = [17, 0, 0, 1, 0, 0, 0, 0];
        assert_eq!(
            walk(&packet(ROUTING, &stations)),
            Err(Trouble::Problem(0, 42, false))
        );
        for (kind, result) in [
            (0x3e, None),
            (0x7e, Some(Trouble::Malformed(Malformed::Field))),
            (0xbe, Some(Trouble::Problem(2, 42, true))),
            (0xfe, Some(Trouble::Problem(2, 42, false))),
        ] {
            let options = [17, 0, kind, 4, 0, 0, 0, 0];
            assert_eq!(walk(&packet(DESTINATION_OPTIONS, &options)).err(), result);
        }
        let options = [17, 0, 1, 5, 0, 0, 0, 0];
        assert!(walk(&packet(DESTINATION_OPTIONS, &options)).is_err());
        // More headers than anybody needs.
        let mut many = Vec::new();
        for _ in 0..9 {
            many.extend_from_slice(&[DESTINATION_OPTIONS, 0, 1, 4, 0, 0, 0, 0]);
        }
        assert!(walk(&packet(DESTINATION_OPTIONS, &many)).is_err());
    }
}
