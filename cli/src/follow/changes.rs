//! What differs between two documents of a job, as lines for people.

use std::collections::{BTreeMap, BTreeSet};

use proto::ids::AllocId;
use proto::model::{AllocState, TaskEnd};
use proto::time::Timestamp;
use proto::view::{AllocView, JobStatus, TaskView, Waiting};

use super::{alloc_trouble, failed_end, next_try, path, waits};
use crate::limits;
use crate::output::{Line, Tone, span};

/// A change of one allocation. Many of one group and kind become one line.
struct Change {
    group: String,
    kind: &'static str,
    line: Line,
}

/// Returns the lines for what is new in `after`; `known` are allocations that say nothing new, `told` the one whose failure is told
/// elsewhere.
pub(super) fn between(
    before: Option<&JobStatus>,
    after: &JobStatus,
    known: &BTreeSet<AllocId>,
    told: Option<&str>,
    now: Timestamp,
) -> Vec<Line> {
    let seen: BTreeMap<AllocId, &AllocView> =
        before.iter().flat_map(|status| &status.allocs).map(|alloc| (alloc.id, alloc)).collect();
    let fresh = after.allocs.iter().filter(|alloc| !known.contains(&alloc.id) && told != Some(&alloc.name));
    let changes =
        fresh.flat_map(|alloc| of_alloc(seen.get(&alloc.id).copied(), alloc, before.is_some(), now));
    folded(&after.summary.name, changes.collect())
}

/// What became of one allocation, oldest first.
fn of_alloc(old: Option<&AllocView>, new: &AllocView, following: bool, now: Timestamp) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut tell = |kind, line| changes.push(Change { group: new.group.clone(), kind, line });
    let name = &new.name;
    if old.is_none() && following && new.replaces.is_some() {
        tell("placed anew", Line::new(Tone::Plain, format!("{name}: placed anew on {}", new.node_name)));
    }
    if new.lost && !old.is_some_and(|old| old.lost) {
        tell("lost", Line::new(Tone::Bad, format!("{name}: its node {} is lost", new.node_name)));
    }
    let state_is_new = old.map(|old| old.state) != Some(new.state);
    if !new.state.has_ended() {
        for (task, end) in new_ends(old, new) {
            tell("died", of_end(new, task, end, now));
        }
    }
    let became_healthy = new.healthy && !old.is_some_and(|old| old.healthy);
    match new.state {
        AllocState::Running if became_healthy => {
            tell("healthy", Line::new(Tone::Good, format!("{name}: healthy on {}", new.node_name)));
        }
        AllocState::Running if state_is_new => {
            tell("running", Line::new(Tone::Plain, format!("{name}: running on {}", new.node_name)));
        }
        AllocState::Complete if state_is_new => {
            tell("complete", Line::new(Tone::Good, format!("{name}: complete")));
        }
        AllocState::Failed if state_is_new => {
            let trouble = alloc_trouble(new);
            let text = format!("{name}: failed on {}: {}", new.node_name, trouble.why);
            tell("failed", Line::new(Tone::Bad, text).tail(&trouble.tail, limits::TAIL_OF_FAILURE));
        }
        AllocState::Stopped if state_is_new && following => {
            let why = if new.stop_reason.is_empty() {
                String::new()
            } else {
                format!(" ({})", words(&new.stop_reason))
            };
            tell("stopped", Line::new(Tone::Plain, format!("{name}: stopped{why}")));
        }
        _ => {}
    }
    changes
}

/// Tasks whose last end is one that was not seen before, and was not asked for.
fn new_ends<'a>(
    old: Option<&'a AllocView>,
    new: &'a AllocView,
) -> impl Iterator<Item = (&'a TaskView, &'a TaskEnd)> {
    let seen = move |name: &str| {
        let task = old?.tasks.iter().find(|task| task.name == name)?;
        task.last_end.as_ref().map(|end| end.at)
    };
    // A service that exits 0 is started again too: that is worth a line as well, while it waits for that.
    let told = |task: &'a TaskView| {
        failed_end(task).or_else(|| task.last_end.as_ref().filter(|_| task.phase == "backoff"))
    };
    let ends = new.tasks.iter().filter_map(move |task| Some((task, told(task)?)));
    ends.filter(move |(task, end)| seen(&task.name) != Some(end.at))
}

fn of_end(alloc: &AllocView, task: &TaskView, end: &TaskEnd, now: Timestamp) -> Line {
    let who =
        if alloc.tasks.len() > 1 { format!("{}/{}", alloc.name, task.name) } else { alloc.name.clone() };
    let text = format!("{who}: {} after {}{}", end.reason, span(end.ran), next_try(task, now));
    Line::new(Tone::Bad, text).tail(&end.tail, limits::TAIL_OF_TRY)
}

/// What waits, and what waits no more, other than `known`.
pub(super) fn of_groups(known: &BTreeMap<String, Waiting>, after: &JobStatus) -> Vec<Line> {
    let mut lines = Vec::new();
    for (name, group) in &after.groups {
        let old = known.get(name);
        let who = path(&after.summary.name, name);
        match (&group.waiting, old) {
            (Some(waiting), old) if !old.is_some_and(|old| old.is_as(waiting)) => {
                let text = waits(waiting, &format!("{} of {}", waiting.count, group.wanted));
                lines.push(Line::new(Tone::Warn, format!("{who}: {text}")));
            }
            (None, Some(_)) => lines.push(Line::new(Tone::Plain, format!("{who}: nothing waits any more"))),
            _ => {}
        }
    }
    lines
}

/// Keeps the lines in order; more than a few of one kind in one group become one line, with the output of the first.
fn folded(job: &str, changes: Vec<Change>) -> Vec<Line> {
    let mut counts: BTreeMap<(String, &str), usize> = BTreeMap::new();
    for change in &changes {
        *counts.entry((change.group.clone(), change.kind)).or_default() += 1;
    }
    let mut lines = Vec::new();
    for Change { group, kind, line } in changes {
        let Some(count) = counts.get_mut(&(group.clone(), kind)) else { continue };
        match *count {
            // Told already, by the line with the number.
            0 => {}
            many if many > limits::LINES_OF_A_KIND => {
                *count = 0;
                lines.push(Line {
                    text: format!("{}: {many} {kind}, such as {}", path(job, &group), line.text),
                    ..line
                });
            }
            _ => lines.push(line),
        }
    }
    lines
}

/// `node_lost` as people write it.
fn words(reason: &str) -> String {
    reason.replace('_', " ")
}
