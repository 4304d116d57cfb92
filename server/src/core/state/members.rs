//! Who may be a member: the cluster's CA, and who was thrown out.

use proto::time::Timestamp;
use proto::token::TokenHash;

/// The cluster's CA. Its private key is sealed under the cluster's key, which the state does not have: neither log nor snapshot tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// Certificate and private key, sealed.
    pub sealed: Vec<u8>,
    /// The CAs that members trust (PEM).
    pub trust: String,
}

/// What lets administrators in: of their token only the hash, so that neither log nor snapshot tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorToken {
    /// SHA-256 of the token.
    pub hash: TokenHash,
    /// The one that a cluster begins with, which every server has in its data directory; no longer once a person has made another one.
    pub first: bool,
}

/// A member that was thrown out. It is remembered until the last certificate made for it has expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// Its role and name, for people.
    pub name: String,
    /// Until when.
    pub until: Timestamp,
}
