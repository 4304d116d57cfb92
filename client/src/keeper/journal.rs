//! The journal: starts, ends and collections on disk, so that ends outlive keeper and guard together.
//!
//! Entries are written before the agent hears of them and never synced one by one: what a killed process wrote is in the
//! kernel and safe. A power cut may lose the last seconds; attempts whose end is lost with them are reported as lost, for
//! after a reboot nothing of them runs. The whole file is rewritten (temporary, fsync, rename) when a keeper
//! starts and when it is mostly history.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use prost::Message;

use super::record::Record;
use crate::limits::JOURNAL_COMPACT_BYTES;

const HEAD_BYTES: usize = 8;

#[derive(Clone, PartialEq, prost::Message)]
struct Entry {
    #[prost(message, optional, tag = "1")]
    put: Option<Record>,
    #[prost(uint64, tag = "2")]
    delete: u64,
}

/// The open journal.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    /// `None` until the first rewrite has succeeded.
    file: Option<File>,
    bytes: u64,
    /// Size after the last rewrite: grown to twice that, it is mostly history.
    bytes_live: u64,
    /// Whether an entry could not be written, so that only a rewrite makes the file true again.
    behind: bool,
    /// Whether there was a change since the last rewrite was tried.
    changed: bool,
}

/// Reads the records that stand in the journal at `path`, in the order of their slots. A torn or damaged end is ignored,
/// a missing file is empty.
pub(super) fn load(path: &Path) -> Vec<Record> {
    let bytes = fs::read(path).unwrap_or_default();
    let mut records = std::collections::BTreeMap::new();
    let mut rest = &bytes[..];
    while let Some((entry, next)) = parse(rest) {
        rest = next;
        match entry.put {
            Some(record) => drop(records.insert(record.slot, record)),
            None => drop(records.remove(&entry.delete)),
        }
    }
    records.into_values().collect()
}

impl Journal {
    /// Prepares the journal at `path`; the file is left alone until [`Journal::rewrite`].
    pub(super) fn new(path: &Path) -> Journal {
        Journal { path: path.to_owned(), file: None, bytes: 0, bytes_live: 0, behind: true, changed: false }
    }

    fn create<'a>(path: &Path, records: impl Iterator<Item = &'a Record>) -> io::Result<Journal> {
        let temporary = path.with_extension("new");
        let mut content = Vec::new();
        for record in records {
            append(&mut content, &Entry { put: Some(record.clone()), delete: 0 });
        }
        let mut file = File::create(&temporary)?;
        file.write_all(&content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        if let Some(parent) = path.parent() {
            File::open(parent)?.sync_all()?;
        }
        let bytes = content.len() as u64;
        Ok(Journal {
            path: path.to_owned(),
            file: Some(file),
            bytes,
            bytes_live: bytes,
            behind: false,
            changed: false,
        })
    }

    /// Notes that `record` is as it is now.
    pub(super) fn put(&mut self, record: &Record) {
        self.write(&Entry { put: Some(record.clone()), delete: 0 });
    }

    /// Notes that `slot` is forgotten.
    pub(super) fn delete(&mut self, slot: u64) {
        self.write(&Entry { put: None, delete: slot });
    }

    /// Whether the caller should [`Journal::rewrite`] now.
    pub(super) fn wants_rewrite(&self) -> bool {
        self.behind && self.changed || self.bytes > JOURNAL_COMPACT_BYTES.max(2 * self.bytes_live)
    }

    /// Makes the file hold exactly `records`. A failure (a full disk) leaves the old one, and the next change wants this
    /// again.
    pub(super) fn rewrite<'a>(&mut self, records: impl Iterator<Item = &'a Record>) {
        match Journal::create(&self.path, records) {
            Ok(journal) => *self = journal,
            Err(error) => {
                super::process::note(&format!("journal: {error}"));
                self.behind = true;
                self.changed = false;
            }
        }
    }

    fn write(&mut self, entry: &Entry) {
        self.changed = true;
        let Some(file) = self.file.as_mut().filter(|_| !self.behind) else { return };
        let mut bytes = Vec::new();
        append(&mut bytes, entry);
        match file.write_all(&bytes) {
            Ok(()) => self.bytes += bytes.len() as u64,
            Err(error) => {
                super::process::note(&format!("journal: {error}"));
                // A torn entry in the middle would hide all that follow.
                let _ = file.set_len(self.bytes);
                self.behind = true;
            }
        }
    }
}

fn append(out: &mut Vec<u8>, entry: &Entry) {
    let body = entry.encode_to_vec();
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(&body).to_le_bytes());
    out.extend_from_slice(&body);
}

fn parse(bytes: &[u8]) -> Option<(Entry, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>()?;
    let length = u32::from_le_bytes(head[..4].try_into().expect("four of eight")) as usize;
    let sum = u32::from_le_bytes(head[4..].try_into().expect("four of eight"));
    let body = rest.get(..length)?;
    if crc32fast::hash(body) != sum {
        return None;
    }
    Some((Entry::decode(body).ok()?, &rest[length..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(slot: u64) -> Record {
        Record { slot, pid: slot as u32 + 100, log_dir: "/var/log/x".into(), ..Record::default() }
    }

    #[test]
    fn a_torn_tail_never_costs_an_older_entry() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut journal = Journal::create(&path, [record(1)].iter()).unwrap();
        journal.put(&record(2));
        journal.delete(1);
        let whole = fs::read(&path).unwrap();
        journal.put(&record(3));
        let longer = fs::read(&path).unwrap();
        for cut in whole.len()..longer.len() {
            fs::write(&path, &longer[..cut]).unwrap();
            assert_eq!(load(&path), [record(2)], "cut at {cut}");
        }
        fs::write(&path, &longer).unwrap();
        assert_eq!(load(&path), [record(2), record(3)]);
    }

    #[test]
    fn a_rewrite_keeps_what_lives_and_only_that() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal");
        let mut journal = Journal::create(&path, [].iter()).unwrap();
        let mut slot = 0;
        while !journal.wants_rewrite() {
            slot += 1;
            journal.put(&record(slot));
            journal.delete(slot);
        }
        journal.rewrite([record(7)].iter());
        assert!(!journal.wants_rewrite());
        assert_eq!(load(&path), [record(7)]);
    }

    #[test]
    fn no_file_is_no_record() {
        assert!(load(Path::new("/no/such/journal")).is_empty());
    }
}
