//! The initial stack, read back as a program does, and compared with Linux.

use crate::auxiliary::*;
use crate::*;
use proptest::prelude::*;

const TOP: u64 = 0x7fff_ffff_e000;

/// Reads a stack as the start code of a C library does.
struct Reader<'a> {
    stack: &'a InitialStack,
}

impl Reader<'_> {
    fn word(&self, address: u64) -> u64 {
        let at = (address - self.stack.stack_pointer) as usize;
        u64::from_le_bytes(self.stack.bytes[at..at + 8].try_into().expect("8 bytes"))
    }

    fn string(&self, address: u64) -> Vec<u8> {
        let text = &self.stack.bytes[(address - self.stack.stack_pointer) as usize..];
        let end = text.iter().position(|&byte| byte == 0).expect("terminated");
        text[..end].to_vec()
    }

    /// Pointers from `address` to the NULL; the address behind that.
    fn pointers(&self, mut address: u64) -> (Vec<u64>, u64) {
        let mut pointers = Vec::new();
        loop {
            let pointer = self.word(address);
            address += 8;
            if pointer == 0 {
                return (pointers, address);
            }
            pointers.push(pointer);
        }
    }

    fn auxiliary(&self, mut address: u64) -> Vec<(u64, u64)> {
        let mut entries = Vec::new();
        loop {
            let entry = (self.word(address), self.word(address + 8));
            address += 16;
            entries.push(entry);
            if entry.0 == AT_NULL {
                return entries;
            }
        }
    }
}

fn contents<'a, Text>(
    arguments: &'a [Text],
    environment: &'a [Text],
    auxiliary: &'a [(u64, u64)],
) -> StackContents<'a, Text> {
    StackContents {
        stack_top: TOP,
        stack_limit: 8 << 20,
        arguments,
        environment,
        program_path: b"/bin/program",
        random: *b"0123456789abcdef",
        platform: b"x86_64",
        auxiliary,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_program_finds_what_was_given(
        arguments in prop::collection::vec(prop::collection::vec(1u8.., 0..40), 0..20),
        environment in prop::collection::vec(prop::collection::vec(1u8.., 0..40), 0..20),
        auxiliary in prop::collection::vec((1u64..60, any::<u64>()), 0..25),
    ) {
        let stack = contents(&arguments, &environment, &auxiliary).build().expect("small");
        prop_assert_eq!(stack.stack_pointer % 16, 0);
        prop_assert_eq!(stack.stack_pointer + stack.bytes.len() as u64, TOP);
        let reader = Reader { stack: &stack };
        let (argument_pointers, next) = reader.pointers(stack.stack_pointer + 8);
        prop_assert_eq!(reader.word(stack.stack_pointer), argument_pointers.len() as u64);
        let read: Vec<Vec<u8>> = argument_pointers.iter().map(|&at| reader.string(at)).collect();
        let expected = if arguments.is_empty() { vec![Vec::new()] } else { arguments.clone() };
        prop_assert_eq!(read, expected);
        let (environment_pointers, next) = reader.pointers(next);
        let read: Vec<Vec<u8>> = environment_pointers.iter().map(|&at| reader.string(at)).collect();
        prop_assert_eq!(&read, &environment);
        let entries = reader.auxiliary(next);
        prop_assert_eq!(stack.auxiliary_vector.start, next);
        prop_assert_eq!(stack.auxiliary_vector.end, next + 16 * entries.len() as u64);
        let own = [AT_EXECFN, AT_PLATFORM, AT_RANDOM];
        let given: Vec<(u64, u64)> = entries.iter().copied()
            .filter(|entry| !own.contains(&entry.0) && entry.0 != AT_NULL).collect();
        let expected: Vec<(u64, u64)> = auxiliary.iter().copied()
            .filter(|entry| !own.contains(&entry.0)).collect();
        prop_assert_eq!(given, expected);
        let value = |kind| {
            let values: Vec<u64> = entries.iter().filter(|entry| entry.0 == kind).map(|entry| entry.1).collect();
            assert_eq!(values.len(), 1, "type {kind} appears once");
            values[0]
        };
        prop_assert_eq!(reader.string(value(AT_EXECFN)), b"/bin/program");
        prop_assert_eq!(reader.string(value(AT_PLATFORM)), b"x86_64");
        let random = (value(AT_RANDOM) - stack.stack_pointer) as usize;
        prop_assert_eq!(&stack.bytes[random..random + 16], b"0123456789abcdef");
        // What /proc/PID/cmdline and environ show: all strings with their NULs.
        let joined = |strings: &[Vec<u8>]| strings.iter().flat_map(|text| [text.as_slice(), b"\0"].concat()).collect::<Vec<u8>>();
        let slice = |range: &std::ops::Range<u64>| {
            let start = (range.start - stack.stack_pointer) as usize;
            stack.bytes[start..start + (range.end - range.start) as usize].to_vec()
        };
        if !arguments.is_empty() {
            prop_assert_eq!(slice(&stack.argument_strings), joined(&arguments));
        }
        prop_assert_eq!(slice(&stack.environment_strings), joined(&environment));
    }
}

