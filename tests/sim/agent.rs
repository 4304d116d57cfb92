//! An agent: how it begins with what it finds on its machine, and its side of the control stream. What an allocation does is in
//! `alloc.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use client::allocs::outbox::Outbox;
use client::allocs::reattach;
use client::core::assignments::{
    self, Action, Decision, Order, Wanted, complete_from_wire, increment_from_wire,
};
use client::driver::{AttemptId, Known, KnownState};
use client::session::route::Route;
use client::store::record::Record;
use proto::ids::{AllocId, Incarnation, Revision};
use proto::model::{AllocState, AllocStatus, Resources};
use proto::wire::v1::server_message;

use crate::alloc::Alloc;
use crate::event::{Agent, Attempt, Event};
use crate::network::Up;
use crate::sim::{Sim, say};

const TICK: u64 = 200;
const HEARTBEAT: u64 = 1000;
/// Without an answer for so long an agent looks for another server.
const SILENCE: u64 = 4000;
const ASK_COMPLETE: u64 = 2000;

/// An agent's process.
pub struct Life {
    pub life: u64,
    pub allocs: BTreeMap<AllocId, Alloc>,
    pub outbox: Outbox,
    pub conn: Option<u64>,
    /// Its process stands still until then.
    pub frozen_until: u64,
    pub route: Route,
    registered: bool,
    base: Option<Revision>,
    /// False after a reboot until a complete set has arrived.
    pub gate: bool,
    heard_at: u64,
    beat_at: u64,
    asked_at: u64,
    batch: u64,
}

impl Life {
    fn new(life: u64, gate: bool, route: Route) -> Self {
        Self {
            life,
            allocs: BTreeMap::new(),
            outbox: Outbox::default(),
            conn: None,
            frozen_until: 0,
            route,
            registered: false,
            base: None,
            gate,
            heard_at: 0,
            beat_at: 0,
            asked_at: 0,
            batch: 0,
        }
    }
}

impl Sim {
    /// An agent's process begins, and finds what runs.
    pub fn agent_up(&mut self, at: usize) {
        let now = self.machine_time(at);
        let machine = &mut self.machines[at];
        if !machine.powered || machine.agent.is_some() {
            return;
        }
        machine.lives += 1;
        let agent = Agent { machine: at, life: machine.lives };
        let boot_id = machine.boot_id();
        let known: BTreeMap<AttemptId, Known> = machine
            .processes
            .iter()
            .filter(|(_, process)| process.ended.is_none())
            .map(|(attempt, process)| {
                let id =
                    AttemptId { alloc: attempt.alloc.0, task: attempt.task.clone(), attempt: attempt.number };
                let state = KnownState::Running { stopping: process.stopping };
                let started_at_ms = now.wall.0 - (now.boot.0 - process.started_boot);
                (id.clone(), Known { id, pid: process.pid, started_at_ms, state })
            })
            .collect();
        let ended: Vec<Attempt> = machine
            .processes
            .iter()
            .filter(|(_, process)| process.ended.is_some())
            .map(|(attempt, _)| attempt.clone())
            .collect();
        let mut gate = true;
        let mut found = Vec::new();
        for stored in machine.disk.records.values() {
            let mut record = Record::decode(&stored.encode()).expect("a record that was written can be read");
            assert_eq!(record, *stored, "a record reads as it was written");
            gate &= !record.adopt_boot(&boot_id, now.boot);
            let mut known = known.clone();
            for attempt in ended.iter().filter(|attempt| attempt.alloc == record.id) {
                let id =
                    AttemptId { alloc: attempt.alloc.0, task: attempt.task.clone(), attempt: attempt.number };
                let end = Box::new(crate::driver::ended_of(attempt, &machine.processes[attempt]));
                known.insert(
                    id.clone(),
                    Known { id, pid: 0, started_at_ms: 0, state: KnownState::Ended(end) },
                );
            }
            let events = reattach::events(&record, &known);
            found.push((record, events));
        }
        machine.agent = Some(Life::new(agent.life, gate, machine.route()));
        say!(self, "agent of n{at} starts with {} records, gate open: {gate}", found.len());
        for attempt in ended {
            let at = self.now + self.dice.work.within(1, 50);
            self.queue.at(at, Event::Driver(agent, crate::event::DriverNews::Ended(attempt)));
        }
        for (record, events) in found {
            if !self.begin_alloc(agent, record, events) {
                return;
            }
        }
        self.queue.at(self.now + 1, Event::Dial(agent));
        self.queue.at(self.now + TICK, Event::AgentTick(agent));
    }

