//! The command line.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use pith_abi::image::MAXIMUM_CPUS;
use pith_image::{FileMapping, LogLevel, parse_memory};
use pith_monitor::accelerator::Request;
use pith_monitor::{MachineType, PublishedPorts};
use pith_storage_settings::Settings as StorageSettings;

use crate::network::{NetworkArgument, parse_network, parse_ports};

/// Runs unmodified Linux programs as unikernels: one program, one virtual machine.
#[derive(Debug, Parser)]
#[command(name = "pith", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a program, or an image, in a virtual machine of its own
    Run(RunArguments),
    /// Build an image of a program
    Build(BuildArguments),
    /// Show what is in an image
    Inspect(InspectArguments),
    /// Show the versions of this command and of its kernel
    Version,
}

const RUN_EXAMPLES: &str = "\
Examples:
  pith run ls -la /                        a program of this machine
  pith run --file data.csv:/data.csv sort /data.csv
                                           with a file that it reads
  echo hello | pith run -e LANG=C tr a-z A-Z
  pith run -m 1G -c 2 --timeout 30s ./server --port 8080
  pith run -p 8080:8000 -- python3 -m http.server 8000
                                           reached at http://localhost:8080
  pith run --net tap:tap0,ip=10.0.0.2/24,gateway=10.0.0.1 ./server
                                           with an address of its own on a network of the host
  pith run --user daemon:adm id            not as root
  pith run --trace -- /bin/true            every system call, as strace shows it
  pith run hello.pith                      an image that `pith build` made

Exit status:
  the program's own; 128+N if signal N killed it; 127 if it is not found, 126 if it can't be
  executed; 124 after --timeout; 125 for an error of pith or its kernel; 2 for wrong usage.

Environment:
  PITH_QEMU   QEMU's program, in place of qemu-system-x86_64
  PITH_CACHE  where images are kept, in place of ~/.cache/pith";

#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLES, override_usage = "pith run [OPTIONS] [--] PROGRAM [ARGUMENTS]...\n       pith run [OPTIONS] [--] IMAGE [ARGUMENTS]...\n       pith run [OPTIONS] -f pith.toml [--] [ARGUMENTS]...")]
pub struct RunArguments {
    /// Run what this manifest describes; ARGUMENTS then replace those in it
    #[arg(short = 'f', long, value_name = "PITH.TOML")]
    pub manifest: Option<PathBuf>,

    #[command(flatten)]
    pub content: ContentArguments,

    /// What executes the machine's instructions
    #[arg(long, value_enum, default_value_t = AcceleratorArgument::Auto, value_name = "NAME")]
    pub accel: AcceleratorArgument,

    /// The board: microvm starts fastest, q35 is a common PC with PCI
    #[arg(long, value_enum, default_value_t = MachineArgument::Microvm, value_name = "NAME")]
    pub machine: MachineArgument,

    /// The model of processor, by QEMU's name [default: the one with the most features]
    #[arg(long, value_name = "MODEL")]
    pub cpu: Option<String>,

    /// A network card: user (behind a router that needs no privilege), tap:INTERFACE, bridge:INTERFACE, or none; behind
    /// a comma its settings: ip=10.0.0.2/24,gateway=10.0.0.1,ip6=…,gateway6=…,dns=…,mtu=…,queues=…,mac=…,dhcp,slaac. May be repeated
    /// [default: user, or what
    /// the image says; none for programs that can't open sockets]
    #[arg(long, value_name = "KIND[,SETTINGS]", value_parser = parse_network)]
    pub net: Vec<NetworkArgument>,

    /// Let a port of this machine lead to one of the program: 8080:80, 127.0.0.1:8080:80, [::1]:8080:80,
    /// 5353:53/udp, 9000-9009:9000-9009. May be repeated
    #[arg(short = 'p', long, value_name = "[ADDRESS:]HOST:GUEST[/udp]", value_parser = parse_ports)]
    pub publish: Vec<PublishedPorts>,

    /// Kill the program after this time: 500ms, 10s, 2m, 1h
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub timeout: Option<Duration>,

    /// Tell on standard error how long everything took and how much memory was used
    #[arg(long, value_enum, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "text")]
    pub stats: Option<StatsFormat>,

