//! A snapshot takes the place of the state, the same on every server, or nothing changes.

use bytes::Bytes;
use proto::error::Kind as ErrorKind;

use super::*;
use crate::core::archive::{self, Meta};
use crate::core::state::{Authority, OperatorToken, Staging};
use crate::limits::RESTORED_NODES_WITHIN;

/// A world with a running job, and what a snapshot of it holds.
fn saved() -> (World, Vec<u8>) {
    let mut world = World::new(2);
    world.put(job("web", 3));
    world.settle_healthy();
    let bytes = archive_of(&world.state);
    (world, bytes)
}

fn archive_of(state: &State) -> Vec<u8> {
    archive::write(state, &Meta::of(state, Timestamp(7)), Vec::new()).unwrap()
}

fn bytes_of(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_snapshot(state, &mut bytes).unwrap();
    bytes
}

/// A cluster that has done nothing yet, under another name.
fn empty() -> World {
    let mut world = World::new(0);
    world.state.incarnation = Some(Incarnation(77));
    world
}

fn chunk(world: &mut World, upload: u64, offset: u64, data: &[u8]) -> Outcome {
    world.apply(Kind::RestoreChunk { upload, offset, data: Bytes::copy_from_slice(data) }).outcome
}

fn stage(world: &mut World, upload: u64, file: &[u8]) {
    let mut offset = 0;
    for part in file.chunks(100) {
        assert_eq!(chunk(world, upload, offset, part), Outcome::Done);
        offset += part.len() as u64;
    }
}

fn restore_as(world: &mut World, upload: u64, file: &[u8], life: u64, force: bool) -> Applied {
    let bytes = file.len() as u64;
    world.apply(Kind::Restore { upload, bytes, incarnation: Incarnation(life), force })
}

fn restore(world: &mut World, file: &[u8], life: u64) -> Applied {
    stage(world, life, file);
    restore_as(world, life, file, life, false)
}

fn is_written(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Written { changed: true, .. })
}

fn refusal(outcome: Outcome) -> (ErrorKind, String) {
    match outcome {
        Outcome::Refused(refusal) => (refusal.kind, refusal.message),
        other => panic!("{other:?}"),
    }
}

/// Everything but what a refused command counts, and what was staged.
fn without_counts(state: &State) -> Vec<u8> {
    bytes_of(&State { revision: Revision(0), staging: None, ..state.clone() })
}

#[test]
fn an_empty_cluster_becomes_the_one_of_the_file_in_a_new_life() {
    let (old, file) = saved();
    let mut new = empty();
    let applied = restore(&mut new, &file, 9);
    assert!(is_written(&applied.outcome), "{:?}", applied.outcome);
    new.check();
    let state = &new.state;
    assert_eq!(
        (state.incarnation, state.previous_incarnation),
        (Some(Incarnation(9)), Some(INCARNATION)),
        "an agent of the old servers is told that this is what became of them"
    );
    assert!(state.descends_from(INCARNATION) && state.descends_from(Incarnation(77)));
    assert_eq!(new.live("web"), old.live("web"), "the allocations are those of the file");
    assert!(state.next_id > old.state.next_id + (1 << 32), "no number is used twice");
    assert!(state.revision > old.state.revision);
    assert_eq!((state.reign, state.last_plan_seq), (None, 0), "nobody leads until a reign begins");
    assert!(state.staging.is_none());
    assert_eq!(applied.changes.jobs.len(), 1);
    let said = applied.changes.events.iter().map(|event| (event.kind, event.message.as_str()));
    assert_eq!(
        said.collect::<Vec<_>>(),
        [(
            EventKind::StateRestored,
            "server restored the snapshot of 1970-01-01T00:00:00.007Z: 1 jobs, 3 allocations"
        )]
    );
}

#[test]
fn an_agent_that_comes_back_keeps_what_it_runs_and_what_only_it_knows_is_told_and_not_stopped() {
    let (mut old, file) = saved();
    old.put(job("later", 1));
    old.settle_healthy();
    let unknown = old.live("later")[0];
    let mut new = empty();
    restore(&mut new, &file, 9);
    new.apply(Kind::BeginReign { server: ServerId(1), boot_nonce: 1, incarnation: Incarnation(0) });
    for number in 0..2 {
        let node = new.node(number);
        let held: Vec<_> = old.state.allocs.iter().filter(|(_, alloc)| alloc.node == node).collect();
        let held = held
            .iter()
            .map(|(id, _)| (INCARNATION, status(*id, 99, AllocState::Running, TaskPhase::Running, None)));
        new.register(number, held.collect());
    }
    new.settle();
    new.check();
    assert_eq!(new.live("web"), old.live("web"));
    for id in new.live("web") {
        let alloc = new.alloc(id);
        assert!(alloc.desired == Desired::Run && !alloc.lost && alloc.state == AllocState::Running);
    }
    let foreign: Vec<AllocId> =
        new.state.nodes.iter().flat_map(|(_, node)| node.foreign.keys().copied()).collect();
    assert_eq!(foreign, [unknown]);
    let events = new.state.events.after(Revision(0));
    assert!(events.iter().any(|event| event.kind == EventKind::AllocUnknown));
    assert!(!events.iter().any(|event| event.kind == EventKind::AllocLost));
}

