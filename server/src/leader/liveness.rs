//! Nodes whose lease has run out are taken for lost; only that is proposed.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tokio::time::Instant;

use crate::agents::LeaseBook;
use crate::cluster::Cluster;
use crate::core::state::Kind;

/// Looks at the leases, as often as they want it, until it is dropped. It never waits for a proposal: a late look extends every lease.
pub(super) async fn run(cluster: Cluster, book: LeaseBook) {
    let next = tokio::time::sleep(Duration::ZERO);
    tokio::pin!(next);
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
            () = next.as_mut() => {
                let (wanted, pause) = book.decide(&cluster.snapshot(), cluster.now());
                next.as_mut().reset(Instant::now() + pause);
                if in_flight.is_none() && !wanted.is_empty() {
                    in_flight = Some(Box::pin(propose(cluster.clone(), wanted)));
                }
            }
        }
    }
}

async fn propose(cluster: Cluster, wanted: Vec<Kind>) {
    for kind in wanted {
        if let Err(error) = cluster.propose(kind).await {
            // The next look sees the same leases and proposes again.
            tracing::debug!(%error, "the end of a lease was not applied");
            return;
        }
    }
}
