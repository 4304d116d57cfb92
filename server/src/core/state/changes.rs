//! What a command changed, returned instead of calling anybody.

use std::collections::BTreeSet;
use std::sync::Arc;

use proto::error::{Error, Kind as ErrorKind};
use proto::ids::{Generation, JobKey, JobVersion, NodeId, Revision};
use proto::model::Event;

use super::{PlanRun, Touches};

/// What [`super::State::apply`] answers.
#[derive(Clone, Debug)]
pub struct Applied {
    /// For who asked.
    pub outcome: Outcome,
    /// For who watches.
    pub changes: Changes,
}

/// The answer to who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A write of a job, an allocation, a node or settings.
    Written {
        /// Whether anything changed.
        changed: bool,
        /// The job's version afterwards; 0 where it was about no job.
        version: JobVersion,
        /// The revision that holds it.
        revision: Revision,
    },
    /// A plan; what is not in `refused` was applied.
    Planned {
        /// Runs that no longer fit.
        refused: Vec<RefusedRun>,
    },
    /// A node's registration.
    Registered {
        /// Its number.
        generation: Generation,
    },
    /// Done, and there is nothing to say.
    Done,
    /// Nothing changed.
    Refused(Refusal),
}

/// Why nothing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which kind.
    pub kind: ErrorKind,
    /// A sentence for people.
    pub message: String,
    /// The next step, or empty.
    pub hint: String,
}

impl Refusal {
    /// Makes a refusal.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: String::new() }
    }

    /// Adds the next step.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: hint.into(), ..self }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.kind, refusal.message).hint(refusal.hint)
    }
}

/// A run of a plan that was refused; its job stays dirty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRun {
    /// The job.
    pub job: JobKey,
    /// The group.
    pub group: String,
    /// The run.
    pub run: PlanRun,
    /// Why.
    pub why: &'static str,
}

/// What changed, for who watches. Names only: a watcher reads the snapshot.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// Jobs that the scheduler must look at.
    pub jobs: BTreeSet<JobKey>,
    /// Nodes whose agent must be told something, and about what.
    pub nodes: Touches,
    /// Nodes that gained room or may take work again.
    pub gained: BTreeSet<NodeId>,
    /// Facts, in their order.
    pub events: Vec<Arc<Event>>,
}

impl Changes {
    /// Adds what another command changed.
    pub fn absorb(&mut self, other: Self) {
        self.jobs.extend(other.jobs);
        self.nodes.absorb(other.nodes);
        self.gained.extend(other.gained);
        self.events.extend(other.events);
    }
}
