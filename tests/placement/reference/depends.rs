//! Whether what a group waits for is so, and which slots need not wait.

use std::collections::BTreeSet;

use proto::ids::JobKey;
use proto::model::{AllocState, Condition, Dependency};
use server::core::state::{JobRecord, State};

use super::present;

/// Returns whether every dependency of a group is met.
pub fn are_met(state: &State, record: &JobRecord, group: &str) -> bool {
    record.current().job.groups[group].depends_on.iter().all(|one| is_met(state, record, one))
}

fn is_met(state: &State, record: &JobRecord, dependency: &Dependency) -> bool {
    let key = dependency.job.as_ref().map(|name| JobKey::new(record.key.namespace.clone(), name.clone()));
    let other = match &key {
        None => Some(record),
        Some(key) => state.jobs.get(key).map(|other| &**other),
    };
    let Some(other) = other else { return false };
    let groups = other.current().job.groups.iter();
    let meant = groups.filter(|(name, _)| dependency.group.as_ref().is_none_or(|meant| meant == *name));
    let wanted: Vec<&String> = meant.filter(|(_, group)| group.count > 0).map(|(name, _)| name).collect();
    let all = wanted.iter().all(|name| is_as_it_must_be(state, other, name, dependency.condition));
    let is_over = other.stopped && dependency.condition != Condition::Completed;
    !wanted.is_empty() && all && !is_over
}

/// Returns whether every slot of a group with a count is as the condition says, in the present work.
fn is_as_it_must_be(state: &State, record: &JobRecord, group: &str, condition: Condition) -> bool {
    let done: BTreeSet<u32> =
        record.group(group).map(|memory| memory.done.iter().copied().collect()).unwrap_or_default();
    let work = record.current().work[group];
    let current = present(state, record, group).filter(|alloc| alloc.is_active() && alloc.work == work);
    let ready = current.filter(|alloc| match condition {
        Condition::Started => alloc.state == AllocState::Running,
        Condition::Healthy => alloc.healthy,
        Condition::Completed => false,
    });
    // A slot that moves has two, and one of them is enough.
    let ready: BTreeSet<u32> = ready.map(|alloc| alloc.index).collect();
    ready.len() + done.len() >= record.current().job.groups[group].count as usize
}

/// Returns whether a slot has had its turn: it failed, was restarted by a person, or was lost with its node.
pub fn has_begun(state: &State, record: &JobRecord, group: &str, index: u32) -> bool {
    let memory = record.group(group);
    let work = record.current().work[group];
    let was_lost = state.allocs.iter().any(|(_, alloc)| {
        let is_it = *alloc.job == *record.key && *alloc.group == *group && alloc.index == index;
        is_it && alloc.lost && alloc.work == work
    });
    let is_remembered = |memory: &server::core::state::GroupState| {
        memory.failed.contains_key(&index) || memory.restarts.contains_key(&index)
    };
    was_lost || memory.is_some_and(is_remembered)
}
