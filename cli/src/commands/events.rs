//! `minijob events`: what happened, and with `-f` what happens.

use proto::error::Kind;
use proto::ids::Revision;
use proto::model::{Event, Severity};
use proto::view::EventList;
use proto::wire::v1;

use crate::args::Global;
use crate::connect::{self, Client, Servers};
use crate::exit::{Exit, Failure};
use crate::output::{Out, Tone, Voice, behind, relative};
use crate::read::understood;
use crate::{limits, runtime};

const EXAMPLES: &str = "\
Examples:
  minijob events --limit 20     the latest of all jobs and nodes
  minijob events -f web         of one job, as they happen

With --json: one document; with -f and --json every event is a document of its own.";

/// Columns for what an event is about; a longer name pushes its own message aside. A table would have to wait for the last event.
const SUBJECT: usize = 24;

/// What `events` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A job or a node; none: everything
    #[arg(value_name = "JOB or NODE")]
    pub subject: Option<String>,
    /// Goes on with what happens from now on
    #[arg(short, long)]
    pub follow: bool,
    /// Only the latest N of those that are kept
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: Option<u32>,
}

/// Runs the command.
///
/// # Errors
/// The server's refusal; without `-f` also the end of the connection.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let mut out = Out::new(global);
    let (namespace, subject) = match &args.subject {
        Some(text) => global.qualify(text),
        None => (global.namespace().unwrap_or_default(), ""),
    };
    let request = v1::EventsRequest {
        namespace: namespace.to_owned(),
        subject: subject.to_owned(),
        follow: args.follow,
        after: 0,
        limit: args.limit.unwrap_or(0),
    };
    runtime::small(async {
        let servers = Servers::new(global)?;
        if args.follow {
            return follow(&servers, request, Voice::new(global), |event| show(&mut out, event)).await;
        }
        let mut whole =
            EventList { items: Vec::new(), next: None, revision: Revision(0), warnings: Vec::new() };
        once(&servers, &request, |mut list| {
            whole.items.append(&mut list.items);
            (whole.next, whole.revision) = (list.next, list.revision);
            Ok(())
        })
        .await?;
        if out.json {
            return out.document(&whole);
        }
        whole.items.iter().try_for_each(|event| show(&mut out, event))
    })?;
    Ok(Exit::DONE)
}

/// Hands over events as they happen, each once, also when the connection is lost and made again.
///
/// # Errors
/// The server's refusal, and what `take` says.
pub async fn follow(
    servers: &Servers,
    mut request: v1::EventsRequest,
    voice: Voice,
    mut take: impl FnMut(&Event) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut last = None;
    let mut away = false;
    loop {
        let result = once(servers, &request, |list| {
            away = false;
            for event in &list.items {
                let place = Some((event.revision, event.ordinal));
                if place > last {
                    last = place;
                    take(event)?;
                }
            }
            Ok(())
        });
        let error = match result.await {
            Ok(()) => return Ok(()),
            Err(Failure::Refused(error)) if matches!(error.kind, Kind::Unavailable | Kind::NotLeader) => {
                error
            }
            Err(failure) => return Err(failure),
        };
        if !away {
            voice.notice(&format!("{}; connecting again", error.message));
        }
        away = true;
        if let Some((revision, _)) = last {
            // A change may have more events than were sent: it is asked for again, and what was shown is left out.
            (request.after, request.limit) = (revision.0.saturating_sub(1), 0);
        }
        tokio::time::sleep(limits::ROUND * 2).await;
    }
}

async fn once(
    servers: &Servers,
    request: &v1::EventsRequest,
    mut take: impl FnMut(EventList) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let call = |mut client: Client| {
        let request = request.clone();
        async move { client.events(request).await }
    };
    let mut lists = servers.ask(call).await?;
    while let Some(list) = lists.message().await.map_err(|status| connect::refusal(&status))? {
        take(understood::<EventList>(list)?.view)?;
    }
    Ok(())
}

fn show(out: &mut Out, event: &Event) -> Result<(), Failure> {
    if out.json {
        return out.document(event);
    }
    let (tone, word) = severity(event.severity);
    let prefix = format!("{}  {word:<8}  {:<SUBJECT$}  ", event.time, subject(event));
    let text = behind(&prefix, &relative(&event.message, event.time), out.width);
    out.toned(tone, &text)
}

/// The word for a severity, and how it is shown.
#[must_use]
pub const fn severity(severity: Severity) -> (Tone, &'static str) {
    match severity {
        Severity::Info => (Tone::Plain, "info"),
        Severity::Warning => (Tone::Warn, "warning"),
        Severity::Critical => (Tone::Bad, "critical"),
    }
}

/// The most exact name of what an event is about: `web.api.0/server`, `web`, `node n1`. A task that bears its group's name is not said
/// once more: the message names it.
#[must_use]
pub fn subject(event: &Event) -> String {
    let subject = &event.subject;
    let Some(job) = subject.job_key() else {
        return match (&subject.node_name, subject.node) {
            (Some(name), _) => format!("node {name}"),
            // It is forgotten, or the server is older than its name here.
            (None, Some(id)) => format!("node {id:.8}"),
            (None, None) => "cluster".to_owned(),
        };
    };
    let mut name = job.to_string();
    if let Some(group) = &subject.group {
        name = format!("{name}.{group}");
    }
    if let Some(index) = subject.index {
        name = format!("{name}.{index}");
    }
    match &subject.task {
        Some(task) if subject.group.as_ref() != Some(task) => format!("{name}/{task}"),
        _ => name,
    }
}
