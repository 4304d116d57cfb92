//! Whom a task runs as.

use std::ffi::CString;
use std::path::PathBuf;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist, getgroups};

use crate::driver;

/// Whom tasks run as that name nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DefaultUser {
    /// Whoever runs the agent.
    SameAsAgent,
    /// A user of this machine.
    Named(String),
}

impl DefaultUser {
    /// Returns the default for this process: `nobody` when it is root, else itself.
    #[must_use]
    pub fn for_this_process() -> Self {
        if Uid::effective().is_root() { Self::Named("nobody".into()) } else { Self::SameAsAgent }
    }
}

/// What the agent allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserPolicy {
    /// For tasks that name nobody.
    pub default_user: DefaultUser,
    /// Whether a task may name root while the agent is root.
    pub allow_root: bool,
}

/// A user of this machine, found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What the driver needs.
    pub user: driver::UserIds,
    /// The user's home.
    pub home: PathBuf,
}

/// Why a task cannot run as it should. None of these goes away by trying again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// There is no such user.
    #[error("no user `{name}` on this node")]
    Unknown {
        /// Who.
        name: String,
    },
    /// There is no such group.
    #[error("no group `{name}` on this node")]
    UnknownGroup {
        /// Which.
        name: String,
    },
    /// A number without a user, and nothing that says which group.
    #[error("user {number} has no entry on this node: write `{number}:GROUP` to say which group it runs as")]
    NoGroup {
        /// Which.
        number: u32,
    },
    /// The system refuses to say.
    #[error("cannot look up `{name}` on this node: {errno}")]
    Lookup {
        /// Who.
        name: String,
        /// Why.
        errno: nix::errno::Errno,
    },
    /// The agent may not become somebody else.
    #[error("the agent does not run as root and cannot start a task as user `{name}`")]
    NotRoot {
        /// Who.
        name: String,
    },
    /// The agent's owner does not want this.
    #[error("user `{name}` is root, which this agent does not allow (allow_root)")]
    RootNotAllowed {
        /// Who.
        name: String,
    },
}

/// Finds whom a task runs as; none: whoever runs the agent. `wanted` is `USER` or `USER:GROUP`, names or numbers. The group
/// takes the place of the user's own; the other groups that the user is in stay. A number that belongs to no user of this
/// machine needs a group, and has no others. Blocks on the machine's user database.
///
/// # Errors
/// See [`UserError`]; `errno` of it is what [`proto::model::EndReason::StartFailed`] carries.
pub fn resolve(wanted: Option<&str>, policy: &UserPolicy) -> Result<Option<Identity>, UserError> {
    let text = match (wanted, &policy.default_user) {
        (Some(text), _) => text,
        (None, DefaultUser::Named(name)) => name.as_str(),
        (None, DefaultUser::SameAsAgent) => return Ok(None),
    };
    let (name, group) = match text.split_once(':') {
        Some((name, group)) => (name, Some(find_group(group)?)),
        None => (text, None),
    };
    let found = find_user(name)?;
    let uid = match (&found, number(name)) {
        (Some(user), _) => user.uid,
        (None, Some(number)) => Uid::from_raw(number),
        (None, None) => return Err(UserError::Unknown { name: name.into() }),
    };
    let agent = Uid::effective();
    let same_group = group.is_none_or(|group| group == Gid::effective());
    if uid == agent && same_group && (!agent.is_root() || policy.allow_root) {
        return Ok(None);
    }
    if uid.is_root() && !policy.allow_root {
        return Err(UserError::RootNotAllowed { name: text.into() });
    }
    if !agent.is_root() {
        return Err(UserError::NotRoot { name: text.into() });
    }
    let groups = found.as_ref().map(groups_of).transpose()?.unwrap_or_default();
    let gid = match (group, &found) {
        (Some(group), _) => group,
        (None, Some(user)) => user.gid,
        (None, None) => return Err(UserError::NoGroup { number: uid.as_raw() }),
    };
    // The group of root owns much of what its user does. Who is in it already gains nothing.
    if gid.as_raw() == 0 && !groups.contains(&gid) && !policy.allow_root {
        return Err(UserError::RootNotAllowed { name: text.into() });
    }
    let others = groups.into_iter().filter(|other| *other != gid);
    let ids = driver::UserIds {
        uid: uid.as_raw(),
        gid: gid.as_raw(),
        groups: std::iter::once(gid).chain(others).map(Gid::as_raw).collect(),
    };
    Ok(Some(Identity { user: ids, home: found.map_or_else(|| "/".into(), |user| user.dir) }))
}

/// Reads a number. The largest is none: to the kernel it means "stay who you are".
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|&number| number != u32::MAX)
}

fn find_user(name: &str) -> Result<Option<User>, UserError> {
    let found = match number(name) {
        Some(number) => User::from_uid(Uid::from_raw(number)),
        None => User::from_name(name),
    };
    found.map_err(|errno| UserError::Lookup { name: name.into(), errno })
}

