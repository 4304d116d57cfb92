//! The life of attempts in the keeper: start, stop, the end of the main process, the end of all of it.

use std::os::fd::{AsFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use prost::Message as _;

use super::attempt::{Attempt, Next, extra_of};
use super::clock;
use super::confine::must_be_root;
use super::guard::STATUS_LOST;
use super::idle::Verdict;
use super::init::{Init, Nursery};
use super::link::Message;
use super::message::{Start, StartFailed, Started};
use super::record::Record;
use super::serve::Keeper;
use super::spawn::{Prepared, Wires, failed};
use super::tree;
use crate::limits::{KEEPER_HOME_POLL, PATH_BYTES_MAX};

/// More than the largest pipe an unprivileged task can make of its output.
const DRAIN_BYTES: usize = 2 << 20;

impl Keeper {
    /// Starts an attempt that is not known.
    pub(super) fn start(&mut self, start: &Start) -> Result<Started, StartFailed> {
        check(start)?;
        let now = clock::boot_ms();
        if start.deadline_boot_ms != 0 && start.deadline_boot_ms <= now {
            let mut late = failed("lease", 0, "lease: the deadline of the fence has passed");
            late.hopeless = false;
            return Err(late);
        }
        let slot = self.next_slot;
        self.next_slot += 1;
        let mut prepared = Prepared::new(start, &self.mark(slot))?;
        let mut record = new_record(start, slot, now);
        let outcome = self.spawn(start, &mut prepared, &mut record);
        if outcome.is_err() {
            if let Some(init) = record.init() {
                init.kill();
            }
            let _ = self.link.send(&Message::Forget { slot });
            self.remove_group(slot);
        }
        let (pid, pipes) = outcome?;
        record.pid = pid;
        record.confirmed = true;
        let started = Started { pid, at_wall_ms: record.started_wall_ms };
        self.tell_guard(&record);
        self.journal.put(&record);
        self.by_id.insert(record.id.clone(), slot);
        self.by_pid.insert(pid, slot);
        self.attempts.insert(slot, Attempt::new(record, pipes.map(Some), true));
        self.watch_output(slot);
        self.drive(slot, now);
        Ok(started)
    }

    fn spawn(
        &mut self,
        start: &Start,
        prepared: &mut Prepared,
        record: &mut Record,
    ) -> Result<(u32, [OwnedFd; 2]), StartFailed> {
        let io = |step: &'static str| {
            move |error: std::io::Error| {
                failed(step, error.raw_os_error().unwrap_or(0), &format!("{step}: {error}"))
            }
        };
        let confine = start.confine.clone().unwrap_or_default();
        let (stdout, stdout_write) = pipe().map_err(io("stdio"))?;
        let (stderr, stderr_write) = pipe().map_err(io("stdio"))?;
        let groups = self.house.cgroups.create(record.slot, &confine).map_err(|error| {
            let (errno, hopeless) = error.nature();
            StartFailed { hopeless, ..failed("cgroup", errno, &format!("cgroup: {error}")) }
        })?;
        let mut nursery = None;
        if prepared.wants_init() {
            let made = Nursery::new(groups.procs.iter().chain(&groups.others)).map_err(|error| {
                let errno = error.raw_os_error().unwrap_or(0);
                failed("isolate", errno, &format!("isolate pid: {error}{}", must_be_root(errno)))
            })?;
            let Init { pid, namespace } = made.init();
            (record.init_pid, record.init_namespace) = (pid, namespace);
            nursery = Some(made);
        }
        let pipes = vec![stdout.try_clone().map_err(io("stdio"))?, stderr.try_clone().map_err(io("stdio"))?];
        let keep = Message::Keep { slot: record.slot, record: record.encode_to_vec(), pipes };
        self.link.send(&keep).map_err(io("guard"))?;
        if let Some(nursery) = &mut nursery {
            nursery.adopt();
        }
        let wires = Wires {
            stdin: self.null.as_fd(),
            stdout: stdout_write.as_fd(),
            stderr: stderr_write.as_fd(),
            link: self.link.fd(),
            cgroup_dir: groups.dir.as_ref().map(AsFd::as_fd),
            cgroup_procs: groups.procs.as_ref().map(AsFd::as_fd),
            cgroup_others: &groups.others,
        };
        let pid = prepared.run(start, record.slot, &wires, &self.house.origin, &mut self.stack)?;
        Ok((pid, [stdout, stderr]))
    }

    /// Begins or hastens a stop.
    pub(super) fn stop(&mut self, slot: u64, signal: i32, timeout_ms: u64) {
        let now = clock::boot_ms();
        let Some(attempt) = self.attempts.get_mut(&slot).filter(|attempt| !attempt.has_ended()) else {
            return;
        };
        attempt.want_stop(now.saturating_add(timeout_ms));
        let record = attempt.record.clone();
        self.tell_guard(&record);
        if timeout_ms > 0 {
            self.signal_main(slot, signal);
        }
        self.drive(slot, now);
    }

    /// Signals the main process' group, or the leftovers once it is gone.
    pub(super) fn signal_main(&mut self, slot: u64, signal: i32) {
        let Some(attempt) = self.attempts.get(&slot).filter(|attempt| !attempt.has_ended()) else { return };
        let pid = attempt.record.pid;
        if !attempt.main_alive {
            for pid in self.members(slot) {
                tree::signal(pid, signal);
            }
        } else if !tree::signal_group(pid, signal) {
            // It left its own group.
            tree::signal(pid, signal);
        }
    }

    /// Arms, moves or removes (0) the fence.
    pub(super) fn set_deadline(&mut self, slot: u64, boot_ms: u64) {
        let movable = |attempt: &&mut Attempt| !attempt.has_ended() && attempt.may_move_fence(boot_ms);
        let Some(attempt) = self.attempts.get_mut(&slot).filter(movable) else {
            return;
        };
        attempt.record.deadline_boot_ms = boot_ms;
        let record = attempt.record.clone();
        self.tell_guard(&record);
        self.drive(slot, clock::boot_ms());
    }

    /// Notes that the main process is gone.
    pub(super) fn main_ended(&mut self, slot: u64, status: Option<i32>) {
        let Some(attempt) = self.attempts.get_mut(&slot) else { return };
        attempt.main_alive = false;
        let known = status.filter(|&status| status != STATUS_LOST);
        attempt.record.wait_status = known.or(attempt.record.wait_status);
        self.leftovers.insert(slot);
        self.drive(slot, clock::boot_ms());
    }

    /// Does what is due for an attempt.
    pub(super) fn drive(&mut self, slot: u64, now: u64) {
        let Some(attempt) = self.attempts.get(&slot).filter(|attempt| !attempt.has_ended()) else { return };
        let members = if attempt.main_alive { Vec::new() } else { self.members(slot) };
        if let Some(init) = attempt.record.init().filter(|init| members == [init.pid]) {
            // It serves nobody any more. The guard says when it is gone.
            init.kill();
        }
        let Some(attempt) = self.attempts.get_mut(&slot) else { return };
        match attempt.decide(now, || members.is_empty()) {
            Next::Finish => self.finish(slot),
            Next::Wait(at) => self.plan(slot, at),
            Next::TellLeftovers(at) => {
                let signal = attempt.record.stop_signal;
                for pid in members {
                    tree::signal(pid, signal);
                }
                self.plan(slot, Some(at));
            }
            Next::TellFenced(at) => {
                let (signal, record) = (attempt.record.stop_signal, attempt.record.clone());
                self.tell_guard(&record);
                self.signal_main(slot, signal);
                self.plan(slot, Some(at));
            }
            Next::Kill(cause, at) => {
                if attempt.main_alive && attempt.record.killed.is_none() {
                    attempt.record.killed = Some(cause.into());
                    let record = attempt.record.clone();
                    self.tell_guard(&record);
                }
                self.kill(slot);
                self.plan(slot, Some(at));
            }
        }
    }

    fn kill(&mut self, slot: u64) {
        let members = self.members(slot);
        if let Some(attempt) = self.attempts.get(&slot)
            && attempt.main_alive
        {
            tree::signal(attempt.record.pid, libc::SIGKILL);
            tree::signal_group(attempt.record.pid, libc::SIGKILL);
        }
        self.house.cgroups.kill(slot);
        if let Some(init) = self.attempts.get(&slot).and_then(|attempt| attempt.record.init()) {
            init.kill();
        }
        for pid in members {
            tree::signal(pid, libc::SIGKILL);
        }
    }

    /// Returns the processes of an attempt that live.
    pub(super) fn members(&self, slot: u64) -> Vec<u32> {
        let Some(attempt) = self.attempts.get(&slot) else { return Vec::new() };
        if let Some(members) = self.house.cgroups.members(slot) {
            return members;
        }
        let mark = self.mark(slot);
        let mut found = self.tree_of(attempt, &mark);
        found.extend(attempt.record.init().map(|init| init.pid).filter(|pid| !found.contains(pid)));
        found
    }

    /// Finds the processes of an attempt that no group holds.
    fn tree_of(&self, attempt: &Attempt, mark: &str) -> Vec<u32> {
        // What a guard before this one left behind is nobody's child here.
        if attempt.record.foreign {
            return tree::marked(mark);
        }
        let root = tree::Root { main: attempt.record.pid, alive: attempt.main_alive, mark };
        let own = std::process::id();
        tree::members(root, self.house.guard_pid, |pid| pid == own || self.by_pid.contains_key(&pid))
    }

    fn finish(&mut self, slot: u64) {
        // Nobody writes any more, so what the pipes hold is all that will come.
        for which in 0..2 {
            self.pump(slot, which, DRAIN_BYTES);
        }
        self.close_output(slot);
        self.note_usage(slot, &[]);
        let cgroups = &self.house.cgroups;
        let oom = || cgroups.oom_kills(slot).is_some_and(|kills| kills > 0);
        let Some(attempt) = self.attempts.get_mut(&slot) else { return };
        if attempt.adopted && !attempt.has_tail() {
            attempt.recall_tail();
        }
        attempt.end(clock::wall_ms(), clock::boot_ms(), oom);
        // From here on only the end is needed; descriptors are not.
        attempt.sinks = Default::default();
        let record = attempt.record.clone();
        self.plan(slot, None);
        self.leftovers.remove(&slot);
        self.remove_group(slot);
        self.journal.put(&record);
        let _ = self.link.send(&Message::Forget { slot });
        let _ = self.link.send(&Message::Keep { slot, record: record.encode_to_vec(), pipes: Vec::new() });
        self.remember_end(slot);
    }

    pub(super) fn remember_end(&mut self, slot: u64) {
        let seq = self.next_end;
        self.next_end += 1;
        self.ends.insert(seq, slot);
        if let Some(attempt) = self.attempts.get_mut(&slot) {
            attempt.end_seq = seq;
        }
    }

    /// Forgets an ended attempt.
    pub(super) fn collect(&mut self, slot: u64) {
        let Some(attempt) = self.attempts.remove(&slot) else { return };
        self.by_id.remove(&attempt.record.id);
        self.ends.remove(&attempt.end_seq);
        // In this order: a keeper that dies between the two has an end to be collected again, not a lost one.
        self.journal.delete(slot);
        let _ = self.link.send(&Message::Forget { slot });
    }

    /// Looks after the keeper itself; returns the exit code when it is to leave.
    pub(super) fn keep_house(&mut self, now: u64) -> Option<i32> {
        if !self.old_groups.is_empty() {
            let groups = std::mem::take(&mut self.old_groups);
            self.old_groups = groups.into_iter().filter(|&slot| !self.house.cgroups.remove(slot)).collect();
        }
        let uncollected = self.ends.len();
        let running = self.attempts.len() - uncollected;
        let may_be_forgotten = running == 0 && self.idle.is_alone();
        let is_reachable = !may_be_forgotten || self.house.socket.exists();
        match self.idle.decide(running, uncollected, is_reachable, now) {
            Verdict::Leave => {
                let _ = std::fs::remove_file(&self.house.socket);
                Some(0)
            }
            Verdict::EndAll => {
                self.plan_housekeeping(None);
                self.end_all();
                None
            }
            Verdict::Stay(at) => {
                let retry = (!self.old_groups.is_empty()).then_some(now + 100);
                let look = may_be_forgotten.then(|| now + KEEPER_HOME_POLL.as_millis() as u64);
                self.plan_housekeeping([at, retry, look].into_iter().flatten().min());
                None
            }
        }
    }

    fn end_all(&mut self) {
        let running: Vec<(u64, i32, u64)> = self
            .attempts
            .iter()
            .filter(|(_, attempt)| !attempt.has_ended() && attempt.record.kill_at_boot_ms == 0)
            .map(|(slot, attempt)| (*slot, attempt.record.stop_signal, attempt.record.stop_timeout_ms))
            .collect();
        for (slot, signal, timeout_ms) in running {
            self.stop(slot, signal, timeout_ms);
        }
    }

    pub(super) fn remove_group(&mut self, slot: u64) {
        if !self.house.cgroups.remove(slot) {
            self.old_groups.push(slot);
        }
    }

    fn tell_guard(&self, record: &Record) {
        // A guard that is gone is noticed by reading.
        let _ = self.link.send(&Message::Update { slot: record.slot, record: record.encode_to_vec() });
    }

    fn mark(&self, slot: u64) -> String {
        format!("{}.{slot:x}", self.house.name)
    }
}

