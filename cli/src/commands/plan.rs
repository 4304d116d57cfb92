//! `minijob plan`: what submitting files would change, and where their work would go; with `--lose` whether everything would still fit.

mod loss;

use std::path::PathBuf;

use proto::model::Job;
use proto::view::{Candidate, Change, Choice, GroupPlan, List, Plan};
use proto::wire::v1;
use similar::{ChangeTag, TextDiff};

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
  minijob plan --lose n1              would everything still fit without n1? 0 when it would, 1 when not
  minijob plan --lose-domain sm1 web.yml   without all nodes of a failure domain, once web.yml is submitted

Nothing is written. Work that is replaced is shown where it would go now; others may be faster.";

/// What `plan` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Job files; a directory means its *.yml and *.yaml, `-` is standard input
    #[arg(required_unless_present_any = ["lose", "lose_domain"], value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// How they are read.
    #[command(flatten)]
    pub reading: files::Reading,
    /// Exits with 10 when something would change
    #[arg(long, conflicts_with_all = ["lose", "lose_domain"])]
    pub exit_code: bool,
    /// Shows instead what would become of everything if this node were lost, once the files are submitted; exits with 1 when not all
    /// would fit. May be given several times
    #[arg(long, value_name = "NODE")]
    pub lose: Vec<String>,
    /// The same of all nodes of a failure domain; may be given several times
    #[arg(long, value_name = "DOMAIN")]
    pub lose_domain: Vec<String>,
}

/// Something would change.
const CHANGES: Exit = Exit(10);

/// Runs the command.
///
/// # Errors
/// Invalid files; the server's refusal.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let jobs = if args.files.is_empty() {
        Vec::new()
    } else {
        let loaded = files::load(&args.files, &args.reading, global.namespace())?;
        loaded.tell(Voice::new(global), true);
        loaded.jobs
    };
    if !args.lose.is_empty() || !args.lose_domain.is_empty() {
        return loss::main(&args.lose, &args.lose_domain, &jobs, global);
    }
    let mut out = Out::new(global);
    let plans = runtime::small(async {
        let servers = Servers::new(global)?;
        let mut plans = Vec::new();
        for job in &jobs {
            plans.push(ask(&servers, job).await?);
        }
        Ok(plans)
    })?;
    let changes = plans.iter().any(|plan| plan.changed);
    if out.json {
        let revision = plans.iter().map(|plan| plan.revision).max().unwrap_or_default();
        out.document(&List { items: plans, next: None, revision, warnings: Vec::new() })?;
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
        for (tone, text) in lines(change) {
            out.toned(tone, &format!("  {text}"))?;
        }
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
    if !plan.preempted.is_empty() {
        let jobs: Vec<String> =
            plan.preempted.iter().map(|(job, count)| format!("{job} ({count})")).collect();
        out.toned(Tone::Warn, &format!("would give way, their priority is lower: {}", jobs.join(", ")))?;
    }
    for (group, plan) in &plan.groups {
        if let Some(waiting) = &plan.waiting {
            let text =
                format!("{group}: {} of {} would wait: {}", waiting.count, plan.wanted, waiting.told());
            out.toned(Tone::Warn, &text)?;
        }
        // The others go by the same rules; the document has more of them.
        plan.choices.first().map_or(Ok(()), |choice| show_choice(out, choice))?;
    }
    Ok(())
}

/// Shows why the first allocation of a group would go where it would.
fn show_choice(out: &mut Out, choice: &Choice) -> Result<(), Failure> {
    let nodes = if choice.feasible == 1 { "1 node".to_owned() } else { format!("{} nodes", choice.feasible) };
    out.toned(Tone::Dim, &format!("{}: {nodes} could take it", choice.name))?;
    choice.candidates.iter().try_for_each(|one| out.line(&format!("  {}", candidate(one))))
}

/// `n2: 1 of the group on it, then 25% cpu, 12% memory in use; more of the group are on it`; likings, spreads and domains where they count.
fn candidate(one: &Candidate) -> String {
    let mut parts = Vec::new();
    if one.liking != 0 {
        parts.push(format!("liked {:+}", one.liking));
    }
    if one.spread_cost != 0 {
        parts.push(format!("spread cost {}", one.spread_cost));
    }
    if one.in_domain != one.copies {
        parts.push(format!("{} of the group in its failure domain", one.in_domain));
    }
    parts.push(format!("{} of the group on it", one.copies));
    parts.push(format!("then {}% cpu, {}% memory in use", one.cpu_percent, one.memory_percent));
    let behind = if one.behind.is_empty() { String::new() } else { format!("; not taken: {}", one.behind) };
    format!("{}: {}{behind}", one.node, parts.join(", "))
}

