//! Who belongs to the cluster, and how that is changed.

use std::collections::{BTreeMap, BTreeSet};

use openraft::ChangeMembers;
use openraft::error::{ClientWriteError, ForwardToLeader, InitializeError, RaftError};
use tokio::time::timeout;

use super::machine::Machine;
use super::types::{Peer, Raft};
use crate::limits::MEMBERSHIP_WITHIN;

/// A server that is to belong to the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: u64,
    /// Where the others reach it: host:port.
    pub addr: String,
    /// What people call it.
    pub name: String,
}

/// A server of the cluster, as this one sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    /// Which one.
    pub member: Member,
    /// Whether it decides; if not, it only learns.
    pub votes: bool,
    /// Whether it leads, as far as this server knows.
    pub leads: bool,
    /// Index of the last entry that it is known to have. Only a leader knows, and not before the first answer.
    pub matched: Option<u64>,
}

/// Why the membership was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// Another server leads, or none does. Nothing has changed.
    #[error("this server does not lead")]
    NotLeader {
        /// Where the leader listens, if one is known.
        addr: Option<String>,
    },
    /// It cannot be changed like this, or not now. Nothing has changed.
    #[error("the membership is not changed: {0}")]
    Refused(String),
    /// Nobody confirmed it in time; it may still happen. Asking for the same again is safe.
    #[error("nobody confirmed in time whether the membership was changed")]
    Unknown,
    /// The server is stopping or has failed.
    #[error("the server is stopping")]
    Stopped,
}

type Changed<R> = Result<R, RaftError<u64, ClientWriteError<u64, Peer>>>;

/// The first membership of a cluster.
pub(super) async fn bootstrap<M: Machine>(raft: &Raft<M>, members: &[Member]) -> Result<(), MembershipError> {
    let first: BTreeMap<u64, Peer> = members.iter().map(|member| (member.id, peer(member))).collect();
    if first.len() != members.len() {
        return Err(MembershipError::Refused("two members have one id".into()));
    }
    match raft.initialize(first.clone()).await {
        Ok(()) => Ok(()),
        Err(RaftError::APIError(InitializeError::NotAllowed(_))) => {
            let known =
                raft.with_raft_state(|state| state.membership_state.effective().membership().clone()).await;
            let known = known.map_err(|_| MembershipError::Stopped)?;
            let known: BTreeMap<u64, Peer> = known.nodes().map(|(id, peer)| (*id, peer.clone())).collect();
            // Without members it was asked for its vote before it was told of the cluster: by one that names it.
            let is_made = known.is_empty() || known == first;
            let refused =
                "this server belongs to a cluster already; it is changed with add, promote and remove";
            if is_made { Ok(()) } else { Err(MembershipError::Refused(refused.into())) }
        }
        Err(RaftError::APIError(error)) => Err(MembershipError::Refused(error.to_string())),
        Err(RaftError::Fatal(_)) => Err(MembershipError::Stopped),
    }
}

pub(super) async fn add_learner<M: Machine>(raft: &Raft<M>, member: &Member) -> Result<(), MembershipError> {
    settle(raft.add_learner(member.id, peer(member), false)).await
}

pub(super) async fn move_to<M: Machine>(raft: &Raft<M>, member: &Member) -> Result<(), MembershipError> {
    let there = {
        let metrics = raft.server_metrics();
        let metrics = metrics.borrow();
        metrics.membership_config.membership().get_node(&member.id).cloned()
    };
    match there {
        None => Err(MembershipError::Refused(format!("{} is no member", member.name))),
        Some(there) if there == peer(member) => Ok(()),
        Some(_) => {
            let nodes = BTreeMap::from([(member.id, peer(member))]);
            settle(raft.change_membership(ChangeMembers::SetNodes(nodes), true)).await
        }
    }
}

pub(super) async fn promote<M: Machine>(raft: &Raft<M>, ids: &[u64]) -> Result<(), MembershipError> {
    let ids: BTreeSet<u64> = ids.iter().copied().collect();
    settle(raft.change_membership(ChangeMembers::AddVoterIds(ids), true)).await
}

pub(super) async fn remove<M: Machine>(raft: &Raft<M>, id: u64) -> Result<(), MembershipError> {
    let (votes, knows) = {
        let metrics = raft.server_metrics();
        let metrics = metrics.borrow();
        let membership = metrics.membership_config.membership();
        (membership.voter_ids().any(|voter| voter == id), membership.get_node(&id).is_some())
    };
    let gone = BTreeSet::from([id]);
    match (votes, knows) {
        (true, _) => settle(raft.change_membership(ChangeMembers::RemoveVoters(gone), false)).await,
        (false, true) => settle(raft.change_membership(ChangeMembers::RemoveNodes(gone), false)).await,
        (false, false) => Ok(()),
    }
}

pub(super) fn status<M: Machine>(raft: &Raft<M>) -> Vec<MemberStatus> {
    let metrics = raft.metrics();
    let metrics = metrics.borrow();
    let membership = metrics.membership_config.membership();
    let voters: BTreeSet<u64> = membership.voter_ids().collect();
    let matched = |id: u64| metrics.replication.as_ref()?.get(&id).copied().flatten().map(|id| id.index);
    let status = |(id, peer): (&u64, &Peer)| MemberStatus {
        member: Member { id: *id, addr: peer.addr.clone(), name: peer.name.clone() },
        votes: voters.contains(id),
        leads: metrics.current_leader == Some(*id),
        matched: matched(*id),
    };
    membership.nodes().map(status).collect()
}

fn peer(member: &Member) -> Peer {
    Peer { addr: member.addr.clone(), name: member.name.clone() }
}

async fn settle<R>(change: impl Future<Output = Changed<R>>) -> Result<(), MembershipError> {
    match timeout(MEMBERSHIP_WITHIN, change).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(ForwardToLeader {
            leader_node,
            ..
        })))) => Err(MembershipError::NotLeader { addr: leader_node.map(|peer| peer.addr) }),
        Ok(Err(RaftError::APIError(ClientWriteError::ChangeMembershipError(error)))) => {
            Err(MembershipError::Refused(error.to_string()))
        }
        Ok(Err(RaftError::Fatal(_))) => Err(MembershipError::Stopped),
        Err(_) => Err(MembershipError::Unknown),
    }
}
