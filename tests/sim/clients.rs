//! People: they submit, change, scale, restart, revert, stop, start and purge jobs, and send again what was not answered.

use std::collections::BTreeMap;
use std::time::Duration;

use proto::ids::{AllocId, JobKey, JobVersion, RequestId};
use proto::model::{
    Backoff, Condition, Dependency, Eligibility, Group, Interval, Job, JobType, Lifecycle, Migrate,
    OnExhausted, Port, Reschedule, Resources, Restart, RestartOn, Task,
};
use server::core::state::{Alloc, Command, DrainStep, Kind, Outcome, Settings};

use crate::event::Event;
use crate::log::Asker;
use crate::sim::{Sim, TROUBLE, say};
use tests::rng::Rng;

/// What all people want.
#[derive(Default)]
pub struct Clients {
    pub requests: Vec<Request>,
}

/// One write.
pub struct Request {
    pub id: RequestId,
    kind: Wish,
    pub acked: Option<Outcome>,
}

/// What is asked for.
#[derive(Clone)]
enum Wish {
    Job(Kind),
    /// The machine with that number, which may have no node yet.
    Node(usize, Eligibility),
    /// The same.
    Drain(usize, DrainStep),
    /// One of the job's allocations, as they are when it is sent first.
    Alloc(JobKey, usize),
}

impl Sim {
    /// Thinks of everything that people will do.
    pub fn plan_people(&mut self) {
        let dice = &mut self.dice.people;
        let names: Vec<String> = (0..dice.within(1, 4)).map(|n| format!("job{n}")).collect();
        let mut jobs: BTreeMap<String, Job> = BTreeMap::new();
        let machines = self.machines.len();
        for number in 0..dice.within(4, 16) {
            let name = dice.pick(&names).clone();
            let kind = wish(dice, &name, &mut jobs, machines);
            let id = RequestId(u128::from(self.seed) << 64 | u128::from(number + 1));
            self.clients.requests.push(Request { id, kind, acked: None });
            // Some come early, so that there is something to break.
            let at = if number < 3 { dice.within(500, 4000) } else { dice.within(3000, TROUBLE) };
            self.queue.at(at, Event::Client(number as usize));
        }
    }

    /// A person sends a write, again and again until it is answered.
    pub fn client(&mut self, at: usize) {
        if self.clients.requests[at].acked.is_some() {
            return;
        }
        let server = self.dice.people.below(self.servers.len() as u64) as usize;
        // A server that does not lead passes it on to who does, as far as it knows.
        let asked = &self.servers[server];
        let server = asked.heard.filter(|_| asked.takes_part(self.now)).map_or(server, |lead| lead.server);
        let leader = self.servers[server].leader.as_ref().filter(|leader| leader.reign.is_some());
        let Some(lead) =
            leader.filter(|_| self.servers[server].frozen_until <= self.now).map(|leader| leader.lead)
        else {
            self.queue.at(self.now + 250, Event::Client(at));
            return;
        };
        let request = &mut self.clients.requests[at];
        let id = request.id;
        let kind = match request.kind.clone() {
            Wish::Job(kind) => kind,
            Wish::Node(machine, eligibility) => {
                Kind::NodeEligibility { node: self.machines[machine].disk.node, eligibility }
            }
            Wish::Drain(machine, step) => Kind::DrainNode { node: self.machines[machine].disk.node, step },
            Wish::Alloc(key, number) => {
                let is_of_job = |(id, alloc): (AllocId, &Alloc)| (*alloc.job == key).then_some(id);
                let of_job: Vec<AllocId> = self.state.allocs.iter().filter_map(is_of_job).collect();
                let alloc = of_job.get(number % of_job.len().max(1));
                Kind::RestartAlloc { alloc: alloc.copied().unwrap_or(AllocId(1)) }
            }
        };
        // What is sent again is the same, whatever became of the machine or the job.
        request.kind = Wish::Job(kind.clone());
        if self.bug.acknowledges_before_commit() {
            let now = self.server_time(server);
            let mut view =
                self.servers[server].leader.as_ref().map(|one| one.view.clone()).unwrap_or_default();
            let command = Command { now, request: id, actor: "somebody".into(), kind: kind.clone() };
            self.clients.requests[at].acked = Some(view.apply(command).outcome);
        }
        self.propose(lead, Asker::Client(at), kind, id);
        self.queue.at(self.now + 2500, Event::Client(at));
    }

