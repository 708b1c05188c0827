//! The settings of a terminal: flags, characters and speeds (`termios(3)`, `asm-generic/termbits.h`).

use pith_linux::files::Termios;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Flags of `c_iflag`.
pub mod input {
    /// Input parity and framing errors are marked, and 0xff is doubled.
    pub const PARMRK: u32 = 0o10;
    /// The eighth bit is taken away.
    pub const ISTRIP: u32 = 0o40;
    /// A newline becomes a carriage return.
    pub const INLCR: u32 = 0o100;
    /// Carriage returns are ignored.
    pub const IGNCR: u32 = 0o200;
    /// A carriage return becomes a newline.
    pub const ICRNL: u32 = 0o400;
    /// Capital letters become small ones.
    pub const IUCLC: u32 = 0o1000;
    /// Two characters stop and start output.
    pub const IXON: u32 = 0o2000;
    /// Any character starts it again.
    pub const IXANY: u32 = 0o4000;
    /// Erasing knows characters of UTF-8.
    pub const IUTF8: u32 = 0o40000;
}

/// Flags of `c_oflag`.
pub mod output {
    /// Output is changed at all.
    pub const OPOST: u32 = 0o1;
    /// Small letters become capital ones.
    pub const OLCUC: u32 = 0o2;
    /// A carriage return goes before a newline.
    pub const ONLCR: u32 = 0o4;
    /// A carriage return becomes a newline.
    pub const OCRNL: u32 = 0o10;
    /// No carriage return goes out in column 0.
    pub const ONOCR: u32 = 0o20;
    /// A newline also returns the carriage.
    pub const ONLRET: u32 = 0o40;
    /// What happens to tabs.
    pub const TABDLY: u32 = 0o14000;
    /// They become spaces.
    pub const XTABS: u32 = 0o14000;
}

/// Flags of `c_cflag`.
pub mod control {
    /// The bits of a character.
    pub const CSIZE: u32 = 0o60;
    /// Eight bits.
    pub const CS8: u32 = 0o60;
    /// Characters are received.
    pub const CREAD: u32 = 0o200;
    /// Parity.
    pub const PARENB: u32 = 0o400;
    /// The line is hung up when nobody has it open.
    pub const HUPCL: u32 = 0o2000;
    /// No modem is asked.
    pub const CLOCAL: u32 = 0o4000;
}

/// Flags of `c_lflag`.
pub mod local {
    /// Characters cause signals.
    pub const ISIG: u32 = 0o1;
    /// Input comes in lines, which can be edited.
    pub const ICANON: u32 = 0o2;
    /// Input is echoed.
    pub const ECHO: u32 = 0o10;
    /// An erased character vanishes from the screen.
    pub const ECHOE: u32 = 0o20;
    /// A newline follows an erased line.
    pub const ECHOK: u32 = 0o40;
    /// A newline is echoed whether others are or not.
    pub const ECHONL: u32 = 0o100;
    /// Signals flush nothing.
    pub const NOFLSH: u32 = 0o200;
    /// Output from the background causes a signal.
    pub const TOSTOP: u32 = 0o400;
    /// Control characters are echoed as `^X`.
    pub const ECHOCTL: u32 = 0o1000;
    /// Erased characters are printed, as on paper.
    pub const ECHOPRT: u32 = 0o2000;
    /// An erased line vanishes from the screen.
    pub const ECHOKE: u32 = 0o4000;
    /// More characters have a meaning.
    pub const IEXTEN: u32 = 0o100_000;
    /// The other side does the work.
    pub const EXTPROC: u32 = 0o200_000;
}

/// Places in `c_cc`.
pub mod character {
    /// `SIGINT`
    pub const INTR: usize = 0;
    /// `SIGQUIT`
    pub const QUIT: usize = 1;
    /// Takes a character back.
    pub const ERASE: usize = 2;
    /// Takes the line back.
    pub const KILL: usize = 3;
    /// Ends the input.
    pub const EOF: usize = 4;
    /// Tenths of a second that a read waits.
    pub const TIME: usize = 5;
    /// Bytes that a read waits for.
    pub const MIN: usize = 6;
    /// Starts output.
    pub const START: usize = 8;
    /// Stops output.
    pub const STOP: usize = 9;
    /// `SIGTSTP`
    pub const SUSP: usize = 10;
    /// Ends a line.
    pub const EOL: usize = 11;
    /// Prints the line again.
    pub const REPRINT: usize = 12;
    /// Takes a word back.
    pub const WERASE: usize = 14;
    /// Takes the next character's meaning away.
    pub const LNEXT: usize = 15;
    /// Ends a line as well.
    pub const EOL2: usize = 16;
}

