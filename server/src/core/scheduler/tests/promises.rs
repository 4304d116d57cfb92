//! What holds of every decision, whatever the world.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proto::ids::NodeId;
use proto::model::Liveness;

use super::*;
use crate::core::state::{NodeRecord, Outcome, Plan};

/// A world with different nodes and jobs: per node its cpu in hundreds, per job its count, cpu in hundreds and port.
#[derive(Clone, Debug)]
struct Plot {
    nodes: Vec<(u64, bool)>,
    jobs: Vec<(u32, u64, Option<u16>)>,
    lost: Option<u64>,
}

fn plots() -> impl Strategy<Value = Plot> {
    let nodes = proptest::collection::vec((1u64..40, proptest::bool::weighted(0.2)), 1..6);
    let jobs =
        proptest::collection::vec((0u32..7, 1u64..12, proptest::option::weighted(0.3, 80u16..83)), 1..6);
    (nodes, jobs, proptest::option::of(0u64..6)).prop_map(|(nodes, jobs, lost)| Plot { nodes, jobs, lost })
}

fn build(plot: &Plot) -> World {
    let mut world = World::new(0);
    for (number, (cpu, cordoned)) in plot.nodes.iter().enumerate() {
        let mut identity = node_identity(number as u64);
        identity.capacity.cpu_millis = cpu * 100;
        world.apply(Kind::RegisterNode { identity, held: vec![], seen: None });
        if *cordoned {
            cordon(&mut world, number as u64);
        }
    }
    // Half of the jobs are there already, so that there is something to keep and to stop.
    let half = plot.jobs.len() / 2;
    for (number, wanted) in plot.jobs.iter().enumerate().take(half) {
        world.put(job_of(number, *wanted));
    }
    world.settle_healthy();
    if let Some(lost) = plot.lost.filter(|lost| *lost < plot.nodes.len() as u64) {
        world.lose(world.node(lost));
    }
    for (number, wanted) in plot.jobs.iter().enumerate() {
        let (count, cpu, port) = *wanted;
        world.put(job_of(number, (if number < half { count / 2 } else { count }, cpu, port)));
    }
    world
}

fn job_of(number: usize, (count, cpu, port): (u32, u64, Option<u16>)) -> Job {
    let job = taking(job(&format!("job{number}"), count), cpu * 100, 1 << 20);
    port.map_or(job.clone(), |port| on_port(job, port))
}

proptest! {
    #[test]
    fn a_decision_on_the_present_state_is_never_refused(plot in plots()) {
        let mut world = build(&plot);
        let decision = decide(&world.state);
        let outcome = world.plan(decision.plan).outcome;
        prop_assert_eq!(outcome, Outcome::Planned { refused: vec![] });
        prop_assert_eq!(world.state.check(), vec![]);
    }

    #[test]
    fn deciding_again_on_the_same_facts_proposes_nothing(plot in plots()) {
        let mut world = build(&plot);
        let first = decide(&world.state);
        prop_assert_eq!(&first, &decide(&world.state), "the same input, another decision");
        world.plan(first.plan);
        let again = decide(&world.state).plan;
        // A wait may be said anew, because who holds a port has changed; work is not moved.
        prop_assert_eq!((again.items, again.stops, again.updates), Default::default());
        world.settle();
    }

    #[test]
    fn a_job_alone_fits_or_not_whatever_other_jobs_are_looked_at_after_it(plot in plots()) {
        let world = build(&plot);
        let keys: Vec<JobKey> = world.state.jobs.iter().map(|(key, _)| key.clone()).collect();
        for first in &keys {
            let alone = schedule(&world.state, std::slice::from_ref(first), world.state.now);
            let mut order = vec![first.clone()];
            order.extend(keys.iter().filter(|key| *key != first).rev().cloned());
            let among = schedule(&world.state, &order, world.state.now);
            let of_it = |decision: &Decision| {
                decision.placed.iter().filter(|placed| placed.job == *first).cloned().collect::<Vec<_>>()
            };
            prop_assert_eq!(of_it(&alone), of_it(&among));
            prop_assert_eq!(alone.waiting.contains(first), among.waiting.contains(first));
        }
    }

    #[test]
    fn places_are_those_that_the_plainest_reading_of_the_rank_finds(plot in plots()) {
        let world = build(&plot);
        let mut naive = Naive::of(&world.state);
        for placed in decide(&world.state).placed {
            let ranks = naive.ranks(&placed.job, &placed.group);
            let best = ranks.iter().min().expect("somebody");
            let (copies, waste, _) = ranks.iter().find(|rank| rank.2 == placed.node).expect("it fits");
            // What differs by a thousandth is as good: columns hold no more precision.
            prop_assert!(*copies == best.0 && *waste <= best.1 + 2, "{}: {:?}", placed, ranks);
            naive.take(&placed.job, &placed.group, placed.node);
        }
    }

    #[test]
    fn who_waits_fits_nowhere_after_the_plan(plot in plots()) {
        let mut world = build(&plot);
        let decision = decide(&world.state);
        let Plan { waits, .. } = decision.plan.clone();
        world.plan(decision.plan);
        let mut naive = Naive::of(&world.state);
        for wait in waits.iter().filter(|wait| wait.count > 0) {
            prop_assert_eq!(naive.ranks(&wait.job, &wait.group), vec![], "{:?}", wait);
        }
    }
}

