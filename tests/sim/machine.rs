//! A machine: what survives on its disk, its processes, its network, and when it is there.

use std::collections::{BTreeMap, BTreeSet};

use client::core::assignments::Position;
use client::session::route::Route;
use client::store::record::Record;
use proto::ids::{AllocId, NodeId};
use proto::model::{NodeIdentity, Resources};

use crate::agent::Life;
use crate::driver::Process;
use crate::event::{Attempt, Event};
use crate::sim::{Sim, say};
use tests::rng::Rng;

/// A machine of the cluster.
pub struct Machine {
    pub number: u64,
    pub disk: Disk,
    pub boot: u64,
    pub booted_at: u64,
    pub powered: bool,
    /// It will never come back.
    pub gone: bool,
    /// The network to all servers is broken.
    pub cut: bool,
    /// Servers that hear nothing of it (true), or that it does not hear.
    pub deaf: BTreeSet<(usize, bool)>,
    pub skew: u64,
    pub capacity: Resources,
    pub processes: BTreeMap<Attempt, Process>,
    pub agent: Option<Life>,
    pub lives: u64,
    /// The first server that it dials, and how many there are.
    servers: (usize, usize),
}

/// What survives everything but the loss of the disk.
pub struct Disk {
    pub node: NodeId,
    pub number: u64,
    pub records: BTreeMap<AllocId, Record>,
    pub position: Option<Position>,
}

impl Machine {
    pub fn new(number: u64, servers: usize, dice: &mut Rng) -> Self {
        let capacity =
            Resources { cpu_millis: dice.within(500, 3000), memory_bytes: dice.within(1, 4) << 30 };
        Self {
            number,
            disk: Disk::new(number, 0),
            boot: 0,
            booted_at: 0,
            powered: false,
            gone: false,
            cut: false,
            deaf: BTreeSet::new(),
            skew: dice.below(900),
            capacity,
            processes: BTreeMap::new(),
            agent: None,
            lives: 0,
            servers: (dice.below(servers as u64) as usize, servers),
        }
    }

    /// Returns whether nothing passes between it and a server, in that direction.
    pub fn is_cut(&self, server: usize, up: bool) -> bool {
        self.cut || self.deaf.contains(&(server, up))
    }

    /// The servers in the order in which its agent dials them.
    pub fn route(&self) -> Route {
        let (first, count) = self.servers;
        Route::new((0..count).map(|at| ((first + at) % count).to_string()).collect())
    }

    /// Names this time of being powered.
    pub fn boot_id(&self) -> String {
        format!("boot-{}-{}", self.number, self.boot)
    }

    /// What its agent says of it.
    pub fn identity(&self) -> NodeIdentity {
        NodeIdentity {
            id: self.disk.node,
            name: format!("n{}", self.number),
            machine_id: format!("machine-{}", self.number),
            boot_id: self.boot_id(),
            address: "127.0.0.1".into(),
            version: "0".into(),
            capacity: self.capacity,
            attributes: BTreeMap::new(),
            failure_domain: None,
            leaving: None,
        }
    }
}

impl Disk {
    /// Makes an empty disk; the number of the disk makes another node of the machine.
    pub fn new(machine: u64, number: u64) -> Self {
        let node = NodeId(1000 + machine + 100 * number);
        Self { node, number, records: BTreeMap::new(), position: None }
    }
}

impl Sim {
    /// A machine boots.
    pub fn power_on(&mut self, machine: usize) {
        let now = self.now;
        let one = &mut self.machines[machine];
        if one.powered || one.gone {
            return;
        }
        (one.powered, one.booted_at) = (true, now);
        one.boot += 1;
        self.queue.at(now + self.dice.faults.within(50, 800), Event::AgentUp(machine));
    }

    /// A machine loses power, and all that ran with it.
    pub fn power_off(&mut self, machine: usize, back_after: Option<u64>) {
        let one = &mut self.machines[machine];
        if one.gone || !one.powered {
            return;
        }
        say!(self, "n{machine} loses power");
        let one = &mut self.machines[machine];
        (one.powered, one.agent) = (false, None);
        one.processes.clear();
        if let Some(after) = back_after {
            self.queue.at(self.now + after, Event::PowerOn(machine));
        }
    }

    /// A machine never comes back; two stay at least.
    pub fn lose_machine(&mut self, machine: usize) {
        if self.machines.iter().filter(|one| !one.gone).count() < 3 {
            return;
        }
        self.power_off(machine, None);
        self.machines[machine].gone = true;
    }

    /// The network of a machine works again.
    pub fn heal(&mut self, machine: usize) {
        self.machines[machine].cut = false;
        self.machines[machine].deaf.clear();
    }

    /// A machine that nobody ever saw comes.
    pub fn join(&mut self) {
        let number = self.machines.len();
        let machine = Machine::new(number as u64, self.servers.len(), &mut self.dice.faults);
        say!(self, "n{number} is new");
        self.machines.push(machine);
        self.queue.at(self.now, Event::PowerOn(number));
    }
}
