//! What people and scripts are told of a task, a piece of news per change.

use std::time::Duration;

use proto::model::{EndReason, JobType, TaskEnd, TaskPhase, TaskStatus};
use proto::time::Timestamp;

/// Something that happened to a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// What it is, for scripts.
    pub what: What,
    /// The same as a sentence.
    pub text: String,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Nothing that has more to it than its sentence.
    Note,
    /// It was told to end.
    Stopping,
    /// It was told to end while it did not run: between two tries, or before the first.
    Stopped,
    /// It began.
    Started {
        /// Its process.
        pid: u32,
        /// Which start of the allocation it is, from 1.
        attempt: u32,
        /// When, as far as that is known.
        at: Option<Timestamp>,
    },
    /// It ended.
    Ended {
        /// Which start of the allocation it was, from 1.
        attempt: u32,
        /// How, when, and how long it had run.
        end: TaskEnd,
        /// What comes of that.
        then: Then,
    },
}

/// What follows an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// It is started again.
    Again {
        /// So long after its end; none: it has been already.
        wait: Option<Duration>,
        /// Which try of the window that is, and how many there are; none where they are not counted.
        window: Option<(u32, u32)>,
    },
    /// Nothing: it has done what it was meant to do.
    Done,
    /// Nothing: somebody wanted it to end.
    Stopped,
    /// Nothing: its tries are used up, or no other would end better.
    GaveUp,
}

/// Returns what has happened between two looks at a task, in its order. Looks may be far apart: what came and went between them
/// shows in the later one.
#[must_use]
pub fn news(before: Option<&TaskStatus>, after: &TaskStatus, kind: JobType) -> Vec<News> {
    let mut news = Vec::new();
    let was_stopping = before.is_some_and(|before| before.phase == TaskPhase::Stopping);
    if after.phase == TaskPhase::Stopping && !was_stopping {
        news.push(News { what: What::Stopping, text: "stopping".to_owned() });
    }
    let known_end = before.and_then(|before| before.last_end.as_ref());
    if let Some(end) = after.last_end.as_ref().filter(|end| known_end != Some(*end)) {
        let did_not_run = before.is_some_and(|before| {
            before.attempt == after.attempt
                && matches!(before.phase, TaskPhase::Waiting | TaskPhase::Backoff(_))
        });
        if end.reason == EndReason::Stopped && did_not_run {
            news.push(News { what: What::Stopped, text: "stopped".to_owned() });
        } else {
            news.push(ended(end, after, kind));
        }
    }
    let known_start = before.filter(|before| before.pid != 0).map(|before| before.attempt);
    if after.pid != 0 && known_start != Some(after.attempt) {
        let again = if after.attempt > 1 { tries(after) } else { String::new() };
        let what = What::Started { pid: after.pid, attempt: after.attempt, at: after.started_at };
        news.push(News { what, text: format!("started, pid {}{again}", after.pid) });
    }
    news
}

fn ended(end: &TaskEnd, task: &TaskStatus, kind: JobType) -> News {
    let how = how(end);
    let window = task.window_tries.map(|all| (task.window_try, all));
    let (then, text) = match task.phase {
        TaskPhase::Backoff(until) => {
            let wait = until.since(end.at);
            let text = format!("{how}; next try{} in {}", of(task), rough(wait));
            (Then::Again { wait: Some(wait), window }, text)
        }
        TaskPhase::Ended if end.reason == EndReason::Stopped => (Then::Stopped, how),
        TaskPhase::Ended if end.reason.is_success() && kind == JobType::Batch => {
            (Then::Done, format!("{how}; done"))
        }
        TaskPhase::Ended => (Then::GaveUp, format!("{how}; gave up{}", after_tries(task))),
        TaskPhase::Stopping => (Then::Stopped, how),
        _ => (Then::Again { wait: None, window }, how),
    };
    // What runs again meanwhile is the start after the one that ended.
    let attempt = if task.pid == 0 { task.attempt } else { task.attempt.saturating_sub(1) };
    // Its output is shown as it is; the last lines of it would come twice.
    let end = TaskEnd { tail: String::new(), ..end.clone() };
    News { what: What::Ended { attempt, end, then }, text }
}

fn how(end: &TaskEnd) -> String {
    let ran = rough(end.ran);
    match &end.reason {
        EndReason::StartFailed { .. } | EndReason::EngineGone => end.reason.to_string(),
        EndReason::Stopped if end.ran.is_zero() => "stopped".to_owned(),
        // `stopped after 3s` could be how long the stopping took.
        EndReason::Stopped => format!("stopped; it had run for {ran}"),
        EndReason::Exit(code) => format!("exited with code {code} after {ran}"),
        reason => format!("{reason} after {ran}"),
    }
}

/// ` (2 of 4)`; nothing where tries are not counted.
fn of(task: &TaskStatus) -> String {
    task.window_tries.map_or_else(String::new, |all| format!(" ({} of {all})", task.window_try))
}

fn tries(task: &TaskStatus) -> String {
    task.window_tries.map_or_else(String::new, |all| format!(", try {} of {all}", task.window_try))
}

fn after_tries(task: &TaskStatus) -> String {
    match task.window_tries {
        Some(_) if task.window_try > 1 => format!(" after {} tries", task.window_try),
        _ => String::new(),
    }
}

