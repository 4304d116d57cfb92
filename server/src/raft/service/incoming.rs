//! Receiving a snapshot: into a temporary file, from where the last stream broke, checked whole before anything else sees it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::limits::SNAPSHOT_ROOM_BYTES;
use crate::raft::snapshot_file;
use crate::raft::snapshots::Snapshots;
use crate::raft::types::{SnapshotFile, SnapshotMeta, Vote};

/// Why a chunk is not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    #[error("another transmission has taken the place of this one")]
    Superseded,
    #[error("a snapshot is being installed")]
    Busy,
    #[error("the chunk begins at {offset}, what is there ends at {written}")]
    Gap { offset: u64, written: u64 },
    #[error("there is no room on the disk for a snapshot of {bytes} bytes: free some in the data directory")]
    NoRoom { bytes: u64 },
    #[error("the snapshot cannot be written")]
    Write(#[source] io::Error),
    #[error("the snapshot arrived damaged and is sent again")]
    Damaged(#[source] snapshot_file::Error),
}

/// The one snapshot that is being received.
#[derive(Debug)]
pub(super) struct Incoming {
    snapshots: Arc<Snapshots>,
    place: Mutex<Place>,
}

#[derive(Debug, Default)]
struct Place {
    /// Of the last transmission that began: numbers never come twice, so a stream of an earlier one is recognised.
    transfer: u64,
    receiving: Option<Receiving>,
    /// The file is being checked or installed, and must not be touched.
    is_installing: bool,
}

#[derive(Clone, Debug)]
struct Receiving {
    /// The bytes of the head: which snapshot it is.
    head: Bytes,
    meta: SnapshotMeta,
    vote: Vote,
    bytes: u64,
    written: u64,
    file: Arc<File>,
}

/// A snapshot that has arrived whole and intact. The place is taken as long as this lives.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) meta: SnapshotMeta,
    pub(super) vote: Vote,
    pub(super) path: PathBuf,
    incoming: Arc<Incoming>,
}

impl Drop for Received {
    fn drop(&mut self) {
        self.incoming.place().is_installing = false;
    }
}

