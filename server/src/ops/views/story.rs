//! Why a job or an allocation is as it is, told in sentences: what happened, how things are, what comes next.
//!
//! Everything is read from the state: the reasons that were kept with a placement, the last ends, the recent events. Nothing is
//! guessed, and what is no longer known is not told.

use std::sync::Arc;

use proto::model::{AllocState, Desired, EndReason, Event, EventKind, StopReason, TaskPhase, TaskStatus};
use proto::time::Timestamp;
use proto::view::{Health, Sentence, Story};

use super::alloc::node_name;
use super::fence;
use super::health::judge;
use super::next::{Next, Prospect};
use super::tally::{live, tally};
use super::words::{behind, rough};
use crate::core::state::{Alloc, GroupState, JobRecord, Slot, State, stop_word};
use crate::limits::{STORY_ALLOCS, STORY_PAST};

/// Tells the story of a job.
#[must_use]
pub fn of_job(state: &State, record: &JobRecord, now: Timestamp) -> Story {
    let name = record.key.name.clone();
    let tallies = tally(state, record);
    let verdict = judge(state, record, &tallies, now);
    let word = serde_json::to_value(verdict.health).ok();
    let word = word.as_ref().and_then(|word| word.as_str()).unwrap_or_default();
    let nothing_wanted = verdict.health == Health::Healthy && tallies.values().all(|tally| tally.wanted == 0);
    let word = if nothing_wanted { "scaled to 0" } else { word };
    let why = if verdict.why.is_empty() { String::new() } else { format!(": {}", verdict.why) };
    let mut present = vec![version(record)];
    present.extend(record.groups.iter().filter_map(|(group, memory)| {
        let wait = memory.wait.as_ref()?;
        let waits = Prospect::of(state, record, group)?.waiting()?;
        let verb = if waits.count == 1 { "has" } else { "have" };
        let text = format!("{} of {name}.{group} {verb} no place: {}", waits.count, waits.why);
        Some(Sentence::new(Some(wait.since), text))
    }));
    let mut rows: Vec<&Alloc> = live(state, record).collect();
    rows.sort_by_key(|alloc| (alloc.healthy, alloc.group.clone(), alloc.index, alloc.id));
    let left_out = rows.len().saturating_sub(STORY_ALLOCS);
    rows.truncate(STORY_ALLOCS);
    for alloc in &rows {
        present.push(placed(state, alloc));
        present.extend(how_it_is(alloc));
    }
    if left_out > 0 {
        present.push(Sentence::new(None, format!("and {left_out} more; `minijob status {name}` lists them")));
    }
    let next = next_of_job(state, record);
    let past = past(state.events.of_job(&record.key), |event| tells_of_job(event.kind));
    Story {
        headline: format!("{name} is {word}{why}"),
        past: without_output_of(&present, past),
        present,
        next,
        name,
        revision: state.revision,
    }
}

/// Tells the story of an allocation.
#[must_use]
pub fn of_alloc(state: &State, alloc: &Alloc) -> Story {
    let name = alloc.name();
    let node = node_name(state, alloc.node);
    let mut present = vec![placed(state, alloc)];
    present.extend(replaced(state, alloc));
    present.extend(how_it_is(alloc));
    present.extend(drained(state, alloc));
    let next = next_of_alloc(state, alloc);
    let past = past(state.events.of_job(&alloc.job), |event| {
        event.subject.alloc == Some(alloc.id) && event.kind != EventKind::AllocPlaced
    });
    Story {
        headline: format!("{name} ({}) on {node} {}", alloc.id, in_short(alloc)),
        past: without_output_of(&present, past),
        present,
        next,
        name,
        revision: state.revision,
    }
}

/// How an allocation is: `is healthy`, `waits for try 2 of 4`.
fn in_short(alloc: &Alloc) -> String {
    if alloc.lost && !alloc.has_ended() {
        return "is lost".to_owned();
    }
    let waits = |task: &TaskStatus| match task.phase {
        TaskPhase::Backoff(until) => Some(format!("waits for {} at {until}", next_try(task))),
        _ => None,
    };
    let between = alloc.tasks.iter().find_map(waits).filter(|_| alloc.is_active());
    between.unwrap_or_else(|| {
        let word = if alloc.healthy { "healthy" } else { alloc.state.word() };
        format!("is {word}")
    })
}

