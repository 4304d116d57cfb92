//! The whole state leaves as a stream of bytes, and comes back as one.

use std::io::{self, Write};
use std::pin::pin;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _};
use proto::error::{Error, Kind as ErrorKind};
use proto::ids::{Incarnation, RequestId, random_request_id};
use proto::view::Written;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::jobs::written;
use super::{Caller, Capability};
use crate::cluster::Cluster;
use crate::core::archive::{self, Meta};
use crate::core::state::Kind;
use crate::limits::{
    RESTORE_BYTES_MAX, RESTORE_PART_BYTES, RESTORE_PART_WITHIN, RESTORED_REIGN_WITHIN, SAVE_PARTS_QUEUED,
    SNAPSHOT_CHUNK_BYTES,
};

/// How often a part is proposed again when nobody knows whether it was applied: an election takes less.
const TRIES: u32 = 10;
/// Between two of these tries.
const PAUSE: Duration = Duration::from_millis(300);

/// Returns the state of this moment, part by part. Writing it waits for who reads; commands go on meanwhile.
///
/// # Errors
/// Forbidden; `unavailable` when this server has no state yet.
pub fn save_snapshot(
    cluster: &Cluster,
    caller: &Caller,
) -> Result<impl Stream<Item = Result<Bytes, Error>> + Send + use<>, Error> {
    caller.need(Capability::Operator)?;
    // The variables of jobs are in it.
    caller.need(Capability::Secrets)?;
    let (state, now) = (cluster.snapshot(), cluster.now());
    if state.incarnation.is_none() {
        return Err(Error::new(ErrorKind::Unavailable, "this server belongs to no cluster yet")
            .hint("`minijob server members` shows who is missing"));
    }
    let (parts, queue) = mpsc::channel(SAVE_PARTS_QUEUED);
    tokio::task::spawn_blocking(move || {
        let out = Parts { parts: parts.clone(), part: BytesMut::new() };
        let end = archive::write(&state, &Meta::of(&state, now), out).and_then(|mut out| out.flush());
        if let Err(error) = end {
            // With nobody left to read there is nobody left to tell.
            let error = Error::new(ErrorKind::Internal, format!("the snapshot cannot be written: {error}"));
            parts.blocking_send(Err(error)).ok();
        }
    });
    Ok(futures::stream::unfold(
        queue,
        |mut queue| async move { queue.recv().await.map(|part| (part, queue)) },
    ))
}

/// Gathers what is written into parts.
struct Parts {
    parts: mpsc::Sender<Result<Bytes, Error>>,
    part: BytesMut,
}

impl Write for Parts {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(SNAPSHOT_CHUNK_BYTES - self.part.len());
        self.part.extend_from_slice(&bytes[..taken]);
        if self.part.len() == SNAPSHOT_CHUNK_BYTES {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        let part = self.part.split().freeze();
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        if part.is_empty() { Ok(()) } else { self.parts.blocking_send(Ok(part)).map_err(gone) }
    }
}

/// Makes what comes the state of the cluster, in a new life; returns when a reign has begun in it. The same request id restores once.
///
/// # Errors
/// Forbidden; `invalid` for what is no whole snapshot; `refused` for another cluster's over jobs, unless `force`; `too_large`;
/// `conflict` when another restore has begun meanwhile; those of a write. Nothing has changed then, but after `unavailable`: ask again
/// with the same request id.
pub async fn restore_snapshot(
    cluster: &Cluster,
    caller: &Caller,
    request: RequestId,
    force: bool,
    parts: impl Stream<Item = Result<Bytes, Error>> + Send,
) -> Result<Written, Error> {
    caller.need(Capability::Operator)?;
    let request = if request.is_none() { random_request_id() } else { request };
    // Both follow from the name of the write, so that the same write again is the same command.
    let (life, upload) = ((request.0 >> 64) as u64, request.0 as u64);
    let bytes = stage(cluster, caller, upload, parts).await?;
    if bytes == 0 {
        return Err(Error::new(ErrorKind::Invalid, "no snapshot came"));
    }
    let restore = Kind::Restore { upload, bytes, incarnation: Incarnation(life.max(1)), force };
    let done = written(cluster.write(&caller.actor, request, restore).await?)?;
    reign_after(cluster).await;
    Ok(done)
}

/// Sends the parts into the log; returns their bytes.
async fn stage(
    cluster: &Cluster,
    caller: &Caller,
    upload: u64,
    parts: impl Stream<Item = Result<Bytes, Error>> + Send,
) -> Result<u64, Error> {
    let mut parts = pin!(parts);
    let mut gathered = BytesMut::new();
    let mut offset = 0;
    loop {
        let next = timeout(RESTORE_PART_WITHIN, parts.next()).await;
        let next =
            next.map_err(|_| Error::new(ErrorKind::Invalid, "no more of the snapshot came in time"))?;
        let is_last = next.is_none();
        gathered.extend_from_slice(&next.transpose()?.unwrap_or_default());
        if offset + gathered.len() as u64 > RESTORE_BYTES_MAX {
            let message =
                format!("the snapshot has more than {RESTORE_BYTES_MAX} bytes, which no server takes");
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        while gathered.len() >= RESTORE_PART_BYTES || is_last && !gathered.is_empty() {
            let data = gathered.split_to(gathered.len().min(RESTORE_PART_BYTES)).freeze();
            let length = data.len() as u64;
            propose(cluster, caller, &Kind::RestoreChunk { upload, offset, data }).await?;
            offset += length;
        }
        if is_last {
            return Ok(offset);
        }
    }
}

/// Proposes a part until it is known that it was applied: one that has come already changes nothing.
async fn propose(cluster: &Cluster, caller: &Caller, part: &Kind) -> Result<(), Error> {
    let mut tries = 0;
    loop {
        tries += 1;
        match cluster.write(&caller.actor, RequestId::default(), part.clone()).await {
            Ok(_) => return Ok(()),
            Err(error) if error.kind == ErrorKind::Unavailable && tries < TRIES => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Waits until this server leads in the new life: what is asked next is answered at once then. Another may lead there; that is no error.
async fn reign_after(cluster: &Cluster) {
    let mut reigns = cluster.reigns();
    let begun = async {
        while cluster.reign().is_none() {
            if reigns.changed().await.is_err() {
                return;
            }
        }
    };
    timeout(RESTORED_REIGN_WITHIN, begun).await.ok();
}
