//! The command as a user types it, with this very program in QEMU's place.
//!
//! The machine that it plays writes its kernel command line to standard output, copies nothing, and exits
//! with the status in [`STATUS`]. Real machines are started by the end-to-end tests in `tests/`.

use std::env;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio, exit};

use libtest_mimic::{Arguments, Trial};
use pith_abi::channel::{
    CHANNEL_VERSION, ExitReport, FrameHeader, FrameKind, MemoryReport, Outcome, Timeline,
};
use zerocopy::IntoBytes;

/// Environment variable with the status that the machine ends with.
const STATUS: &str = "PITH_TEST_STATUS";

fn main() -> ExitCode {
    match env::args().nth(1).as_deref() {
        Some("-machine") => machine(),
        _ => tests(),
    }
}

fn machine() -> ! {
    let send = |kind: FrameKind, detail: u8, payload: &[u8]| {
        let header = FrameHeader {
            kind: kind as u8,
            detail,
            reserved: 0,
            length: payload.len().try_into().unwrap(),
        };
        let mut output = std::io::stdout().lock();
        output.write_all(header.as_bytes()).unwrap();
        output.write_all(payload).unwrap();
        output.flush().unwrap();
    };
    let option = |name: &str| env::args().skip_while(|word| word != name).nth(1).unwrap();
    let text = format!(
        "{} {} {}\n",
        option("-append"),
        option("-m"),
        option("-smp")
    );
    let report = ExitReport {
        outcome: Outcome::Exited(env::var(STATUS).map_or(0, |text| text.parse().unwrap())),
        timeline: Timeline {
            entry: 0,
            program: 2_000_000,
            exit: 3_000_000,
            ticks_per_second: 1_000_000_000,
        },
        memory: MemoryReport {
            total: 1 << 27,
            peak: 1 << 20,
        },
    };
    send(FrameKind::Ready, 0, &CHANNEL_VERSION.to_le_bytes());
    send(FrameKind::Output, 1, text.as_bytes());
    send(FrameKind::Exit, 0, &postcard::to_allocvec(&report).unwrap());
    exit(33)
}

/// A directory of this test's own.
fn directory(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::remove_dir_all(&path).ok();
    fs::create_dir_all(&path).unwrap();
    path
}

fn pith(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pith"));
    command
        .args(words)
        .env("PITH_QEMU", env::current_exe().unwrap())
        .env(
            "PITH_CACHE",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"),
        )
        .stdin(Stdio::null());
    command
}

