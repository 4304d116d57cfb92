//! A signal reaches a running task: through its agent, not through the log.

use proto::error::{Error, Kind};
use proto::ids::{AllocId, NodeId, RequestId};
use proto::model::{Liveness, TaskPhase};
use proto::signals;
use proto::view::Signalled;
use proto::wire::v1::ask;

use super::views::node_name;
use super::{Caller, Capability, find, logs};
use crate::agents::{Hub, Question};
use crate::cluster::Cluster;
use crate::core::state::{Alloc, State};
use crate::limits::SIGNAL_WITHIN;

/// Which task to reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskQuery {
    /// Where names are looked up; empty: the caller's own.
    pub namespace: String,
    /// An allocation's id, a unique beginning of one, `job.group.index`, or a job that has only one.
    pub alloc: String,
    /// A task of it; empty: its only one.
    pub task: String,
}

/// A task that runs, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunningTask {
    /// Its allocation.
    pub alloc: AllocId,
    /// Its name.
    pub task: String,
    /// Its node.
    pub node: NodeId,
}

/// Sends a signal to the main process of a running task and to its group. The same request id again, while the agent remembers
/// it, sends nothing and answers the same.
///
/// # Errors
/// Forbidden; invalid for a signal that is none; those of looking it up; `not_leader`; `unavailable` when the node is not
/// connected or does not answer within 5 s: the signal may have been sent then.
pub async fn signal(
    cluster: &Cluster,
    hub: &Hub,
    caller: &Caller,
    request: RequestId,
    query: &TaskQuery,
    signal: &str,
) -> Result<Signalled, Error> {
    caller.need(Capability::Submit)?;
    let number = signals::number(signal).ok_or_else(|| no_signal(signal))?;
    logs::leads(cluster, "tasks are reached")?;
    let to = running_task(&cluster.snapshot(), caller, query)?;
    let order = proto::wire::v1::SendSignal { task: to.task.clone(), signal: number.unsigned_abs() };
    let question = Question { alloc: to.alloc, request, kind: ask::Kind::Signal(order) };
    hub.ask(to.node, &question, SIGNAL_WITHIN).await?;
    Ok(Signalled { alloc: to.alloc, task: to.task, signal: signals::show(number) })
}

/// Returns the task that a query means, if it runs.
///
/// # Errors
/// Those of [`find::running_alloc`]; not found for a task that the allocation does not have; invalid when no task is named and there are
/// several; refused when it does not run or its node is lost, with what to look at.
pub(super) fn running_task(state: &State, caller: &Caller, query: &TaskQuery) -> Result<RunningTask, Error> {
    let alloc = find::running_alloc(state, caller, &query.namespace, &query.alloc)?;
    let (name, id) = (alloc.name(), alloc.id);
    let refused = |said: String| Error::new(Kind::Refused, said);
    if alloc.has_ended() {
        let error = refused(format!("allocation {id} ({name}) has ended: nothing of it runs"));
        return Err(error.hint(format!("`minijob status {}` shows what runs", alloc.job.name)));
    }
    let task = task_of(state, alloc, &query.task)?;
    let node = node_name(state, alloc.node);
    if alloc.lost || state.nodes.get(&alloc.node).is_none_or(|node| node.liveness == Liveness::Down) {
        let error = refused(format!("node {node}, where allocation {id} ({name}) is, does not answer"));
        return Err(error.hint("see what became of its agent there; what ran on it is replaced elsewhere"));
    }
    match alloc.tasks.iter().find(|known| known.name == task).map(|known| &known.phase) {
        Some(TaskPhase::Running | TaskPhase::Stopping) => {
            Ok(RunningTask { alloc: id, task, node: alloc.node })
        }
        phase => {
            let phase = phase.map_or("waiting", TaskPhase::word);
            let error =
                refused(format!("task `{task}` of {name} on node {node} does not run: it is {phase}"));
            Err(error.hint(format!("`minijob status {id}` says why and when it starts")))
        }
    }
}

fn task_of(state: &State, alloc: &Alloc, asked: &str) -> Result<String, Error> {
    let record = state.jobs.get(&*alloc.job);
    let version = record.and_then(|record| record.versions.iter().find(|one| one.version == alloc.version));
    let tasks = version.and_then(|version| version.job.groups.get(&*alloc.group)).map(|group| &group.tasks);
    // Without its version what the agent reports is all that is known.
    let names: Vec<&str> = match tasks {
        Some(tasks) => tasks.keys().map(String::as_str).collect(),
        None => alloc.tasks.iter().map(|task| task.name.as_str()).collect(),
    };
    let listed = || format!("it has {}", names.join(", "));
    match (asked, names.as_slice()) {
        ("", [one]) => Ok((*one).to_owned()),
        ("", _) => {
            let error = Error::new(Kind::Invalid, format!("{} has several tasks: name one", alloc.name()));
            Err(error.hint(listed()))
        }
        (asked, names) if names.contains(&asked) => Ok(asked.to_owned()),
        (asked, _) => {
            let error = Error::new(Kind::NotFound, format!("{} has no task `{asked}`", alloc.name()));
            Err(error.hint(listed()))
        }
    }
}

