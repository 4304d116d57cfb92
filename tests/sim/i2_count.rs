//! I2: a group has at most its count, lost ones apart, beyond what was there when the count shrank.

use std::collections::BTreeMap;

use proto::ids::JobKey;
use server::core::state::{JobRecord, Kind, State};

use crate::laws::{Step, must};
use crate::sim::Broken;

/// Has no memory.
#[derive(Default)]
pub struct Count;

impl Count {
    /// Only a node that returns with what was thought lost may bring a group above its count.
    pub fn step(&self, step: &Step<'_>) -> Result<(), Broken> {
        if matches!(step.command.kind, Kind::RegisterNode { .. }) {
            return Ok(());
        }
        for (key, record) in step.after.jobs.iter() {
            let before =
                step.before.jobs.get(key).map(|record| present(step.before, record)).unwrap_or_default();
            for (group, count) in present(step.after, record) {
                let wanted = record.current().job.groups.get(&group).map_or(0, |group| group.count);
                let had = before.get(&group).copied().unwrap_or(0);
                must("i2_count", count <= wanted.max(had), || grew(key, &group, had, count, wanted))?;
            }
        }
        Ok(())
    }
}

fn grew(key: &JobKey, group: &str, had: u32, count: u32, wanted: u32) -> String {
    format!("{key}.{group} went from {had} to {count}, and {wanted} are wanted")
}

fn present(state: &State, record: &JobRecord) -> BTreeMap<String, u32> {
    let mut counts = BTreeMap::new();
    for alloc in record.live.iter().filter_map(|id| state.allocs.get(*id)).filter(|alloc| !alloc.lost) {
        *counts.entry(alloc.group.to_string()).or_insert(0) += 1;
    }
    counts
}
