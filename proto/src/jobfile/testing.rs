//! Random jobs that a job file can describe.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample;

use super::restart::{ATTEMPTS_MOST, INTERVAL_LEAST};
use super::rules::{
    LOG_FILE_LEAST, MEMORY_LIMIT_LEAST, PIDS_MOST, RLIMIT_MOST, SIGNAL_MAX, is_fact, overlap,
};
use crate::ids::JobKey;
use crate::model::{
    Affinity, Backoff, CAPABILITIES, Condition, Confinement, Dependency, Group, Interval, Isolate, Job,
    JobType, Lifecycle, Limits, LogPolicy, Migrate, Mount, NodeEnvFile, OnExhausted, Placement, Port,
    Process, RLIMITS, Reschedule, Resources, Restart, RestartOn, Rlimit, Spread, Task, TaskFile, Volume,
    VolumeSource,
};

/// Texts that YAML readers like to take for something else.
const HOSTILE: [&str; 34] = [
    "", " ", "~", "null", "Null", "true", "yes", "no", "0x1", "1e3", "1.10", "-1", "0o7", ".inf", ".nan",
    "a: b", "a #b", "#", "- a", "-", "? a", "*a", "&a", "!a", "{}", "[]", "%a", "@a", "`", "|", ">", "'",
    "\"", "---",
];

/// Any text without NUL and `$`: the whole of Unicode, control characters, what YAML treats specially, several lines.
pub(crate) fn text() -> impl Strategy<Value = String> {
    let clean = |text: String| text.replace(['\0', '$'], "x");
    prop_oneof![
        sample::select(&HOSTILE[..]).prop_map(str::to_owned),
        "[a-z/ :#,.-]{0,20}",
        ".{0,20}",
        any::<String>(),
        "[ab \n\t\r:#-]{0,30}",
        "(\\PC{0,10}\n){0,4}",
        "[a-z ]{2000,3000}",
        "[\u{7f}-\u{a0}\u{2028}\u{2029}\u{feff}\u{fffe}\u{ffff}a ]{0,8}",
    ]
    .prop_map(clean)
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", "(no|on|y|null|true|1|0x1|1e3)"]
}

fn key() -> impl Strategy<Value = String> {
    "[A-Za-z_][A-Za-z0-9_.-]{0,20}".prop_filter("set by minijob", |name| !is_fact(name))
}

fn millis(least: u64, most: u64) -> impl Strategy<Value = Duration> {
    (least..=most).prop_map(Duration::from_millis)
}

fn backoff() -> impl Strategy<Value = Backoff> {
    prop_oneof![Just(Backoff::Constant), Just(Backoff::Exponential)]
}

fn attempts() -> impl Strategy<Value = Option<u32>> {
    option::of(0..=ATTEMPTS_MOST as u32)
}

fn restart() -> impl Strategy<Value = Restart> {
    let interval = prop_oneof![
        millis(INTERVAL_LEAST.as_millis() as u64, 1 << 30).prop_map(Interval::Window),
        Just(Interval::Forever)
    ];
    let on_exhausted = prop_oneof![Just(OnExhausted::Move), Just(OnExhausted::Stay), Just(OnExhausted::Fail)];
    let delays = (millis(100, 1 << 25), millis(0, 1 << 25));
    let on = prop_oneof![Just(RestartOn::Any), Just(RestartOn::Failure), Just(RestartOn::Never)];
    (attempts(), interval, delays, backoff(), 0u8..=100, on_exhausted, on)
        .prop_map(|(attempts, interval, (delay, more), backoff, jitter_percent, on_exhausted, on)| Restart {
            attempts,
            interval,
            delay,
            backoff,
            max_delay: delay + more,
            jitter_percent,
            on_exhausted,
            on,
        })
        .prop_filter("waits for ever", |restart| {
            restart.attempts.is_none()
                || restart.interval != Interval::Forever
                || restart.on_exhausted != OnExhausted::Stay
        })
}

fn reschedule() -> impl Strategy<Value = Reschedule> {
    (attempts(), millis(100, 1 << 25), millis(0, 1 << 25), backoff()).prop_map(
        |(attempts, delay, more, backoff)| Reschedule { attempts, delay, backoff, max_delay: delay + more },
    )
}

