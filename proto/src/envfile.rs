//! Environment files: one `KEY=VALUE` a line, as docker and systemd read them, with quotes.
//!
//! - Empty lines and lines that begin with `#` mean nothing; a leading `export ` is allowed, as in a file for the shell.
//! - Without quotes the value is the rest of the line as it stands, without blanks at its end: `#`, `$` and `\` are ordinary.
//! - In single quotes it is what stands between them. In double quotes `\"`, `\\`, `\n`, `\r`, `\t` and `\$` are one character each,
//!   every other `\` stands for itself. Quoted values may go on over several lines.
//! - Nothing is looked up: `$X` stays `$X`. A name that comes twice is in the list twice; the later one wins.
//!
//! Errors name the line and never what is in it: it may be a secret, or somebody else's file.

/// The most bytes an environment file may have, as every small file that a job refers to.
pub const BYTES_MAX: usize = 256 << 10;

/// Why a text is not an environment file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct EnvFileError {
    /// The line, from 1.
    pub line: u32,
    /// What is wrong in it, and what would be right.
    pub fault: EnvFileFault,
}

/// What can be wrong in a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvFileFault {
    /// There is no `=`.
    #[error("there is no `=`: write KEY=VALUE, or # before a comment")]
    NoValue,
    /// The part before `=` cannot be a variable.
    #[error(
        "the part before `=` is no name of a variable: use letters, digits, `_`, `.` and `-`, and no digit first"
    )]
    BadName,
    /// A quote is never closed.
    #[error("the quote that begins the value is never closed")]
    OpenQuote,
    /// Something follows a closed quote.
    #[error("something follows the closing quote: quote all of the value, or none of it")]
    AfterQuote,
    /// No variable can hold it.
    #[error("it holds a zero byte, which no variable can")]
    ZeroByte,
}

/// Reads an environment file; variables come in the order of their lines.
///
/// # Errors
/// [`EnvFileError`] for the first line that cannot be read. The text is searched once: time and memory are proportional to it.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, EnvFileError> {
    let mut variables = Vec::new();
    // Some editors begin a file with it; it is not part of the first name.
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut line = 1;
    while !rest.is_empty() {
        let at_line = line;
        let fail = |fault| EnvFileError { line: at_line, fault };
        let end = rest.find('\n').map_or(rest.len(), |end| end + 1);
        let (this, below) = rest.split_at(end);
        let trimmed = this.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            (rest, line) = (below, line + 1);
            continue;
        }
        let (name, value) = this.split_once('=').ok_or_else(|| fail(EnvFileFault::NoValue))?;
        let name = name.trim();
        let name = name.strip_prefix("export ").map_or(name, str::trim_start);
        if !is_name(name) {
            return Err(fail(EnvFileFault::BadName));
        }
        let value = value.trim_start_matches([' ', '\t']);
        let (value, taken) = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let from = rest.len() - below.len() - value.len() + 1;
                let (value, taken) = quoted(&rest[from..], quote).map_err(fail)?;
                (value, from + taken)
            }
            _ => (value.trim_end().to_owned(), end),
        };
        if value.contains('\0') {
            return Err(fail(EnvFileFault::ZeroByte));
        }
        line += rest[..taken].matches('\n').count() as u32;
        rest = &rest[taken..];
        variables.push((name.to_owned(), value));
    }
    Ok(variables)
}

fn is_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    name.chars().next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(inner)
}

