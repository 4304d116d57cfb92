//! What nobody needs is forgotten.

use proto::ids::{AllocId, JobKey};
use proto::model::{EventKind, Subject};

use crate::core::state::events::Fact;
use crate::core::state::{Changes, Gc, Outcome, State};

impl State {
    pub(super) fn collect(&mut self, gc: &Gc, changes: &mut Changes) -> Outcome {
        for id in &gc.allocs {
            if self.allocs.get(*id).is_some_and(|alloc| alloc.has_ended()) {
                self.forget_alloc(*id, changes);
            }
        }
        for key in &gc.jobs {
            self.forget_job(key, changes);
        }
        Outcome::Done
    }

    fn forget_job(&mut self, key: &JobKey, changes: &mut Changes) {
        let Some(record) = self.jobs.get(key) else { return };
        if !(record.stopped && record.purge && record.live.is_empty()) {
            return;
        }
        let ended: Vec<AllocId> = record.ended.iter().copied().collect();
        for id in ended {
            self.forget_alloc(id, changes);
        }
        self.jobs.remove(key);
        self.events.forget_job(key);
        let said = format!("job `{key}` and its history were removed");
        self.record(changes, Fact::info(EventKind::JobPurged, Subject::job(key), said));
    }

    /// Forgets an ended allocation; its agent is told that it may forget it too.
    fn forget_alloc(&mut self, id: AllocId, changes: &mut Changes) {
        let Some(alloc) = self.allocs.remove(id) else { return };
        if let Some(record) = self.jobs.get_mut(alloc.job.as_ref()) {
            record.ended.remove(&id);
        }
        if let Some(node) = self.nodes.get_mut(&alloc.node) {
            node.allocs.remove(&id);
            changes.nodes.insert(alloc.node);
        }
    }
}
