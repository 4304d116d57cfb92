//! What an allocation is, from what its tasks are.

use proto::model::AllocState;

use super::task_machine::{Outcome, Phase, TaskState};

/// What the agent itself did to an allocation as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Its directories are being made or are there.
    pub preparing: bool,
    /// It was told to end.
    pub stop_ordered: bool,
}

/// Returns the state of an allocation that was in `before`: forward only, and an end is final.
///
/// It ends when all of its tasks have ended: failed if any failed, else stopped if any was stopped, else complete.
#[must_use]
pub fn alloc_state<'a>(
    before: AllocState,
    progress: Progress,
    tasks: impl IntoIterator<Item = &'a TaskState> + Clone,
) -> AllocState {
    let present = present_state(progress, tasks);
    if before.may_become(present) { present } else { before }
}

fn present_state<'a>(
    progress: Progress,
    tasks: impl IntoIterator<Item = &'a TaskState> + Clone,
) -> AllocState {
    let outcomes = || {
        tasks.clone().into_iter().filter_map(|task| match task.phase {
            Phase::Ended(outcome) => Some(outcome),
            _ => None,
        })
    };
    let any_failed = outcomes().any(|outcome| outcome == Outcome::Failed);
    let all = |holds: fn(&TaskState) -> bool| tasks.clone().into_iter().all(holds);

    if all(|task| matches!(task.phase, Phase::Ended(_))) {
        return if any_failed {
            AllocState::Failed
        } else if outcomes().any(|outcome| outcome == Outcome::Stopped) {
            AllocState::Stopped
        } else {
            AllocState::Complete
        };
    }
    if progress.stop_ordered || any_failed {
        AllocState::Stopping
    } else if all(|task| task.started_at.is_some()) {
        AllocState::Running
    } else if !all(|task| task.phase == Phase::Waiting) {
        AllocState::Starting
    } else if progress.preparing {
        AllocState::Preparing
    } else {
        AllocState::Pending
    }
}

#[cfg(test)]
mod tests {
    use proto::time::Timestamp;

    use super::*;

    fn task(phase: Phase, has_started: bool) -> TaskState {
        TaskState { phase, started_at: has_started.then_some(Timestamp(1)), ..TaskState::default() }
    }

    fn state(tasks: &[TaskState]) -> AllocState {
        alloc_state(AllocState::Pending, Progress { preparing: true, stop_ordered: false }, tasks)
    }

    const COMPLETE: Phase = Phase::Ended(Outcome::Complete);
    const FAILED: Phase = Phase::Ended(Outcome::Failed);
    const STOPPED: Phase = Phase::Ended(Outcome::Stopped);

    #[test]
    fn a_task_between_two_tries_counts_as_running() {
        let backoff = task(Phase::Backoff(proto::time::BootTime(9)), true);
        assert_eq!(state(&[task(Phase::Running, true), backoff]), AllocState::Running);
    }

    #[test]
    fn it_is_starting_until_every_main_task_has_started_once() {
        assert_eq!(state(&[task(Phase::Running, true), task(Phase::Starting, false)]), AllocState::Starting);
    }

    #[test]
    fn it_ends_only_when_all_of_its_tasks_have() {
        assert_eq!(state(&[task(COMPLETE, true), task(Phase::Running, true)]), AllocState::Running);
        assert_eq!(state(&[task(COMPLETE, true), task(COMPLETE, true)]), AllocState::Complete);
    }

    #[test]
    fn one_exhausted_task_fails_it_once_its_siblings_are_stopped() {
        assert_eq!(state(&[task(FAILED, true), task(Phase::Stopping, true)]), AllocState::Stopping);
        assert_eq!(state(&[task(FAILED, true), task(STOPPED, true)]), AllocState::Failed);
    }

    #[test]
    fn a_stop_by_order_is_stopped_even_when_a_task_was_done() {
        assert_eq!(state(&[task(COMPLETE, true), task(STOPPED, true)]), AllocState::Stopped);
    }

    #[test]
    fn it_never_moves_backward() {
        let waiting = [task(Phase::Waiting, false)];
        let progress = Progress::default();
        assert_eq!(alloc_state(AllocState::Running, progress, &waiting), AllocState::Running);
        let running = [task(Phase::Running, true)];
        assert_eq!(alloc_state(AllocState::Failed, progress, &running), AllocState::Failed);
    }
}