/// Reads what follows an opening quote; returns the value, and how much of the text it takes with the rest of its last line.
fn quoted(text: &str, quote: char) -> Result<(String, usize), EnvFileFault> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            let after = &text[at + 1..];
            let end = after.find('\n').map_or(after.len(), |end| end + 1);
            let rest_of_line = after[..end].trim();
            if !rest_of_line.is_empty() && !rest_of_line.starts_with('#') {
                return Err(EnvFileFault::AfterQuote);
            }
            return Ok((value, at + 1 + end));
        }
        if c != '\\' || quote == '\'' {
            value.push(c);
            continue;
        }
        match chars.next().map(|(_, escaped)| escaped) {
            Some('n') => value.push('\n'),
            Some('r') => value.push('\r'),
            Some('t') => value.push('\t'),
            Some(plain @ ('"' | '\\' | '$')) => value.push(plain),
            Some(other) => value.extend(['\\', other]),
            None => break,
        }
    }
    Err(EnvFileFault::OpenQuote)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        parse(text).expect("it is an environment file")
    }

    fn one(text: &str) -> String {
        let mut variables = read(text);
        assert_eq!(variables.len(), 1, "{variables:?}");
        variables.remove(0).1
    }

    fn fault(text: &str) -> (u32, EnvFileFault) {
        let error = parse(text).expect_err("it is no environment file");
        (error.line, error.fault)
    }

    #[test]
    fn a_value_without_quotes_is_the_rest_of_the_line_as_it_stands() {
        assert_eq!(one("DB=postgres://u:p@h/db?x=1#frag"), "postgres://u:p@h/db?x=1#frag");
        assert_eq!(one("A= two words \t\r\n"), "two words");
        assert_eq!(one("A=$HOME \\n it's"), "$HOME \\n it's");
        assert_eq!(one("A="), "");
        assert_eq!(one("export A.b-C = 1"), "1");
    }

    #[test]
    fn comments_and_empty_lines_mean_nothing() {
        let variables = read("\u{feff}# first\n\n   # second\nA=1\r\n\nB=2");
        assert_eq!(variables, [("A".to_owned(), "1".to_owned()), ("B".to_owned(), "2".to_owned())]);
    }

    #[test]
    fn quotes_keep_blanks_and_lines_and_double_ones_know_escapes() {
        assert_eq!(one("A='  $x \\n \"y\" '  # comment"), "  $x \\n \"y\" ");
        assert_eq!(one(r#"A="a\"b\\c\n\$d\q""#), "a\"b\\c\n$d\\q");
        let variables = read("KEY=\"-----BEGIN\nabc\n-----END\"\nB=2");
        assert_eq!(variables[0].1, "-----BEGIN\nabc\n-----END");
        assert_eq!(variables[1], ("B".into(), "2".into()));
    }

    #[test]
    fn a_name_that_comes_twice_is_there_twice_in_order() {
        let values: Vec<String> = read("A=1\nA=2").into_iter().map(|(_, value)| value).collect();
        assert_eq!(values, ["1", "2"]);
    }

    #[test]
    fn a_fault_names_its_line() {
        assert_eq!(fault("A=1\nnonsense\n"), (2, EnvFileFault::NoValue));
        assert_eq!(fault("1A=1"), (1, EnvFileFault::BadName));
        assert_eq!(fault("=1"), (1, EnvFileFault::BadName));
        assert_eq!(fault("A='x\ny'\nB B=1"), (3, EnvFileFault::BadName));
        assert_eq!(fault("A=1\nB=\"x\n\nC=1"), (2, EnvFileFault::OpenQuote));
        assert_eq!(fault("A='x'y"), (1, EnvFileFault::AfterQuote));
        assert_eq!(fault("A=x\0y"), (1, EnvFileFault::ZeroByte));
    }

    #[test]
    fn a_fault_never_says_what_is_in_the_line() {
        let said = parse("root:$6$secret:19000:0").expect_err("it is somebody else's file").to_string();
        assert!(!said.contains("secret") && said.starts_with("line 1: "), "{said}");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC*|[A-C=\"'\\\\\n #]{0,60}") {
            let _ = parse(&text);
        }

        #[test]
        fn what_is_written_in_double_quotes_reads_back(value in "[^\0]{0,40}", name in "[A-Za-z_][A-Za-z0-9_]{0,9}") {
            let escaped = value.replace('\\', "\\\\").replace('"', "\\\"");
            let text = format!("X=1\n{name}=\"{escaped}\"\nY=2\n");
            let variables = read(&text);
            prop_assert_eq!(&variables[1], &(name, value));
            prop_assert_eq!(variables.len(), 3);
        }
    }
}
