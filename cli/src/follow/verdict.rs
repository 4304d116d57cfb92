//! Whether following a job is over, and how it went.

use std::collections::BTreeSet;

use proto::ids::{AllocId, JobVersion};
use proto::model::{AllocState, EndReason, TaskEnd};
use proto::time::Timestamp;
use proto::view::{AllocView, Health, JobStatus, TaskView};

use super::{Goal, failed_end, tries};
use crate::limits;

/// Whether it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Going,
    /// It looks like this, and the next document may prove otherwise: servers decide about a replacement a moment after
    /// the failure is known.
    Doubtful(Outcome),
    /// It is over.
    Over(Outcome),
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All that is wanted is healthy.
    Healthy,
    /// A batch job has done its work.
    Complete,
    /// Something of it has failed for good, or keeps dying.
    Failed(Trouble),
    /// A person stopped it meanwhile.
    Stopped,
    /// Somebody submitted this version meanwhile.
    Superseded(JobVersion),
}

/// What failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The allocation: `web.api.0`.
    pub alloc: String,
    /// Where.
    pub node: String,
    /// Why: `exit code 7 (try 4 of 4)`.
    pub why: String,
    /// How many tries have ended, where another one comes: it is not healthy, and has not failed for good.
    pub after_tries: Option<u32>,
    /// The last output, or empty.
    pub tail: String,
    /// When its node tries again, if it does.
    pub next_at: Option<Timestamp>,
    /// What servers do about it, in words with exact times, or empty.
    pub next: String,
    /// How the task ended that explains it.
    pub reason: Option<EndReason>,
}

/// Judges a document that is not older than the submission. `past` are the failures that the submission found; `first` says
/// that this is the first document.
pub(super) fn judge(goal: &Goal, past: &BTreeSet<AllocId>, first: bool, status: &JobStatus) -> Verdict {
    let summary = &status.summary;
    if summary.version > goal.version {
        return Verdict::Over(Outcome::Superseded(summary.version));
    }
    let to_the_end = goal.to_the_end && summary.kind.has_an_end();
    match summary.health {
        Health::Stopped => return Verdict::Over(Outcome::Stopped),
        Health::Complete => return Verdict::Over(Outcome::Complete),
        Health::Healthy if !to_the_end => return Verdict::Over(Outcome::Healthy),
        _ => {}
    }
    let failed = status.allocs.iter().filter(|alloc| alloc.state == AllocState::Failed);
    let newest = failed.clone().filter(|alloc| !past.contains(&alloc.id)).max_by_key(|alloc| alloc.ended_at);
    if to_the_end {
        // The same file again: an earlier failure is the end that is waited for.
        let known = failed.clone().filter(|_| !goal.changed).max_by_key(|alloc| alloc.ended_at);
        return judge_end(status, newest.or(known));
    }
    if let Some(alloc) = newest {
        return Verdict::Over(Outcome::Failed(alloc_trouble(alloc)));
    }
    if let Some((alloc, task)) = given_up(status) {
        return Verdict::Over(Outcome::Failed(loop_of(alloc, task)));
    }
    // The same file again, while the job is failing: that is what the person must hear, not a wait for its recovery.
    let known = failed.max_by_key(|alloc| alloc.ended_at);
    match known.filter(|_| first && !goal.changed && summary.health == Health::Failing) {
        Some(alloc) => Verdict::Over(Outcome::Failed(alloc_trouble(alloc))),
        None => Verdict::Going,
    }
}

/// Judges a batch job that is followed to its end: a failure is one when nothing takes its place any more.
fn judge_end(status: &JobStatus, newest: Option<&AllocView>) -> Verdict {
    let Some(alloc) = newest.filter(|_| status.summary.health == Health::Failing) else {
        return Verdict::Going;
    };
    let slot = |other: &&AllocView| other.group == alloc.group && other.index == alloc.index;
    let replaced = status.allocs.iter().filter(slot).any(|other| !other.state.has_ended());
    let group = status.groups.get(&alloc.group);
    let pending = group.is_some_and(|group| group.next_at.is_some() || group.waiting.is_some());
    let live = status.allocs.iter().any(|other| !other.state.has_ended());
    if replaced || pending || live {
        return Verdict::Going;
    }
    Verdict::Doubtful(Outcome::Failed(alloc_trouble(alloc)))
}

/// Returns a task whose tries are used up and that waits for its next window, or that is tried for ever and keeps dying.
fn given_up(status: &JobStatus) -> Option<(&AllocView, &TaskView)> {
    let live = status.allocs.iter().filter(|alloc| !alloc.state.has_ended() && alloc.desired == "run");
    let tasks = live.flat_map(|alloc| alloc.tasks.iter().map(move |task| (alloc, task)));
    let used_up = |task: &TaskView| match task.window_tries {
        Some(all) => task.window_try >= all,
        None => task.attempt >= limits::CRASH_LOOP_STARTS,
    };
    tasks.into_iter().find(|(_, task)| task.phase == "backoff" && used_up(task))
}

fn loop_of(alloc: &AllocView, task: &TaskView) -> Trouble {
    let trouble = trouble_of(alloc, Some(task));
    // Between two tries the number of the window is already that of the next one.
    let ended = task.window_tries.map_or(task.attempt, |_| task.window_try.saturating_sub(1));
    Trouble { after_tries: Some(ended), next_at: task.next_start_at, ..trouble }
}

/// Returns why an allocation failed, by the task that failed first: what is taken down with it ends too, well or badly.
#[must_use]
pub fn alloc_trouble(alloc: &AllocView) -> Trouble {
    let bad = |task: &&TaskView| failed_end(task).is_some_and(|end| end.reason != EndReason::Stopped);
    let first = alloc.tasks.iter().filter(bad).min_by_key(|task| failed_end(task).map(|end| end.at));
    trouble_of(alloc, first)
}

fn trouble_of(alloc: &AllocView, task: Option<&TaskView>) -> Trouble {
    // A service that ends well has failed too: it is not meant to end.
    let task =
        task.or_else(|| alloc.tasks.iter().max_by_key(|task| task.last_end.as_ref().map(|end| end.at)));
    let ended = task.and_then(|task| task.last_end.as_ref()).filter(|_| alloc.desired == "run");
    let end = task.and_then(failed_end).or(ended);
    let why = match (task, end) {
        (Some(task), Some(end)) => {
            let named = if alloc.tasks.len() > 1 { format!("{}: ", task.name) } else { String::new() };
            // A start that cannot succeed is not tried again: a count of tries would only puzzle.
            match task.attempt {
                _ if task.phase == "backoff" => format!("{named}{}", how(end)),
                0 | 1 => format!("{named}{}", how(end)),
                _ => format!("{named}{} ({})", how(end), tries(task)),
            }
        }
        _ => "no reason is known".to_owned(),
    };
    Trouble {
        alloc: alloc.name.clone(),
        node: alloc.node_name.clone(),
        why,
        after_tries: None,
        tail: end.map_or_else(String::new, |end| end.tail.clone()),
        next_at: None,
        next: alloc.next.clone(),
        reason: end.map(|end| end.reason.clone()),
    }
}

fn how(end: &TaskEnd) -> String {
    match end.reason.is_success() {
        true => format!("{}, and a service is started again whenever it ends", end.reason),
        false => end.reason.to_string(),
    }
}
