//! What a user asks for: a job, its groups, their tasks.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Reschedule, Resources, Restart};
use crate::ids::JobKey;

pub use crate::ids::DEFAULT_NAMESPACE;

/// The priority of a job whose file names none; 1 is the least, 100 the most.
pub const DEFAULT_PRIORITY: u8 = 50;

/// How long a job is meant to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobType {
    /// For ever: exit 0 is restarted too.
    Service,
    /// Until exit 0.
    Batch,
}

/// A described piece of work. Equal descriptions are the same version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Namespace and name.
    pub key: JobKey,
    /// Service or batch.
    pub kind: JobType,
    /// Order of placement, 1 to 100.
    pub priority: u8,
    /// Free text for people and tasks.
    pub meta: BTreeMap<String, String>,
    /// Groups by name; at least one.
    pub groups: BTreeMap<String, Group>,
}

/// What is placed as a whole, `count` times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Allocations wanted; 0 is allowed.
    pub count: u32,
    /// Tasks by name; at least one. They share a node.
    pub tasks: BTreeMap<String, Task>,
    /// Ports by name.
    pub ports: BTreeMap<String, Port>,
    /// What the node does after an end.
    pub restart: Restart,
    /// What servers do when the node has given up.
    pub reschedule: Reschedule,
}

impl Group {
    /// Returns what one allocation of this group takes from a node.
    #[must_use]
    pub fn resources(&self) -> Resources {
        self.tasks.values().fold(Resources::default(), |sum, task| sum.plus(task.resources))
    }

    /// Returns whether running allocations may stay as they are when this becomes `other`: whether all that differs is
    /// count, restart, reschedule and logs.
    #[must_use]
    pub fn same_work(&self, other: &Self) -> bool {
        let only_logs_differ =
            |(mine, theirs): (&Task, &Task)| Task { logs: theirs.logs, ..mine.clone() } == *theirs;
        self.ports == other.ports
            && self.tasks.keys().eq(other.tasks.keys())
            && self.tasks.values().zip(other.tasks.values()).all(only_logs_differ)
    }
}

/// A port of a group on the node's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Port {
    /// The server picks one of 20000-32000 that is free on the node.
    Dynamic,
    /// This one, or the group does not fit.
    Static(u16),
}

/// One program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// What runs.
    pub process: Process,
    /// Its environment, before the node's own facts are added.
    pub env: BTreeMap<String, String>,
    /// What it takes from the node.
    pub resources: Resources,
    /// Sent first when it must stop; its number.
    pub stop_signal: i32,
    /// After that SIGKILL for the whole tree.
    pub stop_timeout: Duration,
    /// What is kept of its output.
    pub logs: LogPolicy,
}

/// A plain program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// An absolute path, or a name looked up in PATH.
    pub command: String,
    /// Its arguments, without the program's name.
    pub args: Vec<String>,
    /// The user it runs as; none: the agent's default user.
    pub user: Option<String>,
    /// Where it starts; none: the task's own directory.
    pub workdir: Option<String>,
}

/// How much output is kept, per stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogPolicy {
    /// Files, 1 to 1000.
    pub max_files: u32,
    /// Bytes of one file, at least 4 KiB.
    pub max_file_bytes: u64,
}

impl Task {
    /// What a task reserves whose file says nothing: 50m and 32 MiB.
    pub const DEFAULT_RESOURCES: Resources = Resources { cpu_millis: 50, memory_bytes: 32 << 20 };
    /// SIGTERM.
    pub const DEFAULT_STOP_SIGNAL: i32 = 15;
    /// 5 s.
    pub const DEFAULT_STOP_TIMEOUT: Duration = Duration::from_secs(5);
}

impl Default for LogPolicy {
    /// Ten files of 10 MiB.
    fn default() -> Self {
        Self { max_files: 10, max_file_bytes: 10 << 20 }
    }
}

/// Returns the bytes that a job takes in a Raft entry.
#[must_use]
pub fn stored_size(job: &Job) -> usize {
    prost::Message::encoded_len(&crate::wire::job::to_wire(job))
}
