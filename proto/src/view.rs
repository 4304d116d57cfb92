//! What people and scripts read: the JSON documents of `--json`, HTTP and the control API, defined once.
//!
//! Rules (docs/api.md): snake_case; ids are strings; times RFC 3339 UTC with milliseconds; durations and sizes whole numbers with
//! the unit in the name; enums lower case; lists are `{items, next, revision}`. Within v1 fields are only ever added.

mod loss;
mod machines;
mod members;
mod reach;
mod settings;
mod story;
mod versions;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{AllocId, JobVersion, NodeId, Revision};
use crate::model::{AllocState, Eligibility, Event, JobType, Liveness, Resources, TaskEnd};
use crate::time::Timestamp;

pub use loss::{GroupLossView, JobLoss, LossView, Move};
pub use machines::{DrainView, NodeStatus, ServerList, ServerView};
pub use members::{KeyHolder, KeyStatus, MemberList, MemberView};
pub use reach::{Signalled, TaskUsage};
pub use settings::{SettingList, SettingView};
pub use story::{Sentence, Story};
pub use versions::{Candidate, Change, Choice, Export, GroupPlan, History, Plan, VersionView};

/// A list: its items, where to go on (none: that is all), and the revision it shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct List<T> {
    /// The items, in the order that the reading command documents.
    pub items: Vec<T>,
    /// What to ask for next.
    pub next: Option<String>,
    /// The revision of the state that this shows.
    pub revision: Revision,
    /// What somebody should know before anything else, such as a brake that holds work back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// All jobs, the unhealthy first.
pub type JobList = List<JobSummary>;
/// All nodes, by name.
pub type NodeList = List<NodeView>;
/// Events, oldest first.
pub type EventList = List<Event>;

/// How a job is, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// Something has failed and nothing runs in its place, or it runs in a crash loop.
    Failing,
    /// Something cannot be placed.
    Waiting,
    /// On its way: being placed, starting, being replaced.
    Pending,
    /// All that is wanted runs and is healthy.
    Healthy,
    /// A batch job that has done its work.
    Complete,
    /// Stopped by a person.
    Stopped,
}

/// One line of `minijob status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobSummary {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `service` or `batch`.
    #[serde(rename = "type")]
    pub kind: JobType,
    /// The present version.
    pub version: JobVersion,
    /// How it is.
    pub health: Health,
    /// Allocations wanted.
    pub wanted: u32,
    /// Allocations that run.
    pub running: u32,
    /// Allocations that are healthy.
    pub healthy: u32,
    /// Since when it is not as it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub down_since: Option<Timestamp>,
    /// The cause in one line, or empty.
    pub why: String,
    /// The folder of files that it came from, as `run DIR` names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
}

/// Everything about one job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct JobStatus {
    /// The line of the list.
    #[serde(flatten)]
    pub summary: JobSummary,
    /// When it was first submitted.
    pub created_at: Timestamp,
    /// When the present version was submitted.
    pub submitted_at: Timestamp,
    /// The revision of the state that this shows.
    pub revision: Revision,
    /// Its groups by name.
    pub groups: BTreeMap<String, GroupStatus>,
    /// Its allocations: live ones first, then by group, index and age.
    pub allocs: Vec<AllocView>,
}

/// One group of a job.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GroupStatus {
    /// Allocations wanted.
    pub wanted: u32,
    /// Allocations that run.
    pub running: u32,
    /// Allocations that are healthy.
    pub healthy: u32,
    /// Allocations that completed (batch).
    pub complete: u32,
    /// Why something of it waits, or none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// When servers place something anew after a failure, or none: also where no node could take it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Timestamp>,
}

/// Work that has no place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Waiting {
    /// How many allocations.
    pub count: u32,
    /// Why, per cause with counts of nodes: "2 of 3 nodes lack memory (512MiB asked)". The same as long as the causes are.
    pub why: String,
    /// What would help now, with a command to type, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub advice: String,
}

