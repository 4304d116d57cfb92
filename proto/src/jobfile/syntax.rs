//! YAML's syntax errors in words of somebody who writes job files.

use serde_saphyr::granit_parser::ErrorKind;

use crate::limits;

/// Returns what is wrong with a text and what would be right; `at` is the byte of the error.
pub(super) fn describe(kind: &ErrorKind, text: &str, at: usize) -> (String, String) {
    let rest = text.get(at..).unwrap_or("");
    if let Some(entry) = unquoted_reference(kind, text, at) {
        return ("`{` begins a mapping here".to_owned(), format!("quote it: `\"{entry}\"`"));
    }
    let (message, hint) = words(kind);
    let message = match kind {
        ErrorKind::UnclosedFlowCollection { open } => format!("`{open}` is never closed"),
        ErrorKind::MismatchedFlowCollectionEnd { open, close } => {
            format!("`{open}` is closed by `{close}`")
        }
        ErrorKind::UnexpectedCharacter { character } => {
            format!("a text cannot begin with `{}`", character.escape_default())
        }
        ErrorKind::UnknownAnchor => {
            let name: String =
                rest.chars().take_while(|c| !c.is_whitespace() && !",]}".contains(*c)).take(40).collect();
            format!("`{name}` names no anchor (`&name`) of this document")
        }
        ErrorKind::RecursionLimitExceeded => {
            format!("the file is nested deeper than {} levels", limits::YAML_DEPTH)
        }
        _ if message.is_empty() => {
            let words = kind.to_string();
            if words.is_empty() {
                "this is not valid YAML".into()
            } else {
                format!("this is not valid YAML: {words}")
            }
        }
        _ => message.to_owned(),
    };
    (message, hint.to_owned())
}

/// Returns the entry of a list or mapping on one line that is a `${...}` without quotes, where its `{` is what cannot be.
fn unquoted_reference<'t>(kind: &ErrorKind, text: &'t str, at: usize) -> Option<&'t str> {
    use ErrorKind as E;
    if !matches!(kind, E::ExpectedFlowSequenceSeparator | E::ExpectedFlowMappingSeparator) {
        return None;
    }
    let (before, rest) = (text.get(..at)?, text.get(at..)?);
    if !before.ends_with('$') || !rest.starts_with('{') {
        return None;
    }
    let begin = before.rfind(|c: char| c.is_whitespace() || "[{,".contains(c)).map_or(0, |byte| byte + 1);
    let closed = at + rest.find('}')? + 1;
    let ends = |c: char| c.is_whitespace() || ",]}".contains(c);
    let end = text[closed..].find(ends).map_or(text.len(), |length| closed + length);
    // Another one behind it has a brace of its own.
    text.get(begin..end).filter(|entry| !entry.contains('\n') && entry.matches('{').count() == 1)
}

/// Returns message and hint of the kinds that people meet; an empty message where it holds a value or the parser's words do.
fn words(kind: &ErrorKind) -> (&'static str, &'static str) {
    use ErrorKind as E;
    match kind {
        E::TabNotAllowed
        | E::TabInBlockIndentation
        | E::TabInIndentation
        | E::TabAtBlockScalarStart
        | E::TabInPlainScalar => ("a tab where YAML allows only spaces", "indent with spaces"),
        E::UnclosedQuotedScalar | E::InvalidQuotedScalarIndent => {
            ("a quoted text is never closed", "close the quote; `\\\"` is a quote inside double quotes")
        }
        E::UnexpectedEofFlowSequence => ("the file ends inside `[ ]`", "close the list with `]`"),
        E::UnexpectedEofFlowMapping | E::UnexpectedEofImplicitFlowMapping => {
            ("the file ends inside `{ }`", "close the mapping with `}`")
        }
        E::ExpectedFlowSequenceSeparator => {
            ("expected `,` or `]`", "separate the entries of a list with commas")
        }
        E::ExpectedFlowMappingSeparator => {
            ("expected `,` or `}`", "separate the entries of a mapping with commas")
        }
        E::MisplacedFlowCollectionEnd => ("a bracket is closed that was never opened", ""),
        E::MappingValueNotAllowed => {
            ("a `:` where no key can be", "check the indentation; quote a text that contains `: `")
        }
        E::SimpleKeyExpected | E::InvalidSimpleKey | E::ExpectedBlockMappingKey => {
            ("expected `key: value`", "check the indentation and the `:` of this line and of the one above")
        }
        E::ExpectedBlockSequenceEntry | E::BlockSequenceEntryNotAllowed => (
            "expected an entry of a list (`- value`) at this indentation",
            "entries of one list begin in the same column",
        ),
        E::InvalidColonPlacement => {
            ("a `:` where no key can be", "is a `]` or `}` missing above? quote a text that contains `: `")
        }
        E::InvalidIndentation | E::InvalidFlowScalarIndent | E::InvalidBlockScalarIndent => {
            ("this line is indented wrongly", "entries of one level begin in the same column")
        }
        E::InvalidTrailingDoubleQuotedScalar | E::InvalidTrailingSingleQuotedScalar => {
            ("text after a closed quote", "quote the whole value")
        }
        E::UnknownQuotedScalarEscape => (
            "an unknown escape in a double-quoted text",
            "write `\\\\` for a backslash, or use single quotes",
        ),
        E::CommentNotSeparated => ("a comment needs a space before its `#`", ""),
        E::UnexpectedCharacter { .. } => ("", "quote it"),
        E::UnknownAnchor => ("", "quote a text that begins with `*`"),
        E::UnclosedFlowCollection { .. } | E::MismatchedFlowCollectionEnd { .. } => {
            ("", "quote a text that begins with `[` or `{`")
        }
        _ => ("", ""),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_reference_in_a_list_on_one_line_is_shown_with_the_quotes_that_it_lacks() {
        for (line, hint) in [
            ("args: [${port.http}]", "quote it: `\"${port.http}\"`"),
            ("args: [-p, --port=${port.http}/x, y]", "quote it: `\"--port=${port.http}/x\"`"),
            ("env: {A: ${port.http}, B: x}", "quote it: `\"${port.http}\"`"),
            ("args: [a {b}]", "separate the entries of a list with commas"),
        ] {
            let text = format!("name: web\ncommand: /bin/web\n{line}\n");
            let faults = crate::jobfile::parse("web.yml", &text).expect_err("wrong");
            assert_eq!(faults.0[0].hint, hint, "{line}");
        }
    }
}
