//! How a job is, in a word; since when it is not as it should be, and why.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::model::{EndReason, TaskEnd, TaskPhase, TaskStatus};
use proto::time::Timestamp;
use proto::view::Health;

use super::alloc::node_name;
use super::next::{Next, Prospect};
use super::series::series;
use super::tally::{Tally, is_current, live};
use super::words::one_line;
use crate::core::state::{Alloc, JobRecord, Slot, State};

/// Causes that one line names; the rest are counted.
const CAUSES_SHOWN: usize = 2;

/// What is to be said of a job in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The word.
    pub health: Health,
    /// Since when it is not as it should be.
    pub down_since: Option<Timestamp>,
    /// The cause, or empty.
    pub why: String,
    /// The same without advice, for a list of many.
    pub in_short: String,
}

/// One thing that is not as it should be.
struct Cause {
    health: Health,
    since: Option<Timestamp>,
    text: String,
    /// What comes next: never cut, because it may be a command to type.
    next: String,
    /// The same without advice.
    next_in_short: String,
}

/// Judges a job by the worst of its groups. `tallies` are those of the same state; `now` may be later than what it knows.
///
/// Failing: a slot failed and nothing runs in its place, or a task is between two tries or not yet believed after one that
/// ended badly. After a crash it is believed again when it has run longer than all lives of the series, or as long as the restart
/// policy starts over after. What a rolling change waits for is less: the state's own `healthy`. Waiting: no place. Pending: the rest of what is wanted and not healthy. A job that a person stopped is `stopped`
/// from that moment, whatever still ends.
#[must_use]
pub fn judge(state: &State, record: &JobRecord, tallies: &BTreeMap<&str, Tally>, now: Timestamp) -> Verdict {
    if record.stopped {
        let left = record.filled.values().map(imbl::OrdMap::len).sum::<usize>();
        let why = if left == 0 { String::new() } else { format!("{left} still stopping") };
        return Verdict { health: Health::Stopped, down_since: None, in_short: why.clone(), why };
    }
    let mut causes = failures(state, record, now.max(state.now));
    causes.extend(waits(state, record));
    causes.extend(delays(state, record, tallies));
    let Some(worst) = causes.iter().map(|cause| cause.health).min() else {
        let complete = record.current().job.has_an_end() && tallies.values().all(Tally::is_complete);
        let health = if complete { Health::Complete } else { Health::Healthy };
        return Verdict { health, down_since: None, why: String::new(), in_short: String::new() };
    };
    let down_since = causes.iter().filter_map(|cause| cause.since).min();
    causes.retain(|cause| cause.health == worst);
    let why = said(&causes, |cause| &cause.next);
    Verdict { health: worst, down_since, why, in_short: said(&causes, |cause| &cause.next_in_short) }
}

fn said(causes: &[Cause], next_of: impl Fn(&Cause) -> &str) -> String {
    // What comes next is said once where it is the same for all.
    let next = causes.first().map_or("", &next_of);
    let common = if causes.iter().all(|cause| next_of(cause) == next) { next } else { "" };
    let mut shown: Vec<String> = causes
        .iter()
        .take(CAUSES_SHOWN)
        .map(|cause| {
            format!("{}{}", one_line(&cause.text), if common.is_empty() { next_of(cause) } else { "" })
        })
        .collect();
    if causes.len() > CAUSES_SHOWN {
        shown.push(format!("and {} more", causes.len() - CAUSES_SHOWN));
    }
    shown.join("; ") + common
}

/// Slots that failed and are empty, then tasks that fail again and again.
fn failures(state: &State, record: &JobRecord, now: Timestamp) -> Vec<Cause> {
    let version = record.current();
    let empty = record.groups.iter().flat_map(|(name, group)| {
        let spec = version.job.groups.get(name);
        let prospect = Prospect::of(state, record, name);
        let told = move |(index, slot): (&u32, &Slot)| {
            let next = prospect.as_ref().map(|told| told.next(*index, slot));
            failed_slot(state, record, name, *index, slot, next.as_ref())
        };
        // A replacement that failed leaves no gap where what it was to replace runs on.
        let wanted = move |(index, _): &(&u32, &Slot)| {
            spec.is_some_and(|spec| spec.has_slot(**index)) && record.filler_of(name, **index).is_none()
        };
        group.failed.iter().filter(wanted).map(told)
    });
    let looping = live(state, record).filter(|alloc| alloc.is_active());
    let looping = looping.filter_map(|alloc| crash_loop(state, record, alloc, now));
    empty.chain(looping).collect()
}

