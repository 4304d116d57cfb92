//! The rows of the state's tables.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use imbl::OrdSet;
use proto::ids::{AllocId, Generation, JobKey, JobVersion, NodeId, Revision};
use proto::model::{
    AllocState, Desired, Eligibility, Job, Liveness, NodeIdentity, Port, Resources, TaskStatus,
};
use proto::time::Timestamp;

use super::{Drain, NodeSlots, PlaceReason, Ports};

/// A job and its history.
#[derive(Clone, Debug)]
pub struct JobRecord {
    /// Its name.
    pub key: Arc<JobKey>,
    /// A person stopped it: nothing of it is wanted.
    pub stopped: bool,
    /// It is removed when nothing of it runs.
    pub purge: bool,
    /// When it was first submitted.
    pub created_at: Timestamp,
    /// The revision that made it.
    pub created: Revision,
    /// The last revision that changed its description.
    pub modified: Revision,
    /// Oldest first, never empty; the last is the present one.
    pub versions: Vec<Arc<VersionRecord>>,
    /// Allocations that have not ended.
    pub live: OrdSet<AllocId>,
    /// Allocations that have ended and are kept.
    pub ended: OrdSet<AllocId>,
    /// For every slot the allocation that fills it: has not ended and is not lost.
    pub filled: Slots,
    /// For every slot whose allocation moves off a drained node the one that leaves: it runs until the one that fills the slot is
    /// healthy, and fills it again should that one end.
    pub leaving: Slots,
    /// The allocations that are lost, by slot: one slot may have lost several, one after the other.
    pub lost: OrdSet<(Arc<str>, u32, AllocId)>,
    /// What is remembered of a group beyond its allocations.
    pub groups: BTreeMap<String, GroupState>,
    /// The completion of a batch job was announced.
    pub completion_announced: bool,
}

/// For every group and slot an allocation.
pub type Slots = BTreeMap<Arc<str>, imbl::OrdMap<u32, AllocId>>;

/// Takes an allocation out of its slot and returns whether it was there; another one there stays. A group without slots is not
/// listed.
fn vacate(list: &mut Slots, group: &Arc<str>, index: u32, id: AllocId) -> bool {
    let Some(slots) = list.get_mut(group) else { return false };
    let found = slots.get(&index) == Some(&id);
    if found {
        slots.remove(&index);
    }
    if slots.is_empty() {
        list.remove(group);
    }
    found
}

/// One submitted version.
#[derive(Clone, Debug)]
pub struct VersionRecord {
    /// Its number.
    pub version: JobVersion,
    /// What was asked for.
    pub job: Arc<Job>,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub actor: String,
    /// What they said about it.
    pub message: String,
    /// The revision that made it.
    pub revision: Revision,
    /// For every group the version in which its present work began: allocations of an older one are replaced.
    pub work: BTreeMap<String, JobVersion>,
    /// Allocations of older work give way together, not one by one.
    pub at_once: bool,
}

/// What is remembered of a group beyond its allocations, so that collecting these forgets nothing that matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupState {
    /// Slots whose work is done (batch).
    pub done: OrdSet<u32>,
    /// Slots that failed and wait for their replacement, or were given up.
    pub failed: imbl::OrdMap<u32, Slot>,
    /// Slots that begin anew because a person asked for it, until something is placed there.
    pub restarts: imbl::OrdMap<u32, Restarting>,
    /// Of a group that runs once per node: the slots of the nodes.
    pub node_slots: NodeSlots,
    /// Nodes on which this work can never start.
    pub avoid: BTreeSet<NodeId>,
    /// Why something of it cannot be placed.
    pub wait: Option<Wait>,
}

impl GroupState {
    /// Returns whether work may begin in a slot: it is not done, and was not given up or told to wait after a failure.
    #[must_use]
    pub fn may_begin(&self, index: u32, now: Timestamp) -> bool {
        let waits = self.failed.get(&index).is_some_and(|slot| slot.due.is_none_or(|due| due > now));
        !waits && !self.done.contains(&index)
    }

    /// Returns whether a group that runs once per node has done its work on all nodes that it was placed on, and waits for none.
    pub(super) fn is_over(&self, filled: usize) -> bool {
        !self.done.is_empty() && filled == 0 && self.failed.is_empty() && self.wait.is_none()
    }

    /// Forgets a node, and its slot where it has one.
    pub(super) fn forget_node(&mut self, node: NodeId) {
        self.avoid.remove(&node);
        if let Some(slot) = self.node_slots.forget(node) {
            self.done.remove(&slot);
            self.failed.remove(&slot);
            self.restarts.remove(&slot);
        }
    }

    /// Begins new work: what became of the old says nothing of it. Nodes keep their slots.
    pub(super) fn begin_work(&mut self) {
        *self = Self { node_slots: std::mem::take(&mut self.node_slots), ..Self::default() };
    }

