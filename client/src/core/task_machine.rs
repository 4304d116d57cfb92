//! One task of one allocation: what happens to it, and what follows from that.
//!
//! `step` is the only way a task changes. It never restarts what was stopped, never loses an end, and never starts an
//! attempt whose number is not saved first: in every answer [`Effect::Save`] precedes [`Effect::Start`].

use std::time::Duration;

use proto::ids::AllocId;
use proto::model::{
    EndReason, Group, JobType, Lifecycle, Restart, RestartOn, TaskEnd, TaskPhase, TaskStatus,
};
use proto::time::{BootTime, Timestamp};

use super::restart::{self, Tries, Verdict};

/// Where a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Its turn has not come.
    Waiting,
    /// The driver was or is about to be asked to start the present attempt.
    Starting,
    /// The present attempt runs.
    Running,
    /// The present attempt ended; the next starts then.
    Backoff(BootTime),
    /// Told to end; whatever ends now counts as stopped.
    Stopping,
    /// Ended for good.
    Ended(Outcome),
}

/// How a task ended for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it was meant to do.
    Complete,
    /// Its tries are used up, or none can help.
    Failed,
    /// Because it was told to.
    Stopped,
}

/// Everything the agent knows of one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskState {
    /// Where it is.
    pub phase: Phase,
    /// Starts so far; names the present or last attempt to the driver. 0: none yet.
    pub attempt: u32,
    /// The restart policy's memory.
    pub tries: Tries,
    /// The main process while it runs, else 0.
    pub pid: u32,
    /// When the present or last attempt started. None: nothing has ever started.
    pub started_at: Option<Timestamp>,
    /// How the last attempt ended.
    pub last_end: Option<TaskEnd>,
}

impl Default for TaskState {
    fn default() -> Self {
        Self {
            phase: Phase::Waiting,
            attempt: 0,
            tries: Tries::default(),
            pid: 0,
            started_at: None,
            last_end: None,
        }
    }
}

impl TaskState {
    /// Returns whether it has ever started. One that ended before anybody could say so did.
    #[must_use]
    pub fn has_started(&self) -> bool {
        self.started_at.is_some() || self.phase == Phase::Ended(Outcome::Complete)
    }
}

/// What does not change while the task is stepped.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Which allocation; part of the jitter's seed.
    pub alloc: AllocId,
    /// The task's name; part of the jitter's seed.
    pub task: &'a str,
    /// Whether exit 0 is followed by another try, rather than the end.
    pub repeats: bool,
    /// What the node does after an end.
    pub restart: &'a Restart,
    /// Whether it ran longer than it may: a stop then ends it as failed.
    pub is_overdue: bool,
}

impl<'a> Rules<'a> {
    /// Returns the rules for one task of a group of such a job; none when the group has no such task.
    ///
    /// Exit 0 is followed by another try for what is meant to live: the main tasks of a service, and sidecars of any job, unless
    /// only failures are restarted.
    #[must_use]
    pub fn of(
        alloc: AllocId,
        task: &'a str,
        kind: JobType,
        group: &'a Group,
        timed_out: bool,
    ) -> Option<Self> {
        let lifecycle = group.tasks.get(task)?.lifecycle;
        let lives = match lifecycle {
            Lifecycle::Main => kind == JobType::Service,
            other => other.is_sidecar(),
        };
        let restart = &group.restart;
        let repeats = lives && restart.on == RestartOn::Any;
        Some(Self { alloc, task, repeats, restart, is_overdue: timed_out && lifecycle == Lifecycle::Main })
    }
}

/// The two clocks at the moment of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For delays.
    pub boot: BootTime,
    /// For people.
    pub wall: Timestamp,
}

/// What happens to a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskEvent {
    /// Its turn has come.
    Start,
    /// The attempt runs; also after the agent was away and found it running.
    Started {
        /// Which attempt.
        attempt: u32,
        /// Its main process.
        pid: u32,
        /// Since when.
        at: Timestamp,
    },
    /// The attempt could not be started.
    StartFailed {
        /// Which attempt.
        attempt: u32,
        /// Why.
        reason: EndReason,
        /// Whether the same start must fail again.
        hopeless: bool,
    },
    /// The attempt has ended, all of its processes are gone.
    Ended(AttemptEnd),
    /// The driver does not know this attempt: the agent was away before it asked, or the driver lost it.
    Unknown {
        /// Which attempt.
        attempt: u32,
    },
    /// It must end: its siblings, servers or the owner of the agent want it so, see `lifecycle`.
    Stop,
    /// Time has passed.
    Timer,
}

/// How an attempt ended, from the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptEnd {
    /// Which attempt.
    pub attempt: u32,
    /// Why its main process ended.
    pub reason: EndReason,
    /// When, for people. Delays count from when the agent learns of it: a wall clock that jumps cannot shorten them.
    pub at: Timestamp,
    /// How long it had run.
    pub ran: Duration,
    /// The last lines of its output.
    pub tail: String,
}