/// Status, standard output, standard error.
fn outcome(command: &mut Command) -> (i32, String, String) {
    let output = command.output().unwrap();
    (
        output.status.code().unwrap(),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn the_status_is_the_programs() {
    // The ends of the range, and what shells, timeout(1) and signals make of a status.
    for status in [0, 1, 2, 64, 124, 125, 126, 127, 128, 130, 137, 254, 255] {
        let (found, output, error) =
            outcome(pith(&["run", "-q", "/bin/true"]).env(STATUS, status.to_string()));
        assert_eq!((found, error.as_str()), (status, ""));
        assert!(output.contains("pith.channel=virtio"), "{output}");
    }
}

fn options_reach_the_machine() {
    let words = [
        "run",
        "-q",
        "-m",
        "96M",
        "-c",
        "2",
        "--trace",
        "--log",
        "debug",
        "/bin/true",
        "-m",
    ];
    let (_, output, error) = outcome(&mut pith(&words));
    assert!(output.contains("pith.trace=1 pith.log=debug"), "{output}");
    assert!(output.ends_with(" 96M 2\n"), "{output}");
    assert_eq!(error, "");
}

fn images_are_built_inspected_and_run() {
    let directory = directory("images");
    let image = directory.join("echo.pith");
    let image = image.to_str().unwrap();
    let words = [
        "build",
        "-o",
        image,
        "--overridable",
        "arguments",
        "-m",
        "64M",
        "/bin/echo",
        "a b",
    ];
    let (status, output, error) = outcome(&mut pith(&words));
    assert_eq!(status, 0, "{error}");
    assert!(output.contains("sha256:"), "{output}");

    let (status, output, _) = outcome(&mut pith(&["inspect", "--json", image]));
    assert_eq!(status, 0);
    let value: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!(
        value["configuration"]["arguments"],
        serde_json::json!(["/bin/echo", "a b"])
    );
    let (_, versions, _) = outcome(&mut pith(&["version"]));
    let version = value["kernel"]["version"].as_str().unwrap();
    assert!(
        versions.contains(&format!("kernel {version} (")),
        "{versions}"
    );
    let (_, output, _) = outcome(&mut pith(&["inspect", image]));
    assert!(
        output.contains("arguments          /bin/echo 'a b'\n"),
        "{output}"
    );
    assert!(
        output.contains("overridable        arguments\n"),
        "{output}"
    );

    let (status, output, _) = outcome(pith(&["run", "-q", image, "-x", "y z"]).env(STATUS, "9"));
    assert_eq!(status, 9);
    assert!(
        output.starts_with("pith.argument=-x pith.argument=y%20z "),
        "{output}"
    );
    assert!(output.ends_with(" 64M 1\n"), "{output}");

    for (words, key) in [
        (&["-e", "A=b"][..], "environment"),
        (&["-w", "/tmp"], "working-directory"),
        (&["--trace"], "diagnostics"),
        (&["--tmpfs", "/tmp:size=1m"], "storage"),
        (&["--user", "nobody"], "user"),
        (&["--storage-opt", "size=1m"], "storage"),
    ] {
        let (status, _, error) = outcome(pith(&["run", "-q"]).args(words).arg(image));
        assert_eq!(status, 125);
        assert!(error.contains(&format!("--overridable {key}")), "{error}");
    }
    let (status, _, error) = outcome(&mut pith(&["run", "-q", "--file", "/bin/ls", image]));
    assert_eq!(status, 2);
    assert!(error.contains("is an image"), "{error}");
}

fn the_same_input_gives_the_same_bytes() {
    let directory = directory("twice");
    let images = ["one", "two"].map(|name| directory.join(name));
    for image in &images {
        let words = [
            "build",
            "-o",
            image.to_str().unwrap(),
            "-e",
            "A=1",
            "/bin/cat",
        ];
        assert_eq!(outcome(&mut pith(&words)).0, 0);
    }
    assert!(fs::read(&images[0]).unwrap() == fs::read(&images[1]).unwrap());
}

fn what_an_image_holds_is_told() {
    let directory = directory("told");
    let image = directory.join("told.image");
    let application = directory.join("application");
    fs::create_dir_all(&application).unwrap();
    fs::write(application.join("app.lua"), "require \"part\"\n").unwrap();
    fs::write(application.join("part.lua"), "").unwrap();
    let mut command = pith(&["build", "--json", "--verbose", "-o"]);
    command
        .arg(&image)
        .args(["/usr/bin/lua5.4", "app.lua"])
        .current_dir(&application);
    let (status, output, error) = outcome(&mut command);
    assert_eq!(status, 0, "{error}");
    let part = format!("pith: file: {}/part.lua (0 B)\n", application.display());
    assert!(error.contains(&part), "{error}");
    let taken = format!("took the directory `{}`: 2 files", application.display());
    assert!(error.contains(&taken), "{error}");
    let value: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert!(value["image_size"].as_u64() > Some(1 << 20), "{output}");
    let notes = value["notes"].as_array().unwrap();
    assert!(
        notes.iter().any(|note| {
            note["subject"] == "lua" && note["message"].as_str().unwrap().contains(&taken)
        }),
        "{output}"
    );
}

fn manifests_are_found() {
    let directory = directory("manifest");
    fs::write(
        directory.join("pith.toml"),
        "program = \"/bin/echo\"\narguments = [\"hello\"]\n",
    )
    .unwrap();
    let (status, _, error) = outcome(pith(&["build", "-o", "x.pith"]).current_dir(&directory));
    assert_eq!(status, 0, "{error}");
    let (_, output, _) = outcome(pith(&["inspect", "x.pith"]).current_dir(&directory));
    assert!(output.contains("/bin/echo hello"), "{output}");
    let (status, _, error) =
        outcome(pith(&["run", "-q", "-f", "pith.toml"]).current_dir(&directory));
    assert_eq!((status, error.as_str()), (0, ""));

    let (status, _, error) =
        outcome(pith(&["build", "-o", "x", "-f", "pith.toml", "ls"]).current_dir(&directory));
    assert_eq!(status, 2);
    assert!(error.contains("both a manifest and a program"), "{error}");
    let (status, _, error) = outcome(pith(&["build", "-o", "x"]).current_dir("/"));
    assert_eq!(status, 2);
    assert!(error.contains("nothing to build"), "{error}");
}

fn errors_have_a_status_and_a_remedy() {
    let expect = |words: &[&str], status: i32, texts: &[&str]| {
        let (found, output, error) = outcome(&mut pith(words));
        assert_eq!((found, output.as_str()), (status, ""), "{words:?}: {error}");
        for text in texts {
            assert!(error.contains(text), "{words:?}: {error}");
        }
    };
    expect(
        &["run", "--", "no-such-program"],
        127,
        &["`no-such-program`"],
    );
    expect(&["run", "/no/such/program"], 127, &["/no/such/program"]);
    expect(&["run", "/etc/hosts"], 126, &["/etc/hosts"]);
    expect(
        &["run", "--bogus", "ls"],
        2,
        &["unknown option `--bogus`", "remedy:"],
    );
    expect(&["run"], 2, &["no program"]);
    expect(&["run", "-m", "much", "ls"], 2, &["memory"]);
    expect(&["inspect", "/bin/ls"], 125, &["/bin/ls"]);
    expect(&["inspect", "/no/such/image"], 125, &["/no/such/image"]);
    expect(&["frobnicate"], 2, &["frobnicate"]);

    let (status, _, error) =
        outcome(pith(&["run", "-q", "/bin/true"]).env("PITH_QEMU", "/no/such/qemu"));
    assert_eq!(status, 125);
    assert!(error.contains("/no/such/qemu is not installed"), "{error}");
    assert!(error.contains("apt-get install qemu-system-x86"), "{error}");
}

fn figures_are_told_on_demand() {
    let (status, _, error) =
        outcome(pith(&["run", "-q", "--stats=json", "/bin/true"]).env(STATUS, "4"));
    assert_eq!(status, 4);
    let value: serde_json::Value = serde_json::from_str(&error).unwrap();
    assert_eq!(value["status"], 4);
    assert_eq!(value["guest"]["entry_to_program"], 2.0);
    assert!(value["host"]["ended"].as_f64() > value["host"]["ready"].as_f64());

    let (_, _, error) = outcome(&mut pith(&["run", "-q", "--stats", "/bin/true"]));
    assert!(error.contains("entry to program 2.0 ms"), "{error}");
}

fn a_missing_accelerator_is_told_once() {
    let cache = directory("notice");
    let run = |words: &[&str]| outcome(pith(words).env("PITH_CACHE", &cache));
    let (_, _, first) = run(&["run", "/bin/true"]);
    // Where KVM works there is nothing to tell.
    if first.is_empty() {
        assert!(!cache.join("accelerator-notice").exists());
        return;
    }
    assert!(
        first.contains("TCG") && first.lines().count() == 1,
        "{first}"
    );
    assert_eq!(run(&["run", "/bin/true"]).2, "");
    let (status, _, error) = run(&["run", "--accel", "kvm", "/bin/true"]);
    assert_eq!(status, 125);
    assert!(
        error.contains("KVM can't be used") && error.contains("--accel tcg"),
        "{error}"
    );
}

fn tests() -> ExitCode {
    let trial = |name: &str, test: fn()| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    };
    let trials = vec![
        trial("the_status_is_the_programs", the_status_is_the_programs),
        trial("options_reach_the_machine", options_reach_the_machine),
        trial(
            "images_are_built_inspected_and_run",
            images_are_built_inspected_and_run,
        ),
        trial(
            "the_same_input_gives_the_same_bytes",
            the_same_input_gives_the_same_bytes,
        ),
        trial("what_an_image_holds_is_told", what_an_image_holds_is_told),
        trial("manifests_are_found", manifests_are_found),
        trial(
            "errors_have_a_status_and_a_remedy",
            errors_have_a_status_and_a_remedy,
        ),
        trial("figures_are_told_on_demand", figures_are_told_on_demand),
        trial(
            "a_missing_accelerator_is_told_once",
            a_missing_accelerator_is_told_once,
        ),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
