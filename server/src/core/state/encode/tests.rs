//! What is written can be read for ever, and what was never written does no harm.

mod commands;

use std::collections::BTreeMap;

use proptest::prelude::*;
use proto::ids::{AllocId, JobKey};
use proto::model::{
    AllocState, AllocStatus, Condition, Dependency, Eligibility, EndReason, Port, TaskEnd, TaskPhase,
    TaskStatus,
};
use proto::time::Timestamp;

use super::*;
use crate::core::rules::{Collect, Rule};
use crate::core::state::{Authority, Command, Denied, DrainStep, Kind, OperatorToken, Settings, State};
use crate::core::testing::{World, batch, job};

fn bytes_of(state: &State) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_snapshot(state, &mut bytes).expect("memory takes everything");
    bytes
}

fn read(bytes: &[u8]) -> Result<State, BadRecord> {
    read_snapshot(&mut &*bytes)
}

/// Something that happens to a world.
#[derive(Clone, Debug)]
enum Turn {
    Put { name: usize, count: u32, release: u32, is_batch: bool, port: Option<u16> },
    Stop { name: usize, purge: bool },
    Ask { name: usize, what: usize, number: u32 },
    Restart { at: usize },
    Forget(u64),
    Settle,
    Lose(u64),
    Return(u64),
    Drain(u64, DrainStep),
    Cordon(u64, bool),
    End { at: usize, code: i32, hopeless: bool },
    Collect,
    Tighten,
    Member(u64, bool),
    Pass(u64),
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let put = (0usize..3, 0u32..6, 0u32..4, any::<bool>(), proptest::option::of(8000u16..8002)).prop_map(
        |(name, count, release, is_batch, port)| Turn::Put { name, count, release, is_batch, port },
    );
    let turn = prop_oneof![
        4 => put,
        1 => (0usize..3, any::<bool>()).prop_map(|(name, purge)| Turn::Stop { name, purge }),
        4 => (0usize..3, 0usize..5, 0u32..6).prop_map(|(name, what, number)| Turn::Ask { name, what, number }),
        2 => (0usize..12).prop_map(|at| Turn::Restart { at }),
        1 => (0u64..3).prop_map(Turn::Forget),
        6 => Just(Turn::Settle),
        1 => (0u64..3).prop_map(Turn::Lose),
        1 => (0u64..3).prop_map(Turn::Return),
        1 => (0u64..3, any::<bool>()).prop_map(|(node, cordoned)| Turn::Cordon(node, cordoned)),
        2 => (0u64..3, drain_step()).prop_map(|(node, step)| Turn::Drain(node, step)),
        3 => (0usize..9, 0i32..2, any::<bool>()).prop_map(|(at, code, hopeless)| Turn::End { at, code, hopeless }),
        1 => Just(Turn::Collect),
        1 => Just(Turn::Tighten),
        1 => (0u64..3, any::<bool>()).prop_map(|(id, denied)| Turn::Member(id, denied)),
        2 => (1u64..100_000).prop_map(Turn::Pass),
    ];
    proptest::collection::vec(turn, 0..25)
}

fn drain_step() -> impl Strategy<Value = DrainStep> {
    let deadline = proptest::option::of((0u64..20_000).prop_map(std::time::Duration::from_millis));
    prop_oneof![
        deadline.prop_map(|deadline| DrainStep::Begin { deadline, message: "why not".into() }),
        Just(DrainStep::Cancel),
        Just(DrainStep::Advance),
    ]
}

fn world_of(turns: Vec<Turn>) -> World {
    let mut world = World::new(3);
    // On disk the beginning of 1970 stands for never.
    world.pass(1000);
    for (number, turn) in turns.into_iter().enumerate() {
        take(&mut world, number as u128, turn);
    }
    world
}

/// The CA, who is thrown out, and the token.
fn change_members(world: &mut World, id: u64, denied: bool) {
    let authority = Authority { sealed: vec![id as u8], trust: "ca".into() };
    world.apply(Kind::PutAuthority(authority));
    let until = Timestamp(world.state.now.0 + 50_000);
    let denied = denied.then(|| Denied { name: format!("agent `n{id}`"), until });
    world.apply(Kind::DenyMember { id, denied });
    world.apply(Kind::PutOperatorToken(OperatorToken { hash: [id as u8; 32], first: id == 0 }));
}

