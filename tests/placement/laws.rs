//! What holds of every decision, through many rounds of whatever may happen.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proto::expr::{Facts, Path};
use proto::ids::NodeId;
use proto::model::{Desired, Spread};
use server::core::scheduler::schedule;
use server::core::state::{Alloc, JobRecord, Outcome, State, read_snapshot, write_snapshot};

use crate::history::{any_histories, cases, histories};
use crate::plots::{NodePlot, jobs, key, nodes};
use crate::reference::{self, Keepers};
use crate::world::World;

/// What the nodes of a world have for a job, beside the room.
fn fact(state: &State, node: NodeId, path: &str) -> Option<String> {
    let path: Path = path.parse().unwrap();
    Facts::of(&state.nodes.get(&node)?.identity).value(&path)
}

/// Nodes that would take one more of a group, and are not kept for another.
fn open_to(world: &World, record: &JobRecord, group: &str) -> Vec<NodeId> {
    let mut takers = reference::takers(&world.state, record, group, &Keepers::default());
    for (node, job, other) in world.memory.kept() {
        takers.retain(|taker| *taker != node || (job, other) == (&*record.key, group));
    }
    takers
}

/// The allocations that fill the slots of each group, in its present work.
fn filled(state: &State) -> BTreeMap<(String, String), Vec<&Alloc>> {
    let mut filled: BTreeMap<_, Vec<&Alloc>> = BTreeMap::new();
    for (_, alloc) in state.allocs.iter().filter(|(_, alloc)| !alloc.has_ended() && !alloc.lost) {
        filled.entry((alloc.job.name.clone(), alloc.group.to_string())).or_default().push(alloc);
    }
    filled
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn no_node_is_ever_given_more_than_it_has_and_no_plan_on_the_present_state_is_refused(history in any_histories()) {
        history.play(|before, decision, after| {
            prop_assert_eq!(after.state.check(), vec![]);
            let outcome = before.clone().plan(decision.plan.clone());
            prop_assert_eq!(outcome, Outcome::Planned { refused: vec![] });
            Ok(())
        })?;
    }

    #[test]
    fn the_same_state_is_decided_in_the_same_way_also_when_it_was_read_from_a_snapshot(history in any_histories()) {
        history.play(|before, decision, _| {
            prop_assert_eq!(decision, &before.decide());
            let mut bytes = Vec::new();
            write_snapshot(&before.state, &mut bytes).unwrap();
            let restored = read_snapshot(&mut bytes.as_slice()).unwrap();
            // A server that starts from a snapshot leads anew, if it leads.
            let anew = |state: &State| schedule(state, &before.in_turn(), before.state.now);
            prop_assert_eq!(anew(&restored), anew(&before.state));
            Ok(())
        })?;
    }

    #[test]
    fn deciding_again_right_after_changes_nothing(history in histories()) {
        history.play(|_, _, after| {
            let again = after.decide().plan;
            // A wait may be said in other words, because who holds a port has changed; no work is moved.
            prop_assert_eq!((again.items, again.stops, again.updates), Default::default());
            Ok(())
        })?;
    }

    #[test]
    fn what_must_be_distinct_is(history in histories()) {
        history.play(|_, decision, after| {
            for placed in &decision.placed {
                let record = after.state.jobs.get(&placed.job).unwrap();
                let Some(path) = &record.current().job.groups[&placed.group].placement.distinct else { continue };
                let value = fact(&after.state, placed.node, path);
                prop_assert!(value.is_some(), "{} is on a node without {}", placed, path);
                let all = filled(&after.state);
                let group = &all[&(placed.job.name.clone(), placed.group.clone())];
                let others = group.iter().filter(|other| other.index != placed.index);
                for other in others {
                    prop_assert!(fact(&after.state, other.node, path) != value, "{} beside {}", placed, other.name());
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn what_runs_once_per_node_is_on_every_node_that_can_take_it_and_nowhere_twice(history in histories()) {
        history.play(|_, _, after| {
            for (key, record) in after.state.jobs.iter().filter(|(_, record)| !record.stopped) {
                for (name, _) in record.current().job.groups.iter().filter(|(_, group)| group.kind.is_per_node()) {
                    let all = filled(&after.state);
                    let here = all.get(&(key.name.clone(), name.clone())).cloned().unwrap_or_default();
                    // One that was told to end may still be there, where a group had a count before.
                    let active: Vec<NodeId> =
                        here.iter().filter(|alloc| alloc.desired == Desired::Run).map(|alloc| alloc.node).collect();
                    let nodes: BTreeSet<NodeId> = active.iter().copied().collect();
                    prop_assert_eq!(nodes.len(), active.len(), "{}.{} is twice on a node", key, name);
                    let Some(memory) = record.group(name) else { continue };
                    let is_held = memory.wait.as_ref().is_some_and(|wait| wait.why.starts_with("waits for"));
                    for node in open_to(after, record, name) {
                        let slot = memory.node_slots.slot_of(node);
                        let has_ended = slot.is_some_and(|slot| {
                            memory.done.contains(&slot) || memory.failed.contains_key(&slot)
                        });
                        let is_here = here.iter().any(|alloc| alloc.node == node);
                        prop_assert!(is_here || has_ended || is_held, "{}.{} is not on {}", key, name, node);
                    }
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn nothing_waits_that_some_node_would_take(history in any_histories()) {
        history.play(|_, decision, after| {
            for wait in decision.plan.waits.iter().filter(|wait| wait.count > 0 && !wait.why.starts_with("waits for")) {
                let record = after.state.jobs.get(&wait.job).unwrap();
                if !record.current().job.groups[&wait.group].kind.is_per_node() {
                    prop_assert_eq!(open_to(after, record, &wait.group), vec![], "{:?}", wait);
                }
            }
            Ok(())
        })?;
    }

    #[test]
    fn values_with_equal_shares_differ_by_one_at_most(nodes in nodes(1..13), job in jobs(), count in 1u32..30) {
        let world = spread_over_racks(&nodes, &job, count);
        let mut held: BTreeMap<String, u32> = BTreeMap::new();
        for number in 0..nodes.len() as u64 {
            let value = fact(&world.state, crate::plots::node_id(number), "meta.rack");
            held.extend(value.map(|value| (value, 0)));
        }
        let is_everywhere_one = held.is_empty();
        for alloc in world.live() {
            if let Some(value) = fact(&world.state, alloc.node, "meta.rack") {
                *held.get_mut(&value).unwrap() += 1;
            } else {
                prop_assert!(is_everywhere_one, "{} is where there is no rack", alloc.name());
            }
        }
        prop_assert_eq!(world.live().len(), count as usize);
        let (least, most) = (held.values().min().copied(), held.values().max().copied());
        prop_assert!(most <= least.map(|least| least + 1), "{:?}", held);
    }
}

/// A world in which a group was placed at once that is spread over racks and fits anywhere.
fn spread_over_racks(nodes: &[NodePlot], job: &crate::plots::JobPlot, count: u32) -> World {
    let mut world = World::new();
    for (number, node) in nodes.iter().enumerate() {
        let mut identity = node.identity(number as u64);
        identity.capacity.cpu_millis = 64_000;
        identity.capacity.memory_bytes = 64 << 30;
        world.register(identity, vec![]);
    }
    let mut job = job.job(0);
    job.kind = proto::model::JobType::Service;
    let mut group = job.groups.remove("a").unwrap();
    (group.kind, group.count) = (job.kind, count);
    group.ports.clear();
    group.depends_on.clear();
    let spread = Spread { over: "meta.rack".into(), weight: 50, targets: BTreeMap::new() };
    group.placement = proto::model::Placement { spread: vec![spread], ..Default::default() };
    job.groups = BTreeMap::from([("a".to_owned(), group)]);
    job.key = key(0);
    world.put(job);
    let plan = world.decide().plan;
    world.plan(plan);
    world
}
