//! What is going to happen, in the order of its time.

use std::collections::BTreeMap;

use proto::ids::AllocId;

/// Something that happens at a point in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The oldest proposal of a leader has its turn.
    Commit(Lead),
    /// Who proposed stops waiting for an answer.
    Unanswered(u64),
    /// A leader's clock ticks.
    Tick(Lead),
    /// A leader looks at what has changed.
    Wake(Lead),
    /// Some server that the others reach begins to lead.
    Elect,
    /// A server hears who leads.
    Hear(usize, Lead),
    /// A server of that boot applies what is committed.
    CatchUp(usize, u64),
    /// A server reaches the others again.
    Rejoin(usize),
    /// A server comes up again.
    ServerUp(usize),
    /// The oldest message of a connection arrives at the server (true) or the agent.
    Deliver(u64, bool),
    /// An agent looks for a server.
    Dial(Agent),
    /// An agent opens a stream to a server.
    Knock(Agent, usize),
    /// An agent asks for its lease, reports what is new, looks at its timers.
    AgentTick(Agent),
    /// An agent's process begins.
    AgentUp(usize),
    /// A machine has power again.
    PowerOn(usize),
    /// The network of a machine works again.
    Heal(usize),
    /// Nobody ever saw this machine before.
    Join,
    /// The driver begins an attempt that it was asked for.
    DriverStart(Agent, Attempt),
    /// A process ends.
    Exit(usize, Attempt, u64),
    /// Something of the driver reaches the agent.
    Driver(Agent, DriverNews),
    /// A person does something.
    Client(usize),
    /// Something breaks.
    Fault,
    /// Nothing breaks any more.
    Calm,
    /// Somebody looks whether all is well.
    Look,
}

/// A server's time as leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lead {
    pub server: usize,
    pub term: u64,
}

/// An agent's process on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agent {
    pub machine: usize,
    pub life: u64,
}

/// One start of a task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempt {
    pub alloc: AllocId,
    pub task: String,
    pub number: u32,
}

/// What the driver says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DriverNews {
    /// The answer to a start.
    Started(Attempt),
    /// The other answer to a start.
    Failed { attempt: Attempt, hopeless: bool },
    /// The answer to a stop of something it does not have.
    Unknown(Attempt),
    /// Something ended.
    Ended(Attempt),
}

/// The future.
#[derive(Debug, Default)]
pub struct Queue {
    events: BTreeMap<(u64, u64), Event>,
    count: u64,
}

impl Queue {
    /// Adds an event; of two at the same time the one added first comes first.
    pub fn at(&mut self, time: u64, event: Event) {
        self.count += 1;
        self.events.insert((time, self.count), event);
    }

    /// Takes the next event.
    pub fn pop(&mut self) -> Option<(u64, Event)> {
        self.events.pop_first().map(|((time, _), event)| (time, event))
    }
}
