//! Filters of sockets: programs for the classic packet filter machine, which look at a packet and say how many bytes of
//! it a socket receives (S. McCanne, V. Jacobson: The BSD Packet Filter, 1993; Linux's `filter.txt`).
//!
//! A program is checked once ([`Program::new`]); one that passed always ends, since jumps lead forwards only, and never
//! looks beyond the packet. The same machine filters system calls ([`calls`]).
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod calls;

use alloc::vec;
use alloc::vec::Vec;

/// Most instructions of a program (`BPF_MAXINSNS`).
pub const LONGEST: usize = 4096;
/// Words of scratch memory.
const SCRATCH: usize = 16;
/// Where offsets begin that mean something about a packet instead of its bytes (`SKF_AD_OFF`).
const ABOUT: u32 = -0x1000_i32 as u32;

/// An instruction (`struct sock_filter`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// What it does.
    pub code: u16,
    /// Instructions that are left out if a condition holds,
    pub if_true: u8,
    /// and if it doesn't.
    pub if_false: u8,
    /// A number: an operand, an offset, an index.
    pub constant: u32,
}

impl Instruction {
    /// Bytes of one in a program's memory.
    pub const SIZE: usize = 8;

    /// Reads one.
    pub fn read(bytes: &[u8; Self::SIZE]) -> Self {
        let [code_low, code_high, if_true, if_false, constant @ ..] = *bytes;
        Self {
            code: u16::from_ne_bytes([code_low, code_high]),
            if_true,
            if_false,
            constant: u32::from_ne_bytes(constant),
        }
    }
}

/// The parts of an instruction's code.
mod code {
    pub const CLASS: u16 = 7;
    pub const LOAD: u16 = 0;
    pub const LOAD_INDEX: u16 = 1;
    pub const STORE: u16 = 2;
    pub const STORE_INDEX: u16 = 3;
    pub const ARITHMETIC: u16 = 4;
    pub const JUMP: u16 = 5;
    pub const RETURN: u16 = 6;
    pub const OTHER: u16 = 7;

    pub const WORD: u16 = 0;
    pub const HALF: u16 = 8;
    pub const BYTE: u16 = 0x10;

    pub const IMMEDIATE: u16 = 0;
    pub const ABSOLUTE: u16 = 0x20;
    pub const INDEXED: u16 = 0x40;
    pub const MEMORY: u16 = 0x60;
    pub const LENGTH: u16 = 0x80;
    pub const HEADER_LENGTH: u16 = 0xa0;

    pub const WITH_INDEX: u16 = 8;

    pub const ADD: u16 = 0;
    pub const SUBTRACT: u16 = 0x10;
    pub const MULTIPLY: u16 = 0x20;
    pub const DIVIDE: u16 = 0x30;
    pub const OR: u16 = 0x40;
    pub const AND: u16 = 0x50;
    pub const SHIFT_LEFT: u16 = 0x60;
    pub const SHIFT_RIGHT: u16 = 0x70;
    pub const NEGATE: u16 = 0x80;
    pub const REMAINDER: u16 = 0x90;
    pub const EXCLUSIVE_OR: u16 = 0xa0;

    pub const ALWAYS: u16 = 0;
    pub const EQUAL: u16 = 0x10;
    pub const GREATER: u16 = 0x20;
    pub const GREATER_OR_EQUAL: u16 = 0x30;
    pub const ANY_BIT: u16 = 0x40;

    pub const RETURN_ACCUMULATOR: u16 = 0x10;
    pub const TO_INDEX: u16 = 0;
    pub const FROM_INDEX: u16 = 0x80;
}

/// What a program can ask about a packet beside its bytes, by offset from [`ABOUT`] (`SKF_AD_…`).
mod about {
    pub const PROTOCOL: u32 = 0;
    pub const PACKET_KIND: u32 = 4;
    pub const INTERFACE: u32 = 8;
}

/// What is known about a packet beside its bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct About {
    /// The type in its Ethernet frame.
    pub protocol: u16,
    /// To whom it was sent (`PACKET_HOST` and its kin).
    pub kind: u8,
    /// The number of its interface.
    pub interface: u32,
}

/// A program that was checked.
#[derive(Debug)]
pub struct Program(Vec<Instruction>);

/// It is no program for this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrong;

