use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tests::cluster::Cluster;
use tests::command::Answer;
use tests::process;
use tests::wait::{SOON, until};

use crate::{http, memory};

/// Commands that a node runs beside tasks at one time.
const AT_ONCE: usize = 16;

/// Promise 9: `signal` reaches a running allocation, and says why where there is nothing to reach.
#[test]
fn a_signal_reaches_the_task_and_what_cannot_be_reached_says_why() {
    let cluster = Cluster::start(1);
    cluster.serve("web", 1, "trap 'echo got hup' HUP; echo ready; while true; do sleep 0.05; done");
    logged(&cluster, "web", "ready");
    let sent = cluster.run(&["signal", "web", "--signal", "SIGHUP"]);
    assert_eq!(sent.code, 0, "{sent:?}");
    logged(&cluster, "web", "got hup");
    let posted = post(&cluster, "/v1/allocs/web.web.0/signal", r#"{"signal": "hup"}"#);
    assert_eq!(
        (posted["signal"].as_str(), posted["task"].as_str()),
        (Some("SIGHUP"), Some("web")),
        "{posted}"
    );

    let refused = |args: &[&str], code: i32, said: &str| {
        let answer = cluster.run(args);
        assert!(answer.code == code && answer.stderr.contains(said), "{args:?}: {answer:?}");
    };
    refused(&["signal", "wbe", "-s", "HUP"], 3, "did you mean `web`?");
    refused(&["signal", "web", "shipper", "-s", "HUP"], 3, "it has web");
    refused(&["signal", "web", "-s", "SIGHPU"], 2, "no signal");
    cluster.submit(&tests::job::batch("once", "true"));
    cluster.wait_job("once", "it is done", |status| status["allocs"][0]["state"] == "complete");
    refused(&["signal", "once", "-s", "HUP"], 1, "nothing of `once` runs");
    refused(&["exec", "once", "--", "true"], 1, "nothing of `once` runs");
}

/// Promise 9: `exec` runs beside the task as the task runs, and passes on what the command says and ends with.
#[test]
fn a_command_runs_as_its_task_does_and_its_end_is_passed_on() {
    let cluster = Cluster::start(1);
    let pids = cluster.serve("web", 1, "exec sleep 1000");
    let run = |command: &[&str]| cluster.run(&[&["exec", "web", "--"], command].concat());
    let answer = run(&["sh", "-c", "echo $MINIJOB_ALLOC_INDEX $PWD; echo oops >&2; exit 7"]);
    assert_eq!((answer.code, answer.stderr.trim()), (7, "oops"), "{answer:?}");
    assert!(answer.stdout.starts_with("0 /") && answer.stdout.trim().ends_with("tasks/web"), "{answer:?}");

    // Same user, same control groups.
    let of_task = std::fs::read_to_string(format!("/proc/{}/cgroup", pids[0])).expect("it runs");
    assert_eq!(run(&["cat", "/proc/self/cgroup"]).stdout, of_task);
    assert_eq!(run(&["id", "-u"]).stdout.trim(), uid(pids[0]));

    assert_eq!(run(&["sh", "-c", "kill -TERM $$"]).code, 128 + 15);
    let missing = run(&["no-such-program-here"]);
    assert!(missing.code == 127 && missing.stderr.contains("no-such-program-here"), "{missing:?}");
    assert_eq!(run(&["/etc/passwd"]).code, 126);
    let nobody = cluster.run(&["exec", "--user", "no-such-user-here", "web", "--", "true"]);
    assert!(nobody.code == 1 && nobody.stderr.contains("no-such-user-here"), "{nobody:?}");
    let unfinished = cluster.run(&["exec", "web"]);
    assert_eq!(unfinished.code, 2, "{unfinished:?}");
}

/// What goes in comes out whole, its end included, far beyond what any queue on the way holds.
#[test]
fn standard_input_is_passed_on_with_its_end() {
    let cluster = Cluster::start(1);
    cluster.serve("web", 1, "exec sleep 1000");
    let mut child = exec(&cluster, &["-i", "web", "--", "sh", "-c", "cat; echo the end"]);
    let mut input = child.stdin.take().expect("piped");
    let text: String = (0..200_000).map(|number| format!("line {number}\n")).collect();
    let sent = text.clone();
    let feeding = std::thread::spawn(move || input.write_all(sent.as_bytes()).expect("it reads"));
    let answer: Answer = child.wait_with_output().expect("it ends").into();
    feeding.join().expect("all was sent");
    assert_eq!(answer.code, 0, "{}", answer.stderr);
    assert!(answer.stdout == text + "the end\n", "{} bytes came back", answer.stdout.len());
}

/// A client that dies, and a task that ends, take their command with them.
#[test]
fn a_command_ends_with_its_client_and_with_its_task() {
    let cluster = Cluster::start(1);
    cluster.serve("web", 1, "exec sleep 1000");
    let mut client = exec(&cluster, &["web", "--", "sh", "-c", "trap '' HUP; sleep 2000 & echo $$ $!; wait"]);
    let pids = two_pids(&mut client);
    client.kill().expect("it runs");
    client.wait().expect("it ends");
    gone(&pids, "it ignores SIGHUP, and is killed with its children");

    let mut client =
        exec(&cluster, &["web", "--", "sh", "-c", "trap '' HUP TERM; sleep 2000 & echo $$ $!; wait"]);
    let pids = two_pids(&mut client);
    assert_eq!(cluster.run(&["stop", "web"]).code, 0);
    let answer: Answer = client.wait_with_output().expect("it ends").into();
    assert_ne!(answer.code, 0, "{answer:?}");
    gone(&pids, "the task was stopped");
}

/// A command does not outlive the agent that runs it; its task does.
#[test]
fn a_command_ends_with_its_agent_and_the_task_does_not() {
    let mut cluster = Cluster::start(1);
    let task = cluster.serve("web", 1, "exec sleep 1000");
    let mut client = exec(&cluster, &["web", "--", "sh", "-c", "echo $$ $$; exec sleep 2000"]);
    let pids = two_pids(&mut client);
    cluster.kill_agent(0);
    gone(&pids, "the agent was killed");
    let answer: Answer = client.wait_with_output().expect("it ends").into();
    assert!(answer.code == 4 && answer.stderr.contains("connection to the agent broke"), "{answer:?}");
    assert!(process::is_alive(task[0]), "the task goes on");
}

/// With a terminal: it has a name, the size of the client's, follows its changes, and Ctrl-C goes to the command. The client's own is
/// as it was afterwards.
#[test]
fn a_terminal_is_passed_through_and_restored() {
    let cluster = Cluster::start(1);
    cluster.serve("web", 1, "exec sleep 1000");
    let answer =
        in_terminal(&cluster, &["exec", "-it", "web", "--", "sh", "-c", "tty; stty size; echo $TERM"], "");
    assert!(answer.stdout.contains("/dev/pts/") && answer.stdout.contains("41 83"), "{answer:?}");
    assert!(answer.stdout.contains("vt-of-test"), "{answer:?}");

    let script = "trap 'echo interrupted; exit 9' INT; trap 'stty size' WINCH; echo ready; while true; do sleep 0.1; done";
    let steps = "wait ready\nsize 50 90\nwait 50 90\nsend \\x03\nwait interrupted\n";
    let answer = in_terminal(&cluster, &["exec", "-it", "web", "--", "sh", "-c", script], steps);
    assert_eq!(answer.code, 9, "{answer:?}");
    for signal in ["TERM", "HUP"] {
        let steps = format!("wait ready\nkill {signal}\n");
        let answer = in_terminal(
            &cluster,
            &["exec", "-it", "web", "--", "sh", "-c", "echo ready; sleep 1000"],
            &steps,
        );
        assert!(answer.code > 128, "{answer:?}");
    }
    let no_terminal = cluster.run(&["exec", "-it", "web", "--", "true"]);
    assert!(no_terminal.code == 2 && no_terminal.stderr.contains("leave out -t"), "{no_terminal:?}");
}

/// A command that says a lot to somebody who does not read is held back; nobody else is.
#[test]
fn a_slow_reader_delays_no_heartbeat() {
    let cluster = Cluster::start(1);
    cluster.serve("web", 1, "exec sleep 1000");
    let mut client = exec(&cluster, &["web", "--", "sh", "-c", "echo $$ $$; exec yes"]);
    let (pids, begin) = (two_pids(&mut client), Instant::now());
    // Longer than a silent node is believed.
    while begin.elapsed() < Duration::from_secs(6) {
        let nodes = cluster.http("/v1/nodes").expect("the server answers");
        assert_eq!(nodes["items"][0]["liveness"], "up", "{nodes}");
        let signalled = cluster.run(&["signal", "web", "-s", "CONT"]);
        assert_eq!(signalled.code, 0, "{signalled:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
    let agent = memory::resident(cluster.agent_pid(0)).expect("it runs");
    assert!(agent < 64 << 20, "the agent holds {agent} bytes");
    assert!(process::is_alive(pids[0]), "it waits for its reader");
    client.kill().expect("it runs");
    client.wait().expect("it ends");
    gone(&pids, "its client is gone");
}

/// As many commands as a node runs at once, and no more.
#[test]
fn commands_of_a_node_are_bounded() {
    let cluster = Cluster::start(1);
    cluster.serve("web", 1, "exec sleep 1000");
    let begin = |_| {
        let mut client = exec(&cluster, &["web", "--", "sh", "-c", "echo $$ $$; exec sleep 2000"]);
        two_pids(&mut client);
        client
    };
    let mut clients: Vec<Child> = (0..AT_ONCE).map(begin).collect();
    let refused = cluster.run(&["exec", "web", "--", "true"]);
    assert!(refused.code == 4 && refused.stderr.contains("as many commands as it may"), "{refused:?}");
    let mut one = clients.pop().expect("there are some");
    process::signal(one.id(), Signal::SIGTERM);
    one.wait().expect("it ends");
    until(SOON, "there is room again", || {
        let answer = cluster.run(&["exec", "web", "--", "true"]);
        if answer.code == 0 { Ok(()) } else { Err(format!("{answer:?}")) }
    });
    for mut client in clients {
        client.kill().expect("it runs");
        client.wait().expect("it ends");
    }
}

fn exec(cluster: &Cluster, args: &[&str]) -> Child {
    let mut command = cluster.command(&[&["exec"], args].concat());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the program runs")
}

/// Reads the two numbers that a command prints first, and leaves the rest unread.
fn two_pids(client: &mut Child) -> Vec<u32> {
    let stdout = client.stdout.as_mut().expect("piped");
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        let mut byte = [0];
        if stdout.read(&mut byte).expect("it prints") == 0 {
            let mut said = String::new();
            client.stderr.as_mut().expect("piped").read_to_string(&mut said).ok();
            panic!("it ended: {said}");
        }
        line.push(byte[0]);
    }
    String::from_utf8_lossy(&line).split_whitespace().map(|pid| pid.parse().expect("a number")).collect()
}

fn gone(pids: &[u32], why: &str) {
    until(SOON, why, || match pids.iter().find(|pid| process::is_alive(**pid)) {
        None => Ok(()),
        Some(pid) => {
            Err(format!("{pid} is there: {:?}", std::fs::read_to_string(format!("/proc/{pid}/stat"))))
        }
    });
}

fn logged(cluster: &Cluster, job: &str, text: &str) {
    until(SOON, "the task says so", || {
        let answer = cluster.run(&["logs", job]);
        if answer.stdout.contains(text) { Ok(()) } else { Err(format!("{answer:?}")) }
    });
}

fn uid(pid: u32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).expect("every process has one");
    line.split_whitespace().next().expect("a number").to_owned()
}

fn post(cluster: &Cluster, path: &str, body: &str) -> serde_json::Value {
    http::ask(cluster.addr(), &format!("POST {path}"), &cluster.token(), body, SOON)
        .expect("the server answers")
        .json()
}

/// Runs the program at a terminal of 41 rows and 83 columns, does the steps, and sees that the terminal is as it was.
fn in_terminal(cluster: &Cluster, args: &[&str], steps: &str) -> Answer {
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("story/terminal.py");
    let of_program = cluster.command(args);
    let mut command = std::process::Command::new("python3");
    command.arg(driver).arg(of_program.get_program()).args(of_program.get_args()).env("TERM", "vt-of-test");
    for (name, value) in of_program.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("python3 runs");
    child.stdin.take().expect("piped").write_all(steps.as_bytes()).expect("it reads");
    let answer: Answer = child.wait_with_output().expect("it ends").into();
    let last = BufReader::new(answer.stderr.as_bytes()).lines().map_while(Result::ok).last();
    assert_eq!(last.as_deref(), Some("restored"), "{answer:?}");
    answer
}
