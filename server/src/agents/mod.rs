//! Where agents come in: one control stream per node, and the connections on which they bring logs.

/// Who is connected.
mod hub;
/// What an agent reports, on its way into the log.
mod inbox;
/// Leases that heartbeats renew.
mod leases;
/// Connections that agents dial when somebody reads a task's output.
mod logs;
/// The gRPC service.
mod service;
/// One agent's control stream.
pub mod session;
/// A scripted agent.
#[cfg(test)]
pub(crate) mod testing;
/// What an agent must be told.
pub mod wanted;

pub use hub::Hub;
pub use leases::LeaseBook;
pub use logs::LogsSpec;
