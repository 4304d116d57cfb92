//! Every decision of a server, and nothing else: no clock, no I/O, no task, no randomness, no unordered iteration.
//!
//! `now` and seeds are arguments. `core` does not know that Raft, gRPC or a disk exist.

pub mod archive;
pub mod blocks;
pub mod cleaning;
pub mod election;
/// The CA, and this server's certificate.
pub mod enrolment;
pub mod forming;
pub mod job_diff;
/// Which behaviour of the state a cluster may have.
pub mod level;
pub mod rules;

pub mod scheduler;
pub mod state;
#[cfg(test)]
pub(crate) mod testing;
