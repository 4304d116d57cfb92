//! Servers: who leads, the loops of a leader, and what happens when it is one no more. The loops drive the shipped decisions
//! as `server::leader` does.

use std::collections::{BTreeMap, BTreeSet};

use proto::ids::{Incarnation, JobKey, NodeId, Reign, RequestId, ServerId};
use server::core::rules::liveness::Leases;
use server::core::rules::{Collect, Draining, Health, Rule, Step};
use server::core::scheduler::{Memory, schedule_with};
use server::core::state::{Changes, Kind, Outcome, Plan, Settings, State};
use server::leader::desk::Desk;

use crate::clients::some_settings;
use crate::event::{Event, Lead};
use crate::log::{Asker, bytes_of};
use crate::planted::Bug;
use crate::sessions::Session;
use crate::sim::{Sim, say};

/// The rules that a leader drives, beside leases and the scheduler.
const RULES: [&dyn Rule; 3] = [&Health, &Collect, &Draining];
const OWN: RequestId = RequestId(0);
const JOBS_PER_DECISION: usize = 4;

/// One server.
pub struct Server {
    pub up: bool,
    pub boot: u64,
    /// How far its clock is ahead, in milliseconds.
    pub skew: u64,
    pub leader: Option<Leader>,
}

/// A server that leads, or believes so.
pub struct Leader {
    pub lead: Lead,
    /// What it knows; stays as it is once it does not lead any more.
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

impl Server {
    pub fn new(skew: u64) -> Self {
        Self { up: true, boot: 0, skew, leader: None }
    }
}

impl Leader {
    fn new(lead: Lead, view: State) -> Self {
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

    /// Returns the reign that the view shows, if it is this leader's.
    fn own_reign(&self) -> Option<Reign> {
        let record = self.view.reign?;
        let own = record.server == server_id(self.lead.server) && record.boot_nonce == self.lead.term;
        own.then_some(record.reign)
    }
}

fn server_id(server: usize) -> ServerId {
    ServerId(server as u64 + 1)
}

impl Sim {
    /// A server is elected; who led before learns of it later.
    pub fn elect(&mut self) {
        let up: Vec<usize> = (0..self.servers.len()).filter(|at| self.servers[*at].up).collect();
        if up.len() < 2 {
            self.queue.at(self.now + 500, Event::Elect);
            return;
        }
        if let Some(old) = self.leading.take() {
            let after = if self.calm { 0 } else { self.dice.faults.below(5000) };
            self.queue.at(self.now + after, Event::Depose(old));
        }
        self.settle_predecessor();
        let server = *self.dice.faults.pick(&up);
        self.term += 1;
        let lead = Lead { server, term: self.term };
        if let Some(before) = self.servers[server].leader.as_ref().map(|leader| leader.lead) {
            self.depose(before);
        }
        say!(self, "server {server} is elected, term {}", self.term);
        self.leading = Some(lead);
        self.servers[server].leader = Some(Leader::new(lead, self.state.clone()));
        self.begin_reign(lead);
        self.queue.at(self.now + 100, Event::Tick(lead));
    }

    fn begin_reign(&mut self, lead: Lead) {
        let incarnation = Incarnation(0xabc0_0000 + self.seed);
        let kind = Kind::BeginReign { server: server_id(lead.server), boot_nonce: lead.term, incarnation };
        self.propose(lead, Asker::Reign, kind, OWN);
    }

    /// A server learns that it does not lead any more: its loops and sessions end.
    pub fn depose(&mut self, lead: Lead) {
        if self.leader(lead).is_none() {
            return;
        }
        say!(self, "server {} learns that term {} is over", lead.server, lead.term);
        self.close_sessions(lead);
        self.servers[lead.server].leader = None;
    }

    fn close_sessions(&mut self, lead: Lead) {
        let Some(leader) = self.leader(lead) else { return };
        let sessions = std::mem::take(&mut leader.sessions);
        for conn in sessions.into_keys() {
            self.close_by_server(conn);
        }
    }

    /// A server's process is killed.
    pub fn crash_server(&mut self, server: usize) {
        say!(self, "server {server} is killed");
        let one = &mut self.servers[server];
        (one.up, one.leader) = (false, None);
        one.boot += 1;
        if self.leading.is_some_and(|lead| lead.server == server) {
            self.leading = None;
            self.queue.at(self.now + self.dice.faults.within(600, 2500), Event::Elect);
        }
        self.queue.at(self.now + self.dice.faults.within(500, 6000), Event::ServerUp(server));
    }

    /// A server's process begins: it reads its snapshot and its log, and has what the others have.
    pub fn server_up(&mut self, server: usize) {
        say!(self, "server {server} starts");
        self.servers[server].up = true;
        let rebuilt = self.rebuild();
        if self.bug.shows_in_rebuilt_state() {
            self.state = rebuilt;
        } else if self.bug == Bug::None && bytes_of(&rebuilt) != bytes_of(&self.state) {
            self.break_law("i6_determinism", format!("server {server} rebuilt another state from its disk"));
        }
    }

    /// Who leads sees what was applied.
    pub fn publish(&mut self, changes: Changes) {
        let Some(lead) = self.leading else { return };
        let view = self.state.clone();
        let Some(leader) = self.leader(lead) else { return };
        leader.view = view;
        leader.changes.absorb(changes);
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
        let Some(leader) = self.leader(lead) else { return };
        leader.waking = false;
        let Some(reign) = leader.reign else { return };
        if leader.view.reign.map(|record| record.reign) != Some(reign) {
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
        let Some(leader) = self.leader(lead).filter(|leader| leader.reign.is_some()) else { return };
        let ended = leader.leases.as_mut().map(|leases| leases.decide(&leader.view, now)).unwrap_or_default();
        if !ended.is_empty() && !leader.losing {
            leader.losing = true;
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
