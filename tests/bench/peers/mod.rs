//! Other supervisors, in the same round as ours. Each is unpacked by `tests/bench/run` and not installed; one that is missing, or does
//! not start here, is a line below the table and never a silence.

mod docker;
mod engine;
mod limit;
mod nomad;
mod runit;
mod s6;
mod supervisord;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::stamps::Stamps;
use crate::tools::Tools;

/// Until a supervisor that was started can be asked.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// Between two looks whether it can.
const LOOK: Duration = Duration::from_millis(1);

/// What a benchmark asks of a supervisor. Dropped, nothing of it and of its services is left.
pub(crate) trait Peer {
    /// Asks for so many services more, all at once, and returns when they have been asked for; each stamps when it begins.
    ///
    /// # Errors
    /// What the supervisor says.
    fn add(&mut self, count: usize) -> Result<(), String>;

    /// Everything of it but the services.
    fn pids(&self) -> Vec<u32>;
}

/// Who takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One loop for all, which does nothing else: the limit.
    Loop,
    /// A `runsv` for each service, started by us as `runsvdir` would.
    Runsv,
    /// `runsvdir`, with services that are linked into its directory.
    Runsvdir,
    /// `s6-svscan`, told to look at once.
    S6,
    /// `supervisord`, through its command line.
    Supervisord,
    /// The engine, through its socket.
    Docker,
    /// An agent in its development mode, through its HTTP API.
    Nomad,
}

/// What services do, and where what belongs to a supervisor goes.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    dir: PathBuf,
    stamp: PathBuf,
    pipe: String,
    mode: &'static str,
}

impl Ground {
    /// Services that stamp on a pipe; `mode` is `stay` or `exit`.
    pub(crate) fn new(tools: &Tools, stamps: &Stamps, mode: &'static str) -> Self {
        Self { dir: tools.dir().to_owned(), stamp: tools.stamp(), pipe: stamps.path(), mode }
    }

    fn fresh(&self, name: &str) -> Result<tempfile::TempDir, String> {
        fresh(&self.dir, name)
    }

    /// A program of a supervisor, whose services know where to stamp.
    fn command(&self, program: &Path, dir: &Path) -> Command {
        let mut command = command(program, dir);
        command.env("STAMP_PIPE", &self.pipe).env("STAMP_MODE", self.mode);
        command
    }
}

fn fresh(dir: &Path, name: &str) -> Result<tempfile::TempDir, String> {
    let made = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir_in(dir);
    made.map_err(|error| error.to_string())
}

/// A program of a peer. It and all that it starts can be told by the directory in their environment.
fn command(program: &Path, dir: &Path) -> Command {
    let mut command = Command::new(program);
    let log = std::fs::File::options().create(true).append(true).open(dir.join("log"));
    command.env("PEER_DIR", dir).stdin(Stdio::null()).stdout(Stdio::null());
    command.stderr(log.map_or_else(|_| Stdio::null(), Stdio::from));
    command
}

/// Where a peer that supervises nothing keeps what is its own.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    /// Makes one.
    pub(crate) fn fresh(tools: &Tools, name: &str) -> Result<Self, String> {
        fresh(tools.dir(), name).map(Self)
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// A program of the peer.
    pub(crate) fn command(&self, program: &Path) -> Command {
        command(program, self.path())
    }

    /// The last that it said.
    pub(crate) fn said(&self) -> String {
        one_line(read(&self.path().join("log")).lines().last().unwrap_or_default())
    }
}

impl Kind {
    /// Starts a supervisor without services, and waits until it can be asked for some.
    ///
    /// # Errors
    /// What keeps it from starting.
    pub(crate) fn start(self, ground: &Ground) -> Result<Box<dyn Peer>, String> {
        Ok(match self {
            Self::Loop => Box::new(limit::Loop::start(ground)?),
            Self::Runsv => Box::new(runit::Runsv::start(ground)?),
            Self::Runsvdir => Box::new(runit::Runsvdir::start(ground)?),
            Self::S6 => Box::new(s6::S6::start(ground)?),
            Self::Supervisord => Box::new(supervisord::Supervisord::start(ground)?),
            Self::Docker => Box::new(docker::Docker::start(ground)?),
            Self::Nomad => Box::new(nomad::Nomad::start(ground)?),
        })
    }

