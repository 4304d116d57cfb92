//! The directory of snapshots.
//!
//! Two are kept, and the log is purged only up to the older one: if the newest turns out to be damaged, the one before
//! it and the log still give the whole state.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use super::codec;
use super::durable;
use super::machine::Frozen;
use super::snapshot_file::{self, Error, Reader};
use super::types::{SnapshotFile, SnapshotMeta};
use crate::limits::{SNAPSHOT_ROOM_BYTES, SNAPSHOTS_KEPT};

const EXTENSION: &str = "snapshot";
const DAMAGED: &str = "damaged";
const INCOMING: &str = "incoming.tmp";

/// Returns the bytes that are free to this process where a path is; nothing when the file system does not say.
pub(crate) fn free_bytes(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// The snapshots of one server.
#[derive(Debug)]
pub(crate) struct Snapshots {
    dir: PathBuf,
    /// Oldest first.
    kept: Mutex<Vec<Known>>,
}

/// A snapshot that was intact when it was last read or written.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) meta: SnapshotMeta,
    pub(crate) path: PathBuf,
    /// Of the file, in bytes.
    pub(crate) size: u64,
}

impl Known {
    /// The last entry in it; `None` for a snapshot of nothing.
    pub(crate) fn index(&self) -> Option<u64> {
        self.meta.last_log_id.map(|id| id.index)
    }
}

impl Snapshots {
    /// Returns whether there is room for one more: twice the last one, and some. A snapshot that fails for want of room would end the
    /// consensus core.
    pub(crate) fn has_room(&self) -> bool {
        let last = self.newest().map_or(0, |known| known.size);
        self.has_room_for(last.saturating_mul(2).saturating_add(SNAPSHOT_ROOM_BYTES))
    }

    /// Returns whether so many bytes are free.
    pub(crate) fn has_room_for(&self, wanted: u64) -> bool {
        free_bytes(&self.dir).is_none_or(|free| free >= wanted)
    }

