//! What to do so that what runs becomes what the files ask for.
//!
//! Level-triggered: the same facts give the same steps, and once they are done none are left. What stays as it is described is
//! never touched, whatever else changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proto::ids::AllocId;
use proto::model::Group;

use super::slots::Slot;
use crate::core::spec::Spec;

/// An allocation that is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What it runs.
    pub spec: Arc<Spec>,
    /// Whether it has ended.
    pub has_ended: bool,
    /// Whether it was told to end, or ended in an earlier life of the supervisor: its end says nothing about the work.
    pub is_dismissed: bool,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Begin an allocation for the slot.
    Start(Slot),
    /// Give this one the new description of its slot; its tasks run on.
    Update(AllocId, Slot),
    /// Tell it to end.
    Stop(AllocId),
    /// Forget it: it has ended, and nobody needs to know how.
    Release(AllocId),
}

/// Returns what to do, stops first.
///
/// What was described differently is stopped, and started anew when nothing of it is left: two of one slot never run at once.
/// Where only restart, reschedule and logs differ it runs on. What ended by itself stays ended until its description changes.
#[must_use]
pub fn steps(wanted: &BTreeMap<Slot, Spec>, held: &BTreeMap<AllocId, Held>) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut filled = BTreeSet::new();
    for (id, held) in held {
        let slot = Slot::of(&held.spec);
        let work = wanted.get(&slot);
        let is_same = work.is_some_and(|work| is_same(work, &held.spec));
        let may_stay = is_same || (!held.has_ended && work.is_some_and(|work| may_become(&held.spec, work)));
        if may_stay && !held.is_dismissed {
            if !is_same {
                steps.push(Step::Update(*id, slot.clone()));
            }
            filled.insert(slot);
        } else if held.has_ended {
            steps.push(Step::Release(*id));
        } else {
            if !held.is_dismissed {
                steps.push(Step::Stop(*id));
            }
            filled.insert(slot);
        }
    }
    let open = wanted.keys().filter(|slot| !filled.contains(slot));
    steps.extend(open.cloned().map(Step::Start));
    steps
}

/// Whether both describe the same, whichever ports were chosen, however often the files were read and however many there are.
fn is_same(work: &Spec, held: &Spec) -> bool {
    let group = Group { count: held.group.count, ..work.group.clone() };
    work.kind == held.kind && work.meta == held.meta && group == held.group
}

