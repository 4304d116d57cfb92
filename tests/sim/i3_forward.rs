//! I3: every field has one writer, and what was observed only moves forward.

use std::sync::Arc;

use proto::model::Desired;
use server::core::state::{Alloc, DrainStep, Kind};

use crate::laws::{Step, must};
use crate::sim::Broken;

const LAW: &str = "i3_forward";

/// Has no memory: it compares the state before a command with the one after.
#[derive(Default)]
pub struct Forward;

impl Forward {
    pub fn step(&self, step: &Step<'_>) -> Result<(), Broken> {
        must(LAW, step.after.revision.0 == step.before.revision.0 + 1, || {
            "a command is one revision".into()
        })?;
        must(LAW, step.after.now >= step.before.now, || "state time went back".into())?;
        must(LAW, step.after.next_id >= step.before.next_id, || "next_id went back".into())?;
        for (id, after) in step.after.allocs.iter() {
            if let Some(before) = step.before.allocs.get(id) {
                unmoved(before, after)?;
                observed(&step.command.kind, before, after)?;
                desired(&step.command.kind, before, after)?;
            }
        }
        for (id, after) in step.after.nodes.iter() {
            if let Some(before) = step.before.nodes.get(id) {
                let registers = matches!(step.command.kind, Kind::RegisterNode { .. });
                let same = before.generation == after.generation;
                must(LAW, same || registers, || format!("the generation of {} changed", id.0))?;
                must(LAW, after.generation >= before.generation, || "a generation went back".into())?;
            }
        }
        Ok(())
    }
}

fn unmoved(before: &Alloc, after: &Alloc) -> Result<(), Broken> {
    let same = before.job == after.job
        && before.group == after.group
        && before.index == after.index
        && before.node == after.node
        && before.work == after.work
        && before.resources == after.resources
        && before.ports == after.ports
        && before.created == after.created
        && before.previous == after.previous;
    must(LAW, same, || format!("alloc {} became another one", before.id.0))?;
    must(LAW, after.version >= before.version, || format!("the version of {} went back", before.id.0))
}

/// Written by the owning agent: its reports, and what it says or does not say when it registers.
fn observed(kind: &Kind, before: &Alloc, after: &Alloc) -> Result<(), Broken> {
    let id = before.id.0;
    let changed = before.state != after.state
        || before.reported != after.reported
        || !(Arc::ptr_eq(&before.tasks, &after.tasks) || before.tasks == after.tasks);
    let by_agent = match kind {
        Kind::AllocStatus { node, .. } => *node == after.node,
        Kind::RegisterNode { identity, .. } => identity.id == after.node,
        _ => false,
    };
    must(LAW, !changed || by_agent, || format!("{kind:?} changed what was seen of {id}"))?;
    let forward = before.state == after.state || before.state.may_become(after.state);
    must(LAW, forward, || format!("{id} went from {:?} to {:?}", before.state, after.state))?;
    must(LAW, after.reported >= before.reported, || format!("an older report of {id} was taken"))?;
    let rests = !before.state.has_ended() || (!changed && before.ended_at == after.ended_at);
    must(LAW, rests, || format!("{id} has ended and changed"))
}

/// Written by plans, by the return of a node whose work was replaced, by a person who restarts this one, and by the drain of its node.
fn desired(kind: &Kind, before: &Alloc, after: &Alloc) -> Result<(), Broken> {
    let id = before.id.0;
    let by_server = match kind {
        Kind::ApplyPlan(_) | Kind::RegisterNode { .. } => true,
        Kind::RestartAlloc { alloc } => *alloc == before.id,
        Kind::DrainNode { node, step: DrainStep::Advance } => *node == before.node,
        _ => false,
    };
    let changed = before.desired != after.desired;
    must(LAW, !changed || by_server, || format!("{kind:?} changed what is wanted of {id}"))?;
    must(LAW, !changed || before.desired == Desired::Run, || format!("the order to stop {id} was changed"))?;
    let healthier = after.healthy && !before.healthy;
    must(LAW, !healthier || matches!(kind, Kind::PutHealth { .. }), || {
        format!("{kind:?} made {id} healthy")
    })?;
    let lost = after.lost && !before.lost;
    let by_absence = matches!(kind, Kind::NodeLiveness(_) | Kind::RegisterNode { .. });
    must(LAW, !lost || by_absence, || format!("{kind:?} lost {id}"))
}
