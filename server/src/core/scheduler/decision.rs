//! What the scheduler answers: a plan, when to look again, and its reasons.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use proto::ids::{JobKey, NodeId};
use proto::time::Timestamp;

use super::rank::Taken;
use super::reconcile::Want;
use crate::core::state::{Edge, PlaceReason, Plan, RunnerUp};

/// A decision and its reasons.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// What to change; reign and number are unset.
    pub plan: Plan,
    /// Jobs that must be looked at again by then, whatever happens.
    pub wake_at: BTreeMap<JobKey, Timestamp>,
    /// Jobs of which something has no place: to be looked at when a node gains room.
    pub waiting: BTreeSet<JobKey>,
    /// Whether the room of any node is kept from now on.
    pub keeps_room: bool,
    /// Why each placement is where it is.
    pub placed: Vec<Placed>,
}

/// One placement and why it is where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The job.
    pub job: JobKey,
    /// The group.
    pub group: String,
    /// The slot.
    pub index: u32,
    /// The node.
    pub node: NodeId,
    /// Nodes that could have taken it.
    pub feasible: usize,
    /// Allocations of the group that the node had already.
    pub copies: u32,
    /// How full the node is afterwards, in thousandths.
    pub cpu_permille: u32,
    /// See `cpu_permille`.
    pub memory_permille: u32,
    /// It replaces one that failed on the same node, because no other fits.
    pub same_node: bool,
    /// It was restarted where it was.
    pub preferred: bool,
    /// The node that would have been next.
    pub runner_up: Option<RunnerUp>,
    /// The best three with their scores, this one first; only where somebody asked for scores.
    pub scores: Vec<Scored>,
}

/// How good a node is for an allocation, in the order in which nodes are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scored {
    /// The node.
    pub node: NodeId,
    /// The weights of the affinities that hold there.
    pub liking: i64,
    /// What one more costs its spreads, in thousandths of their weights.
    pub spread_cost: i64,
    /// Allocations of the group in its failure domain, or on it where it names none.
    pub in_domain: u32,
    /// Allocations of the group on it.
    pub copies: u32,
    /// How full it would be, in thousandths.
    pub cpu_permille: u32,
    /// See `cpu_permille`.
    pub memory_permille: u32,
    /// In what the best is better; none: this is the best.
    pub behind: Option<Edge>,
}

impl Placed {
    pub(super) fn new(
        job: &JobKey,
        group: &str,
        want: &Want,
        taken: &Taken,
        use_permille: (u32, u32),
        feasible: usize,
    ) -> Self {
        let choice = &taken.choice;
        Self {
            job: job.clone(),
            group: group.to_owned(),
            index: want.index,
            node: choice.node,
            feasible,
            copies: choice.copies,
            cpu_permille: use_permille.0,
            memory_permille: use_permille.1,
            same_node: want.avoid == Some(choice.node),
            preferred: want.prefer == Some(choice.node),
            runner_up: taken.runner_up,
            scores: Vec::new(),
        }
    }

    /// Returns what is kept of it.
    pub(super) fn reason(&self, nodes: usize) -> PlaceReason {
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        PlaceReason {
            nodes: count(nodes),
            feasible: count(self.feasible),
            copies: self.copies,
            preferred: self.preferred,
            same_node: self.same_node,
            runner_up: self.runner_up,
        }
    }
}

impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "place {}.{}.{} on {}: best of {} that fit; {} of the group there before; then {}% cpu, {}% memory in use",
            self.job,
            self.group,
            self.index,
            self.node,
            self.feasible,
            self.copies,
            self.cpu_permille / 10,
            self.memory_permille / 10
        )?;
        if self.preferred {
            f.write_str("; it was there before")?;
        }
        if self.same_node {
            f.write_str("; it failed there, and no other node fits")?;
        }
        Ok(())
    }
}