#[test]
fn what_the_old_leader_and_its_sessions_have_under_way_means_nothing_in_the_new_life() {
    let (mut world, file) = saved();
    let node = world.node(0);
    let generation = world.state.nodes.get(&node).unwrap().generation;
    let plan = Plan { reign: world.state.reign.unwrap().reign, seq: 1000, ..Plan::default() };
    assert!(is_written(&restore(&mut world, &file, 9).outcome));
    let id = world.live("web")[0];
    let said = vec![status(id, 999, AllocState::Failed, TaskPhase::Ended, Some(EndReason::Exit(1)))];
    world.apply(Kind::AllocStatus { node, generation, statuses: said });
    assert_eq!(world.alloc(id).state, AllocState::Running, "a session of the life before reports nothing");
    let change = LivenessChange { node, generation, liveness: Liveness::Down };
    world.apply(Kind::NodeLiveness(vec![change]));
    assert_eq!(world.state.nodes.get(&node).unwrap().liveness, Liveness::Up);
    assert!(matches!(world.apply(Kind::ApplyPlan(plan)).outcome, Outcome::Refused(_)));
    let (identity, seen) = (node_identity(0), Some(Revision(3)));
    let overtaken = world.apply(Kind::RegisterNode { identity, held: vec![], seen });
    assert!(matches!(overtaken.outcome, Outcome::Refused(_)));
    world.check();
}

#[test]
fn a_cluster_goes_back_to_its_own_past_and_again_and_agents_of_every_life_belong_to_it() {
    let (mut world, file) = saved();
    world.put(job("later", 2));
    assert!(is_written(&restore(&mut world, &file, 9).outcome));
    assert!(world.state.jobs.get(&JobKey::new("default", "later")).is_none());
    let between = world.state.next_id;
    assert!(is_written(&restore(&mut world, &file, 10).outcome), "the same file once more");
    assert!(world.state.next_id > between && world.state.descends_from(Incarnation(9)));
    assert!(world.state.descends_from(INCARNATION));
    let younger = archive_of(&world.state);
    assert!(is_written(&restore(&mut world, &younger, 11).outcome));
    for life in [5, 9, 10] {
        assert!(world.state.descends_from(Incarnation(life)), "{life}");
    }
    assert!(!world.state.descends_from(Incarnation(11)) && !world.state.descends_from(Incarnation(12)));
    world.check();
}

#[test]
fn another_clusters_file_over_jobs_of_our_own_wants_to_be_said() {
    let (_, file) = saved();
    let mut other = empty();
    other.put(job("ours", 1));
    let before = without_counts(&other.state);
    let (kind, message) = refusal(restore(&mut other, &file, 9).outcome);
    assert_eq!(kind, ErrorKind::Refused);
    assert!(
        message.contains(&INCARNATION.to_string()) && message.ends_with("with 1 jobs of its own"),
        "{message}"
    );
    assert!(without_counts(&other.state) == before, "nothing changed");
    assert!(is_written(&restore_as(&mut other, 9, &file, 9, true).outcome), "what was staged is still there");
}

#[test]
fn what_is_damaged_or_not_whole_changes_nothing() {
    let (mut world, file) = saved();
    let before = without_counts(&world.state);
    let mut damaged = file.clone();
    let last = damaged.len() - 30;
    damaged[last] ^= 4;
    let (kind, message) = refusal(restore(&mut world, &damaged, 9).outcome);
    assert_eq!(kind, ErrorKind::Invalid);
    assert!(message.contains("it is damaged: a checksum does not match, at block 0"), "{message}");
    let cut = &file[..file.len() - 100];
    stage(&mut world, 10, cut);
    assert_eq!(refusal(restore_as(&mut world, 10, &file, 10, false).outcome).0, ErrorKind::Conflict);
    assert_eq!(refusal(restore_as(&mut world, 11, cut, 11, false).outcome).0, ErrorKind::Conflict);
    assert!(refusal(restore_as(&mut world, 10, cut, 10, false).outcome).1.contains("it ends early"));
    assert!(without_counts(&world.state) == before);
}

