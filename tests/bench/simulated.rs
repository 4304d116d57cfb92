//! One simulated agent: what it was told, and what it says.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use proto::time::{boottime, now};
use proto::wire::v1::{self, agent_message, server_message};
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::agents::{Order, Tally};

/// A session that has begun.
pub(crate) struct Opened {
    pub(crate) up: mpsc::Sender<v1::AgentMessage>,
    pub(crate) down: tonic::Streaming<v1::ServerMessage>,
    pub(crate) heartbeat: Duration,
}

/// An agent in its session.
pub(crate) struct Agent {
    number: usize,
    opened: Opened,
    first_beat: Instant,
    orders: broadcast::Receiver<Order>,
    tally: Arc<Tally>,
    reports: bool,
    /// What it was told to run.
    held: BTreeMap<u64, Held>,
    batch: u64,
    /// Batches that are not acknowledged: number, reports, and how many of them say for the first time that something runs.
    waiting: VecDeque<(u64, u64, u64)>,
    /// Acknowledged as running.
    running: u64,
}

/// An allocation.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    seq: u64,
    attempt: u32,
    has_run: bool,
}

impl Agent {
    pub(crate) fn new(
        number: usize,
        opened: Opened,
        first_beat: Instant,
        orders: broadcast::Receiver<Order>,
        tally: Arc<Tally>,
        reports: bool,
    ) -> Self {
        let (held, waiting) = (BTreeMap::new(), VecDeque::new());
        Self { number, opened, first_beat, orders, tally, reports, held, batch: 0, waiting, running: 0 }
    }

    /// Lives until the server ends the session, or the fleet is dropped.
    pub(crate) async fn run(mut self) {
        let mut beats = interval_at(self.first_beat, self.opened.heartbeat);
        beats.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            let goes_on = tokio::select! {
                message = self.opened.down.message() => match message {
                    Ok(Some(message)) => self.heed(message).await,
                    Ok(None) | Err(_) => false,
                },
                _ = beats.tick() => {
                    let heartbeat = v1::Heartbeat { boottime_ms: boottime().0, fenced: false };
                    // A full queue holds a heartbeat that says the same.
                    let kind = agent_message::Kind::Heartbeat(heartbeat);
                    drop(self.opened.up.try_send(v1::AgentMessage { kind: Some(kind) }));
                    true
                }
                Ok(order) = self.orders.recv() => match order {
                    Order::Lose { digit } if self.number % 10 == digit => {
                        self.tally.running.fetch_sub(self.running, Ordering::Relaxed);
                        std::future::pending().await
                    }
                    Order::Lose { .. } => true,
                    Order::Report { apart } => {
                        self.reports = true;
                        self.report_all(apart).await
                    }
                    Order::Churn { digit } => self.churn(digit).await,
                },
            };
            if !goes_on {
                self.tally.ended.fetch_add(1, Ordering::Relaxed);
                return;
            }
        }
    }

    /// Takes in what the server says. Returns whether the session goes on.
    async fn heed(&mut self, message: v1::ServerMessage) -> bool {
        let assignments = match message.kind {
            Some(server_message::Kind::Complete(complete)) => complete.assignments,
            Some(server_message::Kind::Increment(increment)) => increment.assignments,
            Some(server_message::Kind::StatusAck(ack)) => {
                self.acknowledged(ack.batch);
                return true;
            }
            Some(server_message::Kind::HeartbeatAck(_)) => {
                self.tally.beats.fetch_add(1, Ordering::Relaxed);
                return true;
            }
            _ => return true,
        };
        let runs = assignments.iter().filter(|one| one.order == v1::Order::Run as i32);
        let fresh: Vec<u64> = runs.map(|one| one.alloc_id).filter(|id| !self.held.contains_key(id)).collect();
        self.tally.told.fetch_add(fresh.len() as u64, Ordering::Relaxed);
        self.held.extend(fresh.iter().map(|id| (*id, Held::default())));
        fresh.is_empty() || !self.reports || self.report(&fresh, v1::TaskPhase::Running).await
    }

    fn acknowledged(&mut self, batch: u64) {
        while let Some((_, reports, first)) = self.waiting.front().copied().filter(|one| one.0 <= batch) {
            self.waiting.pop_front();
            self.tally.acknowledged.fetch_add(reports, Ordering::Relaxed);
            self.tally.running.fetch_add(first, Ordering::Relaxed);
            self.running += first;
        }
    }

    async fn report_all(&mut self, apart: bool) -> bool {
        let ids: Vec<u64> = self.held.keys().copied().collect();
        for part in ids.chunks(if apart { 1 } else { ids.len().max(1) }) {
            if !self.report(part, v1::TaskPhase::Running).await {
                return false;
            }
        }
        true
    }

    async fn churn(&mut self, digit: u64) -> bool {
        let with = |digit: u64| self.held.keys().copied().filter(|id| id % 10 == digit).collect::<Vec<_>>();
        let (failed, again) = (with(digit), with((digit + 9) % 10));
        self.report(&failed, v1::TaskPhase::Backoff).await
            && self.report(&again, v1::TaskPhase::Running).await
    }

    /// Sends a batch about these. Returns whether the session goes on.
    async fn report(&mut self, ids: &[u64], phase: v1::TaskPhase) -> bool {
        if ids.is_empty() {
            return true;
        }
        let mut first = 0;
        let mut statuses = Vec::with_capacity(ids.len());
        for id in ids {
            let held = self.held.entry(*id).or_default();
            held.seq += 1;
            if phase == v1::TaskPhase::Running {
                held.attempt += 1;
                first += u64::from(!std::mem::replace(&mut held.has_run, true));
            }
            statuses.push(status(*id, *held, phase));
        }
        self.batch += 1;
        self.waiting.push_back((self.batch, ids.len() as u64, first));
        let kind = agent_message::Kind::Status(v1::StatusBatch { batch: self.batch, statuses });
        self.opened.up.send(v1::AgentMessage { kind: Some(kind) }).await.is_ok()
    }
}

/// What a real agent says of an allocation of one task; one that failed has said a line.
fn status(id: u64, held: Held, phase: v1::TaskPhase) -> v1::AllocStatus {
    let at = now().0;
    let failed = phase == v1::TaskPhase::Backoff;
    let last_end = (failed || held.attempt > 1).then(|| v1::TaskEnd {
        reason: Some(v1::EndReason { kind: Some(v1::end_reason::Kind::Exit(1)) }),
        at_ms: at,
        ran_ms: 1000,
        tail: "error: no route to the database\n".into(),
    });
    let task = v1::TaskStatus {
        name: "main".into(),
        phase: phase as i32,
        backoff_until_ms: if failed { at + 1000 } else { 0 },
        attempt: held.attempt,
        window_try: held.attempt,
        window_tries: None,
        pid: if failed { 0 } else { (id % 30_000) as u32 + 300 },
        started_at_ms: Some(at),
        last_end,
    };
    v1::AllocStatus { id, seq: held.seq, state: v1::AllocState::Running as i32, tasks: vec![task] }
}
