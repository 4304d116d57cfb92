//! One allocation: where it is, its tasks, their last ends and output.

use std::time::Duration;

use proto::time::Timestamp;
use proto::view::{AllocView, TaskView};

use super::job::{last_end, phase_tone, ports, state, try_of};
use super::show_tail;
use crate::exit::Failure;
use crate::follow::failed_end;
use crate::limits;
use crate::output::{Cell, Out, Table, Tone, ago, last_lines, relative, size, span};

/// Shows an allocation.
pub(in crate::commands) fn show(out: &mut Out, alloc: &AllocView, now: Timestamp) -> Result<(), Failure> {
    let state = state(alloc, None).painted(out.paint);
    out.line(&format!("{}  {state}", out.paint.text(Tone::Strong, &alloc.name)))?;
    for (key, value) in facts(alloc, now) {
        out.line(&format!("{}{value}", out.paint.text(Tone::Dim, &format!("{key:<10}"))))?;
    }
    out.line("")?;
    show_tasks(out, &alloc.tasks, now)?;
    show_usage(out, &alloc.tasks)?;
    for task in &alloc.tasks {
        if let Some(end) = failed_end(task) {
            let heading = format!("last output of {} ({}, {}):", task.name, end.reason, ago(now, end.at));
            show_tail(out, &heading, &last_lines(&end.tail, limits::TAIL_OF_FAILURE))?;
        }
    }
    Ok(())
}

fn facts(alloc: &AllocView, now: Timestamp) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("id", alloc.id.to_string()),
        ("job", format!("{}, version {}", alloc.job, alloc.version)),
        ("node", format!("{} ({}){}", alloc.node_name, alloc.node, if alloc.lost { ", lost" } else { "" })),
        ("placed", ago(now, alloc.created_at)),
    ];
    if let Some(ended) = alloc.ended_at {
        facts.push(("ended", ago(now, ended)));
    }
    if alloc.desired != "run" {
        let why = if alloc.stop_reason.is_empty() { "" } else { ": " };
        facts.push(("wanted", format!("{}{why}{}", alloc.desired, alloc.stop_reason.replace('_', " "))));
    }
    if !alloc.ports.is_empty() {
        facts.push(("ports", ports(alloc)));
    }
    if let Some(before) = alloc.replaces {
        facts.push(("replaces", before.to_string()));
    }
    if !alloc.next.is_empty() {
        facts.push(("next", relative(&alloc.next, now)));
    }
    facts
}

fn show_tasks(out: &mut Out, tasks: &[TaskView], now: Timestamp) -> Result<(), Failure> {
    let mut table = Table::new(out, &["TASK", "PHASE", "TRY", "STARTS", "PID", "SINCE", "LAST END"]);
    for task in tasks {
        table.row(vec![
            task.name.as_str().into(),
            Cell::toned(phase_tone(&task.phase), &task.phase),
            try_of(task).into(),
            task.attempt.to_string().into(),
            task.pid.map_or_else(String::new, |pid| pid.to_string()).into(),
            task.started_at.map_or_else(String::new, |at| ago(now, at)).into(),
            last_end(task, now).into(),
        ]);
    }
    out.line(&table.render())
}

/// Shows what the processes use, where their agent was there to tell.
fn show_usage(out: &mut Out, tasks: &[TaskView]) -> Result<(), Failure> {
    let amount = |bytes: Option<u64>| bytes.map_or_else(String::new, size);
    let row = |task: &TaskView| {
        let usage = task.usage.as_ref()?;
        let cpu = usage.cpu_ms.map_or_else(String::new, |ms| span(Duration::from_millis(ms)));
        let memory = [amount(usage.memory_bytes), amount(usage.memory_peak_bytes)];
        let cells = [task.name.clone()].into_iter().chain(memory).chain([cpu, usage.processes.to_string()]);
        Some(cells.map(Cell::from).collect())
    };
    let rows: Vec<Vec<Cell>> = tasks.iter().filter_map(row).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(out, &["TASK", "MEMORY", "AT MOST", "CPU TIME", "PROCESSES"]);
    rows.into_iter().for_each(|row| table.row(row));
    out.line("")?;
    out.line(&table.render())
}
