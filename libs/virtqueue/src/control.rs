//! Commands to a network card, which go over its control queue (section 5.1.6.5): each is a class, a number and its data,
//! and the device answers with one byte.

/// Most bytes of a command.
pub const LONGEST: usize = 4;
/// Answer: the command was carried out.
pub const OK: u8 = 0;
/// Answer: it was not.
pub const ERROR: u8 = 1;

/// What a card is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Use so many pairs of queues (`VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET`).
    Pairs(u16),
}

impl Command {
    /// Writes the command. Returns how many bytes it has; `None` if there is no room for it.
    pub fn write(self, room: &mut [u8]) -> Option<usize> {
        let Self::Pairs(pairs) = self;
        let [low, high] = pairs.to_le_bytes();
        let bytes = [4, 0, low, high];
        room.get_mut(..bytes.len())?.copy_from_slice(&bytes);
        Some(bytes.len())
    }
}

/// Why a command was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The device says so.
    Refused,
    /// It has given the command back without an answer that can be understood.
    NoAnswer,
}

/// What the device says to a command: `written` is how many bytes it claims to have written, `byte` what is in the place of
/// the answer.
///
/// # Errors
/// [`Refusal`].
pub fn answer(written: usize, byte: u8) -> Result<(), Refusal> {
    match byte {
        OK if written != 0 => Ok(()),
        ERROR if written != 0 => Err(Refusal::Refused),
        _ => Err(Refusal::NoAnswer),
    }
}

/// How many pairs of queues are used by so many processors, on a card that offers `offered` of them; 1 if what it offers is
/// not allowed (section 5.1.4.1).
pub fn pairs(offered: u16, processors: usize) -> u16 {
    match offered {
        1..=0x8000 => processors.clamp(1, offered.into()) as u16,
        _ => 1,
    }
}

/// The number of the control queue of a card that offers so many pairs: it comes behind all of them, whether they are used
/// or not. `None` if there can be no such queue.
pub fn queue_number(offered: u16) -> Option<u16> {
    offered.checked_mul(2).filter(|number| *number != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        for (pairs, bytes) in [(4, [4, 0, 4, 0]), (0x102, [4, 0, 2, 1])] {
            let mut room = [0xaa; LONGEST];
            assert_eq!(Command::Pairs(pairs).write(&mut room), Some(4));
            assert_eq!(room, bytes);
        }
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        let mut room = [0xaa; LONGEST];
        for length in 0..LONGEST {
            assert_eq!(Command::Pairs(1).write(&mut room[..length]), None);
        }
        assert_eq!(room, [0xaa; LONGEST]);
    }

    #[test]
    fn only_a_clear_yes_is_one() {
        assert_eq!(answer(1, OK), Ok(()));
        assert_eq!(answer(1, ERROR), Err(Refusal::Refused));
        // Nothing was written, so that what is there means nothing.
        assert_eq!(answer(0, OK), Err(Refusal::NoAnswer));
        assert_eq!(answer(0, ERROR), Err(Refusal::NoAnswer));
        for byte in 2..=255 {
            assert_eq!(answer(1, byte), Err(Refusal::NoAnswer));
        }
    }

    #[test]
    fn as_many_pairs_as_processors_if_there_are() {
        for (offered, processors, used) in [
            (1, 1, 1),
            (1, 64, 1),
            (2, 1, 1),
            (2, 4, 2),
            (4, 2, 2),
            (8, 64, 8),
            (0x8000, 64, 64),
            // Against the rules.
            (0, 4, 1),
            (0x8001, 4, 1),
            (0xffff, 4, 1),
        ] {
            assert_eq!(pairs(offered, processors), used);
        }
        assert_eq!(pairs(4, 0), 1);
    }

    #[test]
    fn the_control_queue_is_behind_all_pairs() {
        assert_eq!(queue_number(1), Some(2));
        assert_eq!(queue_number(8), Some(16));
        assert_eq!(queue_number(0x7fff), Some(0xfffe));
        assert_eq!(queue_number(0), None);
        assert_eq!(queue_number(0x8000), None);
        assert_eq!(queue_number(0xffff), None);
    }
}
