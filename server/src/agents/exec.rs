//! Commands beside tasks: the connection that an agent dials for one, joined to whoever asked for it.

use proto::ids::AllocId;
use proto::wire::v1::{self, exec_output, exec_up};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::{Status, Streaming};

use super::dials::Dials;
use crate::limits::REGISTER_WITHIN;

/// Which command to run beside which task.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecSpec {
    /// Whose task.
    pub alloc: AllocId,
    /// Which.
    pub task: String,
    /// What to run.
    pub command: v1::ExecCommand,
}

impl ExecSpec {
    pub(super) fn ask(self, ticket: u64) -> v1::OpenExec {
        v1::OpenExec { ticket, alloc_id: self.alloc.0, task: self.task, command: Some(self.command) }
    }
}

/// Both ways to a command. Dropping either end hangs it up.
#[derive(Debug)]
pub struct ExecWires {
    /// What it is to read, and the size of its window.
    pub input: mpsc::Sender<Result<v1::ExecInput, Status>>,
    /// What it says; the last message is its end, if the agent could still tell.
    pub output: mpsc::Receiver<v1::ExecOutput>,
}

/// What an agent's connection is joined to.
pub(super) struct Joint {
    pub(super) output: mpsc::Sender<v1::ExecOutput>,
    pub(super) input: mpsc::Receiver<Result<v1::ExecInput, Status>>,
}

/// Reads the ticket of a connection and returns what it is joined to.
///
/// # Errors
/// When no ticket comes, or nobody waits with it.
pub(super) async fn admit(dials: &Dials<Joint>, up: &mut Streaming<v1::ExecUp>) -> Result<Joint, Status> {
    let first = timeout(REGISTER_WITHIN, up.message()).await;
    let first = first.map_err(|_| Status::deadline_exceeded("no ticket came"))??;
    let Some(exec_up::Kind::Ticket(ticket)) = first.and_then(|first| first.kind) else {
        return Err(Status::invalid_argument("no ticket came"));
    };
    dials.take(ticket).ok_or_else(|| Status::not_found("nobody waits with this ticket"))
}

/// Hands on what a command says until its end, or until nobody listens any more.
pub(super) async fn hand_on(mut up: Streaming<v1::ExecUp>, output: mpsc::Sender<v1::ExecOutput>) {
    loop {
        let message = tokio::select! {
            message = up.message() => message,
            () = output.closed() => return,
        };
        let said = match message {
            Ok(Some(v1::ExecUp { kind: Some(exec_up::Kind::Output(said)) })) => said,
            // A newer agent may say what this version does not know.
            Ok(Some(_)) => continue,
            Ok(None) => return,
            Err(status) => broken(&status),
        };
        let is_last = matches!(said.kind, Some(exec_output::Kind::End(_)));
        if output.send(said).await.is_err() || is_last {
            return;
        }
    }
}

fn broken(status: &Status) -> v1::ExecOutput {
    let refusal = v1::Refused {
        kind: "unavailable".to_owned(),
        message: format!("the connection to the agent broke: {}", status.message()),
        hint: "the command is hung up when its agent notices".to_owned(),
    };
    let end = v1::ExecEnd { kind: Some(v1::exec_end::Kind::Broken(refusal)) };
    v1::ExecOutput { kind: Some(exec_output::Kind::End(end)) }
}
