//! One allocation on its agent: the shipped record and machines, driven as `client::allocs::alloc` does. The agent may be
//! killed before any effect.

use std::collections::{BTreeMap, VecDeque};

use client::core::alloc_status::alloc_state;
use client::core::lifecycle::{self, has_ended};
use client::core::spec::Spec;
use client::core::task_machine::{self, AttemptEnd, Effect, Phase, Rules, TaskEvent};
use client::store::record::Record;
use proto::ids::AllocId;
use proto::model::{AllocStatus, Lifecycle, TaskPhase};
use proto::time::BootTime;

use crate::event::{Agent, Attempt, DriverNews, Event};
use crate::sim::{Sim, say};

/// An allocation in an agent's memory.
pub struct Alloc {
    pub record: Record,
    seq: u64,
    pub reported: Option<AllocStatus>,
    timers: BTreeMap<String, BootTime>,
    /// When to look again whose turn it is.
    look_at: Option<BootTime>,
    /// Starts that the driver was asked for and has not answered.
    starting: BTreeMap<String, u32>,
    /// Those of them that the driver has not even read.
    pub unread: BTreeMap<String, u32>,
    /// Starts that wait until anything may start.
    held_back: BTreeMap<String, u32>,
}

impl Sim {
    /// Begins an allocation with what has happened to it. Returns false when the agent was killed meanwhile.
    pub fn begin_alloc(&mut self, agent: Agent, record: Record, events: Vec<(String, TaskEvent)>) -> bool {
        let id = record.id;
        let mut alloc = Alloc {
            record,
            seq: 0,
            reported: None,
            timers: BTreeMap::new(),
            look_at: None,
            starting: BTreeMap::new(),
            unread: BTreeMap::new(),
            held_back: BTreeMap::new(),
        };
        self.report(agent, &mut alloc);
        if let Some(one) = self.agent(agent) {
            one.allocs.insert(id, alloc);
        }
        self.happen(agent, id, events)
    }

    pub fn update_alloc(&mut self, agent: Agent, id: AllocId, spec: &Spec) -> bool {
        let Some(alloc) = self.agent(agent).and_then(|one| one.allocs.get_mut(&id)) else { return true };
        alloc.record.spec.update_in_place(spec);
        let record = alloc.record.clone();
        self.machines[agent.machine].disk.records.insert(id, record);
        self.happen(agent, id, Vec::new())
    }

    pub fn stop_alloc(&mut self, agent: Agent, id: AllocId) -> bool {
        let Some(alloc) = self.agent(agent).and_then(|one| one.allocs.get_mut(&id)) else { return true };
        alloc.record.course.stop_ordered = true;
        self.happen(agent, id, Vec::new())
    }

    /// Servers know its end. Its record goes at once here: what the agent keeps are logs.
    pub fn release_alloc(&mut self, agent: Agent, id: AllocId) {
        let keep = self.dice.work.chance(300);
        let wall = self.machine_time(agent.machine).wall;
        let Some(one) = self.agent(agent) else { return };
        one.outbox.remove(id);
        if keep && let Some(alloc) = one.allocs.get_mut(&id) {
            alloc.record.released_at = Some(wall);
            let record = alloc.record.clone();
            self.machines[agent.machine].disk.records.insert(id, record);
        } else {
            one.allocs.remove(&id);
            self.machines[agent.machine].disk.records.remove(&id);
        }
    }

    /// Timers whose time has come.
    pub fn ring_timers(&mut self, agent: Agent, now: BootTime) {
        let Some(one) = self.agent(agent) else { return };
        let mut due = Vec::new();
        let mut looks = Vec::new();
        for (id, alloc) in &mut one.allocs {
            if alloc.look_at.is_some_and(|at| now >= at) {
                looks.push(*id);
            }
            let rung: Vec<String> =
                alloc.timers.iter().filter(|(_, at)| now >= **at).map(|(task, _)| task.clone()).collect();
            for task in rung {
                alloc.timers.remove(&task);
                due.push((*id, task));
            }
        }
        for id in looks {
            if !self.happen(agent, id, Vec::new()) {
                return;
            }
        }
        for (id, task) in due {
            if !self.happen(agent, id, vec![(task, TaskEvent::Timer)]) {
                return;
            }
        }
    }

    /// The servers' complete set has arrived: anything may start.
    pub fn open_gate(&mut self, agent: Agent) {
        let Some(one) = self.agent(agent) else { return };
        one.gate = true;
        let mut waiting = Vec::new();
        for (id, alloc) in &mut one.allocs {
            let held = std::mem::take(&mut alloc.held_back);
            waiting.extend(held.into_iter().map(|(task, number)| Attempt { alloc: *id, task, number }));
        }
        for attempt in waiting {
            self.begin_start(agent, attempt);
        }
    }