fn row(group: &str, plan: &GroupPlan) -> Vec<Cell> {
    let nodes: Vec<String> = plan.placed.iter().map(|(node, count)| format!("{node} ({count})")).collect();
    let mut row: Vec<Cell> = vec![group.into()];
    let numbers = [plan.wanted, plan.unchanged, plan.in_place, plan.replaced, plan.stopped];
    row.extend(numbers.map(|number| Cell::from(number.to_string())));
    row.push(nodes.join(", ").into());
    row
}

/// Lines around a changed one that are shown, too.
const AROUND: usize = 1;

/// `~ groups.web.count: 2 -> 3`; what comes and what goes has one side, of several lines only those are shown that differ.
fn lines(change: &Change) -> Vec<(Tone, String)> {
    let key = &change.key;
    let is_long = |value: &String| value.trim_end().contains('\n');
    let with = |value: &str| if value.is_empty() { String::new() } else { format!(": {}", value.trim_end()) };
    match (&change.before, &change.after) {
        (Some(before), Some(after)) if is_long(before) || is_long(after) => {
            let mut lines = vec![(Tone::Warn, format!("~ {key}:"))];
            lines.extend(differing(before, after));
            lines
        }
        (Some(before), Some(after)) => {
            vec![(Tone::Warn, format!("~ {key}: {} -> {}", before.trim_end(), after.trim_end()))]
        }
        (None, Some(after)) if is_long(after) => whole(Tone::Good, '+', key, after),
        (Some(before), None) if is_long(before) => whole(Tone::Bad, '-', key, before),
        (None, Some(after)) => vec![(Tone::Good, format!("+ {key}{}", with(after)))],
        (Some(before), None) => vec![(Tone::Bad, format!("- {key}{}", with(before)))],
        (None, None) => vec![(Tone::Plain, format!("~ {key}"))],
    }
}

fn whole(tone: Tone, sign: char, key: &str, value: &str) -> Vec<(Tone, String)> {
    let first = (tone, format!("{sign} {key}:"));
    std::iter::once(first).chain(value.lines().map(|line| (tone, format!("    {sign} {line}")))).collect()
}

/// The lines that differ, each with what is around it; `...` stands for what is the same.
fn differing(before: &str, after: &str) -> Vec<(Tone, String)> {
    let diff = TextDiff::from_lines(before, after);
    let mut shown = Vec::new();
    let mut next = 0;
    for group in diff.grouped_ops(AROUND) {
        let begins = group.first().map_or(0, |op| op.old_range().start);
        if begins > next {
            shown.push((Tone::Dim, "      ...".to_owned()));
        }
        next = group.last().map_or(next, |op| op.old_range().end);
        for line in group.iter().flat_map(|op| diff.iter_changes(op)) {
            let (tone, sign) = match line.tag() {
                ChangeTag::Equal => (Tone::Dim, ' '),
                ChangeTag::Delete => (Tone::Bad, '-'),
                ChangeTag::Insert => (Tone::Good, '+'),
            };
            shown.push((tone, format!("    {sign} {}", line.value().trim_end())));
        }
    }
    if next < before.lines().count() {
        shown.push((Tone::Dim, "      ...".to_owned()));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(before: Option<&str>, after: Option<&str>) -> Vec<String> {
        let own = |value: Option<&str>| value.map(str::to_owned);
        let change = Change { key: "args".into(), before: own(before), after: own(after) };
        lines(&change).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn of_a_value_of_several_lines_only_those_are_shown_that_differ() {
        let script = |port: &str| format!("- -c\n- |\n  cd /srv\n  exec serve {port}\n  a\n  b\n");
        let shown = texts(Some(&script("80")), Some(&script("8080")));
        let expected = [
            "~ args:",
            "      ...",
            "        cd /srv",
            "    -   exec serve 80",
            "    +   exec serve 8080",
            "        a",
            "      ...",
        ];
        assert_eq!(shown, expected);
        assert_eq!(texts(None, Some("- a\n- b\n")), ["+ args:", "    + - a", "    + - b"]);
    }

    #[test]
    fn a_value_of_one_line_stays_on_one() {
        assert_eq!(texts(Some("2"), Some("3")), ["~ args: 2 -> 3"]);
        assert_eq!(texts(None, Some("blue")), ["+ args: blue"]);
        assert_eq!(texts(Some(""), None), ["- args"]);
    }
}
