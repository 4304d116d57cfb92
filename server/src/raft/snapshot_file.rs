//! One snapshot file: written whole or not at all, read only if intact.
//!
//! ```text
//! 0   magic       8 bytes "mjSNAP\r\n"
//! 8   format      u32
//! 12  length      u64   of the content
//! 20  meta length u32
//! 24  meta crc32  u32   of bytes 8 to 24 and the meta data
//! 28  meta data: a protobuf message, opaque here
//! ..  blocks (`core/blocks.rs`)
//! ```
//!
//! Numbers are little-endian. The file is written under a temporary name, synced, renamed, and its directory synced.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::core::blocks::{self, le_u32, read_exact};
use crate::raft::durable;

/// The format written, and the newest that is read.
pub const FORMAT: u32 = 1;

const MAGIC: &[u8; 8] = b"mjSNAP\r\n";
const HEADER_BYTES: usize = 28;

/// No meta data is larger; a damaged length must not allocate memory.
const META_BYTES_MAX: u32 = 16 << 20;

/// Why a snapshot could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error("cannot {doing} the snapshot {}", path.display())]
    Io {
        /// What was attempted.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file was written by a later release.
    #[error(
        "the snapshot {} was written by a newer minijob: format {found}, this binary reads up to {FORMAT}",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The format it names.
        found: u32,
    },
    /// The file is not what was written.
    #[error("the snapshot {} is damaged: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

/// Writes a snapshot; returns its size in bytes once it is durable under `path`.
///
/// # Errors
///
/// [`Error::Io`]; nothing is left under `path` then, or what was there before.
pub fn write(
    path: &Path,
    meta: &[u8],
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<u64, Error> {
    let temporary = path.with_extension("tmp");
    let result = write_temporary(&temporary, meta, content).and_then(|size| {
        std::fs::rename(&temporary, path)?;
        durable::sync_parent(path)?;
        Ok(size)
    });
    result.map_err(|source| {
        // A full disk should not stay full because of us; the error that counts is the first.
        std::fs::remove_file(&temporary).ok();
        Error::Io { doing: "write", path: path.to_path_buf(), source }
    })
}

fn write_temporary(
    path: &Path,
    meta: &[u8],
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<u64> {
    let mut out = BufWriter::new(File::create(path)?);
    out.write_all(&header(0, meta)?)?;
    out.write_all(meta)?;
    let mut blocks = blocks::Writer::new(out);
    content(&mut blocks)?;
    let (out, length) = blocks.finish()?;
    let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    let size = file.stream_position()?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&header(length, meta)?)?;
    file.sync_all()?;
    Ok(size)
}

fn header(length: u64, meta: &[u8]) -> io::Result<[u8; HEADER_BYTES]> {
    let meta_len = u32::try_from(meta.len()).ok().filter(|len| *len <= META_BYTES_MAX);
    let meta_len = meta_len.ok_or_else(|| io::Error::other("the snapshot's meta data is too large"))?;
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    header[12..20].copy_from_slice(&length.to_le_bytes());
    header[20..24].copy_from_slice(&meta_len.to_le_bytes());
    let crc = meta_checksum(&header, meta);
    header[24..].copy_from_slice(&crc.to_le_bytes());
    Ok(header)
}

fn meta_checksum(header: &[u8; HEADER_BYTES], meta: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header[8..24]);
    hasher.update(meta);
    hasher.finalize()
}

/// An open snapshot; reading it gives the content, and an error at the first block that is not what was written.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    meta: Vec<u8>,
    /// Of the content, as the header says.
    length: u64,
    blocks: blocks::Reader<BufReader<File>>,
}

impl Reader {
    /// Opens a snapshot and reads its meta data.
    ///
    /// # Errors
    ///
    /// [`Error::Newer`] by name, [`Error::Damaged`] for a header that is not ours, [`Error::Io`].
    pub fn open(path: &Path) -> Result<Self, Error> {
        let io = |source| Error::Io { doing: "open", path: path.to_path_buf(), source };
        let damaged = |what: &str| Error::Damaged { path: path.to_path_buf(), what: what.into() };
        let mut file = BufReader::new(File::open(path).map_err(io)?);
        let mut header = [0; HEADER_BYTES];
        read_exact(&mut file, &mut header)
            .map_err(io)?
            .ok_or_else(|| damaged("it ends inside its header"))?;
        if &header[..8] != MAGIC {
            return Err(damaged("it is not a snapshot of minijob"));
        }
        let found = le_u32(&header, 8);
        if found > FORMAT {
            return Err(Error::Newer { path: path.to_path_buf(), found });
        }
        let meta_len = le_u32(&header, 20);
        if meta_len > META_BYTES_MAX {
            return Err(damaged("its header names an impossible length"));
        }
        let mut meta = vec![0; meta_len as usize];
        read_exact(&mut file, &mut meta).map_err(io)?.ok_or_else(|| damaged("it ends inside its header"))?;
        if meta_checksum(&header, &meta) != le_u32(&header, 24) {
            return Err(damaged("the checksum of its header does not match"));
        }
        let length = u64::from(le_u32(&header, 12)) | u64::from(le_u32(&header, 16)) << 32;
        Ok(Reader { path: path.to_path_buf(), meta, length, blocks: blocks::Reader::new(file) })
    }

    /// What `write` was given as meta data.
    pub fn meta(&self) -> &[u8] {
        &self.meta
    }

    /// Bytes of the content.
    pub fn content_bytes(&self) -> u64 {
        self.length
    }

    /// Reads the rest, so that every block is checked; returns how many bytes of content were left.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] or [`Error::Io`].
    pub fn drain(&mut self) -> Result<u64, Error> {
        io::copy(self, &mut io::sink()).map_err(|source| match source.kind() {
            io::ErrorKind::InvalidData => {
                Error::Damaged { path: self.path.clone(), what: source.to_string() }
            }
            _ => Error::Io { doing: "read", path: self.path.clone(), source },
        })
    }
}

impl Read for Reader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let taken = self.blocks.read(out)?;
        if taken == 0 && !out.is_empty() && self.blocks.content_bytes() != self.length {
            let what = "it is longer or shorter than its header says";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests;
