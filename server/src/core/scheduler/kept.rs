//! Nodes whose room is kept for work that has waited long, so that smaller work does not take it piece by piece for ever.
//!
//! Room is kept only where it will come without anybody's doing: where enough of what runs has an end of its own or is told to end.
//! The node that lacks least is taken. While it is kept nothing else takes from it, so what is lacking there only shrinks; if another
//! node comes closer that one is kept instead. So what waits is placed once such work has ended.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use proto::ids::{JobKey, NodeId};
use proto::model::{Desired, Resources};
use proto::time::Timestamp;

use super::feasible::{Ask, Obstacle};
use super::memory::Memory;
use super::precedence::Precedence;
use super::reconcile::{GroupWork, reconcile};
use super::room::Room;
use crate::core::rules::fence::Fences;
use crate::core::state::{Alloc, JobRecord, Row, State};

/// For what has waited this long room is kept.
const PATIENCE: Duration = Duration::from_secs(30);
/// One node, and one more for so many: what is kept may stay idle for a while.
const NODES_PER_KEPT: usize = 50;
/// Jobs looked at in one go; others have their turn when these have found a place.
const JOBS_LOOKED_AT: usize = 100;

/// The nodes that are kept, and for which group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    nodes: BTreeMap<NodeId, Keeper>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Keeper {
    job: Arc<JobKey>,
    group: String,
    precedence: Precedence,
    /// Something was told to give way to it there.
    is_promised: bool,
}

impl Kept {
    pub(super) fn is_nothing(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Takes in what has become of the priorities of those for whom nodes are kept.
    pub(super) fn refresh(&mut self, state: &State) {
        for keeper in self.nodes.values_mut() {
            if let Some(record) = state.jobs.get(&*keeper.job) {
                keeper.precedence = Precedence::of(record);
            }
        }
    }

    /// Keeps a node where something gives way to who asks.
    pub(super) fn keep(&mut self, node: NodeId, ask: &Ask) {
        self.nodes.insert(node, Keeper::of(ask, true));
    }

    /// Returns whether a node is kept for who asks.
    pub(super) fn is_for(&self, node: NodeId, ask: &Ask) -> bool {
        self.nodes.get(&node).is_some_and(|keeper| keeper.is(ask))
    }

    /// Returns whether something gives way on a node to somebody else than who asks.
    pub(super) fn is_promised_to_another(&self, node: NodeId, ask: &Ask) -> bool {
        self.nodes.get(&node).is_some_and(|keeper| keeper.is_promised && !keeper.is(ask))
    }

    /// Takes over what was promised and is not yet kept: something there is still to end.
    fn promised(&self, state: &State, waiting: &BTreeSet<JobKey>) -> Self {
        let on_its_way = |node: &NodeId| {
            let node = state.nodes.get(node);
            let allocs =
                node.into_iter().flat_map(|node| &node.allocs).filter_map(|id| state.allocs.get(*id));
            allocs.into_iter().any(|alloc| alloc.counted && alloc.desired != Desired::Run)
        };
        let holds = |(node, keeper): &(&NodeId, &Keeper)| {
            keeper.is_promised && waiting.contains(&*keeper.job) && on_its_way(node)
        };
        let nodes = self.nodes.iter().filter(holds).map(|(node, keeper)| (*node, keeper.clone()));
        Self { nodes: nodes.collect() }
    }

    /// Returns for whom a node is kept, if that is not the one who asks and comes before it.
    pub(super) fn against(&self, node: NodeId, ask: &Ask) -> Option<&JobKey> {
        let keeper = self.nodes.get(&node)?;
        let comes_before = (ask.precedence, &ask.group) < (keeper.precedence, &keeper.group);
        (!keeper.is(ask) && !comes_before).then_some(&*keeper.job)
    }
}

impl Keeper {
    fn of(ask: &Ask, is_promised: bool) -> Self {
        Self { job: ask.job.clone(), group: ask.group.clone(), precedence: ask.precedence, is_promised }
    }

    fn is(&self, ask: &Ask) -> bool {
        self.job == ask.job && self.group == ask.group
    }
}

impl Memory {
    /// Returns whether the room of any node is kept.
    #[must_use]
    pub fn keeps_room(&self) -> bool {
        !self.kept.is_nothing()
    }

    /// Returns the nodes whose room is kept, and for which job and group.
    pub fn kept(&self) -> impl Iterator<Item = (NodeId, &JobKey, &str)> {
        self.kept.nodes.iter().map(|(node, keeper)| (*node, &*keeper.job, keeper.group.as_str()))
    }

