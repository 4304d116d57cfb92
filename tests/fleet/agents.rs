//! Agents and machines: they do what they are told, fail, go away and come back.

use proto::ids::{AllocId, NodeId};
use proto::model::{
    AllocState, AllocStatus, Desired, Eligibility, EndReason, Liveness, TaskEnd, TaskPhase, TaskStatus,
};
use server::core::state::{Alloc, Kind, LivenessChange};

use crate::fleet::{DAY, Due, Fleet, HOUR, INCARNATION, MINUTE};

/// A service fails once in so long.
const SERVICE_FAILS_MS: u64 = 40 * DAY;
/// Of batch work so many in a thousand.
const BATCH_FAILS_PERMILLE: u64 = 15;
/// Of a thousand machines one is lost, and one cordoned, so often in a thousand minutes.
const RARELY: u64 = 10;
/// One machine in so many flaps, so often in a thousand minutes.
const FLAPPING: u64 = 400;
const OFTEN: u64 = 50;

impl Fleet {
    /// Agents that were told something do it; returns whether there was anything.
    pub fn agents_act(&mut self) -> bool {
        let told = std::mem::take(&mut self.told);
        let mut acted = false;
        for node in told {
            let Some(record) = self.state.nodes.get(&node).filter(|node| node.liveness == Liveness::Up)
            else {
                continue;
            };
            let generation = record.generation;
            let allocs = record.allocs.iter().filter_map(|id| self.state.allocs.get(*id));
            let open: Vec<Alloc> = allocs.filter(|alloc| !alloc.has_ended()).cloned().collect();
            let mut statuses = Vec::new();
            for alloc in open {
                match alloc.desired {
                    Desired::Run if alloc.state == AllocState::Pending => {
                        statuses.push(self.status(&alloc, AllocState::Running, None));
                        self.will_end(&alloc);
                    }
                    Desired::Stop(_) => statuses.push(self.status(&alloc, AllocState::Stopped, None)),
                    Desired::Run => {}
                }
            }
            if !statuses.is_empty() {
                acted = true;
                self.apply(Kind::AllocStatus { node, generation, statuses });
            }
        }
        acted
    }

    fn status(&mut self, alloc: &Alloc, state: AllocState, reason: Option<EndReason>) -> AllocStatus {
        self.reports += 1;
        let at = self.state.now;
        let last_end =
            reason.map(|reason| TaskEnd { reason, at, ran: Default::default(), tail: String::new() });
        let phase = if state.has_ended() { TaskPhase::Ended } else { TaskPhase::Running };
        let task = TaskStatus {
            name: alloc.group.to_string(),
            phase,
            attempt: 1,
            window_try: 1,
            window_tries: Some(4),
            pid: 1,
            started_at: None,
            last_end,
        };
        AllocStatus { id: alloc.id, seq: self.reports, state, tasks: vec![task] }
    }

    fn will_end(&mut self, alloc: &Alloc) {
        let has_an_end = self.state.jobs.get(alloc.job.as_ref()).is_some_and(|record| {
            let groups = &record.current().job.groups;
            groups.get(alloc.group.as_ref()).is_some_and(|group| group.kind.has_an_end())
        });
        if has_an_end {
            let fails = self.rng.chance(BATCH_FAILS_PERMILLE);
            let ms = self.rng.within(10 * MINUTE, 8 * HOUR);
            self.later(ms, Due::End(alloc.id, !fails));
        } else {
            let ms = self.rng.below(2 * SERVICE_FAILS_MS);
            self.later(ms, Due::End(alloc.id, false));
        }
    }

    /// An allocation ends, if it still runs; one on a machine that is away does so when that is back.
    pub fn end(&mut self, id: AllocId, well: bool) {
        let Some(alloc) = self.state.allocs.get(id).filter(|alloc| !alloc.has_ended()).cloned() else {
            return;
        };
        let node = self.state.nodes.get(&alloc.node).unwrap();
        if node.liveness == Liveness::Down {
            self.later(10 * MINUTE, Due::End(id, well));
            return;
        }
        let generation = node.generation;
        let (state, reason) = match well {
            true => (AllocState::Complete, EndReason::Exit(0)),
            false => (AllocState::Failed, EndReason::Exit(1)),
        };
        self.tally.failures += u64::from(!well);
        self.tally.completions += u64::from(well);
        let status = self.status(&alloc, state, Some(reason));
        self.apply(Kind::AllocStatus { node: alloc.node, generation, statuses: vec![status] });
    }

    /// Machines are lost, flap and are cordoned.
    pub fn nodes_suffer(&mut self) {
        let nodes = self.size.nodes as u64;
        let permille = self.permille(RARELY);
        for _ in 0..nodes.div_ceil(1000) {
            if self.rng.chance(permille) {
                let node = self.some_node(nodes);
                let away = self.rng.within(MINUTE, 3 * HOUR);
                self.lose(node, away);
            }
            if self.rng.chance(permille) {
                let node = self.some_node(nodes);
                self.cordon(node, true);
                let after = self.rng.within(HOUR, 6 * HOUR);
                self.later(after, Due::Uncordon(node));
            }
        }
        // Some of them come and go all the time.
        let often = self.permille(OFTEN);
        for number in 0..nodes.div_ceil(FLAPPING) {
            if self.rng.chance(often) {
                let node = NodeId(1_000_000 + number * 7);
                let away = self.rng.within(MINUTE, 3 * MINUTE);
                self.tally.flaps += 1;
                self.lose(node, away);
            }
        }
    }

    fn some_node(&mut self, nodes: u64) -> NodeId {
        NodeId(1_000_000 + self.rng.below(nodes))
    }

    fn lose(&mut self, node: NodeId, away_ms: u64) {
        let record = self.state.nodes.get(&node).unwrap();
        if record.liveness == Liveness::Down {
            return;
        }
        let generation = record.generation;
        self.tally.losses += 1;
        self.apply(Kind::NodeLiveness(vec![LivenessChange { node, generation, liveness: Liveness::Down }]));
        let with_all = self.rng.chance(600);
        self.later(away_ms, Due::Back(node, with_all));
    }

    /// A machine is back: only its network was gone, or it has started anew.
    pub fn come_back(&mut self, node: NodeId, with_all: bool) {
        let record = self.state.nodes.get(&node).unwrap().clone();
        let allocs = record.allocs.iter().filter_map(|id| self.state.allocs.get(*id));
        let had: Vec<Alloc> = allocs
            .filter(|alloc| !alloc.has_ended() && alloc.state != AllocState::Pending)
            .cloned()
            .collect();
        let kept = had.into_iter().filter(|_| with_all);
        let held: Vec<_> = kept
            .map(|alloc| (INCARNATION, self.status(&alloc, alloc.state, None), alloc.resources))
            .collect();
        self.tally.returns += 1;
        let identity = record.identity.as_ref().clone();
        self.apply(Kind::RegisterNode { identity, held, seen: None });
    }

    pub fn cordon(&mut self, node: NodeId, is_cordoned: bool) {
        self.tally.cordons += u64::from(is_cordoned);
        let eligibility = if is_cordoned { Eligibility::Cordoned } else { Eligibility::Eligible };
        self.apply(Kind::NodeEligibility { node, eligibility });
    }
}
