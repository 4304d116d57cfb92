//! Elections: openraft's own are off. A server whose leader is silent asks the others first whether they would vote for it, and a leader
//! that stops asks its successor to stand. What to do is decided by [`crate::core::election`].

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use proto::ids::random_u64;
use proto::wire::v1;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::codec;
use super::config::Timings;
use super::hearing::Hearing;
use super::log::Log;
use super::machine::Machine;
use super::network::links::{Link, Links};
use super::network::wire::place;
use super::types::{LogId, Membership, Peer, Raft, StorageError};
use crate::core::election::{Answer, Asked, Standing, Step, Voters, answer, decide, successor};
use crate::limits::{HAND_OVER_WITHIN, TAKE_OVER_TRIES};

/// The part of a server that stands for election, and answers those that want to. Clones are the same.
pub(crate) struct Elections<M: Machine> {
    own: u64,
    raft: Raft<M>,
    log: Log<M>,
    links: Links,
    hearing: Hearing,
    timings: Timings,
}

impl<M: Machine> Clone for Elections<M> {
    fn clone(&self) -> Self {
        Self {
            own: self.own,
            raft: self.raft.clone(),
            log: self.log.clone(),
            links: self.links.clone(),
            hearing: self.hearing.clone(),
            timings: self.timings,
        }
    }
}

impl<M: Machine> Elections<M> {
    pub(super) fn new(
        own: u64,
        raft: Raft<M>,
        log: Log<M>,
        links: Links,
        hearing: Hearing,
        timings: Timings,
    ) -> Self {
        Self { own, raft, log, links, hearing, timings }
    }

    /// How long a candidate is given to win.
    pub(super) fn vote_within(&self) -> Duration {
        self.timings.vote_within()
    }

    /// Stands for election whenever that is due, until the consensus core is gone.
    pub(super) async fn run(self) {
        let mut metrics = self.raft.server_metrics();
        let mut patience = self.patience();
        loop {
            let (voters, state) = {
                let metrics = metrics.borrow_and_update();
                (voters(metrics.membership_config.membership()), metrics.state)
            };
            let step = decide(Standing {
                own: self.own,
                voters: &voters,
                leads: state.is_leader(),
                stands: state.is_candidate(),
                silent_for: self.hearing.silent_for(),
                patience,
                stands_back_for: self.hearing.stands_back_for(),
            });
            let pause = match step {
                Step::Rest => None,
                Step::Wait(time) => Some(time),
                Step::StandAtOnce => {
                    self.stand().await;
                    Some(self.timings.vote_within())
                }
                Step::Canvass => {
                    patience = self.patience();
                    Some(if self.canvass(&voters).await {
                        self.stand().await
                    } else {
                        self.timings.heartbeat / 4
                    })
                }
            };
            let changed = match pause {
                None => metrics.changed().await,
                // A pause after an election is kept whatever changes, or two candidates would chase each other.
                Some(pause) if step == Step::Canvass => {
                    sleep(pause).await;
                    Ok(())
                }
                Some(pause) => timeout(pause, metrics.changed()).await.unwrap_or(Ok(())),
            };
            if changed.is_err() {
                return;
            }
        }
    }

    /// The silence that this server waits for, anew each time: the shortest and some chance.
    fn patience(&self) -> Duration {
        let Timings { election_min, election_max, .. } = self.timings;
        election_min + chance(election_max.saturating_sub(election_min))
    }

    /// Asks for votes in earnest; returns how long to wait before anything else is tried.
    async fn stand(&self) -> Duration {
        // The core being gone is seen by who waits for its next change.
        self.raft.trigger().elect().await.ok();
        let within = self.timings.vote_within();
        within / 4 + chance(within * 3 / 4)
    }

    /// Asks the other voters whether they would vote for us; returns whether a majority would.
    async fn canvass(&self, voters: &Voters) -> bool {
        let Ok(last_log) = self.log.last().await else { return false };
        let mut granted = BTreeSet::from([self.own]);
        let mut asked: FuturesUnordered<_> =
            self.others(voters).map(|link| ask(link, last_log, self.timings.vote_within())).collect();
        while !voters.is_majority(&granted) {
            match asked.next().await {
                Some((voter, true)) => drop(granted.insert(voter)),
                Some((_, false)) => {}
                None => return false,
            }
        }
        tracing::info!(voters = granted.len(), "the leader is silent: standing for election");
        true
    }

