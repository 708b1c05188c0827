//! Builds the kernel and puts it where the command can embed it.
//!
//! The kernel is a workspace of its own, with another target and other features, so a second cargo builds
//! it. `PITH_KERNEL=/path/to/elf` embeds a kernel that was built elsewhere instead.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

/// The kernel's target, also named in `kernel/.cargo/config.toml`.
const TARGET: &str = "x86_64-unknown-none";

fn main() {
    if let Err(error) = embed() {
        println!("cargo::error={error}");
        exit(1);
    }
}

fn embed() -> Result<(), Box<dyn Error>> {
    let root = variable("CARGO_MANIFEST_DIR")?.join("..");
    let output = variable("OUT_DIR")?;
    let kernel = root.join("kernel");

    println!("cargo::rerun-if-env-changed=PITH_KERNEL");
    println!("cargo::rerun-if-changed=build.rs");
    let elf = match env::var_os("PITH_KERNEL") {
        Some(path) => {
            let path = PathBuf::from(path);
            println!("cargo::rerun-if-changed={}", path.display());
            path
        }
        None => {
            watch(&root);
            build(&kernel)?
        }
    };
    let bytes = fs::read(&elf)
        .map_err(|error| format!("the kernel {} can't be read: {error}", elf.display()))?;
    fs::write(output.join("pith-kernel"), bytes)?;
    println!("cargo::rustc-env=PITH_KERNEL_VERSION={}", version(&kernel)?);
    Ok(())
}

fn variable(name: &str) -> Result<PathBuf, String> {
    env::var_os(name)
        .map(PathBuf::from)
        .ok_or_else(|| format!("cargo did not set {name}"))
}

/// Runs this script again when something changed that goes into the kernel.
fn watch(root: &Path) {
    for name in [
        "kernel/src",
        "kernel/Cargo.toml",
        "kernel/Cargo.lock",
        "kernel/.cargo",
        "kernel/build.rs",
        "kernel/linker.ld",
        "abi",
        "libs",
        "rust-toolchain.toml",
    ] {
        let path = root.join(name);
        // A path that doesn't exist counts as changed every time.
        if path.exists() {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
}

/// Builds the kernel and returns the path of its ELF file.
fn build(kernel: &Path) -> Result<PathBuf, Box<dyn Error>> {
    require_target()?;
    // The cargo that runs us holds the lock of its own target directory, so the kernel needs another.
    let target_directory = match env::var_os("CARGO_TARGET_DIR") {
        Some(directory) => Path::new(&directory).join("kernel"),
        None => kernel.join("target"),
    };
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .args(["build", "--release", "--bin", "pith-kernel", "--target-dir"])
        .arg(&target_directory)
        // Its `.cargo/config.toml`, which names the target, is found from here.
        .current_dir(kernel);
    for (name, _) in env::vars_os() {
        if is_ours(&name) {
            command.env_remove(name);
        }
    }
    let status = command
        .status()
        .map_err(|error| format!("cargo can't be started to build the kernel: {error}"))?;
    if !status.success() {
        return Err("the kernel does not build; its own messages are below".into());
    }
    Ok(target_directory.join(TARGET).join("release/pith-kernel"))
}

/// Whether a variable tells cargo and rustc about the build of this crate, and would mislead the kernel's.
fn is_ours(name: &OsString) -> bool {
    let Some(name) = name.to_str() else {
        return false;
    };
    const PREFIXES: [&str; 8] = [
        "CARGO_BUILD_",
        "CARGO_CFG_",
        "CARGO_FEATURE_",
        "CARGO_MANIFEST_",
        "CARGO_PKG_",
        "CARGO_PROFILE_",
        "CARGO_TARGET_",
        "DEP_",
    ];
    const NAMES: [&str; 15] = [
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_INCREMENTAL",
        "CARGO_LOCKED",
        "CARGO_PRIMARY_PACKAGE",
        "DEBUG",
        "HOST",
        "OPT_LEVEL",
        "OUT_DIR",
        "PROFILE",
        "RUSTC",
        "RUSTC_LINKER",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTDOC",
        "RUSTFLAGS",
        "TARGET",
    ];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NAMES.contains(&name)
}

/// Refuses with the remedy where the kernel's target is not installed: rustc alone would complain about
/// the missing crate `core`.
fn require_target() -> Result<(), Box<dyn Error>> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .map_err(|error| format!("rustc can't be started: {error}"))?;
    let directory = String::from_utf8(output.stdout)?;
    match Path::new(directory.trim()).is_dir() {
        true => Ok(()),
        false => Err(format!(
            "the Rust target of the kernel is not installed: rustup target add {TARGET}"
        )
        .into()),
    }
}

/// The kernel's version from its manifest.
fn version(kernel: &Path) -> Result<String, Box<dyn Error>> {
    let manifest = kernel.join("Cargo.toml");
    let text = fs::read_to_string(&manifest)
        .map_err(|error| format!("{} can't be read: {error}", manifest.display()))?;
    let version = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .find(|(key, _)| key.trim() == "version")
        .map(|(_, value)| value.trim().trim_matches('"').to_owned());
    version.ok_or_else(|| format!("{} names no version", manifest.display()).into())
}
