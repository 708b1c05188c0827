//! What `/sys` tells of the devices without hardware in `/dev`, and of memory as hardware.

use alloc::string::String;
use alloc::vec::Vec;

use pith_linux::Errno;

use crate::fs::device_files::DEVICES;
use crate::fs::inode::Target;
use crate::fs::proc::{Body, Entry, Text, Things, constant, entry, text};
use crate::memory;

/// A class of devices: a name, and all devices of a major number.
macro_rules! class {
    ($class:ident, $devices:ident, $name:literal, $major:literal) => {
        #[doc = concat!("`/sys/class/", $name, "`: a link for each device.")]
        pub const $class: Entry = {
            static LINKS: Things = Things {
                list: || of_major($major),
                body: Body::OfThingLink(from_class),
            };
            entry($name, 0o555, Body::Each(&LINKS, &[]))
        };
        #[doc = concat!("`/sys/devices/virtual/", $name, "`: their directories.")]
        pub const $devices: Entry = {
            static DIRECTORIES: Things = Things {
                list: || of_major($major),
                body: Body::OfThingDirectory(FILES),
            };
            entry($name, 0o555, Body::Each(&DIRECTORIES, &[]))
        };
    };
}

class!(MEMORY_CLASS, MEMORY_DEVICES, "mem", 1);
class!(TERMINAL_CLASS, TERMINAL_DEVICES, "tty", 5);
class!(OTHER_CLASS, OTHER_DEVICES, "misc", 10);

/// `/sys/dev/char`: a link for each device, by its number.
pub const BY_NUMBER: Entry = entry("char", 0o555, Body::Each(&NUMBERS, &[]));

static NUMBERS: Things = Things {
    list: || all(|index| alloc::format!("{}:{}", DEVICES[index].1.major, DEVICES[index].1.minor)),
    body: Body::OfThingLink(from_number),
};

const FILES: &[Entry] = &[
    entry("dev", 0o444, Body::OfThing(tell)),
    entry("uevent", 0o444, Body::OfThing(tell)),
    entry("subsystem", 0o777, Body::OfThingLink(class_of)),
];

fn name(index: usize) -> String {
    String::from_utf8_lossy(DEVICES[index].0).into_owned()
}

fn all(name: fn(usize) -> String) -> Vec<(u32, String)> {
    (0..DEVICES.len()).map(|index| (index as u32, name(index))).collect()
}

fn of_major(major: u32) -> Vec<(u32, String)> {
    let mut devices = all(name);
    devices.retain(|(index, _)| DEVICES[*index as usize].1.major == major);
    devices
}

/// The name of a device's class.
fn class(index: u32) -> &'static str {
    match DEVICES[index as usize].1.major {
        1 => "mem",
        5 => "tty",
        _ => "misc",
    }
}

fn from_class(index: u32) -> Result<Target, Errno> {
    let path = alloc::format!("../../devices/virtual/{}/{}", class(index), name(index as usize));
    Ok(Target::Path(path.into_bytes()))
}

/// As deep in the tree as a class.
fn from_number(index: u32) -> Result<Target, Errno> {
    from_class(index)
}

fn class_of(index: u32) -> Result<Target, Errno> {
    let path = alloc::format!("../../../../class/{}", class(index));
    Ok(Target::Path(path.into_bytes()))
}

fn tell(index: u32, file: &str, text: &mut Text) -> Result<(), Errno> {
    let (device, number, permissions) = (
        name(index as usize),
        DEVICES[index as usize].1,
        DEVICES[index as usize].2,
    );
    match file {
        "dev" => writeln!(text, "{}:{}", number.major, number.minor),
        _ => writeln!(
            text,
            "MAJOR={}\nMINOR={}\nDEVNAME={device}\nDEVMODE=0{permissions:o}",
            number.major, number.minor
        ),
    }
}

/// Bytes of a block of memory, as on Linux on small machines.
const BLOCK: u64 = 128 << 20;

/// `/sys/devices/system/memory`: memory in blocks, all of which are there for good.
pub const MEMORY: Entry = entry("memory", 0o555, Body::Each(&BLOCKS, ALL_BLOCKS));

const ALL_BLOCKS: &[Entry] = &[
    constant("auto_online_blocks", "offline\n"),
    text("block_size_bytes", |text| writeln!(text, "{BLOCK:x}")),
];

static BLOCKS: Things = Things {
    list: blocks,
    body: Body::OfThingDirectory(&[
        constant("online", "1\n"),
        constant("phys_device", "0\n"),
        entry(
            "phys_index",
            0o444,
            Body::OfThing(|index, _, text| writeln!(text, "{index:08x}")),
        ),
        constant("removable", "0\n"),
        constant("state", "online\n"),
        constant("valid_zones", "Normal\n"),
    ]),
};

/// The blocks that hold memory.
fn blocks() -> Vec<(u32, String)> {
    let mut numbers: Vec<u64> = Vec::new();
    for range in memory::ram() {
        numbers.extend(range.start / BLOCK..range.end.div_ceil(BLOCK));
    }
    pith_sorted_map::sort_by_key(&mut numbers, |number| *number);
    numbers.dedup();
    numbers
        .into_iter()
        .map(|number| (number as u32, alloc::format!("memory{number}")))
        .collect()
}
