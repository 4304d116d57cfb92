//! What a name, or the beginning of an id, means; and the nearest name where it means nothing.

use std::sync::Arc;

use proto::error::{Error, Kind};
use proto::ids::{AllocId, JobKey, NodeId};
use proto::model::TaskPhase;

use super::Caller;
use super::views::node_name;
use crate::core::state::{Alloc, JobRecord, NodeRecord, State};

/// Candidates that an ambiguous prefix lists.
const CANDIDATES: usize = 10;

/// What a text names, where a job, a slot or an allocation may stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A job by its name.
    Job(JobKey),
    /// A slot by `job.group.index`, or `job.index` where there is one group.
    Slot(JobKey, String, u32),
    /// An allocation by its id, or the beginning of it.
    Alloc(AllocId),
}

/// Returns a job by its name.
///
/// # Errors
/// Not found, with the nearest name, or the namespace that has one of that name.
pub fn job<'s>(state: &'s State, caller: &Caller, key: &JobKey) -> Result<&'s Arc<JobRecord>, Error> {
    state.jobs.get(key).ok_or_else(|| no_job(state, caller, key))
}

/// Says that there is no such job, and what there is.
#[must_use]
pub fn no_job(state: &State, caller: &Caller, key: &JobKey) -> Error {
    let error = Error::new(Kind::NotFound, format!("there is no job `{key}`"));
    let seen = || state.jobs.iter().map(|(known, _)| known).filter(|known| caller.sees(&known.namespace));
    if let Some(other) = seen().find(|known| known.name == key.name) {
        return error.hint(format!("namespace `{}` has a job `{}`", other.namespace, other.name));
    }
    let names = seen().filter(|known| known.namespace == key.namespace).map(|known| known.name.as_str());
    match nearest(&key.name, names) {
        Some(name) => error.hint(format!("did you mean `{name}`?")),
        None => error.hint("`minijob status` lists all jobs"),
    }
}

/// Returns the name that is most like the given one, if any is like it; of equals the first.
pub fn nearest<'n>(text: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let most = (text.chars().count() / 3).max(1);
    let scored = names.map(|name| (strsim::osa_distance(text, name), name));
    scored
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Returns what a text names: an id, `job.group.index`, a job, or the beginning of an id, in this order.
///
/// # Errors
/// Invalid when it is empty, or when several ids begin with it (they are the details); not found otherwise.
pub fn target(state: &State, caller: &Caller, namespace: &str, text: &str) -> Result<Target, Error> {
    let namespace = caller.namespace(namespace)?;
    if text.is_empty() {
        let error = Error::new(Kind::Invalid, "no allocation is named");
        return Err(error.hint("name a job, an allocation's id, or job.group.index"));
    }
    let known = text.parse().ok().and_then(|id: AllocId| state.allocs.get(id));
    if let Some(alloc) = known.filter(|alloc| caller.sees(&alloc.job.namespace)) {
        return Ok(Target::Alloc(alloc.id));
    }
    if let Some(slot) = slot(state, caller, &namespace, text) {
        return slot;
    }
    let key = JobKey::new(namespace, text);
    if state.jobs.get(&key).is_some() {
        return Ok(Target::Job(key));
    }
    by_prefix(state, caller, &key)
}

/// Returns the node that a text names: by its name (of several that had it the newest), its id, or a unique beginning of its id.
///
/// # Errors
/// Invalid when it is empty, or when several ids begin with it (they are the details); not found with the nearest name.
pub fn node<'s>(state: &'s State, text: &str) -> Result<&'s NodeRecord, Error> {
    if text.is_empty() {
        return Err(
            Error::new(Kind::Invalid, "no node is named").hint("`minijob node status` lists all nodes")
        );
    }
    let id: Option<NodeId> = text.parse().ok();
    let nodes = || state.nodes.iter().map(|(_, node)| node.as_ref());
    let named = nodes().filter(|node| node.identity.name == text || Some(node.identity.id) == id);
    if let Some(node) = named.max_by_key(|node| node.registered_at) {
        return Ok(node);
    }
    let prefix = text.to_ascii_lowercase();
    let found: Vec<&NodeRecord> =
        nodes().filter(|node| node.identity.id.to_string().starts_with(&prefix)).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => {
            let error = Error::new(Kind::NotFound, format!("there is no node `{text}`"));
            Err(match nearest(text, nodes().map(|node| node.identity.name.as_str())) {
                Some(name) => error.hint(format!("did you mean `{name}`?")),
                None => error.hint("`minijob node status` lists all nodes"),
            })
        }
        several => {
            let line = |node: &&NodeRecord| format!("{} {}", node.identity.id, node.identity.name);
            let message = format!("{} nodes have an id that begins with `{prefix}`", several.len());
            let lines = several.iter().take(CANDIDATES).map(line).collect();
            Err(Error::new(Kind::Invalid, message).details(lines))
        }
    }
}

/// Returns the one allocation that a text names: of a slot the one that fills it, else the last that did; of a job its only one.
///
/// # Errors
/// As [`target`], and invalid when a job has several allocations (they are the details).
pub fn one_alloc<'s>(
    state: &'s State,
    caller: &Caller,
    namespace: &str,
    text: &str,
) -> Result<&'s Alloc, Error> {
    match target(state, caller, namespace, text)? {
        Target::Alloc(id) => state.allocs.get(id).ok_or_else(|| no_alloc(text)),
        Target::Slot(key, group, index) => {
            let of_slot = |alloc: &&Alloc| *alloc.group == *group && alloc.index == index;
            let all = all_of(state, &key).filter(of_slot);
            all.max_by_key(|alloc| (alloc.is_active(), alloc.id)).ok_or_else(|| no_alloc(text))
        }
        Target::Job(key) => only_one(state, &key),
    }
}

