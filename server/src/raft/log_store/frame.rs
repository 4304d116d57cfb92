//! One checksummed record of the segmented log.
//!
//! ```text
//! 0  magic    u32   where a scan may find a frame again after damage
//! 4  length   u32   of the payload
//! 8  crc32    u32   of segment number, offset, and all that follows and precedes but itself
//! 12 kind     u8    and three zero bytes
//! 16 index    u64   of an entry; 0 where a kind has none
//! 24 durable  u64   bytes of this segment known to be durable when the frame was written
//! 32 payload
//! ```
//!
//! Numbers are little-endian. Segment number and offset are part of the checksum, so a frame is valid only where it was
//! written. `durable` tells damage from a torn tail: a bad frame below the mark of a later good one was once durable.

use crate::limits;

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 32;

const MAGIC: u32 = u32::from_le_bytes(*b"mjF1");

/// What a frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// First frame of a segment: proves which file it is.
    Head = 1,
    /// A log entry.
    Entry = 2,
    /// The vote.
    Vote = 3,
    /// How far the log is committed.
    Committed = 4,
    /// Entries from the index on are removed.
    Truncate = 5,
    /// Entries through the index are removed.
    Purge = 6,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Kind::Head, Kind::Entry, Kind::Vote, Kind::Committed, Kind::Truncate, Kind::Purge]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// A frame as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it says.
    pub kind: Kind,
    /// Of an entry, a truncation or a purge.
    pub index: u64,
    /// Bytes of the segment known to be durable when this was written.
    pub durable: u64,
    /// The rest.
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// Bytes on disk.
    pub fn len(&self) -> usize {
        HEADER_BYTES + self.payload.len()
    }

    /// Whether there is no payload.
    pub fn is_empty(&self) -> bool {
        self.payload.is_empty()
    }
}

/// Why bytes are not a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Bad {
    /// The file ends inside the frame.
    #[error("the file ends inside a frame")]
    Short,
    /// No frame starts here.
    #[error("no frame starts here")]
    Magic,
    /// The length is out of bounds.
    #[error("a frame's length is out of bounds")]
    Length,
    /// The checksum differs.
    #[error("a frame's checksum does not match")]
    Checksum,
    /// The checksum is right but the kind is unknown.
    #[error("a frame is of an unknown kind")]
    Kind,
}

/// Where a frame is: its segment's number and its offset in there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of the segment.
    pub segment: u64,
    /// Offset of the frame in the segment's file.
    pub offset: u64,
}

/// Appends the frame's bytes to `out`; `place` is where they will be written.
pub fn encode(frame: Frame<'_>, place: Place, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&MAGIC.to_le_bytes());
    out.extend_from_slice(&(frame.payload.len() as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&[frame.kind as u8, 0, 0, 0]);
    out.extend_from_slice(&frame.index.to_le_bytes());
    out.extend_from_slice(&frame.durable.to_le_bytes());
    out.extend_from_slice(frame.payload);
    let crc = checksum(&out[start..], place);
    out[start + 8..start + 12].copy_from_slice(&crc.to_le_bytes());
}

/// Reads the frame at the start of `bytes`, which were found at `place`.
pub fn decode(bytes: &[u8], place: Place) -> Result<Frame<'_>, Bad> {
    if bytes.len() < HEADER_BYTES {
        return Err(Bad::Short);
    }
    if le_u32(bytes, 0) != MAGIC {
        return Err(Bad::Magic);
    }
    let len = le_u32(bytes, 4) as usize;
    if len > limits::RECORD_BYTES_MAX {
        return Err(Bad::Length);
    }
    let Some(whole) = bytes.get(..HEADER_BYTES + len) else { return Err(Bad::Short) };
    if checksum(whole, place) != le_u32(whole, 8) {
        return Err(Bad::Checksum);
    }
    let kind = Kind::from_byte(whole[12]).ok_or(Bad::Kind)?;
    Ok(Frame { kind, index: le_u64(whole, 16), durable: le_u64(whole, 24), payload: &whole[HEADER_BYTES..] })
}

