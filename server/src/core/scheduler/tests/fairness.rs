//! Who waits long has its turn, however small and many the others are; and who can never have one is in nobody's way.

use std::collections::BTreeSet;

use proto::model::{Condition, Dependency};

use super::*;
use crate::core::scheduler::{Memory, schedule_with};
use crate::leader::desk::Desk;

const HALF_A_MINUTE: u64 = 30_000;

/// A leader's scheduler, without its loop.
struct Leader {
    world: World,
    desk: Desk,
    memory: Memory,
}

impl Leader {
    fn of(world: World) -> Self {
        Self { world, desk: Desk::default(), memory: Memory::default() }
    }

    /// Puts a job of that many cores for each of its allocations.
    fn put(&mut self, mut job: Job, cores: u64, priority: u8) {
        job.priority = priority;
        for task in job.groups.values_mut().flat_map(|group| group.tasks.values_mut()) {
            task.resources = Resources { cpu_millis: cores * 1000, memory_bytes: 1 << 20 };
        }
        let key = job.key.clone();
        self.world.put(job);
        self.look([key].into(), BTreeSet::new());
    }

    /// Decides until there is nothing to do; returns how many decisions that were.
    fn look(&mut self, jobs: BTreeSet<JobKey>, gained: BTreeSet<proto::ids::NodeId>) -> usize {
        let now = self.world.state.now;
        self.desk.take_in(&self.world.state, jobs, gained, now);
        let mut decisions = 0;
        loop {
            self.desk.ring(&self.world.state, now, &mut self.memory);
            let jobs = self.desk.take(100);
            if jobs.is_empty() {
                return decisions;
            }
            decisions += 1;
            let decision = schedule_with(&self.world.state, &jobs, now, &mut self.memory);
            self.desk.settle(&jobs, &decision);
            let applied = self.world.plan(decision.plan);
            let (jobs, gained) = (applied.changes.jobs, applied.changes.gained);
            self.desk.take_in(&self.world.state, jobs, gained, now);
        }
    }

    /// The oldest allocation of a job has done its work, or what it was told.
    fn one_ends(&mut self, job: &str) {
        let id = self.world.live(job)[0];
        let node = self.world.alloc(id).node;
        let state = match self.world.alloc(id).desired {
            proto::model::Desired::Run => AllocState::Complete,
            proto::model::Desired::Stop(_) => AllocState::Stopped,
        };
        let status = AllocStatus { id, seq: 9000, state, tasks: vec![] };
        let generation = self.world.state.nodes.get(&node).expect("a node").generation;
        let applied = self.world.apply(Kind::AllocStatus { node, generation, statuses: vec![status] });
        self.look(applied.changes.jobs, applied.changes.gained);
    }

    fn live(&self, job: &str) -> usize {
        self.world.live(job).len()
    }

    /// Time passes, and the leader looks when it said that it would, and at no other moment.
    fn pass(&mut self, ms: u64) {
        let end = Timestamp(self.world.state.now.0 + ms);
        while let Some(due) = self.desk.next_due().filter(|due| *due <= end) {
            self.world.state.now = due.max(self.world.state.now);
            self.look(BTreeSet::new(), BTreeSet::new());
        }
        self.world.state.now = end;
    }
}

/// One node of four cores, full of small work that ends, and a job that wants it whole.
fn crowded(kind: fn(&str, u32) -> Job) -> Leader {
    let mut leader = Leader::of(World::new(1));
    for number in 0..4 {
        leader.put(kind(&format!("small{number}"), 1), 1, 50);
    }
    leader.put(job("big", 1), 4, 50);
    assert_eq!(leader.live("big"), 0);
    leader
}

