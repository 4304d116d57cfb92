//! The spike behind docs/decisions/0001-openraft-version.md: openraft 0.9.25 with our batcher and our elections against
//! 0.10.0-alpha.37, three nodes in one process, each with the product's own segmented log.

mod common;
#[path = "../../../../server/src/limits.rs"]
#[allow(dead_code)]
mod limits;
#[allow(dead_code, unused_imports)]
mod raft;
#[allow(missing_docs)]
mod v09;
mod v10;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

enum Cluster {
    V09(v09::Cluster),
    V10(v10::Cluster),
}

impl Cluster {
    async fn start(version: &str, dir: &Path, delay: Duration) -> Arc<Self> {
        Arc::new(match version {
            "0.9-own" => Cluster::V09(v09::Cluster::start(dir, delay, true).await),
            "0.9-stock" => Cluster::V09(v09::Cluster::start(dir, delay, false).await),
            "0.10" => Cluster::V10(v10::Cluster::start(dir, delay).await),
            other => panic!("no version {other}"),
        })
    }
    fn leader(&self) -> Option<u64> {
        match self {
            Cluster::V09(c) => c.leader(),
            Cluster::V10(c) => c.leader(),
        }
    }
    async fn write(&self, leader: u64, id: u64) -> bool {
        match self {
            Cluster::V09(c) => c.write(leader, id).await,
            Cluster::V10(c) => c.write(leader, id).await,
        }
    }
    async fn kill(&self, id: u64) {
        match self {
            Cluster::V09(c) => c.kill(id).await,
            Cluster::V10(c) => c.kill(id).await,
        }
    }
    fn has(&self, node: u64, id: u64) -> bool {
        let applied = match self {
            Cluster::V09(c) => &c.applied[&node],
            Cluster::V10(c) => &c.applied[&node],
        };
        applied.lock().unwrap().get(id as usize).copied().unwrap_or(false)
    }
    /// Writes until it succeeds; gives the leader that took it.
    async fn write_somewhere(&self, id: u64) -> u64 {
        loop {
            if let Some(leader) = self.leader() {
                let write = tokio::time::timeout(Duration::from_millis(500), self.write(leader, id));
                if write.await == Ok(true) {
                    return leader;
                }
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 4)]
async fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["suite"] => suite().await,
        ["failover", version, times] => failover(version, times.parse().unwrap()).await,
        ["throughput", version, delay_ms, clients, seconds] => {
            throughput(version, millis(delay_ms), clients.parse().unwrap(), seconds.parse().unwrap()).await;
        }
        ["kill", version, delay_ms, seconds] => kill(version, delay_ms, seconds.parse().unwrap()),
        ["writer", version, dir, delay_ms, first] => {
            writer(version, Path::new(dir), millis(delay_ms), first.parse().unwrap()).await;
        }
        ["check", version, dir, upto] => check(version, Path::new(dir), upto.parse().unwrap()).await,
        _ => panic!("failover V N | throughput V DELAY_MS CLIENTS SECONDS | kill V DELAY_MS SECONDS"),
    }
}

fn millis(text: &str) -> Duration {
    Duration::from_millis(text.parse().unwrap())
}

