//! I2: a group has at most its count, or one on every node, lost ones apart, beyond what was there when less was wanted.

use std::collections::BTreeMap;

use proto::ids::{JobKey, NodeId};
use server::core::state::{JobRecord, Kind, State};

use crate::laws::{Step, must};
use crate::sim::Broken;

/// Has no memory.
#[derive(Default)]
pub struct Count;

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
            for (of, count) in present(step.after, record, record) {
                let wanted = record.current().job.groups.get(&of.0).map_or(0, |group| group.count);
                let had = before.get(&of).copied().unwrap_or(0);
                must("i2_count", count <= wanted.max(had), || grew(key, &of.0, had, count, wanted))?;
            }
        }
        Ok(())
    }
}

fn grew(key: &JobKey, group: &str, had: u32, count: u32, wanted: u32) -> String {
    format!("{key}.{group} went from {had} to {count}, and {wanted} are wanted")
}

/// Counts a group as a whole, or node by node where `by` runs it once per node: there its count is 1.
fn present(state: &State, record: &JobRecord, by: &JobRecord) -> BTreeMap<(String, Option<NodeId>), u32> {
    let mut counts = BTreeMap::new();
    let groups = &by.current().job.groups;
    for alloc in record.live.iter().filter_map(|id| state.allocs.get(*id)).filter(|alloc| !alloc.lost) {
        let per_node = groups.get(&*alloc.group).is_some_and(|group| group.kind.is_per_node());
        *counts.entry((alloc.group.to_string(), per_node.then_some(alloc.node))).or_insert(0) += 1;
    }
    counts
}
