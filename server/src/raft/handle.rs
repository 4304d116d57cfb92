//! The door: propose, lead, stop, measure.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use openraft::error::{ClientWriteError, Fatal, ForwardToLeader, InitializeError, RaftError};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use super::applier::{Applier, LoadError};
use super::batcher::{self, Proposal};
use super::compaction;
use super::config::{Bootstrap, Config, openraft_config};
use super::elections::Elections;
use super::error::{ProposeError, StartError};
use super::hearing::Hearing;
use super::leadership::{self, Leadership};
use super::log::Log;
use super::log_store;
use super::log_store::writer::Writer;
use super::machine::Machine;
use super::network::Network;
use super::network::links::Links;
use super::reads::{self, Reader};
use super::route::Own;
use super::service::Service;
use super::snapshot_file;
use super::snapshots::Snapshots;
use super::types::{Batch, Peer, Raft};
use crate::limits;

/// How long `snapshot_now` waits before it asks openraft again, which ignores a request while it writes a snapshot.
const SNAPSHOT_ASK_AGAIN: Duration = Duration::from_millis(500);

/// Threads of the consensus core: it must not wait behind a busy API.
const RUNTIME_THREADS: usize = 2;

/// Numbers about this server's share of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metrics {
    /// The newest term seen.
    pub term: u64,
    /// Index of the last entry in the log.
    pub last_log: Option<u64>,
    /// Index of the last entry applied.
    pub applied: Option<u64>,
    /// Index of the last entry in the newest snapshot.
    pub snapshot: Option<u64>,
    /// Index of the last entry purged from the log.
    pub purged: Option<u64>,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// Syncs of the log since the start.
    pub syncs: u64,
    /// Files that sled wrote outside its log; anything but 0 is a fault to be reported.
    pub blobs: u64,
}

/// A server's share of the replicated log. Clones are the same server; it stops with [`Handle::stop`], or at once and
/// without a last sync when the last clone is dropped.
pub struct Handle<M: Machine> {
    shared: Arc<Shared<M>>,
}

impl<M: Machine> Clone for Handle<M> {
    fn clone(&self) -> Self {
        Handle { shared: self.shared.clone() }
    }
}

struct Shared<M: Machine> {
    raft: Raft<M>,
    writer: Writer,
    proposals: mpsc::Sender<Proposal<M::Outcome>>,
    readers: mpsc::Sender<Reader>,
    elections: Elections<M>,
    service: Service<M>,
    leadership: watch::Receiver<Leadership>,
    fatal: watch::Receiver<Option<String>>,
    stopping: watch::Sender<bool>,
    propose_timeout: Duration,
    /// Taken only to be dropped, which must not wait inside of async code.
    runtime: Option<Runtime>,
}

impl<M: Machine> Drop for Shared<M> {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl<M: Machine> Handle<M> {
    /// Opens log and snapshots, applies everything known to be committed to `machine`, and takes part in elections.
    /// The first start of a data directory makes what [`Config::bootstrap`] says. When this returns, the machine is as it
    /// was; whether this server leads comes later, through [`Handle::leadership`]. Other servers reach it only through
    /// [`Handle::service`], which the caller puts on a port.
    ///
    /// # Errors
    ///
    /// See [`StartError`].
    pub async fn start(config: Config, machine: M) -> Result<Self, StartError> {
        let openraft = openraft_config(&config)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(RUNTIME_THREADS)
            .thread_name("raft")
            .enable_all()
            .build()
            .map_err(StartError::Thread)?;
        let spawned = runtime.spawn(start(config, openraft, machine));
        match spawned.await {
            Ok(Ok(mut shared)) => {
                shared.runtime = Some(runtime);
                Ok(Handle { shared: Arc::new(shared) })
            }
            Ok(Err(error)) => {
                runtime.shutdown_background();
                Err(error)
            }
            Err(panic) => {
                runtime.shutdown_background();
                Err(StartError::Core(panic.into()))
            }
        }
    }

