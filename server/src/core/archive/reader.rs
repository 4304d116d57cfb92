//! Reads a snapshot; every byte is checked before anything is believed.

use std::io::Read;

use prost::Message as _;
use proto::ids::{Incarnation, Revision};
use proto::time::Timestamp;
use proto::wire::v1;

use super::{Error, FORMAT, HEADER_BYTES, MAGIC, Meta, checksum};
use crate::core::blocks::{self, le_u32, read_exact};
use crate::core::state::{State, read_snapshot};

/// No meta data is larger; a damaged length must not take memory.
const META_BYTES_MAX: u32 = 64 << 10;

/// A snapshot that is whole.
#[derive(Clone, Debug)]
pub struct Archive {
    /// What it says about itself.
    pub meta: Meta,
    /// The bytes of the state in it.
    pub content_bytes: u64,
    /// The state.
    pub state: State,
}

/// Reads a snapshot to its end. What it returns is whole: no byte missing, none changed, nothing behind it.
///
/// # Errors
/// [`Error`] says what is wrong with it.
pub fn read<R: Read>(mut from: R) -> Result<Archive, Error> {
    let meta = read_meta(&mut from)?;
    let mut content = blocks::Reader::new(from);
    let state = read_snapshot(&mut content)?;
    // The state says itself where it ends; the block that is the end comes behind that.
    if content.read(&mut [0]).map_err(Error::of_io)? != 0 {
        return Err(Error::Damaged("something follows the state".to_owned()));
    }
    if state.revision != meta.revision || state.incarnation.unwrap_or(Incarnation(0)) != meta.incarnation {
        return Err(Error::Damaged("it holds another state than its header says".to_owned()));
    }
    Ok(Archive { meta, content_bytes: content.content_bytes(), state })
}

fn read_meta(from: &mut impl Read) -> Result<Meta, Error> {
    let mut header = [0; HEADER_BYTES];
    // Something short that is no snapshot, and a snapshot that was cut off in its first bytes, are told from each other where they can be.
    read_exact(from, &mut header[..8]).map_err(Error::Io)?.ok_or(Error::Foreign)?;
    if &header[..8] != MAGIC {
        return Err(Error::Foreign);
    }
    let cut = || Error::Damaged("it ends inside its header".to_owned());
    read_exact(from, &mut header[8..]).map_err(Error::Io)?.ok_or_else(cut)?;
    let found = le_u32(&header, 8);
    if found > FORMAT {
        return Err(Error::Newer { found });
    }
    let length = le_u32(&header, 12);
    if length > META_BYTES_MAX {
        return Err(Error::Damaged("its header has an impossible length".to_owned()));
    }
    let mut meta = vec![0; length as usize];
    read_exact(from, &mut meta).map_err(Error::Io)?.ok_or_else(cut)?;
    if checksum(&header, &meta) != le_u32(&header, 16) {
        return Err(Error::Damaged("the checksum of its header does not match".to_owned()));
    }
    let meta = v1::ArchiveMeta::decode(meta.as_slice())
        .map_err(|error| Error::Damaged(format!("its header makes no sense: {error}")))?;
    Ok(Meta {
        incarnation: Incarnation(meta.incarnation),
        revision: Revision(meta.revision),
        taken: Timestamp(meta.taken_ms),
        version: meta.version,
        state_version: meta.state_version,
        jobs: meta.jobs,
        nodes: meta.nodes,
        allocs: meta.allocs,
    })
}
