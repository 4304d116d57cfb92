//! The write: one request per job, the same request id however often it is sent.

use bytes::Bytes;
use proto::error::{Error, Kind};
use proto::ids::{JobKey, JobVersion, Revision, random_request_id};
use proto::model::{Job, JobType};
use proto::view::{GroupPlacement, Health, Placement, Plan, Written};
use proto::wire::v1;

use crate::connect::Servers;
use crate::follow::waits;
use crate::output::{Board, Line, Tone};
use crate::read;

/// A job that the servers have taken.
#[derive(Clone, Debug)]
pub struct Submitted {
    /// Which.
    pub key: JobKey,
    /// Service or batch.
    pub kind: JobType,
    /// What the servers said.
    pub written: Written,
}

/// What a job of that name which is there already means to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Present {
    /// It becomes what is submitted.
    Changes,
    /// It must be at this version; 0: it must not exist.
    At(u64),
    /// It must be the same job: nobody chose the name, so that another is a stranger's.
    Same,
}

/// Submits jobs one after another and tells at once where each was placed, or why not.
///
/// # Errors
/// The first refusal; it says which jobs had been taken before it. Sending the files again is safe: what is there already changes
/// nothing.
pub async fn submit(
    servers: &Servers,
    jobs: &[Job],
    present: Present,
    message: &str,
    board: &mut Board,
) -> Result<Vec<Submitted>, Error> {
    let mut submitted: Vec<Submitted> = Vec::new();
    for job in jobs {
        let request = v1::PutJobRequest {
            request_id: Bytes::copy_from_slice(&random_request_id().0.to_be_bytes()),
            job: Some(proto::wire::job::to_wire(job)),
            expected_version: match present {
                Present::Changes => None,
                Present::At(version) => Some(version),
                Present::Same => Some(0),
            },
            message: message.to_owned(),
        };
        let written = match put(servers, request.clone()).await {
            Err(error) if error.kind == Kind::Conflict && present == Present::Same => {
                put_same(servers, job, request).await
            }
            result => result,
        };
        let written = written.map_err(|error| explained(error, job, &submitted, jobs.len()))?;
        let one = Submitted { key: job.key.clone(), kind: job.kind, written };
        let note = if is_over(servers, &one).await { over(&one.key) } else { String::new() };
        tell(&one, &note, board);
        submitted.push(one);
    }
    Ok(submitted)
}

async fn put(servers: &Servers, request: v1::PutJobRequest) -> Result<Written, Error> {
    let call = |mut client: crate::connect::Client| {
        let request = request.clone();
        async move { client.put_job(request).await }
    };
    let reply = servers.ask(call).await?;
    let unreadable =
        |cause| Error::new(Kind::Internal, format!("the server's answer is not understood: {cause}"));
    let placement: Option<Placement> = match reply.placement_json.is_empty() {
        true => None,
        false => Some(serde_json::from_slice(&reply.placement_json).map_err(unreadable)?),
    };
    Ok(Written {
        changed: reply.changed,
        version: JobVersion(reply.version),
        revision: Revision(reply.revision),
        placement,
    })
}

/// Submits a job whose name is taken, if it is the one that has it. The version that was compared is the one that is expected.
async fn put_same(servers: &Servers, job: &Job, mut request: v1::PutJobRequest) -> Result<Written, Error> {
    let asked = v1::PlanJobRequest { job: request.job.clone() };
    let call = |mut client: crate::connect::Client| {
        let asked = asked.clone();
        async move { client.plan_job(asked).await }
    };
    let plan = read::understood::<Plan>(servers.ask(call).await?)?.view;
    if !plan.changes.is_empty() {
        return Err(taken(job));
    }
    // Another request than the one that was refused.
    request.request_id = Bytes::copy_from_slice(&random_request_id().0.to_be_bytes());
    request.expected_version = Some(plan.present.map_or(0, |version| version.0));
    put(servers, request).await
}

fn taken(job: &Job) -> Error {
    let name = &job.key.name;
    Error::new(Kind::Conflict, format!("there is a job `{}` already", job.key)).hint(format!(
        "give this one a name of its own (`--name`), or say `--name {name}` to change that one"
    ))
}

/// Says which job of several was refused, and what became of the others.
fn explained(mut error: Error, job: &Job, before: &[Submitted], all: usize) -> Error {
    if all > 1 {
        error.message = format!("{}: {}", job.key, error.message);
        let names: Vec<String> = before.iter().map(|one| one.key.to_string()).collect();
        error.details.push(match names.len() {
            0 => format!("none of {all} jobs was submitted"),
            some => format!("submitted before it: {} ({some} of {all})", names.join(", ")),
        });
    }
    error
}

/// Returns whether a batch job was complete already, so that nothing will run. Whoever cannot be asked leaves it open.
async fn is_over(servers: &Servers, one: &Submitted) -> bool {
    if one.written.changed || !one.kind.has_an_end() {
        return false;
    }
    let shown = read::job_status(servers, &one.key.namespace, &one.key.name, None).await;
    shown.is_ok_and(|shown| {
        let summary = shown.view.summary;
        summary.version == one.written.version && summary.health == Health::Complete
    })
}

