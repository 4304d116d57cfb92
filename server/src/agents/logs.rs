//! Connections that agents dial when somebody reads a task's output: a ticket pairs the connection with its reader.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proto::error::{Error, Kind as ErrorKind};
use proto::ids::{AllocId, random_u64};
use proto::wire::v1;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tonic::{Status, Streaming};

use crate::limits::{DIALS_PENDING, LOG_CHUNKS_QUEUED, REGISTER_WITHIN};

/// Which output to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogsSpec {
    /// Whose.
    pub alloc: AllocId,
    /// Of which task.
    pub task: String,
    /// Standard error, not standard output.
    pub stderr: bool,
    /// Go on when the end is reached.
    pub follow: bool,
    /// Lines from the end; none: all that is kept.
    pub tail: Option<u32>,
}

impl LogsSpec {
    pub(super) fn ask(&self, ticket: u64) -> v1::OpenLogs {
        v1::OpenLogs {
            ticket,
            alloc_id: self.alloc.0,
            task: self.task.clone(),
            stderr: self.stderr,
            follow: self.follow,
            tail: self.tail,
        }
    }
}

/// Readers that wait for an agent to dial.
#[derive(Clone, Default)]
pub(super) struct Dials {
    waiting: Arc<Mutex<HashMap<u64, Reader>>>,
}

struct Reader {
    chunks: mpsc::Sender<v1::LogsUp>,
    dialled: oneshot::Sender<()>,
}

/// A reader's side of a dial. Dropping it gives the ticket back.
pub(super) struct Dial {
    pub(super) ticket: u64,
    pub(super) chunks: Option<mpsc::Receiver<v1::LogsUp>>,
    pub(super) dialled: oneshot::Receiver<()>,
    dials: Dials,
}

impl Drop for Dial {
    fn drop(&mut self) {
        self.dials.lock().remove(&self.ticket);
    }
}

impl Dials {
    /// Issues a ticket; a random one, because it is what lets a connection in.
    ///
    /// # Errors
    /// `unavailable` when too many wait.
    pub(super) fn expect(&self) -> Result<Dial, Error> {
        let (chunks_in, chunks) = mpsc::channel(LOG_CHUNKS_QUEUED);
        let (dialled_in, dialled) = oneshot::channel();
        let ticket = random_u64();
        let mut waiting = self.lock();
        if waiting.len() >= DIALS_PENDING {
            return Err(Error::new(ErrorKind::Unavailable, "too many readers wait for agents to answer"));
        }
        waiting.insert(ticket, Reader { chunks: chunks_in, dialled: dialled_in });
        drop(waiting);
        Ok(Dial { ticket, chunks: Some(chunks), dialled, dials: self.clone() })
    }

    /// Takes what an agent sends on a connection that it dialled, until it ends or its reader goes away.
    pub(super) async fn serve(&self, mut up: Streaming<v1::LogsUp>) -> Result<(), Status> {
        let first = timeout(REGISTER_WITHIN, up.message())
            .await
            .map_err(|_| Status::deadline_exceeded("no ticket came"))??
            .ok_or_else(|| Status::invalid_argument("no ticket came"))?;
        let reader = self.lock().remove(&first.ticket);
        let Some(Reader { chunks, dialled }) = reader else {
            return Err(Status::not_found("nobody waits with this ticket"));
        };
        dialled.send(()).ok();
        let mut next = Some(first);
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
                    let error = format!("the connection to the agent broke: {}", status.message());
                    chunks.send(v1::LogsUp { error, ..Default::default() }).await.ok();
                    None
                }
            };
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Reader>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
