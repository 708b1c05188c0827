//! The machine: `uname(2)`, `sysinfo(2)`, `getrandom(2)`.

use alloc::string::String;
use core::sync::atomic::Ordering;

use pith_linux::Errno;
use pith_linux::system::{RandomFlags, SystemInformation, SystemName};
use pith_linux::time::NANOSECONDS;
use pith_scheduling::LOAD_BITS;

use crate::memory::{self, Destination, IoSlice, UserPointer, copy_from_user, write_object};
use crate::task::{self, random, system_name};

/// `PER_LINUX32`, in the byte of a personality that names a system.
const PERSONALITY_LINUX32: u32 = 8;
/// That byte.
const PERSONALITY_MASK: u32 = 0xff;
/// `UNAME26`: the release is called 2.6.
const OLD_RELEASE: u32 = 0x002_0000;
/// Habits that would change how programs are laid out or how time-outs are given back, and that Pith does not have:
/// `MMAP_PAGE_ZERO`, `ADDR_COMPAT_LAYOUT`, `READ_IMPLIES_EXEC` and `STICKY_TIMEOUTS`.
const MISSING_HABITS: u32 = 0x010_0000 | 0x020_0000 | 0x040_0000 | 0x400_0000;

/// `personality(2)`
pub fn personality(persona: i32) -> Result<usize, Errno> {
    let thread = task::current();
    let old = thread.personality.load(Ordering::Relaxed);
    let wanted = persona as u32;
    if wanted != u32::MAX {
        if wanted & MISSING_HABITS != 0 {
            crate::warning_once!("personality({wanted:#x}) is refused (EINVAL): there are no such habits here");
            return Err(Errno::EINVAL);
        }
        thread.personality.store(wanted, Ordering::Relaxed);
    }
    Ok(old as usize)
}

/// The release that a program is to see: with `UNAME26`, 6.1 is 2.6.61.
fn shown_release(personality: u32) -> [u8; 65] {
    let release = system_name::RELEASE;
    match release.strip_prefix("6.1.0") {
        Some(rest) if personality & OLD_RELEASE != 0 => SystemName::field(alloc::format!("2.6.61{rest}").as_bytes()),
        _ => SystemName::field(release.as_bytes()),
    }
}

/// `uname(2)`
pub fn uname(name: UserPointer) -> Result<usize, Errno> {
    let personality = task::current().personality.load(Ordering::Relaxed);
    let machine: &[u8] = match personality & PERSONALITY_MASK {
        PERSONALITY_LINUX32 => b"i686",
        _ => b"x86_64",
    };
    let answer = SystemName {
        system: SystemName::field(b"Linux"),
        node: SystemName::field(system_name::hostname().as_bytes()),
        release: shown_release(personality),
        version: SystemName::field(system_name::VERSION.as_bytes()),
        machine: SystemName::field(machine),
        domain: SystemName::field(system_name::domain().as_bytes()),
    };
    write_object(name, &answer)?;
    Ok(0)
}

/// A name that a program gives the machine.
fn read_name(name: UserPointer, length: i32) -> Result<String, Errno> {
    crate::fs::permission::require(task::Capabilities::ADMINISTRATION)?;
    let length = usize::try_from(length).map_err(|_| Errno::EINVAL)?;
    if length > system_name::NAME_LIMIT {
        return Err(Errno::EINVAL);
    }
    let mut bytes = [0; system_name::NAME_LIMIT];
    copy_from_user(&mut bytes[..length], name)?;
    Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
}

/// `sethostname(2)`
pub fn sethostname(name: UserPointer, length: i32) -> Result<usize, Errno> {
    system_name::set_hostname(&read_name(name, length)?);
    Ok(0)
}

/// `setdomainname(2)`
pub fn setdomainname(name: UserPointer, length: i32) -> Result<usize, Errno> {
    system_name::set_domain(&read_name(name, length)?);
    Ok(0)
}

/// Bits behind the point of load averages in `struct sysinfo` (`SI_LOAD_SHIFT`).
const LOAD_SHIFT: u32 = 16;

/// `sysinfo(2)`
pub fn sysinfo(information: UserPointer) -> Result<usize, Errno> {
    let counters = memory::counters();
    let answer = SystemInformation {
        uptime: task::monotonic().0.div_ceil(NANOSECONDS) as i64,
        total_memory: counters.total,
        free_memory: counters.free,
        loads: task::load::averages().map(|load| load << (LOAD_SHIFT - LOAD_BITS)),
        shared_memory: memory::file_bytes(),
        processes: task::thread_count().min(u16::MAX.into()) as u16,
        unit: 1,
        ..SystemInformation::default()
    };
    write_object(information, &answer)?;
    Ok(0)
}

/// `getrandom(2)`
pub fn getrandom(buffer: UserPointer, size: usize, flags: u64) -> Result<usize, Errno> {
    let flags = RandomFlags::from_bits(flags as u32).ok_or(Errno::EINVAL)?;
    if flags.contains(RandomFlags::INSECURE | RandomFlags::RANDOM) {
        return Err(Errno::EINVAL);
    }
    let size = size.min(i32::MAX as usize);
    let slices = [IoSlice {
        address: buffer.0,
        length: size,
    }];
    let mut destination = Destination::program(&slices);
    let mut stream = random::Stream::new();
    let mut chunk = [0; 1024];
    let mut done = 0;
    while done < size {
        let part = &mut chunk[..(size - done).min(1024)];
        stream.fill(part);
        match destination.put(part) {
            Ok(copied) => done += copied,
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => return Ok(done),
        }
        // A long request may be cut short by a signal, as on Linux.
        if done < size && task::current().has_deliverable_signal() {
            break;
        }
    }
    Ok(done)
}
