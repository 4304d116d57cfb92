//! Writes one stream into its row of files.
//!
//! Nothing here can fail for the caller: what does not fit on the disk is counted and dropped, and the file says so as soon
//! as it can be written again. A file is left at the end of a line where a line ends in reach.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use proto::time::now;

use super::files::{self, Policy, Stream};
use super::times::{self, Marker};

/// Where a stream is written and how much of it is kept.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Directory; made when it is missing.
    pub dir: &'a Path,
    /// The task's name.
    pub task: &'a str,
    /// Which stream.
    pub stream: Stream,
    /// What is kept.
    pub policy: Policy,
}

/// The open end of a stream. It opens its file with the first byte, so that a silent task has none.
#[derive(Debug, Default)]
pub struct Sink {
    file: Option<File>,
    marker: Marker,
    number: u64,
    size: u64,
    dropped: u64,
    /// Dropped bytes that the file does not speak of yet.
    unreported: u64,
}

impl Sink {
    /// Returns how many bytes were dropped in all.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Writes `bytes`, going on to the next file where the policy says so.
    pub fn write(&mut self, place: Place<'_>, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.write_some(place, rest) {
                Ok(written) => rest = &rest[written..],
                Err(_) => {
                    self.dropped += rest.len() as u64;
                    self.unreported += rest.len() as u64;
                    return;
                }
            }
        }
    }

    fn write_some(&mut self, place: Place<'_>, bytes: &[u8]) -> io::Result<usize> {
        let policy = place.policy.clamped();
        if self.file.is_none() {
            self.open(place, policy)?;
        }
        if self.unreported > 0 {
            self.report()?;
        }
        let room = policy.file_bytes.saturating_sub(self.size) as usize;
        let part = match bytes.get(..room) {
            None => bytes,
            // Cut at the last line that ends within; a line longer than the room goes to a new file, or through.
            Some(fitting) => match fitting.iter().rposition(|&byte| byte == b'\n') {
                Some(end) => &fitting[..=end],
                None if self.size == 0 => fitting,
                None => &[],
            },
        };
        if part.is_empty() {
            self.rotate(place, policy)?;
            return Ok(0);
        }
        let Some(file) = &mut self.file else { return Err(io::ErrorKind::NotFound.into()) };
        self.marker.note(self.size, now());
        let written = loop {
            match file.write(part) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                result => break result?,
            }
        };
        self.size += written as u64;
        if part.len() < bytes.len() && written == part.len() {
            // These bytes are written; if there is no next file yet, the next ones will say so.
            let _ = self.rotate(place, policy);
        }
        Ok(written)
    }

    /// Opens the newest file, or the first.
    fn open(&mut self, place: Place<'_>, policy: Policy) -> io::Result<()> {
        fs::create_dir_all(place.dir)?;
        let numbers = files::numbers(place.dir, place.task, place.stream)?;
        self.number = numbers.last().copied().unwrap_or(0);
        self.take(place, self.number)?;
        remove_old(place, policy, &numbers, self.number);
        Ok(())
    }

    /// Goes on to the next file. When it cannot be opened the old one stays closed, and the next write tries again.
    fn rotate(&mut self, place: Place<'_>, policy: Policy) -> io::Result<()> {
        self.take(place, self.number + 1)?;
        let numbers = files::numbers(place.dir, place.task, place.stream)?;
        remove_old(place, policy, &numbers, self.number);
        Ok(())
    }

    /// Writes to this file from here on.
    fn take(&mut self, place: Place<'_>, number: u64) -> io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        let path = files::path(place.dir, place.task, place.stream, number);
        let file = File::options().append(true).create(true).mode(0o640).open(&path)?;
        let meta = file.metadata()?;
        self.marker = Marker::open(&path, times::written(&meta)?);
        (self.file, self.number, self.size) = (Some(file), number, meta.len());
        Ok(())
    }

    fn report(&mut self) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let line = format!(
            "\n[minijob: {} bytes of output were dropped here, they could not be written]\n",
            self.unreported
        );
        let written = file.write(line.as_bytes())?;
        self.size += written as u64;
        if written == line.len() {
            self.unreported = 0;
            return Ok(());
        }
        Err(io::ErrorKind::StorageFull.into())
    }
}

