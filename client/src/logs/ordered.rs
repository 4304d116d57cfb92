//! Reads the streams of a task as one, in the order of time as far as the marks beside the files know it.
//!
//! Each stream keeps its own order whatever its marks say. Of the same millisecond standard output comes first. Memory is a chunk
//! and a line of each stream.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use proto::time::Timestamp;

use super::files::Stream;
use super::reader::{Cursor, blocking};
use super::source::{Open, Source};
use super::tail;
use super::times::Clock;
use crate::limits::{LOG_CHUNK_BYTES, LOG_LINE_BYTES};

/// Lines of one stream that were written at one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    /// Which stream.
    pub stream: Stream,
    /// When the first byte of each was written, as far as is known.
    pub time: Option<Timestamp>,
    /// Whole lines, but for the last of a stream and those beyond 64 KiB.
    pub bytes: Bytes,
}

/// Reads one stream of a task, or both.
#[derive(Debug)]
pub struct Ordered {
    lanes: Vec<Lane>,
}

impl Ordered {
    /// Opens streams: the last `tail` lines of all together, of those what was written `since` then; what is none counts not. A
    /// stream that does not exist yet is empty.
    ///
    /// # Errors
    /// When the folder or a file cannot be read.
    pub async fn open(
        dir: &Path,
        task: &str,
        streams: &[Stream],
        tail: Option<usize>,
        since: Option<Timestamp>,
    ) -> io::Result<Self> {
        let source = |stream: &Stream| Source { dir: dir.into(), task: task.into(), stream: *stream };
        let sources: Vec<Source> = streams.iter().map(source).collect();
        let open = move || {
            let mut begins = vec![Cursor::default(); sources.len()];
            if let Some(lines) = tail {
                begins = tail::begins(&Vec::from_iter(&sources), lines)?;
            }
            if let Some(since) = since {
                for (begin, source) in begins.iter_mut().zip(&sources) {
                    *begin = source.since(since)?.max(*begin);
                }
            }
            Ok(sources.into_iter().zip(begins).map(|(source, begin)| Lane::new(source, begin)).collect())
        };
        Ok(Self { lanes: blocking(open).await? })
    }

    /// Returns the next lines of all, at most a chunk and a line; nothing when there are no more for now. With `ended` a line
    /// without an end is one too. It must not be cancelled: what was read by then is lost.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub async fn read(&mut self, ended: bool) -> io::Result<Vec<Lines>> {
        let mut lanes = std::mem::take(&mut self.lanes);
        let work = move || {
            let lines = merge(&mut lanes, ended)?;
            Ok((lanes, lines))
        };
        let (lanes, lines) = blocking(work).await?;
        self.lanes = lanes;
        Ok(lines)
    }
}

fn merge(lanes: &mut [Lane], ended: bool) -> io::Result<Vec<Lines>> {
    let (mut merged, mut bytes) = (Vec::<Lines>::new(), 0);
    while bytes < LOG_CHUNK_BYTES {
        for lane in lanes.iter_mut().filter(|lane| lane.ready.is_empty()) {
            lane.fill(ended)?;
        }
        let first = lanes.iter_mut().filter(|lane| !lane.ready.is_empty()).min_by_key(|lane| lane.key());
        let Some(lines) = first.and_then(Lane::take) else { break };
        bytes += lines.bytes.len();
        merged.push(lines);
    }
    Ok(merged)
}

/// One stream, and what was read of it.
#[derive(Debug)]
struct Lane {
    source: Source,
    cursor: Cursor,
    open: Open,
    /// Of the file with this number.
    clock: Option<(u64, Clock)>,
    ready: VecDeque<Lines>,
    /// A line without its end, and when it began.
    partial: BytesMut,
    partial_time: Option<Timestamp>,
    /// The latest time that it gave.
    latest: Option<Timestamp>,
}

impl Lane {
    fn new(source: Source, cursor: Cursor) -> Self {
        Self {
            source,
            cursor,
            open: None::<(u64, Arc<File>)>,
            clock: None,
            ready: VecDeque::new(),
            partial: BytesMut::new(),
            partial_time: None,
            latest: None,
        }
    }

    /// By what it is put in order: never less than what came before it.
    fn key(&self) -> Option<Timestamp> {
        self.latest.max(self.ready.front().and_then(|lines| lines.time))
    }

    fn take(&mut self) -> Option<Lines> {
        self.latest = self.key();
        self.ready.pop_front()
    }

    /// Reads until there is a line, or no more for now.
    fn fill(&mut self, ended: bool) -> io::Result<()> {
        while self.ready.is_empty() {
            let (chunk, open) = self.source.read(self.cursor, self.open.take())?;
            self.open = open;
            let Some(chunk) = chunk else {
                if ended {
                    self.finish_line();
                }
                return Ok(());
            };
            self.cursor = chunk.next;
            self.split(chunk.next, chunk.bytes);
        }
        Ok(())
    }

