//! When the bytes of a log file were written: marks in a file beside it, `TASK.stdout.N.times`.
//!
//! The bytes themselves are the task's own and carry no time. A mark stands where a millisecond with output begins, so a reader finds
//! where the last ten minutes begin without reading what came before, and puts the lines of two streams in order. In a long log
//! that is written slowly marks are some lines apart. Marks are a help and no promise: one that cannot be written is left out, a
//! file without marks is taken as a whole, and a clock that jumps makes a reader show more, never less.

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use proto::time::Timestamp;

use crate::limits::{LOG_MARK_QUIET, LOG_MARK_ROOM, LOG_MARK_SHARE};

/// Bytes of a mark: three numbers, little endian.
const MARK_BYTES: usize = 24;

/// Marks that are read at once.
const MARKS_AT_ONCE: u64 = 128;

/// A place in a file, and the moments on both sides of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    /// Bytes from the beginning of the file.
    at: u64,
    /// When the byte before it was written.
    before: Timestamp,
    /// When the byte behind it was.
    behind: Timestamp,
}

impl Mark {
    fn to_bytes(self) -> [u8; MARK_BYTES] {
        let mut bytes = [0; MARK_BYTES];
        for (place, number) in bytes.chunks_exact_mut(8).zip([self.at, self.before.0, self.behind.0]) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: [u8; MARK_BYTES]) -> Self {
        let mut numbers = [0; 3];
        for (number, place) in numbers.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *number = u64::from_le_bytes(*place);
        }
        let [at, before, behind] = numbers;
        Mark { at, before: Timestamp(before), behind: Timestamp(behind) }
    }

    /// Whether the next mark is due where so much is written at this moment, with so many bytes of marks already.
    fn is_followed(&self, at: u64, now: Timestamp, marks: u64) -> bool {
        let room = LOG_MARK_ROOM + at / LOG_MARK_SHARE;
        let fits = marks + MARK_BYTES as u64 <= room;
        now < self.behind || now.since(self.behind) >= LOG_MARK_QUIET || (now > self.behind && fits)
    }
}

/// Returns the path of the marks of a log file.
pub(super) fn path(log: &Path) -> PathBuf {
    let mut name = log.as_os_str().to_owned();
    name.push(".times");
    name.into()
}

/// Writes the marks of one log file.
#[derive(Debug, Default)]
pub(super) struct Marker {
    file: Option<File>,
    /// Bytes of marks that the file has.
    size: u64,
    last: Option<Mark>,
    written: Timestamp,
}

impl Marker {
    /// Begins, or goes on, beside a log file that was last written to at `written`.
    pub(super) fn open(log: &Path, written: Timestamp) -> Self {
        use std::os::unix::fs::OpenOptionsExt;
        let open = || {
            let file = File::options().append(true).create(true).mode(0o640).open(path(log))?;
            // Half a mark of a keeper that died would shift all that follow.
            let size = file.metadata()?.len();
            let odd = size % MARK_BYTES as u64;
            if odd > 0 {
                file.set_len(size - odd)?;
            }
            Ok::<_, io::Error>((file, size - odd))
        };
        let (file, size) = open().map_or((None, 0), |(file, size)| (Some(file), size));
        Self { file, size, last: None, written }
    }

    /// Says that bytes are about to be written at `at`.
    pub(super) fn note(&mut self, at: u64, now: Timestamp) {
        let before = std::mem::replace(&mut self.written, now);
        if self.last.is_some_and(|last| !last.is_followed(at, now, self.size)) {
            return;
        }
        let mark = Mark { at, before, behind: now };
        let Some(file) = &mut self.file else { return };
        match file.write(&mark.to_bytes()) {
            Ok(MARK_BYTES) => {
                self.last = Some(mark);
                self.size += MARK_BYTES as u64;
            }
            // Half a mark would shift those behind it: this file gets no more of them.
            Ok(_) => self.file = None,
            // The disk is full: the next write tries again.
            Err(_) => {}
        }
    }
}

/// Returns from where on a log file may hold bytes that were written at `since` or later; none: nothing in it is so new.
///
/// # Errors
/// When the log file cannot be looked at; marks that cannot be read count as none.
pub(super) fn find(log: &Path, file: &File, since: Timestamp) -> io::Result<Option<u64>> {
    let meta = file.metadata()?;
    if written(&meta)? < since {
        return Ok(None);
    }
    let marks = File::open(path(log)).map(BufReader::new).ok();
    let begin = marks.map_or(0, |marks| first_part(marks, since));
    Ok(Some(begin.min(meta.len())))
}

