//! A note beside the store that it once held something.
//!
//! A database whose first bytes are damaged may open as an empty one, and a missing directory is a fresh one; a server
//! that forgot its vote and its log like this would break promises it made to others. The note holds only what never
//! goes back: that something was made durable, and how far the log was purged. So it is written rarely.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::{Error, LogStore, State, Usage};
use crate::raft::durable;

const FILE: &str = "witness";
const FIRST_LINE: &str = "minijob log witness";

/// A store and the note beside it.
pub(super) struct Witnessed {
    store: Box<dyn LogStore>,
    path: PathBuf,
    noted: Note,
    failed: bool,
}

/// Ordered by how much is known; what was purged counts from 1, 0 is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Note {
    written: bool,
    purged_end: u64,
}

impl Note {
    fn of(state: &State) -> Self {
        Note {
            written: *state != State::default(),
            purged_end: state.purged.as_ref().map_or(0, |(index, _)| index.saturating_add(1)),
        }
    }

    fn encode(self) -> String {
        let text = format!("{FIRST_LINE}\nwritten {}\npurged-before {}\n", self.written, self.purged_end);
        format!("{text}crc {:08x}\n", crc32fast::hash(text.as_bytes()))
    }

    fn decode(text: &str) -> Option<Self> {
        let mut lines = text.lines().skip(1);
        let written = lines.next()?.strip_prefix("written ")?.parse().ok()?;
        let purged_end = lines.next()?.strip_prefix("purged-before ")?.parse().ok()?;
        let note = Note { written, purged_end };
        (note.encode() == text).then_some(note)
    }
}

/// Whether anything was ever made durable in `dir`. When in doubt it was.
pub(super) fn exists(dir: &Path) -> bool {
    dir.join(FILE).try_exists().unwrap_or(true)
}

impl Witnessed {
    /// Compares what the store holds with the note in `dir`.
    pub(super) fn open(dir: &Path, store: Box<dyn LogStore>) -> Result<Self, Error> {
        let path = dir.join(FILE);
        let noted = match std::fs::read(&path) {
            Ok(bytes) => std::str::from_utf8(&bytes).ok().and_then(Note::decode),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Some(Note::default()),
            Err(source) => return Err(Error::Io { doing: "read", path, source }),
        };
        let noted = noted.ok_or_else(|| Error::corrupt(&path, "its checksum does not match"))?;
        let found = Note::of(&store.state());
        if noted.written && !found.written {
            return Err(Error::corrupt(
                &dir.join(super::format::DATA),
                "it is empty, but something was stored in it",
            ));
        }
        if found.purged_end < noted.purged_end {
            let what = format!(
                "it is older than it was: the log was purged before entry {}, now before {}",
                noted.purged_end, found.purged_end
            );
            return Err(Error::corrupt(&dir.join(super::format::DATA), what));
        }
        Ok(Witnessed { store, path, noted, failed: false })
    }
}

impl LogStore for Witnessed {
    fn append(&mut self, first_index: u64, records: &[Bytes]) -> Result<(), Error> {
        self.store.append(first_index, records)
    }

    fn save_vote(&mut self, vote: &[u8]) -> Result<(), Error> {
        self.store.save_vote(vote)
    }

    fn save_committed(&mut self, committed: &[u8]) -> Result<(), Error> {
        self.store.save_committed(committed)
    }

    fn truncate_from(&mut self, index: u64) -> Result<(), Error> {
        self.store.truncate_from(index)
    }

    fn purge_through(&mut self, index: u64, last_purged: &[u8]) -> Result<(), Error> {
        self.store.purge_through(index, last_purged)
    }

    fn read(&self, range: Range<u64>, max_bytes: usize) -> Result<Vec<Bytes>, Error> {
        self.store.read(range, max_bytes)
    }

    fn state(&self) -> State {
        self.store.state()
    }

    fn sync(&mut self) -> Result<(), Error> {
        if self.failed {
            return Err(Error::Failed);
        }
        self.store.sync()?;
        // Only what is durable may be noted, or a power cut in between would look like damage.
        let now = Note::of(&self.store.state());
        if now > self.noted {
            let written = durable::write_file(&self.path, now.encode().as_bytes());
            self.failed = written.is_err();
            written.map_err(Error::io("write", &self.path))?;
            self.noted = now;
        }
        Ok(())
    }

    fn usage(&self) -> Usage {
        self.store.usage()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Backend, Options, open};
    use super::*;

    #[test]
    fn a_log_that_has_vanished_or_gone_back_is_damage() {
        for backend in [Backend::Sled, Backend::Segments] {
            let dir = tempfile::tempdir().unwrap();
            let options = Options::new(backend);
            let mut store = open(dir.path(), options).unwrap();
            store.sync().unwrap();
            assert!(!dir.path().join(FILE).exists(), "an empty store has nothing to witness");
            store.save_vote(b"v").unwrap();
            store.sync().unwrap();
            store.purge_through(8, b"p").unwrap();
            store.sync().unwrap();
            drop(store);
            drop(open(dir.path(), options).unwrap());
            std::fs::write(dir.path().join(FILE), Note { written: true, purged_end: 10 }.encode()).unwrap();
            let error = open(dir.path(), options).err().unwrap().to_string();
            assert!(error.contains("purged before entry 10, now before 9"), "{error}");
            std::fs::remove_dir_all(dir.path().join("log")).unwrap();
            let error = open(dir.path(), options).err().unwrap().to_string();
            assert!(error.contains("it is empty, but something was stored in it"), "{error}");
        }
    }

    #[test]
    fn a_damaged_note_is_damage() {
        let text = Note { written: true, purged_end: 77 }.encode();
        assert_eq!(Note::decode(&text), Some(Note { written: true, purged_end: 77 }));
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            assert_eq!(std::str::from_utf8(&bytes).ok().and_then(Note::decode), None, "byte {at}");
            assert_eq!(Note::decode(&text[..at]), None, "cut at {at}");
        }
    }
}
