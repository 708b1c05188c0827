//! What the test suite of a runtime is measured by: a list of cases that don't pass, each with its reason.
//!
//! The list is exact in both directions. A case that does not pass and is not listed is an error, and so is an entry
//! that is not needed: a list only gets shorter.

use std::collections::BTreeMap;
use std::fmt;

/// How a case ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It began, and nothing was heard of it again.
    Unfinished,
    /// As it should.
    Passed,
    /// With an error.
    Failed,
    /// It found something missing and did not run.
    Skipped,
    /// It was not run because the list says so.
    LeftOut,
}

impl Ending {
    /// What counts when the same case ends twice: parts of a case that fail make it fail.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Failed, _) | (_, Self::Failed) => Self::Failed,
            (Self::Unfinished, ending) | (ending, Self::Unfinished) => ending,
            (_, last) => last,
        }
    }
}

/// Cases by name, and how each ended.
pub type Endings = BTreeMap<String, Ending>;

/// Cases, or patterns of cases in which `*` stands for anything, each with the reason why it is listed.
type Entries = BTreeMap<String, String>;

/// The contents of `tests/suites/NAME.toml`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// Patterns of cases that are not run: they would not end, or ruin those after them.
    pub left_out: Entries,
    /// Patterns of cases that are run only by hand, since they take long; see [`Self::with_slow_cases`].
    pub slow: Entries,
    /// Patterns of cases that fail, every one of them.
    pub fails: Entries,
    /// Patterns of cases that find something missing and skip themselves.
    pub skips: Entries,
    /// Patterns of cases that measure time so tightly that a busy host makes one of them fail now and then. What
    /// deviates of these is run again, alone, and then has to end as it should.
    pub timed: Entries,
}

impl List {
    /// Reads a list: the tables `[left-out]`, `[slow]`, `[fails]`, `[skips]` and `[timed]` with lines `"case" = "reason"`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut tables: BTreeMap<String, Entries> =
            toml::from_str(text).map_err(|error| error.to_string())?;
        let mut take = |name: &str| tables.remove(name).unwrap_or_default();
        let list = Self {
            left_out: take("left-out"),
            slow: take("slow"),
            fails: take("fails"),
            skips: take("skips"),
            timed: take("timed"),
        };
        if let Some(name) = tables.keys().next() {
            return Err(format!("there is no table [{name}]"));
        }
        let entries = [
            &list.left_out,
            &list.slow,
            &list.fails,
            &list.skips,
            &list.timed,
        ];
        for (case, reason) in entries.into_iter().flatten() {
            if reason.trim().is_empty() {
                return Err(format!("{case} has no reason"));
            }
        }
        Ok(list)
    }

    /// The same list for a run in which slow cases are not left out.
    pub fn with_slow_cases(mut self) -> Self {
        self.slow.clear();
        self
    }

    /// Whether a case is not to be run.
    pub fn leaves_out(&self, case: &str) -> bool {
        any_matches(&self.left_out, case) || any_matches(&self.slow, case)
    }

    /// The patterns of all cases that are not to be run.
    pub fn patterns_left_out(&self) -> impl Iterator<Item = &String> {
        self.left_out.keys().chain(self.slow.keys())
    }

    /// Cases that did not end as the list says, each with what is wrong about it.
    pub fn deviations<'a>(&self, endings: &'a Endings) -> Vec<(&'a str, &'static str)> {
        let what_is_wrong = |case: &str, ending: Ending| match ending {
            Ending::Unfinished => Some("did not end"),
            Ending::Failed if !any_matches(&self.fails, case) => Some("fails"),
            Ending::Passed if any_matches(&self.fails, case) => {
                Some("passes: take it off the list")
            }
            Ending::Skipped if !any_matches(&self.skips, case) => Some("skips itself"),
            _ => None,
        };
        endings
            .iter()
            .filter_map(|(case, ending)| Some((case.as_str(), what_is_wrong(case, *ending)?)))
            .collect()
    }

    /// Whether a case that deviates may be run again because it measures time.
    pub fn is_timed(&self, case: &str) -> bool {
        any_matches(&self.timed, case)
    }

    /// What is wrong about these endings, one line each.
    pub fn problems(&self, endings: &Endings) -> Vec<String> {
        let mut problems = Vec::new();
        let mut problem = |case: &str, what: &str| problems.push(format!("{case} {what}"));
        for (case, what) in self.deviations(endings) {
            problem(case, what);
        }
        let no_case_with = |pattern: &str, wanted: Ending| {
            !endings
                .iter()
                .any(|(case, ending)| *ending == wanted && matches(pattern, case))
        };
        for pattern in self.patterns_left_out() {
            if no_case_with(pattern, Ending::LeftOut) {
                problem(pattern, "is no case: take it off the list");
            }
        }
        for pattern in self.skips.keys() {
            if no_case_with(pattern, Ending::Skipped) {
                problem(pattern, "does not skip itself: take it off the list");
            }
        }
        for pattern in self.fails.keys().chain(self.timed.keys()) {
            if !endings.keys().any(|case| matches(pattern, case)) {
                problem(pattern, "is listed and was not run");
            }
        }
        problems
    }
}