    /// Show no remarks and no warnings, only errors
    #[arg(short, long)]
    pub quiet: bool,

    /// The program and its arguments, or an image; options of pith come before it
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "PROGRAM"
    )]
    pub command: Vec<OsString>,
}

const BUILD_EXAMPLES: &str = "\
Examples:
  pith build -o hello.pith /bin/echo hello
  pith build -o echo.pith --overridable arguments /bin/echo
  pith build -f pith.toml -o server.pith
  pith build -o server.pith                what ./pith.toml describes

The same program, files and options give the same bytes.";

#[derive(Debug, Args)]
#[command(after_help = BUILD_EXAMPLES, override_usage = "pith build [OPTIONS] -o IMAGE [--] PROGRAM [ARGUMENTS]...\n       pith build [OPTIONS] -o IMAGE [-f pith.toml]")]
pub struct BuildArguments {
    /// Build what this manifest describes [default without PROGRAM: pith.toml]
    #[arg(short = 'f', long, value_name = "PITH.TOML")]
    pub manifest: Option<PathBuf>,

    /// Where to write the image
    #[arg(short, long, value_name = "IMAGE")]
    pub output: PathBuf,

    #[command(flatten)]
    pub content: ContentArguments,

    /// What may be changed when the image is run [default: diagnostics, or what the manifest says]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WHAT")]
    pub overridable: Option<Vec<OverridableArgument>>,

    /// Print what was built as JSON
    #[arg(long)]
    pub json: bool,

    /// The program and its arguments; options of pith come before it
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "PROGRAM"
    )]
    pub command: Vec<OsString>,
}

/// What goes into an image, for `run` and `build` alike.
#[derive(Debug, Args)]
pub struct ContentArguments {
    /// Put a file or directory of this machine into the image, at GUEST or the same path
    #[arg(long = "file", value_name = "HOST[:GUEST]", value_parser = OsStringValueParser::new().try_map(FileMapping::parse))]
    pub files: Vec<FileMapping>,

    /// Copy the contents of this directory to the image's root
    #[arg(long, value_name = "DIRECTORY")]
    pub root: Option<PathBuf>,

    /// Set an environment variable; NAME alone copies it from here
    #[arg(short, long = "env", value_name = "NAME[=VALUE]", value_parser = OsStringValueParser::new().try_map(Variable::parse))]
    pub environment: Vec<Variable>,

    /// Working directory of the program
    #[arg(short, long = "workdir", value_name = "DIRECTORY")]
    pub working_directory: Option<PathBuf>,

    /// Run in the name of this user and group, by name (in the image's /etc/passwd and /etc/group) or number
    /// [default: root, or what the manifest says]
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub user: Option<String>,

    /// Memory of the machine: 128M, 1G, or a number of MiB [default: by the image's size]
    #[arg(short, long, value_name = "SIZE", value_parser = parse_memory)]
    pub memory: Option<u32>,

    /// Processors of the machine, at most 64 [default: 1]
    #[arg(short, long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAXIMUM_CPUS)))]
    pub cpus: Option<u32>,

    /// A file system in memory at PATH, empty at the start, with the options of tmpfs: size=64m (or 50% of memory),
    /// nr_inodes=10k, mode=1777, uid=…, gid=…. May be repeated
    #[arg(long, value_name = "PATH[:OPTIONS]", value_parser = StorageSettings::parse)]
    pub tmpfs: Vec<StorageSettings>,

    /// How much may be written above the image's files: size=64m (or 50% of memory), nr_inodes=10k [default: half of memory]
    #[arg(long, value_name = "OPTIONS", value_parser = |options: &str| StorageSettings::with_options("/", options))]
    pub storage_opt: Option<StorageSettings>,

    /// Name every file that goes into the image, with its size, on standard error
    #[arg(short, long)]
    pub verbose: bool,

    /// Print every system call on standard error
    #[arg(long)]
    pub trace: bool,

    /// Least severe level of kernel messages to show [default: warn]
    #[arg(long, value_enum, value_name = "LEVEL")]
    pub log: Option<LogArgument>,
}

