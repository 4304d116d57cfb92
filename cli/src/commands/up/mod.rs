//! `minijob up`: server and agent as system services of this machine.

/// What it changes on the machine.
mod install;
/// Which part the machine takes in a cluster.
mod part;
/// Waiting until it is of use.
mod wait;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use proto::error::{Error, Kind};
use proto::key::ClusterKey;

use self::wait::{Place, Reached};
use crate::address::Address;
use crate::args::{self, Global};
use crate::config::{self, agent, contexts, server};
use crate::exit::{Exit, Failure};
use crate::output::{Out, Voice};
use crate::service::{self, File, Setup, Systemd};
use crate::{address, runtime};

/// What the context of the cluster is called that `up` adds.
const CONTEXT: &str = "cluster";

const EXAMPLES: &str = "\
Examples:
  sudo minijob up                  a cluster of this machine alone: installs, starts, and waits until the node is up
  sudo minijob up --dry-run        shows the files that it would write

  minijob operator key ./cluster.key               once, on one machine; copy the file to every other
  sudo minijob up --join 10.0.0.1,10.0.0.2,10.0.0.3 --key-file ./cluster.key
                                   the same command on every machine: those named run a server and an agent,
                                   all others an agent

A second run changes nothing; after the program was moved it restarts what needs it.
/etc/minijob/server.yml and agent.yml are made once and are yours from then on.";

/// What `up` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Shows the files that it would write, and ends
    #[arg(long)]
    pub dry_run: bool,
    /// The servers of the cluster, the same on every machine
    #[arg(long, value_name = "ADDR,..", requires = "key_file")]
    pub join: Option<String>,
    /// The cluster's key, the same on every machine; it is copied to /etc/minijob/cluster.key
    #[arg(long, value_name = "FILE", requires = "join")]
    pub key_file: Option<PathBuf>,
    /// This machine's own address, for a server that --join does not name [default: that of the named ones which it has]
    #[arg(long, value_name = "ADDR:PORT", requires = "join", value_parser = address::listen)]
    pub advertise: Option<SocketAddr>,
}

/// Runs the command.
///
/// # Errors
/// [`Kind::Invalid`] for addresses that do not fit this machine; [`Kind::Refused`] without systemd or the rights, with what to do by
/// hand, and on a machine that belongs to another cluster; [`Kind::Unavailable`] when the services do not come up.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let setup = setup(args)?;
    let program = program()?;
    let files = service::planned(&program, &setup);
    let mut out = Out::new(global);
    if args.dry_run {
        return dry_run(&files, &mut out);
    }
    if !service::is_booted() {
        return Err(by_hand(&program, args, &setup).into());
    }
    if !nix::unistd::geteuid().is_root() {
        let message = "only root may install system services";
        return Err(Error::new(Kind::Forbidden, message).hint("run `sudo minijob up`").into());
    }
    if program.starts_with("/tmp") || program.starts_with("/home") || program.starts_with("/root") {
        let text = format!(
            "the services run {}: keep it there, or move it to /usr/local/bin and run `up` again",
            program.display()
        );
        Voice::new(global).notice(&text);
    }
    fits(&setup, &configs(global)?)?;
    let (mut changed, systemd) = (Vec::new(), Systemd { program: "systemctl" });
    if let Some(key) = &args.key_file {
        let to = PathBuf::from(Setup::key_file());
        if install::put_key(Path::new("/"), key, &to)? {
            changed.push(to);
            if systemd.is_up(service::SERVER) {
                systemd.order(&["reload", service::SERVER])?;
            }
        }
    }
    changed.extend(install::install(Path::new("/"), &files, systemd)?);
    let (server, agent) = configs(global)?;
    let place = match &setup {
        Setup::Cluster { own: None, .. } => {
            let key = ClusterKey::read(Path::new(&Setup::key_file()));
            Place::elsewhere(&agent, key.map_err(|error| Error::new(Kind::Refused, error.to_string()))?)
        }
        _ => Place::own(&server, &agent),
    };
    let data = &server.data_dir.value;
    if let Setup::Cluster { servers, own: Some(_) } = &setup
        && contexts::add(CONTEXT, servers, &data.join("token"), &data.join(wait::CA_FILE))?
    {
        changed.extend(contexts::path());
    }
    let reached = runtime::small(async { Ok(place.wait().await?) })?;
    tell(&changed, &place, reached, &setup, &mut out)
}

/// Says what was changed and what there is now.
fn tell(
    changed: &[PathBuf],
    place: &Place,
    reached: Reached,
    setup: &Setup,
    out: &mut Out,
) -> Result<Exit, Failure> {
    if out.json {
        let up = reached == Reached::Up;
        out.document(
            &serde_json::json!({"changed": !changed.is_empty(), "files": changed, "address": place.address, "up": up}),
        )?;
        return Ok(Exit::DONE);
    }
    for path in changed {
        out.line(&format!("wrote {}", path.display()))?;
    }
    if reached == Reached::Alone {
        let Setup::Cluster { servers, own: Some(own) } = setup else { return Ok(Exit::DONE) };
        let others = servers.iter().filter(|server| **server != own.listen.to_string());
        let others = others.map(String::as_str).collect::<Vec<_>>().join(" and ");
        out.line(&format!("the server is at {} and waits for the others", own.listen))?;
        out.line(&format!(
            "next: the same command on {others}; the cluster begins when all of them are there"
        ))?;
        return Ok(Exit::DONE);
    }
    if reached == Reached::Unseen {
        out.line(&format!(
            "node {} is started; the cluster's token was changed and is not on this machine",
            place.node
        ))?;
        out.line(&format!(
            "next: `minijob node status {}` where the token is shows whether it is up",
            place.node
        ))?;
        return Ok(Exit::DONE);
    }
    let state = if changed.is_empty() { "is up already, nothing changed" } else { "is up" };
    let where_to = if place.address.contains(',') { "the servers are at" } else { "the server is at" };
    out.line(&format!("node {} {state}; {where_to} {}", place.node, place.address))?;
    out.line(match setup {
        Setup::Cluster { own: None, .. } => {
            "next: minijob status, on a server or wherever a context leads there"
        }
        _ => {
            "next:\n  minijob run JOB.yml\n  minijob status\n  journalctl -u minijob-server -u minijob-agent"
        }
    })?;
    Ok(Exit::DONE)
}

