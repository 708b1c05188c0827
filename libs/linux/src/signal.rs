//! Signals: numbers, actions, `siginfo_t`, and the frame that a handler finds on its stack.
//!
//! Source: `signal(7)`, `sigaction(2)`, `sigaltstack(2)`; layouts of Linux's `uapi/asm/sigcontext.h`,
//! `uapi/asm/ucontext.h` and `uapi/asm-generic/siginfo.h` for x86-64.

use bitflags::bitflags;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

/// A signal number, 1–64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

/// What happens on delivery where the program has set nothing else, see `signal(7)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultAction {
    /// The process ends.
    Terminate,
    /// The process ends; Linux would write a core dump.
    Core,
    /// Nothing.
    Ignore,
    /// The process stops until `SIGCONT`.
    Stop,
    /// A stopped process goes on; otherwise nothing.
    Continue,
}

macro_rules! signals {
    ($($(#[$meta:meta])* $name:ident = $number:literal, $action:ident;)*) => {
        impl Signal {
            $($(#[$meta])* pub const $name: Self = Self($number);)*

            /// The symbolic name, such as `SIGINT`, of a signal that is not a real-time signal.
            pub const fn standard_name(self) -> Option<&'static str> {
                match self.0 { $($number => Some(stringify!($name)),)* _ => None }
            }

            /// What it does by default.
            pub const fn default_action(self) -> DefaultAction {
                match self.0 { $($number => DefaultAction::$action,)* _ => DefaultAction::Terminate }
            }
        }
    };
}

signals! {
    /// The terminal was closed.
    SIGHUP = 1, Terminate;
    /// Ctrl-C.
    SIGINT = 2, Terminate;
    /// Ctrl-\.
    SIGQUIT = 3, Core;
    /// An instruction that does not exist.
    SIGILL = 4, Core;
    /// A breakpoint or a single step.
    SIGTRAP = 5, Core;
    /// `abort(3)`.
    SIGABRT = 6, Core;
    /// Memory that is mapped but has nothing behind it.
    SIGBUS = 7, Core;
    /// An arithmetic error.
    SIGFPE = 8, Core;
    /// The end, without appeal.
    SIGKILL = 9, Terminate;
    /// For the program's own use.
    SIGUSR1 = 10, Terminate;
    /// Memory that is not mapped, or not for this access.
    SIGSEGV = 11, Core;
    /// For the program's own use.
    SIGUSR2 = 12, Terminate;
    /// Output to a pipe that nobody reads.
    SIGPIPE = 13, Terminate;
    /// A timer of `alarm(2)`.
    SIGALRM = 14, Terminate;
    /// A request to end.
    SIGTERM = 15, Terminate;
    /// Not used.
    SIGSTKFLT = 16, Terminate;
    /// A child ended or stopped.
    SIGCHLD = 17, Ignore;
    /// Go on.
    SIGCONT = 18, Continue;
    /// Stop, without appeal.
    SIGSTOP = 19, Stop;
    /// Ctrl-Z.
    SIGTSTP = 20, Stop;
    /// Input from the terminal in the background.
    SIGTTIN = 21, Stop;
    /// Output to the terminal in the background.
    SIGTTOU = 22, Stop;
    /// Urgent data on a socket.
    SIGURG = 23, Ignore;
    /// The limit of processor time.
    SIGXCPU = 24, Core;
    /// The limit of file size.
    SIGXFSZ = 25, Core;
    /// A timer of the process's own time.
    SIGVTALRM = 26, Terminate;
    /// A timer for profiling.
    SIGPROF = 27, Terminate;
    /// The terminal's size has changed.
    SIGWINCH = 28, Ignore;
    /// A descriptor is ready.
    SIGIO = 29, Terminate;
    /// The power fails.
    SIGPWR = 30, Terminate;
    /// A bad system call.
    SIGSYS = 31, Core;
}

impl Signal {
    /// The largest number.
    pub const MAXIMUM: u8 = 64;
    /// The first real-time signal; these queue, the others are pending once at most.
    pub const FIRST_REAL_TIME: u8 = 32;

    /// The signal with this number, if there is one.
    pub const fn from_number(number: u64) -> Option<Self> {
        if number >= 1 && number <= Self::MAXIMUM as u64 {
            Some(Self(number as u8))
        } else {
            None
        }
    }

    /// The number.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Whether its codes mean something of its own, so that those of files that are ready would be taken for that.
    pub fn has_own_codes(self) -> bool {
        self.bit() & (SYNCHRONOUS | Self::SIGCHLD.bit()) != 0
    }

    /// Whether it is a real-time signal.
    pub const fn is_real_time(self) -> bool {
        self.0 >= Self::FIRST_REAL_TIME
    }

    /// The set with only this signal in it.
    pub const fn bit(self) -> u64 {
        1 << (self.0 - 1)
    }
}

impl core::fmt::Display for Signal {
    /// `SIGINT`, or `SIGRT_7` as strace writes real-time signals.
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.standard_name() {
            Some(name) => formatter.write_str(name),
            None => write!(formatter, "SIGRT_{}", self.0 - Self::FIRST_REAL_TIME),
        }
    }
}

/// `SIGKILL` and `SIGSTOP`, which can be neither blocked nor handled.
pub const UNBLOCKABLE: u64 = Signal::SIGKILL.bit() | Signal::SIGSTOP.bit();

/// Signals that an instruction of the program itself causes; they are delivered before others.
pub const SYNCHRONOUS: u64 = Signal::SIGSEGV.bit()
    | Signal::SIGBUS.bit()
    | Signal::SIGILL.bit()
    | Signal::SIGTRAP.bit()
    | Signal::SIGFPE.bit()
    | Signal::SIGSYS.bit();

/// Bytes of a signal set in the kernel's interface.
pub const SET_SIZE: usize = 8;

/// Handler value: do what is done by default.
pub const SIG_DFL: u64 = 0;
/// Handler value: ignore the signal.
pub const SIG_IGN: u64 = 1;

bitflags! {
    /// `sa_flags` of `sigaction(2)`.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct ActionFlags: u64 {
        /// No `SIGCHLD` when a child stops.
        const NOCLDSTOP = 1;
        /// Children leave no zombies.
        const NOCLDWAIT = 2;
        /// The handler takes three arguments.
        const SIGINFO = 4;
        /// Addresses in `siginfo_t` may have tag bits.
        const EXPOSE_TAGBITS = 0x800;
        /// `sa_restorer` is valid; required on x86-64.
        const RESTORER = 0x0400_0000;
        /// Run on the alternate stack.
        const ONSTACK = 0x0800_0000;
        /// Restart interrupted system calls.
        const RESTART = 0x1000_0000;
        /// Don't block the signal while its handler runs.
        const NODEFER = 0x4000_0000;
        /// Back to the default action when the handler is entered.
        const RESETHAND = 0x8000_0000;
    }
}

/// `struct sigaction` of the kernel's interface.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SignalAction {
    /// [`SIG_DFL`], [`SIG_IGN`], or the address of the handler.
    pub handler: u64,
    /// [`ActionFlags`].
    pub flags: u64,
    /// Where the handler returns to.
    pub restorer: u64,
    /// Signals blocked while the handler runs.
    pub mask: u64,
}

