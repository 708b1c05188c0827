//! `/sys`: devices as files (`sysfs(5)`).
//!
//! As in `/proc`, a table says which files there are; each group of devices has a module of its own.

mod network;
mod processors;

use pith_linux::files::DeviceNumber;

use super::proc::{Body, Character, constant, directory};

/// What is mounted at `/sys`.
pub const SYSTEM: Character = Character {
    type_name: "sysfs",
    path: "/sys",
    magic: 0x6265_6572,
    device: DeviceNumber::new(0, 23),
    root: Body::Directory(&[
        // There are no disks.
        directory("block", &[]),
        directory("class", &[network::CLASS]),
        directory("dev", &[directory("block", &[]), directory("char", &[])]),
        directory(
            "devices",
            &[
                directory("system", &[processors::PROCESSORS, processors::NODES]),
                directory("virtual", &[network::DEVICES]),
            ],
        ),
        // Where control groups would be mounted: there are none.
        directory("fs", &[directory("cgroup", &[])]),
        directory(
            "kernel",
            &[directory(
                "mm",
                &[directory(
                    "transparent_hugepage",
                    &[
                        // Large areas get them unasked.
                        constant("enabled", "[always] madvise never\n"),
                        constant("hpage_pmd_size", "2097152\n"),
                    ],
                )],
            )],
        ),
    ]),
};
