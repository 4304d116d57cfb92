//! sled, by the recipe that survives power cuts.
//!
//! `flush` alone is not durable on Linux: it ends in `sync_file_range`. So this store syncs the database file itself,
//! through a second descriptor, and syncs once what sled never does: its `conf` file and the directories. Blob files
//! are avoided by small parts and large segments. The log lives in trees of a fixed number of entries, so that purging
//! drops trees instead of deleting keys. sled recovers a prefix of the writes, across trees, and a batch as a whole.

mod database;

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::ops::Range;

use ::sled::{Batch, Db, Tree};
use bytes::Bytes;

use super::format::Claim;
use super::{Error, LogStore, State, Usage, check_append, check_truncate, parts};
use crate::limits::SLED_TREE_ENTRIES;
use crate::raft::durable;

const META: &str = "meta";
const TREE_PREFIX: &str = "log-";
const VOTE: &str = "vote";
const COMMITTED: &str = "committed";
const PURGED: &str = "purged";

/// The log in sled, open.
#[derive(Debug)]
pub(super) struct Store {
    claim: Claim,
    db: Db,
    /// A second descriptor of the database file: sled gives no access to its own.
    file: File,
    meta: Tree,
    /// Trees by their number: the index of their first entry divided by their size.
    trees: BTreeMap<u64, Tree>,
    state: State,
    /// Length of each entry present.
    lengths: VecDeque<u32>,
    log_bytes: u64,
    blobs: u64,
    failed: bool,
}

impl Store {
    /// Opens the database and checks every entry.
    pub(super) fn open(claim: Claim) -> Result<Self, Error> {
        let dir = claim.data.clone();
        let (db, file) = database::open(&dir)?;
        let meta = db.open_tree(META).map_err(|error| database::failed("open", &dir, error))?;
        let mut store = Store {
            claim,
            db,
            file,
            meta,
            trees: BTreeMap::new(),
            state: State::default(),
            lengths: VecDeque::new(),
            log_bytes: 0,
            blobs: 0,
            failed: false,
        };
        store.load_meta()?;
        store.load_log()?;
        store.sync()?;
        Ok(store)
    }

    fn load_meta(&mut self) -> Result<(), Error> {
        self.state.vote = self.get_meta(VOTE)?;
        self.state.committed = self.get_meta(COMMITTED)?;
        if let Some(value) = self.get_meta(PURGED)? {
            let Some(index) = value.first_chunk() else {
                return Err(Error::corrupt(&self.claim.data, "what was purged is not readable"));
            };
            self.state.purged = Some((u64::from_be_bytes(*index), value.slice(8..)));
        }
        Ok(())
    }

    /// Finds the entries and drops what an interrupted purge left behind.
    fn load_log(&mut self) -> Result<(), Error> {
        let mut numbers = Vec::new();
        for name in self.db.tree_names() {
            if let Some(hex) = name.strip_prefix(TREE_PREFIX.as_bytes()) {
                let number = std::str::from_utf8(hex).ok().and_then(|hex| u64::from_str_radix(hex, 16).ok());
                numbers.push(
                    number.ok_or_else(|| self.corrupt("a tree with a name that the log did not give"))?,
                );
            }
        }
        numbers.sort_unstable();
        let purged = self.state.purged.as_ref().map(|(index, _)| *index);
        for number in numbers {
            if purged.is_some_and(|purged| (number + 1) * SLED_TREE_ENTRIES <= purged + 1) {
                self.drop_tree(number)?;
                continue;
            }
            let tree = self.db.open_tree(name(number)).map_err(self.failed_to("open"))?;
            self.load_tree(&tree, purged)?;
            self.trees.insert(number, tree);
        }
        match (purged, self.state.first) {
            (Some(purged), Some(first)) if purged + 1 != first => {
                Err(self.corrupt(format!("entries {} to {} are missing", purged + 1, first - 1)))
            }
            _ => Ok(()),
        }
    }

    fn load_tree(&mut self, tree: &Tree, purged: Option<u64>) -> Result<(), Error> {
        let mut joiner = parts::Joiner::default();
        for item in tree.iter() {
            let (key, value) = item.map_err(self.failed_to("read"))?;
            if parts::index_of(&key).is_some_and(|index| Some(index) <= purged) {
                continue;
            }
            let Some((index, record)) = joiner.push(&key, &value).map_err(|what| self.corrupt(what))? else {
                continue;
            };
            if let Some(last) = self.state.last
                && last + 1 != index
            {
                return Err(self.corrupt(format!("entries {} to {} are missing", last + 1, index - 1)));
            }
            self.note_appended(index, record.len());
        }
        joiner.finish().map_err(|what| self.corrupt(what))
    }

