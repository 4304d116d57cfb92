//! The only mutator of the state: deterministic, and a refused command changes nothing but the count of commands.

mod brake;
mod drain;
mod gc;
mod jobs;
mod level;
mod members;
mod nodes;
mod plans;
mod reign;
mod restart;
mod restore;
mod room;
mod settings;
mod slots;
mod statuses;
mod versions;
mod wards;

pub use plans::stop_word;

use proto::ids::{JobKey, Revision};

use super::requests::Result as KeptResult;
use super::{Applied, Changes, Command, Kind, Outcome, State, encode};

impl State {
    /// Applies one command and returns what changed.
    ///
    /// Time comes with the command: state time becomes the larger of the two. A write whose request id is known is answered as
    /// it was then and not applied again. Calling with equal state and command gives an equal state, byte for byte.
    pub fn apply(&mut self, command: Command) -> Applied {
        let mut changes = Changes::default();
        self.revision = self.revision.next();
        self.now = self.now.max(command.now);
        self.requests.expire(self.now);
        self.staging.take_if(|staging| staging.is_abandoned(self.now));
        let hash = if command.request.is_none() { 0 } else { encode::body_hash(&command.kind) };
        if let Some(outcome) = self.requests.answer(command.request, hash) {
            return Applied { outcome, changes };
        }
        let request = command.request;
        let outcome = self.perform(command, &mut changes);
        self.mark_dependents(&mut changes);
        self.requests.keep(request, KeptResult { at: self.now, body_hash: hash, outcome: outcome.clone() });
        Applied { outcome, changes }
    }

    fn perform(&mut self, command: Command, changes: &mut Changes) -> Outcome {
        match command.kind {
            Kind::BeginReign { server, boot_nonce, incarnation } => {
                self.begin_reign(server, boot_nonce, incarnation, changes)
            }
            Kind::PutJob { job, expected, message } => {
                self.put_job(*job, expected, command.actor, message, changes)
            }
            Kind::StopJob { key, purge } => self.stop_job(&key, purge, &command.actor, changes),
            Kind::ScaleJob { key, group, count } => {
                self.scale_job(&key, &group, count, command.actor, changes)
            }
            Kind::StartJob { key } => self.start_job(&key, &command.actor, changes),
            Kind::RevertJob { key, to } => self.revert_job(&key, to, command.actor, changes),
            Kind::RestartJob { key, at_once } => self.restart_job(&key, at_once, command.actor, changes),
            Kind::RestartAlloc { alloc } => self.restart_alloc(alloc, &command.actor, changes),
            Kind::DrainNode { node, step } => self.drain_node(node, step, &command.actor, changes),
            Kind::PurgeNode { node } => self.purge_node(node, &command.actor, changes),
            Kind::ApplyPlan(plan) => self.apply_plan(plan, changes),
            Kind::RegisterNode { identity, held, seen } => self.register_node(identity, held, seen, changes),
            Kind::NodeLiveness(list) => self.node_liveness(&list, changes),
            Kind::NodeEligibility { node, eligibility } => {
                self.node_eligibility(node, eligibility, &command.actor, changes)
            }
            Kind::AllocStatus { node, generation, statuses } => {
                self.alloc_status(node, generation, statuses, changes)
            }
            Kind::PutHealth { healthy } => self.put_health(&healthy, changes),
            Kind::PutSettings(settings) => self.put_settings(settings),
            Kind::SetSettings(list) => self.set_settings(&list, &command.actor, changes),
            Kind::Gc(gc) => self.collect(&gc, changes),
            Kind::PutAuthority(authority) => self.put_authority(authority),
            Kind::DenyMember { id, denied } => self.deny_member(id, denied),
            Kind::HoldLost(nodes) => self.hold_lost(&nodes, changes),
            Kind::RaiseLevel(level) => self.raise_level(level, changes),
            Kind::ReleaseLost => self.release_lost(&command.actor, changes),
            Kind::PutOperatorToken(token) => self.put_operator_token(token),
            Kind::RestoreChunk { upload, offset, data } => self.stage(upload, offset, data),
            Kind::Restore { upload, bytes, incarnation, force } => {
                self.restore(upload, bytes, incarnation, force, &command.actor, changes)
            }
        }
    }

    /// What a job has changed may let those begin that depend on it. One step is enough: a condition looks at one job only.
    fn mark_dependents(&self, changes: &mut Changes) {
        if self.dependents.is_empty() {
            return;
        }
        let waiting: Vec<JobKey> =
            changes.jobs.iter().flat_map(|job| self.dependents.of(job)).cloned().collect();
        // A job that is gone has nothing to look at.
        changes.jobs.extend(waiting.into_iter().filter(|job| self.jobs.get(job).is_some()));
    }

    /// Returns the revision of the command that is being applied.
    pub(super) fn at(&self) -> Revision {
        self.revision
    }
}

#[cfg(test)]
mod tests;
