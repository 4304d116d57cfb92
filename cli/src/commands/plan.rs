//! `minijob plan`: what submitting files would change, and where their work would go.

use std::path::PathBuf;

use proto::model::Job;
use proto::view::{Change, GroupPlan, List, Plan};
use proto::wire::v1;

use crate::args::Global;
use crate::connect::{Client, Servers};
use crate::exit::{Exit, Failure};
use crate::output::{Cell, Out, Table, Tone, Voice};
use crate::read::understood;
use crate::{files, runtime};

const EXAMPLES: &str = "\
Examples:
  minijob plan web.yml                what would change, and where it would go
  minijob plan --exit-code jobs/      10 when anything would change, 0 when nothing would

Nothing is written. Work that is replaced is shown where it would go now; others may be faster.";

/// What `plan` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Job files; a directory means its *.yml and *.yaml, `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// How they are read.
    #[command(flatten)]
    pub reading: files::Reading,
    /// Exits with 10 when something would change
    #[arg(long)]
    pub exit_code: bool,
}

/// Something would change.
const CHANGES: Exit = Exit(10);

/// Runs the command.
///
/// # Errors
/// Invalid files; the server's refusal.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let loaded = files::load(&args.files, &args.reading, global.namespace())?;
    loaded.tell(Voice::new(global), true);
    let mut out = Out::new(global);
    let plans = runtime::small(async {
        let servers = Servers::new(global)?;
        let mut plans = Vec::new();
        for job in &loaded.jobs {
            plans.push(ask(&servers, job).await?);
        }
        Ok(plans)
    })?;
    let changes = plans.iter().any(|plan| plan.changed);
    if out.json {
        let revision = plans.iter().map(|plan| plan.revision).max().unwrap_or_default();
        out.document(&List { items: plans, next: None, revision })?;
    } else {
        plans.iter().try_for_each(|plan| show(&mut out, plan))?;
    }
    Ok(if changes && args.exit_code { CHANGES } else { Exit::DONE })
}

async fn ask(servers: &Servers, job: &Job) -> Result<Plan, Failure> {
    let request = v1::PlanJobRequest { job: Some(proto::wire::job::to_wire(job)) };
    let call = |mut client: Client| {
        let request = request.clone();
        async move { client.plan_job(request).await }
    };
    Ok(understood::<Plan>(servers.ask(call).await?)?.view)
}

fn show(out: &mut Out, plan: &Plan) -> Result<(), Failure> {
    let Plan { name, version, .. } = plan;
    let what = match plan.present {
        _ if !plan.changed => return out.line(&format!("{name}: nothing would change, version {version}")),
        None => "new".to_owned(),
        Some(_) if plan.starts && plan.changes.is_empty() => format!("starts again, version {version}"),
        Some(present) if plan.starts => format!("starts again as version {version} instead of {present}"),
        Some(present) => format!("version {version} instead of {present}"),
    };
    out.toned(Tone::Strong, &format!("{name}: {what}"))?;
    for change in &plan.changes {
        let (tone, text) = line(change);
        out.toned(tone, &format!("  {text}"))?;
    }
    if plan.changes_left_out > 0 {
        out.line(&format!("  and {} more", plan.changes_left_out))?;
    }
    let mut table =
        Table::new(out, &["GROUP", "WANTED", "UNCHANGED", "IN PLACE", "REPLACED", "STOPPED", "NEW ON"]);
    for (group, plan) in &plan.groups {
        table.row(row(group, plan));
    }
    out.line(&table.render())?;
    for (group, plan) in &plan.groups {
        if let Some(waiting) = &plan.waiting {
            let text = format!("{group}: {} of {} would wait: {}", waiting.count, plan.wanted, waiting.why);
            out.toned(Tone::Warn, &text)?;
        }
    }
    Ok(())
}

fn row(group: &str, plan: &GroupPlan) -> Vec<Cell> {
    let nodes: Vec<String> = plan.placed.iter().map(|(node, count)| format!("{node} ({count})")).collect();
    let mut row: Vec<Cell> = vec![group.into()];
    let numbers = [plan.wanted, plan.unchanged, plan.in_place, plan.replaced, plan.stopped];
    row.extend(numbers.map(|number| Cell::from(number.to_string())));
    row.push(nodes.join(", ").into());
    row
}

/// `~ groups.web.count: 2 -> 3`; what comes and what goes has one side.
fn line(change: &Change) -> (Tone, String) {
    let key = &change.key;
    let flat = |value: &str| value.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    let with = |value: &str| if value.is_empty() { String::new() } else { format!(": {}", flat(value)) };
    match (&change.before, &change.after) {
        (Some(before), Some(after)) => (Tone::Warn, format!("~ {key}: {} -> {}", flat(before), flat(after))),
        (None, Some(after)) => (Tone::Good, format!("+ {key}{}", with(after))),
        (Some(before), None) => (Tone::Bad, format!("- {key}{}", with(before))),
        (None, None) => (Tone::Plain, format!("~ {key}")),
    }
}