#[test]
fn small_work_that_comes_later_does_not_starve_a_big_job() {
    let mut leader = crowded(batch);
    leader.pass(HALF_A_MINUTE);
    for number in 0..4 {
        leader.one_ends(&format!("small{number}"));
        leader.put(batch(&format!("later{number}"), 1), 1, 50);
        leader.pass(2000);
    }
    assert_eq!(leader.live("big"), 1, "all that ended made room for it");
    assert_eq!((0..4).map(|number| leader.live(&format!("later{number}"))).sum::<usize>(), 0);
    let later = leader.world.state.jobs.get(&JobKey::new("default", "later0")).expect("the job");
    let wait = later.group("later0").and_then(|group| group.wait.clone()).expect("it waits");
    assert_eq!(wait.why, "the only node lacks cpu (1 asked)");
    // What had to wait for it is placed when it goes.
    let applied = leader.world.apply(Kind::StopJob { key: JobKey::new("default", "big"), purge: false });
    leader.look(applied.changes.jobs, applied.changes.gained);
    leader.one_ends("big");
    leader.pass(2000);
    assert_eq!((0..4).map(|number| leader.live(&format!("later{number}"))).sum::<usize>(), 4);
}

#[test]
fn what_waits_for_kept_room_says_for_whom_it_is_kept() {
    let mut leader = crowded(batch);
    leader.pass(HALF_A_MINUTE);
    leader.one_ends("small0");
    leader.put(batch("later", 1), 1, 50);
    let later = leader.world.state.jobs.get(&JobKey::new("default", "later")).expect("the job");
    let wait = later.group("later").and_then(|group| group.wait.clone()).expect("it waits");
    assert_eq!(wait.why, "the only node is kept for the job `big`, which comes first");
}

#[test]
fn room_is_kept_only_from_who_comes_later() {
    let mut leader = crowded(batch);
    leader.pass(HALF_A_MINUTE);
    leader.one_ends("small0");
    leader.put(batch("urgent", 1), 1, 60);
    assert_eq!(leader.live("urgent"), 1, "a higher priority comes first");
}

#[test]
fn no_room_is_kept_before_somebody_has_waited_long() {
    let mut leader = crowded(batch);
    leader.pass(HALF_A_MINUTE - 5000);
    leader.one_ends("small0");
    leader.put(batch("later", 1), 1, 50);
    assert_eq!(leader.live("later"), 1);
}

#[test]
fn no_room_is_kept_where_waiting_would_bring_none() {
    let mut leader = crowded(job);
    leader.pass(HALF_A_MINUTE);
    let applied = leader.world.apply(Kind::StopJob { key: JobKey::new("default", "small0"), purge: false });
    leader.look(applied.changes.jobs, applied.changes.gained);
    leader.one_ends("small0");
    leader.put(batch("later", 1), 1, 50);
    assert_eq!(leader.live("later"), 1, "services end when somebody stops them, which nobody has");
}

#[test]
fn one_that_could_never_be_placed_keeps_nothing_and_costs_nothing() {
    let mut leader = Leader::of(World::new(2));
    for number in 0..10 {
        leader.put(job(&format!("huge{number}"), 1), 1000, 90);
    }
    leader.pass(HALF_A_MINUTE);
    let revision = leader.world.state.revision;
    leader.put(job("web", 8), 1, 10);
    assert_eq!(leader.live("web"), 8);
    assert_eq!(
        leader.world.state.revision.0 - revision.0,
        2,
        "the job and its plan, and nothing of the others"
    );
    leader.one_ends("web");
    leader.pass(HALF_A_MINUTE);
    let told = leader.world.state.events.all();
    let told = told.filter(|event| event.kind == proto::model::EventKind::Unplaceable).count();
    assert_eq!(told, 10, "each is told once");
}

/// A leader whose cluster lets work of higher priority take the place of other work.
fn preempting(nodes: u64) -> Leader {
    let mut world = World::new(nodes);
    let settings = crate::core::state::Settings { preemption: true, ..world.state.settings.clone() };
    world.apply(Kind::PutSettings(settings));
    Leader::of(world)
}

