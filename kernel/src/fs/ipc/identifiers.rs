//! What all System V objects have in common: keys, identifiers, owners and permissions.

use pith_linux::Errno;
use pith_linux::ipc::{CREATE, EXCLUSIVE, PRIVATE, Permission, limit};
use pith_sorted_map::SortedMap;

use crate::memory;
use crate::task::{self, Capabilities};

/// Identifiers are `sequence * OBJECTS + index`.
const OBJECTS: usize = limit::OBJECTS as usize;
/// Indices are used in turn, among at least so many.
const CYCLE: usize = 64;
/// Permission bits of a mode.
const PERMISSIONS: u32 = 0o777;

/// Somebody may read: the bits of a mode.
pub const READ: u32 = 0o444;
/// Somebody may write.
pub const WRITE: u32 = 0o222;

/// A System V object.
pub trait Object {
    /// Who may use it.
    fn permission(&self) -> Permission;
}

/// All objects of a kind.
pub struct Table<V> {
    objects: SortedMap<usize, V>,
    next: usize,
    last: usize,
    sequence: u16,
}

fn identifier(index: usize, sequence: u16) -> i32 {
    (usize::from(sequence) * OBJECTS + index) as i32
}

impl<V: Object> Table<V> {
    /// No objects.
    pub const fn new() -> Self {
        Self {
            objects: SortedMap::new(),
            next: 0,
            last: 0,
            sequence: 0,
        }
    }

    /// The object with an identifier.
    ///
    /// # Errors
    /// `EINVAL` if there is none.
    pub fn find(&self, id: i32) -> Result<&V, Errno> {
        let number = usize::try_from(id).map_err(|_| Errno::EINVAL)?;
        let object = self.objects.get(&(number % OBJECTS)).ok_or(Errno::EINVAL)?;
        if usize::from(object.permission().sequence) == number / OBJECTS {
            Ok(object)
        } else {
            Err(Errno::EINVAL)
        }
    }

    /// The object at an index, and its identifier.
    ///
    /// # Errors
    /// `EINVAL` if there is none.
    pub fn at(&self, index: i32) -> Result<(i32, &V), Errno> {
        let index = usize::try_from(index).map_err(|_| Errno::EINVAL)? % OBJECTS;
        let object = self.objects.get(&index).ok_or(Errno::EINVAL)?;
        Ok((identifier(index, object.permission().sequence), object))
    }

    /// The object that [`Self::find`] finds, or with `by_index` that [`Self::at`] finds.
    ///
    /// # Errors
    /// `EINVAL` if there is none.
    pub fn choose(&self, number: i32, by_index: bool) -> Result<(i32, &V), Errno> {
        if by_index {
            self.at(number)
        } else {
            self.find(number).map(|object| (number, object))
        }
    }

    /// Takes an object out.
    ///
    /// # Errors
    /// `EINVAL` if there is none.
    pub fn remove(&mut self, id: i32) -> Result<V, Errno> {
        self.find(id)?;
        self.objects.remove(&(id as usize % OBJECTS)).ok_or(Errno::EINVAL)
    }

    /// Puts another value in an object's place.
    pub fn replace(&mut self, id: i32, value: V) -> Option<V> {
        self.objects.insert(id as usize % OBJECTS, value)
    }

    /// Forgets the objects that `keep` does not want.
    pub fn retain(&mut self, mut keep: impl FnMut(&V) -> bool) {
        self.objects.retain(|_, object| keep(object));
    }

