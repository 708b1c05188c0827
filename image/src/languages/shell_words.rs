//! The words of a script for the shell that may be names of commands and files.
//!
//! The language is read as far as that takes: comments, messages in quotes and here-documents hold no names, but what stands
//! in `$(…)` or between backticks within quotes does. Variables that were set to a text are followed; of a
//! word with another one in it, what stands before counts.

use std::collections::{BTreeSet, HashMap};
use std::iter::Peekable;
use std::str::Chars;

/// Where the reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In code; what ends it.
    Code(Option<char>),
    /// Between double quotes.
    Quoted,
}

/// Reads a script.
struct Reader<'a> {
    text: Peekable<Chars<'a>>,
    places: Vec<Place>,
    /// The word that is being read, for each of the places.
    words: Vec<Word>,
    found: BTreeSet<String>,
    /// Values of variables that code before has set to a text without others.
    known: HashMap<String, String>,
    /// Delimiters of here-documents that begin at the next line.
    documents: Vec<String>,
}

/// A word so far.
#[derive(Clone, Debug, Default)]
struct Word {
    text: String,
    /// Whether a quote or a variable was in it: then it may be empty and still be a word.
    begun: bool,
    /// A variable was met: what follows is no name by itself.
    ended: bool,
    /// A blank was met within quotes: it is a message.
    message: bool,
}

/// The words of a script's code that may be names of commands or files.
pub(super) fn words(script: &str) -> BTreeSet<String> {
    let mut reader = Reader {
        text: script.chars().peekable(),
        places: vec![Place::Code(None)],
        words: vec![Word::default()],
        found: BTreeSet::new(),
        known: HashMap::new(),
        documents: Vec::new(),
    };
    while let Some(character) = reader.text.next() {
        reader.take(character);
    }
    while reader.words.len() > 1 {
        reader.leave();
    }
    reader.end_word();
    reader.found
}

/// The simple commands of a script, each with its words, in order; without those that quotes, variables or here-documents
/// make hard to tell. What assigns variables before a command is left out.
pub(super) fn commands(script: &str) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    for line in script.split(['\n', ';', '|', '&', '(', ')', '{', '}', '`']) {
        let words = line
            .split_whitespace()
            .take_while(|word| !word.starts_with('#'))
            .map(|word| word.trim_matches(['\'', '"']))
            .skip_while(|word| word.contains('=') || LEADING.contains(word));
        let command: Vec<String> = words.map(str::to_owned).collect();
        if !command.is_empty() && !command.iter().any(|word| word.contains('$')) {
            commands.push(command);
        }
    }
    commands
}

/// Words of the language behind which a command stands.
const LEADING: [&str; 9] = [
    "!", "command", "do", "elif", "else", "exec", "if", "then", "while",
];

