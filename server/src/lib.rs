//! The minijob server: remembers and decides.

// A test that unwraps fails with the place and the reason, which is what it is for.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod limits;
pub mod raft;