    /// Makes lines of a chunk that ends there.
    fn split(&mut self, end: Cursor, mut bytes: Bytes) {
        if self.clock.as_ref().is_none_or(|(number, _)| *number != end.file) {
            self.clock = Some((end.file, Clock::forwards(&self.source.path(end.file))));
        }
        let mut at = end.at - bytes.len() as u64;
        while !bytes.is_empty() {
            let (time, until) = self.time(at);
            let before = usize::try_from(until - at).map_or(bytes.len(), |count| count.min(bytes.len()));
            let end_behind =
                |from: usize| bytes[from..].iter().position(|byte| *byte == b'\n').map(|end| from + end + 1);
            let whole = if self.partial.is_empty() {
                // All lines that begin before the next mark, also the one that goes on behind it.
                let behind = if before < bytes.len() { end_behind(before - 1) } else { None };
                behind.or_else(|| bytes.iter().rposition(|byte| *byte == b'\n').map(|end| end + 1))
            } else {
                end_behind(0)
            };
            if self.partial.is_empty() {
                self.partial_time = time;
            }
            let part = bytes.split_to(whole.unwrap_or(bytes.len()));
            at += part.len() as u64;
            if whole.is_some() && self.partial.is_empty() {
                self.ready.push_back(Lines { stream: self.source.stream, time, bytes: part });
                continue;
            }
            self.partial.extend_from_slice(&part);
            if whole.is_some() || self.partial.len() > LOG_LINE_BYTES {
                self.finish_line();
            }
        }
    }

    fn time(&mut self, at: u64) -> (Option<Timestamp>, u64) {
        self.clock.as_mut().map_or((None, u64::MAX), |(_, clock)| clock.forwards_at(at))
    }

    fn finish_line(&mut self) {
        if !self.partial.is_empty() {
            let bytes = self.partial.split().freeze();
            self.ready.push_back(Lines { stream: self.source.stream, time: self.partial_time, bytes });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;
    use std::time::{Duration, UNIX_EPOCH};

    use super::super::files;
    use super::super::times::Marker;
    use super::*;

    /// Writes a file of a log: at these moments these bytes.
    fn log(dir: &Path, stream: Stream, number: u64, writes: &[(u64, &str)]) -> PathBuf {
        let path = files::path(dir, "web", stream, number);
        let (mut marker, mut bytes) = (Marker::open(&path, Timestamp(0)), String::new());
        for (ms, text) in writes {
            marker.note(bytes.len() as u64, Timestamp(*ms));
            bytes += text;
        }
        fs::write(&path, bytes).unwrap();
        let last = writes.last().map_or(0, |(ms, _)| *ms);
        let file = File::options().append(true).open(&path).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_millis(last)).unwrap();
        path
    }

    async fn read(dir: &Path, tail: Option<usize>, since: Option<u64>) -> Vec<Lines> {
        let since = since.map(Timestamp);
        let mut ordered = Ordered::open(dir, "web", &Stream::ALL, tail, since).await.unwrap();
        let mut all = Vec::new();
        loop {
            let lines = ordered.read(true).await.unwrap();
            if lines.is_empty() {
                return all;
            }
            all.extend(lines);
        }
    }

    fn text(lines: &[Lines]) -> String {
        lines.iter().map(|lines| String::from_utf8(lines.bytes.to_vec()).unwrap()).collect()
    }

    fn two_streams(dir: &Path) {
        log(dir, Stream::Stdout, 0, &[(10, "out 1\nout 2\n"), (30, "out 3\n")]);
        log(dir, Stream::Stdout, 1, &[(50, "out 4\n"), (60, "out "), (90, "5\n")]);
        log(dir, Stream::Stderr, 0, &[(20, "err 1\n"), (40, "err 2\n"), (50, "err 3\n"), (70, "err 4")]);
    }

    const MERGED: [&str; 9] =
        ["out 1", "out 2", "err 1", "out 3", "err 2", "out 4", "err 3", "out 5", "err 4"];

    #[tokio::test]
    async fn lines_of_both_streams_come_in_the_order_of_time_with_the_time_of_their_beginning() {
        let dir = tempfile::tempdir().unwrap();
        two_streams(dir.path());
        let lines = read(dir.path(), None, None).await;
        assert_eq!(text(&lines).lines().collect::<Vec<_>>(), MERGED);
        let times: Vec<u64> = lines.iter().map(|lines| lines.time.unwrap().0).collect();
        assert_eq!(times, [10, 20, 30, 40, 50, 50, 60, 70]);
        assert_eq!((lines[1].stream, lines[2].stream), (Stream::Stderr, Stream::Stdout));
    }

    #[tokio::test]
    async fn a_tail_counts_the_lines_of_both_streams_together() {
        let dir = tempfile::tempdir().unwrap();
        two_streams(dir.path());
        for wanted in 0..12 {
            let lines = read(dir.path(), Some(wanted), None).await;
            let kept = MERGED.len() - wanted.min(MERGED.len());
            assert_eq!(text(&lines).lines().collect::<Vec<_>>(), MERGED[kept..], "the last {wanted}");
        }
        let both = read(dir.path(), Some(6), Some(50)).await;
        assert_eq!(text(&both), "out 4\nerr 3\nout 5\nerr 4", "the less of tail and time");
        let one = read(dir.path(), Some(1), Some(50)).await;
        assert_eq!(text(&one), "err 4");
    }

    #[tokio::test]
    async fn a_tail_is_found_across_blocks_and_among_empty_lines() {
        let dir = tempfile::tempdir().unwrap();
        let long = "x".repeat(LOG_CHUNK_BYTES);
        let body = format!("first\n\n{long}\n\n\nlast\n");
        log(dir.path(), Stream::Stdout, 0, &[(10, &body)]);
        let all: Vec<&str> = body.lines().collect();
        for wanted in 0..=all.len() {
            let lines = text(&read(dir.path(), Some(wanted), None).await);
            assert!(lines.lines().eq(all[all.len() - wanted..].iter().copied()), "the last {wanted}");
        }
    }

    #[tokio::test]
    async fn large_streams_are_merged_whole_and_in_their_own_order_in_bounded_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let lines = |name: &str| (0..40_000).map(|line| format!("{name} {line}\n")).collect::<Vec<_>>();
        for (stream, shift) in [(Stream::Stdout, 0), (Stream::Stderr, 1)] {
            let lines = lines(stream.name());
            let writes: Vec<(u64, &str)> = lines
                .iter()
                .enumerate()
                .map(|(at, line)| (1_000 + 2 * at as u64 + shift, line.as_str()))
                .collect();
            log(dir.path(), stream, 0, &writes);
        }
        let mut ordered = Ordered::open(dir.path(), "web", &Stream::ALL, None, None).await.unwrap();
        let (mut stdout, mut stderr) = (String::new(), String::new());
        loop {
            let piece = ordered.read(true).await.unwrap();
            let bytes: usize = piece.iter().map(|lines| lines.bytes.len()).sum();
            assert!(bytes <= LOG_CHUNK_BYTES + LOG_CHUNK_BYTES, "{bytes}");
            if piece.is_empty() {
                break;
            }
            for lines in piece {
                let to = if lines.stream == Stream::Stdout { &mut stdout } else { &mut stderr };
                *to += std::str::from_utf8(&lines.bytes).unwrap();
            }
            let apart = stdout.len().abs_diff(stderr.len());
            assert!(apart <= LOG_CHUNK_BYTES, "they advance together: {apart}");
        }
        assert!(stdout == lines("stdout").concat() && stderr == lines("stderr").concat());
    }