fn failed_slot(
    state: &State,
    record: &JobRecord,
    group: &str,
    index: u32,
    slot: &Slot,
    next: Option<&Next>,
) -> Cause {
    let last = state.allocs.get(slot.last);
    let tasks = last.into_iter().flat_map(|alloc| alloc.tasks.iter());
    // The first in time explains: what it takes down with it may end badly too.
    let why = tasks
        .filter_map(|task| Some((task, ended_badly(record, group, task)?)))
        .min_by_key(|(_, end)| end.at);
    let culprit = why.map(|(task, _)| task);
    let why = why.map_or(String::new(), |(task, end)| format!(": task {}: {}", task.name, end.reason));
    let node = node_name(state, slot.node);
    let task = culprit.map(|task| task.name.as_str());
    let since = series(state, record, group, index, task).map_or(slot.failed_at, |series| series.since);
    let text = format!("{}.{group}.{index} failed on {node}{why}", record.key.name);
    let (next, next_in_short) = next.map(|next| (next.with_time(), next.in_short())).unwrap_or_default();
    let (next, next_in_short) = (format!("; {next}"), format!("; {next_in_short}"));
    Cause { health: Health::Failing, since: Some(since), text, next, next_in_short }
}

/// Explains an allocation of which a task ended badly and is tried again, until what runs now is believed.
fn crash_loop(state: &State, record: &JobRecord, alloc: &Alloc, now: Timestamp) -> Option<Cause> {
    let (task, end) = doubted(state, record, alloc, now)?;
    let of = task.window_tries.map_or(String::new(), |tries| format!(" of {tries}"));
    let next = match task.phase {
        // Its end is that of the allocation before it.
        _ if !alloc.tasks.iter().any(|own| std::ptr::eq(own, task)) => String::new(),
        TaskPhase::Backoff(until) => format!("; try {}{of} at {until}", task.window_try),
        TaskPhase::Ended => String::new(),
        _ => format!("; try {}{of}", task.window_try),
    };
    let series = series(state, record, &alloc.group, alloc.index, Some(&task.name));
    let how = match series.as_ref().and_then(|series| series.count(now)) {
        Some(count) => format!(" crashes again and again: {count}, last: {}", end.reason),
        None => format!(": {}", end.reason),
    };
    let text = format!("{} on {}: task {}{how}", alloc.name(), node_name(state, alloc.node), task.name);
    let since = series.map_or(end.at, |series| series.since);
    Some(Cause { health: Health::Failing, since: Some(since), text, next_in_short: next.clone(), next })
}

/// Returns the task that makes an allocation doubtful, and how it ended last: its own, or that of the allocation it replaces.
fn doubted<'s>(
    state: &'s State,
    record: &JobRecord,
    alloc: &'s Alloc,
    now: Timestamp,
) -> Option<(&'s TaskStatus, &'s TaskEnd)> {
    let ran = alloc.running_since.map_or(Duration::ZERO, |since| now.since(since));
    let too_short = |task: &TaskStatus, least: usize| {
        let series = series(state, record, &alloc.group, alloc.index, Some(&task.name));
        let series = series.filter(|series| series.ends.len() >= least);
        series.and_then(|series| series.believed_after()).is_some_and(|believed| ran < believed)
    };
    let own = alloc.tasks.iter().find_map(|task| {
        let end = ended_badly(record, &alloc.group, task)?;
        let down = match task.phase {
            TaskPhase::Backoff(_) => true,
            // A hook that ended well has done its work: of what is over for good only a failure is told.
            TaskPhase::Ended => !end.reason.is_success(),
            TaskPhase::Starting | TaskPhase::Running => {
                (!alloc.healthy && task.window_try > 1) || too_short(task, 1)
            }
            TaskPhase::Waiting | TaskPhase::Stopping => false,
        };
        down.then_some((task, end))
    });
    let before = alloc.previous.filter(|_| alloc.replacements > 0).and_then(|id| state.allocs.get(id));
    let inherited = || {
        let tasks = before.into_iter().flat_map(|before| before.tasks.iter());
        let ends = tasks.filter_map(|task| Some((task, ended_badly(record, &alloc.group, task)?)));
        ends.into_iter().find(|(task, _)| too_short(task, 2))
    };
    own.or_else(inherited)
}