impl Instruction {
    fn is_right(self) -> bool {
        let class = self.code & code::CLASS;
        let rest = self.code & !code::CLASS;
        match class {
            code::LOAD => match rest & !(code::HALF | code::BYTE) {
                code::ABSOLUTE => {
                    let extra = self.constant.wrapping_sub(ABOUT);
                    rest & (code::HALF | code::BYTE) != code::HALF | code::BYTE
                        && (i32::try_from(self.constant).is_ok()
                            || matches!(
                                extra,
                                about::PROTOCOL | about::PACKET_KIND | about::INTERFACE
                            ))
                }
                code::INDEXED => rest & (code::HALF | code::BYTE) != code::HALF | code::BYTE,
                code::IMMEDIATE | code::LENGTH => rest & (code::HALF | code::BYTE) == code::WORD,
                code::MEMORY => {
                    rest == code::MEMORY | code::WORD && (self.constant as usize) < SCRATCH
                }
                _ => false,
            },
            code::LOAD_INDEX => match rest {
                code::IMMEDIATE | code::LENGTH => true,
                code::MEMORY => (self.constant as usize) < SCRATCH,
                _ => {
                    rest == code::HEADER_LENGTH | code::BYTE && i32::try_from(self.constant).is_ok()
                }
            },
            code::STORE | code::STORE_INDEX => rest == 0 && (self.constant as usize) < SCRATCH,
            code::ARITHMETIC => {
                let with_index = rest & code::WITH_INDEX != 0;
                match rest & !code::WITH_INDEX {
                    code::DIVIDE | code::REMAINDER => with_index || self.constant != 0,
                    code::SHIFT_LEFT | code::SHIFT_RIGHT => with_index || self.constant < 32,
                    code::NEGATE => !with_index,
                    other => other <= code::EXCLUSIVE_OR,
                }
            }
            code::JUMP => {
                rest == code::ALWAYS
                    || matches!(
                        rest & !code::WITH_INDEX,
                        code::EQUAL | code::GREATER | code::GREATER_OR_EQUAL | code::ANY_BIT
                    )
            }
            code::RETURN => rest == 0 || rest == code::RETURN_ACCUMULATOR,
            _ => rest == code::TO_INDEX || rest == code::FROM_INDEX,
        }
    }

    /// The farthest instruction that may follow, counted from the next one.
    fn reach(self) -> usize {
        if self.code & code::CLASS != code::JUMP {
            return 0;
        }
        if self.code & !code::CLASS == code::ALWAYS {
            return self.constant as usize;
        }
        self.if_true.max(self.if_false).into()
    }
}

/// Whether some way through a program reads a word of scratch memory that it has not written. Jumps are known to stay
/// inside.
fn reads_unwritten(instructions: &[Instruction]) -> bool {
    // What all jumps that lead to an instruction have written, a bit for each word.
    let mut jumps = vec![u16::MAX; instructions.len()];
    let mut written = 0;
    for (index, instruction) in instructions.iter().enumerate() {
        written &= jumps[index];
        let word = 1_u16.unbounded_shl(instruction.constant);
        let mode = instruction.code & !code::CLASS;
        match instruction.code & code::CLASS {
            code::STORE | code::STORE_INDEX => written |= word,
            code::LOAD | code::LOAD_INDEX if mode == code::MEMORY && written & word == 0 => {
                return true;
            }
            code::JUMP => {
                let next = index + 1;
                let (one, other) = match mode {
                    code::ALWAYS => (instruction.constant as usize, instruction.constant as usize),
                    _ => (instruction.if_true.into(), instruction.if_false.into()),
                };
                jumps[next + one] &= written;
                jumps[next + other] &= written;
                // Only jumps lead to the next one.
                written = u16::MAX;
            }
            _ => {}
        }
    }
    false
}

/// Big-endian bytes of a packet.
fn load(packet: &[u8], size: u16, offset: usize) -> Option<u32> {
    let rest = packet.get(offset..)?;
    match size {
        code::WORD => rest.first_chunk().map(|bytes| u32::from_be_bytes(*bytes)),
        code::HALF => rest
            .first_chunk()
            .map(|bytes| u16::from_be_bytes(*bytes).into()),
        _ => rest.first().map(|byte| u32::from(*byte)),
    }
}

