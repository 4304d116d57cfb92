//! A node is emptied: begun and cancelled by people, advanced by the leader's rule when something is due.

use std::time::Duration;

use proto::ids::{AllocId, NodeId};
use proto::model::{Eligibility, EventKind, Severity, StopReason, Subject};
use proto::units::show_duration;

use super::wards::no_node;
use crate::core::state::events::Fact;
use crate::core::state::{Changes, Drain, DrainStep, Due, Outcome, PlanStop, State};

impl State {
    /// Takes a step of a node's drain. What is so already changes nothing.
    pub(super) fn drain_node(
        &mut self,
        id: NodeId,
        step: DrainStep,
        actor: &str,
        changes: &mut Changes,
    ) -> Outcome {
        if self.nodes.get(&id).is_none() {
            return Outcome::Refused(no_node(id));
        }
        let changed = match step {
            DrainStep::Begin { deadline, message } => self.begin_drain(id, deadline, message, actor, changes),
            DrainStep::Cancel => self.cancel_drain(id, actor, changes),
            DrainStep::Advance => self.advance_drain(id, changes),
        };
        self.written_node(changed)
    }

    /// Begins a drain; of one that is under way the deadline changes, and counts from now.
    fn begin_drain(
        &mut self,
        id: NodeId,
        deadline: Option<Duration>,
        message: String,
        actor: &str,
        changes: &mut Changes,
    ) -> bool {
        let now = self.now;
        let Some(mut node) = self.nodes.get_mut(&id) else { return false };
        let until = deadline.map(|length| now.plus(length));
        let before = node.drain.take();
        let is_over = before.as_ref().is_some_and(|drain| drain.complete.is_some());
        if is_over || before.as_ref().is_some_and(|drain| drain.deadline == until) {
            node.drain = before;
            return false;
        }
        let by = deadline.map_or_else(
            || "with no deadline".to_owned(),
            |length| match length.is_zero() {
                true => "at once".to_owned(),
                false => format!("within {}", show_duration(length)),
            },
        );
        let said = match message.is_empty() {
            true => String::new(),
            false => format!(": {message}"),
        };
        let name = node.identity.name.clone();
        let said = match &before {
            None => format!("node {name} is drained by {actor}, {by}{said}"),
            Some(_) => format!("the deadline of node {name}'s drain was changed by {actor}: {by}{said}"),
        };
        let was_cordoned =
            before.as_ref().map_or(node.eligibility == Eligibility::Cordoned, |drain| drain.was_cordoned);
        let until_return = before.as_ref().is_some_and(|drain| drain.until_return);
        node.eligibility = Eligibility::Cordoned;
        node.drain = Some(Drain {
            begun: before.as_ref().map_or(now, |drain| drain.begun),
            deadline: until,
            actor: actor.to_owned(),
            message: before.map(|drain| drain.message).filter(|_| message.is_empty()).unwrap_or(message),
            was_cordoned,
            until_return,
            complete: None,
            overdue: false,
        });
        drop(node);
        self.mark_jobs_of(id, changes);
        self.mark_per_node(changes);
        self.record(changes, Fact::info(EventKind::NodeDrainBegun, Subject::node(id), said));
        true
    }

    /// An agent that ends has its node drained first; one that is back takes work again. What a person drains is theirs to end.
    pub(super) fn heed_leaving(&mut self, id: NodeId, changes: &mut Changes) {
        let Some(node) = self.nodes.get(&id) else { return };
        let actor = format!("its agent on {}", node.identity.name);
        let until_return = node.drain.as_ref().map(|drain| drain.until_return);
        match (node.identity.leaving, until_return) {
            (Some(within), None) => {
                self.begin_drain(id, Some(within), "the agent ends".to_owned(), &actor, changes);
                if let Some(drain) = self.nodes.get_mut(&id).as_mut().and_then(|node| node.drain.as_mut()) {
                    drain.until_return = true;
                }
            }
            (None, Some(true)) => {
                self.cancel_drain(id, &actor, changes);
            }
            _ => {}
        }
    }

    /// Ends a drain: what has not moved stays, and the node is what it was before.
    fn cancel_drain(&mut self, id: NodeId, actor: &str, changes: &mut Changes) -> bool {
        let Some(mut node) = self.nodes.get_mut(&id) else { return false };
        let Some(drain) = node.drain.take() else { return false };
        if !drain.was_cordoned {
            node.eligibility = Eligibility::Eligible;
        }
        let name = node.identity.name.clone();
        drop(node);
        self.forget_tries(id);
        self.mark_jobs_of(id, changes);
        self.gain_node(id, changes);
        let said = format!("the drain of node {name} was cancelled by {actor}");
        self.record(changes, Fact::info(EventKind::NodeDrainCancelled, Subject::node(id), said));
        true
    }

    /// What stays has not failed because its replacements did.
    fn forget_tries(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get(&id) else { return };
        let here: Vec<AllocId> = node.allocs.iter().copied().collect();
        for alloc in here.into_iter().filter_map(|id| self.allocs.get(id)) {
            let Some(record) = self.jobs.get_mut(alloc.job.as_ref()) else { continue };
            if record.filler_of(&alloc.group, alloc.index) == Some(alloc.id)
                && let Some(group) = record.groups.get_mut(alloc.group.as_ref())
            {
                group.failed.remove(&alloc.index);
            }
        }
    }

    /// Does what is due. The leader looked at an earlier state and perhaps another time: what is due is looked up again.
    fn advance_drain(&mut self, id: NodeId, changes: &mut Changes) -> bool {
        match self.drain_due(id, self.now) {
            Due::Later(_) => false,
            Due::Stop { allocs, overdue } => {
                if overdue {
                    self.tell_overdue(id, allocs.len(), changes);
                }
                for alloc in allocs {
                    self.order_stop(&PlanStop { alloc, reason: StopReason::Drained }, changes);
                }
                true
            }
            Due::Complete => {
                let now = self.now;
                let Some(mut node) = self.nodes.get_mut(&id) else { return false };
                let said = format!("node {} is drained: nothing is left on it", node.identity.name);
                if let Some(drain) = node.drain.as_mut() {
                    drain.complete = Some(now);
                }
                drop(node);
                self.record(changes, Fact::info(EventKind::NodeDrained, Subject::node(id), said));
                true
            }
        }
    }

    fn tell_overdue(&mut self, id: NodeId, left: usize, changes: &mut Changes) {
        let Some(mut node) = self.nodes.get_mut(&id) else { return };
        let name = node.identity.name.clone();
        let Some(drain) = node.drain.as_mut().filter(|drain| !drain.overdue) else { return };
        drain.overdue = true;
        // Who wants it at once is told nothing new by that.
        let at_once = drain.deadline == Some(drain.begun);
        drop(node);
        let these = if left == 1 { "1 allocation is".to_owned() } else { format!("{left} allocations are") };
        let said = format!("the deadline of node {name}'s drain has passed: {these} told to end");
        let severity = if at_once { Severity::Info } else { Severity::Warning };
        let fact = Fact::info(EventKind::NodeDrainDeadline, Subject::node(id), said);
        self.record(changes, fact.severity(severity));
    }

    /// The jobs of what is on a node are looked at again.
    fn mark_jobs_of(&self, id: NodeId, changes: &mut Changes) {
        let Some(node) = self.nodes.get(&id) else { return };
        let live =
            node.allocs.iter().filter_map(|id| self.allocs.get(*id)).filter(|alloc| !alloc.has_ended());
        changes.jobs.extend(live.map(|alloc| alloc.job.as_ref().clone()));
    }
}
