//! Placement as the documentation tells it (`docs/job-file.md`, "Placement", "Once on every node", "Dependencies", and what
//! `ARCHITECTURE.md` says of the order), in the plainest way that says it: for one group after the other, for one allocation after
//! the other, every node is looked at, all is counted anew from the records, and the least of a plain tuple is taken.
//!
//! It knows no columns, no kinds of nodes, no heaps and no answers that are remembered, so that it cannot be wrong where those are.

mod depends;
mod lack;
mod lack_per_node;
mod rank;
mod room;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use proto::ids::{AllocId, JobKey, NodeId};
use proto::model::Desired;
use server::core::state::{Alloc, JobRecord, State};

use lack::Lack;
use rank::Ranking;
use room::Rooms;
use rules::Rules;

/// A slot of a group of a job.
pub type Slot = (JobKey, String, u32);

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub places: BTreeMap<Slot, NodeId>,
    pub stops: BTreeSet<AllocId>,
    /// How many of a group have no place or must not begin; groups of which none does are not listed.
    pub waits: BTreeMap<(JobKey, String), u32>,
}

/// Decides on these jobs, in this order.
pub fn decide(state: &State, jobs: &[JobKey]) -> Verdict {
    let mut verdict = Verdict::default();
    let mut rooms = Rooms::of(state);
    for key in jobs {
        let Some(record) = state.jobs.get(key) else { continue };
        let live = record.live.iter().map(|id| state.allocs.get(*id).unwrap());
        let mut groups: BTreeSet<String> = live.map(|alloc| alloc.group.to_string()).collect();
        groups.extend(record.current().job.groups.keys().cloned());
        for group in groups {
            decide_group(state, record, &group, &mut rooms, &mut verdict);
        }
    }
    verdict
}

/// Returns the nodes that would take one more allocation of a group now.
pub fn takers(state: &State, record: &JobRecord, group: &str) -> Vec<NodeId> {
    let rooms = Rooms::of(state);
    let rules = Rules::of(state, record, group);
    let taken: Vec<NodeId> = present(state, record, group).map(|alloc| alloc.node).collect();
    rules.takers(state, &rooms, &taken)
}

fn decide_group(state: &State, record: &JobRecord, group: &str, rooms: &mut Rooms, verdict: &mut Verdict) {
    let spec = record.current().job.groups.get(group);
    let Some(spec) = spec.filter(|_| !record.stopped) else {
        // Nothing of it is wanted, wherever it is.
        let live = record.live.iter().map(|id| state.allocs.get(*id).unwrap());
        let wanted = live.filter(|alloc| *alloc.group == *group && alloc.desired == Desired::Run);
        verdict.stops.extend(wanted.map(|alloc| alloc.id));
        return;
    };
    let rules = Rules::of(state, record, group);
    let lack = match spec.kind.is_per_node() {
        true => lack_per_node::of(state, record, group, &rules),
        false => Lack::of(state, record, group),
    };
    verdict.stops.extend(&lack.stops);
    // What is told to end still fills its slot.
    let mut taken: Vec<NodeId> = present(state, record, group).map(|alloc| alloc.node).collect();
    let ranking = Ranking::of(state, record, group, &rules, rooms, &taken);
    let mut waits = lack.held;
    for want in &lack.wants {
        let takers = rules.takers(state, rooms, &taken);
        match ranking.choose(state, want, &takers, &taken, rooms) {
            Some(node) => {
                rooms.take(node, spec);
                taken.push(node);
                verdict.places.insert((record.key.as_ref().clone(), group.to_owned(), want.index), node);
            }
            None => waits += 1,
        }
    }
    if waits > 0 {
        verdict.waits.insert((record.key.as_ref().clone(), group.to_owned()), waits);
    }
}

/// Allocations of a group that fill their slots: neither ended nor lost.
fn present<'s>(state: &'s State, record: &'s JobRecord, group: &'s str) -> impl Iterator<Item = &'s Alloc> {
    let all = state.allocs.iter().map(|(_, alloc)| alloc);
    all.filter(move |alloc| {
        *alloc.job == *record.key && *alloc.group == *group && !alloc.has_ended() && !alloc.lost
    })
}
