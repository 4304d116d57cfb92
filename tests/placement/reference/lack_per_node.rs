//! What a group lacks that runs once on every node that is right for it.

use std::collections::BTreeSet;

use proto::ids::{AllocId, NodeId};
use server::core::state::{Alloc, JobRecord, State};

use super::depends;
use super::lack::{Has, Lack, Want};
use super::rules::Rules;

pub fn of(state: &State, record: &JobRecord, group: &str, rules: &Rules) -> Lack {
    let mut lack = Lack::default();
    let (mut has, lacking) = look(state, record, group, rules, &mut lack);
    let memory = record.group(group).cloned().unwrap_or_default();
    let slot_of = |node: NodeId| memory.node_slots.slot_of(node);
    let work = record.current().work[group];
    let is_complete =
        lacking.is_empty() && has.stopping.is_empty() && has.active.iter().all(|alloc| alloc.work == work);
    let must_wait = !is_complete && !depends::are_met(state, record, group);
    if must_wait {
        lack.held += has.active.iter().filter(|alloc| alloc.work != work).count() as u32;
    } else if lacking.is_empty() {
        replace_older(state, record, group, &mut has, 0, &mut lack);
    } else {
        lack.goes_on = true;
    }
    let mut taken: BTreeSet<u32> = memory.node_slots.iter().map(|(_, slot)| slot).collect();
    let all = state.allocs.iter().map(|(_, alloc)| alloc);
    let of_group =
        all.filter(|alloc| *alloc.job == *record.key && *alloc.group == *group && !alloc.has_ended());
    taken.extend(of_group.map(|alloc| alloc.index));
    for (_, node) in lacking {
        // Its own, or the lowest that is no other's.
        let index = slot_of(node).unwrap_or_else(|| (0u32..).find(|index| !taken.contains(index)).unwrap());
        taken.insert(index);
        let may_begin =
            memory.failed.get(&index).is_none_or(|slot| slot.due.is_some_and(|due| due <= state.now));
        // Where this work cannot start it is not tried again.
        if may_begin && !memory.avoid.contains(&node) {
            lack.wants.push(Want { index, avoid: None, prefer: None, only: Some(node) });
        }
    }
    lack.hold(state, record, group, must_wait);
    lack
}

/// Returns what gives way when so many of the nodes that lack the group have no room for it.
pub fn go_on(
    state: &State,
    record: &JobRecord,
    group: &str,
    rules: &Rules,
    no_room: usize,
) -> BTreeSet<AllocId> {
    let (mut has, lacking) = look(state, record, group, rules, &mut Lack::default());
    let mut lack = Lack::default();
    // A node that has no room holds back no other.
    replace_older(state, record, group, &mut has, lacking.len() - no_room, &mut lack);
    lack.stops
}

fn replace_older(
    state: &State,
    record: &JobRecord,
    group: &str,
    has: &mut Has<'_>,
    coming: usize,
    lack: &mut Lack,
) {
    // A node that takes no work keeps what it has.
    let may_go = |alloc: &Alloc| state.nodes.get(&alloc.node).is_some_and(|node| node.takes_work());
    let target = has.active.len() + has.stopping.len() + coming;
    has.replace_older(record, group, target, may_go, lack);
}

/// Returns what the group has when nodes that the rules do not allow any more have lost it, and the nodes that lack it, by name.
fn look<'s>(
    state: &'s State,
    record: &'s JobRecord,
    group: &'s str,
    rules: &Rules,
    lack: &mut Lack,
) -> (Has<'s>, Vec<(String, NodeId)>) {
    let mut has = Has::of(state, record, group);
    let memory = record.group(group).cloned().unwrap_or_default();
    let is_right = |node: NodeId| state.nodes.get(&node).is_some_and(|node| rules.allow(&node.identity));
    let wrong: Vec<AllocId> =
        has.active.iter().filter(|alloc| !is_right(alloc.node)).map(|alloc| alloc.id).collect();
    wrong.into_iter().for_each(|id| has.stop(id, lack));
    let here: BTreeSet<NodeId> = has.active.iter().chain(&has.stopping).map(|alloc| alloc.node).collect();
    let slot_of = |node: NodeId| memory.node_slots.slot_of(node);
    let is_done = |node: NodeId| slot_of(node).is_some_and(|slot| memory.done.contains(&slot));
    let nodes = state
        .nodes
        .iter()
        .filter(|(id, node)| node.takes_work() && is_right(**id) && !here.contains(id) && !is_done(**id));
    let mut lacking: Vec<(String, NodeId)> =
        nodes.map(|(id, node)| (node.identity.name.clone(), *id)).collect();
    lacking.sort();
    (has, lacking)
}
