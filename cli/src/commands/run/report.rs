//! How it went: in words, as a document, as an exit code.

use proto::error::{Error, Kind};
use proto::ids::JobKey;
use proto::model::{EndReason, JobType};
use proto::time::{Timestamp, now};
use proto::view::{JobStatus, Written};
use serde::Serialize;

use super::Submitted;
use crate::exit::{Exit, Failure};
use crate::follow::{Outcome, Trouble};
use crate::limits;
use crate::output::{Board, Line, Tone, Voice, count, last_lines, relative, until};

/// One job that is not followed any more.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which.
    pub key: JobKey,
    /// Service or batch.
    pub kind: JobType,
    /// What the servers said when it was submitted.
    pub written: Written,
    /// Why it is not followed any more.
    pub ending: Ending,
    /// The last that was seen of it.
    pub last: Option<JobStatus>,
}

/// Why a job is not followed any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It is decided.
    Decided(Outcome),
    /// The time was over first.
    TimeOver,
}

/// The document of `run --json`, one line per job: [`Written`] and how it went. `outcome` is one of healthy, complete, failed, stopped,
/// superseded, timeout, submitted (not followed) and left (Ctrl-C).
#[derive(Serialize)]
struct Document<'a> {
    namespace: &'a str,
    name: &'a str,
    #[serde(flatten)]
    written: &'a Written,
    outcome: &'a str,
    #[serde(skip_serializing_if = "String::is_empty")]
    reason: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    tail: &'a str,
}

impl Report {
    /// Returns whether it went as it was meant to.
    #[must_use]
    pub fn is_good(&self) -> bool {
        matches!(self.ending, Ending::Decided(Outcome::Healthy | Outcome::Complete))
    }

    /// Returns the line that says so, where it did.
    #[must_use]
    pub fn good_line(&self) -> Option<Line> {
        let word = match self.ending {
            Ending::Decided(Outcome::Healthy) => "healthy",
            Ending::Decided(Outcome::Complete) => "complete",
            _ => return None,
        };
        Some(Line::new(Tone::Good, format!("{}: {word}", self.key)))
    }

    /// Returns what to tell where it did not.
    #[must_use]
    pub fn error(&self) -> Option<Error> {
        let key = &self.key;
        let refused = |message: String, hint: String| Some(Error::new(Kind::Refused, message).hint(hint));
        match &self.ending {
            Ending::Decided(Outcome::Healthy | Outcome::Complete) => None,
            Ending::Decided(Outcome::Failed(trouble)) => Some(self.failed(trouble)),
            Ending::Decided(Outcome::Stopped) => refused(
                format!("{key}: somebody stopped it"),
                format!("`minijob events {key}` shows who and when"),
            ),
            Ending::Decided(Outcome::Superseded(version)) => refused(
                format!("{key}: somebody submitted version {version} meanwhile"),
                format!("`minijob status {key}` shows how it is"),
            ),
            Ending::TimeOver => {
                let hint =
                    format!("it goes on; `minijob status {key}` shows how it is, --timeout waits longer");
                let wanted = if self.kind.has_an_end() { "over" } else { "healthy" };
                refused(format!("{key}: not {wanted} in time{}", self.why_not()), hint)
            }
        }
    }

    fn failed(&self, trouble: &Trouble) -> Error {
        let mut details = last_lines(&trouble.tail, limits::TAIL_OF_FAILURE);
        details.iter_mut().for_each(|line| line.insert_str(0, "| "));
        Error::new(Kind::Refused, what_of(trouble)).details(details).hint(next_of(trouble, now()))
    }

    fn why_not(&self) -> String {
        let why = self.last.as_ref().map_or("", |status| status.summary.why.as_str());
        if why.is_empty() { String::new() } else { format!(": {}", relative(why, now())) }
    }

