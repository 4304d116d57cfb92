//! Small questions and orders of servers, answered on the control stream.

use std::sync::Arc;

use proto::error::{Error, Kind};
use proto::ids::AllocId;
use proto::wire::v1::{self, Answer, Ask, agent_message, answer, ask};

use super::reach::{Reach, does_not_run, refused};
use super::uplink::Uplink;
use crate::tasks::perform::attempt_id;

/// Answers one, beside the loop that reads them. One that was asked before, by its request id, is not done again.
pub(super) fn serve(reach: &Arc<Reach>, uplink: &Uplink, ask: Ask) {
    let number = ask.number;
    let (reach, uplink) = (reach.clone(), uplink.clone());
    let tracker = reach.tasks.tracker.clone();
    // Not ended with the session: what was begun is done, and remembered for who asks again.
    tracker.spawn(async move {
        let kind = match reach.asks.clone().try_acquire_owned() {
            Ok(_permit) => reach.place(&ask.request_id).get_or_init(|| work(&reach, ask)).await.clone(),
            Err(_) => answer::Kind::Refused(refused(
                Error::new(Kind::Unavailable, "this node is asked too much at once").hint("try again"),
            )),
        };
        // Who asked may be gone.
        let _ = uplink.send(agent_message::Kind::Answer(Answer { number, kind: Some(kind) })).await;
    });
}

async fn work(reach: &Reach, ask: Ask) -> answer::Kind {
    let id = AllocId(ask.alloc_id);
    let done = match ask.kind {
        Some(ask::Kind::Signal(order)) => signal(reach, id, order).await,
        Some(ask::Kind::Usage(_)) => usage(reach, id).await,
        None => Err(Error::new(Kind::Refused, "this agent does not know what it is asked")
            .hint("it may after an upgrade")),
    };
    done.unwrap_or_else(|error| answer::Kind::Refused(refused(error)))
}

async fn signal(reach: &Reach, id: AllocId, order: v1::SendSignal) -> Result<answer::Kind, Error> {
    let attempt = reach.attempt(id, &order.task).await?;
    let number = i32::try_from(order.signal).ok().filter(|number| (1..=64).contains(number));
    let number =
        number.ok_or_else(|| Error::new(Kind::Invalid, format!("signal {} does not exist", order.signal)))?;
    match reach.driver().signal(attempt, number).await {
        Ok(Ok(())) => Ok(answer::Kind::Signalled(v1::Signalled {})),
        Ok(Err(no)) if no.kind == "unknown" => Err(does_not_run(&order.task, id)),
        Ok(Err(no)) => Err(Error::new(Kind::Refused, no.message)),
        Err(gone) => Err(Error::new(Kind::Unavailable, gone.to_string())
            .hint("the signal may have been sent; the agent asks its keeper again by itself")),
    }
}

/// Measures all running tasks; what cannot be measured is left out.
async fn usage(reach: &Reach, id: AllocId) -> Result<answer::Kind, Error> {
    let view = reach.view(id).await?;
    let mut tasks = std::collections::BTreeMap::new();
    for (task, attempt) in view.running {
        if let Ok(Ok(usage)) = reach.driver().stats(attempt_id(id, &task, attempt)).await {
            let usage = v1::TaskUsage {
                memory_bytes: usage.memory_bytes,
                memory_peak_bytes: usage.memory_peak_bytes,
                cpu_us: usage.cpu_us,
                processes: usage.processes,
            };
            tasks.insert(task, usage);
        }
    }
    Ok(answer::Kind::Usage(v1::Usage { tasks }))
}
