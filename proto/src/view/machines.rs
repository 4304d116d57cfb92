//! Nodes and servers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AllocView, List, NodeView, Version};
use crate::ids::{Revision, ServerId};
use crate::model::Event;

/// Everything about one node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NodeStatus {
    /// The line of the list.
    #[serde(flatten)]
    pub node: NodeView,
    /// Its allocations that have not ended, by name.
    pub running: Vec<AllocView>,
    /// The latest events about the machine, oldest first.
    pub events: Vec<Event>,
    /// The revision of the state that this shows.
    pub revision: Revision,
}

/// All servers of the cluster.
pub type ServerList = List<ServerView>;

/// One server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServerView {
    /// Its id.
    pub id: ServerId,
    /// Its name.
    pub name: String,
    /// Where it is reached.
    pub address: String,
    /// Whether it leads.
    pub leader: bool,
    /// Whether it decides with the others; if not, it still learns.
    pub voter: bool,
    /// Whether it answered the server that was asked, at this moment.
    pub reachable: bool,
    /// How many entries of the log it has not applied yet that the one that was asked, or the leader, has; none: it did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<u64>,
    /// What it speaks; none: not known here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
}
