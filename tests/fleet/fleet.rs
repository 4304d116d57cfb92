//! The clock of the fleet: some minutes at a time, and everybody has a turn.

use std::collections::{BTreeMap, BTreeSet};

use proto::ids::{AllocId, Incarnation, NodeId, ServerId};
use proto::model::{NodeIdentity, Resources};
use proto::time::Timestamp;
use server::core::rules::{Collect, Health, Rule};
use server::core::state::{Applied, Changes, Command, Kind, State};
use tests::rng::Rng;

use crate::leader::Leader;
use crate::people::Person;
use crate::tally::Tally;

pub const MINUTE: u64 = 60_000;
pub const HOUR: u64 = 60 * MINUTE;
pub const DAY: u64 = 24 * HOUR;
pub const INCARNATION: Incarnation = Incarnation(5);
/// How often the leader and the agents have a turn in a step.
const TURNS: usize = 6;
/// Jobs that are there all the time have so many allocations each, on average.
const PER_SERVICE: usize = 50;

/// How large it is, and how long it lives.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    pub nodes: usize,
    /// At the same time, about.
    pub allocs: usize,
    pub ms: u64,
    /// Between two turns of everybody.
    pub step_ms: u64,
    /// Between two looks at every law.
    pub look_ms: u64,
}

impl Size {
    pub const SMALL: Self =
        Self { nodes: 200, allocs: 2_000, ms: DAY, step_ms: 5 * MINUTE, look_ms: 2 * HOUR };
    pub const FULL: Self =
        Self { nodes: 10_000, allocs: 100_000, ms: 7 * DAY, step_ms: MINUTE, look_ms: 4 * HOUR };
}

/// What is going to happen.
#[derive(Clone, Debug)]
pub enum Due {
    /// An allocation ends by itself, well or not.
    End(AllocId, bool),
    /// A node is back, with what it had or without.
    Back(NodeId, bool),
    Uncordon(NodeId),
    /// A person clears away a batch job that is done.
    Purge(proto::ids::JobKey),
}

/// Everything.
pub struct Fleet {
    pub state: State,
    pub size: Size,
    pub now: u64,
    pub leader: Leader,
    pub tally: Tally,
    pub people: Person,
    pub rng: Rng,
    /// Nodes whose agent has been told something.
    pub told: BTreeSet<NodeId>,
    pub reports: u64,
    due: BTreeMap<(u64, u64), Due>,
    number: u64,
}

impl Fleet {
    pub fn new(size: Size, seed: u64) -> Self {
        let mut fleet = Self {
            state: State::default(),
            size,
            now: DAY,
            leader: Leader::default(),
            tally: Tally::default(),
            people: Person::new(size.allocs * 6 / 10 / PER_SERVICE, Rng::new(seed, "people")),
            rng: Rng::new(seed, "agents"),
            told: BTreeSet::new(),
            reports: 0,
            due: BTreeMap::new(),
            number: 0,
        };
        fleet.apply(Kind::BeginReign { server: ServerId(1), boot_nonce: 1, incarnation: INCARNATION });
        for number in 0..size.nodes {
            fleet.apply(Kind::RegisterNode { identity: machine(number), held: vec![], seen: None });
        }
        fleet
    }

    /// Lives to the end.
    #[allow(
        clippy::print_stdout,
        reason = "a week takes most of an hour, and whoever waits sees how far it is"
    )]
    pub fn live(&mut self) {
        let (begin, mut look_at) = (self.now, self.now);
        while self.now < begin + self.size.ms {
            self.people_act();
            self.happen();
            self.nodes_suffer();
            self.settle();
            if self.now >= look_at {
                self.look_at_laws();
                println!(
                    "{} h of {}: {}",
                    (self.now - begin) / HOUR,
                    self.size.ms / HOUR,
                    self.tally.brief()
                );
                look_at = self.now + self.size.look_ms;
            }
            self.now = (self.now / self.size.step_ms + 1) * self.size.step_ms;
        }
        self.look_at_laws();
    }

    pub fn apply(&mut self, kind: Kind) -> Applied {
        let applied = self.state.apply(Command::own(Timestamp(self.now), kind));
        self.tally.commands += 1;
        let Changes { jobs, nodes, gained, .. } = applied.changes.clone();
        self.leader.dirty.extend(jobs);
        self.leader.gained.extend(gained);
        self.told.extend(nodes.into_iter().map(|(node, _)| node));
        applied
    }

    /// Returns how likely something is within a step that happens so often in a thousand minutes.
    pub const fn permille(&self, per_thousand_minutes: u64) -> u64 {
        per_thousand_minutes * self.size.step_ms / MINUTE
    }

    pub fn later(&mut self, after_ms: u64, due: Due) {
        self.number += 1;
        self.due.insert((self.now + after_ms, self.number), due);
    }

    /// The leader and the agents go on until none of them has anything to do, or they have had their share of this step: a change that goes
    /// on from node to node does so in the next. The leader has the last word.
    fn settle(&mut self) {
        for _ in 0..TURNS {
            let decided = self.decide();
            let acted = self.agents_act();
            if !decided && !acted && self.leader.is_idle(Timestamp(self.now)) {
                break;
            }
            // Long enough for room that was gained to be looked at, and for what runs to be healthy.
            self.now += 1_100;
            for kind in Health.decide(&self.state, Timestamp(self.now)).proposals {
                self.apply(kind);
            }
        }
        for kind in Collect.decide(&self.state, Timestamp(self.now)).proposals {
            self.apply(kind);
        }
        self.decide();
    }

    /// What has come due happens.
    fn happen(&mut self) {
        while let Some(entry) = self.due.first_entry()
            && entry.key().0 <= self.now
        {
            match entry.remove() {
                Due::End(id, well) => self.end(id, well),
                Due::Back(node, with_all) => self.come_back(node, with_all),
                Due::Uncordon(node) => self.cordon(node, false),
                Due::Purge(key) => drop(self.apply(Kind::StopJob { key, purge: true })),
            }
        }
    }
}

/// The machine with that number: a mixed fleet in 40 racks of 3 zones.
pub fn machine(number: usize) -> NodeIdentity {
    const SIZES: [(u64, u64); 4] = [(16_000, 32), (16_000, 64), (32_000, 64), (64_000, 256)];
    let (cpu_millis, gib) = SIZES[number % SIZES.len()];
    let mut attributes = BTreeMap::from([("meta.rack".to_owned(), format!("r{}", number % 40))]);
    if number.is_multiple_of(5) {
        attributes.insert("meta.disk".into(), "ssd".into());
    }
    NodeIdentity {
        id: NodeId(1_000_000 + number as u64),
        name: format!("node-{number:05}"),
        machine_id: format!("machine-{number}"),
        boot_id: "first".into(),
        address: "10.0.0.1".into(),
        version: "0".into(),
        capacity: Resources { cpu_millis, memory_bytes: gib << 30 },
        attributes,
        failure_domain: Some(format!("zone-{}", number % 3)),
        leaving: None,
    }
}
