//! Rows of the state's tables, as snapshots keep them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proto::ids::{AllocId, Generation, JobKey, JobVersion, NodeId, Revision};
use proto::model::{
    AllocStatus, Desired, Eligibility, Event, EventKind, Liveness, Resources, Severity, Subject, SubjectJob,
};
use proto::time::{Timestamp, millis};
use proto::wire::{BadMessage, agent, job, status, v1};

use super::command::{reason_from_wire, reason_to_wire, stop_from_wire, stop_to_wire};
use super::need;
use crate::core::state::{
    Alloc, Drain, GroupState, JobRecord, NodeRecord, Restarting, Slot, VersionRecord, Wait,
};

pub(super) fn job_to_wire(record: &JobRecord) -> v1::JobRecord {
    let version = |version: &Arc<VersionRecord>| v1::JobVersionRecord {
        version: version.version.0,
        job: Some(job::to_wire(&version.job)),
        at_ms: version.at.0,
        actor: version.actor.clone(),
        message: version.message.clone(),
        revision: version.revision.0,
        work: version.work.iter().map(|(name, work)| (name.clone(), work.0)).collect(),
        at_once: version.at_once,
    };
    v1::JobRecord {
        namespace: record.key.namespace.clone(),
        name: record.key.name.clone(),
        stopped: record.stopped,
        purge: record.purge,
        created_ms: record.created_at.0,
        created_revision: record.created.0,
        modified_revision: record.modified.0,
        versions: record.versions.iter().map(version).collect(),
        groups: record.groups.iter().map(|(name, group)| (name.clone(), group_to_wire(group))).collect(),
        completion_announced: record.completion_announced,
    }
}

/// Reads a job; which allocations it has follows from theirs.
pub(super) fn job_from_wire(record: v1::JobRecord) -> Result<JobRecord, BadMessage> {
    let version = |version: v1::JobVersionRecord| {
        Ok(Arc::new(VersionRecord {
            version: JobVersion(version.version),
            job: Arc::new(job::from_wire(need(version.job, "job")?)?),
            at: Timestamp(version.at_ms),
            actor: version.actor,
            message: version.message,
            revision: Revision(version.revision),
            work: version.work.into_iter().map(|(name, work)| (name, JobVersion(work))).collect(),
            at_once: version.at_once,
        }))
    };
    let versions: Vec<_> = record.versions.into_iter().map(version).collect::<Result<_, BadMessage>>()?;
    need((!versions.is_empty()).then_some(()), "versions")?;
    Ok(JobRecord {
        key: Arc::new(JobKey::new(record.namespace, record.name)),
        stopped: record.stopped,
        purge: record.purge,
        created_at: Timestamp(record.created_ms),
        created: Revision(record.created_revision),
        modified: Revision(record.modified_revision),
        versions,
        live: Default::default(),
        ended: Default::default(),
        filled: Default::default(),
        leaving: Default::default(),
        lost: Default::default(),
        groups: record.groups.into_iter().map(|(name, group)| (name, group_from_wire(group))).collect(),
        completion_announced: record.completion_announced,
    })
}

fn group_to_wire(group: &GroupState) -> v1::GroupRecord {
    let slot = |slot: &Slot| v1::SlotRecord {
        last: slot.last.0,
        node: slot.node.0,
        replacements: slot.replacements,
        failed_ms: slot.failed_at.0,
        due_ms: slot.due.map(|due| due.0),
    };
    let restart = |one: &Restarting| v1::RestartRecord { last: one.last.0, node: one.node.0 };
    let wait = group.wait.as_ref();
    v1::GroupRecord {
        restarts: group.restarts.iter().map(|(index, one)| (*index, restart(one))).collect(),
        done: group.done.iter().copied().collect(),
        failed: group.failed.iter().map(|(index, failed)| (*index, slot(failed))).collect(),
        node_slots: group.node_slots.iter().map(|(node, slot)| (node.0, slot)).collect(),
        avoid: group.avoid.iter().map(|node| node.0).collect(),
        waiting_count: wait.map_or(0, |wait| wait.count),
        waiting_why: wait.map_or(String::new(), |wait| wait.why.clone()),
        waiting_since_ms: wait.map_or(0, |wait| wait.since.0),
    }
}

