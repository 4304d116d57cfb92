//! The program, in an environment of its own: no variable and no file of whoever runs the tests reaches it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A home of its own for the program.
pub struct World {
    home: tempfile::TempDir,
}

/// What a command gave.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl World {
    pub fn new() -> Self {
        Self { home: tempfile::tempdir().expect("a directory") }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Writes a file and returns its name as a command in this world is given it.
    pub fn file(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).expect("written");
        name.to_owned()
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_minijob"));
        command.args(args).env_clear().current_dir(self.home.path());
        command.env("HOME", self.home.path()).env("XDG_RUNTIME_DIR", self.home.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, args: &[&str]) -> Outcome {
        outcome(self.command(args).spawn().expect("the program starts"))
    }

    /// Runs a command against one address, with the right token.
    pub fn ask(&self, addr: &str, args: &[&str]) -> Outcome {
        let mut command = self.command(args);
        command.env("MINIJOB_ADDR", addr).env("MINIJOB_TOKEN", crate::server::TOKEN);
        outcome(command.spawn().expect("the program starts"))
    }

    /// Runs a command as a person sees it on a terminal of so many columns, and returns what is shown.
    pub fn show(&self, addr: &str, columns: u16, args: &[&str]) -> String {
        let size = nix::pty::Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let terminal = nix::pty::openpty(&size, None).expect("a terminal");
        let mut command = self.command(args);
        command.env("MINIJOB_ADDR", addr).env("MINIJOB_TOKEN", crate::server::TOKEN).env("NO_COLOR", "1");
        let mut child = command.stdout(terminal.slave).spawn().expect("the program starts");
        // It holds the other end until it is dropped, and reading would never see the end.
        drop(command);
        let mut shown = Vec::new();
        // A terminal that nobody writes to any more is an error to its reader, after all that was written.
        let _ = std::fs::File::from(terminal.master).read_to_end(&mut shown);
        child.wait().expect("it ends");
        String::from_utf8(shown).expect("text").replace("\r\n", "\n")
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }
}

/// Waits for the end of a process and takes what it wrote.
pub fn outcome(child: Child) -> Outcome {
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Outcome { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

impl Outcome {
    #[track_caller]
    pub fn expect(&self, code: i32, stdout: &str, stderr: &str) {
        assert_eq!(self.stdout, stdout, "standard output of {self:#?}");
        assert_eq!(self.stderr, stderr, "standard error of {self:#?}");
        assert_eq!(self.code, Some(code), "exit code of {self:#?}");
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|cause| panic!("{cause}: {self:#?}"))
    }

    #[track_caller]
    pub fn error_json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stderr).unwrap_or_else(|cause| panic!("{cause}: {self:#?}"))
    }
}
