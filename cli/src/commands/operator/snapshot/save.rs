//! `minijob operator snapshot save`: the state becomes a file.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use futures::StreamExt as _;
use proto::error::{Error, Kind};
use proto::wire::v1;
use server::archives::NewFile;

use super::progress::Progress;
use super::{View, refusal};
use crate::args::Global;
use crate::connect::{self, Client, Servers};
use crate::exit::{Exit, Failure};
use crate::output::{Out, size};
use crate::runtime;

const EXAMPLES: &str = "\
Examples:
  minijob operator snapshot save before-upgrade.snapshot
  minijob operator snapshot save --force /mnt/backup/minijob.snapshot
  minijob --stale operator snapshot save last-words.snapshot      from any server, also when none leads

The file is there when it is whole and checked, and only you can read it: jobs' variables are in it.";

/// What `operator snapshot save` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The new file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Also over a file that is there
    #[arg(long)]
    pub force: bool,
}

/// Runs the command.
///
/// # Errors
/// The server's refusal; [`Kind::Refused`] for a file that is there or cannot be written.
pub(super) fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let unwritten = |cause: io::Error| unwritten(&args.file, &cause);
    let mut file = NewFile::create(&args.file, args.force).map_err(unwritten)?;
    runtime::small(async { fetch(&mut file, &args.file, global).await })?;
    // What came over the network and the disk is read back before anybody relies on it.
    let archive = file.check().map_err(|error| refusal(&args.file, &error))?;
    file.keep().map_err(unwritten)?;
    let view = View::of(&args.file, &archive.meta);
    let mut out = Out::new(global);
    if out.json {
        out.document(&view)?;
    } else {
        let (revision, bytes) = (view.revision.0, size(view.bytes));
        out.line(&format!("{}: {}, revision {revision}, {bytes}", view.file, view.content()))?;
    }
    Ok(Exit::DONE)
}

async fn fetch(file: &mut NewFile, path: &Path, global: &Global) -> Result<(), Failure> {
    let call =
        |mut client: Client| async move { client.get_snapshot(v1::GetSnapshotRequest::default()).await };
    let mut parts = Servers::new(global)?.ask(call).await?;
    let mut progress = Progress::new(global, "saved", None);
    while let Some(part) = parts.next().await {
        let data = part.map_err(|status| connect::refusal(&status))?.data;
        file.write_all(&data).map_err(|cause| unwritten(path, &cause))?;
        progress.add(data.len());
    }
    Ok(())
}

fn unwritten(path: &Path, cause: &io::Error) -> Error {
    let file = path.display();
    if cause.kind() == io::ErrorKind::AlreadyExists {
        return Error::new(Kind::Refused, format!("{file} is there already"))
            .hint("give another name, or say `--force` to replace it");
    }
    Error::new(Kind::Refused, format!("cannot write {file}: {cause}"))
}
