//! What openraft is told about our types.

use std::fmt;
use std::marker::PhantomData;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use openraft::RaftTypeConfig;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::machine::Machine;

/// openraft's view of a machine. The outcomes of a batch travel back through openraft's own response, so the machine
/// is a parameter here: a side channel would have to guess which outcomes are still waited for.
pub(crate) struct TypeConfig<M>(PhantomData<fn() -> M>);

impl<M: Machine> RaftTypeConfig for TypeConfig<M> {
    type D = Batch;
    type R = Outcomes<M::Outcome>;
    type NodeId = u64;
    type Node = Peer;
    type Entry = openraft::Entry<Self>;
    type SnapshotData = SnapshotFile;
    type AsyncRuntime = openraft::TokioRuntime;
    type Responder = openraft::impls::OneshotResponder<Self>;
}

pub(crate) type Raft<M> = openraft::Raft<TypeConfig<M>>;
pub(crate) type Entry<M> = openraft::Entry<TypeConfig<M>>;
pub(crate) type LogId = openraft::LogId<u64>;
pub(crate) type Vote = openraft::Vote<u64>;
pub(crate) type StorageError = openraft::StorageError<u64>;
pub(crate) type Membership = openraft::Membership<u64, Peer>;
pub(crate) type StoredMembership = openraft::StoredMembership<u64, Peer>;
pub(crate) type SnapshotMeta = openraft::SnapshotMeta<u64, Peer>;

/// Another server, or this one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Peer {
    /// Where it listens.
    pub(crate) addr: String,
    /// What people call it.
    pub(crate) name: String,
}

/// The content of an entry: commands that nobody here can read. Cheap to clone.
///
/// openraft wants its types to be serde's; on disk and on the wire they are what `codec` makes of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Batch {
    #[serde(with = "as_vecs")]
    pub(crate) commands: Arc<[Bytes]>,
    /// Set when the batch enters a log. Until then a refusal is certain; after it an entry may be committed later
    /// even though this server was deposed and has forgotten it.
    #[serde(skip)]
    pub(crate) appended: Arc<AtomicBool>,
}

impl Batch {
    pub(crate) fn new(commands: Vec<Bytes>) -> Self {
        Batch { commands: commands.into(), appended: Arc::default() }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.commands.iter().map(Bytes::len).sum()
    }

    pub(crate) fn mark_appended(&self) {
        self.appended.store(true, Ordering::Release);
    }
}

impl PartialEq for Batch {
    fn eq(&self, other: &Self) -> bool {
        self.commands == other.commands
    }
}

/// One outcome per command of the entry; none for an entry without commands.
pub(crate) struct Outcomes<O>(pub(crate) Vec<O>);

impl<O> fmt::Debug for Outcomes<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} outcomes", self.0.len())
    }
}

/// openraft asks for serde on every type. Outcomes go from the applier to the proposer in one process, so both
/// directions refuse.
impl<O> Serialize for Outcomes<O> {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("outcomes do not leave the process"))
    }
}

impl<'de, O> Deserialize<'de> for Outcomes<O> {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("outcomes do not leave the process"))
    }
}

/// A snapshot: a file, and whether it was received and is ours to rename.
#[derive(Clone, Debug)]
pub(crate) struct SnapshotFile {
    pub(crate) path: PathBuf,
}

mod as_vecs {
    use super::{Arc, Bytes, Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        commands: &Arc<[Bytes]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        commands.iter().map(Bytes::as_ref).collect::<Vec<&[u8]>>().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<[Bytes]>, D::Error> {
        Ok(Vec::<Vec<u8>>::deserialize(deserializer)?.into_iter().map(Bytes::from).collect())
    }
}

// Derives would ask the same of the machine, which is only a name here.
impl<M> Clone for TypeConfig<M> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<M> Copy for TypeConfig<M> {}
impl<M> Default for TypeConfig<M> {
    fn default() -> Self {
        TypeConfig(PhantomData)
    }
}
impl<M> fmt::Debug for TypeConfig<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TypeConfig")
    }
}
impl<M> PartialEq for TypeConfig<M> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl<M> Eq for TypeConfig<M> {}
impl<M> PartialOrd for TypeConfig<M> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<M> Ord for TypeConfig<M> {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}
