//! Terminals with a person at them: tmux holds the screens, so that a story sees what a person would see.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::program;
use crate::wait::{SOON, until};

/// What a shell shows when it waits: the code that the command before ended with.
const PROMPT: &str = "[$?] ";

/// Some windows, each a shell in which `minijob` is found. They end with this.
#[derive(Debug)]
pub struct Terminal {
    dir: PathBuf,
    from: PathBuf,
}

/// One of them.
#[derive(Debug)]
pub struct Window<'a> {
    terminal: &'a Terminal,
    name: String,
}

impl Terminal {
    /// Prepares windows whose shells begin in `from`. Everything that is temporary is in `dir`.
    #[must_use]
    pub fn new(dir: &Path, from: &Path) -> Self {
        Self { dir: dir.to_owned(), from: from.to_owned() }
    }

    /// Opens a window of 40 rows and 100 columns, and waits for its shell.
    ///
    /// # Panics
    /// When there is no tmux.
    #[must_use]
    pub fn open(&self, name: &str) -> Window<'_> {
        let set = |name: &str, value: &str| ["-e".to_owned(), format!("{name}={value}")];
        let dir = self.dir.display().to_string();
        let variables = [("TMPDIR", dir.as_str()), ("XDG_RUNTIME_DIR", &dir), ("PS1", PROMPT)];
        let variables: Vec<String> = variables.iter().flat_map(|(name, value)| set(name, value)).collect();
        let mut args = vec!["new-session", "-d", "-s", name, "-x", "100", "-y", "40"];
        args.extend(variables.iter().map(String::as_str));
        self.tmux(&[&args[..], &["bash", "--norc", "--noprofile"]].concat());
        let window = Window { terminal: self, name: name.to_owned() };
        window.prompt(0);
        window
    }

    /// Ends all windows, and what still runs in them.
    pub fn close(self) {}

    fn tmux(&self, args: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.dir.join("tmux")).args(["-f", "/dev/null"]).args(args);
        for name in [
            "TMUX",
            "MINIJOB_ADDR",
            "MINIJOB_TOKEN",
            "MINIJOB_NAMESPACE",
            "MINIJOB_CONTEXT",
            "RUST_LOG",
            "ENV",
        ] {
            command.env_remove(name);
        }
        // A new window takes the PATH from here.
        let folder = program().parent().expect("it is in a folder").display().to_string();
        command.env("PATH", format!("{folder}:{}", std::env::var("PATH").unwrap_or_default()));
        let output = command.env("TERM", "screen").env("LC_ALL", "C.UTF-8").current_dir(&self.from).output();
        let output = output.expect("tmux runs: tests/run installs it");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let kill = Command::new("tmux").arg("-S").arg(self.dir.join("tmux")).arg("kill-server").output();
        drop(kill);
    }
}

impl Window<'_> {
    /// Types a line and Enter, on a screen that was cleared.
    pub fn type_line(&self, line: &str) {
        self.press("C-l");
        until(SOON, "the screen is clear", || {
            // What is cleared goes above the screen.
            self.terminal.tmux(&["clear-history", "-t", &self.name]);
            let screen = self.screen();
            if screen.lines().count() == 1 { Ok(()) } else { Err(screen) }
        });
        self.terminal.tmux(&["send-keys", "-t", &self.name, "-l", line]);
        // As a person would: not before it stands there.
        until(SOON, "what was typed is on the screen", || {
            let screen = self.screen();
            if screen.ends_with(line) { Ok(()) } else { Err(screen) }
        });
        self.press("Enter");
    }

    /// Presses a key, as tmux names it: `C-c`.
    pub fn press(&self, key: &str) {
        self.terminal.tmux(&["send-keys", "-t", &self.name, key]);
    }

    /// What is on the screen and above it. Long lines are whole, and blanks at their ends are not there.
    #[must_use]
    pub fn screen(&self) -> String {
        let text = self.terminal.tmux(&["capture-pane", "-p", "-J", "-S", "-", "-t", &self.name]);
        text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_end().to_owned()
    }

    /// Waits until all these texts are there, and returns the screen.
    ///
    /// # Panics
    /// When they are not there soon.
    pub fn sees(&self, texts: &[&str]) -> String {
        until(SOON, &format!("{texts:?} on the screen"), || {
            let screen = self.screen();
            if texts.iter().all(|text| screen.contains(text)) { Ok(screen) } else { Err(screen) }
        })
    }

    /// Waits until the shell waits for a line, the command before having ended with this code. Returns the screen.
    ///
    /// # Panics
    /// When it ends with another code, or not soon.
    pub fn prompt(&self, code: i32) -> String {
        let screen = until(SOON, "the shell waits", || {
            let screen = self.screen();
            let last = screen.lines().last().unwrap_or_default();
            // What Ctrl-C shows may stand before it.
            if last.ends_with(']') && last.trim_start_matches("^C").starts_with('[') {
                Ok(screen)
            } else {
                Err(screen)
            }
        });
        assert!(screen.ends_with(&format!("[{code}]")), "{screen}");
        let cursor = self.terminal.tmux(&["display-message", "-p", "-t", &self.name, "#{cursor_flag}"]);
        assert_eq!(cursor.trim(), "1", "the cursor is there again");
        screen
    }
}
