//! All jobs, as the server orders them: the unhealthy first.

use proto::error::{Error, Kind};
use proto::model::DEFAULT_NAMESPACE;
use proto::time::Timestamp;
use proto::view::{Health, JobList, JobSummary};
use serde_json::Value;

use crate::commands::members;
use crate::connect::Servers;
use crate::exit::Failure;
use crate::output::{Cell, Out, Table, Tone, relative, span};
use crate::read::{self, Document};

/// Whether a job is one of those that somebody has to look at.
const fn is_failing(job: &JobSummary) -> bool {
    matches!(job.health, Health::Failing | Health::Waiting)
}

/// Shows jobs; `failing`: only those that are [failing](is_failing).
pub(super) fn show(out: &mut Out, jobs: &[JobSummary], failing: bool, now: Timestamp) -> Result<(), Failure> {
    if jobs.is_empty() {
        return out.line("no jobs; `minijob run FILE` submits one");
    }
    let count = jobs.len();
    let jobs: Vec<&JobSummary> = jobs.iter().filter(|job| !failing || is_failing(job)).collect();
    if jobs.is_empty() {
        return out.line(&format!("nothing fails: {}", crate::output::count(count, "job")));
    }
    let foreign = jobs.iter().any(|job| job.namespace != DEFAULT_NAMESPACE);
    let mut headings =
        vec!["JOB", "TYPE", "VERSION", "HEALTH", "WANTED", "RUNNING", "HEALTHY", "DOWN FOR", "WHY"];
    if foreign {
        headings.insert(0, "NAMESPACE");
    }
    let mut table = Table::new(out, &headings);
    for job in jobs {
        let mut row = row(job, now);
        if foreign {
            row.insert(0, job.namespace.as_str().into());
        }
        table.row(row);
    }
    out.line(&table.render())
}

/// Says below the jobs what matters more than any of them: what the servers warn of, and when the next loss of a server is one too many.
pub(super) async fn warn(out: &mut Out, warnings: &[String], servers: &Servers) -> Result<(), Failure> {
    for warning in warnings {
        out.toned(Tone::Bad, warning)?;
    }
    match danger(servers).await {
        Some((tone, text)) => out.toned(tone, &text),
        None => Ok(()),
    }
}

/// Adds to a failure that too few servers answer, where that is why.
pub(super) async fn with_danger(error: Error, servers: &Servers) -> Error {
    if !matches!(error.kind, Kind::Unavailable | Kind::NotLeader) {
        return error;
    }
    match danger(servers).await {
        Some((_, text)) => {
            let details = std::iter::once(text).chain(error.details.clone()).collect();
            error.details(details)
        }
        None => error,
    }
}

/// Any server knows, also where nobody leads. One that cannot be asked is no reason to show nothing.
async fn danger(servers: &Servers) -> Option<(Tone, String)> {
    let servers = read::servers(servers).await.ok()?;
    members::danger(&servers.view.items)
}

/// The document of all jobs with only those that are [failing](is_failing), each as the server sent it.
///
/// # Errors
/// When it cannot be read.
pub(super) fn failing(jobs: &Document<JobList>) -> Result<Value, Failure> {
    let unreadable = |error| Error::new(Kind::Internal, format!("the server's answer is no JSON: {error}"));
    let mut document: Value = serde_json::from_slice(&jobs.raw).map_err(unreadable)?;
    if let Some(items) = document.get_mut("items").and_then(Value::as_array_mut) {
        let mut views = jobs.view.items.iter();
        items.retain(|_| views.next().is_some_and(is_failing));
    }
    Ok(document)
}

fn row(job: &JobSummary, now: Timestamp) -> Vec<Cell> {
    vec![
        Cell::toned(Tone::Strong, &job.name),
        job.kind.word().into(),
        job.version.to_string().into(),
        health(job),
        job.wanted.to_string().into(),
        job.running.to_string().into(),
        job.healthy.to_string().into(),
        job.down_since.map_or_else(String::new, |since| span(now.since(since))).into(),
        relative(&job.why, now).into(),
    ]
}

/// A job's health in its colour. Where nothing is wanted nothing is healthy either.
pub(super) fn health(job: &JobSummary) -> Cell {
    let (tone, word) = match job.health {
        Health::Failing => (Tone::Bad, "failing"),
        Health::Waiting => (Tone::Warn, "waiting"),
        Health::Pending => (Tone::Plain, "pending"),
        Health::Healthy if job.wanted == 0 => (Tone::Dim, "scaled to 0"),
        Health::Healthy => (Tone::Good, "healthy"),
        Health::Complete => (Tone::Good, "complete"),
        Health::Stopped => (Tone::Dim, "stopped"),
    };
    Cell::toned(tone, word)
}
