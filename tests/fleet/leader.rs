//! The leader's scheduler: its desk, one plan after the other.

use std::collections::BTreeSet;
use std::time::Instant;

use proto::ids::{JobKey, NodeId};
use proto::time::Timestamp;
use server::core::scheduler::{Memory, schedule_with};
use server::core::state::{Kind, Outcome, Plan};
use server::leader::desk::Desk;
use server::limits::JOBS_PER_DECISION;

use crate::fleet::Fleet;

#[derive(Default)]
pub struct Leader {
    pub dirty: BTreeSet<JobKey>,
    pub gained: BTreeSet<NodeId>,
    desk: Desk,
    pub memory: Memory,
    seq: u64,
}

impl Leader {
    /// Returns whether nothing is to be looked at before something changes or a minute is over.
    pub fn is_idle(&self, now: Timestamp) -> bool {
        let due = self.desk.next_due().is_some_and(|due| due <= now);
        self.dirty.is_empty() && self.gained.is_empty() && !due
    }
}

impl Fleet {
    /// Decides until nothing is left on the desk; returns whether anything was planned.
    pub fn decide(&mut self) -> bool {
        let mut planned = false;
        loop {
            let now = Timestamp(self.now);
            let leader = &mut self.leader;
            let (dirty, gained) = (std::mem::take(&mut leader.dirty), std::mem::take(&mut leader.gained));
            let began = Instant::now();
            leader.desk.take_in(&self.state, dirty, gained, now);
            leader.desk.ring(&self.state, now, &mut leader.memory);
            let jobs = leader.desk.take(JOBS_PER_DECISION);
            if jobs.is_empty() {
                self.tally.deciding += began.elapsed();
                return planned;
            }
            let decision = schedule_with(&self.state, &jobs, now, &mut leader.memory);
            leader.desk.settle(&jobs, &decision);
            self.tally.deciding += began.elapsed();
            self.tally.decisions += 1;
            self.tally.jobs_looked_at += jobs.len() as u64;
            self.tally.placements += decision.placed.len() as u64;
            self.tally.stops += decision.plan.stops.len() as u64;
            if decision.plan.is_empty() {
                self.leader.desk.note_refusals(&jobs, &BTreeSet::new());
                continue;
            }
            planned = true;
            self.leader.seq += 1;
            let (reign, seq) = (self.state.reign.unwrap().reign, self.leader.seq);
            let applied = self.apply(Kind::ApplyPlan(Plan { reign, seq, ..decision.plan }));
            // Nobody writes between the decision and its plan.
            assert_eq!(applied.outcome, Outcome::Planned { refused: vec![] });
            self.leader.desk.note_refusals(&jobs, &BTreeSet::new());
        }
    }
}
