//! Programs of the system, and what they say when they do not.

use std::io::Write as _;
use std::process::{Command, Stdio};

/// Runs `ip` with these words.
///
/// # Panics
/// When it fails, with what it said.
pub(crate) fn ip(words: &str) {
    run(Command::new("ip").args(words.split_whitespace()), "");
}

/// Runs a program that reads a text.
///
/// # Panics
/// When it fails, with what it said; when it is missing, with what installs it.
pub(crate) fn run(command: &mut Command, text: &str) {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let program = command.get_program().to_string_lossy().into_owned();
    let child = command.spawn();
    let mut child =
        child.unwrap_or_else(|error| panic!("{program}: {error}; tests/run installs what is needed"));
    child.stdin.take().expect("piped").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}{text}");
}
