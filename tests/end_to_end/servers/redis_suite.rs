//! Redis's own tests, as its developers run them against a server that they can't restart.
//!
//! `cargo xtask setup test` fetches them (`xtask/src/sources.rs`). What they do on a wire between Linux and the machine
//! is thousands of commands, values up to many megabytes, clients that break off, and calls that wait for one another.

use super::{Site, redis};
use pith_end_to_end::execute::{Handling, execute};
use pith_end_to_end::namespace::{GUEST, on_a_wire};
use pith_end_to_end::suite::{Ending, Endings, List};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Parts of the suite, and how many of their tests pass at least: those of Redis 7.0.15 that need no second process. Others
/// skip themselves where they can't start the server anew.
const UNITS: &[(&str, usize)] = &[
    ("unit/protocol", 25),
    ("unit/keyspace", 48),
    ("unit/quit", 3),
    ("unit/multi", 40),
    ("unit/pubsub", 30),
    ("unit/type/incr", 25),
    ("unit/type/list", 200),
    ("unit/functions", 90),
    ("unit/scripting", 145),
    ("unit/tracking", 54),
    ("unit/bitops", 45),
    ("unit/introspection-2", 43),
    ("unit/bitfield", 16),
    ("unit/slowlog", 14),
    ("unit/pause", 14),
    ("unit/info-command", 3),
    ("unit/replybufsize", 1),
];
/// What the gate has no time for. It is run instead if the variable `PITH_REDIS` is set.
const MORE: &[(&str, usize)] = &[
    ("unit/type/string", 69),
    ("unit/type/hash", 73),
    ("unit/type/zset", 260),
    ("unit/type/set", 96),
    ("unit/geo", 59),
    ("unit/sort", 48),
    ("unit/introspection", 25),
    ("unit/dump", 11),
    ("unit/lazyfree", 4),
];
const VARIABLE: &str = "PITH_REDIS";

/// What would start a second process, and what takes minutes.
const TAGS: &str = "-slow -needs:repl -needs:save";
/// How long one part may take.
const LIMIT: Duration = Duration::from_secs(120);

pub fn check(site: &Site<'_>) -> Result<(), String> {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sources/redis");
    if !place.join("tests/test_helper.tcl").is_file() {
        let place = place.display();
        return Err(format!(
            "Redis's tests are not in {place}; type: cargo xtask setup test"
        ));
    }
    // The suite writes where it is, and wants its programs beside it.
    let own = site.directory().join("src");
    std::fs::create_dir_all(&own)
        .and_then(|()| symlink(place.join("tests"), site.directory().join("tests")))
        .and_then(|()| symlink("/usr/bin/redis-cli", own.join("redis-cli")))
        .map_err(|error| error.to_string())?;
    let (units, name) = match std::env::var_os(VARIABLE) {
        None => (UNITS, "redis.toml"),
        Some(_) => (MORE, "redis-more.toml"),
    };
    let list = format!("{}/suites/{name}", env!("CARGO_MANIFEST_DIR"));
    let list = std::fs::read_to_string(list).map_err(|error| error.to_string())?;
    let list = List::parse(&list)?;
    on_a_wire(|network| {
        site.serve_on(network, &redis::recipe(), redis::ready, |_| {
            let mut all = Endings::new();
            for &(unit, least) in units {
                let endings = run_unit(site, unit, &list)?;
                let passed = endings
                    .values()
                    .filter(|ending| **ending == Ending::Passed)
                    .count();
                if passed < least {
                    return Err(format!(
                        "{unit}: only {passed} of at least {least} tests passed"
                    ));
                }
                all.extend(endings);
            }
            let problems = list.problems(&all);
            match problems.is_empty() {
                true => Ok(()),
                false => Err(problems.join("\n")),
            }
        })
    })?;
    Ok(())
}

fn run_unit(site: &Site<'_>, unit: &str, list: &List) -> Result<Endings, String> {
    let address = GUEST.to_string();
    let mut command = Command::new("tclsh");
    command
        .args([
            "tests/test_helper.tcl",
            "--host",
            &address,
            "--port",
            "6379",
        ])
        .args(["--tags", TAGS, "--single", unit])
        .current_dir(site.directory());
    for name in list.left_out.keys() {
        command.args(["--skiptest", name]);
    }
    let handling = Handling {
        limit: LIMIT,
        ..Handling::default()
    };
    let outcome = execute(&mut command, &handling)?;
    let text = without_colours(&String::from_utf8_lossy(&outcome.output));
    let mut endings = endings_of_redis(&text, list);
    // Failures of single tests are the list's affair; anything else ends the suite early.
    if outcome.timed_out || text.contains("[exception]") {
        let last: Vec<&str> = text.lines().rev().take(30).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        return Err(format!("{unit} broke off:\n{}", last.join("\n")));
    }
    endings.retain(|name, _| !name.is_empty());
    Ok(endings)
}

/// What the suite says: `[ok]: NAME (3 ms)`, `[err]: NAME in FILE`, `[skip]: NAME`.
fn endings_of_redis(text: &str, list: &List) -> Endings {
    let mut endings = Endings::new();
    for line in text.lines() {
        let (name, ending) = if let Some(rest) = line.strip_prefix("[ok]: ") {
            (
                rest.rsplit_once(" (").map_or(rest, |(name, _)| name),
                Ending::Passed,
            )
        } else if let Some(rest) = line.strip_prefix("[err]: ") {
            (
                rest.rsplit_once(" in ").map_or(rest, |(name, _)| name),
                Ending::Failed,
            )
        } else if let Some(rest) = line.strip_prefix("[skip]: ") {
            match list.leaves_out(rest) {
                true => (rest, Ending::LeftOut),
                // By its tags.
                false => continue,
            }
        } else {
            continue;
        };
        endings
            .entry(name.to_owned())
            .and_modify(|old| *old = old.and(ending))
            .or_insert(ending);
    }
    endings
}

/// Takes the sequences out that colour a terminal (`ESC [ … m`).
fn without_colours(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, coloured)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = coloured.split_once('m').map_or("", |(_, behind)| behind);
    }
    plain + rest
}
