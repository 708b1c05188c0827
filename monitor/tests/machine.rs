//! The host's half of the channel against a guest that behaves, misbehaves, or is silent.
//!
//! This one program has three roles. Without arguments of its own it is the test runner. The runner starts
//! it as `--host SCENARIO`, where it does what `pith run` does: call [`pith_monitor::run`] and exit with the
//! report's status. That in turn starts it in QEMU's place, with QEMU's arguments, and there it speaks the
//! guest's half of the channel over its standard input and output as [`SCENARIO`] asks.

use std::env;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitCode, Output, Stdio, exit};
use std::thread;
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Trial};
use pith_abi::channel::{
    CHANNEL_VERSION, ExitReport, FrameHeader, FrameKind, MemoryReport, Outcome, Timeline,
};
use pith_monitor::accelerator::Accelerator;
use pith_monitor::command_line::KernelCommandLine;
use pith_monitor::{HostStreams, MachineSpecification, MachineType, Qemu, RunOptions, run};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use zerocopy::{FromBytes, IntoBytes};

/// Environment variable that tells the guest what to do.
const SCENARIO: &str = "PITH_TEST_SCENARIO";

/// Environment variable with the time limit in milliseconds.
const TIMEOUT: &str = "PITH_TEST_TIMEOUT";

/// Nothing in these tests takes longer, unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    match env::args().nth(1).as_deref() {
        Some("--host") => host(),
        Some("-machine") => guest(),
        _ => tests(),
    }
}

// ---------------------------------------------------------------------------------------------- the host

fn host() -> ! {
    let specification = MachineSpecification {
        image: "/dev/null".into(),
        memory_mebibytes: 64,
        cpus: 1,
        accelerator: Accelerator::Tcg,
        machine_type: MachineType::Microvm,
        cpu_model: None,
        network: Vec::new(),
        command_line: KernelCommandLine::new(),
    };
    let options = RunOptions {
        timeout: env::var(TIMEOUT)
            .ok()
            .map(|text| Duration::from_millis(text.parse().unwrap())),
        ..RunOptions::default()
    };
    let qemu = Qemu::at(env::current_exe().unwrap());
    match run(&qemu, &specification, HostStreams::standard(), &options) {
        Ok(report) => exit(report.status().into()),
        Err(error) => {
            eprintln!("host: {error}");
            eprintln!("remedy: {}", error.remedy().unwrap_or("none"));
            exit(125);
        }
    }
}

// --------------------------------------------------------------------------------------------- the guest

/// The guest's end of the channel.
struct Channel;

impl Channel {
    fn bytes(bytes: &[u8]) {
        let mut output = std::io::stdout().lock();
        output.write_all(bytes).unwrap();
        output.flush().unwrap();
    }

    fn send(kind: FrameKind, detail: u8, payload: &[u8]) {
        let header = FrameHeader {
            kind: kind as u8,
            detail,
            reserved: 0,
            length: payload.len().try_into().unwrap(),
        };
        Self::bytes(&[header.as_bytes(), payload].concat());
    }

    fn ready() {
        Self::send(FrameKind::Ready, 0, &CHANNEL_VERSION.to_le_bytes());
    }

    fn credit(bytes: u32) {
        Self::send(FrameKind::InputCredit, 0, &bytes.to_le_bytes());
    }

    fn exit(outcome: Outcome) -> ! {
        let report = ExitReport {
            outcome,
            timeline: Timeline::default(),
            memory: MemoryReport::default(),
        };
        let payload = postcard::to_allocvec(&report).unwrap();
        Self::send(FrameKind::Exit, 0, &payload);
        exit(33)
    }

    /// The next frame from the host, other than the one that tells the time.
    fn receive() -> (u8, u8, Vec<u8>) {
        loop {
            let frame = Self::receive_any();
            if frame.0 != FrameKind::Time as u8 {
                return frame;
            }
        }
    }

    fn receive_any() -> (u8, u8, Vec<u8>) {
        let mut input = std::io::stdin().lock();
        let mut header = [0; 8];
        input.read_exact(&mut header).unwrap();
        let header = FrameHeader::read_from_bytes(&header).unwrap();
        let mut payload = vec![0; header.length as usize];
        input.read_exact(&mut payload).unwrap();
        (header.kind, header.detail, payload)
    }

