//! When the brake is pulled, and when nothing is left for it to hold.

use std::collections::BTreeSet;
use std::time::Duration;

use proto::ids::NodeId;
use proto::model::Liveness;
use proto::time::Timestamp;
use proto::units::show_duration;

use super::{Rule, Step};
use crate::core::state::{Brake, Kind, State};

/// So many nodes at least are many, however few there are.
const MANY: usize = 3;
/// A brake is not let go before what it was pulled for can be in the state, in leases.
const LEASES: u32 = 2;

/// Returns which nodes are lost together, if these are too many: those whose lease is over or about to be (`silent`), with those that were lost within one lease
/// before. Many are three at least, the share of [`Settings::brake_at`](crate::core::state::Settings::brake_at), and in several failure
/// domains: one whole domain is an ordinary loss. While the brake holds what was lost before, it holds whatever is lost.
#[must_use]
pub fn mass_loss(state: &State, silent: &[NodeId], now: Timestamp) -> Option<Vec<NodeId>> {
    if silent.is_empty() {
        return None;
    }
    if state.brake.is_some() {
        return Some(silent.to_vec());
    }
    let just_now = |since: Timestamp| now.since(since) <= state.settings.node_timeout;
    let mut gone: BTreeSet<NodeId> = silent.iter().copied().collect();
    let mut all = 0;
    for (id, node) in state.nodes.iter() {
        match node.liveness {
            Liveness::Up => all += 1,
            Liveness::Down if just_now(node.since) => {
                all += 1;
                gone.insert(*id);
            }
            Liveness::Down => {}
        }
    }
    // A node that names no domain is one of its own.
    let domain = |id: &NodeId| {
        let named = state.nodes.get(id).map(|node| node.identity.failure_domain.as_deref());
        named.flatten().ok_or(*id)
    };
    let domains: BTreeSet<Result<&str, NodeId>> = gone.iter().map(domain).collect();
    let many = gone.len() >= MANY && gone.len() * 100 >= all * state.settings.brake_at;
    (many && domains.len() > 1).then(|| gone.into_iter().collect())
}

/// Lets the brake go when all of its steps are done, or nothing is held.
#[derive(Clone, Copy, Debug, Default)]
pub struct Braking;

impl Rule for Braking {
    fn decide(&self, state: &State, now: Timestamp) -> Step {
        let Some(brake) = &state.brake else { return Step::default() };
        let over = brake.over_at(state.settings.brake_pause);
        let earliest = brake.since.plus(state.settings.node_timeout * LEASES).min(over);
        if now >= over || (now >= earliest && !holds_something(state, brake)) {
            return Step { proposals: vec![Kind::ReleaseLost], wake_at: None };
        }
        Step { proposals: Vec::new(), wake_at: Some(if now < earliest { earliest } else { over }) }
    }
}

fn holds_something(state: &State, brake: &Brake) -> bool {
    let nodes = brake.nodes.iter().filter_map(|id| state.nodes.get(id));
    let mut lost = nodes.filter(|node| node.liveness == Liveness::Down).flat_map(|node| &node.allocs);
    lost.any(|id| state.allocs.get(*id).is_some_and(|alloc| alloc.lost && !alloc.has_ended()))
}

/// Says what the brake holds, for who looks at the cluster.
#[must_use]
pub fn sentence(brake: &Brake, pause: Duration, now: Timestamp) -> String {
    let lost = brake.nodes.len();
    let next = match brake.since.plus(pause).since(now) {
        left if left.is_zero() => "is being replaced node by node".to_owned(),
        left => {
            let left = show_duration(Duration::from_secs(left.as_secs() + 1));
            format!("is not replaced for another {left}, then node by node")
        }
    };
    format!(
        "{lost} OF {} NODES WERE LOST AT ONCE: what they ran {next}; `minijob operator brake release` replaces it now",
        brake.of
    )
}