/// Finds the first part, from mark to mark, whose last byte is not older; the last part is taken for new.
fn first_part(mut marks: impl Read, since: Timestamp) -> u64 {
    let (mut begin, mut bytes) = (0, [0; MARK_BYTES]);
    while marks.read_exact(&mut bytes).is_ok() {
        let mark = Mark::from_bytes(bytes);
        if mark.at > begin && mark.before >= since {
            break;
        }
        begin = mark.at;
    }
    begin
}

/// When places of one log file were written, asked for in one direction.
#[derive(Debug)]
pub(super) struct Clock {
    file: Option<File>,
    /// The next mark that is read from the file; going backwards, the one behind it.
    next: u64,
    read: VecDeque<Mark>,
    /// The mark before the place that was asked for last.
    here: Option<Timestamp>,
}

impl Clock {
    /// Places are asked for from the beginning on.
    pub(super) fn forwards(log: &Path) -> Self {
        Self { file: File::open(path(log)).ok(), next: 0, read: VecDeque::new(), here: None }
    }

    /// Places are asked for from the end back.
    pub(super) fn backwards(log: &Path) -> Self {
        let file = File::open(path(log)).ok();
        let size = file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |meta| meta.len());
        Self { file, next: size / MARK_BYTES as u64, read: VecDeque::new(), here: None }
    }

    /// Returns when the byte at `at` was written, and the place from which on that is another time, as far as is known. Marks that
    /// come later are seen; a place before the last one that was asked for has its time.
    pub(super) fn forwards_at(&mut self, at: u64) -> (Option<Timestamp>, u64) {
        loop {
            if self.read.is_empty() {
                let marks = self.marks(self.next, MARKS_AT_ONCE);
                self.next += marks.len() as u64;
                self.read = marks.into();
            }
            match self.read.front() {
                Some(mark) if mark.at <= at => self.here = self.read.pop_front().map(|mark| mark.behind),
                Some(mark) => return (self.here, mark.at),
                None => return (self.here, u64::MAX),
            }
        }
    }

    /// Returns when the byte at `at` was written, as far as is known.
    pub(super) fn backwards_at(&mut self, at: u64) -> Option<Timestamp> {
        loop {
            if self.read.is_empty() {
                let from = self.next.saturating_sub(MARKS_AT_ONCE);
                self.read = self.marks(from, self.next - from).into();
                self.next = from;
            }
            let last = self.read.back()?;
            if last.at <= at {
                return Some(last.behind);
            }
            self.read.pop_back();
        }
    }

    /// Reads marks; fewer, where there are fewer.
    fn marks(&self, from: u64, count: u64) -> Vec<Mark> {
        let mut bytes = vec![0; count as usize * MARK_BYTES];
        let at = from * MARK_BYTES as u64;
        let got = self.file.as_ref().and_then(|file| file.read_at(&mut bytes, at).ok()).unwrap_or(0);
        bytes[..got].as_chunks().0.iter().map(|bytes| Mark::from_bytes(*bytes)).collect()
    }
}