impl Incoming {
    pub(super) fn new(snapshots: Arc<Snapshots>) -> Self {
        Self { snapshots, place: Mutex::default() }
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        // Every change is one assignment; a panic elsewhere leaves it whole.
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes room for a snapshot, or finds what is there of it; returns the number of the transmission and where it begins.
    pub(super) async fn begin(
        self: &Arc<Self>,
        head: Bytes,
        meta: SnapshotMeta,
        vote: Vote,
        bytes: u64,
    ) -> Result<(u64, u64), Refusal> {
        let incoming = self.clone();
        blocking(move || {
            let mut place = incoming.place();
            if place.is_installing {
                return Err(Refusal::Busy);
            }
            place.transfer += 1;
            let transfer = place.transfer;
            if let Some(known) =
                place.receiving.as_mut().filter(|known| known.head == head && known.bytes == bytes)
            {
                known.vote = vote;
                return Ok((transfer, known.written));
            }
            if !incoming.snapshots.has_room_for(bytes.saturating_add(SNAPSHOT_ROOM_BYTES)) {
                return Err(Refusal::NoRoom { bytes });
            }
            let path = incoming.snapshots.incoming().path;
            let opened = OpenOptions::new().create(true).truncate(true).write(true).open(path);
            let file = Arc::new(opened.map_err(Refusal::Write)?);
            place.receiving = Some(Receiving { head, meta, vote, bytes, written: 0, file });
            Ok((transfer, 0))
        })
        .await
    }

    /// Writes a chunk; returns the vote of the leader that sends.
    pub(super) async fn write(
        self: &Arc<Self>,
        transfer: u64,
        offset: u64,
        data: Bytes,
    ) -> Result<Vote, Refusal> {
        let incoming = self.clone();
        blocking(move || {
            // The lock is held over the write: a transmission that takes over must find it done.
            let mut place = incoming.place();
            if place.transfer != transfer {
                return Err(Refusal::Superseded);
            }
            let receiving = place.receiving.as_mut().ok_or(Refusal::Superseded)?;
            let end = offset.saturating_add(data.len() as u64);
            if offset != receiving.written || end > receiving.bytes {
                return Err(Refusal::Gap { offset, written: receiving.written });
            }
            receiving.file.write_all_at(&data, offset).map_err(Refusal::Write)?;
            receiving.written = end;
            Ok(receiving.vote)
        })
        .await
    }

    /// Checks what has arrived. Damaged, it is forgotten and sent from the beginning.
    pub(super) async fn finish(self: &Arc<Self>, transfer: u64) -> Result<Received, Refusal> {
        let incoming = self.clone();
        blocking(move || {
            let receiving = incoming.take(transfer)?;
            let received = Received {
                meta: receiving.meta,
                vote: receiving.vote,
                path: incoming.snapshots.incoming().path,
                incoming: incoming.clone(),
            };
            let file = SnapshotFile { path: received.path.clone() };
            incoming.snapshots.check_received(&received.meta, &file).map_err(Refusal::Damaged)?;
            Ok(received)
        })
        .await
    }

    /// Takes the file away from whoever might still write to it.
    fn take(&self, transfer: u64) -> Result<Receiving, Refusal> {
        let mut place = self.place();
        if place.transfer != transfer {
            return Err(Refusal::Superseded);
        }
        let receiving = place.receiving.take().ok_or(Refusal::Superseded)?;
        if receiving.written < receiving.bytes {
            let (offset, written) = (receiving.bytes, receiving.written);
            place.receiving = Some(receiving);
            return Err(Refusal::Gap { offset, written });
        }
        place.is_installing = true;
        Ok(receiving)
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|panic| Err(Refusal::Write(io::Error::other(panic))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::codec;
    use crate::raft::testing::Sum;
    use crate::raft::types::LogId;
    use openraft::CommittedLeaderId;

    struct Fixture {
        _dirs: [tempfile::TempDir; 2],
        incoming: Arc<Incoming>,
        meta: SnapshotMeta,
        content: Vec<u8>,
    }

    impl Fixture {
        /// A receiver, and a snapshot of another server.
        fn new() -> Self {
            let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
            let last_log_id = Some(LogId::new(CommittedLeaderId::new(1, 1), 9));
            let meta =
                SnapshotMeta { last_log_id, last_membership: Default::default(), snapshot_id: "s".into() };
            let theirs = Snapshots::open(dirs[0].path()).unwrap().0;
            let path = theirs.write(&meta, &Sum { total: 1, commands: 1, index: 9 }).unwrap().path;
            let ours = Snapshots::open(dirs[1].path()).unwrap().0;
            let content = std::fs::read(path).unwrap();
            Self { _dirs: dirs, incoming: Arc::new(Incoming::new(Arc::new(ours))), meta, content }
        }

        async fn begin(&self) -> Result<(u64, u64), Refusal> {
            let head = codec::encode_snapshot_meta(&self.meta).into();
            let vote = Vote::new_committed(1, 1);
            self.incoming.begin(head, self.meta.clone(), vote, self.content.len() as u64).await
        }

        async fn write(&self, transfer: u64, from: usize, to: usize) -> Result<Vote, Refusal> {
            let data = Bytes::copy_from_slice(&self.content[from..to]);
            self.incoming.write(transfer, from as u64, data).await
        }
    }

    #[tokio::test]
    async fn a_second_transmission_goes_on_where_the_first_broke_and_shuts_it_out() {
        let fixture = Fixture::new();
        let (first, offset) = fixture.begin().await.unwrap();
        assert_eq!(offset, 0);
        fixture.write(first, 0, 10).await.unwrap();
        let gap = fixture.write(first, 12, 14).await.unwrap_err();
        assert!(matches!(gap, Refusal::Gap { offset: 12, written: 10 }), "{gap}");
        let (second, offset) = fixture.begin().await.unwrap();
        assert_eq!(offset, 10);
        assert!(matches!(fixture.write(first, 10, 20).await, Err(Refusal::Superseded)));
        assert!(matches!(fixture.incoming.finish(second).await, Err(Refusal::Gap { .. })), "not whole yet");
        fixture.write(second, 10, fixture.content.len()).await.unwrap();
        let received = fixture.incoming.finish(second).await.unwrap();
        assert_eq!(received.meta, fixture.meta);
        assert!(
            matches!(fixture.begin().await, Err(Refusal::Busy)),
            "nobody writes over what is being installed"
        );
        drop(received);
        assert_eq!(fixture.begin().await.unwrap().1, 0, "the next one is a new file");
    }

    #[tokio::test]
    async fn what_arrives_damaged_is_refused_and_sent_again_from_the_beginning() {
        let mut fixture = Fixture::new();
        let middle = fixture.content.len() - 20;
        fixture.content[middle] ^= 1;
        let (transfer, _) = fixture.begin().await.unwrap();
        fixture.write(transfer, 0, fixture.content.len()).await.unwrap();
        assert!(matches!(fixture.incoming.finish(transfer).await, Err(Refusal::Damaged(_))));
        fixture.content[middle] ^= 1;
        let (transfer, offset) = fixture.begin().await.unwrap();
        assert_eq!(offset, 0);
        fixture.write(transfer, 0, fixture.content.len()).await.unwrap();
        fixture.incoming.finish(transfer).await.unwrap();
    }
}
