use std::collections::BTreeMap;
use std::time::Duration;

use proto::ids::{AllocId, JobVersion, NodeId, Revision};
use proto::model::{AllocState, EndReason, JobType, TaskEnd};
use proto::view::{Health, JobSummary, Waiting};

use super::*;

const NOW: Timestamp = Timestamp(1_000_000);

fn goal() -> Goal {
    Goal { version: JobVersion(2), revision: Revision(10), changed: true, to_the_end: false }
}

/// A job `web` with one group of `wanted`, at revision 10.
fn job(health: Health, wanted: u32, allocs: Vec<AllocView>) -> JobStatus {
    let running = allocs.iter().filter(|alloc| alloc.state == AllocState::Running).count() as u32;
    let healthy = allocs.iter().filter(|alloc| alloc.healthy).count() as u32;
    let group = GroupStatus { wanted, running, healthy, complete: 0, waiting: None, next_at: None };
    JobStatus {
        summary: JobSummary {
            namespace: "default".into(),
            name: "web".into(),
            kind: JobType::Service,
            version: JobVersion(2),
            health,
            wanted,
            running,
            healthy,
            down_since: None,
            why: String::new(),
            origin: None,
        },
        created_at: Timestamp(0),
        submitted_at: Timestamp(0),
        revision: Revision(10),
        groups: BTreeMap::from([("web".to_owned(), group)]),
        allocs,
    }
}

fn alloc(index: u32, state: AllocState) -> AllocView {
    AllocView {
        id: AllocId(u64::from(index) + 1),
        name: format!("web.web.{index}"),
        namespace: "default".into(),
        job: "web".into(),
        version: JobVersion(2),
        group: "web".into(),
        index,
        node: NodeId(1),
        node_name: "n1".into(),
        desired: "run".into(),
        stop_reason: String::new(),
        state,
        healthy: false,
        lost: false,
        draining: false,
        created_at: Timestamp(0),
        ended_at: state.has_ended().then_some(Timestamp(5)),
        ports: BTreeMap::new(),
        replaces: None,
        replacements: 0,
        next: String::new(),
        tasks: vec![task("running")],
    }
}

fn task(phase: &str) -> TaskView {
    TaskView {
        name: "web".into(),
        phase: phase.into(),
        attempt: 1,
        window_try: 1,
        window_tries: Some(4),
        pid: None,
        started_at: None,
        next_start_at: None,
        last_end: None,
        last_end_text: String::new(),
        usage: None,
    }
}

fn end(reason: EndReason, at: u64) -> TaskEnd {
    TaskEnd { reason, at: Timestamp(at), ran: Duration::from_secs(2), tail: "one\ntwo\n".into() }
}

/// An allocation whose task has died, the try of the window and how many there are.
fn dying(window_try: u32, window_tries: Option<u32>) -> AllocView {
    let dead = TaskView {
        attempt: window_try,
        window_try,
        window_tries,
        next_start_at: Some(NOW.plus(Duration::from_secs(4))),
        last_end: Some(end(EndReason::Exit(7), 100 + u64::from(window_try))),
        ..task("backoff")
    };
    AllocView { tasks: vec![dead], ..alloc(0, AllocState::Running) }
}

fn failed(index: u32) -> AllocView {
    let ended =
        TaskView { attempt: 4, window_try: 4, last_end: Some(end(EndReason::Exit(7), 100)), ..task("ended") };
    AllocView { tasks: vec![ended], ..alloc(index, AllocState::Failed) }
}

fn batch(mut status: JobStatus) -> JobStatus {
    status.summary.kind = JobType::Batch;
    status
}

fn texts(seen: &Seen) -> Vec<&str> {
    seen.lines.iter().map(|line| line.text.as_str()).collect()
}

fn outcome(seen: &Seen) -> &Outcome {
    match &seen.verdict {
        Verdict::Over(outcome) => outcome,
        other => panic!("not over: {other:?}"),
    }
}

