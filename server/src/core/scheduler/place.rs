//! Finds places for what a group lacks: for its count the best of all nodes, one after the other; once per node where it is for.

use proto::ids::NodeId;

use super::answers::Answers;
use super::decision::Placed;
use super::feasible::{Ask, others};
use super::rank::{Candidates, Taken};
use super::reconcile::{GroupWork, Want};
use super::room::Room;
use super::{explain, per_node};
use crate::core::state::{JobRecord, PlaceReason, State};

/// What became of the wants of a group.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) placed: Vec<(NodeId, u32, PlaceReason)>,
    pub(super) told: Vec<Placed>,
    /// How many found no place.
    pub(super) left: u32,
    /// Why; also where a group that runs once per node has none at all.
    pub(super) why: String,
}

/// Finds them, and takes their room.
pub(super) fn find_places(
    state: &State,
    record: &JobRecord,
    work: &GroupWork,
    room: &mut Room<'_>,
    answers: &mut Answers,
    scores: usize,
) -> Outcome {
    // Most looks find that nothing is lacking: then nothing is asked.
    if work.place.is_empty() && !work.is_nowhere {
        return Outcome::default();
    }
    let Some(mut ask) = Ask::of(state, record, &work.group, answers) else { return Outcome::default() };
    if ask.spec().kind.is_per_node() {
        return per_node::find_places(state, &ask, work, room);
    }
    let mut outcome = Outcome::default();
    let present = others(state, record, &work.group);
    let mut candidates = Candidates::collect(state, &ask, room, present, work.place.len());
    for want in &work.place {
        let scores = match outcome.told.len() < scores {
            true => candidates.scores(&ask, room, want),
            false => Vec::new(),
        };
        match candidates.take_best(&mut ask, room, want) {
            Some(taken) => {
                outcome.take(state, &ask, want, &taken, room, candidates.feasible());
                outcome.told.last_mut().into_iter().for_each(|told| told.scores.clone_from(&scores));
            }
            None => outcome.left += 1,
        }
    }
    if outcome.left > 0 {
        outcome.why = explain::why_not(state, &ask, room);
    }
    outcome
}

impl Outcome {
    /// Notes a place that was taken.
    pub(super) fn take(
        &mut self,
        state: &State,
        ask: &Ask,
        want: &Want,
        taken: &Taken,
        room: &Room<'_>,
        feasible: usize,
    ) {
        let choice = taken.choice;
        let one = Placed::new(&ask.job, &ask.group, want, taken, choice.use_permille(room), feasible);
        self.placed.push((choice.node, want.index, one.reason(state.nodes.len())));
        self.told.push(one);
    }
}
