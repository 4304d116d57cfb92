//! Random nodes and jobs.
//!
//! Sizes are such that parts of a node are exact in every kind of number: how well a node is filled is then compared exactly, though the
//! scheduler's columns and the reference count in different ways.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use proptest::collection::vec;
use proptest::option::weighted;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proto::ids::{JobKey, NodeId};
use proto::model::{
    Affinity, Condition, Dependency, Group, Job, JobType, Migrate, NodeIdentity, Placement, Port, Resources,
    Spread, Task,
};

/// Jobs of a world.
pub const JOBS: usize = 4;
const RACKS: [&str; 4] = ["", "r1", "r2", "r3"];
const DOMAINS: [&str; 4] = ["", "", "a", "b"];
const CONSTRAINTS: [&str; 7] = [
    "meta.rack != \"r1\"",
    "meta.rack == \"r2\" || meta.rack == \"r3\"",
    "has(meta.rack)",
    "meta.disk == \"ssd\"",
    "node.name != \"n1\"",
    "node.cpu_millis >= 2048",
    "node.failure_domain != \"a\"",
];
const AFFINITIES: [&str; 4] =
    ["meta.rack == \"r2\"", "meta.disk == \"ssd\"", "node.name == \"n3\"", "node.memory_bytes > 2147483648"];
const WEIGHTS: [i8; 6] = [-100, -50, -20, 20, 50, 100];
const FACTS: [&str; 4] = ["meta.rack", "failure_domain", "node", "meta.disk"];
const TARGETS: [&[(&str, u8)]; 4] = [&[], &[("r1", 50)], &[("r1", 50), ("r2", 30)], &[("r3", 100)]];

/// A machine.
#[derive(Clone, Debug)]
pub struct NodePlot {
    cores: u32,
    memory: u32,
    rack: usize,
    domain: usize,
    ssd: bool,
}

/// A job.
#[derive(Clone, Debug)]
pub struct JobPlot {
    pub kind: JobType,
    priority: u8,
    groups: Vec<GroupPlot>,
}

/// A group.
#[derive(Clone, Debug)]
pub struct GroupPlot {
    pub count: u32,
    cpu: u64,
    memory: u64,
    static_port: Option<u16>,
    dynamic_ports: usize,
    placement: Placement,
    migrate: Migrate,
    /// Waits for the group before it, or for another job.
    waits: Option<(bool, Condition)>,
}

pub fn nodes(count: Range<usize>) -> impl Strategy<Value = Vec<NodePlot>> {
    let node = (0u32..3, 0u32..3, 0usize..4, 0usize..4, any::<bool>())
        .prop_map(|(cores, memory, rack, domain, ssd)| NodePlot { cores, memory, rack, domain, ssd });
    vec(node, count)
}

pub fn jobs() -> impl Strategy<Value = JobPlot> {
    let kinds = [JobType::Service, JobType::Service, JobType::Batch, JobType::System, JobType::SysBatch];
    (select(kinds.to_vec()), select(vec![20u8, 50, 50, 55, 65, 80]), vec(groups(), 1..4))
        .prop_map(|(kind, priority, groups)| JobPlot { kind, priority, groups })
}

fn groups() -> impl Strategy<Value = GroupPlot> {
    let size = (0u32..9, 1u64..9, 1u64..9);
    let ports = (weighted(0.2, 80u16..83), 0usize..2);
    let conditions = select(vec![Condition::Started, Condition::Healthy, Condition::Completed]);
    let waits = weighted(0.2, (any::<bool>(), conditions));
    let seconds = Duration::from_secs;
    let migrate = (1u32..4, 0u64..10, 11u64..60).prop_map(move |(max_parallel, healthy, deadline)| Migrate {
        max_parallel,
        min_healthy_time: seconds(healthy),
        healthy_deadline: seconds(deadline),
    });
    (size, ports, placements(), waits, migrate).prop_map(
        |((count, cpu, memory), (static_port, dynamic_ports), placement, waits, migrate)| GroupPlot {
            count,
            cpu,
            memory,
            static_port,
            dynamic_ports,
            placement,
            migrate,
            waits,
        },
    )
}

fn placements() -> impl Strategy<Value = Placement> {
    let affinity = (select(AFFINITIES.to_vec()), select(WEIGHTS.to_vec()))
        .prop_map(|(when, weight)| Affinity { when: when.to_owned(), weight });
    let spread = (select(FACTS.to_vec()), select(vec![20u8, 50, 100]), 0usize..4).prop_map(
        |(over, weight, targets)| {
            let targets = if over == "meta.rack" { TARGETS[targets] } else { &[] };
            let targets: BTreeMap<String, u8> =
                targets.iter().map(|(value, share)| ((*value).to_owned(), *share)).collect();
            Spread { over: over.to_owned(), weight, targets }
        },
    );
    let distinct = weighted(0.15, select(FACTS.to_vec()).prop_map(str::to_owned));
    let pin = weighted(0.05, (0u64..4, any::<bool>()));
    let rarely = |most: usize| prop_oneof![3 => Just(0), 1 => 1..=most];
    let constraints = rarely(2).prop_flat_map(|count| subsequence(CONSTRAINTS.to_vec(), count));
    let affinities = rarely(3).prop_flat_map(move |count| vec(affinity.clone(), count));
    let spreads = rarely(2).prop_flat_map(move |count| vec(spread.clone(), count));
    (constraints, affinities, spreads, distinct, pin).prop_map(
        |(constraints, affinities, spread, distinct, pin)| {
            let constraints = constraints.into_iter().map(str::to_owned).collect();
            let named = |(number, by_id): (u64, bool)| match by_id {
                true => node_id(number).to_string(),
                false => format!("n{number}"),
            };
            Placement { constraints, affinities, spread, distinct, node: pin.map(named) }
        },
    )
}