fn fresh() -> PathBuf {
    let dir = std::env::temp_dir()
        .join(format!("spike-{}-{:?}", std::process::id(), Instant::now()).replace([' ', '{', '}', ':'], ""));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

async fn failover(version: &str, times: u64) {
    let mut took = Vec::new();
    for _ in 0..times {
        let dir = fresh();
        let cluster = Cluster::start(version, &dir, Duration::ZERO).await;
        let leader = cluster.write_somewhere(1).await;
        tokio::time::sleep(Duration::from_millis(1500)).await;
        let from = Instant::now();
        cluster.kill(leader).await;
        cluster.write_somewhere(2).await;
        took.push(from.elapsed().as_millis());
        for id in 1..=3 {
            if id != leader {
                cluster.kill(id).await;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        std::fs::remove_dir_all(dir).ok();
    }
    took.sort_unstable();
    println!(
        "failover {version}: min {} median {} max {} ms of {times}",
        took[0],
        took[took.len() / 2],
        took[took.len() - 1]
    );
}

async fn throughput(version: &str, delay: Duration, clients: u64, seconds: u64) {
    let dir = fresh();
    let cluster = Cluster::start(version, &dir, delay).await;
    let leader = cluster.write_somewhere(0).await;
    let (next, done) = (Arc::new(AtomicU64::new(1)), Arc::new(AtomicU64::new(0)));
    for _ in 0..clients {
        let (cluster, next, done) = (cluster.clone(), next.clone(), done.clone());
        tokio::spawn(async move {
            while cluster.write(leader, next.fetch_add(1, Ordering::Relaxed)).await {
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = done.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let rate = (done.load(Ordering::Relaxed) - before) / seconds;
    println!("throughput {version} +{} ms, {clients} clients: {rate}/s", delay.as_millis());
    std::fs::remove_dir_all(dir).ok();
    std::process::exit(0);
}

/// Writes for ever with 64 clients; each acknowledged id goes into the file `acks`.
async fn writer(version: &str, dir: &Path, delay: Duration, first: u64) {
    let acks = std::fs::File::options().append(true).create(true).open(dir.join("acks")).unwrap();
    let acks = Arc::new(std::sync::Mutex::new(acks));
    let cluster = Cluster::start(version, dir, delay).await;
    let leader = cluster.write_somewhere(first).await;
    let next = Arc::new(AtomicU64::new(first + 1));
    for _ in 0..64 {
        let (cluster, next, acks) = (cluster.clone(), next.clone(), acks.clone());
        tokio::spawn(async move {
            loop {
                let id = next.fetch_add(1, Ordering::Relaxed);
                if cluster.write(leader, id).await {
                    acks.lock().unwrap().write_all(&id.to_le_bytes()).unwrap();
                }
            }
        });
    }
    std::future::pending::<()>().await;
}

/// Opens what a killed writer left and looks for every acknowledged id on the leader.
async fn check(version: &str, dir: &Path, marker: u64) {
    let cluster = Cluster::start(version, dir, Duration::ZERO).await;
    let leader = cluster.write_somewhere(marker).await;
    let acks = std::fs::read(dir.join("acks")).unwrap();
    let ids: Vec<u64> = acks.chunks_exact(8).map(|c| u64::from_le_bytes(c.try_into().unwrap())).collect();
    let lost = ids.iter().filter(|id| !cluster.has(leader, **id)).count();
    println!("{} {lost} {}", ids.len(), ids.iter().max().unwrap_or(&0) + 1000);
    std::process::exit(0);
}

fn kill(version: &str, delay_ms: &str, seconds: u64) {
    let own = std::env::current_exe().unwrap();
    let until = Instant::now() + Duration::from_secs(seconds);
    let (mut kills, mut writes, mut lost) = (0, 0, 0);
    let mut random = 88_172_645_463_325_252_u64;
    while Instant::now() < until {
        let dir = fresh();
        let mut first = 1;
        for _ in 0..3 {
            let mut command = std::process::Command::new(&own);
            command.args(["writer", version]).arg(&dir).args([delay_ms, &first.to_string()]);
            let mut child = command.spawn().unwrap();
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            std::thread::sleep(Duration::from_millis(1500 + random % 2500));
            child.kill().unwrap();
            child.wait().unwrap();
            kills += 1;
            let marker = (first + 50_000_000).to_string();
            let output = std::process::Command::new(&own)
                .args(["check", version])
                .arg(&dir)
                .arg(marker)
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            let numbers: Vec<u64> = text.split_whitespace().filter_map(|n| n.parse().ok()).collect();
            let [acknowledged, missing, next] = numbers[..] else {
                panic!("check: {text} {}", String::from_utf8_lossy(&output.stderr));
            };
            lost += missing;
            if first == 1 || acknowledged > 0 {
                first = next;
            }
            if kills % 3 == 0 {
                writes += acknowledged;
            }
        }
        std::fs::remove_dir_all(dir).ok();
    }
    println!("kill {version} +{delay_ms} ms: {kills} kills, {writes} acknowledged writes, {lost} lost");
}

/// The conformance suite of 0.10 over the product's segmented log; that of 0.9.25 is a test of the server.
async fn suite() {
    use raft10::testing::log::{StoreBuilder, Suite};

    struct Builder;
    impl StoreBuilder<v10::C, v10::Store, v10::Machine, ()> for Builder {
        async fn build(&self) -> Result<((), v10::Store, v10::Machine), raft10::StorageError<v10::C>> {
            let store = v10::Store(common::Wal::open(&fresh(), Duration::ZERO));
            Ok(((), store, v10::Machine::new(Default::default())))
        }
    }
    Suite::test_all(Builder).await.expect("the suite passes");
    println!("suite 0.10: passed");
}
