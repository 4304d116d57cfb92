//! Why something has no place: per cause, with counts of nodes.
//!
//! The text names what was asked and never what is free: that changes all the time, and a wait is said once per cause.

use std::collections::BTreeMap;

use proto::ids::NodeId;
use proto::units::{show_cpu, show_size};

use super::demands::Against;
use super::feasible::{Ask, Obstacle};
use super::room::Room;
use crate::core::state::{Alloc, NodeRecord, State};
use crate::limits::ALLOCS_PER_NODE;

/// Returns the causes, the most frequent first.
pub(super) fn why_not(state: &State, ask: &Ask, room: &Room<'_>) -> String {
    why_not_on(state, ask, room, |_| true)
}

/// Returns the causes on certain nodes.
pub(super) fn why_not_on(
    state: &State,
    ask: &Ask,
    room: &Room<'_>,
    is_meant: impl Fn(NodeId) -> bool,
) -> String {
    let all = state.nodes.len();
    if all == 0 {
        return "there are no nodes: start an agent".to_owned();
    }
    // The first node of each cause is the one of the lowest id: where nodes sit says nothing.
    let mut causes: BTreeMap<Obstacle, (usize, NodeId)> = BTreeMap::new();
    for (seat, row) in room.fleet.all().filter(|(_, row)| is_meant(row.node)) {
        if let Some(obstacle) = ask.obstacle(state, seat, &row, room) {
            let (count, first) = causes.entry(obstacle).or_insert((0, row.node));
            *count += 1;
            *first = row.node.min(*first);
        }
    }
    let mut causes: Vec<_> = causes.into_iter().collect();
    causes.sort_by_key(|(obstacle, (count, _))| (std::cmp::Reverse(*count), *obstacle));
    let lines: Vec<String> = causes
        .iter()
        .map(|(obstacle, (count, first))| say((state, room), ask, *obstacle, (*count, all), *first))
        .collect();
    lines.join(", ")
}

fn say(
    (state, room): (&State, &Room<'_>),
    ask: &Ask,
    obstacle: Obstacle,
    (count, all): (usize, usize),
    first: NodeId,
) -> String {
    let nodes = if all == 1 { "the only node".to_owned() } else { format!("{count} of {all} nodes") };
    let s = if count == 1 { "s" } else { "" };
    match obstacle {
        Obstacle::Down if count == 1 => format!("{nodes} is down"),
        Obstacle::Down => format!("{nodes} are down"),
        Obstacle::Cordoned if count == 1 => format!("{nodes} is cordoned"),
        Obstacle::Cordoned => format!("{nodes} are cordoned"),
        Obstacle::Rule(rule) => against(ask, rule, &nodes, count),
        Obstacle::CannotStart => format!("{nodes} cannot start it{}", start_error(state, ask)),
        Obstacle::Full if count == 1 => {
            format!("{nodes} has {ALLOCS_PER_NODE} allocations, the most there can be")
        }
        Obstacle::Full => format!("{nodes} have {ALLOCS_PER_NODE} allocations, the most there can be"),
        Obstacle::Cpu => {
            let asked = u32::try_from(ask.need.cpu_millis).map_or_else(|_| "too much".to_owned(), show_cpu);
            format!("{nodes} lack{s} cpu ({asked} asked)")
        }
        Obstacle::Memory => {
            format!("{nodes} lack{s} memory ({} asked)", show_size(ask.need.memory_bytes))
        }
        Obstacle::Port(port) => {
            let verb = if count == 1 { "has" } else { "have" };
            format!(
                "{nodes} {verb} port {port} in use{}",
                state.nodes.get(&first).map_or_else(String::new, |node| holder(state, node, port))
            )
        }
        Obstacle::DynamicPorts => format!("{nodes} lack{s} dynamic ports"),
        Obstacle::Kept => {
            let is = if count == 1 { "is" } else { "are" };
            let keeper = room.kept_from(first, ask).map_or_else(String::new, |job| format!(" `{job}`"));
            format!("{nodes} {is} kept for the job{keeper}, which comes first")
        }
    }
}

/// Says which rule of the job keeps nodes out.
fn against(ask: &Ask, rule: Against, nodes: &str, count: usize) -> String {
    let (is, has) = if count == 1 { ("is", "has") } else { ("are", "have") };
    let placement = &ask.spec().placement;
    let distinct = placement.distinct.as_deref().unwrap_or_default();
    match rule {
        Against::Pin => format!(
            "{nodes} {is} not `{}`, the one that the job wants",
            placement.node.as_deref().unwrap_or_default()
        ),
        Against::NoVolume => {
            let volumes: Vec<&str> = ask.spec().declared_volumes().collect();
            format!("{nodes} {has} not all of the volumes {}", volumes.join(", "))
        }
        Against::Constraint(number) => {
            let text = placement.constraints.get(number).map_or("", String::as_str);
            format!("{nodes} {is} ruled out by `{text}`")
        }
        Against::NoValue => format!("{nodes} {has} no `{distinct}`, which must be distinct"),
        Against::SameValue if distinct == "node" => format!("{nodes} {has} one of the group already"),
        Against::SameValue => format!("{nodes} {has} the `{distinct}` of another of the group"),
    }
}

/// Returns the reason that the node gave, from the last failure of the group.
fn start_error(state: &State, ask: &Ask) -> String {
    let Some(group) = state.jobs.get(ask.job.as_ref()).and_then(|record| record.group(&ask.group)) else {
        return String::new();
    };
    let last = group.failed.values().max_by_key(|slot| (slot.failed_at, slot.last));
    let alloc = last.and_then(|slot| state.allocs.get(slot.last));
    let end = alloc.and_then(|alloc| alloc.tasks.iter().find_map(|task| task.last_end.as_ref()));
    end.map(|end| format!(" ({})", end.reason)).unwrap_or_default()
}

/// Returns who holds a static port on a node.
pub(super) fn holder_of<'s>(state: &'s State, node: &NodeRecord, port: u16) -> Option<&'s Alloc> {
    let holds = |alloc: &&Alloc| alloc.counted && alloc.ports.iter().any(|(_, taken)| *taken == port);
    node.allocs.iter().filter_map(|id| state.allocs.get(*id)).find(holds)
}

/// Names who holds a static port on a node.
fn holder(state: &State, node: &NodeRecord, port: u16) -> String {
    let holder = holder_of(state, node, port);
    let name = holder.map(|alloc| format!(" by {}", alloc.name())).unwrap_or_default();
    if name.is_empty() {
        format!(" on {}", node.identity.name)
    } else {
        format!("{name} on {}", node.identity.name)
    }
}
