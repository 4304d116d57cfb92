//! One file of the segmented log: created whole, appended to, scanned once at open.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::frame::{self, Frame, HEADER_BYTES, Kind, Place};
use super::{Error, State};
use crate::raft::durable;

const HEAD: &[u8] = b"minijob log segment, format 1";
const EXTENSION: &str = "seg";

/// A write buffer larger than this is given back after use; an ordinary batch is far smaller.
const BUFFER_BYTES_KEPT: usize = 1 << 20;

/// An open segment and where its entries are.
pub(super) struct Segment {
    /// Its number; numbers have no holes.
    pub(super) number: u64,
    /// Bytes written.
    pub(super) len: u64,
    /// Bytes known to be durable.
    pub(super) durable: u64,
    /// Index of the first of `entries`; meaningless while there are none.
    pub(super) first: u64,
    path: PathBuf,
    file: File,
    /// Offset and length of each entry's payload, consecutive by index.
    entries: VecDeque<(u32, u32)>,
}

/// A frame found by a scan, for the store to act on.
pub(super) struct Found<'a> {
    pub(super) frame: Frame<'a>,
    pub(super) offset: u64,
}

impl Segment {
    /// Creates a segment that says what the store knows; durable, name included, on return.
    pub(super) fn create(dir: &Path, number: u64, state: &State) -> Result<Self, Error> {
        let mut bytes = Vec::new();
        let mut put = |kind, index, payload: &[u8]| {
            let place = Place { segment: number, offset: bytes.len() as u64 };
            frame::encode(Frame { kind, index, durable: 0, payload }, place, &mut bytes);
        };
        put(Kind::Head, number, HEAD);
        if let Some((index, purged)) = &state.purged {
            put(Kind::Purge, *index, purged);
        }
        if let Some(vote) = &state.vote {
            put(Kind::Vote, 0, vote);
        }
        if let Some(committed) = &state.committed {
            put(Kind::Committed, 0, committed);
        }
        let path = path(dir, number);
        durable::write_file(&path, &bytes).map_err(Error::io("create", &path))?;
        let file = open(&path)?;
        let len = bytes.len() as u64;
        Ok(Segment { number, len, durable: len, first: 0, path, file, entries: VecDeque::new() })
    }

