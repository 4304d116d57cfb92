use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::jobfile::testing::text;
use crate::jobfile::{self, Files};
use crate::model::{Interval, OnExhausted, Task};

const SHOP: &str = r#"
services:
  - label: shop api
    command: ./api
    args: [-p, 9001, "${HOME}"]
    environment: {MAIL: own, KEPT: "1"}
    envFiles: [dev.env, gone.env]
    workdir: run
    stop_timeout: 5s
    restart_delay: 1m0s
    restart: 2
    logFile: api.log
  - command: /usr/bin/worker
critical: [shop api, nobody]
consul:
  url: http://localhost:8500
  permanent: [shop api]
telegrm: {}
"#;

/// The environment files that there are.
struct Folder;

impl Files for Folder {
    fn read(&self, path: &Path, most: usize) -> Result<Option<Vec<u8>>, String> {
        match path.to_str() {
            Some("/srv/dev.env") => Ok(Some(b"# note\nbroken\nMAIL=a\n MAIL=b = c\nexport X=1\n".to_vec())),
            Some("/srv/large.env") => Ok(Some(vec![b'#'; most + 1])),
            Some("/srv/latin.env") => Ok(Some(b"A=\xe9\n".to_vec())),
            Some("/srv/dir") => Err("it is no regular file".to_owned()),
            _ => Ok(None),
        }
    }
}

fn convert_in(base: Option<&str>, text: &str) -> Converted {
    let given = Given { base: base.map(Path::new), files: Some(&Folder), ..Given::default() };
    convert("shop.yaml", text, &given)
}

fn converted(text: &str) -> (Vec<Job>, Vec<Note>) {
    let converted = convert_in(Some("/srv"), text);
    (converted.jobs.expect("it is a file of monexec"), converted.notes)
}

/// The faults of a file without a place, each with its line.
fn faults(text: &str) -> Vec<(u32, String)> {
    let faults = convert_in(None, text).jobs.expect_err("something is wrong").0;
    faults.into_iter().map(|fault| (fault.line, format!("{}; {}", fault.message, fault.hint))).collect()
}

fn notes(text: &str) -> Vec<String> {
    converted(text).1.iter().map(ToString::to_string).collect()
}

fn only_task(text: &str) -> Task {
    let job = converted(text).0.remove(0);
    job.groups.values().flat_map(|group| group.tasks.values()).next().expect("a task").clone()
}

#[test]
fn a_service_becomes_a_group_that_is_run_as_monexec_would() {
    let job = &converted(SHOP).0[0];
    assert_eq!((job.key.name.as_str(), job.kind), ("shop", JobType::Service));
    assert_eq!(job.groups.keys().collect::<Vec<_>>(), ["shop-api", "worker"]);
    let group = &job.groups["shop-api"];
    let task = &group.tasks["shop-api"];
    assert_eq!(task.process.command, "/srv/run/api", "as Go looks for it: where it starts");
    assert_eq!(task.process.args, ["-p", "9001", "$${HOME}"], "nothing is filled in");
    assert_eq!(task.process.workdir.as_deref(), Some("/srv/run"));
    assert_eq!(task.logs.file.as_deref(), Some("/srv/run/api.log"));
    assert_eq!((task.stop_signal, task.stop_timeout), (2, Duration::from_secs(5)));
    assert_eq!(task.env["MAIL"], "b = c", "files win over the file");
    assert_eq!(task.env["KEPT"], "1");
    assert!(task.critical);
    let restart = group.restart;
    assert_eq!(
        (restart.attempts, restart.interval, restart.on_exhausted),
        (Some(2), Interval::Forever, OnExhausted::Fail)
    );
    assert_eq!((restart.delay, restart.max_delay), (Duration::from_secs(60), Duration::from_secs(60)));
}

#[test]
fn what_is_not_written_is_monexecs_default() {
    let job = &converted("services: [{label: w, command: worker}]").0[0];
    let group = &job.groups["w"];
    assert_eq!(job.key.name, "w", "a service alone gives the job its name");
    assert_eq!((group.restart.attempts, group.restart.delay), (None, Duration::from_secs(6)));
    assert_eq!(group.tasks["w"].stop_timeout, Duration::from_secs(3));
    assert_eq!(group.tasks["w"].process.command, "worker", "looked up in PATH");
    assert_eq!(group.tasks["w"].process.workdir.as_deref(), Some("/srv"));
}

