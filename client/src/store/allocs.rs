//! The records on disk: `DATA_DIR/allocs/<id>/record`.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proto::ids::AllocId;
use proto::time::Timestamp;

use super::data_dir::DataDir;
use super::file::{self, FileError};
use super::record::{Record, RecordError, VERSION};
use crate::limits::RECORD_BYTES_MAX;

/// The records of one data directory. Every method blocks on the disk.
#[derive(Clone, Debug)]
pub struct Allocs {
    dir: Arc<DataDir>,
}

/// What was found on start.
#[derive(Debug, Default)]
pub struct Loaded {
    /// Whole records, in the order of their ids.
    pub records: Vec<Record>,
    /// Records that could not be understood, and where they are kept now.
    pub spoilt: Vec<Spoilt>,
}

/// A record that could not be understood.
#[derive(Debug)]
pub struct Spoilt {
    /// Whose.
    pub id: AllocId,
    /// Where it is kept for people to look at.
    pub kept: PathBuf,
    /// What is wrong with it.
    pub error: RecordError,
}

/// Why the records cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum AllocsError {
    /// The folder cannot be listed.
    #[error("cannot list {}", path.display())]
    List {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A record is there and the system refuses to give it. Starting without it would mean to forget what runs.
    #[error("cannot read the record of an allocation")]
    Read {
        /// Why.
        source: FileError,
    },
    /// A record is whole as far as anybody can tell, and this version cannot read it. Starting without it would mean to
    /// forget what runs, and to run it twice once servers order it again.
    #[error(
        "{} has format {found} and this version reads up to {known}: it was written by a newer minijob; run that version, \
         or one still newer, on this data directory",
        path.display()
    )]
    TooNew {
        /// Which; it is left as it is.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that is read.
        known: u32,
    },
}

impl Allocs {
    /// Uses the records of this data directory.
    #[must_use]
    pub const fn new(dir: Arc<DataDir>) -> Self {
        Self { dir }
    }

    /// Reads all records. One that makes no sense is put aside as `record.spoilt-<ms>` and never stops the others.
    ///
    /// # Errors
    /// When the disk refuses to list or to read, or a newer version wrote one of them; nothing is put aside then.
    pub fn load(&self, now: Timestamp) -> Result<Loaded, AllocsError> {
        let path = self.dir.allocs();
        let list = |source| AllocsError::List { path: path.clone(), source };
        let mut ids = Vec::new();
        for entry in std::fs::read_dir(&path).map_err(list)? {
            let name = entry.map_err(list)?.file_name();
            if let Some(id) = name.to_str().and_then(|name| name.parse::<AllocId>().ok()) {
                ids.push(id);
            }
        }
        ids.sort_unstable();
        let mut records = Vec::new();
        let mut spoilt = Vec::new();
        for id in ids {
            let path = self.path(id);
            let bytes = file::read(&path, RECORD_BYTES_MAX).map_err(|source| AllocsError::Read { source })?;
            // A folder without a record: the agent died while it made or removed it. Nothing can run there.
            let Some(bytes) = bytes else { continue };
            match Record::decode(&bytes) {
                Ok(record) if record.id == id => records.push(record),
                Ok(_) => spoilt.push((id, path, RecordError::NoRecord)),
                Err(RecordError::TooNew(found)) => {
                    return Err(AllocsError::TooNew { path, found, known: VERSION });
                }
                Err(error) => spoilt.push((id, path, error)),
            }
        }
        let put_aside = |(id, path, error): (_, PathBuf, _)| put_aside(id, &path, error, now);
        Ok(Loaded { records, spoilt: spoilt.into_iter().map(put_aside).collect() })
    }

    /// Makes a record durable; makes the folder of the allocation when it is missing.
    ///
    /// # Errors
    /// When the disk refuses; the old record is then still there.
    pub fn save(&self, record: &Record) -> Result<(), FileError> {
        let folder = self.dir.alloc(record.id);
        if !folder.is_dir() {
            make_folder(&folder).map_err(|source| FileError::Write { path: folder, source })?;
        }
        file::replace(&self.path(record.id), &record.encode())
    }

    /// Removes an allocation with all it has here. The record goes first: what dies in between has no record and is taken
    /// for rubbish.
    ///
    /// # Errors
    /// When the disk refuses; a second call goes on.
    pub fn remove(&self, id: AllocId) -> io::Result<()> {
        let missing_is_fine = |result: io::Result<()>| match result {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        missing_is_fine(std::fs::remove_file(self.path(id)))?;
        missing_is_fine(std::fs::remove_dir_all(self.dir.alloc(id)))
    }

    /// Removes the logs of an allocation and nothing else.
    ///
    /// # Errors
    /// When the disk refuses; a second call goes on.
    pub fn remove_logs(&self, id: AllocId) -> io::Result<()> {
        match std::fs::remove_dir_all(self.dir.alloc(id).join("logs")) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// The folder of all allocations.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.dir.allocs()
    }

    /// The folder of one allocation.
    #[must_use]
    pub fn folder(&self, id: AllocId) -> PathBuf {
        self.dir.alloc(id)
    }

    fn path(&self, id: AllocId) -> PathBuf {
        self.dir.alloc(id).join("record")
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    // The parent is not flushed: only a power cut could lose the new folder, and it ends all that ran there as well.
    std::fs::create_dir_all(folder)?;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o711))
}

