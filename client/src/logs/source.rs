//! The row of files of one stream, read from any place. Everything here blocks.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

use proto::time::Timestamp;

use super::files::{self, Stream};
use super::reader::{Chunk, Cursor};
use super::times;
use crate::limits::LOG_CHUNK_BYTES;

/// A stream of a task.
#[derive(Debug)]
pub(super) struct Source {
    /// The folder of the files.
    pub(super) dir: PathBuf,
    /// The task.
    pub(super) task: String,
    /// Which stream.
    pub(super) stream: Stream,
}

/// The file that was read last, and its number.
pub(super) type Open = Option<(u64, Arc<File>)>;

impl Source {
    /// Returns the next bytes from a place on, and the file that was open last.
    ///
    /// # Errors
    /// When a file cannot be read; asking again is fine.
    pub(super) fn read(&self, mut cursor: Cursor, mut open: Open) -> io::Result<(Option<Chunk>, Open)> {
        loop {
            let file = match open.take().filter(|(number, _)| *number == cursor.file) {
                Some((_, file)) => Some(file),
                None => self.open(cursor.file)?,
            };
            if let Some(file) = &file
                && let Some(chunk) = self.chunk(file, cursor)?
            {
                return Ok((Some(chunk), Some((cursor.file, Arc::clone(file)))));
            }
            let Some(newer) = self.numbers()?.into_iter().find(|&number| number > cursor.file) else {
                return Ok((None, file.map(|file| (cursor.file, file))));
            };
            // The writer had finished this file before it made the newer one, but perhaps not before we read it.
            if let Some(file) = &file
                && let Some(chunk) = self.chunk(file, cursor)?
            {
                return Ok((Some(chunk), Some((cursor.file, Arc::clone(file)))));
            }
            cursor = Cursor { file: newer, at: 0 };
        }
    }

    fn chunk(&self, file: &File, cursor: Cursor) -> io::Result<Option<Chunk>> {
        let mut bytes = vec![0; LOG_CHUNK_BYTES];
        let count = file.read_at(&mut bytes, cursor.at)?;
        bytes.truncate(count);
        let next = Cursor { at: cursor.at + count as u64, ..cursor };
        Ok((count > 0).then(|| Chunk { stream: self.stream, next, bytes: bytes.into() }))
    }

    /// Returns the path of one of its files.
    pub(super) fn path(&self, number: u64) -> PathBuf {
        files::path(&self.dir, &self.task, self.stream, number)
    }

    /// Opens one of its files; none when it is gone.
    pub(super) fn open(&self, number: u64) -> io::Result<Option<Arc<File>>> {
        match File::open(self.path(number)) {
            Ok(file) => Ok(Some(Arc::new(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lists the numbers of its files, ascending.
    pub(super) fn numbers(&self) -> io::Result<Vec<u64>> {
        files::numbers(&self.dir, &self.task, self.stream)
    }

    /// Finds the line in which something was written at this moment or later; the end, when there is none.
    pub(super) fn since(&self, since: Timestamp) -> io::Result<Cursor> {
        let mut end = Cursor::default();
        for number in self.numbers()? {
            let Some(file) = self.open(number)? else { continue };
            if let Some(at) = times::find(&self.path(number), &file, since)? {
                return Ok(Cursor { file: number, at: line_behind(&file, at)? });
            }
            end = Cursor { file: number, at: file.metadata()?.len() };
        }
        Ok(end)
    }
}

/// Returns where the line begins that begins at `at` or next behind it; `at` itself, where that is not near.
fn line_behind(file: &File, at: u64) -> io::Result<u64> {
    let Some(before) = at.checked_sub(1) else { return Ok(0) };
    let mut bytes = vec![0; LOG_CHUNK_BYTES];
    let count = file.read_at(&mut bytes, before)?;
    let end = bytes[..count].iter().position(|byte| *byte == b'\n');
    Ok(end.map_or(at, |end| before + end as u64 + 1))
}
