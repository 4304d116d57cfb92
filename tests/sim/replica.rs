//! A server's copy of the state: it applies what is committed at its own pace, and after a restart begins again from its snapshot
//! and its log.

use server::core::state::{State, decode_command, read_snapshot};

use crate::event::Event;
use crate::log::bytes_of;
use crate::sim::{Sim, say};

/// Who is so many commands behind may be sent a snapshot instead.
const FAR: usize = 25;

/// What one server has applied.
#[derive(Default)]
pub struct Replica {
    pub state: State,
    /// How many commands are in it.
    pub applied: usize,
    /// The last snapshot on disk, and how many commands are in it.
    pub snapshot: Option<(usize, Vec<u8>)>,
    /// A look at the log is on its way.
    looks: bool,
}

impl Sim {
    /// Something was committed: every server will learn of it, the leader at once.
    pub fn wake_replicas(&mut self) {
        for server in 0..self.servers.len() {
            self.look_at_log(server);
        }
    }

    fn look_at_log(&mut self, server: usize) {
        let leads = self.leading.is_some_and(|lead| lead.server == server);
        let one = &mut self.servers[server];
        if !one.up || std::mem::replace(&mut one.replica.looks, true) {
            return;
        }
        let boot = one.boot;
        let lags = !leads && !self.calm && self.dice.log.chance(30);
        let after = match (leads, lags) {
            (true, _) => self.dice.log.below(3),
            (false, true) => self.dice.log.within(300, 5000),
            (false, false) => self.dice.log.within(1, 40),
        };
        self.queue.at(self.now + after, Event::CatchUp(server, boot));
    }

    /// A server applies what it has heard to be committed.
    pub fn catch_up(&mut self, server: usize, boot: u64) {
        let leads = self.leading.is_some_and(|lead| lead.server == server);
        let one = &self.servers[server];
        if !one.up || one.boot != boot {
            return;
        }
        if one.cut {
            self.queue.at(self.now + 200, Event::CatchUp(server, boot));
            return;
        }
        self.servers[server].replica.looks = false;
        if !leads && self.log.committed.len() > self.servers[server].replica.applied + FAR {
            self.install_snapshot(server);
        }
        let most = if leads || self.calm { usize::MAX } else { self.dice.log.within(1, 30) as usize };
        let behind = self.log.committed.len() - self.servers[server].replica.applied;
        for _ in 0..behind.min(most) {
            self.apply_next(server);
        }
        if behind > most {
            self.look_at_log(server);
        }
    }

    fn apply_next(&mut self, server: usize) {
        let at = self.servers[server].replica.applied;
        let entry = &mut self.log.committed[at];
        let command = decode_command(&entry.bytes).expect("a command can be read");
        // Only the server that proposed it answers, and only once.
        let asked = entry.asked.take_if(|(lead, ..)| lead.server == server);
        let committed = entry.outcome.clone();
        let replica = &mut self.servers[server].replica;
        let applied = self.bug.apply(&mut replica.state, &command);
        replica.applied += 1;
        if !self.bug.shows_in_rebuilt_state() {
            if applied.outcome != committed {
                let what = format!(
                    "command {at} came to {:?} on server {server}, elsewhere to {committed:?}",
                    applied.outcome
                );
                self.break_law("i6_determinism", what);
            }
            self.compare_with_mark(server);
        }
        self.publish(server, applied.changes);
        if let Some((lead, id)) = asked
            && let Some(asker) = self.still_waits(lead, id)
        {
            self.answer(lead, asker, Some(applied.outcome));
        }
    }

    /// Who is far behind is sent what the leader has; the log before that may be gone.
    fn install_snapshot(&mut self, server: usize) {
        let Some(lead) = self.leading else { return };
        let theirs = &self.servers[lead.server].replica;
        let (applied, bytes) = (theirs.applied, bytes_of(&theirs.state));
        if applied <= self.servers[server].replica.applied {
            return;
        }
        say!(self, "server {server} is sent a snapshot of {applied} commands");
        let state = read_snapshot(&mut bytes.as_slice()).expect("a snapshot can be read");
        let replica = &mut self.servers[server].replica;
        (replica.state, replica.applied, replica.snapshot) = (state, applied, Some((applied, bytes)));
    }

    /// Writes a snapshot of what a server has applied.
    pub fn take_snapshot(&mut self, server: usize) {
        let replica = &mut self.servers[server].replica;
        replica.snapshot = Some((replica.applied, bytes_of(&replica.state)));
        say!(self, "server {server} has a snapshot of {} commands", self.servers[server].replica.applied);
    }

    /// A server that starts comes to its state from its snapshot and the log after it. From an old copy of its disk it comes to an old
    /// one, which is the same as having been away for long.
    pub fn restart_replica(&mut self, server: usize, old_copy: bool) {
        let replica = &self.servers[server].replica;
        let (from, mut state) = match &replica.snapshot {
            Some((at, bytes)) => (*at, read_snapshot(&mut bytes.as_slice()).expect("a snapshot can be read")),
            None => (0, State::default()),
        };
        self.bug.after_restore(&mut state);
        let had = replica.applied;
        let applied = if old_copy { self.dice.log.within(from as u64, had as u64) as usize } else { had };
        for entry in &self.log.committed[self.bug.first_replayed(from)..applied] {
            let command = decode_command(&entry.bytes).expect("a command can be read");
            self.bug.apply(&mut state, &command);
        }
        if self.bug.shows_in_rebuilt_state() {
            self.state.next_id = state.next_id;
        } else if !old_copy && bytes_of(&state) != bytes_of(&replica.state) {
            let what = format!("server {server} came to another state from its disk");
            self.break_law("i6_determinism", what);
        }
        let replica = &mut self.servers[server].replica;
        (replica.state, replica.applied, replica.looks) = (state, applied, false);
        self.look_at_log(server);
    }
}