    /// The agent that is meant, if it still lives.
    pub fn agent(&mut self, agent: Agent) -> Option<&mut Life> {
        self.machines[agent.machine].agent.as_mut().filter(|one| one.life == agent.life)
    }

    /// Kills an agent's process; its tasks go on.
    pub fn crash_agent(&mut self, machine: usize) {
        let Some(agent) = self.machines[machine].agent.take() else { return };
        say!(self, "agent of n{machine} is killed");
        if let Some(conn) = agent.conn {
            self.close_by_agent(conn);
        }
        // Requests that the driver has not read die with the connection, or it has read them just before.
        let life = agent.life;
        for (id, alloc) in agent.allocs {
            for (task, number) in alloc.unread {
                if self.dice.faults.chance(500) {
                    let attempt = Attempt { alloc: id, task, number };
                    self.driver_start(Agent { machine, life }, attempt);
                }
            }
        }
        let after = if self.calm { 100 } else { self.dice.faults.within(50, 5000) };
        self.queue.at(self.now + after, Event::AgentUp(machine));
    }

    /// An agent looks for a server.
    pub fn dial(&mut self, agent: Agent) {
        let Some(one) = self.agent(agent) else { return };
        if one.conn.is_some() {
            return;
        }
        let random = self.dice.net.next();
        let Some(one) = self.agent(agent) else { return };
        let (server, pause) = one.route.next(random).expect("there is a server");
        let server = server.parse().expect("servers are numbered");
        self.queue.at(self.now + 1 + pause.as_millis() as u64, Event::Knock(agent, server));
    }

    /// An agent opens a stream to a server, if that answers.
    pub fn knock(&mut self, agent: Agent, server: usize) {
        let machine = &self.machines[agent.machine];
        let reached =
            self.servers[server].up && !machine.is_cut(server, true) && !machine.is_cut(server, false);
        let Some(one) = self.agent(agent) else { return };
        if one.conn.is_some() {
            return;
        }
        if !reached {
            one.route.failed();
            self.queue.at(self.now + self.dice.net.within(2, 400), Event::Dial(agent));
            return;
        }
        let conn = self.connect(agent, server);
        let now = self.now;
        let Some(one) = self.agent(agent) else { return };
        (one.conn, one.registered, one.base) = (Some(conn), false, None);
        (one.heard_at, one.asked_at) = (now, now);
        self.send_up(conn, Up::Open);
    }

    /// A server has said hello: the agent says who it is and what it has.
    fn register(&mut self, agent: Agent, seen: u64) {
        let identity = self.machines[agent.machine].identity();
        let Some(one) = self.agent(agent) else { return };
        let Some(conn) = one.conn else { return };
        let held: Vec<(Incarnation, AllocStatus, Resources)> = one
            .allocs
            .values()
            .filter(|alloc| alloc.record.released_at.is_none())
            .filter_map(|alloc| {
                let status = alloc.reported.clone()?;
                Some((alloc.record.incarnation, status, alloc.record.spec.group.resources()))
            })
            .collect();
        self.send_up(conn, Up::Register(Box::new(identity), held, seen));
    }

    /// An agent closes its stream and looks for another server: the one that was named, if any.
    pub fn hang_up(&mut self, agent: Agent, leader: Option<&str>) {
        let Some(one) = self.agent(agent) else { return };
        match leader {
            Some(leader) => one.route.redirected(leader),
            None => one.route.failed(),
        }
        if let Some(conn) = one.conn.take() {
            self.close_by_agent(conn);
        }
        self.queue.at(self.now + self.dice.net.within(1, 20), Event::Dial(agent));
    }