fn over(key: &JobKey) -> String {
    format!("; it is complete and is not run again: `minijob restart {key}` would")
}

fn tell(one: &Submitted, note: &str, board: &mut Board) {
    let (key, written) = (&one.key, &one.written);
    let what = if written.changed { "submitted" } else { "nothing changed" };
    board.text(&format!("{key}: {what}, version {}{note}", written.version));
    for (group, placement) in written.placement.iter().flat_map(|placement| &placement.groups) {
        for line in placed(&one.key, group, placement) {
            board.line(&line);
        }
    }
}

/// `web: 3 placed on n1 (2), n2 (1)`, of another namespace than the default one `dmz/web: ..`; or what of it is new or stops; and why the rest has no place.
pub(in crate::commands) fn placed(job: &JobKey, group: &str, placement: &GroupPlacement) -> Vec<Line> {
    let who = if job.name == group { job.to_string() } else { format!("{job}.{group}") };
    let mut lines = Vec::new();
    let parts: Vec<String> = stopping(placement).into_iter().chain(there(placement)).collect();
    if !parts.is_empty() {
        lines.push(Line::new(Tone::Plain, format!("{who}: {}", parts.join(", "))));
    }
    if let Some(waiting) = &placement.waiting {
        let text = waits(waiting, &format!("{} of {}", waiting.count, placement.wanted));
        lines.push(Line::new(Tone::Warn, format!("{who}: {text}")));
    }
    lines
}

fn stopping(placement: &GroupPlacement) -> Option<String> {
    match placement.stops {
        0 => None,
        1 => Some("1 stops".to_owned()),
        stops => Some(format!("{stops} stop")),
    }
}

fn there(placement: &GroupPlacement) -> Option<String> {
    let total: u32 = placement.placed.values().sum();
    let names: Vec<&str> = placement.placed.keys().map(String::as_str).collect();
    let on = match names.as_slice() {
        [only] => (*only).to_owned(),
        _ => {
            let nodes = placement.placed.iter().map(|(node, count)| format!("{node} ({count})"));
            nodes.collect::<Vec<String>>().join(", ")
        }
    };
    let new = total.saturating_sub(placement.stays);
    match (total, new) {
        (0, _) => None,
        (1, 0) if placement.stops > 0 => Some(format!("1 stays on {on}")),
        (_, 0) if placement.stops > 0 => Some(format!("{total} stay on {on}")),
        (_, 0) => Some(format!("{total} placed on {on}")),
        _ if placement.stays > 0 => Some(format!("{total} placed on {on}, {new} of them new")),
        _ => Some(format!("{total} placed on {on}")),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proto::view::Waiting;

    #[test]
    fn it_is_said_where_things_were_placed_and_why_the_rest_was_not() {
        let texts = |placement: &GroupPlacement| -> Vec<String> {
            placed(&JobKey::new("default", "shop"), "api", placement)
                .into_iter()
                .map(|line| line.text)
                .collect()
        };
        let one = BTreeMap::from([("n1".to_owned(), 3)]);
        let mut placement = GroupPlacement { wanted: 3, placed: one, ..GroupPlacement::default() };
        assert_eq!(texts(&placement), ["shop.api: 3 placed on n1"]);
        let elsewhere = placed(&JobKey::new("dmz", "api"), "api", &placement);
        assert_eq!(elsewhere[0].text, "dmz/api: 3 placed on n1");
        placement.placed.insert("n2".into(), 1);
        placement.waiting =
            Some(Waiting { count: 1, why: "2 of 2 nodes lack memory".into(), advice: "ask for less".into() });
        placement.wanted = 5;
        assert_eq!(
            texts(&placement),
            [
                "shop.api: 4 placed on n1 (3), n2 (1)",
                "shop.api: 1 of 5 waits: 2 of 2 nodes lack memory; ask for less"
            ]
        );
    }

    #[test]
    fn it_is_said_what_a_write_has_stopped_and_what_of_the_rest_is_new() {
        let said = |on_n1: u32, stays: u32, stops: u32| {
            let nodes = (on_n1 > 0).then(|| ("n1".to_owned(), on_n1));
            let placement =
                GroupPlacement { placed: nodes.into_iter().collect(), stays, stops, ..Default::default() };
            let key = JobKey::new("default", "web");
            placed(&key, "web", &placement).into_iter().map(|line| line.text).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(said(1, 1, 2), "web: 2 stop, 1 stays on n1");
        assert_eq!(said(0, 0, 1), "web: 1 stops");
        assert_eq!(said(3, 1, 0), "web: 3 placed on n1, 2 of them new");
        assert_eq!(said(3, 3, 0), "web: 3 placed on n1", "nothing has changed");
        assert_eq!(said(2, 0, 2), "web: 2 stop, 2 placed on n1");
    }
}
