//! `minijob context`: the clusters that a person works with.

use serde::Serialize;

use crate::address::Address;
use crate::args::Global;
use crate::config::contexts::{self, Context, Contexts, Credential};
use crate::exit::{Exit, Failure};
use crate::output::{Out, Table};

const EXAMPLES: &str = "\
Examples:
  minijob context list
  minijob context use prod
  minijob -c lab status            another one for a single command

A context is an entry of ~/.config/minijob/contexts.yml:
  prod: {address: [10.0.0.1:4650, 10.0.0.2:4650], token_file: ~/.config/minijob/prod.token,
         ca: ~/.config/minijob/prod.ca, namespace: dmz}";

/// What `context` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What to do with them.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done with contexts.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Lists them, the current one marked
    List,
    /// Makes one the current one
    Use {
        /// Which
        name: String,
    },
}

/// A context as scripts see it.
#[derive(Debug, Serialize)]
struct Shown {
    name: String,
    current: bool,
    addresses: Vec<String>,
    namespace: Option<String>,
    token_file: Option<String>,
    ca: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// [`proto::error::Kind::Invalid`] for a file with faults and a name that no context has; what keeps the file from being written.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let contexts = contexts::load()?;
    let mut out = Out::new(global);
    match &args.command {
        Command::List => list(&contexts, global, &mut out)?,
        Command::Use { name } => {
            let changed = contexts::make_current(&contexts, name)?;
            if out.json {
                out.document(&serde_json::json!({"changed": changed, "current": name}))?;
            } else {
                let words = if changed { "is the current context" } else { "is the current context already" };
                out.line(&format!("{name} {words}"))?;
            }
        }
    }
    Ok(Exit::DONE)
}

fn list(contexts: &Contexts, global: &Global, out: &mut Out) -> Result<(), Failure> {
    let named = global.context.as_deref();
    let current = contexts.choose(named)?.map(|context| context.name.clone());
    let all: Vec<Shown> = contexts.all.values().map(|context| shown(context, current.as_deref())).collect();
    if out.json {
        return out.document(&serde_json::json!({"items": all}));
    }
    if all.is_empty() {
        out.line(&format!("no contexts yet: {} holds none", contexts::shown()))?;
        return out
            .line("write `NAME: {address: 10.0.0.1:4650, token_file: FILE}` into it for every cluster");
    }
    let mut table = Table::new(out, &["CURRENT", "NAME", "NAMESPACE", "TOKEN", "SERVERS"]);
    for context in all {
        let mark = if context.current { "*" } else { "" };
        table.row(vec![
            mark.into(),
            context.name.into(),
            context.namespace.unwrap_or_default().into(),
            context.token_file.unwrap_or_default().into(),
            context.addresses.join(", ").into(),
        ]);
    }
    out.line(&table.render())
}

fn shown(context: &Context, current: Option<&str>) -> Shown {
    let token_file = match &context.token {
        Credential::File(path) => Some(path.display().to_string()),
        Credential::None | Credential::Given(_) => None,
    };
    Shown {
        name: context.name.clone(),
        current: current == Some(context.name.as_str()),
        addresses: context.addresses.iter().map(Address::url).collect(),
        namespace: context.namespace.clone(),
        token_file,
        ca: context.ca.as_ref().map(|path| path.display().to_string()),
    }
}