/// `try 2 of 4`, or `try 2` where they never end.
fn next_try(task: &TaskStatus) -> String {
    let of = task.window_tries.map_or(String::new(), |tries| format!(" of {tries}"));
    format!("try {}{of}", task.window_try)
}

/// Takes the output away from the past that the present tells again: the last end of a task is both.
fn without_output_of(present: &[Sentence], mut past: Vec<Sentence>) -> Vec<Sentence> {
    for told in present.iter().filter(|told| !told.tail.is_empty()) {
        if let Some(again) = past.iter_mut().rev().find(|again| again.tail == told.tail) {
            again.tail.clear();
        }
    }
    past
}

/// The latest events that tell something, oldest first.
fn past<'e>(events: impl Iterator<Item = &'e Arc<Event>>, tells: impl Fn(&Event) -> bool) -> Vec<Sentence> {
    let told: Vec<&Arc<Event>> = events.filter(|event| tells(event)).collect();
    let skipped = told.len().saturating_sub(STORY_PAST);
    let sentence = |event: &Arc<Event>| Sentence {
        at: Some(event.time),
        text: event.message.clone(),
        tail: event.tail.clone(),
    };
    told.into_iter().skip(skipped).map(sentence).collect()
}

/// What the story of a whole job speaks of: decisions and failures, not every start.
const fn tells_of_job(kind: EventKind) -> bool {
    !matches!(kind, EventKind::TaskStarted | EventKind::AllocPlaced | EventKind::AllocStopped)
}

fn version(record: &JobRecord) -> Sentence {
    let version = record.current();
    let said = if version.message.is_empty() { String::new() } else { format!(": {}", version.message) };
    Sentence::new(
        Some(version.at),
        format!("version {} was made by {}{said}", version.version, version.actor),
    )
}

/// Why an allocation is where it is.
fn placed(state: &State, alloc: &Alloc) -> Sentence {
    let node = node_name(state, alloc.node);
    let reason = alloc.reason;
    let of = match (reason.feasible, reason.nodes) {
        _ if is_per_node(state, alloc) => "; it runs on every node that is right for it".to_owned(),
        (0, _) => String::new(),
        (1, 1) => "; it is the only node".to_owned(),
        (1, nodes) => format!("; of {nodes} nodes no other could take it"),
        (feasible, nodes) => {
            let copies = match reason.copies {
                0 => "had none of its group".to_owned(),
                copies => format!("had {copies} of its group"),
            };
            let why = match reason.runner_up {
                Some(next) => {
                    format!("; next was {}: {}", node_name(state, next.node), behind(next.edge))
                }
                // Nobody noted the next one: what holds of every choice among several.
                None => " and is filled best by it".to_owned(),
            };
            format!("; {feasible} of {nodes} nodes could take it, and {node} {copies}{why}")
        }
    };
    let of =
        if reason.preferred { "; it was there before and was restarted in its place".to_owned() } else { of };
    let again = if reason.same_node { "; it had failed there, and no other node fits" } else { "" };
    let text = format!("{} was placed on {node}{of}{again}", alloc.name());
    Sentence::new(Some(alloc.created_at), text)
}

fn is_per_node(state: &State, alloc: &Alloc) -> bool {
    let version = state.jobs.get(alloc.job.as_ref()).and_then(|record| record.version(alloc.version));
    version
        .and_then(|version| version.job.groups.get(&*alloc.group))
        .is_some_and(|group| group.kind.is_per_node())
}

