//! Nodes that are kept for a group: for what has waited long, and where others give way to it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proto::ids::{JobKey, NodeId, Revision};
use proto::model::{Desired, Group};
use server::core::state::{Alloc, JobRecord, State};

use super::lack::Want;
use super::room::{Room, Rooms};
use super::rules::Rules;
use super::{lack_of, present};

const LONG: Duration = Duration::from_secs(30);

/// Whose turn it is, the least first: the higher priority, the older job, the group that is named first.
pub type Turn = (u8, Revision, String);

/// For whom a node is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeper {
    pub job: JobKey,
    pub group: String,
    turn: Turn,
    /// Others give way to it there.
    gives_way: bool,
}

/// Nodes that are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keepers(pub BTreeMap<NodeId, Keeper>);

pub fn turn(record: &JobRecord, group: &str) -> Turn {
    (u8::MAX - record.current().job.priority, record.created, group.to_owned())
}

impl Keepers {
    /// By the priorities that jobs have now.
    pub fn refreshed(&self, state: &State) -> Self {
        let mut now = self.clone();
        for keeper in now.0.values_mut() {
            if let Some(record) = state.jobs.get(&keeper.job) {
                keeper.turn = turn(record, &keeper.group);
            }
        }
        now
    }

    /// Keeps a node where others give way.
    pub fn keep(&mut self, node: NodeId, record: &JobRecord, group: &str) {
        self.0.insert(node, Keeper::of(record, group, true));
    }

    /// Returns whether a group may be placed on a node: for itself it is kept, or for one that comes after it, or for nobody.
    pub fn allow(&self, node: NodeId, record: &JobRecord, group: &str) -> bool {
        self.0.get(&node).is_none_or(|keeper| keeper.is(record, group) || turn(record, group) < keeper.turn)
    }

    /// Returns whether others give way on a node to another group.
    pub fn is_another_s(&self, node: NodeId, record: &JobRecord, group: &str) -> bool {
        self.0.get(&node).is_some_and(|keeper| keeper.gives_way && !keeper.is(record, group))
    }

    pub fn is_for(&self, node: NodeId, record: &JobRecord, group: &str) -> bool {
        self.0.get(&node).is_some_and(|keeper| keeper.is(record, group))
    }
}

impl Keeper {
    fn of(record: &JobRecord, group: &str, gives_way: bool) -> Self {
        let job = record.key.as_ref().clone();
        Self { job, group: group.to_owned(), turn: turn(record, group), gives_way }
    }

    fn is(&self, record: &JobRecord, group: &str) -> bool {
        self.job == *record.key && self.group == *group
    }
}

/// Decides anew for whom nodes are kept, where these jobs found no place for something when they were last looked at.
pub fn keep_room(state: &State, waiting: &BTreeSet<JobKey>, before: &Keepers) -> Keepers {
    // Where others give way: as long as it waits and something there is still to end.
    let is_ending = |node: NodeId| {
        let mut allocs = state.allocs.iter().map(|(_, alloc)| alloc);
        allocs.any(|alloc| alloc.counted && alloc.node == node && alloc.desired != Desired::Run)
    };
    let mut kept = before.clone();
    kept.0.retain(|node, keeper| keeper.gives_way && waiting.contains(&keeper.job) && is_ending(*node));
    // And for what waits long, in turn.
    let most = kept.0.len() + 1 + state.nodes.len() / 50;
    let mut groups: Vec<(Turn, &JobRecord, &String)> = Vec::new();
    for record in waiting.iter().filter_map(|key| state.jobs.get(key)).filter(|record| !record.stopped) {
        let names = record.current().job.groups.keys();
        groups.extend(
            names
                .filter(|name| waits_long(state, record, name))
                .map(|name| (turn(record, name), &**record, name)),
        );
    }
    groups.sort_by_key(|(turn, ..)| turn.clone());
    for (_, record, group) in groups {
        let wants = lack_of(state, record, group).wants;
        if kept.0.len() < most && !wants.is_empty() {
            let node = closest(state, record, group, &wants, &kept);
            kept.0.extend(node.map(|node| (node, Keeper::of(record, group, false))));
        }
    }
    kept
}

fn waits_long(state: &State, record: &JobRecord, group: &str) -> bool {
    let wait = record.group(group).and_then(|memory| memory.wait.as_ref());
    wait.is_some_and(|wait| wait.count > 0 && state.now.since(wait.since) >= LONG)
}

/// The node that lacks least of those that will have enough when all that ends of itself has ended.
fn closest(state: &State, record: &JobRecord, group: &str, wants: &[Want], kept: &Keepers) -> Option<NodeId> {
    let spec = &record.current().job.groups[group];
    let rules = Rules::of(state, record, group);
    let taken: Vec<NodeId> = present(state, record, group).map(|alloc| alloc.node).collect();
    let now = Rooms::of(state);
    let then = Rooms::without(state, |alloc| ends(state, alloc));
    let comes_into_question = |node: &NodeId| {
        wants.iter().any(|want| want.only.is_none_or(|only| only == *node))
            && !kept.0.contains_key(node)
            && !now.node(*node).has_enough(spec)
            && then.node(*node).fits(spec)
    };
    let nodes = rules.welcoming(state, &taken).into_iter().filter(comes_into_question);
    nodes.min_by_key(|node| (lack(now.node(*node), spec), *node))
}

/// Returns whether it ends of itself: it was told to, or its work has an end.
fn ends(state: &State, alloc: &Alloc) -> bool {
    let version = state.jobs.get(alloc.job.as_ref()).and_then(|record| record.version(alloc.version));
    let group = version.and_then(|version| version.job.groups.get(&*alloc.group));
    alloc.desired != Desired::Run || group.is_some_and(|group| group.kind.has_an_end())
}

/// What is lacking of what is asked, in thousandths of it: of CPU or of memory, whichever is more.
fn lack(room: &Room, spec: &Group) -> u64 {
    let asked = spec.resources();
    let lack =
        |asked: u64, (all, taken): (u64, u64)| (asked + taken).saturating_sub(all) * 1000 / asked.max(1);
    lack(asked.cpu_millis, room.cpu).max(lack(asked.memory_bytes, room.memory))
}
