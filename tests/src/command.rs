//! The built program, run as a user runs it.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// Returns the program that is tested: `MINIJOB_BIN`, else the one built beside this test.
///
/// # Panics
/// When there is none: `cargo build` makes it.
#[must_use]
pub fn program() -> PathBuf {
    if let Some(given) = std::env::var_os("MINIJOB_BIN") {
        return given.into();
    }
    let test = std::env::current_exe().expect("a test has a path");
    let folder = test.ancestors().find(|folder| folder.join("minijob").is_file());
    folder.map(|folder| folder.join("minijob")).expect("there is no minijob: run `cargo build` first")
}

/// What a command answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its exit code; -1 when a signal ended it.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

impl Answer {
    /// Reads what was printed as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Returns a command of the program without the variables of whoever runs the tests.
#[must_use]
pub fn bare(args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(args).stdin(Stdio::null());
    for name in [
        "MINIJOB_ADDR",
        "MINIJOB_TOKEN",
        "MINIJOB_NAMESPACE",
        "RUST_LOG",
        "MINIJOB_DATA_DIR",
        "MINIJOB_CONFIG",
        "MINIJOB_CONTEXT",
        "MINIJOB_CA_FILE",
        "MINIJOB_KEY_FILE",
    ] {
        command.env_remove(name);
    }
    command
}

/// Runs a command that reads a text from its standard input, such as `minijob run -`.
///
/// # Panics
/// When it does not start.
#[must_use]
pub fn fed(mut command: Command, text: &str) -> Answer {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program runs");
    child.stdin.take().expect("piped").write_all(text.as_bytes()).ok();
    child.wait_with_output().expect("it ends").into()
}
