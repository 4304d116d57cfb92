//! Sending a snapshot: announced, then in chunks from where the follower has it, again from there when the connection breaks.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use proto::wire::v1;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use super::links::Link;
use crate::limits::{
    SNAPSHOT_CHUNK_BYTES, SNAPSHOT_CHUNK_WITHIN, SNAPSHOT_CHUNKS_QUEUED, SNAPSHOT_INSTALL_WITHIN,
    SNAPSHOT_PAUSE, SNAPSHOT_TRIES,
};
use crate::raft::codec::{self, DecodeError};
use crate::raft::types::{SnapshotFile, SnapshotMeta, Vote};

/// Why a snapshot did not arrive.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error("cannot read the snapshot {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the follower does not take the snapshot")]
    Refused(#[source] Status),
    #[error("the connection broke {SNAPSHOT_TRIES} times and nothing of the snapshot arrived between")]
    Broken(#[source] Status),
    #[error("the follower's answer cannot be read")]
    Answer(#[from] DecodeError),
}

/// Sends a snapshot and waits until it is installed; returns the vote that the follower has seen, which is higher than ours if we do
/// not lead any more.
pub(super) async fn send(
    link: &Link,
    vote: Vote,
    meta: &SnapshotMeta,
    snapshot: &SnapshotFile,
) -> Result<Vote, Error> {
    let read = |source| Error::Read { path: snapshot.path.clone(), source };
    // Held open: it is sent whole even though it is removed meanwhile, when newer ones were taken.
    let file = Arc::new(File::open(&snapshot.path).map_err(read)?);
    let bytes = file.metadata().map_err(read)?.len();
    let announcement = v1::RaftSnapshot {
        route: Some(link.route()),
        vote: codec::encode_vote(&vote),
        meta: codec::encode_snapshot_meta(meta).into(),
        bytes,
    };
    let (mut arrived, mut tries) = (0, 0);
    loop {
        let sent = attempt(link, &announcement, vote, &file, &mut arrived, &mut tries).await?;
        match sent {
            Ok(seen) => return Ok(seen),
            Err(status) if status.code() == Code::FailedPrecondition => {
                link.note(&status);
                return Err(Error::Refused(status));
            }
            Err(status) => {
                tries += 1;
                if tries >= SNAPSHOT_TRIES {
                    return Err(Error::Broken(status));
                }
                sleep(SNAPSHOT_PAUSE).await;
            }
        }
    }
}

/// One try. A status is a reason for another one.
async fn attempt(
    link: &Link,
    announcement: &v1::RaftSnapshot,
    vote: Vote,
    file: &Arc<File>,
    arrived: &mut u64,
    tries: &mut u32,
) -> Result<Result<Vote, Status>, Error> {
    let begun =
        match timeout(SNAPSHOT_CHUNK_WITHIN, link.snapshots.clone().begin_snapshot(announcement.clone()))
            .await
        {
            Ok(Ok(begun)) => begun.into_inner(),
            Ok(Err(status)) => return Ok(Err(status)),
            Err(_) => {
                return Ok(Err(Status::deadline_exceeded("the follower did not answer the announcement")));
            }
        };
    let seen = codec::decode_vote(&begun.vote)?;
    if begun.known || seen > vote {
        return Ok(Ok(seen));
    }
    if begun.offset > *arrived {
        (*arrived, *tries) = (begun.offset, 0);
    }
    match stream(link, &begun, announcement.bytes, file).await {
        Ok(installed) => Ok(Ok(codec::decode_vote(&installed.vote)?)),
        Err(status) => Ok(Err(status)),
    }
}

/// Sends what the follower lacks and waits for the end of the installation.
async fn stream(
    link: &Link,
    begun: &v1::RaftSnapshotBegun,
    bytes: u64,
    file: &Arc<File>,
) -> Result<v1::RaftInstalled, Status> {
    let (out, chunks) = mpsc::channel(SNAPSHOT_CHUNKS_QUEUED);
    let sent = Arc::new(AtomicU64::new(begun.offset));
    let reading = Reading {
        file: file.clone(),
        route: link.route(),
        transfer: begun.transfer,
        offset: begun.offset,
        bytes,
        sent: sent.clone(),
    };
    let reader = tokio::task::spawn_blocking(move || reading.run(&out));
    let mut client = link.snapshots.clone();
    let mut answer = std::pin::pin!(client.snapshot(ReceiverStream::new(chunks)));
    loop {
        let before = sent.load(Ordering::Relaxed);
        let patience = if before >= bytes { SNAPSHOT_INSTALL_WITHIN } else { SNAPSHOT_CHUNK_WITHIN };
        match timeout(patience, answer.as_mut()).await {
            Ok(Ok(installed)) => return Ok(installed.into_inner()),
            Ok(Err(status)) => {
                // A file that could not be read ends the stream early, which the follower cannot explain.
                return Err(match reader.await {
                    Ok(Err(error)) => Status::internal(format!("the snapshot cannot be read: {error}")),
                    _ => status,
                });
            }
            Err(_) if sent.load(Ordering::Relaxed) > before => {}
            Err(_) => return Err(Status::deadline_exceeded("the follower took nothing for too long")),
        }
    }
}

/// What the thread needs that reads the file.
struct Reading {
    file: Arc<File>,
    route: v1::Route,
    transfer: u64,
    offset: u64,
    bytes: u64,
    /// How far chunks have been taken for sending.
    sent: Arc<AtomicU64>,
}

impl Reading {
    /// Reads until the end, or until nobody takes chunks any more.
    fn run(mut self, out: &mpsc::Sender<v1::RaftChunk>) -> io::Result<()> {
        let mut route = Some(self.route);
        // One at least, so that whoever is addressed is told who sends.
        loop {
            let len = (self.bytes - self.offset).min(SNAPSHOT_CHUNK_BYTES as u64);
            let mut data = vec![0; len as usize];
            self.file.read_exact_at(&mut data, self.offset)?;
            let chunk = v1::RaftChunk {
                route: route.take(),
                transfer: self.transfer,
                offset: self.offset,
                data: Bytes::from(data),
            };
            if out.blocking_send(chunk).is_err() {
                return Ok(());
            }
            self.offset += len;
            self.sent.store(self.offset, Ordering::Relaxed);
            if self.offset >= self.bytes {
                return Ok(());
            }
        }
    }
}