/// How many cases ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Cases that passed.
    pub passed: usize,
    /// Cases that failed or did not end.
    pub failed: usize,
    /// Cases that skipped themselves.
    pub skipped: usize,
    /// Cases that were not run.
    pub left_out: usize,
}

impl Tally {
    /// Counts.
    pub fn of(endings: &Endings) -> Self {
        let mut tally = Self::default();
        for ending in endings.values() {
            *match ending {
                Ending::Passed => &mut tally.passed,
                Ending::Failed | Ending::Unfinished => &mut tally.failed,
                Ending::Skipped => &mut tally.skipped,
                Ending::LeftOut => &mut tally.left_out,
            } += 1;
        }
        tally
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            passed,
            failed,
            skipped,
            left_out,
        } = self;
        write!(
            formatter,
            "{passed} passed, {failed} failed, {skipped} skipped, {left_out} left out"
        )
    }
}

/// What `tests/suites/runner.py` says: `@@ CASE ENDING`.
pub fn endings_of_python(text: &str) -> Endings {
    let mut endings = Endings::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let &["@@", case, word] = words.as_slice() else {
            continue;
        };
        let ending = match word {
            "begins" => Ending::Unfinished,
            "passed" => Ending::Passed,
            "skipped" => Ending::Skipped,
            "left-out" => Ending::LeftOut,
            "failed" => Ending::Failed,
            _ => continue,
        };
        note(&mut endings, case, ending);
    }
    endings
}

/// What a test program of Go says with `-test.v`. Parts of a test are left to the test itself.
pub fn endings_of_go(text: &str) -> Endings {
    let mut endings = Endings::new();
    for line in text.lines() {
        for (mark, ending) in [
            ("=== RUN   ", Ending::Unfinished),
            ("--- PASS: ", Ending::Passed),
            ("--- FAIL: ", Ending::Failed),
            ("--- SKIP: ", Ending::Skipped),
        ] {
            // What a test prints without an end of line stands in front of the mark.
            let Some((_, rest)) = line.split_once(mark) else {
                continue;
            };
            let case = rest.split(' ').next().unwrap_or_default();
            if !case.contains('/') {
                note(&mut endings, case, ending);
            }
        }
    }
    endings
}

fn note(endings: &mut Endings, case: &str, ending: Ending) {
    endings
        .entry(case.to_owned())
        .and_modify(|known| *known = known.and(ending))
        .or_insert(ending);
}

fn any_matches(entries: &Entries, case: &str) -> bool {
    entries.keys().any(|pattern| matches(pattern, case))
}

