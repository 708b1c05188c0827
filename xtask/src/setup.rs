//! Installs what a fresh machine lacks, and only that.

use crate::process::{self, Failure, find_program, output, root, run};
use crate::sources;
use std::path::Path;
use std::process::{Command, Stdio};

/// The target that the kernel is compiled for: no operating system below, no floating point in the kernel.
const KERNEL_TARGET: &str = "x86_64-unknown-none";

/// The target of one test program: Rust's standard library on musl, linked statically.
const MUSL_TARGET: &str = "x86_64-unknown-linux-musl";

/// What the machine is set up for. Each purpose includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// Building and running images.
    Run,
    /// The gate: the programs that are booted, and the reference tools they are checked with.
    Test,
    /// Measuring beside Linux.
    Bench,
}

/// A Debian package, and a file that shows its presence where there is no dpkg.
struct Package {
    name: &'static str,
    file: &'static str,
    purpose: Purpose,
}

const PACKAGES: &[Package] = &[
    package("qemu-system-x86", "qemu-system-x86_64", Purpose::Run),
    package("apache2-bin", "/usr/sbin/apache2", Purpose::Test),
    package("arping", "/usr/sbin/arping", Purpose::Test),
    package("busybox-static", "/bin/busybox", Purpose::Test),
    package("coreutils", "/usr/bin/sha256sum", Purpose::Test),
    package("cpio", "/usr/bin/cpio", Purpose::Test),
    package("curl", "/usr/bin/curl", Purpose::Test),
    package("dnsmasq-base", "/usr/sbin/dnsmasq", Purpose::Test),
    package("erlang-inets", "/usr/lib/erlang/bin/erl", Purpose::Test),
    package("erofs-utils", "fsck.erofs", Purpose::Test),
    package("g++", "g++", Purpose::Test),
    package("gcc", "gcc", Purpose::Test),
    package("ghc", "ghc", Purpose::Test),
    package("golang-go", "go", Purpose::Test),
    package("haproxy", "/usr/sbin/haproxy", Purpose::Test),
    package("iproute2", "ip", Purpose::Test),
    package("iputils-ping", "/usr/bin/ping", Purpose::Test),
    package(
        "libc6-dev",
        "/usr/lib/x86_64-linux-gnu/libc.a",
        Purpose::Test,
    ),
    package("libaio-dev", "/usr/include/libaio.h", Purpose::Test),
    package(
        "libghc-network-dev",
        "/usr/share/doc/libghc-network-dev",
        Purpose::Test,
    ),
    package("liburing-dev", "/usr/include/liburing.h", Purpose::Test),
    package(
        "libpython3.11-testsuite",
        "/usr/lib/python3.11/test/test_threading.py",
        Purpose::Test,
    ),
    package("lighttpd", "/usr/sbin/lighttpd", Purpose::Test),
    package("lua-socket", "/usr/share/lua/5.4/socket.lua", Purpose::Test),
    package("lua5.4", "/usr/bin/lua5.4", Purpose::Test),
    package("memcached", "/usr/bin/memcached", Purpose::Test),
    package("musl-tools", "musl-gcc", Purpose::Test),
    package("netbase", "/etc/services", Purpose::Test),
    package("nghttp2-client", "/usr/bin/h2load", Purpose::Test),
    package("nginx", "/usr/sbin/nginx", Purpose::Test),
    package("nodejs", "/usr/bin/node", Purpose::Test),
    package(
        "openjdk-17-jdk-headless",
        "/usr/lib/jvm/java-17-openjdk-amd64/bin/javac",
        Purpose::Test,
    ),
    package("ocaml-nox", "ocamlopt", Purpose::Test),
    package("openssh-client", "/usr/bin/ssh", Purpose::Test),
    package("openssh-server", "/usr/sbin/sshd", Purpose::Test),
    package("openssl", "/usr/bin/openssl", Purpose::Test),
    package("perl", "/usr/bin/perl", Purpose::Test),
    package("php-cli", "/usr/bin/php", Purpose::Test),
    package("php8.2-fpm", "/usr/sbin/php-fpm8.2", Purpose::Test),
    package(
        "postgresql-15",
        "/usr/lib/postgresql/15/bin/postgres",
        Purpose::Test,
    ),
    package("procps", "/usr/bin/ps", Purpose::Test),
    package("python3", "/usr/bin/python3", Purpose::Test),
    package(
        "python3-numpy",
        "/usr/lib/python3/dist-packages/numpy/__init__.py",
        Purpose::Test,
    ),
    package("redis-server", "/usr/bin/redis-server", Purpose::Test),
    package("ruby", "/usr/bin/ruby", Purpose::Test),
    package("sqlite3", "/usr/bin/sqlite3", Purpose::Test),
    package("tcl", "tclsh", Purpose::Test),
    package("tcpdump", "/usr/bin/tcpdump", Purpose::Test),
    package("traceroute", "/usr/bin/traceroute.db", Purpose::Test),
    package("tzdata", "/usr/share/zoneinfo/UTC", Purpose::Test),
    package("unbound", "/usr/sbin/unbound", Purpose::Test),
    package("unzip", "/usr/bin/unzip", Purpose::Test),
    package("util-linux", "unshare", Purpose::Test),
    package("wget", "/usr/bin/wget", Purpose::Test),
    package("wrk", "/usr/bin/wrk", Purpose::Test),
    package("xz-utils", "/usr/bin/xz", Purpose::Test),
    package("zip", "/usr/bin/zip", Purpose::Test),
    package("zstd", "/usr/bin/zstd", Purpose::Test),
    package("iperf3", "/usr/bin/iperf3", Purpose::Bench),
    package("linux-libc-dev", "/usr/include/linux", Purpose::Bench),
    package("linux-image-cloud-amd64", "/boot", Purpose::Bench),
    package("redis-tools", "/usr/bin/redis-benchmark", Purpose::Bench),
];

