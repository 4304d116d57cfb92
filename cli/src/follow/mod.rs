//! Following a job: from two documents of its status, what to tell and whether it is over. Pure.

mod changes; // what differs between two documents, as lines
mod verdict; // whether it is over, and how

use std::collections::{BTreeMap, BTreeSet};

use proto::ids::{AllocId, JobVersion, Revision};
use proto::model::TaskEnd;
use proto::time::Timestamp;
use proto::view::{AllocView, GroupStatus, JobStatus, Placement, TaskView, Waiting};

pub use verdict::{Outcome, Trouble, Verdict, alloc_trouble};

use crate::output::{Line, Tone, until};

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Goal {
    /// The version that was submitted.
    pub version: JobVersion,
    /// The revision that holds it: an older document says nothing about it.
    pub revision: Revision,
    /// Whether the submission changed anything. If not, failures of the past are known already.
    pub changed: bool,
    /// Whether a batch job is waited for until it has ended.
    pub to_the_end: bool,
}

/// One job being followed.
#[derive(Clone, Debug)]
pub struct Follower {
    goal: Goal,
    /// Failures that the submission found: they are not its own.
    past: BTreeSet<AllocId>,
    last: Option<JobStatus>,
    /// What is known to wait, by group: it is told when it changes.
    waits: BTreeMap<String, Waiting>,
    /// Whether the last document showed a failure that a replacement might still follow.
    doubted: bool,
}

/// What a document showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// What to tell.
    pub lines: Vec<Line>,
    /// Whether it is over.
    pub verdict: Verdict,
}

impl Follower {
    /// Begins to follow.
    #[must_use]
    pub fn new(goal: Goal) -> Self {
        Self { goal, past: BTreeSet::new(), last: None, waits: BTreeMap::new(), doubted: false }
    }

    /// Takes what the submission has answered, and its reader has told already.
    #[must_use]
    pub fn knowing(self, placement: Option<&Placement>) -> Self {
        let groups = placement.into_iter().flat_map(|placement| &placement.groups);
        let waits = groups.filter_map(|(name, group)| Some((name.clone(), group.waiting.clone()?))).collect();
        Self { waits, ..self }
    }

    /// Takes a newer document. One from before the submission (a server that lags) says nothing and changes nothing.
    pub fn see(&mut self, status: JobStatus, now: Timestamp) -> Seen {
        if status.revision < self.goal.revision || status.summary.version < self.goal.version {
            return Seen { lines: Vec::new(), verdict: Verdict::Going };
        }
        if self.last.is_none() {
            let known = |alloc: &&AllocView| {
                let before = || alloc.version < self.goal.version || is_begun_anew(alloc, &status);
                alloc.state.has_ended() && (!self.goal.changed || before())
            };
            self.past = status.allocs.iter().filter(known).map(|alloc| alloc.id).collect();
        }
        let judged = verdict::judge(&self.goal, &self.past, self.last.is_none(), &status);
        let verdict = match judged {
            Verdict::Doubtful(outcome) if self.doubted => Verdict::Over(outcome),
            other => other,
        };
        self.doubted = matches!(verdict, Verdict::Doubtful(_));
        // The failure that ends it is told in full by whoever reports the outcome.
        let told = match &verdict {
            Verdict::Over(Outcome::Failed(trouble)) => Some(trouble.alloc.as_str()),
            _ => None,
        };
        let mut lines = changes::between(self.last.as_ref(), &status, &self.untold(&status), told, now);
        // With the failure that ends it all is told that comes of it.
        if told.is_none() {
            lines.extend(changes::of_groups(&self.waits, &status));
        }
        let waits = status.groups.iter().filter_map(|(name, one)| Some((name.clone(), one.waiting.clone()?)));
        self.waits = waits.collect();
        self.last = Some(status);
        Seen { lines, verdict }
    }

    /// Allocations of which a document says nothing new: failures of the past, and in the first one also whatever the change
    /// found. What becomes of those is told from the next document on.
    fn untold(&self, status: &JobStatus) -> BTreeSet<AllocId> {
        let found = |alloc: &&AllocView| {
            self.last.is_none() && self.goal.changed && alloc.version < self.goal.version
        };
        self.past.iter().copied().chain(status.allocs.iter().filter(found).map(|alloc| alloc.id)).collect()
    }

