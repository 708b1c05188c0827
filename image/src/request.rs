//! What to build: a program and its settings, as the command line or `pith.toml` gives them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use pith_abi::image::{LogLevel, Overridable};
use pith_network_settings::Settings;
use pith_storage_settings::Settings as StorageSettings;

use crate::error::Error;
use crate::manifest;

/// Everything that decides what an image holds, beside the kernel and the files of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildRequest {
    /// The program: a path of the host, or a name that is looked up in `PATH` as a shell does. A path may
    /// also be one that `files` or `root` put into the image. It becomes `argv[0]` as it is.
    pub program: OsString,
    /// Arguments after `argv[0]`. Files that they name are *not* put into the image: use `files`.
    pub arguments: Vec<OsString>,
    /// Environment variables by name; they add to the default ones ([`DEFAULT_ENVIRONMENT`]) and override
    /// them. The last of equal names counts.
    pub environment: Vec<(OsString, OsString)>,
    /// Working directory in the guest, created if need be; `/` by default.
    pub working_directory: Option<PathBuf>,
    /// In whose name the program runs, as `USER[:GROUP]` with names or numbers; root by default.
    pub user: Option<String>,
    /// Host name of the guest; `pith` by default.
    pub hostname: Option<String>,
    /// Memory of the machine in MiB, unless the monitor is told otherwise.
    pub memory_mebibytes: Option<u32>,
    /// Virtual CPUs of the machine, unless the monitor is told otherwise.
    pub cpus: Option<u32>,
    /// More files, each replacing what `root` or an earlier one put at its place.
    pub files: Vec<FileMapping>,
    /// A directory whose contents are copied to `/`, before anything else.
    pub root: Option<PathBuf>,
    /// Print every system call.
    pub trace: bool,
    /// Least severe level of kernel messages that are shown.
    pub log_level: LogLevel,
    /// What the network cards are set to, one after the other; without settings the monitor decides.
    pub network: Vec<Settings>,
    /// How much may be written above the image (path `/`), and further file systems in memory. Of several with the same
    /// path the last one counts.
    pub storage: Vec<StorageSettings>,
    /// What the kernel command line may change; only diagnostics by default.
    pub overridable: Overridable,
    /// Directory to which relative paths of the host refer.
    pub base: PathBuf,
    /// Where the image is written to. A file that is there from last time is no part of an application around it.
    pub output: Option<PathBuf>,
    /// Where `/etc/passwd` and the like come from.
    pub system_files: SystemFiles,
    /// Modification times of the files in the image.
    pub modification_times: ModificationTimes,
}

/// Environment variables that every program gets unless the request sets them.
///
/// `LANG=C.UTF-8` because it is the one locale that every system has and that handles text as UTF-8.
pub const DEFAULT_ENVIRONMENT: [(&str, &str); 3] = [
    (
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    ),
    ("HOME", "/root"),
    ("LANG", "C.UTF-8"),
];

/// Host name of a guest that was given none.
pub const DEFAULT_HOSTNAME: &str = "pith";

/// Where the small files come from that programs of every kind read: `/etc/passwd`, `/etc/group` and
/// `/etc/localtime`. Files given by the user come before both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SystemFiles {
    /// From the host, so that a program prints the same names and times as there.
    Host,
    /// Made up: the accounts `root` and `nobody`, and UTC. The image tells nothing about the host.
    #[default]
    Minimal,
}

/// Modification times of the files in an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModificationTimes {
    /// As on the host. Generated files, and directories that are there only because a file lies in them,
    /// are dated 1970.
    #[default]
    Keep,
    /// All the same: seconds since 1970 (UTC).
    Fixed(i64),
}

impl BuildRequest {
    /// A request to run a program of this machine, with defaults for the rest, as `pith run PROGRAM` does.
    ///
    /// Relative paths refer to the current directory, and [`SystemFiles::Host`] is chosen.
    pub fn new(program: impl Into<OsString>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            output: None,
            working_directory: None,
            user: None,
            hostname: None,
            memory_mebibytes: None,
            cpus: None,
            files: Vec::new(),
            root: None,
            trace: false,
            log_level: LogLevel::default(),
            network: Vec::new(),
            storage: Vec::new(),
            overridable: Overridable {
                diagnostics: true,
                ..Overridable::default()
            },
            base: PathBuf::from("."),
            system_files: SystemFiles::Host,
            modification_times: ModificationTimes::Keep,
        }
    }

    /// Reads `pith.toml`; `docs/pith-toml.md` describes it. Relative paths refer to its directory.
    pub fn from_manifest(path: &Path) -> Result<Self, Error> {
        manifest::read(path)
    }
}

