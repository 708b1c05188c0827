//! Servers in machines, asked over a TAP device from a network namespace: rates, latencies, time to serve, least memory,
//! instructions per request.
//!
//! For each server a machine of either side runs, and they are asked in turns.

mod clients;
mod counting;
mod load;
mod machine;
mod server;
mod wire;

use crate::Options;
use crate::figures::{Figure, Figures, least, progress};
use crate::run::Workshop;
use counting::Counting;
use machine::{Factory, Machine, Setting, Side};
use server::{SERVERS, Server};
use std::net::SocketAddrV4;
use std::path::Path;
use std::time::Duration;

pub use wire::enter;

/// Memory of the machines, in MiB.
const MEMORY: u32 = 256;

/// The most memory that is tried when looking for the least, in MiB.
const MOST_MEMORY: u32 = 256;

/// What one measurement gives: name, unit, aim.
type Row = (&'static str, &'static str, &'static str);

/// A measurement of a server.
struct Load {
    server: &'static str,
    rows: &'static [Row],
    /// One value for each row.
    measure: fn(SocketAddrV4) -> Result<Vec<f64>, String>,
}

const PER_SECOND: &str = "requests/s";
const FIVE_TIMES: &str = "5 times Linux";
const THREE_TIMES: &str = "3 times Linux";
const TWICE: &str = "twice Linux";

/// All loads; those of one server follow each other.
const LOADS: [Load; 10] = [
    Load {
        server: "nginx",
        rows: &[("nginx, kept connections", PER_SECOND, FIVE_TIMES)],
        measure: |address| clients::wrk(address, false),
    },
    Load {
        server: "nginx",
        rows: &[("nginx, a connection each", PER_SECOND, FIVE_TIMES)],
        measure: |address| clients::wrk(address, true),
    },
    Load {
        server: "nginx",
        rows: &[
            ("nginx, 1,000 requests/s: latency, median", "µs", ""),
            (
                "nginx, 1,000 requests/s: latency, 99.9th percentile",
                "µs",
                "5 times the median",
            ),
        ],
        measure: |address| own(load::http_latency(address)),
    },
    Load {
        server: "redis",
        rows: &[
            ("redis SET", PER_SECOND, THREE_TIMES),
            ("redis GET", PER_SECOND, THREE_TIMES),
        ],
        measure: |address| clients::redis(address, 1),
    },
    Load {
        server: "redis",
        rows: &[
            ("redis SET, 16 at a time", PER_SECOND, TWICE),
            ("redis GET, 16 at a time", PER_SECOND, TWICE),
        ],
        measure: |address| clients::redis(address, 16),
    },
    Load {
        server: "memcached",
        rows: &[
            ("memcached set", PER_SECOND, THREE_TIMES),
            ("memcached get", PER_SECOND, THREE_TIMES),
        ],
        measure: |address| own(load::memcached(address)),
    },
    Load {
        server: "iperf3",
        rows: &[("iperf3, into the machine", "Mbit/s", TWICE)],
        measure: |address| clients::iperf(address, false),
    },
    Load {
        server: "iperf3",
        rows: &[("iperf3, out of the machine", "Mbit/s", TWICE)],
        measure: |address| clients::iperf(address, true),
    },
    Load {
        server: "echo",
        rows: &[("echo: connections", "1/s", FIVE_TIMES)],
        measure: |address| own(load::connections(address)),
    },
    Load {
        server: "datagrams",
        rows: &[
            ("UDP to and fro, median", "µs", ""),
            (
                "UDP to and fro, 99.9th percentile",
                "µs",
                "5 times the median",
            ),
        ],
        measure: |address| own(load::datagram_round_trips(address)),
    },
];

const FIRST_ANSWER: Row = (
    "from the start to nginx's first answer",
    "s",
    "at most 0.25 s",
);
const LEAST_MEMORY: Row = ("least memory in which nginx serves", "MiB", "32 MiB");

/// A load under which instructions are counted.
struct Counted {
    server: &'static str,
    name: &'static str,
    /// Returns how many requests there were.
    ask: fn(SocketAddrV4) -> Result<f64, String>,
}

const COUNTED: [Counted; 3] = [
    Counted {
        server: "nginx",
        name: "instructions of a request to nginx, kept connections",
        ask: |address| clients::wrk_requests(address, false),
    },
    Counted {
        server: "nginx",
        name: "instructions of a request to nginx, a connection each",
        ask: |address| clients::wrk_requests(address, true),
    },
    Counted {
        server: "redis",
        name: "instructions of a redis GET",
        ask: clients::redis_requests,
    },
];

fn own(result: std::io::Result<Vec<f64>>) -> Result<Vec<f64>, String> {
    result.map_err(|error| error.to_string())
}

/// Tells the values of a figure.
fn tell(figure: &Figure) {
    progress(&format!(
        "{}: Pith {:.3?}, Linux {:.3?} {}",
        figure.name, figure.pith, figure.linux, figure.unit
    ));
}

/// The sides that are measured, in turns.
fn sides(options: &Options) -> Vec<Side> {
    let all = [
        (Side::Pith, options.with_pith),
        (Side::Linux, options.with_linux),
    ];
    all.into_iter()
        .filter(|(_, wanted)| *wanted)
        .map(|(side, _)| side)
        .collect()
}

fn values(figure: &mut Figure, side: Side) -> &mut Vec<f64> {
    match side {
        Side::Pith => &mut figure.pith,
        Side::Linux => &mut figure.linux,
    }
}

fn figure((name, unit, aim): Row) -> Figure {
    Figure::new(name, unit, aim)
}

/// Measures what the options ask for, inside of a namespace that [`enter`] made.
pub fn measure(options: &Options, workshop: &Workshop, root: &Path) -> Result<Figures, String> {
    let factory = Factory::new(workshop, &root.join("servers"), &options.accelerator)?;
    let mut figures = Vec::new();
    for server in SERVERS {
        figures.extend(loads(options, &factory, server)?);
    }
    // What was measured is not lost if something fails later.
    figures.iter().for_each(tell);
    if options.wants(FIRST_ANSWER.0) {
        figures.push(first_answer(options, &factory).inspect(tell)?);
    }
    if options.wants(LEAST_MEMORY.0) {
        figures.push(least_memory(options, &factory).inspect(tell)?);
    }
    if options.accelerator == "tcg" {
        let counting = Counting::new(&workshop.path("count.so"))?;
        for counted in COUNTED {
            if options.wants(counted.name) {
                figures.push(instructions(options, &factory, &counting, &counted)?);
            }
        }
    }
    Ok(Figures {
        discarded_linux_boots: factory.discarded(),
        ..Figures::about(options, factory.kernel_name(), figures)
    })
}

fn setting(server: Server) -> Setting<'static> {
    Setting {
        server,
        memory: MEMORY,
        processors: 1,
        counting: None,
    }
}

