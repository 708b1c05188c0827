//! File systems in memory: where they are, and how much they may hold.
//!
//! One notation serves wherever one is described: `pith run --tmpfs`, `pith.toml`, the configuration that is baked into
//! an image, and the kernel command line (`pith.storage=`). It is that of Docker's `--tmpfs`: a path, and behind a colon
//! options of tmpfs(5) with commas between them.
//!
//! ```text
//! /tmp:size=64m,nr_inodes=10k,mode=1777
//!
//! size=64m        most bytes of data: with k, m, g or t in powers of 1024, or with % of the machine's memory; 0 for no limit
//! nr_blocks=16k   the same in pages of 4 KiB
//! nr_inodes=10k   most files, directories and further names of files; 0 for no limit
//! mode=1777       permissions of the top directory
//! uid=0,gid=0     its owner
//! rw,suid,dev,exec   what holds anyhow
//! ```
//!
//! The path `/` means the changes above the image, whose top directory is the image's own.
//! [`Settings::parse`] reads it; [`Display`](fmt::Display) writes it.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::string::{String, ToString};
use core::fmt;

/// Bytes of a block: a page.
const BLOCK: u64 = 4096;

/// Directories whose content the kernel makes up.
const MADE_UP: [&str; 3] = ["/proc", "/sys", "/dev"];

/// How much data a file system may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// So many bytes; 0 for no limit.
    Bytes(u64),
    /// So many hundredths of the machine's memory; 0 for no limit.
    Percent(u16),
}

impl Size {
    /// Pages on a machine with so many bytes of memory; `None` for no limit.
    #[must_use]
    pub fn pages(self, memory: u64) -> Option<u64> {
        let bytes = match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) => (memory / 100).saturating_mul(percent.into()),
        };
        let unlimited = matches!(self, Self::Bytes(0) | Self::Percent(0));
        (!unlimited).then_some(bytes.div_ceil(BLOCK))
    }
}

/// What one file system is set to; what is not said is left to the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Where it is: an absolute path without `.`, `..` or needless slashes. `/` means the changes above the image.
    pub path: String,
    /// Most data; otherwise half of the machine's memory.
    pub size: Option<Size>,
    /// Most files, 0 for no limit; otherwise one for every two pages of memory.
    pub files: Option<u64>,
    /// Permissions of the top directory; otherwise `1777` (octal).
    pub permissions: Option<u16>,
    /// Owner of the top directory; otherwise root.
    pub user: Option<u32>,
    /// Group of the top directory; otherwise root.
    pub group: Option<u32>,
}

/// Why settings can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The word that is wrong.
    pub word: String,
    /// What is wrong with it: the rest of a sentence that starts with the word.
    pub reason: &'static str,
}

impl Problem {
    fn new(word: &str, reason: &'static str) -> Self {
        Self {
            word: word.to_string(),
            reason,
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "`{}` {}", self.word, self.reason)
    }
}

impl core::error::Error for Problem {}

/// A number with a unit in powers of 1024.
fn amount(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let power = match unit {
        "" => 0,
        "k" | "K" => 1,
        "m" | "M" => 2,
        "g" | "G" => 3,
        "t" | "T" => 4,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << (10 * power))
}

fn size(text: &str) -> Option<Size> {
    match text.strip_suffix('%') {
        Some(percent) => percent.parse().ok().map(Size::Percent),
        None => amount(text).map(Size::Bytes),
    }
}

