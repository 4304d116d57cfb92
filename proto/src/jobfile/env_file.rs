//! Files of `NAME=VALUE` lines. The agent reads the ones of its node by the same rules.

use super::rules;

/// What is wrong with an environment file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct BadEnvFile {
    /// From 1.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Reads an environment file: its variables in their order, a name that comes twice included.
///
/// A line is `NAME=VALUE`, `export` before it is allowed, empty lines and those that begin with `#` say nothing. A bare value
/// ends at the end of its line or before a ` #`, spaces around it do not count. One in single quotes is taken as it is, in double
/// quotes `\n`, `\r`, `\t`, `\"`, `\\` and `\$` stand for what they do in a shell; both may span lines. Nothing is filled in: `$` is a `$`.
///
/// # Errors
/// [`BadEnvFile`]: the first line that is none of these, or sets what minijob itself sets.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, BadEnvFile> {
    let mut lines = Lines { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 0 };
    let mut variables = Vec::new();
    while let Some(line) = lines.next_line() {
        let at = lines.line;
        let bad = |message: String| BadEnvFile { line: at, message };
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let assignment = match line.strip_prefix("export") {
            Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start(),
            _ => line,
        };
        let Some((name, value)) = assignment.split_once('=') else {
            return Err(bad("it has no `=`: write `NAME=VALUE`".to_owned()));
        };
        let name = name.trim_end();
        check_name(name).map_err(bad)?;
        let value = match value.trim_start().chars().next() {
            Some(quote @ ('"' | '\'')) => lines.quoted(&value.trim_start()[1..], quote).map_err(bad)?,
            _ => bare(value).to_owned(),
        };
        if value.contains('\0') {
            return Err(bad("it holds a NUL character, which no program can be given".to_owned()));
        }
        variables.push((name.to_owned(), value));
    }
    Ok(variables)
}

fn check_name(name: &str) -> Result<(), String> {
    let shown: String = name.chars().take(60).flat_map(char::escape_debug).collect();
    if !rules::is_key(name) {
        return Err(format!(
            "`{shown}` is not a name of a variable: letters, digits, `_`, `-` and `.`, not a digit first"
        ));
    }
    if rules::is_fact(name) {
        return Err(format!("`{shown}` is set by minijob itself"));
    }
    Ok(())
}

/// Returns a value without quotes: up to a comment, which has a space before it.
fn bare(value: &str) -> &str {
    let is_comment = |(at, _): &(usize, &str)| value[..*at].is_empty() || value[..*at].ends_with([' ', '\t']);
    let end = value.match_indices('#').find(is_comment).map_or(value.len(), |(at, _)| at);
    value[..end].trim()
}

struct Lines<'t> {
    rest: &'t str,
    /// The number of the line that was read last.
    line: usize,
}

impl<'t> Lines<'t> {
    fn next_line(&mut self) -> Option<&'t str> {
        if self.rest.is_empty() {
            return None;
        }
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        self.rest = rest;
        self.line += 1;
        Some(line.strip_suffix('\r').unwrap_or(line))
    }

    /// Reads on to the closing quote, over as many lines as it takes.
    fn quoted(&mut self, begin: &str, quote: char) -> Result<String, String> {
        let mut value = String::new();
        let mut line = begin.to_owned();
        loop {
            if let Some(after) = quoted_line(&line, quote, &mut value)? {
                let after = after.trim();
                if after.is_empty() || after.starts_with('#') {
                    return Ok(value);
                }
                return Err("text after a closed quote: quote the whole value".to_owned());
            }
            value.push('\n');
            let next = self.next_line().ok_or_else(|| format!("the {quote} is never closed"))?;
            next.clone_into(&mut line);
        }
    }
}

/// Takes the part of a quoted value that stands on a line, and returns what follows its closing quote if that is there.
fn quoted_line<'l>(line: &'l str, quote: char, value: &mut String) -> Result<Option<&'l str>, String> {
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            c if c == quote => return Ok(Some(chars.as_str())),
            '\\' if quote == '"' => match chars.next() {
                Some('n') => value.push('\n'),
                Some('r') => value.push('\r'),
                Some('t') => value.push('\t'),
                Some(same @ ('"' | '\\' | '$')) => value.push(same),
                _ => {
                    return Err(
                        "an unknown escape: write `\\\\` for a backslash, or use single quotes".to_owned()
                    );
                }
            },
            c => value.push(c),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        parse(text).unwrap_or_else(|bad| panic!("{text:?}: {bad}"))
    }

    #[test]
    fn values_are_bare_or_quoted() {
        for (line, value) in [
            ("A=b", "b"),
            ("A=", ""),
            ("A= b c ", "b c"),
            ("A=b=c", "b=c"),
            ("A=b#c", "b#c"),
            ("A=b #c", "b"),
            ("A=#c", ""),
            ("A=b\"c", "b\"c"),
            ("A='b #\\n $x'", "b #\\n $x"),
            ("A=\"b \\\"c\\\" \\$d \\n\"  # e", "b \"c\" $d \n"),
            ("A='b \n c'", "b \n c"),
            ("A=\"b\r\nc\"", "b\nc"),
            ("export A=b", "b"),
            ("export\tA=b\r", "b"),
            ("A=${b}", "${b}"),
            ("A =b", "b"),
        ] {
            assert_eq!(read(line), [("A".to_owned(), value.to_owned())], "{line:?}");
        }
    }

    #[test]
    fn comments_and_empty_lines_say_nothing_and_a_later_line_comes_later() {
        let variables = read("\u{feff}# head\r\n\r\n  # x=y\nA=1\n\nexport=2\nA=3");
        let shown: Vec<String> = variables.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(shown, ["A=1", "export=2", "A=3"]);
        assert_eq!(read(""), []);
    }

    #[test]
    fn a_line_that_is_no_assignment_is_named() {
        for (text, said) in [
            ("A=b\nC", "line 2: it has no `=`: write `NAME=VALUE`"),
            ("\n1A=b", "line 2: `1A` is not a name"),
            ("A: b=c", "line 1: `A: b` is not a name"),
            ("A='b\nc\n", "line 1: the ' is never closed"),
            ("A=\"b\" c", "line 1: text after a closed quote"),
            ("A=\"\\x\"", "line 1: an unknown escape"),
            ("MINIJOB_JOB=x", "line 1: `MINIJOB_JOB` is set by minijob itself"),
            ("A=\0", "line 1: it holds a NUL character"),
        ] {
            let bad = parse(text).expect_err(text).to_string();
            assert!(bad.starts_with(said), "{text:?}: {bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in any::<String>()) {
            let _ = parse(&text);
        }

        #[test]
        fn no_pieces_make_it_panic(text in "[A=\"'\\\\#\n\r ${}x]{0,60}") {
            for (name, value) in parse(&text).into_iter().flatten() {
                prop_assert!(rules::is_key(&name) && value.len() <= text.len());
            }
        }
    }
}
