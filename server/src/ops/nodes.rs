//! Nodes are listed, shown, cordoned, drained, forgotten.

use std::time::Duration;

use proto::error::{Error, Kind as ErrorKind};
use proto::ids::RequestId;
use proto::model::Eligibility;
use proto::units::show_duration;
use proto::view::{NodeList, NodeStatus, Written};

use super::jobs::written;
use super::{Caller, Capability, Wait, find, views};
use crate::cluster::Cluster;
use crate::core::state::{DrainStep, Kind};
use crate::limits;

/// Lists all nodes, by name.
///
/// # Errors
/// Forbidden.
pub async fn list_nodes(cluster: &Cluster, caller: &Caller, wait: Wait) -> Result<NodeList, Error> {
    caller.need(Capability::Read)?;
    Ok(views::node_list(&*wait.snapshot(cluster).await))
}

/// Shows one node with what runs on it: by its name, its id, or a unique beginning of it. Of allocations only those that the
/// caller may see.
///
/// # Errors
/// Forbidden; invalid with the candidates when several are meant; not found with the nearest name.
pub fn node_status(cluster: &Cluster, caller: &Caller, text: &str) -> Result<NodeStatus, Error> {
    caller.need(Capability::Read)?;
    let state = cluster.snapshot();
    let mut status = views::node_status(&state, find::node(&state, text)?);
    status.running.retain(|alloc| caller.sees(&alloc.namespace));
    Ok(status)
}

/// Says whether a node takes new work. What it is already changes nothing.
///
/// # Errors
/// Forbidden; as [`node_status`]; and those of [`Cluster::write`].
pub async fn set_eligibility(
    cluster: &Cluster,
    caller: &Caller,
    request: RequestId,
    text: &str,
    eligibility: Eligibility,
) -> Result<Written, Error> {
    caller.need(Capability::Operator)?;
    let node = find::node(&cluster.snapshot(), text)?.identity.id;
    written(cluster.write(&caller.actor, request, Kind::NodeEligibility { node, eligibility }).await?)
}

/// Forgets a node that is down, with what was lost there.
///
/// # Errors
/// Forbidden; as [`node_status`]; refused when it is up; and those of [`Cluster::write`].
pub async fn purge_node(
    cluster: &Cluster,
    caller: &Caller,
    request: RequestId,
    text: &str,
) -> Result<Written, Error> {
    caller.need(Capability::Operator)?;
    let node = find::node(&cluster.snapshot(), text)?.identity.id;
    written(cluster.write(&caller.actor, request, Kind::PurgeNode { node }).await?)
}

/// How a node is to be drained.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    /// When what is left is told to end, from now; zero: at once; none: [`limits::DRAIN_DEADLINE`].
    pub deadline: Option<Duration>,
    /// There is no deadline; with one it is refused.
    pub no_deadline: bool,
    /// What the person says about it.
    pub message: String,
}

/// Begins to move a node's work to others; of a drain that is under way it changes the deadline, which counts from now. A node
/// that is drained already stays so, and nothing changes.
///
/// # Errors
/// Forbidden; as [`node_status`]; invalid with two deadlines, one that is too long or too long a message; and those of
/// [`Cluster::write`].
pub async fn drain_node(
    cluster: &Cluster,
    caller: &Caller,
    request: RequestId,
    text: &str,
    wish: Drain,
) -> Result<Written, Error> {
    caller.need(Capability::Operator)?;
    let node = find::node(&cluster.snapshot(), text)?.identity.id;
    let Drain { deadline, no_deadline, message } = wish;
    if no_deadline && deadline.is_some() {
        let error = Error::new(ErrorKind::Invalid, "a drain has a deadline or none");
        return Err(error.hint("leave one of `deadline_ms` and `no_deadline` out"));
    }
    if deadline.is_some_and(|length| length > limits::DRAIN_DEADLINE_MOST) {
        let most = show_duration(limits::DRAIN_DEADLINE_MOST);
        let error = Error::new(ErrorKind::Invalid, format!("the deadline of a drain is at most {most}"));
        return Err(error.hint("`--no-deadline` waits as long as it takes"));
    }
    if message.len() > limits::DRAIN_MESSAGE_BYTES {
        let (bytes, most) = (message.len(), limits::DRAIN_MESSAGE_BYTES);
        return Err(Error::new(ErrorKind::Invalid, format!("the message has {bytes} bytes, at most {most}")));
    }
    let deadline = Some(deadline.unwrap_or(limits::DRAIN_DEADLINE)).filter(|_| !no_deadline);
    let step = DrainStep::Begin { deadline, message };
    written(cluster.write(&caller.actor, request, Kind::DrainNode { node, step }).await?)
}

/// Cancels a drain: what has not moved stays, and the node takes work again unless it took none before. One that is not drained
/// changes nothing.
///
/// # Errors
/// Forbidden; as [`node_status`]; and those of [`Cluster::write`].
pub async fn cancel_drain(
    cluster: &Cluster,
    caller: &Caller,
    request: RequestId,
    text: &str,
) -> Result<Written, Error> {
    caller.need(Capability::Operator)?;
    let node = find::node(&cluster.snapshot(), text)?.identity.id;
    let step = DrainStep::Cancel;
    written(cluster.write(&caller.actor, request, Kind::DrainNode { node, step }).await?)
}
