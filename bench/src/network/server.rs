//! The servers, and how they get into a machine: the same program and files on both sides.

use crate::archive::{Entry, pack_files};
use crate::run::{Workshop, output_of, read, write};
use crate::runtimes::libraries;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Bytes of the page that nginx serves.
const PAGE: usize = 612;

/// Where a server's program is from.
#[derive(Clone, Copy, Debug)]
enum Program {
    /// A package of Debian.
    Debian(&'static str),
    /// Compiled by the workshop.
    Own(&'static str),
}

/// How it is found out whether a server serves.
#[derive(Clone, Copy, Debug)]
enum Question {
    /// It accepts a connection.
    Connection,
    /// It answers a request with status 200.
    Http,
    /// It sends a datagram back.
    Datagram,
    /// It takes a kilobyte from iperf3; a mere connection would be an ill-behaved client to it.
    Iperf,
}

/// A server in a machine.
#[derive(Clone, Copy, Debug)]
pub struct Server {
    /// Its name.
    pub name: &'static str,
    /// Its port.
    pub port: u16,
    program: Program,
    arguments: &'static [&'static str],
    question: Question,
}

/// All servers.
pub const SERVERS: [Server; 6] = [
    Server {
        name: "nginx",
        port: 80,
        program: Program::Debian("/usr/sbin/nginx"),
        arguments: &["-e", "stderr", "-c", "/etc/nginx.conf"],
        question: Question::Http,
    },
    Server {
        name: "redis",
        port: 6379,
        program: Program::Debian("/usr/bin/redis-server"),
        arguments: &["/etc/redis.conf"],
        question: Question::Connection,
    },
    Server {
        name: "memcached",
        port: 11211,
        program: Program::Debian("/usr/bin/memcached"),
        arguments: &["-u", "root", "-t", "1"],
        question: Question::Connection,
    },
    Server {
        name: "iperf3",
        port: 5201,
        program: Program::Debian("/usr/bin/iperf3"),
        arguments: &["-s"],
        question: Question::Iperf,
    },
    Server {
        name: "echo",
        port: 5555,
        program: Program::Own("echo"),
        arguments: &[],
        question: Question::Connection,
    },
    Server {
        name: "datagrams",
        port: 5556,
        program: Program::Own("datagrams"),
        arguments: &[],
        question: Question::Datagram,
    },
];

/// Modules of the cloud kernel that a network card needs, in this order.
const MODULES: [&str; 6] = [
    "drivers/virtio/virtio_ring.ko",
    "drivers/virtio/virtio.ko",
    "drivers/virtio/virtio_mmio.ko",
    "net/core/failover.ko",
    "drivers/net/net_failover.ko",
    "drivers/net/virtio_net.ko",
];

impl Server {
    /// The server of this name.
    pub fn named(name: &str) -> Self {
        let found = SERVERS.into_iter().find(|server| server.name == name);
        found.expect("rows name servers that there are")
    }

    /// Files of the servers, by their path in the machine: the configurations, the page, and the accounts that programs
    /// look themselves up in.
    fn files(sources: &Path) -> Result<Vec<(String, Vec<u8>)>, String> {
        let mut files = vec![("srv/index.html".to_owned(), vec![b'x'; PAGE])];
        for name in ["nginx.conf", "redis.conf", "passwd", "group"] {
            files.push((format!("etc/{name}"), read(&sources.join(name))?));
        }
        Ok(files)
    }

    /// Builds Pith's image. `sources` is where the configurations are.
    pub fn build_image(
        &self,
        pith: &Path,
        workshop: &Workshop,
        sources: &Path,
    ) -> Result<PathBuf, String> {
        let image = workshop.path(&format!("{}.pith", self.name));
        let mut build = Command::new(pith);
        build.arg("build").arg("-o").arg(&image);
        for (path, content) in Self::files(sources)? {
            let file = workshop.path(&path.replace('/', "-"));
            write(&file, &content)?;
            build.arg("--file");
            build.arg(format!("{}:/{path}", file.display()));
        }
        build.arg("--");
        match self.program {
            Program::Debian(path) => build.arg(path),
            Program::Own(name) => build.arg(workshop.path(name)),
        };
        output_of(build.args(self.arguments))?;
        Ok(image)
    }

