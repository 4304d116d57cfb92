//! `minijob dev`: server and agent in one process; Ctrl-C stops everything it started.

mod data; // where it keeps its data, and that nothing is left of it
mod show; // what it tells while it runs

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;

use client::keeper::Connector;
use proto::error::Error;
use proto::model::Job;

use super::server::listen;
use crate::args::Global;
use crate::daemon::{self, Running, Signals, logging};
use crate::exit::{Exit, Failure};
use crate::output::{Board, Voice};
use crate::{address, devnote, files, limits, runtime};
use data::Data;

const EXAMPLES: &str = "\
Examples:
  minijob dev                     an empty cluster; a second terminal finds it: minijob status
  minijob dev hello.yml           and runs a job in it
  minijob dev --data-dir ./data   keeps its data";

/// The only node's name.
const NODE: &str = "dev";
/// Where it listens unless told otherwise: where commands look.
const LISTEN: &str = "127.0.0.1:4650";

/// What `dev` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Job files to run
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// How they are read.
    #[command(flatten)]
    pub reading: files::Reading,
    /// Keeps its data here [default: a temporary directory, removed at the end]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where it listens [default: 127.0.0.1:4650, or any free port where that is taken]
    #[arg(long, env = "MINIJOB_LISTEN", value_name = "ADDR", value_parser = address::listen, hide_env_values = true)]
    pub listen: Option<SocketAddr>,
    /// How much it logs [default: warn]
    #[arg(
        long,
        env = "RUST_LOG",
        // What befalls allocations its events tell in better words.
        default_value = "warn,openraft=off,client::allocs::alloc=error",
        value_name = "LEVEL",
        hide_env_values = true,
        hide_default_value = true
    )]
    pub log_level: String,
}

/// Runs the command.
///
/// # Errors
/// Invalid files before anything is started; what keeps server or agent from running.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let loaded = files::load(&args.files, &args.reading, global.namespace())
        .map_err(|error| files::no_harm(error, "nothing was started"))?;
    loaded.tell(Voice::new(global), true);
    let data = Data::open(args.data_dir.as_deref())?;
    let keeper = daemon::keeper::ensure(&data.agent(), Some(data.removals()))?;
    logging::init(&args.log_level, false, global)?;
    let result = runtime::large(life(args, global, &loaded.jobs, &data, keeper));
    // Also after a failure: what server and agent left is of no use to anybody.
    let removed = data.close();
    let exit = result?;
    removed?;
    Ok(exit)
}

async fn life(
    args: &Args,
    global: &Global,
    jobs: &[Job],
    data: &Data,
    keeper: Connector,
) -> Result<Exit, Failure> {
    let mut signals = Signals::new()?;
    let voice = Voice::new(global);
    let listener = listener(args.listen, voice)?;
    let mut cluster = Cluster::start(listener, data, keeper).await?;
    // Without a note a second terminal needs the address and the token: worth a line, no reason to end.
    let note = devnote::write(&cluster.url, &cluster.token);
    if let Err(cause) = &note {
        voice.notice(&format!("other terminals must be told the address and the token: {cause}"));
    }
    let mut board = Board::new(global);
    let place = show::Place { url: cluster.url.clone(), token: cluster.token.clone() };
    let (result, asked) = tokio::select! {
        result = show::all(&place, jobs, &mut board, global) => (result, false),
        error = cluster.ended() => (Err(error.into()), false),
        () = signals.next() => (Ok(()), true),
    };
    drop(note);
    board.clear();
    if asked {
        voice.notice(&show::stopping(&place).await);
    }
    let forced = cluster.stop(&mut signals, voice).await?;
    result?;
    Ok(if forced { Exit::INTERRUPTED } else { Exit::DONE })
}

/// Takes the port that commands look at, or any other where nobody asked for that one.
fn listener(wish: Option<SocketAddr>, voice: Voice) -> Result<TcpListener, Error> {
    if let Some(address) = wish {
        return listen(address);
    }
    let usual: SocketAddr = LISTEN.parse().expect("a literal address");
    listen(usual).or_else(|_| {
        let listener = listen(SocketAddr::new(usual.ip(), 0))?;
        let port = listener.local_addr().map_or(0, |address| address.port());
        voice.notice(&format!("port {} is taken; listening on {port}", usual.port()));
        Ok(listener)
    })
}

/// A server and an agent.
struct Cluster {
    url: String,
    token: String,
    server: Running,
    agent: Running,
}

