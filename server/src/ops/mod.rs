//! What a request means. Knows no transport: every function takes the [`Cluster`](crate::cluster::Cluster) and a [`Caller`].
//!
//! Reads are served from this server's snapshot, led or not; writes only where this server leads.

/// Who asks, and what they may do.
mod caller;
/// The state as documents.
pub mod views;
/// Until when a read waits.
mod wait;
/// What a name or the beginning of an id means.
mod find;
/// Whether a job that came over the wire keeps the limits of the language.
mod bounds;
/// Jobs are submitted, stopped, listed, shown.
mod jobs;
/// One allocation is shown.
mod allocs;
/// Nodes are listed.
mod nodes;
/// Facts, kept and as they arise.
mod events;
/// The output of tasks, merged.
pub mod logs;
/// What this binary speaks.
mod version;

pub use allocs::alloc_status;
pub use caller::{Caller, Capabilities, Capability};
pub use events::{EventsQuery, events};
pub use jobs::{PutJob, check_job, job_status, list_jobs, put_job, stop_job};
pub use nodes::list_nodes;
pub use version::version;
pub use wait::Wait;

#[cfg(test)]
pub(crate) mod testing;
