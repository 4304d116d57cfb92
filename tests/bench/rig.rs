//! Servers and an agent as real processes, with a disk that can be made slower while they run, and a connection to who leads.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use proto::wire::v1::ListServersRequest;
use proto::wire::v1::control_client::ControlClient;
use tests::command::{bare, program};
use tests::process;
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::meter;
use crate::tools::Tools;
use crate::way::{MESSAGE_BYTES, Passed, Secured, Way};

/// Until a daemon answers; a benchmark that waits longer has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two tries to reach a server that starts: far below what its start takes.
const KNOCK: Duration = Duration::from_micros(250);

/// Clients of the control service.
pub(crate) type Client = ControlClient<Channel>;

/// The processes, and the directory they use. Dropped, nothing of it is left.
pub(crate) struct Rig {
    dir: tempfile::TempDir,
    slow_sync: PathBuf,
    token: String,
    secured: Option<Secured>,
    probes: Option<String>,
    servers: Vec<Server>,
    /// Which of them leads.
    leader: usize,
    agent: Option<Child>,
}

/// One server.
struct Server {
    addr: String,
    process: Option<Child>,
}

impl Server {
    fn new() -> Self {
        Self { addr: free_addr(), process: None }
    }

    fn pid(&self) -> u32 {
        self.process.as_ref().map_or(0, Child::id)
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process::signal(process.id(), Signal::SIGKILL);
            process.wait().ok();
        }
    }
}