    /// Decides anew for which of the jobs that wait room is kept. Returns the nodes that are not kept any more: whoever waits may
    /// take from them.
    ///
    /// Cost: for the first 100 jobs that have waited for 30 s one look at every node, and one at what runs on those that are large enough
    /// for any of them.
    pub fn keep_room(
        &mut self,
        state: &State,
        waiting: &BTreeSet<JobKey>,
        now: Timestamp,
    ) -> BTreeSet<NodeId> {
        let mut long: Vec<&Arc<JobRecord>> = waiting
            .iter()
            .filter_map(|key| state.jobs.get(key))
            .filter(|record| record.groups.values().any(|group| waits_long(group.wait.as_ref(), now)))
            .collect();
        long.sort_by_key(|record| Precedence::of(record));
        let most = 1 + state.nodes.len() / NODES_PER_KEPT;
        let mut kept = self.kept.promised(state, waiting);
        let mut coming = Coming::default();
        let most = most + kept.nodes.len();
        for record in long.into_iter().take(JOBS_LOOKED_AT) {
            for work in reconcile(state, record, now, &Fences::default(), &mut self.answers) {
                if kept.nodes.len() >= most {
                    break;
                }
                let wait = record.group(&work.group).and_then(|group| group.wait.as_ref());
                if work.place.is_empty() || !waits_long(wait, now) {
                    continue;
                }
                let Some(ask) = Ask::of(state, record, &work.group, &mut self.answers) else { continue };
                if let Some(node) = closest(state, &ask, &work, &kept, &mut coming) {
                    kept.nodes.insert(node, Keeper::of(&ask, false));
                }
            }
        }
        let before = std::mem::replace(&mut self.kept, kept);
        before.nodes.into_keys().filter(|node| !self.kept.nodes.contains_key(node)).collect()
    }
}

fn waits_long(wait: Option<&crate::core::state::Wait>, now: Timestamp) -> bool {
    wait.is_some_and(|wait| wait.count > 0 && now.since(wait.since) >= PATIENCE)
}

/// Returns the node that lacks least of what will have enough.
fn closest(state: &State, ask: &Ask, work: &GroupWork, kept: &Kept, coming: &mut Coming) -> Option<NodeId> {
    let only: BTreeSet<NodeId> = work.place.iter().filter_map(|want| want.only).collect();
    let need = Resources { cpu_millis: ask.need.cpu_millis, memory_bytes: ask.need.memory_bytes };
    let room = Room::of(state);
    // What no node is large enough for must cost next to nothing: it may wait for ever.
    let is_large =
        |row: &Row| row.cpu_millis.all >= need.cpu_millis && row.memory_bytes.all >= need.memory_bytes;
    let large = room.fleet.all().filter(|(_, row)| row.open && is_large(row));
    let meant = large.filter(|(_, row)| only.is_empty() || only.contains(&row.node));
    let open = meant.filter(|(_, row)| !kept.nodes.contains_key(&row.node));
    let lacking = open.filter(|(seat, row)| {
        matches!(ask.obstacle(state, *seat, row, &room), Some(Obstacle::Cpu | Obstacle::Memory))
    });
    let enough = lacking.filter(|(_, row)| {
        need.fits(coming.on(state, row.node))
            && ask.ports_come_free(state, row.node, &room, |alloc| ends(state, alloc))
    });
    enough.map(|(_, row)| (lack(&row, ask), row.node)).min().map(|(_, node)| node)
}

/// What nodes have when all that ends of itself has ended; of each it is worked out once.
#[derive(Default)]
struct Coming {
    known: BTreeMap<NodeId, Resources>,
}

impl Coming {
    fn on(&mut self, state: &State, id: NodeId) -> Resources {
        *self.known.entry(id).or_insert_with(|| {
            let Some(node) = state.nodes.get(&id) else { return Resources::default() };
            let allocs = node.allocs.iter().filter_map(|id| state.allocs.get(*id));
            let ending = allocs.filter(|alloc| alloc.counted && ends(state, alloc));
            ending.fold(node.free(), |sum, alloc| sum.plus(alloc.resources))
        })
    }
}

fn ends(state: &State, alloc: &Alloc) -> bool {
    let version = || state.jobs.get(alloc.job.as_ref())?.version(alloc.version);
    let group = || version()?.job.groups.get(&*alloc.group);
    alloc.desired != Desired::Run || group().is_some_and(|group| group.kind.has_an_end())
}

/// How much of what is asked a node lacks, in thousandths of it.
fn lack(row: &Row, ask: &Ask) -> u64 {
    let permille = |free: u64, asked: u64| asked.saturating_sub(free) * 1000 / asked.max(1);
    let cpu = permille(row.cpu_millis.free, ask.need.cpu_millis);
    cpu.max(permille(row.memory_bytes.free, ask.need.memory_bytes))
}