/// What it took the place of.
fn replaced(state: &State, alloc: &Alloc) -> Option<Sentence> {
    let before = state.allocs.get(alloc.previous?)?;
    let node = node_name(state, before.node);
    let how = match (before.desired, before.state) {
        _ if before.lost => format!("was lost with node {node}"),
        (Desired::Run, _) if !before.has_ended() => {
            format!("runs on {node} until this one is healthy, because {node} is drained")
        }
        (Desired::Stop(StopReason::Drained), _) => format!("moved off {node}, because {node} is drained"),
        (Desired::Stop(reason), _) => {
            format!("was stopped on {node}: {}", stop_word(reason).replace('_', " "))
        }
        (_, AllocState::Failed) => format!("failed on {node}{}", cause(before)),
        (_, state) => format!("is {} on {node}", state.word()),
    };
    let at = before.lost_at.or(before.ended_at);
    Some(Sentence::new(at, format!("it replaces {}, which {how}", before.id)))
}

/// That it moves because its node is drained.
fn drained(state: &State, alloc: &Alloc) -> Option<Sentence> {
    let node = state.nodes.get(&alloc.node).filter(|_| !alloc.has_ended() && !alloc.lost)?;
    let drain = node.drain.as_ref().filter(|_| node.is_draining())?;
    let (name, by) = (&node.identity.name, &drain.actor);
    let said = if drain.message.is_empty() { String::new() } else { format!(": {}", drain.message) };
    let text = format!("it moves because {name} is drained by {by}{said}");
    Some(Sentence::new(Some(drain.begun), text))
}

/// What comes of what is on a node that is drained.
fn moves(state: &State, record: Option<&Arc<JobRecord>>, alloc: &Alloc) -> Option<Sentence> {
    if !alloc.is_active() {
        return None;
    }
    let record = record?;
    let filler = record.filler_of(&alloc.group, alloc.index).filter(|id| *id != alloc.id);
    if let Some(new) = filler.and_then(|id| state.allocs.get(id)) {
        let node = node_name(state, new.node);
        let text = format!("it ends when {}, which takes its place on {node}, is healthy", new.id);
        return Some(Sentence::new(None, text));
    }
    let node = state.nodes.get(&alloc.node)?;
    let drain = node.drain.as_ref().filter(|_| node.is_draining())?;
    let group = record.current().job.groups.get(&*alloc.group)?;
    let until = if drain.deadline.is_some() { ", at the latest at the deadline" } else { "" };
    let wait = record.group(&alloc.group).and_then(|memory| memory.wait.as_ref());
    let text = if group.kind.is_per_node() {
        format!("it ends when nothing else is left on {}{until}", node.identity.name)
    } else if group.kind.has_an_end() {
        format!("it may finish{}", if drain.deadline.is_some() { " until the deadline" } else { "" })
    } else if let Some(wait) = wait {
        format!("it stays until there is a place for it{until}: {}", wait.why)
    } else {
        format!("it moves when its turn comes, {} of its group at a time{until}", group.migrate.max_parallel)
    };
    Some(Sentence::new(drain.deadline, text))
}

fn cause(alloc: &Alloc) -> String {
    let ends = alloc.tasks.iter().filter_map(|task| Some((task, task.last_end.as_ref()?)));
    let bad = ends.into_iter().find(|(_, end)| !end.reason.is_success());
    bad.map_or(String::new(), |(task, end)| format!(": task {}: {}", task.name, end.reason))
}

/// How an allocation is, and its tasks.
fn how_it_is(alloc: &Alloc) -> Vec<Sentence> {
    let name = alloc.name();
    let mut said = Vec::new();
    if let Desired::Stop(reason) = alloc.desired {
        let text = format!("servers want {name} to end: {}", stop_word(reason).replace('_', " "));
        said.push(Sentence::new(None, text));
    }
    if let Some(at) = alloc.lost_at {
        said.push(Sentence::new(Some(at), format!("{name} is lost: its node does not answer")));
    }
    said.extend(alloc.tasks.iter().filter_map(|task| of_task(&name, task)));
    if let Some(known) = alloc.ended_at {
        // Where its agent was away it ended before that was known here.
        let last = alloc.tasks.iter().filter_map(|task| Some(task.last_end.as_ref()?.at)).max();
        let at = last.map_or(known, |last| last.min(known));
        said.push(Sentence::new(Some(at), format!("{name} has ended: {}", alloc.state.word())));
    } else if alloc.healthy {
        said.push(Sentence::new(alloc.running_since, format!("{name} is healthy")));
    } else if let Some(since) = alloc.running_since {
        said.push(Sentence::new(
            Some(since),
            format!("{name} runs, and has to go on a moment to be healthy"),
        ));
    }
    said
}

