//! Cards with several pairs of queues, on a TAP device: each processor has its own, what comes and goes is right, and
//! really takes the way of the processor whose thread talks.

use crate::command::ensure;
use crate::links::{pattern, there_and_back};
use pith_end_to_end::guest::{Guest, Network, Recipe};
use pith_end_to_end::namespace::{in_namespace, run};
use pith_end_to_end::workshop::Build;
use pith_end_to_end::{Machine, Workshop};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

/// A card, and how it is to be used.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    machine: Machine,
    processors: u32,
    /// Pairs of queues that the card is to have, if not one for each processor.
    asked: Option<u32>,
    /// The TAP device may have several.
    several: bool,
    /// Pairs that are used.
    used: u32,
}

const fn each(machine: Machine, processors: u32) -> Check {
    Check {
        machine,
        processors,
        asked: None,
        several: true,
        used: processors,
    }
}

/// The checks.
pub const CHECKS: &[Check] = &[
    each(Machine::Q35, 2),
    each(Machine::Q35, 4),
    each(Machine::Microvm, 2),
    each(Machine::Microvm, 4),
    // Fewer than processors.
    Check {
        asked: Some(2),
        used: 2,
        ..each(Machine::Q35, 4)
    },
    Check {
        asked: Some(3),
        used: 3,
        ..each(Machine::Microvm, 4)
    },
    // More than processors: where the control queue is does not depend on how many are used.
    Check {
        asked: Some(4),
        ..each(Machine::Q35, 1)
    },
    Check {
        asked: Some(4),
        ..each(Machine::Microvm, 2)
    },
    Check {
        several: false,
        used: 1,
        ..each(Machine::Q35, 2)
    },
];

/// The name of a check.
pub fn name(check: &Check) -> String {
    let queues = match (check.asked, check.several) {
        (Some(asked), _) => format!("{asked}"),
        (None, true) => "each".to_owned(),
        (None, false) => "single".to_owned(),
    };
    let (machine, processors) = (check.machine.name(), check.processors);
    format!("queues::{queues}@{machine}-{processors}")
}

/// The port of `tests/programs/queues.c`.
const PORT: u16 = 5557;
/// Bytes that each connection carries both ways.
const LENGTH: usize = 3_000_000;
/// How long nothing at all may arrive.
const LIMIT: Duration = Duration::from_secs(30);

/// Talks with threads on all processors at once, and looks at the way that it took.
pub fn check(workshop: &Workshop, check: &Check) -> Result<(), String> {
    let program = workshop.program("queues", Build::Dynamic)?;
    in_namespace(|| {
        let mut make = vec!["tuntap", "add", "dev", "wire", "mode", "tap"];
        if check.several {
            make.push("multi_queue");
        }
        run("ip", &make)?;
        run("ip", &["address", "add", "10.7.0.1/24", "dev", "wire"])?;
        run("ip", &["link", "set", "wire", "up"])?;
        let mut card = "tap:wire,ip=10.7.0.2/24".to_owned();
        if let Some(asked) = check.asked {
            card += &format!(",queues={asked}");
        }
        let network = Network::Direct(vec!["--net".into(), card], Ipv4Addr::new(10, 7, 0, 2));
        let mut recipe = Recipe::new(&[&program.to_string_lossy()], PORT);
        if !check.several {
            recipe =
                recipe.message("^pith: note: wire has a single queue, which all processors share");
        }
        let board = (check.machine, check.processors);
        let guest = Guest::start(workshop, board, &network, &recipe, |guest| {
            ask(guest.first_address(), b's', 0).map(drop)
        })?;
        let address = guest.first_address();
        talk(address, check.processors)
            .and_then(|()| look(address, check))
            .map_err(|error| guest.explain(&error))?;
        let said = guest.error_text();
        ensure(
            check.several || said.contains("mode tap multi_queue"),
            "nobody told of the single queue",
        )?;
        guest.stop().map(drop)
    })
}