/// The rank written down again in the plainest way, over numbers of its own.
struct Naive {
    state: State,
    free: BTreeMap<NodeId, (u64, u64)>,
    ports: BTreeMap<NodeId, Vec<u16>>,
    copies: BTreeMap<(JobKey, String, NodeId), u32>,
    /// How much of the cpu and memory of all nodes was in use when a group was first looked at.
    loads: BTreeMap<(JobKey, String), (f64, f64)>,
}

impl Naive {
    fn of(state: &State) -> Self {
        let mut naive = Self {
            state: state.clone(),
            free: BTreeMap::new(),
            ports: BTreeMap::new(),
            copies: BTreeMap::new(),
            loads: BTreeMap::new(),
        };
        for (id, node) in state.nodes.iter() {
            let capacity = node.identity.capacity;
            naive.free.insert(*id, (capacity.cpu_millis, capacity.memory_bytes));
        }
        for (_, alloc) in state.allocs.iter().filter(|(_, alloc)| alloc.counted) {
            let (cpu, memory) = naive.free[&alloc.node];
            let left = (cpu - alloc.resources.cpu_millis, memory - alloc.resources.memory_bytes);
            naive.free.insert(alloc.node, left);
            naive.ports.entry(alloc.node).or_default().extend(alloc.ports.iter().map(|(_, port)| *port));
            if !alloc.lost && !alloc.has_ended() {
                let key = (alloc.job.as_ref().clone(), alloc.group.to_string(), alloc.node);
                *naive.copies.entry(key).or_default() += 1;
            }
        }
        naive
    }

    fn asks(&self, job: &JobKey, group: &str) -> (Resources, Vec<u16>) {
        let group = &self.state.jobs.get(job).expect("job").current().job.groups[group];
        let fixed = group.ports.values().filter_map(|port| match port {
            Port::Static(port) => Some(*port),
            Port::Dynamic => None,
        });
        (group.resources(), fixed.collect())
    }

    /// All nodes that fit, each as it ranks: fewest of the group, then least wasted, then the lowest id.
    fn ranks(&mut self, job: &JobKey, group: &str) -> Vec<(u32, u64, NodeId)> {
        let (asks, ports) = self.asks(job, group);
        let now = self.load();
        let load = *self.loads.entry((job.clone(), group.to_owned())).or_insert(now);
        let mut ranks = Vec::new();
        for (id, node) in self.state.nodes.iter() {
            let (cpu, memory) = self.free[id];
            let held = self.ports.get(id).cloned().unwrap_or_default();
            let up = node.liveness == Liveness::Up && node.eligibility == Eligibility::Eligible;
            let fits = asks.cpu_millis <= cpu && asks.memory_bytes <= memory;
            if !up || !fits || ports.iter().any(|port| held.contains(port)) {
                continue;
            }
            let full = |free: u64, all: u64, ask: u64| (all - free + ask) as f64 / all as f64;
            let capacity = node.identity.capacity;
            let cpu = full(cpu, capacity.cpu_millis, asks.cpu_millis);
            let memory = full(memory, capacity.memory_bytes, asks.memory_bytes);
            let share = |of: f64| (64.0 * of / load.0.max(load.1)).round() / 64.0;
            let imbalance = (cpu * share(load.1) - memory * share(load.0)).abs();
            let free = 2.0 - cpu - memory;
            let waste = (1000.0 * (free + 32.0 * (imbalance - 0.75 * free).max(0.0))) as u64;
            let copies = self.copies.get(&(job.clone(), group.to_owned(), *id)).copied().unwrap_or(0);
            ranks.push((copies, waste, *id));
        }
        ranks
    }

    /// In thousandths, and 50 more.
    fn load(&self) -> (f64, f64) {
        let nodes = || {
            let up = |node: &&NodeRecord| {
                node.liveness == Liveness::Up && node.eligibility == Eligibility::Eligible
            };
            self.state.nodes.iter().map(|(_, node)| &**node).filter(up)
        };
        let part = |all: fn(&NodeRecord) -> u64, free: &dyn Fn(&NodeRecord) -> u64| {
            let (all, free): (u64, u64) = (nodes().map(all).sum(), nodes().map(free).sum());
            (50 + ((all - free) * 1000).checked_div(all).unwrap_or(0)) as f64
        };
        let cpu = part(|node| node.identity.capacity.cpu_millis, &|node| self.free[&node.identity.id].0);
        let memory = part(|node| node.identity.capacity.memory_bytes, &|node| self.free[&node.identity.id].1);
        (cpu, memory)
    }

    fn take(&mut self, job: &JobKey, group: &str, node: NodeId) {
        let (asks, ports) = self.asks(job, group);
        let (cpu, memory) = self.free[&node];
        self.free.insert(node, (cpu - asks.cpu_millis, memory - asks.memory_bytes));
        self.ports.entry(node).or_default().extend(ports);
        *self.copies.entry((job.clone(), group.to_owned(), node)).or_default() += 1;
    }
}
