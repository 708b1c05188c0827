//! `/sys`: devices as files (`sysfs(5)`).
//!
//! As in `/proc`, a table says which files there are; each group of devices has a module of its own.

mod devices;
mod groups;
mod network;
mod processors;

use pith_linux::files::DeviceNumber;

use super::proc::{Body, Character, Entry, constant, directory};

pub use groups::{CONTROLLERS, GROUPS};

const FILE_SYSTEMS: &[Entry] = &[directory("cgroup", &[])];

/// What is mounted at `/sys`.
pub const SYSTEM: Character = Character {
    type_name: "sysfs",
    magic: 0x6265_6572,
    device: DeviceNumber::new(0, 25),
    writable: true,
    root: Body::Directory(&[
        // There are no disks.
        directory("block", &[]),
        directory("bus", &[]),
        directory(
            "class",
            &[
                directory("block", &[]),
                devices::MEMORY_CLASS,
                devices::OTHER_CLASS,
                network::CLASS,
                devices::TERMINAL_CLASS,
            ],
        ),
        directory("dev", &[directory("block", &[]), devices::BY_NUMBER]),
        directory(
            "devices",
            &[
                directory("system", &[processors::PROCESSORS, devices::MEMORY, processors::NODES]),
                directory(
                    "virtual",
                    &[
                        devices::MEMORY_DEVICES,
                        devices::OTHER_DEVICES,
                        network::DEVICES,
                        devices::TERMINAL_DEVICES,
                    ],
                ),
            ],
        ),
        directory("fs", FILE_SYSTEMS),
        directory(
            "kernel",
            &[directory(
                "mm",
                &[directory(
                    "transparent_hugepage",
                    &[
                        // Large areas get them unasked, when they are first touched; nobody goes over them later.
                        constant("defrag", "always defer defer+madvise [madvise] never\n"),
                        constant("enabled", "[always] madvise never\n"),
                        constant("hpage_pmd_size", "2097152\n"),
                        constant("shmem_enabled", "always within_size advise [never] deny force\n"),
                        constant("use_zero_page", "0\n"),
                    ],
                )],
            )],
        ),
    ]),
};