#[test]
fn what_has_no_counterpart_is_named_with_its_line() {
    assert_eq!(
        notes(SHOP),
        [
            "line 3: the label `shop api` becomes the name `shop-api`",
            "line 7: `dev.env`: `export X` is no name of a variable, and is left out",
            "line 7: there is no file `gone.env`, and it is left out",
            "line 14: when `shop api` has ended for good it is the end of all under `minijob supervise`; in a cluster the other services go on",
            "line 14: no service of this file has the label `nobody`, so that it is not critical",
            "line 15: `consul` is not acted on: services are not registered in Consul yet",
            "line 18: `telegrm` is no section that is known, and is left out; did you mean `telegram`?",
        ]
    );
}

/// What never ends is the end of nothing, wherever it runs.
#[test]
fn only_of_a_critical_service_that_can_end_the_end_is_spoken_of() {
    let text =
        |restart: &str| format!("services: [{{command: x{restart}}}, {{command: y}}]\ncritical: [x]\n");
    assert_eq!(notes(&text("")), [""; 0]);
    let noted = &converted(&text(", restart: 1")).1;
    assert!(noted.len() == 1 && noted[0].in_cluster_only && noted[0].line == 2, "{noted:?}");
}

#[test]
fn labels_that_become_the_same_name_are_told_apart() {
    let job = &converted("services: [{label: A b, command: x}, {label: a-b, command: y}]").0[0];
    assert_eq!(job.groups.keys().collect::<Vec<_>>(), ["a-b", "a-b-2"]);
}

#[test]
fn of_a_very_long_label_many_services_still_have_names() {
    let label = "a".repeat(80);
    let job =
        converted(&format!("services: [{}]", vec![format!("{{label: {label}, command: x}}"); 12].join(", ")));
    assert!(job.0[0].groups.keys().all(|name| name.len() <= 63), "{:?}", job.0[0].groups.keys());
    assert_eq!(job.0[0].groups.len(), 12);
}

#[test]
fn what_monexec_would_stumble_over_is_a_fault_with_its_place() {
    let text = "services:\n  - label: a\n  - command: x\n    stop_timeout: soon\n    args: none\n";
    let found = faults(text);
    assert_eq!(found.len(), 3, "{found:?}");
    assert_eq!((found[0].0, found[0].1.starts_with("the service has no `command`")), (2, true));
    assert!(found[1].0 == 4 && found[1].1.contains("`soon`") && found[1].1.contains("`1m30s`"), "{found:?}");
    assert!(found[2].0 == 5 && found[2].1.contains("`args` is `none`"), "{found:?}");
}

#[test]
fn what_no_job_can_be_is_a_fault_with_its_value() {
    let one = |line: &str| {
        let found = faults(&format!("services:\n  - label: a\n    {line}\n"));
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    };
    let with = |line: &str| one(&format!("command: /bin/a\n    {line}"));
    for (found, line, part) in [
        (one("command: ./api"), 3, "`command` is `./api`, a relative path"),
        (one("command: echo hello"), 2, "`command` is `echo hello`, expected the name of one program"),
        (one("command: /bin/${X}"), 3, "`command` is `/bin/${X}`"),
        (with("workdir: run"), 4, "`workdir` is `run`, a relative path"),
        (with("logFile: api.log"), 4, "`logFile` is `api.log`, a relative path"),
        (with("logFile: /var/log/${X}"), 4, "`logFile` is `/var/log/${X}`"),
        (with("logFile: /"), 4, "the root itself"),
        (with("envFiles: [a.env]"), 4, "`a.env`, a relative path"),
        (with("restart: 1000001"), 4, "`restart` is `1000001`, expected a whole number from -1 to 1000000"),
        (with("restart: -2"), 4, "`restart` is `-2`"),
        (with("restart_delay: 5m1y"), 4, "`restart_delay` is `5m1y`"),
        (with("stop_timeout: 90000h"), 4, "`stop_timeout` is `90000h`, expected at most `3650d`"),
        (with("raw: loud"), 4, "`raw` is `loud`"),
    ] {
        assert_eq!(found.0, line, "{found:?}");
        assert!(found.1.contains(part), "{part}: {found:?}");
    }
}

