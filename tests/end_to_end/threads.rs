//! Threads, signals, timers, and whatever threads wait for, on one processor and on several.

use pith_end_to_end::Case;
use pith_end_to_end::workshop::Build;

fn program(name: &str, build: Build, arguments: &[&str]) -> Case {
    let label = match arguments.first() {
        Some(first) => format!("{name}-{first}"),
        None => name.to_owned(),
    };
    Case::new(
        format!("threads::{label}-{}", build.name()),
        &format!("{{{name}:{}}}", build.name()),
        arguments,
    )
    .on_several_processors()
    .options(&["-m", "256M"])
}

/// Programs whose output is the same on every Linux.
const PROGRAMS: &[&str] = &[
    "thread_basics",
    "thread_locks",
    "thread_memory",
    "thread_translations",
    "large_pages",
    "user_faults",
    "user_faults_fork",
    "memory_storm",
    "thread_registers",
    "thread_atomics",
    "thread_first_ends",
    "thread_scheduling",
    "thread_files",
    "timers",
    "epoll",
    "eventfd",
    "unix_sockets",
    "receiving_together",
    "many_descriptors",
    "interrupted_calls",
    "io_uring",
    "io_uring_sockets",
    "io_uring_storm",
    "signal_storm",
    "asynchronous",
    "processes",
    "process_corners",
    "process_storm",
];

/// System V and POSIX IPC.
const COMMUNICATION: &[&str] = &[
    "sysv_shared_memory",
    "sysv_semaphores",
    "sysv_messages",
    "posix_queues",
    "posix_shared_memory",
];

pub fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = PROGRAMS
        .iter()
        .map(|name| program(name, Build::Dynamic, &[]))
        .collect();
    for name in COMMUNICATION {
        let mut case = program(name, Build::Dynamic, &[]);
        // One at a time: on the host their names and keys are everybody's.
        case.processors = vec![2];
        // Two threads say what they did: who is first is not determined.
        case.unordered = *name == "sysv_messages";
        cases.push(case);
    }
    cases.push(program("stopping", Build::Dynamic, &[]).message("SIGSTOP"));
    // Another C library, which uses the kernel's interfaces in its own way.
    cases.push(program("thread_basics", Build::MuslDynamic, &[]));
    cases.push(program("thread_basics", Build::Static, &[]));
    // It asks the vDSO on which processor it is.
    cases.push(program("processor_number", Build::MuslDynamic, &[]));
    for (how, message) in [
        ("return", None),
        ("exit-group", None),
        ("exec", None),
        ("signal", Some("SIGTERM")),
        ("fault", Some("SIGSEGV")),
        ("abort", Some("SIGABRT")),
    ] {
        let case = program("thread_endings", Build::Dynamic, &[how]);
        cases.push(match message {
            Some(message) => case.message(message),
            None => case,
        });
    }
    cases
}
