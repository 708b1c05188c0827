//! PostgreSQL: a server that refuses to run as root, with a process for each connection and shared memory between them.

use super::Site;
use pith_end_to_end::guest::Recipe;
use pith_end_to_end::namespace::run;
use std::net::SocketAddr;

/// Where Debian has its programs.
const PROGRAMS: &str = "/usr/lib/postgresql/15/bin";

/// What is asked, and the answers.
const STATEMENTS: &str = "
    create table numbers(number int primary key, text text not null);
    insert into numbers select n, repeat(md5(n::text), 5) from generate_series(1, 2000) n;
    create index on numbers(text);
    begin; delete from numbers where number % 2 = 0; rollback;
    delete from numbers where number % 3 = 0;
    vacuum numbers;
    select count(*), sum(number), count(distinct text) from numbers;
    create function half(value int) returns int as $$ begin return value / 2; end $$ language plpgsql;
    select half(84), current_user, pg_backend_pid() > 1;
    do $$ begin perform 1 / 0; exception when division_by_zero then raise notice 'caught'; end $$;
    select pg_sleep(0.01);
    checkpoint;
";
const ANSWERS: &str = "1334|1334667|1334\n42|postgres|t\n\n";

/// Makes a data directory on the host, since that takes half a minute in a machine without KVM.
fn data_directory(site: &Site<'_>) -> Result<String, String> {
    let data = site.directory().join("data").display().to_string();
    // The host's root may be in a directory where others may not look.
    let script = "
        set -e
        scratch=$(mktemp -d); trap 'rm -rf \"$scratch\"' EXIT
        chown postgres: \"$scratch\"
        cd /
        setpriv --reuid postgres --regid postgres --clear-groups \"$1/initdb\" \
            -D \"$scratch/data\" -A trust -N --no-locale -E UTF8 >/dev/null
        echo 'host all all all trust' >>\"$scratch/data/pg_hba.conf\"
        cp -a \"$scratch/data\" \"$2\"";
    run("sh", &["-c", script, "sh", PROGRAMS, &data])?;
    Ok(data)
}

/// Asks as `psql` does, each statement by itself: several in one word would be one transaction.
fn ask(address: SocketAddr, statements: &str) -> Result<String, String> {
    let (host, port) = (address.ip().to_string(), address.port().to_string());
    let options = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"];
    let place = ["-h", &host, "-p", &port, "-U", "postgres", "-d", "postgres"];
    let statements = statements.split(";\n").map(str::trim);
    let commands: Vec<&str> = statements
        .filter(|statement| !statement.is_empty())
        .flat_map(|statement| ["-c", statement])
        .collect();
    run("psql", &[&options[..], &place, &commands].concat())
}

pub fn check(site: &Site<'_>) -> Result<(), String> {
    let data = data_directory(site)?;
    let recipe = Recipe::new(
        &[
            &format!("{PROGRAMS}/postgres"),
            "-D",
            "/data",
            "-h",
            "0.0.0.0",
            "-k",
            "/tmp",
            "-c",
            "shared_buffers=16MB",
        ],
        5432,
    )
    .options(&["--user", "postgres", "-m", "256M"])
    .file(format!("{data}:/data"))
    .file("/usr/share/postgresql/15")
    .file("/usr/share/zoneinfo/UTC")
    .file("/usr/lib/postgresql/15/lib/plpgsql.so")
    .message("the image holds")
    .status(&[0]);
    let ready =
        |guest: &pith_end_to_end::guest::Guest| ask(guest.first_address(), "select 1").map(|_| ());
    site.serve(&recipe, ready, |guest| {
        let answers = ask(guest.first_address(), STATEMENTS)?;
        match answers == ANSWERS {
            true => Ok(()),
            false => Err(format!("it answers {answers:?}")),
        }
    })?;
    Ok(())
}
