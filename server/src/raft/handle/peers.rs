//! The part of the door that makes one cluster of several servers.

use proto::wire::v1::raft_server::RaftServer;
use tokio::sync::oneshot;

use super::Handle;
use crate::raft::machine::Machine;
use crate::raft::members::{self, Member, MemberStatus, MembershipError};
use crate::raft::reads::ReadError;
use crate::raft::service::Service;

impl<M: Machine> Handle<M> {
    /// Returns what other servers call, to be put on the port that [`crate::raft::Config::addr`] names. It asks for nobody's token: the
    /// port must let only servers reach it. It does not keep the log open.
    #[must_use]
    pub fn service(&self) -> RaftServer<Service<M>> {
        self.shared.service.clone().into_server()
    }

    /// Makes a new cluster of servers that all wait ([`crate::raft::Bootstrap::Wait`]); this one must be among them. Servers that are told
    /// the same members, in whatever order and however often, make the same cluster. Whoever was asked for its vote before waits for
    /// the cluster that asked: then this changes nothing, and [`Handle::members`] stays empty until that one is made.
    ///
    /// # Errors
    /// [`MembershipError::Refused`] if this server belongs to a cluster with other members, or is not named, or an id is named twice;
    /// [`MembershipError::Stopped`].
    pub async fn bootstrap(&self, members: &[Member]) -> Result<(), MembershipError> {
        members::bootstrap(&self.shared.raft, members).await
    }

    /// Adds a server that learns and does not vote. It is sent the log from now on; [`Handle::members`] says how far it is. A second
    /// call changes nothing, not even the address.
    ///
    /// # Errors
    /// See [`MembershipError`]; refused while another change is not committed.
    pub async fn add_learner(&self, member: &Member) -> Result<(), MembershipError> {
        members::add_learner(&self.shared.raft, member).await
    }

    /// Reaches a member at another address from now on, or calls it otherwise. The caller sees to it that it is that server which is there. A second call
    /// changes nothing.
    ///
    /// # Errors
    /// See [`MembershipError`]; refused for who is no member, and while another change is not committed.
    pub async fn move_to(&self, member: &Member) -> Result<(), MembershipError> {
        members::move_to(&self.shared.raft, member).await
    }

    /// Lets servers vote that have learned. The caller sees to it that they have caught up: until then they count for a majority and do
    /// not help to reach it. A second call changes nothing.
    ///
    /// # Errors
    /// See [`MembershipError`]; refused for a server that was not added, and while another change is not committed.
    pub async fn promote(&self, ids: &[u64]) -> Result<(), MembershipError> {
        members::promote(&self.shared.raft, ids).await
    }

    /// Removes a server, whether it votes or learns; also this one, which leads until that is committed. Nothing if it is none.
    ///
    /// # Errors
    /// See [`MembershipError`]; refused while another change is not committed, and for the last voter.
    pub async fn remove(&self, id: u64) -> Result<(), MembershipError> {
        members::remove(&self.shared.raft, id).await
    }

    /// Returns all servers of the cluster, by id, as this one sees them: it may not have heard of the newest change.
    #[must_use]
    pub fn members(&self) -> Vec<MemberStatus> {
        members::status(&self.shared.raft)
    }

    /// Returns whether this server leads and no other belongs to the cluster: then nobody else can lead meanwhile.
    #[must_use]
    pub fn leads_alone(&self) -> bool {
        let metrics = self.shared.raft.server_metrics();
        let metrics = metrics.borrow();
        let mut members = metrics.membership_config.membership().nodes();
        metrics.state.is_leader() && members.all(|(id, _)| *id == metrics.id)
    }

    /// Waits until every write that was acknowledged anywhere before this call is applied here, and returns the index up to which the
    /// machine was applied at least: what is read then is linearizable. Takes at most [`crate::limits::READ_INDEX_WITHIN`], twice that
    /// when a round was on its way; all who wait share a round.
    ///
    /// # Errors
    /// See [`ReadError`]: only a leader that a majority confirms can answer.
    pub async fn read_index(&self) -> Result<u64, ReadError> {
        let (reader, answer) = oneshot::channel();
        self.shared.readers.send(reader).await.map_err(|_| ReadError::Stopped)?;
        answer.await.unwrap_or(Err(ReadError::Stopped))
    }
}