#[test]
fn parts_follow_each_other_and_one_that_comes_again_changes_nothing() {
    let mut world = World::new(0);
    assert_eq!(refusal(chunk(&mut world, 1, 5, b"later")).0, ErrorKind::Conflict, "nothing was begun");
    assert_eq!(refusal(chunk(&mut world, 1, 0, b"")).0, ErrorKind::Invalid);
    assert!(world.state.staging.is_none(), "what a snapshot cannot hold is not there");
    assert_eq!(chunk(&mut world, 1, 0, b"01234"), Outcome::Done);
    assert_eq!(chunk(&mut world, 1, 5, b"56789"), Outcome::Done);
    assert_eq!(chunk(&mut world, 1, 5, b"56789"), Outcome::Done);
    assert_eq!(chunk(&mut world, 1, 0, b"01234"), Outcome::Done);
    assert_eq!(refusal(chunk(&mut world, 1, 11, b"x")).0, ErrorKind::Conflict);
    let bytes = |world: &World| world.state.staging.as_ref().map(Staging::bytes);
    assert_eq!(bytes(&world), Some(10));
    assert_eq!(refusal(chunk(&mut world, 2, 5, b"x")).0, ErrorKind::Conflict);
    assert_eq!(bytes(&world), Some(10), "another restore that has not begun drops nothing");
    assert_eq!(chunk(&mut world, 2, 0, b"x"), Outcome::Done);
    assert_eq!(bytes(&world), Some(1), "one that begins does");
    world.pass(11 * 60_000);
    world.apply(Kind::NodeLiveness(vec![]));
    assert_eq!(bytes(&world), None, "nobody has sent more of it");
}

#[test]
fn a_server_that_starts_from_a_snapshot_half_way_restores_to_the_same_bytes() {
    let (_, file) = saved();
    let (half, rest) = file.split_at(file.len() / 2);
    let mut one = empty();
    chunk(&mut one, 9, 0, half);
    let mut other = empty();
    other.state = read_snapshot(&mut bytes_of(&one.state).as_slice()).unwrap();
    for world in [&mut one, &mut other] {
        chunk(world, 9, half.len() as u64, rest);
        assert!(is_written(&restore_as(world, 9, &file, 9, false).outcome));
        world.apply(Kind::BeginReign { server: ServerId(2), boot_nonce: 2, incarnation: Incarnation(3) });
        assert_eq!(world.state.incarnation, Some(Incarnation(9)));
    }
    assert!(bytes_of(&one.state) == bytes_of(&other.state));
    let again = read_snapshot(&mut bytes_of(&one.state).as_slice()).unwrap();
    assert!(bytes_of(&again) == bytes_of(&one.state) && again.restored == one.state.restored);
}

#[test]
fn a_restore_that_is_asked_for_again_is_answered_and_not_done_again() {
    let (_, file) = saved();
    let mut world = empty();
    stage(&mut world, 9, &file);
    let (bytes, incarnation) = (file.len() as u64, Incarnation(9));
    let ask = Command {
        request: RequestId(1),
        ..Command::own(Timestamp(50), Kind::Restore { upload: 9, bytes, incarnation, force: false })
    };
    let first = world.state.apply(ask.clone()).outcome;
    world.put(job("since", 1));
    assert_eq!(world.state.apply(ask).outcome, first);
    assert!(world.state.jobs.get(&JobKey::new("default", "since")).is_some());
}

#[test]
fn nodes_have_time_to_find_the_servers_after_a_restore() {
    use crate::core::rules::liveness::Leases;
    use proto::time::BootTime;

    let (_, file) = saved();
    let mut world = empty();
    restore(&mut world, &file, 9);
    world.apply(Kind::BeginReign { server: ServerId(1), boot_nonce: 1, incarnation: Incarnation(0) });
    world.register(0, vec![]);
    let mut leases = Leases::begin(&world.state, BootTime(0));
    let timeout = proto::time::millis(world.state.settings.node_timeout);
    let mut lost_at = std::collections::BTreeMap::new();
    for now in (0..70_000).step_by(100) {
        for change in leases.decide(&world.state, BootTime(now)) {
            lost_at.entry(change.node).or_insert(now);
        }
    }
    assert_eq!(lost_at.get(&world.node(0)), Some(&timeout), "one that has come back has an ordinary lease");
    let within = proto::time::millis(RESTORED_NODES_WITHIN);
    assert_eq!(lost_at.get(&world.node(1)), Some(&within));
}

#[test]
fn the_servers_stay_one_cluster_with_the_ca_that_they_have() {
    let mut old = saved().0;
    let authority = |trust: &str| Kind::PutAuthority(Authority { sealed: vec![1], trust: trust.into() });
    old.apply(authority("of the lost servers"));
    let token = |hash: u8| OperatorToken { hash: [hash; 32], first: false };
    old.apply(Kind::PutOperatorToken(token(1)));
    let file = archive_of(&old.state);
    let mut world = empty();
    world.apply(authority("of these servers"));
    world.apply(Kind::PutOperatorToken(token(2)));
    for life in [99, 100] {
        assert!(is_written(&restore(&mut world, &file, life).outcome));
        assert_eq!(world.state.incarnation, Some(Incarnation(life)));
        assert_eq!(world.state.cluster_id(), Some(Incarnation(77)), "what Raft and those who join go by");
        let there = world.state.authority.as_ref().map(|authority| authority.trust.as_str());
        assert_eq!(there, Some("of these servers"), "their certificates are of it");
        assert_eq!(world.state.operator_token, Some(token(2)), "who restored is not locked out by it");
    }
    let read = read_snapshot(&mut bytes_of(&world.state).as_slice()).unwrap();
    assert_eq!(read.cluster_id(), Some(Incarnation(77)), "also after a restart");
}