fn of_task(name: &str, task: &TaskStatus) -> Option<Sentence> {
    let end = task.last_end.as_ref();
    let last = end.map_or(String::new(), |end| match end.reason {
        EndReason::StartFailed { .. } => format!(": {}", end.reason),
        _ => format!("; its last try ended after {}: {}", rough(end.ran), end.reason),
    });
    let tail = end.map(|end| end.tail.clone()).unwrap_or_default();
    let which = next_try(task);
    let text = match task.phase {
        TaskPhase::Waiting => return None,
        TaskPhase::Running if end.is_none() => return None,
        TaskPhase::Running => {
            format!("task {} of {name} runs in {which}{last}", task.name)
        }
        TaskPhase::Backoff(_) => {
            format!("task {} of {name} waits for {which}{last}", task.name)
        }
        TaskPhase::Starting => format!("task {} of {name} is being started{last}", task.name),
        TaskPhase::Stopping => format!("task {} of {name} is being stopped", task.name),
        TaskPhase::Ended => format!("task {} of {name} has ended{last}", task.name),
    };
    let at = if matches!(task.phase, TaskPhase::Running) { task.started_at } else { end.map(|end| end.at) };
    Some(Sentence { at, text, tail })
}

fn next_of_job(state: &State, record: &JobRecord) -> Vec<Sentence> {
    let name = &record.key.name;
    if record.stopped {
        return vec![Sentence::new(
            None,
            format!("it stays stopped; `minijob start {name}` starts it again"),
        )];
    }
    let mut next = Vec::new();
    for (group, memory) in &record.groups {
        let Some(prospect) = Prospect::of(state, record, group) else { continue };
        next.extend(slots_to_come(name, group, memory, &prospect));
        let advice = prospect.waiting_advised().map(|waits| waits.advice).unwrap_or_default();
        let waits_only = memory.failed.is_empty() && memory.wait.is_some();
        if waits_only || !advice.is_empty() {
            let when = match fence::last_runs_out_at(state, record, group) {
                Some(at) => format!("the fence of what was lost has run out, at about {at}"),
                None if prospect.is_held() => "what it waits for is there".to_owned(),
                None => "a node can take it".to_owned(),
            };
            let advice = if advice.is_empty() { advice } else { format!("; {advice}") };
            next.push(Sentence::new(None, format!("{name}.{group} is placed as soon as {when}{advice}")));
        }
    }
    next.extend(live(state, record).flat_map(tries_to_come));
    next.truncate(STORY_ALLOCS);
    let last = record
        .live
        .iter()
        .chain(record.groups.values().flat_map(|memory| memory.failed.values().map(|slot| &slot.last)));
    let ends = last.filter_map(|id| state.allocs.get(*id)).any(|alloc| ends_by_itself(record, alloc));
    next.extend(ends.then(advice_on_batch));
    next
}

