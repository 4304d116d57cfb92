//! What a request means. Knows no transport: every function takes the [`Cluster`](crate::cluster::Cluster) and a [`Caller`].
//!
//! Reads are served from this server's snapshot, led or not; writes only where this server leads.

/// One allocation is shown, explained, restarted.
mod allocs;
/// Whether a job that came over the wire keeps the limits of the language.
pub mod bounds;
mod brake;
/// Who asks, and what they may do.
mod caller;
/// Facts, kept and as they arise.
mod events;
/// A command runs beside a task.
mod exec;
/// What a name or the beginning of an id means.
mod find;
/// Jobs are submitted, stopped, listed, shown.
mod jobs;
/// The output of tasks, merged.
pub mod logs;
/// Whether everything would still fit without some nodes.
mod loss;
/// Who belongs to the cluster, and who is thrown out.
mod members;
/// Nodes are listed, shown, cordoned, forgotten.
mod nodes;
/// Keys and tokens: what lets members and people in.
mod secrets;
/// The servers of the cluster.
mod servers;
/// The settings of the cluster are shown and changed.
pub(crate) mod settings;
/// A signal reaches a running task.
mod signal;
/// The whole state leaves, and comes back.
mod snapshots;
/// What an allocation uses now.
mod stats;
/// What this binary speaks.
mod version;
/// Versions of a job: shown, made again, planned.
mod versions;
/// The state as documents.
pub mod views;
/// Until when a read waits.
mod wait;

pub use allocs::{alloc_status, restart_alloc, why};
pub use brake::release_brake;
pub use caller::{Caller, Capabilities, Capability};
pub use events::{EventsQuery, events};
pub use exec::exec;
pub use jobs::{PutJob, check_job, job_status, list_jobs, put_job, stop_job};
pub use loss::{Lost, plan_loss};
pub use members::{allow_member, deny_member, list_members};
pub use nodes::{Drain, cancel_drain, drain_node, list_nodes, node_status, purge_node, set_eligibility};
pub use secrets::{key_status, set_operator_token};
pub use servers::{list_servers, remove_server};
pub use settings::{list_settings, set_settings, setting};
pub use signal::{RunningTask, TaskQuery, signal};
pub use snapshots::{restore_snapshot, save_snapshot};
pub use stats::add_usage;
pub use version::version;
pub use versions::{export_job, job_history, plan_job, restart_job, revert_job, scale_job, start_job};
pub use wait::Wait;

#[cfg(test)]
pub(crate) mod testing;
