//! Commands to a network card, which go over its control queue (section 5.1.6.5): each is a class, a number and its data,
//! and the device answers with one byte.

use core::fmt;

/// Bytes of a hardware address.
pub const ADDRESS: usize = 6;
/// Most addresses of groups that a filter gets; for more, all groups are let through.
pub const MOST_GROUPS: usize = 64;
/// Most bytes of a command: class and number, and a filter with two counts.
pub const LONGEST: usize = 2 + 4 + 4 + MOST_GROUPS * ADDRESS;
/// Answer: the command was carried out.
pub const OK: u8 = 0;
/// Answer: it was not.
pub const ERROR: u8 = 1;

/// What a card is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// Use so many pairs of queues (`VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET`).
    Pairs(u16),
    /// Whether frames for other stations are let through (`VIRTIO_NET_CTRL_RX_PROMISC`).
    Promiscuous(bool),
    /// Whether frames for all groups are (`VIRTIO_NET_CTRL_RX_ALLMULTI`).
    AllGroups(bool),
    /// For which groups they are, beside those for the card's own address and for everybody
    /// (`VIRTIO_NET_CTRL_MAC_TABLE_SET` with an empty table of stations): [`MOST_GROUPS`] at most.
    Groups(&'a [[u8; ADDRESS]]),
    /// The station has been announced, as the device has asked for (`VIRTIO_NET_CTRL_ANNOUNCE_ACK`).
    Announced,
}

impl Command<'_> {
    fn class(&self) -> (u8, u8) {
        match self {
            Self::Promiscuous(_) => (0, 0),
            Self::AllGroups(_) => (0, 1),
            Self::Groups(_) => (1, 0),
            Self::Announced => (3, 0),
            Self::Pairs(_) => (4, 0),
        }
    }

    /// Writes the command. Returns how many bytes it has; `None` if there is no room for it, or if it names too many groups.
    pub fn write(&self, room: &mut [u8]) -> Option<usize> {
        let mut end = 0;
        let mut push = |bytes: &[u8]| {
            let place = room.get_mut(end..end + bytes.len())?;
            place.copy_from_slice(bytes);
            end += bytes.len();
            Some(())
        };
        let (class, number) = self.class();
        push(&[class, number])?;
        match self {
            Self::Pairs(pairs) => push(&pairs.to_le_bytes())?,
            Self::Promiscuous(on) | Self::AllGroups(on) => push(&[(*on).into()])?,
            Self::Groups(groups) => {
                if groups.len() > MOST_GROUPS {
                    return None;
                }
                // No stations; then the groups.
                push(&0_u32.to_le_bytes())?;
                push(&(groups.len() as u32).to_le_bytes())?;
                groups.iter().try_for_each(|group| push(group))?;
            }
            Self::Announced => {}
        }
        Some(end)
    }
}

impl fmt::Display for Command<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pairs(pairs) => write!(formatter, "to use {pairs} pairs of queues"),
            Self::Promiscuous(_) => formatter.write_str("which stations' frames it lets through"),
            Self::AllGroups(_) | Self::Groups(_) => {
                formatter.write_str("which groups' frames it lets through")
            }
            Self::Announced => formatter.write_str("that the station was announced"),
        }
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
    use proptest::prelude::*;

    fn written(command: Command) -> Vec<u8> {
        let mut room = [0xaa; LONGEST];
        let length = command.write(&mut room).expect("there is room");
        room[..length].to_vec()
    }

    #[test]
    fn the_bytes_are_those_of_the_specification() {
        assert_eq!(written(Command::Pairs(4)), [4, 0, 4, 0]);
        assert_eq!(written(Command::Pairs(0x102)), [4, 0, 2, 1]);
        assert_eq!(written(Command::Promiscuous(true)), [0, 0, 1]);
        assert_eq!(written(Command::Promiscuous(false)), [0, 0, 0]);
        assert_eq!(written(Command::AllGroups(true)), [0, 1, 1]);
        assert_eq!(written(Command::Announced), [3, 0]);
        assert_eq!(
            written(Command::Groups(&[])),
            [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        );
        let groups = [[0x33, 0x33, 0, 0, 0, 1], [1, 0, 0x5e, 0, 0, 0xfb]];
        assert_eq!(
            written(Command::Groups(&groups)),
            [
                1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0x33, 0x33, 0, 0, 0, 1, 1, 0, 0x5e, 0, 0, 0xfb
            ]
        );
    }

    #[test]
    fn what_does_not_fit_is_not_written() {
        let many = [[1; ADDRESS]; MOST_GROUPS + 1];
        let mut room = [0; LONGEST];
        assert_eq!(
            Command::Groups(&many[1..]).write(&mut room),
            Some(room.len())
        );
        assert_eq!(Command::Groups(&many).write(&mut [0; 1000]), None);
        for length in 0..4 {
            assert_eq!(Command::Pairs(1).write(&mut room[..length]), None);
        }
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

    proptest! {
        #[test]
        fn a_filter_says_what_it_was_given(groups in prop::collection::vec(any::<[u8; ADDRESS]>(), 0..=MOST_GROUPS)) {
            let bytes = written(Command::Groups(&groups));
            prop_assert_eq!(bytes.len(), 10 + groups.len() * ADDRESS);
            prop_assert_eq!(u32::from_le_bytes(bytes[6..10].try_into().unwrap()) as usize, groups.len());
            let read: Vec<&[u8]> = bytes[10..].chunks(ADDRESS).collect();
            prop_assert_eq!(read, groups.iter().map(|group| &group[..]).collect::<Vec<_>>());
        }
    }
}
