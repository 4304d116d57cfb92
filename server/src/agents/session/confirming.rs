//! Heartbeats that fences are renewed by: a majority confirms that this server still led after they had come.
//!
//! A leader that is cut off must renew nothing, because the next one begins replacements. One round of messages serves all sessions: they
//! wait for the same instant before they ask.

use std::future::Future;
use std::pin::Pin;

use proto::time::{BootTime, boottime};

use crate::cluster::Cluster;
use crate::limits::FENCE_ROUND;

/// A heartbeat that asks for its acknowledgement to fences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Beat {
    /// When it came, by this server's clock.
    pub(super) arrived: BootTime,
    /// When it was sent, by the agent's.
    pub(super) boottime_ms: u64,
}

/// The heartbeats of one session: one that is being confirmed, and the latest that came meanwhile.
#[derive(Default)]
pub(super) struct Confirming {
    under_way: Option<Pin<Box<dyn Future<Output = Option<Beat>> + Send>>>,
    next: Option<(Cluster, Beat)>,
}

impl Confirming {
    /// Takes in a heartbeat that has just come.
    pub(super) fn begin(&mut self, cluster: &Cluster, boottime_ms: u64) {
        let beat = Beat { arrived: boottime(), boottime_ms };
        self.next = Some((cluster.clone(), beat));
        self.go_on();
    }

    fn go_on(&mut self) {
        if self.under_way.is_none()
            && let Some((cluster, beat)) = self.next.take()
        {
            self.under_way = Some(Box::pin(confirm(cluster, beat)));
        }
    }

    /// Waits for the next heartbeat that is confirmed; for ever where none is. Safe to cancel.
    pub(super) async fn confirmed(&mut self) -> Beat {
        while let Some(under_way) = &mut self.under_way {
            let outcome = under_way.await;
            self.under_way = None;
            self.go_on();
            if let Some(beat) = outcome {
                return beat;
            }
        }
        std::future::pending().await
    }
}

/// Returns the heartbeat when a majority has confirmed this server later than it came; none when that cannot be had.
async fn confirm(cluster: Cluster, beat: Beat) -> Option<Beat> {
    if !cluster.leads_alone() {
        tokio::time::sleep(FENCE_ROUND.saturating_sub(into_round(beat.arrived))).await;
    }
    cluster.confirm_lead().await.ok().map(|()| beat)
}

/// Returns how long the present round of all sessions has gone on.
fn into_round(now: BootTime) -> std::time::Duration {
    std::time::Duration::from_millis(now.0 % FENCE_ROUND.as_millis() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_sessions_ask_at_the_same_instants() {
        for now in [0, 1, 199, 200, 1_234_567] {
            let asks = BootTime(now).plus(FENCE_ROUND.saturating_sub(into_round(BootTime(now))));
            assert_eq!(asks.0 % 200, 0, "{now}");
            assert!(asks.0 > now && asks.0 <= now + 200);
        }
    }
}
