//! A server and an agent as real processes, with a disk that can be made slower while they run, and a connection to the server.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use proto::wire::v1::control_client::ControlClient;
use tests::command::{bare, program};
use tests::process;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::meter;
use crate::tools::Tools;

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
    addr: String,
    token: String,
    probes: Option<String>,
    server: Option<Child>,
    agent: Option<Child>,
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
            addr: free_addr(),
            token: String::new(),
            probes: None,
            server: None,
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

    fn agent_dir(&self) -> PathBuf {
        self.dir.path().join("agent")
    }

    /// Starts the server and does not wait for it.
    pub(crate) fn start_server(&mut self) {
        let dir = self.server_dir();
        let args = ["server", "--listen", &self.addr, "--data-dir", &dir.to_string_lossy(), "--name", "s0"];
        self.server = Some(self.daemon(&args));
    }

    /// Starts the agent and does not wait for it.
    pub(crate) fn start_agent(&mut self) {
        let dir = self.agent_dir();
        let dir = dir.to_string_lossy();
        let mut args = vec!["agent", "--servers", &self.addr, "--data-dir", &dir, "--name", "n0"];
        if let Some(probes) = &self.probes {
            args.extend(["--http-addr", probes]);
        }
        self.agent = Some(self.daemon(&args));
    }

    fn daemon(&self, args: &[&str]) -> Child {
        let mut command = bare(args);
        command.env("MINIJOB_TOKEN", &self.token).env("LD_PRELOAD", &self.slow_sync);
        command.env("SLOW_SYNC_FILE", self.dir.path().join("extra_us"));
        let log = std::fs::File::options().create(true).append(true).open(self.dir.path().join("log"));
        command.stdout(Stdio::null()).stderr(log.expect("a small file"));
        command.spawn().expect("the program starts")
    }

    /// From now on every sync of both daemons takes that much longer.
    pub(crate) fn slow_syncs_by(&self, extra: Duration) {
        let micros = u32::try_from(extra.as_micros()).unwrap_or(u32::MAX).to_ne_bytes();
        tests::shim::tell(&self.dir.path().join("extra_us"), &micros);
    }

    /// Kills the server.
    pub(crate) fn kill_server(&mut self) {
        if let Some(mut server) = self.server.take() {
            process::signal(server.id(), Signal::SIGKILL);
            server.wait().ok();
        }
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

    /// Connects, as soon as the server listens.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) async fn client(&self) -> Result<Client, String> {
        let begun = Instant::now();
        loop {
            match self.endpoint().connect().await {
                Ok(channel) => return Ok(Client::new(channel)),
                Err(_) if begun.elapsed() < PATIENCE => tokio::time::sleep(KNOCK).await,
                Err(error) => return Err(format!("the server does not listen: {error}; {}", self.said())),
            }
        }
    }

    /// Where the server is.
    pub(crate) fn endpoint(&self) -> Endpoint {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.addr));
        endpoint.expect("an address is a URL").tcp_nodelay(true)
    }

    /// Adds the token to a request.
    pub(crate) fn request<T>(&self, body: T) -> Request<T> {
        crate::control::with_token(body, &self.token)
    }

    /// The token.
    pub(crate) fn token(&self) -> &str {
        &self.token
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
        command.env("MINIJOB_ADDR", format!("http://{}", self.addr)).env("MINIJOB_TOKEN", &self.token);
        command
    }

    /// The server's process.
    pub(crate) fn server_pid(&self) -> u32 {
        self.server.as_ref().map_or(0, Child::id)
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

fn free_addr() -> String {
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
