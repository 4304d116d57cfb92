//! Which places of this machine the volumes of a group are, and whether its owner lets jobs have them.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use proto::model::{EndReason, Volume, VolumeSource};

/// What the agent's owner gives to jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VolumePolicy {
    /// Host volumes by name.
    pub named: BTreeMap<String, PathBuf>,
    /// What jobs may name by path: these directories and all below them.
    pub allowed: Vec<PathBuf>,
}

/// A volume whose place is known and allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostVolume {
    /// Absolute, there, and free of symbolic links: what was checked is what is mounted.
    pub path: PathBuf,
    /// Whether nobody may write to it.
    pub read_only: bool,
}

/// Why a group's volume cannot be had on this node.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// No host volume of this name.
    #[error(
        "volume `{volume}`: this node declares no host volume `{name}`; add `volumes: {{{name}: /a/directory}}` to its agent.yml, or run the job where it is declared"
    )]
    Undeclared {
        /// The volume's name in the group.
        volume: String,
        /// The name of the host volume.
        name: String,
    },
    /// A path that nobody allowed.
    #[error(
        "volume `{volume}`: this node does not let jobs use {}; add `allow_paths: [{}]` to its agent.yml", path.display(), path.display()
    )]
    NotAllowed {
        /// The volume's name in the group.
        volume: String,
        /// What the path is without symbolic links.
        path: PathBuf,
    },
    /// A path that climbs or does not begin at the root.
    #[error("volume `{volume}`: {} must be absolute and without `..`", path.display())]
    NotPlain {
        /// The volume's name in the group.
        volume: String,
        /// As the job has it.
        path: PathBuf,
    },
    /// Its place is not there, or is not to be looked at.
    #[error("volume `{volume}`: {}: {source}; make the directory on this node", path.display())]
    Unreachable {
        /// The volume's name in the group.
        volume: String,
        /// Which place.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl VolumeError {
    /// Returns what servers are told, and whether the same start must fail again: a directory may be made, or its file
    /// system mounted, at any time; what the owner does not give stays away.
    #[must_use]
    pub fn reason(&self) -> (EndReason, bool) {
        let (errno, hopeless) = match self {
            Self::Unreachable { source, .. } => (source.raw_os_error().unwrap_or(0), false),
            Self::Undeclared { .. } | Self::NotAllowed { .. } | Self::NotPlain { .. } => (0, true),
        };
        (EndReason::StartFailed { step: "volume".into(), errno, message: self.to_string() }, hopeless)
    }
}

/// Finds the places of all volumes of a group, by their names in the group. Looks at the disk and changes nothing.
///
/// # Errors
/// See [`VolumeError`]; the first by name.
pub fn resolve(
    volumes: &BTreeMap<String, Volume>,
    policy: &VolumePolicy,
) -> Result<BTreeMap<String, HostVolume>, VolumeError> {
    let place = |(name, volume): (&String, &Volume)| {
        let path = match &volume.source {
            VolumeSource::Host(host) => declared(name, host, policy)?,
            VolumeSource::Path(path) => allowed(name, Path::new(path), policy)?,
        };
        Ok((name.clone(), HostVolume { path, read_only: volume.read_only }))
    };
    volumes.iter().map(place).collect()
}

/// The owner's own words are not checked against what jobs may name.
fn declared(volume: &str, name: &str, policy: &VolumePolicy) -> Result<PathBuf, VolumeError> {
    let undeclared = || VolumeError::Undeclared { volume: volume.to_owned(), name: name.to_owned() };
    real(volume, policy.named.get(name).ok_or_else(undeclared)?)
}

fn allowed(volume: &str, path: &Path, policy: &VolumePolicy) -> Result<PathBuf, VolumeError> {
    let volume_name = || volume.to_owned();
    if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
        return Err(VolumeError::NotPlain { volume: volume_name(), path: path.to_owned() });
    }
    // As written first, so that a job cannot ask which paths exist where it may not look.
    let below = |path: &Path, allowed: &Path| path.starts_with(allowed);
    if !policy.allowed.iter().any(|allowed| below(path, allowed)) {
        return Err(VolumeError::NotAllowed { volume: volume_name(), path: path.to_owned() });
    }
    let found = real(volume, path)?;
    let real_roots = policy.allowed.iter().filter_map(|allowed| std::fs::canonicalize(allowed).ok());
    if real_roots.into_iter().any(|allowed| below(&found, &allowed)) {
        Ok(found)
    } else {
        Err(VolumeError::NotAllowed { volume: volume_name(), path: found })
    }
}