#[test]
fn a_service_is_followed_until_all_of_it_is_healthy() {
    let mut follower = Follower::new(goal());
    let seen = follower.see(job(Health::Pending, 2, vec![alloc(0, AllocState::Pending)]), NOW);
    assert_eq!((texts(&seen), &seen.verdict), (vec![], &Verdict::Going));

    let both = vec![alloc(0, AllocState::Running), alloc(1, AllocState::Running)];
    let seen = follower.see(job(Health::Pending, 2, both.clone()), NOW);
    assert_eq!(texts(&seen), ["web.web.0: running on n1", "web.web.1: running on n1"]);
    assert_eq!(seen.verdict, Verdict::Going);

    let healthy = both.into_iter().map(|alloc| AllocView { healthy: true, ..alloc }).collect();
    let seen = follower.see(job(Health::Healthy, 2, healthy), NOW);
    assert_eq!(texts(&seen), ["web.web.0: healthy on n1", "web.web.1: healthy on n1"]);
    assert_eq!(outcome(&seen), &Outcome::Healthy);
}

#[test]
fn the_same_document_twice_says_nothing_the_second_time() {
    let mut follower = Follower::new(goal());
    let mut status = job(Health::Pending, 3, vec![dying(2, Some(4)), failed(1)]);
    status.groups.get_mut("web").expect("there").waiting =
        Some(Waiting { count: 1, why: "no node".into(), advice: String::new() });
    assert!(!follower.see(status.clone(), NOW).lines.is_empty());
    assert_eq!(follower.see(status, NOW).lines, []);
}

#[test]
fn a_document_from_before_the_submission_is_not_believed() {
    let mut follower = Follower::new(goal());
    let mut lagging = job(Health::Healthy, 1, vec![]);
    lagging.revision = Revision(9);
    assert_eq!(follower.see(lagging, NOW).verdict, Verdict::Going);
    let mut older = job(Health::Healthy, 1, vec![]);
    older.summary.version = JobVersion(1);
    assert_eq!(follower.see(older, NOW).verdict, Verdict::Going);
    assert!(follower.last().is_none());
}

#[test]
fn every_try_that_dies_is_told_once_with_its_reason_and_its_last_output() {
    let mut follower = Follower::new(goal());
    let seen = follower.see(job(Health::Failing, 1, vec![dying(2, Some(4))]), NOW);
    assert_eq!(
        texts(&seen),
        ["web.web.0: exit code 7 after 2s; next try (2 of 4) in 4s", "web.web.0: running on n1"]
    );
    assert_eq!(seen.lines[0].tail, ["one", "two"]);
    assert_eq!(seen.verdict, Verdict::Going, "there are tries left");
    let seen = follower.see(job(Health::Failing, 1, vec![dying(3, Some(4))]), NOW);
    assert_eq!(texts(&seen), ["web.web.0: exit code 7 after 2s; next try (3 of 4) in 4s"]);
}

#[test]
fn a_failed_allocation_ends_it_with_the_reason_and_when_servers_try_again() {
    let mut follower = Follower::new(goal());
    let next = "placed anew at 2023-11-14T22:13:26.000Z";
    let status = job(Health::Failing, 1, vec![AllocView { next: next.into(), ..failed(0) }]);
    let seen = follower.see(status, NOW);
    assert_eq!(texts(&seen), [""; 0], "it is told in full with the outcome");
    let Outcome::Failed(trouble) = outcome(&seen) else { panic!("{seen:?}") };
    assert_eq!(trouble.alloc, "web.web.0");
    assert_eq!(trouble.why, "exit code 7 (try 4 of 4)");
    assert_eq!(trouble.tail, "one\ntwo\n");
    assert_eq!((trouble.next.as_str(), trouble.next_at), (next, None));
}

