//! Urgent data as Linux has it: one byte, which stands out of the stream unless the program wants it in its place, and
//! whose pointer names the byte behind it (`net.ipv4.tcp_stdurg` is 0; RFC 6093).

use super::Sequence;

/// What a program gets that asks for urgent data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgent {
    /// There is none, or it was read, or it is in its place in the stream.
    None,
    /// It was announced, and has not come.
    Announced,
    /// It is this byte.
    Byte(u8),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mark {
    #[default]
    None,
    Announced,
    Byte(u8),
    Read,
}

/// The receiving side.
#[derive(Clone, Copy, Debug, Default)]
pub struct UrgentMark {
    mark: Mark,
    at: Sequence,
}

impl UrgentMark {
    /// A segment that begins at `sequence` has an urgent pointer. `copied` is the first byte that the program has not
    /// taken, `next` the one that is expected. True if the program is to be told.
    pub fn announce(
        &mut self,
        sequence: Sequence,
        pointer: u16,
        copied: Sequence,
        next: Sequence,
    ) -> bool {
        let at = sequence + usize::from(pointer.saturating_sub(1));
        let known = self.mark != Mark::None && !at.is_after(self.at);
        if at.is_before(copied) || at.is_before(next) || known {
            return false;
        }
        self.mark = Mark::Announced;
        self.at = at;
        true
    }

    /// Looks for the byte in data that has come.
    pub fn look(&mut self, sequence: Sequence, data: &[u8]) {
        if self.mark == Mark::Announced
            && !self.at.is_before(sequence)
            && let Some(byte) = data.get(self.at.since(sequence))
        {
            self.mark = Mark::Byte(*byte);
        }
    }

    /// How far it is to the mark from `copied` on; `None` if there is none before `next`.
    pub fn distance(&self, copied: Sequence, next: Sequence) -> Option<usize> {
        let there =
            self.mark != Mark::None && !self.at.is_before(copied) && self.at.is_before(next);
        there.then(|| self.at.since(copied))
    }

    /// Whether the program stands at the mark (`SIOCATMARK`).
    pub fn is_at(&self, copied: Sequence) -> bool {
        self.mark != Mark::None && self.at == copied
    }

    /// The program has taken everything before `copied`.
    pub fn pass(&mut self, copied: Sequence) {
        if copied.is_after(self.at) {
            self.mark = Mark::None;
        }
    }

    /// Whether the byte is there.
    pub fn has_byte(&self) -> bool {
        matches!(self.mark, Mark::Byte(_))
    }

    /// The program asks for it; it stays if it is only looked at.
    pub fn take(&mut self, only_look: bool) -> Urgent {
        match self.mark {
            Mark::None | Mark::Read => Urgent::None,
            Mark::Announced => Urgent::Announced,
            Mark::Byte(byte) => {
                if !only_look {
                    self.mark = Mark::Read;
                }
                Urgent::Byte(byte)
            }
        }
    }
}
