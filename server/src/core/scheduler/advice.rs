//! What would help what has no place: a command or a change, chosen by what stands closest in the way.
//!
//! It speaks of what is free and who holds what, which changes all the time. So it is worked out when somebody asks and never
//! stored; what is stored is the cause (`explain.rs`), which is said once.

use std::collections::BTreeSet;

use proto::ids::NodeId;
use proto::model::DEFAULT_NAMESPACE;
use proto::units::{show_cpu, show_size};

use super::answers::Answers;
use super::demands::Against;
use super::dependencies::is_held;
use super::explain::holder_of;
use super::feasible::{Ask, Obstacle, others};
use super::room::Room;
use crate::core::state::{JobRecord, NodeRecord, Row, State};

/// Work that has no place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// How many allocations.
    pub count: u32,
    /// Why, per cause with counts of nodes; the same as long as the causes are.
    pub why: String,
    /// What would help now, or empty.
    pub advice: String,
}

/// Says what would help one more allocation of a group find a place; empty where nothing is known to stand in its way, and where
/// it waits for other work.
///
/// Cost: one look at every node.
#[must_use]
pub fn advice(state: &State, record: &JobRecord, group: &str) -> String {
    if is_held(state, record, group) {
        return String::new();
    }
    let Some(ask) = Ask::of(state, record, group, &mut Answers::default()) else { return String::new() };
    let room = Room::of(state);
    Advisor::of(state, record, &ask, &room).advice()
}

/// What is known of the nodes that cannot take it. Of each obstacle the node of the lowest id, or the closest to fit, is named.
struct Advisor<'a> {
    state: &'a State,
    record: &'a JobRecord,
    ask: &'a Ask,
    port: Option<(u16, NodeId)>,
    /// Cordoned, and nothing else stands in the way.
    cordoned: Option<NodeId>,
    /// Lacks room and nothing else: how much of what is asked, in thousandths, and where.
    closest: Option<(u64, Row)>,
    /// Of those the one with most in all of what is lacking.
    largest: Option<Row>,
    rules: BTreeSet<Against>,
    cannot_start: bool,
    full: bool,
    no_dynamic_ports: bool,
    /// Down, and nothing else stands in the way; and down whatever else does.
    down: (Option<NodeId>, Option<NodeId>),
}

impl<'a> Advisor<'a> {
    fn of(state: &'a State, record: &'a JobRecord, ask: &'a Ask, room: &Room<'_>) -> Self {
        let mut advisor = Self {
            state,
            record,
            ask,
            port: None,
            cordoned: None,
            closest: None,
            largest: None,
            rules: BTreeSet::new(),
            cannot_start: false,
            full: false,
            no_dynamic_ports: false,
            down: (None, None),
        };
        for (seat, row) in room.fleet.all() {
            let Some(obstacle) = ask.obstacle(state, seat, &row, room) else { continue };
            let beyond = ask.obstacle_once_open(state, seat, &row, room);
            advisor.note(obstacle, beyond.is_none(), &row);
        }
        advisor
    }

    fn note(&mut self, obstacle: Obstacle, alone: bool, row: &Row) {
        let least = |known: Option<NodeId>| Some(known.map_or(row.node, |known| known.min(row.node)));
        match obstacle {
            Obstacle::Down if alone => self.down.0 = least(self.down.0),
            Obstacle::Down => self.down.1 = least(self.down.1),
            Obstacle::Cordoned if alone => self.cordoned = least(self.cordoned),
            Obstacle::Cordoned => {}
            Obstacle::Rule(rule) => drop(self.rules.insert(rule)),
            Obstacle::CannotStart => self.cannot_start = true,
            Obstacle::Full => self.full = true,
            Obstacle::Cpu | Obstacle::Memory => self.note_room(row),
            Obstacle::Port(port) => {
                let node = least(self.port.map(|(_, node)| node));
                self.port = node.map(|node| (port, node));
            }
            Obstacle::DynamicPorts => self.no_dynamic_ports = true,
            // It passes by itself.
            Obstacle::Kept => {}
        }
    }

    fn note_room(&mut self, row: &Row) {
        let need = self.ask.need;
        let lacks = |need: u64, free: u64| need.saturating_sub(free).saturating_mul(1000) / need.max(1);
        let lack =
            lacks(need.cpu_millis, row.cpu_millis.free) + lacks(need.memory_bytes, row.memory_bytes.free);
        if self.closest.as_ref().is_none_or(|(least, known)| (lack, row.node) < (*least, known.node)) {
            self.closest = Some((lack, *row));
        }
        let size = |row: &Row| {
            (
                lacks(need.cpu_millis, row.cpu_millis.all) + lacks(need.memory_bytes, row.memory_bytes.all),
                row.node,
            )
        };
        if self.largest.as_ref().is_none_or(|known| size(row) < size(known)) {
            self.largest = Some(*row);
        }
    }

    /// The closest comes first: what one command mends, then what needs room, then what needs other nodes or another job.
    fn advice(&self) -> String {
        if self.state.nodes.is_empty() {
            return "`minijob agent` on a machine makes it a node".to_owned();
        }
        let closest = self.of_port().or_else(|| self.of_cordoned()).or_else(|| self.of_room());
        closest.or_else(|| self.of_the_rest()).unwrap_or_default()
    }

