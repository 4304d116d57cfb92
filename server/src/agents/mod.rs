//! Where agents come in: one control stream per node, and the connections that they dial for logs and commands.

/// What is asked of an agent and answered on its control stream.
mod asks;
/// Connections that agents dial on request.
mod dials;
/// Commands beside tasks.
mod exec;
/// Who is connected.
mod hub;
/// What an agent reports, on its way into the log.
mod inbox;
/// Leases that heartbeats renew.
mod leases;
/// The output of tasks.
mod logs;
/// What a session has not looked at yet.
mod news;
/// The gRPC service.
mod service;
/// One agent's control stream.
pub mod session;
/// A scripted agent.
#[cfg(test)]
pub(crate) mod testing;
/// What an agent must be told.
pub mod wanted;

pub use asks::Question;
pub use exec::{ExecSpec, ExecWires};
pub use hub::Hub;
pub use leases::LeaseBook;
pub use logs::LogsSpec;
