//! What happened to the tasks of a record while the agent was away. Nothing is started anew by this: what runs is found,
//! what ended is waited for from the driver, which keeps ends until they are collected.

use std::collections::{BTreeMap, BTreeSet};

use proto::ids::AllocId;
use proto::time::Timestamp;

use crate::clock::Clock;
use crate::core::lifecycle;
use crate::core::task_machine::{Phase, TaskEvent};
use crate::driver::{AttemptId, Driver, Known, KnownState};
use crate::store::allocs::{Allocs, AllocsError};
use crate::store::record::Record;
use crate::tasks::perform::{attempt_id, until_answered};

/// What the agent had and has.
#[derive(Debug)]
pub struct Found {
    /// Records, and what happened to each since it was written.
    pub allocs: Vec<(Record, Vec<(String, TaskEvent)>)>,
    /// Whether the machine has booted since any record was written.
    pub has_rebooted: bool,
    /// What runs without a record.
    pub leftovers: BTreeSet<AllocId>,
}

/// Reads all records and asks the driver what became of them; waits until it answers.
///
/// # Errors
/// When the records cannot be read; one that makes no sense is logged and left out.
pub async fn find(
    store: &Allocs,
    driver: &dyn Driver,
    clock: Clock,
    boot_id: &str,
) -> Result<Found, AllocsError> {
    let loaded = store.load(clock.wall())?;
    for spoilt in &loaded.spoilt {
        tracing::error!(alloc = %spoilt.id, kept = %spoilt.kept.display(), error = %spoilt.error, "a record is spoilt");
    }
    let known = until_answered(|| driver.list()).await;
    let leftovers = leftovers(&known, |id| loaded.records.iter().any(|record| record.id == id));
    let known = known.into_iter().map(|known| (known.id.clone(), known)).collect();
    let mut found = Found { allocs: Vec::new(), has_rebooted: false, leftovers };
    for mut record in loaded.records {
        found.has_rebooted |= record.adopt_boot(boot_id, clock.boot());
        let events = events(&record, &known);
        found.allocs.push((record, events));
    }
    Ok(found)
}

/// Returns the allocations of which something runs and `has_record` is false, and says so in the log. They are left alone: a record
/// that was lost is no order to stop.
pub fn leftovers(listed: &[Known], has_record: impl Fn(AllocId) -> bool) -> BTreeSet<AllocId> {
    let runs = |known: &&Known| matches!(known.state, KnownState::Running { .. });
    let mut left = BTreeSet::new();
    for known in listed.iter().filter(runs).filter(|known| !has_record(AllocId(known.id.alloc))) {
        tracing::warn!(attempt = %known.id, pid = known.pid, "is here, and no record says why; left alone");
        left.insert(AllocId(known.id.alloc));
    }
    left
}

/// Returns the events of every task: first what runs, then the rest, both in the order of their names. What waits for its turn, and what must stop, follows from the
/// record: an order that was saved with one task ends the others before anything else happens to them.
pub fn events(record: &Record, known: &BTreeMap<AttemptId, Known>) -> Vec<(String, TaskEvent)> {
    let mut events = Vec::new();
    for (name, task) in &record.tasks {
        let mut push = |event| events.push((name.clone(), event));
        let attempt = task.attempt;
        match task.phase {
            Phase::Waiting | Phase::Ended(_) => {}
            // Arms the timer.
            Phase::Backoff(_) => push(TaskEvent::Unknown { attempt }),
            Phase::Starting | Phase::Running | Phase::Stopping => {
                match known.get(&attempt_id(record.id, name, attempt)) {
                    Some(Known { state: KnownState::Running { .. }, pid, started_at_ms, .. }) => {
                        push(TaskEvent::Started { attempt, pid: *pid, at: Timestamp(*started_at_ms) });
                    }
                    Some(Known { state: KnownState::Ended(_), .. }) => {}
                    None => push(TaskEvent::Unknown { attempt }),
                }
            }
        }
    }
    events.sort_by_key(|(_, event)| !lifecycle::comes_first(event));
    events
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::record::tests::record;

    fn running(id: AttemptId) -> (AttemptId, Known) {
        let state = KnownState::Running { stopping: false };
        (id.clone(), Known { id, pid: 42, started_at_ms: 9, state })
    }

    #[test]
    fn what_runs_is_found_and_what_nobody_knows_is_said_so() {
        let mut record = record(5);
        for task in record.tasks.values_mut() {
            task.phase = Phase::Running;
            task.attempt = 3;
        }
        let known = BTreeMap::from([running(attempt_id(record.id, "web", 3))]);
        let expected = [
            ("web".to_owned(), TaskEvent::Started { attempt: 3, pid: 42, at: Timestamp(9) }),
            ("shipper".to_owned(), TaskEvent::Unknown { attempt: 3 }),
        ];
        assert_eq!(events(&record, &known), expected);
    }
}
