//! Messages between servers as openraft's types. The bytes inside are those of the disk: `codec` makes and reads them.

use bytes::Bytes;
use openraft::raft::{AppendEntriesRequest, AppendEntriesResponse, VoteRequest, VoteResponse};
use proto::wire::v1;

use crate::core::election::Place;
use crate::raft::codec::{self, DecodeError};
use crate::raft::machine::Machine;
use crate::raft::types::{LogId, TypeConfig};

/// As the pure decisions name it.
pub(crate) fn place(id: LogId) -> Place {
    Place { term: id.leader_id.term, leader: id.leader_id.node_id, index: id.index }
}

pub(crate) fn append<M: Machine>(
    route: v1::Route,
    request: &AppendEntriesRequest<TypeConfig<M>>,
) -> v1::RaftAppend {
    v1::RaftAppend {
        route: Some(route),
        vote: codec::encode_vote(&request.vote),
        previous: codec::encode_mark(request.prev_log_id),
        committed: codec::encode_mark(request.leader_commit),
        entries: request.entries.iter().map(codec::encode_entry::<M>).collect(),
    }
}

pub(crate) fn append_from<M: Machine>(
    request: v1::RaftAppend,
) -> Result<AppendEntriesRequest<TypeConfig<M>>, DecodeError> {
    Ok(AppendEntriesRequest {
        vote: codec::decode_vote(&request.vote)?,
        prev_log_id: codec::decode_mark(&request.previous)?,
        leader_commit: codec::decode_mark(&request.committed)?,
        entries: request.entries.into_iter().map(codec::decode_entry::<M>).collect::<Result<_, _>>()?,
    })
}

pub(crate) fn appended(response: &AppendEntriesResponse<u64>) -> v1::RaftAppended {
    use v1::RaftAppendResult as Is;
    let (result, vote) = match response {
        // We never say that a part was written, and openraft's own side does not either.
        AppendEntriesResponse::Success | AppendEntriesResponse::PartialSuccess(_) => {
            (Is::Success, Bytes::new())
        }
        AppendEntriesResponse::Conflict => (Is::Conflict, Bytes::new()),
        AppendEntriesResponse::HigherVote(vote) => (Is::HigherVote, codec::encode_vote(vote)),
    };
    v1::RaftAppended { result: result.into(), vote }
}

pub(crate) fn appended_from(response: &v1::RaftAppended) -> Result<AppendEntriesResponse<u64>, DecodeError> {
    match response.result() {
        v1::RaftAppendResult::Success => Ok(AppendEntriesResponse::Success),
        v1::RaftAppendResult::Conflict => Ok(AppendEntriesResponse::Conflict),
        v1::RaftAppendResult::HigherVote => {
            Ok(AppendEntriesResponse::HigherVote(codec::decode_vote(&response.vote)?))
        }
        v1::RaftAppendResult::Unspecified => Err(DecodeError::Missing("result")),
    }
}

pub(crate) fn vote(route: v1::Route, request: &VoteRequest<u64>) -> v1::RaftVote {
    v1::RaftVote {
        route: Some(route),
        vote: codec::encode_vote(&request.vote),
        last_log: codec::encode_mark(request.last_log_id),
    }
}

pub(crate) fn vote_from(request: &v1::RaftVote) -> Result<VoteRequest<u64>, DecodeError> {
    let last_log = codec::decode_mark(&request.last_log)?;
    Ok(VoteRequest::new(codec::decode_vote(&request.vote)?, last_log))
}

pub(crate) fn voted(response: &VoteResponse<u64>) -> v1::RaftVoted {
    v1::RaftVoted {
        vote: codec::encode_vote(&response.vote),
        granted: response.vote_granted,
        last_log: codec::encode_mark(response.last_log_id),
    }
}

pub(crate) fn voted_from(response: &v1::RaftVoted) -> Result<VoteResponse<u64>, DecodeError> {
    let last_log = codec::decode_mark(&response.last_log)?;
    Ok(VoteResponse::new(codec::decode_vote(&response.vote)?, last_log, response.granted))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::testing::{Adder, add};
    use crate::raft::types::{Batch, Entry, Vote};
    use openraft::{CommittedLeaderId, EntryPayload};

    fn id(term: u64, index: u64) -> LogId {
        LogId::new(CommittedLeaderId::new(term, 5), index)
    }

    #[test]
    fn messages_come_back() {
        let entry = Entry::<Adder> {
            log_id: id(2, 8),
            payload: EntryPayload::Normal(Batch::new(vec![add(1), Bytes::new()])),
        };
        let request = AppendEntriesRequest::<TypeConfig<Adder>> {
            vote: Vote::new_committed(2, 5),
            prev_log_id: Some(id(2, 7)),
            entries: vec![entry],
            leader_commit: None,
        };
        let back = append_from::<Adder>(append(v1::Route::default(), &request)).unwrap();
        assert_eq!((back.vote, back.prev_log_id, back.leader_commit), (request.vote, Some(id(2, 7)), None));
        assert_eq!(back.entries, request.entries);
        let answers = [
            AppendEntriesResponse::Success,
            AppendEntriesResponse::Conflict,
            AppendEntriesResponse::HigherVote(Vote::new(3, 6)),
        ];
        for answer in answers {
            assert_eq!(appended_from(&appended(&answer)).unwrap(), answer);
        }
        let request = VoteRequest::new(Vote::new(4, 6), Some(id(2, 8)));
        assert_eq!(vote_from(&vote(v1::Route::default(), &request)).unwrap(), request);
        let response = VoteResponse::new(Vote::new(4, 6), None, true);
        assert_eq!(voted_from(&voted(&response)).unwrap(), response);
    }

    #[test]
    fn an_answer_that_says_nothing_is_none() {
        assert!(appended_from(&v1::RaftAppended::default()).is_err());
        assert!(vote_from(&v1::RaftVote::default()).is_err());
    }
}