/// Whether a pattern, in which `*` stands for any text, is all of `text`.
fn matches(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text.strip_prefix(start).is_some_and(|text| {
            let mut ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.any(|at| matches(rest, &text[at..]))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "[left-out]\n\"a.*\" = \"it hangs\"\n[fails]\n\"b\" = \"no fork\"\n[skips]\n\"*c\" = \"not here\"\n";

    fn endings(list: &[(&str, Ending)]) -> Endings {
        list.iter()
            .map(|&(case, ending)| (case.to_owned(), ending))
            .collect()
    }

    #[test]
    fn a_list_that_fits_leaves_no_problem() {
        let list = List::parse(LIST).unwrap();
        assert!(list.leaves_out("a.x") && !list.leaves_out("a"));
        let found = endings(&[
            ("a.x", Ending::LeftOut),
            ("b", Ending::Failed),
            ("xc", Ending::Skipped),
            ("d", Ending::Passed),
        ]);
        assert_eq!(list.problems(&found), [""; 0]);
        assert_eq!(
            Tally::of(&found).to_string(),
            "1 passed, 1 failed, 1 skipped, 1 left out"
        );
    }

    #[test]
    fn every_deviation_is_a_problem() {
        let list = List::parse(LIST).unwrap();
        let found = endings(&[
            ("b", Ending::Passed),
            ("e", Ending::Failed),
            ("f", Ending::Skipped),
            ("g", Ending::Unfinished),
        ]);
        assert_eq!(
            list.problems(&found),
            [
                "b passes: take it off the list",
                "e fails",
                "f skips itself",
                "g did not end",
                "a.* is no case: take it off the list",
                "*c does not skip itself: take it off the list",
            ]
        );
        assert_eq!(
            List::parse("[fails]\n'b' = 'x'\n")
                .unwrap()
                .problems(&Endings::new()),
            ["b is listed and was not run"]
        );
    }

    #[test]
    fn slow_cases_are_left_out_unless_they_are_asked_for() {
        let list = List::parse("[slow]\n'a*' = 'ten seconds'\n").unwrap();
        assert!(list.leaves_out("ab"));
        assert_eq!(list.patterns_left_out().collect::<Vec<_>>(), ["a*"]);
        let found = endings(&[("ab", Ending::Passed)]);
        assert_eq!(
            list.problems(&found),
            ["a* is no case: take it off the list"]
        );
        let all = list.with_slow_cases();
        assert!(!all.leaves_out("ab"));
        assert_eq!(all.problems(&found), [""; 0]);
    }

    #[test]
    fn timed_cases_deviate_like_others_and_are_known() {
        let list = List::parse("[timed]\n'a*' = 'half a second'\n").unwrap();
        let found = endings(&[("ab", Ending::Failed), ("b", Ending::Passed)]);
        assert_eq!(list.deviations(&found), [("ab", "fails")]);
        assert!(list.is_timed("ab") && !list.is_timed("b"));
        let without = endings(&[("b", Ending::Passed)]);
        assert_eq!(list.problems(&without), ["a* is listed and was not run"]);
    }

    #[test]
    fn all_cases_of_a_pattern_have_to_fail() {
        let list = List::parse("[fails]\n'a*' = 'no network'\n").unwrap();
        let found = endings(&[("a1", Ending::Failed), ("a2", Ending::Passed)]);
        assert_eq!(list.problems(&found), ["a2 passes: take it off the list"]);
    }

    #[test]
    fn damaged_lists_are_refused() {
        for text in [
            "[others]\n",
            "[fails]\n'a' = ''\n",
            "[fails]\n'a' = 'x'\n'a' = 'y'\n",
            "fails = 1\n",
        ] {
            assert!(List::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn pythons_lines_are_read() {
        let text = "x\n@@ m.C.a begins\n\n@@ m.C.a failed\n\n@@ m.C.a passed\n@@ m.C.b begins\n@@ m.C.c left-out\n@@ suite ends\n";
        let expected = endings(&[
            ("m.C.a", Ending::Failed),
            ("m.C.b", Ending::Unfinished),
            ("m.C.c", Ending::LeftOut),
        ]);
        assert_eq!(endings_of_python(text), expected);
    }

    #[test]
    fn lines_of_go_are_read() {
        let text = "=== RUN   TestA\n=== RUN   TestA/part\n    --- FAIL: TestA/part (0.00s)\n--- FAIL: TestA (0.1s)\n\
                    === RUN   TestB\nnoise--- SKIP: TestB (0.00s)\n=== RUN   TestC\npanic: no\n";
        let expected = endings(&[
            ("TestA", Ending::Failed),
            ("TestB", Ending::Skipped),
            ("TestC", Ending::Unfinished),
        ]);
        assert_eq!(endings_of_go(text), expected);
    }

    #[test]
    fn patterns_match_whole_names() {
        assert!(matches("a*c*", "abcd") && matches("*", "") && matches("a", "a"));
        assert!(!matches("a*c", "abcd") && !matches("a", "ab") && !matches("a*b*c", "acb"));
    }
}
