//! The cluster as the rest of a server sees it: propose, read, wait.

/// The time that a leader puts into commands.
mod clock;
/// Room on the disk.
mod disk;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proto::error::{Error, Kind as ErrorKind};
use proto::ids::{JobKey, Reign, RequestId, Revision};
use proto::time::Timestamp;
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, timeout_at};

pub use clock::Clock;

use crate::core::state::{Command, Kind, Outcome, State, encode_command};
use crate::identity::Member;
use crate::machine::{Facts, StateMachine, View};
use crate::raft::{self, Leadership, ProposeError};

/// The replicated state and this server's place in it. Clones are the same cluster and cost nothing.
#[derive(Clone)]
pub struct Cluster {
    shared: Arc<Shared>,
}

struct Shared {
    raft: raft::Handle<StateMachine>,
    view: Arc<View>,
    member: Member,
    clock: Clock,
    disk: disk::Disk,
    /// Our reign while our term's loops run; set by the term alone.
    reign: watch::Sender<Option<Reign>>,
}

impl Cluster {
    /// Opens the log and brings the state up to date. Nobody leads yet when this returns; leading is the business of
    /// [`crate::leader`].
    ///
    /// # Errors
    /// See [`raft::StartError`].
    pub async fn start(config: raft::Config, member: Member) -> Result<Self, raft::StartError> {
        let (machine, view) = StateMachine::new();
        let disk = disk::Disk::new(&config.data_dir);
        let raft = raft::Handle::start(config, machine).await?;
        let clock = Clock::new(view.snapshot().now);
        let reign = watch::Sender::new(None);
        Ok(Self { shared: Arc::new(Shared { raft, view, member, clock, disk, reign }) })
    }

    /// Proposes a command of the servers' own and waits until it is applied. A refusal is an outcome.
    ///
    /// # Errors
    /// As [`Cluster::write`], without the refusals.
    pub async fn propose(&self, kind: Kind) -> Result<Outcome, Error> {
        self.try_propose(kind).await.map_err(said)
    }

    /// As [`Cluster::propose`], for who must know whether a command that failed may still be applied.
    pub(crate) async fn try_propose(&self, kind: Kind) -> Result<Outcome, ProposeError> {
        self.send(&Command::own(self.now(), kind)).await
    }

    /// Proposes a client's write and waits until it is applied. The same request id with the same body is applied once, and
    /// answered with the first outcome.
    ///
    /// # Errors
    /// What the state refused, with its own kind; `not_leader` (the leader's address, if known, is the hint); `unavailable` when
    /// too much is waiting, the server stops, or nobody knows whether the write was applied (try again with the same request
    /// id); `too_large`.
    pub async fn write(&self, actor: &str, request: RequestId, kind: Kind) -> Result<Outcome, Error> {
        self.shared.disk.accepts_writes()?;
        let command = Command { now: self.now(), request, actor: actor.to_owned(), kind };
        match self.send(&command).await.map_err(said)? {
            Outcome::Refused(refusal) => Err(refusal.into()),
            outcome => Ok(outcome),
        }
    }

    async fn send(&self, command: &Command) -> Result<Outcome, ProposeError> {
        self.shared.raft.propose(Bytes::from(encode_command(command))).await
    }

    /// Returns the time as this server puts it into commands.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Returns the newest snapshot; it never blocks and never changes.
    #[must_use]
    pub fn snapshot(&self) -> Arc<State> {
        self.shared.view.snapshot()
    }

    /// Returns the revision of the newest snapshot, as it grows.
    #[must_use]
    pub fn revisions(&self) -> watch::Receiver<Revision> {
        self.shared.view.revisions()
    }

    /// Returns the facts from here on, batch by batch. A follower that is told it fell behind reads on from
    /// [`crate::core::state::EventLog::after`].
    #[must_use]
    pub fn facts(&self) -> broadcast::Receiver<Facts> {
        self.shared.view.facts()
    }

    /// Waits until the state has passed a revision, and returns it; the newest one when the time is over.
    pub async fn wait_for(&self, after: Revision, at_most: Duration) -> Arc<State> {
        let mut revisions = self.revisions();
        // The time being over is an answer, and the sender lives as long as `self`.
        tokio::time::timeout(at_most, revisions.wait_for(|now| *now > after)).await.ok();
        self.snapshot()
    }

