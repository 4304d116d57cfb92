//! What to do about what servers want of this node.
//!
//! Absence is never a stop: only an explicit order from a state that is not older than the newest this agent has seen ends
//! anything. A whole message from an older state is left out, its starts as well: what it wants started may have been
//! stopped, replaced and forgotten since.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proto::ids::{AllocId, Incarnation, Revision};
use proto::wire::{BadMessage, v1};

use super::spec::{self, Spec};

/// A place in the history of a cluster's state. Only positions of one incarnation compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Which life of the cluster's state.
    pub incarnation: Incarnation,
    /// When its leader began to lead.
    pub reign: Revision,
    /// Its newest change.
    pub revision: Revision,
}

impl Position {
    /// Returns whether this is of the same life as `other` and not older.
    #[must_use]
    pub fn is_not_older_than(self, other: Self) -> bool {
        self.incarnation == other.incarnation && (self.reign, self.revision) >= (other.reign, other.revision)
    }
}

/// Servers that this agent does not belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "these servers are cluster {theirs}, this agent belongs to {ours} and was not told that one became the other"
)]
pub struct Foreign {
    /// The incarnation of the servers.
    pub theirs: Incarnation,
    /// The incarnation that this agent knows.
    pub ours: Incarnation,
}

/// Decides whether to follow servers that answered a registration, and from which position on.
///
/// # Errors
/// [`Foreign`] when they are another life of the state than the one known, and do not name that as the one before.
pub fn greet(
    newest: Option<Position>,
    theirs: Position,
    previous: Option<Incarnation>,
) -> Result<Position, Foreign> {
    match newest {
        None => Ok(theirs),
        Some(ours) if theirs.is_not_older_than(ours) => Ok(theirs),
        Some(ours) if theirs.incarnation == ours.incarnation => Ok(ours),
        Some(ours) if previous == Some(ours.incarnation) => Ok(theirs),
        Some(ours) => Err(Foreign { theirs: theirs.incarnation, ours: ours.incarnation }),
    }
}

/// What servers want of one allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// It should run.
    Run(Box<Spec>),
    /// It should end.
    Stop,
    /// This version cannot read it.
    Unreadable(BadMessage),
}

/// One message with assignments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The state it was made from.
    pub position: Position,
    /// The set it builds on; none: it is complete.
    pub base: Option<Revision>,
    /// Whether it is one part of a complete set and more of them follow.
    pub more: bool,
    /// Orders by allocation.
    pub orders: BTreeMap<AllocId, Order>,
    /// Ended allocations that servers know the end of.
    pub released: BTreeSet<AllocId>,
}

/// What the agent has of one allocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What it runs.
    pub spec: Arc<Spec>,
    /// Whether it has ended.
    pub has_ended: bool,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Begin it.
    Start(AllocId, Box<Spec>),
    /// Take over what may change while it runs.
    Update(AllocId, Box<Spec>),
    /// End it.
    Stop(AllocId),
    /// Its end is known: keep its logs for a while, then remove it.
    Release(AllocId),
    /// Report it as stopped: it is not here, and servers wait for its end.
    ReportAbsent(AllocId),
    /// Report it as failed: this version of the agent cannot read what to run.
    ReportUnreadable(AllocId, BadMessage),
    /// Say in the log that servers use the number of something else; it goes on as it is.
    KeepConflicting(AllocId),
}

impl Wanted {
    /// Returns whether the agent knows, with this message, everything that is wanted of it: from then on it may start things also
    /// after a reboot.
    #[must_use]
    pub const fn completes(&self) -> bool {
        self.base.is_none() && !self.more
    }
}

/// The outcome of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Do these, remember the position as the newest, and its revision as the set held.
    Follow(Vec<Action>),
    /// It was applied before.
    Duplicate,
    /// It builds on another set, or is from an older state: ask for a complete set.
    AskComplete,
    /// It is of another life of the state than the one that was greeted.
    Ignore,
}

