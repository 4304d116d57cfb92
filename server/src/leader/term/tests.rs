//! Terms of a real log of one server; who leads is told by the test.

use super::*;
use crate::identity::Member;
use crate::raft::{Backend, Config, Timings, log_store};
use proto::ids::{JobKey, ServerId};

const PATIENCE: Duration = Duration::from_secs(5);

async fn cluster(dir: &std::path::Path) -> Cluster {
    let millis = Duration::from_millis;
    let config = Config {
        store: log_store::Options::new(Backend::Segments),
        timings: Timings { heartbeat: millis(50), election_min: millis(150), election_max: millis(300) },
        ..Config::new(dir, 1, "127.0.0.1:1", "s1")
    };
    let cluster = Cluster::start(config, Member { server: ServerId(1), boot_nonce: 7 }).await.unwrap();
    let mut leadership = cluster.leadership();
    leadership.wait_for(|now| now.leading).await.unwrap();
    cluster
}

fn leading(term: u64, leading: bool) -> Leadership {
    Leadership { term, leading, leader: None }
}

async fn reaches(cluster: &Cluster, what: &str, is_so: impl Fn(Option<Reign>) -> bool) -> Option<Reign> {
    let mut reigns = cluster.reigns();
    let reached = tokio::time::timeout(PATIENCE, reigns.wait_for(|reign| is_so(*reign))).await;
    *reached.unwrap_or_else(|_| panic!("not in time: {what}")).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn losing_the_term_drops_its_loops_and_the_next_one_is_another_reign() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster(dir.path()).await;
    let leases = LeaseBook::default();
    let overrides = Overrides { heartbeat: None, node_timeout: Some(Duration::from_secs(9)) };
    let duties = Duties { cluster: cluster.clone(), leases, overrides, snapshots: None };
    let (told, leadership) = watch::channel(leading(1, false));
    let stop = CancellationToken::new();
    let running = tokio::spawn(run(duties, leadership, stop.clone()));
    assert_eq!(cluster.reign(), None, "not before this server leads");

    told.send_replace(leading(1, true));
    let first = reaches(&cluster, "a reign", |reign| reign.is_some()).await;
    assert_eq!(cluster.reign(), first);
    assert_eq!(cluster.snapshot().settings.node_timeout, Duration::from_secs(9));
    let (job, revision) = (JobKey::new("default", "none"), cluster.snapshot().revision);
    assert!(cluster.considered(&job, revision, PATIENCE).await.is_some(), "the scheduler runs");

    told.send_replace(leading(2, false));
    reaches(&cluster, "the end of the reign", |reign| reign.is_none()).await;
    assert_eq!(cluster.considered(&job, revision, PATIENCE).await.map(|_| ()), None, "nobody schedules");

    // The same server leads again, and even in the same process it is another reign.
    told.send_replace(leading(3, true));
    let second = reaches(&cluster, "the next reign", |reign| reign.is_some()).await;
    assert!(second > first, "{second:?} after {first:?}");
    assert!(cluster.considered(&job, revision, PATIENCE).await.is_some(), "the scheduler runs again");

    stop.cancel();
    tokio::time::timeout(PATIENCE, running).await.expect("it stops").unwrap();
    assert_eq!(cluster.reign(), None);
    cluster.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reign_of_another_ends_ours() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = cluster(dir.path()).await;
    let duties = Duties {
        cluster: cluster.clone(),
        leases: LeaseBook::default(),
        overrides: Overrides::default(),
        snapshots: None,
    };
    let stop = CancellationToken::new();
    let running = tokio::spawn(run(duties, cluster.leadership(), stop.clone()));
    let ours = reaches(&cluster, "a reign", |reign| reign.is_some()).await;
    let kind = Kind::BeginReign { server: ServerId(2), boot_nonce: 1, incarnation: Incarnation(3) };
    cluster.propose(kind).await.unwrap();
    assert_ne!(cluster.reign(), ours, "not for a moment");
    let next = reaches(&cluster, "a reign of ours again", |reign| reign.is_some() && reign != ours).await;
    assert!(next > ours);
    stop.cancel();
    running.await.unwrap();
    cluster.stop().await;
}
