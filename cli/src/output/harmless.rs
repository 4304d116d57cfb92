//! A task's output among our own lines: colours and cursor movements of its own would run into ours.

/// Returns a line without terminal sequences and control characters; tabs stay.
///
/// `minijob logs` passes output on as it is; this is for the few lines that are shown with an error or a status.
#[must_use]
pub fn harmless(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line.chars().peekable();
    while let Some(char) = rest.next() {
        if char == '\u{1b}' {
            // A control sequence ends with a letter or one of a few signs; other escapes are one character long.
            if rest.next() == Some('[') {
                rest.by_ref().find(|char| ('@'..='~').contains(char));
            }
        } else if char == '\t' || !char.is_control() {
            shown.push(char);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_bells_and_cursor_movements_are_left_out_and_the_text_stays() {
        assert_eq!(harmless("\u{1b}[1;31mno\u{1b}[0m database\u{7}\r"), "no database");
        assert_eq!(harmless("a\tb\u{1b}[2J\u{1b}]c ü"), "a\tbc ü");
        assert_eq!(harmless("\u{1b}[12"), "", "cut within a sequence");
    }
}
