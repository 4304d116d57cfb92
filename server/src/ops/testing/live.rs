//! A cluster of one server in this process: its log in a temporary directory, its leader's loops, and agents that only the test plays.

use std::time::Duration;

use proto::ids::{AllocId, JobKey, NodeId, RequestId, ServerId, random_u64};
use proto::model::{AllocState, AllocStatus, Job, Liveness};
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{identity, running};
use crate::agents::{Hub, LeaseBook};
use crate::cluster::Cluster;
use crate::core::state::{Alloc, Kind, LivenessChange, Outcome, State};
use crate::identity::Member;
use crate::leader::{self, Duties, Overrides};
use crate::ops::{Caller, PutJob, put_job, stop_job};
use crate::raft;

/// How long anything may take on a machine that builds at the same time.
pub(crate) const SOON: Duration = Duration::from_secs(20);

pub(crate) struct Live {
    pub(crate) cluster: Cluster,
    pub(crate) hub: Hub,
    stop: CancellationToken,
    _guard: DropGuard,
    _dir: TempDir,
}

impl Live {
    /// A cluster that is led.
    pub(crate) async fn leading() -> Self {
        let live = Self::start(true).await;
        let mut reigns = live.cluster.reigns();
        let led = timeout(SOON, reigns.wait_for(Option::is_some)).await.expect("a reign in time");
        led.expect("a cluster");
        live
    }

    /// With `lead` false its leader's loops do not run: there is a log, and nobody reigns.
    pub(crate) async fn start(lead: bool) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let id = random_u64();
        let mut config = raft::Config::new(dir.path(), id, "127.0.0.1:1", "s1");
        config.timings = raft::Timings {
            heartbeat: Duration::from_millis(50),
            election_min: Duration::from_millis(150),
            election_max: Duration::from_millis(300),
        };
        let member = Member { server: ServerId(id), boot_nonce: 1 };
        let cluster = Cluster::start(config, member).await.expect("a log");
        let (stop, leases) = (CancellationToken::new(), LeaseBook::default());
        let hub = Hub::new(cluster.clone(), leases.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(hub.clone().run()));
        if lead {
            // Nodes of these tests have no agent that would renew a lease.
            let overrides =
                Overrides { node_timeout: Some(Duration::from_secs(3600)), ..Overrides::default() };
            let duties = Duties { cluster: cluster.clone(), leases, overrides, snapshots: None };
            tokio::spawn(leader::run(duties, cluster.leadership(), stop.clone()));
        }
        Self { cluster, hub, _guard: stop.clone().drop_guard(), stop, _dir: dir }
    }

    /// Is cancelled when this goes away.
    pub(crate) fn stopping(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Registers a node with that number; nobody answers for it.
    pub(crate) async fn node(&self, number: u64) {
        let outcome = self
            .propose(Kind::RegisterNode { identity: identity(number), held: Vec::new(), seen: None })
            .await;
        assert!(matches!(outcome, Outcome::Registered { .. }), "{outcome:?}");
    }

    /// A node lets its lease run out.
    pub(crate) async fn lose(&self, number: u64) {
        let (node, liveness) = (NodeId(number), Liveness::Down);
        let generation = self.cluster.snapshot().nodes.get(&node).expect("the node").generation;
        self.propose(Kind::NodeLiveness(vec![LivenessChange { node, generation, liveness }])).await;
    }

    pub(crate) async fn put(&self, job: &Job) {
        let put = PutJob {
            request: RequestId::default(),
            job: job.clone(),
            expected: None,
            message: String::new(),
        };
        put_job(&self.cluster, &Caller::operator(), put).await.expect("submitted");
    }

    pub(crate) async fn stop(&self, name: &str) {
        let key = JobKey::new("default", name);
        let request = RequestId::default();
        stop_job(&self.cluster, &Caller::operator(), request, key, false).await.expect("stopped");
    }

    /// Waits until an allocation of a job is placed on a node, and returns it.
    pub(crate) async fn placed(&self, name: &str, node: u64) -> AllocId {
        let mut revisions = self.cluster.revisions();
        let found = |state: &State| {
            let here =
                |alloc: &&Alloc| alloc.job.name == name && alloc.node == NodeId(node) && alloc.is_active();
            state.allocs.iter().map(|(_, alloc)| alloc).find(here).map(|alloc| alloc.id)
        };
        let wait = async {
            loop {
                if let Some(id) = found(&self.cluster.snapshot()) {
                    return id;
                }
                revisions.changed().await.expect("a cluster");
            }
        };
        timeout(SOON, wait).await.expect("a placement in time")
    }

    /// Reports every live allocation of a node as running.
    pub(crate) async fn all_run(&self, node: u64) {
        self.report_all(node, 1, AllocState::Running).await;
    }

    /// Reports every live allocation of a node as ended on order.
    pub(crate) async fn all_stopped(&self, node: u64) {
        self.report_all(node, 2, AllocState::Stopped).await;
    }

    async fn report_all(&self, node: u64, seq: u64, state: AllocState) {
        let snapshot = self.cluster.snapshot();
        let record = snapshot.nodes.get(&NodeId(node)).expect("the node");
        let live = record.allocs.iter().filter_map(|id| snapshot.allocs.get(*id));
        let status = |alloc: &Alloc| {
            let job = &snapshot.jobs.get(&*alloc.job).expect("the job").current().job;
            let names = job.groups[&*alloc.group].tasks.keys();
            let tasks = names.map(|name| running(name, snapshot.now)).collect();
            AllocStatus { id: alloc.id, seq, state, tasks }
        };
        let statuses = live.map(status).collect();
        let generation = record.generation;
        self.propose(Kind::AllocStatus { node: NodeId(node), generation, statuses }).await;
    }

    async fn propose(&self, kind: Kind) -> Outcome {
        let outcome = self.cluster.propose(kind).await.expect("applied");
        assert!(!matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
        outcome
    }
}
