//! Reads that see every write that was acknowledged before they began.
//!
//! A leader may have been deposed and not know it, so a majority confirms it first. One round answers all readers that were there when it
//! began; those that come meanwhile share the next.

use openraft::error::{CheckIsLeaderError, ForwardToLeader, RaftError};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout_at};

use super::machine::Machine;
use super::types::Raft;
use crate::limits::{READ_INDEX_PAUSE, READ_INDEX_WITHIN, READERS_QUEUED};

/// Why a read may not go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// Another server leads, or none does: ask there.
    #[error("this server does not lead")]
    NotLeader {
        /// Where the leader listens, if one is known.
        addr: Option<String>,
    },
    /// No majority confirmed in time that this server leads.
    #[error("no majority of the servers confirmed in time that this one leads")]
    Unconfirmed,
    /// The server is stopping or has failed.
    #[error("the server is stopping")]
    Stopped,
}

/// What a reader waits for: the index that its state holds at least.
pub(super) type Reader = oneshot::Sender<Result<u64, ReadError>>;

/// Answers readers until nobody can come any more.
pub(super) async fn run<M: Machine>(raft: Raft<M>, mut queue: mpsc::Receiver<Reader>) {
    let mut readers = Vec::new();
    while queue.recv_many(&mut readers, READERS_QUEUED).await > 0 {
        let confirmed = confirm(&raft).await;
        // A reader that has stopped waiting does not need its answer.
        readers.drain(..).for_each(|reader| drop(reader.send(confirmed.clone())));
    }
}

/// Waits until a majority has confirmed that we lead and all that was committed before is applied; returns the index of that.
async fn confirm<M: Machine>(raft: &Raft<M>) -> Result<u64, ReadError> {
    let deadline = Instant::now() + READ_INDEX_WITHIN;
    loop {
        let Ok(confirmed) = timeout_at(deadline, raft.ensure_linearizable()).await else {
            return Err(ReadError::Unconfirmed);
        };
        match confirmed {
            Ok(id) => return Ok(id.map_or(0, |id| id.index)),
            Err(RaftError::APIError(CheckIsLeaderError::ForwardToLeader(ForwardToLeader {
                leader_node,
                ..
            }))) => return Err(ReadError::NotLeader { addr: leader_node.map(|peer| peer.addr) }),
            // One lost message is no lost majority.
            Err(RaftError::APIError(CheckIsLeaderError::QuorumNotEnough(_))) => {}
            Err(RaftError::Fatal(_)) => return Err(ReadError::Stopped),
        }
        if Instant::now() + READ_INDEX_PAUSE >= deadline {
            return Err(ReadError::Unconfirmed);
        }
        sleep(READ_INDEX_PAUSE).await;
    }
}
