//! A node that is being emptied, and what is due of it now.

use proto::ids::{AllocId, NodeId};
use proto::model::{Desired, Liveness};
use proto::time::Timestamp;

use super::{Alloc, State};

/// A drain of a node; kept when it is complete, until a person lets the node take work again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Since when.
    pub begun: Timestamp,
    /// When what is left is told to end; none: it may take as long as it needs.
    pub deadline: Option<Timestamp>,
    /// Who wanted it.
    pub actor: String,
    /// What they said about it.
    pub message: String,
    /// It took no new work before, and shall take none when the drain is cancelled.
    pub was_cordoned: bool,
    /// The agent asked for it because it ends: over when it is back.
    pub until_return: bool,
    /// When nothing was left; none: something is.
    pub complete: Option<Timestamp>,
    /// The deadline has passed, and what was left was told to end.
    pub overdue: bool,
}

/// What is to be done now about a node that is being drained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Due {
    /// These are told to end: the deadline has passed, or nothing but what runs once per node is left.
    Stop {
        /// Which, in the order of their ids.
        allocs: Vec<AllocId>,
        /// The deadline has passed.
        overdue: bool,
    },
    /// Nothing is left.
    Complete,
    /// Nothing before then, unless something changes; none: nothing at all.
    Later(Option<Timestamp>),
}

impl State {
    /// Says what is due of a node that is being drained.
    ///
    /// The moves of what is replaced elsewhere first are the scheduler's; this is what remains: the deadline, what runs once per
    /// node and goes last, and the end. A node that does not answer is left alone: what it runs is found out when it returns.
    /// Cost: a look at the node's allocations.
    #[must_use]
    pub fn drain_due(&self, node: NodeId, now: Timestamp) -> Due {
        let Some(record) = self.nodes.get(&node) else { return Due::Later(None) };
        let Some(drain) = record.drain.as_ref().filter(|_| record.is_draining()) else {
            return Due::Later(None);
        };
        if record.liveness != Liveness::Up {
            return Due::Later(None);
        }
        if record.taking == 0 {
            return Due::Complete;
        }
        let left = record.allocs.iter().filter_map(|id| self.allocs.get(*id)).filter(|alloc| alloc.counted);
        let left: Vec<&Alloc> = left.collect();
        let overdue = drain.deadline.is_some_and(|at| at <= now);
        if !overdue && !left.iter().all(|alloc| self.runs_per_node(alloc)) {
            return Due::Later(drain.deadline);
        }
        let wanted = left.iter().filter(|alloc| alloc.desired == Desired::Run && !alloc.has_ended());
        let allocs: Vec<AllocId> = wanted.map(|alloc| alloc.id).collect();
        match allocs.is_empty() {
            true => Due::Later(None),
            false => Due::Stop { allocs, overdue },
        }
    }

    /// Returns whether an allocation is one of those that run once per node.
    fn runs_per_node(&self, alloc: &Alloc) -> bool {
        let record = self.jobs.get(alloc.job.as_ref());
        let version = record.and_then(|record| record.version(alloc.version));
        let group = version.and_then(|version| version.job.groups.get(alloc.group.as_ref()));
        group.is_some_and(|group| group.kind.is_per_node())
    }
}
