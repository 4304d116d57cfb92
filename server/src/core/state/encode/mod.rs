//! State and commands as bytes: protobuf, so that an older server's bytes are read for ever and unknown fields do no harm.

mod command;
mod members;
mod outcome;
mod record;
mod settings;
mod snapshot;

pub use command::{body_hash, decode_command, encode_command};
pub use outcome::{decode_outcome, encode_outcome};
pub use snapshot::{STATE_VERSION, read_snapshot, write_snapshot};

use proto::wire::BadMessage;

/// Bytes that are no command or no snapshot.
#[derive(Debug, thiserror::Error)]
pub enum BadRecord {
    /// Not protobuf, or cut off.
    #[error("the bytes are not a record")]
    Decode(#[source] prost::DecodeError),
    /// Protobuf that makes no sense.
    #[error("a record makes no sense")]
    Message(#[source] BadMessage),
    /// Written by a newer version.
    #[error("written by a newer minijob: state version {found}, this binary reads up to {known}")]
    Newer {
        /// The version found.
        found: u32,
        /// The newest version known.
        known: u32,
    },
    /// The bytes end before the last record, or go on after it.
    #[error("the snapshot is cut off or has bytes behind its end: {records} records were read")]
    Cut {
        /// Records read.
        records: u64,
    },
    /// The reader failed.
    #[error("the snapshot could not be read")]
    Io(#[source] std::io::Error),
}

impl From<prost::DecodeError> for BadRecord {
    fn from(error: prost::DecodeError) -> Self {
        Self::Decode(error)
    }
}

impl From<BadMessage> for BadRecord {
    fn from(error: BadMessage) -> Self {
        Self::Message(error)
    }
}

/// Returns the value, or says which field lacks one.
fn need<T>(value: Option<T>, field: &'static str) -> Result<T, BadMessage> {
    value.ok_or(BadMessage { field })
}

#[cfg(test)]
mod tests;
