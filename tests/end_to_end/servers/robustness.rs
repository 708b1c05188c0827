//! Many connections, much data, and clients that mean no good. Linux's own TCP is the peer, on a wire of the test's.

use super::Site;
use pith_end_to_end::flood::flood;
use pith_end_to_end::guest::{Guest, PATIENCE, Recipe};
use pith_end_to_end::http::Connection;
use pith_end_to_end::namespace::{GUEST, NEIGHBOUR, on_a_bridge, on_a_wire, run};
use pith_end_to_end::workshop::Build;
use std::io::Read;
use std::net::{SocketAddrV4, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Connections that are held at once.
const CONNECTIONS: &str = "10000";
/// Bytes through one connection, each way: a GiB.
const BULK: &str = "1073741824";
/// Bytes that a program leaves behind.
const PARTING: usize = 200_000;
/// Requests that are sent in half and then left alone.
const HALF_SENT: usize = 500;
/// Connection requests from nowhere, a second, and for how long.
const FLOOD: u64 = 3000;
const FLOOD_TIME: Duration = Duration::from_secs(5);

/// The program listens.
fn accepts(guest: &Guest) -> Result<(), String> {
    TcpStream::connect_timeout(&guest.first_address(), Duration::from_secs(5))
        .map(drop)
        .map_err(|error| error.to_string())
}

pub fn ten_thousand(site: &Site<'_>) -> Result<(), String> {
    let server = site.workshop.program("many_connections", Build::Dynamic)?;
    let client = site.example("echo/client.c", "client")?;
    let recipe = Recipe::new(&[&server.display().to_string()], 7)
        .options(&["-m", "512M"])
        .status(&[0]);
    let address = GUEST.to_string();
    let outcome = on_a_wire(|network| {
        site.serve_on(network, &recipe, accepts, |_| {
            run(&client, &[&address, "7", CONNECTIONS, "1", "100"]).map(drop)
        })
    })?;
    let said = String::from_utf8_lossy(&outcome.output).into_owned();
    match said.trim() == format!("at most {CONNECTIONS} connections at once") {
        true => Ok(()),
        false => Err(format!("the server says: {said}")),
    }
}

pub fn bulk(site: &Site<'_>) -> Result<(), String> {
    let program = site
        .workshop
        .program("bulk", Build::Dynamic)?
        .display()
        .to_string();
    let recipe = Recipe::new(&[&program, "serve"], 5001).options(&["-m", "128M"]);
    let address = GUEST.to_string();
    on_a_wire(|network| {
        site.serve_on(network, &recipe, accepts, |_| {
            run(&program, &["take", &address, BULK])?;
            run(&program, &["give", &address, BULK]).map(drop)
        })
    })?;
    Ok(())
}

/// What a program wrote arrives although it exits at once, and who waits for it hears that it is gone.
pub fn parting(site: &Site<'_>) -> Result<(), String> {
    let program = site.workshop.program("parting", Build::Dynamic)?;
    let program = program.display().to_string();
    let recipe = Recipe::new(&[&program, &PARTING.to_string()], 9)
        .options(&["-m", "128M"])
        .status(&[0]);
    let text = |error: std::io::Error| error.to_string();
    on_a_wire(|network| {
        let says = |words: &'static str| {
            move |guest: &Guest| match guest.output_text().contains(words) {
                true => Ok(()),
                false => Err(format!("it does not say: {words}")),
            }
        };
        let listening = says("listening");
        let mut guest = Guest::start(site.workshop, site.board, network, &recipe, listening)?;
        let connect = |guest: &Guest| {
            let stream = TcpStream::connect(guest.first_address())?;
            stream.set_read_timeout(Some(Duration::from_secs(20)))?;
            Ok(stream)
        };
        let mut silent = connect(&guest).map_err(text)?;
        guest.wait_until(says("one has come"))?;
        let mut asking = connect(&guest).map_err(text)?;
        // The machine sends much more than fits before this is read.
        thread::sleep(Duration::from_millis(300));
        let mut received = Vec::new();
        asking
            .read_to_end(&mut received)
            .map_err(|error| guest.explain(&text(error)))?;
        let expected: Vec<u8> = (0..PARTING)
            .map(|index| ((index * 31) ^ (index >> 8)) as u8)
            .collect();
        if received != expected {
            let length = received.len();
            return Err(guest.explain(&format!("{length} other bytes came than {PARTING}")));
        }
        match silent
            .read(&mut [0])
            .map_err(|error| guest.explain(&text(error)))?
        {
            0 => {}
            _ => return Err("the silent one spoke".into()),
        }
        let outcome = guest.wait()?;
        let output = String::from_utf8_lossy(&outcome.output);
        match output.contains("has changed") {
            false => Ok(()),
            true => Err(format!("a thread goes on after the exit:\n{output}")),
        }
    })
}

/// nginx with a page, for as many connections as there are.
fn nginx(site: &Site<'_>) -> Result<Recipe, String> {
    let configuration = site.write(
        "nginx.conf",
        "daemon off;\nmaster_process off;\npid /tmp/nginx.pid;\nerror_log stderr crit;\n\
         events { worker_connections 1000; }\n\
         http { access_log off; server { listen 80; root /srv; } }\n",
    )?;
    Ok(
        Recipe::new(&["/usr/sbin/nginx", "-c", "/etc/nginx/nginx.conf"], 80)
            .options(&["-m", "256M"])
            .file(format!("{configuration}:/etc/nginx/nginx.conf"))
            .file("/usr/share/nginx/html/index.html:/srv/index.html")
            .file("/var/lib/nginx")
            .file("/var/log/nginx")
            .status(&[0]),
    )
}

