//! What would become of everything if nodes were lost, as people and scripts read it.

use std::collections::{BTreeMap, BTreeSet};

use proto::ids::NodeId;
use proto::view::{GroupLossView, JobLoss, LossView, Move};

use super::alloc::node_name;
use super::next::short;
use crate::core::scheduler::{GroupLoss, Loss};
use crate::core::state::State;

/// Shows what would become of the jobs of namespaces that `sees` accepts; the others are counted.
#[must_use]
pub fn loss(state: &State, lost: &BTreeSet<NodeId>, told: &Loss, sees: impl Fn(&str) -> bool) -> LossView {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let jobs_with =
        |has: fn(&GroupLoss) -> bool| count(told.jobs.values().filter(|job| job.values().any(has)).count());
    let mut nodes: Vec<String> = lost.iter().map(|id| node_name(state, *id).into_owned()).collect();
    nodes.sort_unstable();
    let seen = told.jobs.iter().filter(|(key, _)| sees(&key.namespace));
    let jobs = seen.map(|(key, groups)| JobLoss {
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        groups: groups.iter().map(|(name, group)| (name.clone(), of_group(state, group))).collect(),
    });
    LossView {
        nodes,
        fits: told.without_place() == 0,
        moves: count(told.moves()),
        jobs_moved: jobs_with(|group| !group.moves.is_empty()),
        without_place: u32::try_from(told.without_place()).unwrap_or(u32::MAX),
        jobs_without_place: jobs_with(|group| group.without_place.is_some()),
        jobs: jobs.collect(),
        revision: state.revision,
    }
}

fn of_group(state: &State, group: &GroupLoss) -> GroupLossView {
    let mut counts: BTreeMap<(String, String), u32> = BTreeMap::new();
    for (_, from, to) in &group.moves {
        let names = (node_name(state, *from).into_owned(), node_name(state, *to).into_owned());
        *counts.entry(names).or_default() += 1;
    }
    let moves = counts.into_iter().map(|((from, to), count)| Move { from, to, count }).collect();
    GroupLossView { moves, waiting: group.without_place.clone().map(short) }
}