    /// Makes Linux's initial file system. `modules` is the kernel's directory of them, `network` what its first process
    /// reads of the network.
    pub fn build_archive(
        &self,
        workshop: &Workshop,
        sources: &Path,
        modules: &Path,
        network: String,
    ) -> Result<PathBuf, String> {
        let mut files = Self::files(sources)?;
        let program = match self.program {
            Program::Debian(path) => PathBuf::from(path),
            Program::Own(name) => workshop.path(name),
        };
        files.push(("program".into(), read(&program)?));
        if let Program::Debian(path) = self.program {
            for library in libraries(path)? {
                files.push((
                    library.trim_start_matches('/').into(),
                    read(Path::new(&library))?,
                ));
            }
        }
        let mut names = String::new();
        for module in MODULES {
            let name = module.rsplit('/').next().unwrap_or(module);
            files.push((format!("modules.d/{name}"), module_bytes(modules, module)?));
            names += &format!("/modules.d/{name}\n");
        }
        let mut arguments = String::from("/program\n");
        for argument in self.arguments {
            arguments += &format!("{argument}\n");
        }
        files.push(("init".into(), read(&workshop.path("init"))?));
        files.push(("modules".into(), names.into_bytes()));
        files.push(("network".into(), network.into_bytes()));
        files.push(("arguments".into(), arguments.into_bytes()));
        let devices = [
            ("dev/console", Entry::Device(5, 1)),
            ("dev/null", Entry::Device(1, 3)),
            ("dev/zero", Entry::Device(1, 5)),
            ("dev/urandom", Entry::Device(1, 9)),
        ];
        let archive = workshop.path(&format!("{}.cpio", self.name));
        write(&archive, &pack_files(&["proc", "tmp"], &devices, &files))?;
        Ok(archive)
    }

    /// Whether the server serves at this address; it has to say so within that time.
    pub fn answers(&self, address: SocketAddrV4, limit: Duration) -> bool {
        let answer = match self.question {
            Question::Connection => {
                TcpStream::connect_timeout(&SocketAddr::V4(address), limit).map(|_| true)
            }
            Question::Http => ask_http(address, limit),
            Question::Datagram => ask_datagram(address, limit),
            Question::Iperf => Ok(ask_iperf(address, limit)),
        };
        answer.unwrap_or(false)
    }
}

/// A kernel module, as it is or decompressed: Debian's later kernels have them compressed.
fn module_bytes(modules: &Path, module: &str) -> Result<Vec<u8>, String> {
    let path = modules.join("kernel").join(module);
    let compressed = path.with_extension("ko.xz");
    if !path.exists() && compressed.exists() {
        let mut xz = Command::new("xz");
        xz.args(["--decompress", "--stdout"]).arg(&compressed);
        let output = xz
            .output()
            .map_err(|error| format!("can't start xz: {error}"))?;
        return Ok(output.stdout);
    }
    read(&path)
}

fn ask_http(address: SocketAddrV4, limit: Duration) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::V4(address), limit)?;
    // Once it is there it may take its time.
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer.starts_with(b"HTTP/1.1 200 ") && answer.ends_with(&[b'x'; PAGE]))
}

fn ask_datagram(address: SocketAddrV4, limit: Duration) -> std::io::Result<bool> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.set_read_timeout(Some(limit))?;
    socket.send_to(b"?", address)?;
    let mut answer = [0; 8];
    let (length, from) = socket.recv_from(&mut answer)?;
    Ok(&answer[..length] == b"?" && from == SocketAddr::V4(address))
}

fn ask_iperf(address: SocketAddrV4, limit: Duration) -> bool {
    let mut client = Command::new("iperf3");
    client
        .args(["--client", &address.ip().to_string()])
        .args(["--port", &address.port().to_string()])
        .args(["--bytes", "1K", "--connect-timeout"])
        .arg(limit.as_millis().to_string());
    output_of(&mut client).is_ok()
}

/// The newest modules of a cloud kernel whose image this is.
pub fn modules_of(kernel: &Path) -> Result<PathBuf, String> {
    let name = kernel.file_name().unwrap_or_default().to_string_lossy();
    let version = name.trim_start_matches("vmlinuz-");
    let directory = Path::new("/lib/modules").join(version);
    match fs::metadata(&directory) {
        Ok(_) => Ok(directory),
        Err(error) => Err(format!(
            "no modules in {}: {error}; type: cargo xtask setup bench",
            directory.display()
        )),
    }
}
