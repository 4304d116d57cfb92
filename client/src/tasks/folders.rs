//! The folders of an allocation, below `DATA_DIR/allocs/<id>`: `tasks/<task>` is where a task works, `shared` what its
//! siblings see too, `logs` their output. Tasks have a folder of their own, so that one named `logs` harms nobody.

use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::driver::UserIds;

/// Where one task has its things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folders {
    /// Its working directory, its own.
    pub task: PathBuf,
    /// Shared by the tasks of the allocation; anybody may write, as in `/tmp`: they may run as different users.
    pub shared: PathBuf,
    /// The output of all; the driver's, not the tasks'.
    pub logs: PathBuf,
}

impl Folders {
    /// Names the folders of a task.
    #[must_use]
    pub fn of(alloc: &Path, task: &str) -> Self {
        Self { task: alloc.join("tasks").join(task), shared: alloc.join("shared"), logs: alloc.join("logs") }
    }

    /// Makes what is missing, for tasks of this user. A second call changes nothing.
    ///
    /// # Errors
    /// With the folder that could not be made.
    pub fn make(&self, user: Option<&UserIds>) -> Result<(), (PathBuf, io::Error)> {
        let at = |path: &Path, result: io::Result<()>| result.map_err(|error| (path.to_owned(), error));
        for path in [&self.task, &self.shared, &self.logs] {
            at(path, std::fs::create_dir_all(path))?;
        }
        for (path, mode) in [(&self.task, 0o700), (&self.shared, 0o1777), (&self.logs, 0o700)] {
            at(path, std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)))?;
        }
        if let Some(user) = user {
            at(&self.task, chown(&self.task, Some(user.uid), Some(user.gid)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_made_once_and_stay_as_they_are() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let folders = Folders::of(dir.path(), "logs");
        folders.make(None).expect("they are made");
        std::fs::write(folders.task.join("data"), "kept").expect("it is written");
        folders.make(None).expect("they are there");
        assert_eq!(std::fs::read_to_string(folders.task.join("data")).expect("it is read"), "kept");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        std::fs::write(dir.path().join("tasks"), "a file in the way").expect("it is written");
        let folders = Folders::of(dir.path(), "web");
        let (path, _) = folders.make(None).expect_err("it is in the way");
        assert_eq!(path, folders.task);
    }
}