fn take(world: &mut World, number: u128, turn: Turn) {
    let name = |at: usize| ["a", "b", "c"][at];
    match turn {
        Turn::Put { name: at, count, release, is_batch, port } => {
            let mut wanted = if is_batch { batch(name(at), count) } else { job(name(at), count) };
            for group in wanted.groups.values_mut() {
                group.ports.extend(port.map(|port| ("p".to_owned(), Port::Static(port))));
                group.ports.insert("d".into(), Port::Dynamic);
                if release == 3 {
                    let job = Some(name((at + 1) % 3).to_owned());
                    group.depends_on.push(Dependency { job, group: None, condition: Condition::Started });
                }
                for task in group.tasks.values_mut() {
                    task.env.insert("release".into(), release.to_string());
                }
            }
            let kind = Kind::PutJob { job: Box::new(wanted), expected: None, message: "why not".into() };
            let request = proto::ids::RequestId(number + 1);
            world.state.apply(Command { now: world.state.now, request, actor: "me".into(), kind });
        }
        Turn::Stop { name: at, purge } => {
            world.apply(Kind::StopJob { key: JobKey::new("default", name(at)), purge });
        }
        Turn::Ask { name: at, what, number } => ask(world, name(at), what, number),
        Turn::Restart { at } => {
            let id = world.state.allocs.iter().map(|(id, _)| id).nth(at);
            if let Some(alloc) = id {
                world.apply(Kind::RestartAlloc { alloc });
            }
        }
        Turn::Forget(node) => {
            let node = world.node(node);
            world.apply(Kind::PurgeNode { node });
        }
        Turn::Settle => world.settle_healthy(),
        Turn::Lose(node) => lose(world, node),
        Turn::Return(node) => world.register(node, vec![]),
        Turn::Cordon(node, cordoned) => {
            let eligibility = if cordoned { Eligibility::Cordoned } else { Eligibility::Eligible };
            let node = world.node(node);
            world.apply(Kind::NodeEligibility { node, eligibility });
        }
        Turn::Drain(node, step) => {
            let node = world.node(node);
            world.apply(Kind::DrainNode { node, step });
        }
        Turn::End { at, code, hopeless } => end(world, at, code, hopeless),
        Turn::Collect => {
            for kind in Collect.decide(&world.state, world.state.now).proposals {
                world.apply(kind);
            }
        }
        Turn::Tighten => {
            let settings =
                Settings { events_per_subject: 3, ended_allocs: 1, versions: 1, ..Settings::default() };
            world.apply(Kind::PutSettings(settings));
        }
        Turn::Member(id, denied) => change_members(world, id, denied),
        Turn::Pass(ms) => world.pass(ms),
    }
}

/// A node is lost, if there is one; every third is one of many.
fn lose(world: &mut World, number: u64) {
    let node = world.node(number);
    if world.state.nodes.get(&node).is_none() {
        return;
    }
    match node.0 % 3 {
        0 => world.apply(Kind::HoldLost(vec![node])),
        _ => world.apply(Kind::ReleaseLost),
    };
    world.lose(node);
}

/// A person asks something of a job.
fn ask(world: &mut World, name: &str, what: usize, number: u32) {
    let key = JobKey::new("default", name);
    world.apply(match what {
        0 => Kind::ScaleJob { key, group: String::new(), count: number },
        1 => Kind::StartJob { key },
        2 => Kind::RevertJob { key, to: proto::ids::JobVersion(u64::from(number)) },
        3 => Kind::RestartJob { key, at_once: true },
        _ => Kind::RestartJob { key, at_once: false },
    });
}

/// One of the live allocations ends.
fn end(world: &mut World, at: usize, code: i32, hopeless: bool) {
    let live: Vec<AllocId> = world.state.jobs.iter().flat_map(|(_, job)| job.live.iter().copied()).collect();
    let Some(alloc) = live.get(at).and_then(|id| world.state.allocs.get(*id)).cloned() else { return };
    let failed = EndReason::StartFailed { step: "exec".into(), errno: 2, message: "no such file".into() };
    let reason = if hopeless { failed } else { EndReason::Exit(code) };
    let state = if reason.is_success() { AllocState::Complete } else { AllocState::Failed };
    let end = TaskEnd { reason, at: Timestamp(7), ran: Default::default(), tail: "last words\n".into() };
    let task = TaskStatus {
        name: alloc.group.to_string(),
        phase: TaskPhase::Ended,
        attempt: 3,
        window_try: 2,
        window_tries: None,
        pid: 0,
        started_at: Some(Timestamp(5)),
        last_end: Some(end),
    };
    let status = AllocStatus { id: alloc.id, seq: alloc.reported.1 + 1, state, tasks: vec![task] };
    world.report_on(alloc.node, status);
}

