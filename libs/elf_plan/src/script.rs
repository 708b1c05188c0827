//! Programs that are text: the `#!` line.

use crate::Error;

/// How much of a script is looked at, in bytes: the rest of a longer first line is ignored.
pub const SCRIPT_LINE_LIMIT: usize = 256;

/// How a file is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Executable<'file> {
    /// By its ELF headers, see [`Plan`](crate::Plan).
    Elf,
    /// By another program.
    Script(Script<'file>),
}

/// What the first line of a script says. The program is executed as
/// `interpreter [argument] path-of-the-script arguments…`, see `execve(2)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Script<'file> {
    /// Path of the interpreter, not empty.
    pub interpreter: &'file [u8],
    /// The rest of the line as one argument.
    pub argument: Option<&'file [u8]>,
}

impl<'file> Executable<'file> {
    /// Tells what kind of program starts with `start`: the first [`SCRIPT_LINE_LIMIT`] bytes of the file, or all
    /// of a smaller file.
    ///
    /// # Errors
    /// [`Error::NotExecutableFormat`], [`Error::BadScriptLine`].
    pub fn detect(start: &'file [u8]) -> Result<Self, Error> {
        if start.starts_with(&elf::abi::ELFMAGIC) {
            return Ok(Self::Elf);
        }
        match start.strip_prefix(b"#!") {
            Some(_) => Script::parse(start).map(Self::Script),
            None => Err(Error::NotExecutableFormat),
        }
    }
}

impl<'file> Script<'file> {
    /// Reads the line after `#!` as Linux' `binfmt_script` does. Spaces and tabs around the line and after the
    /// path don't count; a NUL ends the line's strings, and the end of the file is like a NUL.
    fn parse(start: &'file [u8]) -> Result<Self, Error> {
        let window = &start[..start.len().min(SCRIPT_LINE_LIMIT)];
        let text = window.get(2..).ok_or(Error::BadScriptLine)?;
        let line = match text.iter().position(|&byte| byte == b'\n') {
            Some(end) => trim_end(&text[..end]),
            // The line goes on behind what is looked at. That is fine for an argument, which is cut; a path must
            // not be cut.
            None if window.len() == SCRIPT_LINE_LIMIT => {
                let path = trim_start(text);
                if !path.iter().any(|&byte| is_blank(byte) || byte == 0) {
                    return Err(Error::BadScriptLine);
                }
                trim_end(text)
            }
            None => text,
        };
        let line = trim_start(line);
        let path_end = line
            .iter()
            .position(|&byte| is_blank(byte) || byte == 0)
            .unwrap_or(line.len());
        let (interpreter, rest) = line.split_at(path_end);
        if interpreter.is_empty() {
            return Err(Error::BadScriptLine);
        }
        let argument = until_nul(trim_start(rest));
        Ok(Self {
            interpreter,
            argument: (!argument.is_empty()).then_some(argument),
        })
    }
}

/// Whether a byte separates words.
fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// The text without blanks at its start.
fn trim_start(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|&byte| !is_blank(byte));
    start.map_or(&[], |start| &text[start..])
}

/// The text without blanks at its end.
fn trim_end(text: &[u8]) -> &[u8] {
    let last = text.iter().rposition(|&byte| !is_blank(byte));
    last.map_or(&[], |last| &text[..=last])
}

/// The text before its first NUL.
fn until_nul(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|&byte| byte == 0);
    end.map_or(text, |end| &text[..end])
}
