//! Connections between agents and servers: ordered, delayed, held up while a machine is cut off, and sometimes torn.
//!
//! What was sent before a connection was closed still arrives: the other side learns of the end last, or never.

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
        };
        self.conns.insert(id, conn);
        id
    }

    /// Sends to the server.
    pub fn send_up(&mut self, id: u64, message: Up) {
        let delay = self.delay();
        let double = !self.calm && matches!(message, Up::Status(_)) && self.dice.net.chance(30);
        let Some(conn) = self.conns.get_mut(&id).filter(|conn| conn.agent_open) else { return };
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
        let Some(conn) = self.conns.get_mut(&id).filter(|conn| conn.server_open) else { return };
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
        self.send_down(id, server_message::Kind::Redirect(v1::Redirect::default()));
        if let Some(conn) = self.conns.get_mut(&id) {
            conn.server_open = false;
        }
    }

    /// The oldest message of one direction arrives.
    pub fn deliver(&mut self, id: u64, up: bool) {
        let Some(conn) = self.conns.get_mut(&id) else { return };
        let machine = &self.machines[conn.agent.machine];
        if machine.cut || (up && !machine.powered) {
            self.queue.at(self.now + 300, Event::Deliver(id, up));
            return;
        }
        // What a kernel has still to send of a connection that its program has closed comes late, a registration that was
        // overtaken by a newer one among it.
        if up && !conn.agent_open && !self.calm && self.dice.net.chance(400) {
            self.queue.at(self.now + self.dice.net.within(500, 4000), Event::Deliver(id, up));
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
            let current =
                machine.agent.as_ref().is_some_and(|one| one.life == agent.life && one.conn == Some(id));
            if conn.agent_open && current {
                self.handle_down(agent, message);
            }
        }
    }
}
