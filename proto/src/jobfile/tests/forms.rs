//! What people write is what they get.

use std::path::Path;
use std::time::Duration;

use super::super::{brief, explain, parse, parse_in};
use crate::model::{
    Backoff, Condition, Confinement, Dependency, Interval, Isolate, Job, JobType, Lifecycle, Limits, Migrate,
    Mount, NodeEnvFile, OnExhausted, Port, Reschedule, Resources, Restart, RestartOn, Rlimit, Task, Volume,
    VolumeSource,
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
    restart: {attempts: -1, interval: forever, delay: 2s, backoff: constant, max_delay: 9s, jitter: 0%, on_exhausted: stay, on: failure}
    reschedule: {attempts: 4, delay: 1s, backoff: constant, max_delay: 1m}
    migrate: {max_parallel: 2, min_healthy_time: 10s, healthy_deadline: 1m}
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
        on: RestartOn::Failure,
    };
    assert_eq!(group.restart, restart);
    let reschedule = Reschedule {
        attempts: Some(4),
        delay: Duration::from_secs(1),
        backoff: Backoff::Constant,
        max_delay: Duration::from_secs(60),
    };
    assert_eq!(group.reschedule, reschedule);
    let (min_healthy_time, healthy_deadline) = (Duration::from_secs(10), Duration::from_secs(60));
    assert_eq!(group.migrate, Migrate { max_parallel: 2, min_healthy_time, healthy_deadline });
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
fn what_a_task_may_use_and_is_given_arrives() {
    let job = job("
name: full
type: batch
groups:
  g:
    volumes: {data: {host: pgdata, read_only: true}, cache: {path: /var/cache/x}}
    max_run: 1h
    tasks:
      before: {command: b, lifecycle: {hook: prestart}}
      beside: {command: b, lifecycle: {hook: poststart, sidecar: true}}
      after: {command: b, lifecycle: {hook: poststop}}
      same: {command: b, lifecycle: {hook: main}}
      t:
        command: /bin/b
        user: www-data:adm
        critical: true
        resources: {cpu: 0.5, cpu_limit: 2, memory: 64MiB, memory_limit: 1GiB, pids: 50}
        files: [{to: local/a, content: '$${var.x} ${job.name}', mode: 0600}, {to: b, base64: AAH/}]
        env_files: [{path: /etc/x.env, on_node: true, optional: true}]
        mounts: [{volume: data, to: /data}, {volume: cache, to: /cache, read_only: true}]
        rlimits: {nofile: 65536, RLIMIT_CORE: unlimited, stack: {soft: 1, hard: unlimited}}
        nice: -5
        oom_score_adj: 500
        capabilities: [CAP_SYS_TIME, net_bind_service, Net_Bind_Service]
        new_privileges: true
        isolate: {pid: true, network: none}
        logs: {file: /var/log/x.log, to: journald, retain: 2h}
");
    let group = &job.groups["g"];
    let volume = |source, read_only| Volume { source, read_only };
    assert_eq!(group.volumes["data"], volume(VolumeSource::Host("pgdata".into()), true));
    assert_eq!(group.volumes["cache"], volume(VolumeSource::Path("/var/cache/x".into()), false));
    assert_eq!(group.max_run, Some(Duration::from_secs(3600)));
    let lifecycles = ["after", "before", "beside", "same", "t"].map(|name| group.tasks[name].lifecycle);
    let (before, beside) = (Lifecycle::Prestart { sidecar: false }, Lifecycle::Poststart { sidecar: true });
    assert_eq!(lifecycles, [Lifecycle::Poststop, before, beside, Lifecycle::Main, Lifecycle::Main]);
    let task = &group.tasks["t"];
    assert_eq!((task.process.user.as_deref(), task.critical), (Some("www-data:adm"), true));
    assert_eq!(task.resources, Resources { cpu_millis: 500, memory_bytes: 64 << 20 });
    let limits = Limits { memory_bytes: Some(1 << 30), cpu_millis: Some(2000), pids: Some(50) };
    assert_eq!(task.limits, limits);
    let files: Vec<_> =
        task.files.iter().map(|file| (file.to.as_str(), &file.content[..], file.mode)).collect();
    let expected: [(&str, &[u8], u32); 2] =
        [("local/a", b"${var.x} ${job.name}", 0o600), ("b", b"\0\x01\xff", 0o644)];
    assert_eq!(files, expected);
    assert_eq!(task.env_files, [NodeEnvFile { path: "/etc/x.env".into(), optional: true }]);
    let mount = |volume: &str, to: &str, read_only| Mount { volume: volume.into(), to: to.into(), read_only };
    assert_eq!(task.mounts, [mount("data", "/data", false), mount("cache", "/cache", true)]);
    let rlimit = |soft, hard| Rlimit { soft, hard };
    let confinement = Confinement {
        rlimits: [
            ("core".to_owned(), rlimit(None, None)),
            ("nofile".to_owned(), rlimit(Some(65536), Some(65536))),
            ("stack".to_owned(), rlimit(Some(1), None)),
        ]
        .into(),
        nice: Some(-5),
        oom_score_adj: Some(500),
        capabilities: Some(vec!["net_bind_service".into(), "sys_time".into()]),
        new_privileges: true,
        isolate: Isolate { pid: true, network: true, ..Isolate::default() },
    };
    assert_eq!(task.confinement, confinement);
    assert_eq!((task.logs.file.as_deref(), task.logs.journald), (Some("/var/log/x.log"), true));
    assert_eq!(task.logs.retain, Duration::from_secs(7200));
}

#[test]
fn two_paths_of_the_node_may_hold_names_and_unknown_ones_are_faults() {
    let text = "name: a\ncommand: b\nmeta: {team: ops}\n\
        env_files: [{path: '/etc/${meta.team}.env', on_node: true}]\nlogs: {file: '/var/log/${alloc.index}-${env.X}.log'}\n";
    let task = task(text);
    assert_eq!(task.env_files[0].path, "/etc/${meta.team}.env");
    assert_eq!(task.logs.file.as_deref(), Some("/var/log/${alloc.index}-${env.X}.log"));
    for wrong in
        ["logs: {file: '/${nope}.log'}", "logs: {file: '${env.HOME}/x.log'}", "logs: {file: '/${env.X}.log'}"]
    {
        assert!(parse("job.yml", &format!("name: a\ncommand: b\n{wrong}\n")).is_err(), "{wrong}");
    }
}

#[test]
fn written_memory_is_the_limit_and_nothing_written_limits_nothing() {
    let of = |resources: &str| {
        let task = task(&format!("name: a\ncommand: b\nresources: {resources}\n"));
        (task.resources.memory_bytes >> 20, task.limits.memory_bytes.map(|bytes| bytes >> 20))
    };
    assert_eq!(of("{cpu: 1}"), (32, None));
    assert_eq!(of("{memory: 64MiB}"), (64, Some(64)));
    assert_eq!(of("{memory: 64MiB, memory_limit: 128MiB}"), (64, Some(128)));
    assert_eq!(of("{memory: 64MiB, memory_limit: none}"), (64, None));
    assert_eq!(of("{memory_limit: 128MiB}"), (32, Some(128)));
    assert_eq!(of("{memory_limit: 16MiB}"), (16, Some(16)), "never more is reserved than may be used");
    let cpu = task("name: a\ncommand: b\nresources: {cpu_limit: 20m}\n");
    assert_eq!((cpu.resources.cpu_millis, cpu.limits.cpu_millis), (20, Some(20)));
}

#[test]
fn no_capabilities_are_not_those_of_the_user() {
    assert_eq!(task("name: a\ncommand: b\ncapabilities: []\n").confinement.capabilities, Some(Vec::new()));
    assert_eq!(task("name: a\ncommand: b\ncapabilities:\n").confinement.capabilities, None);
    assert!(parse("job.yml", "name: a\ncommand: b\ncapabilities: none\n").is_err());
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
fn a_fence_is_read_with_its_time_and_a_singleton_without_one() {
    let group = &job("name: a\ncommand: b\ndisconnect: {stop_after: 10s}\n").groups["a"];
    assert_eq!((group.stop_after, group.singleton), (Some(Duration::from_secs(10)), false));
    let lease = Duration::from_secs(4);
    assert_eq!(group.fence(lease), Some(Duration::from_secs(10)));
    let group = &job("name: a\ncommand: b\nsingleton: true\n").groups["a"];
    assert_eq!((group.stop_after, group.fence(lease)), (None, Some(lease)));
    let group = &job("name: a\ncommand: b\nsingleton: true\ndisconnect: {stop_after: 1m}\n").groups["a"];
    assert_eq!(group.fence(lease), Some(Duration::from_secs(60)), "what is written counts");
    assert_eq!(job("name: a\ncommand: b\n").groups["a"].fence(lease), None);
}

#[test]
fn a_singleton_that_is_several_is_an_error_and_so_is_a_fence_that_cannot_be_renewed() {
    let wrong = |text: &str| parse("job.yml", text).expect_err("is wrong").to_string();
    let several = wrong("name: a\ncommand: b\ncount: 3\nsingleton: true\n");
    assert!(
        several.contains("job.yml:4:1: `singleton` is for one allocation, and `count` is 3"),
        "{several}"
    );
    assert!(wrong("name: a\ntype: system\ncommand: b\nsingleton: true\n").contains("once on every node"));
    let short = wrong("name: a\ncommand: b\ndisconnect: {stop_after: 1s}\n");
    assert!(short.contains("3s"), "{short}");
}

#[test]
fn a_default_that_is_spelled_out_is_accepted() {
    job(
        "name: a\ncommand: b\nsingleton: false\ncritical: false\nservices: []\nvolumes: {}\nshutdown_delay: 0s\n\
         max_run: none\nlifecycle: main\nimage:\nlogs: {retain: 24h, file: none, to: none}\n\
         ports: {x: {protocol: tcp, address: private}}\nchecks: none\nvariables:\n\
         update: {order: stop_first, max_parallel: 1, auto_revert: true}\nmigrate: {max_parallel: 1}\n\
         disconnect: {stop_after: none}\nresources: {memory_limit: none, cpu_limit: none, pids: none}\n\
         mounts: []\nenv_files: []\nfiles: []\nisolate: {pid: false, network: host}\nrestart: {on: any}\n",
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
fn what_goes_without_saying_is_left_out_of_the_brief_form() {
    for text in [
        "name: a\ncommand: b\n",
        "name: a\ncount: 2\ncommand: b\nargs:\n  - c\nports:\n  admin: {static: 9000}\n  http: {}\nrestart:\n  delay: 45s\n",
        "name: a\nnamespace: lab\ntype: batch\npriority: 7\ncommand: b\nresources:\n  memory: 1MiB\nmax_run: 1h\n",
        "name: a\ncommand: b\nresources:\n  cpu: 1\n  memory_limit: 1GiB\n",
        "name: a\ncommand: b\nresources:\n  memory: 1GiB\n  memory_limit: none\n",
        "name: a\ncommand: b\ncapabilities: []\nisolate:\n  network: none\n",
        "name: a\ncommand: b\nargs:\n  - |\n    two\n    lines\n",
        "name: a\ntasks:\n  b:\n    command: c\n    lifecycle: {hook: prestart}\n  d:\n    command: e\n",
        "name: a\ngroups:\n  b:\n    tasks:\n      b:\n        command: c\n",
    ] {
        assert_eq!(brief(&job(text)), text);
    }
}

#[test]
fn explaining_shows_the_full_form() {
    let shown = explain(&job(
        "name: web\ncount: 2\ncommand: /bin/sh\nargs: [-c, \"a\\nb\\n\", ~x]\nports: {http: {}, s: {static: 80}}\nenv: {A: 1}\n",
    ));
    assert_eq!(shown, EXPLAINED);
}

const EXPLAINED: &str = "\
name: web
namespace: default
type: service
priority: 50
meta: {}
groups:
  web:
    type: service
    count: 2
    ports:
      http: {}
      s: {static: 80}
    volumes: {}
    max_run: none
    constraints: []
    affinities: []
    spread: []
    # distinct: nothing
    # node: any
    depends_on: []
    restart:
      attempts: 3
      interval: 5m
      delay: 1s
      backoff: exponential
      max_delay: 30s
      jitter: 10%
      on_exhausted: move
      on: any
    reschedule:
      attempts: -1
      delay: 5s
      backoff: exponential
      max_delay: 10m
    migrate:
      max_parallel: 1
      min_healthy_time: 5s
      healthy_deadline: 5m
    disconnect:
      stop_after: none
    singleton: false
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
        env_files: []
        files: []
        # user: the agent's default user
        # workdir: the task's own directory
        resources:
          cpu: 50m
          memory: 32MiB
          cpu_limit: none
          memory_limit: none
          pids: none
        mounts: []
        lifecycle: main
        critical: false
        stop_signal: SIGTERM
        stop_timeout: 5s
        logs:
          max_files: 10
          max_file_size: 10MiB
          retain: 1d
          file: none
          to: none
        rlimits: {}
        # nice: the agent's own
        # oom_score_adj: the default of the kernel
        # capabilities: those of its user
        new_privileges: false
        isolate:
          pid: false
          ipc: false
          mount: false
          network: host
";

#[test]
fn what_a_group_waits_for_is_short_or_long() {
    let text = |depends_on: &str| {
        format!(
            "name: a\ngroups: {{db: {{tasks: {{t: {{command: b}}}}}}, web: {{{depends_on}, tasks: {{t: {{command: b}}}}}}}}\n"
        )
    };
    let of = |depends_on: &str| job(&text(depends_on)).groups["web"].depends_on.clone();
    let on = |job: Option<&str>, group: Option<&str>, condition| Dependency {
        job: job.map(str::to_owned),
        group: group.map(str::to_owned),
        condition,
    };
    let db = on(None, Some("db"), Condition::Started);
    for short in
        ["depends_on: db", "depends_on: [db]", "depends_on: [{group: db}]", "depends_on: {group: db}"]
    {
        assert_eq!(of(short), std::slice::from_ref(&db), "{short}");
    }
    assert_eq!(of("depends_on: [{job: a, group: db}]"), [db], "a job that names itself means itself");
    let others = of(
        "depends_on: [{job: x}, {job: x, group: y, condition: completed}, {group: db, condition: healthy}]",
    );
    let expected = [
        on(Some("x"), None, Condition::Started),
        on(Some("x"), Some("y"), Condition::Completed),
        on(None, Some("db"), Condition::Healthy),
    ];
    assert_eq!(others, expected);
    for nothing in ["depends_on: []", "depends_on: {}", "depends_on: "] {
        assert_eq!(of(nothing), [], "{nothing}");
    }
}
