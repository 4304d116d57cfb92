//! Plans that are too large for one command become several, applied in order.

use crate::core::state::{Plan, PlanItem, PlanRun, PlanStop, PlanUpdate, PlanWait};

/// Bytes that one of these takes at most, its framing included: its numbers as long as varints get.
const RUN_BYTES: usize = 76;
const STOP_BYTES: usize = 16;
const UPDATE_BYTES: usize = 26;
/// What an item or a wait takes beside its texts and runs.
const HEAD_BYTES: usize = 40;

/// Cuts a plan into parts of at most that many bytes as commands. Stops come first, so that what they free is free.
///
/// Reign and number are left to the caller. A part holds one element at least, whatever its size.
pub(super) fn split(plan: Plan, bytes_most: usize) -> Vec<Plan> {
    let mut parts = Parts { done: Vec::new(), open: Plan::default(), bytes: 0, bytes_most };
    for stop in plan.stops {
        parts.add_stop(stop);
    }
    for update in plan.updates {
        parts.add_update(update);
    }
    for item in plan.items {
        parts.add_item(&item);
    }
    for wait in plan.waits {
        parts.add_wait(wait);
    }
    parts.cut();
    parts.done
}

struct Parts {
    done: Vec<Plan>,
    open: Plan,
    bytes: usize,
    bytes_most: usize,
}

impl Parts {
    fn add_stop(&mut self, stop: PlanStop) {
        self.make_room(STOP_BYTES);
        self.open.stops.push(stop);
    }

    fn add_update(&mut self, update: PlanUpdate) {
        self.make_room(UPDATE_BYTES);
        self.open.updates.push(update);
    }

    fn add_item(&mut self, item: &PlanItem) {
        let head = HEAD_BYTES + item.job.namespace.len() + item.job.name.len() + item.group.len();
        let empty = || PlanItem { runs: Vec::new(), ..item.clone() };
        self.make_room(head + RUN_BYTES);
        self.bytes -= RUN_BYTES;
        self.open.items.push(empty());
        for run in &item.runs {
            if self.make_room(RUN_BYTES) {
                self.bytes += head;
                self.open.items.push(empty());
            }
            self.add_run(*run);
        }
    }

    fn add_run(&mut self, run: PlanRun) {
        if let Some(item) = self.open.items.last_mut() {
            item.runs.push(run);
        }
    }

    fn add_wait(&mut self, wait: PlanWait) {
        let texts = wait.job.namespace.len() + wait.job.name.len() + wait.group.len() + wait.why.len();
        self.make_room(HEAD_BYTES + texts);
        self.open.waits.push(wait);
    }

    /// Counts that many bytes, in a new part if the open one has no room for them; returns whether it is a new one.
    fn make_room(&mut self, bytes: usize) -> bool {
        let full = self.bytes + bytes > self.bytes_most && !self.open.is_empty();
        if full {
            self.cut();
        }
        self.bytes += bytes;
        full
    }

    fn cut(&mut self) {
        if !self.open.is_empty() {
            self.done.push(std::mem::take(&mut self.open));
        }
        self.bytes = 0;
    }
}

#[cfg(test)]
mod tests {
    use proto::ids::{AllocId, Generation, JobKey, JobVersion, NodeId, Revision};
    use proto::model::StopReason;
    use proto::time::Timestamp;

    use super::*;
    use crate::core::state::{Command, Edge, Kind, PlaceReason, RunnerUp, encode_command};

    const MOST: usize = 4096;

    fn plan() -> Plan {
        let run = |at: u32| PlanRun {
            node: NodeId(u64::MAX - u64::from(at)),
            generation: Generation(u64::MAX),
            first_index: u32::MAX - at,
            count: u32::MAX,
            reason: PlaceReason {
                nodes: u32::MAX,
                feasible: u32::MAX,
                copies: u32::MAX,
                preferred: true,
                same_node: true,
                runner_up: Some(RunnerUp { node: NodeId(u64::MAX), edge: Edge::Id }),
            },
        };
        let item = |name: &str| PlanItem {
            job: JobKey::new("default", name),
            version: JobVersion(u64::MAX),
            group: "g".repeat(63),
            runs: (0..1000).map(run).collect(),
        };
        let stop = |at| PlanStop { alloc: AllocId(u64::MAX - at), reason: StopReason::NodeLost };
        let update = |at| PlanUpdate { alloc: AllocId(u64::MAX - at), version: JobVersion(u64::MAX) };
        let wait = |at: u32| PlanWait {
            job: JobKey::new("default", "c"),
            version: JobVersion(u64::MAX),
            group: at.to_string(),
            count: u32::MAX,
            why: "no node has room".repeat(10),
        };
        Plan {
            items: vec![item("a"), item("b")],
            stops: (0..1000).map(stop).collect(),
            updates: (0..1000).map(update).collect(),
            waits: (0..100).map(wait).collect(),
            ..Plan::default()
        }
    }

    #[test]
    fn parts_fit_and_hold_everything_in_order() {
        let whole = plan();
        let parts = split(whole.clone(), MOST);
        assert!(parts.len() > 10, "{} parts", parts.len());
        let mut joined = Plan::default();
        for part in parts {
            let command = Command::own(
                Timestamp(u64::MAX),
                Kind::ApplyPlan(Plan { reign: Revision(u64::MAX), seq: u64::MAX, ..part.clone() }),
            );
            let bytes = encode_command(&command).len();
            assert!(bytes <= MOST + 64, "a part has {bytes} bytes");
            assert!(part.items.iter().all(|item| !item.runs.is_empty()), "no item without runs");
            joined.stops.extend(part.stops);
            joined.updates.extend(part.updates);
            joined.waits.extend(part.waits);
            for item in part.items {
                match joined.items.last_mut() {
                    Some(last) if last.job == item.job => last.runs.extend(item.runs),
                    _ => joined.items.push(item),
                }
            }
        }
        assert_eq!(joined, whole);
    }

    #[test]
    fn a_small_plan_stays_whole_and_an_empty_one_is_nothing() {
        let small = Plan { stops: plan().stops[..3].to_vec(), ..Plan::default() };
        assert_eq!(split(small.clone(), MOST), vec![small]);
        assert!(split(Plan::default(), MOST).is_empty());
    }
}