#[test]
fn tries_that_are_used_up_end_it_also_where_the_allocation_stays() {
    let mut follower = Follower::new(goal());
    let seen = follower.see(job(Health::Failing, 1, vec![dying(4, Some(4))]), NOW);
    let Outcome::Failed(trouble) = outcome(&seen) else { panic!("{seen:?}") };
    assert_eq!(
        (trouble.why.as_str(), trouble.after_tries),
        ("exit code 7", Some(3)),
        "the fourth is to come"
    );
}

#[test]
fn a_service_that_ends_well_has_failed_and_says_so() {
    let exit = |alloc: AllocView| {
        let last_end = Some(end(EndReason::Exit(0), 100));
        let tasks = alloc.tasks.into_iter().map(|task| TaskView { last_end: last_end.clone(), ..task });
        AllocView { tasks: tasks.collect(), ..alloc }
    };
    for (alloc, tries) in [(exit(failed(0)), " (try 4 of 4)"), (exit(dying(4, Some(4))), "")] {
        let seen = Follower::new(goal()).see(job(Health::Failing, 1, vec![alloc]), NOW);
        let Outcome::Failed(trouble) = outcome(&seen) else { panic!("{seen:?}") };
        let why = format!("exit code 0, and a service is started again whenever it ends{tries}");
        assert_eq!((&trouble.why, &trouble.reason), (&why, &Some(EndReason::Exit(0))));
    }
}

#[test]
fn the_first_bad_end_explains_what_it_took_down_with_it() {
    let ended = |name: &str, reason: EndReason, at: u64| TaskView {
        name: name.into(),
        last_end: Some(end(reason, at)),
        ..task("ended")
    };
    let tasks = vec![
        ended("server", EndReason::Stopped, 300),
        ended("shipper", EndReason::Exit(7), 100),
        ended("tail", EndReason::Signal(9), 200),
    ];
    let trouble = alloc_trouble(&AllocView { tasks, ..alloc(0, AllocState::Failed) });
    assert_eq!(trouble.why, "shipper: exit code 7");
}

#[test]
fn what_the_submission_told_of_a_wait_is_not_told_again() {
    let waits = Waiting { count: 3, why: "1 of 1 nodes lacks memory".into(), advice: String::new() };
    let group = proto::view::GroupPlacement { waiting: Some(waits.clone()), ..Default::default() };
    let placement = Placement { groups: BTreeMap::from([("web".to_owned(), group)]) };
    let mut status = job(Health::Waiting, 3, vec![]);
    status.groups.get_mut("web").expect("there").waiting = Some(waits);
    let mut follower = Follower::new(goal()).knowing(Some(&placement));
    assert_eq!(texts(&follower.see(status, NOW)), [""; 0]);
    let seen = follower.see(job(Health::Pending, 3, vec![]), NOW);
    assert_eq!(texts(&seen), ["web: nothing waits any more"]);
}

#[test]
fn what_is_tried_for_ever_and_keeps_dying_is_a_failure_too() {
    let mut follower = Follower::new(goal());
    let seen = follower.see(job(Health::Failing, 1, vec![dying(3, None)]), NOW);
    assert_eq!(seen.verdict, Verdict::Going);
    let seen = follower.see(job(Health::Failing, 1, vec![dying(4, None)]), NOW);
    let Outcome::Failed(trouble) = outcome(&seen) else { panic!("{seen:?}") };
    assert_eq!((trouble.why.as_str(), trouble.after_tries), ("exit code 7", Some(4)));
}

#[test]
fn failures_of_an_older_version_are_not_its_own() {
    let mut follower = Follower::new(goal());
    let old = AllocView { version: JobVersion(1), ..failed(0) };
    let seen = follower.see(job(Health::Pending, 1, vec![old]), NOW);
    assert_eq!((texts(&seen), &seen.verdict), (vec![], &Verdict::Going));
}

