//! `minijob agent`: runs this machine's tasks until it is told to end. The tasks run on.

use std::path::Path;

use proto::error::{Error, Kind};
use proto::key::ClusterKey;
use tracing::info;

use crate::address::Address;
use crate::args::Global;
use crate::config::agent::{Config, Flags, load};
use crate::daemon::{self, Signals, logging, signals::Asked};
use crate::exit::{Exit, Failure};
use crate::output::Out;
use crate::{config, runtime, token};

use super::server::listen;

const EXAMPLES: &str = "\
Examples:
  minijob agent --servers 10.0.0.1:4650,10.0.0.2:4650,10.0.0.3:4650
  minijob agent --servers 10.0.0.1:4650 --key-file /etc/minijob/cluster.key
  minijob agent --name vm7 --meta rack=r1 --meta disks=ssd
  minijob agent --config agent.yml --print-config";

/// What `agent` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What it goes by.
    #[command(flatten)]
    pub flags: Flags,
}

/// Runs the command.
///
/// # Errors
/// What keeps the agent from running tasks.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let config = load(&args.flags, global)?;
    if args.flags.file.print_config {
        config::show(&config.entries(), &mut Out::new(global))?;
        return Ok(Exit::DONE);
    }
    let key = key(config.key_file.value.as_deref())?;
    let is_member = key.is_some() || client::enrolment::has_enrolled(&config.data_dir.value);
    let given = token::given(global.token.as_deref(), config.token_file.value.as_deref())?;
    let token = match given {
        Some(token) => Some(token),
        None => token::find(None, &config.servers.value, None)?,
    };
    let data_dir = config.data_dir.value.clone();
    daemon::check_data_dir(&data_dir)?;
    let http = config.http.value.map(listen).transpose()?;
    let keeper = daemon::keeper::ensure(&data_dir, None)?;
    let levels = logging::init(&config.log_level.value, config.log_json.value, global)?;
    runtime::large(async {
        let mut signals = Signals::new()?.rereading()?;
        let token = tokio::select! {
            token = token_of(token, is_member, &config.servers.value) => token,
            () = signals.next() => return Ok(Exit::DONE),
        };
        let servers: Vec<String> = config.servers.value.iter().map(Address::host_and_port).collect();
        let shown = servers.join(",");
        let options = daemon::agent::Options {
            name: config.name.value.clone(),
            data_dir: data_dir.clone(),
            keeper,
            servers,
            token: token.map(|token| token.secret),
            key,
            advertise: config.advertise.value.clone(),
            rules: config.rules(),
            http,
            personal: false,
        };
        let mut agent = daemon::agent::start(options).await?;
        info!("node {} of {shown}, data in {}", config.name.value, data_dir.display());
        let mut now = config.clone();
        let ended = loop {
            let asked = tokio::select! {
                error = agent.running.ended() => break Err(error),
                asked = signals.asked() => asked,
            };
            match asked {
                Asked::End => break Ok(()),
                Asked::Reread => reread(args, global, &mut now, &agent, &levels),
            }
        };
        if now.drain_on_shutdown.value.is_none() {
            info!("ending; tasks run on");
        }
        let stopped = tokio::select! {
            stopped = agent.running.stop() => stopped,
            () = signals.next() => return Ok(Exit::INTERRUPTED),
        };
        ended.and(stopped)?;
        Ok(Exit::DONE)
    })
}

/// Reads the file again and takes over what can change; what waits for a restart is told every time.
fn reread(
    args: &Args,
    global: &Global,
    now: &mut Config,
    agent: &daemon::agent::Agent,
    levels: &logging::Levels,
) {
    match load(&args.flags, global) {
        Ok(read) => {
            config::log_changes(&config::changes(&now.entries(), &read.entries()));
            levels.set(&read.log_level.value);
            agent.follow(read.rules());
            now.take_live(&read);
        }
        Err(error) => config::log_refused(&error),
    }
}

/// Reads the cluster's key.
fn key(file: Option<&Path>) -> Result<Option<ClusterKey>, Error> {
    let key = file.map(ClusterKey::read).transpose();
    key.map_err(|error| Error::new(Kind::Refused, error.to_string()))
}

/// Waits for the token of a server that is on this machine and has not made it yet: both may be started at once. A member needs none.
async fn token_of(found: Option<token::Token>, is_member: bool, servers: &[Address]) -> Option<token::Token> {
    let local = servers.iter().all(Address::is_loopback);
    if found.is_some() || is_member || !local {
        return found;
    }
    tracing::warn!(
        "waiting for the token of a server on this machine; or give one with --token, MINIJOB_TOKEN or token_file, or, where servers have the \
         cluster's key, that key with --key-file"
    );
    loop {
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        if let Ok(Some(token)) = token::find(None, servers, None) {
            return Some(token);
        }
    }
}
