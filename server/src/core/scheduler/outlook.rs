//! Where a group goes on that has failed: what the next decision would find, told before it is taken.
//!
//! Everybody who tells what comes next tells this, so that `run`, `status` and `why` cannot contradict each other.

use super::answers::Answers;
use super::feasible::Ask;
use super::room::Room;
use super::{dependencies, explain};
use crate::core::state::{JobRecord, State};

/// What a slot of a group finds when its replacement is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// A node that can take it.
    Open,
    /// No node that can take it now, and why; one that gains room or comes new is tried.
    Full(String),
    /// Every node there is has failed to start it, and is left out until the work changes or a person restarts it.
    LeftOut,
}

/// Looks where one more allocation of a group could go.
///
/// Cost: one look at every node, unless one of the first can take it, none may, or the scheduler has said already that none can.
#[must_use]
pub fn outlook(state: &State, record: &JobRecord, group: &str) -> Outlook {
    let memory = record.group(group);
    let is_left_out = |id| memory.is_some_and(|memory| memory.avoid.contains(id));
    if !state.nodes.is_empty() && state.nodes.iter().all(|(id, _)| is_left_out(id)) {
        return Outlook::LeftOut;
    }
    // What failed has begun, so that it waits for no other work; a wait for that says nothing about it.
    let wait = memory.and_then(|memory| memory.wait.as_ref());
    if let Some(wait) = wait.filter(|_| !dependencies::is_held(state, record, group)) {
        return Outlook::Full(wait.why.clone());
    }
    // A group that the present version does not have wants nothing.
    let Some(ask) = Ask::of(state, record, group, &mut Answers::default()) else { return Outlook::Open };
    let room = Room::of(state);
    match room.fleet.fitting(ask.need).any(|(seat, _)| ask.fits(state, seat, &room)) {
        true => Outlook::Open,
        false => Outlook::Full(explain::why_not(state, &ask, &room)),
    }
}

#[cfg(test)]
mod tests {
    use proto::ids::{JobKey, JobVersion};
    use proto::model::{AllocState, AllocStatus, EndReason, TaskEnd, TaskPhase, TaskStatus};
    use proto::time::Timestamp;

    use super::*;
    use crate::core::state::Kind;
    use crate::core::testing::{World, job};

    fn of_web(world: &World) -> Outlook {
        outlook(&world.state, world.state.jobs.get(&JobKey::new("default", "web")).expect("the job"), "web")
    }

    /// The agent of the only allocation finds no such program.
    fn cannot_start(world: &mut World) {
        let id = world.live("web")[0];
        let node = world.alloc(id).node;
        let reason = EndReason::StartFailed { step: "exec".into(), errno: 2, message: "no such file".into() };
        let last_end =
            Some(TaskEnd { reason, at: Timestamp(1), ran: Default::default(), tail: String::new() });
        let task = TaskStatus {
            name: "web".into(),
            phase: TaskPhase::Ended,
            attempt: 1,
            window_try: 1,
            window_tries: Some(4),
            pid: 0,
            started_at: None,
            last_end,
        };
        let status = AllocStatus { id, seq: 9, state: AllocState::Failed, tasks: vec![task] };
        world.report_on(node, status);
    }

    #[test]
    fn what_the_only_node_cannot_start_has_nowhere_to_go_before_and_after_it_is_due() {
        let mut world = World::new(1);
        world.put(job("web", 1));
        world.settle();
        cannot_start(&mut world);
        assert_eq!(of_web(&world), Outlook::LeftOut);
        world.pass(60_000);
        world.settle();
        assert_eq!(world.live("web"), [], "it is as was told");
        assert_eq!(of_web(&world), Outlook::LeftOut);
        world.apply(Kind::RestartJob { key: JobKey::new("default", "web"), at_once: false });
        assert_eq!(of_web(&world), Outlook::Open, "a restart tries every node again");
        world.settle();
        assert_eq!(world.live("web").len(), 1);
        assert_eq!(world.alloc(world.live("web")[0]).version, JobVersion(2));
    }

    #[test]
    fn another_node_that_can_take_it_is_open_and_one_that_cannot_is_waited_for() {
        let mut world = World::new(2);
        world.put(job("web", 1));
        world.settle();
        let first = world.alloc(world.live("web")[0]).node;
        cannot_start(&mut world);
        assert_eq!(of_web(&world), Outlook::Open);
        let other = world.state.nodes.iter().map(|(id, _)| *id).find(|id| *id != first).expect("two");
        world.lose(other);
        let Outlook::Full(why) = of_web(&world) else { panic!("{:?}", of_web(&world)) };
        assert!(
            why.contains("1 of 2 nodes is down") && why.contains("1 of 2 nodes cannot start it"),
            "{why}"
        );
        world.pass(60_000);
        world.settle();
        assert_eq!(of_web(&world), Outlook::Full(why), "the scheduler says the same when it is due");
    }
}
