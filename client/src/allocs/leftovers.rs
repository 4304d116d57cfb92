//! What runs under the number of an allocation that has no record.

use std::sync::Arc;
use std::time::Duration;

use proto::ids::AllocId;
use proto::model::{AllocState, AllocStatus};
use tokio::sync::watch;

use super::alloc::Shared;
use crate::tasks::perform;

/// Ends what runs under the number of an allocation that has no record, by order of servers, and reports it as stopped when
/// nothing is left and the order is durable.
pub(super) async fn end_of(shared: Arc<Shared>, id: AllocId, mut durable: watch::Receiver<bool>) {
    const TERM: i32 = 15;
    let driver = &shared.tasks.driver;
    loop {
        let listed = perform::until_answered(|| driver.list()).await;
        let left: Vec<_> = listed.into_iter().filter(|known| known.id.alloc == id.0).collect();
        if left.is_empty() {
            if durable.wait_for(|durable| *durable).await.is_err() {
                return;
            }
            shared.outbox.put(AllocStatus { id, seq: 1, state: AllocState::Stopped, tasks: Vec::new() });
            return;
        }
        for known in left {
            let _ = driver.stop(known.id, TERM, proto::model::Task::DEFAULT_STOP_TIMEOUT).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
