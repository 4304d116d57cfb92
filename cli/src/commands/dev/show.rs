//! What `dev` tells: where it is, how its jobs do, then their output and what goes wrong.

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use proto::ids::Revision;
use proto::model::{Job, Liveness, Severity};
use proto::wire::v1;

use super::{LISTEN, NODE};
use crate::args::Global;
use crate::commands::{events, logs, run};
use crate::connect::Servers;
use crate::exit::Failure;
use crate::merge::Merger;
use crate::output::{Board, Line, Out, Tone, Voice, relative};
use crate::{limits, read};

/// Where the cluster is.
pub(super) struct Place {
    pub(super) url: String,
    pub(super) token: String,
}

/// Runs the jobs, then shows output and events until it is dropped. A job that fails is told and left as it is, to be looked at.
pub(super) async fn all(
    place: &Place,
    jobs: &[Job],
    board: &mut Board,
    global: &Global,
) -> Result<(), Failure> {
    let Place { url, token } = place;
    let servers = Servers::at(url, token)?;
    let voice = Voice::new(global);
    board.line(&Line::new(
        Tone::Strong,
        format!("minijob dev is at {url}; Ctrl-C stops everything it started"),
    ));
    let told = run_all(&servers, jobs, board, voice).await?;
    next_steps(url, jobs, board);
    let mut outputs: FuturesUnordered<_> =
        jobs.iter().map(|job| output(&servers, job, global, voice)).collect();
    let events = show_events(&servers, told, global, voice);
    tokio::pin!(events);
    loop {
        tokio::select! {
            ended = &mut events => return ended,
            Some(ended) = outputs.next() => ended?,
        }
    }
}

/// Returns what is said when everything is to end: which jobs still run. Nobody waits long for that.
pub(super) async fn stopping(place: &Place) -> String {
    let ask = async {
        let servers = Servers::at(&place.url, &place.token)?;
        read::jobs(&servers, "").await
    };
    let listed = tokio::time::timeout(limits::DEV_LAST_LOOK, ask).await;
    let Ok(Ok(jobs)) = listed else { return "stopping everything".to_owned() };
    let running = jobs.view.items.iter().filter(|job| job.running > 0);
    stopping_text(&running.map(|job| job.name.as_str()).collect::<Vec<_>>())
}

fn stopping_text(jobs: &[&str]) -> String {
    const NAMED: usize = 8;
    let more = if jobs.len() > NAMED { ", ..." } else { "" };
    let names = jobs.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    match jobs.len() {
        0 => "stopping everything".to_owned(),
        1 => format!("stopping 1 job: {names}"),
        count => format!("stopping {count} jobs: {names}{more}"),
    }
}

/// Returns the revision up to which everything was told.
async fn run_all(
    servers: &Servers,
    jobs: &[Job],
    board: &mut Board,
    voice: Voice,
) -> Result<Revision, Failure> {
    if !jobs.is_empty() && tokio::time::timeout(limits::DEV_NODE, node_is_up(servers)).await.is_err() {
        voice.notice("its node is not up yet; the jobs are submitted all the same");
    }
    let submitted = run::submit(servers, jobs, run::Present::Changes, "minijob dev", board).await?;
    let follow = run::Follow { timeout: Some(limits::FOLLOW), to_the_end: false };
    let mut told = Revision(0);
    for report in run::watch(servers, &submitted, follow, board, voice).await? {
        if let Some(line) = report.good_line() {
            board.line(&line);
        }
        if let Some(error) = report.error() {
            voice.error(&error);
        }
        told = told.max(report.last.map_or(Revision(0), |status| status.revision));
    }
    Ok(told)
}

/// Waits until the only node takes work: a job that is submitted before is told that there are no nodes. Whoever cannot be asked
/// is told by the submission.
async fn node_is_up(servers: &Servers) {
    let mut after = None;
    while let Ok(nodes) = read::nodes(servers, after).await {
        if nodes.view.items.iter().any(|node| node.name == NODE && node.liveness == Liveness::Up) {
            return;
        }
        after = Some(nodes.view.revision);
    }
}

/// The very commands for a second terminal. It finds this cluster by itself, unless its variables name another.
fn next_steps(url: &str, jobs: &[Job], board: &mut Board) {
    let usual = url == format!("http://{LISTEN}");
    let addr = if usual { String::new() } else { format!(" --addr {url}") };
    board.text("next, in another terminal:");
    match jobs.first() {
        Some(job) => {
            board.text(&format!("  minijob status {}{addr}", job.key));
            board.text(&format!("  minijob logs -f {}{addr}", job.key));
        }
        None => {
            board.text(&format!("  minijob run FILE{addr}"));
            board.text(&format!("  minijob status{addr}"));
        }
    }
}

/// Shows what a person should know of; the rest is in `minijob events`.
async fn show_events(
    servers: &Servers,
    after: Revision,
    global: &Global,
    voice: Voice,
) -> Result<(), Failure> {
    let mut out = Out::new(global);
    let request = v1::EventsRequest { follow: true, after: after.0, ..v1::EventsRequest::default() };
    events::follow(servers, request, voice, |event| {
        if out.json {
            return out.document(event);
        }
        if event.severity < Severity::Warning {
            return Ok(());
        }
        let (tone, word) = events::severity(event.severity);
        let said = relative(&event.message, event.time);
        out.toned(tone, &format!("{word}: {}: {said}", events::subject(event)))
    })
    .await
}

async fn output(servers: &Servers, job: &Job, global: &Global, voice: Voice) -> Result<(), Failure> {
    let mut out = Out::new(global);
    let request = v1::LogsRequest {
        namespace: job.key.namespace.clone(),
        target: job.key.name.clone(),
        follow: true,
        ..v1::LogsRequest::default()
    };
    let merger = Merger::new(&job.key.name, true, out.paint);
    match logs::stream(servers, request, merger, &mut out, voice).await {
        // A job that somebody purges, or whose output cannot be read, is no reason to end the cluster.
        Err(Failure::Refused(error)) => {
            voice.notice(&format!("{}: no more output: {}", job.key, error.message));
            Ok(())
        }
        result => result.map(|_| ()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_names_what_it_stops() {
        assert_eq!(stopping_text(&[]), "stopping everything");
        assert_eq!(stopping_text(&["web"]), "stopping 1 job: web");
        assert_eq!(stopping_text(&["db", "web"]), "stopping 2 jobs: db, web");
        assert!(stopping_text(&["a"; 9]).ends_with("a, ..."));
    }
}
