//! A term owns its loops: they begin when the beginning of the reign is applied, and losing the term drops them.

use std::time::Duration;

use proto::ids::{Incarnation, Reign, random_u64};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::snapshots::{self, Scheduled};
use super::{liveness, rule_loop, scheduler_loop};
use crate::agents::LeaseBook;
use crate::cluster::Cluster;
use crate::core::rules::{Braking, Collect, Draining, Health};
use crate::core::state::{Kind, Settings};
use crate::raft::Leadership;

/// After a reign: one that ends at once, again and again, must not fill the log with beginnings.
const RETRY: Duration = Duration::from_millis(500);

/// What a leader works with.
#[derive(Clone)]
pub struct Duties {
    /// The state.
    pub cluster: Cluster,
    /// The leases that sessions renew.
    pub leases: LeaseBook,
    /// Settings that a reign begins with.
    pub overrides: Overrides,
    /// Snapshots that it takes by itself.
    pub snapshots: Option<Scheduled>,
}

/// Settings that a server puts into the state when it begins to lead; what is none stays as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Overrides {
    /// How often an agent asks for its lease.
    pub heartbeat: Option<Duration>,
    /// How long a lease lasts.
    pub node_timeout: Option<Duration>,
}

/// Leads whenever the log says that this server does, until it is told to stop. When it returns, nothing of it runs.
pub async fn run(duties: Duties, mut leadership: watch::Receiver<Leadership>, stop: CancellationToken) {
    loop {
        let elected = leadership.wait_for(|now| now.leading);
        tokio::select! {
            () = stop.cancelled() => return,
            elected = elected => if elected.is_err() { return },
        }
        let lost = deposed(leadership.clone());
        reign(&duties, lost, &stop).await;
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

/// Waits until the term in which this server leads is over.
async fn deposed(mut leadership: watch::Receiver<Leadership>) {
    let term = leadership.borrow().term;
    // The consensus core being gone ends the term too.
    leadership.wait_for(|now| !now.leading || now.term != term).await.ok();
}

async fn reign(duties: &Duties, lost: impl Future<Output = ()>, stop: &CancellationToken) {
    let cluster = &duties.cluster;
    tokio::pin!(lost);
    let begun = tokio::select! {
        begun = begin(duties) => begun,
        () = &mut lost => None,
        () = stop.cancelled() => None,
    };
    let Some(reign) = begun else { return };
    tracing::info!(%reign, "this server leads");
    duties.leases.begin(&cluster.snapshot());
    cluster.set_reign(Some(reign));
    let mut loops = spawn_loops(duties, reign);
    tokio::select! {
        () = &mut lost => tracing::info!(%reign, "this server does not lead any more"),
        () = overthrown(cluster, reign) => tracing::info!(%reign, "another reign has begun"),
        ended = loops.join_next() => tracing::error!(?ended, "a loop of the leader ended; its reign begins anew"),
        () = stop.cancelled() => {}
    }
    cluster.set_reign(None);
    // A loop that outlived its reign could close what the next one has opened.
    loops.shutdown().await;
    duties.leases.end();
}

fn spawn_loops(duties: &Duties, reign: Reign) -> JoinSet<()> {
    let cluster = || duties.cluster.clone();
    let mut loops = JoinSet::new();
    loops.spawn(scheduler_loop::run(cluster(), duties.leases.clone(), reign));
    loops.spawn(liveness::run(cluster(), duties.leases.clone()));
    loops.spawn(rule_loop::run(cluster(), "health", Health));
    loops.spawn(rule_loop::run(cluster(), "collect", Collect));
    loops.spawn(rule_loop::run(cluster(), "drain", Draining));
    loops.spawn(rule_loop::run(cluster(), "brake", Braking));
    if let Some(scheduled) = duties.snapshots.clone() {
        loops.spawn(snapshots::run(cluster(), scheduled));
    }
    loops
}

/// Proposes the beginning of a reign and returns its revision; none when that could not be applied.
async fn begin(duties: &Duties) -> Option<Reign> {
    let cluster = &duties.cluster;
    cluster.clock().reset(cluster.snapshot().now);
    let member = cluster.member();
    let kind = Kind::BeginReign {
        server: member.server,
        boot_nonce: member.boot_nonce,
        incarnation: Incarnation(random_u64()),
    };
    if let Err(error) = cluster.propose(kind).await {
        tracing::debug!(%error, "the reign could not begin");
        return None;
    }
    let settings = duties.overrides.over(cluster.snapshot().settings.clone());
    if settings != cluster.snapshot().settings
        && let Err(error) = cluster.propose(Kind::PutSettings(settings)).await
    {
        tracing::debug!(%error, "the settings could not be put");
        return None;
    }
    // A reign of another server, or one of ours whose outcome was not known, may have followed.
    let record = cluster.snapshot().reign?;
    (record.server == member.server && record.boot_nonce == member.boot_nonce).then_some(record.reign)
}

/// Waits until the state shows another reign.
async fn overthrown(cluster: &Cluster, reign: Reign) {
    let mut revisions = cluster.revisions();
    while cluster.snapshot().reign.is_some_and(|record| record.reign == reign) {
        if revisions.changed().await.is_err() {
            return;
        }
    }
}

impl Overrides {
    fn over(self, settings: Settings) -> Settings {
        Settings {
            heartbeat: self.heartbeat.unwrap_or(settings.heartbeat),
            node_timeout: self.node_timeout.unwrap_or(settings.node_timeout),
            ..settings
        }
    }
}

#[cfg(test)]
mod tests;