/// `si_code`: how a signal came about, see `sigaction(2)`.
pub mod code {
    /// `kill(2)`.
    pub const SI_USER: i32 = 0;
    /// The kernel, without more to say.
    pub const SI_KERNEL: i32 = 0x80;
    /// `sigqueue(3)`.
    pub const SI_QUEUE: i32 = -1;
    /// A timer of `timer_create(2)`.
    pub const SI_TIMER: i32 = -2;
    /// A message queue that is no longer empty, `mq_notify(3)`.
    pub const SI_MESGQ: i32 = -3;
    /// A file is ready, where the reason can't be told by the code (`F_SETSIG` of `fcntl(2)`).
    pub const SI_SIGIO: i32 = -5;
    /// `tkill(2)` or `tgkill(2)`.
    pub const SI_TKILL: i32 = -6;
    /// `SIGILL`: illegal operand, which is what every invalid instruction is reported as.
    pub const ILL_ILLOPN: i32 = 2;
    /// `SIGFPE`: integer division by zero.
    pub const FPE_INTDIV: i32 = 1;
    /// `SIGFPE`: floating-point division by zero.
    pub const FPE_FLTDIV: i32 = 3;
    /// `SIGFPE`: floating-point overflow.
    pub const FPE_FLTOVF: i32 = 4;
    /// `SIGFPE`: floating-point underflow.
    pub const FPE_FLTUND: i32 = 5;
    /// `SIGFPE`: inexact result.
    pub const FPE_FLTRES: i32 = 6;
    /// `SIGFPE`: invalid operation.
    pub const FPE_FLTINV: i32 = 7;
    /// `SIGSEGV`: not mapped.
    pub const SEGV_MAPERR: i32 = 1;
    /// `SIGSEGV`: mapped, but not for this access.
    pub const SEGV_ACCERR: i32 = 2;
    /// `SIGBUS`: misaligned address.
    pub const BUS_ADRALN: i32 = 1;
    /// `SIGBUS`: nothing behind the mapping.
    pub const BUS_ADRERR: i32 = 2;
    /// The content of memory was lost, and the program needs it.
    pub const BUS_MCEERR_AR: i32 = 4;
    /// `SIGSYS`: a filter of system calls does not allow the call.
    pub const SYS_SECCOMP: i32 = 1;
    /// `SIGSYS`: the program handles the call itself.
    pub const SYS_USER_DISPATCH: i32 = 2;
    /// `SIGTRAP`: single step.
    pub const TRAP_TRACE: i32 = 2;
    /// `SIGTRAP`: a debug register matched.
    pub const TRAP_HWBKPT: i32 = 4;
}