/// A length of time for people: two digits are enough.
fn rough(length: Duration) -> String {
    let (millis, seconds) = (length.as_millis(), length.as_secs());
    match seconds {
        0 => format!("{millis}ms"),
        1..=9 if millis % 1000 >= 100 => format!("{seconds}.{}s", millis % 1000 / 100),
        1..=119 => format!("{seconds}s"),
        120..=7199 => format!("{}m", seconds / 60),
        7200..=172_799 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVICE: JobType = JobType::Service;

    fn lines(before: Option<&TaskStatus>, after: &TaskStatus, kind: JobType) -> Vec<String> {
        news(before, after, kind).into_iter().map(|news| news.text).collect()
    }

    fn running(attempt: u32) -> TaskStatus {
        TaskStatus {
            name: "web".into(),
            phase: TaskPhase::Running,
            attempt,
            window_try: attempt,
            window_tries: Some(4),
            pid: 100 + attempt,
            started_at: Some(Timestamp(1)),
            last_end: None,
        }
    }

    fn end(reason: EndReason, at: u64) -> Option<TaskEnd> {
        Some(TaskEnd { reason, at: Timestamp(at), ran: Duration::from_millis(3210), tail: String::new() })
    }

    fn backoff() -> TaskStatus {
        TaskStatus {
            phase: TaskPhase::Backoff(Timestamp(12_000)),
            attempt: 1,
            window_try: 2,
            pid: 0,
            last_end: end(EndReason::Exit(1), 10_000),
            ..running(1)
        }
    }

    #[test]
    fn a_start_an_end_and_the_next_start_are_a_line_each() {
        assert_eq!(lines(None, &running(1), SERVICE), ["started, pid 101"]);
        assert_eq!(
            lines(Some(&running(1)), &backoff(), SERVICE),
            ["exited with code 1 after 3.2s; next try (2 of 4) in 2s"]
        );
        let again = TaskStatus { last_end: backoff().last_end, ..running(2) };
        assert_eq!(lines(Some(&backoff()), &again, SERVICE), ["started, pid 102, try 2 of 4"]);
        assert_eq!(lines(Some(&again), &again, SERVICE), [""; 0]);
    }

    #[test]
    fn what_came_between_two_looks_is_told_too() {
        let again = TaskStatus { last_end: end(EndReason::Signal(9), 5), ..running(2) };
        assert_eq!(
            lines(Some(&running(1)), &again, SERVICE),
            ["killed by signal 9 (SIGKILL) after 3.2s", "started, pid 102, try 2 of 4"]
        );
    }

    #[test]
    fn ends_for_good_differ() {
        let ended = |reason, kind| {
            let status = TaskStatus {
                phase: TaskPhase::Ended,
                pid: 0,
                window_try: 4,
                last_end: end(reason, 5),
                ..running(4)
            };
            lines(Some(&running(4)), &status, kind).join("|")
        };
        assert_eq!(
            ended(EndReason::Exit(1), SERVICE),
            "exited with code 1 after 3.2s; gave up after 4 tries"
        );
        assert_eq!(ended(EndReason::Exit(0), JobType::Batch), "exited with code 0 after 3.2s; done");
        assert_eq!(ended(EndReason::Stopped, SERVICE), "stopped; it had run for 3.2s");
        let hopeless =
            EndReason::StartFailed { step: "exec".into(), errno: 2, message: "no such program".into() };
        assert_eq!(ended(hopeless, SERVICE), "could not start: no such program; gave up after 4 tries");
    }

    #[test]
    fn scripts_are_told_the_same_as_fields() {
        let what = |before: &TaskStatus, after: &TaskStatus| {
            news(Some(before), after, SERVICE).into_iter().map(|news| news.what).collect::<Vec<_>>()
        };
        let end = TaskEnd { tail: String::new(), ..backoff().last_end.expect("it ended") };
        let then = Then::Again { wait: Some(Duration::from_secs(2)), window: Some((2, 4)) };
        let first = What::Ended { attempt: 1, end: end.clone(), then };
        assert_eq!(what(&running(1), &backoff()), [first]);
        let again = TaskStatus { last_end: backoff().last_end, ..running(2) };
        let started = What::Started { pid: 102, attempt: 2, at: Some(Timestamp(1)) };
        assert_eq!(what(&backoff(), &again), std::slice::from_ref(&started));
        let then = Then::Again { wait: None, window: Some((2, 4)) };
        assert_eq!(
            what(&running(1), &again),
            [What::Ended { attempt: 1, end, then }, started],
            "the end is that of the start before"
        );
    }

    #[test]
    fn a_stop_between_two_tries_is_no_second_end_of_the_first() {
        let stopped =
            Some(TaskEnd { ran: Duration::ZERO, ..end(EndReason::Stopped, 11_000).expect("an end") });
        let after = TaskStatus { phase: TaskPhase::Ended, last_end: stopped, ..backoff() };
        let told = News { what: What::Stopped, text: "stopped".to_owned() };
        assert_eq!(news(Some(&backoff()), &after, SERVICE), [told]);
    }

    #[test]
    fn lengths_are_rough() {
        let cases = [(0, "0ms"), (250, "250ms"), (1000, "1s"), (1099, "1s"), (2500, "2.5s"), (61_000, "61s")];
        for (millis, shown) in cases {
            assert_eq!(rough(Duration::from_millis(millis)), shown);
        }
        assert_eq!(rough(Duration::from_secs(180)), "3m");
        assert_eq!(rough(Duration::from_secs(86_400 * 3)), "3d");
    }
}
