//! The minijob server: remembers and decides; never runs a task.
#![deny(unsafe_op_in_unsafe_fn)]
// A test that unwraps fails with the place and the reason, which is what it is for.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod agents;
pub mod api;
pub mod archives;
pub mod cluster;
pub mod core;
pub mod enrolment;
pub mod forming;
pub mod identity;
pub mod leader;
pub mod limits;
pub mod machine;
pub mod metrics;
pub mod ops;
pub mod peers;
pub mod raft;
pub mod server;
