//! Finds where the last lines of a task begin, looking backwards through its streams at once. Everything here blocks.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use proto::time::Timestamp;

use super::reader::Cursor;
use super::source::Source;
use super::times::Clock;
use crate::limits::{LOG_CHUNK_BYTES, LOG_TAIL_SCAN_BYTES};

/// Returns where to begin in each stream so that together, by their times, these are the last `lines` lines; fewer when the last
/// 16 MiB of a stream hold fewer.
///
/// # Errors
/// When the folder or a file cannot be read.
pub(super) fn begins(streams: &[&Source], lines: usize) -> io::Result<Vec<Cursor>> {
    let mut ends = Vec::new();
    for stream in streams {
        ends.push(Backwards::open(stream)?);
    }
    let mut begins: Vec<Cursor> = ends.iter().map(|stream| stream.end).collect();
    if lines == 0 {
        return Ok(begins);
    }
    let mut next = Vec::new();
    for end in &mut ends {
        next.push(end.line()?);
    }
    for _ in 0..lines {
        // Of the same moment the later stream: read forwards, it comes behind the other.
        let latest = next.iter().enumerate().filter_map(|(stream, line)| line.map(|line| (line.1, stream)));
        let Some((_, stream)) = latest.max() else { break };
        if let Some((begin, _)) = next[stream] {
            begins[stream] = begin;
        }
        next[stream] = ends[stream].line()?;
    }
    Ok(begins)
}

/// Where a line begins, and when that was written as far as is known.
type Line = (Cursor, Option<Timestamp>);

/// One stream, line by line from its end. Memory is one block.
struct Backwards<'s> {
    source: &'s Source,
    /// Files that were not looked at yet, ascending.
    older: Vec<u64>,
    file: Option<OpenFile>,
    /// The end of the stream.
    end: Cursor,
    /// Bytes of the file that were not read into `block` yet.
    rest: u64,
    /// Bytes behind those, as far as they were not passed.
    block: Vec<u8>,
    /// Where begins what was passed; the line before ends there or goes on.
    passed: Option<Line>,
    scanned: u64,
}

struct OpenFile {
    number: u64,
    file: Arc<File>,
    clock: Clock,
}

impl<'s> Backwards<'s> {
    fn open(source: &'s Source) -> io::Result<Self> {
        let mut stream = Self {
            source,
            older: source.numbers()?,
            file: None,
            end: Cursor::default(),
            rest: 0,
            block: Vec::new(),
            passed: None,
            scanned: 0,
        };
        stream.open_older()?;
        if let Some(OpenFile { number, .. }) = stream.file {
            stream.end = Cursor { file: number, at: stream.rest };
        }
        Ok(stream)
    }

    fn open_older(&mut self) -> io::Result<()> {
        self.file = None;
        let Some(number) = self.older.pop() else { return Ok(()) };
        // Where one was removed meanwhile, those before it are gone too.
        if let Some(file) = self.source.open(number)? {
            self.rest = file.metadata()?.len();
            self.file = Some(OpenFile { number, file, clock: Clock::backwards(&self.source.path(number)) });
        }
        Ok(())
    }

    /// Returns where the line before the last one begins.
    fn line(&mut self) -> io::Result<Option<Line>> {
        while self.fill()? {
            if self.passed.is_none() {
                // The end of the last line is not the beginning of another.
                self.pass(self.block.len() - 1);
            }
            let newline = self.block.iter().rposition(|byte| *byte == b'\n');
            self.pass(newline.map_or(0, |at| at + 1));
            if let Some(newline) = newline {
                let line = self.timed();
                self.pass(newline);
                return Ok(line);
            }
        }
        let first = self.timed();
        // There is nothing before it: it is not found again.
        (self.passed, self.file) = (None, None);
        Ok(first)
    }

    /// Passes what is in the block from there on.
    fn pass(&mut self, from: usize) {
        if let Some(open) = self.file.as_ref().filter(|_| from < self.block.len()) {
            self.passed = Some((Cursor { file: open.number, at: self.rest + from as u64 }, None));
            self.block.truncate(from);
        }
    }

    fn timed(&mut self) -> Option<Line> {
        let (place, time) = self.passed?;
        let open = self.file.as_mut().filter(|open| open.number == place.file);
        Some((place, open.map_or(time, |open| open.clock.backwards_at(place.at))))
    }

    /// Reads more, when all is passed; false when there is no more, or enough was searched.
    fn fill(&mut self) -> io::Result<bool> {
        while self.block.is_empty() {
            if self.rest == 0 {
                self.passed = self.timed();
                self.open_older()?;
            }
            let Some(open) = self.file.as_ref().filter(|_| self.scanned < LOG_TAIL_SCAN_BYTES) else {
                return Ok(false);
            };
            let start = self.rest.saturating_sub(LOG_CHUNK_BYTES as u64);
            self.block.resize((self.rest - start) as usize, 0);
            open.file.read_exact_at(&mut self.block, start)?;
            self.scanned += self.block.len() as u64;
            self.rest = start;
        }
        Ok(true)
    }
}
