//! How many allocations of each group are where.

use std::collections::BTreeMap;

use proto::ids::AllocId;

use crate::core::scheduler::{Wanted, wanted};
use crate::core::state::{Alloc, JobRecord, State};

/// The counts of one group. "Current" is work of the present version; older work is being replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Allocations wanted; none of a stopped job.
    pub wanted: u32,
    /// Active allocations all of whose tasks run.
    pub running: u32,
    /// Active allocations that are healthy.
    pub healthy: u32,
    /// Slots whose work is done (batch).
    pub complete: u32,
    /// Current active allocations.
    pub current: u32,
    /// Current active allocations that are healthy.
    pub current_healthy: u32,
}

impl Tally {
    /// Adds the shown numbers of another group.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            wanted: self.wanted.saturating_add(other.wanted),
            running: self.running + other.running,
            healthy: self.healthy + other.healthy,
            complete: self.complete + other.complete,
            current: self.current + other.current,
            current_healthy: self.current_healthy + other.current_healthy,
        }
    }

    /// Returns whether the work of every slot is done.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.complete >= self.wanted
    }

    /// Returns whether all that is wanted runs and is healthy, or is done.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.complete + self.current_healthy >= self.wanted
    }
}

/// Counts the groups of the present version, and those that only allocations still belong to.
#[must_use]
pub fn tally<'r>(state: &'r State, record: &'r JobRecord) -> BTreeMap<&'r str, Tally> {
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    for name in record.current().job.groups.keys() {
        let Wanted { slots, done } = wanted(state, record, name);
        let wanted = if record.stopped { 0 } else { slots };
        tallies.insert(name, Tally { wanted, complete: done, ..Tally::default() });
    }
    for alloc in live(state, record).filter(|alloc| alloc.is_active() && stands(state, record, alloc)) {
        let tally = tallies.entry(&alloc.group).or_default();
        let current = is_current(record, alloc);
        tally.running += u32::from(alloc.running_since.is_some());
        tally.healthy += u32::from(alloc.healthy);
        tally.current += u32::from(current);
        tally.current_healthy += u32::from(current && alloc.healthy);
    }
    tallies
}

/// Returns whether an allocation is counted for its slot: of two, while one moves off a drained node, the one that is better.
fn stands(state: &State, record: &JobRecord, alloc: &Alloc) -> bool {
    let Some(old) = record.leaving_of(&alloc.group, alloc.index) else { return true };
    let new = record.filler_of(&alloc.group, alloc.index);
    let one = |id: Option<AllocId>| id.and_then(|id| state.allocs.get(id)).filter(|one| one.is_active());
    let merit = |one: &Alloc| (one.healthy, one.running_since.is_some());
    match (one(Some(old)), one(new)) {
        (Some(old), Some(new)) => (alloc.id == new.id) == (merit(new) >= merit(old)),
        _ => true,
    }
}

/// Returns the allocations of a job that have not ended, oldest first.
pub(super) fn live<'r>(state: &'r State, record: &'r JobRecord) -> impl Iterator<Item = &'r Alloc> {
    record.live.iter().filter_map(|id| state.allocs.get(*id))
}

/// Returns whether an allocation does the work of the present version.
pub(super) fn is_current(record: &JobRecord, alloc: &Alloc) -> bool {
    record.current().work.get(&*alloc.group) == Some(&alloc.work)
}
