//! Writes a snapshot.

use std::io::{self, Write};

use prost::Message as _;
use proto::wire::v1;

use super::{FORMAT, HEADER_BYTES, MAGIC, Meta, checksum};
use crate::core::blocks;
use crate::core::state::{State, write_snapshot};

/// Writes a state with what is said about it, from the first byte to the last.
///
/// # Errors
/// Those of where it is written.
pub fn write<W: Write>(state: &State, meta: &Meta, mut out: W) -> io::Result<W> {
    // What is only on its way into a state is none of it.
    let state = State { staging: None, ..state.clone() };
    let meta = encode(meta);
    out.write_all(&header(&meta))?;
    out.write_all(&meta)?;
    let mut content = blocks::Writer::new(out);
    write_snapshot(&state, &mut content)?;
    content.finish().map(|(out, _)| out)
}

fn encode(meta: &Meta) -> Vec<u8> {
    v1::ArchiveMeta {
        incarnation: meta.incarnation.0,
        revision: meta.revision.0,
        taken_ms: meta.taken.0,
        version: meta.version.clone(),
        state_version: meta.state_version,
        jobs: meta.jobs,
        nodes: meta.nodes,
        allocs: meta.allocs,
    }
    .encode_to_vec()
}

fn header(meta: &[u8]) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    header[12..16].copy_from_slice(&(meta.len() as u32).to_le_bytes());
    let crc = checksum(&header, meta);
    header[16..].copy_from_slice(&crc.to_le_bytes());
    header
}
