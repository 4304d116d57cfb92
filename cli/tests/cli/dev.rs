//! `dev` with a file, for real: a server, an agent and a task in processes of their own.

use std::process::Child;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::world::{World, outcome};

/// A `dev` that is killed should the test not end it; its keeper ends the tasks then.
struct Dev(Option<Child>);

impl Drop for Dev {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn a_file_is_submitted_once_the_only_node_takes_work() {
    let world = World::new();
    world.file("hello.yml", "name: hello\ncommand: /bin/sleep\nargs: [1000]\n");
    let mut command = world.command(&["dev", "--listen", "127.0.0.1:0", "hello.yml"]);
    command.env("TMPDIR", world.home()).env("PATH", "/usr/bin:/bin");
    let mut dev = Dev(Some(command.spawn().expect("it starts")));

    let began = Instant::now();
    let healthy = || {
        let shown = world.run(&["status", "hello", "--json"]);
        shown.code == Some(0) && shown.json()["health"] == "healthy"
    };
    while !healthy() {
        assert!(began.elapsed() < Duration::from_secs(30), "{:?}", world.run(&["status", "hello"]));
        std::thread::sleep(Duration::from_millis(100));
    }
    let events = world.run(&["events", "--json"]).json();
    let kinds: Vec<&str> = events["items"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|event| event["kind"].as_str())
        .collect();
    let place = |kind: &str| kinds.iter().position(|other| *other == kind);
    assert!(place("node_registered") < place("job_submitted"), "{kinds:?}");
    assert_eq!(place("unplaceable"), None, "{kinds:?}");

    let child = dev.0.take().expect("it runs");
    kill(Pid::from_raw(child.id() as i32), Signal::SIGINT).expect("it runs");
    let ended = outcome(child);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stderr.contains("minijob: stopping 1 job: hello"), "{ended:?}");
    assert!(!ended.stdout.contains("wait"), "nobody was told that it waits for a node: {ended:?}");
}
