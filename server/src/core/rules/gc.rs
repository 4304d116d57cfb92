//! Ended allocations are forgotten when there are too many of a job, or when they are too old.

use std::time::Duration;

use proto::ids::AllocId;
use proto::time::Timestamp;

use super::fence::wait_out;
use super::{Rule, Step};
use crate::core::state::{Gc, JobRecord, Kind, State};

/// Time between two looks: nothing depends on it but memory.
const EVERY: Duration = Duration::from_secs(60);
/// Most allocations in one proposal: keeps an entry small.
const BATCH: usize = 1000;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Collect;

impl Rule for Collect {
    fn decide(&self, state: &State, now: Timestamp) -> Step {
        let allocs: Vec<AllocId> =
            state.jobs.iter().flat_map(|(_, job)| to_forget(state, job, now)).take(BATCH).collect();
        let full = allocs.len() == BATCH;
        let proposals = if allocs.is_empty() { Vec::new() } else { vec![Kind::Gc(Gc { allocs })] };
        Step { proposals, wake_at: Some(if full { now } else { now.plus(EVERY) }) }
    }

    fn on_change(&self) -> bool {
        false
    }
}

fn to_forget(state: &State, job: &JobRecord, now: Timestamp) -> Vec<AllocId> {
    let settings = &state.settings;
    let beyond = job.ended.len().saturating_sub(settings.ended_allocs);
    let old = |at: Option<Timestamp>| at.is_some_and(|at| now.since(at) > settings.ended_allocs_for);
    let ended =
        job.ended.iter().enumerate().filter(|(at, id)| {
            *at < beyond || state.allocs.get(**id).is_some_and(|alloc| old(alloc.ended_at))
        });
    // A node that has been lost for so long has lost its claim too: whatever it still runs is stopped if it ever returns.
    let lost = job.live.iter().filter(|id| {
        state.allocs.get(**id).is_some_and(|alloc| {
            let over = alloc.lost_at.zip(alloc.fence).map(|(at, fence)| at.plus(wait_out(fence)));
            alloc.lost && !alloc.counted && old(alloc.lost_at) && over.is_none_or(|over| over <= now)
        })
    });
    ended.map(|(_, id)| *id).chain(lost.copied()).collect()
}
