//! What a card is told: commands over the control queue.
//!
//! A command is rare, and whoever gives one has to know whether it was carried out: so it waits for the answer, for a
//! limited time, without an interrupt. A device that does not answer in time keeps the command's memory, since it may still
//! write into it, and gets no further ones.

use pith_virtqueue::Queue;
use pith_virtqueue::Region;
use pith_virtqueue::control::{Command, LONGEST, answer};

use crate::arch;
use crate::devices::shared_memory::SharedMemory;
use crate::devices::virtio::{Failure, Transport, notify};
use crate::memory::PacketRoom;

/// How long an answer may take, in seconds: a busy host may keep a device's thread waiting.
const PATIENCE: u64 = 5;
/// What lies in the place of the answer before there is one.
const UNANSWERED: u8 = 0xff;

/// The control queue.
pub struct Control {
    queue: Queue<SharedMemory, PacketRoom>,
    number: u16,
    /// It has not answered once.
    silent: bool,
}

impl Control {
    /// A queue of this number.
    pub fn new(mut queue: Queue<SharedMemory, PacketRoom>, number: u16) -> Self {
        queue.set_interrupts(false);
        Self {
            queue,
            number,
            silent: false,
        }
    }

    /// Gives a command, and waits until it was carried out.
    ///
    /// # Errors
    /// [`Failure::Silent`], [`Failure::Refused`], [`Failure::Memory`], [`Failure::Misbehaved`].
    pub fn command(&mut self, transport: &dyn Transport, command: Command) -> Result<(), Failure> {
        if self.silent {
            return Err(Failure::Silent);
        }
        // The answer is the byte behind the command.
        let mut room = PacketRoom::new(LONGEST + 1).ok_or(Failure::Memory)?;
        let bytes = room.bytes_mut();
        let length = command.write(&mut bytes[..LONGEST]).ok_or(Failure::Refused)?;
        bytes[length] = UNANSWERED;
        let told = Region {
            address: room.physical(),
            length: length as u32,
        };
        let answered = Region {
            address: room.physical() + length as u64,
            length: 1,
        };
        if self.queue.submit_chain(room, &[told], &[answered]).is_err() {
            return Err(self.queue.misbehaviour().map_or(Failure::Silent, Failure::Misbehaved));
        }
        notify(transport, &mut self.queue, self.number);
        let (room, written) = self.wait()?;
        answer(written, room.bytes()[length]).map_err(|_| Failure::Refused)
    }

    /// Waits for the only command that is on its way.
    fn wait(&mut self) -> Result<(PacketRoom, usize), Failure> {
        let patience = arch::frequencies().counter.saturating_mul(PATIENCE);
        let start = arch::read_time_stamp_counter();
        loop {
            if let Some(done) = self.queue.take_used() {
                return Ok(done);
            }
            if let Some(how) = self.queue.misbehaviour() {
                return Err(Failure::Misbehaved(how));
            }
            if arch::read_time_stamp_counter().saturating_sub(start) > patience {
                self.silent = true;
                return Err(Failure::Silent);
            }
            core::hint::spin_loop();
        }
    }
}