#[test]
fn an_environment_file_that_is_not_there_is_left_out_and_one_that_cannot_be_taken_is_a_fault() {
    let text = |file: &str| format!("services: [{{command: x, envFiles: [{file}]}}]");
    assert_eq!(notes(&text("dir")), ["line 1: `dir`: it is no regular file; it is left out"]);
    for (file, part) in [("large.env", "larger than 256KiB"), ("latin.env", "is not UTF-8")] {
        let faults = convert_in(Some("/srv"), &text(file)).jobs.expect_err("it cannot be taken").0;
        assert!(faults[0].message.contains(part), "{faults:?}");
    }
}

#[test]
fn paths_are_made_plain_and_relative_to_where_the_service_starts() {
    let task = only_task("services: [{command: ../bin/./api, workdir: a/b, logFile: ../../log/api.log}]");
    assert_eq!(task.process.command, "/srv/a/bin/api");
    assert_eq!(task.logs.file.as_deref(), Some("/srv/log/api.log"));
    let task = only_task("services: [{command: bin/api, logFile: /../var/log/api.log}]");
    assert_eq!(
        (task.process.command.as_str(), task.process.workdir.as_deref()),
        ("/srv/bin/api", Some("/srv"))
    );
    assert_eq!(task.logs.file.as_deref(), Some("/var/log/api.log"));
}

#[test]
fn a_duration_that_is_changed_is_named() {
    let text = "services: [{command: x, stop_timeout: 5, restart_delay: 1500us}]";
    assert_eq!(
        notes(text),
        [
            "line 1: `stop_timeout` is `5` (nanoseconds to monexec) and becomes 0ms, the least that there is",
            "line 1: `restart_delay` is `1500us` and becomes 100ms, the least that there is",
        ]
    );
    assert_eq!(notes("services: [{command: x, stop_timeout: 0s, restart_delay: 1.1s}]"), [""; 0]);
}

#[test]
fn a_command_that_is_mistyped_is_named_where_it_stands_and_the_notes_are_told_all_the_same() {
    let text = "services:\n  - label: web\n    comand: x\n    wrkdir: y\n";
    let message =
        "the service has no `command`, and `comand` is no key of a service; did you mean `command`?";
    assert_eq!(faults(text), [(3, message.to_owned())]);
    assert_eq!(convert_in(None, text).notes.iter().map(|note| note.line).collect::<Vec<_>>(), [3, 4]);
}

#[test]
fn what_says_nothing_is_as_if_it_were_not_written() {
    let text = "services:\n  - command: x\n    label:\n    args:\n    environment: {A: }\n    envFiles:\n    workdir:\n    \
                restart:\n    stop_timeout:\n    logFile:\n    raw:\ncritical:\nconsul:\n";
    let task = only_task(text);
    assert_eq!(task.env, BTreeMap::from([("A".to_owned(), String::new())]));
    assert_eq!(Task { env: BTreeMap::new(), ..task }, only_task("services: [{command: x}]"));
}

#[test]
fn a_mistyped_key_is_left_out_by_name() {
    let text = "services:\n  - command: x\n    envfile: [a]\n    frobnicate: 1\n";
    assert_eq!(
        notes(text),
        [
            "line 3: `envfile` is no key of a service, and is left out; did you mean `envFiles`?",
            "line 4: `frobnicate` is no key of a service, and is left out",
        ]
    );
}

#[test]
fn sections_may_have_a_file_of_their_own_which_holds_no_job() {
    let sections = converted("telegram: {token: x}\ncritical: [web]\n");
    assert_eq!((sections.0.len(), sections.1.len()), (0, 2));
    for empty in ["", "services: []", "critical: [web]", "services:"] {
        let faults = convert_in(Some("/srv"), empty).jobs.expect_err("nothing to run").0;
        assert_eq!(faults[0].message, "the file has no `services`", "{empty}");
    }
}

#[test]
fn more_notes_than_anybody_reads_are_counted() {
    let keys: String = (0..250).map(|number| format!("    key{number}: 1\n")).collect();
    let notes = converted(&format!("services:\n  - command: x\n{keys}")).1;
    assert_eq!(notes.len(), limits::ERRORS_PER_FILE);
    assert_eq!(notes[99].text, "from here on there are 151 more such notes");
}

#[test]
fn too_many_services_are_refused() {
    let text = format!("services: [{}]", vec!["{command: /x}"; 101].join(", "));
    assert_eq!(faults(&text)[0].1, "101 services, at most 100 in a file; split the file");
}

