use std::time::Duration;

use super::*;
use crate::model::{Interval, OnExhausted};

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

fn read(path: &Path) -> Option<String> {
    path.ends_with("dev.env").then(|| "# note\nbroken\nMAIL=a\n MAIL=b = c\n".to_owned())
}

fn converted(text: &str) -> Converted {
    convert("shop.yaml", text, Some(Path::new("/srv")), &read).expect("it is a file of monexec")
}

fn is_one(text: &str) -> bool {
    yaml::read("x.yml", text, |_, root| root.is_some_and(is_monexec)).expect("YAML")
}

#[test]
fn a_service_becomes_a_group_that_is_run_as_monexec_would() {
    let job = &converted(SHOP).jobs[0];
    assert_eq!((job.key.name.as_str(), job.kind), ("shop", JobType::Service));
    assert_eq!(job.groups.keys().collect::<Vec<_>>(), ["shop-api", "worker"]);
    let group = &job.groups["shop-api"];
    let task = &group.tasks["shop-api"];
    assert_eq!(task.process.command, "/srv/./api");
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
    let job = &converted("services: [{label: w, command: worker}]").jobs[0];
    let group = &job.groups["w"];
    assert_eq!(job.key.name, "w", "a service alone gives the job its name");
    assert_eq!((group.restart.attempts, group.restart.delay), (None, Duration::from_secs(6)));
    assert_eq!(group.tasks["w"].stop_timeout, Duration::from_secs(3));
    assert_eq!(group.tasks["w"].process.command, "worker", "looked up in PATH");
    assert_eq!(group.tasks["w"].process.workdir.as_deref(), Some("/srv"));
}

#[test]
fn what_has_no_counterpart_is_named_with_its_line() {
    let notes: Vec<String> = converted(SHOP).notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        [
            "line 3: the label `shop api` becomes the name `shop-api`",
            "line 7: `gone.env` cannot be read, and is left out",
            "line 14: no service of this file has the label `nobody`, so that it is not critical",
            "line 15: `consul` is not acted on: services are not registered in Consul yet",
            "line 18: `telegrm` is no section that is known, and is left out; did you mean `telegram`?",
        ]
    );
}

#[test]
fn labels_that_become_the_same_name_are_told_apart() {
    let job = &converted("services: [{label: A b, command: x}, {label: a-b, command: y}]").jobs[0];
    assert_eq!(job.groups.keys().collect::<Vec<_>>(), ["a-b", "a-b-2"]);
}

#[test]
fn what_monexec_would_stumble_over_is_a_fault_with_its_place() {
    let text = "services:\n  - label: a\n  - command: x\n    stop_timeout: soon\n    args: none\n";
    let faults = convert("m.yaml", text, None, &read).expect_err("three faults").0;
    let places: Vec<(u32, &str)> = faults.iter().map(|fault| (fault.line, fault.message.as_str())).collect();
    assert_eq!(places.len(), 3, "{places:?}");
    assert_eq!(places[0], (2, "the service has no `command`"));
    assert!(places[1].1.contains("`1m30s`"), "{places:?}");
}

#[test]
fn only_a_list_of_programs_is_taken_for_monexecs() {
    assert!(is_one(SHOP));
    assert!(is_one("services: [{command: x}]"));
    assert!(!is_one("services: {web: {image: nginx}}"), "docker-compose");
    assert!(!is_one("name: web\ncommand: x\nservices: [{port: http}]"), "a job");
    assert!(!is_one("services: [{port: http}]"));
    assert!(!is_one("[]"));
}

#[test]
fn what_was_converted_is_a_valid_job_file() {
    let job = converted(SHOP).jobs.remove(0);
    let text = crate::jobfile::explain(&job);
    assert_eq!(crate::jobfile::parse("shop.yml", &text), Ok(vec![job]), "{text}");
}
