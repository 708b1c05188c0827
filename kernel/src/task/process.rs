//! A process: what its threads share.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use core::sync::atomic::{AtomicU64, Ordering};

use spin::{Mutex, Once};

use pith_linux::signal::SignalInformation;

use super::alarm::Alarm;
use super::signal::SignalActions;
use crate::memory::AddressSpace;

/// What floors above this one keep per process (open files, working directory).
pub trait Resources: Any + Send + Sync {
    /// The process is about to run another program (`execve`): close what was marked so.
    fn before_exec(&self);
}

/// The program that a process runs, for `/proc`.
#[derive(Clone, Debug, Default)]
pub struct ProgramIdentity {
    /// Guest path of the executable, resolved.
    pub path: Vec<u8>,
    /// Where the argument strings lie in the program's memory: first address and address behind the last.
    pub arguments: (u64, u64),
    /// Where the environment strings lie.
    pub environment: (u64, u64),
    /// Where the auxiliary vector lies.
    pub auxiliary: (u64, u64),
    /// Initial stack pointer.
    pub stack: u64,
}

/// Resource limits, as `getrlimit(2)` knows them: (soft, hard) by resource number.
#[derive(Clone, Debug)]
pub struct Limits(pub [(u64, u64); 16]);

impl Limits {
    /// No limit.
    pub const INFINITY: u64 = u64::MAX;
    /// `RLIMIT_STACK`.
    pub const STACK: usize = 3;
    /// `RLIMIT_NOFILE`.
    pub const OPEN_FILES: usize = 7;
    /// `RLIMIT_DATA`.
    pub const DATA: usize = 2;
    /// `RLIMIT_AS`.
    pub const ADDRESS_SPACE: usize = 9;
    /// `RLIMIT_SIGPENDING`.
    pub const PENDING_SIGNALS: usize = 11;
    /// `RLIMIT_FSIZE`.
    pub const FILE_SIZE: usize = 1;
}

impl Default for Limits {
    fn default() -> Self {
        let mut limits = [(Self::INFINITY, Self::INFINITY); 16];
        limits[Self::STACK].0 = 8 << 20;
        limits[4] = (0, Self::INFINITY); // core dumps
        limits[Self::OPEN_FILES] = (1024, 1_048_576);
        limits[8] = (8 << 20, 8 << 20); // locked memory
        limits[12] = (819_200, 819_200); // bytes in message queues
        limits[13] = (0, 0); // nice
        limits[14] = (0, 0); // real-time priority
        Self(limits)
    }
}

/// User and group numbers, as `credentials(7)` knows them, and the place among processes.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// Real, effective and saved user.
    pub users: [u32; 3],
    /// Real, effective and saved group.
    pub groups: [u32; 3],
    /// Supplementary groups.
    pub supplementary: Vec<u32>,
}

impl Default for Credentials {
    /// Root: nobody else is on the machine.
    fn default() -> Self {
        Self {
            users: [0; 3],
            groups: [0; 3],
            supplementary: Vec::new(),
        }
    }
}

/// Why a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExitReason {
    /// It called `exit_group` with this status.
    Exited(u8),
    /// A signal killed it; the text says why.
    Signaled(u8, String),
}

/// What the machine does when its process has ended.
pub type ExitHook = fn(ExitReason) -> !;

static EXIT_HOOK: Once<ExitHook> = Once::new();

/// Names what happens when the first process ends.
pub fn on_exit(hook: ExitHook) {
    EXIT_HOOK.call_once(|| hook);
}

/// A process.
pub struct Process {
    /// Its number; the first is 1, as in a container.
    pub id: u32,
    address_space: Mutex<Arc<AddressSpace>>,
    /// What the floors above keep.
    pub resources: Arc<dyn Resources>,
    /// Signal handlers.
    pub actions: Mutex<SignalActions>,
    /// Signals that are pending for the process: bit n-1 is signal n. Set by interrupt handlers too.
    pub pending: AtomicU64,
    /// Signals that interrupt no wait, since nothing happens on their delivery; kept by the owner of `actions`.
    pub silent: AtomicU64,
    /// What is known about pending signals beyond their numbers, in the order in which they came.
    pub queued: Mutex<Vec<SignalInformation>>,
    /// When `SIGALRM` comes.
    pub alarm: Alarm,
    /// Who it is.
    pub credentials: Mutex<Credentials>,
    /// Its limits.
    pub limits: Mutex<Limits>,
    /// The program it runs.
    pub program: Mutex<ProgramIdentity>,
}

impl Process {
    /// The first process, with an address space that is still empty.
    pub fn first(address_space: Arc<AddressSpace>, resources: Arc<dyn Resources>) -> Arc<Self> {
        Arc::new(Self {
            id: 1,
            address_space: Mutex::new(address_space),
            resources,
            actions: Mutex::new(SignalActions::default()),
            pending: AtomicU64::new(0),
            silent: AtomicU64::new(SignalActions::default().silent()),
            queued: Mutex::new(Vec::new()),
            alarm: Alarm::default(),
            credentials: Mutex::new(Credentials::default()),
            limits: Mutex::new(Limits::default()),
            program: Mutex::new(ProgramIdentity::default()),
        })
    }

    /// Its address space.
    pub fn address_space(&self) -> Arc<AddressSpace> {
        self.address_space.lock().clone()
    }

    /// Replaces the address space (`execve`) and makes it the processor's. The old one goes when its last
    /// user lets go of it.
    pub fn replace_address_space(&self, new: Arc<AddressSpace>) {
        new.activate();
        let old = core::mem::replace(&mut *self.address_space.lock(), new);
        drop(old);
    }

    /// Makes a signal pending for the process. May be called by interrupt handlers.
    pub fn post_signal(&self, signal: u8) {
        self.pending.fetch_or(1 << (signal - 1), Ordering::AcqRel);
    }

    /// A soft limit.
    pub fn limit(&self, resource: usize) -> u64 {
        self.limits.lock().0[resource].0
    }

    /// Ends the process, and with the first one the machine.
    pub fn exit(&self, reason: ExitReason) -> ! {
        match EXIT_HOOK.get() {
            Some(hook) => hook(reason),
            None => panic!("the process ended before the machine was ready: {reason:?}"),
        }
    }
}