/// What must be done, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Make the new state durable before anything that follows.
    Save,
    /// Ask the driver for this attempt.
    Start(u32),
    /// Ask the driver to end this attempt.
    Stop(u32),
    /// Send [`TaskEvent::Timer`] at that time, not before.
    Timer(BootTime),
    /// The driver may forget this attempt: its end is saved.
    Forget(u32),
    /// Tell the servers.
    Report,
}

/// Decides what follows from an event.
#[must_use]
pub fn step(state: TaskState, event: TaskEvent, rules: Rules<'_>, now: Now) -> (TaskState, Vec<Effect>) {
    match event {
        TaskEvent::Start => match state.phase {
            Phase::Waiting => next_attempt(state),
            _ => unchanged(state),
        },
        TaskEvent::Timer => match state.phase {
            Phase::Backoff(until) if now.boot >= until => next_attempt(state),
            Phase::Backoff(until) => (state, vec![Effect::Timer(until)]),
            _ => unchanged(state),
        },
        TaskEvent::Started { attempt, pid, at } => started(state, attempt, pid, at),
        TaskEvent::StartFailed { attempt, reason, hopeless } => {
            if attempt != state.attempt || !matches!(state.phase, Phase::Starting | Phase::Stopping) {
                return unchanged(state);
            }
            let end = AttemptEnd { attempt, reason, at: now.wall, ran: Duration::ZERO, tail: String::new() };
            ended(state, end, hopeless, rules, now)
        }
        TaskEvent::Ended(end) => step_ended(state, end, rules, now),
        TaskEvent::Unknown { attempt } if attempt == state.attempt => unknown(state, rules, now),
        TaskEvent::Unknown { .. } => unchanged(state),
        TaskEvent::Stop => stop(state, rules, now),
    }
}

fn unchanged(state: TaskState) -> (TaskState, Vec<Effect>) {
    (state, Vec::new())
}

fn next_attempt(state: TaskState) -> (TaskState, Vec<Effect>) {
    let attempt = state.attempt.saturating_add(1);
    let state = TaskState { phase: Phase::Starting, attempt, pid: 0, ..state };
    (state, vec![Effect::Save, Effect::Start(attempt), Effect::Report])
}

fn started(state: TaskState, attempt: u32, pid: u32, at: Timestamp) -> (TaskState, Vec<Effect>) {
    if attempt != state.attempt {
        return unchanged(state);
    }
    match state.phase {
        // Not saved: the driver still has the attempt when the agent is back, and after a reboot whatever was starting counts as
        // lost. A flush of the disk per start would be the dearest part of it.
        Phase::Starting | Phase::Running => {
            let known = TaskState { phase: Phase::Running, pid, started_at: Some(at), ..state.clone() };
            let effects = if known == state { Vec::new() } else { vec![Effect::Report] };
            (known, effects)
        }
        // The order to stop came while the start was under way.
        Phase::Stopping => {
            let known = TaskState { pid, started_at: Some(at), ..state };
            (known, vec![Effect::Stop(attempt), Effect::Report])
        }
        Phase::Waiting | Phase::Backoff(_) | Phase::Ended(_) => unchanged(state),
    }
}

fn step_ended(state: TaskState, end: AttemptEnd, rules: Rules<'_>, now: Now) -> (TaskState, Vec<Effect>) {
    let attempt = end.attempt;
    let present =
        attempt == state.attempt && matches!(state.phase, Phase::Starting | Phase::Running | Phase::Stopping);
    if present {
        return ended(state, end, false, rules, now);
    }
    // Known already: the agent died between saving the end and telling the driver to forget it.
    let is_past = attempt <= state.attempt;
    (state, if is_past { vec![Effect::Forget(attempt)] } else { Vec::new() })
}

