//! `minijob logs`: what tasks print, as they printed it.

use std::time::Duration;

use proto::error::{Error, Kind};
use proto::ids::AllocId;
use proto::model::EndReason;
use proto::time::{Timestamp, millis, now};
use proto::units::parse_duration;
use proto::view::{AllocView, JobStatus, TaskView};
use proto::wire::v1;
use serde::Serialize;

use super::target::{self, Target};
use crate::args::Global;
use crate::connect::{self, Client, Servers};
use crate::exit::{Exit, Failure};
use crate::merge::{Merger, Source};
use crate::output::{Out, Voice};
use crate::{limits, runtime};

const EXAMPLES: &str = "\
Examples:
  minijob logs -f web                  all allocations of a job, merged, through replacements
  minijob logs web.api.0 -n 100        the last lines of one allocation
  minijob logs -t web                  with the time of each line
  minijob logs web --since 10m         what was printed in the last ten minutes
  minijob logs shop shipper --stderr   one task of a job, its errors only

What is kept comes in the order of time, what is followed as it arrives. Of each slot that is wanted
the newest allocation is shown, and the one that it replaced in the same version. Exit code 1 says
that something could not be read. With --json every line is a document of its own.";

/// What `logs` is asked.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A job, an allocation (job.group.index), or the beginning of an allocation's id
    #[arg(value_name = "JOB or ALLOC")]
    pub target: String,
    /// Only this task
    pub task: Option<String>,
    /// Goes on with what is printed from now on
    #[arg(short, long)]
    pub follow: bool,
    /// Begins with the last N lines of each task [default: all that is kept]
    #[arg(short = 'n', long, value_name = "N")]
    pub tail: Option<u32>,
    /// Begins where this was printed: so long ago (10m), or then (2026-11-21T09:30:00Z)
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<Since>,
    /// Only standard error
    #[arg(long)]
    pub stderr: bool,
    /// Shows when each line was written, as far as its node knows
    #[arg(short, long)]
    pub timestamps: bool,
    /// Also older allocations, and those of slots that are no longer wanted
    #[arg(long)]
    pub all: bool,
}

/// Where to begin in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// So long before now.
    Ago(Duration),
    /// At this time.
    At(Timestamp),
}

impl Since {
    /// The clocks of machines differ: only how long ago it was means the same on all.
    fn ago_ms(self, now: Timestamp) -> u64 {
        let ago = match self {
            Self::Ago(ago) => ago,
            Self::At(at) => now.since(at),
        };
        millis(ago)
    }
}

fn since(text: &str) -> Result<Since, String> {
    if let Ok(ago) = parse_duration(text) {
        return Ok(Since::Ago(ago));
    }
    let at = text.parse().map(Since::At);
    at.map_err(|_| "expected a duration like 30s, 10m or 2h, or a time like 2026-11-21T09:30:00Z".to_owned())
}

/// One line of output as `--json` shows it.
#[derive(Serialize)]
struct LineDocument<'a> {
    /// None where it is not known.
    time: Option<Timestamp>,
    alloc: AllocId,
    name: String,
    node: &'a str,
    task: &'a str,
    stream: &'a str,
    line: std::borrow::Cow<'a, str>,
}

/// Runs the command.
///
/// # Errors
/// The server's refusal; without `-f` also the end of the connection.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let mut out = Out::new(global);
    let (read, found) = runtime::small(async {
        let servers = Servers::new(global)?;
        let found = target::find(&servers, global, &args.target).await?;
        let (job, namespace, target, sources) = match &found {
            Target::Job(job) => {
                let summary = &job.view.summary;
                (&summary.name, &summary.namespace, summary.name.clone(), sources_of_job(&job.view))
            }
            Target::Alloc(alloc) => {
                (&alloc.view.job, &alloc.view.namespace, alloc.view.id.to_string(), alloc.view.tasks.len())
            }
        };
        let request = v1::LogsRequest {
            namespace: namespace.clone(),
            target,
            task: args.task.clone().unwrap_or_default(),
            follow: args.follow,
            tail: args.tail,
            stdout: false,
            stderr: args.stderr,
            last_ms: args.since.map(|since| since.ago_ms(now())),
            all: args.all,
            times: args.timestamps || out.json,
        };
        let merged = sources > 1 && (args.task.is_none() || matches!(found, Target::Job(_)));
        let merger = Merger::new(job, merged, out.paint);
        let read = stream(&servers, request, merger, &mut out, Voice::new(global)).await?;
        Ok((read, found))
    })?;
    if read == Read::Nothing && !args.follow {
        Voice::new(global).notice(&silence(args, &found));
    }
    Ok(match read {
        Read::All | Read::Nothing => Exit::DONE,
        Read::NotAll => Exit::FAILED,
    })
}