    fn receive_signal() -> u8 {
        loop {
            let (kind, _, payload) = Self::receive();
            if kind == FrameKind::Signal as u8 {
                return payload[0];
            }
        }
    }
}

fn hang() -> ! {
    loop {
        thread::sleep(Duration::from_secs(60));
    }
}

fn guest() -> ! {
    let scenario = env::var(SCENARIO).unwrap();
    let (name, argument) = scenario.split_once(':').unwrap_or((&scenario, ""));
    let output = |text: &[u8]| Channel::send(FrameKind::Output, 1, text);
    match name {
        // Before the channel is up.
        "silent" => exit(0),
        "hang-early" => hang(),
        "complaint" => {
            eprintln!("qemu-system-x86_64: cannot set up guest memory 'memory': no");
            exit(1)
        }
        "version" => {
            Channel::send(FrameKind::Ready, 0, &99_u32.to_le_bytes());
            hang()
        }
        "garbage" => {
            Channel::bytes(b"this is no frame at all");
            hang()
        }
        "arguments" => {
            Channel::ready();
            let append = env::args().skip_while(|word| word != "-append").nth(1);
            output(append.unwrap().as_bytes());
            Channel::exit(Outcome::Exited(0))
        }
        _ => {}
    }
    Channel::ready();
    match name {
        "exit" => Channel::exit(Outcome::Exited(argument.parse().unwrap())),
        "signal" => Channel::exit(Outcome::Signaled {
            signal: argument.parse().unwrap(),
            reason: "address 0x10".into(),
        }),
        "not-started" => Channel::exit(Outcome::NotStarted {
            errno: argument.parse().unwrap(),
            message: "no such thing".into(),
        }),
        "panic" => {
            eprintln!("rip 0xffffffff80001000");
            Channel::send(FrameKind::Log, 1, b"registers");
            Channel::exit(Outcome::Panicked("index out of bounds".into()))
        }
        "streams" => {
            for number in 0..100 {
                Channel::send(FrameKind::Output, 1, format!("out {number}\n").as_bytes());
                Channel::send(FrameKind::Output, 2, format!("err {number}\n").as_bytes());
            }
            Channel::exit(Outcome::Exited(0))
        }
        "messages" => {
            Channel::send(FrameKind::Output, 2, b"half a line");
            Channel::send(FrameKind::Log, 2, b"fork is not implemented");
            Channel::send(FrameKind::Trace, 0, b"getpid() = 1");
            Channel::exit(Outcome::Exited(0))
        }
        "echo" => echo(argument.parse().unwrap()),
        "no-credit" => {
            thread::sleep(Duration::from_millis(300));
            Channel::exit(Outcome::Exited(0))
        }
        "large" => {
            let block: Vec<u8> = (0..65536_u32).map(|byte| byte as u8).collect();
            for _ in 0..128 {
                output(&block);
            }
            Channel::exit(Outcome::Exited(0))
        }
        "until-closed" => {
            output(b"first line\n");
            thread::spawn(|| {
                loop {
                    Channel::send(FrameKind::Output, 1, &[b'y'; 1000]);
                    thread::sleep(Duration::from_millis(1));
                }
            });
            let (kind, detail, _) = Channel::receive();
            assert_eq!((kind, detail), (FrameKind::OutputClosed as u8, 1));
            Channel::exit(Outcome::Exited(7))
        }
        "signals" => {
            // Ends with the number of the first signal.
            output(b"go\n");
            Channel::exit(Outcome::Exited(Channel::receive_signal()))
        }
        "stubborn" => {
            output(format!("{}\n", std::process::id()).as_bytes());
            loop {
                let signal = Channel::receive_signal();
                output(format!("got {signal}\n").as_bytes());
            }
        }
        "lost" => {
            output(b"so far");
            exit(argument.parse().unwrap())
        }
        "closed" => {
            output(b"so far");
            // Closes the pipe without ending: descriptor 1 leads elsewhere now.
            rustix::stdio::dup2_stdout(File::create("/dev/null").unwrap()).unwrap();
            hang()
        }
        "cut" => {
            Channel::bytes(&[2, 1, 0, 0, 100, 0, 0, 0, b'x']);
            exit(0)
        }
        "lingering" => {
            output(b"done");
            let report = ExitReport {
                outcome: Outcome::Exited(5),
                timeline: Timeline::default(),
                memory: MemoryReport::default(),
            };
            Channel::send(FrameKind::Exit, 0, &postcard::to_allocvec(&report).unwrap());
            hang()
        }
        "terminal" => {
            // No echo, no line editing, no signals; interrupt character Ctrl-A.
            let mut termios = [0; 36];
            termios[4..8].copy_from_slice(&5_u32.to_le_bytes());
            termios[17] = 1;
            Channel::send(FrameKind::TerminalAttributes, 0, &termios);
            Channel::credit(1);
            output(b"raw");
            loop {
                let (kind, _, payload) = Channel::receive();
                if kind == FrameKind::Input as u8 {
                    Channel::exit(Outcome::Exited(payload[0]));
                }
            }
        }
        other => panic!("no scenario {other}"),
    }
}

