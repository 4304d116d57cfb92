//! Leases of nodes: kept in the leader's memory, renewed by heartbeats.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use proto::ids::{Generation, NodeId};
use proto::time::{BootTime, Timestamp, boottime};

use crate::core::rules::brake::mass_loss;
use crate::core::rules::fence::Fences;
use crate::core::rules::liveness::Leases;
use crate::core::state::{Kind, State};

/// How long the loop waits where there is nothing to look at: it is about to be dropped.
const BETWEEN_REIGNS: Duration = Duration::from_millis(100);

/// The leases of the present reign; empty on a server that does not lead.
#[derive(Clone, Default)]
pub struct LeaseBook {
    leases: Arc<Mutex<Option<Leases>>>,
    fences: Arc<Mutex<Fences>>,
}

impl LeaseBook {
    /// Renews the lease of a node's session from now on; nothing happens when this server does not lead.
    pub fn renew(&self, state: &State, node: NodeId, generation: Generation) {
        if let Some(leases) = &mut *self.leases.lock().unwrap_or_else(PoisonError::into_inner) {
            leases.renew(node, generation, boottime(), state.settings.node_timeout);
        }
    }

    /// Notes that a heartbeat which arrived then is acknowledged for fences, if `is_current` says that the session still is the node's;
    /// returns whether it is. Who sees the node down and asks for the fences after that sees every acknowledgement: `is_current` looks at
    /// the state while nobody can ask.
    pub fn acknowledge(&self, node: NodeId, arrived: BootTime, is_current: impl FnOnce() -> bool) -> bool {
        let mut fences = self.fences.lock().unwrap_or_else(PoisonError::into_inner);
        let may = is_current();
        if may {
            let heard = fences.heard.entry(node).or_insert(arrived);
            *heard = arrived.max(*heard);
        }
        may
    }

    /// Returns which fences may hold now. To be asked after the state was looked at, see [`LeaseBook::acknowledge`].
    #[must_use]
    pub fn fences(&self) -> Fences {
        let fences = self.fences.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Fences { now: Some(boottime()), ..fences }
    }

    /// Begins a reign: one fresh lease for every node that is up.
    pub(crate) fn begin(&self, state: &State) {
        let fences = Fences { begun: boottime(), ..Fences::default() };
        *self.fences.lock().unwrap_or_else(PoisonError::into_inner) = fences;
        self.put(Some(Leases::begin(state, boottime())));
    }

    /// Ends it.
    pub(crate) fn end(&self) {
        self.put(None);
    }

    fn put(&self, leases: Option<Leases>) {
        *self.leases.lock().unwrap_or_else(PoisonError::into_inner) = leases;
    }

    /// Looks at all leases; returns what to propose, in this order, if one has run out, and how long to wait before the next look. The
    /// brake comes before the loss that it is for.
    pub(crate) fn decide(&self, state: &State, time: Timestamp) -> (Vec<Kind>, Duration) {
        let mut leases = self.leases.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(leases) = leases.as_mut() else { return (Vec::new(), BETWEEN_REIGNS) };
        let now = boottime();
        let ended = leases.decide(state, now);
        let pause = leases.next_look().since(now);
        if ended.is_empty() {
            return (Vec::new(), pause);
        }
        let brake = mass_loss(state, &leases.silent(state, now), time).map(Kind::HoldLost);
        (brake.into_iter().chain([Kind::NodeLiveness(ended)]).collect(), pause)
    }
}
