//! Connections to other servers.
//!
//! This release runs one server, which talks to nobody. Should a membership ever name another one, every message to it
//! fails as unreachable and says so, and openraft waits before it tries again.

use std::future::Future;

use openraft::error::{Fatal, RPCError, RaftError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, VoteRequest, VoteResponse,
};
use openraft::{OptionalSend, Snapshot};

use super::machine::Machine;
use super::types::{Peer, TypeConfig, Vote};

/// Makes connections.
pub(crate) struct Network;

/// A connection to one server.
pub(crate) struct Connection {
    target: u64,
    peer: Peer,
}

#[derive(Debug, thiserror::Error)]
#[error("this release runs a single server and cannot reach server {name} ({id:x}) at {addr}")]
struct SingleServer {
    id: u64,
    name: String,
    addr: String,
}

impl Connection {
    fn unreachable(&self) -> Unreachable {
        let Peer { name, addr } = self.peer.clone();
        Unreachable::new(&SingleServer { id: self.target, name, addr })
    }
}

impl<M: Machine> RaftNetworkFactory<TypeConfig<M>> for Network {
    type Network = Connection;

    async fn new_client(&mut self, target: u64, node: &Peer) -> Connection {
        Connection { target, peer: node.clone() }
    }
}

impl<M: Machine> RaftNetwork<TypeConfig<M>> for Connection {
    async fn append_entries(
        &mut self,
        _: AppendEntriesRequest<TypeConfig<M>>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RPCError<u64, Peer, RaftError<u64>>> {
        Err(RPCError::Unreachable(self.unreachable()))
    }

    async fn vote(
        &mut self,
        _: VoteRequest<u64>,
        _: RPCOption,
    ) -> Result<VoteResponse<u64>, RPCError<u64, Peer, RaftError<u64>>> {
        Err(RPCError::Unreachable(self.unreachable()))
    }

    async fn full_snapshot(
        &mut self,
        _: Vote,
        _: Snapshot<TypeConfig<M>>,
        _: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<TypeConfig<M>, Fatal<u64>>> {
        Err(StreamingError::Unreachable(self.unreachable()))
    }
}
