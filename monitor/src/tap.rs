//! TAP devices: interfaces of the host whose other end is a network card of a machine.
//!
//! They are opened here and not by the monitor's program, so that every way in which that can fail is told with its
//! remedy, so that the program needs no privilege itself, and because only whoever opens a device learns whether it
//! has one queue or several.

use std::fs::File;
use std::io::{self, IoSliceMut, Read, Seek};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::ioctl::{Opcode, Updater, ioctl, opcode};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
    netdevice, recvmsg, socket_with,
};

use crate::death_signal::die_with_parent;

/// Most pairs of queues that a card gets if nobody says how many. Each takes memory of the machine for its buffers.
const MAXIMUM_QUEUES: u32 = 8;

/// How many pairs of queues a card gets: as many as were asked for, or else one for each processor.
fn wanted_queues(asked: Option<u16>, cpus: u32) -> u32 {
    asked.map_or(cpus.clamp(1, MAXIMUM_QUEUES), u32::from)
}

/// Most characters of an interface's name, with the NUL behind it (`IFNAMSIZ`).
const NAME_SIZE: usize = 16;

// Of `linux/if_tun.h`: an Ethernet device, no header of its own, a virtio header, several queues.
const TAP: u16 = 0x0002;
const NO_INFORMATION: u16 = 0x1000;
const VIRTIO_HEADER: u16 = 0x4000;
const MULTI_QUEUE: u16 = 0x0100;
const SET_INTERFACE: Opcode = opcode::write::<i32>(b'T', 202);

// Of `linux/sockios.h` and `net/if.h`.
const GET_FLAGS: Opcode = 0x8913;
const SET_FLAGS: Opcode = 0x8914;
const ADD_TO_BRIDGE: Opcode = 0x89a2;
const UP: u16 = 1;

/// Where QEMU's helper for bridges lies: in Debian and its kin, in Fedora and its kin.
const BRIDGE_HELPERS: [&str; 2] = [
    "/usr/lib/qemu/qemu-bridge-helper",
    "/usr/libexec/qemu-bridge-helper",
];

/// An open TAP device.
#[derive(Debug)]
pub struct Tap {
    /// One file for each queue.
    pub queues: Vec<Arc<OwnedFd>>,
    /// Something that people should know, with what to do about it.
    pub note: Option<String>,
}

/// Why a TAP device can't be used, and what a user can do.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct TapError {
    message: String,
    /// What to do about it.
    pub remedy: String,
}

impl TapError {
    fn new(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            remedy: remedy.into(),
        }
    }
}

/// `struct ifreq` (netdevice(7)): a name, and a union of which this uses numbers of 16 and of 32 bits.
#[repr(C, align(8))]
struct Request {
    name: [u8; NAME_SIZE],
    value: [u8; 24],
}

impl Request {
    fn new(name: &str) -> Result<Self, Errno> {
        let mut request = Self {
            name: [0; NAME_SIZE],
            value: [0; 24],
        };
        match name.len() < NAME_SIZE {
            true => request.name[..name.len()].copy_from_slice(name.as_bytes()),
            false => return Err(Errno::NAMETOOLONG),
        }
        Ok(request)
    }

    fn flags(&self) -> u16 {
        u16::from_ne_bytes([self.value[0], self.value[1]])
    }

    fn set_flags(&mut self, flags: u16) {
        self.value[..2].copy_from_slice(&flags.to_ne_bytes());
    }

    fn set_index(&mut self, index: u32) {
        self.value[..4].copy_from_slice(&index.to_ne_bytes());
    }

    fn name(&self) -> String {
        let length = self
            .name
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(NAME_SIZE);
        String::from_utf8_lossy(&self.name[..length]).into_owned()
    }

    /// Makes one of the requests named above.
    fn make<const OPCODE: Opcode>(&mut self, file: impl AsFd) -> Result<(), Errno> {
        // SAFETY: each `OPCODE` above takes a pointer to a `struct ifreq`, which it reads and may write, and keeps
        // none. `Request` has its size and alignment, and any bytes are valid for both sides.
        #[allow(unsafe_code)]
        unsafe {
            ioctl(file, Updater::<OPCODE, Self>::new(self))
        }
    }
}

/// A socket to ask for interfaces with.
fn asking_socket() -> Result<OwnedFd, Errno> {
    socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )
}

