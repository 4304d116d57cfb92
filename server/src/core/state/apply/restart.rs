//! A person asks for a restart of one allocation: it ends, and its slot begins anew.

use proto::error::Kind as ErrorKind;
use proto::ids::AllocId;
use proto::model::{Desired, EventKind, StopReason};

use super::plans::{is_current_work, subject_of};
use super::versions::stopped;
use crate::core::state::events::Fact;
use crate::core::state::{Alloc, Changes, GroupState, Outcome, PlanStop, Refusal, Restarting, State};

impl State {
    /// Restarts an allocation. One that runs is told to end; of one that has ended its slot begins anew, also when it was done or
    /// had been given up. What is on its way already changes nothing.
    pub(super) fn restart_alloc(&mut self, id: AllocId, actor: &str, changes: &mut Changes) -> Outcome {
        let Some(alloc) = self.allocs.get(id).cloned() else {
            let message = format!("there is no allocation {id}");
            return Outcome::Refused(Refusal::new(ErrorKind::NotFound, message));
        };
        if let Err(refusal) = self.may_restart(&alloc) {
            return Outcome::Refused(refusal);
        }
        let changed = if alloc.is_active() {
            let reason = StopReason::Restarted;
            self.order_stop(&PlanStop { alloc: id, reason }, changes);
            true
        } else {
            self.begin_anew(&alloc, actor, changes)
        };
        match self.written(&alloc.job, changed) {
            Outcome::Written { version, revision, .. } => Outcome::Written { changed, version, revision },
            other => other,
        }
    }

    /// Refuses what no restart can bring back: its job is stopped, or its slot is not wanted any more or is filled by another.
    fn may_restart(&self, alloc: &Alloc) -> Result<(), Refusal> {
        let refused = |message: String| Refusal::new(ErrorKind::Refused, message);
        let name = alloc.name();
        let record = self.jobs.get(alloc.job.as_ref());
        let record = record.ok_or_else(|| refused(format!("the job of {name} is gone")))?;
        if record.stopped {
            return Err(stopped(&alloc.job, "restart"));
        }
        let Some(group) = record.current().job.groups.get(alloc.group.as_ref()) else {
            return Err(refused(format!("job `{}` has no group `{}` any more", alloc.job, alloc.group)));
        };
        let present = record.filled.get(&alloc.group).and_then(|slots| slots.get(&alloc.index));
        if let Some(present) = present.filter(|present| **present != alloc.id) {
            let error = refused(format!("{name} was replaced: {present} is in its place"));
            return Err(error.hint(format!("`minijob restart {name}` restarts that one")));
        }
        if !alloc.is_active() && !group.has_slot(alloc.index) {
            let error = refused(format!("job `{}` wants only {} of {}", alloc.job, group.count, alloc.group));
            return Err(
                error.hint(format!("`minijob scale {}/{} N` changes that", alloc.job.name, alloc.group))
            );
        }
        Ok(())
    }

    /// Takes away what keeps the slot of an ended allocation empty. Returns whether there was anything.
    fn begin_anew(&mut self, alloc: &Alloc, actor: &str, changes: &mut Changes) -> bool {
        let Some(record) = self.jobs.get_mut(alloc.job.as_ref()) else { return false };
        let Some(state) = record.groups.get_mut(alloc.group.as_ref()) else { return false };
        if !free_slot(state, alloc) {
            return false;
        }
        record.completion_announced = false;
        changes.jobs.insert(alloc.job.as_ref().clone());
        let said = format!("{} begins anew: {actor} asked for a restart", alloc.name());
        self.record(changes, Fact::info(EventKind::AllocRestarted, subject_of(alloc), said));
        true
    }

    /// Notes that the slot of an allocation that has ended on a person's wish begins anew. Returns whether it does.
    pub(super) fn note_restart(&mut self, alloc: &Alloc) -> bool {
        if alloc.desired != Desired::Stop(StopReason::Restarted) || alloc.lost {
            return false;
        }
        let Some(record) = self.jobs.get_mut(alloc.job.as_ref()) else { return false };
        let version = record.current().clone();
        let wanted =
            version.job.groups.get(alloc.group.as_ref()).is_some_and(|group| group.has_slot(alloc.index));
        if record.stopped || !wanted || !is_current_work(&version, &alloc.group, alloc.work) {
            return false;
        }
        let state = record.groups.entry(alloc.group.to_string()).or_default();
        state.restarts.insert(alloc.index, Restarting { last: alloc.id, node: alloc.node });
        true
    }
}

/// Forgets that a slot was done or had failed. A person who restarts it says that its node can start it.
fn free_slot(state: &mut GroupState, alloc: &Alloc) -> bool {
    let failed = state.failed.remove(&alloc.index).is_some();
    let done = state.done.remove(&alloc.index).is_some();
    if failed || done {
        state.avoid.remove(&alloc.node);
        state.restarts.insert(alloc.index, Restarting { last: alloc.id, node: alloc.node });
    }
    failed || done
}