    /// What an agent does because time has passed.
    pub fn agent_tick(&mut self, agent: Agent) {
        let now = self.now;
        let clock = self.machine_time(agent.machine);
        if self.agent(agent).is_none() {
            return;
        }
        self.queue.at(now + TICK, Event::AgentTick(agent));
        self.ring_timers(agent, clock.boot);
        let Some(one) = self.agent(agent) else { return };
        let Some(conn) = one.conn else { return };
        if now - one.heard_at > SILENCE {
            self.hang_up(agent, None);
            return;
        }
        if !one.registered {
            return;
        }
        if now - one.beat_at >= HEARTBEAT {
            one.beat_at = now;
            self.send_up(conn, Up::Heartbeat);
        }
        let Some(one) = self.agent(agent) else { return };
        if one.base.is_none() && now - one.asked_at > ASK_COMPLETE {
            one.asked_at = now;
            self.send_up(conn, Up::NeedComplete);
        }
        self.send_reports(agent);
    }

    /// Sends what servers have not learned.
    pub fn send_reports(&mut self, agent: Agent) {
        let clock = self.machine_time(agent.machine);
        let Some(one) = self.agent(agent) else { return };
        let (Some(conn), true) = (one.conn, one.registered) else { return };
        if let Some(batch) = one.outbox.take(one.batch + 1, clock.boot) {
            one.batch += 1;
            self.send_up(conn, Up::Status(batch));
        }
    }

    /// A message of a server arrives, over a stream that may be an older one.
    pub fn handle_down(&mut self, agent: Agent, conn: u64, message: server_message::Kind) {
        use server_message::Kind;
        let now = self.now;
        let server = self.conns[&conn].server;
        let Some(one) = self.agent(agent) else { return };
        if one.conn == Some(conn) {
            one.heard_at = now;
        }
        match message {
            Kind::Hello(hello) => self.register(agent, hello.revision),
            Kind::Registered(hello) => {
                let previous = Some(Incarnation(hello.previous_incarnation)).filter(|id| id.0 != 0);
                let theirs =
                    assignments::position_from_wire(hello.position).expect("servers have a position");
                self.laws.reigns.told(agent.machine, theirs);
                let newest = self.machines[agent.machine].disk.position;
                match assignments::greet(newest, theirs, previous) {
                    Ok(position) => self.machines[agent.machine].disk.position = Some(position),
                    Err(foreign) => {
                        self.break_law("i5_absence", format!("n{} was sent away: {foreign}", agent.machine));
                        return;
                    }
                }
                let Some(one) = self.agent(agent) else { return };
                one.registered = true;
                one.route.succeeded(&server.to_string(), Duration::from_millis(hello.node_timeout_ms));
                one.outbox.begin_session();
                // Torn between the answer and what is wanted, which comes late or never.
                if !self.calm && self.dice.net.chance(80) {
                    self.hang_up(agent, None);
                }
            }
            Kind::Complete(set) => {
                let wanted = complete_from_wire(set).expect("a set can be read");
                self.follow(agent, server, wanted);
            }
            Kind::Increment(increment) => {
                let wanted = increment_from_wire(increment).expect("an increment can be read");
                self.follow(agent, server, wanted);
            }
            Kind::StatusAck(ack) => one.outbox.acknowledge(ack.batch),
            Kind::Redirect(redirect) => self.hang_up(agent, Some(&redirect.leader)),
            // No job of the simulation has a fence.
            Kind::FenceAck(_) => {}
            Kind::HeartbeatAck(_) | Kind::OpenLogs(_) | Kind::OpenExec(_) | Kind::Ask(_) => {}
        }
    }

