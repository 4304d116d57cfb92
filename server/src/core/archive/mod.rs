//! A snapshot that people keep: the whole state of a cluster as one stream of bytes, which a file holds as it is.
//!
//! ```text
//! 0   magic       8 bytes "mjKEPT\r\n"
//! 8   format      u32
//! 12  meta length u32
//! 16  meta crc32  u32   of bytes 8 to 16 and the meta data
//! 20  meta data: what `Meta` says
//! ..  blocks (`core/blocks.rs`): the state as `write_snapshot` writes it
//! ```
//!
//! Numbers are little-endian. Nothing in the header follows from what comes after it, so that a server writes it to a connection
//! as it goes. What holds no cluster's key and no token needs no secret to be read; jobs' variables are in it, so it is nobody else's.

mod error;
mod reader;
mod writer;

/// When the next scheduled one is due, and which are no longer kept.
pub mod schedule;

pub use error::Error;
pub use reader::{Archive, read};
pub use writer::write;

use proto::ids::{Incarnation, Revision};
use proto::time::Timestamp;

use crate::core::state::State;

/// The format written, and the newest that is read.
pub const FORMAT: u32 = 1;

const MAGIC: &[u8; 8] = b"mjKEPT\r\n";
const HEADER_BYTES: usize = 20;

/// What a snapshot says about itself before its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Which life of which cluster.
    pub incarnation: Incarnation,
    /// Commands that are in it.
    pub revision: Revision,
    /// When it was taken, by the clock of the server.
    pub taken: Timestamp,
    /// The minijob that wrote it.
    pub version: String,
    /// The version of the state in it.
    pub state_version: u32,
    /// How many jobs, stopped ones too.
    pub jobs: u64,
    /// How many nodes.
    pub nodes: u64,
    /// How many allocations, ended ones too.
    pub allocs: u64,
}

impl Meta {
    /// Describes a state that is written now.
    #[must_use]
    pub fn of(state: &State, taken: Timestamp) -> Self {
        Self {
            incarnation: state.incarnation.unwrap_or(Incarnation(0)),
            revision: state.revision,
            taken,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            state_version: state.level,
            jobs: state.jobs.len() as u64,
            nodes: state.nodes.iter().count() as u64,
            allocs: state.allocs.len() as u64,
        }
    }
}

fn checksum(header: &[u8; HEADER_BYTES], meta: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header[8..16]);
    hasher.update(meta);
    hasher.finalize()
}

#[cfg(test)]
mod tests;
