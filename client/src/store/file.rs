//! Files that are there whole or not at all.
//!
//! A file is written beside its place, flushed, renamed and its folder flushed: whoever dies in between leaves the old
//! content, or none.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The ending of what is being written; left behind by a kill, and overwritten by the next write.
const UNFINISHED: &str = "tmp";

/// What went wrong with a file.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is there and could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Makes the content of a file `bytes`, readable by its owner only. The same call again changes nothing.
///
/// # Errors
/// When any step fails; the file then has its old content, or (only when flushing the folder failed) maybe the new one.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let write = || {
        let unfinished = path.with_extension(UNFINISHED);
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)?;
        flush_folder_of(path)
    };
    write().map_err(|source| FileError::Write { path: path.to_owned(), source })
}

/// Returns the content of a file, none when there is no such file.
///
/// # Errors
/// When it is there and cannot be read, or has more than `most` bytes.
pub fn read(path: &Path, most: u64) -> Result<Option<Vec<u8>>, FileError> {
    let fail = |source| FileError::Read { path: path.to_owned(), source };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fail(error)),
    };
    let mut bytes = Vec::new();
    file.take(most + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > most {
        return Err(fail(io::Error::new(
            io::ErrorKind::FileTooLarge,
            "it has more bytes than any such file",
        )));
    }
    Ok(Some(bytes))
}

fn flush_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_before_the_rename_leaves_the_old_content() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let path = dir.path().join("record");
        replace(&path, b"old").expect("it is written");
        // What a kill between write and rename leaves behind.
        std::fs::write(path.with_extension(UNFINISHED), b"ne").expect("it is written");
        assert_eq!(read(&path, 10).expect("it is read"), Some(b"old".to_vec()));
        replace(&path, b"new").expect("it is written over what was left");
        assert_eq!(read(&path, 10).expect("it is read"), Some(b"new".to_vec()));
    }

    #[test]
    fn a_file_that_is_not_there_is_no_error_and_a_huge_one_is() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let path = dir.path().join("record");
        assert!(read(&path, 2).expect("nothing to read").is_none());
        replace(&path, b"abc").expect("it is written");
        assert!(read(&path, 2).is_err());
    }
}
