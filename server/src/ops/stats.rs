//! What an allocation uses now, asked of its agent while somebody looks at it; nothing of it is kept.

use proto::ids::{AllocId, RequestId};
use proto::view::{AllocView, TaskUsage};
use proto::wire::v1::{self, answer, ask};

use crate::agents::{Hub, Question};
use crate::limits::USAGE_WITHIN;

/// Adds to a document what each running task uses. A node that is not connected here or does not answer within 1 s leaves it out:
/// the rest is true without.
pub async fn add_usage(hub: &Hub, mut view: AllocView) -> AllocView {
    if view.tasks.iter().all(|task| task.pid.is_none()) {
        return view;
    }
    let mut known = usage(hub, &view).await.unwrap_or_default();
    for task in &mut view.tasks {
        task.usage = known.tasks.remove(&task.name).map(shown);
    }
    view
}

async fn usage(hub: &Hub, view: &AllocView) -> Option<v1::Usage> {
    let kind = ask::Kind::Usage(v1::ReadUsage {});
    let question = Question { alloc: AllocId(view.id.0), request: RequestId::default(), kind };
    match hub.ask(view.node, &question, USAGE_WITHIN).await {
        Ok(answer::Kind::Usage(usage)) => Some(usage),
        _ => None,
    }
}

fn shown(usage: v1::TaskUsage) -> TaskUsage {
    TaskUsage {
        memory_bytes: usage.memory_bytes,
        memory_peak_bytes: usage.memory_peak_bytes,
        cpu_ms: usage.cpu_us.map(|micros| micros / 1000),
        processes: usage.processes,
    }
}
