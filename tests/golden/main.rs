//! A log and a snapshot of the first release, which every later version reads to the same state.
//!
//! `MJ_GOLDEN=write` writes them anew, which is right only before a release: afterwards these bytes rest on people's disks.

#![allow(clippy::unwrap_used, missing_docs)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use proto::ids::{AllocId, Incarnation, JobKey, NodeId, RequestId, ServerId};
use proto::model::{
    AllocState, AllocStatus, Eligibility, EndReason, Group, Job, JobType, Migrate, NodeIdentity, Port,
    Process, Reschedule, Resources, Restart, Task, TaskEnd, TaskPhase, TaskStatus,
};
use proto::time::Timestamp;
use server::core::archive::{self, Meta};
use server::core::rules::{Health, Rule};
use server::core::scheduler::schedule;
use server::core::state::{
    Authority, Command, Denied, DrainStep, Gc, Kind, LivenessChange, OperatorToken, Plan, Setting,
    SettingChange, SettingValue, Settings, State, decode_command, encode_command, read_snapshot,
    write_snapshot,
};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/v1").join(name)
}

fn bytes_of(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_snapshot(state, &mut bytes).expect("memory takes everything");
    bytes
}

fn job(name: &str, count: u32) -> Job {
    let process = Process { command: "/bin/true".into(), args: vec!["-v".into()], user: None, workdir: None };
    let task = Task {
        process,
        env: BTreeMap::from([("LANG".into(), "C".into())]),
        resources: Resources { cpu_millis: 100, memory_bytes: 64 << 20 },
        ..Task::new("")
    };
    let tasks = BTreeMap::from([(name.to_owned(), task)]);
    let group = Group { count, ..Group::new(JobType::Service, tasks) };
    let groups = BTreeMap::from([(name.to_owned(), group)]);
    Job::new(JobKey::new("default", name), JobType::Service, groups)
}

fn batch(name: &str, count: u32) -> Job {
    let mut job = job(name, count);
    job.kind = JobType::Batch;
    for group in job.groups.values_mut() {
        (group.kind, group.restart, group.reschedule) = (JobType::Batch, Restart::BATCH, Reschedule::BATCH);
    }
    job
}

fn node_identity(number: u64) -> NodeIdentity {
    NodeIdentity {
        id: NodeId(100 + number),
        name: format!("n{number}"),
        machine_id: format!("m{number}"),
        boot_id: "b".into(),
        address: "127.0.0.1".into(),
        version: "0.1.0".into(),
        capacity: Resources { cpu_millis: 4000, memory_bytes: 8 << 30 },
        attributes: BTreeMap::from([("os".into(), "linux".into())]),
        failure_domain: None,
        leaving: None,
    }
}

/// A history in which every command occurs.
struct History {
    state: State,
    log: Vec<Vec<u8>>,
    seq: u64,
    now: u64,
}

impl History {
    fn say(&mut self, request: u128, kind: Kind) {
        self.now += 250;
        let actor = if request == 0 { "server" } else { "anna" };
        let request = RequestId(request);
        let command = Command { now: Timestamp(self.now), request, actor: actor.into(), kind };
        self.log.push(encode_command(&command));
        self.state.apply(command);
        assert_eq!(self.state.check(), vec![]);
    }

    fn own(&mut self, kind: Kind) {
        self.say(0, kind);
    }

    fn settle(&mut self) {
        let jobs: Vec<JobKey> = self.state.jobs.iter().map(|(key, _)| key.clone()).collect();
        let plan = schedule(&self.state, &jobs, self.state.now).plan;
        self.seq += 1;
        let reign = self.state.reign.expect("reigns").reign;
        self.own(Kind::ApplyPlan(Plan { reign, seq: self.seq, ..plan }));
    }

