//! What only the leader does: loops that look at the state, decide with `core`, and propose. Losing the term drops them.

/// Which job is looked at next, and when again.
pub mod desk;
/// Nodes whose lease has run out.
mod liveness;
/// Plans that are too large for one command.
mod plan_parts;
/// One driver for every rule.
mod rule_loop;
/// Dirty jobs in, plans out.
mod scheduler_loop;
/// Snapshots that it takes by itself.
mod snapshots;
/// A term owns its loops.
mod term;
/// Waiting for a time of the cluster's clock.
mod timer;

pub use snapshots::{Counts, Scheduled};
pub use term::{Duties, Overrides, run};
