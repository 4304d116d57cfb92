//! Versions of a job: those that are kept, one as a file, and one that might be.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{List, Waiting};
use crate::ids::{JobVersion, Revision};
use crate::time::Timestamp;

/// The versions of a job that are kept, the newest first.
pub type History = List<VersionView>;

/// One version of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VersionView {
    /// Its number.
    pub version: JobVersion,
    /// Whether it is the present one.
    pub current: bool,
    /// When it was made.
    pub at: Timestamp,
    /// By whom.
    pub actor: String,
    /// What they said about it, or empty.
    pub message: String,
    /// The keys of the job file that differ from the version before, `groups.web.count`; none of the oldest one that is kept.
    pub changes: Vec<String>,
    /// Keys beyond those.
    pub changes_left_out: u32,
}

/// A version as a job file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Export {
    /// The job's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The version.
    pub version: JobVersion,
    /// The full form: a job file.
    pub job_file: String,
}

/// One key of the job file that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Which: `groups.web.tasks.web.env.COLOR`; a whole group or task that only one side has is one key.
    pub key: String,
    /// What it was; none: there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What it becomes; none: it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What submitting a job would change, and where its work would go. Nothing is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// The job's namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The version that it has; none: it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub present: Option<JobVersion>,
    /// The version that it would have.
    pub version: JobVersion,
    /// Whether anything would change.
    pub changed: bool,
    /// Whether it is stopped and would start again.
    pub starts: bool,
    /// What differs from the present version.
    pub changes: Vec<Change>,
    /// Keys beyond those.
    pub changes_left_out: u32,
    /// What would become of each group, those that go included.
    pub groups: BTreeMap<String, GroupPlan>,
    /// Allocations of other jobs that would give way to it, by job as `namespace/name`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub preempted: BTreeMap<String, u32>,
    /// The revision of the state that this was decided on.
    pub revision: Revision,
}

/// What would become of one group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupPlan {
    /// Allocations that would be wanted.
    pub wanted: u32,
    /// Allocations that run on and notice nothing.
    pub unchanged: u32,
    /// Allocations that run on under the new version.
    pub in_place: u32,
    /// Allocations that are replaced.
    pub replaced: u32,
    /// Allocations that are stopped and not replaced.
    pub stopped: u32,
    /// New allocations, replacements included, by node name.
    pub placed: BTreeMap<String, u32>,
    /// What would have no place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// Why the first new allocations would go where they would, each with its best three nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<Choice>,
}

/// Why one allocation would go where it would.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Choice {
    /// `job.group.index`.
    pub name: String,
    /// Nodes that could take it.
    pub feasible: u32,
    /// The best of them, at most three; the first is the one.
    pub candidates: Vec<Candidate>,
}

/// A node that could take an allocation, and how good it is: compared in the order of these numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Candidate {
    /// The node's name.
    pub node: String,
    /// The weights of the affinities that hold there: more is better.
    pub liking: i64,
    /// What one more there costs its spreads, in thousandths of their weights: less is better.
    pub spread_cost: i64,
    /// Allocations of the group in the node's failure domain; on the node where it names none.
    pub in_domain: u32,
    /// Allocations of the group on the node.
    pub copies: u32,
    /// How full the node would be with it, in percent: fuller and more balanced is better.
    pub cpu_percent: u32,
    /// See `cpu_percent`.
    pub memory_percent: u32,
    /// Why it is not the one, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub behind: String,
}
