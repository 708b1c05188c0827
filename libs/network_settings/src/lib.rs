//! What an interface of the network is set to: addresses, routers, name servers.
//!
//! One notation serves wherever an interface is described: behind `pith run --net tap:NAME,`, in the
//! configuration that is baked into an image, and on the kernel command line (`pith.network=`). It is a list of
//! words with commas between them:
//!
//! ```text
//! mac=52:54:00:12:34:56   the card that is meant; without it, the next one
//! ip=10.0.0.2/24          an IPv4 address and how many bits of it are the network's; may be repeated
//! ip6=fd00::2/64          the same for IPv6
//! gateway=10.0.0.1        the router to everywhere else, by family
//! gateway6=fe80::1
//! route=10.9.0.0/16@10.0.0.9   a way to one other network; may be repeated
//! dns=10.0.0.1            a name server, of either family; may be repeated
//! search=example.org      a domain to look names up in; may be repeated
//! mtu=1500                most bytes of a packet
//! queues=2                pairs of queues of the card; otherwise one for each processor, if the host has as many
//! dhcp                    ask for all this by DHCP (RFC 2131)
//! slaac                   take IPv6 addresses that routers announce (RFC 4862)
//! ```
//!
//! [`Settings::parse`] reads it and checks that it makes sense; [`Display`](fmt::Display) writes it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod check;

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Most entries of each list: name servers, addresses and so on. It bounds what a command line can ask for.
pub const MAXIMUM_ENTRIES: usize = 16;

/// Most pairs of queues that can be asked for.
pub const MAXIMUM_QUEUES: u16 = 64;

/// An address together with how many of its first bits are those of its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subnet {
    /// The address.
    pub address: IpAddr,
    /// Length of the prefix in bits.
    pub bits: u8,
}

impl Subnet {
    /// Whether an address lies in the same network.
    #[must_use]
    pub fn contains(&self, other: IpAddr) -> bool {
        let differing = match (self.address, other) {
            (IpAddr::V4(one), IpAddr::V4(other)) => {
                (one.to_bits() ^ other.to_bits()).leading_zeros()
            }
            (IpAddr::V6(one), IpAddr::V6(other)) => {
                (one.to_bits() ^ other.to_bits()).leading_zeros()
            }
            _ => return false,
        };
        differing >= u32::from(self.bits)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.address, self.bits)
    }
}

/// A way to a network that is not the interface's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Where to.
    pub destination: Subnet,
    /// By which router.
    pub gateway: IpAddr,
}

/// What one interface is set to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The hardware address of the card that is meant; without it, the first card that no other settings name.
    pub hardware: Option<[u8; 6]>,
    /// Fixed addresses of both families.
    pub addresses: Vec<Subnet>,
    /// The router to everywhere else by IPv4.
    pub gateway: Option<Ipv4Addr>,
    /// The router to everywhere else by IPv6.
    pub gateway6: Option<Ipv6Addr>,
    /// Ways to other networks.
    pub routes: Vec<Route>,
    /// Name servers, the preferred one first.
    pub name_servers: Vec<IpAddr>,
    /// Domains to look names up in.
    pub search: Vec<String>,
    /// Most bytes of an IP packet; otherwise what the card says, or 1500.
    pub mtu: Option<u16>,
    /// Pairs of queues that the card is to have; otherwise one for each processor. The monitor's concern: the kernel uses
    /// those that it finds.
    pub queues: Option<u16>,
    /// Ask for IPv4's address, router and name servers by DHCP.
    pub dhcp: bool,
    /// Take IPv6's addresses and routers from what routers announce.
    pub slaac: bool,
}

/// Why settings can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The word that is wrong.
    pub word: String,
    /// What is wrong with it: the rest of a sentence that starts with the word.
    pub reason: &'static str,
}

