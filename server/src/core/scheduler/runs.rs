//! Placements as runs: one line of a plan for neighbouring slots on one node.

use proto::ids::NodeId;

use crate::core::state::{PlaceReason, PlanRun, State};

/// Whether a placement has the reason that the next one of a run has: one more of the group is there.
fn is_next(run: &PlanRun, reason: &PlaceReason) -> bool {
    *reason == PlaceReason { copies: run.reason.copies + run.count, ..run.reason }
}

/// Folds placements into runs: neighbouring slots on one node are one run.
pub(super) fn runs_of(state: &State, mut placed: Vec<(NodeId, u32, PlaceReason)>) -> Vec<PlanRun> {
    placed.sort_unstable_by_key(|(node, index, _)| (*node, *index));
    let mut runs: Vec<PlanRun> = Vec::new();
    for (node, index, reason) in placed {
        match runs.last_mut() {
            Some(run)
                if run.node == node && run.first_index + run.count == index && is_next(run, &reason) =>
            {
                run.count += 1;
            }
            _ => {
                let generation =
                    state.nodes.get(&node).map_or(Default::default(), |record| record.generation);
                runs.push(PlanRun { node, generation, first_index: index, count: 1, reason });
            }
        }
    }
    runs
}