impl ContentArguments {
    /// What is said about file systems in memory.
    pub fn storage(&self) -> impl Iterator<Item = &StorageSettings> {
        self.storage_opt.iter().chain(&self.tmpfs)
    }
}

#[derive(Debug, Args)]
pub struct InspectArguments {
    /// The image
    pub image: PathBuf,

    /// Print everything as JSON
    #[arg(long)]
    pub json: bool,
}

/// An environment variable as given with `-e`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    pub name: OsString,
    /// `None` copies the value of the host, if it has one.
    pub value: Option<OsString>,
}

impl Variable {
    fn parse(text: OsString) -> Result<Self, String> {
        use std::os::unix::ffi::OsStrExt;
        let bytes = text.as_bytes();
        let (name, value) = match bytes.iter().position(|&byte| byte == b'=') {
            Some(equals) => (&bytes[..equals], Some(&bytes[equals + 1..])),
            None => (bytes, None),
        };
        if name.is_empty() {
            return Err("the name is empty: write NAME=VALUE".into());
        }
        let owned = |bytes| OsStr::from_bytes(bytes).to_owned();
        Ok(Self {
            name: owned(name),
            value: value.map(owned),
        })
    }

    /// Name and value; `None` if the host's environment has no such variable.
    pub fn resolve(&self) -> Option<(OsString, OsString)> {
        let value = self
            .value
            .clone()
            .or_else(|| std::env::var_os(&self.name))?;
        Some((self.name.clone(), value))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AcceleratorArgument {
    /// KVM where processor and /dev/kvm allow it, else TCG
    Auto,
    /// The processor, by Linux's KVM
    Kvm,
    /// QEMU's translator, which works everywhere
    Tcg,
    /// The same, one processor after the other: for programs that write code while several threads run. Java gets it unasked
    TcgInTurns,
}

impl From<AcceleratorArgument> for Request {
    fn from(argument: AcceleratorArgument) -> Self {
        match argument {
            AcceleratorArgument::Auto => Self::Auto,
            AcceleratorArgument::Kvm => Self::Kvm,
            AcceleratorArgument::Tcg => Self::Tcg,
            AcceleratorArgument::TcgInTurns => Self::TcgInTurns,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MachineArgument {
    Microvm,
    Q35,
}

impl From<MachineArgument> for MachineType {
    fn from(argument: MachineArgument) -> Self {
        match argument {
            MachineArgument::Microvm => Self::Microvm,
            MachineArgument::Q35 => Self::Q35,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StatsFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogArgument {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl LogArgument {
    /// The word on the kernel command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl From<LogArgument> for LogLevel {
    fn from(argument: LogArgument) -> Self {
        match argument {
            LogArgument::Error => Self::Error,
            LogArgument::Warn => Self::Warn,
            LogArgument::Info => Self::Info,
            LogArgument::Debug => Self::Debug,
            LogArgument::Trace => Self::Trace,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OverridableArgument {
    Arguments,
    Environment,
    WorkingDirectory,
    Network,
    Storage,
    User,
    Diagnostics,
}

/// Reads a time such as `500ms`, `1.5s`, `2m` or `1h`. A bare number counts seconds.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 0.001,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("write a number and a unit (ms, s, m or h), such as 10s".into()),
    };
    let number: f64 = number
        .parse()
        .map_err(|_| "write a number and a unit (ms, s, m or h), such as 10s".to_owned())?;
    match Duration::try_from_secs_f64(number * seconds) {
        Ok(Duration::ZERO) => Err("a program needs some time".into()),
        // A deadline that far away could not be added to the time of day.
        Ok(duration) if duration < Duration::from_secs(100 * 365 * 86400) => Ok(duration),
        _ => Err("that is too long".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn parse_run(words: &[&str]) -> RunArguments {
        let words = ["pith", "run"].iter().chain(words);
        match Cli::try_parse_from(words).unwrap().command {
            Command::Run(arguments) => arguments,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn options_stop_at_the_program() {
        let arguments = parse_run(&["-m", "64M", "ls", "-la", "-m", "--help", "--", "-e"]);
        assert_eq!(arguments.command, ["ls", "-la", "-m", "--help", "--", "-e"]);
        assert_eq!(arguments.content.memory, Some(64));

        let arguments = parse_run(&["--", "ls", "--", "-q"]);
        assert_eq!(arguments.command, ["ls", "--", "-q"]);
        assert!(!arguments.quiet);
    }

    #[test]
    fn every_option_is_understood() {
        let arguments = parse_run(&[
            "--file",
            "a:/b",
            "--file",
            "c",
            "--root",
            "r",
            "-e",
            "A=b=c",
            "-e",
            "HOME",
            "-w",
            "/tmp",
            "-u",
            "daemon:100",
            "-c",
            "3",
            "--accel",
            "kvm",
            "--machine",
            "q35",
            "--cpu",
            "Nehalem",
            "--verbose",
            "--tmpfs",
            "/tmp:size=1m,mode=700",
            "--tmpfs",
            "/run",
            "--storage-opt",
            "nr_inodes=10",
            "--trace",
            "--log",
            "debug",
            "--timeout",
            "2m",
            "--stats",
            "-q",
            "prog",
        ]);
        let content = &arguments.content;
        assert_eq!(content.files.len(), 2);
        assert_eq!(content.root, Some("r".into()));
        assert_eq!(
            content.environment,
            [
                Variable {
                    name: "A".into(),
                    value: Some("b=c".into())
                },
                Variable {
                    name: "HOME".into(),
                    value: None
                }
            ]
        );
        let storage: Vec<String> = content.storage().map(ToString::to_string).collect();
        assert_eq!(
            storage,
            ["/:nr_inodes=10", "/tmp:size=1048576,mode=700", "/run"]
        );
        assert_eq!(content.user.as_deref(), Some("daemon:100"));
        assert_eq!(content.cpus, Some(3));
        assert!(content.trace && content.verbose && arguments.quiet);
        assert_eq!(content.log, Some(LogArgument::Debug));
        assert_eq!(arguments.accel, AcceleratorArgument::Kvm);
        assert_eq!(arguments.machine, MachineArgument::Q35);
        assert_eq!(arguments.timeout, Some(Duration::from_secs(120)));
        assert_eq!(arguments.stats, Some(StatsFormat::Text));
        assert_eq!(arguments.command, ["prog"]);
        assert_eq!(
            parse_run(&["--stats=json", "x"]).stats,
            Some(StatsFormat::Json)
        );
    }

    #[test]
    fn bad_values_are_refused() {
        for words in [
            &["-m", "lots", "x"][..],
            &["-c", "0", "x"],
            &["-c", "65", "x"],
            &["-e", "=x", "x"],
            &["--file", ":/x", "x"],
            &["--timeout", "soon", "x"],
            &["--accel", "xen", "x"],
            &["--tmpfs", "tmp", "x"],
            &["--storage-opt", "size=x", "x"],
        ] {
            let words = ["pith", "run"].iter().chain(words);
            assert_eq!(Cli::try_parse_from(words).unwrap_err().exit_code(), 2);
        }
    }

    #[test]
    fn durations() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("10s", 10_000),
            ("1.5s", 1500),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("3", 3000),
        ] {
            assert_eq!(
                parse_duration(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text}"
            );
        }
        for bad in [
            "",
            "s",
            "-1s",
            "1x",
            "1 s",
            "1.2.3s",
            "0",
            "0ms",
            "1e9s",
            "99999999999999999999h",
            "nan",
        ] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn build_takes_a_program_or_a_manifest() {
        let parse =
            |words: &[&str]| match Cli::try_parse_from(["pith", "build"].iter().chain(words))
                .map(|cli| cli.command)
            {
                Ok(Command::Build(arguments)) => Some(arguments),
                _ => None,
            };
        let program = parse(&[
            "-o",
            "x",
            "--overridable",
            "arguments,working-directory",
            "ls",
            "-o",
        ])
        .unwrap();
        assert_eq!(program.command, ["ls", "-o"]);
        assert_eq!(
            program.overridable,
            Some(vec![
                OverridableArgument::Arguments,
                OverridableArgument::WorkingDirectory
            ])
        );
        assert_eq!(
            parse(&["-f", "p.toml", "-o", "x"]).unwrap().manifest,
            Some("p.toml".into())
        );
        assert!(parse(&["ls"]).is_none(), "an image needs a name");
    }
}