    /// Returns who leads, as it changes.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.shared.raft.leadership()
    }

    /// Returns our reign: none unless this server leads and the beginning of its reign is applied. Agents and the scheduler
    /// are served only then.
    #[must_use]
    pub fn reign(&self) -> Option<Reign> {
        let ours = (*self.shared.reign.borrow())?;
        let now = self.snapshot().reign.map(|record| record.reign);
        (now == Some(ours)).then_some(ours)
    }

    /// Returns our reign, as it begins and ends.
    #[must_use]
    pub fn reigns(&self) -> watch::Receiver<Option<Reign>> {
        self.shared.reign.subscribe()
    }

    /// Returns numbers about this server's share of the log.
    #[must_use]
    pub fn raft_metrics(&self) -> raft::Metrics {
        self.shared.raft.metrics()
    }

    /// Waits until the scheduler of this leader has looked at a job at that revision or later and what it decided is applied;
    /// returns a snapshot that shows it. None when the time is over, or when this server does not lead.
    pub async fn considered(
        &self,
        job: &JobKey,
        revision: Revision,
        at_most: Duration,
    ) -> Option<Arc<State>> {
        let deadline = Instant::now() + at_most;
        let board = self.shared.view.board();
        let mut moves = board.moves();
        loop {
            self.reign()?;
            if board.has_considered(job, revision) {
                return Some(self.snapshot());
            }
            timeout_at(deadline, moves.changed()).await.ok()?.ok()?;
        }
    }

    /// Returns who this server is.
    #[must_use]
    pub fn member(&self) -> Member {
        self.shared.member
    }

    /// Becomes `Some`, with the reason, when the log or its store has failed; the process must then end.
    #[must_use]
    pub fn raft_failure(&self) -> watch::Receiver<Option<String>> {
        self.shared.raft.fatal()
    }

    /// Takes a snapshot and waits until it is durable; returns the last log index in it.
    ///
    /// # Errors
    /// `unavailable` when the server stops meanwhile.
    pub async fn snapshot_to_disk(&self) -> Result<Option<u64>, Error> {
        self.shared.raft.snapshot_now().await.map_err(said)
    }

    /// Takes no more writes and lets another server lead, if there is one; [`Cluster::stop`] must follow. A lone server goes on until then.
    pub async fn hand_over(&self) {
        if !self.shared.raft.leads_alone() {
            self.shared.raft.hand_over().await;
        }
    }

    /// Returns whether this server is its cluster's only one that votes, and leads.
    #[must_use]
    pub fn leads_alone(&self) -> bool {
        self.shared.raft.leads_alone()
    }

    /// Waits until everything that was acknowledged anywhere before this call can be read here.
    ///
    /// # Errors
    /// `not_leader`; `unavailable` when no majority of the servers confirms that this one leads, or it stops.
    pub async fn confirm_lead(&self) -> Result<(), Error> {
        if self.shared.raft.leads_alone() {
            return Ok(());
        }
        self.shared.raft.read_index().await.map(drop).map_err(|error| match error {
            raft::ReadError::NotLeader { addr } => said(ProposeError::NotLeader { addr }),
            raft::ReadError::Stopped => said(ProposeError::Stopped),
            raft::ReadError::Unconfirmed => Error::new(ErrorKind::Unavailable, error.to_string())
                .hint("`minijob server members` shows who is missing; --stale reads what this server has"),
        })
    }

    /// Stops taking part; returns when the data directory may be opened again. A second call waits for the same.
    pub async fn stop(&self) {
        self.shared.raft.stop().await;
    }

    /// Proposes what need not be a command.
    #[cfg(test)]
    pub(crate) async fn propose_bytes(&self, bytes: &'static [u8]) -> Result<Outcome, ProposeError> {
        self.shared.raft.propose(Bytes::from_static(bytes)).await
    }

    /// The log itself, for who changes the membership.
    pub(crate) fn raft(&self) -> &raft::Handle<StateMachine> {
        &self.shared.raft
    }

    pub(crate) fn view(&self) -> &Arc<View> {
        &self.shared.view
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.shared.clock
    }

    pub(crate) fn set_reign(&self, reign: Option<Reign>) {
        self.shared.reign.send_replace(reign);
    }
}

/// Says why a proposal has no outcome, as clients are told.
fn said(error: ProposeError) -> Error {
    match error {
        ProposeError::NotLeader { addr: Some(addr) } => {
            Error::new(ErrorKind::NotLeader, "another server leads").hint(addr)
        }
        ProposeError::NotLeader { addr: None } => {
            Error::new(ErrorKind::NotLeader, "no server leads at the moment")
        }
        ProposeError::Unavailable => {
            Error::new(ErrorKind::Unavailable, "too many writes are waiting").hint("try again in a moment")
        }
        ProposeError::Unknown => {
            Error::new(ErrorKind::Unavailable, "nobody confirmed in time whether the write was applied")
                .hint("try again with the same request id")
        }
        ProposeError::TooLarge { bytes, max } => {
            Error::new(ErrorKind::TooLarge, format!("the write has {bytes} bytes, at most {max} are allowed"))
        }
        ProposeError::Stopped => Error::new(ErrorKind::Unavailable, "the server is stopping"),
    }
}
