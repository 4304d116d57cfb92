//! Where `dev` keeps its data. A temporary directory is gone when `dev` is.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use client::keeper::Removal;
use proto::error::{Error, Kind};
use tempfile::TempDir;

use crate::{daemon, devnote};

/// A data directory.
#[derive(Debug)]
pub(super) struct Data {
    path: PathBuf,
    temporary: Option<TempDir>,
}

impl Data {
    /// Opens the given directory, made if missing, else a new temporary one.
    pub(super) fn open(given: Option<&Path>) -> Result<Self, Error> {
        let failed = |path: &Path, cause: &std::io::Error| {
            let message = format!("cannot keep data in {}: {cause}", path.display());
            Error::new(Kind::Refused, message).hint("give another directory with --data-dir")
        };
        let Some(path) = given else {
            let made = tempfile::Builder::new().prefix("minijob-dev-").tempdir();
            let temporary = made.map_err(|cause| failed(&std::env::temp_dir(), &cause))?;
            return Ok(Self { path: temporary.path().to_owned(), temporary: Some(temporary) });
        };
        daemon::check_data_dir(path)?;
        std::fs::create_dir_all(path).map_err(|cause| failed(path, &cause))?;
        // Tasks are started elsewhere: a relative path would mean another place there.
        let path = path.canonicalize().map_err(|cause| failed(path, &cause))?;
        Ok(Self { path, temporary: None })
    }

    /// The server's part.
    pub(super) fn server(&self) -> PathBuf {
        self.path.join("server")
    }

    /// The agent's part.
    pub(super) fn agent(&self) -> PathBuf {
        self.path.join("agent")
    }

    /// Returns what another process must remove should this one be killed.
    pub(super) fn removals(&self) -> Vec<Removal> {
        let directory = self.temporary.as_ref().map(|temporary| temporary.path().to_owned());
        let directory = directory.map(|path| Removal { path, if_it_holds: None });
        directory.into_iter().chain(devnote::removal()).collect()
    }

    /// Removes a temporary directory; says so when something of it stays.
    pub(super) fn close(self) -> Result<(), Error> {
        let Some(temporary) = self.temporary else { return Ok(()) };
        let left = |cause| {
            let message = format!("cannot remove {}: {cause}", self.path.display());
            Error::new(Kind::Refused, message).hint("a task may have left files of another user there")
        };
        match temporary.close() {
            // The parent of the tasks removes it too, where this process takes long to end.
            Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(()),
            closed => closed.map_err(left),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_directory_is_gone_afterwards_and_a_given_one_stays() {
        let data = Data::open(None).expect("a directory");
        let path = data.path.clone();
        std::fs::create_dir_all(data.server()).expect("made");
        data.close().expect("removed");
        assert!(!path.exists());
        let data = Data::open(None).expect("a directory");
        std::fs::remove_dir_all(&data.path).expect("another was faster");
        data.close().expect("it is gone all the same");

        let given = tempfile::tempdir().expect("a directory");
        let data = Data::open(Some(&given.path().join("deep/er"))).expect("made");
        let path = data.path.clone();
        data.close().expect("nothing to do");
        assert!(path.is_dir());
    }
}
