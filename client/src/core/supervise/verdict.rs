//! When all is over, and the code that whoever waits for it is given.

use proto::model::{AllocState, AllocStatus, EndReason, TaskEnd, TaskPhase};

use super::slots::label;
use crate::core::spec::Spec;

/// An allocation that the files ask for.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// What it runs.
    pub spec: &'a Spec,
    /// How it is.
    pub status: &'a AllocStatus,
}

/// What follows from how all of them are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Something runs, or will.
    GoOn,
    /// A task that all depends on has ended for good: the rest must end too.
    End {
        /// The exit code.
        code: u8,
        /// Which task, as people call it.
        task: String,
    },
    /// Everything has ended.
    Over {
        /// The exit code.
        code: u8,
    },
}

/// Decides. Of no allocations at all everything has ended.
///
/// A task is critical when its file says so; where no file does and there is exactly one task, that one is.
#[must_use]
pub fn verdict(all: &[Judged<'_>]) -> Verdict {
    let tasks = || all.iter().flat_map(|one| one.status.tasks.iter().map(move |status| (one.spec, status)));
    let named = |spec: &Spec, name: &str| spec.group.tasks.get(name).is_some_and(|task| task.critical);
    let any_named = tasks().any(|(spec, task)| named(spec, &task.name));
    let is_only = tasks().count() == 1;
    let ended = tasks().find_map(|(spec, task)| {
        let is_critical = if any_named { named(spec, &task.name) } else { is_only };
        let end = task.last_end.as_ref().filter(|_| is_critical && task.phase == TaskPhase::Ended)?;
        Some(Verdict::End { code: code(end), task: label(spec, &task.name) })
    });
    if let Some(end) = ended {
        return end;
    }
    if all.iter().any(|one| !one.status.state.has_ended()) {
        return Verdict::GoOn;
    }
    let any_failed = all.iter().any(|one| one.status.state == AllocState::Failed);
    Verdict::Over { code: u8::from(any_failed) }
}

/// Returns the exit code that stands for an end, as shells have it: of a signal 128 and its number, 127 for a program that is not
/// there, 126 for one that may not be run, 124 for one that took too long.
#[must_use]
pub fn code(end: &TaskEnd) -> u8 {
    const NOT_THERE: i32 = 2;
    const NOT_ALLOWED: i32 = 13;
    match &end.reason {
        EndReason::Exit(code) => u8::try_from(*code).unwrap_or(1),
        EndReason::Signal(number) => u8::try_from(*number).map_or(1, |number| number.saturating_add(128)),
        EndReason::Oom => 137,
        EndReason::Stopped => 0,
        EndReason::Timeout => 124,
        EndReason::StartFailed { errno: NOT_THERE, .. } => 127,
        EndReason::StartFailed { errno: NOT_ALLOWED, .. } => 126,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proto::ids::AllocId;
    use proto::model::{JobType, TaskStatus};
    use proto::time::Timestamp;

    use super::*;
    use crate::core::spec::tests::spec;

    fn end(reason: EndReason) -> TaskEnd {
        TaskEnd { reason, at: Timestamp(9), ran: Duration::from_secs(1), tail: String::new() }
    }

    fn task(name: &str, ended: Option<i32>) -> TaskStatus {
        TaskStatus {
            name: name.into(),
            phase: if ended.is_some() { TaskPhase::Ended } else { TaskPhase::Running },
            attempt: 1,
            window_try: 1,
            window_tries: Some(4),
            pid: 0,
            started_at: None,
            last_end: ended.map(|code| end(EndReason::Exit(code))),
        }
    }

    fn status(state: AllocState, tasks: Vec<TaskStatus>) -> AllocStatus {
        AllocStatus { id: AllocId(1), seq: 1, state, tasks }
    }

    fn judge(spec: &Spec, statuses: &[AllocStatus]) -> Verdict {
        verdict(&statuses.iter().map(|status| Judged { spec, status }).collect::<Vec<_>>())
    }

    #[test]
    fn the_only_task_is_critical() {
        let spec = spec(JobType::Service, &["web"]);
        let ended = [status(AllocState::Failed, vec![task("web", Some(7))])];
        assert_eq!(judge(&spec, &ended), Verdict::End { code: 7, task: "shop.api.0".into() });
        let between = TaskStatus { phase: TaskPhase::Backoff(Timestamp(1)), ..task("web", Some(7)) };
        assert_eq!(judge(&spec, &[status(AllocState::Running, vec![between])]), Verdict::GoOn);
    }

    #[test]
    fn a_critical_task_ends_all_with_its_code_and_another_does_not() {
        let mut spec = spec(JobType::Service, &["web", "shipper"]);
        spec.group.tasks.get_mut("web").expect("there").critical = true;
        let tasks = |web, shipper| vec![task("web", web), task("shipper", shipper)];
        let verdict = |web, shipper| judge(&spec, &[status(AllocState::Running, tasks(web, shipper))]);
        assert_eq!(verdict(None, Some(3)), Verdict::GoOn);
        assert_eq!(verdict(Some(4), None), Verdict::End { code: 4, task: "shop.api.0/web".into() });
    }

    #[test]
    fn without_a_critical_task_all_must_end_and_any_failure_is_a_1() {
        let spec = spec(JobType::Batch, &["web"]);
        let done = || status(AllocState::Complete, vec![task("web", Some(0))]);
        let failed = || status(AllocState::Failed, vec![task("web", Some(9))]);
        let runs = || status(AllocState::Running, vec![task("web", None)]);
        assert_eq!(judge(&spec, &[done(), runs()]), Verdict::GoOn);
        assert_eq!(judge(&spec, &[failed(), runs()]), Verdict::GoOn);
        assert_eq!(judge(&spec, &[done(), done()]), Verdict::Over { code: 0 });
        assert_eq!(judge(&spec, &[done(), failed()]), Verdict::Over { code: 1 });
        assert_eq!(judge(&spec, &[]), Verdict::Over { code: 0 });
    }

    #[test]
    fn codes_are_those_of_shells() {
        let failed = |errno| EndReason::StartFailed { step: "exec".into(), errno, message: String::new() };
        let codes = [
            (EndReason::Exit(0), 0),
            (EndReason::Exit(255), 255),
            (EndReason::Signal(15), 143),
            (EndReason::Oom, 137),
            (EndReason::Timeout, 124),
            (failed(2), 127),
            (failed(13), 126),
            (failed(12), 1),
        ];
        for (reason, expected) in codes {
            assert_eq!(code(&end(reason.clone())), expected, "{reason}");
        }
    }
}