#[test]
fn a_snapshot_of_a_newer_version_is_refused_by_name() {
    use prost::Message as _;
    use proto::wire::v1;
    let header = v1::Header { state_version: STATE_VERSION + 1, ..Default::default() };
    let record = v1::Record { kind: Some(v1::record::Kind::Header(header)) };
    let error = read(&record.encode_length_delimited_to_vec()).expect_err("it is newer");
    assert_eq!(
        error.to_string(),
        format!(
            "written by a newer minijob: state version {}, this binary reads up to {STATE_VERSION}",
            STATE_VERSION + 1
        )
    );
}

#[test]
fn a_record_that_claims_to_be_huge_costs_nothing() {
    let claims = [[0xff, 0xff, 0xff, 0xff, 0x7f].as_slice(), &[0xff, 0xff, 0xff, 0x7f], &[0x80; 20]];
    for claim in claims {
        assert!(matches!(read(claim), Err(BadRecord::Cut { records: 0 })), "{claim:?}");
    }
}

#[test]
fn equal_states_are_equal_bytes_whatever_led_to_them() {
    let mut one = World::new(2);
    let mut other = World::new(2);
    one.put(job("a", 1));
    one.put(job("b", 1));
    other.put(job("b", 1));
    other.put(job("a", 1));
    let keys = |world: &World| world.state.jobs.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
    assert_eq!(keys(&one), keys(&other), "the order of a table is that of its keys");
    let again = read(&bytes_of(&one.state)).expect("reads");
    assert!(bytes_of(&again) == bytes_of(&one.state));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_snapshot_of_any_world_reads_back_to_the_same_bytes(turns in turns()) {
        let world = world_of(turns);
        let bytes = bytes_of(&world.state);
        let again = read(&bytes).expect("what was written can be read");
        prop_assert_eq!(again.check(), vec![]);
        prop_assert!(bytes_of(&again) == bytes, "other bytes");
    }

    #[test]
    fn a_restored_world_goes_on_as_the_one_it_was(before in turns(), after in turns()) {
        let mut world = world_of(before.clone());
        let mut restored = world_of(before);
        restored.state = read(&bytes_of(&world.state)).expect("reads");
        // Numbers of requests are used once.
        for (number, turn) in after.into_iter().enumerate() {
            take(&mut world, 1000 + number as u128, turn.clone());
            take(&mut restored, 1000 + number as u128, turn);
        }
        prop_assert!(bytes_of(&world.state) == bytes_of(&restored.state), "they went apart");
    }

    #[test]
    fn a_snapshot_that_is_cut_off_is_an_error(turns in turns(), at in any::<proptest::sample::Index>()) {
        let bytes = bytes_of(&world_of(turns).state);
        prop_assert!(read(&bytes[..at.index(bytes.len())]).is_err());
    }

    #[test]
    fn flipped_bits_are_an_error_or_some_state_and_never_a_panic(
        turns in turns(),
        flips in proptest::collection::vec((any::<proptest::sample::Index>(), 0u8..8), 1..4),
    ) {
        let mut bytes = bytes_of(&world_of(turns).state);
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        if let Ok(state) = read(&bytes) {
            // The checksum of the file notices; here it only must not break anything.
            let _ = (state.check(), bytes_of(&state));
        }
    }

    #[test]
    fn any_bytes_are_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes);
        let _ = decode_command(&bytes);
        let _ = decode_outcome(&bytes);
    }
}

/// Named numbers, so that a strategy reads like the type it makes.
fn texts() -> impl Strategy<Value = BTreeMap<String, String>> {
    proptest::collection::btree_map("[a-z]{1,5}", "\\PC{0,8}", 0..3)
}
