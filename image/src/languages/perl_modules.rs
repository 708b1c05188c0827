//! Which modules of Perl's own library an application uses.
//!
//! Sources are read without documentation and comments. A name with `::` in it counts wherever it stands, with the packages
//! that it may be a part of (`Carp` of `Carp::croak`); a single word only in a line that loads or calls a package; and a
//! path such as `unicore/Name.pl`. What is taken is read in turn. An application that puts names together while it runs
//! needs all.

use std::collections::HashSet;

/// Modules that the interpreter loads by itself, for operators, variables and layers: `glob`, `%+`, `%!`, `<$file>->method`,
/// files in memory, case folding of classes, and what nearly all others load.
pub(super) const ALWAYS: [&str; 30] = [
    "Carp",
    "Carp::Heavy",
    "Config",
    "DynaLoader",
    "Errno",
    "Exporter",
    "Exporter::Heavy",
    "File::Glob",
    "IO::File",
    "IO::Handle",
    "PerlIO::scalar",
    "Tie::Hash::NamedCapture",
    "UNIVERSAL",
    "XSLoader",
    "attributes",
    "bytes",
    "bytes_heavy",
    "constant",
    "feature",
    "integer",
    "lib",
    "mro",
    "overload",
    "overloading",
    "re",
    "strict",
    "utf8",
    "vars",
    "version",
    "warnings",
];

/// Words of a line in which single words may be names of modules.
const LOADING: [&str; 8] = [
    "use", "no", "require", "base", "parent", "load", "isa", "ISA",
];

/// What in an application's sources puts names of modules together at run time.
const PUT_TOGETHER: [&str; 11] = [
    "require $",
    "require(\"$",
    "require($",
    "\"require ",
    "'require ",
    "\"use ",
    "Class::Load",
    "Module::Load",
    "Module::Runtime",
    "qq{require",
    "q{require",
];

/// The names in sources.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    found: HashSet<String>,
    /// Some names are put together.
    pub unknown: bool,
}

impl Names {
    /// Adds the names in a source of the application.
    pub fn add(&mut self, text: &str) {
        for line in code(text) {
            self.unknown |= puts_together(line);
            self.add_line(line, false);
            // Layers of files, and names of characters, have modules of their own.
            for (sign, module) in [
                (":encoding", "PerlIO::encoding"),
                (":via", "PerlIO::via"),
                ("\\N{", "_charnames"),
            ] {
                if line.contains(sign) {
                    self.found.insert(module.to_owned());
                }
            }
        }
    }

    /// Adds the names in a module of the library. Answers whether it puts others together, mostly such as lie beside it.
    pub fn add_module(&mut self, text: &str) -> bool {
        let mut any = false;
        for line in code(text) {
            any |= puts_together(line);
            self.add_line(line, true);
        }
        any
    }

    /// Adds the names in a line. A module of the library loads what it calls, or has its name between quotes.
    fn add_line(&mut self, line: &str, of_library: bool) {
        let of_name =
            |character: char| character.is_alphanumeric() || matches!(character, '_' | ':');
        let words = || line.split(move |character| !of_name(character));
        let loads =
            !of_library && line.contains("->") || words().any(|word| LOADING.contains(&word));
        let mut before = None;
        let mut previous = "";
        let mut rest = line;
        for word in words() {
            let (_, behind) = rest.split_at(word.len());
            let is_quoted = matches!(before, Some('"' | '\''));
            before = behind.chars().next();
            rest = &behind[before.map_or(0, char::len_utf8)..];
            let word = word.trim_matches(':');
            if word.is_empty() {
                continue;
            }
            let is_path = word.contains("::");
            let is_loaded = loads && (is_path || !of_library) || LOADING.contains(&previous);
            previous = word;
            let counts = is_loaded || is_path && (is_quoted || !of_library);
            if counts {
                let ends = word.match_indices("::").map(|(end, _)| end);
                for end in ends.chain([word.len()]) {
                    self.found.insert(word[..end].to_owned());
                }
            }
        }
        let of_path = |character: char| of_name(character) || matches!(character, '/' | '.' | '-');
        let paths = line.split(move |character| !of_path(character));
        self.found.extend(
            paths
                .filter(|path| path.contains('/') || path.ends_with(".pl"))
                .map(|path| path.trim_start_matches('/').to_owned()),
        );
    }

    /// Whether a module of this file is named: `A/B.pm` by `A::B` or by its path.
    pub fn has(&self, file: &str) -> bool {
        let name = file.trim_end_matches(".pm").replace('/', "::");
        // Values that were found when this Perl was built.
        let is_configuration = file.starts_with("Config_");
        is_configuration
            || ALWAYS.contains(&name.as_str())
            || self.found.contains(&name)
            || self.found.contains(file)
    }
}

/// Whether a line puts a name together.
fn puts_together(line: &str) -> bool {
    let path = line.split("require \"").nth(1).unwrap_or_default();
    let has_variable = path.split('"').next().unwrap_or_default().contains('$');
    has_variable || PUT_TOGETHER.iter().any(|sign| line.contains(sign))
}

/// The modules that a source uses, each by a line of its own (`use`, perlfunc(1)).
pub(super) fn used(text: &str) -> impl Iterator<Item = &str> {
    code(text).filter_map(|line| {
        let name = line.trim_start().strip_prefix("use ")?.trim_start();
        let end =
            name.find(|character: char| !character.is_alphanumeric() && !"_:".contains(character));
        Some(&name[..end.unwrap_or(name.len())])
    })
}

/// The lines of a source that are code.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let mut in_documentation = false;
    text.lines()
        .take_while(|line| *line != "__END__")
        .filter(move |line| {
            let begins = line
                .strip_prefix('=')
                .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_alphabetic()));
            let was = in_documentation;
            if begins {
                in_documentation = !line.starts_with("=cut");
            }
            !was && !begins && !line.trim_start().starts_with('#')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Names {
        let mut names = Names::default();
        names.add(text);
        names
    }

    #[test]
    fn modules_are_named_in_code() {
        let names = names(
            "use POSIX qw(floor); # use Socket\n# use Storable\nmy $x = Time::HiRes::time();\nopen(my $f, '<:encoding(UTF-8)', $0);\nuse base 'Tie::Hash';\ndo 'unicore/Name.pl';\nfields here\n=head1 X\n\nuse Benchmark;\n\n=cut\nMIME::Base64->import;\n__END__\nuse Encode;\n",
        );
        for file in [
            "POSIX.pm",
            "Time/HiRes.pm",
            "PerlIO/encoding.pm",
            "Tie/Hash.pm",
            "unicore/Name.pl",
            "MIME/Base64.pm",
            "strict.pm",
        ] {
            assert!(names.has(file), "{file}");
        }
        for file in ["Storable.pm", "Benchmark.pm", "Encode.pm", "fields.pm"] {
            assert!(!names.has(file), "{file}");
        }
        assert!(!names.unknown);
    }

    #[test]
    fn names_that_are_put_together_are_noticed() {
        for text in [
            "require $module;",
            "require \"Part/$module.pm\";",
            "eval \"use $name; 1\"",
            "use Module::Load;",
        ] {
            assert!(names(text).unknown, "{text}");
        }
        let mut of_library = Names::default();
        assert!(of_library.add_module("require $module;\nEncode::call();\n'Encode::Byte'"));
        assert!(of_library.has("Encode/Byte.pm") && !of_library.has("Encode/call.pm"));
        of_library.add_module("use Carp; # Encode\nuse this or that");
        assert!(of_library.has("Carp.pm") && !of_library.has("that.pm"));
        assert!(!of_library.unknown && !names("require Carp;").unknown);
    }
}
