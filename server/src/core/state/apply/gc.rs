//! What nobody needs is forgotten.

use proto::ids::{AllocId, JobKey};
use proto::model::{EventKind, Subject};

use crate::core::state::events::Fact;
use crate::core::state::{Alloc, Changes, Gc, Outcome, State};

impl State {
    pub(super) fn collect(&mut self, gc: &Gc, changes: &mut Changes) -> Outcome {
        for id in &gc.allocs {
            let Some(alloc) = self.allocs.get(*id) else { continue };
            if alloc.has_ended() || (alloc.lost && !alloc.counted) {
                self.forget_alloc(*id, changes);
            }
        }
        Outcome::Done
    }

    /// Removes a job that is to be purged once nothing of it runs. What is lost with its node does not hold it up: should the
    /// node return, it is told to stop what nobody knows any more.
    pub(super) fn purge_if_over(&mut self, key: &JobKey, changes: &mut Changes) {
        let Some(record) = self.jobs.get(key) else { return };
        // What has a fence may run yet, beside what a new job of that name would begin.
        let is_gone = |alloc: &Alloc| alloc.lost && !alloc.counted && alloc.fence.is_none();
        let gone = |id: &AllocId| self.allocs.get(*id).is_none_or(is_gone);
        if !(record.stopped && record.purge && record.live.iter().all(gone)) {
            return;
        }
        self.dependents.replace(Some(&record.current().job), None);
        let all: Vec<AllocId> = record.ended.iter().chain(&record.live).copied().collect();
        for id in all {
            self.forget_alloc(id, changes);
        }
        self.jobs.remove(key);
        self.note_per_node(key);
        self.events.forget_job(key);
        let said = format!("job `{key}` and its history were removed");
        self.record(changes, Fact::info(EventKind::JobPurged, Subject::job(key), said));
    }

    /// Forgets an allocation of a node that is forgotten: what was lost there is over.
    pub(super) fn forget_alloc_of_node(&mut self, id: AllocId, changes: &mut Changes) {
        let Some(alloc) = self.allocs.get(id) else { return };
        let (job, live) = (alloc.job.clone(), !alloc.has_ended());
        self.forget_alloc(id, changes);
        if live {
            changes.jobs.insert(job.as_ref().clone());
            self.purge_if_over(&job, changes);
        }
    }

    /// Forgets an allocation; its agent is told that it may forget it too.
    fn forget_alloc(&mut self, id: AllocId, changes: &mut Changes) {
        let Some(alloc) = self.allocs.remove(id) else { return };
        if let Some(record) = self.jobs.get_mut(alloc.job.as_ref()) {
            record.unlist(&alloc);
        }
        if let Some(mut node) = self.nodes.get_mut(&alloc.node) {
            node.allocs.remove(&id);
            changes.nodes.alloc(alloc.node, id);
        }
    }
}
