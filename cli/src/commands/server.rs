//! `minijob server`: runs a server until it is told to end.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use proto::error::{Error, Kind};
use tracing::info;

use crate::address;
use crate::args::{self, Global};
use crate::daemon::{self, Signals, logging};
use crate::exit::{Exit, Failure};
use crate::runtime;

const EXAMPLES: &str = "\
Examples:
  minijob server
  minijob server --listen 10.0.0.1:4650 --data-dir /var/lib/minijob/server";

/// What `server` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Its name [default: the name of this machine]
    #[arg(long, env = "MINIJOB_NAME", value_parser = args::machine, hide_env_values = true)]
    pub name: Option<String>,
    /// Where it keeps its data [default: /var/lib/minijob/server; not as root ~/.local/share/minijob/server]
    #[arg(long, env = "MINIJOB_DATA_DIR", value_name = "DIR", hide_env_values = true)]
    pub data_dir: Option<PathBuf>,
    /// Where it listens
    #[arg(
        long,
        env = "MINIJOB_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:4650",
        value_parser = address::listen,
        hide_env_values = true
    )]
    pub listen: SocketAddr,
    /// The address that others reach it at [default: where it listens]
    #[arg(long, env = "MINIJOB_ADVERTISE", value_name = "ADDR", hide_env_values = true)]
    pub advertise: Option<String>,
    /// How much it says.
    #[command(flatten)]
    pub logging: logging::Args,
}

/// Runs the command.
///
/// # Errors
/// What keeps the server from serving.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    logging::init(&args.logging, global)?;
    let data_dir = args.data_dir.clone().unwrap_or_else(|| daemon::default_data_dir("server"));
    daemon::check_data_dir(&data_dir)?;
    runtime::large(async {
        let mut signals = Signals::new()?;
        let listener = listen(args.listen)?;
        let address = listener.local_addr().unwrap_or(args.listen);
        let options = daemon::server::Options {
            name: args.name.clone().unwrap_or_else(daemon::host_name),
            data_dir: data_dir.clone(),
            listener,
            advertise: args.advertise.clone(),
        };
        let mut serving = daemon::server::start(options).await?;
        info!("serving at http://{address}, data in {}", data_dir.display());
        if serving.first_start {
            info!("first start: the token for the command line is in {}", serving.token_file.display());
        }
        let ended = tokio::select! {
            error = serving.running.ended() => Err(error),
            () = signals.next() => Ok(()),
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
