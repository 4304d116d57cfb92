//! From the write to the outcome: asks for each job's status as it changes, until all are decided.

use std::cell::RefCell;
use std::time::Duration;

use futures::StreamExt;
use proto::error::{Error, Kind};
use proto::ids::Revision;
use proto::time::{BootTime, boottime, now};
use proto::view::{Health, JobStatus};

use super::report::{Ending, Report};
use super::{Follow, Submitted};
use crate::connect::Servers;
use crate::exit::Failure;
use crate::follow::{Follower, Goal, Verdict, live_lines};
use crate::limits;
use crate::output::{Board, Voice};
use crate::read::{self, Document};

/// Follows jobs until each is healthy, complete, has failed, or the time is over. Servers that go away meanwhile are
/// waited for.
///
/// # Errors
/// A refusal that waiting cannot mend: the job was purged, the token is not accepted any more.
pub async fn watch(
    servers: &Servers,
    submitted: &[Submitted],
    follow: Follow,
    board: &mut Board,
    voice: Voice,
) -> Result<Vec<Report>, Failure> {
    let board = RefCell::new(board);
    let deadline = follow.timeout.map(|timeout| boottime().plus(timeout));
    let each = submitted.iter().map(|one| {
        let goal = Goal {
            version: one.written.version,
            revision: one.written.revision,
            changed: one.written.changed,
            to_the_end: follow.to_the_end,
        };
        let (began, follower) = (boottime(), Follower::new(goal).knowing(one.written.placement.as_ref()));
        Watch { servers, one, board: &board, voice, began, deadline, follower }.run()
    });
    let mut results = futures::stream::iter(each).buffer_unordered(limits::FOLLOWED_AT_ONCE);
    let mut reports = Vec::new();
    while let Some(report) = results.next().await {
        reports.push(report?);
    }
    // As they were submitted, not as they happened to end.
    reports.sort_by_key(|report| submitted.iter().position(|one| one.key == report.key));
    Ok(reports)
}

struct Watch<'a, 'b> {
    servers: &'a Servers,
    one: &'a Submitted,
    board: &'a RefCell<&'b mut Board>,
    voice: Voice,
    began: BootTime,
    deadline: Option<BootTime>,
    follower: Follower,
}

/// What the wait for the next document gave.
enum Next {
    Document(JobStatus),
    Gone(Error),
    NotYet,
    TimeOver,
}

impl Watch<'_, '_> {
    async fn run(mut self) -> Result<Report, Failure> {
        let mut after = None;
        let mut away = false;
        let ending = loop {
            match self.wait(after).await? {
                Next::Document(status) => {
                    away = false;
                    after = Some(status.revision);
                    match self.show(status) {
                        Verdict::Over(outcome) => break Ending::Decided(outcome),
                        Verdict::Doubtful(_) => {
                            tokio::time::sleep(limits::CONFIRM).await;
                            // It may be the last word: a wait for a change could last for ever.
                            after = None;
                        }
                        // What runs after a crash is believed with time alone: nothing changes then that a wait would see.
                        Verdict::Going if self.runs_in_doubt() => {
                            tokio::time::sleep(limits::CONFIRM).await;
                            after = None;
                        }
                        Verdict::Going => tokio::time::sleep(limits::LEAST_PAUSE).await,
                    }
                }
                Next::Gone(error) => {
                    if !away {
                        self.voice.notice(&format!("{}; trying again", error.message));
                    }
                    away = true;
                    tokio::time::sleep(limits::ROUND * 2).await;
                }
                Next::NotYet => tokio::time::sleep(limits::ROUND).await,
                Next::TimeOver => break Ending::TimeOver,
            }
            self.redraw();
        };
        self.board.borrow_mut().live(&self.one.key.to_string(), &[]);
        Ok(self.report(ending))
    }

    /// Waits for a document newer than `after`, redrawing meanwhile; none: takes what there is.
    async fn wait(&self, after: Option<Revision>) -> Result<Next, Error> {
        let asked = read::job_status(self.servers, &self.one.key.namespace, &self.one.key.name, after);
        tokio::pin!(asked);
        loop {
            let left = self.deadline.map(|deadline| deadline.since(boottime()));
            if left == Some(Duration::ZERO) {
                return Ok(Next::TimeOver);
            }
            let pause = limits::REDRAW.min(left.unwrap_or(limits::REDRAW));
            tokio::select! {
                answer = &mut asked => return self.read(answer),
                () = tokio::time::sleep(pause) => self.redraw(),
            }
        }
    }

    fn read(&self, answer: Result<Document<JobStatus>, Error>) -> Result<Next, Error> {
        match answer {
            Ok(document) => Ok(Next::Document(document.view)),
            Err(error) if matches!(error.kind, Kind::Unavailable | Kind::NotLeader) => Ok(Next::Gone(error)),
            // A server that lags has not heard of the job yet; once it was seen, it has been purged.
            Err(error) if error.kind == Kind::NotFound && self.may_be_unheard_of() => Ok(Next::NotYet),
            Err(error) => Err(error),
        }
    }

    fn may_be_unheard_of(&self) -> bool {
        self.follower.last().is_none() && boottime().since(self.began) < limits::ELECTION
    }

    fn show(&mut self, status: JobStatus) -> Verdict {
        let seen = self.follower.see(status, now());
        let mut board = self.board.borrow_mut();
        for line in &seen.lines {
            board.line(line);
        }
        seen.verdict
    }

    fn runs_in_doubt(&self) -> bool {
        self.follower.last().is_some_and(|status| {
            let all_run = status.groups.values().all(|group| group.healthy + group.complete >= group.wanted);
            status.summary.health == Health::Failing && all_run
        })
    }

    fn redraw(&self) {
        if let Some(status) = self.follower.last() {
            self.board.borrow_mut().live(&self.one.key.to_string(), &live_lines(status, now()));
        }
    }

    fn report(self, ending: Ending) -> Report {
        Report {
            key: self.one.key.clone(),
            kind: self.one.kind,
            written: self.one.written.clone(),
            ending,
            last: self.follower.last().cloned(),
        }
    }
}
