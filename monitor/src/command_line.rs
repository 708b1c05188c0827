//! Writes the kernel command line in the notation of [`pith_abi::command_line`].

use std::time::{SystemTime, UNIX_EPOCH};

use pith_abi::command_line as key;

/// Words for the kernel, separated by spaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelCommandLine {
    text: String,
}

impl KernelCommandLine {
    /// An empty command line.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends `key=value`, with `value` percent-encoded, so that it may hold any byte.
    ///
    /// ```
    /// let mut line = pith_monitor::command_line::KernelCommandLine::new();
    /// line.push("pith.argument", b"two words");
    /// assert_eq!(line.as_str(), "pith.argument=two%20words");
    /// ```
    pub fn push(&mut self, key: &str, value: &[u8]) {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(key);
        self.text.push('=');
        self.text.push_str(&encode(value));
    }

    /// Says what time it is: the machine's own clock knows it to the second only.
    pub fn push_time(&mut self, now: SystemTime) {
        // A host whose clock stands before 1970 has no time worth telling.
        if let Ok(since) = now.duration_since(UNIX_EPOCH) {
            self.push(key::TIME, since.as_nanos().to_string().as_bytes());
        }
    }

    /// The text, as the monitor passes it on.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether no word was pushed.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }
}

/// Percent-encodes (RFC 3986, section 2.1) every byte but those that the command line's notation leaves as they are.
pub fn encode(value: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut text = String::with_capacity(value.len());
    for &byte in value {
        if byte.is_ascii_alphanumeric() || b"-._~/:,+@=".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// The reverse of [`encode`], written the way a reader of the ABI would.
    fn decode(text: &str) -> Vec<u8> {
        let mut bytes = text.bytes();
        let mut value = Vec::new();
        while let Some(byte) = bytes.next() {
            value.push(match byte {
                b'%' => {
                    let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                    u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                _ => byte,
            });
        }
        value
    }

    #[test]
    fn plain_text_stays_readable() {
        let plain = "PATH=/usr/bin:/bin,a-b_c.d~e+f@g";
        assert_eq!(encode(plain.as_bytes()), plain);
    }

    #[test]
    fn every_byte_survives_and_no_separator_escapes() {
        let all: Vec<u8> = (0..=255).collect();
        let text = encode(&all);
        assert_eq!(decode(&text), all);
        assert!(
            text.bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b'"')
        );
        assert_eq!(encode(b" %\n\""), "%20%25%0A%22");
    }

    #[test]
    fn words_are_separated_by_one_space() {
        let mut line = KernelCommandLine::new();
        assert!(line.is_empty());
        line.push(key::CHANNEL, b"virtio");
        line.push(key::ARGUMENT, b"");
        line.push(key::ARGUMENT, b"-x y");
        assert_eq!(
            line.as_str(),
            "pith.channel=virtio pith.argument= pith.argument=-x%20y"
        );
    }

    #[test]
    fn time_is_in_nanoseconds() {
        let mut line = KernelCommandLine::new();
        line.push_time(UNIX_EPOCH + Duration::from_nanos(1_500_000_001));
        assert_eq!(line.as_str(), "pith.time=1500000001");
    }
}
