//! `minijob server`: runs a server until it is told to end.

use std::net::{SocketAddr, TcpListener};

use proto::error::{Error, Kind};
use proto::key::ClusterKey;
use tokio::sync::watch;
use tracing::info;

use crate::address::Address;
use crate::args::Global;
use crate::config;
use crate::config::server::{Config, Flags, load};
use crate::daemon::{self, Signals, logging, signals::Asked};
use crate::exit::{Exit, Failure};
use crate::output::Out;
use crate::runtime;

const EXAMPLES: &str = "\
Examples:
  minijob server
  minijob server --listen 10.0.0.1:4650 --key-file /etc/minijob/cluster.key
  minijob server --listen 10.0.0.1:4650 --key-file /etc/minijob/cluster.key --join a,b,c --bootstrap-expect 3
  minijob server --config server.yml --print-config";

/// What `server` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Args {
    /// What to do instead of running a server
    #[command(subcommand)]
    pub what: Option<super::members::What>,
    /// What it goes by.
    #[command(flatten)]
    pub flags: Flags,
}

/// Runs the command.
///
/// # Errors
/// What keeps the server from serving.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let config = load(&args.flags)?;
    if args.flags.file.print_config {
        config::show(&config.entries(), &mut Out::new(global))?;
        return Ok(Exit::DONE);
    }
    config.check_reach()?;
    let keys = keys(&config)?;
    let levels = logging::init(&config.log_level.value, config.log_json.value, global)?;
    let data_dir = config.data_dir.value.clone();
    daemon::check_data_dir(&data_dir)?;
    runtime::large(async {
        let mut signals = Signals::new()?.rereading()?;
        let listener = listen(config.listen.value)?;
        let address = listener.local_addr().unwrap_or(config.listen.value);
        let mut serving = daemon::server::start(options(&config, listener, keys)).await?;
        let scheme = if config.key_file.value.is_some() { "https" } else { "http" };
        info!("serving at {scheme}://{address}, data in {}", data_dir.display());
        if serving.first_start {
            info!("first start: the token for the command line is in {}", serving.token_file.display());
        }
        let mut now = config.clone();
        let ended = loop {
            let asked = tokio::select! {
                error = serving.running.ended() => break Err(error),
                asked = signals.asked() => asked,
            };
            match asked {
                Asked::End => break Ok(()),
                Asked::Reread => {
                    reread(args, &mut now, &levels);
                    rekey(&now, &serving.keys);
                }
            }
        };
        info!("ending");
        let stopped = tokio::select! {
            stopped = serving.running.stop() => stopped,
            () = signals.next() => return Ok(Exit::INTERRUPTED),
        };
        ended.and(stopped)?;
        Ok(Exit::DONE)
    })
}

/// Reads the keys of the cluster, the newest first; none: there is no key file.
fn keys(config: &Config) -> Result<Vec<ClusterKey>, Error> {
    let keys = config.key_file.value.as_deref().map(ClusterKey::read_all).transpose();
    let keys = keys.map_err(|error| Error::new(Kind::Refused, error.to_string()))?;
    Ok(keys.unwrap_or_default())
}

/// Reads the key file again; one that cannot be read changes nothing.
fn rekey(config: &Config, to: &watch::Sender<Vec<ClusterKey>>) {
    match keys(config) {
        Ok(keys) if keys.is_empty() => {}
        Ok(keys) => {
            info!("going by {} of the cluster's keys", keys.len());
            to.send_replace(keys);
        }
        Err(error) => config::log_refused(&error),
    }
}

fn options(config: &Config, listener: TcpListener, keys: Vec<ClusterKey>) -> daemon::server::Options {
    let mut keys = keys.into_iter();
    let expect = config.bootstrap_expect.value;
    let election = config.raft_election_timeout.value;
    daemon::server::Options {
        name: config.name.value.clone(),
        data_dir: config.data_dir.value.clone(),
        listener,
        advertise: config.advertise.value.clone(),
        log_store: config.log_store.value,
        timings: daemon::server::Timings {
            heartbeat: config.raft_heartbeat.value,
            election_min: election.least,
            election_max: election.most,
        },
        overrides: daemon::server::Overrides {
            heartbeat: config.heartbeat.value,
            node_timeout: config.node_timeout.value,
        },
        key: keys.next(),
        old_key: keys.next(),
        join: config.join.value.iter().map(Address::host_and_port).collect(),
        expect: if expect > 1 { expect } else { 0 },
        snapshots: config.scheduled(),
    }
}

/// Reads the file again: what is logged changes at once, the rest is told every time as waiting for a restart.
fn reread(args: &Args, now: &mut Config, levels: &logging::Levels) {
    match load(&args.flags) {
        Ok(read) => {
            config::log_changes(&config::changes(&now.entries(), &read.entries()));
            levels.set(&read.log_level.value);
            now.log_level = read.log_level;
        }
        Err(error) => config::log_refused(&error),
    }
}

/// Takes an address to listen on.
///
/// # Errors
/// [`Kind::Refused`] says who could be in the way.
pub fn listen(address: SocketAddr) -> Result<TcpListener, Error> {
    let refused = |cause: std::io::Error| {
        let hint = match cause.kind() {
            std::io::ErrorKind::AddrInUse => {
                format!("`ss -ltnp 'sport = :{}'` shows who listens there", address.port())
            }
            _ => "give another one with --listen".to_owned(),
        };
        let cause = cause.to_string();
        let words = cause.split(" (os error").next().unwrap_or(&cause).to_lowercase();
        Error::new(Kind::Refused, format!("cannot listen on {address}: {words}")).hint(hint)
    };
    let listener = TcpListener::bind(address).map_err(refused)?;
    listener.set_nonblocking(true).map_err(refused)?;
    Ok(listener)
}
