//! What a thread may do beside what everybody may: `capget(2)`, `capset(2)`, and the part of `prctl(2)` about it.

use pith_linux::Errno;
use pith_linux::credentials::{Capabilities, Credentials, SecureBits};

use crate::memory::{UserPointer, read_object, write_object};
use crate::task;

/// Versions of the structure that is passed (`_LINUX_CAPABILITY_VERSION_1` and later): the first has room for 32
/// capabilities only.
const VERSION_1: u32 = 0x1998_0330;
const VERSION_2: u32 = 0x2007_1026;
const VERSION_3: u32 = 0x2008_0522;
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
    let own = thread.credentials().capabilities;
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
    let new = task::credentials().set_capabilities(effective, permitted, inheritable)?;
    task::set_credentials(new);
    Ok(0)
}

/// What `PR_CAP_AMBIENT` of `prctl(2)` asks for.
fn ambient(own: &Credentials, [command, number, fourth, fifth]: [u64; 4]) -> Result<Answer, Errno> {
    const IS_SET: u64 = 1;
    const RAISE: u64 = 2;
    const LOWER: u64 = 3;
    const CLEAR_ALL: u64 = 4;
    if command == CLEAR_ALL {
        return match number | fourth | fifth {
            0 => Ok(Answer::New(own.clear_ambient())),
            _ => Err(Errno::EINVAL),
        };
    }
    let bit = Capabilities::bit(number).filter(|_| fourth | fifth == 0);
    let bit = bit.ok_or(Errno::EINVAL)?;
    match command {
        IS_SET => Ok(Answer::Value(usize::from(own.capabilities.ambient & bit != 0))),
        RAISE | LOWER => own.set_ambient(number, command == RAISE).map(Answer::New),
        _ => Err(Errno::EINVAL),
    }
}

/// What a question about credentials is answered with.
enum Answer {
    /// A number.
    Value(usize),
    /// Others.
    New(Credentials),
}

/// The options of `prctl(2)` that concern credentials. `None` for any other.
pub fn control(option: u32, arguments: [u64; 4]) -> Option<Result<usize, Errno>> {
    use linux_raw_sys::prctl as names;
    let own = task::credentials();
    let [second, third, fourth, fifth] = arguments;
    let flag = |set: bool| Ok(Answer::Value(usize::from(set)));
    let answer = match option {
        names::PR_GET_KEEPCAPS => flag(own.secure.contains(SecureBits::KEEP)),
        names::PR_SET_KEEPCAPS => own.set_keep(second).map(Answer::New),
        names::PR_GET_SECUREBITS => Ok(Answer::Value(own.secure.bits() as usize)),
        names::PR_SET_SECUREBITS => own.set_secure(second).map(Answer::New),
        names::PR_CAPBSET_READ => match Capabilities::bit(second) {
            Some(bit) => flag(own.capabilities.bounding & bit != 0),
            None => Err(Errno::EINVAL),
        },
        names::PR_CAPBSET_DROP => own.drop_bounding(second).map(Answer::New),
        names::PR_CAP_AMBIENT => ambient(&own, arguments),
        names::PR_SET_NO_NEW_PRIVS => match (second, third | fourth | fifth) {
            (1, 0) => {
                task::current().forgo_privileges();
                Ok(Answer::Value(0))
            }
            _ => Err(Errno::EINVAL),
        },
        names::PR_GET_NO_NEW_PRIVS => match second | third | fourth | fifth {
            0 => flag(own.no_new_privileges),
            _ => Err(Errno::EINVAL),
        },
        _ => return None,
    };
    Some(answer.map(|answer| match answer {
        Answer::Value(value) => value,
        Answer::New(new) => {
            task::set_credentials(new);
            0
        }
    }))
}
