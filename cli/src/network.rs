//! The network, as `--net` and `-p` ask for it.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr};

use pith_monitor::{Connection, NetworkCard, PublishedPort};
use pith_network_settings::{Settings, Subnet};

use crate::failure::Failure;

/// Longest name of an interface: `IFNAMSIZ` without the NUL.
const MAXIMUM_NAME: usize = 15;

/// Most cards of a machine; the small board has sockets for eight devices.
const MAXIMUM_CARDS: usize = 4;

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
}

/// Reads `none`, `user` or `tap:NAME`, with settings behind a comma.
pub fn parse_network(text: &str) -> Result<NetworkArgument, String> {
    let (kind, settings) = text.split_once(',').unwrap_or((text, ""));
    let settings = Settings::parse(settings).map_err(|problem| problem.to_string())?;
    match kind.split_once(':') {
        None if kind == "none" && settings == Settings::default() => Ok(NetworkArgument::None),
        None if kind == "none" => Err("`none` has no settings".into()),
        None if kind == "user" => Ok(NetworkArgument::User(settings)),
        Some(("tap", name)) => Ok(NetworkArgument::Tap(interface_name(name)?, settings)),
        _ => Err(
            "write none, user or tap:INTERFACE, and settings behind it, such as \
                  tap:tap0,ip=10.0.0.2/24,gateway=10.0.0.1"
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

/// The cards that the arguments ask for.
pub fn cards(
    networks: &[NetworkArgument],
    ports: &[PublishedPort],
) -> Result<Vec<NetworkCard>, Failure> {
    let default = [NetworkArgument::User(Settings::default())];
    let networks: &[NetworkArgument] = match networks {
        [] if !ports.is_empty() => &default,
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
    let cards = networks
        .iter()
        .enumerate()
        .map(|(index, network)| card(index, network, &mut unpublished))
        .collect();
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
    ports: &mut Option<Vec<PublishedPort>>,
) -> NetworkCard {
    let (connection, mut settings) = match network {
        NetworkArgument::None => unreachable!("refused before"),
        NetworkArgument::User(settings) => {
            let ports = ports.take().unwrap_or_default();
            (Connection::User { ports }, user_settings(index, settings))
        }
        NetworkArgument::Tap(name, settings) => {
            let mut settings = settings.clone();
            if !settings.has_addressing() {
                settings.dhcp = true;
                settings.slaac = true;
            }
            (Connection::Tap(name.clone()), settings)
        }
    };
    if settings.hardware.is_none() {
        settings.hardware = Some(hardware_address(index, &connection));
    }
    NetworkCard {
        connection,
        settings,
    }
}

/// What a machine behind `--net user` is set to: the addresses that QEMU's router has given for ever, 10.0.2.15 for the
/// machine, 10.0.2.2 for the router and 10.0.2.3 for its name server; 10.0.3.… for a second card.
fn user_settings(index: usize, given: &Settings) -> Settings {
    let mut settings = given.clone();
    let network = [10, 0, 2 + index as u8];
    let address = |last| Ipv4Addr::new(network[0], network[1], network[2], last);
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
/// with others it depends on the host and the name of the device, so that it stays and yet differs from others'.
fn hardware_address(index: usize, connection: &Connection) -> [u8; 6] {
    let [a, b, c] = VENDOR;
    let last = match connection {
        Connection::User { .. } => [0x12, 0x34, 0x56 + index as u8],
        Connection::Tap(name) => {
            let mut hasher = DefaultHasher::new();
            // A host without this file still has names for its devices.
            std::fs::read("/etc/machine-id")
                .unwrap_or_default()
                .hash(&mut hasher);
            name.hash(&mut hasher);
            let [x, y, z, ..] = hasher.finish().to_le_bytes();
            [x, y, z]
        }
    };
    [a, b, c, last[0], last[1], last[2]]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn argument(text: &str) -> NetworkArgument {
        parse_network(text).unwrap()
    }

    fn texts(networks: &[&str], ports: &[PublishedPort]) -> Vec<String> {
        let networks: Vec<_> = networks.iter().map(|text| argument(text)).collect();
        let cards = cards(&networks, ports).unwrap();
        cards.iter().map(|card| card.settings.to_string()).collect()
    }

    const PORT: PublishedPort = PublishedPort {
        address: Ipv4Addr::LOCALHOST,
        host: 8080,
        guest: 80,
        datagrams: false,
    };

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
            ("", "write none, user or tap:INTERFACE"),
            ("tap", "write none, user or tap:INTERFACE"),
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
        let refused = |networks: &[&str], ports: &[PublishedPort]| {
            let networks: Vec<_> = networks.iter().map(|text| argument(text)).collect();
            cards(&networks, ports).unwrap_err().status()
        };
        assert_eq!(refused(&["none", "user"], &[]), 2);
        assert_eq!(refused(&["tap:tap0"], &[PORT]), 2);
        assert_eq!(refused(&["none"], &[PORT]), 2);
        assert_eq!(refused(&["user"; 5], &[]), 2);
    }
}
