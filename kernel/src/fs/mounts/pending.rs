//! Mounts that are made step by step: `fsopen(2)`, `fsconfig(2)`, `fsmount(2)`, `fspick(2)`, `open_tree(2)`, `move_mount(2)`.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::Ordering;

use pith_erofs::FileKind;
use pith_linux::Errno;
use pith_linux::files::OpenFlags;
use pith_linux::mounts::{MountFlags, MountOptions};
use spin::Mutex;

use super::change::{change_super_block, copy, inner, is_known, with_inner};
use super::{Mount, Subject, SuperBlock, attach, changes, kinds};
use crate::fs::anonymous;
use crate::fs::file::{File, OpenFile};
use crate::fs::inode::Inode;
use crate::memory::Destination;

/// What a context waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Words about a new file system, and that it be made.
    Creation,
    /// That it be mounted.
    Mounting,
    /// Words about one that is there, and that they take effect.
    Change,
    /// Nothing: it went wrong.
    Failed,
}

struct State {
    phase: Phase,
    source: Option<String>,
    /// Words so far, each with a comma before it.
    words: Vec<u8>,
    /// Flags of the file system, and those that were named.
    flags: MountFlags,
    named: MountFlags,
    super_block: Option<Arc<SuperBlock>>,
}

/// A file system on its way to be made or changed, as an open file.
pub struct Context {
    kind: Vec<u8>,
    state: Mutex<State>,
}

impl File for Context {
    /// What went wrong in words: nothing, for that stands in the log.
    fn read(&self, _position: u64, _to: &mut Destination<'_>, _flags: OpenFlags) -> Result<usize, Errno> {
        Err(Errno::ENODATA)
    }

    fn can_be_written(&self) -> bool {
        false
    }
}

fn open_context(kind: Vec<u8>, phase: Phase, super_block: Option<Arc<SuperBlock>>) -> Arc<OpenFile> {
    let state = State {
        phase,
        source: None,
        words: Vec::new(),
        flags: MountFlags::empty(),
        named: MountFlags::empty(),
        super_block,
    };
    let context = Context {
        kind,
        state: Mutex::new(state),
    };
    anonymous::open("anon_inode:[fscontext]", Arc::new(context), OpenFlags::READ_WRITE)
}

/// The context of an open file.
///
/// # Errors
/// `EBADF`, `EINVAL` if it is none.
pub fn context_of(open: &OpenFile) -> Result<&Context, Errno> {
    let file: &dyn Any = &**open.file()?;
    file.downcast_ref().ok_or(Errno::EINVAL)
}

/// Begins to make a file system of a type (`fsopen(2)`).
///
/// # Errors
/// `ENODEV` for a type that there is not.
pub fn begin(kind: Vec<u8>) -> Result<Arc<OpenFile>, Errno> {
    match kinds::is_known(&kind) {
        true => Ok(open_context(kind, Phase::Creation, None)),
        false => Err(Errno::ENODEV),
    }
}

/// Begins to change the file system whose mount is named (`fspick(2)`).
pub fn pick(subject: &Subject) -> Arc<OpenFile> {
    let super_block = subject.0.super_block.clone();
    let kind = super_block.file_system.type_name().as_bytes().to_vec();
    open_context(kind, Phase::Change, Some(super_block))
}

impl Context {
    /// Says something about the file system (`FSCONFIG_SET_FLAG`, `FSCONFIG_SET_STRING`).
    ///
    /// # Errors
    /// `EBUSY` where nothing can be said, `EINVAL` for what the type does not have.
    pub fn set(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if !matches!(state.phase, Phase::Creation | Phase::Change) {
            return Err(Errno::EBUSY);
        }
        let (flag, on) = match key {
            b"ro" => (MountFlags::READ_ONLY, true),
            b"rw" => (MountFlags::READ_ONLY, false),
            b"sync" => (MountFlags::SYNCHRONOUS, true),
            b"async" => (MountFlags::SYNCHRONOUS, false),
            b"dirsync" => (MountFlags::SYNCHRONOUS_DIRECTORIES, true),
            b"lazytime" => (MountFlags::LAZY_TIMES, true),
            b"nolazytime" => (MountFlags::LAZY_TIMES, false),
            _ => (MountFlags::empty(), false),
        };
        if !flag.is_empty() {
            state.flags.set(flag, on);
            state.named |= flag;
            return Ok(());
        }
        if key == b"source" {
            let value = value.filter(|_| state.source.is_none()).ok_or(Errno::EINVAL)?;
            state.source = Some(String::from_utf8_lossy(value).into_owned());
            return Ok(());
        }
        let mut word = key.to_vec();
        if let Some(value) = value {
            word.push(b'=');
            word.extend_from_slice(value);
        }
        if word.contains(&b',') {
            return Err(Errno::EINVAL);
        }
        kinds::check_word(&self.kind, &word)?;
        state.words.push(b',');
        state.words.extend(word);
        Ok(())
    }

    /// Makes the file system (`FSCONFIG_CMD_CREATE`), for nobody else if it is to be `alone`.
    ///
    /// # Errors
    /// `EBUSY` if that is not what comes next, or it is there already; what is wrong with the words.
    pub fn create(&self, alone: bool) -> Result<(), Errno> {
        let mut state = self.state.lock();
        if state.phase != Phase::Creation {
            return Err(Errno::EBUSY);
        }
        state.phase = Phase::Failed;
        let mut flags = state.flags;
        let made = kinds::super_block(&self.kind, &mut flags, state.words.get(1..).unwrap_or_default())?;
        if alone && made.file_system.type_name() != "tmpfs" {
            return Err(Errno::EBUSY);
        }
        state.super_block = Some(made);
        state.phase = Phase::Mounting;
        Ok(())
    }

