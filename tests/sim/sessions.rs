//! A server's side of control streams, as `server::agents` has it, around the shipped wanted set.

use std::collections::BTreeMap;

use proto::ids::{AllocId, Generation, Incarnation, NodeId, RequestId, Revision};
use proto::model::{AllocStatus, Liveness};
use proto::wire::{status, v1, v1::server_message};
use server::agents::session::message;
use server::agents::wanted::Wanted;
use server::core::state::{Kind, Outcome, Touched, Touches};

use crate::event::Lead;
use crate::log::Asker;
use crate::network::Up;
use crate::sim::{Sim, say};

/// An agent that is connected.
pub struct Session {
    pub node: NodeId,
    /// None while its registration is on its way.
    generation: Option<Generation>,
    held: Vec<(Incarnation, AllocStatus)>,
    wanted: Option<Wanted>,
    base: Revision,
    gathered: BTreeMap<AllocId, AllocStatus>,
    acks: Vec<u64>,
    in_flight: Option<Vec<u64>>,
}

impl Sim {
    /// A message of an agent arrives.
    pub fn handle_up(&mut self, conn: u64, message: Up) {
        let server = self.conns[&conn].server;
        let lead = self.servers[server].leader.as_ref().filter(|leader| leader.reign.is_some());
        let opens = matches!(message, Up::Open);
        let lead = lead.filter(|leader| leader.reigns() || !opens);
        let Some(lead) = lead.map(|leader| leader.lead) else {
            let leader = self.servers[server].heard.filter(|lead| lead.server != server);
            self.send_away(conn, leader.map_or_else(String::new, |lead| lead.server.to_string()));
            return;
        };
        match message {
            Up::Open => {
                let revision = self.leader(lead).map_or(0, |leader| leader.view.revision.0);
                self.send_down(conn, server_message::Kind::Hello(v1::Hello { revision }));
            }
            Up::Register(identity, held, seen) => {
                let session = Session {
                    node: identity.id,
                    generation: None,
                    held: held.iter().map(|(of, status, _)| (*of, status.clone())).collect(),
                    wanted: None,
                    base: Revision(0),
                    gathered: BTreeMap::new(),
                    acks: Vec::new(),
                    in_flight: None,
                };
                if let Some(leader) = self.leader(lead) {
                    leader.sessions.insert(conn, session);
                }
                let kind = Kind::RegisterNode { identity: *identity, held, seen: Some(Revision(seen)) };
                self.propose(lead, Asker::Register(conn), kind, RequestId(0));
            }
            Up::Heartbeat => self.heartbeat(lead, conn),
            Up::Status(batch) => self.take_in(lead, conn, batch),
            Up::NeedComplete => {
                if let Some(wanted) = self.session(lead, conn).and_then(|one| one.wanted.as_mut()) {
                    wanted.start_over();
                }
                self.tell_everything(lead, conn);
            }
            Up::Closed => {
                if let Some(leader) = self.leader(lead) {
                    leader.sessions.remove(&conn);
                }
            }
        }
    }

    fn session(&mut self, lead: Lead, conn: u64) -> Option<&mut Session> {
        self.leader(lead)?.sessions.get_mut(&conn)
    }

    fn end_session(&mut self, lead: Lead, conn: u64, why: &str) {
        say!(self, "server {} ends session {conn}: {why}", lead.server);
        if let Some(leader) = self.leader(lead) {
            leader.sessions.remove(&conn);
        }
        self.close_by_server(conn);
    }

    pub fn register_answered(&mut self, lead: Lead, conn: u64, outcome: Option<Outcome>) {
        let now = self.server_boottime(lead.server);
        let Some(Outcome::Registered { generation }) = outcome else {
            self.end_session(lead, conn, "it could not register");
            return;
        };
        let Some(leader) = self.leader(lead) else { return };
        let Some(node) = leader.sessions.get(&conn).map(|session| session.node) else { return };
        let others: Vec<(u64, Option<Generation>)> = leader
            .sessions
            .iter()
            .filter(|(id, one)| **id != conn && one.node == node)
            .map(|(id, one)| (*id, one.generation))
            .collect();
        if others.iter().any(|(_, other)| *other > Some(generation)) {
            self.end_session(lead, conn, "a newer session has begun");
            return;
        }
        let timeout = leader.view.settings.node_timeout;
        if let Some(leases) = &mut leader.leases {
            leases.renew(node, generation, now, timeout);
        }
        let incarnation = leader.view.incarnation;
        let Some(session) = leader.sessions.get_mut(&conn) else { return };
        session.generation = Some(generation);
        let held = session.held.iter().map(|(of, status)| (*of, status));
        session.wanted = Some(Wanted::new(node, incarnation, held));
        session.base = leader.view.revision;
        let hello = v1::Registered {
            position: Some(message::position(&leader.view)),
            previous_incarnation: leader.view.previous_incarnation.map_or(0, |id| id.0),
            heartbeat_ms: 1000,
            node_timeout_ms: timeout.as_millis() as u64,
        };
        for (other, _) in others.iter().filter(|(_, generation)| generation.is_some()) {
            self.end_session(lead, *other, "a newer session has begun");
        }
        self.send_down(conn, server_message::Kind::Registered(hello));
        self.tell_everything(lead, conn);
    }

