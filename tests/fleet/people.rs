//! People: services that stay, are changed and scaled; batch work that comes and is cleared away.

use std::collections::BTreeMap;

use proto::ids::JobKey;
use proto::model::{Affinity, Group, Job, JobType, Placement, Port, Resources, Spread, Task};
use server::core::state::Kind;
use tests::rng::Rng;

use crate::fleet::{Due, Fleet, HOUR};

/// Batch work lives for four hours on average, and makes four tenths of all.
const BATCH_MEAN_MS: u64 = 4 * HOUR;
const PER_BATCH: u64 = 40;
/// Sizes of allocations in thousandths of a core and MiB.
const SHAPES: [(u64, u64); 6] = [(50, 64), (100, 128), (250, 256), (500, 1024), (1000, 2048), (100, 1500)];

/// What people have submitted.
pub struct Person {
    rng: Rng,
    services: Vec<Job>,
    wanted: usize,
    batches: u64,
}

impl Person {
    pub fn new(services: usize, rng: Rng) -> Self {
        Self { rng, services: Vec::new(), wanted: services.max(4), batches: 0 }
    }
}

impl Fleet {
    pub fn people_act(&mut self) {
        if self.people.services.is_empty() {
            self.submit_services();
        }
        self.submit_batches();
        // A change in an hour, and a scaling.
        let hourly = self.permille(1000 / 60);
        if self.people.rng.chance(hourly) {
            self.change_a_service();
        }
        if self.people.rng.chance(hourly) {
            self.scale_a_service();
        }
    }

    fn submit_services(&mut self) {
        let wanted = self.people.wanted;
        for number in 0..wanted {
            let count = self.people.rng.within(10, 90) as u32;
            let job = service(number, count, &mut self.people.rng);
            self.people.services.push(job.clone());
            self.put(job);
        }
        self.put(daemon());
        self.put(endless());
    }

    fn submit_batches(&mut self) {
        // So many allocations begin in a step that their number stays.
        let per_step = self.size.allocs as u64 * 4 / 10 * self.size.step_ms / BATCH_MEAN_MS;
        let mut left = self.people.rng.within(per_step / 2, per_step * 3 / 2);
        while left > 0 {
            let count = self.people.rng.within(1, 2 * PER_BATCH - 1).min(left);
            left -= count;
            self.people.batches += 1;
            let job = batch(self.people.batches, count as u32, &mut self.people.rng);
            let key = job.key.clone();
            self.put(job);
            self.later(12 * HOUR, Due::Purge(key));
        }
    }

    fn change_a_service(&mut self) {
        let at = self.people.rng.below(self.people.services.len() as u64) as usize;
        let job = &mut self.people.services[at];
        for task in job.groups.values_mut().flat_map(|group| group.tasks.values_mut()) {
            task.env.insert("AT".into(), self.now.to_string());
        }
        let job = job.clone();
        self.tally.changes += 1;
        self.put(job);
    }

    fn scale_a_service(&mut self) {
        let at = self.people.rng.below(self.people.services.len() as u64) as usize;
        let count = self.people.rng.within(5, 95) as u32;
        let job = &mut self.people.services[at];
        job.groups.values_mut().for_each(|group| group.count = count);
        let (key, group) = (job.key.clone(), String::new());
        self.tally.scalings += 1;
        self.apply(Kind::ScaleJob { key, group, count });
    }

    fn put(&mut self, job: Job) {
        self.tally.jobs += 1;
        self.apply(Kind::PutJob { job: Box::new(job), expected: None, message: String::new() });
    }
}

fn job(name: String, kind: JobType, count: u32, (cpu_millis, mib): (u64, u64)) -> Job {
    let resources = Resources { cpu_millis, memory_bytes: mib << 20 };
    let task = Task { resources, ..Task::new("/bin/true") };
    let group = Group { count, ..Group::new(kind, BTreeMap::from([(name.clone(), task)])) };
    Job::new(JobKey::new("default", name.clone()), kind, BTreeMap::from([(name, group)]))
}

fn service(number: usize, count: u32, rng: &mut Rng) -> Job {
    let shape = *rng.pick(&SHAPES);
    let mut job = job(format!("service-{number:04}"), JobType::Service, count, shape);
    job.priority = *rng.pick(&[50, 50, 80]);
    let group = job.groups.values_mut().next().unwrap();
    // A few of each kind of rule.
    match number % 10 {
        0 => {
            let spread = Spread { over: "meta.rack".into(), weight: 50, targets: BTreeMap::new() };
            group.placement = Placement { spread: vec![spread], ..Placement::default() };
        }
        1 => group.placement.constraints = vec!["meta.disk == \"ssd\"".into()],
        2 => group.placement.affinities = vec![Affinity { when: "meta.disk == \"ssd\"".into(), weight: 60 }],
        3 => {
            group.ports = BTreeMap::from([("http".into(), Port::Static(8000 + number as u16 % 500))]);
            group.placement.distinct = Some("node".into());
        }
        _ => group.ports = BTreeMap::from([("http".into(), Port::Dynamic)]),
    }
    job
}

fn batch(number: u64, count: u32, rng: &mut Rng) -> Job {
    let shape = *rng.pick(&SHAPES);
    let mut job = job(format!("batch-{number:06}"), JobType::Batch, count, shape);
    job.priority = 30;
    job
}

fn daemon() -> Job {
    job("exporter".into(), JobType::System, 1, (20, 32))
}

/// What can never be placed: it must harm nobody, and say why.
fn endless() -> Job {
    let mut job = job("impossible".into(), JobType::Service, 3, (100, 64));
    job.groups.values_mut().for_each(|group| group.placement.constraints = vec!["has(meta.gpu)".into()]);
    job
}
