//! What a monitor may say on the kernel command line.
//!
//! Words are separated by spaces. A value that may hold any byte is percent-encoded (RFC 3986: every byte
//! outside `A–Z a–z 0–9 - . _ ~ / : , + @ =` becomes `%XX`). Words that the kernel does not know are left
//! to others: QEMU adds `virtio_mmio.device=SIZE@ADDRESS:IRQ` by itself.

/// `pith.channel=virtio` or `pith.channel=serial`: speak [`crate::channel`] there. Without it the guest
/// writes plain text to the first serial port.
pub const CHANNEL: &str = "pith.channel";

/// `pith.terminal=0,1,2`: which of the program's standard streams are terminals on the host.
pub const TERMINAL: &str = "pith.terminal";

/// `pith.window=ROWSxCOLUMNS`: size of that terminal.
pub const WINDOW: &str = "pith.window";

/// `pith.input=none`: standard input is at its end from the start (`/dev/null`); the host sends nothing.
pub const INPUT: &str = "pith.input";

/// `pith.trace=1`: print every system call. Needs `overridable.diagnostics`.
pub const TRACE: &str = "pith.trace";

/// `pith.log=error|warn|info|debug|trace`. Needs `overridable.diagnostics`.
pub const LOG: &str = "pith.log";

/// `pith.argument=TEXT`, repeated: replaces the arguments after `argv[0]`. Needs `overridable.arguments`.
pub const ARGUMENT: &str = "pith.argument";

/// `pith.environment=NAME=VALUE`, repeated. Needs `overridable.environment`.
pub const ENVIRONMENT: &str = "pith.environment";

/// `pith.working_directory=PATH`. Needs `overridable.working_directory`.
pub const WORKING_DIRECTORY: &str = "pith.working_directory";

/// `pith.user=USER:GROUP:GROUPS:HOME`: in whose name the program runs, in numbers; supplementary groups with commas between;
/// and the home directory, which the variable `HOME` tells unless `pith.environment` sets that. Needs `overridable.user`.
pub const USER: &str = "pith.user";

/// `pith.time=NANOSECONDS`: the wall clock at the machine's start, since 1970 (UTC). Without it the
/// real-time clock is read, which is exact to a second.
pub const TIME: &str = "pith.time";

/// `pith.processors=NUMBER`: how many processors the machine has, where neither ACPI nor an MP table tells.
pub const PROCESSORS: &str = "pith.processors";

/// `pith.network=SETTINGS`, once for each network card: what it is set to, in the notation of
/// `libs/network_settings`, such as `mac=52:54:00:12:34:56,ip=10.0.0.2/24,gateway=10.0.0.1`. For a card
/// whose settings are in the image, it needs `overridable.network`; without it only `mac=` counts.
pub const NETWORK: &str = "pith.network";

/// `pith.storage=SETTINGS`, repeated: a file system in memory and how much it may hold, in the notation of
/// `libs/storage_settings`, such as `/tmp:size=64m`. Needs `overridable.storage`.
pub const STORAGE: &str = "pith.storage";
