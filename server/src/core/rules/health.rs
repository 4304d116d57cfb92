//! An allocation that has run long enough is believed healthy.

use std::time::Duration;

use proto::ids::AllocId;
use proto::time::Timestamp;

use super::{Rule, Step};
use crate::core::state::{Kind, State};

/// How long all tasks must have run, where no checks say more.
pub const MIN_HEALTHY_TIME: Duration = Duration::from_secs(1);

/// Most allocations in one proposal: keeps an entry small.
const BATCH: usize = 1000;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Health;

impl Rule for Health {
    fn decide(&self, state: &State, now: Timestamp) -> Step {
        let due = |since: &Timestamp| since.plus(MIN_HEALTHY_TIME);
        let healthy: Vec<AllocId> = state
            .settling
            .iter()
            .take_while(|(since, _)| due(since) <= now)
            .take(BATCH)
            .map(|(_, id)| *id)
            .collect();
        let next = state.settling.iter().nth(healthy.len()).map(|(since, _)| due(since));
        let proposals = if healthy.is_empty() { Vec::new() } else { vec![Kind::PutHealth { healthy }] };
        Step { proposals, wake_at: next }
    }
}
