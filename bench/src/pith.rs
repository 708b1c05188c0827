//! The `pith` command with prebuilt images.

use crate::figures::COUNTING;
use crate::run::{Run, Workshop, read, time, write};
use crate::runtimes;
use elf::ElfBytes;
use elf::endian::AnyEndian;
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// How long a machine may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Pith, as users run it.
pub struct Pith {
    command: PathBuf,
    accelerator: String,
    images: PathBuf,
    counting_qemu: PathBuf,
}

/// Sizes of the kernel inside an image, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KernelSize {
    /// Bytes of all its segments in the image.
    pub stored: u64,
    /// Bytes of all its segments in memory.
    pub in_memory: u64,
}

/// The command that is measured.
pub fn command() -> Result<PathBuf, String> {
    std::env::var_os("PITH_COMMAND")
        .map(PathBuf::from)
        .ok_or_else(|| "PITH_COMMAND does not name the command; type: cargo xtask bench".into())
}

impl Pith {
    /// Builds the images.
    pub fn new(workshop: &Workshop, sources: &Path, accelerator: &str) -> Result<Self, String> {
        let command = command()?;
        let own = ["hello", "calls", "threads", "files", "first"].map(|program| {
            let words: Vec<OsString> = vec!["--".into(), workshop.path(program).into_os_string()];
            (program, words)
        });
        let of_runtimes = runtimes::all().map(|runtime| {
            let words = runtime.words(workshop, sources);
            (
                runtime.name,
                words.into_iter().map(OsString::from).collect(),
            )
        });
        for (program, words) in own.into_iter().chain(of_runtimes) {
            let output = Command::new(&command)
                .args(["build", "-o"])
                .arg(workshop.path(&format!("{program}.pith")))
                .args(words)
                .output()
                .map_err(|error| format!("can't start {}: {error}", command.display()))?;
            if !output.status.success() {
                let errors = String::from_utf8_lossy(&output.stderr);
                return Err(format!("pith can't build an image of {program}:\n{errors}"));
            }
        }
        // `pith` has no option for this, and needs none: QEMU can be any program.
        let counting_qemu = workshop.path("qemu-counting");
        write(
            &counting_qemu,
            format!(
                "#!/bin/sh\nexec qemu-system-x86_64 \"$@\" {}\n",
                COUNTING.join(" ")
            )
            .as_bytes(),
        )?;
        std::fs::set_permissions(&counting_qemu, std::fs::Permissions::from_mode(0o755))
            .map_err(|error| error.to_string())?;
        Ok(Self {
            command,
            accelerator: accelerator.into(),
            images: workshop.path(""),
            counting_qemu,
        })
    }

    /// `pith run` of a prebuilt image, as timed by whoever types it.
    pub fn run(&self, program: &str, options: &[&str]) -> Result<Run, String> {
        self.boot(program, options)?
            .ok_or_else(|| format!("pith did not end running {program}"))
    }

    /// The same; `None` if it hung.
    pub fn boot(&self, program: &str, options: &[&str]) -> Result<Option<Run>, String> {
        time(&mut self.command(program, options), LIMIT)
    }

    /// The same in a machine whose clock counts instructions, with figures as JSON on standard error.
    pub fn count(&self, program: &str, options: &[&str]) -> Result<Run, String> {
        let mut command = self.command(program, &[&["--stats=json"], options].concat());
        command.env("PITH_QEMU", &self.counting_qemu);
        time(&mut command, LIMIT)?.ok_or_else(|| "pith did not end under -icount".into())
    }

    fn command(&self, program: &str, options: &[&str]) -> Command {
        let mut command = Command::new(&self.command);
        command
            .args(["run", "--accel", &self.accelerator])
            .args(options)
            .arg("--")
            .arg(self.images.join(format!("{program}.pith")));
        command
    }

    /// Size of an image in bytes.
    pub fn image_size(&self, program: &str) -> Result<u64, String> {
        Ok(read(&self.images.join(format!("{program}.pith")))?.len() as u64)
    }

    /// Size of the kernel, from the image's program headers: all loadable segments but the last, which is
    /// the payload (`abi/src/image.rs`).
    pub fn kernel_size(&self) -> Result<KernelSize, String> {
        let image = read(&self.images.join("hello.pith"))?;
        kernel_size(&image)
    }
}

fn kernel_size(image: &[u8]) -> Result<KernelSize, String> {
    let file = ElfBytes::<AnyEndian>::minimal_parse(image)
        .map_err(|error| format!("the image is no ELF file: {error}"))?;
    let segments = file.segments().ok_or("the image has no segments")?;
    let mut loadable: Vec<_> = segments
        .iter()
        .filter(|segment| segment.p_type == elf::abi::PT_LOAD)
        .collect();
    loadable.sort_by_key(|segment| segment.p_paddr);
    loadable.pop().ok_or("the image has no payload")?;
    if loadable.is_empty() {
        return Err("the image has no kernel".into());
    }
    Ok(KernelSize {
        stored: loadable.iter().map(|segment| segment.p_filesz).sum(),
        in_memory: loadable.iter().map(|segment| segment.p_memsz).sum(),
    })
}