/// Says why there is nothing to show.
fn silence(args: &Args, found: &Target) -> String {
    let allocs = match found {
        Target::Job(job) => job.view.allocs.as_slice(),
        Target::Alloc(alloc) => std::slice::from_ref(&alloc.view),
    };
    let tasks = || allocs.iter().flat_map(|alloc| &alloc.tasks);
    let has_run = |task: &TaskView| match &task.last_end {
        Some(end) => !matches!(end.reason, EndReason::StartFailed { .. }),
        None => task.started_at.is_some(),
    };
    let who = &args.target;
    if !tasks().any(has_run) {
        let why = tasks().find_map(|task| task.last_end.as_ref()).map(|end| end.reason.to_string());
        return match why {
            Some(why) => format!("{who} has never run: {why}"),
            None => format!("{who} has never run; `minijob why {who}` says why"),
        };
    }
    let is_part = args.task.is_some() || args.tail.is_some() || args.since.is_some() || args.stderr;
    if is_part {
        format!("{who} has printed nothing of what was asked for")
    } else {
        format!("{who} has printed nothing")
    }
}

/// Tasks of slots: what was replaced is no other source than its replacement.
fn sources_of_job(job: &JobStatus) -> usize {
    let slots: std::collections::BTreeSet<(&str, u32, &str)> = job.allocs.iter().flat_map(slots_of).collect();
    slots.len()
}

fn slots_of(alloc: &AllocView) -> impl Iterator<Item = (&str, u32, &str)> {
    alloc.tasks.iter().map(|task| (alloc.group.as_str(), alloc.index, task.name.as_str()))
}

/// Whether all that was asked for could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// All of it, and there was nothing.
    Nothing,
    /// All of it.
    All,
    /// Something is missing, and was told.
    NotAll,
}

/// Writes what comes until the server says that it is all. With `follow` a lost connection is made again, and said.
///
/// # Errors
/// The server's refusal; [`Kind::Unavailable`] without `follow`.
pub async fn stream(
    servers: &Servers,
    mut request: v1::LogsRequest,
    mut merger: Merger,
    out: &mut Out,
    voice: Voice,
) -> Result<Read, Failure> {
    let (mut away, mut read) = (false, Read::Nothing);
    loop {
        let mut place = Place { merger: &mut merger, out, read: &mut read, away: &mut away };
        let error = match once(servers, &request, &mut place, voice).await {
            Ok(()) => return Ok(read),
            Err(Failure::Refused(error)) if request.follow && is_passing(&error) => error,
            Err(failure) => return Err(failure),
        };
        if !away {
            voice.notice(&format!("{}; connecting again", error.message));
            // What was shown must not come twice; what is printed while nobody is connected is in the files.
            (request.tail, request.last_ms) = (Some(0), None);
        }
        away = true;
        tokio::time::sleep(limits::ROUND * 2).await;
    }
}

fn is_passing(error: &Error) -> bool {
    matches!(error.kind, Kind::Unavailable | Kind::NotLeader)
}

/// Where lines go, and what is remembered from one connection to the next.
struct Place<'a> {
    merger: &'a mut Merger,
    out: &'a mut Out,
    read: &'a mut Read,
    /// Whether the reader knows that the connection is lost.
    away: &'a mut bool,
}

async fn once(
    servers: &Servers,
    request: &v1::LogsRequest,
    place: &mut Place<'_>,
    voice: Voice,
) -> Result<(), Failure> {
    let call = |mut client: Client| {
        let request = request.clone();
        async move { client.logs(request).await }
    };
    let mut chunks = servers.ask(call).await?;
    if std::mem::take(place.away) {
        voice.notice("connected again; `minijob logs --tail N` shows what was printed meanwhile");
    }
    while let Some(chunk) = chunks.message().await.map_err(|status| connect::refusal(&status))? {
        if *place.read == Read::Nothing {
            *place.read = Read::All;
        }
        if !chunk.notice.is_empty() {
            voice.notice(&chunk.notice);
            if chunk.missing {
                *place.read = Read::NotAll;
            }
        } else if place.out.json {
            documents(&chunk, place.merger, place.out)?;
        } else {
            let time =
                request.times.then(|| chunk.at_ms.map_or_else(|| "-".to_owned(), |at| local(Timestamp(at))));
            let bytes = place.merger.take(source_of(&chunk), time.as_deref(), &chunk.data);
            place.out.bytes(&bytes)?;
        }
    }
    Ok(())
}

/// Shows a time on this machine's clock: `2026-11-21T09:30:00.250+01:00`.
fn local(at: Timestamp) -> String {
    let zoned = i64::try_from(at.0).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    let zoned = zoned.map(|at| at.to_zoned(jiff::tz::TimeZone::system()));
    zoned.map_or_else(|| at.to_string(), |zoned| zoned.strftime("%Y-%m-%dT%H:%M:%S.%3f%:z").to_string())
}

fn source_of(chunk: &v1::LogChunk) -> Source {
    Source { group: chunk.group.clone(), index: chunk.index, task: chunk.task.clone() }
}

fn documents(chunk: &v1::LogChunk, merger: &Merger, out: &mut Out) -> Result<(), Failure> {
    let lines = chunk.data.split(|byte| *byte == b'\n');
    let ended = chunk.data.ends_with(b"\n");
    let count = chunk.data.split(|byte| *byte == b'\n').count() - usize::from(ended);
    for line in lines.take(count) {
        out.document(&LineDocument {
            time: chunk.at_ms.map(Timestamp),
            alloc: AllocId(chunk.alloc_id),
            node: &chunk.node,
            name: merger.name(&source_of(chunk)),
            task: &chunk.task,
            stream: if chunk.stderr { "stderr" } else { "stdout" },
            line: String::from_utf8_lossy(line),
        })?;
    }
    Ok(())
}
