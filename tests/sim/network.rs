//! Connections between agents and servers: ordered, delayed, held up while a machine is cut off, and sometimes torn.
//!
//! A connection loses nothing in its middle. What was sent before it was closed may still arrive, late, beside what a newer one brings;
//! or its end is lost, and with it that it has ended.

use std::collections::VecDeque;

use proto::ids::Incarnation;
use proto::model::{AllocStatus, NodeIdentity, Resources};
use proto::wire::v1::{self, server_message};

use crate::event::{Agent, Event};
use crate::sim::Sim;

/// One control stream.
pub struct Conn {
    pub agent: Agent,
    pub server: usize,
    server_boot: u64,
    up: VecDeque<Up>,
    down: VecDeque<server_message::Kind>,
    up_free: u64,
    down_free: u64,
    pub agent_open: bool,
    server_open: bool,
    /// Nothing that is sent from here on arrives, but maybe its end.
    torn: bool,
}

/// From an agent.
#[derive(Clone)]
pub enum Up {
    Open,
    /// Who it is, what it has, and the revision of the greeting.
    Register(Box<NodeIdentity>, Vec<(Incarnation, AllocStatus, Resources)>, u64),
    Heartbeat,
    Status(v1::StatusBatch),
    NeedComplete,
    Closed,
}

impl Sim {
    /// Opens a connection.
    pub fn connect(&mut self, agent: Agent, server: usize) -> u64 {
        let id = self.conns.last_key_value().map_or(1, |(id, _)| id + 1);
        let conn = Conn {
            agent,
            server,
            server_boot: self.servers[server].boot,
            up: VecDeque::new(),
            down: VecDeque::new(),
            up_free: 0,
            down_free: 0,
            agent_open: true,
            server_open: true,
            torn: false,
        };
        self.conns.insert(id, conn);
        id
    }

    /// Sends to the server.
    pub fn send_up(&mut self, id: u64, message: Up) {
        let delay = self.delay();
        let double = !self.calm && matches!(message, Up::Status(_)) && self.dice.net.chance(30);
        let ends = matches!(message, Up::Closed);
        let Some(conn) = self.conns.get_mut(&id).filter(|conn| conn.agent_open) else { return };
        if conn.torn && !ends {
            return;
        }
        for _ in 0..=usize::from(double) {
            conn.up.push_back(message.clone());
            conn.up_free = conn.up_free.max(self.now + delay);
            self.queue.at(conn.up_free, Event::Deliver(id, true));
        }
    }

    /// Sends to the agent.
    pub fn send_down(&mut self, id: u64, message: server_message::Kind) {
        use server_message::Kind;
        let delay = self.delay();
        let set = matches!(message, Kind::Complete(_) | Kind::Increment(_));
        let double = !self.calm && set && self.dice.net.chance(20);
        let ends = matches!(message, Kind::Redirect(_));
        let Some(conn) = self.conns.get_mut(&id).filter(|conn| conn.server_open) else { return };
        if conn.torn && !ends {
            return;
        }
        for _ in 0..=usize::from(double) {
            conn.down.push_back(message.clone());
            conn.down_free = conn.down_free.max(self.now + delay);
            self.queue.at(conn.down_free, Event::Deliver(id, false));
        }
    }

    fn delay(&mut self) -> u64 {
        let long = !self.calm && self.dice.net.chance(20);
        if long { self.dice.net.within(200, 3000) } else { self.dice.net.within(1, 20) }
    }

    /// The agent closes: what it sent before is still on its way.
    pub fn close_by_agent(&mut self, id: u64) {
        if self.dice.net.chance(700) {
            self.send_up(id, Up::Closed);
        }
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.agent_open = false;
        }
    }

    /// The server closes; the agent reads that as the last message.
    pub fn close_by_server(&mut self, id: u64) {
        self.send_away(id, String::new());
    }

    /// The server closes, and names who leads.
    pub fn send_away(&mut self, id: u64, leader: String) {
        self.send_down(id, server_message::Kind::Redirect(v1::Redirect { leader }));
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.server_open = false;
        }
    }

    /// The connection is torn: what is on its way is lost from some message on, and what follows.
    pub fn lose_end(&mut self, id: u64) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        conn.torn = true;
        conn.up.truncate(self.dice.net.below(conn.up.len() as u64 + 1) as usize);
        conn.down.truncate(self.dice.net.below(conn.down.len() as u64 + 1) as usize);
    }

    /// The oldest message of one direction arrives.
    pub fn deliver(&mut self, id: u64, up: bool) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let machine = &self.machines[conn.agent.machine];
        if machine.is_cut(conn.server, up) || (up && !machine.powered) {
            self.queue.at(self.now + 300, Event::Deliver(id, up));
            return;
        }
        // What a kernel has still to send of a connection that its program has closed comes late, a registration that was
        // overtaken by a newer one among it; and orders that an agent had read before it turned to another server.
        if !conn.agent_open && !self.calm && self.dice.net.chance(400) {
            let late = self.dice.net.within(500, if up { 4000 } else { 9000 });
            self.queue.at(self.now + late, Event::Deliver(id, up));
            return;
        }
        if up {
            let Some(message) = conn.up.pop_front() else { return };
            let server = &self.servers[conn.server];
            if server.up && server.boot == conn.server_boot && conn.server_open {
                self.handle_up(id, message);
            }
        } else {
            let Some(message) = conn.down.pop_front() else { return };
            let agent = conn.agent;
            let Some(one) = machine.agent.as_ref().filter(|one| one.life == agent.life) else { return };
            let current = conn.agent_open && one.conn == Some(id);
            let late =
                matches!(message, server_message::Kind::Complete(_) | server_message::Kind::Increment(_));
            if current || (late && !self.calm && self.dice.net.chance(500)) {
                self.handle_down(agent, id, message);
            }
        }
    }
}