    /// Reports on all live allocations of a job.
    fn report(&mut self, job: &str, seq: u64, state: AllocState, phase: TaskPhase, end: Option<EndReason>) {
        let record = self.state.jobs.get(&JobKey::new("default", job)).expect("job").clone();
        for id in &record.live {
            let alloc = self.state.allocs.get(*id).expect("alloc").clone();
            let generation = self.state.nodes.get(&alloc.node).expect("node").generation;
            let last_end = end.clone().map(|reason| TaskEnd {
                reason,
                at: Timestamp(self.now),
                ran: Duration::from_millis(1500),
                tail: "panic: no database\n".into(),
            });
            let task = TaskStatus {
                name: job.to_owned(),
                phase: phase.clone(),
                attempt: 1,
                window_try: 1,
                window_tries: Some(4),
                pid: 4711,
                started_at: Some(Timestamp(self.now)),
                last_end,
            };
            let statuses = vec![AllocStatus { id: *id, seq, state, tasks: vec![task] }];
            self.own(Kind::AllocStatus { node: alloc.node, generation, statuses });
        }
    }
}

fn history() -> History {
    let mut story = History { state: State::default(), log: Vec::new(), seq: 0, now: 1_700_000_000_000 };
    story.own(Kind::BeginReign { server: ServerId(7), boot_nonce: 9, incarnation: Incarnation(5) });
    story.own(Kind::PutSettings(Settings { ended_allocs: 2, versions: 3, ..Settings::default() }));
    for number in 0..3 {
        story.own(Kind::RegisterNode { identity: node_identity(number), held: vec![], seen: None });
    }
    let put = |job, expected| Kind::PutJob { job: Box::new(job), expected, message: "for anna".into() };
    let mut web = job("web", 2);
    if let Some(group) = web.groups.get_mut("web") {
        group.ports = BTreeMap::from([("http".into(), Port::Static(8080)), ("any".into(), Port::Dynamic)]);
    }
    story.say(1, put(web.clone(), Some(proto::ids::JobVersion(0))));
    story.say(1, put(web.clone(), Some(proto::ids::JobVersion(0))));
    story.say(2, put(batch("sum", 2), None));
    let mut huge = job("huge", 1);
    for task in huge.groups.values_mut().flat_map(|group| group.tasks.values_mut()) {
        task.resources.memory_bytes = 1 << 40;
    }
    story.say(3, put(huge, None));
    story.settle();
    story.report("web", 1, AllocState::Running, TaskPhase::Running, None);
    story.report("sum", 1, AllocState::Complete, TaskPhase::Ended, Some(EndReason::Exit(0)));
    story.now += 2000;
    for kind in Health.decide(&story.state, Timestamp(story.now)).proposals {
        story.own(kind);
    }
    if let Some(group) = web.groups.get_mut("web") {
        group.count = 3;
    }
    story.say(4, put(web, Some(proto::ids::JobVersion(1))));
    let node = NodeId(101);
    story.say(5, Kind::NodeEligibility { node, eligibility: Eligibility::Cordoned });
    story.settle();
    let generation = story.state.nodes.get(&node).expect("node").generation;
    let liveness = proto::model::Liveness::Down;
    story.own(Kind::NodeLiveness(vec![LivenessChange { node, generation, liveness }]));
    story.settle();
    let foreign = AllocStatus { id: AllocId(99), seq: 1, state: AllocState::Running, tasks: vec![] };
    let takes = Resources { cpu_millis: 10, memory_bytes: 1 << 20 };
    let held = vec![(Incarnation(6), foreign, takes)];
    story.own(Kind::RegisterNode { identity: node_identity(2), held, seen: None });
    story.say(6, put(job("api", 1), None));
    story.settle();
    let failed = EndReason::StartFailed { step: "exec".into(), errno: 2, message: "no such file".into() };
    story.report("api", 1, AllocState::Failed, TaskPhase::Ended, Some(failed));
    story.say(7, Kind::StopJob { key: JobKey::new("default", "huge"), purge: false });
    story.settle();
    story.own(Kind::Gc(Gc { allocs: vec![AllocId(3)] }));
    people(&mut story);
    drains(&mut story);
    members(&mut story);
    story.own(Kind::BeginReign { server: ServerId(8), boot_nonce: 1, incarnation: Incarnation(1) });
    brakes(&mut story);
    restores(&mut story);
    story
}