    /// Forgets what is remembered of slots beyond a count that became smaller, so that it takes no place from what is wanted:
    /// the highest failed ones until, with `filled` others, they are no more than the count.
    pub(super) fn shrink(&mut self, count: u32, filled: usize) {
        self.done = self.done.iter().copied().filter(|index| *index < count).collect();
        self.restarts = self.restarts.range(..count).map(|(index, one)| (*index, *one)).collect();
        let wanted = (count as usize).saturating_sub(self.done.len() + filled);
        while self.failed.len() > wanted {
            let Some((highest, _)) = self.failed.get_max().cloned() else { return };
            self.failed.remove(&highest);
        }
    }
}

/// A slot of a group after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// The allocation that failed.
    pub last: AllocId,
    /// Where.
    pub node: NodeId,
    /// Replacements after failures so far.
    pub replacements: u32,
    /// When it failed.
    pub failed_at: Timestamp,
    /// When it is replaced; none: given up.
    pub due: Option<Timestamp>,
}

/// A slot that begins anew because a person asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restarting {
    /// The allocation that ends, or had ended.
    pub last: AllocId,
    /// Where: it is best begun there again.
    pub node: NodeId,
}

/// Work that has no place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// How many allocations.
    pub count: u32,
    /// Why.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
}

impl JobRecord {
    /// Returns the present version.
    ///
    /// # Panics
    /// Never: a job is made with its first version, and the present one is not dropped.
    #[must_use]
    pub fn current(&self) -> &Arc<VersionRecord> {
        self.versions.last().expect("a job has a version")
    }

    /// Returns that version, if it is kept.
    #[must_use]
    pub fn version(&self, version: JobVersion) -> Option<&Arc<VersionRecord>> {
        self.versions.iter().rev().find(|record| record.version == version)
    }

    /// Keeps in step what allocation fills a slot; to be called with every change of `lost` or of the state.
    pub(super) fn note_slot(&mut self, alloc: &Alloc) {
        let lost = (alloc.group.clone(), alloc.index, alloc.id);
        if !alloc.has_ended() && alloc.lost {
            self.lost.insert(lost);
        } else {
            self.lost.remove(&lost);
        }
        if !alloc.has_ended() && !alloc.lost {
            self.fill(alloc);
        } else {
            self.vacate(alloc);
        }
    }

    /// The youngest of a slot fills it; an older one beside it leaves.
    fn fill(&mut self, alloc: &Alloc) {
        let filled = self.filled.entry(alloc.group.clone()).or_default();
        let other = filled.insert(alloc.index, alloc.id).filter(|other| *other != alloc.id);
        let Some(other) = other else { return };
        filled.insert(alloc.index, other.max(alloc.id));
        let older = other.min(alloc.id);
        self.leaving.entry(alloc.group.clone()).or_default().insert(alloc.index, older);
    }

    /// What leaves a slot fills it again when the one that was to take its place is gone.
    fn vacate(&mut self, alloc: &Alloc) {
        let (group, index) = (&alloc.group, alloc.index);
        vacate(&mut self.leaving, group, index, alloc.id);
        if !vacate(&mut self.filled, group, index, alloc.id) {
            return;
        }
        if let Some(stays) = self.leaving_of(group, index) {
            vacate(&mut self.leaving, group, index, stays);
            self.filled.entry(group.clone()).or_default().insert(index, stays);
        }
    }

    /// Returns the allocation that fills a slot.
    #[must_use]
    pub fn filler_of(&self, group: &str, index: u32) -> Option<AllocId> {
        self.filled.get(group)?.get(&index).copied()
    }

    /// Returns the allocation of a slot that runs until the one that fills it is healthy.
    #[must_use]
    pub fn leaving_of(&self, group: &str, index: u32) -> Option<AllocId> {
        self.leaving.get(group)?.get(&index).copied()
    }

    /// Returns whether an allocation runs only until the one that fills its slot is healthy.
    #[must_use]
    pub fn is_leaving(&self, alloc: &Alloc) -> bool {
        self.leaving_of(&alloc.group, alloc.index) == Some(alloc.id)
    }

    /// Returns the youngest allocation of a slot that is lost.
    #[must_use]
    pub fn lost_of(&self, group: &str, index: u32) -> Option<AllocId> {
        if self.lost.is_empty() {
            return None;
        }
        let group: Arc<str> = Arc::from(group);
        let slot = (group.clone(), index, AllocId(0))..=(group, index, AllocId(u64::MAX));
        self.lost.range(slot).next_back().map(|(_, _, id)| *id)
    }

    /// Returns the name of a group as its allocations share it.
    #[must_use]
    pub fn group_name(&self, name: &str) -> Arc<str> {
        self.filled.get_key_value(name).map_or_else(|| Arc::from(name), |(shared, _)| shared.clone())
    }