fn group_from_wire(group: v1::GroupRecord) -> GroupState {
    let slot = |slot: v1::SlotRecord| Slot {
        last: AllocId(slot.last),
        node: NodeId(slot.node),
        replacements: slot.replacements,
        failed_at: Timestamp(slot.failed_ms),
        due: slot.due_ms.map(Timestamp),
    };
    let restart = |one: v1::RestartRecord| Restarting { last: AllocId(one.last), node: NodeId(one.node) };
    let since = Timestamp(group.waiting_since_ms);
    let wait = Wait { count: group.waiting_count, why: group.waiting_why, since };
    GroupState {
        done: group.done.into_iter().collect(),
        failed: group.failed.into_iter().map(|(index, failed)| (index, slot(failed))).collect(),
        restarts: group.restarts.into_iter().map(|(index, one)| (index, restart(one))).collect(),
        node_slots: group.node_slots.into_iter().map(|(node, slot)| (NodeId(node), slot)).collect(),
        avoid: group.avoid.into_iter().map(NodeId).collect(),
        wait: Some(wait).filter(|wait| !wait.why.is_empty()),
    }
}

pub(super) fn node_to_wire(node: &NodeRecord) -> v1::NodeRecord {
    let foreign = node.foreign.iter().map(|(id, taken)| (id.0, job::resources_to_wire(*taken)));
    v1::NodeRecord {
        identity: Some(agent::identity_to_wire(&node.identity)),
        generation: node.generation.0,
        up: node.liveness == Liveness::Up,
        cordoned: node.eligibility == Eligibility::Cordoned,
        since_ms: node.since.0,
        foreign: foreign.collect(),
        port_cursor: u32::from(node.port_cursor),
        registered_ms: node.registered_at.0,
        registered: node.registered.0,
        drain: node.drain.as_ref().map(drain_to_wire),
        brought: (node.brought != Resources::default()).then(|| job::resources_to_wire(node.brought)),
    }
}

/// Reads a node; what its allocations take is added with them.
pub(super) fn node_from_wire(node: v1::NodeRecord) -> Result<NodeRecord, BadMessage> {
    let foreign: BTreeMap<_, _> =
        node.foreign.into_iter().map(|(id, taken)| (AllocId(id), job::resources_from_wire(taken))).collect();
    Ok(NodeRecord {
        identity: Arc::new(agent::identity_from_wire(need(node.identity, "identity")?)?),
        generation: Generation(node.generation),
        liveness: if node.up { Liveness::Up } else { Liveness::Down },
        eligibility: if node.cordoned { Eligibility::Cordoned } else { Eligibility::Eligible },
        since: Timestamp(node.since_ms),
        registered_at: Timestamp(node.registered_ms),
        used: foreign.values().fold(Default::default(), |sum: proto::model::Resources, part| sum.plus(*part)),
        taking: 0,
        ports: Default::default(),
        port_cursor: need(u16::try_from(node.port_cursor).ok(), "port_cursor")?,
        allocs: Default::default(),
        foreign,
        registered: Revision(node.registered),
        brought: node.brought.map(job::resources_from_wire).unwrap_or_default(),
        drain: node.drain.map(drain_from_wire),
    })
}

fn drain_to_wire(drain: &Drain) -> v1::DrainRecord {
    v1::DrainRecord {
        begun_ms: drain.begun.0,
        deadline_ms: drain.deadline.map(|at| at.0),
        actor: drain.actor.clone(),
        message: drain.message.clone(),
        was_cordoned: drain.was_cordoned,
        until_return: drain.until_return,
        complete_ms: drain.complete.map(|at| at.0),
        overdue: drain.overdue,
    }
}

fn drain_from_wire(drain: v1::DrainRecord) -> Drain {
    Drain {
        begun: Timestamp(drain.begun_ms),
        deadline: drain.deadline_ms.map(Timestamp),
        actor: drain.actor,
        message: drain.message,
        was_cordoned: drain.was_cordoned,
        until_return: drain.until_return,
        complete: drain.complete_ms.map(Timestamp),
        overdue: drain.overdue,
    }
}

