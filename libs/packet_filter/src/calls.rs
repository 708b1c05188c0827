//! Filters of system calls (`seccomp(2)`): the same machine, which looks at a call instead of a packet and says what is to
//! become of it. It knows fewer instructions, and words are those of the processor.

use alloc::vec::Vec;

use super::{Instruction, Program, Wrong, code};

/// Bytes of a call (`struct seccomp_data`).
pub const CALL_SIZE: usize = 64;
/// `AUDIT_ARCH_X86_64`: which machine's calls these are.
pub const ARCHITECTURE: u32 = 0xc000_003e;

/// A system call, as filters see it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Call {
    /// Its number, known or not.
    pub number: i32,
    /// Address of the instruction behind the one that makes the call.
    pub instruction: u64,
    /// Its arguments.
    pub arguments: [u64; 6],
}

impl Call {
    /// The call as [`Program::run`] reads it: `struct seccomp_data` with the bytes of each word in the order of packets.
    pub fn packet(&self) -> [u8; CALL_SIZE] {
        let mut packet = [0; CALL_SIZE];
        let mut rest = packet.chunks_exact_mut(4);
        let mut put = |word: u32| {
            if let Some(place) = rest.next() {
                place.copy_from_slice(&word.to_be_bytes());
            }
        };
        put(self.number as u32);
        put(ARCHITECTURE);
        for value in [self.instruction].iter().chain(&self.arguments) {
            put(*value as u32);
            put((*value >> 32) as u32);
        }
        packet
    }
}

impl Instruction {
    fn suits_calls(self) -> bool {
        let rest = self.code & !code::CLASS;
        match self.code & code::CLASS {
            code::LOAD => match rest {
                code::ABSOLUTE => {
                    (self.constant as usize) < CALL_SIZE && self.constant.is_multiple_of(4)
                }
                code::IMMEDIATE | code::LENGTH | code::MEMORY => true,
                _ => false,
            },
            code::LOAD_INDEX => matches!(rest, code::IMMEDIATE | code::LENGTH | code::MEMORY),
            code::ARITHMETIC => rest & !code::WITH_INDEX != code::REMAINDER,
            _ => true,
        }
    }
}

impl Program {
    /// Checks a program that filters system calls.
    ///
    /// # Errors
    /// As for [`Program::new`], and [`Wrong`] if it has instructions that such filters may not have, or looks beyond or
    /// between the words of a call.
    pub fn for_calls(instructions: Vec<Instruction>) -> Result<Self, Wrong> {
        if !instructions
            .iter()
            .all(|instruction| instruction.suits_calls())
        {
            return Err(Wrong);
        }
        Self::new(instructions)
    }
}

/// What is to become of a call, by the upper half of what a filter answers (`SECCOMP_RET_*`); the lower half is data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The process ends. So it does if a filter answers what means nothing.
    KillProcess,
    /// The thread ends.
    KillThread,
    /// `SIGSYS` for the thread, with this number.
    Trap(u16),
    /// It fails with this error; 0 lets it succeed. Either way it is not made.
    Fail(u16),
    /// Another process decides.
    AskProcess,
    /// A debugger decides.
    AskDebugger,
    /// It is made, and noted down.
    Log,
    /// It is made.
    Allow,
}

/// The half of an answer that is the action.
const ACTION: u32 = 0xffff_0000;
/// What allows a call (`SECCOMP_RET_ALLOW`).
pub const ALLOW: u32 = 0x7fff_0000;
/// The largest error that a call can answer (`MAX_ERRNO`); larger ones become it.
const LARGEST_ERROR: u16 = 4095;

impl Action {
    /// What an answer means; `None` for one that means nothing.
    pub fn known(answer: u32) -> Option<Self> {
        let data = answer as u16;
        Some(match answer & ACTION {
            0x8000_0000 => Self::KillProcess,
            0 => Self::KillThread,
            0x0003_0000 => Self::Trap(data),
            0x0005_0000 => Self::Fail(data.min(LARGEST_ERROR)),
            0x7fc0_0000 => Self::AskProcess,
            0x7ff0_0000 => Self::AskDebugger,
            0x7ffc_0000 => Self::Log,
            ALLOW => Self::Allow,
            _ => return None,
        })
    }

