//! One job: its groups, its allocations, what failed last.

use std::collections::BTreeMap;

use proto::ids::JobVersion;
use proto::model::{AllocState, DEFAULT_NAMESPACE};
use proto::time::Timestamp;
use proto::view::{AllocView, Health, JobStatus, TaskView};

use super::{list, show_tail};
use crate::exit::Failure;
use crate::follow::tries;
use crate::limits;
use crate::output::{Cell, Out, Table, Tone, ago, last_lines, relative, span, until};

/// Where ports stand in the table of allocations, if anything shown has some: before the last column, which holds sentences.
const PORTS: usize = 7;

/// Shows a job; of ended allocations only the newest unless `all`.
pub(super) fn show(out: &mut Out, job: &JobStatus, all: bool, now: Timestamp) -> Result<(), Failure> {
    show_head(out, job, now)?;
    show_groups(out, job, now)?;
    show_allocs(out, &job.allocs, all, now)?;
    match newest_failure(job) {
        Some((alloc, task)) => {
            let Some(end) = &task.last_end else { return Ok(()) };
            let heading = format!("last output of {} ({}, {}):", alloc.name, end.reason, ago(now, end.at));
            show_tail(out, &heading, &last_lines(&end.tail, limits::TAIL_OF_FAILURE))
        }
        None => Ok(()),
    }
}

fn show_head(out: &mut Out, job: &JobStatus, now: Timestamp) -> Result<(), Failure> {
    let summary = &job.summary;
    let name = match summary.namespace.as_str() {
        DEFAULT_NAMESPACE => summary.name.clone(),
        namespace => format!("{namespace}/{}", summary.name),
    };
    let health = list::health(summary).painted(out.paint);
    let since =
        summary.down_since.map_or_else(String::new, |since| format!(", down for {}", span(now.since(since))));
    let why =
        if summary.why.is_empty() { String::new() } else { format!(": {}", relative(&summary.why, now)) };
    out.line(&format!("{}  {health}{since}{why}", out.paint.text(Tone::Strong, &name)))?;
    // Scaling, restarting and reverting make versions too, and submit nothing.
    let made = match summary.version {
        JobVersion(1) => ",".to_owned(),
        _ => format!(" of {}, first", ago(now, job.submitted_at)),
    };
    let first = ago(now, job.created_at);
    out.line(&format!("{}, version {}{made} submitted {first}", summary.kind, summary.version))
}

fn show_groups(out: &mut Out, job: &JobStatus, now: Timestamp) -> Result<(), Failure> {
    let batch = job.groups.values().any(|group| group.complete > 0);
    let mut headings = vec!["GROUP", "WANTED", "RUNNING", "HEALTHY"];
    if batch {
        headings.push("COMPLETE");
    }
    headings.push("NEXT");
    let mut table = Table::new(out, &headings);
    for (name, group) in &job.groups {
        let mut row: Vec<Cell> = vec![name.as_str().into()];
        row.extend([group.wanted, group.running, group.healthy].map(|number| number.to_string().into()));
        if batch {
            row.push(group.complete.to_string().into());
        }
        let next = group.next_at.map_or_else(String::new, |at| format!("placed anew {}", until(now, at)));
        row.push(next.into());
        table.row(row);
    }
    out.line("")?;
    out.line(&table.render())?;
    for (name, group) in &job.groups {
        if let Some(waiting) = &group.waiting {
            let text =
                format!("{name}: {} of {} without a place: {}", waiting.count, group.wanted, waiting.told());
            out.toned(Tone::Warn, &text)?;
        }
    }
    Ok(())
}

fn show_allocs(out: &mut Out, allocs: &[AllocView], all: bool, now: Timestamp) -> Result<(), Failure> {
    if allocs.is_empty() {
        return Ok(());
    }
    let (live, ended): (Vec<_>, Vec<_>) = allocs.iter().partition(|alloc| !alloc.state.has_ended());
    let count = ended.len();
    let newest = newest_ended(ended, all);
    let hidden = count - newest.len();
    let shown: Vec<&AllocView> = live.into_iter().chain(newest).collect();
    let with_ports = shown.iter().any(|alloc| !alloc.ports.is_empty());
    let mut headings = vec!["ALLOCATION", "ID", "NODE", "VERSION", "STATE", "TRY", "SINCE", "LAST END"];
    if with_ports {
        headings.insert(PORTS, "PORTS");
    }
    let mut table = Table::new(out, &headings);
    for alloc in shown {
        for (number, mut row) in rows(alloc, now).into_iter().enumerate() {
            if with_ports {
                let text = if number == 0 { ports(alloc) } else { String::new() };
                row.insert(PORTS, text.into());
            }
            table.row(row);
        }
    }
    out.line("")?;
    out.line(&table.render())?;
    if hidden > 0 {
        out.toned(Tone::Dim, &format!("and {hidden} more that ended; --all shows them"))?;
    }
    Ok(())
}

/// Returns what is shown of what ended, the newest first: all, or a few of every slot and no more than a few in all.
fn newest_ended(mut ended: Vec<&AllocView>, all: bool) -> Vec<&AllocView> {
    ended.sort_by_key(|alloc| std::cmp::Reverse((alloc.ended_at, alloc.id)));
    if all {
        return ended;
    }
    let mut of_slot: BTreeMap<(&str, u32), usize> = BTreeMap::new();
    ended.retain(|alloc| {
        let count = of_slot.entry((&alloc.group, alloc.index)).or_default();
        *count += 1;
        *count <= limits::ENDED_OF_SLOT
    });
    ended.truncate(limits::ENDED_SHOWN);
    ended
}

