//! An entry as the values of sled keys.
//!
//! sled writes a blob file, which it never syncs, when a leaf outgrows a quarter of a segment. So a record is cut into
//! parts; part `n` of entry `i` is stored under the key `i` (8 bytes) `n` (2 bytes), big-endian, in one batch.
//! A value is: crc32 of key and all that follows it (4 bytes), length of the whole record (4 bytes), the part.

use crate::limits::{RECORD_BYTES_MAX, SLED_PART_BYTES};

const VALUE_HEADER_BYTES: usize = 8;
const _: () = assert!(RECORD_BYTES_MAX / SLED_PART_BYTES < u16::MAX as usize);

/// The key of a part.
pub(super) fn key(index: u64, part: u16) -> [u8; 10] {
    let mut key = [0; 10];
    key[..8].copy_from_slice(&index.to_be_bytes());
    key[8..].copy_from_slice(&part.to_be_bytes());
    key
}

/// The index in a key, or `None` if it is no key of ours.
pub(super) fn index_of(key: &[u8]) -> Option<u64> {
    let key: [u8; 10] = key.try_into().ok()?;
    Some(u64::from_be_bytes(std::array::from_fn(|i| key[i])))
}

/// How many parts a record of `len` bytes has; an empty record has one.
pub(super) fn count(len: usize) -> u16 {
    len.div_ceil(SLED_PART_BYTES).max(1) as u16
}

/// The keys and values of a record.
pub(super) fn split(index: u64, record: &[u8]) -> impl Iterator<Item = ([u8; 10], Vec<u8>)> + '_ {
    (0..count(record.len())).map(move |part| {
        let start = usize::from(part) * SLED_PART_BYTES;
        let end = record.len().min(start + SLED_PART_BYTES);
        let key = key(index, part);
        let mut value = Vec::with_capacity(VALUE_HEADER_BYTES + end - start);
        value.extend_from_slice(&[0; 4]);
        value.extend_from_slice(&(record.len() as u32).to_le_bytes());
        value.extend_from_slice(&record[start..end]);
        let crc = checksum(&key, &value);
        value[..4].copy_from_slice(&crc.to_le_bytes());
        (key, value)
    })
}

/// Puts parts together again, in the order of their keys.
#[derive(Debug, Default)]
pub(super) struct Joiner {
    index: u64,
    next_part: u16,
    expected: usize,
    record: Vec<u8>,
}

impl Joiner {
    /// Takes the next part; answers with index and record when it was the last one.
    ///
    /// # Errors
    ///
    /// Says what is wrong when the value is damaged or is not the next part.
    pub(super) fn push(&mut self, key: &[u8], value: &[u8]) -> Result<Option<(u64, Vec<u8>)>, String> {
        let index = index_of(key).ok_or("a key of another length")?;
        if value.len() < VALUE_HEADER_BYTES || checksum(key, value).to_le_bytes() != value[..4] {
            return Err(format!("the checksum of entry {index} does not match"));
        }
        let len = u32::from_le_bytes([value[4], value[5], value[6], value[7]]) as usize;
        if self.next_part == 0 {
            (self.index, self.expected) = (index, len);
        }
        if key != self::key(self.index, self.next_part) || len != self.expected {
            return Err(format!("a part of entry {} is missing", self.index));
        }
        self.record.extend_from_slice(&value[VALUE_HEADER_BYTES..]);
        self.next_part += 1;
        if self.next_part < count(self.expected) {
            return Ok(None);
        }
        self.next_part = 0;
        let record = std::mem::take(&mut self.record);
        if record.len() == self.expected {
            Ok(Some((index, record)))
        } else {
            Err(format!("entry {index} is cut"))
        }
    }

    /// Says what is missing if the parts ended inside a record.
    pub(super) fn finish(&self) -> Result<(), String> {
        if self.next_part == 0 { Ok(()) } else { Err(format!("a part of entry {} is missing", self.index)) }
    }
}

fn checksum(key: &[u8], value: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(key);
    hasher.update(&value[4..]);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn join<'a>(parts: impl Iterator<Item = &'a ([u8; 10], Vec<u8>)>) -> Result<Vec<(u64, Vec<u8>)>, String> {
        let mut joiner = Joiner::default();
        let mut records = Vec::new();
        for (key, value) in parts {
            records.extend(joiner.push(key, value)?);
        }
        joiner.finish().map(|()| records)
    }

    fn record(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i % 251) as u8).collect()
    }

    #[test]
    fn records_of_every_size_come_back() {
        for len in [0, 1, SLED_PART_BYTES - 1, SLED_PART_BYTES, SLED_PART_BYTES + 1, 3 * SLED_PART_BYTES] {
            let parts: Vec<_> = split(5, &record(len)).chain(split(6, b"next")).collect();
            assert_eq!(join(parts.iter()), Ok(vec![(5, record(len)), (6, b"next".to_vec())]), "length {len}");
        }
    }

    #[test]
    fn a_missing_or_doubled_part_is_seen() {
        let parts: Vec<_> = split(5, &record(2 * SLED_PART_BYTES + 9)).collect();
        for missing in 0..parts.len() {
            let rest = parts.iter().enumerate().filter(|(part, _)| *part != missing).map(|(_, part)| part);
            assert!(join(rest).is_err(), "without part {missing}");
        }
        assert!(join([&parts[0], &parts[0], &parts[1], &parts[2]].into_iter()).is_err());
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_seen(len in 0usize..300, bit: prop::sample::Index) {
            let mut parts: Vec<_> = split(5, &record(len)).collect();
            let value = &mut parts[0].1;
            let bit = bit.index(value.len() * 8);
            value[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(join(parts.iter()).is_err());
        }

        #[test]
        fn garbage_is_never_a_record(key in proptest::collection::vec(any::<u8>(), 0..12),
                                     value in proptest::collection::vec(any::<u8>(), 0..40)) {
            prop_assert!(Joiner::default().push(&key, &value).is_err());
        }
    }
}