    /// Opens the directory and checks every snapshot whole. Damaged ones are put aside under another name and
    /// returned as errors: whether the server can live without them depends on its log.
    ///
    /// # Errors
    ///
    /// [`Error::Newer`] and [`Error::Io`].
    pub(crate) fn open(dir: &Path) -> Result<(Self, Vec<Error>), Error> {
        let io = |doing| move |source| Error::Io { doing, path: dir.to_path_buf(), source };
        durable::create_dir(dir).map_err(io("create the directory for"))?;
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(io("find"))? {
            let path = entry.map_err(io("find"))?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some(EXTENSION) => paths.push(path),
                Some("tmp") => std::fs::remove_file(&path).map_err(io("remove a half written"))?,
                _ => {}
            }
        }
        // The names sort by index.
        paths.sort();
        let (mut kept, mut damaged) = (Vec::new(), Vec::new());
        for path in paths {
            match check(&path) {
                Ok(known) => kept.push(known),
                Err(error @ Error::Damaged { .. }) => {
                    std::fs::rename(&path, path.with_extension(DAMAGED)).map_err(io("put aside"))?;
                    damaged.push(error);
                }
                Err(error) => return Err(error),
            }
        }
        Ok((Snapshots { dir: dir.to_path_buf(), kept: Mutex::new(kept) }, damaged))
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Known>> {
        // The list is changed by single pushes and removals; a panic elsewhere leaves it whole.
        self.kept.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The newest snapshot.
    pub(crate) fn newest(&self) -> Option<Known> {
        self.kept().last().cloned()
    }

    /// The last entry that no kept snapshot needs from the log any more.
    pub(crate) fn purgeable_through(&self) -> Option<u64> {
        let kept = self.kept();
        if kept.len() < SNAPSHOTS_KEPT { None } else { kept.first().and_then(Known::index) }
    }

    /// Writes a snapshot; blocks. Older ones than are kept are removed.
    pub(crate) fn write(&self, meta: &SnapshotMeta, frozen: &dyn Frozen) -> Result<Known, Error> {
        let path = self.path(meta);
        let size = snapshot_file::write(&path, &codec::encode_snapshot_meta(meta), |out| frozen.write(out))?;
        let known = Known { meta: meta.clone(), path, size };
        self.add(known.clone());
        Ok(known)
    }

    /// Where a snapshot may be received; a second call gives the same place.
    pub(crate) fn incoming(&self) -> SnapshotFile {
        SnapshotFile { path: self.dir.join(INCOMING) }
    }

    /// Reads a received snapshot whole; blocks. A damaged one that reached [`Self::install`] would end the consensus core.
    pub(crate) fn check_received(&self, meta: &SnapshotMeta, file: &SnapshotFile) -> Result<Known, Error> {
        let received = check(&file.path)?;
        if received.meta == *meta {
            return Ok(received);
        }
        let what = "it holds another snapshot than was announced".into();
        Err(Error::Damaged { path: file.path.clone(), what })
    }

    /// Checks a received snapshot and takes it in; blocks.
    pub(crate) fn install(&self, meta: &SnapshotMeta, file: &SnapshotFile) -> Result<Known, Error> {
        let incoming = self.incoming();
        if file.path != incoming.path {
            std::fs::copy(&file.path, &incoming.path).map_err(|source| Error::Io {
                doing: "copy",
                path: file.path.clone(),
                source,
            })?;
        }
        let received = self.check_received(meta, &incoming)?;
        let path = self.path(meta);
        std::fs::File::open(&incoming.path)
            .and_then(|file| file.sync_all())
            .and_then(|()| std::fs::rename(&incoming.path, &path))
            .and_then(|()| durable::sync_dir(&self.dir))
            .map_err(|source| Error::Io { doing: "install", path: path.clone(), source })?;
        let known = Known { path, ..received };
        self.add(known.clone());
        Ok(known)
    }

    fn path(&self, meta: &SnapshotMeta) -> PathBuf {
        let (term, next_index) = meta.last_log_id.map_or((0, 0), |id| (id.leader_id.term, id.index + 1));
        self.dir.join(format!("{next_index:016x}-{term:x}.{EXTENSION}"))
    }

    fn add(&self, known: Known) {
        let mut kept = self.kept();
        kept.retain(|other| other.path != known.path);
        kept.push(known);
        kept.sort_by_key(|known| known.meta.last_log_id);
        while kept.len() > SNAPSHOTS_KEPT {
            let old = kept.remove(0);
            if let Err(error) = std::fs::remove_file(&old.path) {
                tracing::warn!(path = %old.path.display(), %error, "cannot remove an old snapshot");
            }
        }
    }
}

/// Reads a whole snapshot and throws the content away.
fn check(path: &Path) -> Result<Known, Error> {
    let mut reader = Reader::open(path)?;
    let meta = codec::decode_snapshot_meta(reader.meta());
    let meta = meta.map_err(|error| Error::Damaged { path: path.to_path_buf(), what: error.to_string() })?;
    reader.drain()?;
    let size = std::fs::metadata(path).map_or(reader.content_bytes(), |metadata| metadata.len());
    Ok(Known { meta, path: path.to_path_buf(), size })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::testing::Sum;
    use crate::raft::types::LogId;
    use openraft::CommittedLeaderId;

    fn meta(index: u64) -> SnapshotMeta {
        let last_log_id = Some(LogId::new(CommittedLeaderId::new(1, 1), index));
        SnapshotMeta { last_log_id, last_membership: Default::default(), snapshot_id: format!("s{index}") }
    }

    fn write(snapshots: &Snapshots, index: u64) -> PathBuf {
        snapshots.write(&meta(index), &Sum { total: index, commands: 1, index }).unwrap().path
    }

    #[test]
    fn two_are_kept_and_the_older_one_bounds_the_purge() {
        let dir = tempfile::tempdir().unwrap();
        let (snapshots, damaged) = Snapshots::open(dir.path()).unwrap();
        assert!(damaged.is_empty() && snapshots.newest().is_none());
        write(&snapshots, 9);
        assert_eq!(snapshots.purgeable_through(), None);
        write(&snapshots, 16);
        write(&snapshots, 300);
        assert_eq!(snapshots.purgeable_through(), Some(16));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
        let (snapshots, _) = Snapshots::open(dir.path()).unwrap();
        assert_eq!(snapshots.newest().unwrap().meta, meta(300));
        assert_eq!(snapshots.purgeable_through(), Some(16));
    }

    #[test]
    fn a_damaged_one_is_put_aside_and_the_one_before_is_the_newest() {
        let dir = tempfile::tempdir().unwrap();
        let (snapshots, _) = Snapshots::open(dir.path()).unwrap();
        write(&snapshots, 1);
        let path = write(&snapshots, 2);
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 20;
        bytes[last] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        let (snapshots, damaged) = Snapshots::open(dir.path()).unwrap();
        assert!(matches!(damaged[..], [Error::Damaged { .. }]), "{damaged:?}");
        assert_eq!(snapshots.newest().unwrap().meta, meta(1));
        assert!(path.with_extension(DAMAGED).exists());
    }

    #[test]
    fn what_a_crash_left_half_written_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("0000000000000001-1.tmp"), b"half").unwrap();
        let (snapshots, damaged) = Snapshots::open(dir.path()).unwrap();
        assert!(damaged.is_empty() && snapshots.newest().is_none());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
