//! What starts the services: `systemctl`.

use std::path::Path;
use std::process::{Command, Stdio};

use proto::error::{Error, Kind};

/// Whether this machine was booted by systemd, as sd_booted(3) has it.
#[must_use]
pub fn is_booted() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Asks systemd.
#[derive(Clone, Copy, Debug)]
pub struct Systemd<'p> {
    /// The program that is asked: `systemctl`.
    pub program: &'p str,
}

impl Systemd<'_> {
    /// Lets systemd do something, and returns when it is done.
    ///
    /// # Errors
    /// [`Kind::Refused`] with what it said.
    pub fn order(&self, args: &[&str]) -> Result<(), Error> {
        let failed = |why: String| {
            Error::new(Kind::Refused, format!("`{} {}` failed: {}", self.program, args.join(" "), why.trim()))
        };
        let output = Command::new(self.program)
            .args(args)
            .stdin(Stdio::null())
            .output()
            .map_err(|cause| failed(cause.to_string()))?;
        if output.status.success() {
            return Ok(());
        }
        Err(failed(String::from_utf8_lossy(&output.stderr).into_owned()))
    }

    /// Returns whether systemd has a unit of this name.
    #[must_use]
    pub fn is_there(&self, unit: &str) -> bool {
        self.order(&["cat", "--no-pager", unit]).is_ok()
    }

    /// Returns whether a unit is enabled and runs.
    #[must_use]
    pub fn is_up(&self, unit: &str) -> bool {
        let quiet = |question: &str| self.order(&[question, "--quiet", unit]).is_ok();
        quiet("is-enabled") && quiet("is-active")
    }
}
