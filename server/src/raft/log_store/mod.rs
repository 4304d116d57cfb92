//! Durable log and votes, as bytes.
//!
//! A `LogStore` is synchronous and has one owner, the `writer` thread. It knows indexes and bytes and nothing of
//! terms, votes or commands, so that a back-end is small enough to be proven by power cuts.

/// Which format and back-end a directory holds; the lock on it.
pub mod format;
/// One checksummed record of the segmented log.
pub mod frame;
/// An entry as the values of sled keys.
mod parts;
/// One file of the segmented log.
mod segment;
/// The segmented log.
mod segments;
/// sled, by the recipe that survives power cuts.
mod sled;
/// A note beside the store that it once held something.
mod witness;
/// The thread that owns a store.
pub mod writer;

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use crate::limits;

/// Where log and votes are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Backend {
    /// The embedded database sled, version 0.34.
    Sled,
    /// Our own append-only segment files.
    #[default]
    Segments,
}

impl Backend {
    /// The word for it in configuration and in the format file.
    pub fn name(self) -> &'static str {
        match self {
            Backend::Sled => "sled",
            Backend::Segments => "segments",
        }
    }

    /// The back-end of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Backend::Sled, Backend::Segments].into_iter().find(|backend| backend.name() == name)
    }
}

/// Settings of a store.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Which back-end; fixed when the directory is first used. None: the one that it holds, in a fresh one the default.
    pub backend: Option<Backend>,
    /// Size at which a segment file is closed, in bytes (segmented log only).
    pub segment_bytes: u64,
}

impl Options {
    /// The defaults with this back-end.
    pub fn new(backend: impl Into<Option<Backend>>) -> Self {
        Options { backend: backend.into(), segment_bytes: limits::SEGMENT_BYTES }
    }
}

/// What a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Index of the first entry present.
    pub first: Option<u64>,
    /// Index of the last entry present.
    pub last: Option<u64>,
    /// What `save_vote` was last given.
    pub vote: Option<Bytes>,
    /// What `save_committed` was last given.
    pub committed: Option<Bytes>,
    /// What `purge_through` was last given.
    pub purged: Option<(u64, Bytes)>,
}

impl State {
    /// The index the next entry must have, or `None` when any index may be first.
    pub fn next_index(&self) -> Option<u64> {
        self.last.or(self.purged.as_ref().map(|(index, _)| *index)).map(|index| index + 1)
    }
}

/// How much a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of the records present.
    pub log_bytes: u64,
    /// Files that the back-end wrote outside its log; always 0, or the recipe for sled was broken.
    pub blobs: u64,
}

/// A durable log with one writer.
///
/// Writes take effect for `read` and `state` at once, in the order of the calls, and are durable when `sync` returns.
/// After a power cut the store holds the result of a prefix of the calls that includes every call before the last
/// `sync`. After any error the store is unusable: writes and syncs fail until it is opened again.
pub trait LogStore: Send {
    /// Appends records with consecutive indexes from `first_index`, which must follow the last entry (or what was
    /// purged); an empty log that was never purged takes any first index.
    fn append(&mut self, first_index: u64, records: &[Bytes]) -> Result<(), Error>;

    /// Remembers the vote.
    fn save_vote(&mut self, vote: &[u8]) -> Result<(), Error>;

    /// Remembers how far the log is known to be committed. Nobody waits for this one to be durable.
    fn save_committed(&mut self, committed: &[u8]) -> Result<(), Error>;

    /// Removes all entries from `index` on. Nothing happens when there are none.
    fn truncate_from(&mut self, index: u64) -> Result<(), Error>;

    /// Removes all entries up to and including `index` and remembers `last_purged`. The log may go on after `index`
    /// even when it never held it. An index at or below the one purged before changes nothing.
    fn purge_through(&mut self, index: u64, last_purged: &[u8]) -> Result<(), Error>;

    /// The entries in `range` that are present, from its first on, until more than `max_bytes` would be returned; one
    /// entry is returned whatever its size.
    fn read(&self, range: Range<u64>, max_bytes: usize) -> Result<Vec<Bytes>, Error>;

    /// What the store holds.
    fn state(&self) -> State;

    /// Makes everything written so far durable.
    fn sync(&mut self) -> Result<(), Error>;