    /// All objects with their identifiers.
    pub fn iter(&self) -> impl Iterator<Item = (i32, &V)> {
        self.objects
            .iter()
            .map(|(index, object)| (identifier(*index, object.permission().sequence), object))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// The highest index in use; 0 if there is none.
    pub fn highest(&self) -> usize {
        self.objects.last().map_or(0, |(index, _)| *index)
    }

    fn add(&mut self, most: u64, make: impl FnOnce(u16) -> Result<V, Errno>) -> Result<i32, Errno> {
        if self.objects.len() as u64 >= most || memory::is_low() {
            return Err(Errno::ENOSPC);
        }
        let end = (self.objects.len() * 3 / 2).clamp(CYCLE, OBJECTS);
        let free = |index: &usize| !self.objects.contains_key(index);
        let start = if self.next < end { self.next } else { 0 };
        let index = (start..end).chain(0..start).find(free).ok_or(Errno::ENOSPC)?;
        let mut sequence = self.sequence;
        if index <= self.last && self.next != 0 {
            // The index was used before: a new sequence makes a new identifier of it.
            sequence = (sequence + 1) % (i32::MAX as usize / OBJECTS) as u16;
        }
        let object = make(sequence)?;
        self.sequence = sequence;
        self.last = index;
        self.next = index + 1;
        self.objects.insert(index, object);
        Ok(identifier(index, sequence))
    }

    /// Finds the object of a key, or makes one, as the calls that end in `get` do. `suits` says what speaks against
    /// an object that exists, `make` is given the new one's permission.
    ///
    /// # Errors
    /// `EEXIST`, `ENOENT`, `EACCES`, `ENOSPC`, and what `suits` and `make` say.
    pub fn get(
        &mut self,
        key: i32,
        flags: i32,
        most: u64,
        suits: impl FnOnce(&V) -> Result<(), Errno>,
        make: impl FnOnce(Permission) -> Result<V, Errno>,
    ) -> Result<i32, Errno> {
        if key != PRIVATE {
            let found = self.iter().find(|(_, object)| object.permission().key == key);
            if let Some((id, object)) = found {
                if flags & CREATE != 0 && flags & EXCLUSIVE != 0 {
                    return Err(Errno::EEXIST);
                }
                suits(object)?;
                check(&object.permission(), flags as u32)?;
                return Ok(id);
            }
            if flags & CREATE == 0 {
                return Err(Errno::ENOENT);
            }
        }
        let own = task::credentials();
        let (user, group) = (own.users[1], own.groups[1]);
        self.add(most, |sequence| {
            make(Permission {
                key,
                user,
                group,
                creator_user: user,
                creator_group: group,
                mode: flags as u32 & PERMISSIONS,
                sequence,
                ..Permission::default()
            })
        })
    }
}

/// Whether the current process may use an object so: [`READ`], [`WRITE`] or both.
///
/// # Errors
/// `EACCES`.
pub fn check(permission: &Permission, wanted: u32) -> Result<(), Errno> {
    let own = task::credentials();
    let user = own.users[1];
    let member = |group: u32| own.is_member(group);
    let shift = if user == permission.user || user == permission.creator_user {
        6
    } else if member(permission.group) || member(permission.creator_group) {
        3
    } else {
        0
    };
    let wanted = wanted >> 6 | wanted >> 3 | wanted;
    if own.has(Capabilities::USE_ALL_IPC) || wanted & !(permission.mode >> shift) & 7 == 0 {
        Ok(())
    } else {
        Err(Errno::EACCES)
    }
}

/// Whether the current process may change or remove an object.
///
/// # Errors
/// `EPERM`.
pub fn check_owner(permission: &Permission) -> Result<(), Errno> {
    let own = task::credentials();
    let user = own.users[1];
    if own.has(Capabilities::ADMINISTRATION) || user == permission.user || user == permission.creator_user {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

/// Sets owner and permissions as `IPC_SET` does.
///
/// # Errors
/// `EINVAL` for a user or group that can't be.
pub fn set(permission: &mut Permission, new: &Permission) -> Result<(), Errno> {
    if new.user == u32::MAX || new.group == u32::MAX {
        return Err(Errno::EINVAL);
    }
    permission.user = new.user;
    permission.group = new.group;
    permission.mode = permission.mode & !PERMISSIONS | new.mode & PERMISSIONS;
    Ok(())
}
