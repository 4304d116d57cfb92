//! Commands: what the log holds.

use std::time::Duration;

use prost::Message as _;
use proto::ids::{
    AllocId, Generation, Incarnation, JobKey, JobVersion, NodeId, RequestId, Revision, ServerId,
};
use proto::model::{Eligibility, Liveness, StopReason};
use proto::time::{Timestamp, millis};
use proto::wire::{BadMessage, agent, job, status, v1};

use super::members::{
    authority_from_wire, authority_to_wire, deny_from_wire, deny_to_wire, token_from_wire, token_to_wire,
};
use super::settings::{change_from_wire, change_to_wire, settings_from_wire, settings_to_wire};
use super::{BadRecord, STATE_VERSION, need};
use crate::core::state::{
    Command, DrainStep, Edge, Gc, Kind, LivenessChange, PlaceReason, Plan, PlanItem, PlanRun, PlanStop,
    PlanUpdate, PlanWait, RunnerUp,
};

/// Writes a command as bytes for the log.
#[must_use]
pub fn encode_command(command: &Command) -> Vec<u8> {
    let request =
        if command.request.is_none() { Vec::new() } else { command.request.0.to_be_bytes().to_vec() };
    v1::Command {
        now_ms: command.now.0,
        request_id: request.into(),
        actor: command.actor.clone(),
        kind: Some(kind_to_wire(&command.kind)),
    }
    .encode_to_vec()
}

/// Reads a command from the log.
///
/// # Errors
/// [`BadRecord`] when the bytes are no command that this version knows. A server that meets one must stop: applying
/// the rest without it would make it differ from its peers.
pub fn decode_command(bytes: &[u8]) -> Result<Command, BadRecord> {
    let command = v1::Command::decode(bytes)?;
    let request = match command.request_id.as_ref() {
        [] => RequestId::default(),
        bytes => RequestId(u128::from_be_bytes(need(bytes.try_into().ok(), "request_id")?)),
    };
    Ok(Command {
        now: Timestamp(command.now_ms),
        request,
        actor: command.actor,
        kind: kind_from_wire(need(command.kind, "kind")?)?,
    })
}