pub(super) fn alloc_to_wire(alloc: &Alloc) -> v1::AllocRecord {
    let observed =
        AllocStatus { id: alloc.id, seq: alloc.reported.1, state: alloc.state, tasks: alloc.tasks.to_vec() };
    let reason = match alloc.desired {
        Desired::Run => None,
        Desired::Stop(reason) => Some(reason),
    };
    let port = |(name, port): &(String, u16)| v1::AllocPort { name: name.clone(), port: u32::from(*port) };
    v1::AllocRecord {
        id: alloc.id.0,
        namespace: alloc.job.namespace.clone(),
        job: alloc.job.name.clone(),
        version: alloc.version.0,
        group: alloc.group.to_string(),
        index: alloc.index,
        node: alloc.node.0,
        stop: reason.is_some(),
        stop_reason: reason.map_or(0, |reason| stop_to_wire(reason).into()),
        observed: Some(status::to_wire(&observed)),
        status_generation: alloc.reported.0.0,
        lost: alloc.lost,
        ports: alloc.ports.iter().map(port).collect(),
        created_ms: alloc.created_at.0,
        created_revision: alloc.created.0,
        modified_revision: alloc.modified.0,
        ended_ms: alloc.ended_at.map_or(0, |at| at.0),
        previous: alloc.previous.map_or(0, |id| id.0),
        replacements: alloc.replacements,
        resources: Some(job::resources_to_wire(alloc.resources)),
        running_since_ms: alloc.running_since.map_or(0, |at| at.0),
        healthy: alloc.healthy,
        lost_ms: alloc.lost_at.map_or(0, |at| at.0),
        work: alloc.work.0,
        counted: alloc.counted,
        reason: reason_to_wire(alloc.reason),
        fence_ms: alloc.fence.map_or(0, millis),
    }
}

pub(super) fn alloc_from_wire(record: v1::AllocRecord) -> Result<Alloc, BadMessage> {
    let observed = status::from_wire(need(record.observed, "observed")?)?;
    let some = |ms: u64| Some(Timestamp(ms)).filter(|at| at.0 != 0);
    let port = |port: v1::AllocPort| Ok((port.name, need(u16::try_from(port.port).ok(), "port")?));
    Ok(Alloc {
        id: AllocId(record.id),
        job: Arc::new(JobKey::new(record.namespace, record.job)),
        version: JobVersion(record.version),
        work: JobVersion(record.work),
        group: Arc::from(record.group),
        index: record.index,
        node: NodeId(record.node),
        desired: if record.stop { Desired::Stop(stop_from_wire(record.stop_reason)?) } else { Desired::Run },
        state: observed.state,
        tasks: observed.tasks.into(),
        reported: (Generation(record.status_generation), observed.seq),
        lost: record.lost,
        lost_at: some(record.lost_ms),
        healthy: record.healthy,
        running_since: some(record.running_since_ms),
        counted: record.counted,
        resources: job::resources_from_wire(need(record.resources, "resources")?),
        ports: record.ports.into_iter().map(port).collect::<Result<Vec<_>, BadMessage>>()?.into(),
        created_at: Timestamp(record.created_ms),
        created: Revision(record.created_revision),
        modified: Revision(record.modified_revision),
        ended_at: some(record.ended_ms),
        reason: reason_from_wire(record.reason),
        previous: Some(AllocId(record.previous)).filter(|id| id.0 != 0),
        replacements: record.replacements,
        fence: Some(Duration::from_millis(record.fence_ms)).filter(|fence| !fence.is_zero()),
    })
}

pub(super) fn event_to_wire(event: &Event) -> v1::EventRecord {
    let subject = &event.subject;
    let job = subject.job.as_ref();
    v1::EventRecord {
        revision: event.revision.0,
        ordinal: event.ordinal,
        time_ms: event.time.0,
        kind: event.kind as u32,
        severity: event.severity as u32,
        namespace: job.map_or(String::new(), |job| job.namespace.clone()),
        job: job.map_or(String::new(), |job| job.job.clone()),
        group: subject.group.clone().unwrap_or_default(),
        index: subject.index,
        alloc: subject.alloc.map_or(0, |id| id.0),
        task: subject.task.clone().unwrap_or_default(),
        node: subject.node.map_or(0, |id| id.0),
        reason: event.reason.clone(),
        message: event.message.clone(),
        tail: event.tail.clone(),
    }
}

pub(super) fn event_from_wire(record: v1::EventRecord) -> Result<Event, BadMessage> {
    let some = |text: String| Some(text).filter(|text| !text.is_empty());
    let severity = match record.severity {
        0 => Severity::Info,
        1 => Severity::Warning,
        2 => Severity::Critical,
        _ => return Err(BadMessage { field: "severity" }),
    };
    Ok(Event {
        revision: Revision(record.revision),
        ordinal: record.ordinal,
        time: Timestamp(record.time_ms),
        kind: need(EventKind::from_number(record.kind), "kind")?,
        severity,
        subject: Subject {
            job: some(record.job).map(|job| SubjectJob { namespace: record.namespace, job }),
            group: some(record.group),
            index: record.index,
            alloc: Some(AllocId(record.alloc)).filter(|id| id.0 != 0),
            task: some(record.task),
            node: Some(NodeId(record.node)).filter(|id| id.0 != 0),
            node_name: None,
        },
        reason: record.reason,
        message: record.message,
        tail: record.tail,
    })
}