impl Settings {
    /// Reads `PATH` or `PATH:OPTIONS`.
    ///
    /// # Errors
    /// Which word is wrong, and why.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        let (path, options) = text.split_once(':').unwrap_or((text, ""));
        Self::with_options(path, options)
    }

    /// Reads the options of the file system at a path.
    ///
    /// # Errors
    /// Which word is wrong, and why.
    pub fn with_options(path: &str, options: &str) -> Result<Self, Problem> {
        let mut settings = Self {
            path: normal_path(path)?,
            ..Self::default()
        };
        for word in options.split(',').filter(|word| !word.is_empty()) {
            settings.read(word)?;
        }
        let of_top = [
            settings.permissions.is_some(),
            settings.user.is_some(),
            settings.group.is_some(),
        ];
        if settings.path == "/" && of_top.contains(&true) {
            return Err(Problem::new(
                "/",
                "has the owner and mode of the image's top directory",
            ));
        }
        Ok(settings)
    }

    fn read(&mut self, word: &str) -> Result<(), Problem> {
        let wrong = |reason| Problem::new(word, reason);
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "size" => {
                let reason = "is no size: write 64m, 1g, 50% or 0 (no limit)";
                self.size = Some(size(value).ok_or_else(|| wrong(reason))?);
            }
            "nr_blocks" => {
                let blocks = amount(value).and_then(|blocks| blocks.checked_mul(BLOCK));
                self.size = Some(Size::Bytes(
                    blocks.ok_or_else(|| wrong("is no number of blocks"))?,
                ));
            }
            "nr_inodes" => {
                let files = amount(value);
                self.files =
                    Some(files.ok_or_else(|| {
                        wrong("is no number of files: write 10k, or 0 (no limit)")
                    })?);
            }
            "mode" => {
                let mode = u16::from_str_radix(value, 8)
                    .ok()
                    .filter(|mode| *mode <= 0o7777);
                self.permissions =
                    Some(mode.ok_or_else(|| wrong("is no mode: write 1777 or 755"))?);
            }
            "uid" => self.user = Some(value.parse().map_err(|_| wrong("is no number of a user"))?),
            "gid" => {
                self.group = Some(
                    value
                        .parse()
                        .map_err(|_| wrong("is no number of a group"))?,
                )
            }
            "rw" | "suid" | "dev" | "exec" if word == key => {}
            "ro" | "nosuid" | "nodev" | "noexec" if word == key => {
                return Err(wrong("is not supported yet: leave it out"));
            }
            _ => {
                return Err(wrong(
                    "is not known: there are size, nr_blocks, nr_inodes, mode, uid and gid",
                ));
            }
        }
        Ok(())
    }

    /// Pages of data that it may hold on a machine with so many bytes of memory; `None` for no limit.
    #[must_use]
    pub fn pages(&self, memory: u64) -> Option<u64> {
        self.size.unwrap_or(Size::Percent(50)).pages(memory)
    }

    /// Files that it may hold on a machine with so many bytes of memory; `None` for no limit.
    #[must_use]
    pub fn most_files(&self, memory: u64) -> Option<u64> {
        match self.files {
            Some(files) => (files != 0).then_some(files),
            None => Some(memory / BLOCK / 2),
        }
    }
}

/// A path without needless slashes, or why nothing can be there.
fn normal_path(path: &str) -> Result<String, Problem> {
    let wrong = |reason| Err(Problem::new(path, reason));
    if !path.starts_with('/') {
        return wrong("is no absolute path: write it from / on");
    }
    let mut normal = String::new();
    for name in path.split('/').filter(|name| !name.is_empty()) {
        if name == "."
            || name == ".."
            || name.contains(|letter: char| letter.is_whitespace() || letter.is_control())
        {
            return wrong("is not a plain path: it must not hold `.`, `..` or blanks");
        }
        normal.push('/');
        normal.push_str(name);
    }
    let made_up = MADE_UP.iter().any(|made_up| normal == *made_up)
        || normal.starts_with("/proc/")
        || normal.starts_with("/sys/");
    if made_up {
        return wrong("is the kernel's own: choose another place");
    }
    if normal.is_empty() {
        normal.push('/');
    }
    Ok(normal)
}

impl fmt::Display for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.path)?;
        let mut separator = ':';
        let mut word = |key: &str, value: fmt::Arguments<'_>| {
            let result = write!(formatter, "{separator}{key}={value}");
            separator = ',';
            result
        };
        match self.size {
            Some(Size::Bytes(bytes)) => word("size", format_args!("{bytes}"))?,
            Some(Size::Percent(percent)) => word("size", format_args!("{percent}%"))?,
            None => {}
        }
        if let Some(files) = self.files {
            word("nr_inodes", format_args!("{files}"))?;
        }
        if let Some(permissions) = self.permissions {
            word("mode", format_args!("{permissions:o}"))?;
        }
        if let Some(user) = self.user {
            word("uid", format_args!("{user}"))?;
        }
        if let Some(group) = self.group {
            word("gid", format_args!("{group}"))?;
        }
        Ok(())
    }
}
