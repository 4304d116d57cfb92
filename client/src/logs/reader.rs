//! Reads a stream back: from the start, the last lines, or a cursor; once or for as long as it grows.
//!
//! A cursor names a file and a place in it, so it stays true when older files are removed or the policy changes. Memory is one
//! chunk, whatever the log's size. Every method may be cancelled: a chunk that was not returned is read again.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use super::files::Stream;
use super::source::Source;
use super::tail;
use crate::limits::LOG_FOLLOW_POLL;

/// A place in a stream; later places are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Cursor {
    /// Number of the file.
    pub file: u64,
    /// Bytes from its beginning.
    pub at: u64,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// At the oldest byte that is kept.
    Start,
    /// So that this many lines come; fewer when the last 16 MiB hold fewer.
    Tail(usize),
    /// Here, or at the next byte that is still kept.
    At(Cursor),
}

/// Bytes of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Which stream.
    pub stream: Stream,
    /// Where to go on.
    pub next: Cursor,
    /// At most 64 KiB, as the task wrote them.
    pub bytes: Bytes,
}

/// Reads one stream.
#[derive(Debug, Clone)]
pub struct Reader {
    source: Arc<Source>,
    cursor: Cursor,
    open: Option<(u64, Arc<File>)>,
}

/// Reads both streams of a task, taking turns.
#[derive(Debug)]
pub struct Merged {
    readers: [Reader; 2],
    turn: usize,
}

impl Reader {
    /// Opens a stream. One that does not exist yet is empty.
    ///
    /// # Errors
    /// When the directory or a file cannot be read.
    pub async fn open(dir: &Path, task: &str, stream: Stream, begin: Begin) -> io::Result<Reader> {
        let source = Arc::new(Source { dir: dir.into(), task: task.into(), stream });
        let cursor = match begin {
            Begin::Start => Cursor::default(),
            Begin::At(cursor) => cursor,
            Begin::Tail(lines) => {
                let source = Arc::clone(&source);
                let begins = blocking(move || tail::begins(&[&source], lines)).await?;
                begins.into_iter().next().unwrap_or_default()
            }
        };
        Ok(Reader { source, cursor, open: None })
    }

    /// Returns where the next chunk begins.
    pub fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Returns the next bytes, `None` when there are no more for now.
    ///
    /// # Errors
    /// When a file cannot be read; asking again is fine.
    pub async fn read(&mut self) -> io::Result<Option<Chunk>> {
        let (source, cursor, open) = (Arc::clone(&self.source), self.cursor, self.open.clone());
        let (chunk, open) = blocking(move || source.read(cursor, open)).await?;
        self.open = open;
        if let Some(chunk) = &chunk {
            self.cursor = chunk.next;
        }
        Ok(chunk)
    }
}

impl Merged {
    /// Opens both streams; `begins` are those of stdout and stderr.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub async fn open(dir: &Path, task: &str, begins: [Begin; 2]) -> io::Result<Merged> {
        let [stdout, stderr] = begins;
        let readers = [
            Reader::open(dir, task, Stream::Stdout, stdout).await?,
            Reader::open(dir, task, Stream::Stderr, stderr).await?,
        ];
        Ok(Merged { readers, turn: 0 })
    }

    /// Returns the next bytes of either, `None` when there are no more for now.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub async fn read(&mut self) -> io::Result<Option<Chunk>> {
        for _ in 0..2 {
            self.turn ^= 1;
            if let Some(chunk) = self.readers[self.turn].read().await? {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    /// Waits for the next bytes of either; `None` when `ended` is true (or its sender gone) and all is read.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub async fn follow(&mut self, ended: &mut watch::Receiver<bool>) -> io::Result<Option<Chunk>> {
        loop {
            // In this order: what was written before the end must be read after it is known.
            let over = *ended.borrow_and_update() || ended.has_changed().is_err();
            if let Some(chunk) = self.read().await? {
                return Ok(Some(chunk));
            }
            if over {
                return Ok(None);
            }
            tokio::select! {
                () = tokio::time::sleep(LOG_FOLLOW_POLL) => {}
                _ = ended.changed() => {}
            }
        }
    }
}

