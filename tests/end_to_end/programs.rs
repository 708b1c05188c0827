//! Our own programs, in C and Rust, linked in every way.

use pith_end_to_end::Case;
use pith_end_to_end::workshop::Build;

fn program(name: &str, build: Build, arguments: &[&str]) -> Case {
    let label = match arguments.first() {
        Some(first) if !first.contains('{') => format!("{name}-{first}"),
        _ => name.to_owned(),
    };
    Case::new(
        format!("programs::{label}-{}", build.name()),
        &format!("{{{name}:{}}}", build.name()),
        arguments,
    )
}

/// Ways to die, with the signal that the last line names.
const DEATHS: &[(&str, &str)] = &[
    ("null", "SIGSEGV"),
    ("jump-to-null", "SIGSEGV"),
    ("kernel-address", "SIGSEGV"),
    ("write-kernel-text", "SIGSEGV"),
    ("jump-to-kernel-data", "SIGSEGV"),
    ("non-canonical", "SIGSEGV"),
    ("jump-nowhere", "SIGSEGV"),
    ("return-nowhere", "SIGSEGV"),
    ("write-code", "SIGSEGV"),
    ("write-constant", "SIGSEGV"),
    ("execute-data", "SIGSEGV"),
    ("execute-stack", "SIGSEGV"),
    ("no-access", "SIGSEGV"),
    ("stack-overflow", "SIGSEGV"),
    ("divide", "SIGFPE"),
    ("illegal", "SIGILL"),
    ("breakpoint", "SIGTRAP"),
    ("abort", "SIGABRT"),
    ("terminate", "SIGTERM"),
    ("kill", "SIGKILL"),
    ("past-end-of-file", "SIGBUS"),
];

/// Statuses that something might confuse with something else: the edges, and those that shells reserve.
const STATUSES: &[&str] = &[
    "0", "1", "2", "42", "124", "125", "126", "127", "128", "137", "139", "254", "255", "256", "-1",
];

/// What is printed before the machine ends.
const END_OF_MACHINE: &str = r"^(.*CAD_OFF, NULL\): 0\n.*RESTART2, NULL\): -1, Bad address\n.*KEXEC, NULL\): -1, Invalid argument\n)$";

