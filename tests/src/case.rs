//! What is run, and what is expected: data.

use std::time::Duration;

/// The board that a case boots on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Machine {
    /// QEMU's `microvm`, the usual one.
    Microvm,
    /// QEMU's `q35`, a PC with PCI.
    Q35,
}

impl Machine {
    /// The value of `pith run --machine`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Microvm => "microvm",
            Self::Q35 => "q35",
        }
    }
}

/// What the machine's output and status are measured by.
#[derive(Clone, Debug)]
pub enum Expectation {
    /// The same command on the host.
    Host,
    /// What the host can't show: limits of the machine, errors of the command.
    Stated {
        /// The status; any of these.
        status: Vec<i32>,
        /// Regular expression that standard output matches.
        output: String,
        /// Regular expression that standard error matches.
        error: String,
    },
}

/// A difference between machine and host that is no defect.
#[derive(Clone, Debug)]
pub struct Tolerance {
    /// Why the two differ, for whoever reads the table.
    pub reason: &'static str,
    /// Regular expression, in which `^` and `$` are the ends of a line; each match, on both sides, becomes
    /// [`Self::replacement`].
    pub pattern: &'static str,
    /// May refer to groups: `$1`.
    pub replacement: &'static str,
}

/// One command.
///
/// In arguments and files, `{fixture}` stands for a fresh copy of the [fixture](crate::workshop::fixture) of
/// this case, and `{NAME}` for the path of the test program `NAME` (see [`crate::workshop::Build`]).
#[derive(Clone, Debug)]
pub struct Case {
    /// Unique, such as `busybox::awk`.
    pub name: String,
    /// The program: a path of the host, or `{NAME}`.
    pub program: String,
    /// The arguments behind it.
    pub arguments: Vec<String>,
    /// Values of `--file`.
    pub files: Vec<String>,
    /// Environment beyond [`ENVIRONMENT`].
    pub environment: Vec<(String, String)>,
    /// Where both sides start.
    pub working_directory: String,
    /// Standard input; `None` is `/dev/null`.
    pub input: Option<Vec<u8>>,
    /// Stop reading standard output after so many bytes, and close it.
    pub output_limit: Option<usize>,
    /// Where to boot.
    pub machines: Vec<Machine>,
    /// With how many processors: each is a test of its own.
    pub processors: Vec<u32>,
    /// Its program writes code while others of its threads execute code: see [`crate::compare::accelerator_for`].
    pub writes_code: bool,
    /// Further options of `pith run`.
    pub options: Vec<String>,
    /// What is expected.
    pub expectation: Expectation,
    /// Differences that are no defects.
    pub tolerances: Vec<Tolerance>,
    /// Compare lines in sorted order: the order is not determined (entries of a directory).
    pub unordered: bool,
    /// Regular expressions for the lines that `pith` itself must say on standard error.
    pub messages: Vec<&'static str>,
    /// The same for lines that it may say, or not: what a machine has installed decides.
    pub remarks: Vec<&'static str>,
    /// After this the case has failed.
    pub limit: Duration,
}

/// The environment of both sides, unless a case changes it.
pub const ENVIRONMENT: &[(&str, &str)] = &[
    ("HOME", "/root"),
    ("LANG", "C.UTF-8"),
    ("PATH", "/usr/bin:/bin"),
];

impl Case {
    /// A case on `microvm` that is compared with the host.
    pub fn new(name: impl Into<String>, program: &str, arguments: &[&str]) -> Self {
        Self {
            name: name.into(),
            program: program.into(),
            arguments: arguments.iter().map(|&text| text.into()).collect(),
            files: Vec::new(),
            environment: Vec::new(),
            working_directory: "/".into(),
            input: None,
            output_limit: None,
            machines: vec![Machine::Microvm],
            processors: vec![1],
            writes_code: false,
            options: Vec::new(),
            expectation: Expectation::Host,
            tolerances: Vec::new(),
            unordered: false,
            messages: Vec::new(),
            remarks: Vec::new(),
            limit: Duration::from_secs(90),
        }
    }

    /// Puts a file or directory of the host into the image: `HOST` or `HOST:GUEST`.
    pub fn file(mut self, file: &str) -> Self {
        self.files.push(file.into());
        self
    }

    /// Gives the case a directory of its own, `{fixture}`, and puts it into the image.
    pub fn fixture(self) -> Self {
        self.file("{fixture}")
    }

    /// Sets a variable.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Starts both sides in this directory.
    pub fn working_directory(mut self, directory: &str) -> Self {
        self.working_directory = directory.into();
        self
    }

    /// Gives standard input.
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = Some(input.into());
        self
    }

    /// Closes standard output after so many bytes.
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.output_limit = Some(bytes);
        self
    }

    /// Boots on `q35` as well.
    pub fn on_q35_too(mut self) -> Self {
        self.machines.push(Machine::Q35);
        self
    }

    /// Boots with one, two and four processors.
    pub fn on_several_processors(mut self) -> Self {
        self.processors = vec![1, 2, 4];
        self
    }

    /// Says that the program compiles while it runs, and changes code that its threads may be executing.
    pub fn writes_code(mut self) -> Self {
        self.writes_code = true;
        self
    }

    /// Adds options of `pith run`.
    pub fn options(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(|&text| text.into()));
        self
    }

    /// States what to expect instead of asking the host: one of these statuses, and regular expressions.
    pub fn stated(mut self, status: &[i32], output: &str, error: &str) -> Self {
        self.expectation = Expectation::Stated {
            status: status.to_vec(),
            output: output.into(),
            error: error.into(),
        };
        self
    }

    /// Names a difference that is no defect.
    pub fn tolerate(
        mut self,
        reason: &'static str,
        pattern: &'static str,
        replacement: &'static str,
    ) -> Self {
        self.tolerances.push(Tolerance {
            reason,
            pattern,
            replacement,
        });
        self
    }

    /// Compares lines in sorted order.
    pub fn unordered(mut self) -> Self {
        self.unordered = true;
        self
    }

    /// Announces a line that `pith` says on standard error.
    pub fn message(mut self, pattern: &'static str) -> Self {
        self.messages.push(pattern);
        self
    }

    /// Allows lines that `pith` may say on standard error.
    pub fn remark(mut self, pattern: &'static str) -> Self {
        self.remarks.push(pattern);
        self
    }
}
