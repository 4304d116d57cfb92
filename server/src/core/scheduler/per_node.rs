//! Places what runs once per node: there is nothing to choose, only whether it fits.

use std::collections::BTreeSet;

use proto::ids::NodeId;

use super::explain;
use super::feasible::Ask;
use super::place::Outcome;
use super::rank::{Choice, Taken};
use super::reconcile::{GroupWork, Want};
use super::room::Room;
use crate::core::state::State;

/// Takes room on every node that a slot is for.
pub(super) fn find_places(state: &State, ask: &Ask, work: &GroupWork, room: &mut Room<'_>) -> Outcome {
    let mut outcome = Outcome::default();
    let mut full: BTreeSet<NodeId> = BTreeSet::new();
    for want in &work.place {
        let Some(node) = want.only else { continue };
        match take(state, ask, room, node) {
            Some(choice) => {
                let taken = Taken { choice, runner_up: None };
                outcome.take(state, ask, want, &taken, room, 1);
            }
            None => {
                full.insert(node);
            }
        }
    }
    outcome.left = u32::try_from(full.len()).unwrap_or(u32::MAX);
    if !full.is_empty() {
        outcome.why = explain::why_not_on(state, ask, room, |node| full.contains(&node));
    } else if work.is_nowhere {
        outcome.why = explain::why_not(state, ask, room);
    }
    outcome
}

fn take(state: &State, ask: &Ask, room: &mut Room<'_>, node: NodeId) -> Option<Choice> {
    let seat = room.fleet.seat(node)?;
    if !ask.fits(state, seat, room) {
        return None;
    }
    room.take(seat, node, ask);
    Some(Choice::only(node, seat))
}

/// Returns whether one of these nodes now takes what is only for it.
pub(super) fn may_fit(
    state: &State,
    ask: &Ask,
    room: &Room<'_>,
    wants: &[Want],
    gained: &BTreeSet<NodeId>,
) -> bool {
    let nodes = wants.iter().filter_map(|want| want.only).filter(|node| gained.contains(node));
    nodes.filter_map(|node| room.fleet.seat(node)).any(|seat| ask.fits(state, seat, room))
}
