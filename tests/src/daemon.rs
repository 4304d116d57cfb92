//! A process of the program that runs on, and what it said.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use nix::sys::signal::Signal;

use crate::process;

/// A running server or agent. Dropping it ends nothing.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Daemon {
    /// Starts it and keeps what it writes to standard error.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn spawn(mut command: Command) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let stderr = child.stderr.take().expect("piped");
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = said.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                heard.lock().expect("no reader panics").push(line);
            }
        });
        Self { child, said }
    }

    /// Returns its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns what it has said so far.
    ///
    /// # Panics
    /// Never: nobody panics while they listen.
    #[must_use]
    pub fn said(&self) -> String {
        self.said.lock().expect("no reader panics").join("\n")
    }

    /// Sends it a signal and waits for its end.
    pub fn kill(mut self, signal: Signal) {
        process::signal(self.pid(), signal);
        self.child.wait().ok();
    }
}
