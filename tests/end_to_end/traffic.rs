//! Much data through one connection, each byte compared: behind QEMU's router, where the card does nothing by itself, and
//! on a TAP device, where it completes checksums, cuts and puts together.

use pith_end_to_end::guest::{Guest, Network, Recipe};
use pith_end_to_end::namespace::{in_namespace, run};
use pith_end_to_end::workshop::Build;
use pith_end_to_end::{Machine, Workshop};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Bytes each way; the variable `PITH_TRAFFIC` may name other MiB.
const LENGTH: u64 = 64 << 20;
/// Bytes each way of one check, so that numbers of sequence and counters of bytes come far.
const MUCH: u64 = 1 << 30;
const VARIABLE: &str = "PITH_TRAFFIC";
/// How long nothing at all may arrive.
const LIMIT: Duration = Duration::from_secs(30);
/// The port of `tests/programs/traffic.c`.
const PORT: u16 = 5556;
/// Bytes at a time.
const PIECE: usize = 1 << 18;
/// The pattern repeats after so many bytes: a prime, which no buffer, segment or page has.
const PERIOD: usize = 1_048_573;

/// Which network, board and processors.
pub const CHECKS: &[(bool, Machine, u32)] = &[
    (false, Machine::Microvm, 1),
    (false, Machine::Q35, 2),
    (true, Machine::Microvm, 1),
    (true, Machine::Microvm, 4),
    (true, Machine::Q35, 1),
    (true, Machine::Q35, 2),
    (true, Machine::Q35, 4),
];

/// The name of a check.
pub fn name((tap, machine, processors): (bool, Machine, u32)) -> String {
    let network = if tap { "tap" } else { "user" };
    match processors {
        1 => format!("traffic::{network}@{}", machine.name()),
        _ => format!("traffic::{network}@{}-{processors}", machine.name()),
    }
}

/// Carries the data both ways.
pub fn check(
    workshop: &Workshop,
    (tap, machine, processors): (bool, Machine, u32),
) -> Result<(), String> {
    let program = workshop.program("traffic", Build::Dynamic)?;
    let recipe = Recipe::new(&[&program.to_string_lossy()], PORT).options(&["-m", "256M"]);
    let board = (machine, processors);
    if !tap {
        return carry(workshop, board, &Network::User, &recipe);
    }
    in_namespace(|| {
        run(
            "ip",
            &[
                "tuntap",
                "add",
                "pithtap",
                "mode",
                "tap",
                "vnet_hdr",
                "multi_queue",
            ],
        )?;
        run("ip", &["address", "add", "10.7.0.1/24", "dev", "pithtap"])?;
        run("ip", &["link", "set", "pithtap", "up"])?;
        let options = ["--net", "tap:pithtap,ip=10.7.0.2/24"].map(String::from);
        let network = Network::Direct(options.to_vec(), Ipv4Addr::new(10, 7, 0, 2));
        carry(workshop, board, &network, &recipe)
    })
}

fn carry(
    workshop: &Workshop,
    board: (Machine, u32),
    network: &Network,
    recipe: &Recipe,
) -> Result<(), String> {
    let length = match std::env::var(VARIABLE) {
        Ok(value) => {
            value
                .parse::<u64>()
                .map_err(|error| format!("{VARIABLE}: {error}"))?
                << 20
        }
        Err(_) if *network != Network::User && board == (Machine::Microvm, 1) => MUCH,
        Err(_) => LENGTH,
    };
    let ready = |guest: &Guest| match guest.output_text().contains("listening") {
        true => Ok(()),
        false => Err("it does not listen yet".into()),
    };
    let guest = Guest::start(workshop, board, network, recipe, ready)?;
    let address = guest.first_address();
    up(address, length)
        .and_then(|()| down(address, length))
        .map_err(|error| guest.explain(&error))?;
    guest.stop().map(drop)
}

/// The pattern, and its beginning once more, so that a piece from anywhere lies in one row.
fn pattern() -> Vec<u8> {
    let mut bytes: Vec<u8> = (0..PERIOD as u64)
        .step_by(8)
        .flat_map(|place| {
            (place >> 3)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .to_le_bytes()
        })
        .collect();
    bytes.truncate(PERIOD);
    bytes.extend_from_within(..PIECE);
    bytes
}

fn ask(address: SocketAddr, way: u8, length: u64) -> Result<TcpStream, String> {
    let text = |error: std::io::Error| format!("can't ask: {error}");
    let mut stream = TcpStream::connect_timeout(&address, LIMIT).map_err(text)?;
    stream.set_read_timeout(Some(LIMIT)).map_err(text)?;
    stream.set_write_timeout(Some(LIMIT)).map_err(text)?;
    let request = [u64::from(way).to_le_bytes(), length.to_le_bytes()].concat();
    stream.write_all(&request).map_err(text)?;
    Ok(stream)
}

fn up(address: SocketAddr, length: u64) -> Result<(), String> {
    let mut stream = ask(address, b'u', length)?;
    let pattern = pattern();
    let mut done = 0;
    while done < length {
        let piece = PIECE.min((length - done) as usize);
        let from = (done % PERIOD as u64) as usize;
        stream
            .write_all(&pattern[from..from + piece])
            .map_err(|error| format!("up, after {done} bytes: {error}"))?;
        done += piece as u64;
    }
    let mut answer = [0; 8];
    stream
        .read_exact(&mut answer)
        .map_err(|error| format!("no word of what went up: {error}"))?;
    match u64::from_le_bytes(answer) {
        right if right == length => Ok(()),
        right => Err(format!(
            "of {length} bytes, only {right} went up as they are"
        )),
    }
}

fn down(address: SocketAddr, length: u64) -> Result<(), String> {
    let mut stream = ask(address, b'd', length)?;
    let (pattern, mut bytes) = (pattern(), vec![0; PIECE]);
    let mut done = 0;
    while done < length {
        let count = stream
            .read(&mut bytes)
            .map_err(|error| format!("down, after {done} bytes: {error}"))?;
        if count == 0 {
            return Err(format!("only {done} bytes came down"));
        }
        let from = (done % PERIOD as u64) as usize;
        if bytes[..count] != pattern[from..from + count] {
            return Err(format!("other bytes came down, after {done}"));
        }
        done += count as u64;
    }
    Ok(())
}
