//! Who a thread is and what it may do: `credentials(7)`, `capabilities(7)`, and how both change.
//!
//! Everything here is a plain rule: it makes new credentials of old ones. Who has which is the kernel's affair.

use alloc::sync::Arc;
use alloc::vec::Vec;

use bitflags::bitflags;

use crate::Errno;

/// "Leave it as it is" in calls that set several numbers.
const UNCHANGED: u32 = u32::MAX;
/// Root's number.
const ROOT: u32 = 0;

/// Sets of capabilities, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Those that count.
    pub effective: u64,
    /// Those that the thread may make count.
    pub permitted: u64,
    /// Those that programs with such capabilities of their own may have of it.
    pub inheritable: u64,
    /// Those that programs can have at all.
    pub bounding: u64,
    /// Those that programs without any privilege of their own keep.
    pub ambient: u64,
}

impl Capabilities {
    /// All that there are (`CAP_LAST_CAP` is 40).
    pub const ALL: u64 = (1 << 41) - 1;
    /// `CAP_CHOWN`.
    pub const CHANGE_OWNER: u64 = 1;
    /// `CAP_DAC_OVERRIDE`.
    pub const OVERRIDE: u64 = 1 << 1;
    /// `CAP_DAC_READ_SEARCH`.
    pub const READ_AND_SEARCH: u64 = 1 << 2;
    /// `CAP_FOWNER`.
    pub const FILE_OWNER: u64 = 1 << 3;
    /// `CAP_FSETID`.
    pub const KEEP_SPECIAL: u64 = 1 << 4;
    /// `CAP_KILL`.
    pub const KILL: u64 = 1 << 5;
    /// `CAP_SETGID`.
    pub const SET_GROUPS: u64 = 1 << 6;
    /// `CAP_SETUID`.
    pub const SET_USERS: u64 = 1 << 7;
    /// `CAP_SETPCAP`.
    pub const SET_CAPABILITIES: u64 = 1 << 8;
    /// `CAP_NET_BIND_SERVICE`.
    pub const LOW_PORTS: u64 = 1 << 10;
    /// `CAP_NET_ADMIN`.
    pub const NETWORK_ADMINISTRATION: u64 = 1 << 12;
    /// `CAP_NET_RAW`.
    pub const RAW_PACKETS: u64 = 1 << 13;
    /// `CAP_IPC_LOCK`.
    pub const LOCK_MEMORY: u64 = 1 << 14;
    /// `CAP_IPC_OWNER`.
    pub const USE_ALL_IPC: u64 = 1 << 15;
    /// `CAP_SYS_RAWIO`.
    pub const RAW_INPUT_AND_OUTPUT: u64 = 1 << 17;
    /// `CAP_SYS_CHROOT`.
    pub const CHANGE_ROOT: u64 = 1 << 18;
    /// `CAP_SYS_PTRACE`.
    pub const TRACE: u64 = 1 << 19;
    /// `CAP_SYS_ADMIN`.
    pub const ADMINISTRATION: u64 = 1 << 21;
    /// `CAP_SYS_BOOT`.
    pub const BOOT: u64 = 1 << 22;
    /// `CAP_SYS_NICE`.
    pub const SCHEDULING: u64 = 1 << 23;
    /// `CAP_SYS_RESOURCE`.
    pub const RESOURCES: u64 = 1 << 24;
    /// `CAP_SYS_TIME`.
    pub const CLOCKS: u64 = 1 << 25;
    /// `CAP_SYS_TTY_CONFIG`.
    pub const TERMINALS: u64 = 1 << 26;
    /// `CAP_MKNOD`.
    pub const MAKE_DEVICES: u64 = 1 << 27;
    /// `CAP_LEASE`.
    pub const LEASE: u64 = 1 << 28;
    /// `CAP_SETFCAP`.
    pub const SET_FILE_CAPABILITIES: u64 = 1 << 31;
    /// `CAP_SYSLOG`.
    pub const KERNEL_LOG: u64 = 1 << 34;
    /// `CAP_CHECKPOINT_RESTORE`.
    pub const RESTORE: u64 = 1 << 40;
    /// Those that let a process do everything with files.
    pub const FILES: u64 = Self::CHANGE_OWNER
        | Self::OVERRIDE
        | Self::READ_AND_SEARCH
        | Self::FILE_OWNER
        | Self::KEEP_SPECIAL;
    /// Those that follow the user in whose name files are used: `FILES`, `CAP_LINUX_IMMUTABLE`, `CAP_MKNOD` and
    /// `CAP_MAC_OVERRIDE`.
    pub const OF_FILE_USER: u64 = Self::FILES | 1 << 9 | Self::MAKE_DEVICES | 1 << 32;