fn process() -> impl Strategy<Value = Process> {
    let path = || text().prop_map(|text| format!("/{}", text.replace(char::is_whitespace, "_")));
    let command = prop_oneof![name(), path()];
    (command, vec(text(), 0..6), option::of("[a-z0-9_-]{1,20}(:[a-z0-9]{1,5})?"), option::of(path()))
        .prop_map(|(command, args, user, workdir)| Process { command, args, user, workdir })
}

/// A path below another, in components of any characters that a path may have.
fn relative() -> impl Strategy<Value = String> {
    let part = prop_oneof!["[a-z0-9._-]{1,10}", "\\PC{1,8}", "[ab: #'\"-]{1,8}"];
    let plain = |part: String| {
        let part = part.replace(['/', '$', '\0'], "x");
        if part == "." || part == ".." { "x".to_owned() } else { part }
    };
    vec(part.prop_map(plain), 1..4).prop_map(|parts| parts.join("/"))
}

fn absolute() -> impl Strategy<Value = String> {
    relative().prop_map(|path| format!("/{path}"))
}

fn file() -> impl Strategy<Value = TaskFile> {
    let content = prop_oneof![
        text().prop_map(String::into_bytes),
        "[$v{ar.x}\n]{0,20}".prop_map(String::into_bytes),
        Just(b"$${var.a} ${var.b} ${job.name}".to_vec()),
        vec(any::<u8>(), 0..30),
    ];
    (relative(), content, 0u32..=0o777).prop_map(|(to, content, mode)| TaskFile {
        to,
        content: content.into(),
        mode,
    })
}

/// Files of which none lies in another.
fn files() -> impl Strategy<Value = Vec<TaskFile>> {
    let apart = |files: &Vec<TaskFile>| overlap(files.iter().map(|file| file.to.as_str())).is_none();
    vec(file(), 0..3).prop_filter("a file in a file", apart)
}

fn volume() -> impl Strategy<Value = Volume> {
    let source = prop_oneof![name().prop_map(VolumeSource::Host), absolute().prop_map(VolumeSource::Path)];
    (source, any::<bool>()).prop_map(|(source, read_only)| Volume { source, read_only })
}

fn lifecycle() -> impl Strategy<Value = Lifecycle> {
    prop_oneof![
        4 => Just(Lifecycle::Main),
        1 => any::<bool>().prop_map(|sidecar| Lifecycle::Prestart { sidecar }),
        1 => any::<bool>().prop_map(|sidecar| Lifecycle::Poststart { sidecar }),
        1 => Just(Lifecycle::Poststop),
    ]
}

fn rlimit() -> impl Strategy<Value = Rlimit> {
    (option::of(0..=RLIMIT_MOST), option::of(0..=RLIMIT_MOST)).prop_map(|(one, other)| match (one, other) {
        (Some(one), Some(other)) => Rlimit { soft: Some(one.min(other)), hard: Some(one.max(other)) },
        (one, other) => Rlimit { soft: one.or(other), hard: None },
    })
}

fn confinement() -> impl Strategy<Value = Confinement> {
    let rlimit_name = sample::select(&RLIMITS[..]).prop_map(|(name, _)| name.to_owned());
    let capabilities = sample::subsequence(CAPABILITIES.to_vec(), 0..5).prop_map(|mut names| {
        names.sort_unstable();
        names.into_iter().map(str::to_owned).collect::<Vec<_>>()
    });
    let isolate =
        any::<[bool; 4]>().prop_map(|[pid, ipc, mount, network]| Isolate { pid, ipc, mount, network });
    let numbers = (option::of(-20i8..=19), option::of(-1000i16..=1000));
    (btree_map(rlimit_name, rlimit(), 0..4), numbers, option::of(capabilities), any::<bool>(), isolate)
        .prop_map(|(rlimits, (nice, oom_score_adj), capabilities, new_privileges, isolate)| Confinement {
            rlimits,
            nice,
            oom_score_adj,
            capabilities,
            new_privileges,
            isolate,
        })
}

