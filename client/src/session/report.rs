//! Tells servers what is: the first change at once, those that follow gathered for a moment, until all is acknowledged.

use std::sync::Arc;

use proto::wire::v1::agent_message::Kind;

use super::uplink::Uplink;
use crate::allocs::outbox::Outbox;
use crate::clock::Clock;
use crate::limits::{STATUS_GATHER, STATUS_RESEND};

/// Reports until the session ends.
pub(super) async fn run(outbox: Arc<Outbox>, uplink: Uplink, clock: Clock) {
    outbox.begin_session();
    let mut batch = 0;
    loop {
        // A change wakes it; without one it looks for what was never acknowledged.
        let _ = tokio::time::timeout(STATUS_RESEND, outbox.changed()).await;
        while let Some(statuses) = outbox.take(batch + 1, clock.boot()) {
            batch += 1;
            if uplink.send(Kind::Status(statuses)).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(STATUS_GATHER).await;
    }
}
