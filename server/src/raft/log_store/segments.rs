//! The segmented log: entries, votes and everything else as frames of append-only files.
//!
//! Nothing is ever overwritten: a truncation and a purge are frames too. So what a power cut leaves is a prefix of what
//! was written, after the torn tail of the last file is cut off. A new segment repeats vote, committed and purged, so
//! that purging is the removal of old files; they are removed only once the purge itself is durable.

use std::collections::VecDeque;
use std::ops::Range;
use std::path::PathBuf;

use bytes::Bytes;

use super::format::Claim;
use super::frame::Kind;
use super::segment::{self, Found, Segment};
use super::{Error, LogStore, State, Usage, check_append, check_truncate};
use crate::raft::durable;

/// The segmented log, open.
pub(super) struct Store {
    claim: Claim,
    segment_bytes: u64,
    /// Without holes in their numbers; the last one is written.
    segments: VecDeque<Segment>,
    /// Removed from the log, to be removed from the disk by the next sync.
    removed: Vec<Segment>,
    state: State,
    log_bytes: u64,
    /// Reused by every write.
    buffer: Vec<u8>,
    failed: bool,
}

impl Store {
    /// Opens the log, cutting off a torn tail.
    pub(super) fn open(claim: Claim, segment_bytes: u64) -> Result<Self, Error> {
        let dir = claim.data.clone();
        let numbers = segment::list(&dir)?;
        // Removals reach the disk in any order, so older files may have survived newer ones: what counts is the run
        // without holes that ends at the newest. Whether it is complete is checked below, before anything is removed.
        let holes = numbers.windows(2).rposition(|pair| pair[0] + 1 != pair[1]);
        let (left_over, live) = numbers.split_at(holes.map_or(0, |at| at + 1));
        let mut store = Store {
            claim,
            segment_bytes,
            segments: VecDeque::new(),
            removed: Vec::new(),
            state: State::default(),
            log_bytes: 0,
            buffer: Vec::new(),
            failed: false,
        };
        for number in live {
            let torn_allowed = live.last() == Some(number);
            let segment = Segment::open(&dir, *number, torn_allowed, |segment, found| {
                store.replay(&dir, segment, &found)
            })?;
            store.segments.push_back(segment);
        }
        store.check_complete(live)?;
        for number in left_over {
            segment::remove(&dir, *number)?;
        }
        if store.segments.is_empty() {
            store.segments.push_back(Segment::create(&dir, 1, &store.state)?);
        }
        durable::sync_dir(&dir).map_err(Error::io("sync", &dir))?;
        store.drop_purged_segments();
        Ok(store)
    }

    fn replay(
        &mut self,
        dir: &std::path::Path,
        segment: &mut Segment,
        found: &Found<'_>,
    ) -> Result<(), Error> {
        let frame = &found.frame;
        if frame.index == u64::MAX {
            // Nothing ever wrote it, and nothing could follow it.
            let what = format!("a frame names an impossible index at byte {}", found.offset);
            return Err(Error::corrupt(&segment::path(dir, segment.number), what));
        }
        match frame.kind {
            Kind::Head => {}
            Kind::Entry => {
                // While older segments are gone, the first entry seen may have any index above what was purged then.
                if self.state.last.is_some_and(|last| last + 1 != frame.index) {
                    let what = format!(
                        "entry {} does not follow the one before at byte {}",
                        frame.index, found.offset
                    );
                    return Err(Error::corrupt(&segment::path(dir, segment.number), what));
                }
                segment.note_entry(frame.index, found.offset, frame.payload.len());
                self.note_appended(frame.index, 1, frame.payload.len() as u64);
            }
            Kind::Vote => self.state.vote = Some(Bytes::copy_from_slice(frame.payload)),
            Kind::Committed => self.state.committed = Some(Bytes::copy_from_slice(frame.payload)),
            Kind::Truncate => {
                self.log_bytes -= segment.truncate_from(frame.index);
                self.forget_from(frame.index);
            }
            Kind::Purge => {
                self.log_bytes -= segment.purge_through(frame.index);
                self.forget_through(frame.index, Bytes::copy_from_slice(frame.payload));
            }
        }
        Ok(())
    }

    /// Refuses a log whose beginning is missing.
    fn check_complete(&self, live: &[u64]) -> Result<(), Error> {
        let dir = &self.claim.data;
        match (&self.state.purged, self.state.first, live.first()) {
            (Some((purged, _)), Some(first), _) if purged + 1 != first => Err(Error::corrupt(
                dir,
                format!("entries {} to {} are missing", purged + 1, first.saturating_sub(1)),
            )),
            (None, _, Some(oldest)) if *oldest != 1 => {
                Err(Error::corrupt(dir, format!("the segments before number {oldest} are missing")))
            }
            _ => Ok(()),
        }
    }

    fn note_appended(&mut self, first: u64, count: u64, bytes: u64) {
        self.state.first.get_or_insert(first);
        self.state.last = Some(first + count - 1);
        self.log_bytes += bytes;
    }

