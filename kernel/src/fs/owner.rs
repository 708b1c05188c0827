//! Signals that tell that a file is ready: `O_ASYNC`, `F_SETOWN` and `F_SETSIG` of `fcntl(2)`, `SIGURG` of `socket(7)`.
//!
//! An open file that has an owner keeps a [`Notifier`]. It is registered at the file's wait queue like any other waiter, and
//! sends the signal when it is told of an event: at once, under the queue's lock, perhaps in an interrupt handler.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, Ordering};

use pith_linux::Errno;
use pith_linux::files::PollEvents;
use pith_linux::signal::{Signal, SignalInformation, code};
use spin::Mutex;

use super::directory_signals::DirectoryWatch;
use super::file::File;
use crate::sync::InterruptMutex;
use crate::task::jobs::{self, Target};
use crate::task::{self, Wakeable};

/// Which events such files signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notices {
    /// End of a pipe: what it is open for.
    Pipe {
        /// Data, or the end of it.
        reads: bool,
        /// Room, or that nobody reads any more.
        writes: bool,
    },
    /// Input, and room for output after there was none.
    Line,
    /// The same, errors, hanging up and urgent data.
    Socket,
}

/// Why a signal is sent: `POLL_IN` and its like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Input = 1,
    Output = 2,
    Message = 3,
    Error = 4,
    Urgent = 5,
    HangUp = 6,
}

impl Reason {
    /// `si_band`
    fn band(self) -> u64 {
        match self {
            Self::Input => 0x41,
            Self::Output => 0x304,
            Self::Message => 0x441,
            Self::Error => 0x8,
            Self::Urgent => 0x82,
            Self::HangUp => 0x18,
        }
    }
}

/// Who is told.
#[derive(Clone, Copy, Debug)]
struct Owner {
    /// Its number is 0 if it is nobody, named as one of that kind.
    target: Option<Target>,
    /// Real and effective user of whoever named the owner.
    users: (u32, u32),
}

/// Sends signals for an open file.
pub struct Notifier {
    notices: Notices,
    owner: InterruptMutex<Owner>,
    /// The signal that was chosen (`F_SETSIG`); 0 for the usual one, which tells no more than that it came.
    signal: AtomicU8,
    /// The descriptor by which the file was told to send signals.
    descriptor: AtomicI32,
    /// Signals are wanted (`O_ASYNC`).
    enabled: AtomicBool,
    registered: AtomicBool,
    /// A writer found no room.
    lacks_room: AtomicBool,
    /// What happens in the directory is told (`F_NOTIFY`).
    pub(super) directory: Mutex<Option<Arc<DirectoryWatch>>>,
}

impl Notifier {
    /// One that has no owner yet.
    pub fn new(notices: Notices) -> Arc<Self> {
        let owner = Owner {
            target: None,
            users: (0, 0),
        };
        Arc::new(Self {
            notices,
            owner: InterruptMutex::new(owner),
            signal: AtomicU8::new(0),
            descriptor: AtomicI32::new(-1),
            enabled: AtomicBool::new(false),
            registered: AtomicBool::new(false),
            lacks_room: AtomicBool::new(false),
            directory: Mutex::new(None),
        })
    }

    /// The owner.
    pub fn owner(&self) -> Option<Target> {
        self.owner.lock().target.filter(|target| is_somebody(*target))
    }

    /// The owner as programs are told it: nobody of the same kind once there is no such process any more, or if it was named
    /// by the number of a thread that is not its first ([`of_current`]).
    pub fn told_owner(&self) -> Option<Target> {
        let target = self.owner.lock().target?;
        let known = match target {
            Target::Process(number) => task::find_process(number).is_some(),
            _ => jobs::exists(target),
        };
        Some(if known { target } else { nobody_like(target) })
    }

    /// Real and effective user of whoever named the owner (`F_GETOWNER_UIDS`).
    pub fn users(&self) -> (u32, u32) {
        self.owner.lock().users
    }

    /// Names the owner.
    pub fn set_owner(&self, target: Option<Target>) {
        let users = task::current().with_credentials(|own| (own.users[0], own.users[1]));
        let mut owner = self.owner.lock();
        owner.target = target;
        // As on Linux, who has named nobody is not told.
        if target.is_some_and(is_somebody) {
            owner.users = users;
        }
    }