/// The id of the machine with that number.
pub fn node_id(number: u64) -> NodeId {
    // Ids do not come in the order of names.
    NodeId(1 + number * 613 % 1009)
}

impl NodePlot {
    /// Returns what its agent says: `rack` is one of those that there are, none of them included.
    pub fn identity(&self, number: u64) -> NodeIdentity {
        let mut attributes = BTreeMap::new();
        let rack = RACKS[self.rack];
        attributes.extend((!rack.is_empty()).then(|| ("meta.rack".to_owned(), rack.to_owned())));
        attributes.extend(self.ssd.then(|| ("meta.disk".to_owned(), "ssd".to_owned())));
        let domain = Some(DOMAINS[self.domain].to_owned()).filter(|domain| !domain.is_empty());
        NodeIdentity {
            id: node_id(number),
            name: format!("n{number}"),
            machine_id: format!("m{number}"),
            boot_id: "b".into(),
            address: "127.0.0.1".into(),
            version: "0".into(),
            capacity: Resources { cpu_millis: 1024 << self.cores, memory_bytes: 1 << (30 + self.memory) },
            attributes,
            failure_domain: domain,
            leaving: None,
        }
    }

    /// The same machine in another rack.
    pub fn in_rack(&self, rack: usize) -> Self {
        Self { rack: rack % RACKS.len(), ..self.clone() }
    }
}

impl JobPlot {
    /// Returns the job with that number. What runs once per node does not choose among nodes, and is not waited for.
    pub fn job(&self, number: usize) -> Job {
        let mut groups = BTreeMap::new();
        for (at, plot) in self.groups.iter().enumerate() {
            groups.insert(group_name(at), plot.group(self.kind, at, number));
        }
        let mut job = Job::new(key(number), self.kind, groups);
        job.priority = self.priority;
        job
    }

    /// The same of another kind.
    pub fn of_kind(&self, kind: JobType) -> Self {
        Self { kind, ..self.clone() }
    }

    /// The same of which each allocation is so many times as large.
    pub fn grown(mut self, times: u64) -> Self {
        for group in &mut self.groups {
            group.cpu *= times;
            group.memory *= times;
        }
        self
    }

    /// The same with other counts.
    pub fn scaled(&self, count: u32) -> Self {
        let mut scaled = self.clone();
        scaled.groups.iter_mut().for_each(|group| group.count = count);
        scaled
    }
}

/// The name of the job with that number.
pub fn key(number: usize) -> JobKey {
    JobKey::new("default", format!("job{number}"))
}

fn group_name(at: usize) -> String {
    char::from(b'a' + at as u8).to_string()
}

impl GroupPlot {
    fn group(&self, kind: JobType, at: usize, number: usize) -> Group {
        let resources = Resources { cpu_millis: self.cpu * 64, memory_bytes: self.memory * (64 << 20) };
        let task = Task { resources, ..Task::new("/bin/true") };
        let mut group = Group::new(kind, BTreeMap::from([(group_name(at), task)]));
        group.placement = self.placement.clone();
        group.migrate = self.migrate;
        if kind.is_per_node() {
            let Placement { constraints, node, .. } = self.placement.clone();
            group.placement = Placement { constraints, node, ..Placement::default() };
        } else {
            group.count = self.count;
        }
        group.ports.extend(self.static_port.map(|port| ("web".to_owned(), Port::Static(port))));
        group.ports.extend((0..self.dynamic_ports).map(|at| (format!("p{at}"), Port::Dynamic)));
        group.depends_on.extend(self.waits.and_then(|waits| dependency(waits, kind, at, number)));
        group
    }
}

/// The group before, or the first group of the job before, which may not be there.
fn dependency(
    (own, condition): (bool, Condition),
    kind: JobType,
    at: usize,
    number: usize,
) -> Option<Dependency> {
    let own = own && at > 0 && !kind.is_per_node();
    let job = format!("job{}", number.checked_sub(1)?);
    match own {
        true => Some(Dependency { job: None, group: Some(group_name(at - 1)), condition }),
        // Of every kind: the first job is always one with counts.
        false => (number == 1).then(|| Dependency { job: Some(job), group: Some(group_name(0)), condition }),
    }
}
