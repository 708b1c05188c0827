//! The network, as `--net` and `-p` ask for it.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use pith_image::Configuration;
use pith_monitor::forwarding::Forwarding;
use pith_monitor::tap::{self, Tap, TapError};
use pith_monitor::{Connection, NetworkCard, PublishedPorts};
use pith_network_settings::{Settings, Subnet};

use crate::failure::Failure;

/// Longest name of an interface: `IFNAMSIZ` without the NUL.
const MAXIMUM_NAME: usize = 15;

/// Most cards of a machine; the small board has sockets for eight devices.
const MAXIMUM_CARDS: usize = 4;

/// Most ports in one range. Each is a socket of the host.
const MAXIMUM_PORTS: u16 = 1024;

/// The first three bytes of QEMU's hardware addresses: locally administered, for one card.
const VENDOR: [u8; 3] = [0x52, 0x54, 0x00];

/// What `--net` takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkArgument {
    /// No network.
    None,
    /// A card behind a router that a process of this user plays.
    User(Settings),
    /// A card on a TAP device.
    Tap(String, Settings),
    /// A card on a bridge.
    Bridge(String, Settings),
}

/// Reads `none`, `user`, `tap:NAME` or `bridge:NAME`, with settings behind a comma.
pub fn parse_network(text: &str) -> Result<NetworkArgument, String> {
    let (kind, settings) = text.split_once(',').unwrap_or((text, ""));
    let settings = Settings::parse(settings).map_err(|problem| problem.to_string())?;
    match kind.split_once(':') {
        None if kind == "none" && settings == Settings::default() => Ok(NetworkArgument::None),
        None if kind == "none" => Err("`none` has no settings".into()),
        None if kind == "user" => Ok(NetworkArgument::User(settings)),
        Some(("tap", name)) => Ok(NetworkArgument::Tap(interface_name(name)?, settings)),
        Some(("bridge", name)) => Ok(NetworkArgument::Bridge(interface_name(name)?, settings)),
        _ => Err(
            "write none, user, tap:INTERFACE or bridge:INTERFACE, and settings behind it, such \
             as tap:tap0,ip=10.0.0.2/24,gateway=10.0.0.1"
                .into(),
        ),
    }
}

/// A name that Linux takes for an interface.
fn interface_name(name: &str) -> Result<String, String> {
    let fits = (1..=MAXIMUM_NAME).contains(&name.len())
        && name != "."
        && name != ".."
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b':');
    match fits {
        true => Ok(name.to_owned()),
        false => Err(format!(
            "`{name}` is no name of an interface: 1 to {MAXIMUM_NAME} characters"
        )),
    }
}

/// Reads ports such as `8080:80`, `127.0.0.1:8080:80`, `[::1]:8080:80`, `5353:53/udp` or `9000-9009:9000-9009`.
pub fn parse_ports(text: &str) -> Result<PublishedPorts, String> {
    let expected = "write [ADDRESS:]HOST:GUEST[/udp], such as 8080:80";
    let (ports, datagrams) = match text.split_once('/') {
        None => (text, false),
        Some((ports, "tcp")) => (ports, false),
        Some((ports, "udp")) => (ports, true),
        Some(_) => return Err("the protocol is tcp or udp".into()),
    };
    let parsed = |address: &str| {
        let parsed: Result<IpAddr, _> = address.parse();
        parsed.map_err(|_| format!("`{address}` is no IP address; {expected}"))
    };
    let no_v6 = |address: IpAddr| match address {
        IpAddr::V4(_) => Ok(address),
        IpAddr::V6(_) => Err(format!("write an IPv6 address in brackets: [{address}]")),
    };
    let (address, ports) = match ports.strip_prefix('[') {
        Some(rest) => {
            let (address, ports) = rest.split_once("]:").ok_or(expected)?;
            (Some(parsed(address)?), ports)
        }
        None => match ports.rsplitn(3, ':').nth(2) {
            Some(address) => {
                let ports = &ports[address.len() + 1..];
                (Some(no_v6(parsed(address)?)?), ports)
            }
            None => (None, ports),
        },
    };
    let address = address.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    if datagrams && address.is_ipv6() {
        return Err("datagrams can be published at addresses of IPv4 only".into());
    }
    let (host, guest) = ports.split_once(':').ok_or(expected)?;
    let port = |text: &str| match text.parse::<u16>() {
        Ok(0) | Err(_) => Err(format!("`{text}` is no port: a number from 1 to 65535")),
        Ok(port) => Ok(port),
    };
    let range = |text: &str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (port(first)?, port(last)?);
        match last.checked_sub(first) {
            None => Err(format!("`{text}` ends before it begins")),
            Some(more) if more >= MAXIMUM_PORTS => {
                Err(format!("`{text}` are more than {MAXIMUM_PORTS} ports"))
            }
            Some(more) => Ok((first, more + 1)),
        }
    };
    let ((host, count), (guest, guests)) = (range(host)?, range(guest)?);
    if count != guests {
        return Err(format!(
            "{count} ports of the host can't lead to {guests} of the machine"
        ));
    }
    Ok(PublishedPorts {
        address,
        host,
        guest,
        count,
        datagrams,
    })
}