/// `siginfo_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SignalInformation {
    /// Signal number.
    pub signal: i32,
    /// An errno; almost always 0.
    pub errno: i32,
    /// How it came about, see [`code`].
    pub code: i32,
    /// Aligns what follows.
    pub reserved: i32,
    /// Depends on the signal and the code.
    pub fields: [u8; 112],
}

impl SignalInformation {
    /// Information without details.
    pub fn new(signal: Signal, code: i32) -> Self {
        Self {
            signal: i32::from(signal.number()),
            errno: 0,
            code,
            reserved: 0,
            fields: [0; 112],
        }
    }

    /// A fault at an address (`si_addr`).
    pub fn fault(signal: Signal, code: i32, address: u64) -> Self {
        let mut information = Self::new(signal, code);
        information.fields[..8].copy_from_slice(&address.to_le_bytes());
        information
    }

    /// Memory has lost its content (`BUS_MCEERR_AR`): one page of 4 KiB (`si_addr_lsb`).
    pub fn lost_memory(signal: Signal, address: u64) -> Self {
        let mut information = Self::fault(signal, code::BUS_MCEERR_AR, address);
        information.fields[8] = 12;
        information
    }

    /// About a system call that was not made (`si_call_addr`, `si_syscall`, `si_arch`).
    pub fn system_call(code: i32, instruction: u64, number: i32, architecture: u32) -> Self {
        let mut information = Self::fault(Signal::SIGSYS, code, instruction);
        information.fields[8..12].copy_from_slice(&number.to_le_bytes());
        information.fields[12..16].copy_from_slice(&architecture.to_le_bytes());
        information
    }

    /// Sent by a process (`si_pid`, `si_uid`).
    pub fn sent(signal: Signal, code: i32, process: u32, user: u32) -> Self {
        let mut information = Self::new(signal, code);
        information.fields[..4].copy_from_slice(&process.to_le_bytes());
        information.fields[4..8].copy_from_slice(&user.to_le_bytes());
        information
    }
}

impl SignalInformation {
    fn word(&self, offset: usize) -> u32 {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(&self.fields[offset..offset + 4]);
        u32::from_le_bytes(bytes)
    }

    fn long(&self, offset: usize) -> u64 {
        u64::from(self.word(offset + 4)) << 32 | u64::from(self.word(offset))
    }

    /// `si_addr`, of a fault.
    pub fn address(&self) -> u64 {
        self.long(0)
    }

    /// Sent by a timer (`si_timerid`, `si_value`).
    pub fn of_timer(signal: Signal, code: i32, timer: i32, value: u64) -> Self {
        let mut information = Self::new(signal, code);
        information.fields[..4].copy_from_slice(&timer.to_le_bytes());
        information.fields[8..16].copy_from_slice(&value.to_le_bytes());
        // `si_sys_private`, which a program never sees.
        information.fields[16] = 1;
        information
    }

    /// Whether a timer has sent it, and not a program that says so.
    pub fn is_of_timer(&self) -> bool {
        self.code == code::SI_TIMER && self.fields[16] == 1
    }

    /// The same; it is forgotten.
    pub fn take_of_timer(&mut self) -> bool {
        let is_of_timer = self.is_of_timer();
        if is_of_timer {
            self.fields[16] = 0;
        }
        is_of_timer
    }

    /// Sets `si_band` and `si_fd`, of a signal that tells that a file is ready.
    pub fn set_band(&mut self, band: u64, descriptor: i32) {
        self.fields[..8].copy_from_slice(&band.to_le_bytes());
        self.fields[8..12].copy_from_slice(&descriptor.to_le_bytes());
    }

    /// `si_timerid`, of a timer's signal.
    pub fn timer(&self) -> i32 {
        self.word(0) as i32
    }

    /// Sets `si_overrun`, of a timer's signal.
    pub fn set_overrun(&mut self, overrun: i32) {
        self.fields[4..8].copy_from_slice(&overrun.to_le_bytes());
    }

