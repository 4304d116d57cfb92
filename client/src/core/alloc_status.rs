//! What an allocation is, from what its tasks are.

use std::collections::BTreeMap;

use proto::model::{AllocState, Group, Lifecycle};

use super::course::Course;
use super::lifecycle::{Tasks, decides, has_ended};
use super::task_machine::{Outcome, Phase, TaskState};

/// Returns the state of an allocation that was in `before`: forward only, and an end is final.
///
/// It ends when all of its tasks have. It has failed when it ran too long, or a task that is not a poststop task has failed; else
/// it ends as its critical tasks do, if one of them has ended by itself; else it was stopped if a main task was; else it is
/// complete. What a poststop task comes to is shown with the task and changes nothing: work that is done must not be done again
/// because sweeping up failed.
#[must_use]
pub fn alloc_state(
    before: AllocState,
    group: &Group,
    states: &BTreeMap<String, TaskState>,
    course: Course,
) -> AllocState {
    let present = present_state(Tasks { group, states }, course);
    if before.may_become(present) { present } else { before }
}

fn present_state(tasks: Tasks<'_>, course: Course) -> AllocState {
    if has_ended(tasks.states) {
        final_state(tasks, course)
    } else if tasks.must_end(course) || tasks.main_have_ended() {
        AllocState::Stopping
    } else if tasks.main_have_started() {
        AllocState::Running
    } else if tasks.states.values().any(|state| state.phase != Phase::Waiting) {
        AllocState::Starting
    } else {
        AllocState::Pending
    }
}

fn final_state(tasks: Tasks<'_>, course: Course) -> AllocState {
    let ended = |state: &TaskState, outcome| state.phase == Phase::Ended(outcome);
    let failed = tasks
        .iter()
        .any(|(_, task, state)| task.lifecycle != Lifecycle::Poststop && ended(state, Outcome::Failed));
    if failed || course.timed_out {
        return AllocState::Failed;
    }
    let decided = tasks.iter().any(|(_, task, state)| decides(task) && ended(state, Outcome::Complete));
    if !decided && tasks.main().any(|state| ended(state, Outcome::Stopped)) {
        AllocState::Stopped
    } else {
        AllocState::Complete
    }
}

#[cfg(test)]
mod tests {
    use proto::model::{JobType, Task};
    use proto::time::{BootTime, Timestamp};

    use super::*;

    const COMPLETE: Phase = Phase::Ended(Outcome::Complete);
    const FAILED: Phase = Phase::Ended(Outcome::Failed);
    const STOPPED: Phase = Phase::Ended(Outcome::Stopped);
    const BACKOFF: Phase = Phase::Backoff(BootTime(9));
    const PRESTART: Lifecycle = Lifecycle::Prestart { sidecar: false };

    /// The state of an allocation of these tasks; what does not wait and is not being started has started.
    fn state_of(course: Course, tasks: &[(Lifecycle, bool, Phase)]) -> AllocState {
        let (mut models, mut states) = (BTreeMap::new(), BTreeMap::new());
        for (at, (lifecycle, critical, phase)) in tasks.iter().enumerate() {
            let started_at = (!matches!(phase, Phase::Waiting | Phase::Starting)).then_some(Timestamp(1));
            let model = Task { lifecycle: *lifecycle, critical: *critical, ..Task::new("/bin/true") };
            models.insert(at.to_string(), model);
            states.insert(at.to_string(), TaskState { phase: *phase, started_at, ..TaskState::default() });
        }
        alloc_state(AllocState::Pending, &Group::new(JobType::Batch, models), &states, course)
    }

    fn state(phases: &[Phase]) -> AllocState {
        let tasks: Vec<_> = phases.iter().map(|phase| (Lifecycle::Main, false, *phase)).collect();
        state_of(Course::default(), &tasks)
    }

    #[test]
    fn a_task_between_two_tries_counts_as_running() {
        assert_eq!(state(&[Phase::Running, BACKOFF]), AllocState::Running);
    }

    #[test]
    fn it_is_starting_until_every_main_task_has_started_once() {
        assert_eq!(state(&[Phase::Waiting, Phase::Waiting]), AllocState::Pending);
        assert_eq!(state(&[Phase::Running, Phase::Starting]), AllocState::Starting);
        let before = [(PRESTART, false, Phase::Running), (Lifecycle::Main, false, Phase::Waiting)];
        assert_eq!(state_of(Course::default(), &before), AllocState::Starting);
        let after = [
            (Lifecycle::Main, false, Phase::Running),
            (Lifecycle::Poststart { sidecar: true }, false, Phase::Starting),
        ];
        assert_eq!(state_of(Course::default(), &after), AllocState::Running, "only main tasks count");
    }

    #[test]
    fn it_ends_only_when_all_of_its_tasks_have() {
        assert_eq!(state(&[COMPLETE, Phase::Running]), AllocState::Running);
        assert_eq!(state(&[COMPLETE, COMPLETE]), AllocState::Complete);
        let swept = |phase| [(Lifecycle::Main, false, COMPLETE), (Lifecycle::Poststop, false, phase)];
        assert_eq!(state_of(Course::default(), &swept(Phase::Running)), AllocState::Stopping);
        assert_eq!(state_of(Course::default(), &swept(FAILED)), AllocState::Complete, "done is done");
        assert_eq!(state_of(Course::default(), &swept(STOPPED)), AllocState::Complete);
    }

    #[test]
    fn one_exhausted_task_fails_it_once_its_siblings_are_stopped() {
        assert_eq!(state(&[FAILED, Phase::Stopping]), AllocState::Stopping);
        assert_eq!(state(&[FAILED, STOPPED]), AllocState::Failed);
        let before = [(PRESTART, false, FAILED), (Lifecycle::Main, false, STOPPED)];
        assert_eq!(state_of(Course::default(), &before), AllocState::Failed);
    }

    #[test]
    fn it_ends_as_its_critical_task_does() {
        let ends = |outcome| [(Lifecycle::Main, true, outcome), (Lifecycle::Main, false, STOPPED)];
        assert_eq!(state_of(Course::default(), &ends(COMPLETE)), AllocState::Complete);
        assert_eq!(state_of(Course::default(), &ends(FAILED)), AllocState::Failed);
        assert_eq!(state_of(Course::default(), &ends(STOPPED)), AllocState::Stopped);
    }

    #[test]
    fn a_stop_by_order_is_stopped_even_when_a_task_was_done() {
        assert_eq!(state(&[COMPLETE, STOPPED]), AllocState::Stopped);
    }

    #[test]
    fn what_ran_too_long_has_failed() {
        let course = Course { timed_out: true, ..Course::default() };
        assert_eq!(state_of(course, &[(Lifecycle::Main, false, Phase::Stopping)]), AllocState::Stopping);
        assert_eq!(state_of(course, &[(Lifecycle::Main, false, FAILED)]), AllocState::Failed);
    }

    #[test]
    fn it_never_moves_backward() {
        let group = Group::new(JobType::Batch, [("web".to_owned(), Task::new("/bin/true"))].into());
        let states = BTreeMap::from([("web".to_owned(), TaskState::default())]);
        let after = |before| alloc_state(before, &group, &states, Course::default());
        assert_eq!(after(AllocState::Running), AllocState::Running);
        assert_eq!(after(AllocState::Failed), AllocState::Failed);
    }
}
