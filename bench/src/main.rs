//! Pith and Linux side by side: the same program, the same QEMU, in one run, as ratios.
//!
//! Linux is Debian's cloud kernel (`linux-image-cloud-amd64`). It boots the program from an initial file
//! system in memory that holds nothing else but a first process, which starts the program and then resets
//! the machine. Runs alternate between the two, so that a change in the machine's load meets both.
#![forbid(unsafe_code)]

mod archive;
mod figures;
mod linux;
mod pith;
mod python;
mod run;
mod table;

use figures::Figures;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask bench [--runs N] [--accel tcg|kvm] [--only linux]

  --runs N        how often each figure is measured; medians are shown [default: 5]
  --accel NAME    what executes the guests' instructions [default: tcg]
  --only linux    measure one side, to check the comparison itself; nothing is stored
";

/// What the person asked for.
#[derive(Clone, Debug)]
pub struct Options {
    runs: usize,
    accelerator: String,
    with_pith: bool,
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
        runs: 5,
        accelerator: "tcg".into(),
        with_pith: true,
    };
    let mut words = arguments.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match (word, words.next()) {
            ("--help" | "-h", _) => return Ok(None),
            ("--runs", Some(value)) => {
                options.runs = value
                    .parse()
                    .ok()
                    .filter(|&runs| runs > 0)
                    .ok_or_else(|| format!("--runs takes a number from 1, not '{value}'"))?;
            }
            ("--accel", Some(value @ ("tcg" | "kvm"))) => options.accelerator = value.into(),
            ("--only", Some("linux")) => options.with_pith = false,
            _ => return Err(format!("can't make sense of '{word}'\n\n{USAGE}")),
        }
    }
    Ok(Some(options))
}

fn measure(options: &Options) -> Result<(), String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let workshop = run::Workshop::new(&root.join("programs"))?;
    let linux = linux::Linux::new(&workshop, &root.join("programs"), &options.accelerator)?;
    let pith = match options.with_pith {
        true => Some(pith::Pith::new(
            &workshop,
            &root.join("programs"),
            &options.accelerator,
        )?),
        false => None,
    };
    let figures = Figures::measure(options, &workshop, &linux, pith.as_ref())?;
    let text = table::render(&figures);
    print!("{text}");
    if pith.is_some() {
        let results = root.join("results");
        run::make_directory(&results)?;
        let json = serde_json::to_string_pretty(&figures).map_err(|error| error.to_string())?;
        for (name, content) in [("latest.json", json + "\n"), ("latest.md", text)] {
            let path = results.join(name);
            run::write(&path, content.as_bytes())?;
            eprintln!("wrote {}", path.display());
        }
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
        let options = parse(&words("--runs 3 --accel kvm --only linux"))
            .expect("good options")
            .expect("not help");
        assert_eq!(options.runs, 3);
        assert_eq!(options.accelerator, "kvm");
        assert!(!options.with_pith);
        assert!(parse(&words("--help")).expect("help").is_none());
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "--runs",
            "--runs 0",
            "--runs x",
            "--accel xen",
            "--only pith",
            "more",
        ] {
            assert!(parse(&words(text)).is_err(), "{text}");
        }
    }
}