    fn document(&self) -> Document<'_> {
        let (outcome, reason, tail) = match &self.ending {
            Ending::Decided(Outcome::Healthy) => ("healthy", String::new(), ""),
            Ending::Decided(Outcome::Complete) => ("complete", String::new(), ""),
            Ending::Decided(Outcome::Failed(trouble)) => {
                ("failed", format!("{}: {}", trouble.alloc, trouble.why), trouble.tail.as_str())
            }
            Ending::Decided(Outcome::Stopped) => ("stopped", String::new(), ""),
            Ending::Decided(Outcome::Superseded(version)) => ("superseded", format!("version {version}"), ""),
            Ending::TimeOver => {
                ("timeout", self.last.as_ref().map_or_else(String::new, |s| s.summary.why.clone()), "")
            }
        };
        document(&self.key, &self.written, outcome, reason, tail)
    }
}

fn document<'a>(
    key: &'a JobKey,
    written: &'a Written,
    outcome: &'a str,
    reason: String,
    tail: &'a str,
) -> Document<'a> {
    Document { namespace: &key.namespace, name: &key.name, written, outcome, reason, tail }
}

/// Says how every job went and returns the exit code; `pass_code` makes it the task's own.
pub(super) fn all(
    reports: &[Report],
    pass_code: bool,
    board: &mut Board,
    voice: Voice,
) -> Result<Exit, Failure> {
    for report in reports {
        if let Some(line) = report.good_line() {
            board.line(&line);
        }
        board.document(&report.document())?;
    }
    for error in reports.iter().filter_map(Report::error) {
        voice.error(&error);
    }
    if let [only] = reports
        && only.is_good()
    {
        for next in next_steps(only) {
            board.text(&next);
        }
    }
    let good = reports.iter().all(Report::is_good);
    match own_code(reports).filter(|_| pass_code && !good) {
        Some(code) => Ok(Exit(code)),
        None if good => Ok(Exit::DONE),
        None => Ok(Exit::FAILED),
    }
}

/// Says that jobs were submitted and are not followed.
pub(super) fn detached(submitted: &[Submitted], board: &mut Board) -> Result<Exit, Failure> {
    for one in submitted {
        board.document(&document(&one.key, &one.written, "submitted", String::new(), ""))?;
    }
    Ok(Exit::DONE)
}

/// Says that nobody follows any more and that the jobs go on.
pub(super) fn left(submitted: &[Submitted], board: &mut Board) -> Result<Exit, Failure> {
    for one in submitted {
        board.live(&one.key.to_string(), &[]);
        board.document(&document(&one.key, &one.written, "left", String::new(), ""))?;
    }
    match submitted {
        [one] => board.text(&format!(
            "{0}: not followed any more; it goes on. `minijob status {0}` shows how it is",
            one.key
        )),
        _ => board.text(&format!("{} are not followed any more; they go on", count(submitted.len(), "job"))),
    }
    Ok(Exit::INTERRUPTED)
}

fn next_steps(report: &Report) -> Vec<String> {
    let key = &report.key;
    let follow = if report.kind.has_an_end() { "" } else { "-f " };
    vec!["next:".to_owned(), format!("  minijob status {key}"), format!("  minijob logs {follow}{key}")]
}

/// `web.web.0 failed on n1: exit code 7`.
fn what_of(Trouble { alloc, node, why, after_tries, .. }: &Trouble) -> String {
    match after_tries {
        Some(1) => format!("{alloc} not healthy on {node} after 1 try: {why}"),
        Some(tries) => format!("{alloc} not healthy on {node} after {tries} tries: {why}"),
        None => format!("{alloc} failed on {node}: {why}"),
    }
}

