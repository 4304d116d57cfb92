//! A server that leads: its loops, which drive the shipped decisions as `server::leader` does.

use std::collections::{BTreeMap, BTreeSet};

use proto::ids::{Incarnation, JobKey, NodeId, Reign, RequestId, ServerId};
use server::core::rules::brake::mass_loss;
use server::core::rules::liveness::Leases;
use server::core::rules::{Braking, Collect, Draining, Health, Rule, Step};
use server::core::scheduler::{Memory, schedule_with};
use server::core::state::{Changes, Kind, Outcome, Plan, Settings, State};
use server::leader::desk::Desk;

use crate::clients::some_settings;
use crate::event::{Event, Lead};
use crate::log::Asker;
use crate::sessions::Session;
use crate::sim::{Sim, say};

/// The rules that a leader drives, beside leases and the scheduler.
const RULES: [&dyn Rule; 4] = [&Health, &Collect, &Draining, &Braking];
const OWN: RequestId = RequestId(0);
const JOBS_PER_DECISION: usize = 4;

/// A server that leads, or believes so.
pub struct Leader {
    pub lead: Lead,
    /// What its server has applied.
    pub view: State,
    changes: Changes,
    waking: bool,
    pub reign: Option<Reign>,
    pub leases: Option<Leases>,
    losing: bool,
    pub desk: Desk,
    pub memory: Memory,
    pub dirty: BTreeSet<JobKey>,
    gained: BTreeSet<NodeId>,
    /// The plan in flight, and the jobs it is about.
    pub plan: Option<(u64, Vec<JobKey>)>,
    seq: u64,
    rules: [Duty; RULES.len()],
    pub sessions: BTreeMap<u64, Session>,
}

/// A rule between two decisions.
#[derive(Clone, Copy, Default)]
struct Duty {
    in_flight: bool,
    wake_at: Option<proto::time::Timestamp>,
    look: bool,
}

impl Leader {
    pub fn new(lead: Lead, view: State) -> Self {
        Self {
            lead,
            view,
            changes: Changes::default(),
            waking: false,
            reign: None,
            leases: None,
            losing: false,
            desk: Desk::default(),
            memory: Memory::default(),
            dirty: BTreeSet::new(),
            gained: BTreeSet::new(),
            plan: None,
            seq: 0,
            rules: Default::default(),
            sessions: BTreeMap::new(),
        }
    }

    /// Returns whether its reign has begun, and no other since, as far as its server has applied.
    pub fn reigns(&self) -> bool {
        self.reign.is_some() && self.view.reign.map(|record| record.reign) == self.reign
    }

    /// Returns the reign that the view shows, if it is this leader's.
    fn own_reign(&self) -> Option<Reign> {
        let record = self.view.reign?;
        let own = record.server == server_id(self.lead.server) && record.boot_nonce == self.lead.term;
        own.then_some(record.reign)
    }
}

/// The number of a server, as commands have it.
pub fn server_id(server: usize) -> ServerId {
    ServerId(server as u64 + 1)
}

impl Sim {
    /// Proposes the beginning of a reign.
    pub fn begin_reign(&mut self, lead: Lead) {
        let incarnation = Incarnation(0xabc0_0000 + self.seed);
        let kind = Kind::BeginReign { server: server_id(lead.server), boot_nonce: lead.term, incarnation };
        self.propose(lead, Asker::Reign, kind, OWN);
    }

    /// Ends all sessions of a server.
    pub fn close_sessions(&mut self, lead: Lead) {
        let Some(leader) = self.leader(lead) else { return };
        let sessions = std::mem::take(&mut leader.sessions);
        for conn in sessions.into_keys() {
            self.close_by_server(conn);
        }
    }

    /// A server that leads sees what it has applied.
    pub fn publish(&mut self, server: usize, changes: Changes) {
        let one = &mut self.servers[server];
        let Some(leader) = &mut one.leader else { return };
        leader.view = one.replica.state.clone();
        leader.changes.absorb(changes);
        let lead = leader.lead;
        if !std::mem::replace(&mut leader.waking, true) {
            self.queue.at(self.now + 1, Event::Wake(lead));
        }
    }

    /// The answer to a proposal; none: nobody knows.
    pub fn answer(&mut self, lead: Lead, asker: Asker, outcome: Option<Outcome>) {
        match asker {
            Asker::Reign => self.reign_answered(lead),
            Asker::Client(request) => self.client_answered(request, outcome),
            Asker::Plan(seq) => self.plan_answered(lead, seq, outcome),
            Asker::Rule(at) => {
                if let Some(leader) = self.leader(lead) {
                    leader.rules[at] = Duty { in_flight: false, wake_at: None, look: true };
                }
            }
            Asker::Liveness => {
                if let Some(leader) = self.leader(lead) {
                    leader.losing = false;
                }
            }
            // The loss that it is for follows in the log.
            Asker::Brake => {}
            Asker::Register(conn) => self.register_answered(lead, conn, outcome),
            Asker::Status(conn) => self.status_answered(lead, conn, outcome),
        }
    }

    fn reign_answered(&mut self, lead: Lead) {
        let now = self.server_boottime(lead.server);
        let Some(leader) = self.leader(lead) else { return };
        let Some(reign) = leader.own_reign() else {
            self.begin_reign(lead);
            return;
        };
        leader.reign = Some(reign);
        leader.leases = Some(Leases::begin(&leader.view, now));
        leader.seq = leader.view.last_plan_seq;
        leader.dirty.extend(leader.view.jobs.iter().map(|(key, _)| key.clone()));
        leader.rules.iter_mut().for_each(|duty| duty.look = true);
        say!(self, "reign {reign} of server {} begins", lead.server);
        if self.state.settings == Settings::default() {
            let settings = some_settings(&mut self.dice.people);
            self.propose(lead, Asker::Rule(0), Kind::PutSettings(settings), OWN);
        }
        self.wake(lead);
    }

