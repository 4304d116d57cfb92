//! One machine: a namespace with an address, a directory, and the server and the agent that run there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tests::command::bare;
use tests::daemon::Daemon;
use tests::process;

use crate::net::{Filter, SlowLane, Space, address};

/// The port of every server.
const PORT: u16 = 4650;

/// A machine. Its server is `s0`, its agent `n0`, if it is the first.
pub(crate) struct Machine {
    number: usize,
    dir: PathBuf,
    pub(crate) space: Space,
    pub(crate) filter: Filter,
    pub(crate) slow_lane: Option<SlowLane>,
    pub(crate) server: Option<Daemon>,
    pub(crate) agent: Option<Daemon>,
    /// What is in the environment of what is started.
    pub(crate) environment: Vec<(String, String)>,
    /// What is started as server and agent; none: the program that is tested, where it is.
    pub(crate) program: Option<PathBuf>,
    /// What was said by daemons that have been killed.
    past: String,
}

impl Machine {
    pub(crate) fn new(number: usize, dir: &Path, space: Space) -> Self {
        let dir = dir.join(format!("m{number}"));
        std::fs::create_dir(&dir).expect("a directory");
        let machine = Self {
            number,
            dir,
            space,
            filter: Filter::default(),
            slow_lane: None,
            server: None,
            agent: None,
            environment: Vec::new(),
            program: None,
            past: String::new(),
        };
        machine.boot_anew();
        machine
    }

    /// Where it is on the network.
    pub(crate) fn address(&self) -> String {
        address(self.number + 1)
    }

    /// Where its server is reached.
    pub(crate) fn server_address(&self) -> String {
        format!("{}:{PORT}", self.address())
    }

    /// The name of its node.
    pub(crate) fn node(&self) -> String {
        format!("n{}", self.number)
    }

    /// Where its files are.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where its server's files are.
    pub(crate) fn server_dir(&self) -> PathBuf {
        self.dir.join("server")
    }

    /// Starts its server with these flags.
    pub(crate) fn start_server(&mut self, flags: &[String]) {
        let (dir, name, listen) =
            (self.server_dir().display().to_string(), format!("s{}", self.number), self.server_address());
        let mut args = vec!["server", "--listen", &listen, "--data-dir", &dir, "--name", &name];
        args.extend(flags.iter().map(String::as_str));
        let command = self.command(self.minijob(&args));
        self.server = Some(Daemon::spawn(self.space.enter(&command)));
    }

    /// Starts its agent, told of these servers.
    pub(crate) fn start_agent(&mut self, servers: &str, environment: &[(&str, String)]) {
        let (dir, name) = (self.dir.join("agent").display().to_string(), self.node());
        let args = ["agent", "--servers", servers, "--data-dir", &dir, "--name", &name];
        let mut command = self.command(booted(&self.dir.join("boot"), &self.minijob(&args)));
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        self.agent = Some(Daemon::spawn(self.space.enter(&command)));
    }

    fn minijob(&self, args: &[&str]) -> Command {
        let command = bare(args);
        match &self.program {
            Some(program) => {
                let mut own = Command::new(program);
                own.args(args).stdin(Stdio::null());
                with_environment(own, &command)
            }
            None => command,
        }
    }

    fn command(&self, mut command: Command) -> Command {
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Gives the next start of its agent the identity of another boot.
    pub(crate) fn boot_anew(&self) {
        let fresh = std::fs::read_to_string("/proc/sys/kernel/random/uuid").expect("the kernel has one");
        std::fs::write(self.dir.join("boot"), fresh).expect("writable");
    }

    /// Puts its filter in force.
    pub(crate) fn filter_again(&self) {
        self.filter.set(&self.space);
    }

    /// Keeps what a daemon of it said that is killed.
    pub(crate) fn remember(&mut self, daemon: &Daemon) {
        self.past += &format!("== killed on m{}\n{}\n", self.number, daemon.said());
    }

    /// What its daemons said, those before too.
    pub(crate) fn said(&self) -> String {
        let one = |what: &str, daemon: &Option<Daemon>| {
            let said = daemon.as_ref().map(|daemon| format!("== {what}{}\n{}\n", self.number, daemon.said()));
            said.unwrap_or_default()
        };
        format!("{}{}{}", self.past, one("s", &self.server), one("n", &self.agent))
    }

    /// Which of these processes run here.
    pub(crate) fn of_these(&self, pids: &[u32]) -> Vec<u32> {
        let mine = self.space.pids();
        pids.iter().copied().filter(|pid| mine.contains(pid) && process::is_alive(*pid)).collect()
    }
}

/// The same command on a machine with a boot of its own: only it sees that file in the place of the kernel's.
fn booted(boot: &Path, command: &Command) -> Command {
    let script = "mount --bind \"$0\" /proc/sys/kernel/random/boot_id && exec \"$@\"";
    let mut booted = Command::new("unshare");
    booted.args(["--mount", "--", "/bin/sh", "-c", script]).arg(boot);
    booted.arg(command.get_program()).args(command.get_args());
    with_environment(booted, command)
}

/// Gives a command the environment of another.
fn with_environment(mut to: Command, from: &Command) -> Command {
    for (name, value) in from.get_envs() {
        match value {
            Some(value) => to.env(name, value),
            None => to.env_remove(name),
        };
    }
    to
}