    /// The signal that was chosen; 0 for none.
    pub fn signal(&self) -> u8 {
        self.signal.load(Ordering::Relaxed)
    }

    /// Chooses a signal.
    pub fn set_signal(&self, number: u8) {
        self.signal.store(number, Ordering::Relaxed);
    }

    /// Whether signals are sent is changed by a descriptor.
    ///
    /// # Errors
    /// `ENOMEM`
    pub fn enable(self: &Arc<Self>, file: &dyn File, on: bool, descriptor: i32) -> Result<(), Errno> {
        if on {
            self.register(file)?;
            self.descriptor.store(descriptor, Ordering::Relaxed);
        }
        self.enabled.store(on, Ordering::SeqCst);
        Ok(())
    }

    /// Hears of events from now on.
    ///
    /// # Errors
    /// `ENOMEM`
    pub fn register(self: &Arc<Self>, file: &dyn File) -> Result<(), Errno> {
        let Some(queue) = file.wait_queue() else { return Ok(()) };
        if !self.registered.swap(true, Ordering::SeqCst) {
            let who: Arc<dyn Wakeable> = self.clone();
            queue
                .register(&who, false)
                .inspect_err(|_| self.registered.store(false, Ordering::SeqCst))?;
        }
        Ok(())
    }

    /// The file is closed.
    pub fn end(self: &Arc<Self>, file: &dyn File) {
        if let Some(directory) = self.directory.lock().take() {
            directory.end();
        }
        if let Some(queue) = file.wait_queue()
            && self.registered.swap(false, Ordering::SeqCst)
        {
            let who: Arc<dyn Wakeable> = self.clone();
            queue.unregister(&who);
        }
    }

    /// A writer found no room: that there is some again is worth a signal.
    pub fn no_room(&self) {
        self.lacks_room.store(true, Ordering::SeqCst);
    }

    /// Whether whoever named the owner may send it signals.
    fn permits(&self, owner: &Owner, process: &task::Process) -> bool {
        if owner.users.1 == 0 {
            return true;
        }
        let [real, saved] = process.real_and_saved_users();
        [owner.users.0, owner.users.1]
            .iter()
            .any(|user| [real, saved].contains(user))
    }

    fn send(&self, signal: Signal, information: SignalInformation) -> Result<(), Errno> {
        let owner = *self.owner.lock();
        match owner.target.filter(|target| is_somebody(*target)) {
            Some(target) => jobs::send(target, signal, information, &|process| self.permits(&owner, process)),
            None => Ok(()),
        }
    }

    /// Sends the signal for a reason: the one that was chosen with all that is known, or the usual one.
    fn tell(&self, reason: Reason) {
        self.tell_by(reason, self.descriptor.load(Ordering::Relaxed));
    }

    /// A descriptor's directory that is watched, or lease, has something to say.
    pub fn tell_message(&self, descriptor: i32) {
        self.tell_by(Reason::Message, descriptor);
    }

    fn tell_by(&self, reason: Reason, descriptor: i32) {
        if let Some(chosen) = Signal::from_number(self.signal().into()) {
            let mut information = SignalInformation::new(chosen, reason as i32);
            // These have codes of their own, which the reason must not be taken for.
            if chosen.has_own_codes() {
                information.code = code::SI_SIGIO;
            }
            information.set_band(reason.band(), descriptor);
            if self.send(chosen, information).is_ok() {
                return;
            }
        }
        let information = SignalInformation::new(Signal::SIGIO, code::SI_KERNEL);
        // A standard signal is never refused.
        let _ = self.send(Signal::SIGIO, information);
    }

    /// Urgent data has come: the owner is told whether signals are wanted or not.
    fn tell_urgent(&self) {
        let _ = self.send(Signal::SIGURG, SignalInformation::new(Signal::SIGURG, code::SI_KERNEL));
        if self.enabled.load(Ordering::SeqCst) && self.signal() != 0 {
            self.tell(Reason::Urgent);
        }
    }