/// What is reserved, and limits that are none or not below it.
fn resources() -> impl Strategy<Value = (Resources, Limits)> {
    let cpu = (1u64..=4_096_000, option::of(0u64..=4_096_000))
        .prop_map(|(cpu, more)| (cpu, more.map(|more| (cpu + more).min(4_096_000))));
    let memory = (1u64..=1 << 49, option::of(0u64..=1 << 49))
        .prop_map(|(memory, more)| (memory, more.map(|more| (memory + more).max(MEMORY_LIMIT_LEAST))));
    (cpu, memory, option::of(1..=PIDS_MOST)).prop_map(|(cpu, memory, pids)| {
        let resources = Resources { cpu_millis: cpu.0, memory_bytes: memory.0 };
        (resources, Limits { cpu_millis: cpu.1, memory_bytes: memory.1, pids })
    })
}

fn logs() -> impl Strategy<Value = LogPolicy> {
    let kept = (1u32..=1000, LOG_FILE_LEAST..=1 << 50, millis(0, 1 << 35));
    (kept, option::of(absolute()), any::<bool>()).prop_map(
        |((max_files, max_file_bytes, retain), file, journald)| LogPolicy {
            max_files,
            max_file_bytes,
            retain,
            file,
            journald,
        },
    )
}

fn task() -> impl Strategy<Value = Task> {
    let env_file = (absolute(), any::<bool>()).prop_map(|(path, optional)| NodeEnvFile { path, optional });
    let program = (process(), btree_map(key(), text(), 0..5), resources(), logs());
    let ends = (1i32..=SIGNAL_MAX, millis(0, 1 << 30), lifecycle(), any::<bool>());
    let found = (files(), vec(env_file, 0..3), confinement());
    (program, ends, found).prop_map(|(program, ends, found)| {
        let (process, env, (resources, limits), logs) = program;
        let (stop_signal, stop_timeout, lifecycle, critical) = ends;
        let (files, env_files, confinement) = found;
        Task {
            process,
            env,
            resources,
            stop_signal,
            stop_timeout,
            logs,
            lifecycle,
            critical,
            limits,
            files,
            env_files,
            mounts: Vec::new(),
            confinement,
        }
    })
}

fn ports() -> impl Strategy<Value = BTreeMap<String, Port>> {
    btree_map(name(), option::of(1u16..), 0..4).prop_map(|ports| {
        let mut taken = BTreeSet::new();
        let fits = |(_, number): &(String, Option<u16>)| number.is_none_or(|number| taken.insert(number));
        let ports: Vec<(String, Option<u16>)> = ports.into_iter().filter(fits).collect();
        let port = |number: Option<u16>| number.map_or(Port::Dynamic, Port::Static);
        ports.into_iter().map(|(name, number)| (name, port(number))).collect()
    })
}

fn placement() -> impl Strategy<Value = Placement> {
    let expression = || {
        prop_oneof![
            "[a-z]{1,8}".prop_map(|text| format!("meta[\"{text}\"] != \"#: {text}\"")),
            Just("version(attr.kernel) >= version('5.10')".to_owned()),
            "[a-z ]{0,8}".prop_map(|text| format!("node.name in [\"{text}\"]")),
        ]
    };
    let fact = || prop_oneof![Just("node".to_owned()), "(meta|attr)\\.[a-zé.]{1,8}"];
    let affinity = (expression(), -100i8..=100).prop_map(|(when, weight)| Affinity { when, weight });
    let targets = btree_map("[a-z0-9: ]{1,6}", 0u8..=30, 0..3);
    let spread =
        (fact(), 1u8..=100, targets).prop_map(|(over, weight, targets)| Spread { over, weight, targets });
    (
        vec(expression(), 0..3),
        vec(affinity, 0..3),
        vec(spread, 0..3),
        option::of(fact()),
        option::of("[a-z0-9.-]{1,10}"),
    )
        .prop_map(|(constraints, affinities, spread, distinct, node)| Placement {
            constraints,
            affinities,
            spread,
            distinct,
            node,
        })
}