fn put_aside(id: AllocId, path: &Path, error: RecordError, now: Timestamp) -> Spoilt {
    let kept = path.with_file_name(format!("record.spoilt-{}", now.0));
    // Left where it is, it is found again on the next start: no worse.
    let kept = std::fs::rename(path, &kept).map_or_else(|_| path.to_owned(), |()| kept);
    Spoilt { id, kept, error }
}

#[cfg(test)]
mod tests {
    use super::super::record::tests::record;
    use super::*;

    fn store() -> (tempfile::TempDir, Allocs) {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let data = DataDir::open(dir.path()).expect("nobody has it");
        (dir, Allocs::new(Arc::new(data)))
    }

    #[test]
    fn every_step_of_a_change_leaves_the_old_record_or_the_new_one() {
        let (_dir, store) = store();
        let mut new = record(3);
        // Killed before anything: nothing. With a folder only: nothing. With half a file beside: nothing.
        assert!(store.load(Timestamp(1)).expect("it loads").records.is_empty());
        std::fs::create_dir_all(store.folder(AllocId(3))).expect("it is made");
        assert!(store.load(Timestamp(1)).expect("it loads").records.is_empty());
        std::fs::write(store.folder(AllocId(3)).join("record.tmp"), b"half").expect("it is written");
        assert!(store.load(Timestamp(1)).expect("it loads").records.is_empty());

        store.save(&new).expect("it is saved");
        let old = new.clone();
        new.course.stop_ordered = true;
        let bytes = new.encode();
        std::fs::write(store.folder(AllocId(3)).join("record.tmp"), &bytes[..9]).expect("it is written");
        assert_eq!(store.load(Timestamp(1)).expect("it loads").records, [old]);
        store.save(&new).expect("it is saved");
        assert_eq!(store.load(Timestamp(1)).expect("it loads").records, [new]);
    }

    #[test]
    fn a_spoilt_record_is_kept_aside_and_costs_no_other() {
        let (_dir, store) = store();
        store.save(&record(1)).expect("it is saved");
        store.save(&record(2)).expect("it is saved");
        std::fs::write(store.folder(AllocId(1)).join("record"), b"MJALrubbish").expect("it is written");
        let loaded = store.load(Timestamp(44)).expect("it loads");
        assert_eq!(loaded.records, [record(2)]);
        assert_eq!(loaded.spoilt[0].id, AllocId(1));
        assert_eq!(std::fs::read(&loaded.spoilt[0].kept).expect("it is kept"), b"MJALrubbish");
        assert!(store.load(Timestamp(45)).expect("it loads").spoilt.is_empty());
    }

    #[test]
    fn a_record_in_the_folder_of_another_is_not_believed() {
        let (_dir, store) = store();
        store.save(&record(1)).expect("it is saved");
        std::fs::rename(store.folder(AllocId(1)), store.folder(AllocId(2))).expect("it moves");
        let loaded = store.load(Timestamp(44)).expect("it loads");
        assert!(loaded.records.is_empty());
        assert_eq!(loaded.spoilt.len(), 1);
    }

    #[test]
    fn a_record_of_a_newer_version_stays_where_it_is_and_is_named() {
        let (_dir, store) = store();
        store.save(&record(1)).expect("it is saved");
        std::fs::write(store.path(AllocId(1)), b"MJALrubbish").expect("it is written");
        store.save(&record(2)).expect("it is saved");
        let path = store.path(AllocId(2));
        let mut bytes = record(2).encode();
        bytes[4..8].copy_from_slice(&(VERSION + 1).to_be_bytes());
        std::fs::write(&path, &bytes).expect("it is written");

        let error = store.load(Timestamp(44)).expect_err("what runs would be forgotten").to_string();
        assert!(error.contains(path.to_str().expect("it is text")), "{error}");
        assert!(error.contains("format 2 and this version reads up to 1"), "{error}");
        assert_eq!(std::fs::read(&path).expect("it is there"), bytes);
        assert!(store.path(AllocId(1)).exists(), "nothing is put aside by an agent that does not start");
    }

    #[test]
    fn removing_twice_is_harmless() {
        let (_dir, store) = store();
        store.save(&record(1)).expect("it is saved");
        store.remove(AllocId(1)).expect("it goes");
        store.remove(AllocId(1)).expect("it is gone");
        assert!(store.load(Timestamp(1)).expect("it loads").records.is_empty());
    }
}
