//! What other servers call: every message is checked for being meant for us, decoded, and handed to openraft.

/// Receiving a snapshot.
mod incoming;

use std::fmt;
use std::sync::Arc;

use openraft::Snapshot;
use openraft::raft::AppendEntriesResponse;
use proto::wire::v1;
use proto::wire::v1::raft_server::RaftServer;
use tonic::{Request, Response, Status, Streaming};

use self::incoming::{Incoming, Refusal};
use super::applier::any;
use super::codec;
use super::elections::Elections;
use super::hearing::Hearing;
use super::machine::Machine;
use super::network::wire;
use super::route::Own;
use super::snapshots::Snapshots;
use super::types::{Raft, SnapshotFile, Vote};
use crate::limits::RAFT_MESSAGE_BYTES;

/// The gRPC service for other servers. It needs no token of a person: whoever puts it on a port sees to it that only servers
/// reach it.
pub struct Service<M: Machine> {
    pub(super) own: Own,
    pub(super) raft: Raft<M>,
    pub(super) hearing: Hearing,
    pub(super) elections: Elections<M>,
    incoming: Arc<Incoming>,
}

impl<M: Machine> Clone for Service<M> {
    fn clone(&self) -> Self {
        Self {
            own: self.own.clone(),
            raft: self.raft.clone(),
            hearing: self.hearing.clone(),
            elections: self.elections.clone(),
            incoming: self.incoming.clone(),
        }
    }
}

impl<M: Machine> fmt::Debug for Service<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("own", &self.own).finish_non_exhaustive()
    }
}

impl<M: Machine> Service<M> {
    pub(super) fn new(
        own: Own,
        raft: Raft<M>,
        hearing: Hearing,
        elections: Elections<M>,
        snapshots: Arc<Snapshots>,
    ) -> Self {
        Self { own, raft, hearing, elections, incoming: Arc::new(Incoming::new(snapshots)) }
    }

    /// Returns it with the limits of messages between servers.
    pub(super) fn into_server(self) -> RaftServer<Self> {
        RaftServer::new(self)
            .max_decoding_message_size(RAFT_MESSAGE_BYTES)
            .max_encoding_message_size(RAFT_MESSAGE_BYTES)
    }

    /// Returns who sent a message that is meant for us.
    fn accept(&self, route: Option<&v1::Route>) -> Result<u64, Status> {
        self.own.accept(route).map_err(|misdirected| Status::failed_precondition(misdirected.to_string()))
    }

    /// The newest vote that this server has seen, as far as is known without asking the core, which may wait for its disk.
    fn seen(&self) -> Vote {
        self.raft.server_metrics().borrow().vote
    }

    /// Takes a leader's message for a sign of life, unless we know of a newer one.
    fn hear(&self, vote: &Vote) {
        if vote.committed && *vote >= self.seen() {
            self.hearing.leader();
        }
    }

    async fn install(&self, id: u64) -> Result<v1::RaftInstalled, Status> {
        let received = self.incoming.finish(id).await.map_err(refused)?;
        // Whatever becomes of it, the next announcement begins a new file.
        let (meta, vote, path) = (received.meta.clone(), received.vote, received.path.clone());
        let snapshot = Snapshot { meta, snapshot: Box::new(SnapshotFile { path }) };
        let installed = self.raft.install_full_snapshot(vote, snapshot).await;
        let installed = installed.map_err(|fatal| stopping(&fatal))?;
        self.hear(&vote);
        Ok(v1::RaftInstalled { vote: codec::encode_vote(&installed.vote) })
    }
}

#[tonic::async_trait]
impl<M: Machine> v1::raft_server::Raft for Service<M> {
    async fn append(&self, request: Request<v1::RaftAppend>) -> Result<Response<v1::RaftAppended>, Status> {
        let request = request.into_inner();
        self.accept(request.route.as_ref())?;
        let request = wire::append_from::<M>(request).map_err(|error| unreadable(&error))?;
        let vote = request.vote;
        // On arrival, too: a slow disk must not look like a silent leader.
        self.hear(&vote);
        let answer = self.raft.append_entries(request).await.map_err(|error| stopping(&error))?;
        if !matches!(answer, AppendEntriesResponse::HigherVote(_)) {
            self.hearing.leader();
        }
        Ok(Response::new(wire::appended(&answer)))
    }

