//! What a group asks of nodes beside room: its rules, answered for every kind of nodes before any node is looked at.

use std::collections::BTreeSet;
use std::sync::Arc;

use proto::expr::{Expr, Facts, Path};
use proto::ids::NodeId;
use proto::model::Group;

use super::answers::Answers;
use crate::core::state::{Alloc, Class, State};

/// The rules of a group.
#[derive(Clone, Debug, Default)]
pub(super) struct Demands {
    /// The only node, by its name or id.
    pin: Option<String>,
    /// Volumes that agents declare.
    volumes: BTreeSet<String>,
    constraints: Vec<Rule>,
    affinities: Vec<(Rule, i64)>,
    /// The fact of which no two may have the same value, and the values that are taken.
    distinct: Option<(Path, BTreeSet<String>)>,
}

/// An expression with its answers.
#[derive(Clone, Debug)]
struct Rule {
    expr: Option<Arc<Expr>>,
    by_class: Arc<Vec<bool>>,
}

/// What stands against a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Against {
    /// Another node is asked for.
    Pin,
    /// It does not declare a volume that is asked for.
    NoVolume,
    /// The constraint of that number does not hold.
    Constraint(usize),
    /// It does not have the fact that must be distinct.
    NoValue,
    /// Another allocation of the group has the same value.
    SameValue,
}

impl Rule {
    fn of(text: &str, state: &State, answers: &mut Answers) -> Self {
        let (expr, by_class) = answers.of(text, state.nodes.classes());
        Self { expr, by_class }
    }

    fn is_of_one_node(&self) -> bool {
        self.expr.as_ref().is_some_and(|expr| expr.is_of_one_node())
    }

    fn holds(&self, state: &State, class: Class, node: NodeId) -> bool {
        match &self.expr {
            Some(expr) if expr.is_of_one_node() => {
                state.nodes.get(&node).is_some_and(|node| expr.holds(&Facts::of(&node.identity)))
            }
            _ => self.by_class.get(class.index()).copied().unwrap_or(false),
        }
    }
}

impl Demands {
    /// Reads the rules. `others` are the allocations of the group that fill their slots.
    pub(super) fn of<'a>(
        state: &State,
        group: &Group,
        others: impl Iterator<Item = &'a Alloc>,
        answers: &mut Answers,
    ) -> Self {
        let placement = &group.placement;
        let distinct = placement.distinct.as_ref().and_then(|text| text.parse::<Path>().ok());
        let mut demands = Self {
            pin: placement.node.clone(),
            volumes: group.declared_volumes().map(str::to_owned).collect(),
            constraints: placement.constraints.iter().map(|text| Rule::of(text, state, answers)).collect(),
            affinities: placement
                .affinities
                .iter()
                .map(|one| (Rule::of(&one.when, state, answers), i64::from(one.weight)))
                .collect(),
            distinct: distinct.map(|path| (path, BTreeSet::new())),
        };
        if demands.distinct.is_some() {
            others.for_each(|alloc| demands.note_taken(state, alloc.node));
        }
        demands
    }

    /// Returns whether there is nothing that could stand against a node.
    pub(super) fn is_nothing(&self) -> bool {
        self.pin.is_none()
            && self.volumes.is_empty()
            && self.constraints.is_empty()
            && self.distinct.is_none()
    }

    /// Returns whether one placement may rule others out.
    pub(super) fn is_exclusive(&self) -> bool {
        self.distinct.is_some()
    }

    /// Returns what the rules say of each kind of nodes, by the number of the kind: whether nothing that all its nodes share stands
    /// against them.
    pub(super) fn by_class(&self, state: &State) -> Vec<bool> {
        let classes = state.nodes.classes();
        let mut answers = vec![false; classes.numbers()];
        for (class, facts) in classes.iter() {
            let shared = |rule: &&Rule| !rule.is_of_one_node();
            let holds = |rule: &Rule| rule.by_class.get(class.index()).copied().unwrap_or(false);
            answers[class.index()] = self.volumes.iter().all(|name| facts.has_volume(name))
                && self.constraints.iter().filter(shared).all(holds);
        }
        answers
    }

    /// Returns whether no kind of nodes is ruled out as a whole.
    pub(super) fn allow_all_kinds(&self) -> bool {
        self.volumes.is_empty() && self.constraints.iter().all(Rule::is_of_one_node)
    }

    /// Returns whether nodes of one kind may differ.
    pub(super) fn ask_each_node(&self) -> bool {
        self.pin.is_some() || self.distinct.is_some() || self.constraints.iter().any(Rule::is_of_one_node)
    }

    /// Returns whether some nodes are liked more than others.
    pub(super) fn has_likings(&self) -> bool {
        !self.affinities.is_empty()
    }

    /// Returns what stands against a node.
    pub(super) fn against(&self, state: &State, class: Class, node: NodeId) -> Option<Against> {
        if let Some(pin) = &self.pin
            && !state
                .nodes
                .get(&node)
                .is_some_and(|record| record.identity.name == *pin || pin.parse() == Ok(record.identity.id))
        {
            return Some(Against::Pin);
        }
        let facts = state.nodes.classes().facts(class);
        if self.volumes.iter().any(|name| !facts.is_some_and(|facts| facts.has_volume(name))) {
            return Some(Against::NoVolume);
        }
        if let Some(failed) = self.constraints.iter().position(|rule| !rule.holds(state, class, node)) {
            return Some(Against::Constraint(failed));
        }
        let (path, taken) = self.distinct.as_ref()?;
        match value(state, path, class, node) {
            None => Some(Against::NoValue),
            Some(value) => taken.contains(&value).then_some(Against::SameValue),
        }
    }

    /// Returns on how many nodes each constraint holds, in their order.
    pub(super) fn passes(&self, state: &State) -> Vec<usize> {
        let fleet = state.nodes.fleet();
        let holds = |rule: &Rule| {
            fleet.all().filter(|(seat, row)| rule.holds(state, fleet.class(*seat), row.node)).count()
        };
        self.constraints.iter().map(holds).collect()
    }

    /// Returns how much a node is liked: the weights of the affinities that hold there.
    pub(super) fn liking(&self, state: &State, class: Class, node: NodeId) -> i64 {
        let held = self.affinities.iter().filter(|(rule, _)| rule.holds(state, class, node));
        held.map(|(_, weight)| weight).sum()
    }

    /// Notes that an allocation of the group is on a node.
    pub(super) fn note_taken(&mut self, state: &State, node: NodeId) {
        let Some((path, taken)) = &mut self.distinct else { return };
        let fleet = state.nodes.fleet();
        if let Some(value) = fleet.seat(node).and_then(|seat| value(state, path, fleet.class(seat), node)) {
            taken.insert(value);
        }
    }
}

/// Returns the value of a fact on a node.
pub(super) fn value(state: &State, path: &Path, class: Class, node: NodeId) -> Option<String> {
    if path.is_of_one_node() {
        return state.nodes.get(&node).and_then(|node| Facts::of(&node.identity).value(path));
    }
    state.nodes.classes().facts(class)?.value(path)
}