fn find_group(name: &str) -> Result<Gid, UserError> {
    if let Some(number) = number(name) {
        return Ok(Gid::from_raw(number));
    }
    let found = Group::from_name(name).map_err(|errno| UserError::Lookup { name: name.into(), errno })?;
    found.map(|group| group.gid).ok_or_else(|| UserError::UnknownGroup { name: name.into() })
}

/// Returns the groups that a user is in, its own first.
fn groups_of(user: &User) -> Result<Vec<Gid>, UserError> {
    let c_name = CString::new(&*user.name).map_err(|_| UserError::Unknown { name: user.name.clone() })?;
    getgrouplist(&c_name, user.gid).map_err(|errno| UserError::Lookup { name: user.name.clone(), errno })
}

/// Finds whom a command beside a task is to run as, by a name that somebody gave for it: also where that is whoever runs the agent.
///
/// # Errors
/// As [`resolve`].
pub fn become_named(name: &str, policy: &UserPolicy) -> Result<Identity, UserError> {
    if let Some(identity) = resolve(Some(name), policy)? {
        return Ok(identity);
    }
    let lookup = |errno| UserError::Lookup { name: name.into(), errno };
    let (uid, gid) = (Uid::effective(), Gid::effective());
    let groups = getgroups().map_err(lookup)?.into_iter().map(Gid::as_raw).collect();
    let ids = driver::UserIds { uid: uid.as_raw(), gid: gid.as_raw(), groups };
    let known = User::from_uid(uid).map_err(lookup)?;
    Ok(Identity { user: ids, home: known.map_or_else(|| "/".into(), |user| user.dir) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: UserPolicy = UserPolicy { default_user: DefaultUser::SameAsAgent, allow_root: true };

    #[test]
    fn a_task_that_names_nobody_runs_as_the_agent_where_that_is_the_default() {
        assert_eq!(resolve(None, &OPEN), Ok(None));
    }

    #[test]
    fn an_unknown_user_is_named() {
        let error = resolve(Some("no-such-user-here"), &OPEN).expect_err("there is none");
        assert_eq!(error.to_string(), "no user `no-such-user-here` on this node");
    }

    #[test]
    fn root_is_refused_unless_allowed() {
        let closed = UserPolicy { allow_root: false, ..OPEN };
        assert!(matches!(resolve(Some("root"), &closed), Err(UserError::RootNotAllowed { .. })));
        if Uid::effective().is_root() {
            assert_eq!(resolve(Some("root"), &OPEN), Ok(None));
        }
    }

    #[test]
    fn root_becomes_nobody_and_another_user_cannot() {
        let nobody = resolve(Some("nobody"), &OPEN);
        if Uid::effective().is_root() {
            assert_ne!(nobody.expect("it is found").expect("it is another").user.uid, 0);
        } else {
            assert!(matches!(nobody, Err(UserError::NotRoot { .. })));
        }
    }

    fn ids(wanted: &str) -> driver::UserIds {
        resolve(Some(wanted), &OPEN).expect("it is found").expect("it is another").user
    }

    #[test]
    fn numbers_and_names_mean_the_same_and_a_group_takes_the_place_of_the_users_own() {
        if !Uid::effective().is_root() {
            return assert!(matches!(resolve(Some("nobody:12"), &OPEN), Err(UserError::NotRoot { .. })));
        }
        let named = ids("daemon");
        assert_eq!(ids(&named.uid.to_string()), named);
        let grouped = ids("daemon:4711");
        assert_eq!((grouped.uid, grouped.gid), (named.uid, 4711));
        assert_eq!(grouped.groups[0], 4711);
        assert!(named.groups.iter().all(|group| grouped.groups.contains(group)), "{grouped:?}");
        let by_name = Group::from_name("daemon").expect("asked").expect("there").gid.as_raw();
        assert_eq!(ids("4711:daemon"), driver::UserIds { uid: 4711, gid: by_name, groups: vec![by_name] });
    }

    #[test]
    fn a_number_that_nobody_has_needs_a_group() {
        if Uid::effective().is_root() {
            let error = resolve(Some("471100"), &OPEN).expect_err("which group?");
            assert!(error.to_string().contains("write `471100:GROUP`"), "{error}");
        }
        let error = resolve(Some("nobody:no-such-group"), &OPEN).expect_err("there is none");
        assert_eq!(error.to_string(), "no group `no-such-group` on this node");
    }

    #[test]
    fn root_is_refused_in_every_disguise() {
        let closed = UserPolicy { allow_root: false, ..OPEN };
        for stay in ["4294967295:1", "nobody:4294967295"] {
            assert!(resolve(Some(stay), &OPEN).is_err(), "the kernel reads it as nobody else");
        }
        for wanted in ["root", "0", "0:12", "root:nogroup"] {
            let refused = resolve(Some(wanted), &closed);
            assert!(
                matches!(refused, Err(UserError::RootNotAllowed { .. } | UserError::UnknownGroup { .. })),
                "{wanted}"
            );
        }
        if Uid::effective().is_root() {
            assert!(matches!(resolve(Some("nobody:0"), &closed), Err(UserError::RootNotAllowed { .. })));
        }
    }
}
