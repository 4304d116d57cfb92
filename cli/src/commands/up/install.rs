//! What `up` changes on a machine: files, the key, and which services run.

use std::path::{Path, PathBuf};

use proto::error::{Error, Kind};
use proto::key::ClusterKey;

use crate::service::{self, AGENT, File, SERVER, Systemd};

/// Copies a cluster's key file to where the services look for it; one that holds the key which is there takes its place, because the key is being
/// changed. Returns whether that changed anything.
///
/// # Errors
/// [`Kind::Refused`] for a file that holds no key, and where another key is there already: this machine would leave its cluster, or go back to
/// a key that was changed.
pub fn put_key(root: &Path, from: &Path, to: &Path) -> Result<bool, Error> {
    let refused = |error: proto::key::KeyError| Error::new(Kind::Refused, error.to_string());
    let keys = ClusterKey::read_all(from).map_err(refused)?;
    let place = service::below(root, to);
    if place.exists() {
        let there = ClusterKey::read_all(&place).map_err(refused)?;
        if there == keys {
            return Ok(false);
        }
        if keys.contains(&there[0]) {
            ClusterKey::replace(&keys, &place).map_err(refused)?;
            return Ok(true);
        }
        let message = format!("{} holds another key than {}", to.display(), from.display());
        let hint = "where the key was changed, take the newest file; else this machine belongs to another cluster: `minijob down --purge`, \
                    remove the file, and run `up` again";
        return Err(Error::new(Kind::Refused, message).hint(hint));
    }
    let folder = place.parent().unwrap_or(root);
    std::fs::create_dir_all(folder)
        .map_err(|cause| Error::new(Kind::Refused, format!("cannot make {}: {cause}", folder.display())))?;
    ClusterKey::replace(&keys, &place).map_err(refused)?;
    Ok(true)
}

/// Writes what is missing below `root` and starts what does not run. Returns the files that it wrote.
///
/// # Errors
/// [`Kind::Refused`] with what the disk or systemd says; a second call goes on where this one ended.
pub fn install(root: &Path, files: &[File], systemd: Systemd<'_>) -> Result<Vec<PathBuf>, Error> {
    let mut written = Vec::new();
    for file in files {
        let refused =
            |cause| Error::new(Kind::Refused, format!("cannot write {}: {cause}", file.path.display()));
        if service::put(root, file).map_err(refused)? {
            written.push(file.path.clone());
        }
    }
    let units =
        || [SERVER, AGENT].into_iter().filter(|unit| files.iter().any(|file| file.path.ends_with(unit)));
    let rewrote = |unit: &str| written.iter().any(|path| path.ends_with(unit));
    if units().any(rewrote) {
        systemd.order(&["daemon-reload"])?;
    }
    for unit in units() {
        if !systemd.is_up(unit) {
            systemd.order(&["enable", "--now", unit])?;
        } else if rewrote(unit) {
            systemd.order(&["restart", unit])?;
        }
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::service::Setup;

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
        let files = service::planned(Path::new("/usr/bin/minijob"), &Setup::Alone);
        assert_eq!(install(&root, &files, systemd).expect("works").len(), 4);
        let first =
            "daemon-reload\nenable --now minijob-server.service\nenable --now minijob-agent.service\n";
        assert_eq!(orders(), first);
        assert!(install(&root, &files, systemd).expect("works").is_empty());
        assert_eq!(orders(), first, "nothing was ordered");
        let moved = service::planned(Path::new("/opt/minijob"), &Setup::Alone);
        assert_eq!(install(&root, &moved, systemd).expect("works").len(), 2);
        let then = "daemon-reload\nrestart minijob-server.service\nrestart minijob-agent.service\n";
        assert_eq!(orders(), format!("{first}{then}"));
    }

    #[test]
    fn a_machine_without_a_server_starts_an_agent_only() {
        let dir = tempfile::tempdir().expect("a directory");
        let program = systemctl(dir.path());
        let setup = Setup::Cluster { servers: vec!["10.0.0.1:4650".to_owned()], own: None };
        let files = service::planned(Path::new("/usr/bin/minijob"), &setup);
        install(&dir.path().join("root"), &files, Systemd { program: &program }).expect("works");
        let orders = std::fs::read_to_string(dir.path().join("orders")).expect("ordered");
        assert_eq!(orders, "daemon-reload\nenable --now minijob-agent.service\n");
    }

    #[test]
    fn a_key_is_copied_once_and_never_replaced_by_another() {
        let dir = tempfile::tempdir().expect("a directory");
        let (root, to) = (dir.path().join("root"), Path::new("/etc/minijob/cluster.key"));
        let (one, other) = (dir.path().join("one"), dir.path().join("other"));
        for path in [&one, &other] {
            ClusterKey::generate().expect("random").write_new(path).expect("written");
        }
        assert_eq!(put_key(&root, &one, to), Ok(true));
        assert_eq!(put_key(&root, &one, to), Ok(false), "it is there");
        let placed = service::below(&root, to);
        assert_eq!(put_key(&root, &placed, to), Ok(false), "from its own place");
        let error = put_key(&root, &other, to).expect_err("another cluster");
        assert!(error.message.contains("another key") && error.hint.contains("down --purge"), "{error:?}");
        let (old, new) = (ClusterKey::read(&one).expect("a key"), ClusterKey::read(&other).expect("a key"));
        ClusterKey::replace(&[new.clone(), old.clone()], &one).expect("written");
        assert_eq!(put_key(&root, &one, to), Ok(true), "the key is being changed");
        assert_eq!(ClusterKey::read_all(&placed).expect("both"), [new.clone(), old.clone()]);
        ClusterKey::replace(&[old], &one).expect("written");
        assert!(put_key(&root, &one, to).is_err(), "there is no way back");
        assert_eq!(put_key(&root, &other, to), Ok(true), "the old one is retired");
        assert_eq!(ClusterKey::read_all(&placed).expect("one"), [new]);
        let mode = std::fs::metadata(&placed).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
