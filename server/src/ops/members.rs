//! Who belongs to the cluster, and who is thrown out: servers and agents, by what their certificates say.

use std::collections::BTreeMap;

use pki::Role;
use pki::limits::CERTIFICATE_LASTS;
use proto::error::{Error, Kind as ErrorKind};
use proto::ids::{JobVersion, RequestId, ServerId};
use proto::view::{MemberList, MemberView, Written};

use super::jobs::written;
use super::{Caller, Capability, servers};
use crate::cluster::Cluster;
use crate::core::state::{Denied, Kind, State};
use crate::forming::Forming;
use crate::limits::DENIED_MARGIN;
use crate::raft::MemberStatus;

/// The word for the role of who was thrown out by an id that nobody had.
const UNKNOWN: &str = "unknown";

/// Lists all members, servers first, each by name, and those that were thrown out.
///
/// # Errors
/// Forbidden.
pub fn list_members(cluster: &Cluster, caller: &Caller) -> Result<MemberList, Error> {
    caller.need(Capability::Read)?;
    let state = cluster.snapshot();
    let mut items: Vec<_> = known(&state, &cluster.raft().members()).into_values().collect();
    let is_agent = |member: &MemberView| member.role != Role::Server.word();
    items.sort_by(|one, other| (is_agent(one), &one.name).cmp(&(is_agent(other), &other.name)));
    Ok(MemberList { items, next: None, revision: state.revision, warnings: Vec::new() })
}

/// Throws a member out: by its name or its id, also by one that no member has yet. A server is removed from the cluster first. It is then refused in every
/// handshake and every request, and its connections are closed. One that is out already changes nothing.
///
/// # Errors
/// Forbidden; not found; invalid when several are meant; refused without a key, for the server that leads, and when the servers that remain
/// could decide nothing; and those of [`Cluster::write`].
pub async fn deny_member(
    cluster: &Cluster,
    forming: Option<&Forming>,
    caller: &Caller,
    request: RequestId,
    which: &str,
) -> Result<Written, Error> {
    caller.need(Capability::Operator)?;
    if forming.is_none() {
        let error =
            Error::new(ErrorKind::Refused, "this cluster has no key, so its members show no certificates");
        return Err(
            error.hint("who has its token is taken for a member: change the file `token` of the server")
        );
    }
    let (state, servers) = (cluster.snapshot(), cluster.raft().members());
    let found = find(&known(&state, &servers), which, false)?;
    if let Some(status) = servers.iter().find(|status| status.member.id == found.id.0) {
        if found.id == cluster.member().server {
            let message = format!("server {} leads, and a leader does not throw itself out", found.name);
            return Err(Error::new(ErrorKind::Refused, message)
                .hint("stop it, so that another one leads, and ask again; a cluster's only server cannot be thrown out"));
        }
        servers::remove(cluster, forming, &servers, &status.member).await?;
    } else if found.denied {
        return Ok(unchanged(&state));
    }
    let until = cluster.now().plus(CERTIFICATE_LASTS).plus(DENIED_MARGIN);
    let denied = Some(Denied { name: format!("{} `{}`", found.role, found.name), until });
    let done = cluster.write(&caller.actor, request, Kind::DenyMember { id: found.id.0, denied }).await;
    // By its name it may not be found again.
    let done = done.map_err(|error| match error.kind {
        ErrorKind::Unavailable | ErrorKind::NotLeader => {
            let hint = format!("ask again: `minijob operator member deny {}`", found.id);
            error.hint(hint)
        }
        _ => error,
    });
    written(done?)
}

/// Lets a member in again that was thrown out: by its name or its id. An agent comes back by itself; a server was removed, and comes back as a new one. One that is not
/// out changes nothing.
///
/// # Errors
/// Forbidden; not found; invalid when several are meant; and those of [`Cluster::write`].
pub async fn allow_member(
    cluster: &Cluster,
    caller: &Caller,
    request: RequestId,
    which: &str,
) -> Result<Written, Error> {
    caller.need(Capability::Operator)?;
    let state = cluster.snapshot();
    let found = find(&known(&state, &cluster.raft().members()), which, true)?;
    if !found.denied {
        return Ok(unchanged(&state));
    }
    let kind = Kind::DenyMember { id: found.id.0, denied: None };
    written(cluster.write(&caller.actor, request, kind).await?)
}

fn unchanged(state: &State) -> Written {
    Written { changed: false, version: JobVersion(0), revision: state.revision, placement: None }
}

