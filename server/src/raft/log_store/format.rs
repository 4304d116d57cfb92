//! Which format and back-end a directory holds; the lock on it.
//!
//! The file `format` is the first thing written and the first thing read, so that no back-end ever guesses at files
//! it did not write.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Backend, Error};
use crate::raft::durable;

/// The newest format this binary reads, and the one it writes.
pub const FORMAT: u32 = 1;

const FILE: &str = "format";
const LOCK: &str = "lock";
pub(super) const DATA: &str = "log";
const ASIDE: &str = "log.unfinished";
const FIRST_LINE: &str = "minijob log";

/// How long a lock may be held by nobody who means it, and how often to look.
const LOCK_PATIENCE: Duration = Duration::from_millis(300);
pub(super) const LOCK_RETRY: Duration = Duration::from_millis(2);

/// A directory that is ours: of a known format, of the right back-end, and locked for as long as this lives.
#[derive(Debug)]
pub(crate) struct Claim {
    /// Where the back-end keeps its files.
    pub(crate) data: PathBuf,
    _lock: File,
}

/// Claims a directory for a back-end; writes the format file if the directory is fresh.
pub(crate) fn claim(dir: &Path, backend: Backend) -> Result<Claim, Error> {
    durable::create_dir(dir).map_err(Error::io("create", dir))?;
    let path = dir.join(FILE);
    let known = match std::fs::read_to_string(&path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Some(String::new()),
        Err(source) => return Err(Error::Io { doing: "read", path, source }),
    };
    if let Some(text) = &known {
        check(&path, text, backend)?;
    }
    let lock = lock(&dir.join(LOCK))?;
    let data = dir.join(DATA);
    if known.is_none() {
        if data.exists() {
            return Err(Error::corrupt(&path, "the file is missing beside a log"));
        }
        let text = format!("{FIRST_LINE}\nformat {FORMAT}\nbackend {}\n", backend.name());
        durable::write_file(&path, text.as_bytes()).map_err(Error::io("write", &path))?;
    }
    durable::create_dir(&data).map_err(Error::io("create", &data))?;
    Ok(Claim { data, _lock: lock })
}

/// Returns the back-end that wrote a directory, if it is one that can be read.
pub(super) fn kept(dir: &Path) -> Option<Backend> {
    let text = std::fs::read_to_string(dir.join(FILE)).ok()?;
    text.lines().find_map(|line| Backend::from_name(line.strip_prefix("backend ")?))
}

/// Moves the back-end's files out of the way, in place of what was moved before.
pub(super) fn set_aside(dir: &Path) -> Result<(), Error> {
    let (data, aside) = (dir.join(DATA), dir.join(ASIDE));
    if !data.exists() {
        return Ok(());
    }
    match std::fs::remove_dir_all(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::Io { doing: "remove", path: aside, source: error });
        }
        _ => {}
    }
    std::fs::rename(&data, &aside).map_err(Error::io("move aside", &data))?;
    durable::sync_dir(dir).map_err(Error::io("sync", dir))
}

/// Refuses what a newer release or another back-end wrote.
fn check(path: &Path, text: &str, backend: Backend) -> Result<(), Error> {
    let mut lines = text.lines();
    let unreadable = || Error::corrupt(path, "not a format file of minijob");
    if lines.next() != Some(FIRST_LINE) {
        return Err(unreadable());
    }
    let found = lines.next().and_then(|line| line.strip_prefix("format ")?.parse::<u32>().ok());
    let found = found.ok_or_else(unreadable)?;
    if found > FORMAT {
        return Err(Error::Newer { path: path.to_path_buf(), found, supported: FORMAT });
    }
    let name = lines.next().and_then(|line| line.strip_prefix("backend ")).ok_or_else(unreadable)?;
    if name != backend.name() {
        return Err(Error::OtherBackend {
            path: path.to_path_buf(),
            found: name.into(),
            wanted: backend.name(),
        });
    }
    Ok(())
}

/// Takes the lock of the directory. A process that somebody is starting holds copies of all files until its program begins: such a
/// lock is gone at once. One that stays is another server's.
fn lock(path: &Path) -> Result<File, Error> {
    let file = File::create(path).map_err(Error::io("create", path))?;
    let give_up = Instant::now() + LOCK_PATIENCE;
    loop {
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < give_up => std::thread::sleep(LOCK_RETRY),
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(Error::Locked { path: path.to_path_buf() }),
            Err(errno) => {
                return Err(Error::Io { doing: "lock", path: path.to_path_buf(), source: errno.into() });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_is_given_back_at_once_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(LOCK);
        let held = lock(&path).unwrap();
        let releasing = std::thread::spawn(move || {
            std::thread::sleep(LOCK_PATIENCE / 10);
            drop(held);
        });
        lock(&path).unwrap();
        releasing.join().unwrap();
    }

    #[test]
    fn a_newer_format_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), "minijob log\nformat 3\nbackend hovercraft\nmore\n").unwrap();
        let error = claim(dir.path(), Backend::Sled).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("was written by a newer minijob: format 3, this binary reads up to 1"),
            "{error}"
        );
        assert!(!dir.path().join(DATA).exists());
    }

    #[test]
    fn another_back_end_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        drop(claim(dir.path(), Backend::Segments).unwrap());
        let error = claim(dir.path(), Backend::Sled).unwrap_err();
        assert!(matches!(&error, Error::OtherBackend { found, .. } if found == "segments"), "{error}");
        assert!(error.to_string().contains("`sled` is configured"), "{error}");
    }

    #[test]
    fn a_directory_is_opened_by_the_back_end_that_wrote_it_unless_another_is_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(kept(dir.path()), None);
        drop(claim(dir.path(), Backend::Sled).unwrap());
        assert_eq!(kept(dir.path()), Some(Backend::Sled));
        drop(super::super::open(dir.path(), super::super::Options::new(None)).unwrap());
        let other = super::super::open(dir.path(), super::super::Options::new(Backend::Segments));
        assert!(matches!(other.err(), Some(Error::OtherBackend { .. })));
    }

    #[test]
    fn a_second_owner_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let first = claim(dir.path(), Backend::Segments).unwrap();
        let error = claim(dir.path(), Backend::Segments).unwrap_err();
        assert!(matches!(error, Error::Locked { .. }), "{error}");
        drop(first);
        claim(dir.path(), Backend::Segments).unwrap();
    }

    #[test]
    fn garbage_and_a_missing_format_file_are_damage() {
        let dir = tempfile::tempdir().unwrap();
        for garbage in [&b""[..], b"\xff\xfe\x00", b"minijob log\nformat one\n", b"minijob log\nformat 1\n"] {
            std::fs::write(dir.path().join(FILE), garbage).unwrap();
            let error = claim(dir.path(), Backend::Sled).unwrap_err();
            assert!(matches!(error, Error::Corrupt { .. }), "{error}");
        }
        std::fs::remove_file(dir.path().join(FILE)).unwrap();
        std::fs::create_dir(dir.path().join(DATA)).unwrap();
        let error = claim(dir.path(), Backend::Sled).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    }
}