    /// Proposes a command and waits until it is applied.
    ///
    /// # Errors
    ///
    /// See [`ProposeError`]; only [`ProposeError::Unknown`] leaves open whether the command takes effect.
    pub async fn propose(&self, command: Bytes) -> Result<M::Outcome, ProposeError> {
        if command.len() > limits::COMMAND_BYTES_MAX {
            return Err(ProposeError::TooLarge { bytes: command.len(), max: limits::COMMAND_BYTES_MAX });
        }
        if *self.shared.stopping.borrow() {
            return Err(ProposeError::Stopped);
        }
        let deadline = Instant::now() + self.shared.propose_timeout;
        let (proposal, fate, outcome) = Proposal::new(command);
        match timeout_at(deadline, self.shared.proposals.send(proposal)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(ProposeError::Stopped),
            Err(_) => return Err(ProposeError::Unavailable),
        }
        match timeout_at(deadline, outcome).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) if fate.abandon() => Err(ProposeError::Stopped),
            Err(_) if fate.abandon() => Err(ProposeError::Unavailable),
            Ok(Err(_)) | Err(_) => Err(ProposeError::Unknown),
        }
    }

    /// Who leads; the value changes with every change of it.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.shared.leadership.clone()
    }

    /// Becomes `Some`, with the reason, when the consensus core or the log store has died; the process must then end.
    /// Stopping on purpose does not change it.
    pub fn fatal(&self) -> watch::Receiver<Option<String>> {
        self.shared.fatal.clone()
    }

    /// Numbers for people and dashboards.
    pub fn metrics(&self) -> Metrics {
        let counters = self.shared.writer.counters();
        let metrics = self.shared.raft.metrics();
        let metrics = metrics.borrow();
        Metrics {
            term: metrics.current_term,
            last_log: metrics.last_log_index,
            applied: metrics.last_applied.map(|id| id.index),
            snapshot: metrics.snapshot.map(|id| id.index),
            purged: metrics.purged.map(|id| id.index),
            log_bytes: counters.log_bytes(),
            syncs: counters.syncs(),
            blobs: counters.blobs(),
        }
    }

    /// Takes a snapshot of what is applied now and waits until it is durable; returns the last index in it. Without
    /// anything new since the last one, that one is the answer.
    ///
    /// # Errors
    ///
    /// [`ProposeError::Stopped`] when the server stops or fails meanwhile.
    pub async fn snapshot_now(&self) -> Result<Option<u64>, ProposeError> {
        let raft = &self.shared.raft;
        let wanted = self.metrics().applied;
        let mut metrics = raft.data_metrics();
        loop {
            let taken = metrics.borrow_and_update().snapshot.map(|id| id.index);
            if taken >= wanted {
                return Ok(taken);
            }
            raft.trigger().snapshot().await.map_err(|_| ProposeError::Stopped)?;
            let ask_again = Instant::now() + SNAPSHOT_ASK_AGAIN;
            while let Ok(changed) = timeout_at(ask_again, metrics.changed()).await {
                changed.map_err(|_| ProposeError::Stopped)?;
                if metrics.borrow_and_update().snapshot.map(|id| id.index) >= wanted {
                    break;
                }
            }
        }
    }

    /// Takes no more proposals and lets another server lead, if this one does and there are others; takes at most
    /// [`limits::HAND_OVER_WITHIN`]. [`Handle::stop`] must follow, and [`Handle::service`] be reachable until this returns. A second call
    /// does nothing.
    pub async fn hand_over(&self) {
        if !self.shared.stopping.send_replace(true) {
            self.shared.elections.hand_over().await;
        }
    }

    /// Stops: no more proposals, another server leads if this one does and there are others (at most
    /// [`limits::HAND_OVER_WITHIN`]), a last sync, the store closed. Returns when the data directory may be opened again; a
    /// second call waits for the same. [`Handle::service`] must be reachable until then: the successor asks for this server's vote.
    pub async fn stop(&self) {
        self.hand_over().await;
        if let Err(error) = self.shared.raft.shutdown().await {
            tracing::warn!(%error, "the consensus core did not stop in order");
        }
        self.shared.writer.stop().await;
    }
}

/// The part of the start that runs on the core's own threads.
async fn start<M: Machine>(
    config: Config,
    openraft: Arc<openraft::Config>,
    machine: M,
) -> Result<Shared<M>, StartError> {
    let Config { server_id, propose_timeout, snapshots: policy, .. } = config;
    let opening = config.clone();
    // Reading the log and the snapshots blocks, and takes seconds when they are large.
    let opened = tokio::task::spawn_blocking(move || open(&opening, machine)).await;
    let (writer, applier, snapshots) = opened.map_err(|panic| StartError::Core(panic.into()))??;
    let own = Own { id: server_id, cluster: config.cluster.clone() };
    let links = Links::new(own.clone(), config.dial.clone());
    let hearing = Hearing::new();
    let log = Log::new(writer.clone());
    let raft = match core(&config, openraft, log.clone(), applier, Network(links.clone())).await {
        Ok(raft) => raft,
        Err(error) => {
            writer.stop().await;
            return Err(error);
        }
    };
    let (proposals, queue) = mpsc::channel(limits::PROPOSALS_QUEUED);
    let (readers, reading) = mpsc::channel(limits::READERS_QUEUED);
    let (leads, leadership) = watch::channel(Leadership::default());
    let (died, fatal) = watch::channel(None);
    let (stopping, stop) = watch::channel(false);
    let submitter = raft.clone();
    tokio::spawn(batcher::run(queue, move |batch| submit(submitter.clone(), batch)));
    tokio::spawn(leadership::follow(raft.clone(), leads));
    tokio::spawn(reads::run(raft.clone(), reading));
    let elections = Elections::new(server_id, raft.clone(), log, links, hearing.clone(), config.timings);
    tokio::spawn(elections.clone().run());
    let service = Service::new(own, raft.clone(), hearing, elections.clone(), snapshots.clone());
    tokio::spawn(compaction::run(raft.clone(), writer.clone(), snapshots, policy));
    tokio::spawn(watch_for_death(raft.clone(), writer.clone(), stop, died));
    tracing::info!(server = format_args!("{server_id:x}"), name = config.name, "the replicated log is open");
    Ok(Shared {
        raft,
        writer,
        proposals,
        readers,
        elections,
        service,
        leadership,
        fatal,
        stopping,
        propose_timeout,
        runtime: None,
    })
}

