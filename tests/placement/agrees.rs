//! The shipped scheduler finds what the plainest reading of its documentation finds: the same node for every slot, the same stops,
//! the same number of those that wait.

use std::collections::BTreeMap;

use proptest::prelude::*;
use server::core::scheduler::Decision;

use crate::history::{History, cases, histories, large_histories};
use crate::reference::{Verdict, decide};
use crate::world::World;

/// What a decision comes to, in the words of the reference. A wait that is as it was is not said again.
fn verdict_of(world: &World, decision: &Decision) -> Verdict {
    let placed = decision.placed.iter();
    let places = placed.map(|one| ((one.job.clone(), one.group.clone(), one.index), one.node)).collect();
    let stops = decision.plan.stops.iter().map(|stop| stop.alloc).collect();
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
    Verdict { places, stops, waits }
}

fn is_as_the_reference_says(history: &History) -> Result<(), TestCaseError> {
    history.play(|before, decision, _| {
        let expected = decide(&before.state, &before.in_turn());
        prop_assert_eq!(verdict_of(before, decision), expected);
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
    #![proptest_config(cases(32))]

    #[test]
    fn decisions_are_those_of_the_reference_in_a_large_cluster_too(history in large_histories()) {
        is_as_the_reference_says(&history)?;
    }
}