    /// Those of root at the start.
    pub const ROOT: Self = Self {
        effective: Self::ALL,
        permitted: Self::ALL,
        inheritable: 0,
        bounding: Self::ALL,
        ambient: 0,
    };

    /// The bit of a capability's number, if there is such a capability.
    pub fn bit(number: u64) -> Option<u64> {
        (number < 64)
            .then(|| 1 << number)
            .filter(|bit| bit & Self::ALL != 0)
    }
}

bitflags! {
    /// What is not special about root (`securebits` of `capabilities(7)`); each but the last of four can be locked.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct SecureBits: u32 {
        /// Programs that root runs get no capabilities by that (`SECBIT_NOROOT`).
        const NO_ROOT = 1;
        /// `SECBIT_NOROOT_LOCKED`
        const NO_ROOT_LOCKED = 1 << 1;
        /// Capabilities do not follow the user (`SECBIT_NO_SETUID_FIXUP`).
        const NO_FOLLOWING = 1 << 2;
        /// `SECBIT_NO_SETUID_FIXUP_LOCKED`
        const NO_FOLLOWING_LOCKED = 1 << 3;
        /// Permitted capabilities stay when the thread stops being root (`SECBIT_KEEP_CAPS`).
        const KEEP = 1 << 4;
        /// `SECBIT_KEEP_CAPS_LOCKED`
        const KEEP_LOCKED = 1 << 5;
        /// No more ambient capabilities (`SECBIT_NO_CAP_AMBIENT_RAISE`).
        const NO_AMBIENT = 1 << 6;
        /// `SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED`
        const NO_AMBIENT_LOCKED = 1 << 7;
    }
}

impl SecureBits {
    const LOCKS: u32 = 0xaa;
}

/// Which of the two kinds of numbers a call sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Users.
    User,
    /// Groups.
    Group,
}

/// Who a thread is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Real, effective and saved user.
    pub users: [u32; 3],
    /// Real, effective and saved group.
    pub groups: [u32; 3],
    /// In whose name files are used: as a rule the effective user and group (`setfsuid(2)`).
    pub file_user: u32,
    /// See `file_user`.
    pub file_group: u32,
    /// Supplementary groups, sorted; shared by everybody who has the same ones, and by each walk along a path.
    pub supplementary: Option<Arc<Vec<u32>>>,
    /// What the thread may do beside what everybody may.
    pub capabilities: Capabilities,
    /// What is not special about root.
    pub secure: SecureBits,
    /// No program that it runs may have more rights (`PR_SET_NO_NEW_PRIVS`).
    pub no_new_privileges: bool,
    /// Tells who became somebody, or was made by `fork(2)`, from what was before, also if nothing else differs. Only threads of
    /// a process share it.
    pub number: u64,
}

/// What a program brings with it that decides who runs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProgramRights {
    /// The user that it runs as (set-user-ID).
    pub user: Option<u32>,
    /// The group that it runs as (set-group-ID).
    pub group: Option<u32>,
    /// Capabilities of the file.
    pub capabilities: Option<FileCapabilities>,
}

