//! A server in a machine, asked from outside.

use crate::case::Machine;
use crate::compare::accelerator_for;
use crate::execute::{Outcome, pid, shell_status};
use crate::workshop::Workshop;
use regex_lite::Regex;
use rustix::process::{Signal, kill_process, kill_process_group};
use std::fmt::Write as _;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a server may take to answer for the first time, and to end when it is told to.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How often the machine is started anew because another program took the port that was free a moment before.
const ATTEMPTS: u32 = 5;

/// What carries a published port's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Connections.
    Tcp,
    /// Datagrams.
    Udp,
}

/// How the machine is connected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Network {
    /// Behind a router that QEMU plays. Each published port becomes one of the host's loopback interface that nobody
    /// uses.
    User,
    /// By options of `pith run`; the machine has this address.
    Direct(Vec<String>, Ipv4Addr),
}

/// How a server is started.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Options of `pith run` beyond those for board, processors and ports.
    pub options: Vec<String>,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The ports that are asked from outside.
    pub ports: Vec<(u16, Transport)>,
    /// The status after SIGTERM: any of these.
    pub status: Vec<i32>,
    /// What `pith` and the kernel may say on standard error: regular expressions.
    pub messages: Vec<&'static str>,
    /// As for a [`crate::Case`].
    pub writes_code: bool,
}

impl Recipe {
    /// A server with one TCP port that ends as a program does that leaves SIGTERM to Linux.
    pub fn new(command: &[&str], port: u16) -> Self {
        Self {
            options: Vec::new(),
            command: command.iter().map(|&word| word.into()).collect(),
            ports: vec![(port, Transport::Tcp)],
            status: vec![128 + 15],
            messages: Vec::new(),
            writes_code: false,
        }
    }

    /// Says that the program compiles while it runs, and changes code that its threads may be executing.
    pub fn writes_code(mut self) -> Self {
        self.writes_code = true;
        self
    }

    /// Adds options of `pith run`.
    pub fn options(mut self, options: &[&str]) -> Self {
        self.options
            .extend(options.iter().map(|&option| option.into()));
        self
    }

    /// Puts a file or directory of the host into the image: `HOST` or `HOST:GUEST`.
    pub fn file(self, file: impl AsRef<str>) -> Self {
        self.options(&["--file", file.as_ref()])
    }

    /// Adds a port.
    pub fn port(mut self, port: u16, transport: Transport) -> Self {
        self.ports.push((port, transport));
        self
    }

    /// Says how the server ends on SIGTERM.
    pub fn status(mut self, status: &[i32]) -> Self {
        self.status = status.to_vec();
        self
    }

    /// Allows a line that `pith` or the kernel may say.
    pub fn message(mut self, pattern: &'static str) -> Self {
        self.messages.push(pattern);
        self
    }
}

/// What a stream has said so far.
type Heard = Arc<Mutex<Vec<u8>>>;

/// A machine that runs. It is killed when this is dropped.
#[derive(Debug)]
pub struct Guest {
    child: Child,
    output: Heard,
    error: Heard,
    readers: Vec<JoinHandle<()>>,
    addresses: Vec<(u16, SocketAddr)>,
    recipe: Recipe,
}

impl Guest {
    /// Starts a server, and waits until `ready` succeeds.
    pub fn start(
        workshop: &Workshop,
        (machine, processors): (Machine, u32),
        network: &Network,
        recipe: &Recipe,
        ready: impl Fn(&Self) -> Result<(), String>,
    ) -> Result<Self, String> {
        let mut attempt = 1;
        loop {
            let mut guest = Self::boot(workshop, machine, processors, network, recipe)?;
            match guest.wait_until(&ready) {
                Ok(()) => return Ok(guest),
                Err(_)
                    if attempt < ATTEMPTS
                        && guest.error_text().contains("of this machine is taken") =>
                {
                    attempt += 1;
                }
                Err(error) => return Err(guest.explain(&error)),
            }
        }
    }

    fn boot(
        workshop: &Workshop,
        machine: Machine,
        processors: u32,
        network: &Network,
        recipe: &Recipe,
    ) -> Result<Self, String> {
        let mut command = workshop.pith("run");
        let accelerator = accelerator_for(recipe.writes_code, processors);
        command
            .args(["--machine", machine.name(), "--accel", accelerator])
            .args(["-c", &processors.to_string()]);
        let mut addresses = Vec::new();
        match network {
            Network::User => {
                command.args(["--net", "user"]);
                for &(port, transport) in &recipe.ports {
                    let address = free_address(transport)?;
                    let ending = match transport {
                        Transport::Tcp => "",
                        Transport::Udp => "/udp",
                    };
                    command.arg("-p").arg(format!("{address}:{port}{ending}"));
                    addresses.push((port, address));
                }
            }
            Network::Direct(options, own) => {
                command.args(options);
                for &(port, _) in &recipe.ports {
                    addresses.push((port, SocketAddr::from((*own, port))));
                }
            }
        }
        let mut child = command
            .args(&recipe.options)
            .arg("--")
            .args(&recipe.command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|error| format!("can't start {command:?}: {error}"))?;
        let (output, error) = (Heard::default(), Heard::default());
        let mut readers = Vec::new();
        if let Some(stream) = child.stdout.take() {
            readers.push(listen(stream, &output));
        }
        if let Some(stream) = child.stderr.take() {
            readers.push(listen(stream, &error));
        }
        Ok(Self {
            child,
            output,
            error,
            readers,
            addresses,
            recipe: recipe.clone(),
        })
    }