pub fn cases() -> Vec<Case> {
    let c_builds = [
        Build::Static,
        Build::StaticPie,
        Build::Dynamic,
        Build::MuslDynamic,
    ];
    let mut cases = Vec::new();
    for build in c_builds {
        let mut hello = program("hello", build, &[]);
        if matches!(build, Build::Static | Build::Dynamic) {
            hello = hello.on_q35_too();
        }
        cases.push(hello);
    }
    for build in [Build::Static, Build::StaticPie, Build::Dynamic] {
        cases.push(
            program(
                "arguments",
                build,
                &["one", "two words", "", "-x", "--", "\u{fc}ber"],
            )
            .variable("TEST_VARIABLE", "value = 1")
            .unordered()
            .tolerate(
                "the order of variables is not determined",
                r"envp\[\d+\]",
                "envp",
            ),
        );
        cases.push(program("signals", build, &[]));
        cases.push(program("memory", build, &[]));
    }
    for &status in STATUSES {
        cases.push(program("exit_status", Build::Static, &[status]));
    }
    cases.push(program("exit_status", Build::Dynamic, &["33", "raw"]));
    for &(how, signal) in DEATHS {
        cases.push(program("fatal", Build::Static, &[how]).message(signal));
    }
    for (how, signal) in [
        ("null", "SIGSEGV"),
        ("write-code", "SIGSEGV"),
        ("stack-overflow", "SIGSEGV"),
        ("abort", "SIGABRT"),
    ] {
        cases.push(program("fatal", Build::Dynamic, &[how]).message(signal));
    }
    // A defect of the kernel (here: what looks like one) ends the command at once, and says what is known.
    cases.push(program("fatal", Build::Static, &["non-maskable"]).stated(
        &[125],
        "^about to die of non-maskable\n$",
        r"(?s)kernel panic: .*rax .*backtrace:.*last system calls.*write\(.*the kernel panicked",
    ));
    // A broken pipe is no surprise: shells don't mention it either.
    cases.push(program("fatal", Build::Static, &["broken-pipe"]));

    cases.extend([
        program("file_mapping", Build::Dynamic, &["{fixture}/large.bin"]).fixture(),
        program("file_mapping", Build::Static, &["{fixture}/large.bin"])
            .fixture()
            .on_q35_too(),
        // So little memory that frames and page tables which don't come back are missed.
        program(
            "remap",
            Build::Static,
            &["{fixture}/large.bin", "{fixture}"],
        )
        .fixture()
        .options(&["-m", "48M"])
        .on_q35_too(),
        program("memory_files", Build::Static, &[]),
        program("memory_corners", Build::Dynamic, &[]),
        program("memory_droppable", Build::Dynamic, &[]),
        program("memory_lazy", Build::Dynamic, &[]),
        program("memory_limits", Build::Dynamic, &[]),
        // A setting of the whole machine, which is not the host's to try.
        program("memory_limits", Build::Dynamic, &["promises"]).stated(
            &[0],
            "^(.*: yes\n)+$",
            "^$",
        ),
        {
            // Its parts run beside each other: processor time is limited in whole seconds.
            let mut limits = program("resource_limits", Build::Dynamic, &[]);
            limits.processors = vec![2];
            limits
        },
        program("resource_limits", Build::Dynamic, &["raised"]).stated(
            &[0],
            "^(.*: yes\n)+$",
            "^$",
        ),
        program("memory_areas", Build::Dynamic, &[]),
        // Not every host's kernel has names for areas.
        program("memory_areas", Build::Dynamic, &["names"]).stated(&[0], "^(.*: yes\n)+$", "^$"),
        program("memory_secret", Build::Dynamic, &[]),
        program("memory_nodes", Build::Static, &[]),
        program("memory_calls", Build::Static, &[]),
        program("memory_calls", Build::Dynamic, &[]).on_q35_too(),
        program("clocks", Build::Dynamic, &[]).on_q35_too(),
        program("clocks", Build::Static, &[]),
        program("pipes", Build::Dynamic, &[]),
        program("pty_lines", Build::Dynamic, &[]),
        program("pty_files", Build::Dynamic, &[]),
        program("pty_background", Build::Dynamic, &[]),
        program("signal_driven", Build::Dynamic, &[]),
        program("real_time", Build::Dynamic, &[]),
        program("pty_jobs", Build::Dynamic, &[]),
        program("permissions", Build::Static, &["{fixture}"]).fixture(),
        program("permissions", Build::Dynamic, &["{fixture}"]).fixture(),
        program("inotify", Build::Dynamic, &["/dev/shm"]),
        program("inotify", Build::Static, &["{fixture}"])
            .fixture()
            .on_q35_too(),
        program("capabilities", Build::Dynamic, &[]),
        program("others_rights", Build::Static, &[]),
        // On Linux, the program makes mounts in a namespace of its own.
        program("mounts", Build::Dynamic, &[])
            // So little memory that what was unmounted and stays is missed.
            .options(&["-m", "96M"])
            .message("there are no namespaces")
            .message("`size=nonsense` is no size")
            .message("without the option nonsense"),
        program("calls", Build::Dynamic, &[]).file("/bin/echo"),
        program("clock_adjustment", Build::Static, &[]),
        program("lock_circles", Build::Dynamic, &[]),
        program("kernel_log", Build::Dynamic, &[]),
        program("end_of_machine", Build::Static, &["power-off"]).stated(&[0], END_OF_MACHINE, "^$"),
        program("end_of_machine", Build::Static, &["restart"]).stated(
            &[0],
            END_OF_MACHINE,
            "reboot: the machine ends",
        ),
        program("seccomp", Build::Dynamic, &[]).message(r"\b4322\b"),
        program("credentials", Build::Static, &["{fixture}"]).fixture(),
        program("random", Build::Dynamic, &[]),
        program("streams", Build::Dynamic, &[]).input("a line\nand one without its end"),
        program("streams", Build::Static, &[]),
        program("output_buffers", Build::Dynamic, &[]),
        program("bad_pointers", Build::Static, &[]),
        program("bad_pointers", Build::Dynamic, &[]).on_q35_too(),
        program("copies", Build::Static, &[]).on_q35_too(),
        program("errors", Build::Dynamic, &["{fixture}"]).fixture(),
        program(
            "overlay",
            Build::Dynamic,
            &["{fixture}", "{fixture}/empty directory"],
        )
        .fixture()
        .on_q35_too(),
        program(
            "file_calls",
            Build::Dynamic,
            &["memory", "{fixture}/empty directory"],
        )
        .fixture(),
        program("open_flags", Build::Dynamic, &["memory", "{fixture}"]).fixture(),
        program("proc", Build::Dynamic, &[]),
        program("proc_processes", Build::Dynamic, &[]),
        program("recursion", Build::Static, &[]),
        program("corners", Build::Static, &[]),
        program("floating_point", Build::Dynamic, &[]),
        program("big_output", Build::Static, &["6000000"]).on_q35_too(),
        // More than host and guest hold between them, so that the program must notice.
        program("big_output", Build::Dynamic, &["16000000"]).output_limit(300_000),
        program("big_input", Build::Static, &[])
            .input(pattern(6_000_000))
            .on_q35_too(),
        // Input that nobody reads must not hold anything up.
        program("hello", Build::StaticPie, &["unread-input"]).input(pattern(4_000_000)),
        program("unknown_call", Build::Static, &[])
            .message(r"_sysctl|\b156\b")
            .message(r"\b1000\b"),
        program("rust_std", Build::RustStatic, &["{fixture}"])
            .fixture()
            .input("one\ntwo\n")
            .on_q35_too(),
        program("rust_std", Build::RustDynamic, &["{fixture}"])
            .fixture()
            .input("one\ntwo\n")
            .on_q35_too(),
    ]);
    for build in [Build::RustStatic, Build::RustDynamic] {
        cases.extend([
            program("rust_std", build, &["panic"]).tolerate(
                "number of the thread",
                r"'main' \(\d+\)",
                "'main'",
            ),
            program("rust_std", build, &["abort"]).message("SIGABRT"),
            program("rust_std", build, &["exit"]),
            program("rust_std", build, &["environment"])
                .variable("RUST_TEST", "set")
                .working_directory("/tmp"),
        ]);
    }
    cases
}

/// Bytes in which each position can be told from its neighbours.
fn pattern(length: u32) -> Vec<u8> {
    (0..length)
        .map(|index| (index.wrapping_mul(2_246_822_519) >> 11) as u8)
        .collect()
}
