//! The processes of a machine and the parent that outlives the agent: starts are idempotent per attempt, ends are kept until
//! they are collected, a stop may be ignored until its time is over.

use std::time::Duration;

use client::driver::{AttemptId, EndCause, Ended};
use proto::model::{EndReason, JobType, Lifecycle};

use crate::event::{Agent, Attempt, DriverNews, Event};
use crate::lifecycle_order;
use crate::sim::{Sim, say};

/// A process, or what is left of it.
#[derive(Clone, Debug)]
pub struct Process {
    pub pid: u32,
    /// Milliseconds since boot.
    pub started_boot: u64,
    pub stopping: bool,
    /// Of the exit that is to come; an earlier plan means nothing.
    token: u64,
    pub ended: Option<End>,
}

/// How it ended.
#[derive(Clone, Debug)]
pub struct End {
    pub reason: EndReason,
    pub ran: Duration,
}

/// What the driver's list says of an end.
pub fn ended_of(attempt: &Attempt, process: &Process) -> Ended {
    let ran = process.ended.as_ref().map(|end| end.ran).unwrap_or_default();
    Ended {
        id: AttemptId { alloc: attempt.alloc.0, task: attempt.task.clone(), attempt: attempt.number },
        cause: EndCause::Exit(0),
        dropped_bytes: 0,
        stopped_by_us: process.stopping,
        at_ms: 0,
        ran_ms: ran.as_millis() as u64,
        tail: String::new(),
    }
}

impl Sim {
    /// A start that an agent asked for arrives at the driver; one of an agent that died is never read.
    pub fn driver_start_asked(&mut self, agent: Agent, attempt: Attempt) {
        let Some(one) = self.agent(agent) else { return };
        if let Some(alloc) = one.allocs.get_mut(&attempt.alloc) {
            alloc.unread.remove(&attempt.task);
        }
        self.driver_start(agent, attempt);
    }

    /// The driver starts an attempt, once.
    pub fn driver_start(&mut self, agent: Agent, attempt: Attempt) {
        let at = agent.machine;
        if !self.machines[at].powered {
            return;
        }
        let after = self.now + self.dice.work.within(1, 30);
        let known = self.machines[at].processes.contains_key(&attempt);
        if !known {
            if let Some(hopeless) = self.fails_to_start(at, &attempt) {
                self.queue.at(after, Event::Driver(agent, DriverNews::Failed { attempt, hopeless }));
                return;
            }
            self.start_process(at, &attempt);
        }
        self.queue.at(after, Event::Driver(agent, DriverNews::Started(attempt)));
    }

    fn fails_to_start(&mut self, at: usize, attempt: &Attempt) -> Option<bool> {
        let spec = &self.machines[at].disk.records.get(&attempt.alloc)?.spec;
        let task = &spec.group.tasks[&attempt.task];
        let cannot = task.env.get("cannot").is_some_and(|on| on.contains(&at.to_string()));
        if cannot {
            return Some(true);
        }
        (!self.calm && self.dice.work.chance(20)).then_some(false)
    }

