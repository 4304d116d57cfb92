//! What sets a started attempt apart from the machine, with nothing left to look up.

use std::path::PathBuf;

use proto::model::{CAPABILITIES, Confinement, Isolate, Mount, RLIMITS};

/// How an attempt is confined; the default takes nothing away but the way to new privileges.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confine {
    /// Limits of the kernel, each resource at most once.
    pub rlimits: Vec<Rlimit>,
    /// -20 to 19; the driver's own without one.
    pub nice: Option<i8>,
    /// -1000 to 1000; without one that of the agent, which is raised to 0 if it was protected itself.
    pub oom_score_adj: Option<i16>,
    /// Exactly these, bit by number (capabilities(7)); without it those of its user: all for root, none for others.
    pub capabilities: Option<u64>,
    /// Whether a program may gain what the attempt has not, by a set-user-id bit or capabilities of its own.
    pub new_privileges: bool,
    /// Namespaces of its own. Binds imply one of mounts.
    pub isolate: Isolate,
}

/// One limit of the kernel (setrlimit(2)); `None` is unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rlimit {
    /// The resource's number.
    pub resource: u32,
    /// What applies.
    pub soft: Option<u64>,
    /// What the attempt may raise it to.
    pub hard: Option<u64>,
}

/// A file or directory of the machine that an attempt finds elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// Absolute; what is there is mounted with all that is mounted below it.
    pub source: PathBuf,
    /// Absolute. It must be there, but for what lies below `/tmp` or a folder of the attempt: that is made.
    pub target: PathBuf,
    /// Whether the attempt may not write to it.
    pub read_only: bool,
}

/// A mount of a volume whose place is not known here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{to}: volume `{volume}` has no place on this node")]
pub struct NoPlace {
    /// The volume's name in the group.
    pub volume: String,
    /// Where it was to be mounted.
    pub to: String,
}

impl Bind {
    /// Replaces the volumes that a task mounts by their places: a path, and whether nobody may write there.
    ///
    /// # Errors
    /// With the first volume that has none: a task must not find an empty directory where its data should be.
    pub fn resolve(
        mounts: &[Mount],
        place: impl Fn(&str) -> Option<(PathBuf, bool)>,
    ) -> Result<Vec<Bind>, NoPlace> {
        let bind = |mount: &Mount| {
            let missing = || NoPlace { volume: mount.volume.clone(), to: mount.to.clone() };
            let (source, read_only) = place(&mount.volume).ok_or_else(missing)?;
            Ok(Bind { source, target: PathBuf::from(&mount.to), read_only: read_only || mount.read_only })
        };
        mounts.iter().map(bind).collect()
    }
}

/// A name that this program does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{name}` is not known to this agent; it may know it after an upgrade")]
pub struct UnknownName {
    /// `rlimit` or `capability`.
    pub what: &'static str,
    /// Which.
    pub name: String,
}

impl Confine {
    /// Replaces the names of a job by the kernel's numbers.
    ///
    /// # Errors
    /// With the first name that is not known.
    pub fn resolve(wanted: &Confinement) -> Result<Confine, UnknownName> {
        let unknown = |what, name: &str| UnknownName { what, name: name.to_owned() };
        let rlimit = |(name, limit): (&String, &proto::model::Rlimit)| {
            let known = RLIMITS.iter().find(|(known, _)| known == name);
            let (_, resource) = known.ok_or_else(|| unknown("rlimit", name))?;
            Ok(Rlimit { resource: *resource, soft: limit.soft, hard: limit.hard })
        };
        let bit = |name: &String| {
            let number = CAPABILITIES.iter().position(|known| known == name);
            Ok(1u64 << number.ok_or_else(|| unknown("capability", name))?)
        };
        let set = |names: &Vec<String>| names.iter().try_fold(0, |set, name| Ok(set | bit(name)?));
        Ok(Confine {
            rlimits: wanted.rlimits.iter().map(rlimit).collect::<Result<_, _>>()?,
            nice: wanted.nice,
            oom_score_adj: wanted.oom_score_adj,
            capabilities: wanted.capabilities.as_ref().map(set).transpose()?,
            new_privileges: wanted.new_privileges,
            isolate: wanted.isolate,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_the_kernels_numbers() {
        let mut wanted =
            Confinement { capabilities: Some(vec!["net_raw".into(), "chown".into()]), ..<_>::default() };
        let limit = proto::model::Rlimit { soft: Some(1024), hard: None };
        wanted.rlimits.insert("nofile".into(), limit);
        let found = Confine::resolve(&wanted).expect("all are known");
        assert_eq!(found.rlimits, [Rlimit { resource: 7, soft: Some(1024), hard: None }]);
        assert_eq!(found.capabilities, Some(1 << 13 | 1));
        assert_eq!(Confine::resolve(&Confinement::default()), Ok(Confine::default()));
    }

    #[test]
    fn a_name_of_a_newer_release_is_refused_not_dropped() {
        let wanted = Confinement { capabilities: Some(vec!["time_travel".into()]), ..<_>::default() };
        let error = Confine::resolve(&wanted).expect_err("there is none").to_string();
        assert!(error.contains("capability `time_travel`"), "{error}");
    }

    #[test]
    fn a_volume_is_as_writable_as_both_its_owner_and_the_task_say() {
        let mount = |read_only| Mount { volume: "data".into(), to: "/data".into(), read_only };
        for (mine, theirs, wanted) in [(false, false, false), (true, false, true), (false, true, true)] {
            let found =
                Bind::resolve(&[mount(mine)], |_| Some(("/srv/pg".into(), theirs))).expect("it has a place");
            let wanted = Bind { source: "/srv/pg".into(), target: "/data".into(), read_only: wanted };
            assert_eq!(found, [wanted]);
        }
        let error = Bind::resolve(&[mount(false)], |_| None).expect_err("it has none").to_string();
        assert_eq!(error, "/data: volume `data` has no place on this node");
    }
}