const fn package(name: &'static str, file: &'static str, purpose: Purpose) -> Package {
    Package {
        name,
        file,
        purpose,
    }
}

/// `cargo xtask setup [test|bench|all]`
pub fn command(arguments: &[String]) -> Result<(), Failure> {
    let purpose = match arguments {
        [] => Purpose::Run,
        [word] if word == "test" => Purpose::Test,
        [word] if word == "bench" || word == "all" => Purpose::Bench,
        _ => {
            return Err(Failure::new("setup takes at most one of: test, bench, all"));
        }
    };
    install(purpose)
}

/// Brings the machine to where `purpose` works. Does nothing, quickly, where nothing is missing.
pub fn install(purpose: Purpose) -> Result<(), Failure> {
    install_packages(purpose)?;
    if purpose >= Purpose::Test {
        sources::fetch()?;
    }
    Ok(())
}

fn install_packages(purpose: Purpose) -> Result<(), Failure> {
    rust_target(KERNEL_TARGET)?;
    if purpose >= Purpose::Test {
        rust_target(MUSL_TARGET)?;
        rust_component("rustfmt", "rustfmt")?;
        rust_component("clippy", "cargo-clippy")?;
    }
    let missing: Vec<&str> = PACKAGES
        .iter()
        .filter(|package| package.purpose <= purpose && !is_installed(package))
        .map(|package| package.name)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages = missing.join(" ");
    let line = format!("apt-get install --yes --no-install-recommends {packages}");
    if find_program("apt-get").is_none() {
        return Err(Failure::new(format!(
            "missing: {packages}. These are Debian's names; install the like with this system's package manager"
        )));
    }
    if !is_root()? {
        return Err(Failure::new(format!(
            "missing: {packages}. Type: sudo {line}"
        )));
    }
    eprintln!("==> installing {packages}");
    let mut update = Command::new("apt-get");
    update.args(["update", "--quiet"]);
    run(&mut update)?;
    let mut install = Command::new("apt-get");
    install
        .args(["install", "--yes", "--no-install-recommends"])
        .args(&missing)
        .env("DEBIAN_FRONTEND", "noninteractive");
    run(&mut install)
}

/// Adds a compilation target to the toolchain that `rust-toolchain.toml` pins.
fn rust_target(target: &str) -> Result<(), Failure> {
    let path = Path::new("lib/rustlib").join(target).join("lib");
    rustup_add("target", target, &path)
}

/// Adds a tool to that toolchain; `program` shows that it is there.
fn rust_component(component: &str, program: &str) -> Result<(), Failure> {
    rustup_add("component", component, &Path::new("bin").join(program))
}

/// Adds a part of the toolchain, unless it has this path already.
fn rustup_add(kind: &str, name: &str, path: &Path) -> Result<(), Failure> {
    let sysroot = output(
        Command::new("rustc")
            .args(["--print", "sysroot"])
            .current_dir(root()),
    )?;
    if Path::new(&sysroot).join(path).exists() {
        return Ok(());
    }
    let channel = channel()?;
    if find_program("rustup").is_none() {
        return Err(Failure::new(format!(
            "Rust's {kind} {name} is missing below {sysroot}, and there is no rustup to add it; \
             install rustup from https://rustup.rs, or this system's package for it"
        )));
    }
    eprintln!("==> adding Rust's {kind} {name} to toolchain {channel}");
    let mut rustup = Command::new("rustup");
    rustup.args([kind, "add", "--toolchain", &channel, name]);
    run(&mut rustup)
}

/// The toolchain's name in `rust-toolchain.toml`.
fn channel() -> Result<String, Failure> {
    let path = root().join("rust-toolchain.toml");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Failure::new(format!("can't read {}: {error}", path.display())))?;
    channel_in(&text)
        .map(str::to_owned)
        .ok_or_else(|| Failure::new(format!("{} names no channel", path.display())))
}

/// The value of `channel = "…"`, alone on its line.
fn channel_in(text: &str) -> Option<&str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "channel").then_some(value.trim().trim_matches('"'))
    })
}

fn is_installed(package: &Package) -> bool {
    if find_program("dpkg-query").is_some() {
        let answer = Command::new("dpkg-query")
            .args(["--show", "--showformat=${db:Status-Status}", package.name])
            .stderr(Stdio::null())
            .output();
        return answer.is_ok_and(|answer| answer.stdout == b"installed");
    }
    if package.file.starts_with('/') {
        Path::new(package.file).exists()
    } else {
        process::find_program(package.file).is_some()
    }
}

fn is_root() -> Result<bool, Failure> {
    Ok(output(Command::new("id").arg("-u"))? == "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_channel_is_read_from_the_toolchain_file() {
        assert_eq!(
            channel_in("[toolchain]\nchannel = \"1.95.0\"\n"),
            Some("1.95.0")
        );
        assert_eq!(channel_in("[toolchain]\ncomponents = []\n"), None);
    }

    #[test]
    fn the_pinned_toolchain_is_named() {
        assert!(channel().is_ok());
    }
}
