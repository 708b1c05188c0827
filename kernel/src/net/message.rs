//! What travels through sockets: data, and beside it open files and credentials.

use alloc::sync::Arc;
use alloc::vec::Vec;

use pith_linux::Errno;
use pith_linux::sockets::{MessageFlags, PeerCredentials};
use pith_tcpip::Pieces;

use super::address::Address;
use crate::fs::file::OpenFile;
use crate::memory::{Destination, Packet, Source};

/// Ancillary data that belongs to a protocol (`cmsg(3)`).
pub struct ControlMessage {
    /// The protocol.
    pub level: i32,
    /// What it is.
    pub kind: i32,
    /// Its content.
    pub bytes: Vec<u8>,
}

/// What travels beside the data.
#[derive(Default)]
pub struct Ancillary {
    /// Open files (`SCM_RIGHTS`).
    pub rights: Vec<Arc<OpenFile>>,
    /// Who sends (`SCM_CREDENTIALS`).
    pub credentials: Option<PeerCredentials>,
    /// What else there is.
    pub others: Vec<ControlMessage>,
}

/// A message to be sent.
pub struct Outgoing<'a, 'b> {
    /// Its data.
    pub data: &'a mut Source<'b>,
    /// Where to; `None` for where the socket is connected to.
    pub address: Option<Address>,
    /// What travels beside it.
    pub ancillary: Ancillary,
    /// How it is sent. [`MessageFlags::DO_NOT_WAIT`] is set too if the file is non-blocking.
    pub flags: MessageFlags,
}

/// Room for a message, and then what was received.
pub struct Incoming<'a, 'b> {
    /// Where its data goes.
    pub data: &'a mut Destination<'b>,
    /// How it is received. [`MessageFlags::DO_NOT_WAIT`] is set too if the file is non-blocking.
    pub flags: MessageFlags,
    /// Where it came from; `None` if the protocol doesn't say.
    pub address: Option<Address>,
    /// What came beside it.
    pub ancillary: Ancillary,
    /// What is to be said about it ([`MessageFlags::TRUNCATED`], [`MessageFlags::END_OF_RECORD`], …).
    pub result: MessageFlags,
}

impl<'a, 'b> Incoming<'a, 'b> {
    /// Room for a message.
    pub fn new(data: &'a mut Destination<'b>, flags: MessageFlags) -> Self {
        Self {
            data,
            flags,
            address: None,
            ancillary: Ancillary::default(),
            result: MessageFlags::empty(),
        }
    }

    /// Copies a message that lies in pieces, as far as there is room, and notes if that was not all. Returns how much was
    /// copied.
    ///
    /// # Errors
    /// `EFAULT`
    pub fn fill(&mut self, message: &Pieces<Packet>) -> Result<usize, Errno> {
        let mut copied = 0;
        for piece in message.iter() {
            if self.data.remaining() == 0 {
                break;
            }
            copied += self.data.put_whole(piece)?;
        }
        if copied < message.length() {
            self.result |= MessageFlags::TRUNCATED;
        }
        Ok(copied)
    }

    /// Whether data stays where it is.
    pub fn peeks(&self) -> bool {
        self.flags.contains(MessageFlags::PEEK)
    }
}