fn connect(address: SocketAddr, wanted: u8, processor: u32) -> Result<TcpStream, String> {
    let told = |error: std::io::Error| format!("can't ask {address}: {error}");
    let mut stream = TcpStream::connect_timeout(&address, LIMIT).map_err(told)?;
    stream.set_read_timeout(Some(LIMIT)).map_err(told)?;
    stream.set_write_timeout(Some(LIMIT)).map_err(told)?;
    stream.write_all(&[wanted, processor as u8]).map_err(told)?;
    Ok(stream)
}

/// What the machine says of itself.
fn ask(address: SocketAddr, wanted: u8, processor: u32) -> Result<String, String> {
    let mut text = String::new();
    connect(address, wanted, processor)?
        .read_to_string(&mut text)
        .map_err(|error| format!("no answer: {error}"))?;
    Ok(text)
}

fn talk(address: SocketAddr, processors: u32) -> Result<(), String> {
    thread::scope(|scope| {
        let talks: Vec<_> = (0..processors)
            .map(|processor| scope.spawn(move || exchange(address, processor)))
            .collect();
        talks
            .into_iter()
            .try_for_each(|talk| talk.join().map_err(|_| "a thread of the test failed")?)
    })
}

/// Short questions and answers, and then much at once both ways, with a thread on one processor.
fn exchange(address: SocketAddr, processor: u32) -> Result<(), String> {
    let told = |error: std::io::Error| format!("with processor {processor}: {error}");
    let mut stream = connect(address, b'e', processor)?;
    let sent = pattern(LENGTH, processor);
    for question in sent.chunks(97).take(100) {
        let mut answer = vec![0; question.len()];
        stream.write_all(question).map_err(told)?;
        stream.read_exact(&mut answer).map_err(told)?;
        ensure(answer == question, "another answer came")?;
    }
    let received = there_and_back(&stream, &sent, told)?;
    ensure(
        received == sent,
        format!(
            "with processor {processor}, {} other bytes came back",
            received.len()
        ),
    )
}

/// Whether each pair of queues was used, and interrupted its processor alone.
fn look(address: SocketAddr, check: &Check) -> Result<(), String> {
    let text = ask(address, b's', 0)?;
    let counts: BTreeMap<&str, u64> = text
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(name, count)| Some((name, count.parse().ok()?)))
        .collect();
    let count = |name: &str| counts.get(name).copied();
    let used = u64::from(check.used);
    ensure(
        count("driver:virtio_net") == Some(1)
            && count("link") == Some(1)
            && count("pairs") == Some(used),
        format!("{used} pairs of queues were expected:\n{text}"),
    )?;
    for pair in 0..check.used {
        for way in ["rx", "tx"] {
            let figure = |what: &str| count(&format!("{way}_queue_{pair}_{what}"));
            // Whoever deals with an arrival, what its connection sends goes by the pair of the thread that talks.
            let enough =
                figure("bytes") > Some(LENGTH as u64 / 10 * 9) && figure("packets") > Some(100);
            ensure(
                enough && figure("drops") == Some(0),
                format!("{way} of pair {pair} was not used as it should be:\n{text}"),
            )?;
        }
    }
    let interrupts = ask(address, b'i', 0)?;
    let problem = |what: &str| format!("{what}:\n{interrupts}");
    let row = |name: &str| -> Result<Vec<u64>, String> {
        let line = interrupts
            .lines()
            .find(|line| line.ends_with(&format!(" {name}")));
        let line = line.ok_or_else(|| problem(&format!("there is no interrupt {name}")))?;
        let figures = line.split_whitespace().skip(1);
        let figures = figures.take(check.processors as usize).map(str::parse);
        figures
            .collect::<Result<_, _>>()
            .map_err(|_| problem("no numbers"))
    };
    if check.machine == Machine::Microvm {
        return ensure(
            row("eth0")?.iter().sum::<u64>() > 0,
            problem("there was no interrupt"),
        );
    }
    for pair in 0..check.used as usize {
        let figures = row(&format!("eth0-input.{pair}"))?;
        let alone = figures
            .iter()
            .enumerate()
            .all(|(cpu, &count)| (count > 0) == (cpu == pair));
        ensure(
            alone,
            problem(&format!("pair {pair} is not its processor's")),
        )?;
    }
    Ok(())
}
