//! The order of the tasks of an allocation, seen from the machine: what starts beside what, and after what.

use std::collections::BTreeMap;

use client::core::task_machine::{Outcome, Phase};
use client::store::record::Record;
use proto::model::Lifecycle;

use crate::driver::Process;
use crate::event::Attempt;
use crate::laws::must;
use crate::sim::Broken;

const LAW: &str = "lifecycle_order";

/// A process is about to start on a machine with these processes; `record` is what its agent has on disk.
pub fn start(
    record: Option<&Record>,
    processes: &BTreeMap<Attempt, Process>,
    attempt: &Attempt,
) -> Result<(), Broken> {
    let Some(record) = record else { return Ok(()) };
    let hook = |task: &str| record.spec.group.tasks.get(task).map(|task| task.lifecycle);
    let beside = processes
        .iter()
        .filter(|(other, process)| process.ended.is_none() && other.alloc == attempt.alloc)
        .map(|(other, _)| other);
    match hook(&attempt.task) {
        Some(Lifecycle::Main) => {
            for (name, state) in &record.tasks {
                let comes_first = hook(name) == Some(Lifecycle::Prestart { sidecar: false });
                let done = state.phase == Phase::Ended(Outcome::Complete);
                must(LAW, !comes_first || done, || format!("{attempt:?} starts before {name} is done"))?;
            }
            Ok(())
        }
        Some(Lifecycle::Poststop) => {
            let mut living = beside.filter(|other| hook(&other.task) != Some(Lifecycle::Poststop));
            let first = living.next();
            must(LAW, first.is_none(), || format!("{attempt:?} starts beside {first:?}"))
        }
        _ => Ok(()),
    }
}
