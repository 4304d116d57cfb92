//! What people do with nodes: cordon, uncordon, forget.

use proto::error::Kind as ErrorKind;
use proto::ids::{AllocId, JobKey, JobVersion, NodeId};
use proto::model::{Eligibility, EventKind, Liveness, Subject};

use crate::core::rules::fence::wait_out;
use crate::core::state::events::Fact;
use crate::core::state::{Changes, GroupState, Outcome, Refusal, State};

impl State {
    /// Says whether a node takes new work. What it is already changes nothing.
    pub(super) fn node_eligibility(
        &mut self,
        id: NodeId,
        eligibility: Eligibility,
        actor: &str,
        changes: &mut Changes,
    ) -> Outcome {
        let Some(node) = self.nodes.get(&id) else { return Outcome::Refused(no_node(id)) };
        let name = node.identity.name.clone();
        if eligibility == Eligibility::Eligible && node.is_draining() {
            let message = format!("node {name} is being drained");
            let hint = format!("`minijob node drain {name} --cancel` lets it keep its work and take new");
            return Outcome::Refused(Refusal::new(ErrorKind::Refused, message).hint(hint));
        }
        if node.eligibility == eligibility {
            return self.written_node(false);
        }
        if let Some(mut node) = self.nodes.get_mut(&id) {
            node.eligibility = eligibility;
            // What was drained is empty; from now on that says nothing.
            node.drain = None;
        }
        let (kind, word) = match eligibility {
            Eligibility::Cordoned => (EventKind::NodeCordoned, "cordoned"),
            Eligibility::Eligible => (EventKind::NodeUncordoned, "uncordoned"),
        };
        match eligibility {
            Eligibility::Eligible => self.gain_node(id, changes),
            Eligibility::Cordoned => self.mark_per_node(changes),
        }
        let said = format!("node {name} was {word} by {actor}");
        self.record(changes, Fact::info(kind, Subject::node(id), said));
        self.written_node(true)
    }

    /// Forgets a node that is down, with what was lost on it. Should its agent return, it registers as a new one, and what it still
    /// runs is told to end.
    pub(super) fn purge_node(&mut self, id: NodeId, actor: &str, changes: &mut Changes) -> Outcome {
        let Some(node) = self.nodes.get(&id).cloned() else { return Outcome::Refused(no_node(id)) };
        let name = &node.identity.name;
        if node.liveness == Liveness::Up {
            let message = format!("node {name} is up: only one that is down can be forgotten");
            let hint = "stop its agent first; it counts as down when its lease has run out";
            return Outcome::Refused(Refusal::new(ErrorKind::Refused, message).hint(hint));
        }
        let allocs: Vec<AllocId> = node.allocs.iter().copied().collect();
        let fenced = allocs.iter().filter_map(|id| self.allocs.get(*id)).filter(|alloc| !alloc.has_ended());
        let over = fenced.filter_map(|alloc| Some(alloc.lost_at?.plus(wait_out(alloc.fence?)))).max();
        if let Some(over) = over.filter(|over| *over > self.now) {
            let message = format!("the fences of what runs on node {name} have not run out before {over}");
            let hint = "forgotten earlier, it could run twice: try again then";
            return Outcome::Refused(Refusal::new(ErrorKind::Refused, message).hint(hint));
        }
        for alloc in allocs {
            self.forget_alloc_of_node(alloc, changes);
        }
        self.nodes.remove(&id);
        self.events.forget_node(id);
        let keys: Vec<JobKey> = self.jobs.iter().map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.forget_of_job(&key, id);
        }
        let said = format!("node {name} ({id}) was forgotten by {actor}");
        self.record(changes, Fact::info(EventKind::NodePurged, Subject::default(), said));
        self.written_node(true)
    }

    fn forget_of_job(&mut self, key: &JobKey, id: NodeId) {
        let concerned = |record: &crate::core::state::JobRecord| {
            let knows =
                |group: &GroupState| group.avoid.contains(&id) || group.node_slots.slot_of(id).is_some();
            record.groups.values().any(knows)
        };
        if !self.jobs.get(key).is_some_and(|record| concerned(record)) {
            return;
        }
        if let Some(record) = self.jobs.get_mut(key) {
            record.groups.values_mut().for_each(|group| group.forget_node(id));
        }
    }

    /// A node may take work, or work that it could not take before.
    pub(super) fn gain_node(&self, id: NodeId, changes: &mut Changes) {
        changes.gained.insert(id);
        self.mark_per_node(changes);
    }

    /// Other nodes take work than before: what runs once on each is looked at again, also where it only waits.
    pub(super) fn mark_per_node(&self, changes: &mut Changes) {
        changes.jobs.extend(self.per_node.iter().cloned());
    }

    pub(super) fn written_node(&self, changed: bool) -> Outcome {
        Outcome::Written { changed, version: JobVersion(0), revision: self.at() }
    }
}

pub(super) fn no_node(id: NodeId) -> Refusal {
    Refusal::new(ErrorKind::NotFound, format!("there is no node {id}"))
}