/// Gets the page by a connection of its own, soon enough.
fn page(guest: &Guest) -> Result<(), String> {
    let start = Instant::now();
    Connection::open(guest.first_address())?.get("/")?;
    match start.elapsed() {
        time if time < Duration::from_secs(10) => Ok(()),
        time => Err(format!("the page took {time:?}")),
    }
}

/// As many requests as go, on connections kept and new: each has to be answered.
pub fn load(site: &Site<'_>) -> Result<(), String> {
    let recipe = nginx(site)?;
    on_a_wire(|network| {
        site.serve_on(network, &recipe, page, |guest| {
            let url = format!("http://{}/", guest.first_address());
            let always = ["-t", "1", "-c", "16", "-d", "2s", "--timeout", "10s"];
            for header in ["Connection: keep-alive", "Connection: close"] {
                let report = run("wrk", &[&always[..], &["-H", header, &url]].concat())?;
                let served = report.lines().find_map(|line| {
                    line.split_once(" requests in ")?
                        .0
                        .trim()
                        .parse::<u32>()
                        .ok()
                });
                let complains = report.contains("Socket errors") || report.contains("Non-2xx");
                if complains || served.is_none_or(|count| count < 100) {
                    return Err(format!("with {header}, wrk says:\n{report}"));
                }
            }
            Ok(())
        })
    })?;
    Ok(())
}

/// HAProxy in one machine, nginx in another.
pub fn two_machines(site: &Site<'_>) -> Result<(), String> {
    let behind = nginx(site)?;
    let configuration = site.write(
        "haproxy.cfg",
        format!(
            "global\n nbthread 2\ndefaults\n mode http\n timeout connect 5s\n timeout client 30s\n timeout server 30s\n\
             frontend outside\n bind 0.0.0.0:80\n default_backend inside\n\
             backend inside\n server nginx {NEIGHBOUR}:80\n"
        ),
    )?;
    let before = Recipe::new(&["/usr/sbin/haproxy", "-db", "-f", "/etc/haproxy.cfg"], 80)
        .options(&["-m", "256M"])
        .file(format!("{configuration}:/etc/haproxy.cfg"));
    let expected =
        std::fs::read("/usr/share/nginx/html/index.html").map_err(|error| error.to_string())?;
    on_a_bridge(|[one, other]| {
        let nginx = Guest::start(site.workshop, site.board, other, &behind, page)?;
        site.serve_on(one, &before, page, |guest| {
            let mut kept = Connection::open(guest.first_address())?;
            for _ in 0..50 {
                page(guest)?;
                if kept.get("/")? != expected {
                    return Err("the page is another".into());
                }
            }
            Ok(())
        })?;
        nginx.stop()
    })?;
    Ok(())
}

pub fn slow_loris(site: &Site<'_>) -> Result<(), String> {
    let recipe = nginx(site)?;
    on_a_wire(|network| {
        site.serve_on(network, &recipe, page, |guest| {
            let mut slow = Vec::new();
            for _ in 0..HALF_SENT {
                let mut connection = Connection::open(guest.first_address())?;
                connection.send(b"GET / HTTP/1.1\r\nHost: ")?;
                slow.push(connection);
            }
            for round in 0..50 {
                page(guest)?;
                // A byte now and then, as they do.
                for connection in slow.iter_mut().skip(round).step_by(50) {
                    connection.send(b"x")?;
                }
            }
            // Who comes to an end after all gets an answer.
            for connection in &mut slow {
                connection.send(b"\r\n\r\n")?;
            }
            for connection in &mut slow {
                match connection.receive(false)?.status {
                    200 => {}
                    status => return Err(format!("a slow client gets {status}")),
                }
            }
            page(guest)
        })
    })?;
    Ok(())
}

pub fn syn_flood(site: &Site<'_>) -> Result<(), String> {
    let recipe = nginx(site)?;
    on_a_wire(|network| {
        site.serve_on(network, &recipe, page, |guest| {
            let stop = AtomicBool::new(false);
            let target = SocketAddrV4::new(GUEST, 80);
            thread::scope(|scope| {
                let flooding = scope.spawn(|| flood(target, FLOOD, &stop));
                let served = while_flooded(guest);
                stop.store(true, Ordering::Relaxed);
                let sent = flooding.join().map_err(|_| "the flood failed")??;
                let served = served.map_err(|error| format!("after {sent} requests: {error}"))?;
                // Far more than any queue holds, or it was no flood.
                match (sent, served) {
                    (5000.., 10..) => Ok(()),
                    _ => Err(format!("{served} pages came while {sent} requests did")),
                }
            })?;
            page(guest)
        })
    })?;
    Ok(())
}

/// Asks for pages until the flood has lasted for its time and ten have come. Tells how many.
fn while_flooded(guest: &Guest) -> Result<usize, String> {
    let start = Instant::now();
    let mut served = 0;
    while start.elapsed() < FLOOD_TIME || served < 10 && start.elapsed() < PATIENCE {
        page(guest)?;
        served += 1;
    }
    Ok(served)
}