/// The present attempt is over; the one place that decides whether there is another.
fn ended(
    state: TaskState,
    end: AttemptEnd,
    hopeless: bool,
    rules: Rules<'_>,
    now: Now,
) -> (TaskState, Vec<Effect>) {
    let attempt = state.attempt;
    let stopped = state.phase == Phase::Stopping || end.reason == EndReason::Stopped;
    let (phase, tries) = if stopped {
        (stopped_phase(rules), state.tries)
    } else if end.reason.is_success() && !rules.repeats {
        (Phase::Ended(Outcome::Complete), state.tries)
    } else if hopeless || is_final(&end.reason) || rules.restart.on == RestartOn::Never {
        (Phase::Ended(Outcome::Failed), state.tries)
    } else {
        let seed = restart::seed(rules.alloc, rules.task, attempt);
        match restart::decide(rules.restart, state.tries, end.ran, now.boot, seed) {
            Verdict::Again { at, tries } => (Phase::Backoff(at), tries),
            Verdict::Exhausted => (Phase::Ended(Outcome::Failed), state.tries),
        }
    };
    let reason = if stopped { stopped_reason(rules) } else { end.reason };
    // Also exit 0 of what is meant to live, when no other try follows: its last words say why.
    let gave_up = phase == Phase::Ended(Outcome::Failed);
    let failed = reason != EndReason::Stopped && (gave_up || !reason.is_success());
    let last_end =
        TaskEnd { reason, at: end.at, ran: end.ran, tail: if failed { end.tail } else { String::new() } };
    // An end that overtook the news of its start: it did start, as long ago as it ran.
    let started_at = match last_end.reason {
        EndReason::StartFailed { .. } | EndReason::EngineGone => state.started_at,
        _ if state.pid != 0 || end.ran.is_zero() => state.started_at,
        _ => Some(Timestamp(end.at.0.saturating_sub(end.ran.as_millis() as u64))),
    };
    let mut effects = vec![Effect::Save, Effect::Forget(attempt)];
    if let Phase::Backoff(until) = phase {
        effects.push(Effect::Timer(until));
    }
    effects.push(Effect::Report);
    (TaskState { phase, attempt, tries, pid: 0, started_at, last_end: Some(last_end) }, effects)
}

/// What a stop makes of a task, and why.
const fn stopped_phase(rules: Rules<'_>) -> Phase {
    Phase::Ended(if rules.is_overdue { Outcome::Failed } else { Outcome::Stopped })
}

const fn stopped_reason(rules: Rules<'_>) -> EndReason {
    if rules.is_overdue { EndReason::Timeout } else { EndReason::Stopped }
}

/// Ends that the node must not answer with another try: a new try after a lapsed lease could run beside the replacement.
const fn is_final(reason: &EndReason) -> bool {
    matches!(reason, EndReason::Lease | EndReason::Timeout)
}

fn unknown(state: TaskState, rules: Rules<'_>, now: Now) -> (TaskState, Vec<Effect>) {
    match state.phase {
        // The agent died between saving the number and asking the driver: the same attempt is asked for again, which
        // starts nothing a second time should the driver have it after all.
        Phase::Starting => {
            let attempt = state.attempt;
            (state, vec![Effect::Start(attempt)])
        }
        Phase::Running | Phase::Stopping => {
            let end = AttemptEnd {
                attempt: state.attempt,
                reason: EndReason::EngineGone,
                at: now.wall,
                ran: Duration::ZERO,
                tail: String::new(),
            };
            ended(state, end, false, rules, now)
        }
        Phase::Backoff(until) => (state, vec![Effect::Timer(until)]),
        Phase::Waiting | Phase::Ended(_) => unchanged(state),
    }
}

fn stop(state: TaskState, rules: Rules<'_>, now: Now) -> (TaskState, Vec<Effect>) {
    let attempt = state.attempt;
    match state.phase {
        Phase::Waiting | Phase::Backoff(_) => {
            let end = TaskEnd {
                reason: stopped_reason(rules),
                at: now.wall,
                ran: Duration::ZERO,
                tail: String::new(),
            };
            let phase = stopped_phase(rules);
            (TaskState { phase, last_end: Some(end), ..state }, vec![Effect::Save, Effect::Report])
        }
        // Nothing to end yet as far as the driver said; `started` ends it. Asked for anyway, in case the answer is lost.
        Phase::Starting | Phase::Running => {
            let state = TaskState { phase: Phase::Stopping, ..state };
            (state, vec![Effect::Save, Effect::Stop(attempt), Effect::Report])
        }
        Phase::Stopping => (state, vec![Effect::Stop(attempt)]),
        Phase::Ended(_) => unchanged(state),
    }
}

/// Returns what servers are told of a task.
#[must_use]
pub fn status(name: &str, state: &TaskState, policy: &Restart, now: Now) -> TaskStatus {
    let phase = match state.phase {
        Phase::Waiting => TaskPhase::Waiting,
        Phase::Starting => TaskPhase::Starting,
        Phase::Running => TaskPhase::Running,
        Phase::Backoff(until) => TaskPhase::Backoff(now.wall.plus(until.since(now.boot))),
        Phase::Stopping => TaskPhase::Stopping,
        Phase::Ended(_) => TaskPhase::Ended,
    };
    TaskStatus {
        name: name.to_owned(),
        phase,
        attempt: state.attempt,
        window_try: state.tries.window_try(),
        window_tries: restart::window_tries(policy),
        pid: state.pid,
        started_at: state.started_at,
        last_end: state.last_end.clone(),
    }
}

#[cfg(test)]
mod tests;
