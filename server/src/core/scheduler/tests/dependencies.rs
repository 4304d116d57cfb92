//! What waits for other work begins when that is as it must be, and what has begun goes on.

use proto::ids::JobVersion;
use proto::model::{Condition, Dependency, Group, JobType, StopReason};

use super::*;
use crate::core::scheduler::{Shortage, forecast, with_progress};
use crate::core::state::{Changes, Kind, Outcome, read_snapshot, write_snapshot};
use crate::core::testing::system;

fn on(job: Option<&str>, group: Option<&str>, condition: Condition) -> Dependency {
    Dependency { job: job.map(str::to_owned), group: group.map(str::to_owned), condition }
}

/// A service `shop` whose `web` waits for its `db`.
fn shop(condition: Condition) -> Job {
    let mut shop = job("shop", 1);
    let group = shop.groups.remove("shop").expect("its group");
    shop.groups.insert("db".into(), group.clone());
    let depends_on = vec![on(None, Some("db"), condition)];
    shop.groups.insert("web".into(), Group { depends_on, ..group });
    shop
}

fn waiting_for(mut job: Job, dependency: Dependency) -> Job {
    job.groups.values_mut().for_each(|group| group.depends_on.push(dependency.clone()));
    job
}

fn key(name: &str) -> JobKey {
    JobKey::new("default", name)
}

/// The agent says that all tasks of an allocation run.
fn runs(world: &mut World, id: AllocId) {
    let alloc = world.alloc(id).clone();
    let task = TaskStatus {
        name: alloc.group.to_string(),
        phase: TaskPhase::Running,
        attempt: 1,
        window_try: 1,
        window_tries: None,
        pid: 1,
        started_at: None,
        last_end: None,
    };
    world.report_on(alloc.node, AllocStatus { id, seq: 1, state: AllocState::Running, tasks: vec![task] });
}

/// `group.index` of what is wanted of a job and has not ended.
fn active(world: &World, job: &str) -> Vec<String> {
    let live = world.live(job).into_iter().map(|id| world.alloc(id)).filter(|alloc| alloc.is_active());
    let mut names: Vec<String> = live.map(|alloc| format!("{}.{}", alloc.group, alloc.index)).collect();
    names.sort();
    names
}

fn of_group(world: &World, job: &str, group: &str) -> AllocId {
    let found = world.live(job).into_iter().find(|id| *world.alloc(*id).group == *group);
    found.expect("an allocation of the group")
}

/// What the job says that it waits for at this moment.
fn told(world: &World, job: &str, group: &str) -> String {
    let record = world.state.jobs.get(&key(job)).expect("the job");
    let wait = record.group(group).and_then(|memory| memory.wait.as_ref());
    wait.map(|wait| with_progress(&world.state, record, group, &wait.why)).unwrap_or_default()
}

#[test]
fn a_group_begins_when_the_other_has_started_and_says_so_meanwhile() {
    let mut world = World::new(1);
    world.put(shop(Condition::Started));
    world.settle();
    assert_eq!(active(&world, "shop"), ["db.0"]);
    assert_eq!(told(&world, "shop", "web"), "waits for group `db` to be started: 0 of 1 is");
    check(&world, "");
    let db = of_group(&world, "shop", "db");
    runs(&mut world, db);
    world.settle();
    assert_eq!((active(&world, "shop").len(), told(&world, "shop", "web")), (2, String::new()));
    world.check();
}

#[test]
fn healthy_is_more_than_started_and_all_of_the_other_group_must_be() {
    let mut world = World::new(2);
    let mut shop = shop(Condition::Healthy);
    shop.groups.get_mut("db").expect("there").count = 2;
    world.put(shop);
    world.settle();
    for id in world.live("shop") {
        runs(&mut world, id);
    }
    world.settle();
    assert_eq!(told(&world, "shop", "web"), "waits for group `db` to be healthy: 0 of 2 are");
    world.settle_healthy();
    assert_eq!(active(&world, "shop"), ["db.0", "db.1", "web.0"]);
}

#[test]
fn a_wait_is_said_once_however_far_it_comes() {
    let mut world = World::new(2);
    let mut shop = shop(Condition::Started);
    shop.groups.get_mut("db").expect("there").count = 3;
    world.put(shop);
    world.settle();
    for (ready, id) in world.live("shop").into_iter().enumerate().take(2) {
        let verb = if ready == 1 { "is" } else { "are" };
        assert_eq!(
            told(&world, "shop", "web"),
            format!("waits for group `db` to be started: {ready} of 3 {verb}")
        );
        runs(&mut world, id);
        check(&world, "");
    }
}

