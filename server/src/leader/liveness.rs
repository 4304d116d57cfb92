//! Nodes whose lease has run out are taken for lost; only that is proposed.

use std::future::Future;
use std::pin::Pin;

use tokio::time::MissedTickBehavior;

use crate::agents::LeaseBook;
use crate::cluster::Cluster;
use crate::core::rules::liveness::TICK;
use crate::core::state::Kind;

/// Looks at the leases at every tick until it is dropped. It never waits for a proposal: a late look extends every lease.
pub(super) async fn run(cluster: Cluster, book: LeaseBook) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut in_flight: Option<Pin<Box<dyn Future<Output = ()> + Send>>> = None;
    loop {
        let applied = async {
            match &mut in_flight {
                Some(proposal) => proposal.await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = applied => in_flight = None,
            _ = ticks.tick() => {
                let ended = book.decide(&cluster.snapshot());
                if in_flight.is_none() && let Some(kind) = ended {
                    in_flight = Some(Box::pin(propose(cluster.clone(), kind)));
                }
            }
        }
    }
}

async fn propose(cluster: Cluster, kind: Kind) {
    if let Err(error) = cluster.propose(kind).await {
        // The next tick sees the same leases and proposes again.
        tracing::debug!(%error, "the end of a lease was not applied");
    }
}
