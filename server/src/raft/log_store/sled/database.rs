//! Opening sled so that what it says is durable can be made so.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ::sled::Db;

use super::super::Error;
use super::super::format::LOCK_RETRY;
use crate::raft::durable;

/// Blobs are written for values above a quarter of this.
const SEGMENT_BYTES: usize = 8 << 20;

/// sled's page cache; the log is written once and read rarely.
const CACHE_BYTES: u64 = 16 << 20;

/// How long sled may keep its lock after it was closed.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// Opens the database and makes durable what sled does not.
pub(super) fn open(dir: &Path) -> Result<(Db, File), Error> {
    let config = ::sled::Config::new()
        .path(dir)
        // No thread of sled's own: durability is ours, and errors come to us.
        .flush_every_ms(None)
        .segment_size(SEGMENT_BYTES)
        .mode(::sled::Mode::HighThroughput)
        .cache_capacity(CACHE_BYTES);
    let db = open_when_unlocked(&config, dir)?;
    let path = dir.join("db");
    let file = File::open(&path).map_err(Error::io("open", &path))?;
    for path in [dir.join("conf"), path, dir.join("blobs"), dir.to_path_buf()] {
        File::open(&path).and_then(|file| file.sync_all()).map_err(Error::io("sync", &path))?;
    }
    durable::sync_parent(dir).map_err(Error::io("sync", dir))?;
    Ok((db, file))
}

/// Opens the database. sled keeps its own lock for a moment after the last handle in this process is gone, and we hold
/// the lock of the directory already, so its lock is only a matter of time.
fn open_when_unlocked(config: &::sled::Config, dir: &Path) -> Result<Db, Error> {
    let give_up = Instant::now() + LOCK_PATIENCE;
    loop {
        match config.open() {
            Err(::sled::Error::Io(error))
                if error.to_string().contains("could not acquire lock") && Instant::now() < give_up =>
            {
                std::thread::sleep(LOCK_RETRY);
            }
            opened => return opened.map_err(|error| failed("open", dir, error)),
        }
    }
}

/// Makes an error of sled ours.
pub(super) fn failed(doing: &'static str, dir: &Path, error: ::sled::Error) -> Error {
    let path = PathBuf::from(dir);
    match error {
        ::sled::Error::Corruption { at, .. } => {
            let place = at.map_or_else(|| "its configuration".to_owned(), |at| format!("its record at {at}"));
            Error::Corrupt { path, what: format!("sled cannot read {place}") }
        }
        ::sled::Error::Io(source) => Error::Io { doing, path, source },
        other => Error::Sled { doing, path, source: Box::new(other) },
    }
}