#[test]
fn of_what_a_change_found_only_what_becomes_of_it_is_told() {
    let old = AllocView { version: JobVersion(1), healthy: true, ..alloc(0, AllocState::Running) };
    let dead = AllocView { version: JobVersion(1), id: AllocId(8), ..dying(2, Some(4)) };
    let mut follower = Follower::new(goal());
    let seen = follower.see(job(Health::Pending, 1, vec![old.clone(), dead]), NOW);
    assert_eq!(texts(&seen), [""; 0], "it was there before");

    let new = AllocView { id: AllocId(9), ..alloc(0, AllocState::Running) };
    let stopped = AllocView { state: AllocState::Stopped, stop_reason: "replaced".into(), ..old };
    let seen = follower.see(job(Health::Pending, 1, vec![new, stopped]), NOW);
    assert_eq!(texts(&seen), ["web.web.0: running on n1", "web.web.0: stopped (replaced)"]);
}

#[test]
fn what_had_failed_before_the_job_was_stopped_is_not_a_failure_of_the_job_started_again() {
    let mut follower = Follower::new(goal());
    let anew = AllocView { id: AllocId(9), ..alloc(0, AllocState::Starting) };
    let seen = follower.see(job(Health::Pending, 1, vec![anew, failed(0)]), NOW);
    assert_eq!((texts(&seen), &seen.verdict), (vec![], &Verdict::Going));

    let in_its_place =
        AllocView { id: AllocId(9), replaces: Some(AllocId(1)), ..alloc(0, AllocState::Starting) };
    let seen = Follower::new(goal()).see(job(Health::Failing, 1, vec![in_its_place, failed(0)]), NOW);
    assert!(matches!(outcome(&seen), Outcome::Failed(_)), "its own failure, however soon: {seen:?}");
}

#[test]
fn the_same_file_again_fails_at_once_while_the_job_is_failing_and_else_forgives_the_past() {
    let unchanged = Goal { changed: false, ..goal() };
    let seen = Follower::new(unchanged).see(job(Health::Failing, 1, vec![failed(0)]), NOW);
    assert!(matches!(outcome(&seen), Outcome::Failed(_)));
    let mut follower = Follower::new(unchanged);
    assert_eq!(follower.see(job(Health::Pending, 1, vec![failed(0)]), NOW).verdict, Verdict::Going);
    let seen = follower.see(job(Health::Failing, 1, vec![failed(0), failed(1)]), NOW);
    assert!(matches!(outcome(&seen), Outcome::Failed(trouble) if trouble.alloc == "web.web.1"));
}

#[test]
fn a_batch_job_is_over_when_it_runs_and_with_wait_when_it_has_ended() {
    let running = || batch(job(Health::Healthy, 1, vec![alloc(0, AllocState::Running)]));
    assert_eq!(outcome(&Follower::new(goal()).see(running(), NOW)), &Outcome::Healthy);
    let mut follower = Follower::new(Goal { to_the_end: true, ..goal() });
    assert_eq!(follower.see(running(), NOW).verdict, Verdict::Going);
    let seen = follower.see(batch(job(Health::Complete, 1, vec![alloc(0, AllocState::Complete)])), NOW);
    assert_eq!(texts(&seen), ["web.web.0: complete"]);
    assert_eq!(outcome(&seen), &Outcome::Complete);
}

#[test]
fn a_batch_job_has_failed_only_when_no_replacement_follows() {
    let mut follower = Follower::new(Goal { to_the_end: true, ..goal() });
    let seen = follower.see(batch(job(Health::Failing, 1, vec![failed(0)])), NOW);
    assert!(matches!(seen.verdict, Verdict::Doubtful(_)), "the servers may not have decided yet: {seen:?}");

    let again = AllocView { id: AllocId(9), replaces: Some(AllocId(1)), ..alloc(0, AllocState::Starting) };
    let seen = follower.see(batch(job(Health::Pending, 1, vec![again.clone(), failed(0)])), NOW);
    assert_eq!((texts(&seen), &seen.verdict), (vec!["web.web.0: placed anew on n1"], &Verdict::Going));

    let last = AllocView { id: AllocId(9), ended_at: Some(Timestamp(9)), ..failed(0) };
    let end = batch(job(Health::Failing, 1, vec![last, failed(0)]));
    assert!(matches!(follower.see(end.clone(), NOW).verdict, Verdict::Doubtful(_)));
    assert!(matches!(follower.see(end, NOW).verdict, Verdict::Over(Outcome::Failed(_))));
}

