//! The output of tasks, on connections that agents dial when somebody reads it.

use std::time::Duration;

use proto::ids::AllocId;
use proto::time::Timestamp;
use proto::wire::v1;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::{Status, Streaming};

use super::dials::Dials;
use crate::limits::REGISTER_WITHIN;

/// Which output to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogsSpec {
    /// Whose.
    pub alloc: AllocId,
    /// Of which task.
    pub task: String,
    /// Both streams as one; `stderr` counts for agents that do not know this.
    pub both: bool,
    /// Standard error, not standard output.
    pub stderr: bool,
    /// Go on when the end is reached.
    pub follow: bool,
    /// Lines from the end; none: all that is kept.
    pub tail: Option<u32>,
    /// Only what was printed in this time before now; none: all that is kept.
    pub last: Option<Duration>,
    /// Only what was printed at this time of the node's clock or later.
    pub since: Option<Timestamp>,
}

impl LogsSpec {
    pub(super) fn ask(&self, ticket: u64) -> v1::OpenLogs {
        v1::OpenLogs {
            ticket,
            alloc_id: self.alloc.0,
            task: self.task.clone(),
            stderr: self.stderr,
            both: self.both,
            follow: self.follow,
            tail: self.tail,
            last_ms: self.last.map(proto::time::millis),
            since_ms: self.since.map(|since| since.0),
        }
    }
}

/// Where the output goes that an agent brings.
pub(super) type Reader = mpsc::Sender<v1::LogsUp>;

/// Takes what an agent sends on a connection that it dialled, until it ends or its reader goes away.
pub(super) async fn serve(dials: &Dials<Reader>, mut up: Streaming<v1::LogsUp>) -> Result<(), Status> {
    let first = timeout(REGISTER_WITHIN, up.message())
        .await
        .map_err(|_| Status::deadline_exceeded("no ticket came"))??
        .ok_or_else(|| Status::invalid_argument("no ticket came"))?;
    let reader = dials.take(first.ticket);
    let chunks = reader.ok_or_else(|| Status::not_found("nobody waits with this ticket"))?;
    // The first is passed on in any case: it says what the agent understood.
    if chunks.send(v1::LogsUp { ticket: 0, ..first }).await.is_err() {
        return Ok(());
    }
    let mut next = Some(v1::LogsUp::default());
    while let Some(chunk) = next {
        let says_something = !chunk.data.is_empty() || !chunk.error.is_empty();
        if says_something && chunks.send(chunk).await.is_err() {
            return Ok(());
        }
        let message = tokio::select! {
            message = up.message() => message,
            () = chunks.closed() => return Ok(()),
        };
        next = match message {
            Ok(message) => message,
            Err(status) => {
                tracing::debug!(%status, "the connection broke on which an agent brings output");
                let error = "the connection broke".to_owned();
                chunks.send(v1::LogsUp { error, ..Default::default() }).await.ok();
                None
            }
        };
    }
    Ok(())
}
