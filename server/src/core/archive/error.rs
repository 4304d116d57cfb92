//! Why a snapshot cannot be used, for the person who has it.

use std::io;

use super::FORMAT;
use crate::core::state::BadRecord;

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something else.
    #[error("it is no snapshot of minijob")]
    Foreign,
    /// Written by a later release.
    #[error(
        "it was written by a newer minijob: format {found}, this one reads up to {FORMAT}; use the minijob that wrote it, or a newer one"
    )]
    Newer {
        /// The format it names.
        found: u32,
    },
    /// Not what was written.
    #[error("it is damaged: {0}")]
    Damaged(String),
    /// The bytes are what was written, and not understood.
    #[error("its content is not understood: {0}")]
    Content(#[source] BadRecord),
    /// It cannot be read at all.
    #[error("it cannot be read")]
    Io(#[source] io::Error),
}

impl Error {
    /// Tells damage from what keeps it from being read.
    pub(super) fn of_io(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::InvalidData => Self::Damaged(error.to_string()),
            _ => Self::Io(error),
        }
    }
}

impl From<BadRecord> for Error {
    fn from(error: BadRecord) -> Self {
        match error {
            BadRecord::Io(error) => Self::of_io(error),
            error => Self::Content(error),
        }
    }
}