    /// Lets what was said take effect (`FSCONFIG_CMD_RECONFIGURE`).
    ///
    /// # Errors
    /// `EBUSY` if that is not what comes next, or files are open for writing; `EINVAL`.
    pub fn change(&self) -> Result<(), Errno> {
        let mut state = self.state.lock();
        let super_block = state.super_block.clone().filter(|_| state.phase == Phase::Change);
        let super_block = super_block.ok_or(Errno::EBUSY)?;
        state.phase = Phase::Failed;
        let mut flags = (super_block.flags() - state.named) | state.flags;
        let _changes = changes();
        change_super_block(&super_block, &mut flags, state.words.get(1..).unwrap_or_default())?;
        super::note_change();
        state.phase = Phase::Change;
        state.words.clear();
        Ok(())
    }

    /// A mount of the file system, nowhere yet (`fsmount(2)`).
    ///
    /// # Errors
    /// `EINVAL` as long as it was not made, `EBUSY` if it was mounted.
    pub fn mount(&self, options: MountOptions) -> Result<Arc<OpenFile>, Errno> {
        let mut state = self.state.lock();
        let super_block = state.super_block.clone().ok_or(Errno::EINVAL)?;
        if state.phase != Phase::Mounting {
            return Err(Errno::EBUSY);
        }
        state.phase = Phase::Change;
        state.words.clear();
        (state.flags, state.named) = (MountFlags::empty(), MountFlags::empty());
        let source = state.source.take().unwrap_or_else(|| "none".into());
        let top = super_block.top.clone();
        Ok(open_apart(Mount::new(source, super_block, top, options)))
    }
}

/// The top of a mount that is nowhere yet, as what keeps it.
fn open_apart(mount: Arc<Mount>) -> Arc<OpenFile> {
    mount.apart.store(true, Ordering::SeqCst);
    OpenFile::path_only(mount.root(), OpenFlags::PATH)
}

/// A further mount of what is seen at a file, nowhere yet (`OPEN_TREE_CLONE`).
///
/// # Errors
/// `EINVAL` for what must not be bound.
pub fn clone_tree(from: &Arc<dyn Inode>, recursive: bool) -> Result<Arc<OpenFile>, Errno> {
    let _changes = changes();
    let mount = from.mount().filter(is_known).ok_or(Errno::EINVAL)?;
    if mount.is_unbindable() {
        return Err(Errno::EINVAL);
    }
    if recursive && with_inner(&mount).len() > 1 {
        crate::warning_once!("open_tree with AT_RECURSIVE answers EINVAL where other mounts are inside");
        return Err(Errno::EINVAL);
    }
    Ok(open_apart(copy(&mount, inner(from))))
}

/// Puts a mount that is nowhere yet on a file (`move_mount(2)`). `None` if it is somewhere.
pub fn attach_apart(from: &dyn Inode, point: &Arc<dyn Inode>) -> Option<Result<(), Errno>> {
    let mount = from.mount().filter(|mount| mount.apart.load(Ordering::SeqCst))?;
    if !mount.is_top(from) || point.mount().filter(is_known).is_none() {
        return Some(Err(Errno::EINVAL));
    }
    let is_directory = |inode: &dyn Inode| inode.kind() == FileKind::Directory;
    if is_directory(&**point) != is_directory(from) {
        return Some(Err(Errno::EINVAL));
    }
    let _changes = changes();
    if !mount.apart.swap(false, Ordering::SeqCst) {
        return None;
    }
    let result = attach(mount.clone(), point.clone());
    Some(result.inspect_err(|_| mount.apart.store(true, Ordering::SeqCst)))
}

/// Sets options of a mount, known or nowhere yet, and takes others away (`mount_setattr(2)`); with those inside if
/// `recursive`. All of them change or none.
///
/// # Errors
/// `EINVAL` for what is no mount's top, `EBUSY` if one is to be read-only whose files are open for writing.
pub fn set_options(top: &dyn Inode, set: MountOptions, clear: MountOptions, recursive: bool) -> Result<(), Errno> {
    let _changes = changes();
    let mount = top.mount().filter(|mount| mount.is_top(top)).ok_or(Errno::EINVAL)?;
    if !mount.apart.load(Ordering::SeqCst) && !is_known(&mount) {
        return Err(Errno::EINVAL);
    }
    let mounts = match recursive {
        true => with_inner(&mount),
        false => Vec::from([mount]),
    };
    let before: Vec<MountOptions> = mounts.iter().map(|mount| mount.own_options()).collect();
    for (mount, before) in mounts.iter().zip(&before) {
        mount.set_options((*before - clear) | set);
    }
    let writes = |mount: &Arc<Mount>| mount.writers.load(Ordering::SeqCst) != 0;
    if set.contains(MountOptions::READ_ONLY) && mounts.iter().any(writes) {
        for (mount, before) in mounts.iter().zip(&before) {
            mount.set_options(*before);
        }
        return Err(Errno::EBUSY);
    }
    super::note_change();
    Ok(())
}
