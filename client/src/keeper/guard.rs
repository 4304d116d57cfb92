//! The guard: parent of the keeper and of every task, and too small to fail.
//!
//! It reaps, holds a duplicate of every pipe beside an opaque record, and forks a new keeper when the old one dies; the
//! new one inherits all of it as memory and descriptors. It parses nine bytes per message, allocates little and never
//! waits for the keeper.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::WaitPidFlag;
use nix::unistd::{ForkResult, Pid, fork};

use super::link::{Link, Message};
use super::pidfd;
use super::serve::{self, House};
use crate::limits::KEEPER_RESTART_PAUSE_MAX;

/// What the guard holds of one attempt.
#[derive(Debug)]
pub(super) struct Held {
    /// The keeper's number of it.
    pub(super) slot: u64,
    /// The keeper's record, as it last sent it.
    pub(super) record: Vec<u8>,
    /// Read ends of stdout and stderr.
    pub(super) pipes: Vec<OwnedFd>,
    /// Main process; 0 while no process has reported for the slot.
    pub(super) pid: u32,
    /// Wait status of the main process once it has ended, [`STATUS_LOST`] where nobody can tell.
    pub(super) status: Option<i32>,
    /// Of a main process that is another guard's child: what says that it has ended.
    pub(super) foreign: Option<OwnedFd>,
    told: bool,
}

/// Stands for a wait status that is not known; no process ends with it.
pub(super) const STATUS_LOST: i32 = i32::MIN;

impl Held {
    /// Holds what another guard held before it died, from its keeper's knowledge.
    pub(super) fn foreign(slot: u64, record: Vec<u8>, pipes: Vec<OwnedFd>, pid: u32, ended: bool) -> Held {
        let foreign = if ended { None } else { pidfd::open(pid) };
        let status = (!ended && foreign.is_none()).then_some(STATUS_LOST);
        Held { slot, record, pipes, pid, status, foreign, told: false }
    }
}

/// The guard's state.
#[derive(Debug)]
struct Guard {
    held: BTreeMap<u64, Held>,
    signals: SignalFd,
    keeper: Pid,
    link: Option<Link>,
}

/// How a keeper ended.
enum Death {
    /// It left on purpose: nothing is to be guarded.
    Left,
    /// It died and has to be replaced.
    Died,
}

/// Runs as the guard until the keeper leaves on purpose. The calling process must have one thread and be set up (`house`).
///
/// `held` is what a guard before this one left behind.
pub(super) fn run(mut house: House, held: Vec<Held>) -> ! {
    super::process::rename(c"minijob guard");
    house.guard_pid = std::process::id();
    if let Err(errno) = nix::sys::prctl::set_child_subreaper(true) {
        super::process::note(&format!("orphans of tasks will not be found: {}", errno.desc()));
    }
    let mask = super::process::block_all_signals([Signal::SIGCHLD, Signal::SIGTERM]);
    let signals = match SignalFd::with_flags(&mask, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK) {
        Ok(signals) => signals,
        Err(errno) => {
            house.report_ready(&Err(format!("signalfd: {}", errno.desc())));
            super::process::exit(1)
        }
    };
    let mut guard = Guard {
        held: held.into_iter().map(|held| (held.slot, held)).collect(),
        signals,
        keeper: Pid::from_raw(0),
        link: None,
    };
    let mut pause = Duration::from_millis(10);
    loop {
        let begun = Instant::now();
        house = guard.fork_keeper(house);
        if matches!(guard.watch(), Death::Left) {
            house.cgroups.leave();
            house.remove_at_end.iter().for_each(super::ensure::Removal::perform);
            super::process::exit(0)
        }
        house.deaths += 1;
        super::process::note(&format!("the keeper died ({} so far); starting another", house.deaths));
        // A keeper that dies at once must not eat the machine; meanwhile ends wait in the kernel as zombies.
        pause = if begun.elapsed() > Duration::from_secs(5) {
            Duration::from_millis(10)
        } else {
            (pause * 2).min(KEEPER_RESTART_PAUSE_MAX)
        };
        std::thread::sleep(pause);
    }
}

impl Guard {
    /// Forks the next keeper, which never returns from here.
    fn fork_keeper(&mut self, house: House) -> House {
        loop {
            let pair = Link::pair().map_err(|error| error.to_string());
            let Ok((mine, theirs)) = pair else {
                std::thread::sleep(KEEPER_RESTART_PAUSE_MAX);
                continue;
            };
            // SAFETY: this process has one thread.
            match unsafe { fork() } {
                Ok(ForkResult::Child) => {
                    drop(mine);
                    let held = std::mem::take(&mut self.held).into_values().collect();
                    let serve = std::panic::AssertUnwindSafe(|| serve::run(house, theirs, held));
                    match std::panic::catch_unwind(serve) {
                        Ok(serve::Outcome::Exit(code)) => super::process::exit(code),
                        Ok(serve::Outcome::Orphaned(house, held)) => run(*house, held),
                        Err(_) => super::process::exit(101),
                    }
                }
                Ok(ForkResult::Parent { child }) => {
                    self.keeper = child;
                    self.link = Some(mine);
                    return House { ready: None, ..house };
                }
                Err(errno) => {
                    super::process::note(&format!("cannot fork a keeper: {}", errno.desc()));
                    std::thread::sleep(KEEPER_RESTART_PAUSE_MAX);
                }
            }
        }
    }