/// One row per task; the allocation stands in the first.
fn rows(alloc: &AllocView, now: Timestamp) -> Vec<Vec<Cell>> {
    let several = alloc.tasks.len() > 1;
    let id: String = alloc.id.to_string().chars().take(8).collect();
    let head = |task: Option<&TaskView>| -> Vec<Cell> {
        let count = task.map_or_else(String::new, try_of);
        let since = alloc.ended_at.unwrap_or(alloc.created_at);
        let since =
            task.filter(|_| !alloc.state.has_ended()).and_then(|task| task.started_at).unwrap_or(since);
        vec![
            alloc.name.as_str().into(),
            id.as_str().into(),
            alloc.node_name.as_str().into(),
            alloc.version.to_string().into(),
            state(alloc, task.filter(|_| !several)),
            count.into(),
            ago(now, since).into(),
            task.map_or_else(String::new, |task| last_end(task, now)).into(),
        ]
    };
    if !several {
        return vec![head(alloc.tasks.first())];
    }
    let of_task = |task: &TaskView| -> Vec<Cell> {
        vec![
            format!("  {}", task.name).into(),
            "".into(),
            "".into(),
            "".into(),
            Cell::toned(phase_tone(&task.phase), phase(task, now)),
            try_of(task).into(),
            task.started_at.map_or_else(String::new, |at| ago(now, at)).into(),
            last_end(task, now).into(),
        ]
    };
    std::iter::once(head(None)).chain(alloc.tasks.iter().map(of_task)).collect()
}

/// `http 23451, metrics 23452`: the ports of the host.
pub(super) fn ports(alloc: &AllocView) -> String {
    let ports: Vec<String> = alloc.ports.iter().map(|(name, port)| format!("{name} {port}")).collect();
    ports.join(", ")
}

/// The state in a word, and what matters more than it: a lost node, health, a try to come.
pub(in crate::commands) fn state(alloc: &AllocView, only_task: Option<&TaskView>) -> Cell {
    let (tone, word) = match alloc.state {
        AllocState::Failed => (Tone::Bad, "failed"),
        AllocState::Complete => (Tone::Good, "complete"),
        AllocState::Stopped => (Tone::Dim, "stopped"),
        _ if alloc.lost => (Tone::Bad, "lost"),
        // It runs on until its agent has heard of it.
        _ if alloc.desired == "stop" => (Tone::Plain, "stopping"),
        AllocState::Stopping => (Tone::Plain, "stopping"),
        AllocState::Pending => (Tone::Plain, "pending"),
        AllocState::Preparing => (Tone::Plain, "preparing"),
        AllocState::Starting => (Tone::Plain, "starting"),
        AllocState::Running if only_task.is_some_and(|task| task.phase == "backoff") => {
            (Tone::Bad, "backoff")
        }
        AllocState::Running if alloc.healthy && alloc.draining => (Tone::Warn, "healthy, draining"),
        AllocState::Running if alloc.healthy => (Tone::Good, "healthy"),
        AllocState::Running => (Tone::Plain, "running"),
    };
    Cell::toned(tone, word)
}

pub(super) fn phase_tone(phase: &str) -> Tone {
    match phase {
        "backoff" => Tone::Bad,
        "running" => Tone::Good,
        _ => Tone::Plain,
    }
}

fn phase(task: &TaskView, now: Timestamp) -> String {
    task.next_start_at
        .map_or_else(|| task.phase.clone(), |at| format!("{} until {}", task.phase, until(now, at)))
}

/// `2 of 4`, and nothing for a task that was never started.
pub(super) fn try_of(task: &TaskView) -> String {
    if task.attempt == 0 { String::new() } else { tries(task).trim_start_matches("try ").to_owned() }
}

/// `exit code 1, 3m ago; starts again in 5s`.
pub(super) fn last_end(task: &TaskView, now: Timestamp) -> String {
    let Some(end) = &task.last_end else { return String::new() };
    let words =
        if task.last_end_text.is_empty() { end.reason.to_string() } else { task.last_end_text.clone() };
    let next = task.next_start_at.map_or_else(String::new, |at| format!("; starts again {}", until(now, at)));
    format!("{words}, {}{next}", ago(now, end.at))
}

/// The failure that a person looks for: the newest one of a job that is not well.
fn newest_failure(job: &JobStatus) -> Option<(&AllocView, &TaskView)> {
    let well = matches!(job.summary.health, Health::Healthy | Health::Complete | Health::Stopped);
    let tasks = job.allocs.iter().flat_map(|alloc| alloc.tasks.iter().map(move |task| (alloc, task)));
    // Agents send the output of what should not have ended so: also of a service that ended well.
    let told = |task: &TaskView| task.last_end.as_ref().filter(|end| !end.tail.is_empty()).map(|end| end.at);
    let failed = tasks.filter(|(_, task)| told(task).is_some());
    failed.filter(|_| !well).max_by_key(|(_, task)| told(task))
}