impl Credentials {
    /// Root, with all capabilities.
    pub const ROOT: Self = Self {
        users: [ROOT; 3],
        groups: [ROOT; 3],
        file_user: ROOT,
        file_group: ROOT,
        supplementary: None,
        capabilities: Capabilities::ROOT,
        secure: SecureBits::empty(),
        no_new_privileges: false,
        number: 0,
    };

    /// Whether a capability counts.
    pub fn has(&self, capability: u64) -> bool {
        self.capabilities.effective & capability != 0
    }

    /// The supplementary groups.
    pub fn supplementary(&self) -> &[u32] {
        self.supplementary.as_ref().map_or(&[], |groups| groups)
    }

    /// Whether the effective group or a supplementary one is this.
    pub fn is_member(&self, group: u32) -> bool {
        self.groups[1] == group || self.supplementary().binary_search(&group).is_ok()
    }

    fn numbers(&self, kind: Kind) -> [u32; 3] {
        match kind {
            Kind::User => self.users,
            Kind::Group => self.groups,
        }
    }

    fn is_privileged(&self, kind: Kind) -> bool {
        self.has(match kind {
            Kind::User => Capabilities::SET_USERS,
            Kind::Group => Capabilities::SET_GROUPS,
        })
    }

    /// With other numbers; capabilities follow the user.
    fn with(&self, kind: Kind, new: [u32; 3]) -> Self {
        let mut own = self.clone();
        match kind {
            Kind::User => {
                own.users = new;
                own.file_user = new[1];
                if !self.secure.contains(SecureBits::NO_FOLLOWING) {
                    own.follow(self.users);
                }
            }
            Kind::Group => {
                own.groups = new;
                own.file_group = new[1];
            }
        }
        own
    }

    /// What follows for capabilities from users that were others before.
    fn follow(&mut self, before: [u32; 3]) {
        let sets = &mut self.capabilities;
        if before.contains(&ROOT) && !self.users.contains(&ROOT) {
            if !self.secure.contains(SecureBits::KEEP) {
                (sets.permitted, sets.effective) = (0, 0);
            }
            sets.ambient = 0;
        }
        if before[1] == ROOT && self.users[1] != ROOT {
            sets.effective = 0;
        } else if before[1] != ROOT && self.users[1] == ROOT {
            sets.effective = sets.permitted;
        }
    }

    /// `setuid(2)`, `setgid(2)`
    ///
    /// # Errors
    /// `EINVAL`, `EPERM`.
    pub fn set_one(&self, kind: Kind, number: u32) -> Result<Self, Errno> {
        if number == UNCHANGED {
            return Err(Errno::EINVAL);
        }
        let [real, _, saved] = self.numbers(kind);
        if self.is_privileged(kind) {
            Ok(self.with(kind, [number; 3]))
        } else if number == real || number == saved {
            Ok(self.with(kind, [real, number, saved]))
        } else {
            Err(Errno::EPERM)
        }
    }

    /// `setreuid(2)`, `setregid(2)`
    ///
    /// # Errors
    /// `EPERM`
    pub fn set_two(&self, kind: Kind, real: u32, effective: u32) -> Result<Self, Errno> {
        let old = self.numbers(kind);
        let chosen = |new: u32, old: u32| if new == UNCHANGED { old } else { new };
        let allowed = self.is_privileged(kind)
            || (real == UNCHANGED || old[..2].contains(&real))
                && (effective == UNCHANGED || old.contains(&effective));
        if !allowed {
            return Err(Errno::EPERM);
        }
        let new = [chosen(real, old[0]), chosen(effective, old[1])];
        let follows = real != UNCHANGED || effective != UNCHANGED && effective != old[0];
        Ok(self.with(
            kind,
            [new[0], new[1], if follows { new[1] } else { old[2] }],
        ))
    }

