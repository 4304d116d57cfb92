//! Who leads, as a latest-value fact.

use openraft::metrics::RaftServerMetrics;
use tokio::sync::watch;

use super::machine::Machine;
use super::types::{Peer, Raft};

/// Who leads, as far as this server knows.
///
/// A term is not a reign: a server that restarts may lead again in the term it led before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The newest term this server has seen.
    pub term: u64,
    /// Whether this server leads. It may have been deposed and not know it yet; only a commit proves it.
    pub leading: bool,
    /// Where the leader listens, if one is known.
    pub leader: Option<String>,
}

impl Leadership {
    fn of(metrics: &RaftServerMetrics<u64, Peer>) -> Self {
        let nodes = metrics.membership_config.membership();
        let leader = metrics.current_leader.and_then(|id| nodes.get_node(&id));
        Leadership {
            term: metrics.vote.leader_id.term,
            leading: metrics.state.is_leader(),
            leader: leader.map(|peer| peer.addr.clone()),
        }
    }
}

/// Keeps the fact up to date until the consensus core is gone, which leads nobody.
///
/// A leader that is alone has nobody to tell that it lives and no election to lose: while it is, the core's clock stands still, which
/// was most of what an idle server cost.
pub(crate) async fn follow<M: Machine>(raft: Raft<M>, fact: watch::Sender<Leadership>) {
    let mut metrics = raft.server_metrics();
    loop {
        let (now, is_alone) = {
            let metrics = metrics.borrow_and_update();
            let now = Leadership::of(&metrics);
            // Whoever is to learn the log counts too: it hears heartbeats. A leader that was removed is not alone: its clock tells it
            // when to step down.
            let mut members = metrics.membership_config.membership().nodes();
            let is_alone = now.leading && members.all(|(id, _)| *id == metrics.id);
            (now, is_alone)
        };
        raft.runtime_config().tick(!is_alone);
        fact.send_if_modified(|known| {
            let changed = *known != now;
            *known = now;
            changed
        });
        if metrics.changed().await.is_err() {
            fact.send_modify(|known| {
                known.leading = false;
                known.leader = None;
            });
            return;
        }
    }
}