/// A file or directory of the host, and where it goes in the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileMapping {
    /// Path on the host.
    pub host: PathBuf,
    /// Absolute path in the guest; without it, the same as the absolute path on the host.
    pub guest: Option<PathBuf>,
}

impl FileMapping {
    /// Reads `HOST[:GUEST]`. The last colon separates, so a host path with a colon needs a guest path.
    pub fn parse(text: impl AsRef<OsStr>) -> Result<Self, Error> {
        let text = text.as_ref();
        let bad = |reason| Error::BadMapping {
            text: text.to_string_lossy().into_owned(),
            reason,
        };
        let bytes = text.as_bytes();
        let (host, guest) = match bytes.iter().rposition(|&byte| byte == b':') {
            Some(colon) => (&bytes[..colon], Some(&bytes[colon + 1..])),
            None => (bytes, None),
        };
        if host.is_empty() {
            return Err(bad("the path on the host is empty"));
        }
        if let Some(guest) = guest {
            if guest.is_empty() {
                return Err(bad(
                    "the path in the guest is empty; leave out the colon to keep the host's path",
                ));
            }
            if guest[0] != b'/' {
                return Err(bad("the path in the guest must start with `/`"));
            }
        }
        Ok(Self {
            host: OsStr::from_bytes(host).into(),
            guest: guest.map(|guest| OsStr::from_bytes(guest).into()),
        })
    }
}

impl std::str::FromStr for FileMapping {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

/// Reads an amount of memory such as `128M`, `2G` or `131072K`, in MiB. A bare number counts MiB.
///
/// `MiB`, `MB` and lower case are understood too; all units are powers of 1024.
pub fn parse_memory(text: &str) -> Result<u32, Error> {
    let bad = |reason: &str| Error::BadValue {
        what: "memory",
        value: text.into(),
        reason: reason.into(),
    };
    let trimmed = text.trim();
    let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = trimmed.split_at(digits);
    let number: u64 = number.parse().map_err(|_| {
        bad("is not an amount of memory: write a whole number and a unit, such as 128M or 2G")
    })?;
    let unit = unit.trim().to_ascii_lowercase();
    let kibibytes = match unit
        .strip_suffix("ib")
        .or(unit.strip_suffix('b'))
        .unwrap_or(&unit)
    {
        "k" => Some(number),
        "" | "m" => number.checked_mul(1024),
        "g" => number.checked_mul(1024 * 1024),
        "t" => number.checked_mul(1024 * 1024 * 1024),
        _ => return Err(bad("has an unknown unit: use K, M, G or T")),
    };
    let kibibytes = kibibytes.ok_or_else(|| bad("is too much"))?;
    if kibibytes % 1024 != 0 {
        return Err(bad("is not a whole number of MiB"));
    }
    match u32::try_from(kibibytes / 1024) {
        Ok(0) => Err(bad("is too little: a machine needs at least 16M")),
        Ok(mebibytes) => Ok(mebibytes),
        Err(_) => Err(bad("is too much")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mappings_are_read() {
        let mapping = FileMapping::parse("a/b:/c").unwrap();
        assert_eq!(
            (mapping.host, mapping.guest),
            ("a/b".into(), Some("/c".into()))
        );
        assert_eq!(FileMapping::parse("a").unwrap().guest, None);
        assert_eq!(
            FileMapping::parse("a:b:/c").unwrap().host,
            PathBuf::from("a:b")
        );
        for bad in ["", ":/c", "a:", "a:b"] {
            assert!(
                matches!(FileMapping::parse(bad), Err(Error::BadMapping { .. })),
                "{bad}"
            );
        }
    }

    #[test]
    fn memory_is_read() {
        for (text, expected) in [
            ("128M", 128),
            ("2G", 2048),
            ("64", 64),
            ("65536k", 64),
            ("1 GiB", 1024),
            ("16MB", 16),
        ] {
            assert_eq!(parse_memory(text).unwrap(), expected, "{text}");
        }
        for bad in [
            "",
            "M",
            "-1M",
            "1.5G",
            "1X",
            "1K",
            "0",
            "99999999999999999999T",
            "9999999T",
        ] {
            assert!(parse_memory(bad).is_err(), "{bad}");
        }
    }
}
