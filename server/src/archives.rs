//! Files of snapshots that people keep: written whole or not at all, never over another unless that is said, read by their owner only.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use proto::ids::random_u64;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::core::archive::{self, Archive};
use crate::raft::sync_parent;

/// What the name of a file ends with that is not whole yet; it begins with a point.
const TEMPORARY: &str = ".tmp";

/// Why a snapshot in a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the snapshot {} cannot be used: {source}", path.display())]
pub struct Unusable {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub source: archive::Error,
}

/// Reads a file and checks every byte of it.
///
/// # Errors
/// [`Unusable`].
pub fn read(path: &Path) -> Result<Archive, Unusable> {
    let unusable = |source| Unusable { path: path.to_owned(), source };
    let file = File::open(path).map_err(|error| unusable(archive::Error::Io(error)))?;
    archive::read(BufReader::new(file)).map_err(unusable)
}

/// A file that is being written, beside its place. Dropping it without [`NewFile::keep`] leaves nothing behind.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    replace: bool,
}

impl NewFile {
    /// Begins a file; `replace`: also where there is one already.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] for one that is there and is not to be replaced; those of the directory.
    pub fn create(path: &Path, replace: bool) -> io::Result<Self> {
        let name = path.file_name().ok_or_else(|| io::Error::from(io::ErrorKind::IsADirectory))?;
        if path.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        // Looked at again when it is kept; but nobody should wait for a gigabyte to hear of it.
        if !replace && path.symlink_metadata().is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let temporary = path.with_file_name(format!(
            ".{}.{:08x}{TEMPORARY}",
            name.to_string_lossy(),
            random_u64() as u32
        ));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
        Ok(Self { file, temporary, path: path.to_owned(), replace })
    }

    /// Reads what was written, and checks every byte of it.
    ///
    /// # Errors
    /// [`archive::Error`].
    pub fn check(&self) -> Result<Archive, archive::Error> {
        let file = File::open(&self.temporary).map_err(archive::Error::Io)?;
        archive::read(BufReader::new(file))
    }

    /// Puts the file in its place, durable; returns its size in bytes.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] when another has come there meanwhile; those of the file system.
    pub fn keep(self) -> io::Result<u64> {
        self.file.sync_all()?;
        let size = self.file.metadata()?.len();
        if self.replace {
            std::fs::rename(&self.temporary, &self.path)?;
        } else {
            rename_to_free(&self.temporary, &self.path)?;
        }
        sync_parent(&self.path)?;
        Ok(size)
    }
}

/// Renames unless something has that name. Where the file system cannot do both at once the name is looked at before.
fn rename_to_free(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) if to.symlink_metadata().is_err() => {
            std::fs::rename(from, to)
        }
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => Err(io::ErrorKind::AlreadyExists.into()),
        result => Ok(result?),
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // It has another name by now if it was kept.
        std::fs::remove_file(&self.temporary).ok();
    }
}

/// Returns whether a file of a directory of scheduled snapshots is one that a server did not finish.
#[must_use]
pub fn is_unfinished(name: &str) -> bool {
    name.starts_with(".minijob-") && name.ends_with(TEMPORARY)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::core::archive::Meta;
    use crate::core::state::State;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    fn fill(file: &mut NewFile) {
        let state = State::default();
        archive::write(&state, &Meta::of(&state, Default::default()), file).unwrap();
    }

    #[test]
    fn a_file_is_there_when_it_is_kept_and_only_its_owner_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.snapshot");
        let mut file = NewFile::create(&path, false).unwrap();
        fill(&mut file);
        assert!(!path.exists());
        file.check().unwrap();
        let size = file.keep().unwrap();
        let found = std::fs::metadata(&path).unwrap();
        assert_eq!((found.len(), found.permissions().mode() & 0o777), (size, 0o600));
        assert_eq!(names(dir.path()), ["a.snapshot"]);
        read(&path).unwrap();
    }

    #[test]
    fn one_that_is_there_is_replaced_only_if_that_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.snapshot");
        let mut late = NewFile::create(&path, false).unwrap();
        fill(&mut late);
        std::fs::write(&path, "mine").unwrap();
        let exists = io::ErrorKind::AlreadyExists;
        assert_eq!(NewFile::create(&path, false).unwrap_err().kind(), exists);
        assert_eq!(late.keep().unwrap_err().kind(), exists);
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
        let mut file = NewFile::create(&path, true).unwrap();
        fill(&mut file);
        file.keep().unwrap();
        read(&path).unwrap();
        assert_eq!(names(dir.path()), ["a.snapshot"]);
    }

    #[test]
    fn what_is_not_kept_leaves_nothing_and_what_was_cut_off_can_be_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = NewFile::create(&dir.path().join("minijob-a.snapshot"), false).unwrap();
        let left = names(dir.path());
        assert!(is_unfinished(&left[0]) && !is_unfinished("minijob-a.snapshot"), "{left:?}");
        assert!(matches!(file.check(), Err(archive::Error::Foreign)));
        drop(file);
        assert!(names(dir.path()).is_empty());
        assert!(NewFile::create(dir.path(), true).is_err());
    }
}