#[test]
fn limits_are_those_of_linux() {
    assert_eq!(argument_bytes_limit(8 << 20), 2 << 20);
    assert_eq!(argument_bytes_limit(u64::MAX), 6 << 20);
    assert_eq!(argument_bytes_limit(0), 128 << 10);
    let longest = vec![b'x'; ARGUMENT_STRING_LIMIT - 1];
    let too_long = vec![b'x'; ARGUMENT_STRING_LIMIT];
    let build = |arguments: &[Vec<u8>]| contents(arguments, &[], &[]).build();
    assert!(build(std::slice::from_ref(&longest)).is_ok());
    let length = ARGUMENT_STRING_LIMIT;
    let refused = Err(StackError::StringTooLong { length });
    assert_eq!(build(&[too_long]), refused);
    // 16 of them are 2 MiB, and the pointers and the path come on top.
    assert!(build(&vec![longest.clone(); 15]).is_ok());
    let error = build(&vec![longest; 16]).expect_err("too large");
    assert!(matches!(error, StackError::TooLarge { limit, .. } if limit == 2 << 20));
    assert_eq!(error.errno(), 7);
    // Pointers count too: half a million empty strings are 2.5 MiB.
    let many = vec![Vec::new(); 300_000];
    assert_eq!(build(&many).map_err(StackError::errno), Err(7));
}

#[test]
fn impossible_stacks_are_refused() {
    let arguments = [b"a\0b".as_slice()];
    let build = |top, arguments: &[&[u8]]| {
        StackContents {
            stack_top: top,
            ..contents(arguments, &[], &[])
        }
        .build()
    };
    assert_eq!(build(TOP, &arguments), Err(StackError::ContainsNul));
    assert_eq!(build(TOP + 8, &[b"a"]), Err(StackError::BadTop));
    for top in (0..160).step_by(16) {
        assert_eq!(build(top, &[b"a"]), Err(StackError::BadTop));
    }
    assert!(build(512, &[b"a"]).is_ok());
}

/// Linux has laid out the stack of this very process: what we would have done must be the same. Between the
/// strings and the rest Linux leaves a random gap, so both parts are compared by themselves.
#[test]
fn the_strings_lie_where_linux_puts_them() {
    let memory = std::fs::File::open("/proc/self/mem").expect("own memory");
    let read = |address: u64, length: u64| {
        let mut bytes = vec![0; length as usize];
        std::os::unix::fs::FileExt::read_exact_at(&memory, &mut bytes, address)
            .expect("mapped memory");
        bytes
    };
    let stat = std::fs::read_to_string("/proc/self/stat").expect("statistics");
    // Behind the name, which may hold anything: field 3 of proc_pid_stat(5) and on.
    let fields: Vec<u64> = stat
        .rsplit_once(')')
        .expect("name")
        .1
        .split_whitespace()
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    let field = |number: usize| fields[number - 3];
    let (start_stack, argument_start, argument_end) = (field(28), field(48), field(49));
    let (environment_start, environment_end) = (field(50), field(51));
    let maps = std::fs::read_to_string("/proc/self/maps").expect("maps");
    let stack = maps.lines().find(|line| line.ends_with("[stack]"));
    let range = stack.expect("stack").split_whitespace().next();
    let top = range
        .and_then(|range| range.split_once('-'))
        .expect("range")
        .1;
    let top = u64::from_str_radix(top, 16).expect("address");

    let strings = |start, end| -> Vec<Vec<u8>> {
        let bytes = read(start, end - start);
        let mut strings: Vec<Vec<u8>> = bytes.split(|&byte| byte == 0).map(Vec::from).collect();
        strings.pop();
        strings
    };
    let arguments = strings(argument_start, argument_end);
    let environment = strings(environment_start, environment_end);
    let auxiliary = std::fs::read("/proc/self/auxv").expect("vector");
    let auxiliary: Vec<(u64, u64)> = auxiliary
        .chunks_exact(16)
        .map(|entry| {
            let word = |at: usize| u64::from_le_bytes(entry[at..at + 8].try_into().expect("8"));
            (word(0), word(8))
        })
        .take_while(|entry| entry.0 != AT_NULL)
        .collect();
    let value = |kind| {
        let entry = auxiliary.iter().find(|entry| entry.0 == kind);
        entry.expect("Linux gives it").1
    };
    let path = read(value(AT_EXECFN), top - 8 - value(AT_EXECFN));
    let (path, nul) = path.split_at(path.len() - 1);
    assert_eq!(nul, [0]);
    let built = StackContents {
        stack_top: top,
        stack_limit: 8 << 20,
        arguments: &arguments,
        environment: &environment,
        program_path: path,
        random: read(value(AT_RANDOM), 16).try_into().expect("16 bytes"),
        platform: b"x86_64",
        auxiliary: &auxiliary,
    }
    .build()
    .expect("Linux could");
    assert_eq!(built.argument_strings, argument_start..argument_end);
    assert_eq!(
        built.environment_strings,
        environment_start..environment_end
    );
    let upper = (argument_start - built.stack_pointer) as usize;
    assert_eq!(
        built.bytes[upper..],
        read(argument_start, top - argument_start)
    );
    // The lower part: number of arguments, pointers and NULLs.
    let words = 8 * (1 + arguments.len() + 1 + environment.len() + 1);
    assert_eq!(built.bytes[..words], read(start_stack, words as u64));
    let reader = Reader { stack: &built };
    let entries = reader.auxiliary(built.auxiliary_vector.start);
    let find = |kind| {
        entries
            .iter()
            .find(|entry| entry.0 == kind)
            .map(|entry| entry.1)
    };
    assert_eq!(find(AT_EXECFN), Some(value(AT_EXECFN)));
    assert_eq!(start_stack % 16, built.stack_pointer % 16);
}
