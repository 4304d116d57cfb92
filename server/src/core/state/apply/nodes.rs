//! Nodes register, are lost, come back.

use std::sync::Arc;

use proto::error::Kind as ErrorKind;
use proto::ids::{AllocId, Generation, Incarnation, NodeId, Revision};
use proto::model::{
    AllocState, AllocStatus, Desired, Eligibility, EventKind, Liveness, NodeIdentity, Resources, Severity,
    StopReason, Subject,
};

use super::plans::subject_of;
use crate::core::state::events::Fact;
use crate::core::state::{Changes, LivenessChange, NodeRecord, Outcome, Refusal, State};
use crate::limits::DYNAMIC_PORT_FIRST;

/// What an agent has, as it says when it registers.
type Held = (Incarnation, AllocStatus, Resources);

impl State {
    /// Begins a session of a node. What the agent has comes with it, so that its room is known before anything is placed.
    pub(super) fn register_node(
        &mut self,
        identity: NodeIdentity,
        held: Vec<Held>,
        seen: Option<Revision>,
        changes: &mut Changes,
    ) -> Outcome {
        if let Some(refusal) = self.was_overtaken(&identity, seen).or_else(|| self.not_that_node(&identity)) {
            return Outcome::Refused(refusal);
        }
        let id = identity.id;
        let generation = self.open_session(identity, changes);
        let mut known = Vec::new();
        for (incarnation, status, resources) in held {
            let ours = self.knows_incarnation(incarnation)
                && self.allocs.get(status.id).is_some_and(|alloc| alloc.node == id);
            if ours {
                known.push(status.id);
                self.find(status.id, changes);
                self.observe(id, generation, status, changes);
            } else if !status.state.has_ended() {
                self.note_foreign(id, status.id, resources, changes);
            }
        }
        self.miss(id, &known, changes);
        if let Some(mut record) = self.nodes.get_mut(&id) {
            (record.brought, record.registered) = (record.used, self.revision);
        }
        self.heed_leaving(id, changes);
        changes.nodes.node(id);
        self.gain_node(id, changes);
        Outcome::Registered { generation }
    }

    fn knows_incarnation(&self, incarnation: Incarnation) -> bool {
        self.incarnation == Some(incarnation) || self.descends_from(incarnation)
    }

    /// A registration that was long on its way tells of the past: what it does not name may run by now.
    fn was_overtaken(&self, identity: &NodeIdentity, seen: Option<Revision>) -> Option<Refusal> {
        let record = self.nodes.get(&identity.id)?;
        (seen? < record.registered).then(|| {
            let message = format!("node {} has registered again since", identity.name);
            Refusal::new(ErrorKind::Conflict, message)
        })
    }

    fn not_that_node(&self, identity: &NodeIdentity) -> Option<Refusal> {
        let record = self.nodes.get(&identity.id);
        if record.is_some_and(|record| record.identity.machine_id != identity.machine_id) {
            let message = format!(
                "node id {} belongs to another machine: is this a cloned VM? Stop the agent, delete `node_id` in its data directory and start it again",
                identity.id
            );
            return Some(Refusal::new(ErrorKind::Conflict, message));
        }
        let another =
            |other: &&Arc<NodeRecord>| other.identity.id != identity.id && other.liveness == Liveness::Up;
        let taken = self.nodes.named(&identity.name).find(another);
        taken.map(|other| {
            let message = format!(
                "the name `{}` is taken by the live node {}: start this agent with another --name",
                identity.name, other.identity.id
            );
            Refusal::new(ErrorKind::Conflict, message)
        })
    }

    fn open_session(&mut self, identity: NodeIdentity, changes: &mut Changes) -> Generation {
        let (id, now) = (identity.id, self.now);
        let name = identity.name.clone();
        let before = self.nodes.get(&id).map(|record| (record.liveness, record.generation));
        let record = match self.nodes.get(&id) {
            Some(record) => NodeRecord { identity: Arc::new(identity), ..record.as_ref().clone() },
            None => new_node(identity, now),
        };
        self.nodes.insert(id, record);
        if let Some(mut record) = self.nodes.get_mut(&id) {
            if record.liveness == Liveness::Down {
                record.since = now;
            }
            record.liveness = Liveness::Up;
            record.generation = record.generation.next();
            let foreign = std::mem::take(&mut record.foreign);
            let taken = foreign.values().fold(Resources::default(), |sum, part| sum.plus(*part));
            record.used = record.used.minus(taken).unwrap_or_default();
        }
        let (kind, said) = match before {
            None => (EventKind::NodeRegistered, format!("node {name} registered")),
            Some((Liveness::Down, _)) => (EventKind::NodeReturned, format!("node {name} is back")),
            Some(_) => (EventKind::NodeReturned, format!("node {name} registered again")),
        };
        self.record(changes, Fact::info(kind, Subject::node(id), said));
        before.map_or(Generation(1), |(_, generation)| generation.next())
    }

    /// The agent has this allocation: it takes room, whatever servers thought, and is no longer lost unless replaced.
    fn find(&mut self, id: AllocId, changes: &mut Changes) {
        let Some(alloc) = self.allocs.get(id).cloned() else { return };
        if alloc.has_ended() {
            return;
        }
        self.take_room(id);
        if !alloc.lost {
            return;
        }
        let replaced = self.is_replaced(&alloc);
        let at = self.at();
        let Some(found) = self.allocs.get_mut(id) else { return };
        found.modified = at;
        changes.jobs.insert(alloc.job.as_ref().clone());
        if replaced {
            if found.desired == Desired::Run {
                found.desired = Desired::Stop(StopReason::NodeLost);
            }
            return;
        }
        (found.lost, found.lost_at) = (false, None);
        self.note_slot(id);
        let said = format!("{} was found running when its node came back", alloc.name());
        self.record(changes, Fact::info(EventKind::AllocFound, subject_of(&alloc), said));
    }