    fn note_appended(&mut self, index: u64, len: usize) {
        self.state.first.get_or_insert(index);
        self.state.last = Some(index);
        self.lengths.push_back(len as u32);
        self.log_bytes += len as u64;
    }

    fn get_meta(&self, key: &str) -> Result<Option<Bytes>, Error> {
        let Some(value) = self.meta.get(key).map_err(self.failed_to("read"))? else { return Ok(None) };
        let value = Bytes::copy_from_slice(&value);
        match value.first_chunk::<4>() {
            Some(crc) if u32::from_le_bytes(*crc) == crc32fast::hash(&value[4..]) => {
                Ok(Some(value.slice(4..)))
            }
            _ => Err(self.corrupt(format!("the checksum of the {key} does not match"))),
        }
    }

    fn put_meta(&mut self, key: &str, payload: &[u8]) -> Result<(), Error> {
        self.guarded(|store| {
            let mut value = crc32fast::hash(payload).to_le_bytes().to_vec();
            value.extend_from_slice(payload);
            store.meta.insert(key, value).map_err(store.failed_to("write"))?;
            Ok(())
        })
    }

    fn drop_tree(&mut self, number: u64) -> Result<(), Error> {
        self.trees.remove(&number);
        self.db.drop_tree(name(number)).map_err(self.failed_to("write"))?;
        Ok(())
    }

    /// The tree of an entry, created where it is missing.
    fn tree(&mut self, number: u64) -> Result<&Tree, Error> {
        if !self.trees.contains_key(&number) {
            let tree = self.db.open_tree(name(number)).map_err(self.failed_to("write"))?;
            self.trees.insert(number, tree);
        }
        Ok(&self.trees[&number])
    }

    /// Deletes the keys of entries that are present, all in one tree.
    fn remove_entries(&mut self, range: Range<u64>) -> Result<(), Error> {
        let Some(first) = self.state.first.filter(|_| !range.is_empty()) else { return Ok(()) };
        let mut batch = Batch::default();
        for index in range.clone() {
            for part in 0..parts::count(self.lengths[(index - first) as usize] as usize) {
                batch.remove(&parts::key(index, part));
            }
        }
        self.trees[&(range.start / SLED_TREE_ENTRIES)].apply_batch(batch).map_err(self.failed_to("write"))
    }

    /// Runs a write; after one that failed there is no other.
    fn guarded<T>(&mut self, write: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        if self.failed {
            return Err(Error::Failed);
        }
        let result = write(self);
        self.failed = result.is_err();
        result
    }

    fn truncate(&mut self, index: u64, first: u64, last: u64) -> Result<(), Error> {
        let from = index.max(first);
        // From the end, so that a power cut in between leaves no hole.
        for number in (from / SLED_TREE_ENTRIES..=last / SLED_TREE_ENTRIES).rev() {
            let start = number * SLED_TREE_ENTRIES;
            if start >= from {
                self.drop_tree(number)?;
            } else {
                self.remove_entries(from..(last + 1).min(start + SLED_TREE_ENTRIES))?;
            }
        }
        let kept = (from - first) as usize;
        self.log_bytes -= self.lengths.drain(kept..).map(u64::from).sum::<u64>();
        self.state.last = from.checked_sub(1).filter(|_| kept > 0);
        self.state.first = self.state.last.map(|_| first);
        Ok(())
    }

    fn purge(&mut self, index: u64, first: u64, last: u64) -> Result<(), Error> {
        for number in first / SLED_TREE_ENTRIES..=index.min(last) / SLED_TREE_ENTRIES {
            let start = number * SLED_TREE_ENTRIES;
            let end = start + SLED_TREE_ENTRIES;
            if end <= index + 1 || last <= index {
                self.drop_tree(number)?;
            } else {
                self.remove_entries(start.max(first)..index + 1)?;
            }
        }
        let gone = (index + 1).min(last + 1).saturating_sub(first) as usize;
        self.log_bytes -= self.lengths.drain(..gone).map(u64::from).sum::<u64>();
        (self.state.first, self.state.last) =
            if last <= index { (None, None) } else { (Some(first.max(index + 1)), Some(last)) };
        Ok(())
    }

    /// Makes blob files durable, of which there should be none.
    fn sync_blobs(&mut self) -> std::io::Result<()> {
        let dir = self.claim.data.join("blobs");
        let mut blobs = 0;
        for entry in std::fs::read_dir(&dir)? {
            File::open(entry?.path())?.sync_all()?;
            blobs += 1;
        }
        if blobs > 0 {
            durable::sync_dir(&dir)?;
            tracing::error!(blobs, dir = %dir.display(), "sled wrote blob files, which it does not sync");
        }
        self.blobs = blobs;
        Ok(())
    }

