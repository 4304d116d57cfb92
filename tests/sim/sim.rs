//! The whole: a log, servers, machines with agents, people, and faults, under one clock that jumps from event to event.

use std::collections::BTreeMap;

use proto::time::{BootTime, Timestamp};
use server::core::state::State;

use crate::clients::Clients;
use crate::event::{Event, Lead, Queue};
use crate::laws::Laws;
use crate::log::Log;
use crate::machine::Machine;
use crate::network::Conn;
use crate::planted::Bug;
use crate::servers::Server;
use crate::trace::Trace;
use tests::rng::Rng;

/// The time of day at the beginning.
const DAY: u64 = 1_700_000_000_000;
/// How long things break.
pub const TROUBLE: u64 = 40_000;
/// How long after that everything must be well again.
pub const PATIENCE: u64 = 400_000;

/// Adds a line to the story if somebody reads it.
macro_rules! say {
    ($sim:expr, $($text:tt)*) => {
        if $sim.trace.on {
            let now = $sim.now;
            $sim.trace.add(now, format_args!($($text)*));
        }
    };
}
pub(crate) use say;

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The promise: the name of its file.
    pub law: &'static str,
    /// How.
    pub what: String,
}

/// Streams of random numbers.
pub struct Dice {
    pub log: Rng,
    pub net: Rng,
    pub work: Rng,
    pub faults: Rng,
    pub people: Rng,
}

/// One simulated cluster.
pub struct Sim {
    pub seed: u64,
    pub now: u64,
    pub queue: Queue,
    pub trace: Trace,
    pub dice: Dice,
    pub bug: Bug,
    pub log: Log,
    /// What is committed, applied here first; servers follow.
    pub state: State,
    pub servers: Vec<Server>,
    pub leading: Option<Lead>,
    pub term: u64,
    pub machines: Vec<Machine>,
    pub conns: BTreeMap<u64, Conn>,
    pub clients: Clients,
    pub laws: Laws,
    /// Nothing breaks any more.
    pub calm: bool,
    pub done: bool,
    pub broken: Option<Broken>,
}

impl Sim {
    /// Makes a cluster that is about to start.
    pub fn new(seed: u64, bug: Bug, trace: bool) -> Self {
        let dice = Dice {
            log: Rng::new(seed, "log"),
            net: Rng::new(seed, "net"),
            work: Rng::new(seed, "work"),
            faults: Rng::new(seed, "faults"),
            people: Rng::new(seed, "people"),
        };
        let mut sim = Self {
            seed,
            now: 0,
            queue: Queue::default(),
            trace: Trace { on: trace, lines: Vec::new() },
            dice,
            bug,
            log: Log::default(),
            state: State::default(),
            servers: Vec::new(),
            leading: None,
            term: 0,
            machines: Vec::new(),
            conns: BTreeMap::new(),
            clients: Clients::default(),
            laws: Laws::default(),
            calm: false,
            done: false,
            broken: None,
        };
        sim.build();
        sim
    }

    fn build(&mut self) {
        // One server, as most begin with, or three.
        for _ in 0..if self.seed.is_multiple_of(2) { 1 } else { 3 } {
            let skew = self.dice.faults.below(600);
            self.servers.push(Server::new(skew));
        }
        for number in 0..self.dice.faults.within(2, 5) {
            let machine = Machine::new(number, self.servers.len(), &mut self.dice.faults);
            self.machines.push(machine);
            self.queue.at(self.dice.faults.below(3000), Event::PowerOn(number as usize));
        }
        for _ in 0..self.dice.faults.below(3) {
            self.queue.at(self.dice.faults.within(6000, TROUBLE), Event::Join);
        }
        self.plan_people();
        self.queue.at(100, Event::Elect);
        self.queue.at(5000, Event::Fault);
        self.queue.at(TROUBLE, Event::Calm);
    }

    /// Runs until all is well, a promise is broken, or patience ends.
    pub fn run(&mut self) -> Option<Broken> {
        while let Some((time, event)) = self.queue.pop() {
            if self.done || self.broken.is_some() {
                break;
            }
            self.now = time;
            if !self.puts_off(&event) {
                self.handle(event);
            }
        }
        if self.broken.is_none() {
            self.judge_the_end();
        }
        self.broken.clone()
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Commit(lead) => self.commit(lead),
            Event::Unanswered(id) => self.unanswered(id),
            Event::Tick(lead) => self.tick(lead),
            Event::Wake(lead) => self.wake(lead),
            Event::Elect => self.elect(),
            Event::Hear(server, lead) => self.hear(server, lead),
            Event::CatchUp(server, boot) => self.catch_up(server, boot),
            Event::Rejoin(server) => self.rejoin(server),
            Event::ServerUp(server) => self.server_up(server),
            Event::Deliver(conn, up) => self.deliver(conn, up),
            Event::Dial(agent) => self.dial(agent),
            Event::Knock(agent, server) => self.knock(agent, server),
            Event::AgentTick(agent) => self.agent_tick(agent),
            Event::AgentUp(machine) => self.agent_up(machine),
            Event::PowerOn(machine) => self.power_on(machine),
            Event::Heal(machine) => self.heal(machine),
            Event::Join => self.join(),
            Event::DriverStart(agent, attempt) => self.driver_start_asked(agent, attempt),
            Event::Exit(machine, attempt, token) => self.exit(machine, &attempt, token),
            Event::Driver(agent, news) => self.driver_news(agent, news),
            Event::Client(request) => self.client(request),
            Event::Fault => self.fault(),
            Event::Calm => self.calm_down(),
            Event::Look => self.look(),
        }
    }

    /// Notes that a promise was broken; the first one counts.
    pub fn break_law(&mut self, law: &'static str, what: String) {
        say!(self, "BROKEN {law}: {what}");
        self.broken.get_or_insert(Broken { law, what });
    }

    /// The clock of a server.
    pub fn server_time(&self, server: usize) -> Timestamp {
        Timestamp(DAY + self.now + self.servers[server].skew)
    }

    /// The clock of a server that nobody can set.
    pub fn server_boottime(&self, server: usize) -> BootTime {
        BootTime(self.now + 7_000_000 * (server as u64 + 1))
    }

    /// The clocks of a machine.
    pub fn machine_time(&self, machine: usize) -> client::core::task_machine::Now {
        let machine = &self.machines[machine];
        client::core::task_machine::Now {
            boot: BootTime(1000 + self.now - machine.booted_at),
            wall: Timestamp(DAY + self.now + machine.skew),
        }
    }
}
