//! The state as the documents of [`proto::view`]: pure, no clock, no I/O.

mod alloc;
mod event;
mod fence;
mod health;
mod job;
mod loss;
mod next;
mod node;
mod series;
mod story;
mod tally;
mod versions;
mod words;

pub use alloc::{alloc, node_name};
pub use event::event;
pub use health::{Verdict, judge};
pub use job::{job_list, job_status, placement};
pub use loss::loss;
pub use node::{node, node_list, node_status};
pub use story::{of_alloc, of_job};
pub use tally::{Tally, tally};
pub use versions::{export, history, kept, plan, version_of};
pub(super) use words::rough;

#[cfg(test)]
mod tests;
