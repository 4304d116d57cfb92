//! Bytes in blocks that show damage: what is read is what was written, all of it, or an error that names the block.
//!
//! ```text
//! length u32 (0 is the end) | crc32 u32 of the block's number, its length and its bytes | the bytes
//! ```
//!
//! Numbers are little-endian. The number in the checksum makes a block that is missing, doubled or moved as visible as one whose bits
//! changed, and the end is a block too, so that a stream that was cut anywhere has none.

use std::io::{self, Read, Write};

use crate::limits::SNAPSHOT_BLOCK_BYTES;

const HEADER_BYTES: usize = 8;

fn checksum(number: u64, block: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(&(block.len() as u32).to_le_bytes());
    hasher.update(block);
    hasher.finalize()
}

/// Writes blocks. What was written is whole only after [`Writer::finish`].
pub struct Writer<W> {
    out: W,
    block: Vec<u8>,
    number: u64,
    length: u64,
}

impl<W: Write> Writer<W> {
    /// Begins with block 0.
    pub fn new(out: W) -> Self {
        Self { out, block: Vec::with_capacity(SNAPSHOT_BLOCK_BYTES), number: 0, length: 0 }
    }

    /// Writes what is left and the end; returns where it was written, and the bytes of content.
    ///
    /// # Errors
    /// Those of where it is written.
    pub fn finish(mut self) -> io::Result<(W, u64)> {
        if !self.block.is_empty() {
            self.end_block()?;
        }
        // A block of no bytes is the end.
        self.end_block()?;
        Ok((self.out, self.length))
    }

    fn end_block(&mut self) -> io::Result<()> {
        self.out.write_all(&(self.block.len() as u32).to_le_bytes())?;
        self.out.write_all(&checksum(self.number, &self.block).to_le_bytes())?;
        self.out.write_all(&self.block)?;
        self.number += 1;
        self.block.clear();
        Ok(())
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(SNAPSHOT_BLOCK_BYTES - self.block.len());
        self.block.extend_from_slice(&bytes[..taken]);
        self.length += taken as u64;
        if self.block.len() == SNAPSHOT_BLOCK_BYTES {
            self.end_block()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        // Only a finished stream is of any use.
        Ok(())
    }
}

/// Reads blocks, each checked before any of its bytes is given out. Damage is [`io::ErrorKind::InvalidData`] with what is wrong and
/// where. Nothing may follow the last block.
#[derive(Debug)]
pub struct Reader<R> {
    from: R,
    block: Vec<u8>,
    block_read: usize,
    number: u64,
    read: u64,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Begins with block 0.
    pub fn new(from: R) -> Self {
        Self { from, block: Vec::new(), block_read: 0, number: 0, read: 0, ended: false }
    }

    /// Returns the bytes of content in the blocks that were read.
    pub const fn content_bytes(&self) -> u64 {
        self.read
    }

    fn next_block(&mut self) -> io::Result<()> {
        let number = self.number;
        let damaged =
            |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{what}, at block {number}"));
        let mut header = [0; HEADER_BYTES];
        read_exact(&mut self.from, &mut header)?.ok_or_else(|| damaged("it ends early"))?;
        let len = le_u32(&header, 0) as usize;
        if len > SNAPSHOT_BLOCK_BYTES {
            return Err(damaged("a block has an impossible length"));
        }
        self.block.resize(len, 0);
        self.block_read = 0;
        read_exact(&mut self.from, &mut self.block)?.ok_or_else(|| damaged("it ends early"))?;
        if checksum(self.number, &self.block) != le_u32(&header, 4) {
            self.block.clear();
            return Err(damaged("a checksum does not match"));
        }
        self.number += 1;
        self.read += len as u64;
        self.ended = len == 0;
        if self.ended && read_exact(&mut self.from, &mut [0])?.is_some() {
            return Err(damaged("something follows its end"));
        }
        Ok(())
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.block_read == self.block.len() && !self.ended {
            self.next_block()?;
        }
        let taken = out.len().min(self.block.len() - self.block_read);
        out[..taken].copy_from_slice(&self.block[self.block_read..self.block_read + taken]);
        self.block_read += taken;
        Ok(taken)
    }
}

/// Fills the buffer; `None` when what is read ends before it is full.
///
/// # Errors
/// Those of where it is read from.
pub fn read_exact(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<Option<()>> {
    match from.read_exact(buffer) {
        Ok(()) => Ok(Some(())),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads a little-endian number from the middle of a header, which is longer than that.
#[must_use]
pub fn le_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