impl Reader<'_> {
    fn take(&mut self, character: char) {
        let place = self.places.last().copied().unwrap_or(Place::Code(None));
        match (place, character) {
            (_, '\\') => {
                let escaped = self.text.next();
                // A line that goes on in the next.
                if let Some(escaped) = escaped.filter(|&escaped| escaped != '\n') {
                    self.push(escaped);
                }
            }
            (_, '$') => self.variable(),
            (Place::Quoted, '"') => {
                self.places.pop();
            }
            (Place::Code(Some(end)), character) if character == end => self.leave(),
            (_, '`') => self.enter('`'),
            (Place::Quoted, character) => self.quoted(character),
            (_, '"') => {
                self.word().begun = true;
                self.places.push(Place::Quoted);
            }
            (_, '\'') => {
                self.word().begun = true;
                while let Some(character) = self.text.next().filter(|&end| end != '\'') {
                    self.quoted(character);
                }
            }
            (_, '#') if !self.word().begun => self.skip_line(),
            (_, '<') if self.text.next_if_eq(&'<').is_some() => self.here(),
            (_, '\n') => {
                self.end_word();
                self.skip_documents();
            }
            (_, '|' | '&' | ';' | '(' | ')' | '<' | '>' | '{' | '}' | '!') => self.end_word(),
            (_, character) if character.is_whitespace() => self.end_word(),
            (_, character) => self.push(character),
        }
    }

    fn word(&mut self) -> &mut Word {
        if self.words.is_empty() {
            self.words.push(Word::default());
        }
        let last = self.words.len() - 1;
        &mut self.words[last]
    }

    fn push(&mut self, character: char) {
        let word = self.word();
        word.begun = true;
        if !word.ended {
            word.text.push(character);
        }
    }

    fn quoted(&mut self, character: char) {
        if character.is_whitespace() {
            self.word().message = true;
        }
        self.push(character);
    }

    /// Goes into code within the word.
    fn enter(&mut self, end: char) {
        let word = self.word();
        word.begun = true;
        word.ended = true;
        self.places.push(Place::Code(Some(end)));
        self.words.push(Word::default());
    }

    /// Comes back from it.
    fn leave(&mut self) {
        self.end_word();
        self.places.pop();
        self.words.pop();
    }

    /// Behind a `$`.
    fn variable(&mut self) {
        if self.text.next_if_eq(&'(').is_some() {
            self.enter(')');
            return;
        }
        let in_braces = self.text.next_if_eq(&'{').is_some();
        let mut name = String::new();
        while let Some(character) = self
            .text
            .next_if(|&character| character.is_alphanumeric() || character == '_')
        {
            name.push(character);
        }
        let is_whole = !in_braces || self.text.next_if_eq(&'}').is_some();
        let value = self.known.get(&name).filter(|_| is_whole).cloned();
        let word = self.word();
        word.begun = true;
        match value {
            Some(value) if !word.ended => word.text.push_str(&value),
            _ => word.ended = true,
        }
        // The value that `${NAME:-VALUE}` stands for otherwise is a word of its own.
        if !is_whole {
            self.enter('}');
            while self
                .text
                .next_if(|character| ":-=+?#%/^,".contains(*character) && *character != '/')
                .is_some()
            {}
        }
    }

    fn skip_line(&mut self) {
        while self.text.next_if(|&character| character != '\n').is_some() {}
    }

    /// Behind `<<`.
    fn here(&mut self) {
        self.end_word();
        if self.text.next_if_eq(&'<').is_some() {
            return;
        }
        while self.text.next_if(|&blank| "- \t".contains(blank)).is_some() {}
        let mut delimiter = String::new();
        while let Some(character) = self
            .text
            .next_if(|character| !character.is_whitespace() && !";|&)<>".contains(*character))
        {
            if !"'\"\\".contains(character) {
                delimiter.push(character);
            }
        }
        // `$((1 << 2))` is no document.
        if !delimiter.starts_with(|first: char| first.is_ascii_digit() || first == '$')
            && !delimiter.is_empty()
        {
            self.documents.push(delimiter);
        }
    }

    /// Skips the documents that begin at this line.
    fn skip_documents(&mut self) {
        for delimiter in std::mem::take(&mut self.documents) {
            loop {
                let mut line = String::new();
                while let Some(character) = self.text.next_if(|&character| character != '\n') {
                    line.push(character);
                }
                let is_end = line.trim_start_matches('\t') == delimiter;
                if self.text.next().is_none() || is_end {
                    break;
                }
            }
        }
    }

    fn end_word(&mut self) {
        let word = std::mem::take(self.word());
        if let Some((name, value)) = word.text.split_once('=') {
            match word.ended || word.message {
                true => self.known.remove(name),
                false => self.known.insert(name.to_owned(), value.to_owned()),
            };
        }
        if word.message {
            return;
        }
        // `NAME=VALUE`, `a:b`.
        for part in word.text.split(['=', ':', ',']) {
            let is_name = part.starts_with(|first: char| first.is_alphanumeric() || first == '/')
                && !part.contains(['*', '?', '[', '~']);
            if is_name {
                self.found.insert(part.to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(script: &str, inside: &[&str], outside: &[&str]) {
        let words = words(script);
        for word in inside {
            assert!(words.contains(*word), "{word} is missing: {words:?}");
        }
        for word in outside {
            assert!(!words.contains(*word), "{word} was found: {words:?}");
        }
    }

    #[test]
    fn commands_are_words_of_code() {
        check(
            "ls -l /etc/x|wc; (sort && uniq)\nNAME=value sed 's/a b/c/' <in.txt >out # awk\n\"/usr/bin/env\" -i",
            &[
                "ls",
                "wc",
                "sort",
                "uniq",
                "sed",
                "value",
                "/etc/x",
                "/usr/bin/env",
            ],
            &["awk", "s/a b/c/", "b/c/", "-l"],
        );
    }

    #[test]
    fn code_within_quotes_counts_and_messages_do_not() {
        check(
            "echo \"please install java\" 'or python3 instead'; HERE=\"$(cd \"$(dirname \"$0\")\" && pwd -P)/x\"\nY=`uname -s`; echo \"it's `hostname`\"",
            &["dirname", "uname", "hostname", "echo"],
            &["java", "install", "python3", "instead"],
        );
    }

    #[test]
    fn what_stands_before_a_variable_counts() {
        check(
            "exec $wrap java -cp /usr/share/java/c.jar\"$extra\" $HOME/bin/tool ${JAVA:-/usr/bin/java11} ${x:-perl}",
            &[
                "java",
                "/usr/share/java/c.jar",
                "/usr/bin/java11",
                "perl",
                "exec",
            ],
            &["/bin/tool", "tool", "wrap", "extra"],
        );
    }

    #[test]
    fn variables_are_followed_that_are_set_to_a_text() {
        check(
            "home=/usr/lib/x\nname=\"tool\"\nexec \"$home/bin/${name}\" $home/$other/y\nname=`ls`; $name/z",
            &["/usr/lib/x/bin/tool", "/usr/lib/x/", "ls"],
            &["tool/z", "y"],
        );
    }

    #[test]
    fn simple_commands_keep_their_words() {
        assert_eq!(
            commands(
                "X=1 exec python3 'app.py' -v # no\nif node a.js; then ls | wc -l; fi; run $it"
            ),
            [
                vec!["python3", "app.py", "-v"],
                vec!["node", "a.js"],
                vec!["ls"],
                vec!["wc", "-l"],
                vec!["fi"],
            ]
        );
    }

    #[test]
    fn documents_hold_no_commands() {
        check(
            "cat <<EOF; date\ndon't run perl\nEOF\ncat <<-'END'\n\tpython3\n\tEND\ngrep x <<< y\nruby",
            &["cat", "date", "grep", "ruby"],
            &["perl", "python3", "run"],
        );
        check("x=$((1 << 2))\nsort", &["sort"], &[]);
    }

    #[test]
    fn a_script_that_ends_too_early_is_read_to_its_end() {
        for script in [
            "echo \"$(ls",
            "'",
            "\\",
            "$",
            "${",
            "<<E",
            "`ls",
            ")))",
            "\"a\"\"",
            "<<E\nls",
        ] {
            let _ = words(script);
        }
        check("echo \"$(ls", &["ls"], &[]);
    }
}
