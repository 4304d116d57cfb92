//! Every command reads back as it was written.

use std::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proto::ids::{Generation, Incarnation, JobVersion, NodeId, RequestId, Revision, ServerId};
use proto::model::{
    Backoff, Group, Interval, Job, JobType, Liveness, LogPolicy, Migrate, NodeIdentity, OnExhausted, Process,
    Reschedule, Resources, Restart, RestartOn, StopReason, Task,
};

use super::*;
use crate::core::state::{
    Authority, Denied, DrainStep, Edge, Gc, LivenessChange, OperatorToken, Outcome, PlaceReason, Plan,
    PlanItem, PlanRun, PlanStop, PlanUpdate, PlanWait, RunnerUp, Setting, SettingChange, SettingValue,
};

fn millis() -> impl Strategy<Value = Duration> {
    (0u64..10_000_000).prop_map(Duration::from_millis)
}

fn resources() -> impl Strategy<Value = Resources> {
    (any::<u64>(), any::<u64>()).prop_map(|(cpu_millis, memory_bytes)| Resources { cpu_millis, memory_bytes })
}

fn task() -> impl Strategy<Value = Task> {
    let process = ("\\PC{1,8}", vec("\\PC{0,5}", 0..3), option::of("[a-z]{1,5}"), option::of("/[a-z]{1,5}"))
        .prop_map(|(command, args, user, workdir)| Process { command, args, user, workdir });
    let logs = (any::<u32>(), any::<u64>()).prop_map(|(max_files, max_file_bytes)| LogPolicy {
        max_files,
        max_file_bytes,
        ..LogPolicy::default()
    });
    (process, texts(), resources(), 1i32..65, millis(), logs).prop_map(
        |(process, env, resources, stop_signal, stop_timeout, logs)| Task {
            process,
            env,
            resources,
            stop_signal,
            stop_timeout,
            logs,
            ..Task::new("")
        },
    )
}

fn restart() -> impl Strategy<Value = Restart> {
    let interval = prop_oneof![Just(Interval::Forever), millis().prop_map(Interval::Window)];
    let backoff = prop_oneof![Just(Backoff::Constant), Just(Backoff::Exponential)];
    let exhausted = prop_oneof![Just(OnExhausted::Move), Just(OnExhausted::Stay), Just(OnExhausted::Fail)];
    (option::of(any::<u32>()), interval, millis(), backoff, millis(), 0u8..=100, exhausted).prop_map(
        |(attempts, interval, delay, backoff, max_delay, jitter_percent, on_exhausted)| Restart {
            attempts,
            interval,
            delay,
            backoff,
            max_delay,
            jitter_percent,
            on_exhausted,
            on: RestartOn::Any,
        },
    )
}

fn group() -> impl Strategy<Value = Group> {
    let port = prop_oneof![Just(Port::Dynamic), (1u16..).prop_map(Port::Static)];
    let reschedule = (option::of(any::<u32>()), millis(), any::<bool>(), millis()).prop_map(
        |(attempts, delay, constant, max_delay)| {
            let backoff = if constant { Backoff::Constant } else { Backoff::Exponential };
            Reschedule { attempts, delay, backoff, max_delay }
        },
    );
    let tasks = btree_map("[a-z]{1,5}", task(), 1..3);
    let migrate = (any::<u32>(), millis(), millis()).prop_map(|(max_parallel, least, most)| Migrate {
        max_parallel,
        min_healthy_time: least,
        healthy_deadline: most,
    });
    (any::<u32>(), tasks, btree_map("[a-z]{1,5}", port, 0..3), restart(), reschedule, migrate).prop_map(
        |(count, tasks, ports, restart, reschedule, migrate)| Group {
            count,
            ports,
            restart,
            reschedule,
            migrate,
            ..Group::new(JobType::Service, tasks)
        },
    )
}

fn key() -> impl Strategy<Value = JobKey> {
    ("[a-z]{1,5}", "[a-z]{1,5}").prop_map(|(namespace, name)| JobKey::new(namespace, name))
}

fn whole_job() -> impl Strategy<Value = Job> {
    let kind = prop_oneof![Just(JobType::Service), Just(JobType::Batch)];
    (key(), kind, any::<u8>(), texts(), btree_map("[a-z]{1,5}", group(), 1..3))
        .prop_map(|(key, kind, priority, meta, groups)| Job { priority, meta, ..Job::new(key, kind, groups) })
}