    /// A leader looks at what has changed.
    pub fn wake(&mut self, lead: Lead) {
        let outlives = self.bug.sessions_outlive_reigns();
        let Some(leader) = self.leader(lead) else { return };
        leader.waking = false;
        if leader.reign.is_none() {
            return;
        }
        if !leader.reigns() && !outlives {
            say!(self, "server {} sees another reign", lead.server);
            self.close_sessions(lead);
            if let Some(leader) = self.leader(lead) {
                *leader = Leader::new(lead, leader.view.clone());
            }
            self.begin_reign(lead);
            return;
        }
        let changes = std::mem::take(&mut leader.changes);
        leader.dirty.extend(changes.jobs);
        leader.gained.extend(changes.gained);
        for (duty, rule) in leader.rules.iter_mut().zip(RULES) {
            duty.look |= rule.on_change();
        }
        if let Some((seq, jobs)) = leader.plan.take_if(|(seq, _)| *seq <= leader.view.last_plan_seq) {
            // Its answer was lost, and here it is.
            let _ = seq;
            leader.dirty.extend(jobs);
        }
        self.tell_sessions(lead, changes.nodes);
        self.run_rules(lead);
        self.schedule_all(lead);
    }

    /// A leader's clock ticks.
    pub fn tick(&mut self, lead: Lead) {
        if self.leader(lead).is_none() {
            return;
        }
        let stalls = !self.calm && self.dice.faults.chance(3);
        let next = if stalls { self.dice.faults.within(1000, 6000) } else { 100 };
        self.queue.at(self.now + next, Event::Tick(lead));
        let now = self.server_boottime(lead.server);
        let time = self.server_time(lead.server);
        let Some(leader) = self.leader(lead).filter(|leader| leader.reign.is_some()) else { return };
        let ended = leader.leases.as_mut().map(|leases| leases.decide(&leader.view, now)).unwrap_or_default();
        if !ended.is_empty() && !leader.losing {
            leader.losing = true;
            let silent =
                leader.leases.as_ref().map(|leases| leases.silent(&leader.view, now)).unwrap_or_default();
            if let Some(held) = mass_loss(&leader.view, &silent, time) {
                self.propose(lead, Asker::Brake, Kind::HoldLost(held), OWN);
            }
            self.propose(lead, Asker::Liveness, Kind::NodeLiveness(ended), OWN);
        }
        self.run_rules(lead);
        self.schedule_all(lead);
    }

    fn run_rules(&mut self, lead: Lead) {
        let now = self.server_time(lead.server);
        for (at, rule) in RULES.into_iter().enumerate() {
            let Some(leader) = self.leader(lead) else { return };
            let duty = &mut leader.rules[at];
            let due = duty.look || duty.wake_at.is_some_and(|wake_at| wake_at <= now);
            if duty.in_flight || !due {
                continue;
            }
            let Step { proposals, wake_at } = rule.decide(&leader.view, now);
            *duty = Duty { in_flight: !proposals.is_empty(), wake_at, look: false };
            for kind in proposals {
                self.propose(lead, Asker::Rule(at), kind, OWN);
            }
        }
    }

    /// Decides on all jobs that are dirty, until a plan is in flight.
    fn schedule_all(&mut self, lead: Lead) {
        let now = self.server_time(lead.server);
        loop {
            let Some(leader) = self.leader(lead) else { return };
            let (Some(reign), None) = (leader.reign, &leader.plan) else { return };
            let (dirty, gained) = (std::mem::take(&mut leader.dirty), std::mem::take(&mut leader.gained));
            leader.desk.take_in(&leader.view, dirty, gained, now);
            leader.desk.ring(&leader.view, now, &mut leader.memory);
            let jobs = leader.desk.take(JOBS_PER_DECISION);
            if jobs.is_empty() {
                return;
            }
            let decision = schedule_with(&leader.view, &jobs, now, &mut leader.memory);
            leader.desk.settle(&jobs, &decision);
            if decision.plan.is_empty() {
                leader.desk.note_refusals(&jobs, &BTreeSet::new());
                continue;
            }
            leader.seq += 1;
            let seq = leader.seq;
            leader.plan = Some((seq, jobs));
            let plan = Plan { reign, seq, ..decision.plan };
            self.propose(lead, Asker::Plan(seq), Kind::ApplyPlan(plan), OWN);
        }
    }

    fn plan_answered(&mut self, lead: Lead, seq: u64, outcome: Option<Outcome>) {
        let Some(leader) = self.leader(lead) else { return };
        // Not known: it is waited for, see `wake`.
        let Some(outcome) = outcome else { return };
        let Some((_, jobs)) = leader.plan.take_if(|(waiting, _)| *waiting == seq) else { return };
        match outcome {
            Outcome::Planned { refused } => {
                let refused = refused.into_iter().map(|run| run.job).collect();
                leader.desk.note_refusals(&jobs, &refused);
            }
            _ => leader.dirty.extend(jobs),
        }
        if !std::mem::replace(&mut leader.waking, true) {
            self.queue.at(self.now + 1, Event::Wake(lead));
        }
    }
}
