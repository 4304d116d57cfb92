//! `minijob agent`: runs this machine's tasks until it is told to end. The tasks run on.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tracing::info;

use crate::address::Address;
use crate::args::{self, Global};
use crate::daemon::{self, Signals, logging};
use crate::exit::{Exit, Failure};
use crate::{runtime, token};

const EXAMPLES: &str = "\
Examples:
  minijob agent --servers 10.0.0.1:4650,10.0.0.2:4650,10.0.0.3:4650
  minijob agent --name vm7 --meta rack=r1 --meta disks=ssd";

/// What `agent` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The node's name [default: the name of this machine]
    #[arg(long, env = "MINIJOB_NAME", value_parser = args::machine, hide_env_values = true)]
    pub name: Option<String>,
    /// Where it keeps its data [default: /var/lib/minijob/agent; not as root ~/.local/share/minijob/agent]
    #[arg(long, env = "MINIJOB_DATA_DIR", value_name = "DIR", hide_env_values = true)]
    pub data_dir: Option<PathBuf>,
    /// The servers, tried in turn
    #[arg(
        long,
        env = "MINIJOB_SERVERS",
        value_name = "ADDR,..",
        default_value = "127.0.0.1:4650",
        hide_env_values = true
    )]
    pub servers: String,
    /// A fact about this machine, for placement; may be given several times
    #[arg(long, env = "MINIJOB_META", value_name = "KEY=VALUE", value_delimiter = ',', value_parser = fact, hide_env_values = true)]
    pub meta: Vec<(String, String)>,
    /// The address that others reach this machine's tasks at [default: the one that reaches the servers]
    #[arg(long, env = "MINIJOB_ADVERTISE", value_name = "ADDR", hide_env_values = true)]
    pub advertise: Option<String>,
    /// How much it says.
    #[command(flatten)]
    pub logging: logging::Args,
}

/// Runs the command.
///
/// # Errors
/// What keeps the agent from running tasks.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let servers = Address::list(&args.servers)?;
    let token = token::find(global.token.as_deref(), &servers, None)?;
    let data_dir = args.data_dir.clone().unwrap_or_else(|| daemon::default_data_dir("agent"));
    daemon::check_data_dir(&data_dir)?;
    let keeper = daemon::keeper::ensure(&data_dir, None)?;
    logging::init(&args.logging, global)?;
    runtime::large(async {
        let mut signals = Signals::new()?;
        let token = tokio::select! {
            token = token_of(token, &servers) => token,
            () = signals.next() => return Ok(Exit::DONE),
        };
        let name = args.name.clone().unwrap_or_else(daemon::host_name);
        let options = daemon::agent::Options {
            name: name.clone(),
            data_dir: data_dir.clone(),
            keeper,
            servers: servers.iter().map(Address::host_and_port).collect(),
            token: token.map(|token| token.secret),
            advertise: args.advertise.clone(),
            meta: args.meta.iter().cloned().collect::<BTreeMap<_, _>>(),
            personal: false,
        };
        let mut agent = daemon::agent::start(options).await?;
        info!("node {name} of {}, data in {}", args.servers, data_dir.display());
        let ended = tokio::select! {
            error = agent.ended() => Err(error),
            () = signals.next() => Ok(()),
        };
        info!("ending; tasks run on");
        let stopped = tokio::select! {
            stopped = agent.stop() => stopped,
            () = signals.next() => return Ok(Exit::INTERRUPTED),
        };
        ended.and(stopped)?;
        Ok(Exit::DONE)
    })
}

/// Waits for the token of a server that is on this machine and has not made it yet: both may be started at once.
async fn token_of(found: Option<token::Token>, servers: &[Address]) -> Option<token::Token> {
    let local = servers.iter().all(Address::is_loopback);
    if found.is_some() || !local {
        return found;
    }
    tracing::warn!(
        "waiting for the token of a server on this machine; or give one with --token or MINIJOB_TOKEN"
    );
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        if let Ok(Some(token)) = token::find(None, servers, None) {
            return Some(token);
        }
    }
}

fn fact(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, such as rack=r1")?;
    if key.is_empty() {
        return Err("the key is empty: expected KEY=VALUE, such as rack=r1".to_owned());
    }
    Ok((key.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_is_a_key_and_a_value_that_may_hold_anything() {
        assert_eq!(fact("rack=r1"), Ok(("rack".into(), "r1".into())));
        assert_eq!(fact("a=b=c"), Ok(("a".into(), "b=c".into())));
        assert!(fact("rack").is_err() && fact("=r1").is_err());
    }
}
