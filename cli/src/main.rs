//! `pith`: runs unmodified Linux programs as unikernels.
//!
//! Thin: [`pith_image`] builds images, [`pith_monitor`] runs them; here are the words for people.
#![forbid(unsafe_code)]

mod arguments;
mod build;
mod failure;
mod inspect;
mod lacking;
mod network;
mod notice;
mod progress;
mod run;
mod stats;
mod text;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Cli, Command};
use crate::failure::Failure;

/// The kernel that images are built with, with its symbols.
static KERNEL: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pith-kernel"));

/// Its version.
const KERNEL_VERSION: &str = env!("PITH_KERNEL_VERSION");

/// The kernel, as the image builder wants it.
fn kernel() -> pith_image::Kernel<'static> {
    pith_image::Kernel {
        elf: KERNEL,
        version: KERNEL_VERSION,
    }
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Build(arguments) => build::build(&arguments).map(|()| 0),
        Command::Inspect(arguments) => inspect::inspect(&arguments).map(|()| 0),
        Command::Version => version().map(|()| 0),
    };
    match result {
        Ok(status) => ExitCode::from(status),
        Err(failure) => {
            failure.show();
            ExitCode::from(failure.status())
        }
    }
}

fn version() -> Result<(), Failure> {
    text::print(&format!(
        "pith {}\nkernel {KERNEL_VERSION} ({})\n",
        env!("CARGO_PKG_VERSION"),
        text::size(KERNEL.len() as u64),
    ))
}
