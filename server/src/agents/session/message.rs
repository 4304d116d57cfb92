//! Messages to an agent; every set carries the place in the state's history that it was made from.

use prost::Message as _;
use proto::ids::{Incarnation, Revision};
use proto::time::millis;
use proto::wire::v1::{self, server_message::Kind};

use super::super::Hub;
use super::super::wanted::Delta;
use crate::core::state::State;
use crate::limits::SESSION_MESSAGE_BYTES;

/// Returns where a state is in the history of the cluster.
pub fn position(state: &State) -> v1::Position {
    v1::Position {
        incarnation: state.incarnation.map_or(0, |id| id.0),
        reign: state.reign.map_or(0, |record| record.reign.0),
        revision: state.revision.0,
    }
}

/// Answers a registration of an agent that knows a life of the cluster, or none: if that one is over, it hears that this one goes on from it.
pub(super) fn registered(state: &State, known: Option<Incarnation>) -> Kind {
    let previous = known.filter(|known| state.descends_from(*known)).or(state.previous_incarnation);
    Kind::Registered(v1::Registered {
        position: Some(position(state)),
        previous_incarnation: previous.map_or(0, |id| id.0),
        heartbeat_ms: millis(state.settings.heartbeat),
        node_timeout_ms: millis(state.settings.node_timeout),
    })
}

/// Answers a heartbeat, from the state that its lease was renewed by: an agent hears of a shorter lease as that begins.
pub(super) fn heartbeat_ack(state: &State, heartbeat: &v1::Heartbeat) -> Kind {
    Kind::HeartbeatAck(v1::HeartbeatAck {
        boottime_ms: heartbeat.boottime_ms,
        heartbeat_ms: millis(state.settings.heartbeat),
        node_timeout_ms: millis(state.settings.node_timeout),
    })
}

/// Says where to go: empty when nobody leads, or when it is this server and its reign has not begun.
pub(super) fn redirect(hub: &Hub) -> v1::ServerMessage {
    let leadership = hub.cluster().leadership();
    let now = leadership.borrow();
    let leader = now.leader.clone().filter(|_| !now.leading).unwrap_or_default();
    v1::ServerMessage { kind: Some(Kind::Redirect(v1::Redirect { leader })) }
}

/// Writes the complete set, in as many messages as it takes. What a set does not name goes on, so that any part of it is a set;
/// all but the last say that more follow, because an agent that has rebooted starts nothing before it knows everything.
pub fn complete(state: &State, delta: Delta) -> Vec<Kind> {
    let parts = parts(delta);
    let last = parts.len() - 1;
    let set = |(at, part)| v1::CompleteSet { more: at < last, ..complete_part(state, part) };
    parts.into_iter().enumerate().map(|part| Kind::Complete(set(part))).collect()
}

/// Writes changes to the set of revision `base`. What does not fit into one message follows as sets of the same position: a
/// second increment to the same revision would be taken for the first one come twice.
pub fn increment(state: &State, base: Revision, delta: Delta) -> Vec<Kind> {
    let mut parts = parts(delta).into_iter();
    let first = parts.next().map(|part| {
        Kind::Increment(v1::Increment {
            position: Some(position(state)),
            base: base.0,
            assignments: part.assignments,
            released: part.released,
        })
    });
    first.into_iter().chain(parts.map(|part| Kind::Complete(complete_part(state, part)))).collect()
}

fn complete_part(state: &State, part: Delta) -> v1::CompleteSet {
    v1::CompleteSet {
        position: Some(position(state)),
        assignments: part.assignments,
        released: part.released,
        more: false,
    }
}

/// Cuts what is to be sent into messages; one at least.
fn parts(delta: Delta) -> Vec<Delta> {
    let mut parts = Vec::new();
    let mut open = Delta { assignments: Vec::new(), released: delta.released };
    let mut bytes = 0;
    for assignment in delta.assignments {
        let size = assignment.encoded_len();
        if bytes + size > SESSION_MESSAGE_BYTES && !open.assignments.is_empty() {
            parts.push(std::mem::take(&mut open));
            bytes = 0;
        }
        bytes += size;
        open.assignments.push(assignment);
    }
    parts.push(open);
    parts
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn large(id: u64) -> v1::Assignment {
        let meta = BTreeMap::from([("text".to_owned(), "x".repeat(SESSION_MESSAGE_BYTES * 2 / 3))]);
        let spec = v1::AllocSpec { meta, ..Default::default() };
        v1::Assignment { alloc_id: id, order: v1::Order::Run.into(), spec: Some(spec) }
    }

    #[test]
    fn a_large_increment_is_one_increment_and_sets_of_the_same_position() {
        let delta = Delta { assignments: (1..4).map(large).collect(), released: vec![9] };
        let state = State { revision: Revision(7), ..State::default() };
        let sent = increment(&state, Revision(5), delta);
        let [Kind::Increment(first), Kind::Complete(second), Kind::Complete(third)] = &sent[..] else {
            panic!("{} messages of other kinds", sent.len())
        };
        assert_eq!((first.base, first.released.as_slice()), (5, [9].as_slice()));
        assert!([&first.position, &second.position, &third.position].iter().all(|at| **at == first.position));
        let ids: Vec<u64> = [&first.assignments, &second.assignments, &third.assignments]
            .iter()
            .flat_map(|list| list.iter().map(|one| one.alloc_id))
            .collect();
        assert_eq!(ids, [1, 2, 3]);
    }

    #[test]
    fn only_the_last_part_of_a_set_says_that_nothing_follows() {
        let delta = Delta { assignments: (1..4).map(large).collect(), released: Vec::new() };
        let parts = complete(&State::default(), delta);
        let more: Vec<bool> =
            parts.iter().map(|part| matches!(part, Kind::Complete(set) if set.more)).collect();
        assert_eq!(more, [true, true, false]);
    }

    #[test]
    fn a_set_is_sent_even_when_nothing_is_wanted() {
        assert_eq!(complete(&State::default(), Delta::default()).len(), 1);
    }
}
