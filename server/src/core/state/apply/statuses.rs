//! What agents saw. Observed state only moves forward, and an old report changes nothing.

use std::sync::Arc;
use std::time::Duration;

use proto::error::Kind as ErrorKind;
use proto::ids::{AllocId, Generation, NodeId};
use proto::model::{
    AllocState, AllocStatus, EndReason, EventKind, Group, Severity, Subject, TaskEnd, TaskPhase, TaskStatus,
};
use proto::time::Timestamp;

use super::plans::subject_of;
use crate::core::rules::MIN_HEALTHY_TIME;
use crate::core::state::events::Fact;
use crate::core::state::{Alloc, Changes, GroupState, Outcome, Refusal, State};

impl State {
    pub(super) fn alloc_status(
        &mut self,
        node: NodeId,
        generation: Generation,
        statuses: Vec<AllocStatus>,
        changes: &mut Changes,
    ) -> Outcome {
        if !self.is_current(node, generation) {
            let message = format!("the session of node {node} is over: it has registered again");
            return Outcome::Refused(Refusal::new(ErrorKind::Conflict, message));
        }
        for status in statuses {
            self.observe(node, generation, status, changes);
        }
        Outcome::Done
    }

    /// Takes in one report. Reports of the same registration are ordered by their number, others by the registration.
    pub(super) fn observe(
        &mut self,
        node: NodeId,
        generation: Generation,
        status: AllocStatus,
        changes: &mut Changes,
    ) {
        let id = status.id;
        let stamp = (generation, status.seq);
        let Some(before) = self.allocs.get(id).filter(|alloc| alloc.node == node).cloned() else {
            self.observe_foreign(node, &status, changes);
            return;
        };
        if before.has_ended() {
            // Said again because the agent has not heard that its report arrived.
            changes.nodes.alloc(node, id);
            return;
        }
        if stamp <= before.reported || !before.state.may_become(status.state) {
            return;
        }
        let now = self.now;
        let Some(alloc) = self.allocs.get_mut(id) else { return };
        alloc.reported = stamp;
        alloc.state = status.state;
        alloc.tasks = Arc::from(status.tasks);
        let runs = runs_fully(alloc);
        if !runs {
            alloc.healthy = false;
        }
        let since_before = alloc.running_since;
        alloc.running_since = if runs && !alloc.lost { since_before.or(Some(now)) } else { None };
        let after = alloc.clone();
        if since_before != after.running_since || after.has_ended() {
            self.resettle(id, since_before.filter(|_| !before.healthy), &after);
        }
        changes.jobs.insert(after.job.as_ref().clone());
        self.tell_tasks(&before, &after, changes);
        if after.has_ended() {
            self.end_alloc(&before, after, changes);
        }
    }

    /// Keeps the list of what is to be believed healthy soon in step.
    fn resettle(&mut self, id: AllocId, before: Option<proto::time::Timestamp>, after: &Alloc) {
        if let Some(since) = before {
            self.settling.remove(&(since, id));
        }
        if let Some(since) = after.running_since.filter(|_| !after.has_ended() && !after.healthy) {
            self.settling.insert((since, id));
        }
    }

    fn observe_foreign(&mut self, node: NodeId, status: &AllocStatus, changes: &mut Changes) {
        let Some(mut record) = self.nodes.get_mut(&node) else { return };
        if !status.state.has_ended() {
            return;
        }
        if let Some(resources) = record.foreign.remove(&status.id) {
            record.used = record.used.minus(resources).unwrap_or_default();
            changes.gained.insert(node);
        }
        changes.nodes.alloc(node, status.id);
    }

    /// The end of an allocation: gives its room back, remembers the slot, moves it to the ended ones.
    pub(super) fn end_alloc(&mut self, before: &Alloc, mut after: Alloc, changes: &mut Changes) {
        let (now, at) = (self.now, self.at());
        // The slot's memory asks how long it had run, which the end itself has cleared.
        after.running_since = before.running_since;
        self.give_room_back(after.id, changes);
        self.end_slot(&after);
        if let Some(alloc) = self.allocs.get_mut(after.id) {
            (alloc.ended_at, alloc.modified, alloc.healthy) = (Some(now), at, false);
        }
        if let Some(record) = self.jobs.get_mut(after.job.as_ref()) {
            record.live.remove(&after.id);
            record.ended.insert(after.id);
            record.note_slot(&after);
        }
        changes.nodes.alloc(after.node, after.id);
        changes.jobs.insert(after.job.as_ref().clone());
        self.record(changes, end_fact(&after));
        self.announce_completion(&after, changes);
        self.purge_if_over(&after.job, changes);
    }

    /// A batch job is complete when every slot of every group is done.
    fn announce_completion(&mut self, alloc: &Alloc, changes: &mut Changes) {
        let Some(record) = self.jobs.get(alloc.job.as_ref()) else { return };
        let job = &record.current().job;
        let all_done = |(name, group): (&String, &Group)| {
            let is_over = |state: &GroupState| match group.kind.is_per_node() {
                true => state.is_over(record.filled.get(name.as_str()).map_or(0, imbl::OrdMap::len)),
                false => state.done.len() >= group.count as usize,
            };
            group.kind.has_an_end() && record.group(name).is_some_and(is_over)
        };
        if record.completion_announced || !job.groups.iter().all(all_done) {
            return;
        }
        let key = alloc.job.as_ref().clone();
        if let Some(record) = self.jobs.get_mut(&key) {
            record.completion_announced = true;
        }
        let said = format!("job `{key}` is complete");
        self.record(changes, Fact::info(EventKind::JobCompleted, Subject::job(&key), said));
    }

