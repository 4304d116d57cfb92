use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use serde_json::Value;
use tests::cluster::pids;
use tests::command::{Answer, bare};
use tests::job;
use tests::process::{is_alive, signal, sweep};
use tests::wait::until;

/// How long anything may take on a machine that does much else.
const SOON: Duration = Duration::from_secs(60);

/// Three servers and one agent as real processes. When it is dropped nothing of it is left.
struct Three {
    dir: tempfile::TempDir,
    addrs: Vec<String>,
    servers: Vec<Option<Child>>,
    agent: Option<Child>,
}

impl Three {
    fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("minijob-story-").tempdir().expect("a directory");
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .expect("ours");
        // Kept until all are known, so that no port comes twice.
        let ports: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
        let addrs = ports.iter().map(|port| port.local_addr().expect("bound").to_string()).collect();
        drop(ports);
        let mut three = Self { dir, addrs, servers: vec![None, None, None], agent: None };
        let key = three.path("key");
        let made: Answer = bare(&["operator", "key", &key]).output().expect("it runs").into();
        assert_eq!(made.code, 0, "{made:?}");
        for number in [1, 2, 0] {
            three.start_server(number);
        }
        until(SOON, "three servers are one cluster", || three.voters(3));
        three.start_agent();
        three
    }

    fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_string_lossy().into_owned()
    }

    fn start_server(&mut self, number: usize) {
        let (data, name, join) =
            (self.path(&format!("s{number}")), format!("s{number}"), self.addrs.join(","));
        let key = self.path("key");
        let listen = &self.addrs[number];
        let args = ["server", "--listen", listen, "--data-dir", &data, "--name", &name, "--join", &join];
        let more = ["--bootstrap-expect", "3", "--key-file", &key];
        self.servers[number] = Some(spawn(&[&args[..], &more[..]].concat(), &[]));
    }

    fn start_agent(&mut self) {
        let (data, servers, key) = (self.path("agent"), self.addrs.join(","), self.path("key"));
        let args = ["agent", "--servers", &servers, "--data-dir", &data, "--name", "n0", "--key-file", &key];
        self.agent = Some(spawn(&args, &[("MINIJOB_TEST_DIR", &data)]));
    }

    fn token(&self) -> String {
        let path = self.dir.path().join("s0/token");
        let token = until(SOON, "the first start writes a token", || {
            std::fs::read_to_string(&path).map_err(|error| error.to_string())
        });
        token.trim().to_owned()
    }

    /// Runs a command against these servers, tried in turn.
    fn run_at(&self, servers: &[usize], args: &[&str], input: &str) -> Answer {
        let addrs: Vec<_> = servers.iter().map(|number| format!("https://{}", self.addrs[*number])).collect();
        let mut command = bare(args);
        command.env("MINIJOB_ADDR", addrs.join(",")).env("MINIJOB_TOKEN", self.token());
        command.env("MINIJOB_CA_FILE", self.path("s0/ca.pem"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it runs");
        child.stdin.take().expect("piped").write_all(input.as_bytes()).ok();
        child.wait_with_output().expect("it ends").into()
    }

    fn members(&self, servers: &[usize]) -> Result<Vec<Value>, String> {
        let answer = self.run_at(servers, &["server", "members", "--json"], "");
        if answer.code != 0 {
            return Err(format!("{answer:?}"));
        }
        answer.json()["items"].as_array().cloned().ok_or_else(|| format!("{answer:?}"))
    }

    fn voters(&self, wanted: usize) -> Result<(), String> {
        let members = self.members(&[0, 1, 2])?;
        let there = members.iter().filter(|one| one["voter"] == true && one["reachable"] == true).count();
        let is_led = members.iter().any(|one| one["leader"] == true);
        if there == wanted && is_led { Ok(()) } else { Err(format!("{members:?}")) }
    }

    fn leader(&self) -> usize {
        until(SOON, "one leads", || {
            let members = self.members(&[0, 1, 2])?;
            let leader = members.iter().find(|one| one["leader"] == true && one["reachable"] == true);
            let name = leader.and_then(|one| one["name"].as_str()).ok_or_else(|| format!("{members:?}"))?;
            name.trim_start_matches('s').parse().map_err(|_| name.to_owned())
        })
    }

    fn status(&self, servers: &[usize], job: &str) -> Result<Value, String> {
        let answer = self.run_at(servers, &["status", job, "--json"], "");
        if answer.code == 0 { Ok(answer.json()) } else { Err(format!("{answer:?}")) }
    }

    fn kill(&mut self, number: usize) {
        let mut child = self.servers[number].take().expect("it runs");
        signal(child.id(), Signal::SIGKILL);
        child.wait().ok();
    }
}

impl Drop for Three {
    fn drop(&mut self) {
        for mut child in self.servers.iter_mut().chain([&mut self.agent]).filter_map(Option::take) {
            child.kill().ok();
            child.wait().ok();
        }
        sweep(&self.dir.path().join("agent"));
    }
}

/// Starts a daemon; what it says goes where a failed test shows it.
fn spawn(args: &[&str], env: &[(&str, &str)]) -> Child {
    let mut command = bare(args);
    command.envs(env.iter().copied()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let stderr = child.stderr.take().expect("piped");
    let name = args[0].to_owned();
    std::thread::spawn(move || {
        BufReader::new(stderr).lines().map_while(Result::ok).for_each(|line| eprintln!("{name}: {line}"));
    });
    child
}

/// Promise: of three servers that had nothing but one key file, and speak TLS alone, any one may die, the leader too. What was acknowledged is there, what runs runs on as it was, and the next
/// command works within seconds through any of those that are left.
#[test]
fn the_leader_of_three_dies_and_nothing_is_lost_or_started_again() {
    let mut three = Three::start();
    let web = job::shell("web", 1, "while :; do sleep 1; done");
    let submitted = three.run_at(&[0], &["run", "-", "--timeout", "60s"], &web);
    assert_eq!(submitted.code, 0, "{submitted:?}");
    let before = pids(&three.status(&[1], "web").expect("it is known"));
    assert_eq!(before.len(), 1);
    for number in 0..3 {
        let text = job::batch(&format!("note{number}"), "true");
        let written = three.run_at(&[number], &["run", "-", "--detach"], &text);
        assert_eq!(written.code, 0, "{written:?}");
    }

    let leader = three.leader();
    let left: Vec<usize> = (0..3).filter(|number| *number != leader).collect();
    three.kill(leader);
    let died = Instant::now();
    for number in &left {
        let name = format!("after{number}");
        let text = job::shell(&name, 1, "while :; do sleep 1; done");
        let written = three.run_at(&[*number], &["run", "-", "--timeout", "60s"], &text);
        assert_eq!(written.code, 0, "{written:?}");
        assert_eq!(three.status(&[*number], &name).expect("it is known")["running"], 1);
    }
    let took = died.elapsed();
    assert!(took < Duration::from_secs(30), "two services were started after {took:?}");
    for number in &left {
        assert_eq!(
            pids(&three.status(&[*number], "web").expect("it is known")),
            before,
            "it was not touched"
        );
        for note in 0..3 {
            three.status(&[*number], &format!("note{note}")).expect("acknowledged, so remembered");
        }
    }
    assert!(is_alive(before[0]));
    let said = three.run_at(&left, &["server", "members"], "");
    assert!(said.stdout.contains("QUORUM IN DANGER: 2 OF 3"), "{said:?}");

    // The same commands again change nothing: the server comes back as what it was, and the job stays as it is.
    three.start_server(leader);
    until(SOON, "all three are there", || three.voters(3));
    let again = three.run_at(&[leader], &["run", "-", "--json", "--timeout", "60s"], &web);
    assert_eq!(again.code, 0, "{again:?}");
    assert_eq!(pids(&three.status(&[leader], "web").expect("it is known")), before);
    assert_eq!(three.members(&[leader]).expect("a list").len(), 3);
}

/// Promise: nobody reaches a server that has no key, and the refusal says what to do.
#[test]
fn without_a_key_a_server_does_not_listen_beyond_loopback() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data").to_string_lossy().into_owned();
    for more in [&["--listen", "0.0.0.0:0"][..], &["--listen", "127.0.0.1:0", "--join", "127.0.0.1:1"]] {
        let args = [&["server", "--data-dir", &data][..], more].concat();
        let refused: Answer = bare(&args).output().expect("it runs").into();
        assert_eq!(refused.code, 1, "{refused:?}");
        assert!(refused.stderr.contains("minijob operator key FILE"), "{refused:?}");
    }
    assert!(!dir.path().join("data").exists());
}