    fn tell_of_pipe(&self, events: PollEvents, reads: bool, writes: bool) {
        if reads && events.contains(PollEvents::IN) {
            self.tell(Reason::Input);
        }
        if writes && events.contains(PollEvents::OUT) {
            self.tell(Reason::Output);
        }
    }

    fn tell_of_line(&self, events: PollEvents) {
        if events.contains(PollEvents::IN) {
            self.tell(Reason::Input);
        }
        if events.contains(PollEvents::OUT) && self.lacks_room.swap(false, Ordering::SeqCst) {
            self.tell(Reason::Output);
        }
    }
}

impl Wakeable for Notifier {
    fn wake(&self, events: PollEvents) -> bool {
        // Not a single event, but a great change such as the end.
        let everything = events == PollEvents::all();
        if self.notices == Notices::Socket && !everything && events.contains(URGENT_HAS_COME) {
            self.tell_urgent();
        }
        if self.enabled.load(Ordering::SeqCst) {
            match self.notices {
                Notices::Pipe { reads, writes } => self.tell_of_pipe(events, reads, writes),
                Notices::Socket if everything || events.contains(PollEvents::HANG_UP) => self.tell(Reason::HangUp),
                Notices::Socket if events.contains(PollEvents::ERROR) => self.tell(Reason::Error),
                Notices::Line if everything => {}
                Notices::Line | Notices::Socket => self.tell_of_line(events),
            }
        }
        false // others have more use for it
    }
}

/// With this, sockets tell once that urgent data has come, which stays to be read. No reader sees it otherwise.
pub const URGENT_HAS_COME: PollEvents = PollEvents::READ_BAND;

/// The owner that the kernel itself names: the current process. As on Linux, that is by the number of the thread, so that nobody
/// is told once this has ended.
pub fn of_current() -> Target {
    Target::Process(task::current().id())
}

/// Whether an owner is anybody.
fn is_somebody(target: Target) -> bool {
    number_of(Some(target)) != 0
}

/// Nobody, named as an owner of the same kind.
fn nobody_like(target: Target) -> Target {
    match target {
        Target::Thread(_) => Target::Thread(0),
        Target::Process(_) => Target::Process(0),
        Target::Group(_) => Target::Group(0),
    }
}

/// The owner of a file as the numbers of `F_SETOWN` and its like name it.
///
/// # Errors
/// `ESRCH` if there is nobody of that number, `EINVAL`.
pub fn target_of(number: i32) -> Result<Option<Target>, Errno> {
    let target = match number {
        0 => return Ok(Some(Target::Process(0))),
        i32::MIN => return Err(Errno::EINVAL),
        _ if number < 0 => Target::Group(number.unsigned_abs()),
        _ => Target::Process(number as u32),
    };
    if jobs::exists(target) {
        Ok(Some(target))
    } else {
        Err(Errno::ESRCH)
    }
}

/// The same as a number.
pub fn number_of(target: Option<Target>) -> i32 {
    match target {
        None => 0,
        Some(Target::Group(number)) => -(number as i32),
        Some(Target::Process(number) | Target::Thread(number)) => number as i32,
    }
}

/// Kinds of owners in `struct f_owner_ex`.
const THREAD: i32 = 0;
const PROCESS: i32 = 1;
const GROUP: i32 = 2;

/// The owner that `struct f_owner_ex` names.
///
/// # Errors
/// `EINVAL` for an unknown kind, `ESRCH`.
pub fn target_of_kind([kind, number]: [i32; 2]) -> Result<Option<Target>, Errno> {
    let make = match kind {
        THREAD => Target::Thread,
        PROCESS => Target::Process,
        GROUP => Target::Group,
        _ => return Err(Errno::EINVAL),
    };
    match u32::try_from(number).map(make) {
        Ok(target) if number == 0 || jobs::exists(target) => Ok(Some(target)),
        _ => Err(Errno::ESRCH),
    }
}

/// The same as numbers.
pub fn kind_of(target: Option<Target>) -> [i32; 2] {
    match target {
        None => [THREAD, 0],
        Some(Target::Thread(number)) => [THREAD, number as i32],
        Some(Target::Process(number)) => [PROCESS, number as i32],
        Some(Target::Group(number)) => [GROUP, number as i32],
    }
}