/// Returns when a file was last written to.
///
/// # Errors
/// When the file system does not say.
pub(super) fn written(meta: &Metadata) -> io::Result<Timestamp> {
    let since_epoch = meta.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(Timestamp(0).plus(since_epoch))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A log of one byte per write, at these moments.
    fn log(dir: &Path, moments: &[u64], bytes: u64) -> PathBuf {
        let log = dir.join("web.stdout.0");
        let mut marker = Marker::open(&log, Timestamp(0));
        for (write, ms) in moments.iter().enumerate() {
            marker.note(write as u64 * bytes, Timestamp(*ms));
        }
        std::fs::write(&log, vec![b'x'; moments.len() * bytes as usize]).unwrap();
        let file = File::options().append(true).open(&log).unwrap();
        let last = moments.last().copied().unwrap_or(0);
        file.set_modified(UNIX_EPOCH + Duration::from_millis(last)).unwrap();
        log
    }

    fn found(log: &Path, since: u64) -> Option<u64> {
        find(log, &File::open(log).unwrap(), Timestamp(since)).unwrap()
    }

    #[test]
    fn what_was_written_at_the_moment_or_later_is_found_and_little_before_it() {
        let dir = tempfile::tempdir().unwrap();
        // A write of 100 bytes every 100 ms.
        let moments: Vec<u64> = (0..1000).map(|write| 1_000_000 + write * 100).collect();
        let log = log(dir.path(), &moments, 100);
        for since in (999_000..1_100_000).step_by(777) {
            let first = moments.iter().position(|ms| *ms >= since);
            let Some(first) = first else {
                assert_eq!(found(&log, since), None);
                continue;
            };
            let begin = found(&log, since).expect("something is so new") / 100;
            assert!(begin <= first as u64, "nothing is left out");
            assert!(moments[begin as usize] + 1_100 >= since, "and little is too old");
        }
    }

    #[test]
    fn silence_is_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let log = log(dir.path(), &[1_000, 2_000, 300_000, 301_000], 10);
        assert_eq!(found(&log, 100_000), Some(20));
        assert_eq!(found(&log, 301_001), None);
    }

    #[test]
    fn every_millisecond_of_a_short_log_has_its_time_and_the_marks_of_a_long_one_are_few() {
        let marks = |log: &Path| std::fs::metadata(path(log)).unwrap().len();
        let dir = tempfile::tempdir().unwrap();
        let short: Vec<u64> = (0..1_000).map(|write| 1_000 + write / 2).collect();
        assert_eq!(marks(&log(dir.path(), &short, 10)), 500 * MARK_BYTES as u64);
        let other = tempfile::tempdir().unwrap();
        let long: Vec<u64> = (0..50_000).map(|write| 1_000 + write).collect();
        let bytes = marks(&log(other.path(), &long, 40));
        let room = LOG_MARK_ROOM + 50_000 * 40 / LOG_MARK_SHARE;
        assert!(bytes > room / 2 && bytes <= room, "{bytes} of {room}");
        let third = tempfile::tempdir().unwrap();
        let slow: Vec<u64> = (0..10_000).map(|write| 1_000 + write * 1_000).collect();
        let most = LOG_MARK_ROOM + 10_000 / 10 * MARK_BYTES as u64;
        assert!(marks(&log(third.path(), &slow, 1)) <= most, "beyond its room one in ten seconds");
    }

    #[test]
    fn a_place_has_the_time_of_its_write_in_both_directions() {
        let dir = tempfile::tempdir().unwrap();
        let moments: Vec<u64> = (0..1000).map(|write| 1_000_000 + write * 3).collect();
        let log = log(dir.path(), &moments, 10);
        let mut clock = Clock::forwards(&log);
        for write in [0, 1, 2, 400, 999] {
            let end = if write == 999 { u64::MAX } else { (write + 1) * 10 };
            assert_eq!(clock.forwards_at(write * 10 + 5), (Some(Timestamp(moments[write as usize])), end));
        }
        let mut clock = Clock::backwards(&log);
        for write in [999, 998, 400, 1, 0_u64] {
            assert_eq!(clock.backwards_at(write * 10), Some(Timestamp(moments[write as usize])));
        }
        std::fs::remove_file(path(&log)).unwrap();
        assert_eq!(Clock::forwards(&log).forwards_at(10), (None, u64::MAX));
        assert_eq!(Clock::backwards(&log).backwards_at(10), None);
    }

    #[test]
    fn a_clock_that_goes_back_shows_more_and_never_less() {
        let dir = tempfile::tempdir().unwrap();
        let log = log(dir.path(), &[100_000, 200_000, 50_000, 60_000, 110_000], 10);
        assert_eq!(found(&log, 105_000), Some(10));
    }

    #[test]
    fn a_file_without_marks_or_with_half_a_mark_is_read_as_far_as_it_goes() {
        let dir = tempfile::tempdir().unwrap();
        let log = log(dir.path(), &[1_000, 20_000], 10);
        let marks = std::fs::read(path(&log)).unwrap();
        std::fs::write(path(&log), &marks[..MARK_BYTES + 5]).unwrap();
        assert_eq!(found(&log, 20_000), Some(0));
        Marker::open(&log, Timestamp(20_000)).note(20, Timestamp(40_000));
        assert_eq!(std::fs::read(path(&log)).unwrap().len(), 2 * MARK_BYTES);
        std::fs::remove_file(path(&log)).unwrap();
        assert_eq!(found(&log, 20_000), Some(0));
    }
}
