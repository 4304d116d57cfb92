//! What holds of whose turn it is: of room that is kept, and of what gives way to others.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use proto::ids::{JobKey, NodeId};
use proto::model::{Desired, StopReason};
use server::core::scheduler::{Decision, Memory};
use server::core::state::{Alloc, State};

use crate::history::{cases, crowded_histories};
use crate::reference::{self, Keepers};
use crate::world::World;

/// Who gives way has a priority that is lower by this.
const LOWER_BY: u8 = 10;

/// What a decision tells to give way.
fn giving_way<'s>(before: &'s World, decision: &Decision) -> Vec<&'s Alloc> {
    let stops = decision.plan.stops.iter().filter(|stop| stop.reason == StopReason::Preempted);
    stops.map(|stop| before.state.allocs.get(stop.alloc).unwrap()).collect()
}

/// For which group each node is kept.
fn kept(memory: &Memory) -> BTreeMap<NodeId, (JobKey, String)> {
    memory.kept().map(|(node, job, group)| (node, (job.clone(), group.to_owned()))).collect()
}

fn priority(state: &State, job: &JobKey) -> u8 {
    state.jobs.get(job).unwrap().current().job.priority
}

/// What is free of a node when all has ended that was told to.
fn free_soon(state: &State, node: NodeId) -> (u64, u64) {
    let record = state.nodes.get(&node).unwrap();
    let stays = state.allocs.iter().map(|(_, alloc)| alloc);
    let stays = stays.filter(|alloc| alloc.node == node && alloc.counted && alloc.desired == Desired::Run);
    let used = stays.map(|alloc| alloc.resources).chain(record.foreign.values().copied());
    let all = record.identity.capacity;
    used.fold((all.cpu_millis, all.memory_bytes), |free, one| {
        (free.0 - one.cpu_millis, free.1 - one.memory_bytes)
    })
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn nothing_gives_way_while_the_setting_is_off(history in crowded_histories()) {
        history.play(|before, decision, _| {
            let is_allowed = before.state.settings.preemption;
            prop_assert!(is_allowed || giving_way(before, decision).is_empty());
            Ok(())
        })?;
    }

    #[test]
    fn what_gives_way_is_less_important_than_who_finds_its_node_kept(history in crowded_histories()) {
        history.play(|before, decision, after| {
            let kept = kept(&after.memory);
            for alloc in giving_way(before, decision) {
                let (job, _) = &kept[&alloc.node];
                let (lower, higher) = (priority(&before.state, &alloc.job), priority(&before.state, job));
                prop_assert!(lower + LOWER_BY <= higher, "{} gives way to {}", alloc.name(), job);
            }
            Ok(())
        })?;
    }

    #[test]
    fn what_gives_way_is_needed_each_of_them_and_is_enough(history in crowded_histories()) {
        history.play(|before, decision, after| {
            let kept = kept(&after.memory);
            for alloc in giving_way(before, decision) {
                let (job, group) = &kept[&alloc.node];
                let asked = after.state.jobs.get(job).unwrap().current().job.groups[group].resources();
                let free = free_soon(&after.state, alloc.node);
                prop_assert!(asked.cpu_millis <= free.0 && asked.memory_bytes <= free.1, "not enough");
                let without = (free.0 - alloc.resources.cpu_millis, free.1 - alloc.resources.memory_bytes);
                let is_needed = asked.cpu_millis > without.0 || asked.memory_bytes > without.1;
                prop_assert!(is_needed, "{} could stay", alloc.name());
            }
            Ok(())
        })?;
    }

    #[test]
    fn nothing_gives_way_to_what_fits_anyway(history in crowded_histories()) {
        history.play(|before, decision, after| {
            let kept = kept(&after.memory);
            for alloc in giving_way(before, decision) {
                let (job, group) = &kept[&alloc.node];
                let record = after.state.jobs.get(job).unwrap();
                let kind = record.current().job.groups[group].kind;
                let takers = reference::takers(&after.state, record, group, &Keepers::default());
                let open = takers.iter().any(|taker| match kind.is_per_node() {
                    true => *taker == alloc.node,
                    false => kept.get(taker).is_none_or(|keeper| *keeper == (job.clone(), group.clone())),
                });
                prop_assert!(!open, "{} gives way to {}", alloc.name(), job);
            }
            Ok(())
        })?;
    }

    #[test]
    fn nodes_where_something_gives_way_are_no_more_than_have_no_place(history in crowded_histories()) {
        history.play(|before, decision, after| {
            let kept = kept(&after.memory);
            let mut nodes: BTreeMap<&(JobKey, String), BTreeSet<NodeId>> = BTreeMap::new();
            for alloc in giving_way(before, decision) {
                nodes.entry(&kept[&alloc.node]).or_default().insert(alloc.node);
            }
            for ((job, group), nodes) in nodes {
                let memory = after.state.jobs.get(job).unwrap().group(group).unwrap();
                let lost = memory.wait.as_ref().map_or(0, |wait| wait.count as usize);
                prop_assert!(nodes.len() <= lost, "{}.{}: {:?} for {}", job, group, nodes, lost);
            }
            Ok(())
        })?;
    }

    #[test]
    fn kept_room_is_given_to_nobody_who_comes_after_whom_it_is_kept_for(history in crowded_histories()) {
        history.play(|before, decision, _| {
            let kept = kept(&before.memory);
            for placed in &decision.placed {
                let Some((job, group)) = kept.get(&placed.node) else { continue };
                let turn = |job: &JobKey, group: &String| {
                    let record = before.state.jobs.get(job)?;
                    Some((u8::MAX - record.current().job.priority, record.created, group.clone()))
                };
                // Of a job that has become less important meanwhile the old turn counts until it is decided anew.
                let is_as_it_was = before.has_just_kept_room;
                let comes_first = turn(&placed.job, &placed.group) <= turn(job, group);
                prop_assert!(comes_first || !is_as_it_was, "{} though it is kept for {}.{}", placed, job, group);
            }
            Ok(())
        })?;
    }

    #[test]
    fn deciding_again_for_whom_room_is_kept_changes_nothing(history in crowded_histories()) {
        history.play(|before, _, _| {
            if before.has_just_kept_room {
                let mut again = before.memory.clone();
                let released = again.keep_room(&before.state, &before.waiting, before.state.now);
                prop_assert_eq!((kept(&again), released.len()), (kept(&before.memory), 0));
            }
            Ok(())
        })?;
    }

    #[test]
    fn deciding_again_right_after_makes_nothing_more_give_way(history in crowded_histories()) {
        history.play(|_, _, after| {
            let again = after.decide();
            // A rollout once per node may go on: only now is it known which nodes have no room.
            let gives_way = again.plan.stops.iter().any(|stop| stop.reason == StopReason::Preempted);
            prop_assert!(!gives_way && again.plan.items.is_empty(), "{:?}", again.plan);
            Ok(())
        })?;
    }

    #[test]
    fn work_that_gives_way_comes_to_rest(history in crowded_histories()) {
        let mut world = history.played();
        world.allow_preemption(true);
        world.settle_healthy();
    }
}

#[test]
fn random_histories_keep_room_and_make_others_give_way() {
    let mut runner = TestRunner::deterministic();
    let (mut keeps, mut gives_way, mut for_two) = (0, 0, 0);
    for _ in 0..130 {
        let history = crowded_histories().new_tree(&mut runner).unwrap().current();
        let play = history.play(|before, decision, after| {
            keeps += usize::from(before.has_just_kept_room && before.memory.keeps_room());
            gives_way += usize::from(!giving_way(before, decision).is_empty());
            for_two += usize::from(kept(&after.memory).len() > 1);
            Ok(())
        });
        play.unwrap();
    }
    assert!(keeps > 40 && gives_way > 40 && for_two > 40, "{keeps} {gives_way} {for_two}");
}