    /// `setresuid(2)`, `setresgid(2)`
    ///
    /// # Errors
    /// `EPERM`
    pub fn set_three(&self, kind: Kind, wanted: [u32; 3]) -> Result<Self, Errno> {
        let old = self.numbers(kind);
        let allowed = |number: &u32| *number == UNCHANGED || old.contains(number);
        if !self.is_privileged(kind) && !wanted.iter().all(allowed) {
            return Err(Errno::EPERM);
        }
        // Who asks for nothing new keeps what was set for files only; who names the effective number asks for that as well.
        let for_files = match kind {
            Kind::User => self.file_user,
            Kind::Group => self.file_group,
        };
        let is_as_before = |index: usize| wanted[index] == UNCHANGED || wanted[index] == old[index];
        if (0..3).all(is_as_before) && (wanted[1] == UNCHANGED || wanted[1] == for_files) {
            return Ok(self.clone());
        }
        let mut new = old;
        for (new, wanted) in new.iter_mut().zip(wanted) {
            if wanted != UNCHANGED {
                *new = wanted;
            }
        }
        Ok(self.with(kind, new))
    }

    /// `setfsuid(2)`, `setfsgid(2)`: `None` if that is not allowed, which these calls do not tell.
    pub fn set_for_files(&self, kind: Kind, number: u32) -> Option<Self> {
        let before = match kind {
            Kind::User => self.file_user,
            Kind::Group => self.file_group,
        };
        let allowed =
            number == before || self.numbers(kind).contains(&number) || self.is_privileged(kind);
        if number == UNCHANGED || !allowed {
            return None;
        }
        let mut own = self.clone();
        match kind {
            Kind::Group => own.file_group = number,
            Kind::User => {
                own.file_user = number;
                let sets = &mut own.capabilities;
                match (before == ROOT, number == ROOT) {
                    _ if self.secure.contains(SecureBits::NO_FOLLOWING) => {}
                    (true, false) => sets.effective &= !Capabilities::OF_FILE_USER,
                    (false, true) => sets.effective |= sets.permitted & Capabilities::OF_FILE_USER,
                    _ => {}
                }
            }
        }
        Some(own)
    }

    /// `capset(2)`
    ///
    /// # Errors
    /// `EPERM`
    pub fn set_capabilities(
        &self,
        effective: u64,
        permitted: u64,
        inheritable: u64,
    ) -> Result<Self, Errno> {
        let old = self.capabilities;
        let passes_on_at_most = match self.has(Capabilities::SET_CAPABILITIES) {
            true => Capabilities::ALL,
            false => old.inheritable | old.permitted,
        } & (old.inheritable | old.bounding);
        if inheritable & !passes_on_at_most != 0
            || permitted & !old.permitted != 0
            || effective & !permitted != 0
        {
            return Err(Errno::EPERM);
        }
        Ok(Self {
            capabilities: Capabilities {
                effective,
                permitted,
                inheritable,
                ambient: old.ambient & permitted & inheritable,
                ..old
            },
            ..self.clone()
        })
    }

    /// `PR_CAPBSET_DROP` of `prctl(2)`
    ///
    /// # Errors
    /// `EPERM`, `EINVAL`.
    pub fn drop_bounding(&self, number: u64) -> Result<Self, Errno> {
        if !self.has(Capabilities::SET_CAPABILITIES) {
            return Err(Errno::EPERM);
        }
        let bit = Capabilities::bit(number).ok_or(Errno::EINVAL)?;
        let mut own = self.clone();
        own.capabilities.bounding &= !bit;
        Ok(own)
    }

    /// `PR_CAP_AMBIENT_RAISE` and `PR_CAP_AMBIENT_LOWER`
    ///
    /// # Errors
    /// `EPERM`, `EINVAL`.
    pub fn set_ambient(&self, number: u64, raised: bool) -> Result<Self, Errno> {
        let bit = Capabilities::bit(number).ok_or(Errno::EINVAL)?;
        let mut own = self.clone();
        let sets = &mut own.capabilities;
        if !raised {
            sets.ambient &= !bit;
        } else if sets.permitted & sets.inheritable & bit == 0
            || self.secure.contains(SecureBits::NO_AMBIENT)
        {
            return Err(Errno::EPERM);
        } else {
            sets.ambient |= bit;
        }
        Ok(own)
    }

