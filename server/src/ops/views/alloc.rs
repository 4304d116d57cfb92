//! One allocation as people and scripts read it.

use std::borrow::Cow;

use proto::ids::NodeId;
use proto::model::{Desired, EndReason, TaskEnd, TaskPhase, TaskStatus};
use proto::view::{AllocView, TaskView};

use super::next::{Prospect, after};
use super::words::rough;
use crate::core::state::{Alloc, State, stop_word};

/// Shows an allocation.
#[must_use]
pub fn alloc(state: &State, alloc: &Alloc) -> AllocView {
    let record = state.jobs.get(alloc.job.as_ref());
    let prospect = record.and_then(|record| Prospect::of(state, record, &alloc.group));
    alloc_of(state, alloc, prospect.as_ref())
}

/// The same where it is known already how its group goes on.
pub(super) fn alloc_of(state: &State, alloc: &Alloc, prospect: Option<&Prospect<'_>>) -> AllocView {
    let (desired, stop_reason) = match alloc.desired {
        Desired::Run => ("run", ""),
        Desired::Stop(reason) => ("stop", stop_word(reason)),
    };
    AllocView {
        id: alloc.id,
        name: alloc.name(),
        namespace: alloc.job.namespace.clone(),
        job: alloc.job.name.clone(),
        version: alloc.version,
        group: alloc.group.to_string(),
        index: alloc.index,
        node: alloc.node,
        node_name: node_name(state, alloc.node).into_owned(),
        desired: desired.to_owned(),
        stop_reason: stop_reason.to_owned(),
        state: alloc.state,
        healthy: alloc.healthy,
        lost: alloc.lost,
        draining: alloc.is_active() && state.nodes.is_draining(alloc.node),
        created_at: alloc.created_at,
        ended_at: alloc.ended_at,
        ports: alloc.ports.iter().cloned().collect(),
        replaces: alloc.previous,
        replacements: alloc.replacements,
        next: after(alloc, prospect),
        tasks: alloc.tasks.iter().map(task).collect(),
    }
}

fn task(task: &TaskStatus) -> TaskView {
    let next_start_at = match task.phase {
        TaskPhase::Backoff(until) => Some(until),
        _ => None,
    };
    TaskView {
        name: task.name.clone(),
        phase: task.phase.word().to_owned(),
        attempt: task.attempt,
        window_try: task.window_try,
        window_tries: task.window_tries,
        pid: Some(task.pid).filter(|pid| *pid != 0),
        started_at: task.started_at,
        next_start_at,
        last_end: task.last_end.clone(),
        last_end_text: task.last_end.as_ref().map_or(String::new(), end_text),
        usage: None,
    }
}

/// Says how a try ended: `exit code 7 after 2.3s`. What never ran took no time.
fn end_text(end: &TaskEnd) -> String {
    if matches!(end.reason, EndReason::StartFailed { .. }) {
        return end.reason.to_string();
    }
    format!("{} after {}", end.reason, rough(end.ran))
}

/// Returns the name of a node, or its id when the node is not known.
#[must_use]
pub fn node_name(state: &State, id: NodeId) -> Cow<'_, str> {
    match state.nodes.get(&id) {
        Some(node) => Cow::Borrowed(&node.identity.name),
        None => Cow::Owned(id.to_string()),
    }
}
