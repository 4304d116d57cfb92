//! Whether a group fits on a node, and what stands in its way.

use std::collections::BTreeSet;
use std::sync::Arc;

use proto::ids::{JobKey, NodeId};
use proto::model::{Group, Liveness, Port, Resources};

use super::answers::Answers;
use super::demands::{Against, Demands};
use super::explain::holder_of;
use super::precedence::Precedence;
use super::room::Room;
use super::spread::Spreads;
use crate::core::state::{Alloc, Class, Fit, Fleet, JobRecord, Load, Need, Row, Seat, State, VersionRecord};

/// What one allocation of a group asks of a node.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) job: Arc<JobKey>,
    pub(super) group: String,
    pub(super) need: Need,
    pub(super) static_ports: Vec<u16>,
    /// Nodes that cannot start it.
    pub(super) avoid: BTreeSet<NodeId>,
    /// Who comes before whom.
    pub(super) precedence: Precedence,
    /// The rules of the job.
    pub(super) demands: Demands,
    version: Arc<VersionRecord>,
}

impl Ask {
    /// Reads what a group of the present version asks.
    pub(super) fn of(state: &State, record: &JobRecord, group: &str, answers: &mut Answers) -> Option<Self> {
        let spec = record.current().job.groups.get(group)?;
        let fixed = |port: &Port| match port {
            Port::Static(number) => Some(*number),
            Port::Dynamic => None,
        };
        let static_ports: Vec<u16> = spec.ports.values().filter_map(fixed).collect();
        let Resources { cpu_millis, memory_bytes } = spec.resources();
        let dynamic_ports = (spec.ports.len() - static_ports.len()) as u32;
        Some(Self {
            job: record.key.clone(),
            group: group.to_owned(),
            need: Need { cpu_millis, memory_bytes, dynamic_ports },
            static_ports,
            avoid: record.group(group).map(|state| state.avoid.clone()).unwrap_or_default(),
            precedence: Precedence::of(record),
            demands: Demands::of(state, spec, others(state, record, group), answers),
            version: record.current().clone(),
        })
    }

    /// Returns whether nothing but room could stand in the way: for most groups, so that no node is looked at twice.
    pub(super) fn asks_for_room_only(&self) -> bool {
        self.static_ports.is_empty() && self.avoid.is_empty() && self.demands.is_nothing()
    }

    /// Returns which kinds of nodes may take it; none where nothing but room is asked, and none is kept.
    pub(super) fn kinds(&self, state: &State, room: &Room<'_>) -> Option<Kinds> {
        let by_node = !self.static_ports.is_empty()
            || !self.avoid.is_empty()
            || !room.keeps_nothing()
            || self.demands.ask_each_node();
        (!self.asks_for_room_only() || !room.keeps_nothing()).then(|| Kinds {
            by_class: self.demands.by_class(state),
            by_node,
            all: self.demands.allow_all_kinds(),
        })
    }

    /// Returns whether a node that has room and takes work takes this.
    pub(super) fn is_welcome(&self, state: &State, class: Class, node: NodeId, room: &Room<'_>) -> bool {
        let is_kept = room.kept_from(node, self).is_some();
        let asks_no_more = self.asks_for_room_only();
        !is_kept
            && (asks_no_more
                || (!self.avoid.contains(&node)
                    && self.demands.against(state, class, node).is_none()
                    && self.held_port(node, room).is_none()))
    }

    /// Returns whether a node takes one more allocation.
    pub(super) fn fits(&self, state: &State, seat: Seat, room: &Room<'_>) -> bool {
        let row = room.fleet.row(seat);
        row.fits(self.need) && self.is_welcome(state, room.fleet.class(seat), row.node, room)
    }

