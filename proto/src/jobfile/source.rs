//! The text of a job file and the places in it.

use super::fault::{Fault, excerpt};

/// A place in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// Offset in bytes.
    pub byte: usize,
}

impl Mark {
    /// The beginning of a file.
    pub const START: Self = Self { line: 1, column: 1, byte: 0 };
}

/// A job file's text, with the beginnings of its lines.
pub struct Source<'t> {
    file: &'t str,
    pub text: &'t str,
    line_starts: Vec<usize>,
}

impl<'t> Source<'t> {
    /// Finds the lines of a text; `\n`, `\r\n` and a lone `\r` end one, as in YAML.
    pub fn new(file: &'t str, text: &'t str) -> Self {
        let bytes = text.as_bytes();
        let ends_line =
            |at: &usize| bytes[*at] == b'\n' || (bytes[*at] == b'\r' && bytes.get(at + 1) != Some(&b'\n'));
        let starts = (0..bytes.len()).filter(ends_line).map(|end| end + 1);
        Self { file, text, line_starts: std::iter::once(0).chain(starts).collect() }
    }

    /// Returns the place of a byte; in the middle of a character, that character's place.
    pub fn mark(&self, byte: usize) -> Mark {
        let byte = byte.min(self.text.len());
        let line = self.line_starts.partition_point(|start| *start <= byte).max(1);
        let start = self.line_starts[line - 1];
        let before = self.text.as_bytes()[start..byte].iter().filter(|b| (**b & 0xc0) != 0x80).count();
        Mark { line: line as u32, column: before as u32 + 1, byte }
    }

    /// Makes a fault at a place.
    pub fn fault(&self, at: Mark, message: String, hint: String) -> Fault {
        let source_line = excerpt(self.line(at.line), at.column as usize);
        let (message, hint) = (harmless(&message), harmless(&hint));
        Fault { file: self.file.to_owned(), line: at.line, column: at.column, source_line, message, hint }
    }

    fn line(&self, number: u32) -> &'t str {
        let index = number as usize - 1;
        let Some(start) = self.line_starts.get(index) else { return "" };
        let end = self.line_starts.get(index + 1).copied().unwrap_or(self.text.len());
        self.text.get(*start..end).unwrap_or("").trim_end_matches(['\n', '\r']).trim_start_matches('\u{feff}')
    }
}

/// Returns a sentence that may hold text of the file: on one line, bounded, and nothing that a terminal would obey.
fn harmless(sentence: &str) -> String {
    const MOST: usize = 600;
    sentence.chars().take(MOST).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_and_every_kind_of_line_end() {
        let source = Source::new("x", "ab\r\ncdé\rfg\n\nh");
        let place = |needle: &str| {
            let mark = source.mark(source.text.find(needle).expect("is in the text"));
            (mark.line, mark.column)
        };
        assert_eq!(place("b"), (1, 2));
        assert_eq!(place("é"), (2, 3));
        assert_eq!(place("g"), (3, 2));
        assert_eq!(place("h"), (5, 1));
        assert_eq!(source.line(2), "cdé");
        assert_eq!(source.line(4), "");
        assert_eq!(source.line(6), "");
    }
}
