//! `minijob operator key`: the secret by which the members of a cluster know each other, made and changed.

use std::path::{Path, PathBuf};

use proto::error::{Error, Kind};
use proto::key::{ClusterKey, KeyError};
use proto::view::KeyStatus;
use proto::wire::v1;

use crate::args::Global;
use crate::connect::{Client, Servers};
use crate::exit::{Exit, Failure};
use crate::output::{Cell, Out, Table, Tone};
use crate::read::{Document, understood};
use crate::runtime;

const EXAMPLES: &str = "\
Examples:
  minijob operator key /etc/minijob/cluster.key
  minijob operator key - | ssh b 'umask 077; cat > /etc/minijob/cluster.key'

Every server of the cluster gets the same file. A file that is there already is never overwritten.

To change the key:
  minijob operator key rotate ./cluster.key      the file holds the new key and the one before: copy it to every server, and
                                                 `systemctl reload minijob-server` there; then to new agents
  minijob operator key status                    says when all servers have it and the CA is sealed with it
  minijob operator key retire ./cluster.key      takes the old key out of the file: copy and reload once more";

/// What `operator key` is asked.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct Args {
    /// The new file, which only its owner reads; `-`: standard output
    #[arg(value_name = "FILE", required = true)]
    pub file: Option<String>,
    /// What else to do
    #[command(subcommand)]
    pub what: Option<What>,
}

/// What can be done with a key that is there.
#[derive(Debug, clap::Subcommand)]
pub enum What {
    /// Puts a new key into a key file, above the one that it holds; both hold until the old one is retired
    Rotate {
        /// The key file
        file: PathBuf,
    },
    /// Takes the old key out of a key file, once every server has the new one
    Retire {
        /// The key file
        file: PathBuf,
        /// Also when servers do not answer or have not the new key: they are shut out by their old files
        #[arg(long)]
        force: bool,
    },
    /// Shows which keys the servers have, and with which of them the cluster's CA is sealed
    Status,
}

/// Runs the command.
///
/// # Errors
/// [`Kind::Refused`] for a file that is there already or cannot be written, and for a change at the wrong time; the server's refusal.
pub(super) fn main(args: &Args, global: &Global) -> Result<Exit, Failure> {
    match (&args.what, &args.file) {
        (Some(What::Rotate { file }), _) => rotate(file, global),
        (Some(What::Retire { file, force }), _) => retire(file, *force, global),
        (Some(What::Status), _) => status(global),
        (None, Some(file)) => make(file, global),
        (None, None) => Err(Error::new(Kind::Invalid, "name the new file").into()),
    }
}

fn make(file: &str, global: &Global) -> Result<Exit, Failure> {
    let key = ClusterKey::generate().map_err(refused)?;
    let mut out = Out::new(global);
    if file == "-" {
        out.line(&key.reveal())?;
        return Ok(Exit::DONE);
    }
    key.write_new(Path::new(file)).map_err(refused)?;
    let said = format!("{file} holds a new key. Copy it to every server, and give it with --key-file.");
    tell(&mut out, true, file, &said)
}

fn rotate(file: &Path, global: &Global) -> Result<Exit, Failure> {
    let keys = ClusterKey::read_all(file).map_err(refused)?;
    let shown = file.display().to_string();
    let [old] = keys.as_slice() else {
        let error = Error::new(Kind::Refused, format!("{shown} holds two keys: it is being changed already"));
        return Err(error.hint(format!("end that first: `minijob operator key retire {shown}`")).into());
    };
    let new = ClusterKey::generate().map_err(refused)?;
    ClusterKey::replace(&[new, old.clone()], file).map_err(refused)?;
    let said = format!(
        "{shown} holds a new key and the one before. Copy it to every server in the place of its key file, and `systemctl reload \
         minijob-server` there. When `minijob operator key status` says that the CA is sealed with the new key: `minijob operator key retire \
         {shown}`."
    );
    tell(&mut Out::new(global), true, &shown, &said)
}

