//! Jobs as people and scripts read them.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use proto::ids::Revision;
use proto::model::Desired;
use proto::time::Timestamp;
use proto::view::{
    AllocView, GroupPlacement, GroupStatus, JobList, JobStatus, JobSummary, Placement, Waiting,
};

use super::alloc::{alloc_of, node_name};
use super::health::{Verdict, judge};
use super::next::{Prospect, waiting};
use super::tally::{Tally, is_current, live, tally};
use crate::core::rules::brake::sentence;
use crate::core::scheduler::{advice, wanted};
use crate::core::state::{Alloc, JobRecord, State};
use crate::limits;

/// Shows all jobs that `shown` accepts, the unhealthy first, then by namespace and name.
#[must_use]
pub fn job_list(state: &State, shown: impl Fn(&JobRecord) -> bool, now: Timestamp) -> JobList {
    let records = state.jobs.iter().map(|(_, record)| record).filter(|record| shown(record));
    let mut items: Vec<JobSummary> = records.map(|record| brief_summary(state, record, now)).collect();
    items.sort_by(|a, b| (a.health, &a.namespace, &a.name).cmp(&(b.health, &b.namespace, &b.name)));
    let brake = state.brake.as_ref().map(|brake| sentence(brake, state.settings.brake_pause, now));
    JobList { items, next: None, revision: state.revision, warnings: brake.into_iter().collect() }
}

/// Shows everything about one job. Of a very large one only [`limits::ALLOCS_SHOWN`] allocations, those that are not healthy first.
#[must_use]
pub fn job_status(state: &State, record: &JobRecord, now: Timestamp) -> JobStatus {
    let tallies = tally(state, record);
    let shown =
        |(name, tally): (&&str, &Tally)| ((*name).to_owned(), group_status(state, record, name, tally));
    JobStatus {
        summary: summary(record, &tallies, judge(state, record, &tallies, now)),
        created_at: record.created_at,
        submitted_at: record.current().at,
        revision: state.revision,
        groups: tallies.iter().map(shown).collect(),
        allocs: allocs(state, record, limits::ALLOCS_SHOWN, limits::TAILS_SHOWN_BYTES),
    }
}

/// Shows where the present version of a job was placed, what waits, and what came of the write of that revision beside it.
#[must_use]
pub fn placement(state: &State, record: &JobRecord, write: Revision) -> Placement {
    let mut groups: BTreeMap<String, GroupPlacement> = BTreeMap::new();
    for name in record.current().job.groups.keys() {
        let wanted = if record.stopped { 0 } else { wanted(state, record, name).slots };
        let wait = record.group(name).and_then(|memory| memory.wait.as_ref());
        let advised =
            |wait| Waiting { advice: advice(state, record, name), ..waiting(state, record, name, wait) };
        let waiting = wait.map(advised);
        groups.insert(name.clone(), GroupPlacement { wanted, waiting, ..GroupPlacement::default() });
    }
    for alloc in live(state, record).filter(|alloc| alloc.is_active() && is_current(record, alloc)) {
        if let Some(group) = groups.get_mut(&*alloc.group) {
            *group.placed.entry(node_name(state, alloc.node).into_owned()).or_default() += 1;
            group.stays += u32::from(alloc.created <= write);
        }
    }
    // What the write has stopped may have ended already.
    let all = record.live.iter().chain(&record.ended).filter_map(|id| state.allocs.get(*id));
    let stopped = all.filter(|alloc| alloc.desired != Desired::Run && !alloc.lost && alloc.modified > write);
    for alloc in stopped {
        if let Some(group) = groups.get_mut(&*alloc.group) {
            group.stops += 1;
        }
    }
    Placement { groups }
}

/// In a list of many stands the cause; what to do about it is told with the job.
fn brief_summary(state: &State, record: &JobRecord, now: Timestamp) -> JobSummary {
    let tallies = tally(state, record);
    let verdict = judge(state, record, &tallies, now);
    JobSummary { why: verdict.in_short.clone(), ..summary(record, &tallies, verdict) }
}

fn summary(record: &JobRecord, tallies: &BTreeMap<&str, Tally>, verdict: Verdict) -> JobSummary {
    let total = tallies.values().fold(Tally::default(), |sum, tally| sum.plus(*tally));
    JobSummary {
        namespace: record.key.namespace.clone(),
        name: record.key.name.clone(),
        kind: record.current().job.kind,
        version: record.current().version,
        health: verdict.health,
        wanted: total.wanted,
        running: total.running,
        healthy: total.healthy,
        down_since: verdict.down_since,
        why: verdict.why,
        origin: record.current().job.origin.clone(),
    }
}

fn group_status(state: &State, record: &JobRecord, name: &str, tally: &Tally) -> GroupStatus {
    let prospect = Prospect::of(state, record, name);
    GroupStatus {
        wanted: tally.wanted,
        running: tally.running,
        healthy: tally.healthy,
        complete: tally.complete,
        waiting: prospect.as_ref().and_then(Prospect::waiting_advised),
        next_at: prospect.as_ref().and_then(Prospect::next_at),
    }
}

/// Shows at most `most` allocations with at most `tail_bytes` of output: live ones first, then by group, index and age.
pub(super) fn allocs(
    state: &State,
    record: &JobRecord,
    most: usize,
    mut tail_bytes: usize,
) -> Vec<AllocView> {
    let ended = record.ended.iter().filter_map(|id| state.allocs.get(*id));
    let mut rows: Vec<&Alloc> = live(state, record).chain(ended).collect();
    if rows.len() > most {
        rows.sort_by_key(|alloc| (alloc.has_ended(), alloc.healthy, Reverse(alloc.id)));
        rows.truncate(most);
    }
    rows.sort_by_key(|alloc| (alloc.has_ended(), alloc.group.clone(), alloc.index, Reverse(alloc.id)));
    let groups = &record.current().job.groups;
    let prospects: BTreeMap<&str, Prospect<'_>> =
        groups.keys().filter_map(|name| Some((name.as_str(), Prospect::of(state, record, name)?))).collect();
    let shown = |row: &Alloc| alloc_of(state, row, prospects.get(&*row.group));
    rows.into_iter().map(|row| with_less_output(shown(row), &mut tail_bytes)).collect()
}

/// Leaves out the output of failed tries once a document holds enough of it; `alloc status` shows it.
pub(super) fn with_less_output(mut alloc: AllocView, left: &mut usize) -> AllocView {
    for end in alloc.tasks.iter_mut().filter_map(|task| task.last_end.as_mut()) {
        match left.checked_sub(end.tail.len()) {
            Some(rest) => *left = rest,
            None => end.tail.clear(),
        }
    }
    alloc
}