/// Returns a number that differs, but for a chance of 1 in 2^64, when what is asked for differs (FNV-1a).
#[must_use]
pub fn body_hash(kind: &Kind) -> u64 {
    let bytes = v1::Command { kind: Some(kind_to_wire(kind)), ..Default::default() }.encode_to_vec();
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

fn kind_to_wire(kind: &Kind) -> v1::command::Kind {
    use v1::command::Kind as Wire;
    match kind {
        Kind::BeginReign { server, boot_nonce, incarnation } => Wire::BeginReign(v1::BeginReign {
            server: server.0,
            boot_nonce: *boot_nonce,
            incarnation: incarnation.0,
        }),
        Kind::PutJob { job, expected, message } => Wire::PutJob(v1::PutJob {
            job: Some(job::to_wire(job)),
            expected_version: expected.map(|version| version.0),
            message: message.clone(),
        }),
        Kind::StopJob { key, purge } => Wire::StopJob(stop_job_to_wire(key, *purge)),
        Kind::ScaleJob { key, group, count } => Wire::ScaleJob(scale_to_wire(key, group, *count)),
        Kind::StartJob { key } => {
            Wire::StartJob(v1::StartJob { namespace: key.namespace.clone(), name: key.name.clone() })
        }
        Kind::RevertJob { key, to } => Wire::RevertJob(revert_to_wire(key, *to)),
        Kind::RestartJob { key, at_once } => Wire::RestartJob(restart_to_wire(key, *at_once)),
        Kind::RestartAlloc { alloc } => Wire::RestartAlloc(v1::RestartAlloc { alloc: alloc.0 }),
        Kind::DrainNode { node, step } => Wire::DrainNode(drain_to_wire(*node, step)),
        Kind::PurgeNode { node } => Wire::PurgeNode(v1::PurgeNode { node: node.0 }),
        Kind::ApplyPlan(plan) => Wire::ApplyPlan(plan_to_wire(plan)),
        Kind::RegisterNode { identity, held, seen } => Wire::RegisterNode(v1::RegisterNode {
            identity: Some(agent::identity_to_wire(identity)),
            seen: seen.map(|revision| revision.0),
            held: held.iter().map(held_to_wire).collect(),
        }),
        Kind::NodeLiveness(list) => {
            Wire::NodeLiveness(v1::NodeLiveness { changes: list.iter().map(liveness_to_wire).collect() })
        }
        Kind::NodeEligibility { node, eligibility } => Wire::NodeEligibility(v1::NodeEligibility {
            node: node.0,
            eligible: *eligibility == Eligibility::Eligible,
        }),
        Kind::AllocStatus { node, generation, statuses } => Wire::AllocStatus(v1::PutAllocStatus {
            node: node.0,
            generation: generation.0,
            statuses: statuses.iter().map(status::to_wire).collect(),
        }),
        Kind::PutHealth { healthy } => {
            Wire::PutHealth(v1::PutHealth { healthy: healthy.iter().map(|id| id.0).collect() })
        }
        Kind::PutSettings(settings) => {
            Wire::PutSettings(v1::PutSettings { settings: Some(settings_to_wire(settings)) })
        }
        Kind::RestoreChunk { upload, offset, data } => {
            Wire::RestoreChunk(v1::RestoreChunk { upload: *upload, offset: *offset, data: data.clone() })
        }
        Kind::Restore { upload, bytes, incarnation, force } => {
            Wire::Restore(restore_to_wire(*upload, *bytes, *incarnation, *force))
        }
        Kind::SetSettings(list) => {
            Wire::SetSettings(v1::SetSettings { changes: list.iter().map(change_to_wire).collect() })
        }
        Kind::Gc(gc) => Wire::Gc(v1::Gc { allocs: gc.allocs.iter().map(|id| id.0).collect() }),
        Kind::PutAuthority(authority) => {
            Wire::PutAuthority(v1::PutAuthority { authority: Some(authority_to_wire(authority)) })
        }
        Kind::PutOperatorToken(token) => {
            Wire::PutOperatorToken(v1::PutOperatorToken { token: Some(token_to_wire(token)) })
        }
        Kind::DenyMember { id, denied } => Wire::DenyMember(deny_to_wire(*id, denied.as_ref())),
        Kind::HoldLost(nodes) => {
            Wire::HoldLost(v1::HoldLost { nodes: nodes.iter().map(|node| node.0).collect() })
        }
        Kind::ReleaseLost => Wire::ReleaseLost(v1::ReleaseLost {}),
        Kind::RaiseLevel(level) => Wire::RaiseLevel(v1::RaiseLevel { level: *level }),
    }
}

fn kind_from_wire(kind: v1::command::Kind) -> Result<Kind, BadMessage> {
    use v1::command::Kind as Wire;
    Ok(match kind {
        Wire::BeginReign(begin) => Kind::BeginReign {
            server: ServerId(begin.server),
            boot_nonce: begin.boot_nonce,
            incarnation: Incarnation(begin.incarnation),
        },
        Wire::PutJob(put) => Kind::PutJob {
            job: Box::new(job::from_wire(need(put.job, "job")?)?),
            expected: put.expected_version.map(JobVersion),
            message: put.message,
        },
        Wire::StopJob(stop) => {
            Kind::StopJob { key: JobKey::new(stop.namespace, stop.name), purge: stop.purge }
        }
        Wire::ScaleJob(scale) => Kind::ScaleJob {
            key: JobKey::new(scale.namespace, scale.name),
            group: scale.group,
            count: scale.count,
        },
        Wire::StartJob(start) => Kind::StartJob { key: JobKey::new(start.namespace, start.name) },
        Wire::RevertJob(revert) => {
            Kind::RevertJob { key: JobKey::new(revert.namespace, revert.name), to: JobVersion(revert.to) }
        }
        Wire::RestartJob(restart) => {
            Kind::RestartJob { key: JobKey::new(restart.namespace, restart.name), at_once: restart.at_once }
        }
        Wire::RestartAlloc(restart) => Kind::RestartAlloc { alloc: AllocId(restart.alloc) },
        Wire::DrainNode(drain) => {
            Kind::DrainNode { node: NodeId(drain.node), step: drain_from_wire(need(drain.step, "step")?) }
        }
        Wire::HoldLost(hold) => Kind::HoldLost(hold.nodes.into_iter().map(NodeId).collect()),
        Wire::ReleaseLost(v1::ReleaseLost {}) => Kind::ReleaseLost,
        Wire::RaiseLevel(raise) => {
            Kind::RaiseLevel(need(Some(raise.level).filter(|level| *level <= STATE_VERSION), "level")?)
        }
        Wire::PurgeNode(purge) => Kind::PurgeNode { node: NodeId(purge.node) },
        Wire::ApplyPlan(plan) => Kind::ApplyPlan(plan_from_wire(plan)?),
        Wire::RegisterNode(register) => Kind::RegisterNode {
            identity: agent::identity_from_wire(need(register.identity, "identity")?)?,
            held: register.held.into_iter().map(held_from_wire).collect::<Result<_, _>>()?,
            seen: register.seen.map(Revision),
        },
        Wire::NodeLiveness(list) => {
            Kind::NodeLiveness(list.changes.into_iter().map(|change| liveness_from_wire(&change)).collect())
        }
        Wire::NodeEligibility(node) => Kind::NodeEligibility {
            node: NodeId(node.node),
            eligibility: if node.eligible { Eligibility::Eligible } else { Eligibility::Cordoned },
        },
        Wire::AllocStatus(put) => Kind::AllocStatus {
            node: NodeId(put.node),
            generation: Generation(put.generation),
            statuses: put.statuses.into_iter().map(status::from_wire).collect::<Result<_, _>>()?,
        },
        Wire::PutHealth(put) => Kind::PutHealth { healthy: put.healthy.into_iter().map(AllocId).collect() },
        Wire::PutSettings(put) => Kind::PutSettings(settings_from_wire(&need(put.settings, "settings")?)),
        Wire::SetSettings(set) => {
            Kind::SetSettings(set.changes.iter().map(change_from_wire).collect::<Result<_, _>>()?)
        }
        Wire::PutAuthority(put) => Kind::PutAuthority(authority_from_wire(need(put.authority, "authority")?)),
        Wire::DenyMember(deny) => deny_from_wire(deny),
        Wire::PutOperatorToken(put) => Kind::PutOperatorToken(token_from_wire(&need(put.token, "token")?)?),
        Wire::RestoreChunk(chunk) => {
            Kind::RestoreChunk { upload: chunk.upload, offset: chunk.offset, data: chunk.data }
        }
        Wire::Restore(restore) => restore_from_wire(&restore),
        Wire::Gc(gc) => Kind::Gc(Gc { allocs: gc.allocs.into_iter().map(AllocId).collect() }),
    })
}

fn restore_from_wire(restore: &v1::Restore) -> Kind {
    let v1::Restore { upload, bytes, incarnation, force } = *restore;
    Kind::Restore { upload, bytes, incarnation: Incarnation(incarnation), force }
}

fn drain_to_wire(node: NodeId, step: &DrainStep) -> v1::DrainNode {
    use v1::drain_node::{Advance, Begin, Cancel, Step};
    let step = match step {
        DrainStep::Begin { deadline, message } => {
            Step::Begin(Begin { deadline_ms: deadline.map(millis), message: message.clone() })
        }
        DrainStep::Cancel => Step::Cancel(Cancel {}),
        DrainStep::Advance => Step::Advance(Advance {}),
    };
    v1::DrainNode { node: node.0, step: Some(step) }
}

fn drain_from_wire(step: v1::drain_node::Step) -> DrainStep {
    use v1::drain_node::Step;
    match step {
        Step::Begin(begin) => DrainStep::Begin {
            deadline: begin.deadline_ms.map(Duration::from_millis),
            message: begin.message,
        },
        Step::Cancel(_) => DrainStep::Cancel,
        Step::Advance(_) => DrainStep::Advance,
    }
}

fn stop_job_to_wire(key: &JobKey, purge: bool) -> v1::StopJob {
    v1::StopJob { namespace: key.namespace.clone(), name: key.name.clone(), purge }
}

fn revert_to_wire(key: &JobKey, to: JobVersion) -> v1::RevertJob {
    v1::RevertJob { namespace: key.namespace.clone(), name: key.name.clone(), to: to.0 }
}

fn restart_to_wire(key: &JobKey, at_once: bool) -> v1::RestartJob {
    v1::RestartJob { namespace: key.namespace.clone(), name: key.name.clone(), at_once }
}

const fn restore_to_wire(upload: u64, bytes: u64, incarnation: Incarnation, force: bool) -> v1::Restore {
    v1::Restore { upload, bytes, incarnation: incarnation.0, force }
}

fn scale_to_wire(key: &JobKey, group: &str, count: u32) -> v1::ScaleJob {
    let (namespace, name) = (key.namespace.clone(), key.name.clone());
    v1::ScaleJob { namespace, name, group: group.to_owned(), count }
}

fn held_to_wire(
    (incarnation, report, resources): &(Incarnation, proto::model::AllocStatus, proto::model::Resources),
) -> v1::Held {
    v1::Held {
        incarnation: incarnation.0,
        status: Some(status::to_wire(report)),
        resources: Some(job::resources_to_wire(*resources)),
    }
}

/// Reads what an agent holds: the incarnation it was placed in, what it is, what it takes.
fn held_from_wire(
    held: v1::Held,
) -> Result<(Incarnation, proto::model::AllocStatus, proto::model::Resources), BadMessage> {
    let resources = held.resources.map(job::resources_from_wire).unwrap_or_default();
    Ok((Incarnation(held.incarnation), status::from_wire(need(held.status, "status")?)?, resources))
}

fn liveness_to_wire(change: &LivenessChange) -> v1::node_liveness::Change {
    v1::node_liveness::Change {
        node: change.node.0,
        generation: change.generation.0,
        up: change.liveness == Liveness::Up,
    }
}

fn liveness_from_wire(change: &v1::node_liveness::Change) -> LivenessChange {
    LivenessChange {
        node: NodeId(change.node),
        generation: Generation(change.generation),
        liveness: if change.up { Liveness::Up } else { Liveness::Down },
    }
}

fn plan_to_wire(plan: &Plan) -> v1::ApplyPlan {
    let run = |run: &PlanRun| v1::PlanRun {
        node: run.node.0,
        generation: run.generation.0,
        first_index: run.first_index,
        count: run.count,
        reason: reason_to_wire(run.reason),
    };
    let item = |item: &PlanItem| v1::PlanItem {
        namespace: item.job.namespace.clone(),
        job: item.job.name.clone(),
        version: item.version.0,
        group: item.group.clone(),
        runs: item.runs.iter().map(run).collect(),
    };
    let wait = |wait: &PlanWait| v1::PlanWait {
        namespace: wait.job.namespace.clone(),
        job: wait.job.name.clone(),
        version: wait.version.0,
        group: wait.group.clone(),
        why: wait.why.clone(),
        count: wait.count,
    };
    let stop =
        |stop: &PlanStop| v1::PlanStop { alloc: stop.alloc.0, reason: stop_to_wire(stop.reason).into() };
    let update = |update: &PlanUpdate| v1::PlanUpdate { alloc: update.alloc.0, version: update.version.0 };
    v1::ApplyPlan {
        reign: plan.reign.0,
        seq: plan.seq,
        items: plan.items.iter().map(item).collect(),
        stops: plan.stops.iter().map(stop).collect(),
        waits: plan.waits.iter().map(wait).collect(),
        updates: plan.updates.iter().map(update).collect(),
    }
}

fn plan_from_wire(plan: v1::ApplyPlan) -> Result<Plan, BadMessage> {
    let run = |run: v1::PlanRun| PlanRun {
        node: NodeId(run.node),
        generation: Generation(run.generation),
        first_index: run.first_index,
        count: run.count,
        reason: reason_from_wire(run.reason),
    };
    let item = |item: v1::PlanItem| PlanItem {
        job: JobKey::new(item.namespace, item.job),
        version: JobVersion(item.version),
        group: item.group,
        runs: item.runs.into_iter().map(run).collect(),
    };
    let wait = |wait: v1::PlanWait| PlanWait {
        job: JobKey::new(wait.namespace, wait.job),
        version: JobVersion(wait.version),
        group: wait.group,
        count: wait.count,
        why: wait.why,
    };
    let stop = |stop: v1::PlanStop| {
        Ok(PlanStop { alloc: AllocId(stop.alloc), reason: stop_from_wire(stop.reason)? })
    };
    Ok(Plan {
        reign: Revision(plan.reign),
        seq: plan.seq,
        items: plan.items.into_iter().map(item).collect(),
        stops: plan.stops.into_iter().map(stop).collect::<Result<_, BadMessage>>()?,
        updates: plan
            .updates
            .into_iter()
            .map(|update| PlanUpdate { alloc: AllocId(update.alloc), version: JobVersion(update.version) })
            .collect(),
        waits: plan.waits.into_iter().map(wait).collect(),
    })
}

pub(super) fn reason_to_wire(reason: PlaceReason) -> Option<v1::PlaceReason> {
    let PlaceReason { nodes, feasible, copies, preferred, same_node, runner_up } = reason;
    (reason != PlaceReason::default()).then_some(v1::PlaceReason {
        nodes,
        feasible,
        copies,
        preferred,
        same_node,
        runner_up: runner_up.map_or(0, |next| next.node.0),
        edge: runner_up.map_or(v1::PlaceEdge::Unspecified, |next| edge_to_wire(next.edge)).into(),
    })
}

pub(super) fn reason_from_wire(reason: Option<v1::PlaceReason>) -> PlaceReason {
    reason.map_or(PlaceReason::default(), |reason| PlaceReason {
        nodes: reason.nodes,
        feasible: reason.feasible,
        copies: reason.copies,
        preferred: reason.preferred,
        same_node: reason.same_node,
        runner_up: runner_up_from_wire(reason.runner_up, reason.edge),
    })
}

const fn edge_to_wire(edge: Edge) -> v1::PlaceEdge {
    match edge {
        Edge::Liking => v1::PlaceEdge::Liking,
        Edge::Spread => v1::PlaceEdge::Spread,
        Edge::Domain => v1::PlaceEdge::Domain,
        Edge::Copies => v1::PlaceEdge::Copies,
        Edge::Fit => v1::PlaceEdge::Fit,
        Edge::Id => v1::PlaceEdge::Id,
    }
}

/// Reads the next best node. One whose edge is not known here is not told: nothing goes by it.
fn runner_up_from_wire(node: u64, edge: i32) -> Option<RunnerUp> {
    let edge = match v1::PlaceEdge::try_from(edge) {
        Ok(v1::PlaceEdge::Liking) => Edge::Liking,
        Ok(v1::PlaceEdge::Spread) => Edge::Spread,
        Ok(v1::PlaceEdge::Domain) => Edge::Domain,
        Ok(v1::PlaceEdge::Copies) => Edge::Copies,
        Ok(v1::PlaceEdge::Fit) => Edge::Fit,
        Ok(v1::PlaceEdge::Id) => Edge::Id,
        _ => return None,
    };
    Some(RunnerUp { node: NodeId(node), edge }).filter(|next| next.node.0 != 0)
}

pub(super) fn stop_to_wire(reason: StopReason) -> v1::StopReason {
    match reason {
        StopReason::JobStopped => v1::StopReason::JobStopped,
        StopReason::ScaledDown => v1::StopReason::ScaledDown,
        StopReason::Replaced => v1::StopReason::Replaced,
        StopReason::NodeLost => v1::StopReason::NodeLost,
        StopReason::Restarted => v1::StopReason::Restarted,
        StopReason::NodeUnsuitable => v1::StopReason::NodeUnsuitable,
        StopReason::Preempted => v1::StopReason::Preempted,
        StopReason::Drained => v1::StopReason::Drained,
        StopReason::NotMoved => v1::StopReason::NotMoved,
    }
}

pub(super) fn stop_from_wire(reason: i32) -> Result<StopReason, BadMessage> {
    Ok(match v1::StopReason::try_from(reason) {
        Ok(v1::StopReason::JobStopped) => StopReason::JobStopped,
        Ok(v1::StopReason::ScaledDown) => StopReason::ScaledDown,
        Ok(v1::StopReason::Replaced) => StopReason::Replaced,
        Ok(v1::StopReason::NodeLost) => StopReason::NodeLost,
        Ok(v1::StopReason::Restarted) => StopReason::Restarted,
        Ok(v1::StopReason::NodeUnsuitable) => StopReason::NodeUnsuitable,
        Ok(v1::StopReason::Preempted) => StopReason::Preempted,
        Ok(v1::StopReason::Drained) => StopReason::Drained,
        Ok(v1::StopReason::NotMoved) => StopReason::NotMoved,
        _ => return Err(BadMessage { field: "stop_reason" }),
    })
}
