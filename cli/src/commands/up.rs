//! `minijob up`: server and agent as system services of this machine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use proto::error::{Error, Kind};
use proto::model::Liveness;
use proto::time::boottime;

use crate::args::{self, Global};
use crate::config::{self, agent, server};
use crate::connect::Servers;
use crate::exit::{Exit, Failure};
use crate::output::{Out, Voice};
use crate::service::{self, File, Systemd};
use crate::{limits, read, runtime, token};

const EXAMPLES: &str = "\
Examples:
  sudo minijob up                  installs, starts, and waits until the node is up
  minijob up --dry-run             shows the files that it would write

A second run changes nothing; after the program was replaced or moved it restarts what needs it.
/etc/minijob/server.yml and agent.yml are made once and are yours from then on.";

/// What `up` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Shows the files that it would write, and ends
    #[arg(long)]
    pub dry_run: bool,
    /// Servers of a cluster to join (not supported yet)
    #[arg(long, value_name = "ADDR,..", hide = true)]
    pub join: Option<String>,
    /// The key of the cluster to join (not supported yet)
    #[arg(long, value_name = "FILE", hide = true)]
    pub key_file: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// [`Kind::Invalid`] for what a later version does; [`Kind::Refused`] without systemd or the rights, with what to do by hand;
/// [`Kind::Unavailable`] when the services do not come up.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    refuse_later(args)?;
    let program = program()?;
    let files = service::planned(&program);
    let mut out = Out::new(global);
    if args.dry_run {
        return dry_run(&files, &mut out);
    }
    if !service::is_booted() {
        return Err(by_hand(&program).into());
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
    let changed = install(Path::new("/"), &files, Systemd { program: "systemctl" })?;
    let place = Place::of_services(global)?;
    runtime::small(async { Ok(wait(&place).await?) })?;
    if out.json {
        out.document(
            &serde_json::json!({"changed": !changed.is_empty(), "files": changed, "address": place.address}),
        )?;
        return Ok(Exit::DONE);
    }
    for path in &changed {
        out.line(&format!("wrote {}", path.display()))?;
    }
    let state = if changed.is_empty() { "is up already, nothing changed" } else { "is up" };
    out.line(&format!("node {} {state}; the server is at {}", place.node, place.address))?;
    out.line(
        "next:\n  minijob run JOB.yml\n  minijob status\n  journalctl -u minijob-server -u minijob-agent",
    )?;
    Ok(Exit::DONE)
}

fn refuse_later(args: &Args) -> Result<(), Error> {
    let later = |flag: &str| {
        let hint = "a cluster has one server for now; name it under `servers` of the agents' agent.yml";
        Err(Error::new(Kind::Invalid, format!("{flag} is not supported yet")).hint(hint))
    };
    match (&args.join, &args.key_file) {
        (Some(_), _) => later("--join"),
        (None, Some(_)) => later("--key-file"),
        (None, None) => Ok(()),
    }
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

/// Says how to run both daemons on a machine that systemd does not run.
fn by_hand(program: &Path) -> Error {
    let program = program.display();
    Error::new(Kind::Refused, "systemd does not run this machine, so there is nothing to install services in")
        .details(vec![
            "let your supervisor run these two as root, and start them again whenever they end:".to_owned(),
            format!("{program} server --data-dir /var/lib/minijob/server"),
            format!("{program} agent --data-dir /var/lib/minijob/agent"),
        ])
        .hint("or try `minijob dev`, which needs no service")
}

/// Writes what is missing below `root` and starts what does not run. Returns the files that it wrote.
fn install(root: &Path, files: &[File], systemd: Systemd<'_>) -> Result<Vec<PathBuf>, Error> {
    let mut written = Vec::new();
    for file in files {
        let refused =
            |cause| Error::new(Kind::Refused, format!("cannot write {}: {cause}", file.path.display()));
        if service::put(root, file).map_err(refused)? {
            written.push(file.path.clone());
        }
    }
    let rewrote = |unit: &str| written.iter().any(|path| path.ends_with(unit));
    if service::ALL.iter().any(|unit| rewrote(unit)) {
        systemd.order(&["daemon-reload"])?;
    }
    for unit in service::ALL {
        if !systemd.is_up(unit) {
            systemd.order(&["enable", "--now", unit])?;
        } else if rewrote(unit) {
            systemd.order(&["restart", unit])?;
        }
    }
    Ok(written)
}

/// Where the services of this machine are to be found, by their files.
struct Place {
    address: String,
    node: String,
    token_file: PathBuf,
}

impl Place {
    fn of_services(global: &Global) -> Result<Self, Error> {
        let (server, agent) = configs(global)?;
        let mut listen = server.listen.value;
        if listen.ip().is_unspecified() {
            listen.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
        let token_file = server.data_dir.value.join("token");
        Ok(Self { address: format!("http://{listen}"), node: agent.name.value, token_file })
    }
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

/// Waits until the server answers and the node is up.
async fn wait(place: &Place) -> Result<(), Error> {
    let begun = boottime();
    loop {
        let last = match look(place).await {
            Ok(true) => return Ok(()),
            Ok(false) => format!("node {} is not up", place.node),
            Err(error) => error.message,
        };
        if boottime().since(begun) >= limits::SERVICES_UP {
            let message = format!("the services do not come up: {last}");
            let hint = "`journalctl -u minijob-server -u minijob-agent` shows what they say";
            return Err(Error::new(Kind::Unavailable, message).hint(hint));
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

async fn look(place: &Place) -> Result<bool, Error> {
    let token = token::given(None, Some(&place.token_file))?;
    let secret = token.map(|token| token.secret).unwrap_or_default();
    let servers = Servers::at(&place.address, &secret)?;
    let nodes = read::nodes(&servers, None).await?.view.items;
    Ok(nodes.iter().any(|node| node.name == place.node && node.liveness == Liveness::Up))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// A `systemctl` that notes what it is asked; a unit is up once it was enabled.
    fn systemctl(dir: &Path) -> String {
        let path = dir.join("systemctl");
        let script = format!(
            "#!/bin/sh\ncd {}\ncase \"$1\" in is-*) test -e \"$3\";; *) echo \"$@\" >> orders; \
             if [ \"$1\" = enable ]; then : > \"$3\"; fi;; esac\n",
            dir.display()
        );
        std::fs::write(&path, script).expect("writable");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("ours");
        path.display().to_string()
    }

    #[test]
    fn a_second_run_orders_nothing_and_a_moved_program_restarts_both() {
        let dir = tempfile::tempdir().expect("a directory");
        let program = systemctl(dir.path());
        let systemd = Systemd { program: &program };
        let root = dir.path().join("root");
        let orders = || std::fs::read_to_string(dir.path().join("orders")).unwrap_or_default();
        let files = service::planned(Path::new("/usr/bin/minijob"));
        assert_eq!(install(&root, &files, systemd).expect("works").len(), 4);
        let first =
            "daemon-reload\nenable --now minijob-server.service\nenable --now minijob-agent.service\n";
        assert_eq!(orders(), first);
        assert!(install(&root, &files, systemd).expect("works").is_empty());
        assert_eq!(orders(), first, "nothing was ordered");
        let moved = service::planned(Path::new("/opt/minijob"));
        assert_eq!(install(&root, &moved, systemd).expect("works").len(), 2);
        let then = "daemon-reload\nrestart minijob-server.service\nrestart minijob-agent.service\n";
        assert_eq!(orders(), format!("{first}{then}"));
    }
}