fn no_signal(text: &str) -> Error {
    let error = Error::new(Kind::Invalid, format!("`{text}` is no signal"));
    let upper = text.to_ascii_uppercase();
    let bare = upper.strip_prefix("SIG").unwrap_or(&upper);
    match find::nearest(bare, signals::NAMES.into_iter()) {
        Some(name) => error.hint(format!("did you mean `SIG{name}`?")),
        None => error.hint("name one such as SIGHUP, or a number from 1 to 64"),
    }
}

#[cfg(test)]
mod tests {
    use proto::model::{AllocState, TaskStatus};

    use super::*;
    use crate::ops::testing::{World, job, running};

    fn query(alloc: &str, task: &str) -> TaskQuery {
        TaskQuery { alloc: alloc.into(), task: task.into(), ..TaskQuery::default() }
    }

    fn refusal(world: &World, alloc: &str, task: &str) -> Error {
        running_task(&world.state, &Caller::operator(), &query(alloc, task)).expect_err("refused")
    }

    /// A job of one slot on node 1 whose task runs.
    fn world() -> (World, AllocId) {
        let mut world = World::new(1);
        world.put(&job("web", 1));
        let id = world.place("web", 0, 1);
        let now = world.now;
        world.report(id, AllocState::Running, vec![running("web", now)]);
        (world, id)
    }

    #[test]
    fn the_only_task_of_the_only_allocation_needs_no_name() {
        let (world, id) = world();
        let found = running_task(&world.state, &Caller::operator(), &query("web", ""));
        assert_eq!(found, Ok(RunningTask { alloc: id, task: "web".into(), node: NodeId(1) }));
        assert_eq!(running_task(&world.state, &Caller::operator(), &query("web.web.0", "web")), found);
    }

    #[test]
    fn what_is_not_there_is_named_with_what_is() {
        let (world, _) = world();
        assert_eq!(refusal(&world, "wbe", "").hint, "did you mean `web`?");
        let error = refusal(&world, "web", "shipper");
        assert_eq!((error.kind, error.hint.as_str()), (Kind::NotFound, "it has web"));
    }

    #[test]
    fn of_several_tasks_one_must_be_named() {
        let mut world = World::new(1);
        let mut two = job("web", 1);
        let group = two.groups.get_mut("web").expect("it");
        group.tasks.insert("shipper".into(), proto::model::Task::new("/bin/true"));
        world.put(&two);
        world.place("web", 0, 1);
        let error = refusal(&world, "web", "");
        assert_eq!((error.kind, error.hint.as_str()), (Kind::Invalid, "it has shipper, web"));
    }

    #[test]
    fn a_task_that_does_not_run_says_what_it_does_instead() {
        let (mut world, id) = world();
        let now = world.now;
        let waits = TaskStatus { phase: TaskPhase::Backoff(now), pid: 0, ..running("web", now) };
        world.report(id, AllocState::Running, vec![waits]);
        let error = refusal(&world, "web", "");
        assert!(error.message.contains("does not run: it is backoff"), "{error:?}");
        assert!(error.hint.contains(&id.to_string()), "{error:?}");
        world.report(id, AllocState::Stopped, vec![]);
        let error = refusal(&world, &id.to_string(), "");
        assert_eq!((error.kind, error.message.contains("has ended")), (Kind::Refused, true), "{error:?}");
    }

    #[test]
    fn only_what_runs_is_a_choice_of_a_jobs_allocations() {
        let mut world = World::new(1);
        world.put(&job("web", 4));
        let ended: Vec<AllocId> = (0..2).map(|slot| world.place("web", slot, 1)).collect();
        for id in ended {
            world.report(id, AllocState::Failed, vec![]);
        }
        let error = refusal(&world, "web", "");
        assert_eq!((error.kind, error.message.as_str()), (Kind::Refused, "nothing of `web` runs"));
        assert_eq!(error.hint, "`minijob status web` says why");

        let now = world.now;
        let (waits, runs) = (world.place("web", 2, 1), world.place("web", 3, 1));
        world.report(waits, AllocState::Pending, vec![]);
        world.report(runs, AllocState::Running, vec![running("web", now)]);
        let found = running_task(&world.state, &Caller::operator(), &query("web", "")).expect("one runs");
        assert_eq!(found.alloc, runs);
    }

    #[test]
    fn a_lost_node_is_named_with_the_next_step() {
        let (mut world, id) = world();
        world.lose(1);
        let error = refusal(&world, &id.to_string(), "");
        assert_eq!(error.kind, Kind::Refused);
        assert!(error.message.contains("node n1") && !error.hint.is_empty(), "{error:?}");
    }

    #[test]
    fn a_mistyped_signal_is_answered_with_the_nearest() {
        assert_eq!(no_signal("SIGHPU").hint, "did you mean `SIGHUP`?");
        assert!(no_signal("65").hint.contains("1 to 64"));
    }
}