/// Whether a good frame after a bad one at `from` proves that the bad one was once durable.
///
/// `bytes` is the whole segment. Looks at every place where a frame could start, because the length of the bad frame
/// cannot be trusted.
pub fn was_durable(bytes: &[u8], segment: u64, from: usize) -> bool {
    let magic = MAGIC.to_le_bytes();
    let candidates = bytes.len().saturating_sub(HEADER_BYTES);
    (from + 1..candidates.saturating_add(1)).any(|at| {
        bytes[at..].starts_with(&magic)
            && decode(&bytes[at..], Place { segment, offset: at as u64 })
                .is_ok_and(|frame| frame.durable > from as u64)
    })
}

fn checksum(frame: &[u8], place: Place) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&place.segment.to_le_bytes());
    hasher.update(&place.offset.to_le_bytes());
    hasher.update(&frame[..8]);
    hasher.update(&frame[12..]);
    hasher.finalize()
}

fn le_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn le_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from(le_u32(bytes, at)) | u64::from(le_u32(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLACE: Place = Place { segment: 3, offset: 4096 };

    fn encoded(payload: &[u8], durable: u64, place: Place) -> Vec<u8> {
        let mut out = Vec::new();
        encode(Frame { kind: Kind::Entry, index: 7, durable, payload }, place, &mut out);
        out
    }

    #[test]
    fn a_frame_is_valid_only_where_it_was_written() {
        let bytes = encoded(b"payload", 0, PLACE);
        assert!(decode(&bytes, PLACE).is_ok());
        assert_eq!(decode(&bytes, Place { offset: 0, ..PLACE }), Err(Bad::Checksum));
        assert_eq!(decode(&bytes, Place { segment: 4, ..PLACE }), Err(Bad::Checksum));
    }

    #[test]
    fn a_bad_frame_below_a_later_durable_mark_was_durable() {
        let mut bytes = encoded(b"first", 0, Place { segment: 1, offset: 0 });
        let second = bytes.len();
        bytes.extend(encoded(b"second", 0, Place { segment: 1, offset: second as u64 }));
        assert!(!was_durable(&bytes, 1, 0), "both were written by one group: the first may be torn");
        let third = bytes.len();
        bytes.extend(encoded(b"third", third as u64, Place { segment: 1, offset: third as u64 }));
        assert!(was_durable(&bytes, 1, 0));
        assert!(was_durable(&bytes, 1, second));
        assert!(!was_durable(&bytes, 1, third));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(payload in proptest::collection::vec(any::<u8>(), 0..300), index: u64, durable: u64) {
            let mut bytes = Vec::new();
            let frame = Frame { kind: Kind::Purge, index, durable, payload: &payload };
            encode(frame, PLACE, &mut bytes);
            bytes.extend_from_slice(b"what follows is not read");
            prop_assert_eq!(decode(&bytes, PLACE), Ok(frame));
        }

        #[test]
        fn any_flipped_bit_is_seen(payload in proptest::collection::vec(any::<u8>(), 0..100), bit: prop::sample::Index) {
            let mut bytes = encoded(&payload, 9, PLACE);
            let bit = bit.index(bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode(&bytes, PLACE).is_err());
        }

        #[test]
        fn any_cut_is_seen(payload in proptest::collection::vec(any::<u8>(), 0..100), cut: prop::sample::Index) {
            let bytes = encoded(&payload, 9, PLACE);
            prop_assert_eq!(decode(&bytes[..cut.index(bytes.len())], PLACE), Err(Bad::Short));
        }

        #[test]
        fn garbage_is_never_a_frame(mut bytes in proptest::collection::vec(any::<u8>(), 0..200), with_magic: bool) {
            if with_magic && bytes.len() >= 4 {
                bytes[..4].copy_from_slice(&MAGIC.to_le_bytes());
            }
            prop_assert!(decode(&bytes, PLACE).is_err());
            prop_assert!(!was_durable(&bytes, 1, 0));
        }
    }
}