    /// Reaps and holds until the keeper has ended.
    fn watch(&mut self) -> Death {
        loop {
            self.wait();
            while let Ok(Some(signal)) = self.signals.read_signal() {
                if signal.ssi_signo == Signal::SIGTERM as u32 {
                    // A failure means that it has just died, which SIGCHLD says too.
                    let _ = nix::sys::signal::kill(self.keeper, Signal::SIGTERM);
                }
            }
            self.listen();
            for held in self.held.values_mut() {
                if let Some(status) = held.foreign.as_ref().and_then(pidfd::ended) {
                    held.status = Some(status);
                    held.foreign = None;
                }
            }
            if let Some(status) = self.reap() {
                self.last_words();
                let left = libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0;
                return if left { Death::Left } else { Death::Died };
            }
            self.tell();
        }
    }

    fn wait(&self) {
        let untold = self.held.values().any(|held| held.status.is_some() && !held.told);
        let mut polled = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        if let Some(link) = &self.link {
            let wanted = if untold { PollFlags::POLLIN | PollFlags::POLLOUT } else { PollFlags::POLLIN };
            polled.push(PollFd::new(link.fd(), wanted));
        }
        polled.extend(
            self.held
                .values()
                .filter_map(|held| Some(PollFd::new(held.foreign.as_ref()?.as_fd(), PollFlags::POLLIN))),
        );
        // EINTR cannot be (all signals are blocked), and any other failure only costs another turn.
        let _ = poll(&mut polled, PollTimeout::NONE);
    }

    /// Takes all messages that are there.
    fn listen(&mut self) {
        while let Some(link) = &self.link {
            match link.receive() {
                Ok(Some(message)) => self.handle(message),
                Ok(None) => return,
                Err(error) => {
                    if error.kind() != std::io::ErrorKind::UnexpectedEof {
                        super::process::note(&format!("guard: {error}"));
                    }
                    self.link = None;
                }
            }
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Keep { slot, record, pipes } => {
                let held = Held { slot, record, pipes, pid: 0, status: None, foreign: None, told: false };
                self.held.insert(slot, held);
            }
            Message::Pid { slot, pid } => {
                self.held.entry(slot).and_modify(|held| held.pid = pid);
            }
            Message::Update { slot, record } => {
                self.held.entry(slot).and_modify(|held| held.record = record);
            }
            Message::Forget { slot } => drop(self.held.remove(&slot)),
            Message::Reaped { .. } => {}
        }
    }

    /// Reaps all that have ended; returns the keeper's wait status when it is among them.
    fn reap(&mut self) -> Option<i32> {
        let mut keeper = None;
        loop {
            let mut status = 0;
            // SAFETY: `status` is valid; every child of this process is ours to reap.
            let pid = unsafe { libc::waitpid(-1, &mut status, WaitPidFlag::WNOHANG.bits()) };
            if pid <= 0 {
                return keeper;
            }
            if pid == self.keeper.as_raw() {
                keeper = Some(status);
                continue;
            }
            // A process says its pid before it executes: that message is here before its end is.
            self.listen();
            let pid = pid as u32;
            match self.held.values_mut().find(|held| held.pid == pid && held.status.is_none()) {
                Some(held) => held.status = Some(status),
                // An orphan. The keeper looks at its leftovers again; a lost hint costs it one poll.
                None => drop(self.link.as_ref().map(|link| link.try_send(&Message::Reaped { pid, status }))),
            }
        }
    }

    fn tell(&mut self) {
        let Some(link) = &self.link else { return };
        for held in self.held.values_mut() {
            let (Some(status), false) = (held.status, held.told) else { continue };
            if link.try_send(&Message::Reaped { pid: held.pid, status }).is_err() {
                return;
            }
            held.told = true;
        }
    }

    /// Reads what the dead keeper sent, and what a child of its that has not executed yet may still send.
    fn last_words(&mut self) {
        let until = Instant::now() + Duration::from_secs(1);
        while self.link.is_some() && Instant::now() < until {
            self.listen();
            if let Some(link) = &self.link {
                let _ = poll(&mut [PollFd::new(link.fd(), PollFlags::POLLIN)], PollTimeout::from(50u16));
            }
        }
        self.link = None;
        for held in self.held.values_mut() {
            // The next keeper sees the status in what it inherits.
            held.told = held.status.is_some();
        }
    }
}
