//! Entries on their way to a follower.
//!
//! openraft gives a message up after one heartbeat and sends the same again, for ever if the link or the follower's disk takes longer than
//! that. So a message with entries goes on without it, and when openraft comes with the same, it gets the answer to the first. Meanwhile the
//! follower hears that the leader lives on the other connection, because this one is full.

use std::sync::Arc;

use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse};
use proto::wire::v1;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::Status;

use super::wire;
use crate::limits::{PEER_APPEND_WITHIN, PEER_CONNECT_WITHIN};
use crate::raft::machine::Machine;
use crate::raft::network::links::Link;
use crate::raft::types::{LogId, TypeConfig, Vote};

/// What is on its way to one follower, one message at most. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Appends(Arc<Mutex<Option<Sent>>>);

/// A message on its way. Dropped, it is given up.
#[derive(Debug)]
struct Sent {
    vote: Vote,
    previous: Option<LogId>,
    last: LogId,
    answer: JoinHandle<Result<v1::RaftAppended, Status>>,
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.answer.abort();
    }
}

impl Sent {
    fn new<M: Machine>(link: &Link, request: &AppendEntriesRequest<TypeConfig<M>>, last: LogId) -> Self {
        let mut client = link.log.clone();
        let message = wire::append(link.route(), request);
        let answer = tokio::spawn(async move {
            let answered = timeout(PEER_APPEND_WITHIN, client.append(message)).await;
            let late = |_| Err(Status::deadline_exceeded("the follower did not answer"));
            answered.unwrap_or_else(late).map(tonic::Response::into_inner)
        });
        Self { vote: request.vote, previous: request.prev_log_id, last, answer }
    }

    /// Whether its answer answers a request, too: the same leader's entries from the same place on, and no more of them.
    fn answers<M: Machine>(&self, request: &AppendEntriesRequest<TypeConfig<M>>, last: LogId) -> bool {
        self.vote == request.vote && self.previous == request.prev_log_id && self.last <= last
    }
}

impl Appends {
    /// Sends entries, of which `last` is the last one, or waits for those that are on their way. May be given up and called again.
    pub(super) async fn send<M: Machine>(
        &self,
        link: &Link,
        request: &AppendEntriesRequest<TypeConfig<M>>,
        last: LogId,
    ) -> Result<AppendEntriesResponse<u64>, super::Failed> {
        let mut slot = self.0.lock().await;
        let sent = match slot.take() {
            Some(sent) if sent.answers(request, last) => {
                say_we_live(link, request);
                slot.insert(sent)
            }
            _ => slot.insert(Sent::new(link, request, last)),
        };
        let answer = (&mut sent.answer).await;
        let arrived = sent.last;
        *slot = None;
        let answer = answer.unwrap_or_else(|_| Err(Status::cancelled("given up")))?;
        Ok(match wire::appended_from(&answer)? {
            // What came to the log meanwhile was not in the message.
            AppendEntriesResponse::Success if arrived < last => {
                AppendEntriesResponse::PartialSuccess(Some(arrived))
            }
            response => response,
        })
    }
}

/// Sends the same without entries and lets the answer go: the one to the entries says as much.
fn say_we_live<M: Machine>(link: &Link, request: &AppendEntriesRequest<TypeConfig<M>>) {
    let mut client = link.snapshots.clone();
    let message = wire::append::<M>(
        link.route(),
        &AppendEntriesRequest {
            vote: request.vote,
            prev_log_id: request.prev_log_id,
            leader_commit: request.leader_commit,
            entries: Vec::new(),
        },
    );
    tokio::spawn(async move { timeout(PEER_CONNECT_WITHIN, client.append(message)).await });
}