/// Returns the one allocation that a text names, where something is to reach what runs: as [`one_alloc`], but of a job only those
/// count whose tasks run, else those that have not ended.
///
/// # Errors
/// As [`target`]; invalid when several of a job run (they are the details), refused when nothing of it does.
pub fn running_alloc<'s>(
    state: &'s State,
    caller: &Caller,
    namespace: &str,
    text: &str,
) -> Result<&'s Alloc, Error> {
    let Target::Job(key) = target(state, caller, namespace, text)? else {
        return one_alloc(state, caller, namespace, text);
    };
    let runs = |alloc: &&Alloc| {
        alloc.tasks.iter().any(|task| matches!(task.phase, TaskPhase::Running | TaskPhase::Stopping))
    };
    let live: Vec<&Alloc> = all_of(state, &key).filter(|alloc| !alloc.has_ended()).collect();
    let running: Vec<&Alloc> = live.iter().copied().filter(runs).collect();
    match if running.is_empty() { &live } else { &running }.as_slice() {
        [one] => Ok(one),
        [] => {
            let error = Error::new(Kind::Refused, format!("nothing of `{key}` runs"));
            Err(error.hint(format!("`minijob status {key}` says why")))
        }
        several => Err(name_one(state, &key, several)),
    }
}

fn name_one(state: &State, key: &JobKey, several: &[&Alloc]) -> Error {
    let message = format!("job `{key}` has {} allocations: name one", several.len());
    Error::new(Kind::Invalid, message).details(candidates(state, several))
}

fn only_one<'s>(state: &'s State, key: &JobKey) -> Result<&'s Alloc, Error> {
    let all: Vec<&Alloc> = all_of(state, key).collect();
    let live: Vec<&Alloc> = all.iter().copied().filter(|alloc| !alloc.has_ended()).collect();
    match (live.as_slice(), all.as_slice()) {
        ([one], _) | ([], [one]) => Ok(one),
        ([], []) => {
            let error = Error::new(Kind::NotFound, format!("job `{key}` has no allocation"));
            Err(error.hint(format!("`minijob status {}` says why", key.name)))
        }
        ([], several) | (several, _) => Err(name_one(state, key, several)),
    }
}

/// Returns the allocations of a job, ended ones too.
pub fn all_of<'s>(state: &'s State, key: &JobKey) -> impl Iterator<Item = &'s Alloc> {
    let ids =
        state.jobs.get(key).into_iter().flat_map(|record| record.live.iter().chain(record.ended.iter()));
    ids.filter_map(|id| state.allocs.get(*id))
}

fn no_alloc(text: &str) -> Error {
    Error::new(Kind::NotFound, format!("there is no allocation `{text}`"))
}

/// Reads `job.group.index`, and `job.index` of a job with one group; none when the text has another form (names hold no dots).
fn slot(state: &State, caller: &Caller, namespace: &str, text: &str) -> Option<Result<Target, Error>> {
    let (name, index) = text.rsplit_once('.')?;
    let index = index.parse().ok()?;
    let Some((name, group)) = name.split_once('.') else {
        let key = JobKey::new(namespace, name);
        let groups = &state.jobs.get(&key)?.current().job.groups;
        let only = groups.keys().next().filter(|_| groups.len() == 1)?.clone();
        return Some(Ok(Target::Slot(key, only, index)));
    };
    if group.contains('.') {
        return None;
    }
    let key = JobKey::new(namespace, name);
    let record = match job(state, caller, &key) {
        Ok(record) => record,
        Err(error) => return Some(Err(error)),
    };
    let groups = &record.current().job.groups;
    if groups.contains_key(group) || all_of(state, &key).any(|alloc| *alloc.group == *group) {
        return Some(Ok(Target::Slot(key, group.to_owned(), index)));
    }
    let names: Vec<&str> = groups.keys().map(String::as_str).collect();
    let error = Error::new(Kind::NotFound, format!("job `{key}` has no group `{group}`"));
    Some(Err(error.hint(format!("it has {}", names.join(", ")))))
}

fn by_prefix(state: &State, caller: &Caller, key: &JobKey) -> Result<Target, Error> {
    let prefix = key.name.to_ascii_lowercase();
    let seen = state.allocs.iter().map(|(_, alloc)| alloc).filter(|alloc| caller.sees(&alloc.job.namespace));
    let found: Vec<&Alloc> = seen.filter(|alloc| alloc.id.to_string().starts_with(&prefix)).collect();
    match found.as_slice() {
        [one] => Ok(Target::Alloc(one.id)),
        [] => {
            let error = no_job(state, caller, key);
            let message = format!("there is no job and no allocation `{}`", key.name);
            Err(Error { message, ..error })
        }
        several => {
            let message = format!("{} allocations have an id that begins with `{prefix}`", several.len());
            Err(Error::new(Kind::Invalid, message).details(candidates(state, several)))
        }
    }
}

fn candidates(state: &State, allocs: &[&Alloc]) -> Vec<String> {
    let line = |alloc: &&Alloc| {
        let node = node_name(state, alloc.node);
        format!("{} {} on {node}", alloc.id, alloc.name())
    };
    let mut lines: Vec<String> = allocs.iter().take(CANDIDATES).map(line).collect();
    if allocs.len() > CANDIDATES {
        lines.push(format!("and {} more", allocs.len() - CANDIDATES));
    }
    lines
}

#[cfg(test)]
mod tests;
