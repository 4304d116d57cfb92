//! openraft 0.9.25, with the proposal batcher and with elections driven from outside or by itself.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::future::Future;
use std::ops::RangeBounds;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use raft09 as openraft;

use openraft::error::*;
use openraft::network::{RPCOption, RaftNetwork, RaftNetworkFactory};
use openraft::raft::*;
use openraft::storage::{LogFlushed, LogState, RaftLogStorage, RaftStateMachine};
use openraft::{
    AnyError, BasicNode, Config, Entry, EntryPayload, LogId, OptionalSend, RaftLogReader,
    RaftSnapshotBuilder, Snapshot, SnapshotMeta, SnapshotPolicy, StorageError, StorageIOError,
    StoredMembership, Vote,
};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::common::*;
use crate::raft::log_store::writer::Job;

openraft::declare_raft_types!(pub C: D = Vec<u64>, R = (), SnapshotData = Vec<u8>);
type Raft = openraft::Raft<C>;
type Log = Wal<Entry<C>>;

#[derive(Clone)]
pub struct Store(Log);

impl RaftLogReader<C> for Store {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry<C>>, StorageError<u64>> {
        Ok(self.0.read(&range))
    }
}

impl RaftLogStorage<C> for Store {
    type LogReader = Self;
    async fn get_log_state(&mut self) -> Result<LogState<C>, StorageError<u64>> {
        let purged = self.0.writer.state().await.unwrap().purged.map(|(_, mark)| from_json(&mark));
        let last = self.0.entries.lock().unwrap().last_key_value().map(|(_, e)| e.log_id);
        Ok(LogState { last_purged_log_id: purged, last_log_id: last.or(purged) })
    }
    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }
    async fn save_vote(&mut self, vote: &Vote<u64>) -> Result<(), StorageError<u64>> {
        let vote = to_json(vote);
        self.0.complete(|done| Job::SaveVote { vote, done }).await.unwrap();
        Ok(())
    }
    async fn read_vote(&mut self) -> Result<Option<Vote<u64>>, StorageError<u64>> {
        Ok(self.0.writer.state().await.unwrap().vote.map(|v| from_json(&v)))
    }
    async fn save_committed(&mut self, committed: Option<LogId<u64>>) -> Result<(), StorageError<u64>> {
        self.0.writer.send(Job::SaveCommitted { committed: to_json(&committed) }).await.unwrap();
        Ok(())
    }
    async fn read_committed(&mut self) -> Result<Option<LogId<u64>>, StorageError<u64>> {
        Ok(self.0.writer.state().await.unwrap().committed.and_then(|c| from_json(&c)))
    }
    async fn append<I>(&mut self, entries: I, callback: LogFlushed<C>) -> Result<(), StorageError<u64>>
    where
        I: IntoIterator<Item = Entry<C>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let entries = entries.into_iter().map(|e| (e.log_id.index, e)).collect();
        let done = Box::new(|r: Result<(), _>| callback.log_io_completed(r.map_err(std::io::Error::other)));
        self.0.append(entries, done).await;
        Ok(())
    }
    async fn truncate(&mut self, id: LogId<u64>) -> Result<(), StorageError<u64>> {
        self.0.truncate(id.index).await;
        Ok(())
    }
    async fn purge(&mut self, id: LogId<u64>) -> Result<(), StorageError<u64>> {
        self.0.purge(id.index, to_json(&id)).await;
        Ok(())
    }
}

pub struct Machine(Applied, Option<LogId<u64>>, StoredMembership<u64, BasicNode>);
pub struct NoSnapshot;

impl RaftSnapshotBuilder<C> for NoSnapshot {
    async fn build_snapshot(&mut self) -> Result<Snapshot<C>, StorageError<u64>> {
        Err(StorageIOError::write_snapshot(None, AnyError::error("no snapshots here")).into())
    }
}

impl RaftStateMachine<C> for Machine {
    type SnapshotBuilder = NoSnapshot;
    async fn applied_state(
        &mut self,
    ) -> Result<(Option<LogId<u64>>, StoredMembership<u64, BasicNode>), StorageError<u64>> {
        Ok((self.1, self.2.clone()))
    }
    async fn apply<I>(&mut self, entries: I) -> Result<Vec<()>, StorageError<u64>>
    where
        I: IntoIterator<Item = Entry<C>> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let mut replies = vec![];
        for entry in entries {
            self.1 = Some(entry.log_id);
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(ids) => ids.into_iter().for_each(|id| apply(&self.0, id)),
                EntryPayload::Membership(m) => self.2 = StoredMembership::new(Some(entry.log_id), m),
            }
            replies.push(());
        }
        Ok(replies)
    }
    async fn get_snapshot_builder(&mut self) -> NoSnapshot {
        NoSnapshot
    }
    async fn begin_receiving_snapshot(&mut self) -> Result<Box<Vec<u8>>, StorageError<u64>> {
        Ok(Box::default())
    }
    async fn install_snapshot(
        &mut self,
        _: &SnapshotMeta<u64, BasicNode>,
        _: Box<Vec<u8>>,
    ) -> Result<(), StorageError<u64>> {
        unreachable!("nothing is purged")
    }
    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot<C>>, StorageError<u64>> {
        Ok(None)
    }
}

type Peers = Arc<Mutex<HashMap<u64, Raft>>>;
type Heard = Arc<Mutex<HashMap<u64, Instant>>>;

#[derive(Clone)]
struct Net(Peers, Heard);
struct Link(Net, u64);

impl Link {
    fn peer(&self) -> Result<Raft, Unreachable> {
        let peers = self.0.0.lock().unwrap();
        peers.get(&self.1).cloned().ok_or_else(|| Unreachable::new(&AnyError::error("it is dead")))
    }
}

