//! What is fuzzed: filters of packets and of system calls, checked and run beside a machine that trusts no check.

use pith_packet_filter::calls::{Action, Call};
use pith_packet_filter::{About, Instruction, Program};

/// Words of scratch memory (`BPF_MEMWORDS`).
const SCRATCH: usize = 16;
const FACTS: About = About {
    protocol: 0x86dd,
    kind: 3,
    interface: 7,
};

/// Takes a byte that says how many instructions follow, these, and a packet. What passes the check runs to the same end as
/// in the plain machine below, which finds out whether the check let something pass that it must not. True if it was a program.
pub fn filter(data: &[u8]) -> bool {
    let Some((&count, rest)) = data.split_first() else {
        return false;
    };
    let (code, packet) = rest.split_at((usize::from(count) * Instruction::SIZE).min(rest.len()));
    let instructions: Vec<Instruction> = code.as_chunks().0.iter().map(Instruction::read).collect();
    let program = Program::new(instructions.clone());
    if let Ok(program) = &program {
        assert_eq!(program.length(), instructions.len());
        assert_eq!(
            program.run(packet, FACTS),
            run(&instructions, packet, false)
        );
    }
    if let Ok(of_calls) = Program::for_calls(instructions.clone()) {
        assert!(program.is_ok(), "calls know more than packets");
        let mut call = Call::default();
        if let Some(bytes) = packet.first_chunk() {
            call.arguments[0] = u64::from_ne_bytes(*bytes);
            call.number = bytes[7].into();
        }
        let packet = call.packet();
        let answer = of_calls.run(&packet, FACTS);
        assert_eq!(answer, run(&instructions, &packet, true));
        let _ = Action::of(answer);
    }
    program.is_ok()
}

/// The machine as `filter.txt` tells of it, by the numbers of its instructions. It fails where a program runs over its end,
/// reads scratch memory that was not written, or, for calls, looks beyond them.
fn run(program: &[Instruction], packet: &[u8], of_call: bool) -> u32 {
    let (mut a, mut x) = (0_u32, 0_u32);
    let mut scratch = [None; SCRATCH];
    let mut at = 0;
    // Jumps lead forwards only, so each is met once at most.
    loop {
        let Instruction {
            code,
            if_true,
            if_false,
            constant: k,
        } = program[at];
        at += 1;
        let bytes = |size: usize, at: u64| -> Option<u32> {
            let at = usize::try_from(at).ok()?;
            let found = packet.get(at..at.checked_add(size)?);
            assert!(
                found.is_some() || !of_call,
                "a filter of calls looked at {at}"
            );
            Some(
                found?
                    .iter()
                    .fold(0, |value, byte| value << 8 | u32::from(*byte)),
            )
        };
        let absolute = |size| match k {
            0xffff_f000 => Some(u32::from(FACTS.protocol)),
            0xffff_f004 => Some(u32::from(FACTS.kind)),
            0xffff_f008 => Some(FACTS.interface),
            _ => bytes(size, k.into()),
        };
        let indexed = |size| bytes(size, u64::from(x) + u64::from(k));
        let kept = |scratch: &[Option<u32>; SCRATCH]| scratch[k as usize].expect("it was written");
        let operand = if code & 8 != 0 { x } else { k };
        let jump = |holds: bool| usize::from(if holds { if_true } else { if_false });
        let loaded = match code {
            0x20 => absolute(4),
            0x28 => absolute(2),
            0x30 => absolute(1),
            0x40 => indexed(4),
            0x48 => indexed(2),
            0x50 => indexed(1),
            _ => Some(0),
        };
        let Some(loaded) = loaded else { return 0 };
        match code {
            0x20 | 0x28 | 0x30 | 0x40 | 0x48 | 0x50 => a = loaded,
            0x00 => a = k,
            0x60 => a = kept(&scratch),
            0x80 => a = packet.len() as u32,
            0x01 => x = k,
            0x61 => x = kept(&scratch),
            0x81 => x = packet.len() as u32,
            0xb1 => match bytes(1, k.into()) {
                Some(byte) => x = byte % 16 * 4,
                None => return 0,
            },
            0x02 => scratch[k as usize] = Some(a),
            0x03 => scratch[k as usize] = Some(x),
            0x04 | 0x0c => a = a.wrapping_add(operand),
            0x14 | 0x1c => a = a.wrapping_sub(operand),
            0x24 | 0x2c => a = a.wrapping_mul(operand),
            0x34 | 0x3c | 0x94 | 0x9c if operand == 0 => return 0,
            0x34 | 0x3c => a /= operand,
            0x94 | 0x9c => a %= operand,
            0x44 | 0x4c => a |= operand,
            0x54 | 0x5c => a &= operand,
            // As the processor shifts: by the lowest five bits.
            0x64 | 0x6c => a <<= operand % 32,
            0x74 | 0x7c => a >>= operand % 32,
            0x84 => a = 0_u32.wrapping_sub(a),
            0xa4 | 0xac => a ^= operand,
            0x05 => at += k as usize,
            0x15 | 0x1d => at += jump(a == operand),
            0x25 | 0x2d => at += jump(a > operand),
            0x35 | 0x3d => at += jump(a >= operand),
            0x45 | 0x4d => at += jump(a & operand != 0),
            0x06 => return k,
            0x16 => return a,
            0x07 => x = a,
            0x87 => a = x,
            _ => panic!("no instruction has the code {code:#x}"),
        }
    }
}
