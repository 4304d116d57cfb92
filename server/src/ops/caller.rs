//! Who asks, and what they may do. Every operation takes a [`Caller`]; today one token may do everything, roles fill this in later.

use proto::error::{Error, Kind};
use proto::model::DEFAULT_NAMESPACE;

/// Something that a token may allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Capability {
    /// See jobs, allocations, nodes, events and output.
    Read,
    /// Submit and stop jobs.
    Submit,
    /// Run commands inside allocations.
    Exec,
    /// Be an agent.
    Node,
    /// Change nodes, settings and members.
    Operator,
    /// See secret values.
    Secrets,
    /// Be a server of this cluster. No token allows it, only the cluster's key.
    Peer,
}

impl Capability {
    /// All that a token may allow.
    pub const ALL: [Self; 6] =
        [Self::Read, Self::Submit, Self::Exec, Self::Node, Self::Operator, Self::Secrets];

    /// The word for it, as in tokens and messages.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Submit => "submit",
            Self::Exec => "exec",
            Self::Node => "node",
            Self::Operator => "operator",
            Self::Secrets => "secrets",
            Self::Peer => "peer",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// What a caller may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(u8);

impl Capabilities {
    /// Everything.
    #[must_use]
    pub fn all() -> Self {
        Capability::ALL.into_iter().fold(Self::default(), Self::with)
    }

    /// Adds one.
    #[must_use]
    pub const fn with(self, capability: Capability) -> Self {
        Self(self.0 | capability.bit())
    }

    /// Returns whether it is among them.
    #[must_use]
    pub const fn holds(self, capability: Capability) -> bool {
        self.0 & capability.bit() != 0
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The name that events and history show.
    pub actor: String,
    /// What they may do.
    pub capabilities: Capabilities,
    /// The only namespace they may see; none: every one.
    pub namespace: Option<String>,
}

impl Caller {
    /// The holder of the cluster's first token, who may do everything everywhere.
    #[must_use]
    pub fn operator() -> Self {
        Self { actor: "operator".to_owned(), capabilities: Capabilities::all(), namespace: None }
    }

    /// Another server of the cluster, speaking for itself.
    #[must_use]
    pub fn peer() -> Self {
        let capabilities = Capabilities::default().with(Capability::Peer);
        Self { actor: "server".to_owned(), capabilities, namespace: None }
    }

    /// Returns nothing if the caller may do that.
    ///
    /// # Errors
    /// Forbidden, naming the capability.
    pub fn need(&self, capability: Capability) -> Result<(), Error> {
        if self.capabilities.holds(capability) {
            return Ok(());
        }
        let message = format!("this token does not allow `{}`", capability.word());
        Err(Error::new(Kind::Forbidden, message).hint("use a token with that capability"))
    }

    /// Returns the namespace that a request means: the one it names, else the caller's own, else the default one.
    ///
    /// # Errors
    /// Forbidden for one that the caller may not see.
    pub fn namespace(&self, asked: &str) -> Result<String, Error> {
        match (&self.namespace, asked) {
            (None, "") => Ok(DEFAULT_NAMESPACE.to_owned()),
            (None, asked) => Ok(asked.to_owned()),
            (Some(own), "") => Ok(own.clone()),
            (Some(own), asked) if own == asked => Ok(own.clone()),
            (Some(_), asked) => {
                Err(Error::new(Kind::Forbidden, format!("this token does not allow namespace `{asked}`")))
            }
        }
    }

    /// Returns whether the caller may see that namespace.
    #[must_use]
    pub fn sees(&self, namespace: &str) -> bool {
        self.namespace.as_deref().is_none_or(|own| own == namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capability_that_was_not_given_is_refused_by_name() {
        let reader = Caller {
            actor: "ann".into(),
            capabilities: Capabilities::default().with(Capability::Read),
            namespace: None,
        };
        for capability in Capability::ALL {
            let answer = reader.need(capability);
            assert_eq!(answer.is_ok(), capability == Capability::Read, "{capability:?}");
            if let Err(error) = answer {
                assert_eq!(error.kind, Kind::Forbidden);
                assert!(error.message.contains(capability.word()));
            }
            assert!(Caller::operator().need(capability).is_ok());
            assert!(Caller::peer().need(capability).is_err(), "a server is no person");
        }
        assert!(Caller::operator().need(Capability::Peer).is_err(), "and no person is a server");
    }

    #[test]
    fn a_token_of_one_namespace_neither_sees_nor_names_another() {
        let caller = Caller { namespace: Some("shop".into()), ..Caller::operator() };
        assert_eq!(caller.namespace("").as_deref(), Ok("shop"));
        assert_eq!(caller.namespace("bank").map_err(|error| error.kind), Err(Kind::Forbidden));
        assert!(caller.sees("shop") && !caller.sees("bank"));
        assert_eq!(Caller::operator().namespace("").as_deref(), Ok("default"));
    }
}