/// Where a card's cable leads, before anything is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    User(Vec<PublishedPorts>),
    Tap(String),
    Bridge(String),
}

/// The cards of a machine, and what serves them while it runs.
#[derive(Debug, Default)]
pub struct Network {
    /// The cards.
    pub cards: Vec<NetworkCard>,
    /// Who listens at published ports; they end with this.
    forwardings: Vec<Forwarding>,
}

impl Network {
    /// Makes the network that the arguments ask for.
    pub fn open(
        networks: &[NetworkArgument],
        ports: &[PublishedPorts],
        baked: &Baked,
        cpus: u32,
        quiet: bool,
    ) -> Result<Self, Failure> {
        let mut network = Self::default();
        for (place, settings) in plan(networks, ports, baked)? {
            let connection = match place {
                Place::User(ports) => network.user(&ports)?,
                Place::Tap(name) => queues(tap::open(&name, settings.queues, cpus), quiet)?,
                Place::Bridge(name) => {
                    queues(tap::open_on_bridge(&name, settings.queues, cpus), quiet)?
                }
            };
            network.cards.push(NetworkCard {
                connection,
                settings,
            });
        }
        Ok(network)
    }

    /// The way to a router that the monitor plays, with somebody who listens at the published ports.
    fn user(&mut self, ports: &[PublishedPorts]) -> Result<Connection, Failure> {
        for ports in ports.iter().filter(|ports| ports.datagrams) {
            check_datagram_ports(ports)?;
        }
        let (forwarding, ports) =
            Forwarding::start(ports).map_err(|(address, error)| refused("TCP", address, &error))?;
        self.forwardings.extend(forwarding);
        Ok(Connection::User { ports })
    }
}

fn queues(tap: Result<Tap, TapError>, quiet: bool) -> Result<Connection, Failure> {
    let tap = tap.map_err(|error| Failure::new(&error, &error.remedy))?;
    if let Some(note) = &tap.note
        && !quiet
    {
        eprintln!("pith: note: {note}");
    }
    Ok(Connection::Tap(tap.queues))
}

/// Tells in good time what would keep the monitor from listening: its own words would come late and say less.
fn check_datagram_ports(ports: &PublishedPorts) -> Result<(), Failure> {
    for port in (0..ports.count).map(|offset| ports.host + offset) {
        let address = SocketAddr::from((ports.address, port));
        UdpSocket::bind(address).map_err(|error| refused("UDP", address, &error))?;
    }
    Ok(())
}