/// Returns how a task last ended, if that is not what it was meant to do: a service is not meant to end at all.
fn ended_badly<'t>(record: &JobRecord, group: &str, task: &'t TaskStatus) -> Option<&'t TaskEnd> {
    let service = record.current().job.groups.get(group).is_some_and(|group| !group.kind.has_an_end());
    task.last_end.as_ref().filter(|end| match end.reason {
        EndReason::Exit(0) => service,
        EndReason::Stopped => false,
        _ => true,
    })
}

fn waits<'s>(state: &'s State, record: &'s JobRecord) -> impl Iterator<Item = Cause> + 's {
    let waiting = record.groups.iter().filter_map(|(name, group)| {
        let since = group.wait.as_ref()?.since;
        Some((name, Prospect::of(state, record, name)?.waiting()?, since))
    });
    waiting.map(|(name, waits, since)| {
        let text = match waits.count {
            0 => format!("{name} has no node to run on: {}", waits.why),
            count => format!("{} of {name} cannot be placed: {}", allocations(count), waits.why),
        };
        Cause {
            health: Health::Waiting,
            since: Some(since),
            text,
            next: String::new(),
            next_in_short: String::new(),
        }
    })
}

/// What is on its way: one cause per group that is not complete and not healthy yet, whatever else is wrong with it.
fn delays(state: &State, record: &JobRecord, tallies: &BTreeMap<&str, Tally>) -> Vec<Cause> {
    let unsettled = tallies.iter().filter(|(_, tally)| !tally.is_healthy());
    unsettled.map(|(name, tally)| delay(state, record, name, tally)).collect()
}

fn delay(state: &State, record: &JobRecord, group: &str, tally: &Tally) -> Cause {
    let of_group: Vec<&Alloc> = live(state, record).filter(|alloc| *alloc.group == *group).collect();
    let starting = tally.current - tally.current_healthy;
    let unplaced = tally.wanted.saturating_sub(tally.complete + tally.current);
    let older = of_group.iter().filter(|alloc| alloc.is_active() && !is_current(record, alloc)).count();
    let lost: Vec<&&Alloc> = of_group.iter().filter(|alloc| alloc.lost).collect();
    let mut parts = Vec::new();
    if unplaced > 0 {
        parts.push(format!("{unplaced} of {} not placed yet", tally.wanted));
    }
    if starting > 0 {
        parts.push(format!("{starting} of {} not healthy yet", tally.wanted));
    }
    if older > 0 {
        parts.push(format!("{older} of an older version"));
    }
    if let Some(alloc) = lost.first() {
        parts.push(format!("{} lost with node {}", lost.len(), node_name(state, alloc.node)));
    }
    let since = of_group.iter().filter_map(|alloc| outage(state, record, alloc)).min();
    let text = format!("{group}: {}", parts.join(", "));
    Cause { health: Health::Pending, since, text, next: String::new(), next_in_short: String::new() }
}

/// Returns since when the slot of a live allocation has been without healthy work, where it once had some.
fn outage(state: &State, record: &JobRecord, alloc: &Alloc) -> Option<Timestamp> {
    if alloc.lost {
        return alloc.lost_at;
    }
    if !alloc.is_active() || alloc.healthy {
        return None;
    }
    let before = alloc.previous.and_then(|id| state.allocs.get(id));
    let lost_at = before.filter(|before| before.lost).and_then(|before| before.lost_at);
    let failing = || series(state, record, &alloc.group, alloc.index, None).map(|series| series.since);
    lost_at.or_else(|| (alloc.replacements > 0).then(failing).flatten())
}

fn allocations(count: u32) -> String {
    if count == 1 { "1 allocation".to_owned() } else { format!("{count} allocations") }
}
