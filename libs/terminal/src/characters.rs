//! Kinds of characters as Linux's kernel knows them: ASCII, and Latin-1 above.

/// Whether it is a control character. Those of Latin-1 (0x80 to 0x9f) do not count.
pub fn is_control(byte: u8) -> bool {
    byte.is_ascii_control()
}

fn is_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte >= 0xdf && byte != 0xf7
}

fn is_upper(byte: u8) -> bool {
    byte.is_ascii_uppercase() || matches!(byte, 0xc0..=0xde) && byte != 0xd7
}

/// Whether it belongs to a word.
pub fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_digit() || is_lower(byte) || is_upper(byte) || byte == b'_'
}

/// The small letter.
pub fn to_lower(byte: u8) -> u8 {
    if is_upper(byte) { byte + 32 } else { byte }
}

/// The capital letter.
pub fn to_upper(byte: u8) -> u8 {
    if is_lower(byte) { byte - 32 } else { byte }
}

/// Whether it continues a character of UTF-8.
pub fn continues(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}