    fn forget_from(&mut self, index: u64) {
        for segment in &mut self.segments {
            self.log_bytes -= segment.truncate_from(index);
        }
        if self.state.last.is_some_and(|last| index <= last) {
            self.state.last = index.checked_sub(1).filter(|last| Some(*last) >= self.state.first);
            self.state.first = self.state.first.filter(|_| self.state.last.is_some());
        }
    }

    fn forget_through(&mut self, index: u64, purged: Bytes) {
        for segment in &mut self.segments {
            self.log_bytes -= segment.purge_through(index);
        }
        self.state.first = self.state.first.map(|first| first.max(index + 1));
        self.state.last = self.state.last.filter(|last| index < *last);
        self.state.first = self.state.first.filter(|_| self.state.last.is_some());
        self.state.purged = Some((index, purged));
    }

    fn drop_purged_segments(&mut self) {
        let purged = self.state.purged.as_ref().map(|(index, _)| *index);
        // Oldest first and never past one that is needed, so that the numbers that stay have no holes.
        while self.segments.len() > 1 && purged.is_some() && self.segments[0].end().is_none() {
            self.removed.extend(self.segments.pop_front());
        }
    }

    /// The segment to write to; starts a new one when the last is full.
    fn active(&mut self) -> Result<&mut Segment, Error> {
        let last = self.segments.back_mut().expect("a store has at least one segment");
        if last.len >= self.segment_bytes {
            // Only the last segment may be torn, so this one must be whole before there is another.
            last.sync()?;
            let next = Segment::create(&self.claim.data, last.number + 1, &self.state)?;
            self.segments.push_back(next);
        }
        Ok(self.segments.back_mut().expect("a store has at least one segment"))
    }

    fn write_one(&mut self, kind: Kind, index: u64, payload: &[u8]) -> Result<(), Error> {
        self.guarded(|store| {
            let mut buffer = std::mem::take(&mut store.buffer);
            let result = store.active()?.write(std::iter::once((kind, index, payload)), &mut buffer);
            store.buffer = buffer;
            result
        })
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

    fn segment_of(&self, index: u64) -> &Segment {
        let holds =
            |segment: &&Segment| segment.end().is_some_and(|end| segment.first <= index && index < end);
        self.segments.iter().rev().find(holds).expect("an index between first and last is in one segment")
    }
}

impl LogStore for Store {
    fn append(&mut self, first_index: u64, records: &[Bytes]) -> Result<(), Error> {
        check_append(&self.state, first_index, records)?;
        if records.is_empty() {
            return Ok(());
        }
        self.guarded(|store| {
            let mut buffer = std::mem::take(&mut store.buffer);
            let frames = records.iter().enumerate();
            let frames = frames.map(|(i, record)| (Kind::Entry, first_index + i as u64, record.as_ref()));
            store.active()?.write(frames, &mut buffer)?;
            store.buffer = buffer;
            let bytes = records.iter().map(|record| record.len() as u64).sum();
            store.note_appended(first_index, records.len() as u64, bytes);
            Ok(())
        })
    }

    fn save_vote(&mut self, vote: &[u8]) -> Result<(), Error> {
        self.write_one(Kind::Vote, 0, vote)?;
        self.state.vote = Some(Bytes::copy_from_slice(vote));
        Ok(())
    }

    fn save_committed(&mut self, committed: &[u8]) -> Result<(), Error> {
        self.write_one(Kind::Committed, 0, committed)?;
        self.state.committed = Some(Bytes::copy_from_slice(committed));
        Ok(())
    }

    fn truncate_from(&mut self, index: u64) -> Result<(), Error> {
        check_truncate(&self.state, index)?;
        if self.state.last.is_none_or(|last| last < index) {
            return Ok(());
        }
        self.write_one(Kind::Truncate, index, &[])?;
        self.forget_from(index);
        Ok(())
    }

    fn purge_through(&mut self, index: u64, last_purged: &[u8]) -> Result<(), Error> {
        if self.state.purged.as_ref().is_some_and(|(purged, _)| index <= *purged) {
            return Ok(());
        }
        self.write_one(Kind::Purge, index, last_purged)?;
        self.forget_through(index, Bytes::copy_from_slice(last_purged));
        self.drop_purged_segments();
        Ok(())
    }

    fn read(&self, range: Range<u64>, max_bytes: usize) -> Result<Vec<Bytes>, Error> {
        let (Some(first), Some(last)) = (self.state.first, self.state.last) else { return Ok(Vec::new()) };
        let mut records = Vec::new();
        let mut bytes = 0;
        for index in range.start.max(first)..range.end.min(last + 1) {
            let segment = self.segment_of(index);
            bytes += segment.entry_len(index);
            if bytes > max_bytes && !records.is_empty() {
                break;
            }
            records.push(segment.read(index)?);
        }
        Ok(records)
    }

    fn state(&self) -> State {
        self.state.clone()
    }

    fn sync(&mut self) -> Result<(), Error> {
        self.guarded(|store| {
            store.segments.back_mut().expect("a store has at least one segment").sync()?;
            store.removed.drain(..).try_for_each(Segment::remove)
        })
    }

    fn usage(&self) -> Usage {
        Usage { log_bytes: self.log_bytes, blobs: 0 }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("dir", &self.claim.data as &PathBuf).finish_non_exhaustive()
    }
}