    /// A write was answered, if the answer arrives.
    pub fn client_answered(&mut self, at: usize, outcome: Option<Outcome>) {
        let lost = !self.calm && self.dice.people.chance(100);
        let Some(outcome) = outcome.filter(|_| !lost) else { return };
        let request = &mut self.clients.requests[at];
        if request.acked.is_none() {
            request.acked = Some(outcome);
            say!(self, "request {at} is acknowledged: {:?}", self.clients.requests[at].acked);
        }
    }
}

fn wish(dice: &mut Rng, name: &str, jobs: &mut BTreeMap<String, Job>, machines: usize) -> Wish {
    let key = JobKey::new("default", name);
    let put = |job: &Job, expected| {
        Wish::Job(Kind::PutJob { job: Box::new(job.clone()), expected, message: String::new() })
    };
    let Some(job) = jobs.get_mut(name) else {
        let job = job(dice, key, machines);
        jobs.insert(name.to_owned(), job.clone());
        return put(&job, None);
    };
    match dice.below(100) {
        0..=19 => {
            for group in job.groups.values_mut().filter(|group| !group.kind.is_per_node()) {
                group.count = dice.within(0, 5) as u32;
            }
            put(job, None)
        }
        20..=35 => {
            let value = dice.below(1000).to_string();
            for task in job.groups.values_mut().flat_map(|group| group.tasks.values_mut()) {
                task.env.insert("release".into(), value.clone());
            }
            put(job, None)
        }
        36..=41 => put(job, Some(JobVersion(dice.within(0, 3)))),
        42..=45 => put(job, None),
        46..=51 => {
            let group = dice.pick(&["a", "a", ""]).to_string();
            Wish::Job(Kind::ScaleJob { key, group, count: dice.within(0, 5) as u32 })
        }
        52..=57 => Wish::Job(Kind::RestartJob { key, at_once: dice.chance(400) }),
        58..=63 => Wish::Alloc(key, dice.below(10) as usize),
        64..=67 => Wish::Job(Kind::RevertJob { key, to: JobVersion(dice.within(1, 4)) }),
        68..=76 => Wish::Job(Kind::StopJob { key, purge: false }),
        77..=81 => Wish::Job(Kind::StartJob { key }),
        82..=87 => {
            jobs.remove(name);
            Wish::Job(Kind::StopJob { key, purge: true })
        }
        88 => Wish::Job(Kind::PutSettings(some_settings(dice))),
        89..=93 => Wish::Drain(dice.below(machines as u64) as usize, drain(dice)),
        94..=96 => Wish::Node(dice.below(machines as u64) as usize, Eligibility::Cordoned),
        _ => Wish::Node(dice.below(machines as u64) as usize, Eligibility::Eligible),
    }
}

/// Half of the drains are cancelled some day, some are in a hurry.
fn drain(dice: &mut Rng) -> DrainStep {
    if dice.chance(400) {
        return DrainStep::Cancel;
    }
    let deadline = *dice.pick(&[None, Some(0), Some(3), Some(15), Some(60)]);
    DrainStep::Begin { deadline: deadline.map(Duration::from_secs), message: String::new() }
}

/// Settings under which much is forgotten.
pub fn some_settings(dice: &mut Rng) -> Settings {
    Settings {
        events_per_subject: dice.within(3, 30) as usize,
        ended_allocs: dice.within(1, 10) as usize,
        ended_allocs_for: Duration::from_secs(dice.within(5, 60)),
        versions: dice.within(1, 4) as usize,
        preemption: dice.chance(500),
        brake_pause: Duration::from_secs(dice.within(1, 30)),
        ..Settings::default()
    }
}

fn job(dice: &mut Rng, key: JobKey, machines: usize) -> Job {
    let kind = kind(dice);
    let mut groups = BTreeMap::new();
    for name in ["a", "b"].iter().take(if dice.chance(250) { 2 } else { 1 }) {
        let own = if dice.chance(100) { self::kind(dice) } else { kind };
        groups.insert((*name).to_owned(), group(dice, own, machines));
    }
    depend(dice, &key, &mut groups);
    Job { priority: dice.within(1, 100) as u8, ..Job::new(key, kind, groups) }
}

