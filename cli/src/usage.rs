//! Wrong usage in words that help: clap's own errors, with what it cannot know. In one place, for all commands.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory, Error};

use crate::args::{self, Args};

/// Flags of `exec` that may stand between the allocation and the command, and take no value.
const EXEC_FLAGS: [&str; 6] = ["-i", "-t", "-it", "-ti", "--interactive", "--tty"];
/// Flags that take a value as an argument of its own.
const VALUED: [&str; 8] = ["--addr", "--context", "-c", "--token", "--namespace", "--color", "-u", "--user"];

/// Returns the error with a usage line that asks for nothing that is there, and tips that fit.
#[must_use]
pub fn explained(error: Error, given: &[OsString]) -> Error {
    if !error.use_stderr() {
        return error;
    }
    let mut error = without_variables(error, given);
    let tip = tip(&error, given);
    if let Some(known) = number_wanted(&error) {
        error = unsourced(&error);
        return tipped(error, known);
    }
    if error.kind() == ErrorKind::UnknownArgument {
        // `-- -x`: nothing that is named here begins with a dash.
        error.remove(ContextKind::Suggested);
    }
    match tip {
        Some(tip) => tipped(error, tip),
        None => error,
    }
}

fn tipped(mut error: Error, tip: String) -> Error {
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    error
}

/// Applies a grammar that reads no variables: clap shows what they set as if it had to be typed. The error stays what it was where a
/// variable is what is wrong.
fn without_variables(error: Error, given: &[OsString]) -> Error {
    fn bare(command: Command) -> Command {
        command.mut_args(|arg| arg.env(None)).mut_subcommands(bare)
    }
    match bare(Args::command()).color(args::colour_choice(given)).try_get_matches_from(given) {
        Err(again) if again.kind() == error.kind() => again,
        _ => error,
    }
}

fn text(error: &Error, kind: ContextKind) -> Option<&str> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text),
        _ => None,
    }
}

/// Says what number would be right, where one is wanted and something else was given.
fn number_wanted(error: &Error) -> Option<String> {
    if error.kind() != ErrorKind::ValueValidation {
        return None;
    }
    let cause = std::error::Error::source(error)?;
    if let Some(cause) = cause.downcast_ref::<std::num::ParseIntError>() {
        let is_size =
            matches!(cause.kind(), std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow);
        return Some(
            if is_size { "write a smaller number" } else { "write a whole number: 0, 1, 2 .." }.into(),
        );
    }
    let cause = cause.to_string();
    let (given, range) = cause.split_once(" is not in ")?;
    let (least, most) = range.split_once("..")?;
    let most = most.trim_start_matches('=');
    let is_end = |most| most == u64::from(u32::MAX) || most == i64::MAX.unsigned_abs() || most == u64::MAX;
    match (given.parse::<i128>(), most.parse::<u64>()) {
        (Ok(given), Ok(most)) if is_end(most) && given > i128::from(most) => {
            Some("write a smaller number".to_owned())
        }
        (_, Ok(most)) if !is_end(most) => Some(format!("write a whole number between {least} and {most}")),
        _ => Some(format!("write a whole number of at least {least}")),
    }
}

/// Returns the same error without its cause, which says `invalid digit found in string`.
fn unsourced(error: &Error) -> Error {
    let mut new = Error::new(error.kind()).with_cmd(&Args::command());
    for (kind, value) in error.context() {
        new.insert(kind, value.clone());
    }
    new
}

fn tip(error: &Error, given: &[OsString]) -> Option<String> {
    let unknown = text(error, ContextKind::InvalidArg);
    match error.kind() {
        ErrorKind::UnknownArgument | ErrorKind::MissingRequiredArgument if exec_of(given).is_some() => {
            let line = exec_of(given)?;
            Some(format!("a command stands after `--`: {line}"))
        }
        ErrorKind::UnknownArgument if unknown?.parse::<f64>().is_ok() => {
            Some("a number below 0 means nothing here".to_owned())
        }
        _ => None,
    }
}

/// Returns what was meant by `exec ALLOC ls -l`, which lacks the `--`; none for other commands and where nothing can be guessed.
fn exec_of(given: &[OsString]) -> Option<String> {
    let words: Vec<&str> = given.iter().map(|word| word.to_str()).collect::<Option<_>>()?;
    let mut at = plain_word(&words, 1).filter(|at| words[*at] == "exec")?;
    at = plain_word(&words, at + 1)?;
    if words.contains(&"--") {
        return None;
    }
    let mut cut = at + 1;
    while words.get(cut).is_some_and(|word| EXEC_FLAGS.contains(word)) {
        cut += 1;
    }
    let command = words.get(cut..).filter(|command| !command.is_empty())?;
    Some(format!("minijob {} -- {}", quoted(&words[1..cut]), quoted(command)))
}

/// Returns the next word that is no flag and no flag's value.
fn plain_word(words: &[&str], from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(word) = words.get(at) {
        at += match word {
            valued if VALUED.contains(valued) => 2,
            flag if flag.starts_with('-') => 1,
            _ => return Some(at),
        };
    }
    None
}

/// Returns words as they can be typed into a shell.
#[must_use]
pub fn quoted(words: &[&str]) -> String {
    let is_plain = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c))
    };
    let shown = |word: &&str| match is_plain(word) {
        true => (*word).to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    words.iter().map(shown).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(words: &[&str]) -> String {
        let given: Vec<OsString> = ["minijob"].iter().chain(words).map(OsString::from).collect();
        let Err(error) = crate::args::read(&given) else { panic!("{words:?} is right") };
        error.to_string()
    }

    #[test]
    fn a_number_that_is_none_is_told_what_would_be_one() {
        for words in
            [&["scale", "web", "abc"][..], &["run", "--count", "x", "--", "ls"], &["revert", "web", "1.5"]]
        {
            let said = said(words);
            assert!(said.contains("tip: write a whole number"), "{said}");
            assert!(!said.contains("invalid digit"), "{said}");
        }
        assert!(said(&["events", "--limit", "0"]).contains("tip: write a whole number of at least 1"));
        assert!(said(&["scale", "web", "99999999999"]).contains("tip: write a smaller number"));
        assert!(said(&["scale", "web", "-1"]).contains("tip: a number below 0 means nothing here"));
    }

    #[test]
    fn nothing_is_proposed_that_cannot_be_meant() {
        for words in [&["status", "--nonsense"][..], &["logs", "-x"], &["run", "--message", "-x", "web.yml"]]
        {
            let said = said(words);
            assert!(!said.contains("as a value"), "{said}");
        }
        assert!(said(&["status", "--namespac", "x"]).contains("similar argument exists: '--namespace'"));
    }

    #[test]
    fn a_command_of_exec_without_its_dashes_is_shown_with_them() {
        for (words, line) in [
            (&["exec", "web", "ls"][..], "minijob exec web -- ls"),
            (&["exec", "web", "ls", "-l", "a b"], "minijob exec web -- ls -l 'a b'"),
            (
                &["--addr", "h:1", "exec", "-u", "me", "web", "-it", "sh"],
                "minijob --addr h:1 exec -u me web -it -- sh",
            ),
        ] {
            let said = said(words);
            assert!(said.contains(&format!("tip: a command stands after `--`: {line}\n")), "{said}");
        }
        assert!(!said(&["exec", "web"]).contains("tip:"));
        assert!(!said(&["exec", "--nonsense", "web", "--", "ls"]).contains("tip:"));
    }
}
