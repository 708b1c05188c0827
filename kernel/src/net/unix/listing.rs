//! `/proc/net/unix`: the sockets of the program's descriptors (`unix(7)`).

use core::any::Any;

use pith_linux::Errno;
use pith_linux::sockets::UNIX_PATH_MAX;

use super::UnixSocket;
use crate::fs::context;
use crate::fs::proc::Text;
use crate::net::socket;

/// `__SO_ACCEPTCON`: it waits for connections.
const LISTENS: u32 = 0x1_0000;
/// `SS_UNCONNECTED`, `SS_CONNECTED`
const UNCONNECTED: u8 = 1;
const CONNECTED: u8 = 3;

/// `/proc/net/unix`
pub fn list(text: &mut Text) -> Result<(), Errno> {
    writeln!(text, "Num       RefCount Protocol Flags    Type St Inode Path")?;
    let files = context::current();
    for descriptor in files.open_descriptors(0) {
        let Ok(open) = files.file(descriptor) else { continue };
        let Ok(found) = socket::of(&open) else { continue };
        let any: &dyn Any = &**found;
        if let Some(local) = any.downcast_ref::<UnixSocket>() {
            line(local, text)?;
        }
    }
    Ok(())
}

fn line(socket: &UnixSocket, text: &mut Text) -> Result<(), Errno> {
    let (listens, connected) = {
        let state = socket.state.lock();
        (state.listens, state.peer.is_some())
    };
    let flags = if listens { LISTENS } else { 0 };
    let state = if connected { CONNECTED } else { UNCONNECTED };
    write!(
        text,
        "{:016x}: {:08X} {:08X} {flags:08X} {:04X} {state:02X} {:>5}",
        0, 2, 0, socket.kind as u16, socket.number
    )?;
    if let Some(name) = socket.name() {
        let bytes = name.address.bytes().get(2..).unwrap_or_default();
        let bytes = &bytes[..bytes.len().min(UNIX_PATH_MAX)];
        text.bytes(b" ")?;
        match bytes {
            // An abstract name, with a sign for each zero.
            [0, ..] => {
                for byte in bytes {
                    text.bytes(&[if *byte == 0 { b'@' } else { *byte }])?;
                }
            }
            path => text.bytes(path.split(|byte| *byte == 0).next().unwrap_or_default())?,
        }
    }
    text.bytes(b"\n")
}