    /// `PR_CAP_AMBIENT_CLEAR_ALL`
    pub fn clear_ambient(&self) -> Self {
        let mut own = self.clone();
        own.capabilities.ambient = 0;
        own
    }

    /// `PR_SET_SECUREBITS`
    ///
    /// # Errors
    /// `EPERM`
    pub fn set_secure(&self, bits: u64) -> Result<Self, Errno> {
        let new = u32::try_from(bits).ok().and_then(SecureBits::from_bits);
        let new = new.ok_or(Errno::EPERM)?;
        let locks = self.secure.bits() & SecureBits::LOCKS;
        let touches_locked = locks >> 1 & (self.secure ^ new).bits() != 0;
        if touches_locked || locks & !new.bits() != 0 || !self.has(Capabilities::SET_CAPABILITIES) {
            return Err(Errno::EPERM);
        }
        Ok(Self {
            secure: new,
            ..self.clone()
        })
    }

    /// `PR_SET_KEEPCAPS`
    ///
    /// # Errors
    /// `EPERM`, `EINVAL`.
    pub fn set_keep(&self, value: u64) -> Result<Self, Errno> {
        if value > 1 {
            return Err(Errno::EINVAL);
        }
        if self.secure.contains(SecureBits::KEEP_LOCKED) {
            return Err(Errno::EPERM);
        }
        let mut own = self.clone();
        own.secure.set(SecureBits::KEEP, value == 1);
        Ok(own)
    }

    /// Who runs a program (`execve(2)`), and whether it has more power than whoever started it: then its libraries must
    /// not trust the environment (`AT_SECURE`).
    ///
    /// # Errors
    /// `EPERM` if the program does not know that it lacks capabilities which its file demands.
    pub fn run(&self, program: &ProgramRights) -> Result<(Self, bool), Errno> {
        let mut own = self.clone();
        if !self.no_new_privileges {
            own.users[1] = program.user.unwrap_or(own.users[1]);
            own.groups[1] = program.group.unwrap_or(own.groups[1]);
        }
        let sets = &mut own.capabilities;
        sets.permitted = 0;
        let mut effective = false;
        if let Some(file) = program.capabilities {
            sets.permitted = sets.bounding & file.permitted | sets.inheritable & file.inheritable;
            effective = file.effective;
            if effective && file.permitted & !sets.permitted != 0 {
                return Err(Errno::EPERM);
            }
        }
        // Root has all; but a set-user-ID program that names its capabilities gets only these.
        let becomes_root = own.users[1] == ROOT && own.users[0] != ROOT;
        let names_own = program.capabilities.is_some() && becomes_root;
        if !self.secure.contains(SecureBits::NO_ROOT) && !names_own {
            if own.users[..2].contains(&ROOT) {
                sets.permitted = sets.bounding | sets.inheritable;
            }
            effective |= own.users[1] == ROOT;
        }
        let changes = own.users[1] != self.users[1] || !self.is_member(own.groups[1]);
        let gains = sets.permitted & !self.capabilities.permitted != 0;
        if (changes || gains) && self.no_new_privileges {
            // No more than there was, and perhaps less.
            own.users[1] = own.users[0];
            own.groups[1] = own.groups[0];
            sets.permitted &= self.capabilities.permitted;
        }
        (own.users[2], own.groups[2]) = (own.users[1], own.groups[1]);
        (own.file_user, own.file_group) = (own.users[1], own.groups[1]);
        if program.capabilities.is_some() || changes {
            sets.ambient = 0;
        }
        sets.permitted |= sets.ambient;
        sets.effective = if effective {
            sets.permitted
        } else {
            sets.ambient
        };
        own.secure.remove(SecureBits::KEEP);
        let grew = sets.permitted & !sets.ambient != 0;
        let differs = own.users[1] != self.users[0] || own.groups[1] != self.groups[0];
        let secure = changes || differs || own.users[0] != ROOT && (effective || grew);
        Ok((own, secure))
    }