/// Some groups wait for others: `b` for `a` of the same job, and any for another job, which may wait for this one.
fn depend(dice: &mut Rng, key: &JobKey, groups: &mut BTreeMap<String, Group>) {
    let other = format!("job{}", dice.within(0, 4));
    let first = *dice.pick(&[Condition::Started, Condition::Healthy, Condition::Completed]);
    let batch = groups.get("a").is_some_and(|group| group.kind.has_an_end());
    let mine = if batch || first != Condition::Completed { first } else { Condition::Healthy };
    if dice.chance(400)
        && let Some(group) = groups.get_mut("b")
    {
        group.depends_on.push(Dependency { job: None, group: Some("a".to_owned()), condition: mine });
    }
    if dice.chance(150)
        && other != key.name
        && let Some(group) = groups.get_mut("a")
    {
        let whose = dice.chance(500).then(|| "a".to_owned());
        group.depends_on.push(Dependency { job: Some(other), group: whose, condition: first });
    }
}

fn kind(dice: &mut Rng) -> JobType {
    match dice.below(100) {
        0..=57 => JobType::Service,
        58..=79 => JobType::Batch,
        80..=92 => JobType::System,
        _ => JobType::SysBatch,
    }
}

fn group(dice: &mut Rng, kind: JobType, machines: usize) -> Group {
    let batch = kind.has_an_end();
    let mut tasks = BTreeMap::new();
    for name in ["main", "side"].iter().take(if dice.chance(300) { 2 } else { 1 }) {
        let critical = dice.chance(150);
        tasks.insert((*name).to_owned(), Task { critical, ..task(dice, machines) });
    }
    for (name, lifecycle) in hooks(dice) {
        tasks.insert(name.to_owned(), Task { lifecycle, ..task(dice, machines) });
    }
    let max_run = (batch && dice.chance(200)).then(|| Duration::from_millis(dice.within(500, 20_000)));
    let mut ports = BTreeMap::new();
    if dice.chance(200) {
        ports.insert("web".to_owned(), Port::Static(8080 + dice.below(2) as u16));
    }
    if dice.chance(300) {
        ports.insert("any".to_owned(), Port::Dynamic);
    }
    let on_exhausted =
        *dice.pick(&[OnExhausted::Move, OnExhausted::Move, OnExhausted::Stay, OnExhausted::Fail]);
    let restart = Restart {
        attempts: *dice.pick(&[None, Some(0), Some(1), Some(3)]),
        interval: *dice.pick(&[Interval::Forever, Interval::Window(Duration::from_secs(20))]),
        delay: Duration::from_millis(dice.within(100, 1500)),
        backoff: Backoff::Exponential,
        max_delay: Duration::from_secs(5),
        jitter_percent: 10,
        on_exhausted,
        on: *dice.pick(&[RestartOn::Any, RestartOn::Any, RestartOn::Failure, RestartOn::Never]),
    };
    let base = if batch { Reschedule::BATCH } else { Reschedule::SERVICE };
    let reschedule = Reschedule {
        delay: Duration::from_millis(dice.within(200, 4000)),
        max_delay: Duration::from_secs(dice.within(4, 20)),
        attempts: *dice.pick(&[None, None, Some(1), Some(3)]),
        ..base
    };
    let count = if kind.is_per_node() { 1 } else { dice.within(1, 5) as u32 };
    let least = dice.within(0, 4000);
    let migrate = Migrate {
        max_parallel: dice.within(1, 3) as u32,
        min_healthy_time: Duration::from_millis(least),
        healthy_deadline: Duration::from_millis(least + dice.within(1000, 20_000)),
    };
    Group { migrate, count, ports, max_run, restart, reschedule, ..Group::new(kind, tasks) }
}

/// Some groups have tasks that come before, beside and after the others.
fn hooks(dice: &mut Rng) -> Vec<(&'static str, Lifecycle)> {
    let all = [
        ("before", Lifecycle::Prestart { sidecar: false }),
        ("proxy", Lifecycle::Prestart { sidecar: true }),
        ("after", Lifecycle::Poststart { sidecar: false }),
        ("shipper", Lifecycle::Poststart { sidecar: true }),
        ("sweep", Lifecycle::Poststop),
    ];
    let some = dice.chance(350);
    all.into_iter().filter(|_| some && dice.chance(400)).collect()
}

fn task(dice: &mut Rng, machines: usize) -> Task {
    let mode = *dice.pick(&["steady", "steady", "crashy"]);
    let mut env = BTreeMap::from([("mode".to_owned(), mode.to_owned())]);
    if dice.chance(150) {
        let on: Vec<String> = (0..machines).filter(|_| dice.chance(500)).map(|at| at.to_string()).collect();
        env.insert("cannot".into(), on.join(","));
    }
    Task {
        env,
        resources: Resources { cpu_millis: dice.within(50, 500), memory_bytes: dice.within(16, 600) << 20 },
        ..Task::new("/bin/true")
    }
}