/// Copies standard input to standard output, granting `step` bytes at a time.
fn echo(step: u32) -> ! {
    let mut granted = 0_u64;
    let mut received = 0_u64;
    loop {
        if granted == received {
            Channel::credit(step);
            granted += u64::from(step);
        }
        let (kind, _, payload) = Channel::receive();
        if kind == FrameKind::InputEnd as u8 {
            Channel::exit(Outcome::Exited(0));
        }
        assert_eq!(kind, FrameKind::Input as u8);
        received += payload.len() as u64;
        if received > granted {
            Channel::exit(Outcome::Exited(99));
        }
        Channel::send(FrameKind::Output, 1, &payload);
    }
}

// --------------------------------------------------------------------------------------------- the tests

/// A host that will run a scenario.
fn command(scenario: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .arg("--host")
        .env(SCENARIO, scenario)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Waits for a process to end; one that takes too long is a failure.
fn finish(child: Child) -> Output {
    let id = Pid::from_child(&child);
    let (done, watch) = std::sync::mpsc::channel::<()>();
    let watchdog = thread::spawn(move || {
        if watch.recv_timeout(PATIENCE).is_err() {
            let _ = kill_process(id, Signal::KILL);
            panic!("the host hangs");
        }
    });
    let output = child.wait_with_output().unwrap();
    done.send(()).unwrap();
    watchdog.join().unwrap();
    output
}

fn outcome(scenario: &str) -> (i32, String, String) {
    let output = finish(command(scenario).spawn().unwrap());
    (
        output.status.code().expect("the host exits"),
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    )
}

fn exit_statuses() {
    for status in [0, 1, 2, 33, 124, 125, 126, 127, 128, 129, 200, 254, 255] {
        assert_eq!(
            outcome(&format!("exit:{status}")),
            (status, String::new(), String::new())
        );
    }
}

fn fatal_signals() {
    let (status, output, error) = outcome("signal:11");
    assert_eq!((status, output.as_str()), (139, ""));
    assert_eq!(
        error,
        "pith: program killed by signal 11 (SIGSEGV): address 0x10\n"
    );
    assert_eq!(outcome("signal:13"), (141, String::new(), String::new()));
}

fn programs_that_do_not_start() {
    let (status, _, error) = outcome("not-started:2");
    assert_eq!(
        (status, error.as_str()),
        (127, "pith: error: no such thing\n")
    );
    assert_eq!(outcome("not-started:8").0, 126);
}

fn kernel_panics() {
    let (status, _, error) = outcome("panic");
    assert_eq!(status, 125);
    assert!(
        error.contains("pith: kernel: rip 0xffffffff80001000\n"),
        "{error}"
    );
    assert!(error.contains("pith: error: registers\n"), "{error}");
    assert!(
        error.contains("the kernel panicked: index out of bounds\n"),
        "{error}"
    );
    assert!(error.contains("remedy:"), "{error}");
}

fn streams_stay_apart() {
    let (status, output, error) = outcome("streams");
    let lines = |word: &str| {
        (0..100)
            .map(|n| format!("{word} {n}\n"))
            .collect::<String>()
    };
    assert_eq!((status, output, error), (0, lines("out"), lines("err")));
}

fn streams_keep_their_order_in_one_file() {
    let (read, write) = rustix::pipe::pipe().unwrap();
    let child = command("streams")
        .stdout(write.try_clone().unwrap())
        .stderr(write)
        .spawn()
        .unwrap();
    let mut text = String::new();
    File::from(read).read_to_string(&mut text).unwrap();
    finish(child);
    let expected: String = (0..100).map(|n| format!("out {n}\nerr {n}\n")).collect();
    assert_eq!(text, expected);
}

fn messages_and_trace() {
    let (status, _, error) = outcome("messages");
    assert_eq!(status, 0);
    assert_eq!(
        error,
        "half a line\npith: warning: fork is not implemented\ngetpid() = 1\n"
    );
}

fn input_by_credit() {
    let sent: Vec<u8> = (0..200_000_u32).map(|n| (n * 7 % 251) as u8).collect();
    for step in [1000, 65536, 100_000] {
        let mut child = command(&format!("echo:{step}"))
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        let copy = sent.clone();
        let writer = thread::spawn(move || input.write_all(&copy));
        let output = finish(child);
        writer.join().unwrap().unwrap();
        assert_eq!(output.status.code(), Some(0), "step {step}");
        assert!(output.stdout == sent, "step {step}");
    }
}

fn input_without_credit_is_left_alone() {
    let (read, write) = rustix::pipe::pipe().unwrap();
    let kept = read.try_clone().unwrap();
    File::from(write.try_clone().unwrap())
        .write_all(b"for somebody else")
        .unwrap();
    drop(write);
    let child = command("no-credit").stdin(read).spawn().unwrap();
    assert_eq!(finish(child).status.code(), Some(0));
    let mut left = String::new();
    File::from(kept).read_to_string(&mut left).unwrap();
    assert_eq!(left, "for somebody else");
}

fn large_output_to_a_slow_reader() {
    let mut child = command("large").spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    let reader = thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        let mut bytes = Vec::new();
        output.read_to_end(&mut bytes).unwrap();
        bytes
    });
    assert_eq!(finish(child).status.code(), Some(0));
    let bytes = reader.join().unwrap();
    assert_eq!(bytes.len(), 128 * 65536);
    assert!(
        bytes
            .iter()
            .enumerate()
            .all(|(index, &byte)| byte == index as u8)
    );
}

