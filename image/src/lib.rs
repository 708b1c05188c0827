//! Builds machine images: a program, the files that it needs, its configuration, and the kernel.
//!
//! The way from a program to an image has two steps. [`plan`] finds out what the image will hold, without
//! writing anything: the files that the user named, the program with the closure of its libraries, what
//! its language needs, and the small files of every system. [`build`] writes the image;
//! [`build_cached`] does it only if the same one was not built before. [`inspect`] reads an image back.
//!
//! ```no_run
//! # fn main() -> Result<(), pith_image::Error> {
//! # let (elf, version) = (&[][..], "0.1.0");
//! let request = pith_image::BuildRequest::new("/bin/ls");
//! let plan = pith_image::plan(&request)?;
//! for note in plan.notes() {
//!     eprintln!("{note}");
//! }
//! let kernel = pith_image::Kernel { elf, version };
//! let (image, was_cached) = pith_image::build_cached(&plan, &kernel)?;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod assemble;
mod cache;
mod closure;
mod container;
mod error;
mod extended;
mod inspect;
mod languages;
mod manifest;
mod network_files;
mod plan;
mod program;
mod request;
mod size;
mod system_files;
pub mod text;
mod tree;
mod user;

pub use assemble::{Kernel, Summary, build};
pub use cache::{MAXIMUM_SIZE, build_cached, cache_directory, cached_image};
pub use error::{Error, SearchedPlaces};
pub use inspect::{
    ConfigurationInspection, FileInspection, Inspection, KernelInspection, find_user, inspect,
    is_image, read_configuration,
};
pub use languages::{Note, languages};
pub use plan::{BuildPlan, plan};
pub use request::{
    BuildRequest, DEFAULT_ENVIRONMENT, DEFAULT_HOSTNAME, FileMapping, ModificationTimes,
    SystemFiles, parse_memory,
};

pub use pith_abi::image::{Configuration, ImageHeader, LogLevel, Overridable};