    /// Tells which tries of tasks started and ended between two reports.
    fn tell_tasks(&mut self, before: &Alloc, after: &Alloc, changes: &mut Changes) {
        for task in after.tasks.iter() {
            let earlier = before.tasks.iter().find(|known| known.name == task.name);
            if let Some(fact) = task_ended(earlier, task, after, self.now) {
                self.record(changes, fact);
            }
            if task.phase == TaskPhase::Running
                && earlier
                    .is_none_or(|known| known.attempt < task.attempt || known.phase != TaskPhase::Running)
            {
                let said = format!("task {} of {} started (pid {})", task.name, after.name(), task.pid);
                let subject = Subject { task: Some(task.name.clone()), ..subject_of(after) };
                self.record(changes, Fact::info(EventKind::TaskStarted, subject, said));
            }
        }
    }
}

/// An end that was reported this long after it happened is told with its own time: the agent was away.
const REPORTED_LATE: Duration = Duration::from_secs(2);

fn task_ended(
    earlier: Option<&TaskStatus>,
    task: &TaskStatus,
    alloc: &Alloc,
    now: Timestamp,
) -> Option<Fact> {
    let end = task.last_end.as_ref()?;
    if earlier.is_some_and(|known| known.last_end.as_ref() == Some(end)) {
        return None;
    }
    let expected = end.reason.is_success() || end.reason == EndReason::Stopped;
    let severity = if expected { Severity::Info } else { Severity::Warning };
    let next = match &task.phase {
        TaskPhase::Backoff(until) => {
            let of = task.window_tries.map_or(String::new(), |tries| format!(" of {tries}"));
            format!("; try {}{of} at {until}", task.window_try)
        }
        _ => String::new(),
    };
    let late = now.since(end.at) >= REPORTED_LATE;
    let when = if late { format!(" ({}, reported later)", end.at) } else { String::new() };
    let said = format!("task {} of {} ended: {}{when}{next}", task.name, alloc.name(), end.reason);
    let subject = Subject { task: Some(task.name.clone()), ..subject_of(alloc) };
    let fact = Fact::info(EventKind::TaskEnded, subject, said).severity(severity).reason(end.reason.word());
    Some(fact.tail(end.tail.clone()))
}

fn end_fact(alloc: &Alloc) -> Fact {
    let cause = failed_task(alloc);
    let (kind, severity, word) = match alloc.state {
        AllocState::Complete => (EventKind::AllocComplete, Severity::Info, "complete"),
        AllocState::Stopped => (EventKind::AllocStopped, Severity::Info, "stopped"),
        _ => (EventKind::AllocFailed, Severity::Critical, "failed"),
    };
    // A service that ends well and is given up has failed without a bad end.
    let cause = cause.or_else(|| last_end(alloc).filter(|_| alloc.state == AllocState::Failed));
    let why = match cause {
        Some((task, end)) if alloc.state == AllocState::Failed => format!(": task {task}: {}", end.reason),
        _ => String::new(),
    };
    let said = format!("{} ended {word}{why}", alloc.name());
    let reason = cause.map_or("", |(_, end)| end.reason.word());
    Fact::info(kind, subject_of(alloc), said).severity(severity).reason(reason)
}

/// Returns the task that explains a failure: of those that did not end well the first in time. What runs after it, or is taken
/// down by it, may end badly too.
pub(super) fn failed_task(alloc: &Alloc) -> Option<(&str, &TaskEnd)> {
    let bad = |end: &&TaskEnd| !end.reason.is_success() && end.reason != EndReason::Stopped;
    let ends =
        alloc.tasks.iter().filter_map(|task| Some((task.name.as_str(), task.last_end.as_ref().filter(bad)?)));
    ends.min_by_key(|(_, end)| end.at)
}

/// Returns the task that ended last of itself.
fn last_end(alloc: &Alloc) -> Option<(&str, &TaskEnd)> {
    let ends = alloc.tasks.iter().filter_map(|task| Some((task.name.as_str(), task.last_end.as_ref()?)));
    ends.filter(|(_, end)| end.reason != EndReason::Stopped).max_by_key(|(_, end)| end.at)
}

/// Returns whether every task runs, or has done its work beside others that run.
fn runs_fully(alloc: &Alloc) -> bool {
    let fine = |task: &TaskStatus| match task.phase {
        // Where all main tasks have started, what still waits is what comes after them.
        TaskPhase::Running | TaskPhase::Waiting => true,
        TaskPhase::Ended => task.last_end.as_ref().is_some_and(|end| end.reason.is_success()),
        _ => false,
    };
    alloc.state == AllocState::Running && !alloc.tasks.is_empty() && alloc.tasks.iter().all(fine)
}

impl State {
    pub(super) fn put_health(&mut self, healthy: &[AllocId], changes: &mut Changes) -> Outcome {
        let now = self.now;
        for id in healthy {
            let Some(alloc) = self.allocs.get_mut(*id) else { continue };
            let settles = !alloc.healthy && !alloc.lost && !alloc.state.has_ended();
            // It may have been restarted since the rule looked: then it has to run that long again.
            let long_enough = |since: &Timestamp| now.since(*since) >= MIN_HEALTHY_TIME;
            let Some(since) = alloc.running_since.filter(|_| settles).filter(long_enough) else { continue };
            alloc.healthy = true;
            // A rolling change goes on when the replacement is well.
            changes.jobs.insert(alloc.job.as_ref().clone());
            self.settling.remove(&(since, *id));
        }
        Outcome::Done
    }
}
