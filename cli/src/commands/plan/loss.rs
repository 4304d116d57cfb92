//! `minijob plan --lose`: whether everything would still fit without some nodes.

use proto::ids::JobKey;
use proto::model::Job;
use proto::view::{GroupLossView, JobLoss, LossView, Move};
use proto::wire::v1;

use crate::args::Global;
use crate::connect::{Client, Servers};
use crate::exit::{Exit, Failure};
use crate::output::{Out, Tone, count};
use crate::read::understood;
use crate::runtime;

/// Asks and shows. The answer is in the exit code, too: it is the question itself, not a detail of it.
pub(super) fn main(
    nodes: &[String],
    domains: &[String],
    jobs: &[Job],
    global: &Global,
) -> Result<Exit, Failure> {
    let request = v1::PlanLossRequest {
        nodes: nodes.to_vec(),
        failure_domains: domains.to_vec(),
        jobs: jobs.iter().map(proto::wire::job::to_wire).collect(),
    };
    let call = |mut client: Client| {
        let request = request.clone();
        async move { client.plan_loss(request).await }
    };
    let mut out = Out::new(global);
    let document = runtime::small(async { Ok(Servers::new(global)?.ask(call).await?) })?;
    let told = understood::<LossView>(document)?;
    if out.json { out.passed_on(&told.raw) } else { show(&mut out, &told.view) }?;
    Ok(if told.view.fits { Exit::DONE } else { Exit::FAILED })
}

fn show(out: &mut Out, loss: &LossView) -> Result<(), Failure> {
    out.toned(Tone::Strong, &format!("without {}:", loss.nodes.join(", ")))?;
    for job in &loss.jobs {
        for (name, group) in &job.groups {
            show_group(out, &who(job, name), group)?;
        }
    }
    let (tone, text) = conclusion(loss);
    out.toned(tone, &text)
}

fn show_group(out: &mut Out, who: &str, group: &GroupLossView) -> Result<(), Failure> {
    if !group.moves.is_empty() {
        let total: u32 = group.moves.iter().map(|one| one.count).sum();
        let each = |Move { from, to, count }: &Move| format!("{from} to {to} ({count})");
        let moves: Vec<String> = group.moves.iter().map(each).collect();
        out.line(&format!("{who}: {total} would move: {}", moves.join(", ")))?;
    }
    let Some(waiting) = &group.waiting else { return Ok(()) };
    out.toned(Tone::Warn, &format!("{who}: {} would have no place: {}", waiting.count, waiting.told()))
}

fn who(job: &JobLoss, group: &str) -> String {
    let key = JobKey::new(&job.namespace, &job.name);
    if job.name == group { key.to_string() } else { format!("{key}.{group}") }
}

fn conclusion(loss: &LossView) -> (Tone, String) {
    let of = |allocs: u32, jobs: u32| {
        format!("{} of {}", count(allocs as usize, "allocation"), count(jobs as usize, "job"))
    };
    let moves = match loss.moves {
        0 => "nothing would move".to_owned(),
        allocs => format!("{} would move", of(allocs, loss.jobs_moved)),
    };
    if loss.fits {
        return (Tone::Good, format!("everything fits: {moves}"));
    }
    let waits = of(loss.without_place, loss.jobs_without_place);
    (Tone::Bad, format!("{waits} would have no place, {moves}"))
}