    /// Opens a segment and hands every good frame after the head to `found`.
    ///
    /// With `torn_allowed` (the last segment) the bytes after the last good frame are cut off, unless a later frame
    /// proves that they were once durable; in any other segment they are damage.
    pub(super) fn open(
        dir: &Path,
        number: u64,
        torn_allowed: bool,
        mut found: impl FnMut(&mut Segment, Found<'_>) -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let path = path(dir, number);
        let bytes = std::fs::read(&path).map_err(Error::io("read", &path))?;
        let file = open(&path)?;
        let mut segment =
            Segment { number, len: 0, durable: 0, first: 0, path, file, entries: VecDeque::new() };
        while (segment.len as usize) < bytes.len() {
            let offset = segment.len;
            match frame::decode(&bytes[offset as usize..], Place { segment: number, offset }) {
                Ok(frame) => {
                    segment.check_head(&frame)?;
                    segment.len += frame.len() as u64;
                    found(&mut segment, Found { frame, offset })?;
                }
                Err(bad) if torn_allowed && !frame::was_durable(&bytes, number, offset as usize) => {
                    tracing::info!(file = %segment.path.display(), offset, %bad, "cutting off a torn tail");
                    break;
                }
                Err(bad) => {
                    return Err(Error::corrupt(&segment.path, format!("{bad} at byte {offset}")));
                }
            }
        }
        if segment.len == 0 {
            return Err(Error::corrupt(&segment.path, "it has no head"));
        }
        if segment.len < bytes.len() as u64 {
            segment.file.set_len(segment.len).map_err(Error::io("cut", &segment.path))?;
        }
        // What was read may still be in the page cache only: the process may have died, not the machine.
        segment.file.sync_all().map_err(Error::io("sync", &segment.path))?;
        segment.durable = segment.len;
        Ok(segment)
    }

    fn check_head(&self, frame: &Frame<'_>) -> Result<(), Error> {
        let is_head = frame.kind == Kind::Head;
        if is_head != (self.len == 0) {
            return Err(Error::corrupt(
                &self.path,
                format!("a head is missing or misplaced at byte {}", self.len),
            ));
        }
        if is_head && frame.payload != HEAD {
            return Err(Error::corrupt(&self.path, "its head names another format"));
        }
        Ok(())
    }

    /// Writes frames, given as kind, index and payload, after what is there.
    pub(super) fn write<'a>(
        &mut self,
        frames: impl Iterator<Item = (Kind, u64, &'a [u8])>,
        buffer: &mut Vec<u8>,
    ) -> Result<(), Error> {
        buffer.clear();
        let start = self.len;
        for (kind, index, payload) in frames {
            let offset = start + buffer.len() as u64;
            let place = Place { segment: self.number, offset };
            frame::encode(Frame { kind, index, durable: self.durable, payload }, place, buffer);
            if kind == Kind::Entry {
                self.note_entry(index, offset, payload.len());
            }
        }
        self.file.write_all_at(buffer, start).map_err(Error::io("write", &self.path))?;
        self.len += buffer.len() as u64;
        if buffer.capacity() > BUFFER_BYTES_KEPT {
            *buffer = Vec::new();
        }
        Ok(())
    }

    /// Remembers where an entry is.
    pub(super) fn note_entry(&mut self, index: u64, offset: u64, len: usize) {
        if self.entries.is_empty() {
            self.first = index;
        }
        self.entries.push_back(((offset as usize + HEADER_BYTES) as u32, len as u32));
    }

    /// Index after the last entry, or `None` without entries.
    pub(super) fn end(&self) -> Option<u64> {
        (!self.entries.is_empty()).then(|| self.first + self.entries.len() as u64)
    }

    /// Forgets entries from `index` on; answers with their bytes.
    pub(super) fn truncate_from(&mut self, index: u64) -> u64 {
        let keep = index.saturating_sub(self.first).min(self.entries.len() as u64) as usize;
        self.entries.drain(keep..).map(|(_, len)| u64::from(len)).sum()
    }

    /// Forgets entries through `index`; answers with their bytes.
    pub(super) fn purge_through(&mut self, index: u64) -> u64 {
        let gone = (index + 1).saturating_sub(self.first).min(self.entries.len() as u64);
        self.first += gone;
        self.entries.drain(..gone as usize).map(|(_, len)| u64::from(len)).sum()
    }

    /// Length of an entry that is present.
    pub(super) fn entry_len(&self, index: u64) -> usize {
        self.entries[(index - self.first) as usize].1 as usize
    }

    /// Reads an entry that is present, checking it again.
    pub(super) fn read(&self, index: u64) -> Result<Bytes, Error> {
        let (offset, len) = self.entries[(index - self.first) as usize];
        let start = u64::from(offset) - HEADER_BYTES as u64;
        let mut bytes = vec![0; HEADER_BYTES + len as usize];
        self.file.read_exact_at(&mut bytes, start).map_err(Error::io("read", &self.path))?;
        match frame::decode(&bytes, Place { segment: self.number, offset: start }) {
            Ok(frame) if frame.kind == Kind::Entry && frame.index == index => {
                Ok(Bytes::from(bytes).slice(HEADER_BYTES..))
            }
            Ok(_) => {
                Err(Error::corrupt(&self.path, format!("another frame than entry {index} at byte {start}")))
            }
            Err(bad) => Err(Error::corrupt(&self.path, format!("{bad} at byte {start}"))),
        }
    }

    /// Makes everything written durable.
    pub(super) fn sync(&mut self) -> Result<(), Error> {
        if self.durable < self.len {
            self.file.sync_data().map_err(Error::io("sync", &self.path))?;
            self.durable = self.len;
        }
        Ok(())
    }

    /// Removes the file.
    pub(super) fn remove(self) -> Result<(), Error> {
        std::fs::remove_file(&self.path).map_err(Error::io("remove", &self.path))
    }
}

/// The numbers of all segments in a directory, ascending; removes what a crash left half created.
pub(super) fn list(dir: &Path) -> Result<Vec<u64>, Error> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(Error::io("list", dir))? {
        let path = entry.map_err(Error::io("list", dir))?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("tmp") => std::fs::remove_file(&path).map_err(Error::io("remove", &path))?,
            Some(EXTENSION) => match u64::from_str_radix(stem, 16) {
                Ok(number) => numbers.push(number),
                Err(_) => return Err(Error::corrupt(&path, "not a segment's name")),
            },
            _ => return Err(Error::corrupt(&path, "a file that the log did not write")),
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Removes a segment by number.
pub(super) fn remove(dir: &Path, number: u64) -> Result<(), Error> {
    let path = path(dir, number);
    std::fs::remove_file(&path).map_err(Error::io("remove", &path))
}

/// The path of a segment.
pub(super) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:016x}.{EXTENSION}"))
}

fn open(path: &Path) -> Result<File, Error> {
    File::options().read(true).write(true).open(path).map_err(Error::io("open", path))
}
