//! The servers of the cluster.

use proto::error::Error;
use proto::view::{ServerList, ServerView};

use super::{Caller, Capability, version};
use crate::cluster::Cluster;

/// Lists the servers; `name` and `address` are those of this one.
///
/// # Errors
/// Forbidden.
pub fn list_servers(
    cluster: &Cluster,
    caller: &Caller,
    name: &str,
    address: &str,
) -> Result<ServerList, Error> {
    caller.need(Capability::Read)?;
    let this = ServerView {
        id: cluster.member().server,
        name: name.to_owned(),
        address: address.to_owned(),
        leader: cluster.leadership().borrow().leading,
        version: Some(version()),
    };
    Ok(ServerList { items: vec![this], next: None, revision: cluster.snapshot().revision })
}
