//! I2: a group has at most its count, or one on every node, lost ones apart, beyond what was there when less was wanted. What moves off
//! a drained node is there twice, but no more of a group at once than its `migrate` allows, and only where one of the two leaves.

use std::collections::{BTreeMap, BTreeSet};

use proto::ids::{JobKey, NodeId};
use server::core::state::{JobRecord, Kind, State};

use crate::laws::{Step, must};
use crate::sim::Broken;

/// Has no memory.
#[derive(Default)]
pub struct Count;

/// What is there of a group: slots that something fills, and how many have two.
#[derive(Clone, Copy, Default)]
struct Present {
    slots: u32,
    moving: u32,
}

/// A group as a whole, or on a node.
type Whose = (String, Option<NodeId>);

impl Count {
    /// Only a node that returns with what was thought lost may bring a group above what is wanted.
    pub fn step(&self, step: &Step<'_>) -> Result<(), Broken> {
        if matches!(step.command.kind, Kind::RegisterNode { .. }) {
            return Ok(());
        }
        for (key, record) in step.after.jobs.iter() {
            let before = step
                .before
                .jobs
                .get(key)
                .map(|before| present(step.before, before, record))
                .unwrap_or_default();
            for (of, now) in present(step.after, record, record) {
                let group = record.current().job.groups.get(&of.0);
                let wanted = group.map_or(0, |group| group.count);
                let surge = group.map_or(0, |group| group.migrate.max_parallel);
                let had = before.get(&of).copied().unwrap_or_default();
                must("i2_count", now.slots <= wanted.max(had.slots), || {
                    grew(key, &of.0, had.slots, now.slots, wanted)
                })?;
                must("i2_count", now.moving <= surge.max(had.moving), || {
                    format!("{} of {key}.{} move at once, and {surge} may", now.moving, of.0)
                })?;
                // Nothing begins to move but by a plan, off a node that is drained.
                let may_begin = matches!(step.command.kind, Kind::ApplyPlan(_))
                    && !step.before.nodes.draining().is_empty();
                must("i2_count", now.moving <= had.moving || may_begin, || {
                    format!("{} of {key}.{} are there twice and nothing is drained", now.moving, of.0)
                })?;
            }
        }
        Ok(())
    }
}

fn grew(key: &JobKey, group: &str, had: u32, count: u32, wanted: u32) -> String {
    format!("{key}.{group} went from {had} to {count}, and {wanted} are wanted")
}

/// Counts a group as a whole, or node by node where `by` runs it once per node: there its count is 1.
fn present(state: &State, record: &JobRecord, by: &JobRecord) -> BTreeMap<Whose, Present> {
    let mut counts: BTreeMap<Whose, Present> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let groups = &by.current().job.groups;
    for alloc in record.live.iter().filter_map(|id| state.allocs.get(*id)).filter(|alloc| !alloc.lost) {
        let per_node = groups.get(&*alloc.group).is_some_and(|group| group.kind.is_per_node());
        let whose = (alloc.group.to_string(), per_node.then_some(alloc.node));
        let count = counts.entry(whose.clone()).or_default();
        match seen.insert((whose, alloc.index)) {
            true => count.slots += 1,
            false => count.moving += 1,
        }
    }
    counts
}