impl Problem {
    fn new(word: impl ToString, reason: &'static str) -> Self {
        Self {
            word: word.to_string(),
            reason,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}` {}", self.word, self.reason)
    }
}

impl core::error::Error for Problem {}

impl Settings {
    /// Reads the notation, and checks it as [`Settings::check`] does.
    ///
    /// # Errors
    /// Which word is wrong, and why.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let settings = Self::read(text)?;
        settings.check()?;
        Ok(settings)
    }

    /// Reads the notation without checking whether its parts agree.
    ///
    /// # Errors
    /// Which word is wrong, and why.
    pub fn read(text: &str) -> Result<Self, Problem> {
        let mut settings = Self::default();
        for word in text.split(',').filter(|word| !word.is_empty()) {
            settings.add(word)?;
        }
        Ok(settings)
    }

    /// Whether the settings say where addresses come from.
    #[must_use]
    pub fn has_addressing(&self) -> bool {
        self.dhcp || self.slaac || !self.addresses.is_empty()
    }

    fn add(&mut self, word: &str) -> Result<(), Problem> {
        let wrong = |reason| Err(Problem::new(word, reason));
        let (key, value) = match word.split_once('=') {
            Some((key, value)) => (key, value),
            None => {
                match word {
                    "dhcp" => self.dhcp = true,
                    "slaac" => self.slaac = true,
                    _ => return wrong(UNKNOWN),
                }
                return Ok(());
            }
        };
        match key {
            "mac" => match (self.hardware, hardware_address(value)) {
                (None, Some(address)) => self.hardware = Some(address),
                (None, None) => return wrong("is no hardware address such as 52:54:00:12:34:56"),
                (Some(_), _) => return wrong(TWICE),
            },
            "ip" => match subnet(value) {
                Some(
                    subnet @ Subnet {
                        address: IpAddr::V4(_),
                        ..
                    },
                ) => push(&mut self.addresses, subnet, word)?,
                _ => {
                    return wrong(
                        "is no IPv4 address with its prefix length, such as ip=10.0.0.2/24",
                    );
                }
            },
            "ip6" => match subnet(value) {
                Some(
                    subnet @ Subnet {
                        address: IpAddr::V6(_),
                        ..
                    },
                ) => push(&mut self.addresses, subnet, word)?,
                _ => {
                    return wrong(
                        "is no IPv6 address with its prefix length, such as ip6=fd00::2/64",
                    );
                }
            },
            "gateway" => match (self.gateway, value.parse()) {
                (None, Ok(address)) => self.gateway = Some(address),
                (None, Err(_)) => return wrong("is no IPv4 address, such as gateway=10.0.0.1"),
                (Some(_), _) => return wrong(TWICE),
            },
            "gateway6" => match (self.gateway6, value.parse()) {
                (None, Ok(address)) => self.gateway6 = Some(address),
                (None, Err(_)) => return wrong("is no IPv6 address, such as gateway6=fe80::1"),
                (Some(_), _) => return wrong(TWICE),
            },
            "route" => match route(value) {
                Some(route) => push(&mut self.routes, route, word)?,
                None => return wrong("is no route, such as route=10.9.0.0/16@10.0.0.9"),
            },
            "dns" => match value.parse() {
                Ok(address) => push(&mut self.name_servers, address, word)?,
                Err(_) => return wrong("is no address of a name server, such as dns=10.0.0.1"),
            },
            "search" => match is_domain(value) {
                true => push(&mut self.search, value.into(), word)?,
                false => return wrong("is no domain, such as search=example.org"),
            },
            "mtu" => match (self.mtu, value.parse()) {
                (None, Ok(mtu)) => self.mtu = Some(mtu),
                (None, Err(_)) => {
                    return wrong("is no number of bytes up to 65535, such as mtu=1500");
                }
                (Some(_), _) => return wrong(TWICE),
            },
            "queues" => match (self.queues, value.parse()) {
                (None, Ok(queues @ 1..=MAXIMUM_QUEUES)) => self.queues = Some(queues),
                (None, _) => return wrong("is no number of queues from 1 to 64, such as queues=2"),
                (Some(_), _) => return wrong(TWICE),
            },
            _ => return wrong(UNKNOWN),
        }
        Ok(())
    }
}

const UNKNOWN: &str = "is not known; known are ip=, ip6=, gateway=, gateway6=, route=, dns=, search=, mtu=, queues=, mac=, dhcp and slaac";
const TWICE: &str = "is given twice";

fn push<T>(list: &mut Vec<T>, item: T, word: &str) -> Result<(), Problem> {
    if list.len() == MAXIMUM_ENTRIES {
        return Err(Problem::new(
            word,
            "is the seventeenth of its kind; sixteen are allowed",
        ));
    }
    list.push(item);
    Ok(())
}

/// Reads `ADDRESS/BITS`.
fn subnet(text: &str) -> Option<Subnet> {
    let (address, bits) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.parse().ok().filter(|bits| *bits <= most)?;
    Some(Subnet { address, bits })
}

/// Reads `ADDRESS/BITS@ROUTER`.
fn route(text: &str) -> Option<Route> {
    let (destination, gateway) = text.split_once('@')?;
    Some(Route {
        destination: subnet(destination)?,
        gateway: gateway.parse().ok()?,
    })
}

/// Reads six bytes in hexadecimal with colons between them.
fn hardware_address(text: &str) -> Option<[u8; 6]> {
    let mut address = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut address {
        let part = parts.next()?;
        if part.len() != 2 || !part.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(address)
}

/// Whether a name consists of labels as RFC 1123 has them.
fn is_domain(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        })
}

/// Writes words with commas between them.
struct Words<'a, 'b> {
    formatter: &'a mut fmt::Formatter<'b>,
    first: bool,
}

impl Words<'_, '_> {
    fn word(&mut self, word: fmt::Arguments<'_>) -> fmt::Result {
        if !core::mem::take(&mut self.first) {
            self.formatter.write_str(",")?;
        }
        self.formatter.write_fmt(word)
    }
}

impl fmt::Display for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Words {
            formatter,
            first: true,
        };
        if let Some([a, b, c, d, e, f]) = self.hardware {
            words.word(format_args!(
                "mac={a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}"
            ))?;
        }
        for address in &self.addresses {
            let key = if address.address.is_ipv4() {
                "ip"
            } else {
                "ip6"
            };
            words.word(format_args!("{key}={address}"))?;
        }
        if let Some(gateway) = self.gateway {
            words.word(format_args!("gateway={gateway}"))?;
        }
        if let Some(gateway) = self.gateway6 {
            words.word(format_args!("gateway6={gateway}"))?;
        }
        for Route {
            destination,
            gateway,
        } in &self.routes
        {
            words.word(format_args!("route={destination}@{gateway}"))?;
        }
        for server in &self.name_servers {
            words.word(format_args!("dns={server}"))?;
        }
        for domain in &self.search {
            words.word(format_args!("search={domain}"))?;
        }
        if let Some(mtu) = self.mtu {
            words.word(format_args!("mtu={mtu}"))?;
        }
        if let Some(queues) = self.queues {
            words.word(format_args!("queues={queues}"))?;
        }
        if self.dhcp {
            words.word(format_args!("dhcp"))?;
        }
        if self.slaac {
            words.word(format_args!("slaac"))?;
        }
        Ok(())
    }
}
