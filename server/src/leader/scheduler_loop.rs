//! The scheduler: takes the jobs that changed, decides with `core`, proposes a plan, and goes on when that is applied.
//!
//! One plan is in flight at a time, so that every decision sees what the ones before it did. A plan whose outcome is not known
//! is waited for: deciding again before it is settled could place the same work twice.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use proto::ids::{JobKey, Reign};
use proto::time::Timestamp;

use super::desk::Desk;
use super::{plan_parts, timer};
use crate::agents::LeaseBook;
use crate::cluster::Cluster;
use crate::core::scheduler::{Decision, Memory, schedule_with};
use crate::core::state::{Kind, Outcome, Plan, State};
use crate::limits::{JOBS_PER_DECISION, PLAN_BYTES_MAX};
use crate::machine::Board;
use crate::raft::ProposeError;

/// After a proposal that found no room in the queue.
const RETRY: Duration = Duration::from_millis(50);
/// Nodes and wanted allocations from which on a decision takes long enough to be moved to a thread that may block.
const LARGE: usize = 5000;

/// Schedules until it is dropped or its reign is over.
pub(super) async fn run(cluster: Cluster, leases: LeaseBook, reign: Reign) {
    let _open = OpenBoard::open(&cluster);
    let seq = cluster.snapshot().last_plan_seq;
    let (desk, memory) = (Desk::default(), Memory::default());
    let mut scheduler = Scheduler { cluster, leases, reign, seq, desk, memory };
    while scheduler.turn().await.is_continue() {}
    // The term sees the same and drops its loops.
    std::future::pending().await
}

struct Scheduler {
    cluster: Cluster,
    leases: LeaseBook,
    reign: Reign,
    /// The number of the last plan proposed. Never used twice, whatever became of it.
    seq: u64,
    desk: Desk,
    memory: Memory,
}

impl Scheduler {
    async fn turn(&mut self) -> ControlFlow<()> {
        let drained = self.board().drain();
        // Taken after the board was drained, so that it shows whatever marked these jobs.
        let state = self.cluster.snapshot();
        let now = self.cluster.now();
        // After the state: whatever was acknowledged to a node that it shows as lost is known by now.
        self.memory.fences = self.leases.fences();
        self.desk.take_in(&state, drained.jobs, drained.gained, now);
        self.desk.ring(&state, now, &mut self.memory);
        let jobs = self.desk.take(JOBS_PER_DECISION);
        if jobs.is_empty() {
            tokio::select! {
                () = self.board().woken() => {}
                () = timer::until(&self.cluster, self.desk.next_due()) => {}
            }
            return ControlFlow::Continue(());
        }
        let memory = std::mem::take(&mut self.memory);
        let (decision, memory) = decide(state, jobs.clone(), now, memory).await;
        self.memory = memory;
        self.desk.settle(&jobs, &decision);
        let next = self.submit(decision, &jobs).await;
        self.board().done(&jobs);
        next
    }

    /// Proposes a decision's plan, part by part. Whatever is not applied leaves its jobs marked.
    async fn submit(&mut self, decision: Decision, jobs: &[JobKey]) -> ControlFlow<()> {
        let mut refused = BTreeSet::new();
        for part in plan_parts::split(decision.plan, PLAN_BYTES_MAX) {
            self.seq += 1;
            let plan = Plan { reign: self.reign, seq: self.seq, ..part };
            match self.cluster.try_propose(Kind::ApplyPlan(plan)).await {
                Ok(Outcome::Planned { refused: runs }) => refused.extend(runs.into_iter().map(|run| run.job)),
                Ok(outcome) => {
                    tracing::warn!(?outcome, "a whole plan was refused");
                    // Whoever numbered a plan higher: behind it every plan would be refused.
                    self.seq = self.seq.max(self.cluster.snapshot().last_plan_seq);
                    self.look_again(jobs).await;
                    break;
                }
                Err(ProposeError::Unknown) => {
                    self.settled(self.seq).await?;
                    self.look_again(jobs).await;
                    break;
                }
                Err(ProposeError::NotLeader { .. } | ProposeError::Stopped) => return ControlFlow::Break(()),
                Err(error @ (ProposeError::Unavailable | ProposeError::TooLarge { .. })) => {
                    tracing::warn!(%error, "a plan was not proposed");
                    self.look_again(jobs).await;
                    break;
                }
            }
        }
        self.desk.note_refusals(jobs, &refused);
        ControlFlow::Continue(())
    }

    async fn look_again(&self, jobs: &[JobKey]) {
        self.board().mark(jobs.iter().cloned());
        tokio::time::sleep(RETRY).await;
    }

    /// Waits until the state shows that a plan was applied, or that its reign is over and it never will be.
    async fn settled(&self, seq: u64) -> ControlFlow<()> {
        let mut revisions = self.cluster.revisions();
        loop {
            let state = self.cluster.snapshot();
            if state.reign.is_none_or(|record| record.reign != self.reign) {
                return ControlFlow::Break(());
            }
            if state.last_plan_seq >= seq {
                return ControlFlow::Continue(());
            }
            if revisions.changed().await.is_err() {
                return ControlFlow::Break(());
            }
        }
    }

    fn board(&self) -> &Board {
        self.cluster.view().board()
    }
}

async fn decide(
    state: Arc<State>,
    jobs: Vec<JobKey>,
    now: Timestamp,
    mut memory: Memory,
) -> (Decision, Memory) {
    let wanted = |key: &JobKey| {
        let record = state.jobs.get(key);
        record
            .map_or(0, |record| record.current().job.groups.values().map(|group| group.count as usize).sum())
    };
    let size = state.nodes.len() + jobs.iter().map(wanted).sum::<usize>();
    if size < LARGE {
        return (schedule_with(&state, &jobs, now, &mut memory), memory);
    }
    let deciding = move || (schedule_with(&state, &jobs, now, &mut memory), memory);
    match tokio::task::spawn_blocking(deciding).await {
        Ok(decided) => decided,
        Err(error) => match error.try_into_panic() {
            // The loop ends as if it had panicked itself.
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and this loop with it.
            Err(_) => std::future::pending().await,
        },
    }
}

/// The board is open as long as this lives.
struct OpenBoard {
    cluster: Cluster,
}

impl OpenBoard {
    fn open(cluster: &Cluster) -> Self {
        let board = cluster.view().board();
        board.open();
        board.begin(cluster.snapshot().jobs.iter().map(|(key, _)| key.clone()));
        Self { cluster: cluster.clone() }
    }
}

impl Drop for OpenBoard {
    fn drop(&mut self) {
        self.cluster.view().board().close();
    }
}