    /// How much the store holds.
    fn usage(&self) -> Usage;
}

/// Opens the store in `dir`, creating it if the directory is empty or missing.
///
/// # Errors
///
/// [`Error::Newer`] and [`Error::OtherBackend`] when the directory is not ours to read, [`Error::Locked`] when another
/// process has it open, [`Error::Corrupt`] when it is damaged, [`Error::Io`] and [`Error::Sled`] when the disk or the
/// database failed. None of them changes what the directory holds.
pub fn open(dir: &Path, options: Options) -> Result<Box<dyn LogStore>, Error> {
    let store = match open_backend(dir, options) {
        Err(Error::Corrupt { path, what }) if !witness::exists(dir) => {
            // Nothing was ever made durable here, so the power failed while the store was made. It is made again.
            tracing::warn!(path = %path.display(), what, "a first start was cut off; starting over");
            format::set_aside(dir)?;
            open_backend(dir, options)?
        }
        opened => opened?,
    };
    Ok(Box::new(witness::Witnessed::open(dir, store)?))
}

fn open_backend(dir: &Path, options: Options) -> Result<Box<dyn LogStore>, Error> {
    let backend = options.backend.or_else(|| format::kept(dir)).unwrap_or_default();
    let claim = format::claim(dir, backend)?;
    Ok(match backend {
        Backend::Sled => Box::new(sled::Store::open(claim)?),
        Backend::Segments => Box::new(segments::Store::open(claim, options.segment_bytes)?),
    })
}

/// Why a store could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The database failed.
    #[error("cannot {doing} the database {}", path.display())]
    Sled {
        /// What was attempted.
        doing: &'static str,
        /// The database's directory.
        path: PathBuf,
        /// What it said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The directory was written by a later release.
    #[error("{} was written by a newer minijob: format {found}, this binary reads up to {supported}", path.display())]
    Newer {
        /// The format file.
        path: PathBuf,
        /// The format it names.
        found: u32,
        /// The newest format this binary knows.
        supported: u32,
    },
    /// The directory belongs to another back-end.
    #[error("{} holds a log kept by `{found}`, but `{wanted}` is configured; set it back to `{found}`", path.display())]
    OtherBackend {
        /// The format file.
        path: PathBuf,
        /// The back-end it names.
        found: String,
        /// The back-end that was asked for.
        wanted: &'static str,
    },
    /// Another process uses the directory.
    #[error("{} is in use by another process", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// Something that was once durable is damaged or missing.
    #[error(
        "{} is damaged: {what}; move the whole data directory aside and let this server join again as a new one",
        path.display()
    )]
    Corrupt {
        /// The damaged file or directory.
        path: PathBuf,
        /// What is wrong with it, and where.
        what: String,
    },
    /// The caller broke the contract; nothing was changed.
    #[error("refused by the log store: {what}")]
    Misuse {
        /// What was asked and why it cannot be.
        what: String,
    },
    /// An earlier write failed, and what is on disk is not known until the store is opened again.
    #[error("the log store failed before and must be opened again")]
    Failed,
}

impl Error {
    /// Wraps an I/O error; made for `map_err`.
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_path_buf();
        move |source| Error::Io { doing, path, source }
    }

    pub(crate) fn corrupt(path: &Path, what: impl Into<String>) -> Error {
        Error::Corrupt { path: path.to_path_buf(), what: what.into() }
    }
}

/// Checks an append against the contract before anything is written.
fn check_append(state: &State, first_index: u64, records: &[Bytes]) -> Result<(), Error> {
    if let Some(next) = state.next_index()
        && next != first_index
    {
        return Err(Error::Misuse { what: format!("append at {first_index} where {next} is next") });
    }
    match records.iter().map(Bytes::len).max() {
        Some(len) if len > limits::RECORD_BYTES_MAX => Err(Error::Misuse {
            what: format!("a record of {len} bytes, at most {} are allowed", limits::RECORD_BYTES_MAX),
        }),
        _ => Ok(()),
    }
}

/// Checks a truncation against the contract.
fn check_truncate(state: &State, index: u64) -> Result<(), Error> {
    match &state.purged {
        Some((purged, _)) if index <= *purged => {
            Err(Error::Misuse { what: format!("truncate from {index}, which is purged through {purged}") })
        }
        _ => Ok(()),
    }
}