impl Cluster {
    async fn start(listener: TcpListener, data: &Data, keeper: Connector) -> Result<Self, Error> {
        let address = listener.local_addr().map_or_else(|_| LISTEN.to_owned(), |address| address.to_string());
        let serving = daemon::server::start(daemon::server::Options {
            name: NODE.to_owned(),
            data_dir: data.server(),
            listener,
            advertise: None,
            log_store: None,
            timings: daemon::server::Timings::default(),
            overrides: daemon::server::Overrides::default(),
            key: None,
            old_key: None,
            join: Vec::new(),
            expect: 0,
            snapshots: None,
        })
        .await?;
        let agent = daemon::agent::start(daemon::agent::Options {
            name: NODE.to_owned(),
            data_dir: data.agent(),
            keeper,
            servers: vec![address.clone()],
            token: Some(serving.token.clone()),
            key: None,
            advertise: None,
            rules: daemon::agent::Rules::default(),
            http: None,
            personal: true,
        })
        .await;
        match agent {
            Ok(agent) => Ok(Self {
                url: format!("http://{address}"),
                token: serving.token,
                server: serving.running,
                agent: agent.running,
            }),
            Err(error) => {
                // The reason that the agent gave is the one to tell.
                let _ = serving.running.stop().await;
                Err(error)
            }
        }
    }

    /// Waits for an end that nobody asked for.
    async fn ended(&mut self) -> Error {
        tokio::select! {
            error = self.server.ended() => error,
            error = self.agent.ended() => error,
        }
    }

    /// Ends the tasks, then the agent, then the server, and waits for each. A signal meanwhile forces: then the tasks are
    /// ended by the keeper, which outlives this process for that. Returns whether it was forced.
    async fn stop(self, signals: &mut Signals, voice: Voice) -> Result<bool, Error> {
        let orderly = async {
            let agent = self.agent.stop().await;
            let server = self.server.stop().await;
            agent.and(server)
        };
        tokio::pin!(orderly);
        let notice = tokio::time::sleep(limits::DEV_STOP_NOTICE);
        tokio::pin!(notice);
        let mut told = false;
        loop {
            tokio::select! {
                result = &mut orderly => return result.map(|()| false),
                () = &mut notice, if !told => {
                    voice.notice("waiting for tasks to end; Ctrl-C again leaves them to be killed");
                    told = true;
                }
                () = signals.next() => return Ok(true),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proto::error::Kind;
    use tokio_util::sync::CancellationToken;

    fn quiet() -> Voice {
        Voice::json()
    }

    fn cluster(agent: Running) -> Cluster {
        let stop = CancellationToken::new();
        let asked = stop.clone();
        let server = Running::spawn("server", stop, async move {
            asked.cancelled().await;
            Ok(())
        });
        Cluster { url: String::new(), token: String::new(), server, agent }
    }

    #[test]
    fn a_port_that_was_asked_for_is_taken_or_refused() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = taken.local_addr().expect("an address");
        let error = listener(Some(address), quiet()).expect_err("taken");
        assert_eq!(error.kind, Kind::Refused);
        assert!(error.message.contains("address already in use"), "{}", error.message);
    }

    #[tokio::test]
    async fn a_daemon_that_breaks_ends_it_with_the_reason() {
        let broken = async { Err(Error::new(Kind::Internal, "no keeper")) };
        let mut cluster = cluster(Running::spawn("agent", CancellationToken::new(), broken));
        assert_eq!(cluster.ended().await.message, "no keeper");
        let mut signals = Signals::new().expect("handlers");
        assert_eq!(cluster.stop(&mut signals, quiet()).await, Ok(false));
    }

    #[tokio::test]
    async fn the_server_outlives_the_agent_whose_tasks_it_must_hear_of() {
        let stop = CancellationToken::new();
        let (asked, ended) = (stop.clone(), CancellationToken::new());
        let agent_ended = ended.clone();
        let agent = Running::spawn("agent", stop, async move {
            asked.cancelled().await;
            agent_ended.cancel();
            Ok(())
        });
        let mut cluster = cluster(agent);
        let server_stop = CancellationToken::new();
        let server_asked = server_stop.clone();
        cluster.server = Running::spawn("server", server_stop, async move {
            server_asked.cancelled().await;
            match ended.is_cancelled() {
                true => Ok(()),
                false => Err(Error::new(Kind::Internal, "told to end before the agent had ended")),
            }
        });
        let mut signals = Signals::new().expect("handlers");
        assert_eq!(cluster.stop(&mut signals, quiet()).await, Ok(false));
    }
}
