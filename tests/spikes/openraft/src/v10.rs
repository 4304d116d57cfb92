//! openraft 0.10.0-alpha.37: merged writes and pre-vote of its own.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::future::Future;
use std::io;
use std::ops::RangeBounds;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{Stream, TryStreamExt};
use raft10 as openraft;

use openraft::entry::RaftEntry;
use openraft::errors::*;
use openraft::network::{RPCOption, RaftNetworkFactory, v2::RaftNetworkV2};
use openraft::raft::*;
use openraft::storage::{EntryResponder, IOFlushed, LogState, RaftLogStorage, RaftStateMachine};
use openraft::type_config::alias::*;
use openraft::{
    AnyError, Config, EntryPayload, OptionalSend, RaftLogReader, RaftSnapshotBuilder, SnapshotPolicy,
};

use crate::common::*;
use crate::raft::log_store::writer::Job;

openraft::declare_raft_types!(pub C: D = u64, R = ());
type Entry = EntryOf<C>;
type Raft = openraft::Raft<C, Machine>;
type Log = Wal<Entry>;

#[derive(Clone)]
pub struct Store(pub Log);

impl RaftLogReader<C> for Store {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        Ok(self.0.read(&range))
    }
    async fn read_vote(&mut self) -> Result<Option<VoteOf<C>>, io::Error> {
        Ok(self.0.writer.state().await.unwrap().vote.map(|v| from_json(&v)))
    }
}

impl RaftLogStorage<C> for Store {
    type LogReader = Self;
    async fn get_log_state(&mut self) -> Result<LogState<C>, io::Error> {
        let purged: Option<LogIdOf<C>> =
            self.0.writer.state().await.unwrap().purged.map(|(_, mark)| from_json(&mark));
        let last = self.0.entries.lock().unwrap().last_key_value().map(|(_, e)| e.log_id());
        Ok(LogState { last_purged_log_id: purged, last_log_id: last.or(purged) })
    }
    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }
    async fn save_vote(&mut self, vote: &VoteOf<C>) -> Result<(), io::Error> {
        let vote = to_json(vote);
        self.0.complete(|done| Job::SaveVote { vote, done }).await.map_err(io::Error::other)
    }
    async fn save_committed(&mut self, committed: Option<LogIdOf<C>>) -> Result<(), io::Error> {
        self.0
            .writer
            .send(Job::SaveCommitted { committed: to_json(&committed) })
            .await
            .map_err(io::Error::other)
    }
    async fn read_committed(&mut self) -> Result<Option<LogIdOf<C>>, io::Error> {
        Ok(self.0.writer.state().await.unwrap().committed.and_then(|c| from_json(&c)))
    }
    async fn append<I>(&mut self, entries: I, callback: IOFlushed<C>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        // The conformance suite appends what is purged already.
        let purged = self.0.writer.state().await.unwrap().purged.map(|p| p.0);
        let entries = entries.into_iter().map(|e| (e.index(), e)).filter(|e| Some(e.0) > purged).collect();
        let done = Box::new(|r: Result<(), _>| callback.io_completed(r.map_err(io::Error::other)));
        self.0.append(entries, done).await;
        Ok(())
    }
    async fn truncate_after(&mut self, last: Option<LogIdOf<C>>) -> Result<(), io::Error> {
        self.0.truncate(last.map_or(0, |id| id.index + 1)).await;
        Ok(())
    }
    async fn purge(&mut self, id: LogIdOf<C>) -> Result<(), io::Error> {
        self.0.purge(id.index, to_json(&id)).await;
        Ok(())
    }
}

pub struct Machine {
    pub applied: Applied,
    last: Option<LogIdOf<C>>,
    membership: StoredMembershipOf<C>,
    snapshot: Arc<Mutex<Option<SnapshotOf<C, Vec<u8>>>>>,
}

impl Machine {
    pub fn new(applied: Applied) -> Self {
        Machine { applied, last: None, membership: Default::default(), snapshot: Default::default() }
    }
}

pub struct Builder(SnapshotOf<C, Vec<u8>>, Arc<Mutex<Option<SnapshotOf<C, Vec<u8>>>>>);

impl RaftSnapshotBuilder<C> for Builder {
    type SnapshotData = Vec<u8>;
    async fn build_snapshot(&mut self) -> Result<SnapshotOf<C, Vec<u8>>, io::Error> {
        *self.1.lock().unwrap() = Some(self.0.clone());
        Ok(self.0.clone())
    }
}