    /// Returns what it is spread over, with the allocations that fill their slots counted.
    pub(super) fn spreads<'a>(&self, state: &State, others: impl Iterator<Item = &'a Alloc>) -> Spreads {
        let group = self.spec();
        Spreads::of(state, &group.placement.spread, group.count, others)
    }

    /// Returns the priority of its job.
    pub(super) fn priority(&self) -> u8 {
        self.version.job.priority
    }

    /// Returns what the group is.
    ///
    /// # Panics
    /// Never: without the group there is no ask.
    pub(super) fn spec(&self) -> &Group {
        &self.version.job.groups[&self.group]
    }

    fn held_port(&self, node: NodeId, room: &Room<'_>) -> Option<u16> {
        self.static_ports.iter().copied().find(|port| room.holds(node, *port))
    }

    /// Returns whether nobody has a port that it needs on a node but what ends.
    pub(super) fn ports_come_free(
        &self,
        state: &State,
        node: NodeId,
        room: &Room<'_>,
        ends: impl Fn(&Alloc) -> bool,
    ) -> bool {
        let Some(record) = state.nodes.get(&node) else { return false };
        let comes_free =
            |port: &u16| !room.has_given(node, *port) && holder_of(state, record, *port).is_some_and(&ends);
        self.static_ports.iter().filter(|port| room.holds(node, **port)).all(comes_free)
    }

    /// Returns the first thing that stands in the way of one more allocation on a node.
    pub(super) fn obstacle(&self, state: &State, seat: Seat, row: &Row, room: &Room<'_>) -> Option<Obstacle> {
        if !row.open {
            let is_down = state.nodes.get(&row.node).is_none_or(|node| node.liveness == Liveness::Down);
            return Some(if is_down { Obstacle::Down } else { Obstacle::Cordoned });
        }
        self.obstacle_once_open(state, seat, row, room)
    }

    /// Returns the same of a node as if it were up and took new work.
    pub(super) fn obstacle_once_open(
        &self,
        state: &State,
        seat: Seat,
        row: &Row,
        room: &Room<'_>,
    ) -> Option<Obstacle> {
        if let Some(against) = self.demands.against(state, room.fleet.class(seat), row.node) {
            return Some(Obstacle::Rule(against));
        }
        if self.avoid.contains(&row.node) {
            return Some(Obstacle::CannotStart);
        }
        if row.places == 0 {
            return Some(Obstacle::Full);
        }
        if row.cpu_millis.free < self.need.cpu_millis {
            return Some(Obstacle::Cpu);
        }
        if row.memory_bytes.free < self.need.memory_bytes {
            return Some(Obstacle::Memory);
        }
        if let Some(port) = self.held_port(row.node, room) {
            return Some(Obstacle::Port(port));
        }
        if row.dynamic_ports < self.need.dynamic_ports {
            return Some(Obstacle::DynamicPorts);
        }
        room.kept_from(row.node, self).map(|_| Obstacle::Kept)
    }
}

/// Returns the allocations of a group that fill their slots.
pub(super) fn others<'s>(
    state: &'s State,
    record: &'s JobRecord,
    group: &'s str,
) -> impl Iterator<Item = &'s Alloc> + Clone {
    let live = record.live.iter().filter_map(|id| state.allocs.get(*id));
    live.filter(move |alloc| !alloc.lost && *alloc.group == *group)
}

/// Which nodes may take something, as far as their kind says it.
pub(super) struct Kinds {
    by_class: Vec<bool>,
    /// Whether those of one kind must be asked one by one.
    by_node: bool,
    /// Whether all kinds may.
    all: bool,
}

impl Kinds {
    /// Returns what is in use of all nodes of these kinds together.
    pub(super) fn load(&self, fleet: &Fleet) -> Load {
        if self.all {
            return fleet.load();
        }
        fleet.load_of(|class| self.by_class.get(class.index()).copied().unwrap_or(false))
    }

    /// Returns whether a node that has room and takes work takes it: the same as [`Ask::is_welcome`], for less.
    pub(super) fn welcome(&self, ask: &Ask, state: &State, fit: &Fit, room: &Room<'_>) -> bool {
        self.by_class.get(fit.class.index()).copied().unwrap_or(false)
            && (!self.by_node || ask.is_welcome(state, fit.class, fit.node, room))
    }
}

/// What stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Obstacle {
    Down,
    Cordoned,
    Rule(Against),
    CannotStart,
    Full,
    Cpu,
    Memory,
    Port(u16),
    DynamicPorts,
    Kept,
}
