//! A numbered fact, derived from committed state.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{AllocId, JobKey, NodeId, Revision};
use crate::time::Timestamp;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal, $number:literal;)*) => {
        /// What happened: a closed list. Numbers are stored and never reused.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        pub enum EventKind {
            $($(#[$doc])* #[serde(rename = $word)] $name = $number,)*
        }

        impl EventKind {
            /// All kinds, in the order of their numbers.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The word for it, as in JSON and tables.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// Returns the kind with that number, if this binary knows it.
            #[must_use]
            pub const fn from_number(number: u32) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }
        }
    };
}

kinds! {
    /// A job was submitted for the first time, or again after it had been stopped.
    JobSubmitted = "job_submitted", 1;
    /// A new version of a job was submitted.
    JobUpdated = "job_updated", 2;
    /// A person stopped a job.
    JobStopped = "job_stopped", 3;
    /// A job and its history were removed.
    JobPurged = "job_purged", 4;
    /// Every allocation of a batch job is complete.
    JobCompleted = "job_completed", 5;
    /// An allocation was placed on a node.
    AllocPlaced = "alloc_placed", 10;
    /// Servers ordered an allocation to end.
    AllocStopOrdered = "alloc_stop_ordered", 11;
    /// An allocation ended complete.
    AllocComplete = "alloc_complete", 12;
    /// An allocation ended failed.
    AllocFailed = "alloc_failed", 13;
    /// An allocation ended because servers wanted it.
    AllocStopped = "alloc_stopped", 14;
    /// Its node was lost, or does not know it any more.
    AllocLost = "alloc_lost", 15;
    /// A lost allocation was found running before it was replaced.
    AllocFound = "alloc_found", 16;
    /// An agent runs an allocation that these servers never placed; it is kept until a person decides.
    AllocUnknown = "alloc_unknown", 17;
    /// A slot that had ended begins anew because a person asked for it.
    AllocRestarted = "alloc_restarted", 18;
    /// A try of a task started.
    TaskStarted = "task_started", 20;
    /// A try of a task ended by itself or was killed.
    TaskEnded = "task_ended", 21;
    /// A job cannot be placed.
    Unplaceable = "unplaceable", 30;
    /// Many nodes stopped answering at once: what they ran is not replaced at once.
    MassLoss = "mass_loss", 34;
    /// What was lost with many nodes is not held back any more.
    MassLossOver = "mass_loss_over", 35;
    /// A node registered for the first time.
    NodeRegistered = "node_registered", 40;
    /// A node registered again.
    NodeReturned = "node_returned", 41;
    /// A node let its lease run out.
    NodeLost = "node_lost", 42;
    /// A person cordoned a node: it keeps what it has and takes nothing new.
    NodeCordoned = "node_cordoned", 43;
    /// A person uncordoned a node.
    NodeUncordoned = "node_uncordoned", 44;
    /// A node that was down was forgotten.
    NodePurged = "node_purged", 45;
    /// A person drains a node: its work moves to others.
    NodeDrainBegun = "node_drain_begun", 46;
    /// A node that was drained has nothing left.
    NodeDrained = "node_drained", 47;
    /// A person cancelled the drain of a node.
    NodeDrainCancelled = "node_drain_cancelled", 48;
    /// A drain's deadline has passed: what was left is told to end.
    NodeDrainDeadline = "node_drain_deadline", 49;
    /// A server began to lead.
    LeaderElected = "leader_elected", 50;
    /// A person changed a setting of the cluster.
    SettingChanged = "setting_changed", 51;
    /// All servers are of a new version: what is new in it begins.
    LevelRaised = "level_raised", 52;
    /// A person restored a snapshot: everything is as it was then.
    StateRestored = "state_restored", 60;
}

/// How much it matters to a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// To look up.
    Info,
    /// To know.
    Warning,
    /// To act on.
    Critical,
}

/// What an event is about; the more is known, the more is filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Subject {
    /// The job, with its namespace.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub job: Option<SubjectJob>,
    /// The group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The slot in the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<u32>,
    /// The allocation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alloc: Option<AllocId>,
    /// The task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// The node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// Its name, where events are read; events are kept without it, as a node may come back under another one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node_name: Option<String>,
}

/// A job as events show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SubjectJob {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub job: String,
}

impl Subject {
    /// Names a job.
    #[must_use]
    pub fn job(key: &JobKey) -> Self {
        Self {
            job: Some(SubjectJob { namespace: key.namespace.clone(), job: key.name.clone() }),
            ..Self::default()
        }
    }

    /// Names a node.
    #[must_use]
    pub fn node(node: NodeId) -> Self {
        Self { node: Some(node), ..Self::default() }
    }

    /// Returns the job's key.
    #[must_use]
    pub fn job_key(&self) -> Option<JobKey> {
        self.job.as_ref().map(|job| JobKey::new(&job.namespace, &job.job))
    }
}

/// One numbered fact. (revision, ordinal) orders all events of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// The change it derives from.
    pub revision: Revision,
    /// Its place among the events of that change, from 0.
    pub ordinal: u32,
    /// State time.
    pub time: Timestamp,
    /// What happened.
    pub kind: EventKind,
    /// How much it matters.
    pub severity: Severity,
    /// What it is about.
    pub subject: Subject,
    /// The cause in a word (`exit`, `oom`, `node_lost`), or empty.
    pub reason: String,
    /// A sentence for people.
    pub message: String,
    /// The last lines of output of what failed, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tail: String,
}
