//! A server and agents as real processes of the built program, on this machine, in a temporary directory.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::command::{Answer, bare, fed};
use crate::daemon::Daemon;
use crate::disk::Disk;
use crate::wait::{SOON, until};
use crate::{job, process};

/// A running cluster. When it is dropped nothing of it is left: servers, agents, keepers and tasks are killed.
pub struct Cluster {
    dir: tempfile::TempDir,
    server: Option<Daemon>,
    agents: Vec<Option<Daemon>>,
    addr: String,
}

fn daemon(args: &[&str], env: &[(&str, &str)]) -> Daemon {
    let mut command = bare(args);
    command.envs(env.iter().copied());
    Daemon::spawn(command)
}

impl Cluster {
    /// Starts a server and that many agents, and waits until all agents are known.
    #[must_use]
    pub fn start(agents: usize) -> Self {
        Self::start_with(agents, &[])
    }

    /// The same with servers that wait a minute before they take a node for lost: for stories in which an agent has much to do, on a
    /// machine that has much to do, and a lost node is another story.
    #[must_use]
    pub fn start_patient(agents: usize) -> Self {
        Self::start_with(agents, &[("MINIJOB_NODE_TIMEOUT", "60s")])
    }

    fn start_with(agents: usize, env: &[(&str, &str)]) -> Self {
        let dir = tempfile::Builder::new().prefix("minijob-story-").tempdir().expect("a directory");
        // Tasks of root run as nobody, who must be able to pass.
        std::fs::set_permissions(dir.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .expect("ours");
        let mut cluster = Self { dir, server: None, agents: Vec::new(), addr: "127.0.0.1:0".into() };
        cluster.start_server_with(env);
        for _ in 0..agents {
            cluster.add_agent();
        }
        cluster.wait_for_nodes(agents);
        cluster
    }

    /// Returns the directory of this cluster.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Returns where the server listens.
    #[must_use]
    pub fn addr(&self) -> &str {
        &self.addr
    }

    /// Returns the server's process.
    #[must_use]
    pub fn server_pid(&self) -> u32 {
        self.server.as_ref().map_or(0, |server| server.pid())
    }

    /// Returns an agent's process.
    #[must_use]
    pub fn agent_pid(&self, number: usize) -> u32 {
        self.agents[number].as_ref().map_or(0, |agent| agent.pid())
    }

    /// Returns the token.
    #[must_use]
    pub fn token(&self) -> String {
        let text =
            std::fs::read_to_string(self.server_dir().join("token")).expect("the first start writes a token");
        text.trim().to_owned()
    }

    /// Returns the server's data directory.
    #[must_use]
    pub fn server_dir(&self) -> PathBuf {
        self.dir.path().join("server")
    }

    /// Returns an agent's data directory.
    #[must_use]
    pub fn agent_dir(&self, number: usize) -> PathBuf {
        self.dir.path().join(format!("agent{number}"))
    }

    /// Starts the server, on the port that it had.
    pub fn start_server(&mut self) {
        self.start_server_with(&[]);
    }

    /// Starts the server with more variables.
    pub fn start_server_with(&mut self, env: &[(&str, &str)]) {
        let dir = self.server_dir();
        let args = ["server", "--listen", &self.addr, "--data-dir", &dir.to_string_lossy(), "--name", "s0"];
        let server = daemon(&args, env);
        self.addr = until(SOON, "the server says where it serves", || {
            let said = server.said();
            let at = said.find("http://").ok_or_else(|| said.clone())? + "http://".len();
            let end = said[at..]
                .find(|c: char| c != '.' && c != ':' && !c.is_ascii_digit())
                .unwrap_or(said.len() - at);
            Ok(said[at..at + end].to_owned())
        });
        self.server = Some(server);
    }

    /// Starts one more agent and returns its number.
    pub fn add_agent(&mut self) -> usize {
        self.add_agent_with(&[])
    }

    /// The same with more flags.
    pub fn add_agent_with(&mut self, flags: &[&str]) -> usize {
        self.agents.push(None);
        self.start_agent_with(self.agents.len() - 1, flags);
        self.agents.len() - 1
    }

    /// Starts one more agent on a disk of so many bytes. See [`crate::disk::with_own_mounts`].
    pub fn add_agent_on_disk(&mut self, bytes: u64) -> Disk {
        let disk = Disk::mount(&self.agent_dir(self.agents.len()), bytes);
        self.add_agent();
        disk
    }

    /// Starts an agent on the data directory that it had.
    pub fn start_agent(&mut self, number: usize) {
        self.start_agent_with(number, &[]);
    }

    fn start_agent_with(&mut self, number: usize, flags: &[&str]) {
        let (dir, name, token) = (self.agent_dir(number), format!("n{number}"), self.token());
        let dir = dir.to_string_lossy();
        let mut args = vec!["agent", "--servers", &self.addr, "--data-dir", &dir, "--name", &name];
        args.extend(flags);
        // The keeper renames itself; by this variable its processes are found when the cluster is swept away.
        let mark = self.agent_dir(number).to_string_lossy().into_owned();
        self.agents[number] = Some(daemon(&args, &[("MINIJOB_TOKEN", &token), ("MINIJOB_TEST_DIR", &mark)]));
    }

    /// Kills the server's process and nothing else.
    pub fn kill_server(&mut self, signal: Signal) {
        if let Some(server) = self.server.take() {
            server.kill(signal);
        }
    }

    /// Kills an agent's process and nothing else: its keeper and its tasks go on.
    pub fn kill_agent(&mut self, number: usize) {
        if let Some(agent) = self.agents[number].take() {
            agent.kill(Signal::SIGKILL);
        }
    }

    /// Kills the parent of an agent's tasks and nothing else: another takes its place.
    ///
    /// # Panics
    /// When there is none.
    pub fn kill_keeper(&self, number: usize) {
        let is_keeper = |pid: &u32| {
            std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|comm| comm == "minijob keeper\n")
        };
        let keeper = process::mentioning(&self.agent_dir(number)).into_iter().find(is_keeper);
        process::signal(keeper.expect("it runs"), Signal::SIGKILL);
    }