fn new_record(start: &Start, slot: u64, now: u64) -> Record {
    Record {
        id: start.id.clone(),
        slot,
        started_wall_ms: clock::wall_ms(),
        started_boot_ms: now,
        log_dir: start.log_dir.clone(),
        log_files: start.log_files,
        log_file_bytes: start.log_file_bytes,
        stop_signal: if start.stop_signal == 0 { libc::SIGTERM } else { start.stop_signal },
        stop_timeout_ms: start.stop_timeout_ms,
        deadline_boot_ms: start.deadline_boot_ms,
        fence_grace_ms: start.fence_grace_ms,
        user: start.also.as_ref().and(start.user.clone()),
        also: start.also.clone(),
        ..Record::default()
    }
}

fn check(start: &Start) -> Result<(), StartFailed> {
    let wrong = |step: &str, message: &str| Err(failed(step, libc::EINVAL, &format!("{step}: {message}")));
    let name = &start.id.task;
    if name.is_empty() || name.len() > 200 || name.contains(['/', '\0']) {
        return wrong("task", "the name must be 1 to 200 bytes without a slash");
    }
    if !start.log_dir.starts_with('/') || start.log_dir.len() > PATH_BYTES_MAX || start.log_dir.contains('\0')
    {
        return wrong("logs", "the log directory must be an absolute path of at most 4096 bytes");
    }
    if start.workdir.len() > PATH_BYTES_MAX {
        return wrong("workdir", "the path is longer than 4096 bytes");
    }
    // To the kernel the largest number means "stay who you are".
    if start.user.as_ref().is_some_and(|user| user.uid == u32::MAX || user.gid == u32::MAX) {
        return wrong("user", "there is no such user or group");
    }
    if !(0..=64).contains(&start.stop_signal) {
        return wrong("stop_signal", "there is no such signal");
    }
    let also = start.also.as_ref();
    if also.is_some_and(|also| also.file.len() > PATH_BYTES_MAX || also.journal.len() > PATH_BYTES_MAX) {
        return wrong("logs.file", "the path is longer than 4096 bytes");
    }
    extra_of(also, start.user.as_ref()).try_open().map_err(|(path, error)| {
        let message = format!("logs.file: cannot append to {} as the task's user: {error}", path.display());
        failed("logs.file", error.raw_os_error().unwrap_or(0), &message)
    })
}

/// Makes a pipe whose read end never blocks; the write end does, as programs expect.
fn pipe() -> std::io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((read, write))
}
