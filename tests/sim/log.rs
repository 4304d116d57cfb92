//! A model of the replicated log: proposals take a while, are committed in order, and sometimes nobody learns of it.
//!
//! Within a term proposals are committed in their order. When another server is elected, a prefix of what its predecessor
//! proposed is still committed, the rest is lost; a little of what is proposed after that slips in late.

use std::collections::BTreeMap;

use proto::ids::RequestId;
use server::core::state::{
    Command, Kind, Outcome, State, decode_command, encode_command, read_snapshot, write_snapshot,
};

use crate::event::{Event, Lead};
use crate::leader::Leader;
use crate::sim::{Sim, say};

/// How long anybody waits for an answer.
const ANSWER_WITHIN: u64 = 3000;

/// The log and what is on its way into it.
#[derive(Default)]
pub struct Log {
    pending: BTreeMap<u64, Proposal>,
    waiting: BTreeMap<u64, (Lead, Asker)>,
    next: u64,
    free_at: u64,
    /// Every command that was committed.
    pub committed: Vec<Vec<u8>>,
    /// The last snapshot, and how many commands are in it.
    pub snapshot: Option<(usize, Vec<u8>)>,
}

struct Proposal {
    lead: Lead,
    asker: Asker,
    command: Command,
    /// It will be committed, and nobody will learn of it.
    mute: bool,
}

/// Who waits for an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asker {
    Reign,
    Client(usize),
    Plan(u64),
    Rule(usize),
    Liveness,
    Register(u64),
    Status(u64),
}

impl Log {
    /// Returns whether nothing is on its way.
    pub fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }
}

impl Sim {
    /// Proposes for a server that leads, or believes so.
    pub fn propose(&mut self, lead: Lead, asker: Asker, kind: Kind, request: RequestId) {
        let now = self.server_time(lead.server);
        let actor = if request.is_none() { "server" } else { "somebody" };
        let command = Command { now, request, actor: actor.to_owned(), kind };
        let mut delay = self.dice.log.within(1, 15);
        if !self.calm && self.dice.log.chance(10) {
            delay += self.dice.log.within(100, 900);
        }
        let mute = !self.calm && self.dice.log.chance(15);
        let at = self.log.free_at.max(self.now + delay);
        self.log.free_at = at;
        self.log.next += 1;
        let id = self.log.next;
        self.log.pending.insert(id, Proposal { lead, asker: asker.clone(), command, mute });
        self.log.waiting.insert(id, (lead, asker));
        self.queue.at(at, Event::Commit(id));
        self.queue.at(self.now + ANSWER_WITHIN, Event::Unanswered(id));
    }

    /// A proposal has its turn.
    pub fn commit(&mut self, id: u64) {
        let Some(proposal) = self.log.pending.remove(&id) else { return };
        let leads = self.leading == Some(proposal.lead);
        if !leads && (self.calm || !self.dice.log.chance(100) || is_of_its_session(&proposal.command.kind)) {
            say!(self, "lost: {}", tell(&proposal.command.kind));
            return;
        }
        let outcome = self.apply(proposal.command);
        if leads && !proposal.mute && self.leader(proposal.lead).is_some() {
            self.log.waiting.remove(&id);
            self.answer(proposal.lead, proposal.asker, Some(outcome));
        }
    }

    /// Nobody answered in time.
    pub fn unanswered(&mut self, id: u64) {
        if let Some((lead, asker)) = self.log.waiting.remove(&id)
            && self.leader(lead).is_some()
        {
            self.answer(lead, asker, None);
        }
    }

    /// Some of what a deposed leader proposed is committed before its successor begins.
    pub fn settle_predecessor(&mut self) {
        let ids: Vec<u64> = self.log.pending.keys().copied().collect();
        for id in ids {
            if self.dice.log.chance(400) {
                break;
            }
            if let Some(proposal) = self.log.pending.remove(&id) {
                self.apply(proposal.command);
            }
        }
    }

    /// The only place where the state changes.
    fn apply(&mut self, command: Command) -> Outcome {
        let bytes = encode_command(&command);
        let read = decode_command(&bytes).expect("what was written can be read");
        if read != command {
            self.break_law("i6_determinism", format!("{command:?} reads as {read:?}"));
        }
        self.log.committed.push(bytes);
        say!(self, "commit {}: {}", self.log.committed.len(), tell(&command.kind));
        let before = self.state.clone();
        let mut applied = self.state.apply(command.clone());
        self.bug.after_apply(&mut self.state, &before, &command, &mut applied);
        if let Outcome::Refused(refusal) = &applied.outcome {
            say!(self, "refused: {}", refusal.message);
        }
        if let Outcome::Planned { refused } = &applied.outcome
            && !refused.is_empty()
        {
            say!(self, "refused runs: {refused:?}");
        }
        if let Err(broken) = self.laws.judge(&before, &command, &applied, &self.state) {
            self.break_law(broken.law, broken.what);
        }
        self.publish(applied.changes);
        applied.outcome
    }

    /// Writes a snapshot of what is applied.
    pub fn take_snapshot(&mut self) {
        self.log.snapshot = Some((self.log.committed.len(), bytes_of(&self.state)));
        say!(self, "snapshot after {} commands", self.log.committed.len());
    }

    /// Rebuilds the state as a server does that starts: from its last snapshot and the log after it.
    pub fn rebuild(&mut self) -> State {
        let (from, mut state) = match &self.log.snapshot {
            Some((at, bytes)) => (*at, read_snapshot(&mut bytes.as_slice()).expect("a snapshot can be read")),
            None => (0, State::default()),
        };
        self.bug.after_restore(&mut state);
        for bytes in &self.log.committed[from..] {
            state.apply(decode_command(bytes).expect("a command can be read"));
        }
        state
    }

    /// The leader of that term, if its server still believes in it.
    pub fn leader(&mut self, lead: Lead) -> Option<&mut Leader> {
        let server = &mut self.servers[lead.server];
        server.leader.as_mut().filter(|leader| leader.lead == lead)
    }
}

/// A session ends with its server's term, so its registrations never slip in later than another server's.
fn is_of_its_session(kind: &Kind) -> bool {
    matches!(kind, Kind::RegisterNode { .. } | Kind::BeginReign { .. })
}

/// The bytes of a state.
pub fn bytes_of(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_snapshot(state, &mut bytes).expect("memory takes everything");
    bytes
}

fn tell(kind: &Kind) -> String {
    match kind {
        Kind::PutJob { job, expected, .. } => {
            let groups: Vec<_> = job.groups.iter().map(|(name, group)| (name, group.count)).collect();
            format!("PutJob {} {groups:?} expected {expected:?}", job.key)
        }
        Kind::RegisterNode { identity, held, .. } => {
            let held: Vec<_> =
                held.iter().map(|(_, status, _)| (status.id.0, status.seq, status.state)).collect();
            format!("RegisterNode {} {} {held:?}", identity.name, identity.id.0)
        }
        Kind::AllocStatus { node, generation, statuses } => {
            let phase = |status: &proto::model::AllocStatus| {
                (status.id.0, status.seq, status.state, status.tasks.first().map(|task| task.phase.clone()))
            };
            let statuses: Vec<_> = statuses.iter().map(phase).collect();
            format!("AllocStatus {} {generation} {statuses:?}", node.0)
        }
        other => format!("{other:?}"),
    }
}
