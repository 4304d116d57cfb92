//! What a user asks for: a job, its groups, their tasks.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{
    Dependency, JobType, Migrate, Placement, Reschedule, Resources, Restart, Task, Volume, VolumeSource,
};
use crate::ids::JobKey;

pub use crate::ids::DEFAULT_NAMESPACE;

/// The priority of a job whose file names none; 1 is the least, 100 the most.
pub const DEFAULT_PRIORITY: u8 = 50;

/// A described piece of work. Equal descriptions are the same version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Namespace and name.
    pub key: JobKey,
    /// That of the groups that have none of their own.
    pub kind: JobType,
    /// Order of placement, 1 to 100.
    pub priority: u8,
    /// Free text for people and tasks.
    pub meta: BTreeMap<String, String>,
    /// Groups by name; at least one.
    pub groups: BTreeMap<String, Group>,
    /// The folder of files that it came from, as the person's machine and path; none: a single file. `run --prune` stops what
    /// came from a folder and is no longer in it.
    pub origin: Option<String>,
}

/// What is placed as a whole, `count` times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// How long it is meant to run, and how often.
    pub kind: JobType,
    /// Allocations wanted; 0 is allowed. Of a group that runs once per node it is 1 and says nothing.
    pub count: u32,
    /// Tasks by name; at least one. They share a node.
    pub tasks: BTreeMap<String, Task>,
    /// Ports by name.
    pub ports: BTreeMap<String, Port>,
    /// What its tasks may mount, by name.
    pub volumes: BTreeMap<String, Volume>,
    /// Batch: after this long it is stopped and counts as failed (`timeout`); none: never.
    pub max_run: Option<Duration>,
    /// What the node does after an end.
    pub restart: Restart,
    /// What servers do when the node has given up.
    pub reschedule: Reschedule,
    /// Where it may run, what its job says of that included.
    pub placement: Placement,
    /// What must be so before an allocation of it is placed.
    pub depends_on: Vec<Dependency>,
    /// How its allocations leave a node that is drained.
    pub migrate: Migrate,
    /// The fence: so long after its node has reached the servers last an allocation is stopped, and only then replaced.
    pub stop_after: Option<Duration>,
    /// Its one allocation must never run twice: it has a fence, also where `stop_after` says none.
    pub singleton: bool,
}

impl Job {
    /// Returns a job of these groups with all defaults.
    #[must_use]
    pub fn new(key: JobKey, kind: JobType, groups: BTreeMap<String, Group>) -> Self {
        Self { key, kind, priority: DEFAULT_PRIORITY, meta: BTreeMap::new(), groups, origin: None }
    }

    /// Returns whether it is over some day: no group of it runs for ever.
    #[must_use]
    pub fn has_an_end(&self) -> bool {
        self.groups.values().all(|group| group.kind.has_an_end())
    }
}

impl Group {
    /// Returns a group of one allocation with these tasks and all defaults for this type.
    #[must_use]
    pub fn new(kind: JobType, tasks: BTreeMap<String, Task>) -> Self {
        let (restart, reschedule) = match kind {
            JobType::Service | JobType::System => (Restart::SERVICE, Reschedule::SERVICE),
            JobType::Batch | JobType::SysBatch => (Restart::BATCH, Reschedule::BATCH),
        };
        let (ports, volumes) = (BTreeMap::new(), BTreeMap::new());
        let (placement, depends_on) = (Placement::default(), Vec::new());
        Self {
            kind,
            count: 1,
            tasks,
            ports,
            restart,
            reschedule,
            volumes,
            max_run: None,
            placement,
            depends_on,
            migrate: Migrate::default(),
            stop_after: None,
            singleton: false,
        }
    }

    /// Returns whether the group has a slot of that index.
    #[must_use]
    pub const fn has_slot(&self, index: u32) -> bool {
        self.kind.is_per_node() || index < self.count
    }

    /// Returns the fence of an allocation of this group where a node's lease lasts `node_timeout`; none: it has none.
    #[must_use]
    pub fn fence(&self, node_timeout: Duration) -> Option<Duration> {
        self.stop_after.or_else(|| self.singleton.then_some(node_timeout))
    }

    /// Returns whether its allocations have a fence.
    #[must_use]
    pub const fn has_fence(&self) -> bool {
        self.singleton || self.stop_after.is_some()
    }

    /// Returns what one allocation of this group takes from a node.
    #[must_use]
    pub fn resources(&self) -> Resources {
        self.tasks.values().fold(Resources::default(), |sum, task| sum.plus(task.resources))
    }

    /// Returns the volumes that a node's agent must declare, by their names there.
    pub fn declared_volumes(&self) -> impl Iterator<Item = &str> {
        self.volumes.values().filter_map(|volume| match &volume.source {
            VolumeSource::Host(name) => Some(name.as_str()),
            VolumeSource::Path(_) => None,
        })
    }

    /// Returns whether running allocations may stay as they are when this becomes `other`: whether all that differs is
    /// count, restart, reschedule, migrate, what it depends on and logs.
    #[must_use]
    pub fn same_work(&self, other: &Self) -> bool {
        let only_logs_differ =
            |(mine, theirs): (&Task, &Task)| Task { logs: theirs.logs.clone(), ..mine.clone() } == *theirs;
        self.kind == other.kind
            && self.ports == other.ports
            && self.volumes == other.volumes
            && self.max_run == other.max_run
            && self.placement == other.placement
            && (self.stop_after, self.singleton) == (other.stop_after, other.singleton)
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

/// Returns the bytes that a job takes in a Raft entry.
#[must_use]
pub fn stored_size(job: &Job) -> usize {
    prost::Message::encoded_len(&crate::wire::job::to_wire(job))
}