/// What people ask for beside submitting and stopping.
fn people(story: &mut History) {
    let key = |name: &str| JobKey::new("default", name);
    story.say(8, Kind::ScaleJob { key: key("web"), group: "web".into(), count: 2 });
    story.say(9, Kind::RestartJob { key: key("web"), at_once: true });
    story.say(10, Kind::RevertJob { key: key("web"), to: proto::ids::JobVersion(2) });
    story.say(11, Kind::StartJob { key: key("huge") });
    let api = story.state.jobs.get(&key("api")).expect("job").ended.iter().next().copied();
    story.say(12, Kind::RestartAlloc { alloc: api.expect("it has failed") });
    story.settle();
    story.say(13, Kind::PurgeNode { node: NodeId(101) });
    let change = |setting, value| SettingChange { setting, value };
    let changes = vec![
        change(Setting::Heartbeat, SettingValue::Time(Duration::from_millis(500))),
        change(Setting::Versions, SettingValue::Count(5)),
        change(Setting::Preemption, SettingValue::Switch(true)),
    ];
    story.say(14, Kind::SetSettings(changes));
}

/// One node is drained while something moves off it; what was begun of another was cancelled.
fn drains(story: &mut History) {
    let begin = |deadline, message: &str| DrainStep::Begin { deadline, message: message.into() };
    let mut tidy = job("tidy", 1);
    for group in tidy.groups.values_mut() {
        let time = Duration::from_secs;
        group.migrate = Migrate { max_parallel: 2, min_healthy_time: time(3), healthy_deadline: time(60) };
    }
    story.say(15, Kind::PutJob { job: Box::new(tidy), expected: None, message: String::new() });
    story.settle();
    let home = story.state.allocs.iter().find(|(_, alloc)| alloc.job.name == "tidy");
    let home = home.expect("it has a place").1.node;
    let other = NodeId(if home == NodeId(100) { 102 } else { 100 });
    story.say(16, Kind::DrainNode { node: other, step: begin(None, "") });
    story.say(17, Kind::DrainNode { node: other, step: DrainStep::Cancel });
    let step = begin(Some(Duration::from_secs(600)), "new kernel");
    story.say(18, Kind::DrainNode { node: home, step });
    story.own(Kind::DrainNode { node: home, step: DrainStep::Advance });
    story.settle();
    let record = story.state.jobs.get(&JobKey::new("default", "tidy")).expect("job");
    assert!(!record.leaving.is_empty(), "it moves");
}

/// The cluster has a CA, and one of two that were thrown out was let in again.
fn members(story: &mut History) {
    story.own(Kind::PutAuthority(Authority { sealed: b"sealed".to_vec(), trust: "a certificate\n".into() }));
    let denied = |name: &str, until| Some(Denied { name: name.into(), until: Timestamp(until) });
    story.say(19, Kind::DenyMember { id: 102, denied: denied("agent `n2`", u64::MAX) });
    story.say(20, Kind::DenyMember { id: 103, denied: denied("agent `n3`", u64::MAX) });
    story.say(21, Kind::DenyMember { id: 103, denied: None });
    story.own(Kind::PutOperatorToken(OperatorToken { hash: [1; 32], first: true }));
    story.own(Kind::PutOperatorToken(OperatorToken { hash: [2; 32], first: false }));
}

/// Many nodes are lost at once, then let go, then again.
fn brakes(story: &mut History) {
    story.own(Kind::HoldLost(vec![NodeId(102), NodeId(101)]));
    story.say(24, Kind::ReleaseLost);
    story.own(Kind::HoldLost(vec![NodeId(102)]));
    story.own(Kind::RaiseLevel(1));
}

/// The state is saved, goes on, and is restored; of a second restore only the first part comes.
fn restores(story: &mut History) {
    let meta = Meta::of(&story.state, Timestamp(story.now));
    let file = archive::write(&story.state, &meta, Vec::new()).expect("memory takes everything");
    story.say(22, Kind::StopJob { key: JobKey::new("default", "web"), purge: false });
    let bytes = file.len() as u64;
    let (first, second) = file.split_at(file.len() / 2);
    for (offset, data) in [(0, first), (first.len() as u64, second)] {
        story.own(Kind::RestoreChunk { upload: 21, offset, data: data.to_vec().into() });
    }
    story.say(23, Kind::Restore { upload: 21, bytes, incarnation: Incarnation(22), force: false });
    assert_eq!(story.state.incarnation, Some(Incarnation(22)), "it was restored");
    story.own(Kind::BeginReign { server: ServerId(8), boot_nonce: 1, incarnation: Incarnation(1) });
    story.own(Kind::RestoreChunk { upload: 23, offset: 0, data: first[..100].to_vec().into() });
}

