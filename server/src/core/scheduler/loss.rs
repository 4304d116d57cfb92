//! What would become of everything if nodes were lost: the real decisions, on a copy of the state in which these nodes are down.
//!
//! Agents are taken to do at once what they are told, because what is asked is where work would go, not how long it takes. Jobs are
//! looked at in the order of their names.

use std::collections::{BTreeMap, BTreeSet};

use proto::ids::{AllocId, JobKey, NodeId};
use proto::model::{Job, Liveness};
use proto::time::Timestamp;

use super::advice::{Shortage, advice};
use super::forecast::{ROUNDS, end_what_stops};
use super::memory::Memory;
use super::schedule_with;
use crate::core::state::{Command, Kind, LivenessChange, Outcome, Plan, Refusal, State};

/// What would become of everything if nodes were lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Jobs of which something would move or have no place, by name.
    pub jobs: BTreeMap<JobKey, BTreeMap<String, GroupLoss>>,
}

/// What would become of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupLoss {
    /// What would move: which slot, from where, to where.
    pub moves: Vec<(u32, NodeId, NodeId)>,
    /// What would have no place that has one now.
    pub without_place: Option<Shortage>,
}

impl Loss {
    /// Returns how many allocations would move.
    #[must_use]
    pub fn moves(&self) -> usize {
        self.groups().map(|group| group.moves.len()).sum()
    }

    /// Returns how many allocations would have no place.
    #[must_use]
    pub fn without_place(&self) -> u64 {
        self.groups()
            .filter_map(|group| group.without_place.as_ref())
            .map(|short| u64::from(short.count))
            .sum()
    }

    fn groups(&self) -> impl Iterator<Item = &GroupLoss> {
        self.jobs.values().flat_map(BTreeMap::values)
    }
}

/// Says what would become of everything if these nodes were lost now, after the jobs of `first` had been submitted. The state stays as
/// it is; what waits for a place already is not counted.
///
/// Cost: that of placing again all that runs on the nodes.
///
/// # Errors
/// What the state would refuse of the jobs.
pub fn loss(
    state: &State,
    first: Vec<Job>,
    lost: &BTreeSet<NodeId>,
    now: Timestamp,
) -> Result<Loss, Refusal> {
    let mut world = Played { state: state.clone(), now, memory: Memory::default() };
    for job in first {
        let put = Kind::PutJob { job: Box::new(job), expected: None, message: String::new() };
        if let Outcome::Refused(refusal) = world.apply(put) {
            return Err(refusal);
        }
    }
    let keys: Vec<JobKey> = state_keys(&world.state);
    world.go_on(&keys);
    let waited = waits(&world.state);
    let first_new = AllocId(world.state.next_id);
    let hit = world.lose(lost);
    world.go_on(&keys);
    Ok(world.look_at(&hit, &waited, first_new))
}

fn state_keys(state: &State) -> Vec<JobKey> {
    state.jobs.iter().map(|(key, _)| key.clone()).collect()
}

type Slot = (JobKey, String, u32);

fn waits(state: &State) -> BTreeMap<(JobKey, String), u32> {
    let groups = state.jobs.iter().flat_map(|(key, record)| record.groups.iter().map(move |one| (key, one)));
    let waits = groups
        .filter_map(|(key, (name, group))| Some(((key.clone(), name.clone()), group.wait.as_ref()?.count)));
    waits.collect()
}

/// A copy of the state in which things happen at once.
struct Played {
    state: State,
    now: Timestamp,
    memory: Memory,
}

impl Played {
    fn apply(&mut self, kind: Kind) -> Outcome {
        self.state.apply(Command::own(self.now, kind)).outcome
    }

    /// Decides and does what was decided until there is nothing to do.
    fn go_on(&mut self, keys: &[JobKey]) {
        for _ in 0..ROUNDS {
            let plan = schedule_with(&self.state, keys, self.now, &mut self.memory).plan;
            let Some(reign) = self.state.reign.filter(|_| !plan.is_empty()) else { return };
            let plan = Plan { reign: reign.reign, seq: self.state.last_plan_seq + 1, ..plan };
            let touched: BTreeSet<JobKey> = plan
                .stops
                .iter()
                .filter_map(|stop| Some(self.state.allocs.get(stop.alloc)?.job.as_ref().clone()))
                .collect();
            self.apply(Kind::ApplyPlan(plan));
            touched.iter().for_each(|key| end_what_stops(&mut self.state, key, self.now));
        }
    }

    /// Takes the nodes away, and returns where everything was that they ran.
    fn lose(&mut self, lost: &BTreeSet<NodeId>) -> BTreeMap<Slot, NodeId> {
        let mut hit = BTreeMap::new();
        let mut changes = Vec::new();
        for (id, node) in self.state.nodes.iter().filter(|(id, _)| lost.contains(id)) {
            let here = node.allocs.iter().filter_map(|id| self.state.allocs.get(*id));
            for alloc in here.filter(|alloc| alloc.is_active()) {
                hit.insert((alloc.job.as_ref().clone(), alloc.group.to_string(), alloc.index), *id);
            }
            changes.push(LivenessChange { node: *id, generation: node.generation, liveness: Liveness::Down });
        }
        self.apply(Kind::NodeLiveness(changes));
        hit
    }

    fn look_at(
        &self,
        hit: &BTreeMap<Slot, NodeId>,
        waited: &BTreeMap<(JobKey, String), u32>,
        first_new: AllocId,
    ) -> Loss {
        let mut loss = Loss::default();
        for (key, record) in self.state.jobs.iter() {
            let mut groups: BTreeMap<String, GroupLoss> = BTreeMap::new();
            let live = record.live.iter().filter_map(|id| self.state.allocs.get(*id));
            for alloc in live.filter(|alloc| alloc.is_active() && alloc.id >= first_new) {
                let slot = (key.clone(), alloc.group.to_string(), alloc.index);
                let Some(from) = hit.get(&slot) else { continue };
                groups.entry(slot.1).or_default().moves.push((alloc.index, *from, alloc.node));
            }
            for (name, group) in &record.groups {
                let Some(wait) = &group.wait else { continue };
                let before = waited.get(&(key.clone(), name.clone())).copied().unwrap_or(0);
                let count = wait.count.saturating_sub(before);
                if count > 0 {
                    let (why, advice) = (wait.why.clone(), advice(&self.state, record, name));
                    groups.entry(name.clone()).or_default().without_place =
                        Some(Shortage { count, why, advice });
                }
            }
            groups.values_mut().for_each(|group| group.moves.sort_unstable());
            if !groups.is_empty() {
                loss.jobs.insert(key.clone(), groups);
            }
        }
        loss
    }
}