/// What was told to give way, by job.
fn giving_way(leader: &Leader) -> Vec<String> {
    let all = leader.world.state.allocs.iter().map(|(_, alloc)| alloc);
    let preempted = proto::model::Desired::Stop(proto::model::StopReason::Preempted);
    let told = all.filter(|alloc| !alloc.has_ended() && alloc.desired == preempted);
    told.map(|alloc| alloc.job.name.clone()).collect()
}

#[test]
fn the_least_important_gives_way_and_no_more_than_is_needed() {
    let mut leader = preempting(2);
    leader.put(job("shop", 1), 4, 40);
    leader.put(job("report", 1), 2, 10);
    leader.put(job("cache", 1), 1, 20);
    leader.put(job("index", 1), 1, 20);
    leader.put(job("urgent", 1), 3, 50);
    assert_eq!(giving_way(&leader), ["report", "index"], "2 and 1 of 4 cores; the younger of two equals");
    leader.pass(2000);
    assert_eq!(giving_way(&leader).len(), 2, "deciding again stops nothing more");
    leader.one_ends("report");
    assert_eq!((leader.live("urgent"), leader.live("report")), (0, 0), "the room is kept meanwhile");
    leader.one_ends("index");
    leader.pass(100);
    assert_eq!(leader.live("urgent"), 1);
    leader.world.check();
}

#[test]
fn nothing_gives_way_to_a_priority_that_is_hardly_higher() {
    let mut leader = preempting(1);
    leader.put(job("shop", 1), 4, 50);
    leader.put(job("other", 1), 4, 59);
    assert_eq!(giving_way(&leader), [] as [String; 0]);
    leader.put(job("urgent", 1), 4, 60);
    assert_eq!(giving_way(&leader), ["shop"]);
}

#[test]
fn nothing_gives_way_where_that_would_not_help_or_is_not_allowed() {
    let mut leader = preempting(1);
    leader.put(job("shop", 1), 2, 10);
    leader.put(job("vital", 1), 2, 90);
    leader.put(job("urgent", 1), 4, 80);
    assert_eq!(giving_way(&leader), [] as [String; 0], "half of what it needs would not give way");
    let mut leader = Leader::of(World::new(1));
    leader.put(job("shop", 1), 4, 10);
    leader.put(job("urgent", 1), 4, 90);
    assert_eq!(giving_way(&leader), [] as [String; 0], "the setting is off");
}

#[test]
fn what_it_waits_for_does_not_give_way_to_it() {
    let mut leader = preempting(2);
    leader.put(job("db", 1), 3, 40);
    leader.world.settle_healthy();
    leader.put(job("cache", 1), 3, 45);
    leader.world.settle_healthy();
    let mut urgent = job("urgent", 1);
    let on = Dependency { job: Some("db".into()), group: None, condition: Condition::Started };
    urgent.groups.values_mut().for_each(|group| group.depends_on = vec![on.clone()]);
    leader.put(urgent, 4, 80);
    assert_eq!(giving_way(&leader), ["cache"], "though the database is less important");
}

#[test]
fn what_ends_already_is_waited_for() {
    let mut leader = preempting(2);
    leader.put(job("first", 1), 4, 10);
    leader.put(job("second", 1), 4, 10);
    let applied = leader.world.apply(Kind::StopJob { key: JobKey::new("default", "first"), purge: false });
    leader.look(applied.changes.jobs, applied.changes.gained);
    leader.put(job("urgent", 1), 4, 50);
    assert_eq!(giving_way(&leader), [] as [String; 0]);
    leader.put(job("another", 1), 4, 50);
    assert_eq!(giving_way(&leader), ["second"], "the first one's room is spoken for");
}

