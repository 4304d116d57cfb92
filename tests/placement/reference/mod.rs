//! Placement as the documentation tells it (`docs/job-file.md`, "Placement", "Once on every node", "Dependencies",
//! "Who comes first", "Leaving a drained node", and what `ARCHITECTURE.md` says of the order), in the plainest way that says it: for one group after the other, for one allocation after
//! the other, every node is looked at, all is counted anew from the records, and the least of a plain tuple is taken.
//!
//! It knows no columns, no kinds of nodes, no heaps and no answers that are remembered, so that it cannot be wrong where those are.

mod depends;
mod give_way;
mod keep;
mod lack;
mod lack_per_node;
mod moves;
mod rank;
mod room;
mod rules;

use std::collections::{BTreeMap, BTreeSet};

use proto::ids::{AllocId, JobKey, NodeId};
use proto::model::Desired;
use server::core::state::{Alloc, JobRecord, State};

pub use keep::{Keepers, keep_room};
use lack::{Lack, Want};
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
    /// What gives way to others.
    pub preempted: BTreeSet<AllocId>,
    /// How many of a group have no place or must not begin; groups of which none does are not listed.
    pub waits: BTreeMap<(JobKey, String), u32>,
    /// Jobs of which something has no place.
    pub waiting: BTreeSet<JobKey>,
}

/// What a decision sees while it is made.
struct Look<'s> {
    state: &'s State,
    rooms: Rooms,
    /// As soon as all has ended that was told to.
    soon: Rooms,
    /// What was told to end, this decision included.
    ends: BTreeSet<AllocId>,
    keepers: Keepers,
    verdict: Verdict,
}

/// Decides on these jobs, in this order; says for whom nodes are kept then.
pub fn decide(state: &State, jobs: &[JobKey], keepers: &Keepers) -> (Verdict, Keepers) {
    let mut lacks = Vec::new();
    for record in jobs.iter().filter_map(|key| state.jobs.get(key)) {
        let live = record.live.iter().map(|id| state.allocs.get(*id).unwrap());
        let mut groups: BTreeSet<String> = live.map(|alloc| alloc.group.to_string()).collect();
        groups.extend(record.current().job.groups.keys().cloned());
        lacks.extend(groups.into_iter().map(|group| (record, lack_of(state, record, &group), group)));
    }
    let stops: BTreeSet<AllocId> = lacks.iter().flat_map(|(_, lack, _)| lack.stops.clone()).collect();
    let told = state.allocs.iter().filter(|(_, alloc)| alloc.desired != Desired::Run).map(|(id, _)| id);
    let ends: BTreeSet<AllocId> = told.chain(stops.iter().copied()).collect();
    let mut look = Look {
        state,
        rooms: Rooms::of(state),
        soon: Rooms::without(state, |alloc| ends.contains(&alloc.id)),
        ends,
        keepers: keepers.refreshed(state),
        verdict: Verdict { stops, ..Verdict::default() },
    };
    for (record, lack, group) in lacks {
        look.decide_group(record, &group, &lack);
    }
    (look.verdict, look.keepers)
}

/// Returns the nodes that would take one more allocation of a group now.
pub fn takers(state: &State, record: &JobRecord, group: &str, keepers: &Keepers) -> Vec<NodeId> {
    let rules = Rules::of(state, record, group);
    let taken: Vec<NodeId> = present(state, record, group).map(|alloc| alloc.node).collect();
    rules.takers(state, &Rooms::of(state), keepers, &taken)
}

/// What a group lacks, and has too much of.
fn lack_of(state: &State, record: &JobRecord, group: &str) -> Lack {
    let spec = record.current().job.groups.get(group);
    match spec.filter(|_| !record.stopped) {
        Some(spec) if spec.kind.is_per_node() => {
            lack_per_node::of(state, record, group, &Rules::of(state, record, group))
        }
        Some(_) => Lack::of(state, record, group),
        None => {
            // Nothing of it is wanted, wherever it is.
            let live = record.live.iter().map(|id| state.allocs.get(*id).unwrap());
            let wanted = live.filter(|alloc| *alloc.group == *group && alloc.desired == Desired::Run);
            Lack { stops: wanted.map(|alloc| alloc.id).collect(), ..Lack::default() }
        }
    }
}

impl Look<'_> {
    fn decide_group(&mut self, record: &JobRecord, group: &str, lack: &Lack) {
        if lack.wants.is_empty() && lack.held == 0 && !lack.goes_on {
            return;
        }
        let state = self.state;
        let spec = &record.current().job.groups[group];
        let rules = Rules::of(state, record, group);
        // What is told to end still fills its slot.
        let mut taken: Vec<NodeId> = present(state, record, group).map(|alloc| alloc.node).collect();
        let first = rules.takers(state, &self.rooms, &self.keepers, &taken);
        let ranking = Ranking::of(state, record, group, &rules, &self.rooms, &first);
        let mut lost: Vec<&Want> = Vec::new();
        for want in &lack.wants {
            let takers = rules.takers(state, &self.rooms, &self.keepers, &taken);
            match ranking.choose(state, want, &takers, &taken, &self.rooms) {
                Some(node) => {
                    self.rooms.take(node, spec);
                    self.soon.take(node, spec);
                    taken.push(node);
                    let slot = (record.key.as_ref().clone(), group.to_owned(), want.index);
                    self.verdict.places.insert(slot, node);
                }
                None => lost.push(want),
            }
        }
        let waits = lack.held + lost.len() as u32;
        if waits > 0 {
            self.verdict.waits.insert((record.key.as_ref().clone(), group.to_owned()), waits);
        }
        if !lost.is_empty() {
            self.verdict.waiting.insert(record.key.as_ref().clone());
        }
        if !lost.is_empty() && state.settings.preemption {
            let only: Vec<NodeId> = lost.iter().filter_map(|want| want.only).collect();
            let only = spec.kind.is_per_node().then_some(only.as_slice());
            give_way::make_room(state, record, group, only, lost.len(), &taken, self);
        }
        if lack.goes_on {
            for id in lack_per_node::go_on(state, record, group, &rules, lost.len()) {
                // Some may have given way already.
                if self.ends.insert(id) {
                    self.soon.end(state.allocs.get(id).unwrap());
                    self.verdict.stops.insert(id);
                }
            }
        }
    }
}

/// Allocations of a group that fill their slots: neither ended nor lost.
fn present<'s>(state: &'s State, record: &'s JobRecord, group: &'s str) -> impl Iterator<Item = &'s Alloc> {
    let all = state.allocs.iter().map(|(_, alloc)| alloc);
    all.filter(move |alloc| {
        *alloc.job == *record.key && *alloc.group == *group && !alloc.has_ended() && !alloc.lost
    })
}
