//! A command runs beside a task: who may, where, and the way to it. What it says goes from its agent to the caller unread.

use proto::error::{Error, Kind};
use proto::wire::v1;

use super::signal::{TaskQuery, running_task};
use super::{Caller, Capability, logs};
use crate::agents::{ExecSpec, ExecWires, Hub};
use crate::cluster::Cluster;
use crate::limits::EXEC_COMMAND_BYTES;

/// Runs a command beside a running task, and returns the way to it as soon as its agent has been reached; whether it began, and
/// how it ended, is in its output. Dropping either way hangs it up. A second call runs it a second time.
///
/// # Errors
/// Forbidden; invalid for an empty command; too large beyond 128 KiB; `not_leader`; refused when the task does not run; `unavailable`
/// when the node is not connected.
pub async fn exec(
    cluster: &Cluster,
    hub: &Hub,
    caller: &Caller,
    query: &TaskQuery,
    command: v1::ExecCommand,
) -> Result<ExecWires, Error> {
    caller.need(Capability::Exec)?;
    check(&command)?;
    logs::leads(cluster, "tasks are reached")?;
    let to = running_task(&cluster.snapshot(), caller, query)?;
    tracing::info!(actor = caller.actor, alloc = %to.alloc, task = to.task, program = command.argv[0], "exec");
    hub.open_exec(to.node, ExecSpec { alloc: to.alloc, task: to.task, command }).await
}

fn check(command: &v1::ExecCommand) -> Result<(), Error> {
    if command.argv.first().is_none_or(String::is_empty) {
        let error = Error::new(Kind::Invalid, "no command is given");
        return Err(error.hint("write it after two dashes: `minijob exec ALLOC -- ls -l`"));
    }
    let bytes: usize = command.argv.iter().map(|arg| arg.len() + 1).sum();
    if bytes > EXEC_COMMAND_BYTES {
        let message = format!("the command has {bytes} bytes, at most {EXEC_COMMAND_BYTES} are taken");
        return Err(Error::new(Kind::TooLarge, message).hint("send data through standard input, with -i"));
    }
    match command.argv.iter().find(|arg| arg.contains('\0')) {
        Some(arg) => Err(Error::new(Kind::Invalid, format!("the argument {arg:?} holds a NUL"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::Capabilities;
    use crate::ops::testing::live::Live;

    fn command(argv: &[&str]) -> v1::ExecCommand {
        v1::ExecCommand { argv: argv.iter().map(|arg| (*arg).to_owned()).collect(), ..Default::default() }
    }

    #[test]
    fn a_command_is_not_empty_holds_no_nul_and_has_a_bound() {
        let kind = |argv: &[&str]| check(&command(argv)).map_err(|error| error.kind);
        assert_eq!(kind(&["ls", ""]), Ok(()));
        assert_eq!((kind(&[]), kind(&[""])), (Err(Kind::Invalid), Err(Kind::Invalid)));
        assert_eq!(kind(&["ls", "a\0b"]), Err(Kind::Invalid));
        assert_eq!(kind(&["ls", &"x".repeat(EXEC_COMMAND_BYTES)]), Err(Kind::TooLarge));
    }

    #[tokio::test]
    async fn who_may_not_exec_is_refused_before_anything_is_looked_up() {
        let live = Live::leading().await;
        let reader = Caller {
            capabilities: Capabilities::default().with(Capability::Read).with(Capability::Submit),
            ..Caller::operator()
        };
        let query = TaskQuery { alloc: "nothing".into(), ..TaskQuery::default() };
        let refused = exec(&live.cluster, &live.hub, &reader, &query, command(&["ls"])).await;
        assert_eq!(refused.err().map(|error| error.kind), Some(Kind::Forbidden));
        let missing = exec(&live.cluster, &live.hub, &Caller::operator(), &query, command(&["ls"])).await;
        assert_eq!(missing.err().map(|error| error.kind), Some(Kind::NotFound));
    }
}
