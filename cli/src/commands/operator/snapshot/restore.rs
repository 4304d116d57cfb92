//! `minijob operator snapshot restore`: a file becomes the state.

use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::path::PathBuf;

use bytes::Bytes;
use proto::error::{Error, Kind};
use proto::time::now;
use proto::wire::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::progress::Progress;
use super::{View, read};
use crate::args::Global;
use crate::commands::written;
use crate::connect::{Client, Servers};
use crate::exit::{Exit, Failure};
use crate::limits::{RESTORE, SNAPSHOT_PART_BYTES, SNAPSHOT_QUEUE};
use crate::output::{Out, ago};
use crate::runtime;

const EXAMPLES: &str = "\
Examples:
  minijob operator snapshot restore before-upgrade.snapshot
  minijob operator snapshot restore --yes /mnt/backup/minijob.snapshot

Everything is as it was when the snapshot was taken: jobs, history, allocations, settings; the servers stay those that are there. Agents of
the cluster come back by themselves: what they run and the snapshot knows goes on without a restart. What they run and it does not
know goes on too, and is told as `alloc_unknown`.";

/// What `operator snapshot restore` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Does not ask
    #[arg(long)]
    pub yes: bool,
    /// Also over the jobs of another cluster
    #[arg(long)]
    pub force: bool,
}

/// Runs the command.
///
/// # Errors
/// What is wrong with the file; [`Kind::Refused`] without a yes; the server's refusal.
pub(super) fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let archive = read(&args.file)?;
    let view = View::of(&args.file, &archive.meta);
    drop(archive);
    confirm(args, &view)?;
    let id = written::request_id();
    let reply = runtime::small(async {
        let call = |client: Client| send(client, args, &view, id.clone(), global);
        Ok(Servers::new(global)?.ask_waiting(RESTORE, call).await?)
    })?;
    let answer = written::understood(&reply)?;
    let said = format!("restored {}: {}", view.file, view.content());
    written::show(&mut Out::new(global), &answer, None, &said)
}

/// Asks before the state is replaced, unless that was said already.
fn confirm(args: &Args, view: &View) -> Result<(), Error> {
    if args.yes {
        return Ok(());
    }
    let taken = ago(now(), view.taken_at);
    if !io::stdin().is_terminal() {
        let message =
            format!("all that the cluster holds would become what it was {taken}: {}", view.content());
        return Err(Error::new(Kind::Refused, message).hint("say `--yes` to do that"));
    }
    let mut stderr = io::stderr();
    let _ = write!(
        stderr,
        "{}: {}, taken {taken}\nall that the cluster holds becomes what it was then; type `restore` to do that: ",
        view.file,
        view.content()
    );
    let mut answer = String::new();
    let read = io::stdin().read_line(&mut answer);
    if read.is_ok() && answer.trim() == "restore" {
        return Ok(());
    }
    Err(Error::new(Kind::Refused, "nothing was restored"))
}

/// Sends the file. The same name of the write every time, so that it is restored once.
async fn send(
    mut client: Client,
    args: &Args,
    view: &View,
    request_id: Bytes,
    global: &Global,
) -> Result<tonic::Response<v1::WriteReply>, tonic::Status> {
    let unread = |cause: io::Error| {
        let message = format!("cannot read {}: {cause}", args.file.display());
        tonic::Status::from(Error::new(Kind::Refused, message))
    };
    let mut file = File::open(&args.file).map_err(unread)?;
    let (parts, queue) = mpsc::channel(SNAPSHOT_QUEUE);
    let force = args.force;
    let mut progress = Progress::new(global, "sent", Some(view.bytes));
    let feed = async move {
        let mut first = Some(request_id);
        loop {
            let mut data = vec![0; SNAPSHOT_PART_BYTES];
            let length = file.read(&mut data).map_err(unread)?;
            data.truncate(length);
            if length == 0 {
                return Ok(());
            }
            let request_id = first.take().unwrap_or_default();
            let part = v1::RestoreSnapshotRequest { request_id, force, data: data.into() };
            if parts.send(part).await.is_err() {
                // The answer says why nobody takes more.
                return Ok(());
            }
            progress.add(length);
        }
    };
    let answer = client.restore_snapshot(ReceiverStream::new(queue));
    let (fed, answer) = futures::future::join(feed, answer).await;
    fed.and(answer)
}
