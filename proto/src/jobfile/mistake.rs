//! Where a mistake of syntax was made: the parser names the place where it could not go on, which may be lines away.

use serde_saphyr::granit_parser::ErrorKind;

/// Returns the byte of the mistake, given the byte at which the parser stopped and the one up to which all is understood.
pub(super) fn place(kind: &ErrorKind, text: &str, understood: usize, stopped: usize) -> usize {
    match kind {
        ErrorKind::TabNotAllowed
        | ErrorKind::TabInBlockIndentation
        | ErrorKind::TabInIndentation
        | ErrorKind::TabAtBlockScalarStart
        | ErrorKind::TabInPlainScalar => indenting_tab(text, stopped).unwrap_or(stopped),
        ErrorKind::InvalidQuotedScalarIndent | ErrorKind::UnclosedQuotedScalar => {
            open_quote(text, understood, stopped).unwrap_or(stopped)
        }
        _ => stopped,
    }
}

/// Returns the first tab that indents a line, from the line of `from` on.
fn indenting_tab(text: &str, from: usize) -> Option<usize> {
    let mut line = text.get(..from)?.rfind(['\n', '\r']).map_or(0, |end| end + 1);
    loop {
        let blank = text[line..].find(|c: char| c != ' ')?;
        match text.as_bytes()[line + blank] {
            b'\t' => return Some(line + blank),
            _ => line += text[line..].find(['\n', '\r'])? + 1,
        }
    }
}

/// Returns the quote that opens a text which is still open at `until`. What is quoted and closed on the way is passed over, and so
/// are comments and quotes within words.
fn open_quote(text: &str, from: usize, until: usize) -> Option<usize> {
    let bytes = text.as_bytes().get(..until)?;
    let mut at = from;
    while at < bytes.len() {
        let before = at.checked_sub(1).map_or(b'\n', |index| bytes[index]);
        let begins = before.is_ascii_whitespace() || b"[{,:".contains(&before);
        match bytes[at] {
            b'#' if begins => at += bytes[at..].iter().position(|byte| *byte == b'\n')?,
            quote @ (b'"' | b'\'') if begins => match closed(bytes, at, quote) {
                Some(end) => at = end + 1,
                None => return Some(at),
            },
            _ => at += 1,
        }
    }
    None
}

/// Returns the byte of the quote that closes the one at `open`; two single ones are one that is meant.
fn closed(bytes: &[u8], open: usize, quote: u8) -> Option<usize> {
    let mut at = open + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if quote == b'"' => at += 1,
            byte if byte == quote && quote == b'\'' && bytes.get(at + 1) == Some(&quote) => at += 1,
            byte if byte == quote => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_open_quote_is_the_one_that_nothing_closes() {
        let place = |text: &str| open_quote(text, 0, text.len());
        assert_eq!(place("a: \"b\n"), Some(3));
        assert_eq!(place("a: \"b\"\nc: 'it''s\n"), Some(10));
        assert_eq!(place("a: it's # 'tis \"\nb: [x,\"y]\n"), Some(23));
        assert_eq!(place("a: \"b\\\"\n"), Some(3));
        assert_eq!(place("a: b\n"), None);
        assert_eq!(place("# \"never closed"), None);
    }

    #[test]
    fn the_tab_is_the_one_that_indents_a_line() {
        assert_eq!(indenting_tab("a: 1\n\tb: 2\n", 3), Some(5));
        assert_eq!(indenting_tab("a:\r\n  \tb: 2\n", 7), Some(6));
        assert_eq!(indenting_tab("a:\tb\n", 4), None);
    }
}