#[test]
fn no_more_room_is_kept_than_is_needed() {
    let mut leader = preempting(2);
    for (name, cores) in [("first", 4), ("second", 2), ("third", 2)] {
        leader.put(job(name, 1), cores, 50);
    }
    for name in ["first", "second", "third"] {
        let applied = leader.world.apply(Kind::StopJob { key: JobKey::new("default", name), purge: false });
        leader.look(applied.changes.jobs, applied.changes.gained);
    }
    leader.put(job("urgent", 1), 4, 80);
    leader.put(job("small", 1), 1, 10);
    leader.one_ends("second");
    leader.pass(100);
    assert_eq!((leader.live("urgent"), leader.live("small")), (0, 1), "the first one's node is enough");
}

#[test]
fn what_gave_way_is_placed_again_when_there_is_room() {
    let mut leader = preempting(1);
    leader.put(job("report", 1), 4, 10);
    leader.put(job("urgent", 1), 4, 50);
    leader.one_ends("report");
    leader.pass(100);
    assert_eq!((leader.live("urgent"), leader.live("report")), (1, 0));
    let applied = leader.world.apply(Kind::StopJob { key: JobKey::new("default", "urgent"), purge: false });
    leader.look(applied.changes.jobs, applied.changes.gained);
    leader.one_ends("urgent");
    leader.pass(2000);
    assert_eq!(leader.live("report"), 1);
}

/// Puts a job that is not looked at yet.
fn put_unseen(leader: &mut Leader, mut job: Job, cores: u64, priority: u8) -> JobKey {
    job.priority = priority;
    for task in job.groups.values_mut().flat_map(|group| group.tasks.values_mut()) {
        task.resources = Resources { cpu_millis: cores * 1000, memory_bytes: 1 << 20 };
    }
    let key = job.key.clone();
    leader.world.put(job);
    key
}

/// The job with a port on each node where it is.
fn with_port(mut job: Job, port: u16) -> Job {
    let port = proto::model::Port::Static(port);
    job.groups.values_mut().for_each(|group| group.ports.extend([("web".to_owned(), port)]));
    job
}

#[test]
fn what_the_same_decision_places_takes_its_room_too() {
    let mut leader = preempting(1);
    leader.put(job("report", 1), 2, 10);
    leader.put(job("urgent", 2), 2, 50);
    assert_eq!((leader.live("urgent"), giving_way(&leader)), (1, vec!["report".to_owned()]));
}

#[test]
fn what_the_same_decision_stops_is_waited_for() {
    let mut leader = preempting(2);
    leader.put(job("first", 1), 4, 20);
    leader.put(job("second", 1), 4, 10);
    let applied = leader.world.apply(Kind::StopJob { key: JobKey::new("default", "first"), purge: false });
    let urgent = put_unseen(&mut leader, job("urgent", 1), 4, 50);
    let mut jobs = applied.changes.jobs;
    jobs.insert(urgent);
    leader.look(jobs, applied.changes.gained);
    assert_eq!(giving_way(&leader), [] as [String; 0]);
}

#[test]
fn who_is_looked_at_later_does_not_take_what_comes_free_for_others() {
    let mut leader = preempting(1);
    leader.put(job("report", 1), 2, 10);
    let jobs =
        [put_unseen(&mut leader, job("urgent", 1), 4, 50), put_unseen(&mut leader, job("small", 1), 2, 40)];
    leader.look(jobs.into(), BTreeSet::new());
    assert_eq!((leader.live("small"), giving_way(&leader)), (0, vec!["report".to_owned()]));
    leader.one_ends("report");
    leader.pass(2000);
    assert_eq!(leader.live("urgent"), 1);
    // The one that was refused is looked at again, though nothing was kept when its decision began.
    let applied = leader.world.apply(Kind::StopJob { key: JobKey::new("default", "urgent"), purge: false });
    leader.look(applied.changes.jobs, applied.changes.gained);
    leader.one_ends("urgent");
    leader.pass(2000);
    assert_eq!(leader.live("small"), 1);
}

