//! Who this server is: what its data directory says, and the lock that makes it the only process there.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use proto::ids::{ServerId, random_request_id, random_u64};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// The name of the file with the cluster's token, in the data directory.
pub const TOKEN_FILE: &str = "token";
const SERVER_ID_FILE: &str = "server_id";
const LOCK_FILE: &str = "lock";
/// Only the owner reads it.
const SECRET_MODE: u32 = 0o600;

/// Who this server is, in this run of its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Made once, kept in the data directory.
    pub server: ServerId,
    /// New with every start.
    pub boot_nonce: u64,
}

/// Who this server is. The data directory is this process's own as long as this lives.
#[derive(Debug)]
pub struct Identity {
    /// The server's id, and this start of it.
    pub member: Member,
    /// What every request must bring: as in the file, or made now.
    pub token: String,
    /// Whether the token was made now: the first start of this data directory.
    pub token_is_new: bool,
    _lock: File,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be made.
    #[error("cannot make the data directory {}", path.display())]
    Create {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has it.
    #[error("another minijob server uses the data directory {}", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The lock could not be taken.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds what it cannot: an empty token would let everybody in.
    #[error("{} does not hold {what}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
    },
}

impl Identity {
    /// Takes a data directory for this process. The first time it is made, with a random id and a random token of 128 bits.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::InUse`] while another process has it, a second call in the same process included.
    pub fn open(data_dir: &Path) -> Result<Self, Error> {
        Self::open_with(data_dir, None)
    }

    /// The same; a first start writes that token, which all servers of a cluster derive from its key.
    ///
    /// # Errors
    /// See [`Identity::open`].
    pub fn open_with(data_dir: &Path, token: Option<&str>) -> Result<Self, Error> {
        let made = token.map_or_else(|| random_request_id().to_string(), str::to_owned);
        make_private(data_dir).map_err(|source| Error::Create { path: data_dir.to_owned(), source })?;
        let lock = lock(data_dir)?;
        let server = server_id(&data_dir.join(SERVER_ID_FILE))?;
        let (token, token_is_new) = read_token(&data_dir.join(TOKEN_FILE), made)?;
        let member = Member { server, boot_nonce: random_u64() };
        Ok(Self { member, token, token_is_new, _lock: lock })
    }
}

/// Makes a directory for its owner alone. Others pass through those above it, where tasks of an agent may have their own.
fn make_private(dir: &Path) -> io::Result<()> {
    if let Some(parent) = dir.parent() {
        DirBuilder::new().recursive(true).create(parent)?;
    }
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

fn lock(data_dir: &Path) -> Result<File, Error> {
    let path = data_dir.join(LOCK_FILE);
    let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(SECRET_MODE).open(&path);
    let file = opened.map_err(|source| Error::Lock { path: path.clone(), source })?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(file),
        Err(Errno::WOULDBLOCK) => Err(Error::InUse { path: data_dir.to_owned() }),
        Err(errno) => Err(Error::Lock { path, source: errno.into() }),
    }
}

fn server_id(path: &Path) -> Result<ServerId, Error> {
    match read(path)? {
        Some(text) => {
            text.parse().map_err(|_| Error::Content { path: path.to_owned(), what: "a server's id" })
        }
        None => {
            let id = ServerId(random_u64());
            write_new(path, &id.to_string())?;
            Ok(id)
        }
    }
}

fn read_token(path: &Path, made: String) -> Result<(String, bool), Error> {
    match read(path)? {
        Some(text) if text.is_empty() => Err(Error::Content { path: path.to_owned(), what: "a token" }),
        Some(text) => {
            keep_secret(path)?;
            Ok((text, false))
        }
        None => {
            write_new(path, &made)?;
            Ok((made, true))
        }
    }
}

fn read(path: &Path) -> Result<Option<String>, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Read { path: path.to_owned(), source }),
    }
}

/// Takes away what others may do with a secret that somebody has copied or edited carelessly.
fn keep_secret(path: &Path) -> Result<(), Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    tracing::warn!(path = %path.display(), "others could read the token; now only its owner can");
    std::fs::set_permissions(path, Permissions::from_mode(SECRET_MODE)).map_err(failed)
}

/// Writes a small file that only the owner reads: after a power cut it is there whole or not at all.
fn write_new(path: &Path, text: &str) -> Result<(), Error> {
    let written = write_whole(path, format!("{text}\n").as_bytes());
    written.map_err(|source| Error::Write { path: path.to_owned(), source })
}

/// The same with any bytes.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file =
        OpenOptions::new().create(true).truncate(true).write(true).mode(SECRET_MODE).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_server_is_the_same_after_a_restart_and_its_process_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("a/b");
        let first = Identity::open(&data).unwrap();
        assert!(first.token_is_new);
        let (member, token) = (first.member, first.token.clone());
        drop(first);
        let second = Identity::open(&data).unwrap();
        assert_eq!((second.member.server, &second.token), (member.server, &token));
        assert!(!second.token_is_new);
        assert_ne!(second.member.boot_nonce, member.boot_nonce);
    }

    #[test]
    fn only_the_owner_reads_the_token() {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity::open(dir.path()).unwrap();
        let path = dir.path().join(TOKEN_FILE);
        assert_eq!((mode(&path), identity.token.len()), (0o600, 32));
        drop(identity);
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        Identity::open(dir.path()).unwrap();
        assert_eq!(mode(&path), 0o600, "taken back from others");
    }

    #[test]
    fn its_directory_is_its_owner_s_alone_and_others_pass_through_those_above_it() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("minijob/server");
        Identity::open(&data).unwrap();
        assert_eq!(mode(&data), 0o700);
        assert_eq!(
            mode(data.parent().unwrap()) & 0o055,
            0o055,
            "tasks run as others below an agent's directory beside it"
        );
    }

    #[test]
    fn a_directory_has_one_server() {
        let dir = tempfile::tempdir().unwrap();
        let _first = Identity::open(dir.path()).unwrap();
        assert!(matches!(Identity::open(dir.path()), Err(Error::InUse { .. })));
    }

    #[test]
    fn an_empty_token_or_a_garbled_id_is_refused_and_not_replaced() {
        for file in [TOKEN_FILE, SERVER_ID_FILE] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join(file), "\n").unwrap();
            let error = Identity::open(dir.path()).unwrap_err();
            assert!(matches!(error, Error::Content { .. }), "{file}: {error}");
        }
    }
}