    /// What it is called in tables.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Loop => "one loop",
            Self::Runsv => "runit",
            Self::Runsvdir => "runit's `runsvdir`",
            Self::S6 => "s6",
            Self::Supervisord => "supervisord",
            Self::Docker => "Docker",
            Self::Nomad => "Nomad",
        }
    }

    const fn folder(self) -> &'static str {
        match self {
            Self::Loop => "",
            Self::Runsv | Self::Runsvdir => "runit",
            Self::S6 => "s6",
            Self::Supervisord => "supervisor",
            Self::Docker => "docker",
            Self::Nomad => "nomad",
        }
    }

    fn version(self) -> String {
        match self {
            Self::Nomad => nomad::version(),
            _ => version_of(self.folder()),
        }
    }
}

/// Those that are here, and what is to be said of all.
#[derive(Debug)]
pub(crate) struct Present {
    kinds: Vec<Kind>,
    notes: Vec<String>,
}

impl Present {
    /// Starts each once.
    pub(crate) fn of(kinds: &[Kind], ground: &Ground) -> Self {
        let mut present = Self { kinds: Vec::new(), notes: Vec::new() };
        let mut here = Vec::new();
        for kind in kinds {
            match kind.start(ground) {
                Ok(_) => {
                    if present.kinds.iter().all(|other| other.folder() != kind.folder()) {
                        here.push(format!("{} {}", kind.name(), kind.version()).trim().to_owned());
                    }
                    present.kinds.push(*kind);
                }
                Err(error) => {
                    present.notes.push(format!("{} is missing: {}.", kind.name(), one_line(&error)))
                }
            }
        }
        if !here.is_empty() {
            present.notes.insert(0, format!("Peers: {}.", here.join(", ")));
        }
        present
    }

    /// Those that are here.
    pub(crate) fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// Who takes part, and a line for each that does not.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// Where `tests/bench/run` unpacked a peer: `MJ_PEERS`, else `target/bench-peers`.
fn unpacked(folder: &str) -> PathBuf {
    let ours = || Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target").join("bench-peers");
    std::env::var_os("MJ_PEERS").map_or_else(ours, PathBuf::from).join(folder)
}

/// Where the libraries are that were unpacked with a peer, for the loader.
fn libraries(folder: &str) -> String {
    let below =
        |path: &str| unpacked(folder).join(path).join(format!("{}-linux-gnu", std::env::consts::ARCH));
    format!("{}:{}", below("lib").display(), below("usr/lib").display())
}

/// Returns the version that a peer was unpacked in.
pub(crate) fn version_of(folder: &str) -> String {
    read(&unpacked(folder).join("version"))
}

/// Returns a program of a peer.
///
/// # Errors
/// When it is not there: what `tests/bench/run` said of it.
pub(crate) fn program(folder: &str, path: &str) -> Result<PathBuf, String> {
    let program = unpacked(folder).join(path);
    if program.is_file() {
        return Ok(program);
    }
    let why = read(&unpacked(&format!("{folder}.missing")));
    Err(if why.is_empty() {
        format!("there is no {}; `tests/bench/run` fetches it", program.display())
    } else {
        why
    })
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn one_line(text: &str) -> String {
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(300).collect()
}

/// Waits until something holds.
fn until(dir: &Path, what: &str, mut holds: impl FnMut() -> bool) -> Result<(), String> {
    let begun = Instant::now();
    while !holds() {
        if begun.elapsed() > READY_WITHIN {
            let log = read(&dir.join("log"));
            let last = log.lines().rev().take(3).collect::<Vec<_>>().join("; ");
            return Err(format!("no {what} within {READY_WITHIN:?}: {last}"));
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// The children of a process.
fn children(parent: u32) -> Vec<u32> {
    let parent = parent.to_string();
    let is_child = |pid: &u32| {
        let stat = read(&PathBuf::from(format!("/proc/{pid}/stat")));
        // The name may hold anything; what follows its last bracket is state and parent.
        stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)) == Some(&parent)
    };
    let pids = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    pids.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok()).filter(is_child).collect()
}

/// Kills supervisors first, or they would start anew what is killed after them, and then all that came of them.
pub(crate) fn end(supervisors: &mut [Child], dir: &Path) {
    for child in supervisors.iter_mut() {
        child.kill().ok();
    }
    for child in supervisors {
        child.wait().ok();
    }
    tests::process::sweep(dir);
}

/// Ends a supervisor that cleans up behind itself, and kills it if that takes long.
fn end_gently(child: &mut Child, dir: &Path) {
    tests::process::signal(child.id(), Signal::SIGTERM);
    let begun = Instant::now();
    while matches!(child.try_wait(), Ok(None)) && begun.elapsed() < READY_WITHIN {
        std::thread::sleep(10 * LOOK);
    }
    end(std::slice::from_mut(child), dir);
}