impl Program {
    /// Checks a program.
    ///
    /// # Errors
    /// [`Wrong`] if it is empty or too long, has instructions that mean nothing, jumps out of itself, may run over its end,
    /// or may read a word of scratch memory that it has not written.
    pub fn new(instructions: Vec<Instruction>) -> Result<Self, Wrong> {
        let count = instructions.len();
        if count == 0 || count > LONGEST {
            return Err(Wrong);
        }
        for (index, instruction) in instructions.iter().enumerate() {
            let reach = instruction.reach().saturating_add(index + 1);
            let jumps = instruction.code & code::CLASS == code::JUMP;
            if !instruction.is_right() || jumps && reach >= count {
                return Err(Wrong);
            }
        }
        let returns = instructions[count - 1].code & code::CLASS == code::RETURN;
        if !returns || reads_unwritten(&instructions) {
            return Err(Wrong);
        }
        Ok(Self(instructions))
    }

    /// How many instructions it has.
    pub fn length(&self) -> usize {
        self.0.len()
    }

    /// How many bytes of a packet are received; 0 for none, which is to throw it away.
    pub fn run(&self, packet: &[u8], facts: About) -> u32 {
        let mut machine = Machine {
            packet,
            facts,
            accumulator: 0,
            index: 0,
            scratch: [0; SCRATCH],
        };
        let mut next = 0;
        while let Some(instruction) = self.0.get(next) {
            next += 1;
            match machine.step(*instruction) {
                Step::Next => {}
                Step::Skip(count) => next = next.saturating_add(count),
                Step::End(length) => return length,
            }
        }
        0
    }
}

enum Step {
    Next,
    Skip(usize),
    End(u32),
}

struct Machine<'a> {
    packet: &'a [u8],
    facts: About,
    accumulator: u32,
    index: u32,
    scratch: [u32; SCRATCH],
}

impl Machine<'_> {
    fn step(&mut self, instruction: Instruction) -> Step {
        let rest = instruction.code & !code::CLASS;
        let constant = instruction.constant;
        let cell = constant as usize % SCRATCH;
        match instruction.code & code::CLASS {
            code::LOAD => match self.value(rest, constant) {
                Some(value) => self.accumulator = value,
                // Beyond the packet.
                None => return Step::End(0),
            },
            code::LOAD_INDEX => {
                self.index = match rest {
                    code::IMMEDIATE => constant,
                    code::LENGTH => self.packet.len() as u32,
                    code::MEMORY => self.scratch[cell],
                    // The length of a header of IPv4, from its first byte.
                    _ => match load(self.packet, code::BYTE, constant as usize) {
                        Some(byte) => (byte & 15) * 4,
                        None => return Step::End(0),
                    },
                };
            }
            code::STORE => self.scratch[cell] = self.accumulator,
            code::STORE_INDEX => self.scratch[cell] = self.index,
            code::ARITHMETIC => {
                let operand = self.operand(rest, constant);
                match calculate(rest & !code::WITH_INDEX, self.accumulator, operand) {
                    Some(value) => self.accumulator = value,
                    None => return Step::End(0),
                }
            }
            code::JUMP if rest == code::ALWAYS => return Step::Skip(constant as usize),
            code::JUMP => {
                let operand = self.operand(rest, constant);
                let holds = match rest & !code::WITH_INDEX {
                    code::EQUAL => self.accumulator == operand,
                    code::GREATER => self.accumulator > operand,
                    code::GREATER_OR_EQUAL => self.accumulator >= operand,
                    _ => self.accumulator & operand != 0,
                };
                let count = if holds {
                    instruction.if_true
                } else {
                    instruction.if_false
                };
                return Step::Skip(count.into());
            }
            code::RETURN if rest == code::RETURN_ACCUMULATOR => return Step::End(self.accumulator),
            code::RETURN => return Step::End(constant),
            code::OTHER if rest == code::TO_INDEX => self.index = self.accumulator,
            _ => self.accumulator = self.index,
        }
        Step::Next
    }

    fn operand(&self, rest: u16, constant: u32) -> u32 {
        if rest & code::WITH_INDEX != 0 {
            self.index
        } else {
            constant
        }
    }

    fn value(&self, rest: u16, constant: u32) -> Option<u32> {
        let size = rest & (code::HALF | code::BYTE);
        match rest & !(code::HALF | code::BYTE) {
            code::IMMEDIATE => Some(constant),
            code::LENGTH => Some(self.packet.len() as u32),
            code::MEMORY => Some(self.scratch[constant as usize % SCRATCH]),
            code::INDEXED => {
                let offset = u64::from(self.index) + u64::from(constant);
                load(self.packet, size, usize::try_from(offset).ok()?)
            }
            _ => match constant.wrapping_sub(ABOUT) {
                about::PROTOCOL => Some(self.facts.protocol.into()),
                about::PACKET_KIND => Some(self.facts.kind.into()),
                about::INTERFACE => Some(self.facts.interface),
                _ => load(self.packet, size, constant as usize),
            },
        }
    }
}