    /// Forgets an allocation altogether.
    pub(super) fn unlist(&mut self, alloc: &Alloc) {
        self.live.remove(&alloc.id);
        self.ended.remove(&alloc.id);
        self.vacate(alloc);
        self.lost.remove(&(alloc.group.clone(), alloc.index, alloc.id));
    }

    /// Returns what is remembered of a group.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<&GroupState> {
        self.groups.get(name)
    }
}

/// A machine with an agent.
#[derive(Clone, Debug)]
pub struct NodeRecord {
    /// What its agent says of it; shared, because a record is copied for every snapshot that it changes after.
    pub identity: Arc<NodeIdentity>,
    /// Grows with every registration.
    pub generation: Generation,
    /// Whether it answers.
    pub liveness: Liveness,
    /// Whether it takes new work.
    pub eligibility: Eligibility,
    /// Since when its liveness is what it is.
    pub since: Timestamp,
    /// When it first registered.
    pub registered_at: Timestamp,
    /// Allocations that are counted.
    pub taking: usize,
    /// What counted allocations and foreign ones take.
    pub used: Resources,
    /// Host ports that are taken.
    pub ports: Ports,
    /// Where the search for the next dynamic port begins, so that a port is not given out again at once.
    pub port_cursor: u16,
    /// Allocations placed here that are not yet collected.
    pub allocs: OrdSet<AllocId>,
    /// What it runs that this state does not know.
    pub foreign: BTreeMap<AllocId, Resources>,
    /// What was taken when it registered last. It may be more than the node has: its agent keeps running what it runs, also on
    /// a machine that was made smaller, or for servers that do not know it. Only placing more is ours to refuse.
    pub brought: Resources,
    /// When it registered last.
    pub registered: Revision,
    /// It is being emptied, or was; none: its work stays.
    pub drain: Option<Drain>,
}

impl NodeRecord {
    /// Returns what is free.
    #[must_use]
    pub fn free(&self) -> Resources {
        Resources {
            cpu_millis: self.identity.capacity.cpu_millis.saturating_sub(self.used.cpu_millis),
            memory_bytes: self.identity.capacity.memory_bytes.saturating_sub(self.used.memory_bytes),
        }
    }

    /// Returns whether its work is to move to other nodes.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.drain.as_ref().is_some_and(|drain| drain.complete.is_none())
    }

    /// Returns whether new work may be placed here.
    #[must_use]
    pub fn takes_work(&self) -> bool {
        self.liveness == Liveness::Up && self.eligibility == Eligibility::Eligible
    }
}

/// One placed instance of a group.
#[derive(Clone, Debug)]
pub struct Alloc {
    /// Its id.
    pub id: AllocId,
    /// Its job.
    pub job: Arc<JobKey>,
    /// The version it runs.
    pub version: JobVersion,
    /// The version in which its work began.
    pub work: JobVersion,
    /// Its group.
    pub group: Arc<str>,
    /// Its slot.
    pub index: u32,
    /// Its node; it never moves.
    pub node: NodeId,
    /// What servers want.
    pub desired: Desired,
    /// What the agent saw.
    pub state: AllocState,
    /// What it saw of the tasks.
    pub tasks: Arc<[TaskStatus]>,
    /// The registration and the number of the report that this is from.
    pub reported: (Generation, u64),
    /// Its node was lost; it may still run.
    pub lost: bool,
    /// When it was.
    pub lost_at: Option<Timestamp>,
    /// Has run long enough to be believed.
    pub healthy: bool,
    /// Since when all its tasks run.
    pub running_since: Option<Timestamp>,
    /// Whether it takes room on its node: until its end is reported, or its node is lost.
    pub counted: bool,
    /// What it takes.
    pub resources: Resources,
    /// Host ports, in the order of their names.
    pub ports: Arc<[(String, u16)]>,
    /// When it was placed.
    pub created_at: Timestamp,
    /// The revision that placed it.
    pub created: Revision,
    /// The last revision that changed what its agent must know.
    pub modified: Revision,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it is on its node.
    pub reason: PlaceReason,
    /// The allocation it replaces.
    pub previous: Option<AllocId>,
    /// Replacements of its slot after failures, this one included.
    pub replacements: u32,
    /// So long after its node was heard last it runs at most; none: it has no fence. As it was when it was placed: a lease that is made
    /// shorter later must not make anybody wait less.
    pub fence: Option<Duration>,
}

impl Alloc {
    /// Returns whether it fills its slot: wanted, not ended, not lost.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !self.has_ended() && !self.lost && self.desired == Desired::Run
    }

    /// Returns whether nothing of it runs any more and nothing will.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.state.has_ended()
    }

    /// Returns `job.group.index`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}.{}.{}", self.job.name, self.group, self.index)
    }
}

/// Returns the static ports of a group.
pub fn static_ports(ports: &BTreeMap<String, Port>) -> impl Iterator<Item = u16> {
    ports.values().filter_map(|port| match port {
        Port::Static(number) => Some(*number),
        Port::Dynamic => None,
    })
}