/// What people would see of a state, so that a change of meaning shows even when bytes still read.
fn summary(state: &State) -> String {
    let mut text = format!(
        "revision {} next_id {} now {} level {} reign {:?} settings {:?}\n",
        state.revision, state.next_id, state.now, state.level, state.reign, state.settings
    );
    writeln!(text, "authority {:?} denied {:?}", state.authority, state.denied).expect("text");
    writeln!(text, "token {:?}", state.operator_token).expect("text");
    let staged = state.staging.as_ref().map(|staging| staging.bytes());
    writeln!(
        text,
        "life {:?} before {:?} {:?} {:?} staged {staged:?}",
        state.incarnation, state.previous_incarnation, state.ancestors, state.restored
    )
    .expect("text");
    for (key, job) in state.jobs.iter() {
        let versions: Vec<u64> = job.versions.iter().map(|version| version.version.0).collect();
        let (stopped, purge) = (job.stopped, job.purge);
        writeln!(text, "job {key} stopped {stopped} purge {purge} versions {versions:?}").expect("text");
        for (name, group) in &job.groups {
            writeln!(text, "  group {name} {group:?}").expect("text");
        }
    }
    for (id, node) in state.nodes.iter() {
        let (liveness, eligibility, used) = (node.liveness, node.eligibility, node.used);
        writeln!(
            text,
            "node {} {liveness:?} {eligibility:?} {used:?} {:?} {:?}",
            id.0, node.ports, node.foreign
        )
        .expect("text");
        if let Some(drain) = &node.drain {
            writeln!(text, "  {drain:?}").expect("text");
        }
    }
    for (id, alloc) in state.allocs.iter() {
        writeln!(
            text,
            "alloc {} {} v{} on {} {:?} {:?} lost {} healthy {} {:?}",
            id.0,
            alloc.name(),
            alloc.version,
            alloc.node.0,
            alloc.desired,
            alloc.state,
            alloc.lost,
            alloc.healthy,
            alloc.ports
        )
        .expect("text");
    }
    for event in state.events.after(proto::ids::Revision(0)) {
        writeln!(text, "event {}.{} {:?} {}", event.revision, event.ordinal, event.kind, event.message)
            .expect("text");
    }
    text
}

/// Commands with their lengths before them, four bytes each.
fn pack(log: &[Vec<u8>]) -> Vec<u8> {
    log.iter()
        .flat_map(|one| (one.len() as u32).to_be_bytes().into_iter().chain(one.iter().copied()))
        .collect()
}

fn unpack(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut log = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (one, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        log.push(one);
        bytes = rest;
    }
    log
}

#[test]
fn the_log_and_the_snapshot_of_the_first_release_still_mean_the_same() {
    if std::env::var("MJ_GOLDEN").is_ok_and(|what| what == "write") {
        let story = history();
        std::fs::write(path("log"), pack(&story.log)).expect("can be written");
        std::fs::write(path("snapshot"), bytes_of(&story.state)).expect("can be written");
        std::fs::write(path("state.txt"), summary(&story.state)).expect("can be written");
    }
    let open = |name: &str| std::fs::read(path(name)).expect("is in the repository");
    let (log, snapshot, expected) = (open("log"), open("snapshot"), open("state.txt"));
    let mut replayed = State::default();
    let mut kinds = std::collections::BTreeSet::new();
    for bytes in unpack(&log) {
        let command = decode_command(bytes).expect("an old command can be read");
        kinds.insert(
            format!("{:?}", command.kind).split([' ', '(', '{']).next().unwrap_or_default().to_owned(),
        );
        replayed.apply(command);
    }
    assert_eq!(kinds.len(), 27, "a kind of command is missing: {kinds:?}");
    let restored = read_snapshot(&mut snapshot.as_slice()).expect("an old snapshot can be read");
    assert_eq!(restored.check(), vec![]);
    assert_eq!(summary(&replayed), String::from_utf8_lossy(&expected), "the log means something else");
    assert_eq!(summary(&restored), String::from_utf8_lossy(&expected), "the snapshot means something else");
    assert!(bytes_of(&restored) == bytes_of(&replayed), "log and snapshot are not the same state");
}