impl Waiting {
    /// Returns the cause and what would help, as one sentence.
    #[must_use]
    pub fn told(&self) -> String {
        if self.advice.is_empty() { self.why.clone() } else { format!("{}; {}", self.why, self.advice) }
    }

    /// Returns whether another says the same, whatever would help now.
    #[must_use]
    pub fn is_as(&self, other: &Self) -> bool {
        (self.count, &self.why) == (other.count, &other.why)
    }
}

/// One allocation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AllocView {
    /// Its id.
    pub id: AllocId,
    /// `job.group.index`.
    pub name: String,
    /// Its job's namespace.
    pub namespace: String,
    /// Its job.
    pub job: String,
    /// The version it runs.
    pub version: JobVersion,
    /// Its group.
    pub group: String,
    /// Its slot.
    pub index: u32,
    /// Its node.
    pub node: NodeId,
    /// Its node's name.
    pub node_name: String,
    /// `run` or `stop`.
    pub desired: String,
    /// Why servers want it to end, or empty.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub stop_reason: String,
    /// What its agent saw.
    pub state: AllocState,
    /// Whether servers believe it healthy.
    pub healthy: bool,
    /// Whether its node is lost.
    pub lost: bool,
    /// Whether its node is being drained: it moves, may finish or goes last.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub draining: bool,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// Host ports by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub ports: BTreeMap<String, u16>,
    /// The allocation it replaces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<AllocId>,
    /// How often its slot was replaced after failures.
    pub replacements: u32,
    /// What comes after it failed, in words, or empty: also where it did not fail, or something has taken its place.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub next: String,
    /// Its tasks, by name.
    pub tasks: Vec<TaskView>,
}

/// One task of an allocation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TaskView {
    /// Its name.
    pub name: String,
    /// Where it is: waiting, starting, running, backoff, stopping, ended.
    pub phase: String,
    /// Starts so far.
    pub attempt: u32,
    /// The try of this window.
    pub window_try: u32,
    /// How many tries the window allows; none: for ever.
    pub window_tries: Option<u32>,
    /// Its process, while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// When the present or last try started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it starts again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_start_at: Option<Timestamp>,
    /// How the last try ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_end: Option<TaskEnd>,
    /// The same in words, or empty.
    pub last_end_text: String,
    /// What it uses now; only of one allocation that is asked for, and only while its node answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<TaskUsage>,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeView {
    /// Its id.
    pub id: NodeId,
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Whether it answers.
    pub liveness: Liveness,
    /// Whether it takes new work.
    pub eligibility: Eligibility,
    /// Its agent's version.
    pub version: String,
    /// What tasks may take in all.
    pub capacity: Resources,
    /// What they take.
    pub used: Resources,
    /// Allocations that have not ended.
    pub allocs: u32,
    /// Since when its liveness is what it is.
    pub since: Timestamp,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
    /// What it fails together with, or none: with nothing but itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure_domain: Option<String>,
    /// It is being emptied, or was; none: its work stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<DrainView>,
}

/// The answer to a write of a job: where it was placed, or why not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Placement {
    /// By group.
    pub groups: BTreeMap<String, GroupPlacement>,
}

/// What became of one group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GroupPlacement {
    /// Allocations wanted.
    pub wanted: u32,
    /// Allocations placed, by node name; those that stay included.
    pub placed: BTreeMap<String, u32>,
    /// How many of those were there before the write.
    #[serde(default)]
    pub stays: u32,
    /// Allocations that the write has stopped.
    #[serde(default)]
    pub stops: u32,
    /// What has no place yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
}

/// The answer to a write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Written {
    /// Whether anything changed; the same file twice changes nothing.
    pub changed: bool,
    /// The job's version afterwards; 0 where it was about no job.
    pub version: JobVersion,
    /// The revision that holds it.
    pub revision: Revision,
    /// With `run`: where it was placed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
}

/// `minijob version`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Version {
    /// The program's.
    pub version: String,
    /// The newest wire version it speaks.
    pub wire: u32,
    /// The newest state version it applies.
    pub state: u32,
    /// The newest disk format it writes.
    pub disk: u32,
}
