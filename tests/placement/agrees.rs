//! The shipped scheduler finds what the plainest reading of its documentation finds: the same node for every slot, the same stops,
//! the same number of those that wait.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proto::ids::{JobKey, NodeId};
use proto::model::StopReason;
use server::core::scheduler::{Decision, Memory};

use crate::history::{History, cases, crowded_histories, histories, large_histories};
use crate::reference::{Keepers, Verdict, decide, keep_room};
use crate::world::World;

/// What a decision comes to, in the words of the reference. A wait that is as it was is not said again.
fn verdict_of(world: &World, decision: &Decision) -> Verdict {
    let placed = decision.placed.iter();
    let places = placed.map(|one| ((one.job.clone(), one.group.clone(), one.index), one.node)).collect();
    let is_preempted = |reason| reason == StopReason::Preempted;
    let stops = decision.plan.stops.iter();
    let stops = stops.filter(|stop| !is_preempted(stop.reason)).map(|stop| stop.alloc).collect();
    let preempted = decision.plan.stops.iter();
    let preempted = preempted.filter(|stop| is_preempted(stop.reason)).map(|stop| stop.alloc).collect();
    let mut waits = BTreeMap::new();
    for (key, record) in world.state.jobs.iter().filter(|(_, record)| !record.stopped) {
        for name in record.current().job.groups.keys() {
            let wait = record.group(name).and_then(|memory| memory.wait.as_ref());
            waits.insert((key.clone(), name.clone()), wait.map_or(0, |wait| wait.count));
        }
    }
    for wait in &decision.plan.waits {
        waits.insert((wait.job.clone(), wait.group.clone()), wait.count);
    }
    waits.retain(|_, count| *count > 0);
    Verdict { places, stops, preempted, waits, waiting: decision.waiting.clone() }
}

/// Nodes that are kept, and for which group.
type Kept = BTreeMap<NodeId, (JobKey, String)>;

fn kept_by_leader(memory: &Memory) -> Kept {
    memory.kept().map(|(node, job, group)| (node, (job.clone(), group.to_owned()))).collect()
}

fn kept_by_reference(keepers: &Keepers) -> Kept {
    keepers.0.iter().map(|(node, keeper)| (*node, (keeper.job.clone(), keeper.group.clone()))).collect()
}

fn is_as_the_reference_says(history: &History) -> Result<(), TestCaseError> {
    let mut keepers = Keepers::default();
    let mut waiting = BTreeSet::new();
    history.play(|before, decision, after| {
        if before.has_just_kept_room {
            keepers = keep_room(&before.state, &waiting, &keepers);
        }
        prop_assert_eq!(kept_by_leader(&before.memory), kept_by_reference(&keepers));
        let (expected, kept) = decide(&before.state, &before.in_turn(), &keepers);
        prop_assert_eq!(&verdict_of(before, decision), &expected);
        prop_assert_eq!(kept_by_leader(&after.memory), kept_by_reference(&kept));
        (keepers, waiting) = (kept, expected.waiting);
        Ok(())
    })
}

proptest! {
    #![proptest_config(cases(128))]

    #[test]
    fn decisions_are_those_of_the_reference(history in histories()) {
        is_as_the_reference_says(&history)?;
    }
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn decisions_are_those_of_the_reference_in_a_large_cluster_too(history in large_histories()) {
        is_as_the_reference_says(&history)?;
    }
}

proptest! {
    #![proptest_config(cases(160))]

    #[test]
    fn decisions_are_those_of_the_reference_where_room_is_scarce_too(history in crowded_histories()) {
        is_as_the_reference_says(&history)?;
    }
}
