//! Chooses what executes the guest's instructions.
//!
//! KVM runs them on the processor itself. It needs a processor with virtualisation (`vmx` on Intel,
//! `svm` on AMD) and a device that may be opened. A device alone proves nothing: inside a virtual machine
//! without nested virtualisation it may exist and fail, or emulate more slowly than QEMU does. Otherwise
//! TCG, QEMU's translator, runs them everywhere.

use std::fs::File;
use std::io::{self, BufRead, BufReader};

/// What executes the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// The processor, by Linux's KVM.
    Kvm,
    /// QEMU's translator, with a thread of the host for each processor.
    Tcg,
    /// The same in one thread: the processors take turns. Otherwise one may execute what another has just overwritten
    /// (`docs/getting-started.md`).
    TcgInTurns,
}

/// What the user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Request {
    /// KVM where it works, else TCG.
    #[default]
    Auto,
    /// KVM or an error.
    Kvm,
    /// TCG.
    Tcg,
    /// TCG, one processor after the other.
    TcgInTurns,
}

/// What the host offers.
#[derive(Debug)]
pub struct HostFacts {
    /// Whether the processor's flags name `vmx` or `svm`.
    pub virtualisation: bool,
    /// What opening `/dev/kvm` for reading and writing gave.
    pub device: Result<(), io::Error>,
}

impl HostFacts {
    /// Looks at this host.
    pub fn gather() -> Self {
        let virtualisation = File::open("/proc/cpuinfo")
            .and_then(|file| has_virtualisation(BufReader::new(file)))
            .unwrap_or(false);
        let device = File::options()
            .read(true)
            .write(true)
            .open("/dev/kvm")
            .map(drop);
        Self {
            virtualisation,
            device,
        }
    }

    /// Why KVM can't be used here; `None` if it can.
    pub fn obstacle(&self) -> Option<Obstacle> {
        if !self.virtualisation {
            return Some(Obstacle::Processor);
        }
        match &self.device {
            Ok(()) => None,
            Err(error) => Some(match error.kind() {
                io::ErrorKind::PermissionDenied => Obstacle::Permission,
                io::ErrorKind::NotFound => Obstacle::NoDevice,
                _ => Obstacle::Device(error.to_string()),
            }),
        }
    }
}

/// Why KVM can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// No `vmx` and no `svm` in `/proc/cpuinfo`.
    #[error("the processor offers no virtualisation (no vmx or svm in /proc/cpuinfo)")]
    Processor,
    /// `EACCES`.
    #[error("/dev/kvm may not be opened by this user")]
    Permission,
    /// `ENOENT`.
    #[error("/dev/kvm does not exist")]
    NoDevice,
    /// Anything else that `open(2)` says.
    #[error("/dev/kvm can't be opened: {0}")]
    Device(String),
}

impl Obstacle {
    /// What the user can do.
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Processor => {
                "use --accel tcg, or enable virtualisation in the firmware (or nested \
                 virtualisation, if this host is itself a virtual machine)"
            }
            Self::Permission => "sudo adduser $USER kvm, log in again; or use --accel tcg",
            Self::NoDevice => "sudo modprobe kvm_intel (or kvm_amd); or use --accel tcg",
            Self::Device(_) => "use --accel tcg",
        }
    }
}

/// What was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The accelerator to use.
    pub accelerator: Accelerator,
    /// Set if [`Request::Auto`] had to do without KVM.
    pub fallback: Option<Obstacle>,
}

/// Settles a request by the facts. Asked for KVM where it can't work, it answers with the obstacle.
pub fn choose(request: Request, facts: &HostFacts) -> Result<Choice, Obstacle> {
    let (accelerator, fallback) = match (request, facts.obstacle()) {
        (Request::Tcg, _) => (Accelerator::Tcg, None),
        (Request::TcgInTurns, _) => (Accelerator::TcgInTurns, None),
        (Request::Auto | Request::Kvm, None) => (Accelerator::Kvm, None),
        (Request::Auto, Some(obstacle)) => (Accelerator::Tcg, Some(obstacle)),
        (Request::Kvm, Some(obstacle)) => return Err(obstacle),
    };
    Ok(Choice {
        accelerator,
        fallback,
    })
}

/// Whether `/proc/cpuinfo` names `vmx` or `svm` among the flags of its first processor.
///
/// It reads no further: on hosts with many processors, the rest takes milliseconds to make.
pub fn has_virtualisation(cpuinfo: impl BufRead) -> io::Result<bool> {
    for line in cpuinfo.lines() {
        let line = line?;
        if let Some((name, flags)) = line.split_once(':')
            && name.trim() == "flags"
        {
            return Ok(flags
                .split_ascii_whitespace()
                .any(|flag| flag == "vmx" || flag == "svm"));
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(virtualisation: bool, device: Result<(), io::ErrorKind>) -> HostFacts {
        HostFacts {
            virtualisation,
            device: device.map_err(io::Error::from),
        }
    }

    #[test]
    fn flags_are_whole_words_of_the_right_line() {
        let has = |text: &str| has_virtualisation(text.as_bytes()).unwrap();
        assert!(has("processor\t: 0\nflags\t\t: fpu vmx sse\n"));
        assert!(has("flags\t\t: svm\n"));
        assert!(!has("flags\t\t: fpu svm_lock avmx\nvmx flags\t: vmx\n"));
        assert!(!has("model name\t: svm vmx\nbugs\t: vmx\n"));
        assert!(!has(""));
    }

    #[test]
    fn auto_takes_kvm_only_where_processor_and_device_agree() {
        let kvm = choose(Request::Auto, &facts(true, Ok(()))).unwrap();
        assert_eq!(
            (kvm.accelerator, kvm.fallback),
            (Accelerator::Kvm, None::<Obstacle>)
        );

        for (facts, obstacle) in [
            (facts(false, Ok(())), Obstacle::Processor),
            (
                facts(true, Err(io::ErrorKind::PermissionDenied)),
                Obstacle::Permission,
            ),
            (
                facts(true, Err(io::ErrorKind::NotFound)),
                Obstacle::NoDevice,
            ),
        ] {
            let choice = choose(Request::Auto, &facts).unwrap();
            assert_eq!(choice.accelerator, Accelerator::Tcg);
            assert_eq!(choice.fallback.as_ref(), Some(&obstacle));
            assert_eq!(choose(Request::Kvm, &facts), Err(obstacle));
        }
    }

    #[test]
    fn tcg_is_never_a_fallback_when_asked_for() {
        for (request, accelerator) in [
            (Request::Tcg, Accelerator::Tcg),
            (Request::TcgInTurns, Accelerator::TcgInTurns),
        ] {
            let choice = choose(request, &facts(true, Ok(()))).unwrap();
            assert_eq!((choice.accelerator, choice.fallback), (accelerator, None));
        }
    }
}
