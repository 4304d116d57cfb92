//! Small worlds, built by commands alone.

mod jobs;
mod members;
mod nodes;
mod people;
mod plans;
mod restore;
mod settings;
mod statuses;
mod time;

use std::collections::BTreeMap;

use proto::ids::{
    AllocId, Generation, Incarnation, JobKey, JobVersion, NodeId, RequestId, Revision, ServerId,
};
use proto::model::{
    AllocState, AllocStatus, Desired, EndReason, EventKind, Liveness, OnExhausted, Port, Resources,
    StopReason, TaskEnd, TaskPhase, TaskStatus,
};
use proto::time::Timestamp;

use crate::core::scheduler::schedule;
use crate::core::state::{
    Applied, Command, Kind, LivenessChange, Outcome, PlaceReason, Plan, PlanItem, PlanRun, Settings, State,
    read_snapshot, write_snapshot,
};
use crate::core::testing::{INCARNATION, World, job, node_identity};

fn status(id: AllocId, seq: u64, state: AllocState, phase: TaskPhase, end: Option<EndReason>) -> AllocStatus {
    let last_end =
        end.map(|reason| TaskEnd { reason, at: Timestamp(1), ran: Default::default(), tail: "boom".into() });
    let task = TaskStatus {
        name: "web".into(),
        phase,
        attempt: 1,
        window_try: 1,
        window_tries: Some(4),
        pid: 7,
        started_at: None,
        last_end,
    };
    AllocStatus { id, seq, state, tasks: vec![task] }
}