/// Settings of a terminal together with its speeds in bits per second (`struct termios2`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct ExtendedTermios {
    /// The settings.
    pub settings: Termios,
    /// Speed of input.
    pub input_speed: u32,
    /// Speed of output.
    pub output_speed: u32,
}

// The calls' numbers contain this length.
const _: () = assert!(size_of::<ExtendedTermios>() == 0x2c && size_of::<Termios>() == 36);

/// Bits of `c_cflag` that name the speed of output (`CBAUD`).
const SPEED_BITS: u32 = 0o10017;
/// Those for input lie this far above them (`IBSHIFT`); 0 there means "as for output".
const INPUT_SPEED_SHIFT: u32 = 16;
/// "Not one of the names: see the number" (`BOTHER`). With further bits it is one of the higher speeds.
const OTHER_SPEED: u32 = 0o10000;

impl ExtendedTermios {
    /// What a terminal on Linux starts with (`tty_std_termios`).
    pub const STANDARD: Self = Self {
        settings: Termios::STANDARD,
        input_speed: 38400,
        output_speed: 38400,
    };

    /// The speeds follow the settings as far as these name them (`CBAUD` and `CIBAUD`).
    #[must_use]
    pub fn with_named_speeds(mut self) -> Self {
        let output = self.settings.control & SPEED_BITS;
        let input = self.settings.control >> INPUT_SPEED_SHIFT & SPEED_BITS;
        self.output_speed = named_speed(output).unwrap_or(self.output_speed);
        self.input_speed = match input {
            0 => self.output_speed,
            input => named_speed(input).unwrap_or(self.input_speed),
        };
        self
    }
}

/// The speed that the bits of `CBAUD` name; `None` for [`OTHER_SPEED`].
fn named_speed(bits: u32) -> Option<u32> {
    const LOW: [u32; 16] = [
        0, 50, 75, 110, 134, 150, 200, 300, 600, 1200, 1800, 2400, 4800, 9600, 19200, 38400,
    ];
    const HIGH: [u32; 15] = [
        57600, 115_200, 230_400, 460_800, 500_000, 576_000, 921_600, 1_000_000, 1_152_000,
        1_500_000, 2_000_000, 2_500_000, 3_000_000, 3_500_000, 4_000_000,
    ];
    match bits.checked_sub(OTHER_SPEED) {
        None => LOW.get(bits as usize).copied(),
        Some(0) => None,
        Some(number) => HIGH.get(number as usize - 1).copied(),
    }
}

/// Settings as System V had them (`struct termio`): half as many flags, eight characters.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(C)]
pub struct OldTermios {
    /// Lower halves of the four flag words: input, output, control, local.
    pub flags: [u16; 4],
    /// Line discipline.
    pub discipline: u8,
    /// The first characters.
    pub characters: [u8; 8],
    /// Fills the structure up.
    pub padding: u8,
}

impl OldTermios {
    /// What of the settings fits in.
    pub fn of(settings: &Termios) -> Self {
        let mut characters = [0; 8];
        characters.copy_from_slice(&settings.characters[..8]);
        Self {
            flags: [
                settings.input,
                settings.output,
                settings.control,
                settings.local,
            ]
            .map(|flags| flags as u16),
            discipline: settings.discipline,
            characters,
            padding: 0,
        }
    }

    /// Settings with this part changed.
    pub fn applied_to(&self, settings: &Termios) -> Termios {
        let merged = |old: u32, index: usize| old & !0xffff | u32::from(self.flags[index]);
        let mut characters = settings.characters;
        characters[..8].copy_from_slice(&self.characters);
        Termios {
            input: merged(settings.input, 0),
            output: merged(settings.output, 1),
            control: merged(settings.control, 2),
            local: merged(settings.local, 3),
            discipline: self.discipline,
            characters,
        }
    }
}