    /// News of the driver reach the agent.
    pub fn driver_news(&mut self, agent: Agent, news: DriverNews) {
        let wall = self.machine_time(agent.machine).wall;
        let (DriverNews::Started(attempt)
        | DriverNews::Failed { attempt, .. }
        | DriverNews::Unknown(attempt)
        | DriverNews::Ended(attempt)) = news.clone();
        let number = attempt.number;
        let process = self.machines[agent.machine].processes.get(&attempt).cloned();
        let Some(alloc) = self.agent(agent).and_then(|one| one.allocs.get_mut(&attempt.alloc)) else {
            // No record says what it was.
            if self.agent(agent).is_some() && matches!(news, DriverNews::Ended(_)) {
                self.machines[agent.machine].processes.remove(&attempt);
            }
            return;
        };
        let event = match news {
            DriverNews::Unknown(_) if alloc.starting.contains_key(&attempt.task) => return,
            DriverNews::Unknown(_) => TaskEvent::Unknown { attempt: number },
            DriverNews::Started(_) => {
                alloc.starting.remove(&attempt.task);
                TaskEvent::Started { attempt: number, pid: 7, at: wall }
            }
            DriverNews::Failed { hopeless, .. } => {
                alloc.starting.remove(&attempt.task);
                let step = "exec".to_owned();
                let message = "no such file".to_owned();
                let reason = proto::model::EndReason::StartFailed { step, errno: 2, message };
                TaskEvent::StartFailed { attempt: number, reason, hopeless }
            }
            DriverNews::Ended(_) => {
                let Some(end) = process.and_then(|process| process.ended) else { return };
                TaskEvent::Ended(AttemptEnd {
                    attempt: number,
                    reason: end.reason,
                    at: wall,
                    ran: end.ran,
                    tail: String::new(),
                })
            }
        };
        if self.happen(agent, attempt.alloc, vec![(attempt.task, event)]) {
            self.send_reports(agent);
        }
    }

    /// Steps tasks through events and does what follows. Returns false when the agent was killed meanwhile.
    fn happen(&mut self, agent: Agent, id: AllocId, events: Vec<(String, TaskEvent)>) -> bool {
        let mut events = VecDeque::from(events);
        let mut course_is_new = false;
        loop {
            let now = self.machine_time(agent.machine);
            let Some(alloc) = self.agent(agent).and_then(|one| one.allocs.get_mut(&id)) else { return true };
            let record = &mut alloc.record;
            let mut due = Vec::new();
            if !events.front().is_some_and(|(_, event)| lifecycle::comes_first(event)) {
                let decision = lifecycle::decide(&record.spec.group, &record.tasks, record.course, now);
                course_is_new |= decision.course != record.course;
                (record.course, alloc.look_at) = (decision.course, decision.wake_at);
                due = decision.turns;
            }
            if due.is_empty() {
                let Some(next) = events.pop_front() else { break };
                due.push(next);
            }
            for (task, event) in due {
                if !self.step(agent, id, &task, &event) {
                    return false;
                }
            }
        }
        if course_is_new {
            self.perform(agent, id, "", Effect::Save);
        }
        let taken = self.agent(agent).and_then(|one| one.allocs.remove(&id));
        if let Some(mut alloc) = taken {
            self.report(agent, &mut alloc);
            if let Some(one) = self.agent(agent) {
                one.allocs.insert(id, alloc);
            }
        }
        true
    }

    /// Steps one task. Returns false when the agent was killed before one of the effects.
    fn step(&mut self, agent: Agent, id: AllocId, name: &str, event: &TaskEvent) -> bool {
        let now = self.machine_time(agent.machine);
        let bug = self.bug;
        let Some(alloc) = self.agent(agent).and_then(|one| one.allocs.get_mut(&id)) else { return true };
        let record = &mut alloc.record;
        let spec = record.spec.clone();
        let rules = Rules::of(id, name, spec.kind, &spec.group, record.course.timed_out);
        let (Some(rules), Some(task)) = (rules, record.tasks.get_mut(name)) else { return true };
        let (next, effects) = task_machine::step(std::mem::take(task), event.clone(), rules, now);
        let (next, effects) = bug.after_step(next, effects);
        *task = next;
        say!(self, "n{} alloc {} {name}: {event:?} -> {effects:?}", agent.machine, id.0);
        for effect in effects {
            if !self.calm && self.dice.faults.chance(2) {
                self.crash_agent(agent.machine);
                return false;
            }
            self.perform(agent, id, name, effect);
        }
        true
    }

