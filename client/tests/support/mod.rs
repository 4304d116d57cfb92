//! A keeper of its own for each test, made by a process that plays the agent.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use client::driver::conformance::{Behaviour, Subject};
use client::driver::process::Processes;
use client::driver::{AttemptId, BoxFuture, Driver, StartSpec};

/// Nothing a test waits for takes longer.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A script that only SIGKILL ends, and says when it has come to that.
pub const STUBBORN: &str = "trap '' TERM; echo ready; while :; do sleep 0.02; done";

/// A data directory and the agent that ensured its keeper.
pub struct Host {
    pub dir: Arc<tempfile::TempDir>,
    pub agent: Child,
    pub keeper: u32,
    pub guard: u32,
    pub found: bool,
    cgroups: &'static str,
}

impl Host {
    /// Makes a keeper that ends everything shortly after the test's last connection.
    pub fn new(cgroups: &'static str) -> Host {
        Host::at(Arc::new(tempfile::tempdir().unwrap()), cgroups).expect("a keeper")
    }

    /// Plays an agent on a directory; the error is what it reported.
    pub fn at(dir: Arc<tempfile::TempDir>, cgroups: &'static str) -> Result<Host, String> {
        Host::of(&host_binary(), dir, cgroups)
    }

    /// Plays an agent with a program of its own.
    pub fn of(program: &Path, dir: Arc<tempfile::TempDir>, cgroups: &'static str) -> Result<Host, String> {
        Host::play(program, dir, cgroups, &["1500"])
    }

    /// Makes a keeper that stays, as that of an agent does. The test has to see to its end.
    pub fn staying() -> Host {
        Host::play(&host_binary(), Arc::new(tempfile::tempdir().unwrap()), "auto", &[]).expect("a keeper")
    }

    fn play(
        program: &Path,
        dir: Arc<tempfile::TempDir>,
        cgroups: &'static str,
        more: &[&str],
    ) -> Result<Host, String> {
        let mut agent = Command::new(program)
            .args([dir.path().join("data").to_str().unwrap(), cgroups])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(agent.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["ok", keeper, guard, found] => Ok(Host {
                keeper: keeper.parse().unwrap(),
                guard: guard.parse().unwrap(),
                found: found == "true",
                agent,
                dir,
                cgroups,
            }),
            _ => {
                agent.kill().unwrap();
                agent.wait().unwrap();
                Err(line)
            }
        }
    }

    /// Kills the agent and starts another.
    pub fn restart_agent(mut self) -> Host {
        self.kill_agent();
        Host::at(Arc::clone(&self.dir), self.cgroups).expect("the same keeper")
    }

    pub fn kill_agent(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub fn logs(&self) -> PathBuf {
        self.dir.path().join("logs")
    }

    pub fn connect(&self) -> Processes {
        Processes::at(self.data().join("keeper.sock"))
    }

    /// A spec for a shell script with an id of its own.
    pub fn script(&self, script: &str) -> StartSpec {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let id = AttemptId { alloc: 1 << 40 | u64::from(number), task: format!("t{number}"), attempt: 1 };
        let mut spec = StartSpec::new(id, "/bin/sh", self.logs());
        spec.args = vec!["-c".into(), script.into()];
        spec.stop_timeout = Duration::from_secs(2);
        spec
    }

    /// All output of a stream that is kept.
    pub fn output(&self, spec: &StartSpec, stream: client::logs::Stream) -> String {
        let numbers = client::logs::files::numbers(&self.logs(), &spec.id.task, stream).unwrap();
        numbers
            .into_iter()
            .map(|number| client::logs::files::path(&self.logs(), &spec.id.task, stream, number))
            .map(|path| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned())
            .collect()
    }

    /// Waits until a task has printed `text`.
    pub async fn printed(&self, spec: &StartSpec, text: &str) {
        wait_for(&format!("output {text:?}"), || self.stdout(spec).contains(text).then_some(())).await;
    }

    pub fn stdout(&self, spec: &StartSpec) -> String {
        self.output(spec, client::logs::Stream::Stdout)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill_agent();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.data().join("keeper/log")).unwrap_or_default();
            eprintln!("keeper {} guard {}:\n{log}", self.keeper, self.guard);
        }
    }
}

impl Subject for Host {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(self.connect())
    }

    fn shape(&self, spec: &mut StartSpec, behaviour: Behaviour) {
        let script = match behaviour {
            Behaviour::Forever => "exec sleep 1000".into(),
            Behaviour::IgnoresTerm => STUBBORN.into(),
            Behaviour::Exits(code) => format!("sleep 0.02; exit {code}"),
            Behaviour::Prints(text) => format!("echo {text}; exit 1"),
            Behaviour::Missing => return spec.command = "/no/such/program".into(),
        };
        spec.command = "/bin/sh".into();
        spec.args = vec!["-c".into(), script];
        spec.env = vec![("PATH".into(), "/usr/bin:/bin".into())];
    }

    fn settled<'a>(&'a self, spec: &'a StartSpec) -> BoxFuture<'a, ()> {
        Box::pin(self.printed(spec, "ready"))
    }

    fn log_dir(&self) -> PathBuf {
        self.logs()
    }
}

/// The program that plays the agent.
pub fn host_binary() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let path = tests.parent().and_then(Path::parent).unwrap().join("examples/keeper_host");
    assert!(path.exists(), "{} is missing: cargo build -p client --examples", path.display());
    path
}

/// Waits until `state` returns something.
pub async fn wait_for<T>(what: &str, mut state: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = state() {
            return value;
        }
        assert!(Instant::now() < until, "waited in vain for: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Whether a process exists and is no zombie.
pub fn alive(pid: u32) -> bool {
    stat(pid).is_some_and(|(state, _)| state != "Z" && state != "X")
}

/// State and parent of a process.
pub fn stat(pid: u32) -> Option<(String, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    Some((fields.next()?.to_owned(), fields.next()?.parse().ok()?))
}

/// Children of a process with their states.
pub fn children(pid: u32) -> Vec<(u32, String)> {
    let pids =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|child| stat(child).filter(|(_, parent)| *parent == pid).map(|(state, _)| (child, state)))
        .collect()
}

/// Sends SIGKILL to a process of this test.
pub fn kill(pid: u32) {
    assert!(pid > 1);
    // SAFETY: a system call on numbers.
    unsafe { libc::kill(pid as i32, libc::SIGKILL) };
}
