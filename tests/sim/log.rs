//! A model of the replicated log: proposals take a while, are committed in order, and sometimes nobody learns of it.
//!
//! Within a term proposals are committed in their order, while the leader reaches the others. When another server is elected, a prefix
//! of what its predecessor had sent is still committed, the rest is lost or refused; a little of what is proposed after that slips in late.

use std::collections::BTreeMap;

use proto::ids::RequestId;
use server::core::state::{Command, Kind, Outcome, State, decode_command, encode_command, write_snapshot};

use crate::event::{Event, Lead};
use crate::leader::Leader;
use crate::sim::{Sim, say};

/// How long anybody waits for an answer.
const ANSWER_WITHIN: u64 = 3000;
/// After so many commands the state is written down, for the servers to be compared with.
const MARK_EVERY: u64 = 40;

/// The log and what is on its way into it.
#[derive(Default)]
pub struct Log {
    pending: BTreeMap<u64, Proposal>,
    waiting: BTreeMap<u64, (Lead, Asker)>,
    next: u64,
    free_at: u64,
    /// Every command that was committed.
    pub committed: Vec<Entry>,
    /// The state after some of the commands, by their count.
    pub marks: BTreeMap<usize, Vec<u8>>,
}

/// A command that was committed.
pub struct Entry {
    pub bytes: Vec<u8>,
    /// What it came to where it was applied first.
    pub outcome: Outcome,
    /// Whose proposal it was, unless nobody will learn of it.
    pub asked: Option<(Lead, u64)>,
}

struct Proposal {
    lead: Lead,
    command: Command,
    /// It will be committed, and nobody will learn of it.
    mute: bool,
    /// The other servers have it.
    sent: bool,
}

/// Who waits for an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asker {
    Reign,
    Client(usize),
    Plan(u64),
    Rule(usize),
    Liveness,
    Brake,
    Register(u64),
    Status(u64),
}

impl Log {
    /// Returns whether nothing is on its way.
    pub fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// Returns who waits for the answer to a proposal.
    pub fn waits_for(&self, id: u64) -> Option<Lead> {
        self.waiting.get(&id).map(|(lead, _)| *lead)
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
        let sent = self.servers[lead.server].takes_part(self.now);
        self.log.pending.insert(id, Proposal { lead, command, mute, sent });
        self.log.waiting.insert(id, (lead, asker));
        self.queue.at(at, Event::Commit(lead));
        self.queue.at(self.now + ANSWER_WITHIN, Event::Unanswered(id));
    }

    /// The oldest proposal of a leader has its turn.
    pub fn commit(&mut self, lead: Lead) {
        let mut of_lead = self.log.pending.iter().filter(|(_, proposal)| proposal.lead == lead);
        let Some(id) = of_lead.next().map(|(id, _)| *id) else { return };
        let leads = self.leading == Some(lead);
        if self.leading.is_none() || (leads && !self.servers[lead.server].takes_part(self.now)) {
            // Nobody can say yet what becomes of it.
            self.queue.at(self.now + 100, Event::Commit(lead));
            return;
        }
        let Some(proposal) = self.log.pending.remove(&id) else { return };
        if leads {
            let asked = (!proposal.mute).then_some((lead, id));
            self.enter(proposal.command, asked);
        } else if !self.calm && self.dice.log.chance(100) && !is_of_its_session(&proposal.command.kind) {
            self.enter(proposal.command, None);
        } else {
            self.refuse(id, lead, &proposal.command.kind);
        }
    }

    /// The others have a newer leader: what an older one proposes is lost, and it may be told why.
    fn refuse(&mut self, id: u64, lead: Lead, kind: &Kind) {
        let told = !self.servers[lead.server].cut && self.dice.log.chance(300);
        say!(self, "{}: {}", if told { "refused" } else { "lost" }, tell(kind));
        if told {
            if let Some(newer) = self.leading {
                self.queue.at(self.now + self.dice.log.within(1, 300), Event::Hear(lead.server, newer));
            }
            self.unanswered(id);
        }
    }

    /// Returns who waits for an answer, which comes now.
    pub fn still_waits(&mut self, lead: Lead, id: u64) -> Option<Asker> {
        self.leader(lead)?;
        self.log.waiting.remove(&id).map(|(_, asker)| asker)
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
            if !self.log.pending[&id].sent || self.dice.log.chance(400) {
                break;
            }
            if let Some(proposal) = self.log.pending.remove(&id) {
                self.enter(proposal.command, Some((proposal.lead, id)));
            }
        }
    }

    /// A command is committed. Applied here first, it is judged; what servers make of it is compared with that.
    fn enter(&mut self, command: Command, asked: Option<(Lead, u64)>) {
        let bytes = encode_command(&command);
        let read = decode_command(&bytes).expect("what was written can be read");
        if read != command {
            self.break_law("i6_determinism", format!("{command:?} reads as {read:?}"));
        }
        let count = self.log.committed.len() + 1;
        say!(self, "commit {count}: {}", tell(&command.kind));
        let before = self.state.clone();
        let applied = self.bug.apply(&mut self.state, &command);
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
        if count as u64 % MARK_EVERY == self.seed % MARK_EVERY {
            self.log.marks.insert(count, bytes_of(&self.state));
        }
        self.log.committed.push(Entry { bytes, outcome: applied.outcome, asked });
        self.wake_replicas();
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
