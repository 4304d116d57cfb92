//! Names of log files, and what is kept of them.

use std::fs;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::limits::{LOG_FILE_BYTES_DEFAULT, LOG_FILES_DEFAULT};

/// One of the two streams of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// Both, in the order of their descriptors.
    pub const ALL: [Stream; 2] = [Stream::Stdout, Stream::Stderr];

    /// Returns its name in file names.
    pub fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// How much is kept of each stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// Files kept; at least 1.
    pub files: u32,
    /// Bytes of one file; at least 4 KiB.
    pub file_bytes: u64,
}

impl Default for Policy {
    fn default() -> Policy {
        Policy { files: LOG_FILES_DEFAULT, file_bytes: LOG_FILE_BYTES_DEFAULT }
    }
}

impl Policy {
    /// Returns it with the least values where it is below them.
    pub fn clamped(self) -> Policy {
        Policy { files: self.files.max(1), file_bytes: self.file_bytes.max(4096) }
    }
}

/// Returns the path of file `number` of a stream.
pub fn path(dir: &Path, task: &str, stream: Stream, number: u64) -> PathBuf {
    dir.join(format!("{task}.{}.{number}", stream.name()))
}

/// Lists the numbers of the files that exist, ascending.
///
/// # Errors
/// When the directory cannot be read; one that does not exist has no files.
pub fn numbers(dir: &Path, task: &str, stream: Stream) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let prefix = format!("{task}.{}.", stream.name());
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.strip_prefix(&prefix)?.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// Returns at most `bytes` of the end of the newest file, if it was written to after `since`; nothing when it cannot be read.
pub fn last_bytes(dir: &Path, task: &str, stream: Stream, since: SystemTime, bytes: usize) -> Vec<u8> {
    let read = || {
        let number = numbers(dir, task, stream)?.last().copied().ok_or(io::ErrorKind::NotFound)?;
        let mut file = fs::File::open(path(dir, task, stream, number))?;
        let meta = file.metadata()?;
        if meta.modified()? < since {
            return Ok(Vec::new());
        }
        file.seek(SeekFrom::Start(meta.len().saturating_sub(bytes as u64)))?;
        let mut last = Vec::new();
        file.take(bytes as u64).read_to_end(&mut last)?;
        Ok::<_, io::Error>(last)
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_files_of_this_task_and_stream_are_listed() {
        let dir = tempfile::tempdir().unwrap();
        for name in
            ["web.stdout.10", "web.stdout.9", "web.stderr.3", "web.stdout.x", "web.b.stdout.1", "b.stdout.4"]
        {
            fs::write(dir.path().join(name), "").unwrap();
        }
        assert_eq!(numbers(dir.path(), "web", Stream::Stdout).unwrap(), [9, 10]);
        assert_eq!(numbers(dir.path(), "none", Stream::Stdout).unwrap(), [] as [u64; 0]);
        assert_eq!(numbers(&dir.path().join("no"), "web", Stream::Stdout).unwrap(), [] as [u64; 0]);
    }
}
