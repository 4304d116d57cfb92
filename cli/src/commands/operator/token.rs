//! `minijob operator token`: what lets administrators in.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use proto::error::{Error, Kind};
use proto::key::ClusterKey;
use proto::token;
use proto::wire::v1;

use crate::args::Global;
use crate::commands::written;
use crate::connect::{Client, Servers};
use crate::exit::{Exit, Failure};
use crate::output::Out;
use crate::runtime;

const EXAMPLES: &str = "\
Examples:
  minijob operator token rotate                                the new token takes the place of the one that this command uses
  minijob operator token rotate --out ./admin.token
  sudo minijob operator token rotate --out ./admin.token --key-file /etc/minijob/cluster.key
                                                               where the token was lost: the cluster's key allows it

The servers learn the hash of the token and nothing else. The token before it opens nothing any more, nor does the one that every
server has in its data directory: give the new one to whoever shall have it.";

/// What `operator token` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// What to do
    #[command(subcommand)]
    pub what: What,
}

/// What can be done.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// Makes another administrator's token; the one before opens nothing any more
    Rotate {
        /// The file for it, which only its owner reads; `-`: standard output [default: where the token is kept that this command uses]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Shows the cluster's key in the place of the token
        #[arg(long, value_name = "FILE")]
        key_file: Option<PathBuf>,
    },
}

/// Runs the command.
///
/// # Errors
/// [`Kind::Invalid`] where it is not known where the token is to be kept; [`Kind::Refused`] for a file that cannot be written or a key that
/// cannot be read; the server's refusal. The old token holds then, unless nobody knows what became of the change: the new one is kept beside it.
pub(super) fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    let What::Rotate { out: wanted, key_file } = &args.what;
    let mut servers = Servers::new(global)?;
    let kept = servers.token_file().map(Path::to_owned);
    if let Some(file) = key_file {
        let keys = ClusterKey::read_all(file);
        servers = servers.by_key(&keys.map_err(|error| Error::new(Kind::Refused, error.to_string()))?);
    }
    let place = wanted.clone().or(kept).ok_or_else(|| {
        let error = Error::new(
            Kind::Invalid,
            "the token that this command uses is in no file, so the new one has no place",
        );
        error.hint("name one with --out FILE, or `--out -` to have it shown")
    })?;
    let secret = token::random();
    let shown = place.as_os_str() == "-";
    let beside = beside(&place);
    if !shown {
        // On disk first: a token that the servers want and nobody has would lock everybody out.
        keep(&beside, &secret).map_err(|cause| unwritten(&beside, &cause))?;
    }
    let hash = token::hash(secret.as_bytes());
    let request =
        v1::SetOperatorTokenRequest { request_id: written::request_id(), hash: hash.to_vec().into() };
    let call = |mut client: Client| {
        let request = request.clone();
        async move { client.set_operator_token(request).await }
    };
    let mut out = Out::new(global);
    let reply = runtime::small(async { Ok(servers.ask(call).await) })?;
    let reply = match reply {
        Ok(reply) => reply,
        Err(error) if error.kind == Kind::Unavailable && !shown => {
            let text =
                format!("if the old token is refused from now on, the new one is in {}", beside.display());
            return Err(error.hint(text).into());
        }
        Err(error) => {
            if !shown {
                std::fs::remove_file(&beside).ok();
            }
            return Err(error.into());
        }
    };
    let answer = written::understood(&reply)?;
    if shown {
        out.line(&secret)?;
        return Ok(Exit::DONE);
    }
    std::fs::rename(&beside, &place).map_err(|cause| {
        let message = format!("the token was changed, and {} cannot be written: {cause}", place.display());
        Error::new(Kind::Refused, message).hint(format!("the new one is in {}", beside.display()))
    })?;
    let said = format!(
        "{} holds the new token; the one before opens nothing any more. Other machines' contexts need it, too.",
        place.display()
    );
    written::show(&mut out, &answer, None, &said)
}

fn beside(place: &Path) -> PathBuf {
    let mut name = place.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

/// Writes it so that only its owner reads it, and it is there after a power cut.
fn keep(path: &Path, secret: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    writeln!(file, "{secret}")?;
    file.sync_all()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

fn unwritten(path: &Path, cause: &std::io::Error) -> Error {
    let error = Error::new(Kind::Refused, format!("cannot write {}: {cause}", path.display()));
    error.hint("name a file that this user may write with --out FILE; nothing was changed")
}
