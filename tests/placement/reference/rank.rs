//! Which of the nodes that take an allocation is best: what the job likes and how it is spread, by their weights; then the failure
//! domain with the fewest of the group, the node with the fewest, the one that is filled best, the lowest id.

use std::collections::{BTreeMap, BTreeSet};

use proto::expr::{Expr, Facts, Path};
use proto::ids::NodeId;
use proto::model::{Eligibility, Group, Liveness};
use server::core::state::{JobRecord, NodeRecord, State};

use super::lack::Want;
use super::room::{Room, Rooms};
use super::rules::{Rules, fact};

/// What a spread costs that has just its share, in the unit in which a weight is counted.
const WHOLE: i64 = 1000;

/// How bad a node is: the least is the best.
type Badness = (i64, usize, usize, u64, NodeId);

/// How a group ranks nodes.
pub struct Ranking {
    group: Group,
    affinities: Vec<(Expr, i64)>,
    spreads: Vec<Over>,
    /// It goes over failure domains, because it asks for no spread.
    by_domain: bool,
    /// Of cpu and of memory, see [`shares`].
    shares: (i128, i128),
}

/// A spread.
struct Over {
    path: Path,
    weight: i64,
    targets: BTreeMap<String, u8>,
    /// Values without a target that nodes have which could take the group: they share what the targets leave.
    others: BTreeSet<String>,
}

impl Ranking {
    /// `takers` are the nodes that take the first one.
    pub fn of(
        state: &State,
        record: &JobRecord,
        group: &str,
        rules: &Rules,
        rooms: &Rooms,
        takers: &[NodeId],
    ) -> Self {
        let shares = shares(state, rules, rooms);
        let group = record.current().job.groups[group].clone();
        let affinity =
            |one: &proto::model::Affinity| (Expr::parse(&one.when).unwrap(), i64::from(one.weight));
        let spread = |one: &proto::model::Spread| {
            let path: Path = one.over.parse().unwrap();
            let values = takers.iter().filter_map(|node| fact(state, *node, &path));
            let others = values.filter(|value| !one.targets.contains_key(value)).collect();
            Over { path, weight: i64::from(one.weight), targets: one.targets.clone(), others }
        };
        let some_node_names_one = state.nodes.iter().any(|(_, node)| node.identity.failure_domain.is_some());
        Self {
            affinities: group.placement.affinities.iter().map(affinity).collect(),
            spreads: group.placement.spread.iter().map(spread).collect(),
            by_domain: group.placement.spread.is_empty() && group.count > 1 && some_node_names_one,
            group,
            shares,
        }
    }

    /// Returns the node for one allocation: the one that it is for, the one where a person restarted it, else the best one, and the
    /// one where it failed only if there is no other.
    pub fn choose(
        &self,
        state: &State,
        want: &Want,
        takers: &[NodeId],
        taken: &[NodeId],
        rooms: &Rooms,
    ) -> Option<NodeId> {
        if let Some(only) = want.only {
            return takers.iter().copied().find(|node| *node == only);
        }
        if let Some(prefer) = want.prefer.filter(|node| takers.contains(node)) {
            return Some(prefer);
        }
        let others = takers.iter().copied().filter(|node| Some(*node) != want.avoid);
        let best = others.min_by_key(|node| self.badness(state, *node, taken, rooms));
        best.or_else(|| want.avoid.filter(|node| takers.contains(node)))
    }

    fn badness(&self, state: &State, node: NodeId, taken: &[NodeId], rooms: &Rooms) -> Badness {
        let facts = Facts::of(&state.nodes.get(&node).unwrap().identity);
        let liked: i64 = self.affinities.iter().filter(|one| one.0.holds(&facts)).map(|one| one.1).sum();
        let spread: i64 = self.spreads.iter().map(|over| self.cost(state, over, node, taken)).sum();
        let copies = taken.iter().filter(|other| **other == node).count();
        let domain = fact(state, node, &Path::failure_domain()).filter(|_| self.by_domain);
        // A node that names no domain is one of its own.
        let in_domain = domain.map_or(copies, |domain| {
            let is_there =
                |other: &&NodeId| fact(state, **other, &Path::failure_domain()).as_ref() == Some(&domain);
            taken.iter().filter(is_there).count()
        });
        (spread - WHOLE * liked, in_domain, copies, self.waste(node, rooms), node)
    }

    /// Its weight once a value has just its share of all that are wanted; less before, more beyond.
    fn cost(&self, state: &State, over: &Over, node: NodeId, taken: &[NodeId]) -> i64 {
        let named: i64 = over.targets.values().map(|percent| i64::from(*percent)).sum();
        // A value without a share costs as much as if it had a little one.
        let share_of_others = ((100 - named).max(1), 100 * over.others.len().max(1) as i64);
        let cost = |has: i64, (share, of): (i64, i64)| {
            over.weight * WHOLE * has * of / (share * i64::from(self.group.count.max(1)))
        };
        let Some(value) = fact(state, node, &over.path) else {
            // As good as a value that is full: with one, where that is more than its share.
            return 2 * cost(1, share_of_others).max(over.weight * WHOLE);
        };
        let has = taken.iter().filter(|other| fact(state, **other, &over.path).as_ref() == Some(&value));
        let has = has.count() as i64 + 1;
        cost(has, over.targets.get(&value).map_or(share_of_others, |percent| (i64::from(*percent), 100)))
    }

    /// What is left free of a node and 32 times what is stranded there, in thousandths: by how much cpu and memory are used out of
    /// proportion, beyond three quarters of what is free.
    fn waste(&self, node: NodeId, rooms: &Rooms) -> u64 {
        let (room, asked) = (rooms.node(node), self.group.resources());
        // Of fractions with one denominator: a over d and b over d; the shares are sixty-fourths.
        let d = i128::from(room.cpu.0) * i128::from(room.memory.0);
        let a = i128::from(room.cpu.1 + asked.cpu_millis) * i128::from(room.memory.0);
        let b = i128::from(room.memory.1 + asked.memory_bytes) * i128::from(room.cpu.0);
        let (cpu, memory) = self.shares;
        let imbalance = (a * memory - b * cpu).abs();
        let free = 64 * (2 * d - a - b);
        ((1000 * free + 1000 * (32 * imbalance - 24 * free).max(0)) / (64 * d)) as u64
    }
}

/// The shares in which cpu and memory are used by all nodes together on which the group may run: the greater is 64. What is used counts
/// 50 thousandths more.
fn shares(state: &State, rules: &Rules, rooms: &Rooms) -> (i128, i128) {
    let takes_work =
        |node: &NodeRecord| node.liveness == Liveness::Up && node.eligibility == Eligibility::Eligible;
    let nodes = state.nodes.iter().filter(|(_, node)| takes_work(node) && rules.allow_kind(&node.identity));
    let rooms: Vec<_> = nodes.map(|(id, _)| rooms.node(*id)).collect();
    let used = |of: &dyn Fn(&Room) -> (u64, u64)| {
        let used: u64 = rooms.iter().map(|room| of(room).1.min(of(room).0)).sum();
        let all: u64 = rooms.iter().map(|room| of(room).0).sum();
        50 + if all == 0 { 0 } else { i128::from(used) * 1000 / i128::from(all) }
    };
    let (cpu, memory) = (used(&|room| room.cpu), used(&|room| room.memory));
    let most = cpu.max(memory);
    let share = |of: i128| (2 * 64 * of + most) / (2 * most);
    (share(cpu), share(memory))
}