#[test]
fn work_that_must_be_complete_is_waited_for_also_when_it_is_submitted_later() {
    let mut world = World::new(1);
    world.put(waiting_for(job("web", 2), on(Some("migrate"), None, Condition::Completed)));
    check(&world, "2 of web.web wait: waits for job `migrate`, which does not exist");
    world.settle();
    let mut changes = Changes::default();
    let put = Kind::PutJob { job: Box::new(batch("migrate", 1)), expected: None, message: String::new() };
    changes.absorb(world.apply(put).changes);
    assert!(changes.jobs.contains(&key("web")), "who waits is looked at");
    world.settle_healthy();
    assert_eq!(told(&world, "web", "web"), "waits for job `migrate` to be completed: 0 of 1 is");
    let id = world.live("migrate")[0];
    end(&mut world, id, EndReason::Exit(0));
    world.settle();
    assert_eq!(active(&world, "web"), ["web.0", "web.1"]);
    world.apply(Kind::StopJob { key: key("migrate"), purge: false });
    world.put(waiting_for(job("web", 3), on(Some("migrate"), None, Condition::Completed)));
    world.settle();
    assert_eq!(active(&world, "web").len(), 3, "what is done stays done");
    world.check();
}

#[test]
fn what_will_never_complete_is_told() {
    let mut world = World::new(1);
    world.put(batch("migrate", 1));
    world.put(waiting_for(job("web", 1), on(Some("migrate"), Some("migrate"), Condition::Completed)));
    world.settle_healthy();
    let mut given_up = batch("migrate", 1);
    given_up.groups.values_mut().for_each(|group| group.reschedule.attempts = Some(0));
    world.put(given_up);
    world.settle();
    let id = world.live("migrate")[0];
    end(&mut world, id, EndReason::Exit(1));
    world.settle();
    assert_eq!(
        told(&world, "web", "web"),
        "waits for group `migrate` of job `migrate` to be completed: 0 of 1 is, 1 has failed for good"
    );
}

#[test]
fn what_has_begun_goes_on_and_is_replaced_without_waiting() {
    let mut world = World::new(3);
    world.put(shop(Condition::Healthy));
    (0..3).for_each(|_| world.settle_healthy());
    assert_eq!(active(&world, "shop"), ["db.0", "web.0"]);
    let (db, web) = (of_group(&world, "shop", "db"), of_group(&world, "shop", "web"));
    end(&mut world, db, EndReason::Exit(1));
    world.settle();
    assert_eq!(active(&world, "shop"), ["web.0"], "what runs goes on");
    end(&mut world, web, EndReason::Exit(1));
    world.pass(5000);
    world.settle();
    assert_eq!(active(&world, "shop"), ["db.0", "web.0"], "both begin again, in no order");
    let node = world.alloc(of_group(&world, "shop", "web")).node;
    world.lose(node);
    world.settle();
    assert!(active(&world, "shop").contains(&"web.0".to_owned()), "{:?}", active(&world, "shop"));
    let web = of_group_active(&world, "web");
    world.apply(Kind::RestartAlloc { alloc: web });
    world.report_on(
        world.alloc(web).node,
        AllocStatus { id: web, seq: 50, state: AllocState::Stopped, tasks: vec![] },
    );
    world.settle();
    assert!(active(&world, "shop").contains(&"web.0".to_owned()), "a person asked for it");
    world.check();
}

fn of_group_active(world: &World, group: &str) -> AllocId {
    let mut live = world.live("shop").into_iter();
    live.find(|id| *world.alloc(*id).group == *group && world.alloc(*id).is_active()).expect("one that runs")
}

#[test]
fn more_of_a_group_wait_while_the_other_is_down_stopped_or_scaled_to_nothing() {
    let mut world = World::new(2);
    world.put(job("db", 1));
    let web = |count| waiting_for(job("web", count), on(Some("db"), None, Condition::Started));
    world.put(web(1));
    (0..3).for_each(|_| world.settle_healthy());
    world.apply(Kind::ScaleJob { key: key("db"), group: String::new(), count: 0 });
    world.put(web(2));
    (0..3).for_each(|_| world.settle_healthy());
    assert_eq!(active(&world, "web"), ["web.0"], "what runs stays");
    assert_eq!(told(&world, "web", "web"), "waits for job `db`, which is scaled to 0");
    world.apply(Kind::ScaleJob { key: key("db"), group: String::new(), count: 1 });
    world.apply(Kind::StopJob { key: key("db"), purge: false });
    world.settle();
    assert_eq!(told(&world, "web", "web"), "waits for job `db`, which is stopped");
    let started = world.apply(Kind::StartJob { key: key("db") });
    assert!(started.changes.jobs.contains(&key("web")), "who waits is looked at");
    (0..2).for_each(|_| world.settle_healthy());
    assert_eq!(active(&world, "web"), ["web.0", "web.1"]);
    world.check();
}