    fn corrupt(&self, what: impl Into<String>) -> Error {
        Error::corrupt(&self.claim.data, what)
    }

    fn failed_to(&self, doing: &'static str) -> impl Fn(::sled::Error) -> Error + use<> {
        let dir = self.claim.data.clone();
        move |error| database::failed(doing, &dir, error)
    }
}

impl LogStore for Store {
    fn append(&mut self, first_index: u64, records: &[Bytes]) -> Result<(), Error> {
        check_append(&self.state, first_index, records)?;
        self.guarded(|store| {
            let mut rest = records;
            let mut index = first_index;
            while !rest.is_empty() {
                let number = index / SLED_TREE_ENTRIES;
                let room = ((number + 1) * SLED_TREE_ENTRIES - index) as usize;
                let (here, later) = rest.split_at(room.min(rest.len()));
                let mut batch = Batch::default();
                for (i, record) in here.iter().enumerate() {
                    parts::split(index + i as u64, record).for_each(|(key, value)| batch.insert(&key, value));
                }
                store.tree(number)?.apply_batch(batch).map_err(store.failed_to("write"))?;
                for record in here {
                    store.note_appended(index, record.len());
                    index += 1;
                }
                rest = later;
            }
            Ok(())
        })
    }

    fn save_vote(&mut self, vote: &[u8]) -> Result<(), Error> {
        self.put_meta(VOTE, vote)?;
        self.state.vote = Some(Bytes::copy_from_slice(vote));
        Ok(())
    }

    fn save_committed(&mut self, committed: &[u8]) -> Result<(), Error> {
        self.put_meta(COMMITTED, committed)?;
        self.state.committed = Some(Bytes::copy_from_slice(committed));
        Ok(())
    }

    fn truncate_from(&mut self, index: u64) -> Result<(), Error> {
        check_truncate(&self.state, index)?;
        match (self.state.first, self.state.last) {
            (Some(first), Some(last)) if index <= last => {
                self.guarded(|store| store.truncate(index, first, last))
            }
            _ => Ok(()),
        }
    }

    fn purge_through(&mut self, index: u64, last_purged: &[u8]) -> Result<(), Error> {
        if self.state.purged.as_ref().is_some_and(|(purged, _)| index <= *purged) {
            return Ok(());
        }
        // First the fact, then the removal: what is left after a power cut in between is dropped at open.
        let value = [&index.to_be_bytes()[..], last_purged].concat();
        self.put_meta(PURGED, &value)?;
        self.state.purged = Some((index, Bytes::copy_from_slice(last_purged)));
        match (self.state.first, self.state.last) {
            (Some(first), Some(last)) if first <= index => {
                self.guarded(|store| store.purge(index, first, last))
            }
            _ => Ok(()),
        }
    }

    fn read(&self, range: Range<u64>, max_bytes: usize) -> Result<Vec<Bytes>, Error> {
        let (Some(first), Some(last)) = (self.state.first, self.state.last) else { return Ok(Vec::new()) };
        let range = range.start.max(first)..range.end.min(last + 1);
        let mut records = Vec::new();
        let mut bytes = 0;
        for index in range {
            let len = self.lengths[(index - first) as usize] as usize;
            bytes += len;
            if bytes > max_bytes && !records.is_empty() {
                break;
            }
            let mut joiner = parts::Joiner::default();
            let tree = &self.trees[&(index / SLED_TREE_ENTRIES)];
            for part in 0..parts::count(len) {
                let key = parts::key(index, part);
                let value = tree.get(key).map_err(self.failed_to("read"))?;
                let value = value.ok_or_else(|| self.corrupt(format!("entry {index} is missing")))?;
                let whole = joiner.push(&key, &value).map_err(|what| self.corrupt(what))?;
                records.extend(whole.map(|(_, record)| Bytes::from(record)));
            }
        }
        Ok(records)
    }

    fn state(&self) -> State {
        self.state.clone()
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.guarded(|store| {
            store.db.flush().map_err(store.failed_to("sync"))?;
            let path = store.claim.data.join("db");
            store.file.sync_data().map_err(Error::io("sync", &path))?;
            store.sync_blobs().map_err(Error::io("sync", &store.claim.data.join("blobs")))
        })
    }

    fn usage(&self) -> Usage {
        Usage { log_bytes: self.log_bytes, blobs: self.blobs }
    }
}

fn name(number: u64) -> String {
    format!("{TREE_PREFIX}{number:08x}")
}
