//! Whom a task runs as.

use std::ffi::CString;
use std::path::PathBuf;

use nix::unistd::{Uid, User, getgrouplist};

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
    /// The system refuses to say.
    #[error("cannot look up user `{name}` on this node: {errno}")]
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

/// Finds whom a task runs as; none: whoever runs the agent. Blocks on the machine's user database.
///
/// # Errors
/// See [`UserError`]; `errno` of it is what [`proto::model::EndReason::StartFailed`] carries.
pub fn resolve(wanted: Option<&str>, policy: &UserPolicy) -> Result<Option<Identity>, UserError> {
    let name = match (wanted, &policy.default_user) {
        (Some(name), _) => name,
        (None, DefaultUser::Named(name)) => name.as_str(),
        (None, DefaultUser::SameAsAgent) => return Ok(None),
    };
    let lookup = |errno| UserError::Lookup { name: name.into(), errno };
    let user =
        User::from_name(name).map_err(lookup)?.ok_or_else(|| UserError::Unknown { name: name.into() })?;
    let agent = Uid::effective();
    if user.uid == agent && (!agent.is_root() || policy.allow_root) {
        return Ok(None);
    }
    if user.uid.is_root() && !policy.allow_root {
        return Err(UserError::RootNotAllowed { name: name.into() });
    }
    if !agent.is_root() {
        return Err(UserError::NotRoot { name: name.into() });
    }
    let c_name = CString::new(name).map_err(|_| UserError::Unknown { name: name.into() })?;
    let groups = getgrouplist(&c_name, user.gid).map_err(lookup)?;
    Ok(Some(Identity {
        user: driver::UserIds {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            groups: groups.into_iter().map(nix::unistd::Gid::as_raw).collect(),
        },
        home: user.dir,
    }))
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
}
