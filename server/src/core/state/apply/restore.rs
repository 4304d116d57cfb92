//! A snapshot takes the place of the state.
//!
//! What was promised of ids holds across it: the new life has a name of its own, its revision is beyond both lives, its allocations have
//! numbers that neither has used, and every node must register again. Nobody leads after it until a reign begins in the new life, so what
//! the present leader has under way is refused.

use bytes::Bytes;
use proto::error::Kind as ErrorKind;
use proto::ids::{Incarnation, JobVersion, NodeId, Revision};
use proto::model::{EventKind, Severity, Subject};

use crate::core::archive::{self, Archive};
use crate::core::state::events::Fact;
use crate::core::state::{Changes, Outcome, Refusal, Restored, Staging, State};
use crate::limits::ANCESTORS_KEPT;

/// Between the numbers of two lives: more than the file's own life can have used since it was taken, in places that know nothing of
/// each other. The new life's name adds some to it, so that two lives from one file differ as well.
const ID_GAP: u64 = 1 << 32;

/// Beyond this no counter of a state is taken over: counting on must not overflow.
const COUNTER_MAX: u64 = 1 << 62;

impl State {
    /// Keeps a part of a snapshot.
    pub(super) fn stage(&mut self, upload: u64, offset: u64, data: Bytes) -> Outcome {
        let now = self.now;
        let mut staging = match &self.staging {
            Some(staging) if staging.upload() == upload => staging.clone(),
            _ if offset == 0 => Staging::new(upload, now),
            _ => return Outcome::Refused(begin_again()),
        };
        match staging.take(offset, data, now) {
            Ok(()) => self.staging = Some(staging),
            Err(refusal) => return Outcome::Refused(refusal),
        }
        Outcome::Done
    }

    /// Makes what was staged the state.
    pub(super) fn restore(
        &mut self,
        upload: u64,
        bytes: u64,
        incarnation: Incarnation,
        force: bool,
        actor: &str,
        changes: &mut Changes,
    ) -> Outcome {
        let archive = match self.judge(upload, bytes, incarnation, force) {
            Ok(archive) => archive,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let meta = archive.meta;
        let after = self.reborn(archive.state, incarnation);
        *self = after;
        changes.jobs.extend(self.jobs.iter().map(|(key, _)| key.clone()));
        self.nodes.iter().for_each(|(id, _)| changes.nodes.node(*id));
        changes.gained.extend(self.nodes.iter().map(|(id, _)| *id));
        let message = format!(
            "{actor} restored the snapshot of {}: {} jobs, {} allocations",
            meta.taken, meta.jobs, meta.allocs
        );
        let fact = Fact::info(EventKind::StateRestored, Subject::default(), message);
        self.record(changes, fact.severity(Severity::Warning));
        Outcome::Written { changed: true, version: JobVersion(0), revision: self.at() }
    }

    /// Reads what was staged; it is refused when it is not whole, or of another cluster over work that nobody said may go.
    fn judge(
        &self,
        upload: u64,
        bytes: u64,
        incarnation: Incarnation,
        force: bool,
    ) -> Result<Archive, Refusal> {
        let staging = self.staging.as_ref().filter(|staging| staging.upload() == upload);
        let staging = staging.filter(|staging| staging.bytes() == bytes).ok_or_else(begin_again)?;
        let archive = archive::read(staging.reader()).map_err(|error| {
            Refusal::new(ErrorKind::Invalid, format!("the snapshot is not restored: {error}"))
        })?;
        let counters = [archive.state.revision.0, archive.state.next_id, archive.state.now.0];
        if counters.iter().any(|counter| *counter > COUNTER_MAX) || incarnation.0 == 0 {
            let message = "the snapshot is not restored: it counts beyond what a state can";
            return Err(Refusal::new(ErrorKind::Invalid, message));
        }
        if archive.state.level > self.level {
            let (theirs, ours) = (archive.state.level, self.level);
            let message = format!(
                "the snapshot is not restored: its state is of version {theirs}, and not all servers know more than {ours} yet"
            );
            return Err(Refusal::new(ErrorKind::Refused, message).hint(
                "update all servers, wait until `minijob events` tells that it is known, and restore again",
            ));
        }
        if force || self.jobs.is_empty() || self.is_kin(&archive.state) {
            return Ok(archive);
        }
        let (theirs, ours) = (archive.meta.incarnation, self.incarnation.unwrap_or(Incarnation(0)));
        let message = format!(
            "the snapshot is of cluster {theirs}, and this one is {ours} with {} jobs of its own",
            self.jobs.len()
        );
        Err(Refusal::new(ErrorKind::Refused, message).hint(
            "`--force` replaces them; what their allocations run goes on until somebody stops it on its node",
        ))
    }

    /// Whether one of the two lives goes back to the other.
    fn is_kin(&self, other: &Self) -> bool {
        let goes_back = |one: &Self, to: &Self| {
            to.incarnation.is_some_and(|life| one.incarnation == Some(life) || one.descends_from(life))
        };
        goes_back(self, other) || goes_back(other, self)
    }

    /// Returns a state as the next life of this cluster.
    fn reborn(&self, from: Self, incarnation: Incarnation) -> Self {
        let mut state = from;
        let revision = self.revision.max(state.revision.next());
        let lives = state.ancestors.iter().chain(&state.incarnation);
        let lives = lives.chain(&self.ancestors).chain(&self.incarnation).copied();
        let mut ancestors = imbl::Vector::new();
        for life in lives {
            ancestors.retain(|known| *known != life);
            ancestors.push_back(life);
        }
        while ancestors.len() > ANCESTORS_KEPT {
            ancestors.pop_front();
        }
        state.previous_incarnation = state.incarnation;
        state.incarnation = Some(incarnation);
        state.ancestors = ancestors;
        // The servers stay who they are to each other, and keep their own CA: theirs is not the snapshot's.
        state.servers = self.cluster_id();
        (state.authority, state.denied) = (self.authority.clone(), self.denied.clone());
        // Who restores goes on with the token that they restored with.
        state.operator_token = self.operator_token.clone();
        state.next_id = state.next_id.max(self.next_id) + ID_GAP + (incarnation.0 & 0xffff_ffff);
        state.now = state.now.max(self.now);
        state.level = state.level.max(self.level);
        state.revision = revision;
        (state.reign, state.last_plan_seq, state.staging) = (None, 0, None);
        // Its nodes are those of then.
        state.brake = None;
        state.restored = Some(Restored { at: state.now, revision });
        state.requests.expire(state.now);
        self.close_sessions(&mut state, revision);
        state
    }

    /// No session of either life is one of the new life: every node registers again before it is listened to.
    fn close_sessions(&self, state: &mut Self, at: Revision) {
        let ids: Vec<NodeId> = state.nodes.iter().map(|(id, _)| *id).collect();
        for id in ids {
            let before = self.nodes.get(&id).map(|record| record.generation);
            if let Some(mut record) = state.nodes.get_mut(&id) {
                record.generation =
                    before.map_or(record.generation, |other| other.max(record.generation)).next();
                record.registered = at;
            }
        }
    }
}

fn begin_again() -> Refusal {
    Refusal::new(
        ErrorKind::Conflict,
        "the parts of this snapshot are not here: another restore began, or it took too long",
    )
    .hint("begin the restore again")
}
