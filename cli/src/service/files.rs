//! What the services consist of on disk: two units that `up` owns, two configuration files that people own.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::setup::Setup;
use super::units::{self, AGENT, SERVER};
use crate::config::SYSTEM_DIR;

/// Both units, in the order in which they start.
const ALL: [&str; 2] = [SERVER, AGENT];

/// Where units are.
const UNIT_DIR: &str = "/etc/systemd/system";

/// Whose a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Ours: it is made as it should be.
    Unit,
    /// People's: it is made where it is missing, and never touched again.
    Config,
}

/// A file as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// Where.
    pub path: PathBuf,
    /// What is in it.
    pub text: String,
    /// Whose it is.
    pub kind: Kind,
}

/// Returns all files for services that run this program.
#[must_use]
pub fn planned(program: &Path, setup: &Setup) -> Vec<File> {
    let (server, agent) = (format!("{SYSTEM_DIR}/server.yml"), format!("{SYSTEM_DIR}/agent.yml"));
    let unit = |name: &str, text| File { path: Path::new(UNIT_DIR).join(name), text, kind: Kind::Unit };
    let config = |path: &str, text: String| File { path: path.into(), text, kind: Kind::Config };
    let server_yml = setup.server_yml();
    let server_unit = server_yml.as_ref().map(|_| unit(SERVER, units::server(program, &server)));
    let configs = server_yml.map(|text| config(&server, text)).into_iter();
    let configs = configs.chain([config(&agent, setup.agent_yml())]);
    configs.chain(server_unit).chain([unit(AGENT, units::agent(program, &agent))]).collect()
}

/// Makes a file as it should be below `root`, at once. Returns whether that changed anything.
///
/// # Errors
/// What the disk says.
pub fn put(root: &Path, file: &File) -> std::io::Result<bool> {
    let path = below(root, &file.path);
    let there = match std::fs::read(&path) {
        Ok(there) => Some(there),
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => None,
        Err(cause) => return Err(cause),
    };
    let fine = match file.kind {
        Kind::Unit => there.as_deref() == Some(file.text.as_bytes()),
        Kind::Config => there.is_some(),
    };
    if fine {
        return Ok(false);
    }
    let folder = path.parent().unwrap_or(root);
    std::fs::create_dir_all(folder)?;
    let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
    temporary.write_all(file.text.as_bytes())?;
    temporary.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    temporary.as_file().sync_all()?;
    temporary.persist(&path)?;
    Ok(true)
}

/// Removes the units below `root`; those that are missing are no fault. Returns what was removed.
///
/// # Errors
/// What the disk says.
pub fn remove_units(root: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut removed = Vec::new();
    for name in ALL {
        let path = Path::new(UNIT_DIR).join(name);
        match std::fs::remove_file(below(root, &path)) {
            Ok(()) => removed.push(path),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(removed)
}

/// Returns those of some directories that are data of ours and of nobody else: a directory with other things in it, or a link, is
/// left out, whatever a configuration file says.
#[must_use]
pub fn data_dirs(candidates: &[PathBuf]) -> Vec<PathBuf> {
    const OURS: [&str; 4] = ["node_id", "allocs", "raft", "token"];
    let is_ours = |path: &&PathBuf| {
        let is_dir = std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir());
        is_dir && OURS.iter().any(|name| path.join(name).exists())
    };
    candidates.iter().filter(is_ours).cloned().collect()
}

/// Returns a path below another root.
#[must_use]
pub fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_time_changes_nothing_and_what_people_wrote_stays() {
        let root = tempfile::tempdir().expect("a directory");
        let files = planned(Path::new("/usr/bin/minijob"), &Setup::Alone);
        let put_all = |files: &[File]| -> Vec<bool> {
            files.iter().map(|file| put(root.path(), file).expect("writable")).collect()
        };
        assert_eq!(put_all(&files), [true; 4]);
        assert_eq!(put_all(&files), [false; 4]);
        let config = below(root.path(), &files[0].path);
        std::fs::write(&config, "name: mine\n").expect("writable");
        let moved = planned(Path::new("/opt/minijob"), &Setup::Alone);
        assert_eq!(put_all(&moved), [false, false, true, true], "only the units name the program");
        assert_eq!(std::fs::read_to_string(config).expect("there"), "name: mine\n");
        assert_eq!(remove_units(root.path()).expect("writable").len(), 2);
        assert!(remove_units(root.path()).expect("writable").is_empty());
    }

    #[test]
    fn the_example_of_three_servers_shows_what_is_installed() {
        let servers = (1..4).map(|number| format!("10.0.0.{number}:4650")).collect();
        let own = super::super::Own { listen: "10.0.0.1:4650".parse().expect("an address"), expect: 3 };
        let setup = Setup::Cluster { servers, own: Some(own) };
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/three-servers/installed");
        for file in planned(Path::new("/usr/local/bin/minijob"), &setup) {
            let shown = example.join(file.path.file_name().expect("a file"));
            let text = std::fs::read_to_string(&shown).unwrap_or_default();
            assert_eq!(text, file.text, "{} is to be what `up` writes on 10.0.0.1", shown.display());
        }
    }

    #[test]
    fn only_data_of_ours_is_ever_removed() {
        let root = tempfile::tempdir().expect("a directory");
        let (ours, others, link) =
            (root.path().join("ours"), root.path().join("others"), root.path().join("link"));
        std::fs::create_dir_all(ours.join("allocs")).expect("writable");
        std::fs::create_dir_all(others.join("photos")).expect("writable");
        std::os::unix::fs::symlink(&ours, &link).expect("writable");
        assert_eq!(data_dirs(&[ours.clone(), others, link, root.path().join("none")]), [ours]);
    }
}
