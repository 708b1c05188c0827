//! What the kernel command line says about the console.

use pith_abi::command_line as key;

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
        let mut settings = Self { channel: None, terminals: 0, window: None, has_input: true };
        for (name, value) in command_line.split_ascii_whitespace().filter_map(|word| word.split_once('=')) {
            match name {
                key::CHANNEL => settings.channel = Some(value),
                key::TERMINAL => settings.terminals = streams(value),
                key::WINDOW => settings.window = window(value).or(settings.window),
                key::INPUT => settings.has_input = value != "none",
                _ => {}
            }
        }
        settings
    }
}

/// `0,1,2` as bits.
fn streams(list: &str) -> u8 {
    list.split(',')
        .filter_map(|number| number.parse::<u8>().ok())
        .filter(|number| *number <= 2)
        .fold(0, |bits, number| bits | 1 << number)
}

/// `ROWSxCOLUMNS`.
fn window(text: &str) -> Option<(u16, u16)> {
    let (rows, columns) = text.split_once('x')?;
    Some((rows.parse().ok()?, columns.parse().ok()?))
}
