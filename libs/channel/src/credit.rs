//! How many bytes of standard input the host may send.

/// Keeps the host's credit between half of the buffer and all of it.
///
/// Granting for each byte read would cost one frame for each byte; granting only when the buffer is empty
/// would let the host wait. So what was read is given back in portions of at least half the buffer.
///
/// ```
/// let mut credit = pith_channel::Credit::new(100);
/// assert_eq!(credit.grant(), Some(100));
/// assert_eq!(credit.grant(), None);
/// assert!(credit.receive(60));
/// credit.consume(49);
/// assert_eq!(credit.grant(), None);
/// credit.consume(1);
/// assert_eq!(credit.grant(), Some(50));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Credit {
    capacity: u32,
    /// What the host may still send.
    outstanding: u32,
    /// Room in the buffer that was not granted yet.
    ungranted: u32,
}

impl Credit {
    /// For a buffer of `capacity` bytes, of which nothing was granted yet.
    pub fn new(capacity: u32) -> Self {
        Self {
            capacity,
            outstanding: 0,
            ungranted: capacity,
        }
    }

    /// Bytes to grant now, if it is worth a frame.
    pub fn grant(&mut self) -> Option<u32> {
        if self.ungranted == 0 || self.ungranted < self.capacity / 2 {
            return None;
        }
        let granted = core::mem::take(&mut self.ungranted);
        self.outstanding += granted;
        Some(granted)
    }

    /// The host sent this many bytes. False if that is more than it was granted.
    #[must_use]
    pub fn receive(&mut self, bytes: usize) -> bool {
        let rest = u32::try_from(bytes)
            .ok()
            .and_then(|bytes| self.outstanding.checked_sub(bytes));
        self.outstanding = rest.unwrap_or(self.outstanding);
        rest.is_some()
    }

    /// The program took this many bytes out of the buffer, at most as many as were received.
    pub fn consume(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = self.capacity - self.outstanding;
        self.ungranted = self.ungranted.saturating_add(bytes).min(room);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        /// Whatever the order of arrivals and reads, the buffer never overflows and the host never starves.
        #[test]
        fn the_buffer_never_overflows(steps in prop::collection::vec((any::<bool>(), 0_u32..5000), 1..200)) {
            const CAPACITY: u32 = 4096;
            let mut credit = Credit::new(CAPACITY);
            let (mut allowed, mut buffered) = (0_u32, 0_u32);
            for (arrives, bytes) in steps {
                allowed += credit.grant().unwrap_or(0);
                if arrives {
                    let fits = bytes <= allowed;
                    prop_assert_eq!(credit.receive(bytes as usize), fits);
                    if fits {
                        allowed -= bytes;
                        buffered += bytes;
                    }
                } else {
                    let taken = bytes.min(buffered);
                    buffered -= taken;
                    credit.consume(taken as usize);
                }
                prop_assert!(allowed + buffered <= CAPACITY);
                if buffered == 0 {
                    allowed += credit.grant().unwrap_or(0);
                    prop_assert!(allowed >= CAPACITY / 2);
                }
            }
        }
    }

    #[test]
    fn more_than_granted_is_refused() {
        let mut credit = Credit::new(10);
        assert!(!credit.receive(1));
        assert_eq!(credit.grant(), Some(10));
        assert!(!credit.receive(11));
        assert!(!credit.receive(usize::MAX));
        assert!(credit.receive(10));
    }
}
