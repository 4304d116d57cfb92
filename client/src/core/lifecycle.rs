//! The order in which the tasks of one allocation begin and end.
//!
//! ```text
//! prestart tasks run to their end, prestart sidecars start
//!     -> main tasks                              all of them together
//!         -> poststart tasks and sidecars        when every main task has started
//!     main tasks and one-shot hooks have ended, by themselves or because the allocation must end
//!         -> sidecars are stopped
//!             -> poststop tasks                  bounded: nothing that hangs can hold up a stop for ever
//! ```
//!
//! The decision takes the states of the tasks and nothing else, so that it is the same after a death of the agent at any point.
//! It is taken before every event, so that what must end starts nothing more; only [`TaskEvent::Started`] comes first, see
//! [`comes_first`].
//! An allocation must end when servers say so, when it ran too long, when a task that is not a poststop task has failed for
//! good, or when a critical task has ended for good.

use std::collections::BTreeMap;

use proto::model::{Group, Lifecycle, Task};
use proto::time::BootTime;

use super::course::Course;
use super::task_machine::{Now, Outcome, Phase, TaskEvent, TaskState};
use crate::limits::POSTSTOP_MAX;

/// What is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// To be remembered; saved with the turns, or by itself when it has changed and there are none.
    pub course: Course,
    /// [`TaskEvent::Start`] or [`TaskEvent::Stop`], in the order of the tasks' names. None for a task that was told already.
    pub turns: Vec<(String, TaskEvent)>,
    /// When to decide again though nothing else has happened.
    pub wake_at: Option<BootTime>,
}

/// Decides whose turn it is. A second call for the tasks as they are after their turns has none.
#[must_use]
pub fn decide(group: &Group, states: &BTreeMap<String, TaskState>, course: Course, now: Now) -> Decision {
    let tasks = Tasks { group, states };
    let mut course = course;
    let must_end = tasks.must_end(course);
    let mut wake_at = None;
    if let Some(until) = run_until(&tasks, &mut course, now)
        && !must_end
        && !tasks.main_have_ended()
    {
        course.timed_out = now.boot >= until;
        wake_at = (!course.timed_out).then_some(until);
    }
    let has_last = group.tasks.values().any(|task| task.lifecycle == Lifecycle::Poststop);
    if has_last && tasks.all_ended(|task| task.lifecycle != Lifecycle::Poststop) {
        course.poststop_since.get_or_insert(now.boot);
    }
    let stage = Stage::of(&tasks, course);
    let mut turns = Vec::new();
    for (name, task, state) in tasks.iter() {
        let deadline = course.poststop_since.filter(|_| task.lifecycle == Lifecycle::Poststop);
        let deadline = deadline.map(|since| since.plus(task.stop_timeout).plus(POSTSTOP_MAX));
        match state.phase {
            Phase::Ended(_) | Phase::Stopping => continue,
            _ if deadline.is_some_and(|at| now.boot >= at) => turns.push((name.clone(), TaskEvent::Stop)),
            Phase::Waiting => turns.extend(stage.first_turn(task.lifecycle).map(|turn| (name.clone(), turn))),
            phase if stage.is_over_for(task.lifecycle, phase) => turns.push((name.clone(), TaskEvent::Stop)),
            _ => {}
        }
        wake_at = wake_at.into_iter().chain(deadline.filter(|at| now.boot < *at)).min();
    }
    Decision { course, turns, wake_at }
}

/// Returns whether an event is to be stepped before it is decided whose turn it is: news that a task runs, from which no other
/// start can follow. A start is not on disk, so that an agent that comes back takes what has run for days for just being started.
#[must_use]
pub const fn comes_first(event: &TaskEvent) -> bool {
    matches!(event, TaskEvent::Started { .. })
}

/// Returns whether nothing of the allocation runs any more and nothing will.
#[must_use]
pub fn has_ended(states: &BTreeMap<String, TaskState>) -> bool {
    states.values().all(|state| matches!(state.phase, Phase::Ended(_)))
}

/// How far an allocation is.
#[allow(clippy::struct_excessive_bools, reason = "each is one condition of the picture above")]
struct Stage {
    must_end: bool,
    /// Everything that comes before the main tasks has done what it was to do.
    is_prepared: bool,
    main_have_started: bool,
    /// Nothing is left but sidecars and poststop tasks.
    work_has_ended: bool,
    /// Nothing is left but poststop tasks.
    is_cleared: bool,
    /// Whether any task but a poststop task was ever asked for: there may be something to clean up.
    has_begun: bool,
}