    #[tokio::test]
    async fn without_marks_each_stream_comes_whole_and_without_a_time() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(files::path(dir.path(), "web", Stream::Stdout, 0), "a\nb\n").unwrap();
        fs::write(files::path(dir.path(), "web", Stream::Stderr, 0), "c\n").unwrap();
        let lines = read(dir.path(), None, None).await;
        assert_eq!(text(&lines), "a\nb\nc\n");
        assert!(lines.iter().all(|lines| lines.time.is_none()));
    }

    #[tokio::test]
    async fn followed_lines_are_whole_and_an_endless_one_costs_bounded_memory() {
        let dir = tempfile::tempdir().unwrap();
        let path = log(dir.path(), Stream::Stdout, 0, &[(10, "whole\nha")]);
        let mut ordered = Ordered::open(dir.path(), "web", &Stream::ALL, None, None).await.unwrap();
        assert_eq!(text(&ordered.read(false).await.unwrap()), "whole\n");
        assert_eq!(ordered.read(false).await.unwrap(), []);
        fs::write(&path, "whole\nhalf\n").unwrap();
        assert_eq!(text(&ordered.read(false).await.unwrap()), "half\n");
        fs::write(&path, format!("whole\nhalf\n{}", "x".repeat(5 * LOG_LINE_BYTES))).unwrap();
        let mut given = 0;
        loop {
            let lines = ordered.read(false).await.unwrap();
            assert!(ordered.lanes.iter().all(|lane| lane.partial.len() <= LOG_LINE_BYTES));
            if lines.is_empty() {
                break;
            }
            given += text(&lines).len();
        }
        given += text(&ordered.read(true).await.unwrap()).len();
        assert_eq!(given, 5 * LOG_LINE_BYTES);
    }

    #[tokio::test]
    async fn since_a_moment_come_whole_lines_also_across_files() {
        let dir = tempfile::tempdir().unwrap();
        two_streams(dir.path());
        assert_eq!(text(&read(dir.path(), None, Some(41)).await), "out 4\nerr 3\nout 5\nerr 4");
        assert_eq!(text(&read(dir.path(), None, Some(0)).await).lines().count(), MERGED.len());
        assert_eq!(read(dir.path(), None, Some(91)).await, []);
    }
}
