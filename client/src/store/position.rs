//! The newest position that this agent has seen. It is on disk before anything is stopped by an order that came with it, so
//! that no restart of the agent makes an older state look new. Only while the disk refuses does the agent go by what it has in
//! memory: an order to end that is not obeyed costs more than an older one that is obeyed after a restart.

use std::path::PathBuf;

use prost::Message;
use proto::wire::v1;

use super::data_dir::DataDir;
use super::file::{self, FileError};
use crate::core::assignments::{Position, position_from_wire, position_to_wire};

/// Bytes of the file: three numbers and a checksum.
const POSITION_BYTES: u64 = 256;

/// Why the position cannot be known.
#[derive(Debug, thiserror::Error)]
pub enum PositionError {
    /// The file cannot be read.
    #[error("cannot read the newest position")]
    Read {
        /// Why.
        source: FileError,
    },
    /// The file is damaged. Going on without it could make an old server stop what runs.
    #[error("{} is damaged: delete it if the servers that this agent talks to are the present ones", path.display())]
    Damaged {
        /// Which.
        path: PathBuf,
    },
}

/// Returns the newest position; none when no server was ever seen.
///
/// # Errors
/// When the file is there and cannot be read or understood.
pub fn load(dir: &DataDir) -> Result<Option<Position>, PositionError> {
    let path = dir.root().join("position");
    let bytes = file::read(&path, POSITION_BYTES).map_err(|source| PositionError::Read { source })?;
    let Some(bytes) = bytes else { return Ok(None) };
    let parse = || {
        let (crc, body) = bytes.split_first_chunk::<4>()?;
        if crc32fast::hash(body) != u32::from_be_bytes(*crc) {
            return None;
        }
        position_from_wire(v1::Position::decode(body).ok()).ok()
    };
    parse().map(Some).ok_or(PositionError::Damaged { path })
}

/// Makes a position the newest.
///
/// # Errors
/// When it cannot be written; the old one is then still there.
pub fn save(dir: &DataDir, position: Position) -> Result<(), FileError> {
    let body = position_to_wire(position).encode_to_vec();
    let mut bytes = crc32fast::hash(&body).to_be_bytes().to_vec();
    bytes.extend(body);
    file::replace(&dir.root().join("position"), &bytes)
}

#[cfg(test)]
mod tests {
    use proto::ids::{Incarnation, Revision};

    use super::*;

    #[test]
    fn a_position_is_remembered_and_damage_is_noticed() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let data = DataDir::open(dir.path()).expect("nobody has it");
        assert_eq!(load(&data).expect("nothing there"), None);
        let position =
            Position { incarnation: Incarnation(9), reign: Revision(300), revision: Revision(70_000) };
        save(&data, position).expect("it is written");
        assert_eq!(load(&data).expect("it is read"), Some(position));

        let path = dir.path().join("position");
        let mut bytes = std::fs::read(&path).expect("it is there");
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        std::fs::write(&path, bytes).expect("it is written");
        assert!(matches!(load(&data), Err(PositionError::Damaged { .. })));
    }
}