fn status() -> impl Strategy<Value = AllocStatus> {
    let state = proptest::sample::select(vec![
        AllocState::Pending,
        AllocState::Preparing,
        AllocState::Starting,
        AllocState::Running,
        AllocState::Stopping,
        AllocState::Complete,
        AllocState::Failed,
        AllocState::Stopped,
    ]);
    (1u64.., any::<u64>(), state, vec(task_status(), 0..3)).prop_map(|(id, seq, state, tasks)| AllocStatus {
        id: AllocId(id),
        seq,
        state,
        tasks,
    })
}

fn task_status() -> impl Strategy<Value = TaskStatus> {
    let phase = prop_oneof![
        Just(TaskPhase::Waiting),
        Just(TaskPhase::Starting),
        Just(TaskPhase::Running),
        any::<u64>().prop_map(|until| TaskPhase::Backoff(Timestamp(until))),
        Just(TaskPhase::Stopping),
        Just(TaskPhase::Ended),
    ];
    let last_end = (reason(), any::<u64>(), millis(), "\\PC{0,20}")
        .prop_map(|(reason, at, ran, tail)| TaskEnd { reason, at: Timestamp(at), ran, tail });
    let numbers = (any::<u32>(), any::<u32>(), option::of(any::<u32>()), any::<u32>());
    ("[a-z]{1,5}", phase, numbers, option::of(any::<u64>()), option::of(last_end)).prop_map(
        |(name, phase, (attempt, window_try, window_tries, pid), started_at, last_end)| TaskStatus {
            name,
            phase,
            attempt,
            window_try,
            window_tries,
            pid,
            started_at: started_at.map(Timestamp),
            last_end,
        },
    )
}

