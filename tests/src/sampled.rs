//! A yardstick for the packing of a fleet: best fit among a few machines that are drawn, instead of among all.

use std::collections::BTreeMap;

use proto::ids::JobKey;
use proto::model::Resources;

use crate::rng::Rng;

/// Machines that are all alike, and what is on them.
#[derive(Debug)]
pub struct Sampled {
    machine: Resources,
    /// Machines with room that are drawn for each placement.
    pub most: usize,
    dice: Rng,
    used: Vec<Resources>,
    placed: BTreeMap<JobKey, Vec<usize>>,
}

impl Sampled {
    /// Makes empty machines.
    #[must_use]
    pub fn new(machine: Resources, machines: usize, most: usize, seed: u64) -> Self {
        let dice = Rng::new(seed, "drawn machines");
        Self { machine, most, dice, used: vec![Resources::default(); machines], placed: BTreeMap::new() }
    }

    /// Places so many allocations of a size, or none; returns whether they were placed.
    pub fn place(&mut self, key: &JobKey, size: Resources, count: u32) -> bool {
        let mut machines = Vec::new();
        for _ in 0..count {
            let Some(machine) = self.best_drawn(size, &machines) else {
                machines.iter().for_each(|machine| self.give_back(*machine, size));
                return false;
            };
            self.used[machine] = self.used[machine].plus(size);
            machines.push(machine);
        }
        self.placed.insert(key.clone(), machines);
        true
    }

    /// Ends what was placed.
    pub fn end(&mut self, key: &JobKey, size: Resources) {
        for machine in self.placed.remove(key).unwrap_or_default() {
            self.give_back(machine, size);
        }
    }

    /// Returns how many machines have something.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.used.iter().filter(|used| **used != Resources::default()).count()
    }

    fn give_back(&mut self, machine: usize, size: Resources) {
        self.used[machine] = self.used[machine].minus(size).unwrap_or_default();
    }

    /// Draws machines until so many have room, and returns the best: those with others of the same job only if no other is among them.
    fn best_drawn(&mut self, size: Resources, others: &[usize]) -> Option<usize> {
        let mut order: Vec<usize> = (0..self.used.len()).collect();
        let mut drawn = Vec::new();
        for at in 0..order.len() {
            let other = at + self.dice.below((order.len() - at) as u64) as usize;
            order.swap(at, other);
            if self.free_after(order[at], size).is_some() {
                drawn.push(order[at]);
            }
            if drawn.len() == self.most {
                break;
            }
        }
        let rank = |machine: &usize| {
            let (cpu, memory) = self.free_after(*machine, size).unwrap_or((1.0, 1.0));
            (others.contains(machine), 10f64.powf(cpu) + 10f64.powf(memory))
        };
        drawn.into_iter().min_by(|a, b| {
            let (a, b) = (rank(a), rank(b));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
        })
    }

    /// Returns the parts of a machine that would be free; none: it has no room.
    fn free_after(&self, machine: usize, size: Resources) -> Option<(f64, f64)> {
        let free = self.machine.minus(self.used[machine].plus(size))?;
        let part = |free: u64, all: u64| free as f64 / all as f64;
        Some((
            part(free.cpu_millis, self.machine.cpu_millis),
            part(free.memory_bytes, self.machine.memory_bytes),
        ))
    }
}