    fn follow(&mut self, agent: Agent, server: usize, wanted: Wanted) {
        let machine = agent.machine;
        let Some(newest) = self.machines[machine].disk.position else { return };
        let Some(one) = self.agent(agent) else { return };
        let (position, completes) = (wanted.position, wanted.completes());
        let is_complete = wanted.base.is_none();
        let held: BTreeMap<AllocId, assignments::Held> = one
            .allocs
            .iter()
            .map(|(id, alloc)| {
                let spec = Arc::new(alloc.record.spec.clone());
                (*id, assignments::Held { spec, has_ended: alloc.record.state.has_ended() })
            })
            .collect();
        let ordered: BTreeSet<AllocId> =
            wanted.orders.iter().filter(|(_, order)| **order == Order::Stop).map(|(id, _)| *id).collect();
        let named: BTreeSet<AllocId> = wanted.orders.keys().chain(&wanted.released).copied().collect();
        let base = one.base;
        let believed = self.bug.newest(newest, position);
        let mut decision = assignments::decide(believed, base, &held, wanted);
        if completes {
            self.bug.absent_are_stopped(&mut decision, &held, &named);
        }
        let Some(one) = self.agent(agent) else { return };
        let actions = match decision {
            Decision::Follow(actions) => actions,
            Decision::Duplicate | Decision::Ignore => return,
            Decision::AskComplete => {
                let had_base = one.base.take().is_some();
                let conn = one.conn;
                if let (Some(conn), true, false) = (conn, had_base, is_complete) {
                    self.send_up(conn, Up::NeedComplete);
                }
                return;
            }
        };
        one.base = Some(position.revision);
        if let Err(broken) = self.laws.reigns.follow(machine, server, position) {
            self.break_law(broken.law, broken.what);
        }
        self.laws.reigns.told(machine, position);
        self.machines[machine].disk.position = Some(position);
        if !self.calm && self.dice.faults.chance(3) {
            // Killed between the position and what it orders.
            self.crash_agent(machine);
            return;
        }
        for action in actions {
            if let Action::Stop(id) = action {
                let verdict =
                    self.laws.absence.stop(&self.state, id, ordered.contains(&id), position, newest);
                if let Err(broken) = verdict {
                    self.break_law(broken.law, broken.what);
                }
            }
            if !self.act(agent, action, position.incarnation) {
                return;
            }
        }
        if completes {
            self.open_gate(agent);
        }
        self.send_reports(agent);
    }

    /// Returns false when the agent was killed meanwhile.
    fn act(&mut self, agent: Agent, action: Action, incarnation: Incarnation) -> bool {
        let boot_id = self.machines[agent.machine].boot_id();
        match action {
            Action::Start(id, spec) => {
                say!(self, "n{} begins alloc {}", agent.machine, id.0);
                let record = Record::new(id, incarnation, *spec, boot_id);
                self.begin_alloc(agent, record, Vec::new())
            }
            Action::Update(id, spec) => self.update_alloc(agent, id, &spec),
            Action::Stop(id) => {
                say!(self, "n{} is told to stop alloc {}", agent.machine, id.0);
                self.stop_alloc(agent, id)
            }
            Action::Release(id) => {
                self.release_alloc(agent, id);
                true
            }
            Action::ReportAbsent(id) => {
                self.end_leftovers(agent, id);
                true
            }
            Action::ReportUnreadable(id, fault) => {
                self.break_law("i5_absence", format!("alloc {} cannot be read: {fault}", id.0));
                true
            }
            Action::KeepConflicting(id) => {
                let what = format!("alloc {} is ordered on n{} for another slot", id.0, agent.machine);
                self.break_law("never_twice", what);
                true
            }
        }
    }

    /// What runs without a record is ended by order of servers.
    fn end_leftovers(&mut self, agent: Agent, id: AllocId) {
        let processes = &self.machines[agent.machine].processes;
        let left: Vec<Attempt> = processes
            .iter()
            .filter(|(attempt, process)| attempt.alloc == id && process.ended.is_none())
            .map(|(attempt, _)| attempt.clone())
            .collect();
        for attempt in &left {
            self.driver_stop(agent, attempt);
        }
        let Some(one) = self.agent(agent) else { return };
        if left.is_empty() {
            one.outbox.put(AllocStatus { id, seq: 1, state: AllocState::Stopped, tasks: Vec::new() });
        } else {
            // Looked at again with the next complete set.
            one.base = None;
        }
    }
}