    /// Makes sure that the state still knows a session; ends it otherwise.
    fn is_current(&mut self, lead: Lead, conn: u64) -> bool {
        let outlives = self.bug.sessions_outlive_reigns();
        let Some(leader) = self.leader(lead) else { return false };
        if !leader.reigns() && !outlives {
            self.end_session(lead, conn, "another reign has begun");
            return false;
        }
        let Some(session) = leader.sessions.get(&conn) else { return false };
        let Some(generation) = session.generation else { return false };
        let node = leader.view.nodes.get(&session.node);
        if node.is_some_and(|node| node.generation == generation && node.liveness == Liveness::Up) {
            return true;
        }
        self.end_session(lead, conn, "the node was lost or registered again");
        false
    }

    fn heartbeat(&mut self, lead: Lead, conn: u64) {
        if !self.is_current(lead, conn) {
            return;
        }
        let now = self.server_boottime(lead.server);
        let Some(leader) = self.leader(lead) else { return };
        let session = &leader.sessions[&conn];
        let timeout = leader.view.settings.node_timeout;
        if let (Some(leases), Some(generation)) = (&mut leader.leases, session.generation) {
            leases.renew(session.node, generation, now, timeout);
        }
        self.send_down(conn, server_message::Kind::HeartbeatAck(v1::HeartbeatAck::default()));
    }

    fn take_in(&mut self, lead: Lead, conn: u64, batch: v1::StatusBatch) {
        let Some(session) = self.session(lead, conn) else { return };
        for one in batch.statuses {
            let status = status::from_wire(one).expect("an agent's report can be read");
            if let Some(wanted) = &mut session.wanted {
                wanted.reported(status.id, status.state.has_ended());
            }
            session.gathered.insert(status.id, status);
        }
        session.acks.push(batch.batch);
        self.hand_on(lead, conn);
    }

    fn hand_on(&mut self, lead: Lead, conn: u64) {
        let Some(session) = self.session(lead, conn) else { return };
        let Some(generation) = session.generation else { return };
        if session.in_flight.is_some() || session.acks.is_empty() {
            return;
        }
        let node = session.node;
        session.in_flight = Some(std::mem::take(&mut session.acks));
        let statuses = std::mem::take(&mut session.gathered).into_values().collect();
        let kind = Kind::AllocStatus { node, generation, statuses };
        self.propose(lead, Asker::Status(conn), kind, RequestId(0));
    }

    pub fn status_answered(&mut self, lead: Lead, conn: u64, outcome: Option<Outcome>) {
        let Some(session) = self.session(lead, conn) else { return };
        let batches = session.in_flight.take().unwrap_or_default();
        match outcome {
            Some(Outcome::Refused(_)) => self.end_session(lead, conn, "its reports are refused"),
            // The agent sends again what is not acknowledged.
            None => self.hand_on(lead, conn),
            Some(_) => {
                for batch in batches {
                    self.send_down(conn, server_message::Kind::StatusAck(v1::StatusAck { batch }));
                }
                self.hand_on(lead, conn);
            }
        }
    }

    /// Sessions of nodes for which something changed are told.
    pub fn tell_sessions(&mut self, lead: Lead, touches: Touches) {
        let Some(leader) = self.leader(lead) else { return };
        let touches: BTreeMap<NodeId, Touched> = touches.into_iter().collect();
        let of = |one: &Session| touches.get(&one.node).cloned();
        let sessions = leader.sessions.iter().filter_map(|(conn, one)| Some((*conn, of(one)?)));
        for (conn, touched) in sessions.collect::<Vec<_>>() {
            self.tell(lead, conn, &touched);
        }
    }

    fn tell(&mut self, lead: Lead, conn: u64, touched: &Touched) {
        if !self.is_current(lead, conn) {
            return;
        }
        let Some(leader) = self.leader(lead) else { return };
        let Some(session) = leader.sessions.get_mut(&conn) else { return };
        if leader.view.revision <= session.base {
            return;
        }
        let Some(wanted) = &mut session.wanted else { return };
        let delta = wanted.diff_touched(&leader.view, touched);
        // What the agent has said is known here before it is in the state, which touches it then.
        if session.in_flight.is_none() && session.gathered.is_empty() {
            let missed = wanted.clone().diff(&leader.view);
            assert!(missed.is_empty(), "what was touched of {:?} is not all: {missed:?}", session.node);
        }
        if delta.is_empty() {
            return;
        }
        let base = std::mem::replace(&mut session.base, leader.view.revision);
        for kind in message::increment(&leader.view, base, delta) {
            self.send_down(conn, kind);
        }
    }

    fn tell_everything(&mut self, lead: Lead, conn: u64) {
        if !self.is_current(lead, conn) {
            return;
        }
        let Some(leader) = self.leader(lead) else { return };
        let Some(session) = leader.sessions.get_mut(&conn) else { return };
        let Some(wanted) = &mut session.wanted else { return };
        let delta = wanted.diff(&leader.view);
        session.base = leader.view.revision;
        for kind in message::complete(&leader.view, delta) {
            for part in self.cut(kind) {
                self.send_down(conn, part);
            }
        }
    }

    /// Sometimes cuts a set in two, as the shipped code does with large ones: any part of a set is a set.
    fn cut(&mut self, kind: server_message::Kind) -> Vec<server_message::Kind> {
        match kind {
            server_message::Kind::Complete(mut set)
                if set.assignments.len() > 1 && self.dice.net.chance(300) =>
            {
                let rest = set.assignments.split_off(set.assignments.len() / 2);
                let second = v1::CompleteSet { assignments: rest, released: Vec::new(), ..set.clone() };
                set.more = true;
                [set, second].map(server_message::Kind::Complete).into()
            }
            whole => vec![whole],
        }
    }
}