/// Opens an existing TAP device, with as many queues as were asked for, or else one for each processor, if it may have
/// several.
pub fn open(name: &str, asked: Option<u16>, cpus: u32) -> Result<Tap, TapError> {
    let remedy = format!(
        "make it for your user: sudo ip tuntap add dev {name} mode tap user $USER && sudo ip link set {name} up"
    );
    let failed = |error: Errno| {
        TapError::new(
            format!("the TAP device `{name}` can't be opened: {error}"),
            &*remedy,
        )
    };
    let socket = asking_socket().map_err(failed)?;
    match netdevice::name_to_index(&socket, name) {
        Err(Errno::NODEV) => {
            return Err(TapError::new(
                format!("there is no TAP device `{name}`"),
                remedy,
            ));
        }
        Err(error) => return Err(failed(error)),
        Ok(_) => {}
    }
    // A device with several queues does not take a user of a single one, nor the other way around.
    let wanted = wanted_queues(asked, cpus);
    let attempts = match wanted {
        1 => [(1, 0), (1, MULTI_QUEUE)],
        _ => [(wanted, MULTI_QUEUE), (1, 0)],
    };
    let opened = match open_queues(name, attempts[0].0, attempts[0].1) {
        Err(Refused::Device(Errno::INVAL)) => open_queues(name, attempts[1].0, attempts[1].1),
        result => result,
    };
    let (queues, _) = opened.map_err(|refused| match refused {
        Refused::Driver(error) => no_driver(error),
        Refused::Device(Errno::INVAL) => TapError::new(
            format!("`{name}` is an interface, but no TAP device"),
            "choose another name, or use --net bridge:NAME for a bridge",
        ),
        Refused::Device(Errno::BUSY) => TapError::new(
            format!("the TAP device `{name}` is in use by another process"),
            "give each machine a TAP device of its own",
        ),
        Refused::Device(error @ (Errno::PERM | Errno::ACCESS)) => TapError::new(
            format!("the TAP device `{name}` may not be used by this user ({error})"),
            &*remedy,
        ),
        Refused::Device(error) => failed(error),
    })?;
    let mut request = Request::new(name).map_err(failed)?;
    request.make::<GET_FLAGS>(&socket).map_err(failed)?;
    let note = if request.flags() & UP == 0 {
        Some(format!(
            "{name} is down, so nothing goes through it: sudo ip link set {name} up"
        ))
    } else if (queues.len() as u32) < wanted {
        Some(format!(
            "{name} has a single queue, which all processors share; with one for each: sudo ip link delete {name} && \
             sudo ip tuntap add dev {name} mode tap multi_queue user $USER && sudo ip link set {name} up"
        ))
    } else {
        None
    };
    Ok(Tap { queues, note })
}

/// Makes a TAP device on a bridge of the host. It is gone when its files are closed.
pub fn open_on_bridge(bridge: &str, asked: Option<u16>, cpus: u32) -> Result<Tap, TapError> {
    let failed = |error: Errno| {
        TapError::new(
            format!("no TAP device can be put on the bridge `{bridge}`: {error}"),
            "run as root, or set QEMU's helper for bridges up (qemu-bridge-helper)",
        )
    };
    let socket = asking_socket().map_err(failed)?;
    match netdevice::name_to_index(&socket, bridge) {
        Err(Errno::NODEV) => {
            return Err(TapError::new(
                format!("there is no bridge `{bridge}`"),
                format!("sudo ip link add {bridge} type bridge && sudo ip link set {bridge} up"),
            ));
        }
        Err(error) => return Err(failed(error)),
        Ok(_) => {}
    }
    let queues = wanted_queues(asked, cpus);
    let flags = if queues > 1 { MULTI_QUEUE } else { 0 };
    match open_queues("pith%d", queues, flags) {
        Ok((queues, name)) => {
            add_to_bridge(&socket, bridge, &name).map_err(|error| match error {
                Errno::OPNOTSUPP => TapError::new(
                    format!("`{bridge}` is an interface, but no bridge"),
                    "choose another name, or use --net tap:NAME for a TAP device",
                ),
                error => failed(error),
            })?;
            Ok(Tap { queues, note: None })
        }
        Err(Refused::Device(Errno::PERM) | Refused::Driver(Errno::ACCESS)) => {
            ask_helper(bridge, queues)
        }
        Err(Refused::Driver(error)) => Err(no_driver(error)),
        Err(Refused::Device(error)) => Err(failed(error)),
    }
}

/// What refused to open a TAP device.
enum Refused {
    /// `/dev/net/tun`.
    Driver(Errno),
    /// The device.
    Device(Errno),
}

fn no_driver(error: Errno) -> TapError {
    TapError::new(
        format!("/dev/net/tun can't be opened: {error}"),
        "sudo modprobe tun; and see that your user may read and write /dev/net/tun",
    )
}

/// Opens a device so many times. Answers with its name too: a new one may be left to the kernel.
fn open_queues(name: &str, count: u32, flags: u16) -> Result<(Vec<Arc<OwnedFd>>, String), Refused> {
    let mut request = Request::new(name).map_err(Refused::Device)?;
    let mut queues = Vec::new();
    for _ in 0..count {
        let file = File::options()
            .read(true)
            .write(true)
            .open("/dev/net/tun")
            .map_err(|error| Refused::Driver(Errno::from_io_error(&error).unwrap_or(Errno::IO)))?;
        // The kernel writes the name into the request, so that the next queue is of the same device.
        request.set_flags(TAP | NO_INFORMATION | VIRTIO_HEADER | flags);
        request
            .make::<SET_INTERFACE>(&file)
            .map_err(Refused::Device)?;
        queues.push(Arc::new(OwnedFd::from(file)));
    }
    Ok((queues, request.name()))
}

