//! One network namespace, by name, and what runs in it.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sched::{CloneFlags, setns};
use nix::sys::signal::Signal;
use tests::process::{is_alive, signal};

use super::run::{ip, run};

/// Where `ip netns` keeps them.
pub(crate) const SPACES: &str = "/run/netns";

/// A namespace. Dropping it removes nothing: its [`super::Net`] does.
#[derive(Clone, Debug)]
pub(crate) struct Space {
    name: String,
}

impl Space {
    pub(super) fn make(name: &str) -> Self {
        ip(&format!("netns add {name}"));
        let space = Self::of(name);
        space.ip("link set lo up");
        space
    }

    pub(super) fn of(name: &str) -> Self {
        Self { name: name.to_owned() }
    }

    /// Its name, as `ip netns` shows it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn path(&self) -> PathBuf {
        Path::new(SPACES).join(&self.name)
    }

    /// Runs `ip` in it.
    pub(super) fn ip(&self, words: &str) {
        ip(&format!("-n {} {words}", self.name));
    }

    /// Runs a program of the system in it.
    pub(super) fn run(&self, program: &str, text: &str) {
        run(&mut self.enter(&Command::new(program)), text);
    }

    /// Returns the same command as it runs in there, with the same process. Only the network is another: mounts and control groups
    /// stay, which `ip netns exec` would hide.
    pub(crate) fn enter(&self, command: &Command) -> Command {
        let mut entered = Command::new("nsenter");
        entered.arg(format!("--net={}", self.path().display())).arg("--").arg(command.get_program());
        entered.args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => entered.env(name, value),
                None => entered.env_remove(name),
            };
        }
        if let Some(dir) = command.get_current_dir() {
            entered.current_dir(dir);
        }
        entered
    }

    /// Moves this thread in, for good: sockets that it makes are in there.
    pub(crate) fn settle(&self) {
        let file = File::open(self.path()).expect("it is there");
        setns(file, CloneFlags::CLONE_NEWNET).expect("root may");
    }

    /// Every process in it, tasks and keepers too.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let Ok(own) = std::fs::metadata(self.path()) else { return Vec::new() };
        let lives_here = |pid: &u32| {
            std::fs::metadata(format!("/proc/{pid}/ns/net")).is_ok_and(|net| net.ino() == own.ino())
        };
        let names = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = names.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok());
        pids.filter(lives_here).filter(|pid| is_alive(*pid)).collect()
    }

    /// Kills everything in it, until nothing is left.
    pub(crate) fn kill_all(&self) {
        let me = std::process::id();
        for _ in 0..500 {
            let pids: Vec<u32> = self.pids().into_iter().filter(|pid| *pid != me).collect();
            if pids.is_empty() {
                return;
            }
            pids.into_iter().for_each(|pid| signal(pid, Signal::SIGKILL));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(super) fn remove(&self) {
        self.kill_all();
        Command::new("ip").args(["netns", "del", &self.name]).status().ok();
    }
}
