//! Writes YAML that people read: texts are quoted only where they must be, several lines become a block.

/// Text that grows line by line.
#[derive(Default)]
pub(super) struct Lines {
    text: String,
    /// Whether what goes without saying is left out.
    brief: bool,
    /// Columns that every line stands further to the left than its writer says.
    left: usize,
}

impl Lines {
    /// Begins a text that leaves out what goes without saying.
    pub fn brief() -> Self {
        Self { brief: true, ..Self::default() }
    }

    /// Returns whether a value is written: of a brief text only one that is not what is read without it.
    pub const fn wants(&self, is_special: bool) -> bool {
        !self.brief || is_special
    }

    /// Writes what follows so many columns further to the left: the levels above it are not written.
    pub const fn outdent(&mut self, columns: usize) {
        self.left = columns;
    }

    /// Writes `key: text` at an indentation, in quotes or as a block where needed.
    pub fn text(&mut self, indent: usize, key: &str, text: &str) {
        let (key, value) = (scalar(key), scalar_or_block(text, self.column(indent)));
        self.raw(indent, &format!("{key}: {value}"));
    }

    /// Writes `- key: text`, the first line of an entry that is a mapping; its other keys stand two columns deeper.
    pub fn first_text(&mut self, indent: usize, key: &str, text: &str) {
        let (key, value) = (scalar(key), scalar_or_block(text, self.column(indent) + 2));
        self.raw(indent, &format!("- {key}: {value}"));
    }

    /// Writes `key: true` or `key: false`.
    pub fn bool(&mut self, indent: usize, key: &str, value: bool) {
        self.yaml(indent, key, if value { "true" } else { "false" });
    }

    /// Writes an entry of a list.
    pub fn item(&mut self, indent: usize, text: &str) {
        let value = scalar_or_block(text, self.column(indent));
        self.raw(indent, &format!("- {value}"));
    }

    /// Writes `key:` for what follows deeper.
    pub fn open(&mut self, indent: usize, key: &str) {
        self.raw(indent, &format!("{}:", scalar(key)));
    }

    /// Writes `key: value`, where the value is YAML already.
    pub fn yaml(&mut self, indent: usize, key: &str, value: &str) {
        self.raw(indent, &format!("{}: {value}", scalar(key)));
    }

    /// Writes a line as it is.
    pub fn raw(&mut self, indent: usize, line: &str) {
        self.text.extend(std::iter::repeat_n(' ', self.column(indent)));
        self.text.push_str(line);
        self.text.push('\n');
    }

    const fn column(&self, indent: usize) -> usize {
        indent.saturating_sub(self.left)
    }

    /// Returns what was written.
    pub fn finish(self) -> String {
        self.text
    }
}

/// Writes a text as a block of lines if it has several and a block can hold it unchanged.
fn scalar_or_block(text: &str, indent: usize) -> String {
    if !fits_block(text) {
        return scalar(text);
    }
    let mut block = String::from(if text.ends_with('\n') { "|" } else { "|-" });
    for line in text.lines() {
        block.push('\n');
        if !line.is_empty() {
            block.extend(std::iter::repeat_n(' ', indent + 2));
            block.push_str(line);
        }
    }
    block
}

fn fits_block(text: &str) -> bool {
    // The first line sets the indentation, so it cannot be empty or indented itself; of the line ends at the end a block keeps
    // one or none.
    text.trim_end_matches('\n').contains('\n')
        && !text.ends_with("\n\n")
        && !text.starts_with([' ', '\n'])
        && text.chars().all(|c| c == '\n' || is_printable(c))
        && text.lines().all(|line| !line.ends_with(' '))
}

/// Writes a text on one line.
fn scalar(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { quoted(text) }
}

/// Returns whether every YAML reader takes the bare text for just this text.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let inner = |c: char| c.is_ascii_alphanumeric() || "/_.-+@%=;~^ :()".contains(c);
    let first = |c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '_');
    (text.starts_with(first) || text.starts_with("./"))
        && text.chars().all(inner)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains("  ")
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

fn is_printable(c: char) -> bool {
    // A byte order mark and Unicode's own line ends are printable by their category, and yet readers treat them specially.
    !c.is_control() && !matches!(c, '\u{feff}' | '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}')
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if is_printable(c) => quoted.push(c),
            c => quoted.push_str(&escaped(u32::from(c))),
        }
    }
    quoted.push('"');
    quoted
}

fn escaped(code: u32) -> String {
    match code {
        0..=0xff => format!("\\x{code:02x}"),
        0x100..=0xffff => format!("\\u{code:04x}"),
        _ => format!("\\U{code:08x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_only_where_they_must_be() {
        for plain in ["web", "/usr/bin/env", "./run.sh", "a b", "-c".trim_start_matches('-'), "a=b:c"] {
            assert_eq!(scalar(plain), plain);
        }
        let hostile = [
            "", " a", "a ", "1", "1e3", "0x1", "~", "null", "Yes", "a: b", "a #b", "-c", "*a", "é", "a\tb",
            "- a",
        ];
        for text in hostile {
            assert!(scalar(text).starts_with('"'), "{text:?} is written {}", scalar(text));
        }
        assert_eq!(quoted("a\u{1b}\"\\\u{85}\u{feff}"), r#""a\x1b\"\\\x85\ufeff""#);
    }

    #[test]
    fn several_lines_become_a_block() {
        let mut lines = Lines::default();
        lines.item(2, "while true\ndo\n  date\n\ndone");
        assert_eq!(lines.finish(), "  - |-\n    while true\n    do\n      date\n\n    done\n");
        assert!(
            !fits_block(" a\nb") && !fits_block("a\nb\n\n") && !fits_block("a\n") && !fits_block("a\tb\nc")
        );
    }
}
