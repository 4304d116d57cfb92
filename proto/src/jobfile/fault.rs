//! What is wrong with a job file, as a person reads it: where, what, the line itself, and what would be right.

use std::fmt;

use serde::Serialize;

use crate::error::{Error, Kind};
use crate::limits;

/// One fault of a job file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Fault {
    /// The file's name as it was given to [`super::parse`].
    pub file: String,
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// The line, without control characters; of a very long one the part around `column`. Empty where there is no line to show.
    pub source_line: String,
    /// What is wrong, in one line.
    pub message: String,
    /// What would be right, or empty.
    pub hint: String,
}

/// All faults of a file: never empty, in order of position, at most [`limits::ERRORS_PER_FILE`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
pub struct Faults(pub Vec<Fault>);

/// Columns up to which a line is shown from its beginning.
const WHOLE_COLUMNS: usize = 160;
/// Characters shown before the column of a fault that is farther right.
const LEAD: usize = 60;

/// Returns how many characters of a line are left out on its left so that `column` can be seen.
const fn left_out(column: usize) -> usize {
    if column <= WHOLE_COLUMNS { 0 } else { column - LEAD }
}

/// Returns the part of a line that is shown for a fault at `column`; tabs stay, other control characters become visible.
pub(super) fn excerpt(line: &str, column: usize) -> String {
    let skipped = left_out(column);
    let mut shown = String::from(if skipped > 0 { "…" } else { "" });
    let mut rest = line.chars().skip(skipped);
    let visible = |c: char| if c.is_control() && c != '\t' { '\u{fffd}' } else { c };
    shown.extend(rest.by_ref().take(WHOLE_COLUMNS + LEAD).map(visible));
    if rest.next().is_some() {
        shown.push('…');
    }
    shown.truncate(shown.trim_end().len());
    shown
}

impl fmt::Display for Fault {
    /// The position and the message, then the line with a caret under the place, then the hint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        if !self.source_line.is_empty() {
            let column = self.column as usize;
            let skipped = left_out(column);
            let before = column - 1 - skipped + usize::from(skipped > 0);
            // Tabs are copied, so that the caret stands under its place however wide the terminal shows them.
            let lead: String =
                self.source_line.chars().take(before).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
            write!(f, "\n  | {}\n  | {lead}^", self.source_line)?;
        }
        if !self.hint.is_empty() {
            write!(f, "\n  {}", self.hint)?;
        }
        Ok(())
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{fault}")?;
        }
        if self.0.len() >= limits::ERRORS_PER_FILE {
            write!(f, "\n(only the first {} errors are shown)", limits::ERRORS_PER_FILE)?;
        }
        Ok(())
    }
}

impl From<Faults> for Error {
    /// An invalid request with one detail per fault, each on one line.
    fn from(faults: Faults) -> Self {
        let file = faults.0.first().map_or("the job file", |fault| &fault.file);
        let message = match faults.0.len() {
            1 => format!("{file}: 1 error"),
            several => format!("{file}: {several} errors"),
        };
        let detail = |fault: &Fault| {
            let Fault { file, line, column, message, hint, .. } = fault;
            let hint = if hint.is_empty() { String::new() } else { format!(" ({hint})") };
            format!("{file}:{line}:{column}: {message}{hint}")
        };
        let details = faults.0.iter().map(detail).collect();
        Self::new(Kind::Invalid, message).details(details)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault_at(line: &str, column: u32) -> Fault {
        Fault {
            file: "job.yml".into(),
            line: 7,
            column,
            source_line: excerpt(line, column as usize),
            message: "wrong".into(),
            hint: String::new(),
        }
    }

    /// Returns the character that the caret stands under.
    fn pointed_at(fault: &Fault) -> Option<char> {
        let shown = fault.to_string();
        let lines: Vec<&str> = shown.lines().collect();
        let place = lines[2].chars().position(|c| c == '^')?;
        lines[1].chars().nth(place)
    }

    #[test]
    fn the_caret_stands_under_its_place_also_in_very_long_lines() {
        let line: String = (0..100_000).map(|n| if n % 1000 == 999 { 'X' } else { '.' }).collect();
        for column in [1000, 2000, 50_000, 100_000] {
            let fault = fault_at(&line, column);
            assert!(fault.source_line.chars().count() < 250);
            assert_eq!(pointed_at(&fault), Some('X'), "column {column}");
        }
        assert_eq!(pointed_at(&fault_at("abcXe", 4)), Some('X'));
        assert_eq!(pointed_at(&fault_at("\t\tX", 3)), Some('X'));
    }

    #[test]
    fn a_refusal_has_one_line_for_each_fault() {
        let right = Fault { hint: "did you mean `right`?".into(), ..fault_at("abc", 2) };
        let error = Error::from(Faults(vec![fault_at("abc", 1), right]));
        assert_eq!((error.kind, error.message.as_str()), (Kind::Invalid, "job.yml: 2 errors"));
        assert_eq!(error.details, ["job.yml:7:1: wrong", "job.yml:7:2: wrong (did you mean `right`?)"]);
    }

    #[test]
    fn a_line_cannot_send_control_characters_to_the_terminal() {
        assert_eq!(excerpt("a\u{1b}[2Jb\u{7}", 1), "a\u{fffd}[2Jb\u{fffd}");
    }
}
