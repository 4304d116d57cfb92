//! Who gives way to a group that found no place, where the setting allows it.

use std::cmp::Reverse;

use proto::ids::NodeId;
use proto::model::{Dependency, Group};
use server::core::state::{Alloc, JobRecord, State};

use super::Look;
use super::keep::Keepers;
use super::room::Room;
use super::rules::Rules;

/// Who gives way has a priority that is lower by this.
const LOWER_BY: u8 = 10;
/// For so many of a group at once.
const MOST: usize = 64;

/// What has to end on a node, and what that costs: its highest priority, then how many.
struct Offer<'s> {
    cost: (u8, usize, NodeId),
    allocs: Vec<&'s Alloc>,
}

/// Lets others give way to `lost` allocations of a group. `only` are the nodes that they are for; none: any. `taken` are the nodes of
/// the group.
pub fn make_room<'s>(
    state: &'s State,
    record: &JobRecord,
    group: &str,
    only: Option<&[NodeId]>,
    lost: usize,
    taken: &[NodeId],
    look: &mut Look<'s>,
) {
    let spec = &record.current().job.groups[group];
    let rules = Rules::of(state, record, group);
    let mut taken = taken.to_vec();
    let mut left = lost.min(MOST);
    let is_meant = |node: &NodeId, keepers: &Keepers| {
        let is_free = keepers.allow(*node, record, group) && !keepers.is_another_s(*node, record, group);
        is_free && only.is_none_or(|only| only.contains(node))
    };
    // Where enough ends anyway nothing gives way: first where it was for this group already, then by id.
    let mut nodes = rules.welcoming(state, &taken);
    nodes.retain(|node| is_meant(node, &look.keepers) && !look.rooms.node(*node).fits(spec));
    nodes.sort_by_key(|node| (!look.keepers.is_for(*node, record, group), *node));
    let (coming, lacking): (Vec<_>, Vec<_>) =
        nodes.into_iter().partition(|node| look.soon.node(*node).fits(spec));
    for node in coming {
        if left > 0 && rules.welcoming(state, &taken).contains(&node) {
            look.keepers.keep(node, record, group);
            left = left.saturating_sub(how_many(look.soon.node(node), spec, &rules));
            taken.push(node);
        }
    }
    // Elsewhere once on each node, where it costs least.
    let mut offers: Vec<Offer> =
        lacking.into_iter().filter_map(|node| offer(state, record, spec, node, look)).collect();
    offers.sort_by_key(|offer| offer.cost);
    for Offer { cost: (.., node), allocs } in offers {
        if left > 0 && rules.welcoming(state, &taken).contains(&node) {
            for alloc in allocs {
                look.soon.end(alloc);
                look.ends.insert(alloc.id);
                look.verdict.preempted.insert(alloc.id);
            }
            look.keepers.keep(node, record, group);
            left = left.saturating_sub(how_many(look.soon.node(node), spec, &rules));
            taken.push(node);
        }
    }
}

/// How many of a group a node takes: of what must be distinct, or runs once per node, one.
fn how_many(room: &Room, spec: &Group, rules: &Rules) -> usize {
    let mut room = room.clone();
    let mut count = 0;
    while room.fits(spec) && (count == 0 || !(rules.is_distinct_in_something() || spec.kind.is_per_node())) {
        room.take(spec);
        count += 1;
    }
    count
}

/// Whether a dependency of a job is on what an allocation belongs to.
fn is_meant(on: &Dependency, record: &JobRecord, alloc: &Alloc) -> bool {
    let job = on.job.as_ref().unwrap_or(&record.key.name);
    let is_job = alloc.job.namespace == record.key.namespace && alloc.job.name == *job;
    is_job && on.group.as_ref().is_none_or(|group| *alloc.group == **group)
}

/// The least important end, of equals the youngest, until there is room for one; of these stay, the most important first, those that
/// need not end.
fn offer<'s>(
    state: &'s State,
    record: &JobRecord,
    spec: &Group,
    node: NodeId,
    look: &Look<'s>,
) -> Option<Offer<'s>> {
    let priority = |alloc: &Alloc| state.jobs.get(alloc.job.as_ref()).unwrap().current().job.priority;
    let may_end = |alloc: &&Alloc| {
        alloc.node == node
            && alloc.counted
            && !look.ends.contains(&alloc.id)
            && !spec.depends_on.iter().any(|on| is_meant(on, record, alloc))
            && priority(alloc) + LOWER_BY <= record.current().job.priority
    };
    let mut weaker: Vec<&Alloc> = state.allocs.iter().map(|(_, alloc)| alloc).filter(may_end).collect();
    weaker.sort_by_key(|alloc| (priority(alloc), Reverse(alloc.id)));
    let without = |allocs: &[&Alloc]| {
        let mut room = look.soon.node(node).clone();
        // A port is not taken from anybody.
        allocs.iter().for_each(|alloc| room.end_but_for_ports(alloc));
        room.fits(spec)
    };
    let enough = (1..=weaker.len()).find(|count| without(&weaker[..*count]))?;
    let mut allocs = weaker[..enough].to_vec();
    for number in (0..allocs.len()).rev() {
        let mut fewer = allocs.clone();
        fewer.remove(number);
        if without(&fewer) {
            allocs = fewer;
        }
    }
    let highest = allocs.iter().map(|alloc| priority(alloc)).max()?;
    Some(Offer { cost: (highest, allocs.len(), node), allocs })
}