    fn perform(&mut self, agent: Agent, id: AllocId, task: &str, effect: Effect) {
        let attempt = |number| Attempt { alloc: id, task: task.to_owned(), number };
        match effect {
            Effect::Save => {
                let Some(alloc) = self.agent(agent).and_then(|one| one.allocs.get(&id)) else { return };
                let record = alloc.record.clone();
                self.machines[agent.machine].disk.records.insert(id, record);
            }
            Effect::Start(number) => self.begin_start(agent, attempt(number)),
            Effect::Forget(number) => {
                let processes = &mut self.machines[agent.machine].processes;
                if processes.get(&attempt(number)).is_some_and(|process| process.ended.is_some()) {
                    processes.remove(&attempt(number));
                }
            }
            Effect::Stop(number) => self.begin_stop(agent, &attempt(number)),
            Effect::Timer(at) => {
                if let Some(alloc) = self.agent(agent).and_then(|one| one.allocs.get_mut(&id)) {
                    alloc.timers.insert(task.to_owned(), at);
                }
            }
            Effect::Report => {}
        }
    }

    fn begin_start(&mut self, agent: Agent, attempt: Attempt) {
        let after = self.dice.work.within(1, 40);
        let Some(one) = self.agent(agent) else { return };
        let gate = one.gate;
        let Some(alloc) = one.allocs.get_mut(&attempt.alloc) else { return };
        let task = alloc.record.tasks.get(&attempt.task);
        let wanted = |task: &client::core::task_machine::TaskState| {
            task.phase == Phase::Starting && task.attempt == attempt.number
        };
        if !task.is_some_and(wanted) {
            return;
        }
        let hook = alloc.record.spec.group.tasks.get(&attempt.task).map(|task| task.lifecycle);
        if alloc.record.course.stop_ordered && hook != Some(Lifecycle::Poststop) {
            let what = format!("{attempt:?} is started on n{} after the order to stop it", agent.machine);
            self.break_law("i3_forward", what);
            return;
        }
        if gate {
            alloc.starting.insert(attempt.task.clone(), attempt.number);
            alloc.unread.insert(attempt.task.clone(), attempt.number);
            self.queue.at(self.now + after, Event::DriverStart(agent, attempt));
        } else {
            alloc.held_back.insert(attempt.task, attempt.number);
        }
    }

    fn begin_stop(&mut self, agent: Agent, attempt: &Attempt) {
        let Some(alloc) = self.agent(agent).and_then(|one| one.allocs.get_mut(&attempt.alloc)) else {
            return;
        };
        if alloc.held_back.remove(&attempt.task).is_some() {
            self.queue.at(self.now + 1, Event::Driver(agent, DriverNews::Unknown(attempt.clone())));
        } else if !alloc.starting.contains_key(&attempt.task) {
            self.driver_stop(agent, attempt);
        }
    }

    /// Tells servers when what they would see has changed.
    fn report(&mut self, agent: Agent, alloc: &mut Alloc) {
        let now = self.machine_time(agent.machine);
        let record = &mut alloc.record;
        record.state = alloc_state(record.state, &record.spec.group, &record.tasks, record.course);
        let restart = &record.spec.group.restart;
        let tasks = record.tasks.iter();
        let tasks: Vec<_> =
            tasks.map(|(name, task)| task_machine::status(name, task, restart, now)).collect();
        let status = AllocStatus { id: record.id, seq: 0, state: record.state, tasks };
        if alloc.reported.as_ref().is_none_or(|before| differs(before, &status)) {
            alloc.seq += 1;
            let status = AllocStatus { seq: alloc.seq, ..status };
            alloc.reported = Some(status.clone());
            if record.released_at.is_none()
                && let Some(one) = self.machines[agent.machine].agent.as_mut()
            {
                one.outbox.put(status);
            }
        }
        if has_ended(&record.tasks) {
            alloc.timers.clear();
            alloc.look_at = None;
        }
    }
}

fn differs(before: &AllocStatus, after: &AllocStatus) -> bool {
    let plain = |status: &AllocStatus| {
        let mut status = AllocStatus { seq: 0, ..status.clone() };
        for task in &mut status.tasks {
            if let TaskPhase::Backoff(until) = &mut task.phase {
                until.0 = 0;
            }
        }
        status
    };
    plain(before) != plain(after)
}
