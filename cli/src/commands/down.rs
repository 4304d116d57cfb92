//! `minijob down`: stops and removes the system services that `up` installed.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use client::agent::{Agent, Config};
use client::driver::process::Processes;
use proto::error::{Error, Kind};

use super::up;
use crate::args::Global;
use crate::daemon;
use crate::exit::{Exit, Failure};
use crate::output::Out;
use crate::runtime;
use crate::service::{self, Systemd};

const EXAMPLES: &str = "\
Examples:
  sudo minijob down                stops the tasks of this node, then agent and server, and removes the services
  sudo minijob down --keep-tasks   leaves the tasks running; the next agent on this machine finds them
  sudo minijob down --purge --yes  removes their data, too

The files in /etc/minijob stay.";

/// What `down` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Leaves the tasks of this node running
    #[arg(long, conflicts_with = "purge")]
    pub keep_tasks: bool,
    /// Removes the data of server and agent: jobs, logs, the token
    #[arg(long)]
    pub purge: bool,
    /// Does not ask before it removes data
    #[arg(long)]
    pub yes: bool,
}

/// Runs the command.
///
/// # Errors
/// [`Kind::Refused`] without systemd, without a yes, and when something cannot be stopped or removed; [`Kind::Forbidden`] for
/// who is not root.
pub fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    if !service::is_booted() {
        let message = "systemd does not run this machine, so there are no services to remove";
        let hint = "stop `minijob server` and `minijob agent` where they were started";
        return Err(Error::new(Kind::Refused, message).hint(hint).into());
    }
    if !nix::unistd::geteuid().is_root() {
        let message = "only root may remove system services";
        return Err(Error::new(Kind::Forbidden, message).hint("run `sudo minijob down`").into());
    }
    let (server, agent) = up::configs(global)?;
    let agent_data = agent.data_dir.value;
    let doomed = if args.purge {
        service::data_dirs(&[server.data_dir.value, agent_data.clone()])
    } else {
        Vec::new()
    };
    confirm(args, &doomed)?;
    let mut out = Out::new(global);
    let systemd = Systemd { program: "systemctl" };
    let mut told = Vec::new();
    stop(systemd, service::AGENT, &mut told)?;
    if args.keep_tasks {
        told.push("tasks run on; the next agent on this machine finds them".to_owned());
    } else if agent_data.join("allocs").is_dir() {
        end_tasks(&agent_data)?;
        told.push("tasks of this node have ended".to_owned());
    }
    stop(systemd, service::SERVER, &mut told)?;
    let removed = service::remove_units(Path::new("/"))
        .map_err(|cause| Error::new(Kind::Refused, format!("cannot remove a unit: {cause}")))?;
    if !removed.is_empty() {
        systemd.order(&["daemon-reload"])?;
    }
    told.extend(removed.iter().map(|path| format!("removed {}", path.display())));
    for data in &doomed {
        let refused = |cause| Error::new(Kind::Refused, format!("cannot remove {}: {cause}", data.display()));
        std::fs::remove_dir_all(data).map_err(refused)?;
        told.push(format!("removed {}", data.display()));
    }
    let changed = !removed.is_empty() || !doomed.is_empty();
    if out.json {
        out.document(&serde_json::json!({"changed": changed, "done": told}))?;
    } else if !changed && told.is_empty() {
        out.line("there are no services, nothing changed")?;
    } else {
        out.line(&told.join("\n"))?;
    }
    Ok(Exit::DONE)
}

/// Asks before data is removed, unless that was said already.
fn confirm(args: &Args, doomed: &[PathBuf]) -> Result<(), Error> {
    if doomed.is_empty() || args.yes {
        return Ok(());
    }
    let names = doomed.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" and ");
    let not_sure = || {
        let message = format!("{names} would be removed, with all jobs and logs");
        Error::new(Kind::Refused, message).hint("say `--yes` to do that")
    };
    if !std::io::stdin().is_terminal() {
        return Err(not_sure());
    }
    let mut stderr = std::io::stderr();
    let _ = write!(stderr, "remove {names}, with all jobs and logs? [y/N] ");
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    if read.is_ok() && matches!(answer.trim(), "y" | "yes") { Ok(()) } else { Err(not_sure()) }
}

fn stop(systemd: Systemd<'_>, unit: &str, told: &mut Vec<String>) -> Result<(), Error> {
    if !systemd.is_there(unit) {
        return Ok(());
    }
    systemd.order(&["disable", "--now", unit])?;
    told.push(format!("stopped {unit}"));
    Ok(())
}

/// Ends all tasks of a node whose agent is gone: as an agent without servers, which knows how each of them wants to be stopped.
/// A second call finds nothing to end.
///
/// # Errors
/// [`Kind::Refused`] when another agent has the data directory.
pub fn end_tasks(data_dir: &Path) -> Result<(), Failure> {
    let keeper = daemon::keeper::ensure(data_dir, None)?;
    runtime::large(async {
        let refused = |cause: client::agent::StartError| Error::new(Kind::Refused, cause.to_string());
        let driver = Arc::new(Processes::new(&keeper));
        let agent = Agent::start(Config::new(data_dir.to_owned()), driver).await.map_err(refused)?;
        // Without its manager there is nothing left to end.
        agent.stop_tasks().await.ok();
        agent.stop().await;
        tokio::task::spawn_blocking(move || client::keeper::dismiss(&keeper)).await.ok();
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_not_removed_without_a_yes() {
        let args = |yes| Args { keep_tasks: false, purge: true, yes };
        let doomed = [PathBuf::from("/var/lib/minijob/server")];
        // Tests have no terminal to be asked on, or nobody who answers.
        if !std::io::stdin().is_terminal() {
            let error = confirm(&args(false), &doomed).expect_err("nobody said yes");
            assert!(error.message.contains("/var/lib/minijob/server") && error.hint.contains("--yes"));
        }
        assert_eq!(confirm(&args(true), &doomed), Ok(()));
        assert_eq!(confirm(&args(false), &[]), Ok(()));
    }
}
