//! An error for people: what went wrong, what to do, and the command's exit status.

use std::fmt::Display;

use pith_image::Error as ImageError;
use pith_monitor::RunError;

/// Status of `pith`'s own errors, which a program's status can be told apart from (as with `docker run`).
const OWN_ERROR: u8 = 125;

/// Why the command did not do what it was asked for.
#[derive(Debug)]
pub struct Failure {
    message: String,
    remedy: Option<String>,
    status: u8,
}

impl Failure {
    /// A failure with what to do about it.
    pub fn new(message: impl Display, remedy: impl Display) -> Self {
        Self {
            message: message.to_string(),
            remedy: Some(remedy.to_string()),
            status: OWN_ERROR,
        }
    }

    /// The command line makes no sense: status 2, as clap's.
    pub fn usage(message: impl Display, remedy: impl Display) -> Self {
        Self {
            status: 2,
            ..Self::new(message, remedy)
        }
    }

    /// The command's exit status.
    pub fn status(&self) -> u8 {
        self.status
    }

    /// Says it on standard error.
    pub fn show(&self) {
        eprintln!("pith: error: {}", self.message);
        if let Some(remedy) = &self.remedy {
            eprintln!("  remedy: {remedy}");
        }
    }
}

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Self {
        Self {
            status: match &error {
                // As a shell answers a command that it does not find, or can't execute.
                ImageError::ProgramNotFound { .. }
                | ImageError::Missing {
                    role: "program", ..
                } => 127,
                ImageError::NotAFile { .. }
                | ImageError::NotAProgram { .. }
                | ImageError::NotExecutable { .. }
                | ImageError::ThirtyTwoBit { .. }
                | ImageError::ForeignArchitecture { .. }
                | ImageError::MalformedElf { .. } => 126,
                _ => OWN_ERROR,
            },
            // The image builder's messages say the remedy themselves.
            message: error.to_string(),
            remedy: None,
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Self {
            message: error.to_string(),
            remedy: error.remedy().map(str::to_owned),
            status: OWN_ERROR,
        }
    }
}
