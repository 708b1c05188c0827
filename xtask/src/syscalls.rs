//! `docs/syscalls.md`, generated from the kernel's table of system calls.

use crate::process::{Failure, root};
use std::path::PathBuf;

/// The table that the kernel itself is compiled from, below the work tree.
const TABLE: &str = "kernel/src/syscalls/table.in";

/// `cargo xtask syscalls [--check]`
pub fn command(arguments: &[String]) -> Result<(), Failure> {
    match arguments {
        [] => {
            let path = document_path();
            std::fs::write(&path, document()?)
                .map_err(|error| Failure::new(format!("can't write {}: {error}", path.display())))
        }
        [word] if word == "--check" => check(),
        _ => Err(Failure::new("syscalls takes nothing, or --check")),
    }
}

/// Fails unless the document is what [`document`] gives.
pub fn check() -> Result<(), Failure> {
    let path = document_path();
    let expected = document()?;
    let found = std::fs::read_to_string(&path)
        .map_err(|error| Failure::new(format!("can't read {}: {error}", path.display())))?;
    if found == expected {
        Ok(())
    } else {
        Err(Failure::new(format!(
            "{} is not current; type: cargo xtask syscalls",
            path.display()
        )))
    }
}

fn document_path() -> PathBuf {
    root().join("docs/syscalls.md")
}

/// The text of the document.
fn document() -> Result<String, Failure> {
    let path = root().join(TABLE);
    Err(Failure::new(format!(
        "no generator yet for {}",
        path.display()
    )))
}