impl RaftNetworkFactory<C> for Net {
    type Network = Link;
    async fn new_client(&mut self, target: u64, _: &BasicNode) -> Link {
        Link(self.clone(), target)
    }
}

impl RaftNetwork<C> for Link {
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<C>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<u64>, RPCError<u64, BasicNode, RaftError<u64>>> {
        let peer = self.peer()?;
        self.0.1.lock().unwrap().insert(self.1, Instant::now());
        peer.append_entries(rpc).await.map_err(|e| RPCError::Unreachable(Unreachable::new(&e)))
    }
    async fn vote(
        &mut self,
        rpc: VoteRequest<u64>,
        _: RPCOption,
    ) -> Result<VoteResponse<u64>, RPCError<u64, BasicNode, RaftError<u64>>> {
        self.peer()?.vote(rpc).await.map_err(|e| RPCError::Unreachable(Unreachable::new(&e)))
    }
    async fn full_snapshot(
        &mut self,
        _: Vote<u64>,
        _: Snapshot<C>,
        _: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<u64>, StreamingError<C, Fatal<u64>>> {
        unreachable!("nothing is purged")
    }
}

type Proposals = mpsc::Sender<(u64, oneshot::Sender<bool>)>;

pub struct Cluster {
    peers: Peers,
    batchers: HashMap<u64, Proposals>,
    pub applied: HashMap<u64, Applied>,
}

impl Cluster {
    /// `own_elections`: openraft's timers are off, and a silence of 600 ms that a majority confirms starts one.
    pub async fn start(dir: &Path, delay: Duration, own_elections: bool) -> Self {
        let (peers, heard) = (Peers::default(), Heard::default());
        let (mut batchers, mut applied) = (HashMap::new(), HashMap::new());
        let (min, max) = if own_elections { (400, 500) } else { (600, 1000) };
        let config = Config {
            heartbeat_interval: 200,
            election_timeout_min: min,
            election_timeout_max: max,
            enable_elect: !own_elections,
            snapshot_policy: SnapshotPolicy::Never,
            ..Config::default()
        };
        let config = Arc::new(config.validate().unwrap());
        for id in 1..=3 {
            let wal = Wal::open(&dir.join(format!("{id}")), delay);
            let seen = Applied::default();
            let machine = Machine(seen.clone(), None, StoredMembership::default());
            let net = Net(peers.clone(), heard.clone());
            let raft = Raft::new(id, config.clone(), net, Store(wal), machine).await.unwrap();
            peers.lock().unwrap().insert(id, raft.clone());
            heard.lock().unwrap().insert(id, Instant::now());
            let (tx, rx) = mpsc::channel(2048);
            tokio::spawn(batch(raft.clone(), rx));
            if own_elections {
                tokio::spawn(elect(raft, id, peers.clone(), heard.clone()));
            }
            batchers.insert(id, tx);
            applied.insert(id, seen);
        }
        let first = peers.lock().unwrap()[&1].clone();
        if !first.is_initialized().await.unwrap() {
            let members: BTreeMap<u64, BasicNode> = (1..=3).map(|id| (id, BasicNode::default())).collect();
            first.initialize(members).await.unwrap();
        }
        Cluster { peers, batchers, applied }
    }

    pub fn leader(&self) -> Option<u64> {
        let peers = self.peers.lock().unwrap();
        peers.iter().find(|(_, raft)| raft.metrics().borrow().state.is_leader()).map(|(id, _)| *id)
    }

    pub async fn write(&self, leader: u64, id: u64) -> bool {
        let (tx, rx) = oneshot::channel();
        self.batchers[&leader].send((id, tx)).await.is_ok() && rx.await.unwrap_or(false)
    }

    pub async fn kill(&self, id: u64) {
        let raft = self.peers.lock().unwrap().remove(&id).unwrap();
        tokio::spawn(async move { raft.shutdown().await });
    }
}

async fn batch(raft: Raft, mut queue: mpsc::Receiver<(u64, oneshot::Sender<bool>)>) {
    let permits = Arc::new(Semaphore::new(2));
    loop {
        let permit = permits.clone().acquire_owned().await.unwrap();
        let mut got = vec![];
        if queue.recv_many(&mut got, 512).await == 0 {
            return;
        }
        let raft = raft.clone();
        tokio::spawn(async move {
            let (ids, replies): (Vec<_>, Vec<_>) = got.into_iter().unzip();
            let ok = raft.client_write(ids).await.is_ok();
            replies.into_iter().for_each(|reply| drop(reply.send(ok)));
            drop(permit);
        });
    }
}

/// Our own elections: silence seen by a majority, and a log not older than a majority's.
async fn elect(raft: Raft, id: u64, peers: Peers, heard: Heard) {
    const SILENCE: Duration = Duration::from_millis(600);
    loop {
        tokio::time::sleep(Duration::from_millis(40 + id * 7)).await;
        if raft.metrics().borrow().state.is_leader() {
            heard.lock().unwrap().insert(id, Instant::now());
            continue;
        }
        if !peers.lock().unwrap().contains_key(&id) {
            return;
        }
        let silent = |id: &u64| heard.lock().unwrap()[id].elapsed() > SILENCE;
        if !silent(&id) {
            continue;
        }
        let own = raft.metrics().borrow().last_log_index;
        let agree = peers
            .lock()
            .unwrap()
            .iter()
            .filter(|(id, raft)| silent(id) && raft.metrics().borrow().last_log_index <= own)
            .count();
        if agree >= 2 {
            raft.trigger().elect().await.ok();
            tokio::time::sleep(Duration::from_millis(150 + id * 60)).await;
        }
    }
}
