//! The daemons as commands see them: what each is given, what it says when it serves, and how it is ended.

pub mod agent; // assembles the agent
pub mod keeper; // what must exist before any thread
pub mod logging; // what daemons say, on standard error
pub mod server; // assembles the server

mod running; // a daemon in this process
pub mod signals; // SIGTERM, Ctrl-C, SIGHUP

use std::path::{Path, PathBuf};

use proto::error::{Error, Kind};

pub use running::Running;
pub use signals::Signals;

/// Returns where a daemon keeps its data unless told otherwise: the system's place for root, else the user's own.
#[must_use]
pub fn default_data_dir(daemon: &str) -> PathBuf {
    let system = PathBuf::from("/var/lib/minijob").join(daemon);
    if nix::unistd::geteuid().is_root() {
        return system;
    }
    crate::token::user_data().map_or(system, |base| base.join(daemon))
}

/// Checks that a data directory can be one: neither it nor what it would lie in is a file.
///
/// # Errors
/// [`Kind::Invalid`] names the file.
pub fn check_data_dir(path: &Path) -> Result<(), Error> {
    let file = path.ancestors().find(|part| part.exists()).filter(|part| !part.is_dir());
    let Some(file) = file else { return Ok(()) };
    let what = if file == path { String::new() } else { format!(", so {} cannot lie in it", path.display()) };
    let message = format!("{} is a file{what}: a directory is needed", file.display());
    Err(Error::new(Kind::Invalid, message)
        .hint("give a directory with --data-dir; it is made if it is missing"))
}

/// Returns this machine's name, the default name of both daemons.
#[must_use]
pub fn host_name() -> String {
    let name = nix::unistd::gethostname().ok().and_then(|name| name.into_string().ok());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned())
}

/// Returns an error and its causes in one line.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        message.push_str(&format!(": {source}"));
        cause = source.source();
    }
    message
}