    /// What an answer means.
    pub fn of(answer: u32) -> Self {
        Self::known(answer).unwrap_or(Self::KillProcess)
    }
}

/// Whether an answer comes before another one: of several filters, the strictest decides, and of several that are as
/// strict, the newest.
pub fn is_stricter(answer: u32, than: u32) -> bool {
    ((answer & ACTION) as i32) < (than & ACTION) as i32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::About;
    use crate::tests::instructions;

    fn program(parts: &[(u16, u8, u8, u32)]) -> Result<Program, Wrong> {
        Program::for_calls(instructions(parts))
    }

    const CALL: Call = Call {
        number: -7,
        instruction: 0x1122_3344_5566_7788,
        arguments: [1, 2, 3, 4, 5, 0xfedc_ba98_7654_3210],
    };

    #[test]
    fn words_are_those_of_the_processor() {
        let word = |offset: u32| {
            let program = program(&[(0x20, 0, 0, offset), (0x16, 0, 0, 0)]).expect("a program");
            program.run(&CALL.packet(), About::default())
        };
        assert_eq!(word(0), -7_i32 as u32);
        assert_eq!(word(4), ARCHITECTURE);
        assert_eq!(word(8), 0x5566_7788, "the lower half comes first");
        assert_eq!(word(12), 0x1122_3344);
        assert_eq!(word(16), 1);
        assert_eq!(word(24), 2);
        assert_eq!(word(56), 0x7654_3210);
        assert_eq!(word(60), 0xfedc_ba98);
        let length = program(&[(0x80, 0, 0, 0), (0x16, 0, 0, 0)]).expect("a program");
        assert_eq!(length.run(&CALL.packet(), About::default()), 64);
    }

    #[test]
    fn fewer_instructions_are_known() {
        let end = (6, 0, 0, ALLOW);
        for (code, constant) in [
            (0x28, 0),
            (0x30, 0),
            (0x40, 0),
            (0x48, 0),
            (0x50, 0),
            (0xb1, 0),
            (0x94, 3),
            (0x9c, 0),
        ] {
            assert!(
                program(&[(code, 0, 0, constant), end]).is_err(),
                "{code:#x}"
            );
            assert!(Program::new(instructions(&[(code, 0, 0, constant), (6, 0, 0, 0)])).is_ok());
        }
        for (offset, right) in [(60, true), (64, false), (2, false), (0xffff_f000, false)] {
            assert_eq!(
                program(&[(0x20, 0, 0, offset), end]).is_ok(),
                right,
                "{offset:#x}"
            );
        }
        assert!(program(&[]).is_err());
        assert!(program(&[(0x60, 0, 0, 1), end]).is_err(), "never written");
    }

    #[test]
    fn the_strictest_answer_decides() {
        // From the strictest to the mildest, as seccomp(2) lists them.
        let order = [
            0x8000_0000_u32,
            0,
            0x0003_0000,
            0x0005_0000,
            0x7fc0_0000,
            0x7ff0_0000,
            0x7ffc_0000,
            ALLOW,
        ];
        for pair in order.windows(2) {
            assert!(is_stricter(pair[0] | 0xffff, pair[1]));
            assert!(!is_stricter(pair[1], pair[0] | 0xffff));
            assert!(!is_stricter(pair[0], pair[0] | 1), "data does not count");
        }
        assert_eq!(Action::of(0x0005_ffff), Action::Fail(4095));
        assert_eq!(Action::of(0x0003_0007), Action::Trap(7));
        assert_eq!(Action::of(0x1234_0000), Action::KillProcess);
        assert_eq!(Action::known(0x1234_0000), None);
    }
}