/// All that are known, by id.
fn known(state: &State, servers: &[MemberStatus]) -> BTreeMap<ServerId, MemberView> {
    let view = |id: u64, role: &str, name: &str| MemberView {
        id: ServerId(id),
        role: role.to_owned(),
        name: name.to_owned(),
        denied: false,
        denied_until: None,
    };
    let of_servers =
        servers.iter().map(|status| view(status.member.id, Role::Server.word(), &status.member.name));
    let of_nodes = state.nodes.iter().map(|(id, node)| view(id.0, Role::Agent.word(), &node.identity.name));
    let mut all: BTreeMap<_, _> = of_servers.chain(of_nodes).map(|view| (view.id, view)).collect();
    for (id, denied) in state.denied.iter().filter(|(_, denied)| denied.until > state.now) {
        let (role, name) = told(&denied.name);
        let member = all.entry(ServerId(*id)).or_insert_with(|| view(*id, role, name));
        (member.denied, member.denied_until) = (true, Some(denied.until));
    }
    all
}

/// Reads role and name of [`Denied::name`], which people also read.
fn told(text: &str) -> (&str, &str) {
    let (role, name) = text.split_once(' ').unwrap_or((UNKNOWN, text));
    (Role::of_word(role).map_or(UNKNOWN, Role::word), name.trim_matches('`'))
}

/// Returns the one that is meant. Of several with one name those count that are in, or out, as `denied` says.
fn find(known: &BTreeMap<ServerId, MemberView>, which: &str, denied: bool) -> Result<MemberView, Error> {
    let by_id = which.parse::<ServerId>().ok();
    if let Some(member) = by_id.and_then(|id| known.get(&id)) {
        return Ok(member.clone());
    }
    let named: Vec<&MemberView> = known.values().filter(|member| member.name == which).collect();
    let fitting: Vec<&MemberView> = named.iter().copied().filter(|one| one.denied == denied).collect();
    match (fitting.as_slice(), named.as_slice(), by_id) {
        ([one], _, _) | ([], [one, ..], _) => Ok((*one).clone()),
        ([], [], Some(id)) => {
            let (role, name) = (UNKNOWN.to_owned(), id.to_string());
            Ok(MemberView { id, role, name, denied: false, denied_until: None })
        }
        ([], [], None) => {
            let error = Error::new(ErrorKind::NotFound, format!("there is no member `{which}`"));
            Err(error.hint("`minijob operator member list` shows all, with their ids"))
        }
        (several, _, _) => {
            let ids = several.iter().map(|one| format!("{} {}", one.role, one.id));
            let ids = ids.collect::<Vec<_>>().join(", ");
            let error = Error::new(ErrorKind::Invalid, format!("several members are named `{which}`: {ids}"));
            Err(error.hint("name the one that is meant by its id"))
        }
    }
}

#[cfg(test)]
mod tests {
    use pki::Member;

    use super::*;

    fn known(list: &[(u64, &str, &str, bool)]) -> BTreeMap<ServerId, MemberView> {
        let view = |(id, role, name, denied): &(u64, &str, &str, bool)| MemberView {
            id: ServerId(*id),
            role: (*role).to_owned(),
            name: (*name).to_owned(),
            denied: *denied,
            denied_until: None,
        };
        list.iter().map(view).map(|view| (view.id, view)).collect()
    }

    #[test]
    fn a_name_means_who_is_in_when_somebody_is_thrown_out_and_who_is_out_when_one_is_let_in() {
        let all = known(&[(1, "agent", "vm1", true), (2, "agent", "vm1", false), (3, "server", "s1", false)]);
        assert_eq!(find(&all, "vm1", false).expect("the new one").id, ServerId(2));
        assert_eq!(find(&all, "vm1", true).expect("the old one").id, ServerId(1));
        assert_eq!(find(&all, "s1", true).expect("it is in, which changes nothing").id, ServerId(3));
        assert_eq!(find(&all, &ServerId(1).to_string(), false).expect("by id").id, ServerId(1));
    }

    #[test]
    fn a_server_and_an_agent_of_one_name_are_told_apart_by_their_ids() {
        let all = known(&[(1, "agent", "vm1", false), (2, "server", "vm1", false)]);
        let refused = find(&all, "vm1", false).expect_err("two");
        assert_eq!(refused.kind, ErrorKind::Invalid);
        for id in [1, 2].map(|id| ServerId(id).to_string()) {
            assert!(refused.message.contains(&id), "{refused:?}");
        }
    }

    #[test]
    fn a_whole_id_is_taken_also_of_who_is_not_known_and_a_name_is_not() {
        let unknown = find(&known(&[]), &ServerId(7).to_string(), false).expect("by id");
        assert_eq!((unknown.id, unknown.role.as_str()), (ServerId(7), UNKNOWN));
        let refused = find(&known(&[]), "vm9", false).expect_err("nobody");
        assert!(refused.kind == ErrorKind::NotFound && refused.hint.contains("member list"), "{refused:?}");
    }

    #[test]
    fn role_and_name_are_read_back_from_what_the_state_keeps() {
        let member = Member { role: Role::Agent, name: "n 1".into(), id: 1 };
        assert_eq!(told(&member.to_string()), ("agent", "n 1"));
        assert_eq!(told("unknown `0000000000007`"), (UNKNOWN, "0000000000007"));
    }
}