fn real(volume: &str, path: &Path) -> Result<PathBuf, VolumeError> {
    let unreachable =
        |source| VolumeError::Unreachable { volume: volume.to_owned(), path: path.to_owned(), source };
    std::fs::canonicalize(path).map_err(unreachable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(source: VolumeSource, policy: &VolumePolicy) -> Result<PathBuf, VolumeError> {
        let volumes = BTreeMap::from([("data".to_owned(), Volume { source, read_only: true })]);
        let found = resolve(&volumes, policy)?;
        assert!(found["data"].read_only);
        Ok(found["data"].path.clone())
    }

    fn path(path: &Path) -> VolumeSource {
        VolumeSource::Path(path.display().to_string())
    }

    fn hopeless(error: &VolumeError) -> bool {
        let (reason, hopeless) = error.reason();
        let EndReason::StartFailed { step, message, .. } = reason else { panic!("{reason:?}") };
        assert_eq!((step.as_str(), message.contains("`data`")), ("volume", true), "{message}");
        hopeless
    }

    #[test]
    fn a_name_is_what_the_owner_declared_and_another_one_says_what_to_add() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let policy = VolumePolicy { named: BTreeMap::from([("pg".into(), dir.clone())]), ..<_>::default() };
        assert_eq!(one(VolumeSource::Host("pg".into()), &policy).unwrap(), dir);
        let error = one(VolumeSource::Host("disk".into()), &policy).unwrap_err();
        assert!(
            error.to_string().contains("add `volumes: {disk: /a/directory}` to its agent.yml"),
            "{error}"
        );
        assert!(hopeless(&error));
    }

    #[test]
    fn a_directory_that_is_missing_may_still_come() {
        let policy =
            VolumePolicy { named: BTreeMap::from([("pg".into(), "/no/such/dir".into())]), ..<_>::default() };
        let error = one(VolumeSource::Host("pg".into()), &policy).unwrap_err();
        assert!(!hopeless(&error), "{error}");
    }

    #[test]
    fn a_path_is_allowed_only_below_what_the_owner_allows() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let (inside, beside) = (dir.join("srv/a"), dir.join("srv-other"));
        for made in [&inside, &beside] {
            std::fs::create_dir_all(made).unwrap();
        }
        let policy = VolumePolicy { allowed: vec![dir.join("srv")], ..<_>::default() };
        assert_eq!(one(path(&inside), &policy).unwrap(), inside);
        assert_eq!(one(path(&dir.join("srv")), &policy).unwrap(), dir.join("srv"));
        let error = one(path(&beside), &policy).unwrap_err();
        assert!(hopeless(&error) && error.to_string().contains("allow_paths"), "{error}");
        assert!(hopeless(&one(path(&inside), &VolumePolicy::default()).unwrap_err()), "nothing by default");
    }

    #[test]
    fn no_detour_leads_out_of_what_is_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().canonicalize().unwrap();
        let srv = dir.join("srv");
        std::fs::create_dir_all(srv.join("real")).unwrap();
        std::fs::create_dir_all(dir.join("etc")).unwrap();
        std::os::unix::fs::symlink(dir.join("etc"), srv.join("out")).unwrap();
        std::os::unix::fs::symlink(srv.join("real"), srv.join("in")).unwrap();
        let policy = VolumePolicy { allowed: vec![srv.clone()], ..<_>::default() };
        assert!(matches!(one(path(&srv.join("out")), &policy), Err(VolumeError::NotAllowed { .. })));
        assert!(matches!(one(path(&srv.join("../etc")), &policy), Err(VolumeError::NotPlain { .. })));
        assert!(matches!(one(VolumeSource::Path("srv".into()), &policy), Err(VolumeError::NotPlain { .. })));
        assert_eq!(one(path(&srv.join("in")), &policy).unwrap(), srv.join("real"), "within is fine");
    }
}
