//! Leases of nodes: kept in the leader's memory, renewed by heartbeats; only their end is proposed.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use proto::ids::{Generation, NodeId};
use proto::time::boottime;
use tokio::time::MissedTickBehavior;

use crate::cluster::Cluster;
use crate::core::rules::liveness::{Leases, TICK};
use crate::core::state::{Kind, State};

/// The leases of the present reign; empty on a server that does not lead.
#[derive(Clone, Default)]
pub struct LeaseBook {
    leases: Arc<Mutex<Option<Leases>>>,
}

impl LeaseBook {
    /// Renews the lease of a node's session from now on; nothing happens when this server does not lead.
    pub fn renew(&self, state: &State, node: NodeId, generation: Generation) {
        if let Some(leases) = &mut *self.leases.lock().unwrap_or_else(PoisonError::into_inner) {
            leases.renew(node, generation, boottime(), state.settings.node_timeout);
        }
    }

    /// Begins a reign: one fresh lease for every node that is up.
    pub(super) fn begin(&self, state: &State) {
        self.put(Some(Leases::begin(state, boottime())));
    }

    /// Ends it.
    pub(super) fn end(&self) {
        self.put(None);
    }

    fn put(&self, leases: Option<Leases>) {
        *self.leases.lock().unwrap_or_else(PoisonError::into_inner) = leases;
    }

    fn decide(&self, state: &State) -> Option<Kind> {
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        let ended = leases.as_mut()?.decide(state, boottime());
        (!ended.is_empty()).then_some(Kind::NodeLiveness(ended))
    }
}

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
