//! openraft's state machine over [`Machine`].

use std::sync::Arc;

use openraft::storage::RaftStateMachine;
use openraft::{
    AnyError, EntryPayload, OptionalSend, RaftSnapshotBuilder, Snapshot, StorageIOError, StoredMembership,
};

use super::machine::{Frozen, Machine, RestoreError};
use super::snapshot_file::{self, Reader};
use super::snapshots::{Known, Snapshots};
use super::types::{Entry, LogId, Outcomes, SnapshotFile, SnapshotMeta, StorageError, TypeConfig};

/// The machine and how far the log was applied to it.
pub(crate) struct Applier<M> {
    machine: M,
    applied: Option<LogId>,
    membership: super::types::StoredMembership,
    snapshots: Arc<Snapshots>,
    server_id: u64,
}

/// Why the state could not be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error("cannot use the snapshots")]
    Snapshot(#[source] snapshot_file::Error),
    #[error("cannot restore the state from {}", path.display())]
    Restore { path: std::path::PathBuf, source: RestoreError },
    /// What the log no longer holds is in no intact snapshot either.
    #[error(
        "the log begins after entry {purged} and no intact snapshot reaches that far; move the whole data directory \
         aside and let this server join again as a new one"
    )]
    Gap { purged: u64, source: Option<snapshot_file::Error> },
}

impl<M: Machine> Applier<M> {
    /// Loads the newest intact snapshot; `purged` is the last entry that the log no longer holds.
    pub(crate) fn load(
        machine: M,
        snapshots: Arc<Snapshots>,
        mut damaged: Vec<snapshot_file::Error>,
        purged: Option<u64>,
        server_id: u64,
    ) -> Result<Self, LoadError> {
        let newest = snapshots.newest();
        if let Some(purged) = purged
            && newest.as_ref().and_then(Known::index) < Some(purged)
        {
            return Err(LoadError::Gap { purged, source: damaged.pop() });
        }
        for error in &damaged {
            tracing::error!(%error, "put aside; the snapshot before it and the log hold everything");
        }
        let membership = StoredMembership::default();
        let mut applier = Applier { machine, applied: None, membership, snapshots, server_id };
        if let Some(known) = newest {
            applier.restore(&known)?;
        }
        Ok(applier)
    }

    fn restore(&mut self, known: &Known) -> Result<(), LoadError> {
        let failed = |source| LoadError::Restore { path: known.path.clone(), source };
        let mut reader = Reader::open(&known.path).map_err(LoadError::Snapshot)?;
        let index = known.index().unwrap_or_default();
        self.machine.restore(index, &mut reader).map_err(failed)?;
        match reader.drain().map_err(LoadError::Snapshot)? {
            0 => {}
            left => return Err(failed(RestoreError::Content(format!("{left} bytes were left unread")))),
        }
        self.applied = known.meta.last_log_id;
        self.membership = known.meta.last_membership.clone();
        self.machine.batch_applied(index);
        Ok(())
    }

    fn apply_entry(&mut self, entry: Entry<M>) -> Outcomes<M::Outcome> {
        let index = entry.log_id.index;
        self.applied = Some(entry.log_id);
        match entry.payload {
            EntryPayload::Blank => Outcomes(Vec::new()),
            EntryPayload::Normal(batch) => {
                Outcomes(batch.commands.iter().map(|command| self.machine.apply(index, command)).collect())
            }
            EntryPayload::Membership(membership) => {
                self.membership = StoredMembership::new(Some(entry.log_id), membership);
                Outcomes(Vec::new())
            }
        }
    }
}

impl<M: Machine> RaftStateMachine<TypeConfig<M>> for Applier<M> {
    type SnapshotBuilder = Builder;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogId>, super::types::StoredMembership), StorageError> {
        Ok((self.applied, self.membership.clone()))
    }

    async fn apply<I>(&mut self, entries: I) -> Result<Vec<Outcomes<M::Outcome>>, StorageError>
    where
        I: IntoIterator<Item = Entry<M>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let outcomes = entries.into_iter().map(|entry| self.apply_entry(entry)).collect();
        if let Some(applied) = self.applied {
            self.machine.batch_applied(applied.index);
        }
        Ok(outcomes)
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        let place = self.applied.map_or_else(|| "empty".into(), |id| id.to_string());
        Builder {
            meta: SnapshotMeta {
                last_log_id: self.applied,
                last_membership: self.membership.clone(),
                // Two servers' snapshots of one place may differ in bytes.
                snapshot_id: format!("{place}-by-{:x}", self.server_id),
            },
            frozen: Some(self.machine.freeze()),
            snapshots: self.snapshots.clone(),
        }
    }

    async fn begin_receiving_snapshot(&mut self) -> Result<Box<SnapshotFile>, StorageError> {
        Ok(Box::new(self.snapshots.incoming()))
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: Box<SnapshotFile>,
    ) -> Result<(), StorageError> {
        let failed =
            |error: &dyn std::error::Error| StorageIOError::read_snapshot(Some(meta.signature()), any(error));
        let known = self.snapshots.install(meta, &snapshot).map_err(|error| failed(&error))?;
        self.restore(&known).map_err(|error| failed(&error))?;
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<TypeConfig<M>>>, StorageError> {
        Ok(self.snapshots.newest().map(Known::into_snapshot))
    }
}

/// Writes one snapshot of a frozen machine.
pub(crate) struct Builder {
    meta: SnapshotMeta,
    frozen: Option<Box<dyn Frozen>>,
    snapshots: Arc<Snapshots>,
}

impl<M: Machine> RaftSnapshotBuilder<TypeConfig<M>> for Builder {
    async fn build_snapshot(&mut self) -> Result<Snapshot<TypeConfig<M>>, StorageError> {
        let failed = |error: &dyn std::error::Error| StorageIOError::write_snapshot(None, any(error));
        let frozen = self.frozen.take().ok_or_else(|| {
            StorageIOError::write_snapshot(None, AnyError::error("a builder builds one snapshot"))
        })?;
        let (snapshots, meta) = (self.snapshots.clone(), self.meta.clone());
        let written = tokio::task::spawn_blocking(move || snapshots.write(&meta, &*frozen)).await;
        let known = written.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
        Ok(known.into_snapshot())
    }
}

impl Known {
    fn into_snapshot<M: Machine>(self) -> Snapshot<TypeConfig<M>> {
        Snapshot { meta: self.meta, snapshot: Box::new(SnapshotFile { path: self.path }) }
    }
}

/// openraft keeps errors as text, so the whole chain goes into it.
pub(crate) fn any(error: &dyn std::error::Error) -> AnyError {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    AnyError::error(text)
}
