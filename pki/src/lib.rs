//! Who a member of a cluster is, and how it proves that: a CA of the cluster's own, certificates for servers and agents, TLS that goes by
//! them, and the proof with the cluster's key by which a member gets its first one.
//!
//! A crate of its own because servers, agents and the command line all need it, and the first two never see each other. Of
//! what is spoken above TLS it knows only how a certificate is asked for, and keeps no state but files. Why it is as it is: `docs/decisions/0003-enrolment.md`.
// A test that unwraps fails with the place and the reason, which is what it is for.
#![cfg_attr(test, allow(clippy::unwrap_used))]

/// Asking a server for a certificate.
pub mod asked;
pub mod ca;
pub mod enrol;
pub mod files;
pub mod identity;
pub mod limits;
pub mod member;
pub mod own;
pub mod proof;
pub mod purpose;
pub mod renew;
pub mod seal;
/// Certificates for tests.
#[cfg(test)]
mod testing;
pub mod tls;

pub use ca::Ca;
pub use identity::Identity;
pub use member::{Member, Role};
pub use own::{Own, Pending};
