//! Who belongs to the cluster, who was thrown out, and by which key they know each other.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::List;
use crate::ids::ServerId;
use crate::time::Timestamp;

/// All members, servers first, and those that were thrown out.
pub type MemberList = List<MemberView>;

/// One member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberView {
    /// Its id: a server's, or a node's.
    pub id: ServerId,
    /// `server` or `agent`; `unknown` for who was thrown out by an id that nobody had.
    pub role: String,
    /// Its name.
    pub name: String,
    /// Whether it was thrown out.
    pub denied: bool,
    /// When it is forgotten that it was thrown out, because every certificate of its has expired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denied_until: Option<Timestamp>,
}

/// By which keys the servers know each other. A key is told by its mark, which says nothing about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyStatus {
    /// The mark of the key that the cluster's CA is sealed with; none: not with one that the server has which leads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed_with: Option<String>,
    /// The servers, by name.
    pub servers: Vec<KeyHolder>,
}

/// What keys a server has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyHolder {
    /// Its name.
    pub name: String,
    /// The marks of its keys, the newest first; none: it did not answer, or is older than marks.
    pub keys: Vec<String>,
    /// Whether it answered at this moment.
    pub reachable: bool,
}
