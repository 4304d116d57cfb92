//! Random jobs that a job file can describe.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use super::restart::{ATTEMPTS_MOST, INTERVAL_LEAST};
use super::task::is_fact;
use crate::ids::JobKey;
use crate::model::{
    Backoff, Group, Interval, Job, JobType, LogPolicy, OnExhausted, Port, Process, Reschedule, Resources,
    Restart, RestartOn, Task,
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
        proptest::sample::select(&HOSTILE[..]).prop_map(str::to_owned),
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
    (attempts(), interval, delays, backoff(), 0u8..=100, on_exhausted)
        .prop_map(|(attempts, interval, (delay, more), backoff, jitter_percent, on_exhausted)| Restart {
            attempts,
            interval,
            delay,
            backoff,
            max_delay: delay + more,
            jitter_percent,
            on_exhausted,
            on: RestartOn::Any,
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
    (command, vec(text(), 0..6), option::of("[a-z0-9_-]{1,20}"), option::of(path()))
        .prop_map(|(command, args, user, workdir)| Process { command, args, user, workdir })
}

fn task() -> impl Strategy<Value = Task> {
    let resources = (1u64..=4_096_000, 1u64..=1 << 50)
        .prop_map(|(cpu_millis, memory_bytes)| Resources { cpu_millis, memory_bytes });
    let logs = (1u32..=1000, 4096u64..=1 << 50).prop_map(|(max_files, max_file_bytes)| LogPolicy {
        max_files,
        max_file_bytes,
        ..LogPolicy::default()
    });
    (process(), btree_map(key(), text(), 0..5), resources, 1i32..=64, millis(0, 1 << 30), logs).prop_map(
        |(process, env, resources, stop_signal, stop_timeout, logs)| Task {
            process,
            env,
            resources,
            stop_signal,
            stop_timeout,
            logs,
            ..Task::new("")
        },
    )
}

fn group() -> impl Strategy<Value = Group> {
    let ports = btree_map(name(), option::of(1u16..), 0..4).prop_map(|ports| {
        let mut taken = BTreeSet::new();
        let fits = |(_, number): &(String, Option<u16>)| number.is_none_or(|number| taken.insert(number));
        let ports: Vec<(String, Option<u16>)> = ports.into_iter().filter(fits).collect();
        let port = |number: Option<u16>| number.map_or(Port::Dynamic, Port::Static);
        ports.into_iter().map(|(name, number)| (name, port(number))).collect::<BTreeMap<_, _>>()
    });
    (0u32..=10_000, btree_map(name(), task(), 1..3), ports, restart(), reschedule()).prop_map(
        |(count, tasks, ports, restart, reschedule)| Group {
            count,
            ports,
            restart,
            reschedule,
            ..Group::new(JobType::Service, tasks)
        },
    )
}

/// Any job that a job file can describe.
pub(crate) fn job() -> impl Strategy<Value = Job> {
    let kind = prop_oneof![Just(JobType::Service), Just(JobType::Batch)];
    let key_of_job = (name(), name()).prop_map(|(namespace, name)| JobKey { namespace, name });
    (key_of_job, kind, 1u8..=100, btree_map(key(), text(), 0..4), btree_map(name(), group(), 1..3))
        .prop_map(|(key, kind, priority, meta, groups)| Job { priority, meta, ..Job::new(key, kind, groups) })
}