#[test]
fn a_new_version_of_both_begins_with_the_other_and_the_old_one_runs_on_meanwhile() {
    let mut world = World::new(2);
    world.put(shop(Condition::Healthy));
    (0..3).for_each(|_| world.settle_healthy());
    let mut next = shop(Condition::Healthy);
    for task in next.groups.values_mut().flat_map(|group| group.tasks.values_mut()) {
        task.env.insert("RELEASE".into(), "2".into());
    }
    world.put(next);
    world.settle();
    let web = of_group(&world, "shop", "web");
    assert!(world.alloc(web).is_active(), "nothing is stopped before its successor may begin");
    assert_eq!(told(&world, "shop", "web"), "waits for group `db` to be healthy: 0 of 1 is");
    let stopping = world.alloc(of_group(&world, "shop", "db")).desired;
    assert_eq!(stopping, proto::model::Desired::Stop(StopReason::Replaced));
    (0..5).for_each(|_| world.settle_healthy());
    assert_eq!(active(&world, "shop"), ["db.0", "web.0"]);
    assert_eq!(world.alloc(of_group(&world, "shop", "web")).work, JobVersion(2));
}

#[test]
fn a_change_of_what_is_waited_for_replaces_nothing() {
    let mut world = World::new(1);
    world.put(job("web", 1));
    (0..2).for_each(|_| world.settle_healthy());
    let before = world.live("web");
    world.put(waiting_for(job("web", 1), on(Some("nobody"), None, Condition::Healthy)));
    (0..2).for_each(|_| world.settle_healthy());
    assert_eq!((world.live("web"), told(&world, "web", "web")), (before.clone(), String::new()));
    assert_eq!(world.alloc(before[0]).version, JobVersion(2));
}

#[test]
fn a_forecast_says_what_would_wait() {
    let mut world = World::new(1);
    let told = forecast(&world.state, shop(Condition::Healthy), world.state.now).expect("a forecast");
    let why = "waits for group `db` to be healthy: 0 of 1 is".to_owned();
    let short = Shortage { count: 1, why, advice: String::new() };
    assert_eq!((told.groups["web"].waiting.clone(), told.groups["db"].placed.len()), (Some(short), 1));
    world.put(job("db", 1));
    (0..2).for_each(|_| world.settle_healthy());
    let web = waiting_for(job("web", 1), on(Some("db"), None, Condition::Healthy));
    let told = forecast(&world.state, web, world.state.now).expect("a forecast");
    assert_eq!((told.groups["web"].waiting.clone(), told.groups["web"].placed.len()), (None, 1));
}

#[test]
fn who_waits_is_found_whatever_becomes_of_either_and_after_a_snapshot() {
    let mut world = World::new(1);
    let dependents = |state: &State| state.dependents.of(&key("db")).cloned().collect::<Vec<_>>();
    world.put(waiting_for(job("web", 1), on(Some("db"), None, Condition::Healthy)));
    world.put(waiting_for(job("api", 1), on(Some("db"), Some("db"), Condition::Healthy)));
    assert_eq!(dependents(&world.state), [key("api"), key("web")]);
    let mut bytes = Vec::new();
    write_snapshot(&world.state, &mut bytes).expect("memory takes everything");
    let read = read_snapshot(&mut &*bytes).expect("a snapshot");
    assert_eq!((dependents(&read), read.check()), (vec![key("api"), key("web")], vec![]));
    world.put(job("web", 1));
    assert_eq!(dependents(&world.state), [key("api")]);
    world.apply(Kind::RevertJob { key: key("web"), to: JobVersion(1) });
    world.apply(Kind::StopJob { key: key("api"), purge: true });
    assert_eq!(dependents(&world.state), [key("web")]);
    world.put(job("db", 1));
    let purged = world.apply(Kind::StopJob { key: key("db"), purge: true });
    assert!(purged.changes.jobs.contains(&key("web")));
    assert_eq!(dependents(&world.state), [key("web")], "it waits for a job that does not exist");
    assert!(matches!(purged.outcome, Outcome::Written { changed: true, .. }));
    world.check();
}

#[test]
fn what_runs_once_per_node_waits_as_long_however_often_it_is_looked_at() {
    let mut world = World::new(2);
    let daemon = system("daemon", JobType::System);
    world.put(waiting_for(daemon, on(Some("db"), None, Condition::Started)));
    for _ in 0..3 {
        world.settle();
        assert_eq!(active(&world, "daemon"), Vec::<String>::new());
    }
    world.put(job("db", 1));
    world.settle();
    let db = world.live("db")[0];
    runs(&mut world, db);
    world.settle();
    assert_eq!(active(&world, "daemon"), ["daemon.0", "daemon.1"]);
}
