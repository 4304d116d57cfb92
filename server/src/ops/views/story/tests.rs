//! Stories as people read them.

use std::time::Duration;

use proto::ids::{AllocId, JobKey};
use proto::model::{AllocState, EndReason, TaskPhase, TaskStatus};
use proto::view::{Sentence, Story};

use super::*;
use crate::core::state::Kind;
use crate::ops::testing::{START, World, batch, end, job, running};

/// A story line by line, with the seconds since the world began.
fn told(story: &Story) -> String {
    let mut lines = vec![story.headline.clone()];
    let parts = [("past", &story.past), ("present", &story.present), ("next", &story.next)];
    for (heading, sentences) in parts {
        lines.extend(sentences.iter().map(|one| format!("{heading} {} {}", second(one), one.text)));
    }
    lines.join("\n")
}

fn second(sentence: &Sentence) -> String {
    sentence.at.map_or_else(|| "-".to_owned(), |at| at.since(START).as_secs().to_string())
}

#[track_caller]
fn check(story: &Story, expected: &str) {
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(told(story), expected.join("\n"), "\n{}\n", told(story));
}

fn of_web(world: &World) -> Story {
    of_job(&world.state, world.state.jobs.get(&JobKey::new("default", "web")).expect("the job"), world.now)
}

fn of_one(world: &World, id: AllocId) -> Story {
    of_alloc(&world.state, world.state.allocs.get(id).expect("the allocation"))
}

fn failed(world: &World, phase: TaskPhase) -> TaskStatus {
    let last_end = Some(end(EndReason::Exit(7), world.now, Duration::from_secs(9)));
    TaskStatus { phase, window_try: 2, attempt: 2, pid: 0, last_end, ..running("web", world.now) }
}

#[test]
fn a_healthy_allocation_tells_why_it_is_where_it_is() {
    let mut world = World::new(3);
    world.put(&job("web", 1));
    let id = world.place("web", 0, 2);
    world.healthy(id);
    check(
        &of_one(&world, id),
        &format!(
            "
        web.web.0 ({id}) on n2 is healthy
        past 0 task web of web.web.0 started (pid 4711)
        present 0 web.web.0 was placed on n2; 3 of 3 nodes could take it, and n2 had none of its group and is filled best by it
        present 0 web.web.0 is healthy
        "
        ),
    );
}

#[test]
fn a_crash_loop_tells_how_it_ended_and_when_it_is_tried_again() {
    let mut world = World::new(1);
    world.put(&job("web", 1));
    let id = world.place("web", 0, 1);
    world.healthy(id);
    world.pass(60);
    let until = world.now.plus(Duration::from_secs(2));
    world.report(id, AllocState::Running, vec![failed(&world, TaskPhase::Backoff(until))]);
    let story = of_web(&world);
    check(
        &story,
        "
        web is failing: web.web.0 on n1: task web: exit code 7; try 2 of 4 at 2023-11-14T22:14:23.000Z
        past 0 job `web` was submitted
        past 61 task web of web.web.0 ended: exit code 7; try 2 of 4 at 2023-11-14T22:14:23.000Z
        present 0 version 1 was made by server
        present 0 web.web.0 was placed on n1; it is the only node
        present 61 task web of web.web.0 waits for try 2 of 4; its last try ended after 9s: exit code 7
        next 63 try 2 of 4 of task web of web.web.0
        ",
    );
    assert_eq!(story.present[2].tail, "boom\n", "the last lines of output belong to the end");
}

#[test]
fn what_has_no_place_says_why_and_when_it_gets_one() {
    let mut world = World::new(2);
    world.put(&job("web", 1));
    world.wait("web", 1, "2 of 2 nodes lack memory (16GiB asked)");
    check(
        &of_web(&world),
        "
        web is waiting: 1 allocation of web cannot be placed: 2 of 2 nodes lack memory (16GiB asked)
        past 0 job `web` was submitted
        past 0 1 allocation of job `web` cannot be placed: 2 of 2 nodes lack memory (16GiB asked)
        present 0 version 1 was made by server
        present 0 1 of web.web has no place: 2 of 2 nodes lack memory (16GiB asked)
        next - web.web is placed as soon as a node can take it
        ",
    );
}

#[test]
fn a_replacement_tells_what_it_replaces_and_the_lost_one_where_it_went() {
    let mut world = World::new(2);
    world.put(&job("web", 1));
    let first = world.place("web", 0, 1);
    world.healthy(first);
    world.pass(10);
    world.lose(1);
    let second = world.place("web", 0, 2);
    let story = told(&of_one(&world, second));
    assert!(
        story.contains(&format!("present 11 it replaces {first}, which was lost with node n1")),
        "{story}"
    );
    let story = told(&of_one(&world, first));
    assert!(story.contains("present 11 web.web.0 is lost: its node does not answer"), "{story}");
    assert!(
        story.ends_with(&format!("next - {second} took its place: `minijob why web.web.0` tells of that")),
        "{story}"
    );
}

#[test]
fn what_was_given_up_says_what_a_person_can_do() {
    let mut world = World::new(1);
    let mut hopeless = job("web", 1);
    hopeless
        .groups
        .values_mut()
        .for_each(|group| group.restart.on_exhausted = proto::model::OnExhausted::Fail);
    world.put(&hopeless);
    let id = world.place("web", 0, 1);
    world.report(id, AllocState::Failed, vec![failed(&world, TaskPhase::Ended)]);
    let story = told(&of_one(&world, id));
    let next = "next - web.web.0 is not tried again: once the cause is gone, `minijob restart web.web.0`";
    assert!(story.ends_with(next), "{story}");
    assert!(told(&of_web(&world)).ends_with(next));
}

