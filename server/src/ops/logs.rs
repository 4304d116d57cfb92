//! The output of tasks: every source of a target merged into one stream, which goes on through replacements.
//!
//! Who fetches the bytes from a node is behind `Sources`; this decides which sources, when, and what a reader is told of those
//! that cannot be read. Without `follow` the past is read, merged in the order of time; with it lines come as they arrive. Times
//! are those of the nodes' clocks.

mod follow;
mod lines;
mod outbox;
mod past;
mod pick;
mod place;
mod unreadable;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, Stream};
use proto::error::{Error, Kind};
use proto::ids::{AllocId, NodeId};
use proto::time::Timestamp;
use tokio::sync::mpsc::Sender;
use tokio_stream::wrappers::ReceiverStream;

use super::find::{self, Target};
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
    /// Of a job or a slot also the older allocations.
    pub all: bool,
    /// A piece is of one time; else pieces are as large as they can be and have none.
    pub times: bool,
}

/// How much of what is kept is read, per task of an allocation; the less of both.
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

/// Which streams of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// Both as one, in the order of time.
    Both,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The output of one task of one allocation, as a node is asked for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The node that has it.
    pub node: NodeId,
    /// The allocation.
    pub alloc: AllocId,
    /// The task.
    pub task: String,
    /// Which streams.
    pub streams: Streams,
    /// Go on until the task has ended.
    pub follow: bool,
    /// How much of what was printed before.
    pub portion: Portion,
    /// Of that only what was printed at this time of the node's clock or later; agents that do not know it send all of it.
    pub since: Option<Timestamp>,
}

/// Lines of one stream that were written at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines {
    /// Which stream.
    pub stderr: bool,
    /// When, by the clock of the node; none: not known.
    pub time: Option<Timestamp>,
    /// The bytes; agents that are older than this server cut lines anywhere.
    pub data: Bytes,
}

/// Output as it comes; ends with the last, or with why there is no more: not found when it is kept no longer, unavailable when it
/// cannot be read now.
pub type Chunks = BoxStream<'static, Result<Lines, Error>>;

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
    /// The allocation; 0 in a notice that is of no single one.
    pub alloc: AllocId,
    /// Its group; empty in a notice that is of no single allocation.
    pub group: String,
    /// Its slot.
    pub index: u32,
    /// The task.
    pub task: String,
    /// The name of the node.
    pub node: String,
    /// Which stream.
    pub stderr: bool,
    /// When it was written, where that was asked for and is known.
    pub time: Option<Timestamp>,
    /// Whole lines, except at the end of a stream and in lines longer than [`limits::LOG_LINE_BYTES`].
    pub data: Bytes,
    /// What a reader must know, for people; `data` is empty then.
    pub notice: String,
    /// With a notice: output that was asked for could not be read.
    pub missing: bool,
}

impl Piece {
    /// Says something that is of no single allocation.
    fn notice(notice: String, missing: bool) -> Self {
        Self {
            alloc: AllocId(0),
            group: String::new(),
            index: 0,
            task: String::new(),
            node: String::new(),
            stderr: false,
            time: None,
            data: Bytes::new(),
            notice,
            missing,
        }
    }
}

/// Opens the output of a target. Of every slot of a job that is wanted the newest allocation is read and, where that is of the same
/// version, the last one before it; with `all` every allocation that is known.
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
    let reading = Reading { cluster: cluster.clone(), sources: sources.clone(), target, query, to };
    tokio::spawn(reading.run());
    Ok(ReceiverStream::new(pieces))
}

/// One reader, and what it asked for.
struct Reading {
    cluster: Cluster,
    sources: Arc<dyn Sources>,
    target: Target,
    query: LogsQuery,
    to: Sender<Piece>,
}

impl Reading {
    /// Ends when all is read, or nobody listens; dropping it ends what it started.
    async fn run(self) {
        let to = self.to.clone();
        let read = async {
            if self.query.follow {
                follow::Follow::new(self).run().await;
            } else {
                past::read(self).await;
            }
        };
        tokio::select! {
            () = to.closed() => {}
            () = read => {}
        }
    }

    /// Says how much of the target's past is not read.
    async fn tell_left_out(&self, allocs: usize) {
        if let Some(said) = left_out(allocs) {
            self.tell(Piece::notice(said, false)).await;
        }
    }

    async fn tell(&self, notice: Piece) {
        // Nobody listens any more: then there is nobody to tell.
        self.to.send(notice).await.ok();
    }
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

fn left_out(allocs: usize) -> Option<String> {
    let which = match allocs {
        0 => return None,
        1 => "an older allocation is left out: ask for all (`--all`), or name it".to_owned(),
        count => format!("{count} older allocations is left out: ask for all (`--all`), or name one"),
    };
    Some(format!("the output of {which}"))
}

#[cfg(test)]
mod tests;