#[test]
fn nobody_counts_on_what_gives_way_to_another_though_a_port_comes_free_with_it() {
    let mut leader = preempting(2);
    leader.put(with_port(job("report", 1), 81), 4, 10);
    leader.put(job("index", 1), 3, 10);
    leader.put(with_port(job("vital", 1), 81), 1, 90);
    let first = put_unseen(&mut leader, with_port(job("first", 1), 81), 2, 50);
    let second = put_unseen(&mut leader, job("second", 1), 2, 50);
    leader.look([first.clone(), second.clone()].into(), BTreeSet::new());
    assert_eq!(giving_way(&leader), ["report"], "to the second: a port is taken from nobody");
    leader.look([first, second].into(), BTreeSet::new());
    assert_eq!(giving_way(&leader), ["report"], "the first does not claim it, so the second needs no more");
}

#[test]
fn another_group_of_its_job_does_not_take_what_comes_free_for_one() {
    let mut leader = preempting(1);
    leader.put(job("report", 1), 2, 10);
    let mut urgent = job("urgent", 1);
    let group = urgent.groups.remove("urgent").expect("its group");
    urgent.groups.insert("a".to_owned(), group.clone());
    urgent.groups.insert("b".to_owned(), group);
    let cores = |name: &str| if name == "a" { 4000 } else { 2000 };
    for (name, group) in &mut urgent.groups {
        let resources = Resources { cpu_millis: cores(name), memory_bytes: 1 << 20 };
        group.tasks.values_mut().for_each(|task| task.resources = resources);
    }
    urgent.priority = 50;
    let key = urgent.key.clone();
    leader.world.put(urgent);
    leader.look([key].into(), BTreeSet::new());
    assert_eq!((leader.live("urgent"), giving_way(&leader)), (0, vec!["report".to_owned()]));
}

#[test]
fn what_makes_room_for_two_makes_room_for_two() {
    let mut leader = preempting(2);
    leader.put(job("first", 1), 4, 10);
    leader.put(job("second", 1), 4, 10);
    leader.put(job("urgent", 2), 2, 50);
    assert_eq!(giving_way(&leader).len(), 1);
}

#[test]
fn nothing_gives_way_where_another_of_the_group_must_not_be() {
    let mut leader = preempting(2);
    leader.put(job("vital", 1), 4, 90);
    leader.put(job("report", 1), 2, 10);
    let mut urgent = job("urgent", 2);
    let placement = |group: &mut proto::model::Group| group.placement.distinct = Some("node".to_owned());
    urgent.groups.values_mut().for_each(placement);
    leader.put(urgent, 2, 50);
    assert_eq!((leader.live("urgent"), giving_way(&leader)), (1, vec![]));
}

#[test]
fn nothing_gives_way_and_no_room_is_kept_where_a_port_stays_in_use() {
    let mut leader = preempting(1);
    leader.put(with_port(job("web", 1), 80), 1, 90);
    leader.put(job("report", 1), 3, 10);
    leader.put(with_port(job("urgent", 1), 80), 3, 50);
    assert_eq!(giving_way(&leader), [] as [String; 0]);
    let mut leader = Leader::of(World::new(1));
    leader.put(with_port(job("web", 1), 80), 1, 50);
    leader.put(batch("small0", 1), 1, 50);
    leader.put(batch("small1", 1), 2, 50);
    leader.put(with_port(job("big", 1), 80), 3, 50);
    leader.pass(HALF_A_MINUTE);
    leader.one_ends("small0");
    leader.put(batch("later", 1), 1, 50);
    assert_eq!(leader.live("later"), 1);
}

#[test]
fn a_port_that_comes_free_is_waited_for() {
    let mut leader = preempting(2);
    leader.put(with_port(job("web", 1), 80), 1, 90);
    leader.put(job("report", 1), 4, 10);
    let applied = leader.world.apply(Kind::StopJob { key: JobKey::new("default", "web"), purge: false });
    leader.look(applied.changes.jobs, applied.changes.gained);
    leader.put(with_port(job("urgent", 1), 80), 3, 50);
    assert_eq!(giving_way(&leader), [] as [String; 0]);
}