/// Returns what this machine is to be.
fn setup(args: &Args) -> Result<Setup, Error> {
    let Some(join) = &args.join else { return Ok(Setup::Alone) };
    part::of_this_machine(part::Asked { join: Address::list(join)?, advertise: args.advertise })
}

/// Checks that files which are there already, and are people's, do not say that this machine is something else.
fn fits(setup: &Setup, (server, agent): &(server::Config, agent::Config)) -> Result<(), Error> {
    let Setup::Cluster { own, .. } = setup else { return Ok(()) };
    let is_there = |daemon: &str| Path::new(config::SYSTEM_DIR).join(daemon).exists();
    let other = |file: &str, what: &str| {
        let hint =
            format!("`minijob down --purge`, remove {file} and run `up` again; or change the file by hand");
        Err(Error::new(Kind::Refused, format!("{file} is there and {what}")).hint(hint))
    };
    if own.is_some() && is_there("server.yml") && server.join.value.is_empty() {
        return other("/etc/minijob/server.yml", "this machine's server joins no others");
    }
    if is_there("agent.yml") && agent.servers.value.iter().all(Address::is_loopback) {
        return other("/etc/minijob/agent.yml", "names no server but this machine's own");
    }
    Ok(())
}

/// Returns the absolute path of this very program, as units name it.
fn program() -> Result<PathBuf, Error> {
    let unknown = |cause| Error::new(Kind::Internal, format!("this program does not find itself: {cause}"));
    std::env::current_exe().and_then(std::fs::canonicalize).map_err(unknown)
}

fn dry_run(files: &[File], out: &mut Out) -> Result<Exit, Failure> {
    if out.json {
        let files: Vec<_> =
            files.iter().map(|file| serde_json::json!({"path": file.path, "text": file.text})).collect();
        out.document(&serde_json::json!({"files": files}))?;
        return Ok(Exit::DONE);
    }
    for (number, file) in files.iter().enumerate() {
        let gap = if number == 0 { "" } else { "\n" };
        let note = match file.kind {
            service::Kind::Config => " (where it is missing)",
            service::Kind::Unit => "",
        };
        out.line(&format!("{gap}## {}{note}\n{}", file.path.display(), file.text.trim_end()))?;
    }
    Ok(Exit::DONE)
}

/// Says how to run the daemons on a machine that systemd does not run.
fn by_hand(program: &Path, args: &Args, setup: &Setup) -> Error {
    let key =
        args.key_file.as_deref().map(|file| std::path::absolute(file).unwrap_or_else(|_| file.to_owned()));
    let key = key.map_or_else(String::new, |file| format!(" --key-file {}", file.display()));
    let (mut server, mut agent) = (Some(String::new()), String::new());
    if let Setup::Cluster { servers, own } = setup {
        let servers = servers.join(",");
        server = own.map(|own| {
            let expect =
                if own.expect > 1 { format!(" --bootstrap-expect {}", own.expect) } else { String::new() };
            format!(" --listen {} --join {servers}{expect}{key}", own.listen)
        });
        agent = format!(" --servers {servers}{key}");
    }
    let program = program.display();
    let server = server.map(|flags| format!("{program} server --data-dir /var/lib/minijob/server{flags}"));
    let what = if server.is_some() { "these two" } else { "this" };
    let mut details = vec![format!("let your supervisor run {what} as root, and start again whatever ends:")];
    details.extend(server);
    details.push(format!("{program} agent --data-dir /var/lib/minijob/agent{agent}"));
    Error::new(Kind::Refused, "systemd does not run this machine, so there is nothing to install services in")
        .details(details)
        .hint("or try `minijob dev`, which needs no service")
}

/// Reads what both services go by.
///
/// # Errors
/// What is wrong in their files.
pub fn configs(global: &Global) -> Result<(server::Config, agent::Config), Error> {
    let parsed = |daemon: &str| {
        let path = format!("{}/{daemon}.yml", config::SYSTEM_DIR);
        let named = Path::new(&path).exists().then(|| ["--config".to_owned(), path]);
        let line = ["minijob".to_owned(), daemon.to_owned()].into_iter().chain(named.into_iter().flatten());
        let line: Vec<std::ffi::OsString> = line.map(Into::into).collect();
        args::read(&line).map_err(|cause| Error::new(Kind::Internal, cause.to_string()))
    };
    match (parsed("server")?.command, parsed("agent")?.command) {
        (args::Command::Server(server), args::Command::Agent(agent)) => {
            Ok((server::load(&server.flags)?, agent::load(&agent.flags, global)?))
        }
        _ => Err(Error::new(Kind::Internal, "the commands of the daemons are others")),
    }
}
