use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tests::cluster::{Cluster, live, pids};
use tests::command::{Answer, bare};
use tests::job;

/// Where what is shown to users of Ansible is.
fn example() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/three-servers/ansible"))
}

/// Returns Ansible's command for playbooks, with a home of its own.
///
/// # Panics
/// Where it is missing: what it would have shown stays unknown.
fn playbook(home: &Path) -> Command {
    let mut command = Command::new("ansible-playbook");
    let there = Command::new("ansible-playbook").arg("--version").output();
    assert!(
        there.is_ok_and(|output| output.status.success()),
        "there is no ansible-playbook, so nobody knows whether the example for Ansible works: \
         `apt-get install --no-install-recommends ansible-core`, or `tests/run`, which does that"
    );
    // Of whoever runs the tests nothing counts: neither settings nor the cluster that their commands are for.
    for name in ["ANSIBLE_CONFIG", "MINIJOB_ADDR", "MINIJOB_TOKEN", "MINIJOB_CONTEXT", "MINIJOB_NAMESPACE"] {
        command.env_remove(name);
    }
    command
        .env("HOME", home)
        .env("ANSIBLE_LIBRARY", example().join("library"))
        .env("ANSIBLE_ROLES_PATH", example().join("roles"));
    command.env("ANSIBLE_NOCOLOR", "1").env("ANSIBLE_LOCALHOST_WARNING", "false");
    command.args([
        "-i",
        "localhost,",
        "-e",
        "ansible_connection=local ansible_python_interpreter=/usr/bin/python3",
    ]);
    command
}

/// A task of the module `minijob_job`, as a play has it, and what it needs to reach the cluster.
struct Plays<'a>(&'a Cluster);

impl Plays<'_> {
    /// Plays one task with these options and returns its result. The token is in nothing that Ansible says, however much it is asked to.
    fn play(&self, options: Value, flags: &[&str]) -> Value {
        let cluster = self.0;
        let mut options = options;
        options["addr"] = json!([cluster.addr()]);
        options["token"] = json!(cluster.token());
        options["executable"] = json!(tests::command::program());
        if options["timeout"].is_null() {
            options["timeout"] = json!(60);
        }
        let result = cluster.dir().join("result.json");
        let keep = json!({"content": "{{ result | to_json }}", "dest": result});
        let play = json!([{"hosts": "all", "gather_facts": false, "tasks": [
            {"minijob_job": options, "register": "result", "ignore_errors": true},
            {"ansible.builtin.copy": keep, "check_mode": false, "diff": false},
        ]}]);
        let file = cluster.dir().join("play.yml");
        std::fs::write(&file, play.to_string()).expect("written");
        std::fs::remove_file(&result).ok();
        let output = playbook(cluster.dir()).arg("-vvv").args(flags).arg(&file).output().expect("it runs");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(!said.contains(&cluster.token()), "the token is shown: {said}");
        let result = std::fs::read_to_string(&result).unwrap_or_else(|error| panic!("{error}: {said}"));
        assert!(!result.contains(&cluster.token()), "the token is in the result: {result}");
        serde_json::from_str(&result).expect("JSON")
    }

    /// The same of a task that has to go well; says whether it reports a change.
    fn changed(&self, options: Value, flags: &[&str]) -> bool {
        let result = self.play(options, flags);
        assert_eq!(result["failed"], false, "{result}\n{}", self.0.said());
        result["changed"].as_bool().expect("a task says whether it changed something")
    }
}

/// A play that says `present`, `disabled`, `enabled`, `absent` of a job makes it so, once, waits until it is so, and says truly whether
/// it changed anything; in check mode it says that beforehand and does nothing.
#[test]
fn a_play_of_ansible_makes_a_job_what_it_says_and_changes_nothing_twice() {
    let cluster = Cluster::start(1);
    let plays = Plays(&cluster);
    let file = cluster.dir().join("web.yml");
    std::fs::write(&file, job::shell("web", 1, "exec sleep 1000")).expect("written");
    let present = || json!({"name": "web", "src": file});
    let (check, diff) = (["--check"], ["--check", "--diff"]);

    assert!(plays.changed(present(), &check), "it would be new");
    assert_eq!(cluster.run(&["status", "web"]).code, 3, "check mode submits nothing");
    assert!(plays.changed(present(), &[]), "it is new");
    let first = cluster.status("web").expect("it is there");
    assert_eq!(first["health"], "healthy", "the play waited for that: {first}");
    assert!(!plays.changed(present(), &[]), "it is as the file says");
    assert!(!plays.changed(present(), &check), "nothing would change");

    std::fs::write(&file, job::shell("web", 1, "exec sleep 2000")).expect("written");
    let would = plays.play(present(), &diff);
    assert_eq!((&would["changed"], &would["version"]), (&json!(true), &json!(2)), "{would}");
    let plan = would["diff"]["prepared"].as_str().expect("the plan");
    assert!(plan.contains("web: version 2 instead of 1") && plan.contains("sleep 2000"), "{would}");
    let still = cluster.status("web").expect("it is there");
    assert_eq!((&still["version"], pids(&still)), (&json!(1), pids(&first)), "check mode changes nothing");
    let second = plays.play(present(), &[]);
    assert_eq!((&second["changed"], &second["version"]), (&json!(true), &json!(2)), "{second}");

    let state = |state: &str| json!({"name": "web", "state": state});
    assert!(plays.changed(state("disabled"), &check), "it would be stopped");
    assert_eq!(cluster.status("web").expect("it is there")["health"], "healthy", "it runs on");
    assert!(plays.changed(state("disabled"), &[]), "it is stopped");
    let stopped = cluster.status("web").expect("it stays known");
    assert_eq!((&stopped["health"], live(&stopped).count()), (&json!("stopped"), 0), "{stopped}");
    assert!(!plays.changed(state("disabled"), &[]), "it is stopped already");

    assert!(plays.changed(state("enabled"), &check), "it would start");
    assert!(plays.changed(state("enabled"), &[]), "it starts");
    let again = cluster.status("web").expect("it is there");
    assert_eq!((&again["health"], &again["version"]), (&json!("healthy"), &json!(2)), "as it was: {again}");
    assert!(!plays.changed(state("enabled"), &[]), "it is started already");

    assert!(plays.changed(state("absent"), &check), "it would go");
    assert_eq!(cluster.status("web").expect("it is there")["health"], "healthy", "it runs on");
    assert!(plays.changed(state("absent"), &[]), "it goes");
    assert_eq!(cluster.run(&["status", "web"]).code, 3, "the play waited until it was forgotten");
    assert!(!plays.changed(state("absent"), &[]), "it is gone already");
    assert!(!plays.changed(state("absent"), &check), "nothing would go");
}

