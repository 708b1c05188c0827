//! What the kernel command line says about the console.

use pith_abi::command_line as key;

use crate::devices::command_line::{cut, last_value, number};

/// Where the console is, and what is at its other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings<'a> {
    /// Value of [`key::CHANNEL`].
    pub channel: Option<&'a str>,
    /// The standard streams that are terminals: bit 0 is standard input.
    pub terminals: u8,
    /// Rows and columns of the terminal, if they are known.
    pub window: Option<(u16, u16)>,
    /// Whether standard input has anything to give.
    pub has_input: bool,
}

impl<'a> Settings<'a> {
    /// Reads the command line. Of a word that is repeated, the last counts.
    pub fn parse(command_line: &'a str) -> Self {
        let last = |key| last_value(command_line, key);
        Self {
            channel: last(key::CHANNEL),
            terminals: last(key::TERMINAL).map_or(0, streams),
            window: last(key::WINDOW).and_then(window),
            has_input: last(key::INPUT) != Some("none"),
        }
    }
}

/// `0,1,2` as bits.
fn streams(list: &str) -> u8 {
    // Nothing but the three digits means anything here.
    list.bytes()
        .filter(|byte| matches!(byte, b'0'..=b'2'))
        .fold(0, |bits, digit| bits | 1 << (digit - b'0'))
}

/// `ROWSxCOLUMNS`.
fn window(text: &str) -> Option<(u16, u16)> {
    let (rows, columns) = cut(text, b'x');
    let part = |text| number(text).and_then(|value| u16::try_from(value).ok());
    Some((part(rows)?, part(columns)?))
}