    fn of_port(&self) -> Option<String> {
        let (port, node) = self.port?;
        let node = self.state.nodes.get(&node)?;
        let name = &node.identity.name;
        Some(match holder_of(self.state, node, port) {
            Some(holder) if holder.job == self.record.key => {
                let fewer = self.fewer().map(|fewer| format!("; {fewer}")).unwrap_or_default();
                format!(
                    "a number under `ports` is taken once per node: without the number each gets a port of its own{fewer}"
                )
            }
            Some(holder) => {
                format!("`minijob stop {}` frees port {port} on {name}, or ask for another port", holder.job)
            }
            None => format!(
                "ask for another port than {port}; `minijob node status {name}` shows what runs there"
            ),
        })
    }

    fn of_cordoned(&self) -> Option<String> {
        let name = self.name_of(self.cordoned?)?;
        Some(format!("{name} would fit: `minijob node uncordon {name}`"))
    }

    fn of_room(&self) -> Option<String> {
        let ((_, closest), largest) = (self.closest.as_ref()?, self.largest.as_ref()?);
        let need = self.ask.need;
        if need.cpu_millis > largest.cpu_millis.all || need.memory_bytes > largest.memory_bytes.all {
            let has = of_what(
                need.cpu_millis > largest.cpu_millis.all,
                need.memory_bytes > largest.memory_bytes.all,
                largest.cpu_millis.all,
                largest.memory_bytes.all,
            );
            let name = self.name_of(largest.node)?;
            return Some(format!(
                "no node is large enough: {name} has {has} in all; ask for less under `resources`, or add a larger node"
            ));
        }
        let name = self.name_of(closest.node)?;
        let free = of_what(
            need.cpu_millis > closest.cpu_millis.free,
            need.memory_bytes > closest.memory_bytes.free,
            closest.cpu_millis.free,
            closest.memory_bytes.free,
        );
        let fewer = self.fewer().map(|fewer| format!(", {fewer}")).unwrap_or_default();
        Some(format!(
            "{name} is closest with {free} free: `minijob node status {name}` shows what takes the rest; ask for less under `resources`, add a node{fewer}"
        ))
    }

    fn of_the_rest(&self) -> Option<String> {
        let job = &self.record.key;
        if self.cannot_start {
            return Some(format!("mend the cause, then `minijob restart {job}`"));
        }
        if let Some(node) = self.down.0 {
            return self.of_down(node);
        }
        if let Some(rule) = self.rules.first() {
            return Some(self.of_rule(*rule));
        }
        if self.full || self.no_dynamic_ports {
            return Some("add a node: `minijob node status` lists what there is".to_owned());
        }
        self.of_down(self.down.1?)
    }

    fn of_down(&self, node: NodeId) -> Option<String> {
        let name = self.name_of(node)?;
        Some(format!(
            "start the agent of {name} again; `minijob node status {name}` shows since when it is silent"
        ))
    }

    fn of_rule(&self, rule: Against) -> String {
        match rule {
            Against::Pin => {
                let pin = self.ask.spec().placement.node.as_deref().unwrap_or_default();
                format!(
                    "`minijob node status {pin}` shows that node, `minijob node status` all that there are"
                )
            }
            Against::NoVolume => {
                let names: Vec<&str> = self.ask.spec().declared_volumes().collect();
                format!(
                    "declare it in agent.yml of a node, then reload its agent: `volumes: {{{}: DIR}}`",
                    names.join(": DIR, ")
                )
            }
            Against::Constraint(_) => {
                let facts = "`minijob node status NODE` shows the facts of a node";
                let constraints = &self.ask.spec().placement.constraints;
                // Where there is one, the cause has its count.
                if constraints.len() < 2 {
                    return facts.to_owned();
                }
                let nodes = self.state.nodes.len();
                let each = constraints.iter().zip(self.ask.demands.passes(self.state));
                let counts: Vec<String> =
                    each.map(|(text, count)| format!("`{text}` holds on {count} of {nodes} nodes")).collect();
                format!("{}; {facts}", counts.join(", "))
            }
            Against::NoValue | Against::SameValue => match self.fewer() {
                Some(fewer) => format!("add a node with another value, {fewer}"),
                None => "add a node with another value".to_owned(),
            },
        }
    }

    /// `or settle for what runs: minijob scale web 2`.
    fn fewer(&self) -> Option<String> {
        let there =
            others(self.state, self.record, &self.ask.group).filter(|alloc| alloc.is_active()).count();
        let job = &self.record.current().job;
        let key = &self.record.key;
        let alone = job.groups.len() == 1 && key.namespace == DEFAULT_NAMESPACE;
        let target = if alone { key.to_string() } else { format!("{key}/{}", self.ask.group) };
        // What runs once per node has no count.
        let counts = !self.ask.spec().kind.is_per_node();
        (there > 0 && counts)
            .then(|| format!("or settle for what there is: `minijob scale {target} {there}`"))
    }

    fn name_of(&self, id: NodeId) -> Option<&str> {
        self.state.nodes.get(&id).map(|node: &std::sync::Arc<NodeRecord>| node.identity.name.as_str())
    }
}

/// `300MiB of memory`, `500m of cpu`, or both.
fn of_what(cpu: bool, memory: bool, cpu_millis: u64, memory_bytes: u64) -> String {
    let cpu = cpu.then(|| format!("{} of cpu", show_cpu(u32::try_from(cpu_millis).unwrap_or(u32::MAX))));
    // A machine's memory is no round number.
    let memory = memory.then(|| format!("{} of memory", show_size(memory_bytes >> 20 << 20)));
    cpu.into_iter().chain(memory).collect::<Vec<_>>().join(" and ")
}