    async fn vote(&self, request: Request<v1::RaftVote>) -> Result<Response<v1::RaftVoted>, Status> {
        let request = request.into_inner();
        self.accept(request.route.as_ref())?;
        let request = wire::vote_from(&request).map_err(|error| unreadable(&error))?;
        let answer = self.raft.vote(request).await.map_err(|error| stopping(&error))?;
        if answer.vote_granted {
            self.hearing.stand_back(self.elections.vote_within());
        }
        Ok(Response::new(wire::voted(&answer)))
    }

    async fn pre_vote(
        &self,
        request: Request<v1::RaftPreVote>,
    ) -> Result<Response<v1::RaftPreVoted>, Status> {
        let request = request.into_inner();
        self.accept(request.route.as_ref())?;
        let candidate = codec::decode_mark(&request.last_log).map_err(|error| unreadable(&error))?;
        let result = self.elections.answer(candidate).await.map_err(|fatal| stopping(&fatal))?;
        Ok(Response::new(v1::RaftPreVoted { result: result.into() }))
    }

    async fn begin_snapshot(
        &self,
        request: Request<v1::RaftSnapshot>,
    ) -> Result<Response<v1::RaftSnapshotBegun>, Status> {
        let request = request.into_inner();
        self.accept(request.route.as_ref())?;
        let vote = codec::decode_vote(&request.vote).map_err(|error| unreadable(&error))?;
        let meta = codec::decode_snapshot_meta(&request.meta).map_err(|error| unreadable(&error))?;
        let seen = self.seen();
        let applied = self.raft.data_metrics().borrow().last_applied;
        let known = meta.last_log_id <= applied;
        let mut begun =
            v1::RaftSnapshotBegun { vote: codec::encode_vote(&seen), known, ..Default::default() };
        if known || seen > vote {
            return Ok(Response::new(begun));
        }
        let transfer = self.incoming.begin(request.meta, meta, vote, request.bytes).await.map_err(refused)?;
        (begun.transfer, begun.offset) = transfer;
        Ok(Response::new(begun))
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<v1::RaftChunk>>,
    ) -> Result<Response<v1::RaftInstalled>, Status> {
        let mut chunks = request.into_inner();
        let mut transfer = None;
        // What arrived before a stream broke stays: the next one goes on from there.
        while let Some(chunk) = chunks.message().await? {
            let id = match transfer {
                Some(id) => id,
                None => {
                    self.accept(chunk.route.as_ref())?;
                    *transfer.insert(chunk.transfer)
                }
            };
            let vote = self.incoming.write(id, chunk.offset, chunk.data).await.map_err(refused)?;
            self.hear(&vote);
        }
        let id = transfer.ok_or_else(|| Status::invalid_argument("the stream held no chunk"))?;
        // Beside this call: it must come to an end even though the caller goes away.
        let service = self.clone();
        let installed = tokio::spawn(async move { service.install(id).await }).await;
        let installed = installed.map_err(|_| Status::internal("the installation of a snapshot panicked"))?;
        Ok(Response::new(installed?))
    }

    async fn take_over(
        &self,
        request: Request<v1::RaftTakeOver>,
    ) -> Result<Response<v1::RaftTakenOver>, Status> {
        let request = request.into_inner();
        let from = self.accept(request.route.as_ref())?;
        let vote: Vote = codec::decode_vote(&request.vote).map_err(|error| unreadable(&error))?;
        let stands = vote == self.seen() && vote == Vote::new_committed(vote.leader_id.term, from);
        if stands {
            let elections = self.elections.clone();
            tokio::spawn(async move { elections.take_over(from).await });
        }
        Ok(Response::new(v1::RaftTakenOver { stands }))
    }
}

fn unreadable(error: &codec::DecodeError) -> Status {
    Status::failed_precondition(format!("the message cannot be read: {}", any(error)))
}

/// The core answers with an error only when it has ended.
fn stopping(error: &(dyn std::error::Error + 'static)) -> Status {
    Status::unavailable(format!("the server is stopping: {error}"))
}

fn refused(refusal: Refusal) -> Status {
    let said = any(&refusal).to_string();
    match refusal {
        Refusal::Superseded | Refusal::Busy | Refusal::Gap { .. } => Status::aborted(said),
        Refusal::Damaged(_) => Status::data_loss(said),
        Refusal::NoRoom { .. } | Refusal::Write(_) => Status::resource_exhausted(said),
    }
}