fn remove_old(place: Place<'_>, policy: Policy, numbers: &[u64], current: u64) {
    for number in numbers.iter().filter(|&&number| number + u64::from(policy.files) <= current) {
        // A file that stays costs disk, nothing else; the next rotation tries again.
        let path = files::path(place.dir, place.task, place.stream, *number);
        let _ = fs::remove_file(times::path(&path));
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(dir: &Path, files: u32) -> Place<'_> {
        Place { dir, task: "web", stream: Stream::Stdout, policy: Policy { files, file_bytes: 4096 } }
    }

    fn read(dir: &Path, number: u64) -> String {
        fs::read_to_string(files::path(dir, "web", Stream::Stdout, number)).unwrap()
    }

    #[test]
    fn only_the_last_files_are_kept_and_lines_stay_whole() {
        let dir = tempfile::tempdir().unwrap();
        let mut sink = Sink::default();
        for line in 0..3000 {
            sink.write(place(dir.path(), 3), format!("this is line number {line}\n").as_bytes());
        }
        let numbers = files::numbers(dir.path(), "web", Stream::Stdout).unwrap();
        assert_eq!(numbers.len(), 3);
        for &number in &numbers {
            let text = read(dir.path(), number);
            assert!(text.len() <= 4096 && text.starts_with("this is line") && text.ends_with('\n'));
        }
        assert!(read(dir.path(), numbers[2]).ends_with("number 2999\n"));
    }

    #[test]
    fn a_line_longer_than_a_file_goes_through_bytewise() {
        let dir = tempfile::tempdir().unwrap();
        let mut sink = Sink::default();
        sink.write(place(dir.path(), 9), b"short\n");
        sink.write(place(dir.path(), 9), &[b'x'; 10_000]);
        let all: usize = (0..4).map(|number| read(dir.path(), number).len()).sum();
        assert_eq!(all, 10_006);
        assert_eq!(read(dir.path(), 0), "short\n");
    }

    /// CPU time of this thread, for writing `count` pieces with a pause after each; without `marks` none are written.
    fn cost(piece: &[u8], count: usize, pause: std::time::Duration, marks: bool) -> std::time::Duration {
        let dir = tempfile::tempdir().unwrap();
        let place = Place { policy: Policy { files: 2, file_bytes: 1 << 30 }, ..place(dir.path(), 2) };
        let mut sink = Sink::default();
        sink.write(place, b"first\n");
        if !marks {
            sink.marker = Marker::default();
        }
        let cpu = || {
            let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
            std::time::Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
        };
        let before = cpu();
        for _ in 0..count {
            sink.write(place, piece);
            if !pause.is_zero() {
                std::thread::sleep(pause);
            }
        }
        cpu() - before
    }

    #[test]
    #[ignore = "a measurement, not a promise"]
    #[allow(clippy::print_stdout, reason = "a measurement prints")]
    fn what_marks_of_time_cost() {
        let (none, pause) = (std::time::Duration::ZERO, std::time::Duration::from_millis(1));
        for (bytes, count, pause) in [(64 << 10, 4096, none), (1000, 200_000, none), (100, 2000, pause)] {
            let piece = vec![b'x'; bytes];
            let best = |marks| (0..5).map(|_| cost(&piece, count, pause, marks)).min().unwrap();
            println!(
                "{count} writes of {bytes} bytes: {:?} without marks, {:?} with",
                best(false),
                best(true)
            );
        }
    }

    #[test]
    fn the_next_attempt_continues_the_newest_file() {
        let dir = tempfile::tempdir().unwrap();
        Sink::default().write(place(dir.path(), 3), b"first\n");
        Sink::default().write(place(dir.path(), 3), b"second\n");
        assert_eq!(read(dir.path(), 0), "first\nsecond\n");
    }

    #[test]
    fn a_full_disk_costs_bytes_that_are_counted_and_told() {
        let dir = tempfile::tempdir().unwrap();
        // /dev/full answers every write with ENOSPC.
        let path = files::path(dir.path(), "web", Stream::Stdout, 0);
        std::os::unix::fs::symlink("/dev/full", &path).unwrap();
        let mut sink = Sink::default();
        sink.write(place(dir.path(), 3), b"lost bytes\n");
        assert_eq!(sink.dropped(), 11);
        fs::remove_file(&path).unwrap();
        sink.file = None;
        sink.write(place(dir.path(), 3), b"kept\n");
        assert_eq!(
            read(dir.path(), 0),
            "\n[minijob: 11 bytes of output were dropped here, they could not be written]\nkept\n"
        );
        assert_eq!(sink.dropped(), 11);
    }

    #[test]
    fn a_directory_that_cannot_be_made_drops_and_never_fails() {
        let mut sink = Sink::default();
        sink.write(place(Path::new("/proc/no/such"), 3), b"12345");
        assert_eq!(sink.dropped(), 5);
    }
}
