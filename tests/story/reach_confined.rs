use tests::cluster::Cluster;
use tests::command::Answer;
use tests::process;
use tests::wait::{SOON, until};

/// A task apart from its machine in every way that a job may ask for, and confined in most others.
const BOX: &str = r#"
name: box
command: /bin/sh
args: [-c, "echo mine > /tmp/own; trap 'echo got hup' HUP; echo ready; while true; do sleep 0.05; done"]
user: daemon
env: {OF_TASK: "yes"}
isolate: {pid: true, ipc: true, mount: true, network: none}
resources: {cpu: 1m, memory: 16MiB, pids: 20}
rlimits: {nofile: 123}
nice: 7
oom_score_adj: 321
capabilities: [net_bind_service]
"#;

/// Promise 9: `exec` lands inside: in the task's namespaces, as its user, with its limits and with no right that it does not have.
#[test]
fn a_command_is_as_apart_from_the_machine_as_its_task() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not checked: only an agent that is root can confine a task like this");
        return;
    }
    let cluster = Cluster::start(1);
    let pid = start(&cluster);
    let inside = |script: &str| ran(&cluster, &["exec", "box", "--", "sh", "-c", script]);

    for namespace in ["pid", "ipc", "mnt", "net"] {
        let of = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/{namespace}")).expect("it runs");
        let (of_task, ours) = (of(&pid.to_string()), of("self"));
        assert_ne!(of_task, ours, "the task has a {namespace} of its own");
        // The shell is born into it; its own /proc says so.
        assert_eq!(inside(&format!("readlink /proc/self/ns/{namespace}")), of_task.display().to_string());
    }
    assert_eq!(inside("cat /tmp/own"), "mine", "its own /tmp");
    assert_eq!(inside("cut -d: -f1 -s /proc/net/dev | tr -d ' '"), "lo", "no network but its own");
    let seen: Vec<u32> = numbers(&inside("ls /proc"));
    assert!(
        seen.contains(&1) && seen.len() < 8 && !seen.contains(&pid),
        "the task, its init and the command: {seen:?}"
    );

    let status = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let (of_task, of_command) = (status(pid), inside("cat /proc/self/status"));
    for fact in [
        "Uid:",
        "Gid:",
        "Groups:",
        "CapInh:",
        "CapPrm:",
        "CapEff:",
        "CapBnd:",
        "CapAmb:",
        "NoNewPrivs:",
        "Seccomp:",
    ] {
        assert_eq!(line(&of_command, fact), line(&of_task, fact));
    }
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).expect("it runs");
    assert_eq!(inside("cat /proc/self/limits"), read("limits").trim_end());
    assert_eq!(inside("cat /proc/self/oom_score_adj; nice"), "321\n7");
    assert_eq!(inside("cat /proc/self/cgroup"), read("cgroup").trim_end(), "it is counted with the task");
    assert_eq!(inside("echo $OF_TASK $MINIJOB_TASK"), "yes box");
    assert_eq!(inside("id -un"), "daemon");
}

/// Another user may be asked for, and takes none of the task's rights along; what the command of one confined task does ends with it.
#[test]
fn another_user_has_nothing_of_the_task_and_the_end_of_the_task_is_that_of_the_command() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("not checked: only an agent that is root can confine a task like this");
        return;
    }
    let cluster = Cluster::start(1);
    start(&cluster);
    let as_other =
        |script: &str| ran(&cluster, &["exec", "--user", "nobody", "box", "--", "sh", "-c", script]);
    assert_eq!(as_other("id -un; grep CapEff /proc/self/status | cut -f2"), "nobody\n0000000000000000");
    assert_eq!(as_other("cat /tmp/own"), "mine", "in the same place");
    let refused = cluster.run(&["exec", "--user", "root", "box", "--", "true"]);
    assert!(refused.code == 1 && refused.stderr.contains("allow_root"), "{refused:?}");

    assert_eq!(cluster.run(&["signal", "box", "-s", "HUP"]).code, 0);
    until(SOON, "the signal has reached it inside", || {
        let logs = cluster.run(&["logs", "box"]).stdout;
        if logs.contains("got hup") { Ok(()) } else { Err(logs) }
    });
    let mut command = cluster.command(&[
        "exec",
        "box",
        "--",
        "sh",
        "-c",
        "trap '' HUP TERM; echo ready; sleep 3000 & wait",
    ]);
    let client = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("it runs");
    let group = cluster.agent_dir(0).join("allocs");
    let sleeps = || process::mentioning(&group).into_iter().find(|pid| cmdline(*pid) == "sleep\x003000\0");
    let beside = until(SOON, "it runs beside the task", || sleeps().ok_or_else(|| "no".to_owned()));
    assert_eq!(cluster.run(&["stop", "box"]).code, 0);
    let answer: Answer = client.wait_with_output().expect("it ends").into();
    assert_ne!(answer.code, 0, "{answer:?}");
    until(SOON, "nothing of it is left", || {
        let left = process::mentioning(&group);
        if left.is_empty() && !process::is_alive(beside) { Ok(()) } else { Err(format!("{left:?}")) }
    });
}

fn start(cluster: &Cluster) -> u32 {
    cluster.submit(BOX);
    until(SOON, "it is ready", || {
        let logs = cluster.run(&["logs", "box"]).stdout;
        if logs.contains("ready") { Ok(()) } else { Err(format!("{logs} {:?}", cluster.status("box"))) }
    });
    let status = cluster.wait_job("box", "it runs", |status| status["running"] == 1);
    tests::cluster::pids(&status)[0]
}

/// What a command printed that must do well.
fn ran(cluster: &Cluster, args: &[&str]) -> String {
    let answer = cluster.run(args);
    assert_eq!((answer.code, answer.stderr.as_str()), (0, ""), "{args:?}: {answer:?}");
    answer.stdout.trim_end().to_owned()
}

fn numbers(text: &str) -> Vec<u32> {
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn line<'a>(status: &'a str, fact: &str) -> Option<&'a str> {
    status.lines().find(|line| line.starts_with(fact))
}

fn cmdline(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}