/// All loads of a server that are wanted.
fn loads(options: &Options, factory: &Factory, server: Server) -> Result<Vec<Figure>, String> {
    let wanted: Vec<&Load> = LOADS
        .iter()
        .filter(|load| load.server == server.name)
        .filter(|load| load.rows.iter().any(|(name, ..)| options.wants(name)))
        .collect();
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    progress(server.name);
    let mut machines = Vec::new();
    for side in sides(options) {
        machines.push((side, factory.serve(side, setting(server))?.0));
    }
    let mut figures = Vec::new();
    for load in wanted {
        let mut rows: Vec<Figure> = load.rows.iter().copied().map(figure).collect();
        for _ in 0..options.rounds {
            for (side, machine) in &machines {
                for (row, value) in rows.iter_mut().zip(run(load, machine)?) {
                    values(row, *side).push(value);
                }
            }
        }
        figures.extend(rows);
    }
    Ok(figures)
}

fn run(load: &Load, machine: &Machine) -> Result<Vec<f64>, String> {
    (load.measure)(machine.address).map_err(|error| machine.complaint(&error))
}

/// The time from starting `pith run`, or QEMU with Linux, until the page is there.
fn first_answer(options: &Options, factory: &Factory) -> Result<Figure, String> {
    progress(FIRST_ANSWER.0);
    let setting = setting(Server::named("nginx"));
    let mut figure = figure(FIRST_ANSWER);
    for round in 0..=options.rounds {
        for side in sides(options) {
            let (_, time) = factory.serve(side, setting)?;
            // The first round only warms the host's caches.
            if round > 0 {
                values(&mut figure, side).push(time.as_secs_f64());
            }
        }
    }
    Ok(figure)
}

/// The least memory with which nginx gives the page.
fn least_memory(options: &Options, factory: &Factory) -> Result<Figure, String> {
    progress(LEAST_MEMORY.0);
    let mut figure = figure(LEAST_MEMORY);
    for side in sides(options) {
        // Linux now and then hangs for another reason.
        let (patience, attempts) = match side {
            Side::Pith => (Duration::from_secs(3), 1),
            Side::Linux => (Duration::from_secs(8), 2),
        };
        let found = least(MOST_MEMORY, |memory| {
            let setting = Setting {
                memory,
                ..setting(Server::named("nginx"))
            };
            for _ in 0..attempts {
                let mut machine = factory.start(side, setting)?;
                if machine.time_of_answer(patience)?.is_some() {
                    return Ok(true);
                }
            }
            Ok(false)
        })?;
        values(&mut figure, side).extend(found.map(f64::from));
    }
    Ok(figure)
}

/// Instructions of a machine for each request under a load, those of waking up and of timers included.
fn instructions(
    options: &Options,
    factory: &Factory,
    counting: &Counting,
    counted: &Counted,
) -> Result<Figure, String> {
    progress(counted.name);
    let mut figure = figure((counted.name, "thousands", ""));
    for side in sides(options) {
        let setting = Setting {
            counting: Some(counting),
            ..setting(Server::named(counted.server))
        };
        let (machine, _) = factory.serve(side, setting)?;
        // What is done only once is not to count.
        let ask = || (counted.ask)(machine.address).map_err(|error| machine.complaint(&error));
        ask()?;
        let before = counting.instructions()?;
        let requests = ask()?;
        let executed = counting.instructions()? - before;
        values(&mut figure, side).push(executed as f64 / requests / 1e3);
    }
    Ok(figure)
}
