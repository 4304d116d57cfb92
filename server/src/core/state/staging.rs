//! A snapshot that is being restored, as far as it has come: a part of the state, so that every server has the same.

use std::io::{self, Read};
use std::time::Duration;

use bytes::Bytes;
use proto::error::Kind as ErrorKind;
use proto::time::Timestamp;

use super::Refusal;
use crate::limits::RESTORE_BYTES_MAX;

/// How long parts are kept after the last of them came: whoever sends them tries again within seconds.
pub const KEPT_FOR: Duration = Duration::from_secs(10 * 60);

/// The parts of one snapshot.
#[derive(Clone, Debug)]
pub struct Staging {
    upload: u64,
    at: Timestamp,
    parts: imbl::Vector<Bytes>,
    bytes: u64,
}

impl Staging {
    /// Begins without parts.
    #[must_use]
    pub fn new(upload: u64, at: Timestamp) -> Self {
        Self { upload, at, parts: imbl::Vector::new(), bytes: 0 }
    }

    /// Names the parts.
    #[must_use]
    pub const fn upload(&self) -> u64 {
        self.upload
    }

    /// When the last part came.
    #[must_use]
    pub const fn at(&self) -> Timestamp {
        self.at
    }

    /// Bytes of all parts.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the parts in their order.
    pub fn parts(&self) -> impl Iterator<Item = &Bytes> {
        self.parts.iter()
    }

    /// Returns whether nobody has sent more of it for long.
    #[must_use]
    pub fn is_abandoned(&self, now: Timestamp) -> bool {
        now.since(self.at) > KEPT_FOR
    }

    /// Takes the next part; one that has come already changes nothing.
    ///
    /// # Errors
    /// A part that does not follow what has come, or holds nothing; more than can be restored.
    pub fn take(&mut self, offset: u64, data: Bytes, now: Timestamp) -> Result<(), Refusal> {
        let length = data.len() as u64;
        if length == 0 {
            return Err(Refusal::new(ErrorKind::Invalid, "a part of a snapshot holds nothing"));
        }
        if offset.saturating_add(length) <= self.bytes {
            return Ok(());
        }
        if offset != self.bytes {
            let message = format!(
                "a part of the snapshot is missing: {} bytes have come, this one is at {offset}",
                self.bytes
            );
            return Err(Refusal::new(ErrorKind::Conflict, message).hint("begin the restore again"));
        }
        if self.bytes + length > RESTORE_BYTES_MAX {
            let message =
                format!("the snapshot has more than {RESTORE_BYTES_MAX} bytes, which no server takes");
            return Err(Refusal::new(ErrorKind::TooLarge, message));
        }
        self.push(data);
        self.at = now;
        Ok(())
    }

    /// Puts a part behind the others.
    pub(super) fn push(&mut self, data: Bytes) {
        self.bytes += data.len() as u64;
        self.parts.push_back(data);
    }

    /// Reads the parts as one.
    pub fn reader(&self) -> impl Read {
        Parts { rest: self.parts.iter(), part: &[] }
    }
}

struct Parts<'s, I: Iterator<Item = &'s Bytes>> {
    rest: I,
    part: &'s [u8],
}

impl<'s, I: Iterator<Item = &'s Bytes>> Read for Parts<'s, I> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.part.is_empty() {
            let Some(next) = self.rest.next() else { return Ok(0) };
            self.part = next;
        }
        self.part.read(out)
    }
}