type Opened<M> = (Writer, Applier<M>, Arc<Snapshots>);

/// Opens what is on disk; blocks.
fn open<M: Machine>(config: &Config, machine: M) -> Result<Opened<M>, StartError> {
    let dir = config.data_dir.join("raft");
    let store = log_store::open(&dir, config.store).map_err(StartError::Store)?;
    let purged = store.state().purged.map(|(index, _)| index);
    let opened: Result<_, snapshot_file::Error> = Snapshots::open(&dir.join("snapshots"));
    let (snapshots, damaged) = opened.map_err(|error| StartError::State(error.into()))?;
    let snapshots = Arc::new(snapshots);
    let applier: Result<_, LoadError> =
        Applier::load(machine, snapshots.clone(), damaged, purged, config.server_id);
    let applier = applier.map_err(|error| StartError::State(error.into()))?;
    let writer = Writer::start(store).map_err(StartError::Thread)?;
    Ok((writer, applier, snapshots))
}

/// Starts openraft, which replays the log, and makes a fresh server the only member if that is wanted.
async fn core<M: Machine>(
    config: &Config,
    openraft: Arc<openraft::Config>,
    log: Log<M>,
    applier: Applier<M>,
    network: Network,
) -> Result<Raft<M>, StartError> {
    let raft = Raft::new(config.server_id, openraft, network, log, applier).await;
    let raft = raft.map_err(|error| StartError::Core(error.into()))?;
    if config.bootstrap == Bootstrap::Wait {
        // Who is learning a log has not come to the entry that names it yet, so the check below says nothing.
        return Ok(raft);
    }
    let initialized = raft.is_initialized().await.map_err(|error| StartError::Core(error.into()))?;
    if !initialized {
        let own = Peer { addr: config.addr.clone(), name: config.name.clone() };
        match raft.initialize(BTreeMap::from([(config.server_id, own)])).await {
            Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => return Ok(raft),
            Err(error) => return Err(StartError::Core(error.into())),
        }
    }
    let members = raft.with_raft_state(|state| state.membership_state.effective().membership().clone()).await;
    let members = members.map_err(|error| StartError::Core(error.into()))?;
    if members.get_node(&config.server_id).is_none() {
        raft.shutdown().await.ok();
        return Err(StartError::OtherServer {
            path: config.data_dir.clone(),
            members: members.nodes().map(|(id, _)| format!("{id:x}")).collect(),
            server_id: config.server_id,
        });
    }
    Ok(raft)
}

/// Proposes one entry and waits until it is applied.
async fn submit<M: Machine>(raft: Raft<M>, batch: Batch) -> Result<Vec<M::Outcome>, ProposeError> {
    let appended = batch.appended.clone();
    // A refusal after the entry went into the log is none: a later leader may have it and commit it.
    let in_log = || appended.load(std::sync::atomic::Ordering::Acquire);
    match raft.client_write(batch).await {
        Ok(response) => Ok(response.data.0),
        Err(_) if in_log() => Err(ProposeError::Unknown),
        Err(RaftError::APIError(ClientWriteError::ForwardToLeader(ForwardToLeader {
            leader_node, ..
        }))) => Err(ProposeError::NotLeader { addr: leader_node.map(|peer| peer.addr) }),
        Err(_) => Err(ProposeError::Stopped),
    }
}

/// Tells when the core or the store has died, unless that was asked for.
async fn watch_for_death<M: Machine>(
    raft: Raft<M>,
    writer: Writer,
    stop: watch::Receiver<bool>,
    died: watch::Sender<Option<String>>,
) {
    let mut core = raft.metrics();
    let mut store = writer.failure();
    let core_died = async {
        loop {
            match &core.borrow_and_update().running_state {
                Ok(()) => {}
                Err(Fatal::Stopped) => break "the consensus core stopped".to_owned(),
                Err(error) => break format!("the consensus core failed: {error}"),
            }
            if core.changed().await.is_err() {
                break "the consensus core is gone".to_owned();
            }
        }
    };
    let store_died = async {
        loop {
            if let Some(failure) = &*store.borrow_and_update() {
                break super::applier::any(failure).to_string();
            }
            if store.changed().await.is_err() {
                break "the log store is gone".to_owned();
            }
        }
    };
    let reason = tokio::select! {
        // The store first: it is the cause where both have died.
        biased;
        reason = store_died => reason,
        reason = core_died => reason,
    };
    if !*stop.borrow() {
        tracing::error!(reason, "this server cannot go on");
        died.send_replace(Some(reason));
    }
}

/// Several servers.
mod peers;
#[cfg(test)]
mod tests;
