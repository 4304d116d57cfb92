//! Entries, votes and memberships as bytes, for the disk and the wire.
//!
//! Protobuf messages written by hand: an older server ignores fields that it does not know, and `version` is raised
//! when ignoring them would be wrong.

use bytes::Bytes;
use openraft::{CommittedLeaderId, EntryPayload, LeaderId};
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};

use super::machine::Machine;
use super::types::{Batch, Entry, LogId, Membership, Peer, SnapshotMeta, StoredMembership, Vote};

/// The version of every message here, and the newest that is read.
pub(crate) const VERSION: u32 = 1;

/// Why bytes could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("not a message of minijob")]
    Message(#[from] prost::DecodeError),
    #[error("written by a newer minijob: version {found}, this binary reads up to {VERSION}")]
    Newer { found: u32 },
    #[error("the message lacks its {0}")]
    Missing(&'static str),
}

#[derive(Clone, Copy, PartialEq, Message)]
struct LogIdMessage {
    #[prost(uint64, tag = "1")]
    term: u64,
    #[prost(uint64, tag = "2")]
    leader: u64,
    #[prost(uint64, tag = "3")]
    index: u64,
}

#[derive(Clone, PartialEq, Message)]
struct EntryMessage {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(message, optional, tag = "2")]
    id: Option<LogIdMessage>,
    #[prost(oneof = "PayloadMessage", tags = "3, 4, 5")]
    payload: Option<PayloadMessage>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum PayloadMessage {
    #[prost(bool, tag = "3")]
    Blank(bool),
    #[prost(message, tag = "4")]
    Batch(BatchMessage),
    #[prost(message, tag = "5")]
    Membership(MembershipMessage),
}

#[derive(Clone, PartialEq, Message)]
struct BatchMessage {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    commands: Vec<Bytes>,
}

#[derive(Clone, PartialEq, Message)]
struct MembershipMessage {
    #[prost(message, repeated, tag = "1")]
    configs: Vec<VotersMessage>,
    #[prost(message, repeated, tag = "2")]
    peers: Vec<PeerMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct VotersMessage {
    #[prost(uint64, repeated, tag = "1")]
    ids: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct PeerMessage {
    #[prost(uint64, tag = "1")]
    id: u64,
    #[prost(string, tag = "2")]
    addr: String,
    #[prost(string, tag = "3")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct SnapshotMetaMessage {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(message, optional, tag = "2")]
    last_log_id: Option<LogIdMessage>,
    #[prost(message, optional, tag = "3")]
    membership: Option<StoredMembershipMessage>,
    #[prost(string, tag = "4")]
    snapshot_id: String,
}

#[derive(Clone, PartialEq, Message)]
struct StoredMembershipMessage {
    #[prost(message, optional, tag = "1")]
    log_id: Option<LogIdMessage>,
    #[prost(message, optional, tag = "2")]
    membership: Option<MembershipMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct VoteMessage {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(uint64, tag = "2")]
    term: u64,
    #[prost(uint64, tag = "3")]
    leader: u64,
    #[prost(bool, tag = "4")]
    committed: bool,
}

#[derive(Clone, PartialEq, Message)]
struct MarkMessage {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(message, optional, tag = "2")]
    id: Option<LogIdMessage>,
}

pub(crate) fn encode_entry<M: Machine>(entry: &Entry<M>) -> Bytes {
    let payload = match &entry.payload {
        EntryPayload::Blank => PayloadMessage::Blank(true),
        EntryPayload::Normal(batch) => {
            PayloadMessage::Batch(BatchMessage { commands: batch.commands.to_vec() })
        }
        EntryPayload::Membership(membership) => PayloadMessage::Membership(membership.into()),
    };
    let message = EntryMessage { version: VERSION, id: Some(entry.log_id.into()), payload: Some(payload) };
    message.encode_to_vec().into()
}

pub(crate) fn decode_entry<M: Machine>(record: Bytes) -> Result<Entry<M>, DecodeError> {
    let message = EntryMessage::decode(record)?;
    check(message.version)?;
    let payload = match message.payload.ok_or(DecodeError::Missing("payload"))? {
        PayloadMessage::Blank(_) => EntryPayload::Blank,
        PayloadMessage::Batch(batch) => EntryPayload::Normal(Batch::new(batch.commands)),
        PayloadMessage::Membership(membership) => EntryPayload::Membership(membership.into()),
    };
    Ok(Entry::<M> { log_id: message.id.ok_or(DecodeError::Missing("id"))?.into(), payload })
}

pub(crate) fn encode_vote(vote: &Vote) -> Bytes {
    let message = VoteMessage {
        version: VERSION,
        term: vote.leader_id.term,
        leader: vote.leader_id.node_id,
        committed: vote.committed,
    };
    message.encode_to_vec().into()
}

pub(crate) fn decode_vote(bytes: &[u8]) -> Result<Vote, DecodeError> {
    let message = VoteMessage::decode(bytes)?;
    check(message.version)?;
    Ok(Vote { leader_id: LeaderId::new(message.term, message.leader), committed: message.committed })
}

/// A place in the log: how far it is committed or purged.
pub(crate) fn encode_mark(id: Option<LogId>) -> Bytes {
    MarkMessage { version: VERSION, id: id.map(Into::into) }.encode_to_vec().into()
}

pub(crate) fn decode_mark(bytes: &[u8]) -> Result<Option<LogId>, DecodeError> {
    let message = MarkMessage::decode(bytes)?;
    check(message.version)?;
    Ok(message.id.map(Into::into))
}

pub(crate) fn encode_snapshot_meta(meta: &SnapshotMeta) -> Vec<u8> {
    let message = SnapshotMetaMessage {
        version: VERSION,
        last_log_id: meta.last_log_id.map(Into::into),
        membership: Some((&meta.last_membership).into()),
        snapshot_id: meta.snapshot_id.clone(),
    };
    message.encode_to_vec()
}

pub(crate) fn decode_snapshot_meta(bytes: &[u8]) -> Result<SnapshotMeta, DecodeError> {
    let message = SnapshotMetaMessage::decode(bytes)?;
    check(message.version)?;
    Ok(SnapshotMeta {
        last_log_id: message.last_log_id.map(Into::into),
        last_membership: message.membership.ok_or(DecodeError::Missing("membership"))?.into(),
        snapshot_id: message.snapshot_id,
    })
}

fn check(version: u32) -> Result<(), DecodeError> {
    match version {
        0 => Err(DecodeError::Missing("version")),
        1..=VERSION => Ok(()),
        found => Err(DecodeError::Newer { found }),
    }
}

impl From<LogId> for LogIdMessage {
    fn from(id: LogId) -> Self {
        LogIdMessage { term: id.leader_id.term, leader: id.leader_id.node_id, index: id.index }
    }
}

impl From<LogIdMessage> for LogId {
    fn from(id: LogIdMessage) -> Self {
        LogId::new(CommittedLeaderId::new(id.term, id.leader), id.index)
    }
}

impl From<&Membership> for MembershipMessage {
    fn from(membership: &Membership) -> Self {
        let voters = |ids: &BTreeSet<u64>| VotersMessage { ids: ids.iter().copied().collect() };
        let peer = |(id, peer): (&u64, &Peer)| PeerMessage {
            id: *id,
            addr: peer.addr.clone(),
            name: peer.name.clone(),
        };
        MembershipMessage {
            configs: membership.get_joint_config().iter().map(voters).collect(),
            peers: membership.nodes().map(peer).collect(),
        }
    }
}

impl From<MembershipMessage> for Membership {
    fn from(message: MembershipMessage) -> Self {
        let configs = message.configs.into_iter().map(|voters| voters.ids.into_iter().collect()).collect();
        let peers = message.peers.into_iter();
        let peers: BTreeMap<u64, Peer> =
            peers.map(|peer| (peer.id, Peer { addr: peer.addr, name: peer.name })).collect();
        Membership::new(configs, peers)
    }
}

impl From<&StoredMembership> for StoredMembershipMessage {
    fn from(stored: &StoredMembership) -> Self {
        StoredMembershipMessage {
            log_id: stored.log_id().map(Into::into),
            membership: Some(stored.membership().into()),
        }
    }
}

impl From<StoredMembershipMessage> for StoredMembership {
    fn from(message: StoredMembershipMessage) -> Self {
        StoredMembership::new(message.log_id.map(Into::into), message.membership.unwrap_or_default().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::testing::Adder;
    use proptest::prelude::*;

    fn id(term: u64, leader: u64, index: u64) -> LogId {
        LogId::new(CommittedLeaderId::new(term, leader), index)
    }

    fn check_round_trip(payload: EntryPayload<super::super::types::TypeConfig<Adder>>) {
        let entry = Entry::<Adder> { log_id: id(3, u64::MAX, 9), payload };
        assert_eq!(decode_entry::<Adder>(encode_entry(&entry)).unwrap(), entry);
    }

    #[test]
    fn entries_come_back() {
        check_round_trip(EntryPayload::Blank);
        check_round_trip(EntryPayload::Normal(Batch::new(vec![Bytes::new(), Bytes::from_static(b"two")])));
        let peer = Peer { addr: "10.0.0.1:4650".into(), name: "s1".into() };
        let joint = vec![BTreeSet::from([1]), BTreeSet::from([1, 2])];
        let peers = BTreeMap::from([(1, peer.clone()), (2, peer.clone()), (3, peer)]);
        check_round_trip(EntryPayload::Membership(Membership::new(joint, peers)));
    }

    #[test]
    fn a_newer_version_is_refused_by_name() {
        let newer = VoteMessage { version: 7, ..Default::default() }.encode_to_vec();
        let error = decode_vote(&newer).unwrap_err();
        assert_eq!(error.to_string(), "written by a newer minijob: version 7, this binary reads up to 1");
    }

    #[test]
    fn votes_and_marks_come_back() {
        let vote = Vote { leader_id: LeaderId::new(4, 5), committed: true };
        assert_eq!(decode_vote(&encode_vote(&vote)).unwrap(), vote);
        for mark in [None, Some(id(0, 0, 0)), Some(id(1, 2, 3))] {
            assert_eq!(decode_mark(&encode_mark(mark)).unwrap(), mark);
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            drop(decode_entry::<Adder>(bytes.clone().into()));
            drop(decode_vote(&bytes));
            drop(decode_mark(&bytes));
        }
    }
}