impl Stage {
    fn of(tasks: &Tasks<'_>, course: Course) -> Self {
        let is_prepared = tasks.iter().all(|(_, task, state)| match task.lifecycle {
            Lifecycle::Prestart { sidecar: false } => state.phase == Phase::Ended(Outcome::Complete),
            Lifecycle::Prestart { sidecar: true } => state.has_started(),
            _ => true,
        });
        let is_last = |task: &Task| task.lifecycle == Lifecycle::Poststop;
        Self {
            must_end: tasks.must_end(course),
            is_prepared,
            main_have_started: tasks.main_have_started(),
            work_has_ended: tasks.all_ended(|task| !is_last(task) && !task.lifecycle.is_sidecar()),
            is_cleared: tasks.all_ended(|task| !is_last(task)),
            has_begun: tasks.iter().any(|(_, task, state)| !is_last(task) && state.attempt > 0),
        }
    }

    /// What becomes of a task that has waited so far.
    fn first_turn(&self, lifecycle: Lifecycle) -> Option<TaskEvent> {
        let starts = match lifecycle {
            Lifecycle::Poststop if !self.is_cleared => return None,
            Lifecycle::Poststop => {
                return Some(if self.has_begun { TaskEvent::Start } else { TaskEvent::Stop });
            }
            _ if self.must_end => return Some(TaskEvent::Stop),
            Lifecycle::Poststart { sidecar: true } if self.work_has_ended => return Some(TaskEvent::Stop),
            Lifecycle::Prestart { .. } => true,
            Lifecycle::Main => self.is_prepared,
            Lifecycle::Poststart { .. } => self.main_have_started,
        };
        starts.then_some(TaskEvent::Start)
    }

    /// Whether a task that has begun must end.
    fn is_over_for(&self, lifecycle: Lifecycle, phase: Phase) -> bool {
        match lifecycle {
            Lifecycle::Poststop => false,
            // One that does not run is not started only to be stopped: from then on nothing starts but poststop tasks.
            _ if lifecycle.is_sidecar() => self.work_has_ended || (self.must_end && phase != Phase::Running),
            _ => self.must_end,
        }
    }
}

/// The tasks of an allocation, each with its state.
#[derive(Clone, Copy)]
pub(super) struct Tasks<'a> {
    pub(super) group: &'a Group,
    pub(super) states: &'a BTreeMap<String, TaskState>,
}

impl<'a> Tasks<'a> {
    pub(super) fn iter(self) -> impl Iterator<Item = (&'a String, &'a Task, &'a TaskState)> {
        self.states.iter().filter_map(move |(name, state)| Some((name, self.group.tasks.get(name)?, state)))
    }

    pub(super) fn main(self) -> impl Iterator<Item = &'a TaskState> {
        self.iter().filter(|(_, task, _)| task.lifecycle == Lifecycle::Main).map(|(_, _, state)| state)
    }

    pub(super) fn main_have_started(self) -> bool {
        self.main().all(TaskState::has_started)
    }

    pub(super) fn main_have_ended(self) -> bool {
        self.all_ended(|task| task.lifecycle == Lifecycle::Main)
    }

    fn all_ended(self, of: impl Fn(&Task) -> bool) -> bool {
        self.iter()
            .filter(|(_, task, _)| of(task))
            .all(|(_, _, state)| matches!(state.phase, Phase::Ended(_)))
    }

    /// Whether it must end before its main tasks have ended by themselves.
    pub(super) fn must_end(self, course: Course) -> bool {
        course.stop_ordered
            || course.timed_out
            || self.iter().any(|(_, task, state)| ends_siblings(task, state))
    }
}

/// Whether the end of this task is the end of its siblings.
fn ends_siblings(task: &Task, state: &TaskState) -> bool {
    let Phase::Ended(outcome) = state.phase else { return false };
    match task.lifecycle {
        Lifecycle::Poststop => false,
        _ if outcome == Outcome::Failed || decides(task) => true,
        // Somebody else stopped what the main tasks wait for.
        Lifecycle::Prestart { .. } => outcome == Outcome::Stopped,
        _ => false,
    }
}

/// Whether the allocation ends as this task does. A hook that runs to its end and succeeds has done its part, critical or not.
pub(super) fn decides(task: &Task) -> bool {
    task.critical && (task.lifecycle == Lifecycle::Main || task.lifecycle.is_sidecar())
}

/// Remembers the first start of a main task where it matters; returns until when they may run.
fn run_until(tasks: &Tasks<'_>, course: &mut Course, now: Now) -> Option<BootTime> {
    let most = tasks.group.max_run?;
    let first = || tasks.main().filter_map(|state| state.started_at).min();
    // A start is told in wall time, also one that the agent was not there to see.
    let since =
        |at: proto::time::Timestamp| BootTime(now.boot.0.saturating_sub(now.wall.0.saturating_sub(at.0)));
    course.main_started = course.main_started.or_else(|| first().map(since));
    Some(course.main_started?.plus(most))
}

#[cfg(test)]
mod tests;