/// Why a port can't be published.
fn refused(kind: &str, address: SocketAddr, error: &io::Error) -> Failure {
    let port = address.port();
    match error.kind() {
        ErrorKind::AddrInUse => Failure::new(
            format_args!("{kind} port {port} of this machine is taken"),
            format_args!(
                "publish another one (-p), or see who has it: ss -l{}np sport = {port}",
                if kind == "UDP" { 'u' } else { 't' }
            ),
        ),
        ErrorKind::AddrNotAvailable => Failure::new(
            format_args!("{} is no address of this machine", address.ip()),
            "see its addresses: ip address",
        ),
        ErrorKind::PermissionDenied => Failure::new(
            format_args!("{kind} port {port} of this machine needs privilege"),
            format_args!(
                "publish one from 1024 on (-p), or: sudo sysctl net.ipv4.ip_unprivileged_port_start={port}"
            ),
        ),
        _ => Failure::new(
            format_args!(
                "{kind} port {port} of {} can't be published: {error}",
                address.ip()
            ),
            "publish another one (-p)",
        ),
    }
}

/// What an image says of its network.
#[derive(Debug, Default)]
pub struct Baked {
    /// Whether a program of it may open sockets.
    pub sockets: bool,
    /// The settings of its cards, one after the other.
    pub settings: Vec<Settings>,
    /// Whether the command line may change them.
    pub overridable: bool,
}

impl Baked {
    /// What this image's configuration says.
    pub fn of(configuration: &Configuration, image: &Path) -> Result<Self, Failure> {
        let settings = configuration
            .network
            .iter()
            .map(|text| Settings::parse(text));
        Ok(Self {
            sockets: configuration.sockets,
            settings: settings.collect::<Result<_, _>>().map_err(|problem| {
                Failure::new(
                    format_args!("the network settings of `{}`: {problem}", image.display()),
                    "build the image again",
                )
            })?,
            overridable: configuration.overridable.network,
        })
    }
}

/// What the arguments mean, for an image.
fn plan(
    networks: &[NetworkArgument],
    ports: &[PublishedPorts],
    baked: &Baked,
) -> Result<Vec<(Place, Settings)>, Failure> {
    // Without a word about it, a program has a network if it can make any use of it, as many cards as the image sets.
    let default = vec![NetworkArgument::User(Settings::default()); baked.settings.len().max(1)];
    let networks: &[NetworkArgument] = match networks {
        [] if !ports.is_empty() || baked.sockets => &default,
        [NetworkArgument::None] => &[],
        networks => networks,
    };
    if networks.contains(&NetworkArgument::None) {
        return Err(Failure::usage(
            "--net none stands beside another --net",
            "leave out one of them",
        ));
    }
    if networks.len() > MAXIMUM_CARDS {
        return Err(Failure::usage(
            format_args!("{} network cards are too many", networks.len()),
            format_args!("a machine has at most {MAXIMUM_CARDS}"),
        ));
    }
    let mut unpublished = Some(ports.to_vec()).filter(|ports| !ports.is_empty());
    let mut cards = Vec::new();
    for (index, network) in networks.iter().enumerate() {
        cards.extend(card(index, network, baked, &mut unpublished)?);
    }
    match unpublished {
        None => Ok(cards),
        Some(_) => Err(Failure::usage(
            "-p publishes ports of a machine behind --net user, and there is none",
            "leave out -p: a machine on a TAP device has an address of its own; or add --net user",
        )),
    }
}

