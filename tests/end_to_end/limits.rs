//! Sizes of memory, models of processors, and what happens when something is not enough.

use pith_end_to_end::{Case, Machine};

/// The oldest processor that is supported: QEMU's `qemu64` has what every x86-64 has had, and NX.
const OLDEST_PROCESSOR: &str = "qemu64";

/// It has no RDRAND, of which the user is told.
const NO_GENERATOR: &str = "no random number generator";

fn hello(name: &str, options: &[&str]) -> Case {
    Case::new(format!("limits::{name}"), "{hello:static}", &[]).options(options)
}

fn with_processors(mut case: Case) -> Case {
    case.processors = vec![2, 8, 64];
    case
}

fn only_on_q35(mut case: Case) -> Case {
    case.machines = vec![Machine::Q35];
    case
}

pub fn cases() -> Vec<Case> {
    vec![
        hello("memory-16M", &["-m", "16M"]).on_q35_too(),
        hello("memory-64M", &["-m", "64M"]),
        hello("memory-3G", &["-m", "3G"]),
        hello("memory-5G", &["-m", "5G"]).on_q35_too(),
        only_on_q35(hello("memory-64G", &["-m", "64G"])),
        hello("memory-too-little", &["-m", "2M"]).stated(&[125, 126], "^$", "(?i)memory"),
        with_processors(hello("processors", &["-m", "512M"]).on_q35_too()),
        hello("processor-oldest", &["--cpu", OLDEST_PROCESSOR])
            .message(NO_GENERATOR)
            .on_q35_too(),
        Case::new(
            "limits::processor-oldest-dynamic",
            "/usr/bin/sha256sum",
            &["{fixture}/large.bin"],
        )
        .fixture()
        .message(NO_GENERATOR)
        .options(&["--cpu", OLDEST_PROCESSOR]),
        Case::new("limits::processor-oldest-random", "{random:dynamic}", &[])
            .message(NO_GENERATOR)
            .options(&["--cpu", OLDEST_PROCESSOR]),
        // Told ENOMEM (3), or killed by name (137): never a hang.
        Case::new(
            "limits::memory-exhausted",
            "{use_memory:static}",
            &["touch"],
        )
        .options(&["-m", "48M"])
        .stated(&[3, 137], "", "^$|(?i)memory"),
        // Large pages come where they are asked for, and where much memory is filled in order; not here and there.
        Case::new("limits::large-pages", "{large_pages:static}", &["count"])
            .options(&["-m", "128M"])
            .stated(
                &[0],
                "^asked for: 8192\nin order: most\nhere and there: 0\n$",
                "^$",
            ),
        // The log says what memory was used for.
        Case::new(
            "limits::memory-exhausted-log",
            "{use_memory:static}",
            &["share"],
        )
        .options(&["-m", "48M"])
        .stated(
            &[137],
            "^$",
            r"memory: \d+ KiB, of which .*\n.*memory: 0x.*READ \| WRITE.*KiB\n(?s:.*)out of memory",
        ),
        // Of several processes the one that holds most, or says that it may go first.
        Case::new("limits::memory-killer", "{memory_killer:static}", &[])
            .options(&["-m", "64M"])
            .stated(
                &[0],
                "^(.*: yes\n)+$",
                "(out of memory: process .* is killed.*(?s:.*)){5}",
            )
            .on_several_processors(),
        // What programs can do without is given up first.
        Case::new("limits::memory-lazy", "{memory_lazy:static}", &["pressure"])
            .options(&["-m", "64M"])
            .stated(&[0], "^(.*: yes\n)+$", "^$")
            .on_several_processors(),
        // The kernel's own objects of all kinds: refused in order, and all memory is there again when they are gone.
        Case::new(
            "limits::memory-for-objects",
            "{memory_pressure:static}",
            &["exhaust"],
        )
        .options(&["-m", "24M"])
        .stated(&[0], "^(.*: (refused in order|yes)\n)+$", "^$"),
        Case::new(
            "limits::memory-comes-back",
            "{memory_pressure:static}",
            &["churn", "6"],
        )
        .options(&["-m", "64M"])
        .stated(&[0], "^(.*: yes\n)+$", "^$")
        .on_several_processors(),
        Case::new(
            "limits::memory-reserved",
            "{use_memory:static}",
            &["reserve"],
        )
        .stated(&[3], "^mmap: Cannot allocate memory\n$", "^$"),
        Case::new(
            "limits::memory-for-files",
            "/bin/dd",
            &[
                "if=/dev/zero",
                "of=/tmp/large",
                "bs=1M",
                "count=500",
                "status=none",
            ],
        )
        .options(&["-m", "64M"])
        .stated(&[1, 137], "^$", "(?i)no space left|memory"),
    ]
}
