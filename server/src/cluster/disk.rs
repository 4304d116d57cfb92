//! Room on the disk: a server that ran out of it could not even say so.

use std::path::{Path, PathBuf};

use proto::error::{Error, Kind};

use crate::limits::FREE_DISK_BYTES;
use crate::raft::free_bytes;

/// The file system of the data directory.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    path: PathBuf,
}

impl Disk {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Returns whether clients may write. The servers' own commands go on: they stop what fills the disk.
    ///
    /// # Errors
    /// `unavailable`, with how much is free. A file system that does not answer refuses nothing.
    pub(super) fn accepts_writes(&self) -> Result<(), Error> {
        match free_bytes(&self.path) {
            Some(free) if free < FREE_DISK_BYTES => {
                let message = format!(
                    "the server has {} MiB of free disk and takes no writes below {} MiB",
                    free >> 20,
                    FREE_DISK_BYTES >> 20
                );
                Err(Error::new(Kind::Unavailable, message)
                    .hint(format!("make room on {}", self.path.display())))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_without_room_refuses_writes_and_an_unknown_one_does_not() {
        assert!(free_bytes(Path::new("/")).is_some());
        assert!(Disk::new(Path::new("/no/such/place")).accepts_writes().is_ok());
        // A file system of the kernel's own has no room at all.
        let refused = Disk::new(Path::new("/proc")).accepts_writes().expect_err("no room");
        assert_eq!(refused.kind, Kind::Unavailable);
        assert!(refused.message.contains("takes no writes below 512 MiB"), "{}", refused.message);
    }
}
