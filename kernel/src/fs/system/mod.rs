//! `/sys`: devices as files (`sysfs(5)`).
//!
//! As in `/proc`, a table says which files there are; each group of devices has a module of its own.

mod network;

use pith_linux::files::DeviceNumber;

use super::proc::{Character, directory};

/// What is mounted at `/sys`.
pub const SYSTEM: Character = Character {
    type_name: "sysfs",
    path: "/sys",
    magic: 0x6265_6572,
    device: DeviceNumber::new(0, 23),
    entries: &[
        directory("class", &[network::CLASS]),
        directory("devices", &[directory("virtual", &[network::DEVICES])]),
    ],
};