    /// Tries until it succeeds, or the machine ends, or patience does.
    pub fn wait_until(
        &mut self,
        probe: impl Fn(&Self) -> Result<(), String>,
    ) -> Result<(), String> {
        let start = Instant::now();
        loop {
            let answer = probe(self);
            let ended = self.child.try_wait().map_err(|error| error.to_string())?;
            match (answer, ended) {
                (Ok(()), _) => return Ok(()),
                (Err(error), Some(status)) => {
                    // What it said last arrives a little later.
                    thread::sleep(Duration::from_millis(100));
                    return Err(format!("the machine ended with {status}; {error}"));
                }
                (Err(error), None) if start.elapsed() > PATIENCE => return Err(error),
                (Err(_), None) => thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// Where the guest's port is reached, by either transport.
    pub fn address(&self, port: u16, transport: Transport) -> SocketAddr {
        let position = self
            .recipe
            .ports
            .iter()
            .position(|&own| own == (port, transport));
        match position {
            Some(position) => self.addresses[position].1,
            None => panic!("port {port} is not published"),
        }
    }

    /// Where the first port is reached.
    pub fn first_address(&self) -> SocketAddr {
        let (port, transport) = self.recipe.ports[0];
        self.address(port, transport)
    }

    /// Standard output so far.
    pub fn output_text(&self) -> String {
        text_of(&self.output)
    }

    /// Standard error so far.
    pub fn error_text(&self) -> String {
        text_of(&self.error)
    }

    /// An error with what the machine said.
    pub fn explain(&self, error: &str) -> String {
        let mut text = error.to_owned();
        for (name, heard) in [("output", self.output_text()), ("error", self.error_text())] {
            let last: Vec<&str> = heard.lines().rev().take(60).collect();
            let lines: Vec<&str> = last.into_iter().rev().collect();
            // Writing to a text can't fail.
            let _ = write!(
                text,
                "\nstandard {name} of the machine:\n{}",
                lines.join("\n")
            );
        }
        text
    }

    /// Tells the server to end, and checks its status and that nobody complained.
    pub fn stop(self) -> Result<Outcome, String> {
        kill_process(pid(&self.child)?, Signal::TERM)
            .map_err(|error| format!("can't send SIGTERM: {error}"))?;
        self.wait()
    }

    /// Waits for a server that ends by itself, and checks the same.
    pub fn wait(mut self) -> Result<Outcome, String> {
        let start = Instant::now();
        let status = loop {
            match self.child.try_wait() {
                Ok(Some(status)) => break shell_status(status),
                Ok(None) if start.elapsed() < PATIENCE => thread::sleep(Duration::from_millis(10)),
                Ok(None) => return Err(self.explain("it does not end")),
                Err(error) => return Err(format!("can't wait: {error}")),
            }
        };
        for reader in self.readers.drain(..) {
            reader.join().map_err(|_| "a reader failed")?;
        }
        if !self.recipe.status.contains(&status) {
            let expected = &self.recipe.status;
            return Err(self.explain(&format!("it ended with {status} instead of {expected:?}")));
        }
        self.check_messages()?;
        Ok(Outcome {
            status,
            output: self.output.lock().map_err(|_| "a reader failed")?.clone(),
            error: self.error.lock().map_err(|_| "a reader failed")?.clone(),
            timed_out: false,
        })
    }

    /// Each line of `pith` and the kernel has to be one that the recipe allows.
    fn check_messages(&self) -> Result<(), String> {
        let signal = "^pith: program killed by signal 15";
        for line in self.error_text().lines() {
            if !line.starts_with("pith:") {
                continue;
            }
            let mut allowed = self.recipe.messages.iter().copied().chain([signal]);
            if !allowed.any(|pattern| Regex::new(pattern).is_ok_and(|regex| regex.is_match(line))) {
                return Err(
                    self.explain(&format!("it was not to be expected that it says: {line}"))
                );
            }
        }
        Ok(())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        if let Ok(group) = pid(&self.child)
            && matches!(self.child.try_wait(), Ok(None))
        {
            // It may end by itself in this moment.
            let _ = kill_process_group(group, Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

fn listen(mut stream: impl Read + Send + 'static, heard: &Heard) -> JoinHandle<()> {
    let heard = Arc::clone(heard);
    thread::spawn(move || {
        let mut block = [0; 65536];
        while let Ok(length @ 1..) = stream.read(&mut block) {
            heard
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .extend_from_slice(&block[..length]);
        }
    })
}

fn text_of(heard: &Heard) -> String {
    let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&heard).into_owned()
}

/// A port of the loopback interface that nobody uses now.
pub fn free_address(transport: Transport) -> Result<SocketAddr, String> {
    let any = (Ipv4Addr::LOCALHOST, 0);
    match transport {
        Transport::Tcp => TcpListener::bind(any).and_then(|socket| socket.local_addr()),
        Transport::Udp => UdpSocket::bind(any).and_then(|socket| socket.local_addr()),
    }
    .map_err(|error| format!("there is no free port: {error}"))
}