fn next_of_alloc(state: &State, alloc: &Alloc) -> Vec<Sentence> {
    let name = alloc.name();
    let record = state.jobs.get(alloc.job.as_ref());
    if let Some(record) = record.filter(|record| record.stopped) {
        let start = format!("its job is stopped; `minijob start {}` starts it again", record.key.name);
        return vec![Sentence::new(None, start)];
    }
    let present = record.and_then(|record| record.filled.get(&alloc.group)?.get(&alloc.index).copied());
    if let Some(next) = moves(state, record, alloc) {
        return vec![next];
    }
    if let Some(present) = present.filter(|present| *present != alloc.id) {
        return vec![Sentence::new(
            None,
            format!("{present} took its place: `minijob why {name}` tells of that"),
        )];
    }
    if let Some(at) = record.and_then(|record| fence::runs_out_at(state, record, alloc)) {
        let text = format!(
            "it is replaced when its fence has run out, at about {at}, unless its node returns before"
        );
        return vec![Sentence::new(None, text)];
    }
    let memory = record.and_then(|record| record.group(&alloc.group));
    let advice = record.filter(|record| ends_by_itself(record, alloc)).map(|_| advice_on_batch());
    let prospect = record.and_then(|record| Prospect::of(state, record, &alloc.group));
    let slot = memory.and_then(|memory| memory.failed.get(&alloc.index));
    // What has begun waits for no other work: such a wait is of others of the group.
    let is_held = prospect.as_ref().is_some_and(Prospect::is_held);
    if let Some((slot, prospect)) = slot.zip(prospect) {
        let next = slot_to_come(&alloc.job.name, &alloc.group, alloc.index, slot, &prospect);
        return std::iter::once(next).chain(advice).collect();
    }
    if let Some(wait) =
        memory.filter(|_| present.is_none() && !is_held).and_then(|memory| memory.wait.as_ref())
    {
        let advised = record.and_then(|record| Prospect::of(state, record, &alloc.group)?.waiting_advised());
        let told = advised.map_or_else(|| wait.why.clone(), |waits| waits.told());
        let text = format!("a replacement has no place: {told}");
        return vec![Sentence::new(Some(wait.since), text)];
    }
    tries_to_come(alloc).into_iter().chain(advice).collect()
}

/// What comes of every slot that failed: one sentence where it is the same for all.
fn slots_to_come(job: &str, group: &str, memory: &GroupState, prospect: &Prospect<'_>) -> Vec<Sentence> {
    let all: Vec<Next> = memory.failed.iter().map(|(index, slot)| prospect.next(*index, slot)).collect();
    match all.as_slice() {
        [first, rest @ ..] if !rest.is_empty() && rest.iter().all(|one| one == first) => {
            let text = format!("{} of {job}.{group} are {}", all.len(), first.without_time());
            vec![Sentence::new(first.at, text)]
        }
        _ => {
            let slots = memory.failed.iter();
            slots.map(|(index, slot)| slot_to_come(job, group, *index, slot, prospect)).collect()
        }
    }
}

fn slot_to_come(job: &str, group: &str, index: u32, slot: &Slot, prospect: &Prospect<'_>) -> Sentence {
    let next = prospect.next(index, slot);
    Sentence::new(next.at, format!("{job}.{group}.{index} is {}", next.without_time()))
}

/// Returns whether a service does what a batch job does: it ended well, and is started again for that.
fn ends_by_itself(record: &JobRecord, alloc: &Alloc) -> bool {
    // A hook that has done its work has ended well too, and is not started again.
    let again =
        |task: &TaskStatus| matches!(task.phase, TaskPhase::Backoff(_)) || alloc.state == AllocState::Failed;
    let well = |task: &TaskStatus| task.last_end.as_ref().is_some_and(|end| end.reason == EndReason::Exit(0));
    record.current().job.groups.get(&*alloc.group).is_some_and(|group| !group.kind.has_an_end())
        && alloc.tasks.iter().any(|task| again(task) && well(task))
        && alloc.tasks.iter().all(|task| task.last_end.is_none() || well(task))
}

fn advice_on_batch() -> Sentence {
    Sentence::new(
        None,
        "a service is started again whenever it ends; what is meant to end is a batch job: `type: batch` in its file, or `minijob run --batch -- CMD`",
    )
}

fn tries_to_come(alloc: &Alloc) -> Vec<Sentence> {
    let again = |task: &TaskStatus| {
        let TaskPhase::Backoff(until) = task.phase else { return None };
        let text = format!("{} of task {} of {}", next_try(task), task.name, alloc.name());
        Some(Sentence::new(Some(until), text))
    };
    alloc.tasks.iter().filter_map(again).collect()
}

#[cfg(test)]
mod tests;
