//! What people write is what they get.

use std::path::Path;
use std::time::Duration;

use super::super::{explain, parse, parse_in};
use crate::model::{
    Backoff, Interval, Job, JobType, OnExhausted, Port, Reschedule, Resources, Restart, RestartOn, Task,
};

fn jobs(text: &str) -> Vec<Job> {
    parse("job.yml", text).unwrap_or_else(|faults| panic!("{text}\n{faults}"))
}

fn job(text: &str) -> Job {
    let mut jobs = jobs(text);
    assert_eq!(jobs.len(), 1);
    jobs.remove(0)
}

/// Returns the only task of a job in the short form.
fn task(text: &str) -> Task {
    job(text).groups["a"].tasks["a"].clone()
}

#[test]
fn the_three_forms_say_the_same() {
    let short = job("name: a\ncount: 2\ncommand: b\nargs: [c]\n");
    let tasks = job("name: a\ncount: 2\ntasks: {a: {command: b, args: [c]}}\n");
    let full = job("name: a\ngroups: {a: {count: 2, tasks: {a: {command: b, args: [c]}}}}\n");
    assert_eq!(short, tasks);
    assert_eq!(short, full);
}

#[test]
fn what_is_left_out_is_the_default_of_the_type() {
    let service = job("name: a\ncommand: b\n");
    assert_eq!(service.key.to_string(), "a");
    assert_eq!((service.kind, service.priority), (JobType::Service, 50));
    let group = &service.groups["a"];
    assert_eq!((group.count, group.restart, group.reschedule), (1, Restart::SERVICE, Reschedule::SERVICE));
    let task = &group.tasks["a"];
    assert_eq!((task.stop_signal, task.stop_timeout), (15, Duration::from_secs(5)));
    assert_eq!(task.resources, Task::DEFAULT_RESOURCES);
    let batch = job("name: a\ntype: batch\ncommand: b\nrestart: {attempts: 1}\n");
    let expected = Restart { attempts: Some(1), ..Restart::BATCH };
    assert_eq!((batch.groups["a"].restart, batch.groups["a"].reschedule), (expected, Reschedule::BATCH));
}