fn a_reader_that_leaves() {
    let mut child = command("until-closed").spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    let mut first = [0; 11];
    output.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"first line\n");
    drop(output);
    assert_eq!(finish(child).status.code(), Some(7));
}

fn output_that_can_not_be_written() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = finish(command("lingering").stdout(full).spawn().unwrap());
    assert_eq!(output.status.code(), Some(125));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(
        error.contains("can't write standard output: No space left"),
        "{error}"
    );
}

/// Starts a scenario that writes a line when it is ready, and returns that line.
fn started(command: &mut Command) -> (Child, String) {
    let mut child = command.spawn().unwrap();
    let output = child.stdout.as_mut().unwrap();
    let mut line = Vec::new();
    let mut byte = [0];
    while line.last() != Some(&b'\n') {
        output.read_exact(&mut byte).unwrap();
        line.push(byte[0]);
    }
    (child, String::from_utf8(line).unwrap())
}

fn signals_reach_the_program() {
    for signal in [Signal::INT, Signal::TERM, Signal::HUP, Signal::QUIT] {
        let (child, _) = started(&mut command("signals"));
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(finish(child).status.code(), Some(signal.as_raw()));
    }
}

fn a_group_signal_leaves_the_machine_alone() {
    // As the terminal does it: the whole foreground group gets the signal.
    let (child, _) = started(command("signals").process_group(0));
    kill_process_group(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(finish(child).status.code(), Some(2));
}

fn ignored_signals_stay_ignored() {
    // `trap '' HUP` and exec: the disposition is inherited.
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "trap '' HUP; exec \"$0\" --host"])
        .arg(env::current_exe().unwrap())
        .env(SCENARIO, "signals")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let (child, _) = started(&mut shell);
    let id = Pid::from_child(&child);
    kill_process(id, Signal::HUP).unwrap();
    thread::sleep(Duration::from_millis(100));
    kill_process(id, Signal::INT).unwrap();
    assert_eq!(finish(child).status.code(), Some(2));
}