    /// `si_value`, of a signal that was queued or sent by a timer.
    pub fn value(&self) -> u64 {
        self.long(8)
    }

    /// `si_pid` and `si_uid`, of a signal that was sent.
    pub fn sender(&self) -> (u32, u32) {
        (self.word(0), self.word(4))
    }
}

/// `struct signalfd_siginfo`: what `signalfd(2)` gives for a signal.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
#[allow(missing_docs, reason = "the fields are those of siginfo_t")]
pub struct SignalFileRecord {
    pub signal: u32,
    pub errno: i32,
    pub code: i32,
    pub process: u32,
    pub user: u32,
    pub descriptor: i32,
    pub timer: u32,
    pub band: u32,
    pub overrun: u32,
    pub trap: u32,
    pub status: i32,
    pub integer: i32,
    pub pointer: u64,
    pub user_time: u64,
    pub system_time: u64,
    pub address: u64,
    pub address_bits: u16,
    pub padding: u16,
    pub system_call: i32,
    pub call_address: u64,
    pub architecture: u32,
    pub reserved: [u8; 28],
}

impl From<&SignalInformation> for SignalFileRecord {
    fn from(information: &SignalInformation) -> Self {
        let mut record = Self {
            signal: information.signal as u32,
            errno: information.errno,
            code: information.code,
            ..Self::default()
        };
        let is_fault = Signal::from_number(information.signal as u64)
            .is_some_and(|signal| signal.bit() & SYNCHRONOUS != 0 && information.code > 0);
        // `CLD_EXITED` to `CLD_CONTINUED`
        let tells_of_child = information.signal == i32::from(Signal::SIGCHLD.number())
            && (1..=6).contains(&information.code);
        let tells_of_file = match information.code {
            code::SI_SIGIO => true,
            1..=6 => Signal::from_number(information.signal as u64)
                .is_some_and(|signal| !signal.has_own_codes()),
            _ => false,
        };
        match information.code {
            _ if tells_of_file => {
                record.band = information.word(0);
                record.descriptor = information.word(8) as i32;
            }
            code::SI_TIMER => {
                record.timer = information.word(0);
                record.overrun = information.word(4);
                record.pointer = information.value();
                record.integer = information.value() as i32;
            }
            _ if tells_of_child => {
                (record.process, record.user) = information.sender();
                record.status = information.word(8) as i32;
                record.user_time = information.long(16);
                record.system_time = information.long(24);
            }
            _ if is_fault => record.address = information.address(),
            code::SI_KERNEL => {}
            _ => {
                (record.process, record.user) = information.sender();
                if information.code < 0 {
                    record.pointer = information.value();
                    record.integer = information.value() as i32;
                }
            }
        }
        record
    }
}

bitflags! {
    /// `ss_flags` of `sigaltstack(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct StackFlags: u32 {
        /// The program runs on the stack now.
        const ONSTACK = 1;
        /// There is no alternate stack.
        const DISABLE = 2;
        /// Forget the stack when a handler is entered on it.
        const AUTODISARM = 1 << 31;
    }
}

/// `stack_t`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct SignalStack {
    /// Lowest address.
    pub base: u64,
    /// [`StackFlags`].
    pub flags: u32,
    /// Aligns what follows.
    pub reserved: u32,
    /// Bytes.
    pub size: u64,
}

/// Smallest alternate stack that is accepted, in bytes (`MINSIGSTKSZ`).
pub const MINIMUM_STACK_SIZE: u64 = 2048;

/// `struct sigcontext`: the registers that the handler may look at and change.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
#[allow(
    missing_docs,
    reason = "most fields are the processor's register names"
)]
pub struct MachineContext {
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub rdx: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rsp: u64,
    pub rip: u64,
    pub rflags: u64,
    pub cs: u16,
    pub gs: u16,
    pub fs: u16,
    pub ss: u16,
    /// Error code of the last exception.
    pub error_code: u64,
    /// Vector of the last exception.
    pub vector: u64,
    /// The blocked signals again.
    pub old_mask: u64,
    /// Address of the last page fault.
    pub cr2: u64,
    /// Address of the vector state, 0 for none.
    pub vector_state: u64,
    /// 0.
    pub reserved: [u64; 8],
}

/// `ucontext_t` as the kernel writes it (the C library's has a longer signal set).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct UserContext {
    /// [`ContextFlags`].
    pub flags: u64,
    /// 0.
    pub link: u64,
    /// The alternate stack in force.
    pub stack: SignalStack,
    /// The registers.
    pub machine: MachineContext,
    /// The blocked signals, to be put back by `rt_sigreturn`.
    pub mask: u64,
}

