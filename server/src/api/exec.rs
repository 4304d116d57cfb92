//! A call that runs a command: the caller's stream joined to the agent's, and both ended when either side goes away.

use futures::Stream;
use proto::error::{Error, Kind};
use proto::wire::v1::{self, exec_input, exec_request};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Status, Streaming};

use super::Context;
use crate::agents::ExecWires;
use crate::limits::{EXEC_INPUT_BYTES, EXEC_START_WITHIN};
use crate::ops::{self, Caller, TaskQuery};

type Input = mpsc::Sender<Result<v1::ExecInput, Status>>;

/// Runs what the first message asks for, and returns what it says until its end. Dropping that hangs the command up.
///
/// # Errors
/// Those of [`ops::exec`]; invalid when the first message does not say what to run.
pub(super) async fn run(
    context: &Context,
    caller: &Caller,
    mut inbound: Streaming<v1::ExecRequest>,
) -> Result<impl Stream<Item = Result<v1::ExecOutput, Status>> + Send + use<>, Status> {
    let first = timeout(EXEC_START_WITHIN, inbound.message()).await;
    let first = first.map_err(|_| Error::new(Kind::Invalid, "nothing was said within 5 s"))??;
    let Some(exec_request::Kind::Start(start)) = first.and_then(|first| first.kind) else {
        return Err(Error::new(Kind::Invalid, "the first message does not say what to run").into());
    };
    let v1::ExecStart { namespace, alloc, task, command } = start;
    let query = TaskQuery { namespace, alloc, task };
    let command = command.unwrap_or_default();
    let ExecWires { input, output } =
        ops::exec(&context.cluster, &context.hub, caller, &query, command).await?;
    let gone = CancellationToken::new();
    tokio::spawn(gone.clone().run_until_cancelled_owned(feed(inbound, input)));
    Ok(answer(output, gone.drop_guard()))
}

/// What the command says. The guard goes with the answer, when the caller has gone too, and ends the feeding.
fn answer(
    output: mpsc::Receiver<v1::ExecOutput>,
    guard: DropGuard,
) -> impl Stream<Item = Result<v1::ExecOutput, Status>> + Send {
    futures::stream::unfold((output, guard), |(mut output, guard)| async move {
        output.recv().await.map(|said| (Ok(said), (output, guard)))
    })
}

/// Hands on what the caller sends. A caller that only has no more to say still listens: its command's input ends.
async fn feed(mut inbound: Streaming<v1::ExecRequest>, input: Input) {
    loop {
        let message = match inbound.message().await {
            Ok(Some(v1::ExecRequest { kind: Some(exec_request::Kind::Input(message)) })) => message,
            Ok(Some(_)) => continue,
            Ok(None) => {
                let kind = Some(exec_input::Kind::StdinEnd(v1::StdinEnd {}));
                input.send(Ok(v1::ExecInput { kind })).await.ok();
                // Until the guard ends this: the end of the input would hang the command up.
                return input.closed().await;
            }
            Err(_) => return,
        };
        if is_too_large(&message) {
            let said = format!("a message of input has at most {EXEC_INPUT_BYTES} bytes");
            input.send(Err(Status::invalid_argument(said))).await.ok();
            return;
        }
        if input.send(Ok(message)).await.is_err() {
            return;
        }
    }
}

fn is_too_large(message: &v1::ExecInput) -> bool {
    matches!(&message.kind, Some(exec_input::Kind::Stdin(data)) if data.len() > EXEC_INPUT_BYTES)
}