#[test]
fn what_the_only_node_cannot_start_promises_nothing() {
    let mut world = World::new(1);
    world.put(&job("web", 1));
    let id = world.place("web", 0, 1);
    let reason = EndReason::StartFailed { step: "exec".into(), errno: 2, message: "no such file".into() };
    let last_end = Some(end(reason, world.now, Duration::ZERO));
    world.report(id, AllocState::Failed, vec![TaskStatus { last_end, ..failed(&world, TaskPhase::Ended) }]);
    world.pass(60);
    world.wait("web", 1, "1 of 1 node cannot start it (could not start: no such file)");
    let next = "next - web.web.0 is not tried again: n1 is left out for this version, and there is no other node; mend the cause, then `minijob restart web`, or run the mended file";
    for story in [of_web(&world), of_one(&world, id)] {
        assert!(told(&story).ends_with(next), "{}", told(&story));
        assert_eq!(story.next.len(), 1, "{}", told(&story));
        let present = story.present.iter().filter(|one| one.text.contains("no place"));
        assert_eq!(present.count(), 0, "it does not wait for a place: {}", told(&story));
    }
}

#[test]
fn an_allocation_between_two_tries_begins_with_that_and_shows_its_output_once() {
    let mut world = World::new(1);
    world.put(&job("web", 1));
    let id = world.place("web", 0, 1);
    let until = world.now.plus(Duration::from_secs(8));
    world.report(id, AllocState::Running, vec![failed(&world, TaskPhase::Backoff(until))]);
    let story = of_one(&world, id);
    let headline = format!("web.web.0 ({id}) on n1 waits for try 2 of 4 at 2023-11-14T22:13:28.000Z");
    assert_eq!(story.headline, headline);
    let sentences = [&story.past, &story.present, &story.next].into_iter().flatten();
    assert_eq!(sentences.filter(|one| one.tail == "boom\n").count(), 1, "{story:?}");
}

#[test]
fn an_end_while_the_agent_was_away_has_the_time_of_the_end() {
    let mut world = World::new(1);
    world.put(&batch("web", 1));
    let id = world.place("web", 0, 1);
    world.report(id, AllocState::Running, vec![running("web", world.now)]);
    world.pass(12);
    let last_end = Some(end(EndReason::Exit(0), world.now, Duration::from_secs(12)));
    let ended = TaskStatus { phase: TaskPhase::Ended, pid: 0, last_end, ..running("web", START) };
    world.pass(30);
    world.report(id, AllocState::Complete, vec![ended]);
    let story = of_one(&world, id);
    let told = told(&story);
    assert!(told.contains("present 12 web.web.0 has ended: complete"), "{told}");
    let past = "task web of web.web.0 ended: exit code 0 (2023-11-14T22:13:32.000Z, reported later)";
    assert!(told.contains(past), "{told}");
}

#[test]
fn a_service_that_ends_well_is_told_of_batch_jobs() {
    let mut world = World::new(1);
    world.put(&job("web", 1));
    let id = world.place("web", 0, 1);
    let last_end = Some(end(EndReason::Exit(0), world.now, Duration::from_secs(1)));
    let until = world.now.plus(Duration::from_secs(2));
    let between = TaskStatus { last_end, ..failed(&world, TaskPhase::Backoff(until)) };
    world.report(id, AllocState::Running, vec![between.clone()]);
    let advice = |story: &Story| {
        let last = story.next.last().map(|one| one.text.clone()).unwrap_or_default();
        assert!(last.contains("`type: batch`") && last.contains("`minijob run --batch -- CMD`"), "{story:?}");
    };
    advice(&of_web(&world));
    advice(&of_one(&world, id));
    world.report(id, AllocState::Failed, vec![TaskStatus { phase: TaskPhase::Ended, ..between }]);
    advice(&of_web(&world));
    advice(&of_one(&world, id));
}

#[test]
fn a_job_that_is_scaled_to_0_is_not_called_healthy() {
    let mut world = World::new(1);
    world.put(&job("web", 0));
    assert_eq!(of_web(&world).headline, "web is scaled to 0");
}

#[test]
fn a_stop_and_a_restart_are_told_with_who_asked() {
    let mut world = World::new(1);
    world.put(&job("web", 1));
    let id = world.place("web", 0, 1);
    world.healthy(id);
    world.apply(Kind::RestartAlloc { alloc: id });
    let story = told(&of_one(&world, id));
    assert!(story.contains("past 1 web.web.0 is to stop: a person asked for a restart"), "{story}");
    assert!(story.contains("present - servers want web.web.0 to end: restarted"), "{story}");
    world.stop("web");
    let story = told(&of_web(&world));
    assert!(story.contains("past 1 job `web` was stopped by server"), "{story}");
    assert!(story.ends_with("next - it stays stopped; `minijob start web` starts it again"), "{story}");
}

#[test]
fn the_story_of_a_large_job_stays_short() {
    let mut world = World::new(1);
    let mut large = job("web", 30);
    large.groups.values_mut().for_each(|group| group.ports.clear());
    world.put(&large);
    for index in 0..30 {
        world.place("web", index, 1);
    }
    let story = of_web(&world);
    assert_eq!(story.present.len(), 1 + STORY_ALLOCS + 1);
    assert_eq!(
        story.present.last().map(|one| one.text.as_str()),
        Some("and 20 more; `minijob status web` lists them")
    );
}