    /// Says whether we would vote for a server whose log ends there.
    pub(super) async fn answer(
        &self,
        candidate: Option<LogId>,
    ) -> Result<v1::RaftPreVoteResult, StorageError> {
        let last_log = self.log.last().await?.map(place);
        let silent_for = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow();
            if metrics.state.is_leader() {
                Duration::from_millis(metrics.millis_since_quorum_ack.unwrap_or_default())
            } else {
                self.hearing.silent_for()
            }
        };
        let asked = Asked { silent_for, lease: self.timings.lease(), last_log };
        Ok(match answer(asked, candidate.map(place)) {
            Answer::Granted => v1::RaftPreVoteResult::Granted,
            Answer::LeaderLives => v1::RaftPreVoteResult::LeaderLives,
            Answer::LogIsBehind => v1::RaftPreVoteResult::LogIsBehind,
        })
    }

    /// Stands at once, because the leader asks us to; a few times, because another voter may still wait for the end of its lease.
    pub(super) async fn take_over(&self, from: u64) {
        let mut metrics = self.raft.server_metrics();
        for _ in 0..TAKE_OVER_TRIES {
            if self.raft.trigger().elect().await.is_err() {
                return;
            }
            let led = metrics.wait_for(|now| now.current_leader.is_some_and(|leader| leader != from));
            if timeout(HAND_OVER_WITHIN / TAKE_OVER_TRIES, led).await.is_ok() {
                return;
            }
        }
    }

    /// Asks the freshest of the others to lead and waits until one does, for [`HAND_OVER_WITHIN`] at most. Nothing when we do not lead or
    /// are alone. No more may be proposed meanwhile.
    pub(super) async fn hand_over(&self) {
        let deadline = Instant::now() + HAND_OVER_WITHIN;
        if let Ok(None) | Err(_) = timeout_at(deadline, self.try_hand_over()).await {
            return;
        }
        let mut metrics = self.raft.server_metrics();
        let own = self.own;
        let led = metrics.wait_for(|now| now.current_leader.is_some_and(|leader| leader != own));
        match timeout_at(deadline, led).await {
            Ok(_) => tracing::info!("another server leads"),
            Err(_) => tracing::warn!("no other server took over in time; they elect one when we are gone"),
        }
    }

    /// Returns who was asked and agreed.
    async fn try_hand_over(&self) -> Option<u64> {
        let mut metrics = self.raft.metrics();
        // Whoever has all of the log wins at once.
        let (next, peer, vote) = loop {
            {
                let now = metrics.borrow_and_update();
                let matched: Vec<_> =
                    now.replication.iter().flatten().map(|(id, matched)| (*id, matched.map(place))).collect();
                let membership = now.membership_config.membership();
                let next = successor(self.own, &voters(membership), &matched)?;
                let is_fresh = now.replication.iter().flatten().any(|(id, matched)| {
                    *id == next && matched.map(|matched| matched.index) >= now.last_log_index
                });
                if is_fresh {
                    break (next, membership.get_node(&next).cloned()?, now.vote);
                }
            }
            metrics.changed().await.ok()?;
        };
        let mut link = self.links.to(next, &peer).ok()?;
        let request = v1::RaftTakeOver { route: Some(link.route()), vote: codec::encode_vote(&vote) };
        tracing::info!(next = peer.name, "handing the lead over");
        let answered = link.log.take_over(request).await.ok()?;
        answered.into_inner().stands.then_some(next)
    }

    fn others(&self, voters: &Voters) -> impl Iterator<Item = Link> {
        let peers: Vec<(u64, Peer)> = {
            let metrics = self.raft.server_metrics();
            let metrics = metrics.borrow();
            let nodes = metrics.membership_config.membership().nodes();
            let ids = voters.all();
            nodes.filter(|(id, _)| ids.contains(id)).map(|(id, peer)| (*id, peer.clone())).collect()
        };
        let (own, links) = (self.own, self.links.clone());
        peers
            .into_iter()
            .filter(move |(id, _)| *id != own)
            .filter_map(move |(id, peer)| links.to(id, &peer).ok())
    }
}

/// Asks one server; returns who it is and whether it would vote for us.
async fn ask(mut link: Link, last_log: Option<LogId>, within: Duration) -> (u64, bool) {
    let request = v1::RaftPreVote { route: Some(link.route()), last_log: codec::encode_mark(last_log) };
    let granted = match timeout(within, link.log.pre_vote(request)).await {
        Ok(Ok(answer)) => answer.into_inner().result() == v1::RaftPreVoteResult::Granted,
        Ok(Err(status)) => {
            link.note(&status);
            false
        }
        Err(_) => false,
    };
    (link.target, granted)
}

fn voters(membership: &Membership) -> Voters {
    Voters(membership.get_joint_config().clone())
}

/// Some part of a time, by chance.
fn chance(of: Duration) -> Duration {
    of.mul_f64((random_u64() >> 32) as f64 / f64::from(u32::MAX))
}