    fn start_process(&mut self, at: usize, attempt: &Attempt) {
        let boot = self.machine_time(at).boot.0;
        let machine = &self.machines[at];
        let place = (at, machine.disk.number, machine.boot);
        let verdict = self.laws.twice.start(&machine.processes, place, attempt);
        let record = machine.disk.records.get(&attempt.alloc);
        let verdict = verdict.and_then(|()| lifecycle_order::start(record, &machine.processes, attempt));
        if let Err(broken) = verdict {
            self.break_law(broken.law, broken.what);
        }
        let process = Process { pid: 7, started_boot: boot, stopping: false, token: 1, ended: None };
        self.machines[at].processes.insert(attempt.clone(), process);
        if let Err(broken) = self.laws.capacity.really(&self.machines[at]) {
            self.break_law(broken.law, broken.what);
        }
        say!(self, "n{at} runs {attempt:?}");
        let Some(record) = self.machines[at].disk.records.get(&attempt.alloc) else { return };
        let (kind, spec) = (record.spec.kind, &record.spec.group.tasks[&attempt.task]);
        let crashy = spec.env.get("mode").is_some_and(|mode| mode == "crashy");
        // When all is well, what may run for so long needs less: else it would be tried for ever.
        let share = record.spec.group.max_run.filter(|_| self.calm).map(|run| run.as_millis() as u64 / 8);
        let at_most = |usual: u64| share.map_or(usual, |share| usual.min(share));
        let life = match kind {
            // A poststop task that hangs is ended by the agent in the end.
            _ if spec.lifecycle == Lifecycle::Poststop && !self.calm && self.dice.work.chance(30) => None,
            _ if runs_once(spec.lifecycle) => Some(self.dice.work.within(1, at_most(1500))),
            _ if kind.has_an_end() && spec.lifecycle.is_sidecar() => None,
            JobType::Batch | JobType::SysBatch => Some(self.dice.work.within(50, at_most(6000))),
            _ if crashy && !self.calm && self.dice.work.chance(600) => Some(self.dice.work.within(1, 15_000)),
            _ if !self.calm && self.dice.work.chance(60) => Some(self.dice.work.within(1, 30_000)),
            JobType::Service | JobType::System => None,
        };
        if let Some(life) = life {
            self.queue.at(self.now + life, Event::Exit(at, attempt.clone(), 1));
        }
    }

    /// The driver is asked to end an attempt.
    pub fn driver_stop(&mut self, agent: Agent, attempt: &Attempt) {
        let at = agent.machine;
        let stubborn = self.dice.work.chance(200);
        let after = if stubborn { self.dice.work.within(1000, 5000) } else { self.dice.work.within(5, 400) };
        match self.machines[at].processes.get_mut(attempt) {
            None => {
                let news = DriverNews::Unknown(attempt.clone());
                self.queue.at(self.now + 2, Event::Driver(agent, news));
            }
            Some(process) if process.ended.is_none() && !process.stopping => {
                process.stopping = true;
                process.token += 1;
                self.queue.at(self.now + after, Event::Exit(at, attempt.clone(), process.token));
            }
            Some(_) => {}
        }
    }

    /// A process ends.
    pub fn exit(&mut self, at: usize, attempt: &Attempt, token: u64) {
        let boot = self.machine_time(at).boot.0;
        let (signalled, code) = (self.dice.work.chance(200), self.dice.work.below(3) as i32);
        let fails = !self.calm && self.dice.work.chance(250);
        let machine = &mut self.machines[at];
        let meant_to_end = machine.disk.records.get(&attempt.alloc).is_some_and(|record| {
            let hook = record.spec.group.tasks[&attempt.task].lifecycle;
            record.spec.kind.has_an_end() || runs_once(hook)
        });
        let Some(process) = machine.processes.get_mut(attempt) else { return };
        if process.ended.is_some() || process.token != token {
            return;
        }
        let reason = match (process.stopping, meant_to_end && !fails) {
            (true, _) => EndReason::Stopped,
            (false, true) => EndReason::Exit(0),
            (false, false) if signalled => EndReason::Signal(9),
            (false, false) => EndReason::Exit(code),
        };
        let ran = Duration::from_millis(boot.saturating_sub(process.started_boot));
        process.ended = Some(End { reason: reason.clone(), ran });
        let agent = machine.agent.as_ref().map(|one| Agent { machine: at, life: one.life });
        say!(self, "n{at} {attempt:?} ended: {reason}");
        if let Some(agent) = agent {
            let after = self.now + self.dice.work.within(1, 20);
            self.queue.at(after, Event::Driver(agent, DriverNews::Ended(attempt.clone())));
        }
    }
}

/// Whether a task is a hook that runs to its end.
fn runs_once(lifecycle: Lifecycle) -> bool {
    lifecycle != Lifecycle::Main && !lifecycle.is_sidecar()
}