fn add_to_bridge(socket: &OwnedFd, bridge: &str, name: &str) -> Result<(), Errno> {
    let index = netdevice::name_to_index(socket, name)?;
    let mut request = Request::new(bridge)?;
    request.set_index(index);
    request.make::<ADD_TO_BRIDGE>(socket)?;
    let mut request = Request::new(name)?;
    request.make::<GET_FLAGS>(socket)?;
    request.set_flags(request.flags() | UP);
    request.make::<SET_FLAGS>(socket)
}

/// Lets QEMU's helper make the device, which has the privilege that this process lacks. It sends the device's file
/// through a socket.
fn ask_helper(bridge: &str, wanted: u32) -> Result<Tap, TapError> {
    let Some(helper) = BRIDGE_HELPERS
        .into_iter()
        .find(|path| Path::new(path).exists())
    else {
        return Err(TapError::new(
            format!(
                "a TAP device on the bridge `{bridge}` needs privilege, and qemu-bridge-helper is not installed"
            ),
            "run as root; or sudo apt-get install qemu-system-common",
        ));
    };
    let failed = |reason: &str| {
        TapError::new(
            format!(
                "{helper} made no TAP device on the bridge `{bridge}`: {}",
                reason.trim()
            ),
            format!(
                "run as root; or allow it once: echo 'allow {bridge}' | sudo tee -a /etc/qemu/bridge.conf && \
                 sudo chmod u+s {helper}"
            ),
        )
    };
    let told = |error: io::Error| failed(&error.to_string());
    let (own, other) = UnixStream::pair().map_err(told)?;
    let other = Arc::new(OwnedFd::from(other));
    let mut complaints = File::from(
        memfd_create("complaints", MemfdFlags::CLOEXEC).map_err(|error| told(error.into()))?,
    );
    let mut command = Command::new(helper);
    command
        .arg("--use-vnet")
        .arg(format!("--fd={}", other.as_raw_fd()))
        .arg(format!("--br={bridge}"))
        .stderr(complaints.try_clone().map_err(told)?);
    die_with_parent(&mut command, vec![other]);
    let status = command.status().map_err(told)?;
    if !status.success() {
        let mut text = String::new();
        let _ = complaints
            .rewind()
            .and_then(|()| complaints.read_to_string(&mut text));
        return Err(failed(&text));
    }
    let queue = receive_file(&own).map_err(told)?;
    Ok(Tap {
        queues: vec![Arc::new(queue)],
        note: (wanted > 1).then(|| {
            format!(
                "{helper} makes TAP devices with a single queue, which all processors share; run as root for one for each"
            )
        }),
    })
}

/// Receives a file that another process sends (`SCM_RIGHTS`).
fn receive_file(socket: &UnixStream) -> io::Result<OwnedFd> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut byte)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
    )?;
    ancillary
        .drain()
        .find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut files) => files.next(),
            _ => None,
        })
        .ok_or_else(|| io::Error::other("it sent no file"))
}

/// Whether the host's kernel moves the frames itself, if asked (`vhost_net`).
pub(crate) fn has_vhost() -> bool {
    File::options()
        .read(true)
        .write(true)
        .open("/dev/vhost-net")
        .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_as_the_kernel_has_it() {
        assert_eq!(size_of::<Request>(), 40, "struct ifreq");
        let mut request = Request::new("tap0").unwrap();
        request.set_flags(TAP | MULTI_QUEUE);
        assert_eq!((request.name().as_str(), request.flags()), ("tap0", 0x102));
        assert!(Request::new("sixteencharacter").is_err());
    }

    #[test]
    fn there_is_a_queue_for_each_processor_unless_somebody_says_how_many() {
        for (asked, cpus, queues) in [
            (None, 0, 1),
            (None, 1, 1),
            (None, 4, 4),
            (None, 64, 8),
            (Some(2), 4, 2),
            (Some(16), 1, 16),
        ] {
            assert_eq!(wanted_queues(asked, cpus), queues);
        }
    }

    #[test]
    fn what_does_not_exist_is_named_with_the_remedy() {
        let error = open("no-such-tap", None, 1).unwrap_err();
        assert_eq!(error.to_string(), "there is no TAP device `no-such-tap`");
        assert!(
            error
                .remedy
                .contains("ip tuntap add dev no-such-tap mode tap user")
        );
        let error = open_on_bridge("no-such-bridge", Some(2), 1).unwrap_err();
        assert_eq!(error.to_string(), "there is no bridge `no-such-bridge`");
        assert!(
            error
                .remedy
                .contains("ip link add no-such-bridge type bridge")
        );
    }

    #[test]
    fn a_file_comes_through_a_socket() {
        use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
        let (one, other) = UnixStream::pair().unwrap();
        assert!(receive_file(&one).is_err(), "nothing was sent");
        let file = File::open("/dev/null").unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let files = [file.as_fd()];
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&files)));
        sendmsg(
            &other,
            &[std::io::IoSlice::new(b"x")],
            &mut ancillary,
            SendFlags::empty(),
        )
        .unwrap();
        assert!(receive_file(&one).is_ok());
    }
}