#[test]
fn what_was_converted_is_a_valid_job_file() {
    let job = converted(SHOP).0.remove(0);
    let text = jobfile::explain(&job);
    assert_eq!(jobfile::parse("shop.yml", &text), Ok(vec![job]), "{text}");
}

/// Any file: each value is what monexec would take there, or any text at all.
fn any_file() -> impl Strategy<Value = String> {
    let duration =
        prop_oneof!["[0-9]{1,12}(ns|us|ms|s|m|h)", "[0-9]{1,3}\\.[0-9]{1,4}s", "[0-9]{1,20}", text()];
    let path = prop_oneof!["(/|\\.|\\.\\.|[a-z ]{1,5}|\\$\\{|\\$){0,8}", "[a-z/.]{1,20}", text()];
    let value = prop_oneof![text(), "[a-z${}.]{0,20}"];
    let names = prop_oneof!["[A-Z_]{1,8}", "MINIJOB_(JOB|PORT_HTTP)", text()];
    let service = (
        (option::of(prop_oneof!["[a-zA-Z _-]{1,70}", text()]), path.clone(), option::of(path.clone())),
        (vec(value.clone(), 0..3), btree_map(names, value, 0..3), vec(path.clone(), 0..2)),
        (option::of(duration.clone()), option::of(duration), option::of(-3i64..3_000_000), option::of(path)),
    );
    let service = service.prop_map(|(program, given, kept)| {
        let (label, command, workdir) = program;
        let (args, environment, env_files) = given;
        let (stop_timeout, restart_delay, restart, log_file) = kept;
        json!({
            "label": label, "command": command, "workdir": workdir, "args": args, "environment": environment,
            "envFiles": env_files, "stop_timeout": stop_timeout, "restart_delay": restart_delay,
            "restart": restart, "logFile": log_file,
        })
    });
    (vec(service, 0..4), vec(text(), 0..2)).prop_map(|(services, critical)| {
        json!({ "services": services, "critical": critical, "consul": {} }).to_string()
    })
}

/// Has every file, with the same content.
struct Everywhere(Vec<u8>);

impl Files for Everywhere {
    fn read(&self, _: &Path, _: usize) -> Result<Option<Vec<u8>>, String> {
        Ok(Some(self.0.clone()))
    }
}

proptest! {
    /// Whatever a file holds, its job is written as a job file that is read as an equal job; or it is refused.
    #[test]
    fn whatever_is_converted_is_written_as_a_job_file_of_the_same_job(
        file in any_file(),
        base in option::of("/[a-z -]{0,8}"),
        env in any::<String>(),
    ) {
        let files = Everywhere(env.into_bytes());
        let given = Given { base: base.as_deref().map(Path::new), files: Some(&files), ..Given::default() };
        if let Ok(jobs) = convert("x.yml", &file, &given).jobs {
            for job in jobs {
                let text = jobfile::explain(&job);
                prop_assert_eq!(jobfile::parse("x.yml", &text), Ok(vec![job]), "{}", text);
            }
        }
    }

    /// What monexec would run without a word is never refused, nor is anything to be said of it.
    #[test]
    fn a_plain_file_is_converted_without_a_word(
        label in "[a-z][a-z0-9-]{0,20}[a-z]",
        command in "(/[a-z]{1,8}){1,3}|[a-z]{1,8}|\\./[a-z]{1,8}",
        args in vec("\\PC{0,20}", 0..4),
        environment in btree_map("[A-Z_]{1,8}", "\\PC{0,20}", 0..4),
        seconds in 1u32..100_000,
        restart in prop_oneof![Just(-1i64), 1i64..1_000_000],
    ) {
        let service = json!({
            "label": label, "command": command, "args": args, "environment": environment,
            "stop_timeout": format!("{seconds}s"), "restart_delay": format!("{seconds}s"), "restart": restart,
        });
        let converted = convert_in(Some("/srv"), &json!({ "services": [service] }).to_string());
        prop_assert!(converted.jobs.is_ok() && converted.notes.is_empty(), "{converted:?}");
    }

    #[test]
    fn no_text_makes_it_panic(text in "(services:|critical:|- |command: |label: |  |\n|[a-z{}\\[\\]:,/$]){0,40}") {
        let _ = convert_in(Some("/srv"), &text);
    }
}
