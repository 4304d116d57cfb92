//! The agent's data directory: its layout, its one owner, the node's id.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use proto::ids::{AllocId, BadId, NodeId};

use super::file::{self, FileError};

/// Bytes of a file that holds one id, with room for a line end.
const ID_FILE_BYTES: u64 = 64;

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// It cannot be made.
    #[error("cannot make the data directory {}", path.display())]
    Make {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another agent has it.
    #[error("another agent uses the data directory {}: stop it, or give this one its own with --data-dir", path.display())]
    InUse {
        /// Which.
        path: PathBuf,
    },
    /// It cannot be locked.
    #[error("cannot lock the data directory {}", path.display())]
    Lock {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The node's id cannot be read or written.
    #[error("cannot keep the node's id")]
    NodeId {
        /// Why.
        source: FileError,
    },
    /// The file holds no id.
    #[error("{} holds no node id: restore it, or delete it to register as a new node", path.display())]
    BadNodeId {
        /// Which.
        path: PathBuf,
        /// Why.
        source: BadId,
    },
}

/// An open data directory. Dropping it lets another agent have it.
#[derive(Debug)]
pub struct DataDir {
    root: PathBuf,
    _lock: Flock<File>,
}

impl DataDir {
    /// Makes the directory when it is missing, and takes it.
    ///
    /// # Errors
    /// [`DataDirError::InUse`] while another agent has it; else what the system refused.
    pub fn open(root: &Path) -> Result<Self, DataDirError> {
        let make = |path: &Path, mode| {
            DirBuilder::new()
                .recursive(true)
                .mode(mode)
                .create(path)
                .and_then(|()| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)))
                .map_err(|source| DataDirError::Make { path: path.to_owned(), source })
        };
        // Tasks run as other users and reach their own directory through these two: passing is allowed, listing is not.
        make(root, 0o711)?;
        // Tasks and the keeper have another working directory: a relative path would mean something else to them.
        let root = &std::fs::canonicalize(root)
            .map_err(|source| DataDirError::Make { path: root.to_owned(), source })?;
        make(&root.join("allocs"), 0o711)?;
        let path = root.join("lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|source| DataDirError::Lock { path: root.to_owned(), source })?;
        match Flock::lock(lock, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self { root: root.to_owned(), _lock: lock }),
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => Err(DataDirError::InUse { path: root.to_owned() }),
            Err((_, errno)) => {
                Err(DataDirError::Lock { path: root.to_owned(), source: io::Error::from(errno) })
            }
        }
    }

    /// Returns this node's id, made at random the first time.
    ///
    /// # Errors
    /// When the file cannot be read or written, or holds something else: a new id would make all that runs here a stranger.
    pub fn node_id(&self) -> Result<NodeId, DataDirError> {
        let path = self.root.join("node_id");
        let wrap = |source| DataDirError::NodeId { source };
        if let Some(bytes) = file::read(&path, ID_FILE_BYTES).map_err(wrap)? {
            let text = String::from_utf8_lossy(&bytes);
            return text.trim().parse().map_err(|source| DataDirError::BadNodeId { path, source });
        }
        let id = NodeId(proto::ids::random_u64());
        file::replace(&path, format!("{id}\n").as_bytes()).map_err(wrap)?;
        Ok(id)
    }

    /// Where it is.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The folder of all allocations.
    #[must_use]
    pub fn allocs(&self) -> PathBuf {
        self.root.join("allocs")
    }

    /// The folder of one allocation: its record, its logs, a directory per task.
    #[must_use]
    pub fn alloc(&self, id: AllocId) -> PathBuf {
        self.allocs().join(id.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_is_refused_with_a_sentence() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let first = DataDir::open(dir.path()).expect("nobody has it");
        let refused = DataDir::open(dir.path()).expect_err("somebody has it");
        assert!(refused.to_string().starts_with("another agent uses the data directory"), "{refused}");
        drop(first);
        DataDir::open(dir.path()).expect("nobody has it any more");
    }

    #[test]
    fn the_id_of_a_node_stays_and_is_nobody_elses_to_read() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let data = DataDir::open(dir.path()).expect("nobody has it");
        let id = data.node_id().expect("it is made");
        assert_eq!(data.node_id().expect("it is read"), id);
        let mode = std::fs::metadata(dir.path().join("node_id")).expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_spoilt_id_is_never_replaced_by_a_new_one() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let data = DataDir::open(dir.path()).expect("nobody has it");
        std::fs::write(dir.path().join("node_id"), "what").expect("it is written");
        assert!(matches!(data.node_id(), Err(DataDirError::BadNodeId { .. })));
    }
}
