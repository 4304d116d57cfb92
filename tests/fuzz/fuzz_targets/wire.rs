//! What a stranger may send as protobuf: jobs to a server, an agent's messages to it, its messages to an agent. Conversions to the
//! model are an error or a value that is written and read again as it is, and the checks that follow never panic.
//!
//! The first byte chooses the message.
#![no_main]

use client::core::assignments::{
    complete_from_wire, increment_from_wire, position_from_wire, position_to_wire,
};
use client::core::spec;
use fuzz::{job as sample, seed, status as report};
use libfuzzer_sys::fuzz_target;
use prost::Message;
use proto::ids::JobVersion;
use proto::jobfile::explain;
use proto::model::AllocState;
use proto::wire::v1::{self, agent_message, server_message};
use proto::wire::{agent, job, status};

fuzz_target!(init: seed(seeds), |input: &[u8]| {
    match input.split_first() {
        Some((0, rest)) => v1::Job::decode(rest).map_or((), submitted),
        Some((1, rest)) => v1::AgentMessage::decode(rest).map_or((), from_agent),
        Some((2, rest)) => v1::ServerMessage::decode(rest).map_or((), from_server),
        _ => {}
    }
});

fn submitted(message: v1::Job) {
    let Ok(value) = job::from_wire(message) else { return };
    assert_eq!(job::from_wire(job::to_wire(&value)).expect("what was written is read"), value);
    // What a server does with it first, and what it may show of it: neither may panic, whatever it holds.
    let _ = server::ops::bounds::check(&value);
    let _ = explain(&value);
}

fn from_agent(message: v1::AgentMessage) {
    match message.kind {
        Some(agent_message::Kind::Register(register)) => {
            if let Some(Ok(value)) = register.identity.map(agent::identity_from_wire) {
                let again = agent::identity_from_wire(agent::identity_to_wire(&value));
                assert_eq!(again.expect("what was written is read"), value);
            }
            register.held.into_iter().filter_map(|held| held.status).for_each(reported);
        }
        Some(agent_message::Kind::Status(batch)) => batch.statuses.into_iter().for_each(reported),
        _ => {}
    }
}

fn reported(message: v1::AllocStatus) {
    if let Ok(value) = status::from_wire(message) {
        assert_eq!(status::from_wire(status::to_wire(&value)).expect("what was written is read"), value);
    }
}

fn from_server(message: v1::ServerMessage) {
    let assignments = match message.kind {
        Some(server_message::Kind::Complete(set)) => {
            let _ = complete_from_wire(set.clone());
            set.assignments
        }
        Some(server_message::Kind::Increment(increment)) => {
            let _ = increment_from_wire(increment.clone());
            increment.assignments
        }
        Some(server_message::Kind::Registered(registered)) => {
            if let Ok(position) = position_from_wire(registered.position) {
                assert_eq!(position_from_wire(Some(position_to_wire(position))).ok(), Some(position));
            }
            return;
        }
        _ => return,
    };
    for value in assignments.into_iter().filter_map(|assignment| spec::from_wire(assignment.spec?).ok()) {
        assert_eq!(spec::from_wire(spec::to_wire(&value)).expect("what was written is read"), value);
    }
}

fn seeds() -> Vec<Vec<u8>> {
    let chosen = |choice: u8, message: Vec<u8>| [&[choice], &message[..]].concat();
    let web = sample("web", 2);
    let statuses = vec![
        status::to_wire(&report(1, 1, AllocState::Running)),
        status::to_wire(&report(2, 1, AllocState::Failed)),
    ];
    let resources = v1::Resources { cpu_millis: 1, memory_bytes: 1 };
    let held = v1::Held { incarnation: 5, status: Some(statuses[0].clone()), resources: Some(resources) };
    let identity =
        v1::Identity { node_id: 1, name: "n".into(), capacity: Some(resources), ..Default::default() };
    let position = Some(v1::Position { incarnation: 5, reign: 1, revision: 9 });
    let register = v1::Register { wire: 1, identity: Some(identity), held: vec![held], position, seen: 7 };
    let spec = spec::Spec {
        namespace: "default".into(),
        job: "web".into(),
        version: JobVersion(1),
        group_name: "web".into(),
        index: 0,
        kind: web.kind,
        meta: web.meta.clone(),
        group: web.groups["web"].clone(),
        ports: [("http".to_owned(), 20_000)].into(),
        fence: None,
    };
    let assignment = |order: v1::Order| v1::Assignment {
        alloc_id: 1,
        order: order.into(),
        spec: Some(spec::to_wire(&spec)),
    };
    let assignments = vec![assignment(v1::Order::Run), assignment(v1::Order::Stop)];
    let complete = v1::CompleteSet { position, assignments: assignments.clone(), released: vec![4], more: true };
    let increment = v1::Increment { position, base: 8, assignments, released: vec![4] };
    let registered = v1::Registered { position, ..Default::default() };
    let up = |kind| chosen(1, v1::AgentMessage { kind: Some(kind) }.encode_to_vec());
    let down = |kind| chosen(2, v1::ServerMessage { kind: Some(kind) }.encode_to_vec());
    vec![
        chosen(0, job::to_wire(&web).encode_to_vec()),
        up(agent_message::Kind::Register(register)),
        up(agent_message::Kind::Status(v1::StatusBatch { batch: 1, statuses })),
        down(server_message::Kind::Complete(complete)),
        down(server_message::Kind::Increment(increment)),
        down(server_message::Kind::Registered(registered)),
    ]
}
