//! The wire contract: generated types, and conversions to and from the model, one file per `.proto`.
//!
//! Decoding never trusts: what a model type cannot hold is a [`BadMessage`] that names the field.

pub mod agent;
mod dependency;
pub mod job;
mod placement;
pub mod status;
mod task;

/// The generated types of `api/minijob/v1/*.proto`.
#[allow(missing_docs, clippy::all, clippy::pedantic, clippy::too_many_lines)]
pub mod v1 {
    tonic::include_proto!("minijob.v1");
}

/// The wire version that this binary speaks; an older one is understood.
pub const WIRE_VERSION: u32 = 1;

/// A message that decodes as protobuf and yet makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("field `{field}` of a message is missing or makes no sense")]
pub struct BadMessage {
    /// Which field.
    pub field: &'static str,
}

/// Returns the value, or says which field lacks one.
fn need<T>(value: Option<T>, field: &'static str) -> Result<T, BadMessage> {
    value.ok_or(BadMessage { field })
}
