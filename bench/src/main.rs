//! Pith and Linux side by side: the same program, the same QEMU, in one run, as ratios.
//!
//! Linux is Debian's cloud kernel (`linux-image-cloud-amd64`). It boots the program from an initial file
//! system in memory that holds nothing else but a first process, which starts the program and then resets
//! the machine. Runs alternate between the two, so that a change in the machine's load meets both.
#![forbid(unsafe_code)]

mod archive;
mod figures;
mod linux;
mod network;
mod pith;
mod run;
mod runtimes;
mod table;

use figures::{Figures, Sides};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask bench [PART] [--rounds N] [--filter TEXT] [--accel tcg|kvm] [--only pith|linux]

  PART            programs: hello, calls, threads, files, runtimes; instructions: what calls and programs execute, counted
                  (TCG only); network: servers that are asked over the network [default: all]
  --rounds N      how often each figure is measured; medians are shown [default: 5]
  --filter TEXT   only the figures whose name contains this; nothing is stored
  --accel NAME    what executes the guests' instructions [default: tcg]
  --only SIDE     measure one side, to check the comparison itself; nothing is stored

The part `network` needs root, or the right to make user namespaces, and /dev/net/tun.
";

/// What is measured, and kept under one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Programs that need no network, by time.
    Programs,
    /// The same by instructions, which no other load of the host changes.
    Instructions,
    /// Servers.
    Network,
}

/// What the person asked for.
#[derive(Clone, Debug)]
pub struct Options {
    parts: Vec<Part>,
    rounds: usize,
    filter: String,
    accelerator: String,
    with_pith: bool,
    with_linux: bool,
}

impl Options {
    /// Whether a figure of this name is wanted.
    fn wants(&self, name: &str) -> bool {
        name.contains(&self.filter)
    }

    /// Whether everything is measured, so that the results can be kept.
    fn complete(&self) -> bool {
        self.with_pith && self.with_linux && self.filter.is_empty()
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match parse(&arguments).and_then(|options| match options {
        Some(options) => measure(&options),
        None => {
            print!("{USAGE}");
            Ok(())
        }
    }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("bench: {message}");
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &[String]) -> Result<Option<Options>, String> {
    let mut options = Options {
        parts: vec![Part::Programs, Part::Instructions, Part::Network],
        rounds: 5,
        filter: String::new(),
        accelerator: "tcg".into(),
        with_pith: true,
        with_linux: true,
    };
    let mut words = arguments.iter().map(String::as_str).peekable();
    let part = words.peek().and_then(|word| match *word {
        "programs" => Some(Part::Programs),
        "instructions" => Some(Part::Instructions),
        "network" => Some(Part::Network),
        _ => None,
    });
    if let Some(part) = part {
        options.parts = vec![part];
        words.next();
    }
    while let Some(word) = words.next() {
        match (word, words.next()) {
            ("--help" | "-h", _) => return Ok(None),
            ("--rounds", Some(value)) => {
                options.rounds = value
                    .parse()
                    .ok()
                    .filter(|&rounds| rounds > 0)
                    .ok_or_else(|| format!("--rounds takes a number from 1, not '{value}'"))?;
            }
            ("--filter", Some(value)) => options.filter = value.into(),
            ("--accel", Some(value @ ("tcg" | "kvm"))) => options.accelerator = value.into(),
            ("--only", Some("linux")) => options.with_pith = false,
            ("--only", Some("pith")) => options.with_linux = false,
            _ => return Err(format!("can't make sense of '{word}'\n\n{USAGE}")),
        }
    }
    Ok(Some(options))
}

fn measure(options: &Options) -> Result<(), String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    if options.parts.contains(&Part::Network) {
        network::enter()?;
    }
    let programs = root.join("programs");
    let workshop = run::Workshop::new(&programs)?;
    for &part in &options.parts {
        let (name, figures) = match part {
            Part::Network => ("network", network::measure(options, &workshop, &root)?),
            Part::Instructions if options.accelerator != "tcg" => {
                eprintln!("bench: only TCG counts instructions; that part is left out");
                continue;
            }
            Part::Instructions => {
                let sides = Sides::new(options, &workshop, &programs)?;
                ("instructions", Figures::count(options, &sides)?)
            }
            Part::Programs => {
                let sides = Sides::new(options, &workshop, &programs)?;
                ("latest", Figures::measure(options, &workshop, &sides)?)
            }
        };
        publish(options, &root, name, &figures)?;
    }
    Ok(())
}

/// Prints figures, and keeps them if they are all there.
fn publish(options: &Options, root: &Path, name: &str, figures: &Figures) -> Result<(), String> {
    let text = table::render(figures);
    print!("{text}");
    if !options.complete() {
        return Ok(());
    }
    let results = root.join("results");
    run::make_directory(&results)?;
    let json = serde_json::to_string_pretty(figures).map_err(|error| error.to_string())?;
    for (ending, content) in [("json", json + "\n"), ("md", text)] {
        let path = results.join(format!("{name}.{ending}"));
        run::write(&path, content.as_bytes())?;
        eprintln!("wrote {}", path.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn options_are_read() {
        let options = parse(&words("network --rounds 3 --accel kvm --only linux"))
            .expect("good options")
            .expect("not help");
        assert_eq!(options.rounds, 3);
        assert_eq!(options.accelerator, "kvm");
        assert_eq!(options.parts, [Part::Network]);
        assert!(!options.with_pith && options.with_linux);
        assert!(parse(&words("--help")).expect("help").is_none());
    }

    #[test]
    fn only_a_complete_run_is_kept() {
        for (text, kept) in [("", true), ("programs", true), ("--filter redis", false)] {
            let options = parse(&words(text))
                .expect("good options")
                .expect("not help");
            assert_eq!(options.complete(), kept, "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "--rounds",
            "--rounds 0",
            "--rounds x",
            "--accel xen",
            "--only xen",
            "network programs",
            "more",
        ] {
            assert!(parse(&words(text)).is_err(), "{text}");
        }
    }
}