    /// Whether others, who could look into a process with these credentials, may not look into it with the new ones.
    pub fn hides(&self, new: &Self) -> bool {
        let names = |own: &Self| (own.users[1], own.groups[1], own.file_user, own.file_group);
        names(self) != names(new) || new.capabilities.permitted & !self.capabilities.permitted != 0
    }
}

/// Capabilities of a file: the extended attribute `security.capability` (`struct vfs_ns_cap_data`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FileCapabilities {
    /// Those that the program gets, if it can have them at all.
    pub permitted: u64,
    /// Those that it gets if its caller can pass them on.
    pub inheritable: u64,
    /// They count at once.
    pub effective: bool,
}

impl FileCapabilities {
    /// The name of the attribute.
    pub const NAME: &[u8] = b"security.capability";
    /// The first word's low bits: only one is known.
    const EFFECTIVE: u32 = 1;
    const REVISION: u32 = 0xff00_0000;

    /// Reads an attribute as programs are started with. `None` if it is for the root of another user namespace.
    ///
    /// # Errors
    /// `EINVAL`
    pub fn read(value: &[u8]) -> Result<Option<Self>, Errno> {
        let words = Words(value);
        let first = words.get(0).ok_or(Errno::EINVAL)?;
        let pairs = match (first & Self::REVISION, value.len()) {
            (0x0100_0000, 12) => 1,
            (0x0200_0000, 20) => 2,
            (0x0300_0000, 24) if words.get(5) == Some(ROOT) => 2,
            (0x0300_0000, 24) => return Ok(None),
            _ => return Err(Errno::EINVAL),
        };
        let set = |from: usize| {
            let half = |index: usize| words.get(from + 2 * index).map_or(0, u64::from);
            let high = if pairs == 2 { half(1) << 32 } else { 0 };
            (half(0) | high) & Capabilities::ALL
        };
        Ok(Some(Self {
            permitted: set(1),
            inheritable: set(2),
            effective: first & Self::EFFECTIVE != 0,
        }))
    }

    /// Brings what a program gives as the attribute into the form that is stored: the second version, or the third for
    /// the root of another user namespace.
    ///
    /// # Errors
    /// `EINVAL` if it is neither.
    pub fn to_be_stored(value: &mut Vec<u8>) -> Result<(), Errno> {
        let words = Words(value);
        let first = words.get(0).ok_or(Errno::EINVAL)?;
        match (first & Self::REVISION, value.len()) {
            (0x0200_0000, 20) => Ok(()),
            (0x0300_0000, 24) => {
                if words.get(5) == Some(ROOT) {
                    value.truncate(20);
                    let second = first & !Self::REVISION | 0x0200_0000;
                    value[..4].copy_from_slice(&second.to_le_bytes());
                }
                Ok(())
            }
            _ => Err(Errno::EINVAL),
        }
    }
}

