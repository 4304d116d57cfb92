//! Servers: who leads, who believes so, and who is cut off from the others. There is one history: at the log at most one server
//! leads, but who led before learns of it late, and acts on what it knows until then.

use crate::event::{Event, Lead};
use crate::leader::Leader;
use crate::replica::Replica;
use crate::sim::{Sim, say};

/// One server.
pub struct Server {
    pub up: bool,
    pub boot: u64,
    /// How far its clock is ahead, in milliseconds.
    pub skew: u64,
    /// It reaches no other server.
    pub cut: bool,
    /// Its process stands still until then.
    pub frozen_until: u64,
    /// Who leads, as far as it has heard.
    pub heard: Option<Lead>,
    pub replica: Replica,
    pub leader: Option<Leader>,
}

impl Server {
    pub fn new(skew: u64) -> Self {
        Self {
            up: true,
            boot: 0,
            skew,
            cut: false,
            frozen_until: 0,
            heard: None,
            replica: Replica::default(),
            leader: None,
        }
    }

    /// Returns whether the others hear of it.
    pub const fn takes_part(&self, now: u64) -> bool {
        self.up && !self.cut && self.frozen_until <= now
    }
}

impl Sim {
    /// A server is elected, if a majority takes part; who led before learns of it later.
    pub fn elect(&mut self) {
        let able: Vec<usize> =
            (0..self.servers.len()).filter(|at| self.servers[*at].takes_part(self.now)).collect();
        if able.len() * 2 <= self.servers.len() {
            self.queue.at(self.now + 500, Event::Elect);
            return;
        }
        let alone = self.servers.len() == 1;
        if self.leading.is_some() && (alone || self.calm) {
            return;
        }
        let old = self.leading.take();
        self.settle_predecessor();
        let server = *self.dice.faults.pick(&able);
        self.term += 1;
        let lead = Lead { server, term: self.term };
        say!(self, "server {server} is elected, term {}", self.term);
        self.leading = Some(lead);
        self.hear(server, lead);
        for other in (0..self.servers.len()).filter(|other| *other != server) {
            let hands_over = self.calm || self.dice.faults.chance(300);
            let late = old.is_some_and(|old| old.server == other) && !hands_over;
            let after = self.dice.faults.within(1, if late { 5000 } else { 100 });
            self.queue.at(self.now + after, Event::Hear(other, lead));
        }
        self.servers[server].leader = Some(Leader::new(lead, self.servers[server].replica.state.clone()));
        self.begin_reign(lead);
        self.queue.at(self.now + 100, Event::Tick(lead));
    }

    /// A server hears who leads, and that it is not the leader any more.
    pub fn hear(&mut self, server: usize, lead: Lead) {
        let one = &mut self.servers[server];
        if !one.up || one.heard.is_some_and(|heard| heard.term >= lead.term) {
            return;
        }
        if one.cut {
            self.queue.at(self.now + 300, Event::Hear(server, lead));
            return;
        }
        one.heard = Some(lead);
        if let Some(before) = one.leader.as_ref().map(|leader| leader.lead) {
            self.depose(before);
        }
    }

    /// A server's loops and sessions end.
    fn depose(&mut self, lead: Lead) {
        say!(self, "server {} learns that term {} is over", lead.server, lead.term);
        if self.bug.sessions_outlive_reigns() {
            return;
        }
        self.close_sessions(lead);
        self.servers[lead.server].leader = None;
    }

    /// A server does not reach the others for a while; agents reach it.
    pub fn cut_server(&mut self, server: usize) {
        if self.servers.len() == 1 || !self.servers[server].up {
            return;
        }
        say!(self, "server {server} is cut off from the others");
        self.servers[server].cut = true;
        self.queue.at(self.now + self.dice.faults.within(300, 12_000), Event::Rejoin(server));
        self.miss_leader(server);
    }

    /// A server reaches the others again.
    pub fn rejoin(&mut self, server: usize) {
        self.servers[server].cut = false;
    }

    /// A server's process stands still for a while, and knows nothing of it.
    pub fn freeze_server(&mut self, server: usize) {
        let until = self.now + self.dice.faults.within(300, 12_000);
        say!(self, "server {server} stands still until {until}");
        self.servers[server].frozen_until = until;
        if self.servers.len() > 1 {
            self.miss_leader(server);
        }
    }

    /// If it leads, the others will elect another one.
    fn miss_leader(&mut self, server: usize) {
        if self.leading.is_some_and(|lead| lead.server == server) {
            self.queue.at(self.now + self.dice.faults.within(600, 2500), Event::Elect);
        }
    }

    /// A server's process is killed.
    pub fn crash_server(&mut self, server: usize) {
        say!(self, "server {server} is killed");
        let one = &mut self.servers[server];
        (one.up, one.leader, one.heard, one.frozen_until) = (false, None, None, 0);
        one.boot += 1;
        if self.leading.is_some_and(|lead| lead.server == server) {
            self.leading = None;
            self.queue.at(self.now + self.dice.faults.within(600, 2500), Event::Elect);
        }
        self.queue.at(self.now + self.dice.faults.within(500, 6000), Event::ServerUp(server));
    }

    /// A server's process begins: it reads its disk, and follows.
    pub fn server_up(&mut self, server: usize) {
        let old_copy = self.servers.len() > 1 && !self.calm && self.dice.faults.chance(200);
        say!(self, "server {server} starts{}", if old_copy { " from an old copy of its disk" } else { "" });
        self.servers[server].up = true;
        self.restart_replica(server, old_copy);
        if let Some(lead) = self.leading {
            let after = self.dice.faults.within(1, 300);
            self.queue.at(self.now + after, Event::Hear(server, lead));
        }
    }

    /// Returns the server that does not yet have what all should have in the end.
    pub fn server_behind(&self) -> Option<String> {
        for (at, server) in self.servers.iter().enumerate() {
            let believes = server.leader.as_ref().map(|leader| leader.lead);
            if believes.is_some() && believes != self.leading {
                return Some(format!("server {at} still believes that it leads"));
            }
            if server.replica.applied < self.log.committed.len() {
                return Some(format!("server {at} has applied {} commands", server.replica.applied));
            }
        }
        None
    }
}