/// Says what comes after a failure and what a person can do about it.
fn next_of(trouble: &Trouble, now: Timestamp) -> String {
    let mut steps = Vec::new();
    match trouble.next_at {
        Some(at) => steps.push(format!("it is tried again {}", until(now, at))),
        None if trouble.next.is_empty() => {}
        None => steps.push(format!("it is {}", relative(&trouble.next, now))),
    }
    match trouble.reason {
        // What never ran has printed nothing.
        Some(EndReason::StartFailed { .. }) if !steps.is_empty() => {}
        Some(EndReason::Exit(0)) => steps.push(
            "if it is meant to end, make it a batch job: `type: batch` in its file, or `minijob run --batch -- CMD`"
                .to_owned(),
        ),
        _ => steps.push(format!("`minijob logs {}` shows all of its output", trouble.alloc)),
    }
    steps.join("; ")
}

/// Returns the exit code of the first task, by name, that failed; as a shell would say it where it has none of its own.
fn own_code(reports: &[Report]) -> Option<u8> {
    let allocs = reports.iter().filter_map(|report| report.last.as_ref()).flat_map(|status| &status.allocs);
    let mut failed: Vec<_> = allocs.filter(|alloc| alloc.state == proto::model::AllocState::Failed).collect();
    failed.sort_by_key(|alloc| (alloc.name.clone(), std::cmp::Reverse(alloc.ended_at)));
    let ends = failed.iter().flat_map(|alloc| &alloc.tasks).filter_map(crate::follow::failed_end);
    ends.map(|end| code_of(&end.reason)).next()
}

fn code_of(reason: &EndReason) -> u8 {
    match reason {
        EndReason::Exit(code) => u8::try_from(*code).unwrap_or(Exit::FAILED.0),
        EndReason::Signal(number) => u8::try_from(128 + *number).unwrap_or(Exit::FAILED.0),
        EndReason::Oom => 137,
        EndReason::Timeout => 124,
        EndReason::StartFailed { .. } => 127,
        _ => Exit::FAILED.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(reason: EndReason, next: &str) -> Trouble {
        Trouble {
            alloc: "web.web.0".into(),
            node: "n1".into(),
            why: reason.to_string(),
            after_tries: None,
            tail: String::new(),
            next_at: None,
            next: next.into(),
            reason: Some(reason),
        }
    }

    #[test]
    fn the_next_step_is_the_one_that_servers_tell() {
        let now = Timestamp(1_700_000_000_000);
        let missing = EndReason::StartFailed { step: "exec".into(), errno: 2, message: "/no/such".into() };
        let left_out = "not tried again: n1 is left out; mend the cause, then `minijob restart web`";
        assert_eq!(next_of(&trouble(missing, left_out), now), format!("it is {left_out}"));
        let crashed = trouble(EndReason::Exit(7), "placed anew at 2023-11-14T22:13:26.000Z");
        let next = "it is placed anew in 6s; `minijob logs web.web.0` shows all of its output";
        assert_eq!(next_of(&crashed, now), next);
        let well = next_of(&trouble(EndReason::Exit(0), ""), now);
        assert!(well.contains("`type: batch`") && well.contains("`minijob run --batch -- CMD`"), "{well}");
    }

    #[test]
    fn what_is_tried_again_is_not_healthy_after_so_many_tries_and_has_not_failed() {
        let said = |after_tries| {
            let trouble = Trouble { after_tries, ..trouble(EndReason::Exit(7), "") };
            what_of(&trouble)
        };
        assert_eq!(said(Some(3)), "web.web.0 not healthy on n1 after 3 tries: exit code 7");
        assert_eq!(said(Some(1)), "web.web.0 not healthy on n1 after 1 try: exit code 7");
        assert_eq!(said(None), "web.web.0 failed on n1: exit code 7");
    }

    #[test]
    fn ends_without_a_code_of_their_own_get_the_shells() {
        assert_eq!(code_of(&EndReason::Exit(7)), 7);
        assert_eq!(code_of(&EndReason::Signal(9)), 137);
        assert_eq!(code_of(&EndReason::Timeout), 124);
        assert_eq!(code_of(&EndReason::CheckFailed), 1);
    }
}
