//! Where `supervise` keeps its data: where it is told to, else in memory or wherever a bare container lets it write.

use std::path::{Path, PathBuf};

use client::keeper::Removal;
use proto::error::{Error, Kind};
use tempfile::TempDir;

use crate::daemon;

/// Tried after the usual place for temporary files: of a container with a read-only root one of these can be written to.
const OTHERS: [&str; 3] = ["/run", "/dev/shm", "/var/tmp"];

/// A data directory.
#[derive(Debug)]
pub(super) struct Data {
    path: PathBuf,
    temporary: Option<TempDir>,
}

impl Data {
    /// Opens the given directory, made if missing, else a new temporary one.
    pub(super) fn open(given: Option<&Path>) -> Result<Self, Error> {
        match given {
            Some(path) => Self::given(path),
            None => Self::temporary(std::iter::once(std::env::temp_dir()).chain(OTHERS.map(PathBuf::from))),
        }
    }

    fn given(path: &Path) -> Result<Self, Error> {
        daemon::check_data_dir(path)?;
        // Its own folder: a node's agent or server may have the same directory, and what is theirs is not ours to end.
        let path = path.join("supervise");
        let failed = |cause: std::io::Error| {
            let message = format!("cannot keep data in {}: {cause}", path.display());
            Error::new(Kind::Refused, message).hint("give another directory with --data-dir")
        };
        std::fs::create_dir_all(&path).map_err(failed)?;
        // Tasks are started elsewhere: a relative path would mean another place there.
        let path = path.canonicalize().map_err(failed)?;
        Ok(Self { path, temporary: None })
    }

    fn temporary(places: impl Iterator<Item = PathBuf>) -> Result<Self, Error> {
        let mut faults = Vec::new();
        for place in places {
            match tempfile::Builder::new().prefix("minijob-supervise-").tempdir_in(&place) {
                Ok(made) => return Ok(Self { path: made.path().to_owned(), temporary: Some(made) }),
                Err(cause) => {
                    let cause = cause.to_string();
                    let plain = cause.split(" at path").next().unwrap_or(&cause);
                    faults.push(format!("{}: {plain}", place.display()));
                }
            }
        }
        let error = Error::new(Kind::Refused, "there is no place for temporary files").details(faults);
        Err(error.hint("mount a tmpfs on /tmp, or give a directory with --data-dir"))
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it stays.
    pub(super) const fn is_kept(&self) -> bool {
        self.temporary.is_none()
    }

    /// Returns what another process must remove should this one be killed.
    pub(super) fn removals(&self) -> Vec<Removal> {
        let directory = self.temporary.as_ref().map(|temporary| temporary.path().to_owned());
        directory.map(|path| Removal { path, if_it_holds: None }).into_iter().collect()
    }

    /// Removes a temporary directory; says so when something of it stays.
    pub(super) fn close(self) -> Result<(), Error> {
        let Some(temporary) = self.temporary else { return Ok(()) };
        let left = |cause| {
            let message = format!("cannot remove {}: {cause}", self.path.display());
            Error::new(Kind::Refused, message).hint("a task may have left files of another user there")
        };
        match temporary.close() {
            // The keeper removes it as well.
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(()),
            result => result.map_err(left),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_directory_stays_and_its_data_lie_apart_from_those_of_daemons() {
        let given = tempfile::tempdir().expect("a directory");
        let data = Data::open(Some(given.path())).expect("made");
        assert!(data.path().ends_with("supervise") && data.is_kept());
        let path = data.path().to_owned();
        data.close().expect("nothing to do");
        assert!(path.is_dir());
    }

    #[test]
    fn the_first_place_that_can_be_written_to_is_taken_and_left_clean() {
        let place = tempfile::tempdir().expect("a directory");
        let places = [PathBuf::from("/no/such/place"), place.path().to_owned()];
        let data = Data::temporary(places.into_iter()).expect("the second");
        assert!(data.path().starts_with(place.path()));
        data.close().expect("removed");
        assert_eq!(std::fs::read_dir(place.path()).expect("it is there").count(), 0);
    }

    #[test]
    fn a_machine_without_any_place_is_told_what_to_do() {
        let error = Data::temporary(std::iter::once(PathBuf::from("/no/such/place"))).expect_err("none");
        assert_eq!(error.details, ["/no/such/place: No such file or directory (os error 2)"]);
        assert!(error.hint.contains("tmpfs"), "{}", error.hint);
    }
}
