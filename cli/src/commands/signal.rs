//! `minijob signal`: a signal to a running task.

use bytes::Bytes;
use proto::error::{Error, Kind};
use proto::ids::{AllocId, random_request_id};
use proto::view::Signalled;
use proto::wire::v1;

use crate::args::Global;
use crate::connect::{Client, Servers};
use crate::exit::{Exit, Failure};
use crate::output::Out;
use crate::runtime;

const EXAMPLES: &str = "\
Examples:
  minijob signal web --signal SIGHUP          the only task of the only allocation of a job
  minijob signal web.api.0 nginx -s USR1      one task of one allocation";

/// What `signal` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// An allocation (job.group.index, or the beginning of its id), or a job that has only one
    #[arg(value_name = "ALLOC")]
    pub alloc: String,
    /// The task [default: the only one]
    pub task: Option<String>,
    /// The signal: SIGHUP, HUP or 1
    #[arg(short, long, value_name = "SIGNAL", value_parser = signal)]
    pub signal: i32,
}

/// Reads a signal.
fn signal(text: &str) -> Result<i32, String> {
    proto::signals::number(text)
        .ok_or_else(|| "it is no signal: name one such as SIGHUP, or a number from 1 to 64".to_owned())
}

/// Runs the command.
///
/// # Errors
/// The server's refusal, or that of the agent.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let (namespace, alloc) = global.qualify(&args.alloc);
    let mut out = Out::new(global);
    let request = v1::SignalRequest {
        request_id: Bytes::copy_from_slice(&random_request_id().0.to_be_bytes()),
        namespace: namespace.to_owned(),
        alloc: alloc.to_owned(),
        task: args.task.clone().unwrap_or_default(),
        signal: args.signal.to_string(),
    };
    let sent = runtime::small(async { Ok(send(&Servers::new(global)?, &request).await?) })?;
    if out.json {
        out.document(&sent)?;
    } else {
        out.line(&format!("{} was sent to task {} of allocation {}", sent.signal, sent.task, sent.alloc))?;
    }
    Ok(Exit::DONE)
}

/// Sends it. The same request id again, while the agent remembers it, sends nothing.
async fn send(servers: &Servers, request: &v1::SignalRequest) -> Result<Signalled, Error> {
    let call = |mut client: Client| {
        let request = request.clone();
        async move { client.signal(request).await }
    };
    let reply = servers.ask(call).await.map_err(|error| match error.kind {
        Kind::Unavailable if error.hint.is_empty() => error.hint("whether the signal was sent is not known"),
        _ => error,
    })?;
    Ok(Signalled { alloc: AllocId(reply.alloc_id), task: reply.task, signal: reply.signal })
}