fn card(
    index: usize,
    network: &NetworkArgument,
    baked: &Baked,
    ports: &mut Option<Vec<PublishedPorts>>,
) -> Result<Option<(Place, Settings)>, Failure> {
    let (place, given) = match network {
        NetworkArgument::None => return Ok(None),
        NetworkArgument::User(given) => (Place::User(ports.take().unwrap_or_default()), given),
        NetworkArgument::Tap(name, given) => (Place::Tap(name.clone()), given),
        NetworkArgument::Bridge(name, given) => (Place::Bridge(name.clone()), given),
    };
    // The hardware address is the monitor's to choose, unless the image has one, and so is the number of queues.
    let without_hardware = Settings {
        hardware: None,
        queues: None,
        ..given.clone()
    };
    let mut settings = match (baked.settings.get(index), &place) {
        (Some(baked_settings), _) if without_hardware == Settings::default() => Settings {
            hardware: baked_settings.hardware.or(given.hardware),
            queues: given.queues,
            ..baked_settings.clone()
        },
        (Some(_), _) if !baked.overridable => {
            return Err(Failure::new(
                format_args!(
                    "the image does not let the settings `{given}` of its network be changed"
                ),
                "leave them out; or build it with overridable = [\"network\"] in pith.toml",
            ));
        }
        (_, Place::User(_)) => user_settings(index, given),
        _ => asking(given),
    };
    if settings.hardware.is_none() {
        settings.hardware = Some(hardware_address(index, &place));
    }
    Ok(Some((place, settings)))
}

/// Whoever is given no address asks the network for one.
fn asking(settings: &Settings) -> Settings {
    let mut settings = settings.clone();
    if !settings.has_addressing() {
        settings.dhcp = true;
        settings.slaac = true;
    }
    settings
}

/// What a machine behind `--net user` is set to: the addresses that QEMU's router has given for ever, 10.0.2.15 for the
/// machine, 10.0.2.2 for the router and 10.0.2.3 for its name server; 10.0.3.… for a second card.
fn user_settings(index: usize, given: &Settings) -> Settings {
    let mut settings = given.clone();
    let third = 2 + index as u8;
    let address = |last| Ipv4Addr::new(10, 0, third, last);
    if !settings.has_addressing() {
        settings.addresses.push(Subnet {
            address: IpAddr::V4(address(15)),
            bits: 24,
        });
        settings.gateway = settings.gateway.or(Some(address(2)));
        if settings.name_servers.is_empty() {
            settings.name_servers.push(address(3).into());
        }
    }
    settings
}

/// The address of a card that was given none. Behind a router of its own it is always the same. On a link that it shares
/// with others it depends on the host and the name of the device, so that it stays and yet differs from others'; several
/// machines may be on one bridge, so there it depends on the time as well.
fn hardware_address(index: usize, place: &Place) -> [u8; 6] {
    let [a, b, c] = VENDOR;
    let last = match place {
        Place::User(_) => [0x12, 0x34, 0x56 + index as u8],
        Place::Tap(name) => digest(name, index, 0),
        Place::Bridge(name) => {
            // A clock before 1970 tells nothing; the process number does.
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            digest(name, index, now.as_nanos() ^ u128::from(std::process::id()))
        }
    };
    [a, b, c, last[0], last[1], last[2]]
}