/// Bytes as little-endian words.
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn get(&self, index: usize) -> Option<u32> {
        let bytes = self.0.get(4 * index..4 * index + 4)?;
        bytes.try_into().ok().map(u32::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: u32 = 1001;
    const BOB: u32 = 1002;

    fn alice() -> Credentials {
        Credentials::ROOT
            .set_one(Kind::User, ALICE)
            .expect("root may")
    }

    fn after(program: &ProgramRights, own: &Credentials) -> (Credentials, bool) {
        own.run(program).expect("it can be run")
    }

    #[test]
    fn who_stops_being_root_loses_capabilities() {
        let own = alice();
        assert_eq!(own.users, [ALICE; 3]);
        assert_eq!(
            (own.capabilities.permitted, own.capabilities.effective),
            (0, 0)
        );
        assert_eq!(own.set_one(Kind::User, 0), Err(Errno::EPERM));
        // For a while only.
        let own = Credentials::ROOT.set_three(Kind::User, [UNCHANGED, ALICE, UNCHANGED]);
        let own = own.expect("root may");
        assert_eq!(
            (own.capabilities.permitted, own.capabilities.effective),
            (Capabilities::ALL, 0)
        );
        let again = own.set_one(Kind::User, 0).expect("it is saved");
        assert_eq!(again.capabilities, Capabilities::ROOT);
        assert_eq!(again.users, [0; 3]);
        // Or they are kept.
        let own = Credentials::ROOT.set_keep(1).expect("it is not locked");
        let own = own.set_one(Kind::User, ALICE).expect("root may");
        assert_eq!(
            (own.capabilities.permitted, own.capabilities.effective),
            (Capabilities::ALL, 0)
        );
    }

    #[test]
    fn each_call_takes_only_the_numbers_that_it_may() {
        let own = Credentials {
            users: [1, 2, 3],
            ..alice()
        };
        let one = |number| own.set_one(Kind::User, number).map(|own| own.users);
        assert_eq!(one(1), Ok([1, 1, 3]));
        assert_eq!(one(2), Err(Errno::EPERM)); // the effective one is no reason
        assert_eq!(one(3), Ok([1, 3, 3]));
        assert_eq!(one(UNCHANGED), Err(Errno::EINVAL));
        let two = |real, effective| {
            own.set_two(Kind::User, real, effective)
                .map(|own| own.users)
        };
        assert_eq!(two(3, UNCHANGED), Err(Errno::EPERM));
        assert_eq!(two(2, UNCHANGED), Ok([2, 2, 2]));
        assert_eq!(two(UNCHANGED, 3), Ok([1, 3, 3]));
        assert_eq!(two(UNCHANGED, 1), Ok([1, 1, 3]));
        assert_eq!(two(UNCHANGED, UNCHANGED), Ok([1, 2, 3]));
        let three = |numbers| own.set_three(Kind::User, numbers).map(|own| own.users);
        assert_eq!(three([3, 1, 2]), Ok([3, 1, 2]));
        assert_eq!(three([UNCHANGED, 4, UNCHANGED]), Err(Errno::EPERM));
    }

    #[test]
    fn programs_change_who_runs_them() {
        let plain = ProgramRights::default();
        assert_eq!(
            after(&plain, &Credentials::ROOT),
            (Credentials::ROOT, false)
        );
        let (own, secure) = after(&plain, &alice());
        assert_eq!((own.capabilities.permitted, secure), (0, false));
        let of_root = ProgramRights {
            user: Some(0),
            ..plain
        };
        let (own, secure) = after(&of_root, &alice());
        assert_eq!(own.users, [ALICE, 0, 0]);
        assert_eq!(
            (own.capabilities.effective, secure),
            (Capabilities::ALL, true)
        );
        let forgoing = Credentials {
            no_new_privileges: true,
            ..alice()
        };
        let (own, secure) = after(&of_root, &forgoing);
        assert_eq!(
            (own.users, own.capabilities.permitted, secure),
            ([ALICE; 3], 0, false)
        );
        let of_bob = ProgramRights {
            user: Some(BOB),
            ..plain
        };
        let (own, secure) = after(&of_bob, &Credentials::ROOT);
        assert_eq!((own.users, secure), ([0, BOB, BOB], true));
        assert_eq!(
            (own.capabilities.permitted, own.capabilities.effective),
            (Capabilities::ALL, 0)
        );
    }

    #[test]
    fn capabilities_of_files_reach_as_far_as_the_bounding_set() {
        let file = FileCapabilities {
            permitted: 0b11,
            inheritable: 0b100,
            effective: true,
        };
        let program = ProgramRights {
            capabilities: Some(file),
            ..ProgramRights::default()
        };
        let (own, secure) = after(&program, &alice());
        assert_eq!((own.capabilities.effective, secure), (0b11, true));
        let mut passing = alice();
        passing.capabilities.inheritable = 0b110;
        assert_eq!(after(&program, &passing).0.capabilities.permitted, 0b111);
        let mut bound = alice();
        bound.capabilities.bounding &= !1;
        assert_eq!(bound.run(&program).map(|_| ()), Err(Errno::EPERM));
        let forgoing = Credentials {
            no_new_privileges: true,
            ..alice()
        };
        assert_eq!(after(&program, &forgoing).0.capabilities.permitted, 0);
    }

    #[test]
    fn ambient_capabilities_stay_with_plain_programs_only() {
        let mut own = alice();
        own.capabilities.permitted = 0b11;
        own.capabilities.inheritable = 0b01;
        assert_eq!(own.set_ambient(1, true), Err(Errno::EPERM));
        assert_eq!(own.set_ambient(41, true), Err(Errno::EINVAL));
        let own = own
            .set_ambient(0, true)
            .expect("it is permitted and inheritable");
        let plain = ProgramRights::default();
        let (ran, secure) = after(&plain, &own);
        assert_eq!(
            (
                ran.capabilities.effective,
                ran.capabilities.permitted,
                secure
            ),
            (1, 1, false)
        );
        let of_bob = ProgramRights {
            user: Some(BOB),
            ..plain
        };
        assert_eq!(after(&of_bob, &own).0.capabilities.ambient, 0);
        let lowered = own.set_capabilities(0, 0b10, 0).expect("less is allowed");
        assert_eq!(lowered.capabilities.ambient, 0);
    }

    #[test]
    fn what_is_locked_stays() {
        let locked = Credentials::ROOT
            .set_secure(0b11)
            .expect("nothing is locked yet");
        assert_eq!(locked.set_secure(0b10), Err(Errno::EPERM));
        assert_eq!(locked.set_secure(0b01), Err(Errno::EPERM));
        assert_eq!(locked.set_secure(1 << 8 | 0b11), Err(Errno::EPERM));
        assert!(locked.set_secure(0b111).is_ok());
        assert_eq!(alice().set_secure(0), Err(Errno::EPERM));
        let (ran, _) = after(&ProgramRights::default(), &locked);
        assert_eq!(ran.capabilities.permitted, 0);
        let kept = Credentials::ROOT
            .set_secure(0b11_0000)
            .expect("nothing is locked yet");
        assert_eq!(kept.set_keep(0), Err(Errno::EPERM));
        assert_eq!(kept.set_keep(2), Err(Errno::EINVAL));
    }

    #[test]
    fn attributes_of_files_are_read() {
        let value = |first: u32, words: &[u32]| {
            let words = [&[first], words].concat();
            words
                .iter()
                .flat_map(|word| word.to_le_bytes())
                .collect::<Vec<u8>>()
        };
        let second = value(0x0200_0001, &[1, 2, 1 << 8, 0]);
        let expected = FileCapabilities {
            permitted: 1 | 1 << 40,
            inheritable: 2,
            effective: true,
        };
        assert_eq!(FileCapabilities::read(&second), Ok(Some(expected)));
        let third = value(0x0300_0001, &[1, 2, 1 << 8, 0, 0]);
        assert_eq!(FileCapabilities::read(&third), Ok(Some(expected)));
        assert_eq!(
            FileCapabilities::read(&value(0x0300_0001, &[1, 2, 0, 0, 1000])),
            Ok(None)
        );
        let first = value(0x0100_0000, &[5, 6]);
        let old = FileCapabilities {
            permitted: 5,
            inheritable: 6,
            effective: false,
        };
        assert_eq!(FileCapabilities::read(&first), Ok(Some(old)));
        let stored = |value: &[u8]| {
            let mut value = value.to_vec();
            FileCapabilities::to_be_stored(&mut value).map(|()| value)
        };
        assert_eq!(stored(&second), Ok(second.clone()));
        assert_eq!(stored(&third), Ok(second.clone()));
        assert_eq!(stored(&first), Err(Errno::EINVAL));
        for length in 0..second.len() {
            assert_eq!(
                FileCapabilities::read(&second[..length]),
                Err(Errno::EINVAL)
            );
            assert_eq!(stored(&second[..length]), Err(Errno::EINVAL));
        }
    }
}
