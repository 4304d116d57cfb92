//! Versions of a job as people and scripts read them.

use proto::ids::{JobVersion, NodeId};
use proto::jobfile::explain;
use proto::view::{Candidate, Change, Choice, Export, GroupPlan, History, Plan, VersionView};

use super::alloc::node_name;
use super::next::short;
use super::words::behind;
use crate::core::job_diff::{Difference, differences};
use crate::core::scheduler::{Forecast, GroupForecast, Placed, Scored};
use crate::core::state::{JobRecord, State, VersionRecord};
use crate::limits::{CHANGES_IN_HISTORY, CHANGES_IN_PLAN, VALUE_CHARS};

/// Shows the versions of a job that are kept, the newest first.
#[must_use]
pub fn history(state: &State, record: &JobRecord) -> History {
    let befores = std::iter::once(None).chain(record.versions.iter().map(Some));
    let shown =
        |(version, before): (&std::sync::Arc<VersionRecord>, Option<&std::sync::Arc<VersionRecord>>)| {
            let changes = before.map_or(Vec::new(), |before| differences(&before.job, &version.job));
            VersionView {
                version: version.version,
                current: version.version == record.current().version,
                at: version.at,
                actor: version.actor.clone(),
                message: version.message.clone(),
                changes: changes.iter().take(CHANGES_IN_HISTORY).map(|change| change.key.clone()).collect(),
                changes_left_out: left_out(&changes, CHANGES_IN_HISTORY),
            }
        };
    let mut items: Vec<VersionView> = record.versions.iter().zip(befores).map(shown).collect();
    items.reverse();
    History { items, next: None, revision: state.revision, warnings: Vec::new() }
}

/// Shows one version as a job file.
#[must_use]
pub fn export(record: &JobRecord, version: &VersionRecord) -> Export {
    Export {
        namespace: record.key.namespace.clone(),
        name: record.key.name.clone(),
        version: version.version,
        job_file: explain(&version.job),
    }
}

/// Shows what submitting a job would change.
#[must_use]
pub fn plan(state: &State, job: &proto::model::Job, forecast: &Forecast) -> Plan {
    let record = state.jobs.get(&job.key);
    let changes = record.map_or(Vec::new(), |record| differences(&record.current().job, job));
    let group = |(name, group): (&String, &GroupForecast)| (name.clone(), group_plan(state, group));
    Plan {
        namespace: job.key.namespace.clone(),
        name: job.key.name.clone(),
        present: record.map(|record| record.current().version),
        version: forecast.version,
        changed: forecast.changed,
        starts: record.is_some_and(|record| record.stopped),
        changes: changes.iter().take(CHANGES_IN_PLAN).map(change).collect(),
        changes_left_out: left_out(&changes, CHANGES_IN_PLAN),
        groups: forecast.groups.iter().map(group).collect(),
        preempted: forecast.preempted.iter().map(|(key, count)| (key.to_string(), *count)).collect(),
        revision: state.revision,
    }
}

fn group_plan(state: &State, group: &GroupForecast) -> GroupPlan {
    let place = |(node, count): (&NodeId, &u32)| (node_name(state, *node).into_owned(), *count);
    GroupPlan {
        wanted: group.wanted,
        unchanged: group.unchanged,
        in_place: group.in_place,
        replaced: group.replaced,
        stopped: group.stopped,
        placed: group.placed.iter().map(place).collect(),
        waiting: group.waiting.clone().map(short),
        choices: group.choices.iter().map(|one| choice(state, one)).collect(),
    }
}

fn choice(state: &State, placed: &Placed) -> Choice {
    let candidate = |one: &Scored| Candidate {
        node: node_name(state, one.node).into_owned(),
        liking: one.liking,
        spread_cost: one.spread_cost,
        in_domain: one.in_domain,
        copies: one.copies,
        cpu_percent: one.cpu_permille / 10,
        memory_percent: one.memory_permille / 10,
        behind: one.behind.map(behind).unwrap_or_default().to_owned(),
    };
    Choice {
        name: format!("{}.{}.{}", placed.job.name, placed.group, placed.index),
        feasible: u32::try_from(placed.feasible).unwrap_or(u32::MAX),
        candidates: placed.scores.iter().map(candidate).collect(),
    }
}

fn change(difference: &Difference) -> Change {
    let short = |value: &Option<String>| {
        value.as_ref().map(|value| {
            let mut chars = value.chars();
            let mut shown: String = chars.by_ref().take(VALUE_CHARS).collect();
            if chars.next().is_some() {
                shown.push('…');
            }
            shown
        })
    };
    Change { key: difference.key.clone(), before: short(&difference.before), after: short(&difference.after) }
}

fn left_out(changes: &[Difference], most: usize) -> u32 {
    u32::try_from(changes.len().saturating_sub(most)).unwrap_or(u32::MAX)
}

/// Lists versions for a message: `1, 2, 3`.
#[must_use]
pub fn kept(record: &JobRecord) -> String {
    let numbers: Vec<String> = record.versions.iter().map(|kept| kept.version.to_string()).collect();
    numbers.join(", ")
}

/// Returns the version asked for, or the present one.
#[must_use]
pub fn version_of(record: &JobRecord, asked: Option<JobVersion>) -> Option<&VersionRecord> {
    match asked {
        Some(version) => record.version(version).map(AsRef::as_ref),
        None => Some(record.current().as_ref()),
    }
}