#[test]
fn what_cannot_be_placed_is_told_whenever_the_cause_changes() {
    let waiting = |why: Option<&str>| {
        let mut status = job(Health::Waiting, 3, vec![]);
        let group = status.groups.get_mut("web").expect("there");
        group.waiting = why.map(|why| Waiting { count: 2, why: why.into(), advice: String::new() });
        status
    };
    let mut follower = Follower::new(goal());
    let seen = follower.see(waiting(Some("2 of 2 nodes lack memory")), NOW);
    assert_eq!(texts(&seen), ["web: 2 of 3 wait: 2 of 2 nodes lack memory"]);
    assert_eq!(seen.verdict, Verdict::Going);
    assert_eq!(
        texts(&follower.see(waiting(Some("no node is up")), NOW)),
        ["web: 2 of 3 wait: no node is up"]
    );
    assert_eq!(texts(&follower.see(waiting(None), NOW)), ["web: nothing waits any more"]);
}

#[test]
fn a_job_that_is_stopped_or_submitted_again_meanwhile_is_over() {
    let seen = Follower::new(goal()).see(job(Health::Stopped, 0, vec![]), NOW);
    assert_eq!(outcome(&seen), &Outcome::Stopped);
    let mut newer = job(Health::Healthy, 1, vec![]);
    newer.summary.version = JobVersion(3);
    assert_eq!(outcome(&Follower::new(goal()).see(newer, NOW)), &Outcome::Superseded(JobVersion(3)));
}

#[test]
fn a_thousand_allocations_that_do_the_same_are_one_line() {
    let many = (0..1000).map(|index| alloc(index, AllocState::Running)).collect();
    let seen = Follower::new(goal()).see(job(Health::Pending, 1000, many), NOW);
    assert_eq!(texts(&seen), ["web: 1000 running, such as web.web.0: running on n1"]);
}

#[test]
fn a_lost_node_is_told_and_its_replacement_too() {
    let mut follower = Follower::new(goal());
    let running = alloc(0, AllocState::Running);
    follower.see(job(Health::Pending, 1, vec![running.clone()]), NOW);
    let lost = AllocView { lost: true, ..running };
    let again = AllocView {
        id: AllocId(7),
        replaces: Some(lost.id),
        node_name: "n2".into(),
        ..alloc(0, AllocState::Pending)
    };
    let seen = follower.see(job(Health::Pending, 1, vec![again, lost]), NOW);
    assert_eq!(texts(&seen), ["web.web.0: placed anew on n2", "web.web.0: its node n1 is lost"]);
}

#[test]
fn live_lines_say_how_many_and_what_is_the_matter() {
    let texts = |status: &JobStatus| -> Vec<String> {
        live_lines(status, NOW).into_iter().map(|line| line.text).collect()
    };
    let status = job(Health::Failing, 1, vec![dying(2, Some(4))]);
    assert_eq!(
        texts(&status),
        ["web  1 wanted, 1 running, 0 healthy - exit code 7; next try (2 of 4) in 4s"]
    );
    let mut status = job(Health::Failing, 1, vec![failed(0)]);
    status.groups.get_mut("web").expect("there").next_at = Some(NOW.plus(Duration::from_secs(5)));
    assert_eq!(texts(&status), ["web  1 wanted, 0 running, 0 healthy - placed anew in 5s"]);
}