bitflags! {
    /// `uc_flags`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct ContextFlags: u64 {
        /// The vector state is in XSAVE's layout.
        const FP_XSTATE = 1;
        /// The context has the stack segment.
        const SIGCONTEXT_SS = 2;
        /// The stack segment is to be restored as it stands.
        const STRICT_RESTORE_SS = 4;
    }
}

/// `struct rt_sigframe`: what lies at a handler's stack pointer. The vector state lies above it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct SignalFrame {
    /// Return address: `sa_restorer`.
    pub restorer: u64,
    /// What `rt_sigreturn` restores.
    pub context: UserContext,
    /// What the handler is told.
    pub information: SignalInformation,
}

/// `struct _fpx_sw_bytes`: says, in bytes 464–511 of the vector state, how long it is.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct VectorStateSize {
    /// [`VectorStateSize::MAGIC`].
    pub magic: u32,
    /// Bytes of the whole state with the magic number behind it.
    pub extended_size: u32,
    /// XSAVE features that the state holds.
    pub features: u64,
    /// Bytes that XSAVE stored.
    pub state_size: u32,
    /// 0.
    pub reserved: [u32; 7],
}

impl VectorStateSize {
    /// Where it lies in the vector state.
    pub const OFFSET: usize = 464;
    /// `FP_XSTATE_MAGIC1`.
    pub const MAGIC: u32 = 0x4650_5853;
    /// `FP_XSTATE_MAGIC2`, in the four bytes behind the state.
    pub const END_MAGIC: u32 = 0x4650_5845;
}

impl Default for SignalInformation {
    fn default() -> Self {
        Self::new_zeroed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{offset_of, size_of};

    #[test]
    fn what_became_of_a_child_is_told_by_a_descriptor() {
        let mut information = SignalInformation::sent(Signal::SIGCHLD, 5, 42, 1000);
        information.fields[8..12].copy_from_slice(&19u32.to_le_bytes());
        information.fields[16..24].copy_from_slice(&3u64.to_le_bytes());
        information.fields[24..32].copy_from_slice(&4u64.to_le_bytes());
        let record = SignalFileRecord::from(&information);
        assert_eq!((record.process, record.user, record.status), (42, 1000, 19));
        assert_eq!((record.user_time, record.system_time), (3, 4));
    }

    // The numbers are those of the C structures on x86-64 (`offsetof` with Linux's headers).
    #[test]
    fn layouts_are_those_of_linux() {
        assert_eq!(size_of::<SignalAction>(), 32);
        assert_eq!(size_of::<SignalInformation>(), 128);
        assert_eq!(offset_of!(SignalInformation, fields), 16);
        assert_eq!(size_of::<SignalStack>(), 24);
        assert_eq!(size_of::<MachineContext>(), 256);
        assert_eq!(offset_of!(MachineContext, rip), 128);
        assert_eq!(offset_of!(MachineContext, cs), 144);
        assert_eq!(offset_of!(MachineContext, error_code), 152);
        assert_eq!(offset_of!(MachineContext, cr2), 176);
        assert_eq!(offset_of!(MachineContext, vector_state), 184);
        assert_eq!(offset_of!(UserContext, machine), 40);
        assert_eq!(offset_of!(UserContext, mask), 296);
        assert_eq!(size_of::<SignalFrame>(), 440);
        assert_eq!(size_of::<VectorStateSize>(), 48);
        assert_eq!(VectorStateSize::OFFSET + size_of::<VectorStateSize>(), 512);
    }

    #[test]
    fn details_are_found_where_they_were_put() {
        let fault = SignalInformation::fault(Signal::SIGSEGV, code::SEGV_MAPERR, 0x7fff_1234_5678);
        assert_eq!(fault.address(), 0x7fff_1234_5678);
        let sent = SignalInformation::sent(Signal::SIGTERM, code::SI_USER, 7, 1000);
        assert_eq!((sent.signal, sent.sender()), (15, (7, 1000)));
    }

    #[test]
    fn names_and_numbers_belong_together() {
        assert_eq!(Signal::SIGKILL.number(), 9);
        assert_eq!(Signal::from_number(11), Some(Signal::SIGSEGV));
        assert_eq!(Signal::from_number(0), None);
        assert_eq!(Signal::from_number(65), None);
        assert_eq!(
            alloc::format!("{} {}", Signal::SIGCHLD, Signal(34)),
            "SIGCHLD SIGRT_2"
        );
        assert_eq!(Signal(64).bit(), 1 << 63);
        assert_eq!(Signal(40).default_action(), DefaultAction::Terminate);
        assert_eq!(UNBLOCKABLE, 0x4_0100);
    }
}
