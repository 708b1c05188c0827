//! Real servers, as Debian ships them, in a machine; and real clients that ask them.
//!
//! A service is a recipe, how its server is started, and a check, which asks it until nothing is left open. The boards
//! say where. A test that needs more of the network than a few published ports makes a namespace of its own
//! (`pith_end_to_end::namespace`).

mod examples;
mod memcached;
mod names;
mod nginx;
mod outgoing;
mod postgresql;
mod processes;
mod proxy;
mod redis;
mod redis_suite;
mod robustness;
mod web;

use pith_end_to_end::execute::Outcome;
use pith_end_to_end::guest::{Guest, Network, Recipe};
use pith_end_to_end::namespace::run;
use pith_end_to_end::{Machine, Workshop};
use std::path::{Path, PathBuf};

/// One server on its boards.
pub struct Service {
    /// Unique.
    pub name: &'static str,
    /// Board and number of processors.
    pub boards: &'static [(Machine, u32)],
    /// What is done there.
    pub check: fn(&Site<'_>) -> Result<(), String>,
}

/// One processor on the usual board.
const ONE: &[(Machine, u32)] = &[(Machine::Microvm, 1)];
/// The same, two processors, and the other board.
const THREE: &[(Machine, u32)] = &[
    (Machine::Microvm, 1),
    (Machine::Microvm, 2),
    (Machine::Q35, 2),
];

pub const SERVICES: &[Service] = &[
    Service {
        name: "nginx",
        boards: THREE,
        check: nginx::check,
    },
    Service {
        name: "redis",
        boards: ONE,
        check: redis::check,
    },
    Service {
        name: "redis-suite",
        boards: ONE,
        check: redis_suite::check,
    },
    Service {
        name: "postgresql",
        boards: ONE,
        check: postgresql::check,
    },
    Service {
        name: "memcached",
        boards: &[(Machine::Microvm, 1), (Machine::Microvm, 2)],
        check: memcached::check,
    },
    Service {
        name: "haproxy",
        boards: ONE,
        check: proxy::haproxy,
    },
    Service {
        name: "dnsmasq",
        boards: ONE,
        check: names::dnsmasq,
    },
    Service {
        name: "unbound",
        boards: ONE,
        check: names::unbound,
    },
    Service {
        name: "outgoing",
        boards: ONE,
        check: outgoing::check,
    },
    Service {
        name: "lighttpd",
        boards: ONE,
        check: web::lighttpd,
    },
    Service {
        name: "python-http.server",
        boards: ONE,
        check: web::python_http_server,
    },
    Service {
        name: "python-asyncio",
        boards: ONE,
        check: web::python_asyncio,
    },
    Service {
        name: "go-net-http",
        boards: ONE,
        check: web::go,
    },
    Service {
        name: "rust-axum",
        boards: ONE,
        check: web::rust,
    },
    Service {
        name: "node-http",
        boards: ONE,
        check: web::node,
    },
    Service {
        name: "php-server",
        boards: ONE,
        check: web::php,
    },
    Service {
        name: "java-httpserver",
        boards: ONE,
        check: web::java,
    },
    Service {
        name: "apache",
        boards: ONE,
        check: processes::apache,
    },
    Service {
        name: "sshd",
        boards: ONE,
        check: processes::sshd,
    },
    Service {
        name: "php-fpm",
        boards: ONE,
        check: processes::php_fpm,
    },
    Service {
        name: "example-echo",
        boards: ONE,
        check: examples::echo,
    },
    Service {
        name: "example-echo-threads",
        boards: &[(Machine::Microvm, 2), (Machine::Q35, 2)],
        check: examples::echo_threads,
    },
    Service {
        name: "ten-thousand-connections",
        boards: ONE,
        check: robustness::ten_thousand,
    },
    Service {
        name: "bulk",
        boards: ONE,
        check: robustness::bulk,
    },
    Service {
        name: "parting",
        boards: &[(Machine::Microvm, 1), (Machine::Q35, 2)],
        check: robustness::parting,
    },
    Service {
        name: "load",
        boards: &[(Machine::Microvm, 2)],
        check: robustness::load,
    },
    Service {
        name: "two-machines",
        boards: ONE,
        check: robustness::two_machines,
    },
    Service {
        name: "slow-loris",
        boards: ONE,
        check: robustness::slow_loris,
    },
    Service {
        name: "syn-flood",
        boards: ONE,
        check: robustness::syn_flood,
    },
];

/// Where a service is checked.
pub struct Site<'a> {
    workshop: &'a Workshop,
    board: (Machine, u32),
    directory: PathBuf,
}

impl Site<'_> {
    /// A directory of this test's own.
    fn directory(&self) -> &Path {
        &self.directory
    }

    /// Writes a file into it, and tells its path.
    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> Result<String, String> {
        let path = self.directory.join(name);
        std::fs::write(&path, content)
            .map_err(|error| format!("can't write {}: {error}", path.display()))?;
        Ok(path.display().to_string())
    }

    /// Compiles an example, and tells where it is.
    fn example(&self, source: &str, name: &str) -> Result<String, String> {
        let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");
        let program = self.directory.join(name).display().to_string();
        let options = [
            "-O2", "-pthread", "-Wall", "-Wextra", "-Werror", "-o", &program,
        ];
        run(
            "gcc",
            &[&options[..], &[&format!("{examples}/{source}")]].concat(),
        )?;
        Ok(program)
    }

    /// Starts a server behind QEMU's router, waits until it is ready, has it checked, and ends it.
    fn serve(
        &self,
        recipe: &Recipe,
        ready: impl Fn(&Guest) -> Result<(), String>,
        check: impl FnOnce(&Guest) -> Result<(), String>,
    ) -> Result<Outcome, String> {
        self.serve_on(&Network::User, recipe, ready, check)
    }

    /// The same on another network.
    fn serve_on(
        &self,
        network: &Network,
        recipe: &Recipe,
        ready: impl Fn(&Guest) -> Result<(), String>,
        check: impl FnOnce(&Guest) -> Result<(), String>,
    ) -> Result<Outcome, String> {
        let guest = Guest::start(self.workshop, self.board, network, recipe, ready)?;
        check(&guest).map_err(|error| guest.explain(&error))?;
        guest.stop()
    }
}

/// Checks a service on one board.
pub fn check(workshop: &Workshop, service: &Service, board: (Machine, u32)) -> Result<(), String> {
    let (machine, processors) = board;
    let name = format!("servers-{}-{}-{processors}", service.name, machine.name());
    let directory = workshop.directory_for(&name)?;
    let site = Site {
        workshop,
        board,
        directory: directory.clone(),
    };
    (service.check)(&site)?;
    // Kept only for whoever looks into a failure.
    let _ = std::fs::remove_dir_all(&directory);
    Ok(())
}
