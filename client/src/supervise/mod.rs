//! The agent without servers, for one container or one machine: job files in, the same allocations, tasks and drivers below.
//!
//! It takes the place of the servers: it greets the manager of allocations with a position of its own and gives it orders, which
//! makes everything beneath run exactly as on a node of a cluster. What to order is decided in [`crate::core::supervise`].
//!
//! Reading order: `supervisor` is the loop; `book` what is here and the numbers given; `ports` picks free ones; `relay` passes
//! output on and `bell` says when there is some; `init` is what a first process owes its machine.

mod bell;
mod book;
pub mod init;
mod ports;
mod relay;
mod supervisor;

use proto::ids::JobVersion;
use proto::model::Job;

use crate::core::supervise::slots;

pub use crate::core::supervise::lines::{Then, What};
pub use relay::Output;
pub use supervisor::{Config, Line, Order, Sinks, StartError, Supervisor};

/// Returns a sentence for everything that keeps these jobs from running together on one machine.
#[must_use]
pub fn clashes(jobs: &[Job]) -> Vec<String> {
    slots::clashes(&slots::slots(jobs, JobVersion(1)))
}
