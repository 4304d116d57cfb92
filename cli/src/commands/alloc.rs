//! `minijob alloc`: one allocation, or all that are not over.

use proto::error::{Error, Kind};
use proto::model::DEFAULT_NAMESPACE;
use proto::time::{Timestamp, now};
use proto::view::AllocView;
use serde_json::Value;

use super::status;
use crate::args::Global;
use crate::connect::Servers;
use crate::exit::{Exit, Failure};
use crate::output::{Cell, Out, Table, Tone, ago};
use crate::{read, runtime};

const EXAMPLES: &str = "\
Examples:
  minijob alloc                     all that are not over, by their jobs
  minijob alloc status web.api.0    one, by job, group and index
  minijob alloc status 4f2g         by the beginning of its id
  minijob alloc status web          by its job, where that has only one";

/// What `alloc` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What to do; none: shows all allocations that are not over
    #[command(subcommand)]
    pub what: Option<What>,
}

/// What can be done.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// Shows one allocation: where it is, its tasks, their last ends and output
    #[command(after_help = EXAMPLES)]
    Status {
        /// An id or the beginning of one, job.group.index, or a job that has only one
        #[arg(value_name = "ALLOC")]
        alloc: String,
    },
}

/// Runs the command.
///
/// # Errors
/// The server's refusal.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let Some(What::Status { alloc }) = &args.what else { return all(global) };
    let (namespace, name) = global.qualify(alloc);
    let mut out = Out::new(global);
    let found = runtime::small(async { Ok(read::alloc(&Servers::new(global)?, namespace, name).await?) })?;
    if out.json { out.passed_on(&found.raw) } else { status::alloc::show(&mut out, &found.view, now()) }?;
    Ok(Exit::DONE)
}

/// Allocations that are not over, each as the server sent it, too.
#[derive(Default)]
struct Found {
    views: Vec<AllocView>,
    raw: Vec<Value>,
}

fn all(global: &Global) -> Result<Exit, Failure> {
    let mut out = Out::new(global);
    let found =
        runtime::small(async { ask(&Servers::new(global)?, global.namespace().unwrap_or_default()).await })?;
    if out.json {
        out.document(&serde_json::json!({"items": found.raw}))?;
    } else if found.views.is_empty() {
        out.line("no allocations; `minijob status` shows the jobs")?;
    } else {
        out.line(&table(&out, &found.views, now()).render())?;
    }
    Ok(Exit::DONE)
}

/// Asks for one job after the other: servers list allocations by job only.
async fn ask(servers: &Servers, namespace: &str) -> Result<Found, Failure> {
    let mut found = Found::default();
    for job in read::jobs(servers, namespace).await?.view.items {
        let status = match read::job_status(servers, &job.namespace, &job.name, None).await {
            // It was removed meanwhile.
            Err(error) if error.kind == Kind::NotFound => continue,
            status => status?,
        };
        let unreadable =
            |cause| Error::new(Kind::Internal, format!("the server's answer is no JSON: {cause}"));
        let mut document: Value = serde_json::from_slice(&status.raw).map_err(unreadable)?;
        let raw = document.get_mut("allocs").and_then(Value::as_array_mut).map(std::mem::take);
        for (raw, view) in raw.unwrap_or_default().into_iter().zip(status.view.allocs) {
            if !view.state.has_ended() {
                found.raw.push(raw);
                found.views.push(view);
            }
        }
    }
    Ok(found)
}

fn table(out: &Out, allocs: &[AllocView], now: Timestamp) -> Table {
    let foreign = allocs.iter().any(|alloc| alloc.namespace != DEFAULT_NAMESPACE);
    let mut headings = vec!["ALLOCATION", "ID", "NODE", "VERSION", "STATE", "SINCE"];
    if foreign {
        headings.insert(0, "NAMESPACE");
    }
    let mut table = Table::new(out, &headings);
    for alloc in allocs {
        let id: String = alloc.id.to_string().chars().take(8).collect();
        let mut row = vec![
            Cell::toned(Tone::Strong, &alloc.name),
            id.into(),
            alloc.node_name.as_str().into(),
            alloc.version.to_string().into(),
            status::job::state(alloc, alloc.tasks.first().filter(|_| alloc.tasks.len() == 1)),
            ago(now, alloc.created_at).into(),
        ];
        if foreign {
            row.insert(0, alloc.namespace.as_str().into());
        }
        table.row(row);
    }
    table
}