/// Runs what blocks.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use super::super::files::{self, Policy};
    use super::super::writer::{Place, Sink};
    use super::*;

    fn write(dir: &Path, sink: &mut Sink, lines: std::ops::Range<u32>) {
        let policy = Policy { files: 3, file_bytes: 4096 };
        let place = Place { dir, task: "web", stream: Stream::Stdout, policy };
        for line in lines {
            sink.write(place, format!("this is line {line}\n").as_bytes());
        }
    }

    async fn rest(reader: &mut Reader) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(chunk) = reader.read().await.unwrap() {
            all.extend_from_slice(&chunk.bytes);
        }
        String::from_utf8(all).unwrap().lines().map(Into::into).collect()
    }

    async fn open(dir: &Path, begin: Begin) -> Reader {
        Reader::open(dir, "web", Stream::Stdout, begin).await.unwrap()
    }

    #[tokio::test]
    async fn a_follower_sees_every_line_once_across_rotations() {
        let dir = tempfile::tempdir().unwrap();
        let (mut sink, mut reader) = (Sink::default(), open(dir.path(), Begin::Start).await);
        assert_eq!(reader.read().await.unwrap(), None);
        let mut seen = Vec::new();
        for round in 0..40 {
            write(dir.path(), &mut sink, round * 100..(round + 1) * 100);
            seen.extend(rest(&mut reader).await);
        }
        assert_eq!(seen, (0..4000).map(|line| format!("this is line {line}")).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_tail_has_the_wanted_lines_also_across_files() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &mut Sink::default(), 0..1000);
        for wanted in [1, 2, 10, 300, 500] {
            let lines = rest(&mut open(dir.path(), Begin::Tail(wanted)).await).await;
            assert_eq!(lines.len(), wanted);
            assert_eq!(lines[0], format!("this is line {}", 1000 - wanted));
            assert_eq!(lines[wanted - 1], "this is line 999");
        }
        assert!(rest(&mut open(dir.path(), Begin::Tail(0)).await).await.is_empty());
        let kept = rest(&mut open(dir.path(), Begin::Start).await).await;
        assert_eq!(rest(&mut open(dir.path(), Begin::Tail(usize::MAX)).await).await, kept);
    }

    #[tokio::test]
    async fn an_unfinished_last_line_is_a_line() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(files::path(dir.path(), "web", Stream::Stdout, 0), "one\ntwo\nthr").unwrap();
        assert_eq!(rest(&mut open(dir.path(), Begin::Tail(2)).await).await, ["two", "thr"]);
    }

    #[tokio::test]
    async fn a_cursor_goes_on_where_it_was_and_skips_what_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let mut sink = Sink::default();
        write(dir.path(), &mut sink, 0..10);
        let mut reader = open(dir.path(), Begin::Start).await;
        rest(&mut reader).await;
        let cursor = reader.cursor();
        write(dir.path(), &mut sink, 10..12);
        assert_eq!(
            rest(&mut open(dir.path(), Begin::At(cursor)).await).await,
            ["this is line 10", "this is line 11"]
        );
        write(dir.path(), &mut sink, 12..5000);
        let later = rest(&mut open(dir.path(), Begin::At(cursor)).await).await;
        assert!(later.len() < 4990 && later.last().unwrap() == "this is line 4999");
    }

    #[tokio::test]
    async fn following_ends_when_the_task_has_ended_and_all_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let (ended, mut watched) = watch::channel(false);
        let mut merged = Merged::open(dir.path(), "web", [Begin::Start, Begin::Start]).await.unwrap();
        write(dir.path(), &mut Sink::default(), 0..1);
        std::fs::write(files::path(dir.path(), "web", Stream::Stderr, 0), "oops\n").unwrap();
        ended.send_replace(true);
        let mut seen = Vec::new();
        while let Some(chunk) = merged.follow(&mut watched).await.unwrap() {
            seen.push((chunk.stream, String::from_utf8(chunk.bytes.to_vec()).unwrap()));
        }
        seen.sort();
        let wanted = [(Stream::Stdout, "this is line 0\n".to_owned()), (Stream::Stderr, "oops\n".to_owned())];
        assert_eq!(seen, wanted);
    }
}
