//! Debian's cloud kernel with one program as its whole userland.

use crate::archive::{Entry, pack};
use crate::run::{Run, Workshop, read, time, write};
use crate::runtimes;
use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long Linux may take before a run is thrown away.
const LIMIT: Duration = Duration::from_secs(20);

/// How often a run is tried again. On `microvm` Linux now and then fails to calibrate its clock against the
/// interval timer of an emulator under load, and then waits for ever.
pub const ATTEMPTS: usize = 6;

/// Linux in QEMU.
pub struct Linux {
    kernel: PathBuf,
    accelerator: String,
    archives: PathBuf,
    discarded: Cell<usize>,
}

/// What is changed for one run.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The program: `hello`, `calls` or `first`.
    pub program: &'a str,
    /// Words for the kernel command line.
    pub words: &'a str,
    /// Memory in MiB.
    pub memory: u32,
    /// Further arguments of QEMU.
    pub options: &'a [&'a str],
    /// How long a run may take; 0 for the usual.
    pub limit: Duration,
}

impl<'a> Setting<'a> {
    /// The usual setting for a program.
    pub fn new(program: &'a str) -> Self {
        Self {
            program,
            words: "",
            memory: super::figures::MEMORY,
            options: &[],
            limit: LIMIT,
        }
    }
}

impl Linux {
    /// Finds the kernel and makes the initial file systems.
    pub fn new(workshop: &Workshop, sources: &Path, accelerator: &str) -> Result<Self, String> {
        let kernel = newest_kernel(Path::new("/boot"))?;
        let init = read(&workshop.path("init"))?;
        for program in ["hello", "calls", "threads", "files", "first"] {
            let bytes = read(&workshop.path(program))?;
            let archive = pack(&[
                ("dev", Entry::Directory),
                ("tmp", Entry::Directory),
                ("dev/console", Entry::Device(5, 1)),
                ("dev/zero", Entry::Device(1, 5)),
                ("init", Entry::Program(&init)),
                ("program", Entry::Program(&bytes)),
            ]);
            write(&workshop.path(&format!("{program}.cpio")), &archive)?;
        }
        for runtime in runtimes::all() {
            let archive = runtime.archive(&init, workshop, sources)?;
            write(&workshop.path(&format!("{}.cpio", runtime.name)), &archive)?;
        }
        Ok(Self {
            kernel,
            accelerator: accelerator.into(),
            archives: workshop.path(""),
            discarded: Cell::new(0),
        })
    }

    /// The kernel's file name, with its version.
    pub fn name(&self) -> String {
        let name = self.kernel.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Size of the kernel as it is stored, compressed, in bytes.
    pub fn size(&self) -> Result<u64, String> {
        let metadata = fs::metadata(&self.kernel).map_err(|error| error.to_string())?;
        Ok(metadata.len())
    }

    /// How many runs were thrown away because Linux did not come up.
    pub fn discarded(&self) -> usize {
        self.discarded.get()
    }

    /// Boots until the program has run; hung boots are thrown away and counted.
    pub fn run(&self, setting: Setting<'_>) -> Result<Run, String> {
        for _ in 0..ATTEMPTS {
            if let Some(run) = self.boot(setting)? {
                return Ok(run);
            }
            self.discarded.set(self.discarded.get() + 1);
        }
        Err(format!(
            "Linux did not come up {ATTEMPTS} times running {}",
            setting.program
        ))
    }

    /// Boots once; `None` if it hung.
    pub fn boot(&self, setting: Setting<'_>) -> Result<Option<Run>, String> {
        let cpu = match self.accelerator.as_str() {
            "kvm" => "host",
            _ => "max",
        };
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-machine", "microvm,acpi=off,rtc=on"])
            .args(["-accel", &self.accelerator, "-cpu", cpu])
            .args(["-m", &format!("{}M", setting.memory)])
            .args(["-nodefaults", "-no-user-config", "-display", "none"])
            .args(["-no-reboot", "-serial", "stdio"])
            .args(setting.options)
            .arg("-kernel")
            .arg(&self.kernel)
            .arg("-initrd")
            .arg(self.archives.join(format!("{}.cpio", setting.program)))
            // A panic ends the run; resetting by a triple fault needs no keyboard controller.
            .args([
                "-append",
                &format!("console=ttyS0 quiet panic=-1 reboot=t {}", setting.words),
            ]);
        time(&mut qemu, setting.limit)
    }
}

/// The newest cloud kernel in a directory.
pub fn newest_kernel(directory: &Path) -> Result<PathBuf, String> {
    let missing = "no kernel /boot/vmlinuz-*-cloud-amd64; type: cargo xtask setup bench";
    fs::read_dir(directory)
        .map_err(|error| format!("can't read {}: {error}", directory.display()))?
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("vmlinuz-") && name.ends_with("-cloud-amd64")
        })
        .max_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok())
        .map(|entry| entry.path())
        .ok_or_else(|| missing.into())
}