fn migrate() -> impl Strategy<Value = Migrate> {
    (1u32..=10_000, millis(0, 1 << 30), millis(1, 1 << 30)).prop_map(|(max_parallel, least, more)| Migrate {
        max_parallel,
        min_healthy_time: least,
        healthy_deadline: least + more,
    })
}

/// A group whose tasks mount some of its volumes, and of which at least one is a main task.
fn group(kind: JobType) -> impl Strategy<Value = Group> {
    let policies = (restart(), reschedule(), option::of(millis(1000, 1 << 35)), migrate());
    let fence = (option::of(millis(3000, 3_600_000)), any::<bool>());
    let volumes = btree_map(name(), volume(), 0..3);
    let mounts = vec((any::<sample::Index>(), absolute(), any::<bool>()), 0..3);
    (0u32..=10_000, btree_map(name(), task(), 1..3), ports(), policies, volumes, mounts, placement(), fence)
        .prop_map(
            move |(
                count,
                mut tasks,
                ports,
                (restart, reschedule, max_run, migrate),
                volumes,
                mounts,
                placement,
                (stop_after, singleton),
            )| {
                if let Some(task) = tasks.values_mut().next() {
                    task.lifecycle = Lifecycle::Main;
                    for (index, to, read_only) in mounts.into_iter().filter(|_| !volumes.is_empty()) {
                        let volume =
                            volumes.keys().nth(index.index(volumes.len())).cloned().unwrap_or_default();
                        if task.mounts.iter().all(|other| other.to != to) {
                            task.mounts.push(Mount { volume, to, read_only });
                        }
                    }
                }
                let max_run = max_run.filter(|_| kind.has_an_end());
                let Placement { constraints, node, .. } = placement.clone();
                let (count, placement) = match kind.is_per_node() {
                    true => (1, Placement { constraints, node, ..Placement::default() }),
                    false => (count, placement),
                };
                Group {
                    stop_after,
                    singleton: singleton && !kind.is_per_node() && count <= 1,
                    count,
                    ports,
                    restart,
                    reschedule,
                    volumes,
                    max_run,
                    placement,
                    migrate,
                    ..Group::new(kind, tasks)
                }
            },
        )
}

/// Picks for what every group waits: groups before it in the order of names, so that there is no cycle, and other jobs.
fn with_dependencies(
    mut job: Job,
    picks: &[(sample::Index, sample::Index, Condition, Option<String>)],
) -> Job {
    let names: Vec<String> = job.groups.keys().cloned().collect();
    for (who, other, condition, of_job) in picks {
        let (who, other) = (who.index(names.len()), other.index(names.len() + 1));
        let of_job = of_job.clone().filter(|name| *name != job.key.name);
        let group = names.get(other).filter(|_| of_job.is_some() || other < who).cloned();
        let never_ends = |name: &String| !job.groups[name].kind.has_an_end();
        let mine =
            of_job.is_none() && *condition == Condition::Completed && group.as_ref().is_some_and(never_ends);
        let condition = if mine { Condition::Healthy } else { *condition };
        let Some(waits) = job.groups.get_mut(&names[who]) else { continue };
        let twice = |known: &Dependency| (&known.job, &known.group) == (&of_job, &group);
        if (group.is_some() || of_job.is_some()) && !waits.depends_on.iter().any(twice) {
            waits.depends_on.push(Dependency { job: of_job, group, condition });
        }
    }
    job
}

/// Any job that a job file can describe.
pub(crate) fn job() -> impl Strategy<Value = Job> {
    let kind = || sample::select(&JobType::ALL[..]);
    let key_of_job = (name(), name()).prop_map(|(namespace, name)| JobKey { namespace, name });
    let groups = (kind(), btree_map(name(), kind().prop_flat_map(group), 1..3));
    let condition = sample::select(Condition::WORDS.map(|(_, condition)| condition).to_vec());
    let pick = (any::<sample::Index>(), any::<sample::Index>(), condition, option::of(name()));
    (key_of_job, 1u8..=100, btree_map(key(), text(), 0..4), groups, vec(pick, 0..4)).prop_map(
        |(key, priority, meta, (kind, groups), picks)| {
            with_dependencies(Job { priority, meta, ..Job::new(key, kind, groups) }, &picks)
        },
    )
}