#[test]
fn every_key_arrives() {
    let job = job("
name: full
namespace: team-a
type: batch
priority: 7
meta: {owner: me, build: 1.10}
groups:
  g:
    count: 3
    ports: {http: {}, admin: {static: 8080}}
    restart: {attempts: -1, interval: forever, delay: 2s, backoff: constant, max_delay: 9s, jitter: 0%, on_exhausted: stay}
    reschedule: {attempts: 4, delay: 1s, backoff: constant, max_delay: 1m}
    tasks:
      t:
        command: /bin/b
        args: [x, '${port.admin}']
        env: {A: '${meta.owner}'}
        user: 1000
        workdir: /srv/${job.name}
        resources: {cpu: 0.5, memory: 1GiB}
        stop_signal: usr1
        stop_timeout: 250ms
        logs: {max_files: 2, max_file_size: 4KiB}
");
    assert_eq!(job.key.to_string(), "team-a/full");
    assert_eq!((job.kind, job.priority, job.meta["build"].as_str()), (JobType::Batch, 7, "1.10"));
    let group = &job.groups["g"];
    assert_eq!(
        (group.count, group.ports["http"], group.ports["admin"]),
        (3, Port::Dynamic, Port::Static(8080))
    );
    let restart = Restart {
        attempts: None,
        interval: Interval::Forever,
        delay: Duration::from_secs(2),
        backoff: Backoff::Constant,
        max_delay: Duration::from_secs(9),
        jitter_percent: 0,
        on_exhausted: OnExhausted::Stay,
        on: RestartOn::Any,
    };
    assert_eq!(group.restart, restart);
    let reschedule = Reschedule {
        attempts: Some(4),
        delay: Duration::from_secs(1),
        backoff: Backoff::Constant,
        max_delay: Duration::from_secs(60),
    };
    assert_eq!(group.reschedule, reschedule);
    let task = &group.tasks["t"];
    assert_eq!(task.process.args, ["x", "${port.admin}"]);
    assert_eq!(
        (task.process.user.as_deref(), task.process.workdir.as_deref()),
        (Some("1000"), Some("/srv/${job.name}"))
    );
    assert_eq!(task.resources, Resources { cpu_millis: 500, memory_bytes: 1 << 30 });
    assert_eq!((task.stop_signal, task.stop_timeout), (10, Duration::from_millis(250)));
    assert_eq!((task.logs.max_files, task.logs.max_file_bytes), (2, 4096));
}

#[test]
fn texts_stay_as_they_are_written() {
    let task = task(
        "name: a\ncommand: b\nargs: [1, 1.10, true, yes, 0x10, '~', -x, 2026-01-01, 1e3]\nenv: {A: no, B: 007}\n",
    );
    assert_eq!(task.process.args, ["1", "1.10", "true", "yes", "0x10", "~", "-x", "2026-01-01", "1e3"]);
    assert_eq!((task.env["A"].as_str(), task.env["B"].as_str()), ("no", "007"));
}

#[test]
fn signals_have_names_and_numbers() {
    for (written, number) in [("SIGINT", 2), ("int", 2), ("Kill", 9), ("15", 15), ("64", 64), ("SIGIO", 29)] {
        assert_eq!(
            task(&format!("name: a\ncommand: b\nstop_signal: {written}\n")).stop_signal,
            number,
            "{written}"
        );
    }
}

#[test]
fn several_jobs_come_as_documents_or_as_a_list() {
    let names = |text: &str| jobs(text).into_iter().map(|job| job.key.name).collect::<Vec<_>>();
    assert_eq!(names("---\nname: a\ncommand: x\n---\n---\nname: b\ncommand: x\n...\n"), ["a", "b"]);
    assert_eq!(names("jobs:\n- {name: b, command: x}\n- {name: a, command: x}\n"), ["b", "a"]);
    assert_eq!(names("name: a\ncommand: x\n---\nname: a\nnamespace: other\ncommand: x\n"), ["a", "a"]);
}

#[test]
fn relative_paths_are_relative_to_the_file() {
    let text = "name: a\ncommand: ./bin/../run.sh\nworkdir: data\n";
    let jobs = parse_in("job.yml", text, Some(Path::new("/srv/shop"))).expect("is right");
    let process = &jobs[0].groups["a"].tasks["a"].process;
    assert_eq!(
        (process.command.as_str(), process.workdir.as_deref()),
        ("/srv/shop/bin/../run.sh", Some("/srv/shop/data"))
    );
    let looked_up =
        parse_in("job.yml", "name: a\ncommand: python3\n", Some(Path::new("/srv"))).expect("is right");
    assert_eq!(looked_up[0].groups["a"].tasks["a"].process.command, "python3");
    assert_eq!(task("name: a\ncommand: '/opt/my app/run it'\n").process.command, "/opt/my app/run it");
}

#[test]
fn a_default_that_is_spelled_out_is_accepted() {
    job(
        "name: a\ncommand: b\nsingleton: false\ncritical: false\nservices: []\nvolumes: {}\nshutdown_delay: 0s\n\
         max_run: none\nlifecycle: main\nimage:\nlogs: {retain: 24h}\nports: {x: {protocol: tcp, address: private}}\n",
    );
    job("name: a\ncommand: b\nargs:\nenv:\nports:\nrestart:\nmeta:\nresources:\n");
}

#[test]
fn a_limit_that_is_not_written_is_never_below_the_delay_that_is() {
    let group = &job("name: a\ncommand: b\nrestart: {delay: 2m}\nreschedule: {delay: 1h}\n").groups["a"];
    assert_eq!(group.restart.max_delay, Duration::from_secs(120));
    assert_eq!(group.reschedule.max_delay, Duration::from_secs(3600));
}

#[test]
fn anchors_line_ends_and_byte_order_marks_are_yamls_business() {
    let group = &job("name: a\ntasks:\n  b: &b {command: x, env: {A: b}}\n  c: *b\n").groups["a"];
    assert_eq!(group.tasks["b"], group.tasks["c"]);
    assert_eq!(job("\u{feff}name: a\r\ncommand: b\r\n"), job("name: a\ncommand: b\n"));
    let faults = parse("job.yml", "\u{feff}nam: a\ncommand: b\n").expect_err("is wrong");
    assert!(
        faults.to_string().starts_with("job.yml:1:1: unknown key `nam`\n  | nam: a\n  | ^\n"),
        "{faults}"
    );
    assert_eq!(job("{\"name\": \"a\", \"command\": \"b\"}"), job("name: a\ncommand: b\n"));
}

#[test]
fn a_job_too_large_to_be_stored_is_refused() {
    let text = format!("name: a\ncommand: b\nargs: [{}]\n", "x".repeat(crate::limits::JOB_STORED_BYTES));
    let faults = parse("job.yml", &text).expect_err("is too large").to_string();
    assert!(faults.contains("as it is stored, at most 196608"), "{faults}");
    let text = format!("name: a\ncommand: b\n#{}", "x".repeat(crate::limits::JOB_FILE_BYTES));
    let faults = parse("job.yml", &text).expect_err("is too large").to_string();
    assert_eq!(faults, "job.yml:1:1: the file has 1048596 bytes, at most 1048576");
}

#[test]
fn counts_of_everything_are_limited() {
    let many =
        |count: usize, entry: &dyn Fn(usize) -> String| (0..count).map(entry).collect::<Vec<_>>().join(", ");
    let head = "name: a\ncommand: b\n";
    let refused = [
        (
            format!("{head}args: [{}]", many(1001, &|n| n.to_string())),
            "1001 arguments, at most 1000 for a task",
        ),
        (
            format!("{head}env: {{{}}}", many(1001, &|n| format!("k{n}: x"))),
            "1001 variables, at most 1000 for a task",
        ),
        (
            format!("{head}meta: {{{}}}", many(101, &|n| format!("k{n}: x"))),
            "101 entries of `meta`, at most 100",
        ),
        (
            format!("{head}ports: {{{}}}", many(101, &|n| format!("k{n}: {{}}"))),
            "101 ports, at most 100 in a group",
        ),
        (
            format!("name: a\ntasks: {{{}}}", many(101, &|n| format!("k{n}: {{command: b}}"))),
            "101 tasks, at most 100",
        ),
        (
            format!(
                "name: a\ngroups: {{{}}}",
                many(101, &|n| format!("k{n}: {{tasks: {{t: {{command: b}}}}}}"))
            ),
            "101 groups, at most 100",
        ),
        (
            format!("jobs: [{}]", many(101, &|n| format!("{{name: a{n}, command: b}}"))),
            "101 jobs in one file, at most 100",
        ),
    ];
    for (text, message) in refused {
        let faults = parse("job.yml", &text).expect_err(message);
        assert_eq!(faults.0[0].message, message);
    }
    let faults = parse("job.yml", &"a: b\nc: d\n---\n".repeat(100)).expect_err("is no job");
    assert_eq!(faults.0.len(), crate::limits::ERRORS_PER_FILE);
    assert!(faults.to_string().ends_with("(only the first 100 errors are shown)"));
}

#[test]
fn explaining_shows_the_full_form() {
    let shown = explain(&job(
        "name: web\ncount: 2\ncommand: /bin/sh\nargs: [-c, \"a\\nb\\n\", ~x]\nports: {http: {}, s: {static: 80}}\nenv: {A: 1}\n",
    ));
    let expected = "\
name: web
namespace: default
type: service
priority: 50
meta: {}
groups:
  web:
    count: 2
    ports:
      http: {}
      s: {static: 80}
    restart:
      attempts: 3
      interval: 5m
      delay: 1s
      backoff: exponential
      max_delay: 30s
      jitter: 10%
      on_exhausted: move
    reschedule:
      attempts: -1
      delay: 5s
      backoff: exponential
      max_delay: 10m
    tasks:
      web:
        command: /bin/sh
        args:
          - \"-c\"
          - |
            a
            b
          - \"~x\"
        env:
          A: \"1\"
        # user: the agent's default user
        # workdir: the task's own directory
        resources:
          cpu: 50m
          memory: 32MiB
        stop_signal: SIGTERM
        stop_timeout: 5s
        logs:
          max_files: 10
          max_file_size: 10MiB
";
    assert_eq!(shown, expected);
}