impl RaftStateMachine<C> for Machine {
    type SnapshotData = Vec<u8>;
    type SnapshotBuilder = Builder;
    async fn applied_state(&mut self) -> Result<(Option<LogIdOf<C>>, StoredMembershipOf<C>), io::Error> {
        Ok((self.last, self.membership.clone()))
    }
    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<C>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            self.last = Some(entry.log_id());
            match entry.payload {
                EntryPayload::Blank => {}
                EntryPayload::Normal(id) => apply(&self.applied, id),
                EntryPayload::Membership(m) => self.membership = StoredMembershipOf::<C>::new(self.last, m),
            }
            if let Some(responder) = responder {
                responder.send(());
            }
        }
        Ok(())
    }
    async fn get_snapshot_builder(&mut self) -> Builder {
        let meta = SnapshotMetaOf::<C> {
            last_log_id: self.last,
            last_membership: self.membership.clone(),
            ..Default::default()
        };
        Builder(SnapshotOf::<C, Vec<u8>> { meta, snapshot: vec![] }, self.snapshot.clone())
    }
    async fn install_snapshot(&mut self, meta: &SnapshotMetaOf<C>, data: Vec<u8>) -> Result<(), io::Error> {
        self.last = meta.last_log_id;
        self.membership = meta.last_membership.clone();
        *self.snapshot.lock().unwrap() =
            Some(SnapshotOf::<C, Vec<u8>> { meta: meta.clone(), snapshot: data });
        Ok(())
    }
    async fn get_current_snapshot(&mut self) -> Result<Option<SnapshotOf<C, Vec<u8>>>, io::Error> {
        Ok(self.snapshot.lock().unwrap().clone())
    }
}

type Peers = Arc<Mutex<HashMap<u64, Raft>>>;

#[derive(Clone)]
struct Net(Peers);
struct Link(Peers, u64);

fn dead(error: impl ToString) -> RPCError<C> {
    RPCError::Unreachable(Unreachable::new(&AnyError::error(error.to_string())))
}

impl Link {
    fn peer(&self) -> Result<Raft, RPCError<C>> {
        self.0.lock().unwrap().get(&self.1).cloned().ok_or_else(|| dead("it is dead"))
    }
}

impl RaftNetworkFactory<C> for Net {
    type Network = Link;
    async fn new_client(&mut self, target: u64, _: &NodeOf<C>) -> Link {
        Link(self.0.clone(), target)
    }
}

impl RaftNetworkV2<C> for Link {
    type SnapshotData = Vec<u8>;
    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<C>,
        _: RPCOption,
    ) -> Result<AppendEntriesResponse<C>, RPCError<C>> {
        self.peer()?.append_entries(rpc).await.map_err(dead)
    }
    async fn vote(&mut self, rpc: VoteRequest<C>, _: RPCOption) -> Result<VoteResponse<C>, RPCError<C>> {
        self.peer()?.vote(rpc).await.map_err(dead)
    }
    async fn pre_vote(&mut self, rpc: VoteRequest<C>, _: RPCOption) -> Result<VoteResponse<C>, RPCError<C>> {
        self.peer()?.pre_vote(rpc).await.map_err(dead)
    }
    async fn full_snapshot(
        &mut self,
        _: VoteOf<C>,
        _: SnapshotOf<C, Vec<u8>>,
        _: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _: RPCOption,
    ) -> Result<SnapshotResponse<C>, StreamingError<C>> {
        unreachable!("nothing is purged")
    }
}

pub struct Cluster {
    peers: Peers,
    pub applied: HashMap<u64, Applied>,
}

impl Cluster {
    pub async fn start(dir: &Path, delay: Duration) -> Self {
        let peers = Peers::default();
        let mut applied = HashMap::new();
        let config = Config {
            heartbeat_interval: 200,
            election_timeout_min: 600,
            election_timeout_max: 1000,
            snapshot_policy: SnapshotPolicy::Never,
            enable_pre_vote: Some(true),
            ..Config::default()
        };
        let config = Arc::new(config.validate().unwrap());
        for id in 1..=3 {
            let wal = Wal::open(&dir.join(format!("{id}")), delay);
            let seen = Applied::default();
            let machine = Machine::new(seen.clone());
            let raft = Raft::new(id, config.clone(), Net(peers.clone()), Store(wal), machine).await.unwrap();
            peers.lock().unwrap().insert(id, raft);
            applied.insert(id, seen);
        }
        let first = peers.lock().unwrap()[&1].clone();
        if !first.is_initialized().await.unwrap() {
            let members: BTreeMap<u64, NodeOf<C>> = (1..=3).map(|id| (id, Default::default())).collect();
            first.initialize(members).await.unwrap();
        }
        Cluster { peers, applied }
    }

    pub fn leader(&self) -> Option<u64> {
        let peers = self.peers.lock().unwrap();
        peers.iter().find(|(_, raft)| raft.is_leader()).map(|(id, _)| *id)
    }

    pub async fn write(&self, leader: u64, id: u64) -> bool {
        let raft = self.peers.lock().unwrap().get(&leader).cloned();
        let Some(raft) = raft else { return false };
        raft.client_write(id).await.is_ok()
    }

    pub async fn kill(&self, id: u64) {
        let raft = self.peers.lock().unwrap().remove(&id).unwrap();
        tokio::spawn(async move { raft.shutdown().await });
    }
}
