//! What the tasks of one allocation mean for each other.

use super::task_machine::{Outcome, Phase, TaskState};

/// Returns whether the tasks that still live must be stopped because a sibling has failed for good: an allocation is
/// placed, runs and fails as a whole.
#[must_use]
pub fn must_stop_siblings<'a>(tasks: impl IntoIterator<Item = &'a TaskState> + Clone) -> bool {
    let failed = |task: &TaskState| task.phase == Phase::Ended(Outcome::Failed);
    let lives = |task: &TaskState| !matches!(task.phase, Phase::Ended(_) | Phase::Stopping);
    tasks.clone().into_iter().any(failed) && tasks.into_iter().any(lives)
}

/// Returns whether nothing of the allocation runs any more and nothing will.
#[must_use]
pub fn has_ended<'a>(tasks: impl IntoIterator<Item = &'a TaskState>) -> bool {
    tasks.into_iter().all(|task| matches!(task.phase, Phase::Ended(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(phase: Phase) -> TaskState {
        TaskState { phase, ..TaskState::default() }
    }

    #[test]
    fn a_failed_task_takes_its_siblings_with_it_once() {
        let failed = task(Phase::Ended(Outcome::Failed));
        assert!(must_stop_siblings(&[failed.clone(), task(Phase::Running)]));
        assert!(!must_stop_siblings(&[failed.clone(), task(Phase::Stopping)]), "it is told already");
        assert!(!must_stop_siblings(&[failed.clone(), failed]));
    }

    #[test]
    fn a_task_that_is_done_leaves_its_siblings_alone() {
        assert!(!must_stop_siblings(&[task(Phase::Ended(Outcome::Complete)), task(Phase::Running)]));
    }
}