/// `None` for a division by nothing.
fn calculate(operation: u16, left: u32, right: u32) -> Option<u32> {
    Some(match operation {
        code::ADD => left.wrapping_add(right),
        code::SUBTRACT => left.wrapping_sub(right),
        code::MULTIPLY => left.wrapping_mul(right),
        code::DIVIDE => left.checked_div(right)?,
        code::OR => left | right,
        code::AND => left & right,
        code::SHIFT_LEFT => left.wrapping_shl(right),
        code::SHIFT_RIGHT => left.wrapping_shr(right),
        code::NEGATE => left.wrapping_neg(),
        code::REMAINDER => left.checked_rem(right)?,
        _ => left ^ right,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Instructions as Linux's macros write them: code, jumps if true and if false, constant.
    pub(crate) fn instructions(parts: &[(u16, u8, u8, u32)]) -> Vec<Instruction> {
        let instruction = |&(code, if_true, if_false, constant)| Instruction {
            code,
            if_true,
            if_false,
            constant,
        };
        parts.iter().map(instruction).collect()
    }

    fn refused(program: &[(u16, u8, u8, u32)]) -> bool {
        Program::new(instructions(program)).err() == Some(Wrong)
    }

    fn run(program: &[(u16, u8, u8, u32)], packet: &[u8]) -> u32 {
        let program = Program::new(instructions(program)).expect("a program");
        let facts = About {
            protocol: 0x0800,
            kind: 1,
            interface: 7,
        };
        program.run(packet, facts)
    }

    /// What tcpdump makes of "udp port 53", without the checks for IPv6 and fragments.
    const DNS: [(u16, u8, u8, u32); 11] = [
        (0x28, 0, 0, 12),
        (0x15, 0, 8, 0x0800),
        (0x30, 0, 0, 23),
        (0x15, 0, 6, 17),
        (0xb1, 0, 0, 14),
        (0x48, 0, 0, 14),
        (0x15, 2, 0, 53),
        (0x48, 0, 0, 16),
        (0x15, 0, 1, 53),
        (0x06, 0, 0, 262_144),
        (0x06, 0, 0, 0),
    ];

    fn frame(protocol: u8, port: u16) -> Vec<u8> {
        let mut frame = std::vec![0; 60];
        frame[12..14].copy_from_slice(&[8, 0]);
        frame[14] = 0x45;
        frame[23] = protocol;
        frame[36..38].copy_from_slice(&port.to_be_bytes());
        frame
    }

    #[test]
    fn a_filter_of_tcpdump_takes_what_it_names() {
        assert_eq!(run(&DNS, &frame(17, 53)), 262_144);
        assert_eq!(run(&DNS, &frame(17, 54)), 0);
        assert_eq!(run(&DNS, &frame(6, 53)), 0);
        assert_eq!(run(&DNS, &frame(17, 53)[..36]), 0, "too short to tell");
        assert_eq!(run(&DNS, &[]), 0);
    }

    #[test]
    fn arithmetic_is_that_of_32_bits() {
        let calculate = |operation: u16, left: u32, right: u32| {
            run(
                &[
                    (0, 0, 0, left),
                    (4 | operation, 0, 0, right),
                    (0x16, 0, 0, 0),
                ],
                &[],
            )
        };
        assert_eq!(calculate(code::ADD, u32::MAX, 2), 1);
        assert_eq!(calculate(code::SUBTRACT, 1, 2), u32::MAX);
        assert_eq!(calculate(code::MULTIPLY, 1 << 31, 2), 0);
        assert_eq!(calculate(code::DIVIDE, 7, 2), 3);
        assert_eq!(calculate(code::REMAINDER, 7, 4), 3);
        assert_eq!(calculate(code::SHIFT_LEFT, 1, 31), 1 << 31);
        assert_eq!(calculate(code::EXCLUSIVE_OR, 5, 1), 4);
        assert_eq!(calculate(code::NEGATE, 1, 0), u32::MAX);
        // By an index of 0: the packet is thrown away.
        let divide = [(0, 0, 0, 9), (0x3c, 0, 0, 0), (0x06, 0, 0, 1)];
        assert_eq!(run(&divide, &[]), 0);
    }

    #[test]
    fn memory_index_and_facts() {
        let program = [
            (0x20, 0, 0, ABOUT + about::INTERFACE),
            (0x02, 0, 0, 15),
            (0x80, 0, 0, 0),
            (0x07, 0, 0, 0),
            (0x60, 0, 0, 15),
            (0x0c, 0, 0, 0),
            (0x16, 0, 0, 0),
        ];
        assert_eq!(run(&program, &[0; 5]), 12);
        // An index beyond everything.
        let far = [
            (0x01, 0, 0, u32::MAX),
            (0x50, 0, 0, u32::MAX),
            (0x06, 0, 0, 1),
        ];
        assert_eq!(run(&far, &[1; 64]), 0);
    }

    #[test]
    fn what_is_no_program_is_refused() {
        assert!(refused(&[]));
        assert!(refused(&[(0, 0, 0, 1)]), "runs over its end");
        assert!(refused(&[(0x15, 1, 0, 1), (6, 0, 0, 0)]), "jumps out");
        assert!(refused(&[(0x05, 0, 0, u32::MAX), (6, 0, 0, 0)]));
        assert!(refused(&[(0x34, 0, 0, 0), (6, 0, 0, 0)]), "divides by 0");
        assert!(refused(&[(0x64, 0, 0, 32), (6, 0, 0, 0)]));
        assert!(refused(&[(0x60, 0, 0, 16), (6, 0, 0, 0)]));
        assert!(refused(&[(0x02, 0, 0, 16), (6, 0, 0, 0)]));
        assert!(refused(&[(0xffff, 0, 0, 0), (6, 0, 0, 0)]));
        assert!(refused(&[(0x0e, 0, 0, 0)]), "returns the index");
        assert!(refused(&std::vec![(6, 0, 0, 0); LONGEST + 1]));
        assert!(!refused(&std::vec![(6, 0, 0, 0); LONGEST]));
    }

    #[test]
    fn scratch_memory_is_written_before_it_is_read() {
        assert!(refused(&[(0x60, 0, 0, 3), (6, 0, 0, 0)]));
        assert!(refused(&[(0x61, 0, 0, 3), (6, 0, 0, 0)]));
        assert!(!refused(&[(0x02, 0, 0, 3), (0x60, 0, 0, 3), (6, 0, 0, 0)]));
        assert!(
            refused(&[(0x02, 0, 0, 3), (0x60, 0, 0, 4), (6, 0, 0, 0)]),
            "another word"
        );
        assert!(
            refused(&[
                (0x15, 1, 0, 0),
                (0x02, 0, 0, 3),
                (0x60, 0, 0, 3),
                (6, 0, 0, 0)
            ]),
            "only one of two ways writes it"
        );
        assert!(!refused(&[
            (0x15, 1, 0, 0),
            (0x02, 0, 0, 3),
            (0x02, 0, 0, 3),
            (0x60, 0, 0, 3),
            (6, 0, 0, 0)
        ]));
        assert!(refused(&[
            (0x05, 0, 0, 1),
            (0x02, 0, 0, 3),
            (0x60, 0, 0, 3),
            (6, 0, 0, 0)
        ]));
    }

    #[test]
    fn every_code_either_is_refused_or_ends() {
        for code in 0..=u16::MAX {
            for constant in [0, 1, 15, 31, u32::MAX, ABOUT] {
                let program = instructions(&[(code, 0, 0, constant), (6, 0, 0, 3)]);
                if let Ok(program) = Program::new(program) {
                    program.run(&[1, 2, 3, 4], About::default());
                }
            }
        }
    }
}