fn retire(file: &Path, force: bool, global: &Global) -> Result<Exit, Failure> {
    let keys = ClusterKey::read_all(file).map_err(refused)?;
    let (mut out, shown) = (Out::new(global), file.display().to_string());
    let [new, _] = keys.as_slice() else {
        return tell(&mut out, false, &shown, &format!("{shown}: nothing changed, it holds one key"));
    };
    if !force {
        let status = asked(global)?;
        may_retire(&format!("{:016x}", new.mark()), &status.view)?;
    }
    ClusterKey::replace(std::slice::from_ref(new), file).map_err(refused)?;
    let said = format!(
        "{shown} holds the new key alone. Copy it to every server once more, and `systemctl reload minijob-server` there: from then on who has \
         the old key is refused. The administrator's token is another matter: `minijob operator token rotate`."
    );
    tell(&mut out, true, &shown, &said)
}

/// Refuses while somebody needs the old key.
fn may_retire(new: &str, status: &KeyStatus) -> Result<(), Error> {
    let lacks = status.servers.iter().filter(|server| !server.keys.iter().any(|key| key == new));
    let lacks: Vec<&str> = lacks.map(|server| server.name.as_str()).collect();
    if !lacks.is_empty() {
        let message = format!("these servers do not answer with the new key: {}", lacks.join(", "));
        let hint = "copy the key file there and `systemctl reload minijob-server`; who is gone for good is removed with `minijob operator raft \
                    remove`; --force shuts them out";
        return Err(Error::new(Kind::Refused, message).hint(hint));
    }
    if status.sealed_with.as_deref() != Some(new) {
        let message = "the cluster's CA is not sealed with the new key yet";
        return Err(Error::new(Kind::Refused, message)
            .hint("try again in a moment; the log of the server that leads says what keeps it"));
    }
    Ok(())
}

fn asked(global: &Global) -> Result<Document<KeyStatus>, Failure> {
    let call = |mut client: Client| async move { client.get_keys(v1::GetKeysRequest::default()).await };
    let document = runtime::small(async { Ok(Servers::new(global)?.ask(call).await?) })?;
    Ok(understood::<KeyStatus>(document)?)
}

fn status(global: &Global) -> Result<Exit, Failure> {
    let status = asked(global)?;
    let mut out = Out::new(global);
    if out.json {
        out.passed_on(&status.raw)?;
        return Ok(Exit::DONE);
    }
    let mut table = Table::new(&out, &["SERVER", "KEY", "OLD KEY"]);
    for server in &status.view.servers {
        let key = |number: usize| server.keys.get(number).map_or("", String::as_str);
        let newest = match server.reachable {
            true => key(0).into(),
            false => Cell::toned(Tone::Bad, "unreachable"),
        };
        table.row(vec![Cell::toned(Tone::Strong, &server.name), newest, key(1).into()]);
    }
    out.line(&table.render())?;
    match &status.view.sealed_with {
        Some(key) => out.line(&format!("the cluster's CA is sealed with {key}"))?,
        None => out.toned(
            Tone::Bad,
            "the cluster's CA is sealed with a key that the server which leads does not have",
        )?,
    }
    Ok(Exit::DONE)
}

fn refused(error: KeyError) -> Error {
    Error::new(Kind::Refused, error.to_string())
}

fn tell(out: &mut Out, changed: bool, file: &str, said: &str) -> Result<Exit, Failure> {
    if out.json {
        out.document(&serde_json::json!({ "changed": changed, "file": file }))?;
    } else {
        out.line(said)?;
    }
    Ok(Exit::DONE)
}

#[cfg(test)]
mod tests {
    use proto::view::KeyHolder;

    use super::*;

    fn status(sealed_with: &str, servers: &[&[&str]]) -> KeyStatus {
        let holder = |(number, keys): (usize, &&[&str])| KeyHolder {
            name: format!("s{number}"),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            reachable: !keys.is_empty(),
        };
        let servers = servers.iter().enumerate().map(holder).collect();
        KeyStatus { sealed_with: Some(sealed_with.to_owned()), servers }
    }

    #[test]
    fn the_old_key_is_kept_while_a_server_or_the_ca_needs_it() {
        assert_eq!(may_retire("new", &status("new", &[&["new", "old"], &["new"]])), Ok(()));
        for (wrong, names) in [
            (status("new", &[&["new", "old"], &["old"]]), "s1"),
            (status("new", &[&["new", "old"], &[]]), "s1"),
            (status("old", &[&["new", "old"]]), "not sealed"),
        ] {
            let refused = may_retire("new", &wrong).expect_err("too early");
            assert!(refused.kind == Kind::Refused && refused.message.contains(names), "{refused:?}");
        }
    }
}