fn reason() -> impl Strategy<Value = EndReason> {
    let failed = ("[a-z]{1,5}", any::<i32>(), "\\PC{0,9}")
        .prop_map(|(step, errno, message)| EndReason::StartFailed { step, errno, message });
    let plain = vec![
        EndReason::Oom,
        EndReason::Stopped,
        EndReason::Timeout,
        EndReason::CheckFailed,
        EndReason::Lease,
        EndReason::EngineGone,
    ];
    prop_oneof![
        any::<i32>().prop_map(EndReason::Exit),
        any::<i32>().prop_map(EndReason::Signal),
        failed,
        proptest::sample::select(plain),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    let edges = [Edge::Liking, Edge::Spread, Edge::Domain, Edge::Copies, Edge::Fit, Edge::Id];
    let next = (1u64.., proptest::sample::select(Vec::from(edges)))
        .prop_map(|(node, edge)| RunnerUp { node: NodeId(node), edge });
    let next = proptest::option::of(next);
    let reason = (any::<u32>(), any::<u32>(), any::<u32>(), any::<bool>(), any::<bool>(), next).prop_map(
        |(nodes, feasible, copies, preferred, same_node, runner_up)| PlaceReason {
            nodes,
            feasible,
            copies,
            preferred,
            same_node,
            runner_up,
        },
    );
    let run = (1u64.., any::<u64>(), any::<u32>(), any::<u32>(), reason).prop_map(
        |(node, generation, first_index, count, reason)| PlanRun {
            node: NodeId(node),
            generation: Generation(generation),
            first_index,
            count,
            reason,
        },
    );
    let item = (key(), any::<u64>(), "[a-z]{1,5}", vec(run, 0..3))
        .prop_map(|(job, version, group, runs)| PlanItem { job, version: JobVersion(version), group, runs });
    let reasons = [
        StopReason::JobStopped,
        StopReason::ScaledDown,
        StopReason::Replaced,
        StopReason::NodeLost,
        StopReason::Restarted,
        StopReason::Drained,
        StopReason::NotMoved,
    ];
    let stop = (1u64.., proptest::sample::select(reasons.to_vec()))
        .prop_map(|(id, reason)| PlanStop { alloc: AllocId(id), reason });
    let update = (1u64.., any::<u64>())
        .prop_map(|(id, version)| PlanUpdate { alloc: AllocId(id), version: JobVersion(version) });
    let wait = (key(), any::<u64>(), "[a-z]{1,5}", any::<u32>(), "\\PC{0,9}").prop_map(
        |(job, version, group, count, why)| PlanWait { job, version: JobVersion(version), group, count, why },
    );
    let lists = (vec(item, 0..3), vec(stop, 0..3), vec(update, 0..3), vec(wait, 0..3));
    (any::<u64>(), any::<u64>(), lists).prop_map(|(reign, seq, (items, stops, updates, waits))| Plan {
        reign: Revision(reign),
        seq,
        items,
        stops,
        updates,
        waits,
    })
}

fn identity() -> impl Strategy<Value = NodeIdentity> {
    let texts = ("[a-z]{1,5}", "[a-z]{0,5}", "[a-z]{0,5}", "[a-z.:0-9]{0,9}", "[0-9.]{0,5}");
    let domain = proptest::option::of("[a-z0-9]{1,5}");
    let leaving = proptest::option::of(millis());
    (1u64.., texts, resources(), super::texts(), domain, leaving).prop_map(
        |(
            id,
            (name, machine_id, boot_id, address, version),
            capacity,
            attributes,
            failure_domain,
            leaving,
        )| {
            NodeIdentity {
                id: NodeId(id),
                name,
                machine_id,
                boot_id,
                address,
                version,
                capacity,
                attributes,
                failure_domain,
                leaving,
            }
        },
    )
}

fn settings() -> impl Strategy<Value = Settings> {
    // A version that does not know it writes 0, which no setting can be.
    let gone = (1u64..10_000_000).prop_map(Duration::from_millis);
    let kept = (any::<u32>(), any::<u32>(), millis(), any::<u32>());
    (millis(), millis(), kept, any::<bool>(), 1..=100usize, millis(), gone).prop_map(
        |(heartbeat, node_timeout, kept, preemption, brake_at, brake_pause, gone)| Settings {
            heartbeat,
            node_timeout,
            events_per_subject: kept.0 as usize,
            ended_allocs: kept.1 as usize,
            ended_allocs_for: kept.2,
            versions: kept.3 as usize,
            preemption,
            brake_at,
            brake_pause,
            dead_server_timeout: gone,
        },
    )
}

fn setting_change() -> impl Strategy<Value = SettingChange> {
    let value = prop_oneof![
        millis().prop_map(SettingValue::Time),
        any::<u64>().prop_map(SettingValue::Count),
        any::<bool>().prop_map(SettingValue::Switch),
    ];
    let setting = proptest::sample::select(Setting::ALL.as_slice());
    (setting, value).prop_map(|(setting, value)| SettingChange { setting, value })
}

fn kind() -> impl Strategy<Value = Kind> {
    let ids = || vec(1u64.., 0..4).prop_map(|ids| ids.into_iter().map(AllocId).collect::<Vec<_>>());
    let liveness = (1u64.., any::<u64>(), any::<bool>()).prop_map(|(node, generation, up)| LivenessChange {
        node: NodeId(node),
        generation: Generation(generation),
        liveness: if up { Liveness::Up } else { Liveness::Down },
    });
    let eligibility = prop_oneof![Just(Eligibility::Eligible), Just(Eligibility::Cordoned)];
    let held =
        (1u64.., status(), resources()).prop_map(|(of, status, takes)| (Incarnation(of), status, takes));
    prop_oneof![
        (1u64.., any::<u64>(), 1u64..).prop_map(|(server, boot_nonce, incarnation)| Kind::BeginReign {
            server: ServerId(server),
            boot_nonce,
            incarnation: Incarnation(incarnation),
        }),
        (whole_job(), option::of(any::<u64>()), "\\PC{0,9}").prop_map(|(job, expected, message)| {
            Kind::PutJob { job: Box::new(job), expected: expected.map(JobVersion), message }
        }),
        (key(), any::<bool>()).prop_map(|(key, purge)| Kind::StopJob { key, purge }),
        people(),
        plan().prop_map(Kind::ApplyPlan),
        (identity(), vec(held, 0..3), option::of(any::<u64>().prop_map(Revision)))
            .prop_map(|(identity, held, seen)| Kind::RegisterNode { identity, held, seen }),
        vec(liveness, 0..4).prop_map(Kind::NodeLiveness),
        (1u64.., eligibility)
            .prop_map(|(node, eligibility)| Kind::NodeEligibility { node: NodeId(node), eligibility }),
        (1u64.., any::<u64>(), vec(status(), 0..3)).prop_map(|(node, generation, statuses)| {
            Kind::AllocStatus { node: NodeId(node), generation: Generation(generation), statuses }
        }),
        ids().prop_map(|healthy| Kind::PutHealth { healthy }),
        settings().prop_map(Kind::PutSettings),
        vec(setting_change(), 0..4).prop_map(Kind::SetSettings),
        ids().prop_map(|allocs| Kind::Gc(Gc { allocs })),
        vec((1u64..).prop_map(NodeId), 0..4).prop_map(Kind::HoldLost),
        Just(Kind::ReleaseLost),
        (0..=STATE_VERSION).prop_map(Kind::RaiseLevel),
        (vec(any::<u8>(), 0..5), "\\PC{0,9}")
            .prop_map(|(sealed, trust)| Kind::PutAuthority(Authority { sealed, trust })),
        (any::<u64>(), option::of(("\\PC{0,9}", any::<u64>()))).prop_map(|(id, denied)| Kind::DenyMember {
            id,
            denied: denied.map(|(name, until)| Denied { name, until: Timestamp(until) }),
        }),
        (any::<[u8; 32]>(), any::<bool>())
            .prop_map(|(hash, first)| Kind::PutOperatorToken(OperatorToken { hash, first })),
        (0u64..3, 0u64..9, vec(any::<u8>(), 0..9)).prop_map(|(upload, offset, data)| Kind::RestoreChunk {
            upload,
            offset,
            data: data.into()
        }),
        (0u64..3, 0u64..9, any::<u64>(), any::<bool>()).prop_map(|(upload, bytes, incarnation, force)| {
            Kind::Restore { upload, bytes, incarnation: Incarnation(incarnation), force }
        }),
    ]
}

fn drain_step() -> impl Strategy<Value = DrainStep> {
    prop_oneof![
        (option::of(millis()), "\\PC{0,9}")
            .prop_map(|(deadline, message)| DrainStep::Begin { deadline, message }),
        Just(DrainStep::Cancel),
        Just(DrainStep::Advance),
    ]
}

/// What people ask for beside submitting and stopping.
fn people() -> impl Strategy<Value = Kind> {
    prop_oneof![
        (key(), "[a-z]{0,5}", any::<u32>()).prop_map(|(key, group, count)| Kind::ScaleJob {
            key,
            group,
            count
        }),
        key().prop_map(|key| Kind::StartJob { key }),
        (key(), any::<u64>()).prop_map(|(key, to)| Kind::RevertJob { key, to: JobVersion(to) }),
        (key(), any::<bool>()).prop_map(|(key, at_once)| Kind::RestartJob { key, at_once }),
        (1u64..).prop_map(|alloc| Kind::RestartAlloc { alloc: AllocId(alloc) }),
        (1u64.., drain_step()).prop_map(|(node, step)| Kind::DrainNode { node: NodeId(node), step }),
        (1u64..).prop_map(|node| Kind::PurgeNode { node: NodeId(node) }),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    (any::<u64>(), any::<u128>(), "\\PC{0,9}", kind()).prop_map(|(now, request, actor, kind)| Command {
        now: Timestamp(now),
        request: RequestId(request),
        actor,
        kind,
    })
}

proptest! {
    #[test]
    fn every_command_reads_back_as_it_was_written(command in command()) {
        let bytes = encode_command(&command);
        let again = decode_command(&bytes).expect("what was written can be read");
        prop_assert_eq!(&again, &command);
        prop_assert_eq!(body_hash(&again.kind), body_hash(&command.kind));
    }

    #[test]
    fn a_damaged_command_is_an_error_or_another_command_and_never_a_panic(
        command in command(),
        cut in any::<proptest::sample::Index>(),
        flip in (any::<proptest::sample::Index>(), 0u8..8),
    ) {
        let mut bytes = encode_command(&command);
        let _ = decode_command(&bytes[..cut.index(bytes.len())]);
        let at = flip.0.index(bytes.len());
        bytes[at] ^= 1 << flip.1;
        let _ = decode_command(&bytes);
    }

    #[test]
    fn no_command_can_make_a_state_break_its_promises(commands in proptest::collection::vec(command(), 1..12)) {
        let mut world = World::new(2);
        world.put(job("web", 3));
        world.settle_healthy();
        for mut command in commands {
            // A clock of any value is one thing; a year in which nothing can be added to it another.
            command.now.0 %= 1 << 50;
            world.state.apply(command);
            prop_assert_eq!(world.state.check(), vec![]);
        }
    }

    #[test]
    fn the_outcome_of_a_named_write_reads_back(changed in any::<bool>(), version in any::<u64>(), at in any::<u64>()) {
        let outcome =
            Outcome::Written { changed, version: JobVersion(version), revision: Revision(at) };
        prop_assert_eq!(decode_outcome(&encode_outcome(&outcome)).expect("reads"), outcome);
    }
}