    /// Returns the last document, if there was one.
    #[must_use]
    pub fn last(&self) -> Option<&JobStatus> {
        self.last.as_ref()
    }
}

/// Returns whether the slot of an allocation was filled anew later, not in place of what failed: the job was stopped between.
fn is_begun_anew(alloc: &AllocView, status: &JobStatus) -> bool {
    let slot = |other: &&AllocView| other.group == alloc.group && other.index == alloc.index;
    // Ids come from a counter: a greater one is a later one.
    status.allocs.iter().filter(slot).any(|other| other.id > alloc.id && other.replaces.is_none())
}

/// Returns one line per group for a terminal: how many, and what the matter is.
#[must_use]
pub fn live_lines(status: &JobStatus, now: Timestamp) -> Vec<Line> {
    let line = |(name, group): (&String, &GroupStatus)| {
        let counts = format!("{} wanted, {} running, {} healthy", group.wanted, group.running, group.healthy);
        let done = if group.complete > 0 { format!(", {} complete", group.complete) } else { String::new() };
        let matter = matter(status, name, group, now);
        let tone = match (&matter, group.healthy + group.complete >= group.wanted) {
            (Some((tone, _)), _) => *tone,
            (None, true) => Tone::Good,
            (None, false) => Tone::Plain,
        };
        let matter = matter.map_or_else(String::new, |(_, text)| format!(" - {text}"));
        Line::new(tone, format!("{}  {counts}{done}{matter}", path(&status.summary.name, name)))
    };
    status.groups.iter().map(line).collect()
}

/// What is the matter with a group, in a few words.
fn matter(status: &JobStatus, name: &str, group: &GroupStatus, now: Timestamp) -> Option<(Tone, String)> {
    if let Some(waiting) = &group.waiting {
        return Some((Tone::Warn, waits(waiting, &waiting.count.to_string())));
    }
    let tasks = status.allocs.iter().filter(|alloc| alloc.group == name && !alloc.state.has_ended());
    let between = tasks.flat_map(|alloc| &alloc.tasks).find(|task| task.phase == "backoff");
    if let Some((task, end)) = between.and_then(|task| Some((task, task.last_end.as_ref()?))) {
        return Some((Tone::Bad, format!("{}{}", end.reason, next_try(task, now))));
    }
    let at = group.next_at.filter(|_| group.running < group.wanted)?;
    Some((Tone::Warn, format!("placed anew {}", until(now, at))))
}

/// `try 2 of 4`, or `try 2` where they never end.
#[must_use]
pub fn tries(task: &TaskView) -> String {
    match task.window_tries {
        Some(all) => format!("try {} of {all}", task.window_try),
        None => format!("try {}", task.attempt.max(task.window_try)),
    }
}

/// `; next try (2 of 4) in 0.9s`; nothing where it runs already.
fn next_try(task: &TaskView, now: Timestamp) -> String {
    let Some(at) = task.next_start_at else { return String::new() };
    let of = task.window_tries.map_or_else(String::new, |all| format!(" ({} of {all})", task.window_try));
    format!("; next try{of} {}", until(now, at))
}

/// `2 of 3 wait: no node is up`, or `2 of 3 wait for group `db` ..` where other work is waited for.
#[must_use]
pub fn waits(waiting: &Waiting, counted: &str) -> String {
    let verb = if waiting.count == 1 { "waits" } else { "wait" };
    let told = waiting.told();
    match told.strip_prefix("waits for ") {
        Some(what) => format!("{counted} {verb} for {what}"),
        None => format!("{counted} {verb}: {told}"),
    }
}

/// `web` for the group of a short form, which has its job's name; else `shop.api`.
fn path(job: &str, group: &str) -> String {
    if job == group { job.to_owned() } else { format!("{job}.{group}") }
}

/// Returns how the task ended last if that was a failure.
#[must_use]
pub fn failed_end(task: &TaskView) -> Option<&TaskEnd> {
    task.last_end.as_ref().filter(|end| !end.reason.is_success())
}

#[cfg(test)]
mod tests;