fn a_second_interrupt_kills() {
    let (mut child, _) = started(&mut command("stubborn"));
    let id = Pid::from_child(&child);
    let mut output = child.stdout.take().unwrap();
    let mut answer = [0; 6];
    kill_process(id, Signal::INT).unwrap();
    output.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"got 2\n");
    kill_process(id, Signal::INT).unwrap();
    let ended = finish(child);
    assert_eq!(ended.status.code(), Some(130));
    assert!(String::from_utf8_lossy(&ended.stderr).contains("second SIGINT"));
}

fn an_interrupt_before_the_program_kills() {
    let child = command("hang-early").spawn().unwrap();
    // Until the signals are taken over, the default action ends the host; both are the end.
    thread::sleep(Duration::from_millis(300));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(finish(child).status.code(), Some(130));
}

fn time_limits() {
    for scenario in ["stubborn", "hang-early"] {
        let start = Instant::now();
        let output = finish(command(scenario).env(TIMEOUT, "300").spawn().unwrap());
        assert_eq!(output.status.code(), Some(124), "{scenario}");
        assert!(start.elapsed() >= Duration::from_millis(300));
        assert!(start.elapsed() < Duration::from_secs(5));
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(error.contains("still ran after 300ms"), "{error}");
    }
    // The time limit works though nobody reads the output.
    let child = command("large").env(TIMEOUT, "300").spawn().unwrap();
    let id = Pid::from_child(&child);
    thread::sleep(Duration::from_millis(3500));
    let ended = rustix::process::test_kill_process(id).is_err()
        || fs::read_to_string(format!("/proc/{}/stat", id.as_raw_pid()))
            .is_ok_and(|stat| stat.contains(") Z "));
    assert!(ended, "the host waits for a reader that doesn't read");
    assert_eq!(finish(child).status.code(), Some(124));
}

fn lost_channels() {
    let expect = |scenario: &str, output: &str, words: &[&str]| {
        let (status, found, error) = outcome(scenario);
        assert_eq!(
            (status, found.as_str()),
            (125, output),
            "{scenario}: {error}"
        );
        for word in words {
            assert!(error.contains(word), "{scenario}: {error}");
        }
    };
    expect("silent", "", &["before the program began", "status 0"]);
    expect(
        "complaint",
        "",
        &[
            "cannot set up guest memory",
            "remedy: give the machine less memory",
        ],
    );
    expect(
        "lost:3",
        "so far",
        &["before the program ended", "status 3"],
    );
    expect("closed", "so far", &["closed the channel"]);
    expect("cut", "", &["before the program ended"]);
    expect("version", "", &["version 99", "build the image again"]);
    expect("garbage", "", &["channel to the guest is broken"]);
}

fn a_monitor_that_lingers_is_killed_soon() {
    let start = Instant::now();
    assert_eq!(outcome("lingering"), (5, "done".into(), String::new()));
    assert!(start.elapsed() < Duration::from_secs(2));
}

