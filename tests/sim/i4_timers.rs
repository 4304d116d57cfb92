//! I4: nothing waits without a timer, a reason that was said, or a live lease. Looked at in the end, when everything has settled:
//! then every slot of every group must be explained, and what runs must be what the books say.

use std::collections::BTreeSet;

use proto::ids::AllocId;
use proto::model::{AllocState, Desired, Liveness};
use server::core::scheduler::{self, Wanted, is_held};
use server::core::state::{Alloc, JobRecord, NodeRecord, Slot, State};

use crate::sim::Sim;

impl Sim {
    /// Returns what has not settled yet.
    pub fn unrest(&self) -> Option<String> {
        if !self.log.is_idle() {
            return Some("something is on its way into the log".into());
        }
        if let Some(behind) = self.server_behind() {
            return Some(behind);
        }
        if let Some(at) = self.clients.requests.iter().position(|request| request.acked.is_none()) {
            return Some(format!("request {at} was never acknowledged"));
        }
        let jobs = self.state.jobs.iter();
        let unsettled = jobs.filter_map(|(_, record)| unsettled(&self.state, record)).next();
        unsettled.or_else(|| undrained(&self.state)).or_else(|| self.untrue())
    }

    /// Compares what really runs with what the state says.
    fn untrue(&self) -> Option<String> {
        for machine in self.machines.iter().filter(|machine| machine.powered) {
            let node = self.state.nodes.get(&machine.disk.node);
            if !node.is_some_and(|node| node.liveness == Liveness::Up) {
                return Some(format!("n{} is there and not up", machine.number));
            }
            let mut running = BTreeSet::new();
            for (attempt, process) in &machine.processes {
                if process.ended.is_none() {
                    running.insert(attempt.alloc);
                } else {
                    return Some(format!("the end of {attempt:?} was never collected"));
                }
            }
            let wanted: BTreeSet<AllocId> = self
                .state
                .allocs
                .iter()
                .filter(|(_, alloc)| alloc.node == machine.disk.node && alloc.state == AllocState::Running)
                .map(|(id, _)| id)
                .collect();
            if running != wanted {
                return Some(format!("n{} runs {running:?}, the state says {wanted:?}", machine.number));
            }
        }
        None
    }
}

/// Returns which node is still being drained though its deadline has passed, or nothing is left on it.
fn undrained(state: &State) -> Option<String> {
    let up = state.nodes.draining().iter().filter_map(|id| state.nodes.get(id));
    let mut up = up.filter(|node| node.liveness == Liveness::Up);
    let is_late = |node: &&std::sync::Arc<NodeRecord>| {
        node.taking == 0 || node.drain.as_ref().is_some_and(|drain| drain.deadline.is_some())
    };
    let late = up.find(is_late)?;
    Some(format!("{} is drained, and {} are left", late.identity.name, late.taking))
}

/// Returns which part of a job neither is as it should be nor has a reason for that.
fn unsettled(state: &State, record: &JobRecord) -> Option<String> {
    let key = &record.key;
    let live = || record.live.iter().filter_map(|id| state.allocs.get(*id));
    let on_the_dead = |node| state.nodes.get(&node).is_some_and(|node| node.liveness == Liveness::Down);
    if let Some(alloc) = live().find(|alloc| alloc.lost && !on_the_dead(alloc.node)) {
        return Some(format!("{} is lost, and its node is up", alloc.name()));
    }
    let mut present = live().filter(|alloc| !alloc.lost);
    if let Some(alloc) = present.find(|alloc| alloc.desired != Desired::Run) {
        return Some(format!("{} of alloc {} is still stopping", alloc.name(), alloc.id.0));
    }
    let present: Vec<_> = live().filter(|alloc| !alloc.lost).collect();
    if record.stopped {
        let purged = record.purge.then(|| format!("{key} is to be purged and is there"));
        return present.first().map(|alloc| format!("{key} is stopped, {} is not", alloc.name())).or(purged);
    }
    for (name, group) in &record.current().job.groups {
        let of_group = || present.iter().filter(|alloc| *alloc.group == **name);
        // Older work, that of a service even, may run on while its successor must not begin.
        let work = record.current().work.get(name);
        if group.kind.has_an_end()
            && let Some(alloc) = of_group().find(|alloc| Some(&alloc.work) == work)
        {
            return Some(format!("{} has not ended", alloc.name()));
        }
        let memory = record.group(name);
        let Wanted { slots: wanted, done } = scheduler::wanted(state, record, name);
        let (wanted, done) = (wanted as usize, done as usize);
        let per_node = group.kind.is_per_node();
        let given_up = memory.map_or(0, |memory| {
            let open = |index: &u32| !of_group().any(|alloc| alloc.index == *index);
            // What runs once per node goes nowhere else.
            let stays_out = |slot: &Slot| per_node && memory.avoid.contains(&slot.node);
            let over = |slot: &Slot| slot.due.is_none() || stays_out(slot);
            memory.failed.iter().filter(|(index, slot)| over(slot) && open(index)).count()
        });
        let waiting = memory.and_then(|memory| memory.wait.as_ref()).map_or(0, |wait| wait.count as usize);
        // A rolling change pauses while a slot of the new version has no place or was given up: going on would end what is well.
        let paused = waiting + given_up > 0;
        // Nor does it go on where nothing could take the place of what ends.
        let is_closed = |node| per_node && state.nodes.get(&node).is_some_and(|node| !node.takes_work());
        let outdated =
            |alloc: &&&Alloc| alloc.version != record.current().version && !paused && !is_closed(alloc.node);
        let unwell = of_group().find(|alloc| !alloc.healthy || outdated(alloc));
        if let Some(alloc) = unwell {
            let (id, version) = (alloc.id.0, alloc.version);
            return Some(format!("{} (alloc {id}, version {version}) is {:?}", alloc.name(), alloc.state));
        }
        // Older work that its successor may not replace yet runs, and is told as waiting.
        let older = of_group().filter(|alloc| Some(&alloc.work) != work).count();
        let held = if is_held(state, record, name) { older.min(waiting) } else { 0 };
        // What was done or given up before the count shrank is remembered, so there may be more reasons than slots.
        let stays = told_while_they_run(state, record, name, of_group().copied());
        let busy = (of_group().count() + waiting).saturating_sub(held + stays);
        if busy > wanted || busy + done + given_up < wanted {
            return Some(format!(
                "{key}.{name} wants {wanted}, {} run, {done} are done, {given_up} are given up, {waiting} wait",
                of_group().count()
            ));
        }
    }
    None
}

/// Returns how many are on nodes that are drained, have no other place and run, and are told as waiting too: as many as may move at
/// once of what does the present work and whose replacements were not given up.
fn told_while_they_run<'s>(
    state: &State,
    record: &JobRecord,
    group: &str,
    present: impl Iterator<Item = &'s Alloc>,
) -> usize {
    let spec = &record.current().job.groups[group];
    if spec.kind.is_per_node() || spec.kind.has_an_end() {
        return 0;
    }
    let is_given_up = |index: &u32| {
        record.group(group).and_then(|memory| memory.failed.get(index)).is_some_and(|slot| slot.due.is_none())
    };
    let work = record.current().work.get(group);
    let drained = present.filter(|alloc| state.nodes.is_draining(alloc.node) && Some(&alloc.work) == work);
    drained.filter(|alloc| !is_given_up(&alloc.index)).count().min(spec.migrate.max_parallel as usize)
}
