//! The notation, there and back; and what is refused.

use pith_network_settings::{MAXIMUM_ENTRIES, Route, Settings, Subnet};
use proptest::prelude::*;
use std::net::IpAddr;

fn reason(text: &str) -> String {
    Settings::parse(text).expect_err(text).to_string()
}

#[test]
fn every_word_is_read() {
    let text = "mac=52:54:00:ab:cd:ef,ip=10.0.0.2/24,ip6=fd00::2/64,gateway=10.0.0.1,gateway6=fe80::1,\
                route=10.9.0.0/16@10.0.0.9,dns=10.0.0.1,dns=fd00::1,search=example.org,mtu=9000,queues=4,slaac";
    let settings = Settings::parse(text).unwrap();
    let subnet = |address: &str, bits| Subnet {
        address: address.parse().unwrap(),
        bits,
    };
    assert_eq!(
        settings,
        Settings {
            hardware: Some([0x52, 0x54, 0, 0xab, 0xcd, 0xef]),
            addresses: vec![subnet("10.0.0.2", 24), subnet("fd00::2", 64)],
            gateway: Some([10, 0, 0, 1].into()),
            gateway6: Some("fe80::1".parse().unwrap()),
            routes: vec![Route {
                destination: subnet("10.9.0.0", 16),
                gateway: [10, 0, 0, 9].into(),
            }],
            name_servers: vec!["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
            search: vec!["example.org".into()],
            mtu: Some(9000),
            queues: Some(4),
            dhcp: false,
            slaac: true,
        }
    );
    assert_eq!(settings.to_string(), text);
    assert!(settings.has_addressing());
    assert!(
        !Settings::parse("mac=52:54:00:ab:cd:ef")
            .unwrap()
            .has_addressing()
    );
    assert_eq!(Settings::parse("").unwrap(), Settings::default());
    assert!(Settings::parse("dhcp").unwrap().dhcp);
}

#[test]
fn what_is_wrong_is_named() {
    for (text, expected) in [
        (
            "ip=10.0.0.2",
            "`ip=10.0.0.2` is no IPv4 address with its prefix length",
        ),
        ("ip=10.0.0.2/33", "is no IPv4 address with"),
        ("ip=fd00::2/64", "is no IPv4 address with"),
        ("ip6=10.0.0.2/24", "is no IPv6 address with"),
        ("ip6=fd00::2/129", "is no IPv6 address with"),
        ("ip=10.0.0.0/24", "is the name of a network"),
        ("ip=10.0.0.255/24", "is the broadcast address"),
        ("ip=127.0.0.1/8", "can't be the address of a card"),
        ("ip=224.0.0.1/24", "can't be the address of a card"),
        ("ip=10.0.0.1/0", "has no prefix"),
        ("ip=10.0.0.2/24,ip=10.0.0.2/24", "given twice"),
        (
            "ip=10.0.0.2/24,gateway=10.0.1.1",
            "`10.0.1.1` is a router that no fixed address",
        ),
        ("ip=10.0.0.2/24,gateway=10.0.0.2", "is the machine itself"),
        (
            "ip=10.0.0.2/24,gateway=10.0.0.1,gateway=10.0.0.3",
            "given twice",
        ),
        (
            "gateway=10.0.0.1",
            "`10.0.0.1` is a router that no fixed address",
        ),
        ("dhcp,ip=10.0.0.2/24", "exclude each other"),
        (
            "ip=10.0.0.2/24,route=10.9.1.0/16@10.0.0.1",
            "is an address and not a network",
        ),
        (
            "ip=10.0.0.2/24,route=10.9.0.0/16@fe80::1",
            "of another family",
        ),
        ("ip=10.0.0.2/24,route=10.9.0.0/16", "is no route"),
        ("dns=0.0.0.0", "can't be a name server"),
        ("dns=example.org", "is no address of a name server"),
        ("search=a..b", "is no domain"),
        ("mtu=67", "the least is 68"),
        ("slaac,mtu=1279", "the least is 1280"),
        ("mtu=65536", "is no number of bytes"),
        ("queues=0", "is no number of queues"),
        ("queues=65", "is no number of queues"),
        ("queues=2,queues=2", "given twice"),
        ("mac=01:00:5e:00:00:01", "first byte must be even"),
        ("mac=52:54:00:12:34", "is no hardware address"),
        ("mac=52:54:00:12:34:5", "is no hardware address"),
        ("mac=+1:54:00:12:34:56", "is no hardware address"),
        ("adress=1", "`adress=1` is not known; known are ip="),
        ("static", "is not known"),
    ] {
        assert!(reason(text).contains(expected), "{text}: {}", reason(text));
    }
}

#[test]
fn networks_of_two_and_of_one_are_allowed() {
    assert!(Settings::parse("ip=10.0.0.0/31,gateway=10.0.0.1").is_ok());
    assert!(Settings::parse("ip=10.0.0.0/32").is_ok());
    assert!(Settings::parse("slaac,gateway6=fe80::1").is_ok());
}

#[test]
fn lists_are_bounded() {
    let some = vec!["dns=10.0.0.1"; MAXIMUM_ENTRIES].join(",");
    assert!(Settings::parse(&some).is_ok());
    assert!(reason(&(some + ",dns=10.0.0.1")).contains("sixteen are allowed"));
}

proptest! {
    #[test]
    fn any_text_is_answered(text in "[a-z0-9=:.,/@ %]{0,200}") {
        if let Ok(settings) = Settings::parse(&text) {
            prop_assert_eq!(Settings::parse(&settings.to_string()), Ok(settings));
        }
    }

    #[test]
    fn a_network_holds_what_shares_its_prefix(one: u32, other: u32, bits in 0u8..=32) {
        let subnet = Subnet { address: IpAddr::V4(one.into()), bits };
        let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
        prop_assert_eq!(subnet.contains(IpAddr::V4(other.into())), one & mask == other & mask);
    }
}
