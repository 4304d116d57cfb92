//! Never twice: an id names one allocation for ever, an attempt is started once, and a task runs once at a time.

use std::collections::{BTreeMap, BTreeSet};

use proto::ids::AllocId;

use crate::driver::Process;
use crate::event::Attempt;
use crate::laws::{Step, must};
use crate::sim::Broken;

const LAW: &str = "never_twice";

/// Everything that ever was.
#[derive(Default)]
pub struct Twice {
    ids: BTreeSet<AllocId>,
    starts: BTreeSet<((usize, u64, u64), Attempt)>,
}

impl Twice {
    /// Allocations are made under numbers that no other ever had.
    pub fn step(&mut self, step: &Step<'_>) -> Result<(), Broken> {
        let made = step.after.allocs.iter().filter(|(_, alloc)| alloc.created == step.after.revision);
        for (id, alloc) in made {
            must(LAW, self.ids.insert(id), || {
                format!("the number {} is used again for {}", id.0, alloc.name())
            })?;
        }
        let last = self.ids.last().map_or(0, |id| id.0);
        let next = step.after.next_id;
        must(LAW, next > last, || format!("the next number is {next}, and {last} was given already"))
    }

    /// A process is about to start, on a machine with a disk since a boot: what was forgotten with a disk, or ended with a boot,
    /// does not run beside it.
    pub fn start(
        &mut self,
        processes: &BTreeMap<Attempt, Process>,
        place: (usize, u64, u64),
        attempt: &Attempt,
    ) -> Result<(), Broken> {
        let beside = processes.iter().find(|(other, process)| {
            process.ended.is_none() && other.alloc == attempt.alloc && other.task == attempt.task
        });
        must(LAW, beside.is_none(), || format!("{attempt:?} starts beside {beside:?}"))?;
        let first = self.starts.insert((place, attempt.clone()));
        must(LAW, first, || format!("{attempt:?} is started twice at {place:?}"))
    }
}
