//! `minijob node`: the machines, and whether they take work.

mod drain; // a node is emptied
mod show; // all nodes, or one

use proto::time::now;
use proto::view::NodeStatus;
use proto::wire::v1;

use super::written;
use crate::args::Global;
use crate::connect::{Client, Servers};
use crate::exit::{Exit, Failure};
use crate::output::Out;
use crate::{read, runtime};

const EXAMPLES: &str = "\
Examples:
  minijob node               all nodes
  minijob node status n1     one: what it is, what runs there, what happened
  minijob node cordon n1     it keeps what it has and takes nothing new
  minijob node uncordon n1
  minijob node drain n1      moves its work to other nodes, and follows that
  minijob node drain n1 --cancel
  minijob node purge n1      forgets a node that is down for good";

/// What `node` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What to do; none: shows all nodes
    #[command(subcommand)]
    pub what: Option<What>,
}

/// What can be done.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// Shows all nodes, or one with what runs there
    Status {
        /// A name, an id, or the beginning of one; none: all nodes
        node: Option<String>,
    },
    /// Keeps new work away from a node; what runs there stays
    Cordon(One),
    /// Lets a node take work again
    Uncordon(One),
    /// Moves a node's work to others, and follows until nothing is left
    Drain(drain::Args),
    /// Forgets a node that is down
    Purge(One),
}

/// One node.
#[derive(Debug, clap::Args)]
pub struct One {
    /// A name, an id, or the beginning of one
    pub node: String,
}

/// Runs the command.
///
/// # Errors
/// The server's refusal.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    match &args.what {
        None | Some(What::Status { node: None }) => all(global),
        Some(What::Status { node: Some(node) }) => status(node, global),
        Some(What::Cordon(One { node })) => eligibility(node, false, global),
        Some(What::Uncordon(One { node })) => eligibility(node, true, global),
        Some(What::Drain(args)) => drain::main(args, global),
        Some(What::Purge(One { node })) => purge(node, global),
    }
}

fn all(global: &Global) -> Result<Exit, Failure> {
    let mut out = Out::new(global);
    let nodes = runtime::small(async { Ok(read::nodes(&Servers::new(global)?, None).await?) })?;
    if out.json { out.passed_on(&nodes.raw) } else { show::list(&mut out, &nodes.view.items, now()) }?;
    Ok(Exit::DONE)
}

fn status(node: &str, global: &Global) -> Result<Exit, Failure> {
    let request = v1::NodeStatusRequest { node: node.to_owned() };
    let call = |mut client: Client| {
        let request = request.clone();
        async move { client.node_status(request).await }
    };
    let mut out = Out::new(global);
    let document = runtime::small(async { Ok(Servers::new(global)?.ask(call).await?) })?;
    let status = read::understood::<NodeStatus>(document)?;
    if out.json { out.passed_on(&status.raw) } else { show::one(&mut out, &status.view, now()) }?;
    Ok(Exit::DONE)
}

fn eligibility(node: &str, eligible: bool, global: &Global) -> Result<Exit, Failure> {
    let request_id = written::request_id();
    let request = v1::SetEligibilityRequest { request_id, node: node.to_owned(), eligible };
    let call = |mut client: Client| {
        let request = request.clone();
        async move { client.set_eligibility(request).await }
    };
    let mut out = Out::new(global);
    let reply = runtime::small(async { Ok(Servers::new(global)?.ask(call).await?) })?;
    let answer = written::understood(&reply)?;
    let said = match (answer.changed, eligible) {
        (true, false) => format!("{node}: cordoned; what runs there stays, nothing new comes"),
        (true, true) => format!("{node}: takes work again"),
        (false, false) => format!("{node}: was cordoned already"),
        (false, true) => format!("{node}: was not cordoned"),
    };
    written::show(&mut out, &answer, None, &said)
}

fn purge(node: &str, global: &Global) -> Result<Exit, Failure> {
    let request = v1::PurgeNodeRequest { request_id: written::request_id(), node: node.to_owned() };
    let call = |mut client: Client| {
        let request = request.clone();
        async move { client.purge_node(request).await }
    };
    let mut out = Out::new(global);
    let reply = runtime::small(async { Ok(Servers::new(global)?.ask(call).await?) })?;
    let answer = written::understood(&reply)?;
    written::show(&mut out, &answer, None, &format!("{node}: forgotten"))
}
