//! CRC-32C (Castagnoli), with which EROFS protects its superblock.

/// The polynomial of RFC 3720, section B.4, with its bits reversed.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// What each value of the register's low byte contributes to the next state.
const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut register = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            register = (register >> 1) ^ (POLYNOMIAL & (register & 1).wrapping_neg());
            bit += 1;
        }
        table[byte] = register;
        byte += 1;
    }
    table
};

/// Start of a checksum as EROFS uses it. Unlike in most protocols, the result isn't inverted at the end.
pub(crate) const INITIAL: u32 = !0;

/// Feeds `bytes` into a checksum: [`INITIAL`] or the result of an earlier call.
pub(crate) fn update(register: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(register, |register, byte| {
        (register >> 8) ^ TABLE[usize::from(register as u8 ^ byte)]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The check value of the CRC catalogue for "CRC-32/ISCSI", and an example of RFC 3720, B.4.
    #[test]
    fn known_answers() {
        assert_eq!(!update(INITIAL, b"123456789"), 0xe306_9283);
        assert_eq!(!update(INITIAL, &[0; 32]), 0x8a91_36aa);
    }

    #[test]
    fn pieces_add_up() {
        let whole = update(INITIAL, b"enhanced read-only");
        assert_eq!(update(update(INITIAL, b"enhanced "), b"read-only"), whole);
    }
}
