//! Which job is looked at next: by priority, then by age; and which wait, for a time or for room.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proto::ids::{JobKey, NodeId};
use proto::time::Timestamp;

use crate::core::scheduler::{Decision, Memory, Precedence, may_fit};
use crate::core::state::State;

/// Refusals of one job in a row that are tried again at once: others write too, and the next snapshot shows it.
const REFUSALS_AT_ONCE: u32 = 3;
/// How long a job that is refused again and again is put off; doubles up to [`PUT_OFF_MOST`].
const PUT_OFF: Duration = Duration::from_millis(100);
const PUT_OFF_MOST: Duration = Duration::from_secs(5);
/// Between two looks at everything that waits for room: what ends, ends in bursts.
const ROOM_PAUSE: Duration = Duration::from_millis(50);
/// Between two decisions about whose room is kept.
const KEEP_PAUSE: Duration = Duration::from_secs(2);

/// The jobs of one reign that are to be looked at, or wait for it.
#[derive(Debug, Default)]
pub struct Desk {
    queue: BTreeSet<(Precedence, JobKey)>,
    queued: BTreeSet<JobKey>,
    timers: BTreeSet<(Timestamp, JobKey)>,
    due: BTreeMap<JobKey, Timestamp>,
    parked: BTreeSet<JobKey>,
    gained: BTreeSet<NodeId>,
    room_looked_at: Timestamp,
    /// When it was last decided for whom room is kept, and whether any is.
    kept_looked_at: Timestamp,
    keeps: bool,
    /// Jobs that wait since room was kept, maybe for that: they are looked at again when it is not kept any more.
    beside: BTreeSet<JobKey>,
    refusals: BTreeMap<JobKey, u32>,
}

impl Desk {
    /// Takes in what changed.
    pub fn take_in(
        &mut self,
        state: &State,
        jobs: BTreeSet<JobKey>,
        gained: BTreeSet<NodeId>,
        now: Timestamp,
    ) {
        for job in jobs {
            match self.refusals.get(&job) {
                Some(times) if *times > REFUSALS_AT_ONCE => {
                    let doublings = (times - REFUSALS_AT_ONCE - 1).min(10);
                    let wait = (PUT_OFF * 2u32.pow(doublings)).min(PUT_OFF_MOST);
                    self.set_timer(&job, now.plus(wait));
                }
                _ => self.enqueue(state, job),
            }
        }
        self.gained.extend(gained);
    }

    /// Puts jobs in the queue whose time has come, and those that may fit where room was gained; decides for whom room is kept.
    pub fn ring(&mut self, state: &State, now: Timestamp, memory: &mut Memory) {
        while let Some((at, _)) = self.timers.first()
            && *at <= now
        {
            if let Some((_, job)) = self.timers.pop_first() {
                self.due.remove(&job);
                self.enqueue(state, job);
            }
        }
        // A decision keeps room, too, for whom it makes others give way.
        self.keeps = memory.keeps_room();
        let waits = !self.parked.is_empty() || self.keeps;
        if waits && now >= self.kept_looked_at.plus(KEEP_PAUSE) {
            self.kept_looked_at = now;
            let released = memory.keep_room(state, &self.parked, now);
            self.keeps = memory.keeps_room();
            if !released.is_empty() {
                std::mem::take(&mut self.beside).into_iter().for_each(|job| self.enqueue(state, job));
            }
            // What was gained there meanwhile was refused to all others.
            self.gained.extend(released);
        }
        if self.parked.is_empty() {
            self.gained.clear();
        }
        if self.gained.is_empty() || now < self.room_looked_at.plus(ROOM_PAUSE) {
            return;
        }
        self.room_looked_at = now;
        let gained = std::mem::take(&mut self.gained);
        let fit: Vec<JobKey> =
            self.parked.iter().filter(|job| may_fit(state, job, &gained, now, memory)).cloned().collect();
        fit.into_iter().for_each(|job| self.enqueue(state, job));
    }

    /// Returns when [`Desk::ring`] has something to do though nothing changes.
    pub fn next_due(&self) -> Option<Timestamp> {
        let timer = self.timers.first().map(|(at, _)| *at);
        let room = (!self.gained.is_empty()).then(|| self.room_looked_at.plus(ROOM_PAUSE));
        let kept = self.keeps.then(|| self.kept_looked_at.plus(KEEP_PAUSE));
        [timer, room, kept].into_iter().flatten().min()
    }

    /// Takes the jobs to look at next; none when there is nothing to do.
    pub fn take(&mut self, most: usize) -> Vec<JobKey> {
        let mut jobs = Vec::new();
        while jobs.len() < most
            && let Some((_, job)) = self.queue.pop_first()
        {
            self.queued.remove(&job);
            jobs.push(job);
        }
        jobs
    }