fn digest(name: &str, index: usize, other: u128) -> [u8; 3] {
    let mut hasher = DefaultHasher::new();
    // A host without this file still has names for its devices.
    std::fs::read("/etc/machine-id")
        .unwrap_or_default()
        .hash(&mut hasher);
    (name, index, other).hash(&mut hasher);
    let [x, y, z, ..] = hasher.finish().to_le_bytes();
    [x, y, z]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv6Addr;

    fn argument(text: &str) -> NetworkArgument {
        parse_network(text).unwrap()
    }

    fn texts(networks: &[&str], ports: &[PublishedPorts]) -> Vec<String> {
        let networks: Vec<_> = networks.iter().map(|text| argument(text)).collect();
        let cards = plan(&networks, ports, &Baked::default()).unwrap();
        cards
            .iter()
            .map(|(_, settings)| settings.to_string())
            .collect()
    }

    const PORT: PublishedPorts = PublishedPorts {
        address: IpAddr::V4(Ipv4Addr::LOCALHOST),
        host: 8080,
        guest: 80,
        count: 1,
        datagrams: false,
    };

    #[test]
    fn ports_are_read() {
        assert_eq!(parse_ports("127.0.0.1:8080:80"), Ok(PORT));
        assert_eq!(parse_ports("127.0.0.1:8080:80/tcp"), Ok(PORT));
        assert_eq!(
            parse_ports("5353:53/udp"),
            Ok(PublishedPorts {
                address: Ipv4Addr::UNSPECIFIED.into(),
                host: 5353,
                guest: 53,
                count: 1,
                datagrams: true,
            })
        );
        let six = parse_ports("[::1]:8080:80");
        assert_eq!(
            six.map(|ports| ports.address),
            Ok(Ipv6Addr::LOCALHOST.into())
        );
        let range = parse_ports("65000-65535:1-536").unwrap();
        assert_eq!((range.host, range.guest, range.count), (65000, 1, 536));
        for (bad, reason) in [
            ("80", "write [ADDRESS:]HOST:GUEST"),
            ("a:b:c:d", "`a:b` is no IP address"),
            ("[::1]", "write [ADDRESS:]HOST:GUEST"),
            ("[::1]:80", "write [ADDRESS:]HOST:GUEST"),
            ("[1:8080:80", "write [ADDRESS:]HOST:GUEST"),
            ("[::g]:8080:80", "`::g` is no IP address"),
            ("::1:8080:80", "in brackets: [::1]"),
            ("[::1]:53:53/udp", "addresses of IPv4 only"),
            ("0:80", "`0` is no port"),
            ("80:65536", "`65536` is no port"),
            ("80:", "`` is no port"),
            ("8080:80/sctp", "tcp or udp"),
            ("localhost:8080:80", "no IP address"),
            ("9-8:9-8", "ends before it begins"),
            (
                "80-81:80",
                "2 ports of the host can't lead to 1 of the machine",
            ),
            ("1-1025:1-1025", "more than 1024 ports"),
        ] {
            let error = parse_ports(bad).expect_err(bad);
            assert!(error.contains(reason), "{bad}: {error}");
        }
    }

    #[test]
    fn a_taken_port_is_named_with_the_remedy() {
        let text = |ports: &PublishedPorts| {
            format!("{:?}", Network::default().user(&[*ports]).unwrap_err())
        };
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let ports = PublishedPorts {
            host: listener.local_addr().unwrap().port(),
            ..PORT
        };
        let told = text(&ports);
        let expected = format!("TCP port {} of this machine is taken", ports.host);
        assert!(
            told.contains(&expected) && told.contains("ss -ltnp"),
            "{told}"
        );
        drop(listener);
        let mut network = Network::default();
        assert!(network.user(&[ports]).is_ok());
        let elsewhere = PublishedPorts {
            address: Ipv4Addr::new(192, 0, 2, 77).into(),
            ..ports
        };
        let told = text(&elsewhere);
        assert!(
            told.contains("192.0.2.77 is no address of this machine"),
            "{told}"
        );

        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let ports = PublishedPorts {
            host: socket.local_addr().unwrap().port(),
            datagrams: true,
            ..PORT
        };
        let told = text(&ports);
        let expected = format!("UDP port {} of this machine is taken", ports.host);
        assert!(
            told.contains(&expected) && told.contains("ss -lunp"),
            "{told}"
        );
    }

    #[test]
    fn networks_are_read() {
        assert_eq!(argument("none"), NetworkArgument::None);
        assert_eq!(argument("user"), NetworkArgument::User(Settings::default()));
        let settings = Settings::parse("ip=10.0.0.2/24,gateway=10.0.0.1").unwrap();
        assert_eq!(
            argument("tap:tap0,ip=10.0.0.2/24,gateway=10.0.0.1"),
            NetworkArgument::Tap("tap0".into(), settings)
        );
        for (bad, reason) in [
            ("", "write none, user, tap:INTERFACE or bridge:"),
            ("tap", "write none, user, tap:INTERFACE or bridge:"),
            ("bridge:", "no name of an interface"),
            ("tap:", "no name of an interface"),
            ("tap:a/b", "no name of an interface"),
            ("tap:sixteencharacter", "no name of an interface"),
            ("none,dhcp", "has no settings"),
            ("tap:tap0,ip=10.0.0.2", "prefix length"),
            ("tap:tap0,address=10.0.0.2/24", "is not known"),
        ] {
            let error = parse_network(bad).expect_err(bad);
            assert!(error.contains(reason), "{bad}: {error}");
        }
    }

    #[test]
    fn a_machine_behind_a_router_has_fixed_addresses() {
        let first = "mac=52:54:00:12:34:56,ip=10.0.2.15/24,gateway=10.0.2.2,dns=10.0.2.3";
        let second = "mac=52:54:00:12:34:57,ip=10.0.3.15/24,gateway=10.0.3.2,dns=10.0.3.3";
        assert_eq!(texts(&["user", "user"], &[]), [first, second]);
        assert_eq!(texts(&[], &[PORT]), [first]);
        assert_eq!(texts(&["none"], &[]), [""; 0]);
    }

    #[test]
    fn an_image_has_a_say() {
        let settings = |text: &str| Settings::parse(text).unwrap();
        let mut baked = Baked::default();
        let texts = |networks: &[&str], baked: &Baked| {
            let networks: Vec<_> = networks.iter().map(|text| argument(text)).collect();
            let cards = plan(&networks, &[], baked).map_err(|failure| format!("{failure:?}"))?;
            Ok::<_, String>(
                cards
                    .iter()
                    .map(|card| card.1.to_string())
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(texts(&[], &baked).unwrap().len(), 0, "no sockets, no card");
        baked.sockets = true;
        assert!(texts(&[], &baked).unwrap()[0].contains("ip=10.0.2.15/24"));
        assert_eq!(texts(&["none"], &baked).unwrap().len(), 0);

        baked.settings = vec![
            settings("ip=10.0.7.7/24"),
            settings("mac=52:54:00:00:00:09,dhcp"),
        ];
        let expected = [
            "mac=52:54:00:12:34:56,ip=10.0.7.7/24",
            "mac=52:54:00:00:00:09,dhcp",
        ];
        assert_eq!(texts(&[], &baked).unwrap(), expected);
        assert_eq!(texts(&["user", "user"], &baked).unwrap(), expected);
        assert_eq!(texts(&["user"], &baked).unwrap(), expected[..1]);
        let tap = ["tap:tap0,mac=52:54:00:00:00:01"];
        assert_eq!(
            texts(&tap, &baked).unwrap(),
            ["mac=52:54:00:00:00:01,ip=10.0.7.7/24"]
        );
        let other = ["tap:tap0,mac=52:54:00:00:00:01,ip=10.0.8.8/24"];
        let error = texts(&other, &baked).unwrap_err();
        assert!(
            error.contains("does not let") && error.contains("overridable"),
            "{error}"
        );
        baked.overridable = true;
        assert_eq!(
            texts(&other, &baked).unwrap(),
            ["mac=52:54:00:00:00:01,ip=10.0.8.8/24"]
        );
    }

    #[test]
    fn a_tap_device_is_asked_for_addresses_unless_they_are_given() {
        let given = "tap:tap0,mac=52:54:00:00:00:01,ip=10.0.0.2/24";
        assert_eq!(
            texts(&[given], &[]),
            ["mac=52:54:00:00:00:01,ip=10.0.0.2/24"]
        );
        let asked = texts(&["tap:tap0", "tap:tap1"], &[]);
        assert!(asked[0].ends_with(",dhcp,slaac"), "{asked:?}");
        assert_ne!(
            asked[0], asked[1],
            "two devices have two hardware addresses"
        );
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let refused = |networks: &[&str], ports: &[PublishedPorts]| {
            let networks: Vec<_> = networks.iter().map(|text| argument(text)).collect();
            plan(&networks, ports, &Baked::default())
                .unwrap_err()
                .status()
        };
        assert_eq!(refused(&["none", "user"], &[]), 2);
        assert_eq!(refused(&["tap:tap0"], &[PORT]), 2);
        assert_eq!(refused(&["none"], &[PORT]), 2);
        assert_eq!(refused(&["user"; 5], &[]), 2);
    }
}
