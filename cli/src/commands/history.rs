//! `minijob history`: the versions of a job that are kept.

use proto::time::{Timestamp, now};
use proto::view::{History, VersionView};
use proto::wire::v1;

use crate::args::Global;
use crate::connect::{Client, Servers};
use crate::exit::{Exit, Failure};
use crate::output::{Cell, Out, Table, Tone, ago};
use crate::read::understood;
use crate::runtime;

const EXAMPLES: &str = "\
Examples:
  minijob history web                   what changed, when and by whom
  minijob export web --version 3        one of them as a job file
  minijob revert web 3                  makes it the present one again";

/// What `history` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The job
    pub job: String,
}

/// Runs the command.
///
/// # Errors
/// The server's refusal.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let (namespace, name) = global.qualify(&args.job);
    let request = v1::JobHistoryRequest { namespace: namespace.to_owned(), name: name.to_owned() };
    let call = |mut client: Client| {
        let request = request.clone();
        async move { client.job_history(request).await }
    };
    let mut out = Out::new(global);
    let document = runtime::small(async { Ok(Servers::new(global)?.ask(call).await?) })?;
    let history = understood::<History>(document)?;
    if out.json {
        out.passed_on(&history.raw)?;
    } else {
        let table = table(&out, &history.view, now());
        out.line(&table.render())?;
    }
    Ok(Exit::DONE)
}

fn table(out: &Out, history: &History, now: Timestamp) -> Table {
    let mut table = Table::new(out, &["VERSION", "WHEN", "WHO", "CHANGED", "MESSAGE"]);
    for version in &history.items {
        let tone = if version.current { Tone::Strong } else { Tone::Plain };
        table.row(vec![
            Cell::toned(tone, version.version.to_string()),
            ago(now, version.at).into(),
            version.actor.as_str().into(),
            changed(version).into(),
            version.message.as_str().into(),
        ]);
    }
    table
}

fn changed(version: &VersionView) -> String {
    let mut keys = version.changes.clone();
    if version.changes_left_out > 0 {
        keys.push(format!("and {} more", version.changes_left_out));
    }
    keys.join(", ")
}
