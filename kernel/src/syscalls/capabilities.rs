//! What the process may do beside what everybody may: `capget(2)`, `capset(2)`.

use pith_linux::Errno;

use crate::memory::{UserPointer, read_object, write_object};
use crate::task::{self, Capabilities};

/// Versions of the structure that is passed (`_LINUX_CAPABILITY_VERSION_1` and later): the first has room for 32
/// capabilities only.
const VERSION_1: u32 = 0x1998_0330;
const VERSION_2: u32 = 0x2007_1026;
const VERSION_3: u32 = 0x2008_0522;
/// `CAP_SETPCAP`
const SET_CAPABILITIES: u64 = 1 << 8;
/// Bytes of the sets of 32 capabilities (`struct __user_cap_data_struct`).
const HALF: u64 = 12;

/// How many halves follow a header, and which thread it names. A version that is not known is replaced by one that is.
fn read_header(header: UserPointer) -> Result<(u64, i32), Errno> {
    let [version, pid]: [u32; 2] = read_object(header)?;
    let halves = match version {
        VERSION_1 => 1,
        VERSION_2 | VERSION_3 => 2,
        _ => {
            write_object(header, &VERSION_3)?;
            return Err(Errno::EINVAL);
        }
    };
    Ok((halves, pid as i32))
}

/// `capget(2)`
pub fn capget(header: UserPointer, data: UserPointer) -> Result<usize, Errno> {
    let (halves, pid) = match read_header(header) {
        // This is how programs ask for the version.
        Err(Errno::EINVAL) if data.is_null() => return Ok(0),
        other => other?,
    };
    if pid < 0 {
        return Err(Errno::EINVAL);
    }
    let thread = super::scheduling::thread_of(pid)?;
    if data.is_null() {
        return Ok(0);
    }
    let own = thread.process.credentials.lock().capabilities;
    for half in 0..halves {
        let part = |set: u64| (set >> (32 * half)) as u32;
        let sets = [part(own.effective), part(own.permitted), part(own.inheritable)];
        write_object(data.offset(half * HALF), &sets)?;
    }
    Ok(0)
}

/// `capset(2)`
pub fn capset(header: UserPointer, data: UserPointer) -> Result<usize, Errno> {
    let (halves, pid) = read_header(header)?;
    if pid != 0 && pid as u32 != task::current().id() {
        return Err(Errno::EPERM);
    }
    let mut sets = [0; 3];
    for half in 0..halves {
        let parts: [u32; 3] = read_object(data.offset(half * HALF))?;
        for (set, part) in sets.iter_mut().zip(parts) {
            *set |= (u64::from(part) << (32 * half)) & Capabilities::ALL;
        }
    }
    let [effective, permitted, inheritable] = sets;
    let process = task::current_process();
    let own = &mut process.credentials.lock().capabilities;
    let inheritable_at_most = match own.effective & SET_CAPABILITIES {
        0 => own.inheritable | own.permitted,
        _ => Capabilities::ALL,
    };
    if permitted & !own.permitted != 0 || effective & !permitted != 0 || inheritable & !inheritable_at_most != 0 {
        return Err(Errno::EPERM);
    }
    *own = Capabilities {
        effective,
        permitted,
        inheritable,
    };
    Ok(0)
}
