//! Servers and agents, as certificates name them.

use std::fmt;

use proto::ids::ServerId;

/// The domain that the names in certificates end with. Nobody resolves them.
const DOMAIN: &str = "minijob";

/// What a member is in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Takes part in Raft, and is what agents and people connect to.
    Server,
    /// Runs tasks; connects, and is never connected to.
    Agent,
}

impl Role {
    /// Returns the word in certificates and messages.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Agent => "agent",
        }
    }

    /// Returns the role that a word names.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        [Self::Server, Self::Agent].into_iter().find(|role| role.word() == word)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// What it is.
    pub role: Role,
    /// What people call it.
    pub name: String,
    /// The random number in its data directory: a [`ServerId`] or a node's id, by its role.
    pub id: u64,
}

impl Member {
    /// Returns whether a certificate can name it.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        proto::names::is_machine_name(&self.name)
    }

    /// Returns its name as a host's: `NAME.ROLE.minijob`.
    #[must_use]
    pub fn dns(&self) -> String {
        format!("{}.{}.{DOMAIN}", self.name, self.role)
    }

    /// Returns its id as an address: `minijob:ROLE:ID`.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("{DOMAIN}:{}:{}", self.role, ServerId(self.id))
    }

    /// Reads role and name of [`Member::dns`]. A name has dots like a host's; the role is what comes last.
    pub(crate) fn of_dns(text: &str) -> Option<(Role, &str)> {
        let (rest, role) = text.strip_suffix(DOMAIN)?.strip_suffix('.')?.rsplit_once('.')?;
        let role = Role::of_word(role)?;
        proto::names::is_machine_name(rest).then_some((role, rest))
    }

    /// Reads role and id of [`Member::uri`].
    pub(crate) fn of_uri(text: &str) -> Option<(Role, u64)> {
        let (role, id) = text.strip_prefix(DOMAIN)?.strip_prefix(':')?.split_once(':')?;
        Some((Role::of_word(role)?, id.parse::<ServerId>().ok()?.0))
    }

    /// Returns whether a host's name looks like a member's, which nobody may have beside its own.
    pub(crate) fn is_reserved(host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        host == DOMAIN || host.ends_with(&format!(".{DOMAIN}"))
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.role, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_come_back() {
        for role in [Role::Server, Role::Agent] {
            for name in ["s1", "vm7.example.com", "x.server"] {
                let member = Member { role, name: name.into(), id: 7 };
                assert_eq!(Member::of_dns(&member.dns()), Some((role, name)));
                assert_eq!(Member::of_uri(&member.uri()), Some((role, 7)));
            }
        }
    }

    #[test]
    fn what_is_no_member_is_none() {
        for text in [
            "",
            "minijob",
            "server.minijob",
            ".server.minijob",
            "a.server",
            "a.king.minijob",
            "*.server.minijob",
        ] {
            assert_eq!(Member::of_dns(text), None, "{text}");
        }
        for text in [
            "",
            "minijob:server:",
            "minijob:server:zzz",
            "minijob:king:0000000000000",
            "other:server:0000000000000",
        ] {
            assert_eq!(Member::of_uri(text), None, "{text}");
        }
    }

    #[test]
    fn a_name_cannot_claim_another_role() {
        let tricky = Member { role: Role::Agent, name: "s1.server".into(), id: 1 };
        assert_eq!(Member::of_dns(&tricky.dns()), Some((Role::Agent, "s1.server")));
        assert!(Member::is_reserved("s1.Server.minijob") && Member::is_reserved("minijob"));
        assert!(!Member::is_reserved("minijob.example") && !Member::is_reserved("10.0.0.1"));
    }
}
