//! What a server has promised: one small file, written before it is acted upon and never changed.

use std::io;
use std::path::{Path, PathBuf};

use prost::Message as _;
use proto::wire::v1;

use super::wire;
use crate::core::forming::Promise;
use crate::identity::write_whole;

/// The file's name, in the data directory.
const FILE: &str = "forming";
/// What it begins with; the number is its version.
const MAGIC: &[u8] = b"minijob-forming-1\n";

/// A promise that cannot be read. A server that does not know what it promised must not promise again.
#[derive(Debug, thiserror::Error)]
#[error("{} does not say which cluster this server belongs to ({why}): empty its data directory if it belongs to none", path.display())]
pub struct Unreadable {
    /// The file.
    path: PathBuf,
    /// What is wrong.
    why: String,
}

/// Reads the promise of a data directory; none: there is none.
pub(super) fn read(data_dir: &Path) -> Result<Option<Promise>, Unreadable> {
    let path = data_dir.join(FILE);
    let unreadable = |why: String| Unreadable { path: path.clone(), why };
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unreadable(error.to_string())),
    };
    let body = bytes.strip_prefix(MAGIC).ok_or_else(|| unreadable("it is no such file".into()))?;
    let (sum, body) = body.split_at_checked(4).ok_or_else(|| unreadable("it is cut off".into()))?;
    if sum != crc32fast::hash(body).to_be_bytes() {
        return Err(unreadable("it is damaged".into()));
    }
    let message = v1::PeerPromise::decode(body).map_err(|error| unreadable(error.to_string()))?;
    let promise = wire::promise_from_wire(message);
    promise.map(Some).ok_or_else(|| unreadable("a newer minijob wrote it".into()))
}

/// Writes a promise; after a power cut it is there whole or not at all. Blocks.
pub(super) fn write(data_dir: &Path, promise: &Promise) -> io::Result<()> {
    let body = wire::promise_to_wire(promise).encode_to_vec();
    let sum = crc32fast::hash(&body).to_be_bytes();
    write_whole(&data_dir.join(FILE), &[MAGIC, &sum, &body].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promise_is_kept_and_a_damaged_one_is_none_that_was_never_made() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        write(dir.path(), &Promise::Join(7)).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(Promise::Join(7)));
        let path = dir.path().join(FILE);
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert!(read(dir.path()).is_err(), "{cut} bytes of {}", whole.len());
        }
    }
}
