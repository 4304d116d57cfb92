//! What a request means. Knows no transport: every function takes a [`Caller`] and the [`Cluster`](crate::cluster::Cluster).

/// Who asks, and what they may do.
mod caller;
/// The state as documents.
pub mod views;

pub use caller::{Caller, Capabilities, Capability};