    /// Remembers what a decision says about when to look at its jobs again.
    pub fn settle(&mut self, jobs: &[JobKey], decision: &Decision) {
        for job in jobs {
            self.clear_timer(job);
            if let Some(at) = decision.wake_at.get(job) {
                self.set_timer(job, *at);
            }
            if decision.waiting.contains(job) {
                self.parked.insert(job.clone());
                if self.keeps || decision.keeps_room {
                    self.beside.insert(job.clone());
                }
            } else {
                self.parked.remove(job);
                self.beside.remove(job);
            }
        }
    }

    /// Remembers which jobs of a plan were refused: a job that is refused for ever must not fill the log with attempts.
    pub fn note_refusals(&mut self, jobs: &[JobKey], refused: &BTreeSet<JobKey>) {
        for job in jobs {
            if refused.contains(job) {
                *self.refusals.entry(job.clone()).or_default() += 1;
            } else {
                self.refusals.remove(job);
            }
        }
    }

    fn enqueue(&mut self, state: &State, job: JobKey) {
        if self.queued.insert(job.clone()) {
            // A job that is gone is looked at first: that costs nothing and takes it off the desk.
            let precedence = state.jobs.get(&job).map_or(Precedence::FIRST, |record| Precedence::of(record));
            self.queue.insert((precedence, job));
        }
    }

    fn set_timer(&mut self, job: &JobKey, at: Timestamp) {
        self.clear_timer(job);
        self.timers.insert((at, job.clone()));
        self.due.insert(job.clone(), at);
    }

    fn clear_timer(&mut self, job: &JobKey) {
        if let Some(at) = self.due.remove(job) {
            self.timers.remove(&(at, job.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::testing::{World, job};

    fn key(name: &str) -> JobKey {
        JobKey::new("default", name)
    }

    fn world() -> World {
        let mut world = World::new(0);
        world.put(job("young", 1));
        let mut urgent = job("urgent", 1);
        urgent.priority = 90;
        world.put(urgent);
        world
    }

    #[test]
    fn jobs_come_by_priority_and_then_by_age_and_only_once() {
        let mut world = World::new(0);
        for name in ["b", "a"] {
            world.put(job(name, 1));
        }
        let mut urgent = job("urgent", 1);
        urgent.priority = 90;
        world.put(urgent);
        let mut desk = Desk::default();
        let all = BTreeSet::from([key("a"), key("b"), key("urgent")]);
        for _ in 0..2 {
            desk.take_in(&world.state, all.clone(), BTreeSet::new(), Timestamp(0));
        }
        assert_eq!(desk.take(2), [key("urgent"), key("b")]);
        assert_eq!(desk.take(2), [key("a")]);
    }

    #[test]
    fn a_timer_rings_once_when_its_time_has_come() {
        let world = world();
        let mut desk = Desk::default();
        let wake_at = BTreeMap::from([(key("young"), Timestamp(1000))]);
        desk.settle(&[key("young")], &Decision { wake_at, ..Decision::default() });
        assert_eq!(desk.next_due(), Some(Timestamp(1000)));
        desk.ring(&world.state, Timestamp(999), &mut Memory::default());
        assert!(desk.take(9).is_empty());
        desk.ring(&world.state, Timestamp(1000), &mut Memory::default());
        assert_eq!(desk.take(9), [key("young")]);
        assert_eq!(desk.next_due(), None);
    }

    #[test]
    fn a_job_that_waits_for_room_is_looked_at_when_a_node_gains_some() {
        let mut world = World::new(0);
        world.put(job("waits", 1));
        let mut desk = Desk::default();
        let waiting = BTreeSet::from([key("waits")]);
        desk.settle(&[key("waits")], &Decision { waiting, ..Decision::default() });
        desk.ring(&world.state, Timestamp(500), &mut Memory::default());
        assert!(desk.take(9).is_empty(), "nothing gained room");
        let identity = crate::core::testing::node_identity(1);
        let node = identity.id;
        world.apply(crate::core::state::Kind::RegisterNode { identity, held: vec![], seen: None });
        desk.take_in(&world.state, BTreeSet::new(), BTreeSet::from([node]), Timestamp(500));
        desk.ring(&world.state, Timestamp(500), &mut Memory::default());
        assert_eq!(desk.take(9), [key("waits")]);
    }

    #[test]
    fn a_job_that_is_refused_again_and_again_is_put_off() {
        let world = world();
        let mut desk = Desk::default();
        let jobs = BTreeSet::from([key("young")]);
        for _ in 0..REFUSALS_AT_ONCE {
            desk.note_refusals(&[key("young")], &jobs);
            desk.take_in(&world.state, jobs.clone(), BTreeSet::new(), Timestamp(0));
            assert_eq!(desk.take(9), [key("young")], "tried again at once");
        }
        desk.note_refusals(&[key("young")], &jobs);
        desk.take_in(&world.state, jobs.clone(), BTreeSet::new(), Timestamp(0));
        assert!(desk.take(9).is_empty());
        assert_eq!(desk.next_due(), Some(Timestamp(100)));
        desk.note_refusals(&[key("young")], &BTreeSet::new());
        desk.take_in(&world.state, jobs, BTreeSet::new(), Timestamp(0));
        assert_eq!(desk.take(9), [key("young")], "forgiven");
    }
}