/// Whether what runs may take over the new description as it runs.
fn may_become(held: &Spec, work: &Spec) -> bool {
    work.kind == held.kind && work.meta == held.meta && held.group.same_work(&work.group)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proto::ids::JobVersion;
    use proto::model::Job;

    use super::super::slots::slots;
    use super::super::slots::tests::job;
    use super::*;

    fn wanted(jobs: &[Job]) -> BTreeMap<Slot, Spec> {
        slots(jobs, JobVersion(2))
    }

    /// One running allocation per slot, numbered from 1, as an earlier reading of the files began them.
    fn running(jobs: &[Job]) -> BTreeMap<AllocId, Held> {
        let specs = slots(jobs, JobVersion(1)).into_values();
        let held = |mut spec: Spec| {
            spec.ports.insert("http".into(), 20_001);
            Held { spec: Arc::new(spec), has_ended: false, is_dismissed: false }
        };
        (1..).map(AllocId).zip(specs.map(held)).collect()
    }

    fn slot(name: &str) -> Slot {
        Slot::of(wanted(&[job(name, 1, "/bin/x")]).values().next().expect("one"))
    }

    #[test]
    fn what_stays_is_not_touched() {
        let jobs = [job("web", 3, "/bin/web"), job("db", 1, "/bin/db")];
        assert_eq!(steps(&wanted(&jobs), &running(&jobs)), []);
    }

    #[test]
    fn what_changed_is_replaced_what_is_gone_is_stopped_what_is_new_is_started() {
        let before = [job("a", 1, "/bin/a"), job("b", 1, "/bin/b"), job("c", 1, "/bin/c")];
        let after = [job("a", 1, "/bin/a"), job("b", 1, "/bin/b2"), job("d", 1, "/bin/d")];
        let steps = steps(&wanted(&after), &running(&before));
        assert_eq!(steps, [Step::Stop(AllocId(2)), Step::Stop(AllocId(3)), Step::Start(slot("d"))]);
    }

    #[test]
    fn a_replacement_starts_when_nothing_of_the_old_one_is_left() {
        let after = wanted(&[job("b", 1, "/bin/b2")]);
        let mut held = running(&[job("b", 1, "/bin/b")]);
        let one = held.get_mut(&AllocId(1)).expect("one");
        one.is_dismissed = true;
        assert_eq!(steps(&after, &held), []);
        held.get_mut(&AllocId(1)).expect("one").has_ended = true;
        assert_eq!(steps(&after, &held), [Step::Release(AllocId(1)), Step::Start(slot("b"))]);
    }

    #[test]
    fn another_restart_policy_is_taken_over_by_what_runs() {
        let mut after = job("b", 1, "/bin/b");
        after.groups.get_mut("b").expect("there").restart.attempts = None;
        let steps = steps(&wanted(&[after]), &running(&[job("b", 1, "/bin/b")]));
        assert_eq!(steps, [Step::Update(AllocId(1), slot("b"))]);
    }

    #[test]
    fn what_ended_by_itself_runs_again_only_when_its_description_changes() {
        let same = [job("b", 1, "/bin/b")];
        let mut held = running(&same);
        held.get_mut(&AllocId(1)).expect("one").has_ended = true;
        assert_eq!(steps(&wanted(&same), &held), []);
        let mut other = job("b", 1, "/bin/b");
        other.groups.get_mut("b").expect("there").restart.attempts = None;
        assert_eq!(steps(&wanted(&[other]), &held), [Step::Release(AllocId(1)), Step::Start(slot("b"))]);
    }

    #[test]
    fn fewer_of_a_group_stops_the_last_ones() {
        let steps = steps(&wanted(&[job("web", 1, "/bin/web")]), &running(&[job("web", 3, "/bin/web")]));
        assert_eq!(steps, [Step::Stop(AllocId(2)), Step::Stop(AllocId(3))]);
    }

    proptest! {
        /// From any files to any others: doing what is said, with every stop taking its time, ends with exactly what is wanted, and
        /// what both describe alike has kept its number.
        #[test]
        fn steps_lead_to_what_is_wanted(
            before in prop::collection::btree_map("[a-d]", (1u32..4, "[xy]"), 0..4),
            after in prop::collection::btree_map("[a-d]", (1u32..4, "[xy]"), 0..4),
        ) {
            let jobs = |all: &BTreeMap<String, (u32, String)>| {
                all.iter().map(|(name, (count, command))| job(name, *count, command)).collect::<Vec<_>>()
            };
            let (wanted, mut held) = (wanted(&jobs(&after)), running(&jobs(&before)));
            let at_first = held.clone();
            let mut next = 100;
            for _ in 0..4 {
                for step in steps(&wanted, &held) {
                    match step {
                        Step::Start(slot) => {
                            next += 1;
                            prop_assert!(!held.values().any(|held| Slot::of(&held.spec) == slot), "twice: {slot}");
                            let spec = Arc::new(wanted[&slot].clone());
                            held.insert(AllocId(next), Held { spec, has_ended: false, is_dismissed: false });
                        }
                        Step::Update(id, slot) => {
                            held.get_mut(&id).expect("it is there").spec = Arc::new(wanted[&slot].clone());
                        }
                        Step::Stop(id) => held.get_mut(&id).expect("it is there").is_dismissed = true,
                        Step::Release(id) => drop(held.remove(&id)),
                    }
                }
                held.values_mut().filter(|held| held.is_dismissed).for_each(|held| held.has_ended = true);
            }
            prop_assert_eq!(steps(&wanted, &held), []);
            let have: BTreeSet<Slot> = held.values().map(|held| Slot::of(&held.spec)).collect();
            prop_assert_eq!(have, wanted.keys().cloned().collect::<BTreeSet<_>>());
            for (id, old) in at_first {
                let stays = wanted.get(&Slot::of(&old.spec)).is_some_and(|work| may_become(&old.spec, work));
                prop_assert_eq!(held.contains_key(&id), stays);
            }
        }
    }
}
