//! Connections to other servers.
//!
//! openraft has one message to a follower on its way and gives it up after one heartbeat; what is sent fits into that time on a usual
//! link ([`crate::limits::REPLICATION_BYTES_MAX`]), and goes on where it does not. A server that cannot be reached is tried again after
//! pauses that grow, each server for itself.

/// Entries on their way.
mod appends;
/// How a server connects to another one.
pub mod dial;
/// All connections of one server.
pub(crate) mod links;
/// Sending a snapshot.
mod snapshot;
/// Messages as openraft's types.
pub(crate) mod wire;

use std::future::Future;
use std::time::Duration;

use openraft::error::{
    Fatal, NetworkError, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable,
};
use openraft::network::{Backoff, RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, Snapshot};
use tonic::Status;

use self::dial::BadAddress;
use self::links::{Link, Links};
use super::applier::any;
use super::codec::DecodeError;
use super::machine::Machine;
use super::types::{Peer, TypeConfig, Vote};
use crate::limits::{PEER_PAUSE_MAX, PEER_PAUSE_MIN};

/// Makes connections.
pub(crate) struct Network(pub(crate) Links);

/// The way to one server, or why there is none.
pub(crate) struct Connection(Result<Link, BadAddress>);

type RpcError = RPCError<u64, Peer, RaftError<u64>>;

impl Connection {
    fn link(&mut self) -> Result<&mut Link, Unreachable> {
        self.0.as_mut().map_err(|error| Unreachable::new(error))
    }
}

impl<M: Machine> RaftNetworkFactory<TypeConfig<M>> for Network {
    type Network = Connection;

    async fn new_client(&mut self, target: u64, peer: &Peer) -> Connection {
        Connection(self.0.to(target, peer))
    }
}

impl<M: Machine> RaftNetwork<TypeConfig<M>> for Connection {
    async fn append_entries(
        &mut self,
        request: AppendEntriesRequest<TypeConfig<M>>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RpcError> {
        let link = self.link()?;
        if let Some(last) = request.entries.last().map(|entry| entry.log_id) {
            let sent = link.appends.clone().send(link, &request, last).await;
            return sent.map_err(|error| error.of(link));
        }
        // Without entries it asks whether we lead at this moment, which no earlier answer tells.
        let answered = link.log.append(wire::append(link.route(), &request)).await;
        let response = answered.map_err(|status| Failed::from(status).of(link))?.into_inner();
        wire::appended_from(&response).map_err(|error| Failed::from(error).of(link))
    }

    async fn vote(&mut self, request: VoteRequest<u64>, _: RPCOption) -> Result<VoteResponse<u64>, RpcError> {
        let link = self.link()?;
        let answered = link.log.vote(wire::vote(link.route(), &request)).await;
        let response = answered.map_err(|status| Failed::from(status).of(link))?.into_inner();
        wire::voted_from(&response).map_err(|error| Failed::from(error).of(link))
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot<TypeConfig<M>>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<TypeConfig<M>, Fatal<u64>>> {
        let link = self.link()?.clone();
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = snapshot::send(&link, vote, &snapshot.meta, &snapshot.snapshot) => match sent {
                Ok(vote) => Ok(SnapshotResponse::new(vote)),
                Err(error) => {
                    let reason = any(&error).to_string();
                    tracing::warn!(peer = link.peer.name, reason, "a snapshot could not be sent");
                    Err(StreamingError::Unreachable(Unreachable::new(&error)))
                }
            },
        }
    }

    fn backoff(&self) -> Backoff {
        Backoff::new(pauses())
    }
}

/// The pauses between tries to reach a server, for ever.
fn pauses() -> impl Iterator<Item = Duration> {
    std::iter::successors(Some(PEER_PAUSE_MIN), |pause| Some((*pause * 2).min(PEER_PAUSE_MAX)))
}

/// Why a message has no answer.
enum Failed {
    /// The connection or the other server failed: a reason to wait a moment.
    Call(Box<Status>),
    /// The answer cannot be read.
    Answer(DecodeError),
}

impl From<Status> for Failed {
    fn from(status: Status) -> Self {
        Failed::Call(Box::new(status))
    }
}

impl From<DecodeError> for Failed {
    fn from(error: DecodeError) -> Self {
        Failed::Answer(error)
    }
}

impl Failed {
    fn of(self, link: &Link) -> RpcError {
        match self {
            Failed::Call(status) => {
                link.note(&status);
                RPCError::Unreachable(Unreachable::new(&*status))
            }
            Failed::Answer(error) => RPCError::Network(NetworkError::new(&any(&error))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        let pauses: Vec<_> = pauses().take(6).map(|pause| pause.as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 400, 400, 400]);
    }
}
