//! `minijob node drain`: a node is emptied, and this tells how far that is.

use std::time::Duration;

use proto::error::{Error, Kind};
use proto::ids::{NodeId, Revision};
use proto::model::Liveness;
use proto::time::{Timestamp, millis, now};
use proto::units::parse_duration;
use proto::view::{DrainView, NodeStatus, NodeView};
use proto::wire::v1;

use crate::args::Global;
use crate::commands::written;
use crate::connect::{Client, Servers};
use crate::exit::{Exit, Failure};
use crate::output::{Out, ago, relative};
use crate::{read, runtime};

const EXAMPLES: &str = "\
Examples:
  minijob node drain n1                     its work moves at the pace of `migrate`; what is left after 1h is ended
  minijob node drain n1 --deadline 10m -m \"new kernel\"
  minijob node drain n1 --no-deadline       batch jobs may take as long as they need
  minijob node drain n1 --force             everything there ends now and is placed elsewhere
  minijob node drain n1 --cancel            what has not moved stays; the node takes work again
  minijob node uncordon n1                  the same after it was drained

Ctrl-C ends the report, not the drain.";

/// What `node drain` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// A name, an id, or the beginning of one
    pub node: String,
    /// When what is left is ended; 1h if it is not given
    #[arg(long, value_name = "DURATION", value_parser = deadline)]
    pub deadline: Option<Duration>,
    /// What is left may take as long as it needs
    #[arg(long, conflicts_with = "deadline")]
    pub no_deadline: bool,
    /// Ends everything at once; the same as `--deadline 0s`
    #[arg(long, conflicts_with_all = ["deadline", "no_deadline"])]
    pub force: bool,
    /// Lets what has not moved stay; the node is what it was before
    #[arg(long, conflicts_with_all = ["deadline", "no_deadline", "force", "message", "detach"])]
    pub cancel: bool,
    /// Does not wait until nothing is left
    #[arg(long)]
    pub detach: bool,
    /// What is kept with it, for others
    #[arg(long, short)]
    pub message: Option<String>,
}

/// Reads a deadline; 0 needs no unit.
fn deadline(text: &str) -> Result<Duration, String> {
    if text == "0" { Ok(Duration::ZERO) } else { parse_duration(text).map_err(|error| error.to_string()) }
}

/// Runs the command.
///
/// # Errors
/// The server's refusal; and while it follows, that the drain was cancelled.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let request = v1::DrainNodeRequest {
        request_id: written::request_id(),
        node: args.node.clone(),
        cancel: args.cancel,
        deadline_ms: if args.force { Some(0) } else { args.deadline.map(millis) },
        no_deadline: args.no_deadline,
        message: args.message.clone().unwrap_or_default(),
    };
    let call = |mut client: Client| {
        let request = request.clone();
        async move { client.drain_node(request).await }
    };
    let mut out = Out::new(global);
    runtime::small(async {
        let servers = Servers::new(global)?;
        let reply = servers.ask(call).await?;
        let answer = written::understood(&reply)?;
        let node = &args.node;
        let said = match (answer.changed, args.cancel) {
            (true, true) => format!("{node}: what has not moved stays"),
            (false, true) => format!("{node}: was not drained"),
            (true, false) => format!("{node}: its work moves to other nodes"),
            (false, false) => {
                format!("{node}: is drained with that deadline already, or nothing is left there")
            }
        };
        if args.cancel || args.detach {
            return written::show(&mut out, &answer, None, &said);
        }
        if !out.json {
            out.line(&said)?;
        }
        let exit = follow(&servers, node, &mut out).await?;
        if out.json {
            out.document(&answer)?;
        }
        Ok(exit)
    })
}

/// Tells what is left as it changes, until nothing is.
async fn follow(servers: &Servers, node: &str, out: &mut Out) -> Result<Exit, Failure> {
    let id = status(servers, node).await?.node.id;
    let (mut told, mut after) = (String::new(), None::<Revision>);
    loop {
        let list = read::nodes(servers, after).await?.view;
        after = Some(list.revision);
        let Some(view) = list.items.into_iter().find(|one| one.id == id) else {
            return Err(ended(format!("node {node} was forgotten meanwhile")));
        };
        let Some(drain) = &view.drain else {
            return Err(ended(format!("the drain of node {node} was cancelled")));
        };
        if drain.complete_at.is_some() {
            if !out.json {
                out.line(&format!(
                    "{node}: nothing is left; it takes no work until `minijob node uncordon {node}`"
                ))?;
            }
            return Ok(Exit::DONE);
        }
        let said = left(servers, id, &view, drain).await?;
        if said != told && !out.json {
            out.line(&format!("{node}: {}", relative(&said, now())))?;
        }
        told = said;
    }
}

fn ended(why: String) -> Failure {
    Failure::Ended(Error::new(Kind::Conflict, why), Exit::FAILED)
}

async fn status(servers: &Servers, node: &str) -> Result<NodeStatus, Failure> {
    let request = v1::NodeStatusRequest { node: node.to_owned() };
    let call = |mut client: Client| {
        let request = request.clone();
        async move { client.node_status(request).await }
    };
    Ok(read::understood::<NodeStatus>(servers.ask(call).await?)?.view)
}

/// Allocations that one line names; the rest are counted.
const NAMED: usize = 5;

/// Says what is left on a node.
async fn left(servers: &Servers, id: NodeId, view: &NodeView, drain: &DrainView) -> Result<String, Failure> {
    if view.liveness == Liveness::Down {
        return Ok("it does not answer; the drain goes on when it is back".to_owned());
    }
    let running = status(servers, &id.to_string()).await?.running;
    let names: Vec<&str> = running.iter().take(NAMED).map(|alloc| alloc.name.as_str()).collect();
    let more = running.len().saturating_sub(NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    let overdue = if drain.overdue { "; the deadline has passed, they were told to end" } else { "" };
    Ok(format!("{} left: {}{more}{overdue}", drain.left, names.join(", ")))
}

/// Says how a drain is, in one line.
pub(super) fn told(drain: &DrainView, now: Timestamp) -> String {
    let said = if drain.message.is_empty() { String::new() } else { format!(": {}", drain.message) };
    let how = match (drain.complete_at, drain.deadline) {
        (Some(at), _) => format!("complete {}; `minijob node uncordon` ends it", ago(now, at)),
        (None, _) if drain.overdue => format!("{} left, which were told to end", drain.left),
        (None, Some(at)) => relative(&format!("{} left, ended at {at}", drain.left), now),
        (None, None) => format!("{} left, no deadline", drain.left),
    };
    format!("{how}; by {}, {}{said}", drain.by, ago(now, drain.begun_at))
}
