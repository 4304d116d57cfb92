//! What must agree across servers.

use std::time::Duration;

/// What must agree across servers; changed by a command, never by a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How often an agent asks for its lease.
    pub heartbeat: Duration,
    /// How long a lease lasts.
    pub node_timeout: Duration,
    /// Events kept per job and per node.
    pub events_per_subject: usize,
    /// Ended allocations kept per job.
    pub ended_allocs: usize,
    /// How long they are kept.
    pub ended_allocs_for: Duration,
    /// Versions kept per job, beside those that something runs.
    pub versions: usize,
    /// Whether work of higher priority may take the place of work whose priority is lower by 10 at least.
    pub preemption: bool,
}

impl Default for Settings {
    /// The numbers of the design: 1 s, 4 s, 200 events, 100 ended allocations for 24 h, 10 versions; nothing gives
    /// way to other work.
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(1),
            node_timeout: Duration::from_secs(4),
            events_per_subject: 200,
            ended_allocs: 100,
            ended_allocs_for: Duration::from_secs(24 * 3600),
            versions: 10,
            preemption: false,
        }
    }
}
