//! The servers of the cluster.

use std::collections::BTreeMap;

use futures::future::join_all;
use proto::error::{Error, Kind};
use proto::ids::{JobVersion, ServerId};
use proto::view::{ServerList, ServerView, Version, Written};

use super::{Caller, Capability, version};
use crate::cluster::Cluster;
use crate::core::forming::{Greeting, may_remove};
use crate::forming::Forming;
use crate::raft::{Member, MemberStatus};

/// Lists the servers, each asked at this moment whether it is there; `name` and `address` are those of this one. Without `forming` it is alone.
///
/// # Errors
/// Forbidden.
pub async fn list_servers(
    cluster: &Cluster,
    forming: Option<&Forming>,
    caller: &Caller,
    name: &str,
    address: &str,
) -> Result<ServerList, Error> {
    caller.need(Capability::Read)?;
    let own = cluster.member().server;
    let this = ServerView {
        id: own,
        name: name.to_owned(),
        address: address.to_owned(),
        leader: cluster.leadership().borrow().leading,
        voter: false,
        reachable: true,
        lag: None,
        version: Some(version()),
    };
    let members = cluster.raft().members();
    let met = join_all(members.iter().map(|status| meet(forming, own, status))).await;
    let last = cluster.raft_metrics();
    let furthest = met.iter().flatten().map(|greeting| greeting.applied);
    let last = furthest.chain(last.applied).max().unwrap_or(0);
    let mut items: Vec<ServerView> = members
        .iter()
        .zip(&met)
        .map(|(status, greeting)| view(&this, status, greeting.as_ref(), last))
        .collect();
    if let Some(own) = items.iter_mut().find(|server| server.id == own) {
        own.lag = Some(last.saturating_sub(cluster.raft_metrics().applied.unwrap_or(0)));
    } else if items.is_empty() {
        items.push(this);
    }
    items.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(ServerList { items, next: None, revision: cluster.snapshot().revision, warnings: Vec::new() })
}

/// Removes a server from the cluster: by its name or its id. One that is not there changes nothing only by its id; a name must be known.
///
/// # Errors
/// Forbidden; not found; refused when the servers that remain could decide nothing; `unavailable` when no majority confirms it.
pub async fn remove_server(
    cluster: &Cluster,
    forming: Option<&Forming>,
    caller: &Caller,
    which: &str,
) -> Result<Written, Error> {
    caller.need(Capability::Operator)?;
    let members = cluster.raft().members();
    let found = members.iter().find(|status| {
        status.member.name == which || ServerId(status.member.id).to_string() == which.to_ascii_lowercase()
    });
    let changed = match (found, which.parse::<ServerId>()) {
        (Some(status), _) => {
            remove(cluster, forming, &members, &status.member).await?;
            true
        }
        (None, Ok(_)) => false,
        (None, Err(_)) => {
            let names: Vec<&str> = members.iter().map(|status| status.member.name.as_str()).collect();
            let error = Error::new(Kind::NotFound, format!("there is no server `{which}`"));
            return Err(error.hint(format!("the servers are {}", names.join(", "))));
        }
    };
    Ok(Written { changed, version: JobVersion(0), revision: cluster.snapshot().revision, placement: None })
}

/// Removes one of these members, if those that remain can still decide.
pub(super) async fn remove(
    cluster: &Cluster,
    forming: Option<&Forming>,
    members: &[MemberStatus],
    gone: &Member,
) -> Result<(), Error> {
    let own = cluster.member().server;
    let met = join_all(members.iter().map(|status| meet(forming, own, status))).await;
    let voters: BTreeMap<u64, bool> = members
        .iter()
        .zip(&met)
        .filter(|(status, _)| status.votes)
        .map(|(status, met)| (status.member.id, met.is_some() || status.member.id == own.0))
        .collect();
    let refused = |why| Error::new(Kind::Refused, format!("server {} is not removed: {why}", gone.name));
    may_remove(&voters, gone.id).map_err(refused)?;
    let forming = forming.ok_or_else(|| Error::new(Kind::Refused, "this server is alone"))?;
    forming.remove(gone.id).await
}

/// Asks a server who it is; none: it does not answer, or another one does.
async fn meet(forming: Option<&Forming>, own: ServerId, status: &MemberStatus) -> Option<Greeting> {
    let forming = forming.filter(|_| status.member.id != own.0)?;
    let greeting = forming.greet(&status.member.addr).await.ok()?;
    (greeting.server.id == status.member.id).then_some(greeting)
}

fn view(this: &ServerView, status: &MemberStatus, met: Option<&Greeting>, last: u64) -> ServerView {
    if status.member.id == this.id.0 {
        return ServerView { voter: status.votes, leader: status.leads, ..this.clone() };
    }
    ServerView {
        id: ServerId(status.member.id),
        name: status.member.name.clone(),
        address: status.member.addr.clone(),
        leader: status.leads && met.is_some(),
        voter: status.votes,
        reachable: met.is_some(),
        lag: met.map(|greeting| last.saturating_sub(greeting.applied)),
        version: met.map(|greeting| Version {
            version: greeting.version.clone(),
            wire: greeting.wire,
            state: greeting.state,
            disk: greeting.disk,
        }),
    }
}
