//! Words of the kernel command line.
//!
//! Written with plain loops and not inlined: at boot each piece of code runs once or twice, and what it costs
//! then is not running it but fetching (on an emulated processor: translating) it.

use spin::Once;

static WHOLE: Once<&'static str> = Once::new();

/// Remembers the whole, for [`whole`].
pub fn remember(command_line: &'static str) {
    WHOLE.call_once(|| command_line);
}

/// All words (`/proc/cmdline`).
pub fn whole() -> &'static str {
    WHOLE.get().copied().unwrap_or("")
}

/// Values of all words `key=value` with this key, in order.
pub struct Values<'a> {
    rest: &'a str,
    key: &'static str,
}

/// Looks for words `key=value`.
pub fn values<'a>(command_line: &'a str, key: &'static str) -> Values<'a> {
    Values {
        rest: command_line,
        key,
    }
}

/// The value of the last word with this key.
pub fn last_value<'a>(command_line: &'a str, key: &'static str) -> Option<&'a str> {
    values(command_line, key).last()
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a str;

    #[inline(never)]
    fn next(&mut self) -> Option<&'a str> {
        while !self.rest.is_empty() {
            let (word, rest) = cut(self.rest, b' ');
            self.rest = rest;
            let (key, value) = cut(word, b'=');
            if key == self.key && key.len() < word.len() {
                return Some(value);
            }
        }
        None
    }
}

/// What is before the first `separator`, an ASCII character, and what is behind it; all and nothing if there is
/// none.
#[inline(never)]
pub fn cut(text: &str, separator: u8) -> (&str, &str) {
    for (index, &byte) in text.as_bytes().iter().enumerate() {
        if byte == separator {
            return (&text[..index], &text[index + 1..]);
        }
    }
    (text, "")
}

/// A number: `0x` and hexadecimal digits, or decimal digits.
#[inline(never)]
pub fn number(text: &str) -> Option<u64> {
    let (digits, radix) = match text.as_bytes() {
        [b'0', b'x', digits @ ..] => (digits, 16),
        digits => (digits, 10),
    };
    if digits.is_empty() {
        return None;
    }
    let mut value: u64 = 0;
    for &digit in digits {
        let digit = char::from(digit).to_digit(radix)?;
        value = value.checked_mul(radix.into())?.checked_add(digit.into())?;
    }
    Some(value)
}