/// Decides what a message means for what the agent holds.
///
/// `newest` is the newest position seen and survives restarts; `base` is the revision of the last message of this session
/// that was followed, none before the first.
#[must_use]
pub fn decide(
    newest: Position,
    base: Option<Revision>,
    held: &BTreeMap<AllocId, Held>,
    wanted: Wanted,
) -> Decision {
    if wanted.position.incarnation != newest.incarnation {
        return Decision::Ignore;
    }
    if let Some(builds_on) = wanted.base {
        if base.is_some_and(|base| wanted.position.revision <= base) {
            return Decision::Duplicate;
        }
        if base != Some(builds_on) {
            return Decision::AskComplete;
        }
    }
    if !wanted.position.is_not_older_than(newest) {
        return Decision::AskComplete;
    }
    let mut actions: Vec<Action> = wanted
        .orders
        .into_iter()
        .filter_map(|(id, order)| follow(id, order, held.get(&id), wanted.released.contains(&id)))
        .collect();
    let may_forget = |id: &&AllocId| held.get(*id).is_some_and(|held| held.has_ended);
    actions.extend(wanted.released.iter().filter(may_forget).map(|id| Action::Release(*id)));
    Decision::Follow(actions)
}

fn follow(id: AllocId, order: Order, held: Option<&Held>, is_released: bool) -> Option<Action> {
    match (order, held) {
        // Known to have ended: an order that crossed the report of the end means nothing any more.
        (_, None) if is_released => None,
        (Order::Run(spec), None) => Some(Action::Start(id, spec)),
        (Order::Run(spec), Some(held)) if !held.spec.same_slot(&spec) => Some(Action::KeepConflicting(id)),
        (Order::Run(spec), Some(held)) => {
            (!held.has_ended && *held.spec != *spec).then_some(Action::Update(id, spec))
        }
        (Order::Stop, None) => Some(Action::ReportAbsent(id)),
        (Order::Stop, Some(held)) => (!held.has_ended).then_some(Action::Stop(id)),
        (Order::Unreadable(fault), None) => Some(Action::ReportUnreadable(id, fault)),
        (Order::Unreadable(_), Some(_)) => None,
    }
}

/// Reads a complete set.
///
/// # Errors
/// [`BadMessage`] when it has no position; an assignment that cannot be read is [`Order::Unreadable`] and costs only itself.
pub fn complete_from_wire(set: v1::CompleteSet) -> Result<Wanted, BadMessage> {
    let more = set.more;
    let whole = wanted(set.position, None, set.assignments, set.released)?;
    Ok(Wanted { more, ..whole })
}

/// Reads an increment, see [`complete_from_wire`].
///
/// # Errors
/// [`BadMessage`] when it has no position.
pub fn increment_from_wire(increment: v1::Increment) -> Result<Wanted, BadMessage> {
    let base = Some(Revision(increment.base));
    wanted(increment.position, base, increment.assignments, increment.released)
}

fn wanted(
    position: Option<v1::Position>,
    base: Option<Revision>,
    assignments: Vec<v1::Assignment>,
    released: Vec<u64>,
) -> Result<Wanted, BadMessage> {
    let order = |assignment: v1::Assignment| match (v1::Order::try_from(assignment.order), assignment.spec) {
        (Ok(v1::Order::Stop), _) => Order::Stop,
        (Ok(v1::Order::Run), Some(spec)) => match spec::from_wire(spec) {
            Ok(spec) => Order::Run(Box::new(spec)),
            Err(fault) => Order::Unreadable(fault),
        },
        (Ok(v1::Order::Run), None) => Order::Unreadable(BadMessage { field: "spec" }),
        _ => Order::Unreadable(BadMessage { field: "order" }),
    };
    Ok(Wanted {
        position: position_from_wire(position)?,
        base,
        more: false,
        orders: assignments.into_iter().map(|one| (AllocId(one.alloc_id), order(one))).collect(),
        released: released.into_iter().map(AllocId).collect(),
    })
}

/// Reads a position.
///
/// # Errors
/// [`BadMessage`] when there is none, or it is of no cluster.
pub fn position_from_wire(position: Option<v1::Position>) -> Result<Position, BadMessage> {
    let position = position.filter(|at| at.incarnation != 0).ok_or(BadMessage { field: "position" })?;
    Ok(Position {
        incarnation: Incarnation(position.incarnation),
        reign: Revision(position.reign),
        revision: Revision(position.revision),
    })
}

/// Writes a position.
#[must_use]
pub fn position_to_wire(position: Position) -> v1::Position {
    v1::Position {
        incarnation: position.incarnation.0,
        reign: position.reign.0,
        revision: position.revision.0,
    }
}

#[cfg(test)]
mod tests;