/// A play that cannot do what it says fails with the sentence of minijob, the line in the file and the next step.
#[test]
fn a_play_of_ansible_that_fails_says_what_minijob_says() {
    let cluster = Cluster::start(1);
    let plays = Plays(&cluster);
    let refused = |options: Value, words: &[&str]| {
        let result = plays.play(options, &[]);
        assert_eq!((&result["failed"], &result["changed"]), (&json!(true), &json!(false)), "{result}");
        let message = result["msg"].as_str().expect("a message");
        for word in words {
            assert!(message.contains(word), "`{word}` is not in: {message}");
        }
    };
    let file = cluster.dir().join("faulty.yml");
    std::fs::write(&file, "name: web\ncomand: /bin/true\n").expect("written");
    refused(json!({"src": file}), &["faulty.yml:2:1: unknown key `comand`", "did you mean `command`?"]);
    refused(
        json!({"state": "enabled", "name": "web"}),
        &["there is no job `web`", "`minijob status` lists all jobs"],
    );
    let content = job::shell("shop", 1, "exec sleep 1000");
    refused(json!({"name": "web", "content": content}), &["the file describes shop, not web"]);
    assert_eq!(cluster.run(&["status", "shop"]).code, 3, "nothing was submitted");

    // Submitted, and never healthy: it fails, and says that it changed something.
    let lost = "name: lost\ncommand: /bin/sleep\nargs: [\"1000\"]\nnode: elsewhere\n";
    let result = plays.play(json!({"content": lost, "timeout": 2}), &[]);
    assert_eq!((&result["failed"], &result["changed"]), (&json!(true), &json!(true)), "{result}");
    assert!(
        result["msg"].as_str().is_some_and(|text| text.contains("lost: not healthy in time")),
        "{result}"
    );
}

/// The plays of the example are well-formed, and in check mode the role says what it would do and writes nothing. What needs systemd is
/// left out: there is none where tests run.
#[test]
fn the_example_for_ansible_can_be_played_and_checked_beforehand() {
    let dir = tempfile::tempdir().expect("a directory");
    let play = |args: &[&str]| {
        let output = playbook(dir.path()).current_dir(example()).args(args).output().expect("it runs");
        let answer = Answer::from(output);
        assert_eq!(answer.code, 0, "{answer:?}");
        answer.stdout
    };
    play(&["-i", "inventory.example", "--syntax-check", "site.yml", "jobs.yml"]);

    let (key, machine) = (dir.path().join("key"), dir.path().join("machine"));
    let made: Answer = bare(&["operator", "key", &key.to_string_lossy()]).output().expect("it runs").into();
    assert_eq!(made.code, 0, "{made:?}");
    std::fs::create_dir(&machine).expect("a directory");
    let given = json!({
        "ansible_become": false,
        "minijob_binary": tests::command::program(),
        "minijob_key_file": key,
        "minijob_program": machine.join("minijob"),
        "minijob_etc": machine.join("etc"),
    });
    let flags = ["--check", "--diff", "--tags", "minijob_files", "-e", &given.to_string()];
    let said = play(&[&["-i", "inventory.example", "site.yml"], &flags[..]].concat());
    let recap = said.lines().filter(|line| line.contains("failed=0") && line.contains("changed=3"));
    assert_eq!(recap.count(), 4, "program, folder and key on each of four machines: {said}");
    let left = std::fs::read_dir(&machine).expect("there").count();
    assert_eq!(left, 0, "check mode writes nothing");
    let secret = std::fs::read_to_string(&key).expect("a key");
    let secret = secret.lines().last().expect("it has a line");
    assert!(!said.contains(secret), "the key is shown: {said}");
}