fn no_machine_outlives_its_host() {
    let (mut child, line) = started(&mut command("stubborn"));
    let machine: u32 = line.trim().parse().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let until = Instant::now() + PATIENCE;
    loop {
        // Somebody else may have to reap it: a zombie runs no more.
        match fs::read_to_string(format!("/proc/{machine}/stat")) {
            Err(_) => break,
            Ok(stat) if stat.contains(") Z ") || stat.contains(") X ") => break,
            Ok(stat) => assert!(Instant::now() < until, "still there: {stat}"),
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn the_kernel_is_told_about_the_host() {
    let (_, words, _) = outcome("arguments");
    assert!(words.contains("pith.channel=virtio"), "{words}");
    assert!(words.contains("pith.input=none"), "{words}");
    assert!(words.contains("pith.time="), "{words}");
    assert!(!words.contains("pith.terminal"), "{words}");

    let output = finish(command("arguments").stdin(Stdio::piped()).spawn().unwrap());
    assert!(
        !String::from_utf8(output.stdout)
            .unwrap()
            .contains("pith.input")
    );
}

fn the_terminal_is_lent_and_given_back() {
    use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
    use rustix::termios::{LocalModes, SpecialCodeIndex, Winsize, tcgetattr, tcsetwinsize};

    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let keyboard = openpt(flags).unwrap();
    grantpt(&keyboard).unwrap();
    unlockpt(&keyboard).unwrap();
    let terminal = ioctl_tiocgptpeer(&keyboard, flags).unwrap();
    tcsetwinsize(
        &terminal,
        Winsize {
            ws_row: 31,
            ws_col: 99,
            ws_xpixel: 0,
            ws_ypixel: 0,
        },
    )
    .unwrap();
    let modes = || {
        let termios = tcgetattr(terminal.as_fd()).unwrap();
        (
            termios.local_modes,
            termios.special_codes[SpecialCodeIndex::VINTR],
        )
    };
    let before = modes();
    assert!(before.0.contains(LocalModes::ICANON | LocalModes::ECHO));

    let told = finish(
        command("arguments")
            .stdin(terminal.try_clone().unwrap())
            .spawn()
            .unwrap(),
    );
    let words = String::from_utf8(told.stdout).unwrap();
    assert!(
        words.contains("pith.terminal=0 pith.window=31x99"),
        "{words}"
    );

    // Ends by itself, and ends by a signal that nobody can pass on in time.
    for end in [true, false] {
        let mut child = command("terminal")
            .stdin(terminal.try_clone().unwrap())
            .spawn()
            .unwrap();
        let mut ready = [0; 3];
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut ready)
            .unwrap();
        assert_eq!(modes(), (LocalModes::empty(), 1));
        let status = match end {
            true => {
                rustix::io::write(&keyboard, b"\x03").unwrap();
                3
            }
            false => {
                let id = Pid::from_child(&child);
                kill_process(id, Signal::INT).unwrap();
                thread::sleep(Duration::from_millis(100));
                kill_process(id, Signal::INT).unwrap();
                130
            }
        };
        assert_eq!(finish(child).status.code(), Some(status));
        assert_eq!(modes(), before);
    }
}

fn tests() -> ExitCode {
    let trial = |name: &str, test: fn()| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    };
    let trials = vec![
        trial("exit_statuses", exit_statuses),
        trial("fatal_signals", fatal_signals),
        trial("programs_that_do_not_start", programs_that_do_not_start),
        trial("kernel_panics", kernel_panics),
        trial("streams_stay_apart", streams_stay_apart),
        trial(
            "streams_keep_their_order_in_one_file",
            streams_keep_their_order_in_one_file,
        ),
        trial("messages_and_trace", messages_and_trace),
        trial("input_by_credit", input_by_credit),
        trial(
            "input_without_credit_is_left_alone",
            input_without_credit_is_left_alone,
        ),
        trial(
            "large_output_to_a_slow_reader",
            large_output_to_a_slow_reader,
        ),
        trial("a_reader_that_leaves", a_reader_that_leaves),
        trial(
            "output_that_can_not_be_written",
            output_that_can_not_be_written,
        ),
        trial("signals_reach_the_program", signals_reach_the_program),
        trial(
            "a_group_signal_leaves_the_machine_alone",
            a_group_signal_leaves_the_machine_alone,
        ),
        trial("ignored_signals_stay_ignored", ignored_signals_stay_ignored),
        trial("a_second_interrupt_kills", a_second_interrupt_kills),
        trial(
            "an_interrupt_before_the_program_kills",
            an_interrupt_before_the_program_kills,
        ),
        trial("time_limits", time_limits),
        trial("lost_channels", lost_channels),
        trial(
            "a_monitor_that_lingers_is_killed_soon",
            a_monitor_that_lingers_is_killed_soon,
        ),
        trial("no_machine_outlives_its_host", no_machine_outlives_its_host),
        trial(
            "the_kernel_is_told_about_the_host",
            the_kernel_is_told_about_the_host,
        ),
        trial(
            "the_terminal_is_lent_and_given_back",
            the_terminal_is_lent_and_given_back,
        ),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}
