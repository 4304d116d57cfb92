//! The replicated log: everything of openraft and of the store on disk, behind two doors.
//!
//! The rest of the server sees [`Handle`], [`Machine`] and plain structs; it never sees a type of openraft. The
//! openraft adapter in turn sees [`log_store::LogStore`]; it never sees sled or a segment file.

/// openraft's state machine over [`Machine`].
mod applier;
/// Many commands, one entry.
mod batcher;
/// Entries, votes and memberships as bytes.
mod codec;
/// When a snapshot is taken and how far the log is purged.
pub mod compaction;
/// Settings of a server's share of the replicated log.
mod config;
/// Small things every durable write needs.
mod durable;
/// When a server stands for election, and what it says to others that want to.
mod elections;
/// Why a server cannot start, and why a proposal has no outcome.
mod error;
/// The door: propose, lead, stop, measure.
pub mod handle;
/// When the leader was last heard.
mod hearing;
/// Who leads, as a latest-value fact.
pub mod leadership;
/// openraft's log storage over the writer thread.
mod log;
/// Durable log and votes, as bytes.
pub mod log_store;
/// What the log is applied to: the only thing this module asks of the rest of the server.
pub mod machine;
/// Who belongs to the cluster.
mod members;
/// Connections to other servers.
mod network;
/// Linearizable reads.
mod reads;
/// Who speaks to whom.
mod route;
/// What other servers call.
mod service;
/// One snapshot file: written whole or not at all, read only if intact.
pub mod snapshot_file;
/// The directory of snapshots.
mod snapshots;
/// openraft's own conformance suite, over both back-ends.
#[cfg(test)]
mod suite;
/// A machine for tests.
#[cfg(test)]
mod testing;
/// Three servers in one process, over real connections that can be cut.
#[cfg(test)]
mod trio;
/// What openraft is told about our types.
mod types;

pub use config::{Bootstrap, Config, Timings};
pub(crate) use durable::sync_parent;
pub use error::{ProposeError, StartError};
pub use handle::{Handle, Metrics};
pub use leadership::Leadership;
pub use log_store::Backend;
/// The newest version of a data directory that this binary reads, and the one it writes: what the file `format` says.
pub use log_store::format::FORMAT as DISK_VERSION;
pub use machine::{Frozen, Machine, RestoreError};
pub use members::{Member, MemberStatus, MembershipError};
pub use network::dial::{BadAddress, ByKey, Dial, Plain, Purpose, Secured, endpoint};
pub use reads::ReadError;
pub use route::ClusterId;
pub use service::Service;
pub(crate) use snapshots::free_bytes;