impl Rig {
    /// Prepares directories, a port and a token, and starts nothing.
    pub(crate) fn new(tools: &Tools) -> Self {
        let dir = tempfile::Builder::new().prefix("rig-").tempdir_in(tools.dir()).expect("a directory");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).expect("ours");
        std::fs::write(dir.path().join("extra_us"), 0_u32.to_ne_bytes()).expect("a small file");
        let mut rig = Self {
            dir,
            slow_sync: tools.slow_sync(),
            token: String::new(),
            secured: None,
            probes: None,
            servers: vec![Server::new()],
            leader: 0,
            agent: None,
        };
        rig.forget_server();
        rig
    }

    /// Starts server and agent and waits until the agent's node is up.
    pub(crate) async fn started(tools: &Tools) -> Result<Self, String> {
        Self::new(tools).start().await
    }

    /// The same with an agent that can be asked what it has.
    pub(crate) async fn observed(tools: &Tools) -> Result<Self, String> {
        let mut rig = Self::new(tools);
        rig.probes = Some(free_addr());
        rig.start().await
    }

    /// Starts that many servers that are one cluster, one of which leads. Several have a key, and speak TLS.
    pub(crate) async fn led(tools: &Tools, servers: usize) -> Result<Self, String> {
        let mut rig = Self::new(tools);
        if servers == 1 {
            rig.start_server();
            let client = rig.client().await?;
            crate::control::wait_until_led(&rig, &client).await?;
            return Ok(rig);
        }
        rig.servers = (0..servers).map(|_| Server::new()).collect();
        let key = rig.dir.path().join("key");
        let made = bare(&["operator", "key", &key.to_string_lossy()]).output().map_err(|e| e.to_string())?;
        let key = proto::key::ClusterKey::read(&key)
            .map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&made.stderr)))?;
        for number in 0..servers {
            rig.start_one_of_several(number);
        }
        let (token, ca) = (rig.file_of_first("token").await?, rig.file_of_first("ca.pem").await?);
        let trust = pki::tls::Trust::from_pem(&ca).map_err(|error| error.to_string())?;
        let person = pki::tls::Credentials::of_person(trust);
        token.trim().clone_into(&mut rig.token);
        rig.secured = Some(Secured { person, secret: key.secret(pki::purpose::ENROL) });
        rig.find_leader().await?;
        Ok(rig)
    }

    fn start_one_of_several(&mut self, number: usize) {
        let all: Vec<&str> = self.servers.iter().map(|server| server.addr.as_str()).collect();
        let (all, count) = (all.join(","), self.servers.len().to_string());
        let (dir, key, name) = (self.dir_of(number), self.dir.path().join("key"), format!("s{number}"));
        let (dir, key) = (dir.to_string_lossy().into_owned(), key.to_string_lossy().into_owned());
        let args = ["server", "--listen", &self.servers[number].addr, "--data-dir", &dir, "--name", &name];
        let several = ["--key-file", &key, "--join", &all, "--bootstrap-expect", &count];
        let mut command = bare(&[args.as_slice(), several.as_slice()].concat());
        command.stdout(Stdio::null()).stderr(self.log());
        self.servers[number].process = Some(command.spawn().expect("the program starts"));
    }

    /// Waits for what the first server writes when there is a cluster.
    async fn file_of_first(&self, name: &str) -> Result<String, String> {
        let (path, begun) = (self.dir_of(0).join(name), Instant::now());
        loop {
            match std::fs::read_to_string(&path) {
                Ok(text) if !text.trim().is_empty() => return Ok(text),
                _ if begun.elapsed() > PATIENCE => {
                    return Err(format!("there is no {}; {}", path.display(), self.said()));
                }
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Waits until all servers vote and one leads, and goes by that one from now on.
    async fn find_leader(&mut self) -> Result<(), String> {
        let begun = Instant::now();
        loop {
            let mut client = self.client().await?;
            let listed = client.list_servers(self.request(ListServersRequest {})).await;
            let listed = listed.map(|listed| serde_json::from_slice(&listed.into_inner().json));
            let listed: serde_json::Value = match listed {
                Ok(listed) => listed.map_err(|error| error.to_string())?,
                Err(status) => status.to_string().into(),
            };
            let all = || listed["items"].as_array().into_iter().flatten();
            let there = all().filter(|one| one["voter"] == true && one["reachable"] == true).count();
            let leader = all().position(|one| one["leader"] == true);
            if let (true, Some(leader)) = (there == self.servers.len(), leader) {
                // Their names are in the order of their numbers.
                self.leader = leader;
                return Ok(());
            }
            if begun.elapsed() > PATIENCE {
                return Err(format!("the servers are not one cluster: {listed}; {}", self.said()));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn start(mut self) -> Result<Self, String> {
        self.start_server();
        self.start_agent();
        let mut client = self.client().await?;
        let begun = Instant::now();
        while !self.node_is_up(&mut client).await {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if begun.elapsed() > PATIENCE {
                return Err("the agent did not register".into());
            }
        }
        Ok(self)
    }

    async fn node_is_up(&self, client: &mut Client) -> bool {
        let nodes = client.list_nodes(self.request(Default::default())).await;
        let nodes = nodes.ok().and_then(|nodes| serde_json::from_slice(&nodes.into_inner().json).ok());
        nodes.is_some_and(|nodes: serde_json::Value| nodes["items"][0]["liveness"] == "up")
    }

    /// Empties the server's data directory but for its token.
    pub(crate) fn forget_server(&mut self) {
        let dir = self.server_dir();
        std::fs::remove_dir_all(&dir).ok();
        std::fs::create_dir(&dir).expect("a fresh directory");
        self.token = proto::ids::random_request_id().to_string();
        std::fs::write(dir.join(server::identity::TOKEN_FILE), &self.token).expect("a small file");
    }

    /// Takes over a server's data directory that is somewhere else; it is used where it is.
    pub(crate) fn adopt_server(&mut self, dir: &Path) {
        std::fs::remove_dir_all(self.server_dir()).ok();
        std::os::unix::fs::symlink(dir, self.server_dir()).expect("a fresh name");
        let token = std::fs::read_to_string(dir.join(server::identity::TOKEN_FILE));
        token.expect("a server's directory has a token").trim().clone_into(&mut self.token);
    }

    fn server_dir(&self) -> PathBuf {
        self.dir.path().join("server")
    }

    /// Where one of several servers keeps its files.
    fn dir_of(&self, number: usize) -> PathBuf {
        self.dir.path().join(format!("server{number}"))
    }

    fn addr(&self) -> &str {
        &self.servers[self.leader].addr
    }

    fn agent_dir(&self) -> PathBuf {
        self.dir.path().join("agent")
    }

    /// Starts the server and does not wait for it.
    pub(crate) fn start_server(&mut self) {
        let dir = self.server_dir();
        let args = ["server", "--listen", self.addr(), "--data-dir", &dir.to_string_lossy(), "--name", "s0"];
        self.servers[0].process = Some(self.daemon(&args));
    }

    /// Starts the agent and does not wait for it.
    pub(crate) fn start_agent(&mut self) {
        let dir = self.agent_dir();
        let dir = dir.to_string_lossy();
        let mut args = vec!["agent", "--servers", self.addr(), "--data-dir", &dir, "--name", "n0"];
        if let Some(probes) = &self.probes {
            args.extend(["--http-addr", probes]);
        }
        self.agent = Some(self.daemon(&args));
    }

    fn daemon(&self, args: &[&str]) -> Child {
        let mut command = bare(args);
        command.env("MINIJOB_TOKEN", &self.token).env("LD_PRELOAD", &self.slow_sync);
        command.env("SLOW_SYNC_FILE", self.dir.path().join("extra_us"));
        command.stdout(Stdio::null()).stderr(self.log());
        command.spawn().expect("the program starts")
    }

    fn log(&self) -> std::fs::File {
        let log = std::fs::File::options().create(true).append(true).open(self.dir.path().join("log"));
        log.expect("a small file")
    }

    /// From now on every sync of both daemons takes that much longer.
    pub(crate) fn slow_syncs_by(&self, extra: Duration) {
        let micros = u32::try_from(extra.as_micros()).unwrap_or(u32::MAX).to_ne_bytes();
        tests::shim::tell(&self.dir.path().join("extra_us"), &micros);
    }

    /// Kills the server, or all of them.
    pub(crate) fn kill_server(&mut self) {
        self.servers.iter_mut().for_each(Server::kill);
    }

    /// Kills the agent.
    pub(crate) fn kill_agent(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            process::signal(agent.id(), Signal::SIGKILL);
            agent.wait().ok();
        }
    }

    /// Returns how many allocations the agent says are running, once a server has it registered; nothing while it does not answer.
    pub(crate) fn agent_runs(&self) -> Option<usize> {
        let mut stream = TcpStream::connect(self.probes.as_ref()?).ok()?;
        let ask = format!("GET /metrics HTTP/1.0\r\nAuthorization: Bearer {}\r\n\r\n", self.token);
        stream.write_all(ask.as_bytes()).ok()?;
        let mut said = String::new();
        stream.read_to_string(&mut said).ok()?;
        let number = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        number("minijob_agent_registered ").filter(|registered| *registered == 1)?;
        number("minijob_agent_allocations{state=\"running\"} ")
    }

    /// Returns a number that the server that leads tells.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        let mut curl = std::process::Command::new("curl");
        curl.args(["--silent", "--header", &format!("Authorization: Bearer {}", self.token)]);
        match &self.secured {
            None => curl.arg(format!("http://{}/metrics", self.addr())),
            Some(_) => curl
                .arg("--cacert")
                .arg(self.dir_of(0).join("ca.pem"))
                .arg(format!("https://{}/metrics", self.addr())),
        };
        let told = String::from_utf8(curl.output().ok()?.stdout).ok()?;
        told.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
    }

    /// Connects, as soon as the server listens.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) async fn client(&self) -> Result<Client, String> {
        let begun = Instant::now();
        loop {
            match self.way().connect().await {
                Ok(channel) => return Ok(Client::new(channel).max_decoding_message_size(MESSAGE_BYTES)),
                Err(_) if begun.elapsed() < PATIENCE => tokio::time::sleep(KNOCK).await,
                Err(error) => return Err(format!("the server does not listen: {error}; {}", self.said())),
            }
        }
    }

    /// The way to who leads, for others than this.
    pub(crate) fn way(&self) -> Way {
        let (addr, token) = (self.addr().to_owned(), self.token.clone());
        Way { addr, token, secured: self.secured.clone(), passed: Passed::default() }
    }

    /// Adds the token to a request.
    pub(crate) fn request<T>(&self, body: T) -> Request<T> {
        crate::control::with_token(body, &self.token)
    }

    /// Repeats a call while nobody leads.
    ///
    /// # Errors
    /// What the server says otherwise, and when nobody leads for long.
    pub(crate) async fn once_led<T, F>(&self, mut call: impl FnMut() -> F) -> Result<T, String>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let begun = Instant::now();
        loop {
            match call().await {
                Ok(answer) => return Ok(answer),
                Err(status) if begun.elapsed() > PATIENCE => return Err(status.to_string()),
                Err(status) if status.code() == tonic::Code::Unavailable => tokio::time::sleep(KNOCK).await,
                Err(status) => return Err(status.to_string()),
            }
        }
    }

    /// The command line, against this server.
    pub(crate) fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = bare(args);
        command.env("MINIJOB_ADDR", format!("http://{}", self.addr())).env("MINIJOB_TOKEN", &self.token);
        command
    }

    /// The process of the server that leads.
    pub(crate) fn server_pid(&self) -> u32 {
        self.servers[self.leader].pid()
    }

    /// The processes of all servers, the one that leads first.
    pub(crate) fn server_pids(&self) -> Vec<u32> {
        let mut pids: Vec<u32> = self.servers.iter().map(Server::pid).collect();
        pids.swap(0, self.leader);
        pids
    }

    /// The agent's process.
    pub(crate) fn agent_pid(&self) -> u32 {
        self.agent.as_ref().map_or(0, Child::id)
    }

    /// The tasks' parent and its guard. They are found by their environment: their command line says only what they are.
    pub(crate) fn keeper_pids(&self) -> Vec<u32> {
        let mut pids = meter::running(&program(), self.dir.path());
        pids.retain(|pid| *pid != self.agent_pid() && *pid != self.server_pid());
        pids
    }

    /// All of it but the tasks.
    pub(crate) fn daemon_pids(&self) -> Vec<u32> {
        let mut pids = self.keeper_pids();
        pids.extend([self.server_pid(), self.agent_pid()]);
        pids
    }

    /// The directory.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The last that the daemons said.
    pub(crate) fn said(&self) -> String {
        let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(12)..].join("\n")
    }
}

/// An address of this machine with a port that nobody has.
pub(crate) fn free_addr() -> String {
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    port.expect("a free port").to_string()
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.kill_server();
        self.kill_agent();
        process::sweep(self.dir.path());
    }
}
