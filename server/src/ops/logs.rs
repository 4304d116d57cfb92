//! The output of tasks: every source of a target merged into one stream, which goes on through replacements.
//!
//! Who fetches the bytes from a node is behind `Sources`; this decides which sources, when, and what a reader is told of those
//! that cannot be read. Without `follow` sources are read one after the other, so that the answer reads like a document; with it
//! all at once, in whole lines.

mod lines;
mod merge;
mod pick;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, Stream};
use proto::error::{Error, Kind};
use proto::ids::{AllocId, NodeId};
use tokio_stream::wrappers::ReceiverStream;

use super::find;
use super::{Caller, Capability};
use crate::cluster::Cluster;
use crate::limits;

/// Whose output.
#[derive(Clone, Debug, Default)]
pub struct LogsQuery {
    /// Where names are looked up; empty: the caller's own.
    pub namespace: String,
    /// A job, an allocation's id, a unique beginning of one, or `job.group.index`.
    pub target: String,
    /// Only this task; empty: all.
    pub task: String,
    /// Go on with what is written from now on, also by replacements.
    pub follow: bool,
    /// How much of what was printed before; what a replacement prints comes whole.
    pub portion: Portion,
    /// Which streams; neither: both.
    pub stdout: bool,
    /// See `stdout`.
    pub stderr: bool,
}

/// How much of what is kept is read, per source; the less of both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Portion {
    /// Only so many lines from the end; none: all.
    pub tail: Option<u32>,
    /// Only what was printed in this time before now; none: all.
    pub last: Option<Duration>,
}

impl Portion {
    /// Nothing of it.
    pub(super) const NOTHING: Self = Self { tail: Some(0), last: None };
}

/// One output stream of one task of one allocation, as a node is asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The node that has it.
    pub node: NodeId,
    /// The allocation.
    pub alloc: AllocId,
    /// The task.
    pub task: String,
    /// Which stream.
    pub stderr: bool,
    /// Go on until the task has ended.
    pub follow: bool,
    /// How much of what was printed before.
    pub portion: Portion,
}

/// Bytes as they come; ends with the last, or with why there are no more.
pub type Chunks = BoxStream<'static, Result<Bytes, Error>>;

/// Who fetches output from nodes.
pub trait Sources: Send + Sync + 'static {
    /// Opens one source.
    ///
    /// # Errors
    /// When the node cannot be asked: it is not connected, or too many streams are open.
    fn open(&self, wanted: Wanted) -> BoxFuture<'static, Result<Chunks, Error>>;
}

/// A piece of output, or something that a reader must know about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The allocation.
    pub alloc: AllocId,
    /// Its group.
    pub group: String,
    /// Its slot.
    pub index: u32,
    /// The task.
    pub task: String,
    /// Which stream.
    pub stderr: bool,
    /// Whole lines, except at the end of a stream and in lines longer than [`limits::LOG_LINE_BYTES`].
    pub data: Bytes,
    /// What could not be read, for people; `data` is empty then.
    pub notice: String,
}

/// Opens the output of a target. Of every slot the newest allocation is read, ended or not.
///
/// Without `follow` the stream ends with what is kept; with it, when nothing more can come: the allocation has ended, or the job
/// is gone, or is stopped or complete and nothing of it runs.
///
/// # Errors
/// Forbidden; `not_leader` where this server does not lead, because nodes are connected to the leader; those of naming a target;
/// not found when no task has that name.
pub fn logs(
    cluster: &Cluster,
    sources: &Arc<dyn Sources>,
    caller: &Caller,
    query: LogsQuery,
) -> Result<impl Stream<Item = Piece> + Send + use<>, Error> {
    caller.need(Capability::Read)?;
    let state = cluster.snapshot();
    let target = find::target(&state, caller, &query.namespace, &query.target)?;
    pick::check_task(&state, &target, &query.task)?;
    leads(cluster, "output is read")?;
    let (to, pieces) = tokio::sync::mpsc::channel(limits::LOG_PIECES_QUEUED);
    let merge = merge::Merge::new(cluster.clone(), sources.clone(), target, query, to);
    tokio::spawn(merge.run());
    Ok(ReceiverStream::new(pieces))
}

/// Returns nothing where this server leads, which is where agents are connected. `what` is what goes through the leader.
///
/// # Errors
/// Not leader, with the address of who leads.
pub(super) fn leads(cluster: &Cluster, what: &str) -> Result<(), Error> {
    let leadership = cluster.leadership().borrow().clone();
    if leadership.leading {
        return Ok(());
    }
    let error =
        Error::new(Kind::NotLeader, format!("{what} through the leader, and this server does not lead"));
    Err(match leadership.leader {
        Some(leader) => error.hint(leader),
        None => error,
    })
}

#[cfg(test)]
mod tests;