    fn is_replaced(&self, lost: &crate::core::state::Alloc) -> bool {
        let Some(record) = self.jobs.get(lost.job.as_ref()) else { return true };
        let done = record.group(&lost.group).is_some_and(|group| group.done.contains(&lost.index));
        done || record.filled.get(&lost.group).is_some_and(|slots| slots.contains_key(&lost.index))
    }

    fn note_foreign(&mut self, node: NodeId, id: AllocId, resources: Resources, changes: &mut Changes) {
        if let Some(mut record) = self.nodes.get_mut(&node) {
            // Named twice, as of two clusters, it takes its room once.
            let before = record.foreign.insert(id, resources).unwrap_or_default();
            record.used = record.used.minus(before).unwrap_or_default().plus(resources);
        }
        let said = format!("the agent has allocation {id} that these servers do not know");
        let subject = Subject { alloc: Some(id), ..Subject::node(node) };
        self.record(changes, Fact::info(EventKind::AllocUnknown, subject, said).severity(Severity::Warning));
    }

    /// What the agent does not have and had begun is gone; what it never heard of is still to be sent, unless replaced.
    fn miss(&mut self, node: NodeId, held: &[AllocId], changes: &mut Changes) {
        let Some(record) = self.nodes.get(&node) else { return };
        let missing: Vec<AllocId> = record.allocs.iter().filter(|id| !held.contains(id)).copied().collect();
        for id in missing {
            let Some(alloc) = self.allocs.get(id).cloned() else { continue };
            if alloc.has_ended() {
                continue;
            }
            let unheard = alloc.state == AllocState::Pending && !alloc.lost && alloc.desired == Desired::Run;
            if unheard {
                continue;
            }
            self.end_missing(alloc, changes);
        }
    }

    pub(super) fn end_missing(&mut self, before: crate::core::state::Alloc, changes: &mut Changes) {
        let wanted = before.desired == Desired::Run && !before.lost;
        let mut after = before.clone();
        // Lost, not failed: nobody saw it fail, and its replacement uses up no attempt.
        after.lost = true;
        after.state = AllocState::Stopped;
        if let Some(since) = before.running_since.filter(|_| !before.healthy) {
            self.settling.remove(&(since, before.id));
        }
        if let Some(alloc) = self.allocs.get_mut(before.id) {
            (alloc.state, alloc.lost, alloc.running_since) = (after.state, true, None);
        }
        if wanted {
            let said = format!("{} is not on its node any more", before.name());
            let fact =
                Fact::info(EventKind::AllocLost, subject_of(&before), said).severity(Severity::Critical);
            self.record(changes, fact.reason("missing"));
        }
        self.end_alloc(&before, after, changes);
    }

    pub(super) fn node_liveness(&mut self, list: &[LivenessChange], changes: &mut Changes) -> Outcome {
        for change in list {
            let current = self.nodes.get(&change.node).is_some_and(|record| {
                record.generation == change.generation && record.liveness != change.liveness
            });
            // A node comes back by registering, which says what it has; only its loss is a matter of leases.
            if current && change.liveness == Liveness::Down {
                self.lose_node(change.node, changes);
            }
        }
        Outcome::Done
    }

    fn lose_node(&mut self, id: NodeId, changes: &mut Changes) {
        let now = self.now;
        let Some(mut node) = self.nodes.get_mut(&id) else { return };
        (node.liveness, node.since) = (Liveness::Down, now);
        changes.nodes.node(id);
        let name = node.identity.name.clone();
        let allocs: Vec<AllocId> = node.allocs.iter().copied().collect();
        drop(node);
        let said = format!("node {name} does not answer");
        self.record(
            changes,
            Fact::info(EventKind::NodeLost, Subject::node(id), said).severity(Severity::Critical),
        );
        for alloc in allocs {
            self.lose_alloc(alloc, &name, changes);
        }
        let jobs = changes.jobs.clone();
        for job in &jobs {
            self.purge_if_over(job, changes);
        }
        self.mark_per_node(changes);
    }

    fn lose_alloc(&mut self, id: AllocId, node_name: &str, changes: &mut Changes) {
        let now = self.now;
        let Some(before) = self.allocs.get(id).filter(|alloc| !alloc.has_ended()).cloned() else { return };
        self.give_room_back(id, changes);
        changes.gained.remove(&before.node);
        changes.jobs.insert(before.job.as_ref().clone());
        if before.lost {
            return;
        }
        if let Some(since) = before.running_since.filter(|_| !before.healthy) {
            self.settling.remove(&(since, id));
        }
        if let Some(alloc) = self.allocs.get_mut(id) {
            (alloc.lost, alloc.lost_at, alloc.healthy) = (true, Some(now), false);
            alloc.running_since = None;
        }
        self.note_slot(id);
        let said = format!("{} was lost with node {node_name}", before.name());
        let fact = Fact::info(EventKind::AllocLost, subject_of(&before), said).severity(Severity::Critical);
        self.record(changes, fact.reason("node_lost"));
    }
}

fn new_node(identity: NodeIdentity, now: proto::time::Timestamp) -> NodeRecord {
    NodeRecord {
        identity: Arc::new(identity),
        generation: Generation(0),
        liveness: Liveness::Up,
        eligibility: Eligibility::Eligible,
        since: now,
        registered_at: now,
        taking: 0,
        used: Resources::default(),
        ports: Default::default(),
        port_cursor: DYNAMIC_PORT_FIRST,
        allocs: Default::default(),
        foreign: Default::default(),
        brought: Resources::default(),
        registered: Revision(0),
        drain: None,
    }
}
