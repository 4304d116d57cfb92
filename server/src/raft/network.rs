//! Connections to other servers.
//!
//! openraft has one message to a follower on its way and drops it after one heartbeat; what is sent fits into that time on a slow
//! link ([`crate::limits::REPLICATION_BYTES_MAX`]). A server that cannot be reached is tried again after pauses that grow, each server
//! for itself.

/// How a server connects to another one.
pub mod dial;
/// All connections of one server.
pub(crate) mod links;
/// Sending a snapshot.
mod snapshot;
/// Messages as openraft's types.
pub(crate) mod wire;

use std::error::Error as StdError;
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
        let answered = link.log.append(wire::append(link.route(), &request)).await;
        let response = answered.map_err(|status| failed(link, &status))?.into_inner();
        wire::appended_from(&response).map_err(|error| misread(&error))
    }

    async fn vote(&mut self, request: VoteRequest<u64>, _: RPCOption) -> Result<VoteResponse<u64>, RpcError> {
        let link = self.link()?;
        let answered = link.log.vote(wire::vote(link.route(), &request)).await;
        let response = answered.map_err(|status| failed(link, &status))?.into_inner();
        wire::voted_from(&response).map_err(|error| misread(&error))
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

/// Every failure of a connection or of the other server is a reason to wait a moment.
fn failed(link: &Link, status: &Status) -> RpcError {
    link.note(status);
    RPCError::Unreachable(Unreachable::new(status))
}

fn misread(error: &(dyn StdError + 'static)) -> RpcError {
    RPCError::Network(NetworkError::new(&any(error)))
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
