//! What happens to tasks as scripts read it: a document a line.

use client::supervise::{Line, Then, What};
use proto::model::EndReason;
use proto::time::Timestamp;
use serde::Serialize;

/// One piece of news. What does not apply is left out.
#[derive(Debug, Default, Serialize)]
pub(super) struct Document<'a> {
    /// When it happened.
    time: Timestamp,
    event: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    task: &'a str,
    #[serde(skip_serializing_if = "Option::is_none", rename = "try")]
    attempt: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ran_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    then: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window_try: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window_tries: Option<u32>,
    message: &'a str,
}

/// Returns the document of a line. What does not know its time happened `now`.
pub(super) fn document(line: &Line, now: Timestamp) -> Document<'_> {
    let plain = Document { time: now, task: &line.label, message: &line.text, ..Document::default() };
    match &line.what {
        What::Note => Document { event: "note", ..plain },
        What::Stopping => Document { event: "stopping", ..plain },
        What::Stopped => Document { event: "stopped", ..plain },
        What::Started { pid, attempt, at } => Document {
            event: "started",
            time: at.unwrap_or(now),
            attempt: Some(*attempt),
            pid: Some(*pid),
            ..plain
        },
        What::Ended { attempt, end, then } => {
            let (then, in_seconds, window) = match then {
                Then::Again { wait, window } => ("retry", wait.map(|wait| wait.as_secs_f64()), *window),
                Then::Done => ("done", None, None),
                Then::Stopped => ("stopped", None, None),
                Then::GaveUp => ("gave_up", None, None),
            };
            let (exit_code, signal) = match end.reason {
                EndReason::Exit(code) => (Some(code), None),
                EndReason::Signal(number) => (None, Some(number)),
                _ => (None, None),
            };
            Document {
                event: "ended",
                time: end.at,
                attempt: Some(*attempt),
                reason: Some(end.reason.word()),
                exit_code,
                signal,
                ran_seconds: Some(end.ran.as_secs_f64()),
                then: Some(then),
                in_seconds,
                window_try: window.map(|(number, _)| number),
                window_tries: window.map(|(_, all)| all),
                ..plain
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proto::model::TaskEnd;

    use super::*;

    fn shown(what: What, text: &str) -> serde_json::Value {
        let line = Line { label: "web".into(), what, text: text.into() };
        serde_json::to_value(document(&line, Timestamp(0))).expect("a document")
    }

    #[test]
    fn every_event_has_a_time_and_its_facts_as_fields() {
        let reason = EndReason::Exit(1);
        let at = Timestamp(1_700_000_000_125);
        let end = TaskEnd { reason, at, ran: Duration::from_millis(3200), tail: String::new() };
        let then = Then::Again { wait: Some(Duration::from_millis(1900)), window: Some((2, 4)) };
        assert_eq!(
            shown(What::Ended { attempt: 1, end: end.clone(), then }, "exited"),
            serde_json::json!({
                "time": "2023-11-14T22:13:20.125Z", "event": "ended", "task": "web", "try": 1, "reason": "exit",
                "exit_code": 1, "ran_seconds": 3.2, "then": "retry", "in_seconds": 1.9, "window_try": 2,
                "window_tries": 4, "message": "exited",
            })
        );
        let killed = TaskEnd { reason: EndReason::Signal(9), ..end };
        let killed = shown(What::Ended { attempt: 4, end: killed, then: Then::GaveUp }, "killed");
        assert_eq!((&killed["signal"], &killed["then"]), (&9.into(), &"gave_up".into()));
        assert_eq!((killed.get("exit_code"), killed.get("in_seconds")), (None, None));
        assert_eq!(
            shown(What::Started { pid: 7, attempt: 2, at: Some(at) }, "started, pid 7"),
            serde_json::json!({
                "time": "2023-11-14T22:13:20.125Z", "event": "started", "task": "web", "try": 2, "pid": 7,
                "message": "started, pid 7",
            })
        );
    }
}
