//! What an agent must be told: what servers want of its node, less what it was told already.
//!
//! Absence is never a stop: what must end is named, and what the agent may forget is named too.

use std::collections::{BTreeMap, BTreeSet};

use proto::ids::{AllocId, Incarnation, JobVersion, NodeId};
use proto::model::{AllocStatus, Desired};
use proto::time::millis;
use proto::wire::{job, v1};

use crate::core::state::{Alloc, State, Touched};

/// What one session knows of what its agent has and was told.
#[derive(Clone, Debug)]
pub struct Wanted {
    node: NodeId,
    told: BTreeMap<AllocId, Told>,
    held: BTreeMap<AllocId, Held>,
}

/// An order that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Run(JobVersion),
    Stop,
}

/// What the agent has, as it said.
#[derive(Clone, Copy, Debug)]
struct Held {
    /// Placed in the present life of the cluster, so that servers may judge it though they do not know it.
    ours: bool,
    has_ended: bool,
}

/// What to send.
#[derive(Debug, Default, PartialEq)]
pub struct Delta {
    /// Orders, in the order of the allocations.
    pub assignments: Vec<v1::Assignment>,
    /// Allocations that the agent may forget.
    pub released: Vec<u64>,
}

impl Delta {
    /// Returns whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.assignments.is_empty() && self.released.is_empty()
    }
}

impl Wanted {
    /// Begins a session of an agent that has said what it holds.
    pub fn new<'a>(
        node: NodeId,
        incarnation: Option<Incarnation>,
        held: impl IntoIterator<Item = (Incarnation, &'a AllocStatus)>,
    ) -> Self {
        let held = held.into_iter().map(|(of, status)| {
            (status.id, Held { ours: Some(of) == incarnation, has_ended: status.state.has_ended() })
        });
        Self { node, told: BTreeMap::new(), held: held.collect() }
    }

    /// Takes note of what the agent reports. An end that is reported again is released again.
    pub fn reported(&mut self, id: AllocId, has_ended: bool) {
        self.held.entry(id).or_insert(Held { ours: true, has_ended }).has_ended = has_ended;
    }

    /// Forgets what the agent was told: it asks for everything.
    pub fn start_over(&mut self) {
        self.told.clear();
    }

    /// Returns what the agent must be told so that it knows what this state wants, and takes it as told.
    pub fn diff(&mut self, state: &State) -> Delta {
        let mut delta = Delta::default();
        let Some(node) = state.nodes.get(&self.node) else { return delta };
        for id in &node.allocs {
            if let Some(alloc) = state.allocs.get(*id) {
                self.look_at(state, alloc, &mut delta);
            }
        }
        let held: Vec<AllocId> = self.held.keys().copied().collect();
        held.into_iter().for_each(|id| self.look_for(state, id, &mut delta));
        let held = &self.held;
        self.told.retain(|id, _| node.allocs.contains(id) || held.contains_key(id));
        delta
    }

    /// As [`Wanted::diff`], where nothing else was touched since the last time.
    pub fn diff_touched(&mut self, state: &State, touched: &Touched) -> Delta {
        let ids = match touched {
            Touched::One(id) => &[*id],
            Touched::Some(ids) => &ids[..],
            Touched::All => return self.diff(state),
        };
        let mut delta = Delta::default();
        let ids: BTreeSet<AllocId> = ids.iter().copied().collect();
        for id in ids {
            match state.allocs.get(id).filter(|alloc| alloc.node == self.node) {
                Some(alloc) => self.look_at(state, alloc, &mut delta),
                None => self.look_for(state, id, &mut delta),
            }
        }
        delta
    }

    /// Looks at what the agent has and the state does not know.
    fn look_for(&mut self, state: &State, id: AllocId, delta: &mut Delta) {
        let known = state.allocs.get(id).is_some();
        match self.held.get(&id).copied() {
            // It was placed in this life of the cluster and is forgotten, so its end was known once.
            Some(held) if held.ours && !known && id.0 < state.next_id => {
                if held.has_ended {
                    self.release(id, delta)
                } else {
                    self.stop(id, delta)
                }
            }
            Some(_) => {}
            None if !known => drop(self.told.remove(&id)),
            None => {}
        }
    }

    fn look_at(&mut self, state: &State, alloc: &Alloc, delta: &mut Delta) {
        match (alloc.has_ended(), self.held.get(&alloc.id)) {
            (true, Some(held)) if held.has_ended => self.release(alloc.id, delta),
            // Servers took it for gone and have replaced it.
            (true, Some(_)) => self.stop(alloc.id, delta),
            (true, None) => {}
            (false, _) => match alloc.desired {
                Desired::Run if !alloc.lost => self.run(state, alloc, delta),
                Desired::Run => {}
                Desired::Stop(_) => self.stop(alloc.id, delta),
            },
        }
    }

    fn run(&mut self, state: &State, alloc: &Alloc, delta: &mut Delta) {
        let told = Told::Run(alloc.version);
        if self.told.get(&alloc.id) == Some(&told) {
            return;
        }
        let Some(spec) = spec(state, alloc) else {
            tracing::error!(alloc = %alloc.id, "the version that an allocation runs is not kept: its agent is not told of it");
            return;
        };
        self.told.insert(alloc.id, told);
        let order = v1::Order::Run.into();
        delta.assignments.push(v1::Assignment { alloc_id: alloc.id.0, order, spec: Some(spec) });
    }

    fn stop(&mut self, id: AllocId, delta: &mut Delta) {
        if self.told.insert(id, Told::Stop) != Some(Told::Stop) {
            let order = v1::Order::Stop.into();
            delta.assignments.push(v1::Assignment { alloc_id: id.0, order, spec: None });
        }
    }

    fn release(&mut self, id: AllocId, delta: &mut Delta) {
        self.held.remove(&id);
        self.told.remove(&id);
        delta.released.push(id.0);
    }
}

/// Describes an allocation to its agent; none when its version is not kept.
fn spec(state: &State, alloc: &Alloc) -> Option<v1::AllocSpec> {
    let record = state.jobs.get(alloc.job.as_ref())?;
    let described = &record.version(alloc.version)?.job;
    let group = described.groups.get(alloc.group.as_ref())?;
    Some(v1::AllocSpec {
        namespace: alloc.job.namespace.clone(),
        job: alloc.job.name.clone(),
        version: alloc.version.0,
        group: alloc.group.to_string(),
        index: alloc.index,
        r#type: job::job_type_to_wire(group.kind).into(),
        meta: described.meta.clone(),
        spec: Some(job::group_to_wire(group)),
        ports: alloc.ports.iter().map(|(name, port)| (name.clone(), u32::from(*port))).collect(),
        fence_ms: alloc.fence.map_or(0, millis),
        fence_token: alloc.created.0,
    })
}

#[cfg(test)]
mod tests;