    /// Kills everything of a node: agent, keeper and tasks, as when the machine is gone.
    pub fn kill_node(&mut self, number: usize) {
        self.kill_agent(number);
        process::sweep(&self.agent_dir(number));
    }

    /// Runs a command of the program against this cluster.
    #[must_use]
    pub fn run(&self, args: &[&str]) -> Answer {
        self.command(args).output().expect("the program runs").into()
    }

    /// Returns a command of the program against this cluster.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = bare(args);
        command.env("MINIJOB_ADDR", format!("http://{}", self.addr)).env("MINIJOB_TOKEN", self.token());
        command.current_dir(self.dir.path());
        command
    }

    /// Submits a job file's text and does not wait for the job.
    ///
    /// # Panics
    /// When it is refused.
    pub fn submit(&self, text: &str) -> Answer {
        let answer = self.submit_with(text, &["--detach"]);
        assert_eq!(answer.code, 0, "refused: {answer:?}");
        answer
    }

    /// Submits a job file's text, with flags.
    #[must_use]
    pub fn submit_with(&self, text: &str, flags: &[&str]) -> Answer {
        let mut args = vec!["run", "-"];
        args.extend(flags);
        let command = self.command(&args);
        fed(command, text)
    }

    /// Returns `minijob status JOB --json`, or why there is none.
    pub fn status(&self, job: &str) -> Result<Value, String> {
        let answer = self.run(&["status", job, "--json"]);
        if answer.code == 0 { Ok(answer.json()) } else { Err(format!("{answer:?}")) }
    }

    /// Waits until a job's status is as wanted, and returns it.
    pub fn wait_job(&self, job: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.wait_job_within(SOON, job, what, wanted)
    }

    /// As [`Self::wait_job`], with its own deadline.
    pub fn wait_job_within(
        &self,
        at_most: Duration,
        job: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        until(at_most, what, || {
            let status = self.status(job)?;
            if wanted(&status) { Ok(status) } else { Err(status.to_string()) }
        })
    }

    /// Waits until nothing of a job that was told to stop runs any more; that it is stopped is said of it at once.
    pub fn wait_ended(&self, at_most: Duration, job: &str) {
        self.wait_job_within(at_most, job, "all of it has ended", |status| {
            status["health"] == "stopped" && live(status).count() == 0
        });
    }

    /// Waits until that many nodes are up.
    pub fn wait_for_nodes(&self, wanted: usize) {
        until(SOON, "agents have registered", || {
            let nodes = self.http("/v1/nodes")?;
            let up = nodes["items"]
                .as_array()
                .map_or(0, |nodes| nodes.iter().filter(|node| node["liveness"] == "up").count());
            if up == wanted { Ok(()) } else { Err(nodes.to_string()) }
        });
    }

    /// Reads a document over HTTP with curl, as anybody would.
    pub fn http(&self, path: &str) -> Result<Value, String> {
        let url = format!("http://{}{path}", self.addr);
        let bearer = format!("Authorization: Bearer {}", self.token());
        let output =
            std::process::Command::new("curl").args(["-sS", "-m", "10", "-H", &bearer, &url]).output();
        let output = output.map_err(|error| format!("curl: {error}"))?;
        let body = String::from_utf8_lossy(&output.stdout).into_owned();
        serde_json::from_str(&body).map_err(|_| format!("{body}{}", String::from_utf8_lossy(&output.stderr)))
    }

    /// Returns what the daemons said, for a failed test.
    #[must_use]
    pub fn said(&self) -> String {
        let server = self.server.as_ref().map(|server| format!("== server\n{}", server.said()));
        let agents = self.agents.iter().flatten().map(|agent| format!("== agent\n{}", agent.said()));
        server.into_iter().chain(agents).collect::<Vec<_>>().join("\n")
    }

    /// Runs a service of shell and waits until all of it runs. Returns its processes.
    pub fn serve(&self, name: &str, count: u32, script: &str) -> Vec<u32> {
        self.submit(&job::shell(name, count, script));
        let status = self.wait_job(name, "all of it runs", |status| status["running"] == count);
        pids(&status)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.said());
        }
        self.kill_server(Signal::SIGKILL);
        for number in 0..self.agents.len() {
            self.kill_agent(number);
        }
        process::sweep(self.dir.path());
    }
}

/// Returns the processes of a job's running tasks, in order.
#[must_use]
pub fn pids(status: &Value) -> Vec<u32> {
    let mut pids: Vec<u32> = live(status)
        .flat_map(|alloc| alloc["tasks"].as_array().into_iter().flatten())
        .filter_map(|task| task["pid"].as_u64())
        .map(|pid| pid as u32)
        .collect();
    pids.sort_unstable();
    pids
}

/// Returns the allocations that have not ended.
pub fn live(status: &Value) -> impl Iterator<Item = &Value> {
    let ended =
        |alloc: &&Value| ["complete", "failed", "stopped"].iter().any(|state| alloc["state"] == *state);
    status["allocs"].as_array().into_iter().flatten().filter(move |alloc| !ended(alloc))
}
