//! How servers become one cluster: in any order, with any delay, once.
//!
//! A new cluster is made only of servers that have all *promised* the same set, on disk. A promise is made once and never taken back, so
//! two sets that are made have no server in common; and a set is all servers that are named to make it, so there is one such set, and
//! nobody promises another one. Whoever comes later asks to be added, and promises that before it asks.

use std::collections::{BTreeMap, BTreeSet};

/// A server, as the others are told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Server {
    /// Its id.
    pub id: u64,
    /// Where it is reached: host:port.
    pub addr: String,
    /// What people call it.
    pub name: String,
}

/// What a server does next, whatever else it hears.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// It makes a cluster of exactly these, by id.
    Form(Vec<Server>),
    /// It joins that cluster.
    Join(u64),
}

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// Who it is.
    pub server: Server,
    /// The wire version that it speaks.
    pub wire: u32,
    /// The oldest wire version that understands it.
    pub wire_least: u32,
    /// The newest state that it reads.
    pub state: u32,
    /// The newest data directory that it reads.
    pub disk: u32,
    /// The program's version, for people.
    pub version: String,
    /// The cluster that it belongs to; 0: none, or not known yet.
    pub cluster: u64,
    /// Whether its log names members.
    pub formed: bool,
    /// How many servers make the first cluster; 0: it makes none.
    pub expect: u32,
    /// Whom it can reach that could be part of a new cluster, itself included.
    pub sees: BTreeSet<u64>,
    /// What it has written down.
    pub promise: Option<Promise>,
    /// Index of the last entry that it has applied.
    pub applied: u64,
    /// The marks of the cluster's keys that it has, the newest first; none: it is older than marks.
    pub keys: Vec<u64>,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing any more: it belongs to a cluster.
    Rest,
    /// Nothing until more is heard; why, for people.
    Wait(String),
    /// Nothing until a person has changed something; what, for people.
    Refuse(String),
    /// Write this down, then decide again.
    Promise(Promise),
    /// Make the cluster of these. All of them have promised it.
    Bootstrap(Vec<Server>),
    /// Ask this server to be added.
    Ask(Server),
}

/// What a leader does with a server that asks to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Nothing: it is a member.
    Member,
    /// Reach that member at another address from now on, if nobody answers for it at the one before.
    Move(Server),
    /// Let it learn.
    Add,
    /// Remove that member, whose place it has taken, and let it learn.
    Replace(u64),
    /// Nothing; why, for people.
    Refuse(String),
}

/// Decides what a server does that knows this of the others. `heard` is what they said within the last moments; `others` is how many other
/// servers may be to make a cluster: all that were named or have come, but those that said that they make none.
#[must_use]
pub fn decide(own: &Greeting, heard: &[Greeting], others: usize) -> Step {
    let mut peers = BTreeMap::new();
    for peer in heard {
        if peer.server.id != own.server.id {
            peers.insert(peer.server.id, peer);
        } else if peer.server.addr != own.server.addr {
            return Step::Refuse(copied(own, peer));
        }
    }
    if let Some(stranger) = peers.values().find(|peer| !understand(own, peer)) {
        return Step::Refuse(foreign_wire(own, stranger));
    }
    if own.formed {
        let elsewhere = peers.values().find(|peer| are_apart(own.cluster, peer.cluster));
        return elsewhere.map_or(Step::Rest, |peer| Step::Refuse(apart(own.cluster, peer)));
    }
    match &own.promise {
        Some(Promise::Form(servers)) => form(own, servers, &peers),
        Some(Promise::Join(cluster)) => join(*cluster, &peers),
        None => begin(own, &peers, others),
    }
}

/// What to do about a server that has asked: `has_log` says that its log names members already.
#[must_use]
pub fn admit(members: &[Server], asks: &Server, has_log: bool) -> Admission {
    if let Some(member) = members.iter().find(|member| member.id == asks.id) {
        return moved(members, member, asks);
    }
    if has_log {
        return Admission::Refuse(format!(
            "server {} was removed from this cluster: to have it again, stop it, empty its data directory and start it",
            asks.name
        ));
    }
    let clash = members.iter().find(|member| member.name == asks.name || member.addr == asks.addr);
    match clash {
        None => Admission::Add,
        // It answers where the other one was reached, under the same name: the other one has lost its disk.
        Some(member) if member.name == asks.name && member.addr == asks.addr => Admission::Replace(member.id),
        Some(member) if member.name == asks.name => Admission::Refuse(format!(
            "the cluster has a server {} at {}: give this one another --name; or, if that one is gone for good, \
             `minijob operator raft remove {}`",
            member.name, member.addr, member.name
        )),
        Some(member) => Admission::Refuse(format!(
            "the cluster reaches its server {} at {}: give this one another address; or, if that one is gone for good, \
             `minijob operator raft remove {}`",
            member.name, member.addr, member.name
        )),
    }
}

/// A member asks: at another address when that has changed.
fn moved(members: &[Server], member: &Server, asks: &Server) -> Admission {
    if member.addr == asks.addr {
        return Admission::Member;
    }
    match members.iter().find(|other| other.addr == asks.addr) {
        None => Admission::Move(member.clone()),
        Some(other) => Admission::Refuse(format!(
            "the cluster reaches its server {} at {}: give server {} another --advertise; or, if {} has moved, start that one first",
            other.name, other.addr, member.name, other.name
        )),
    }
}

/// Whether a server that learns has caught up with a log that ends at `last`: it counts for majorities from then on, and must not
/// hold them up.
#[must_use]
pub fn has_caught_up(matched: Option<u64>, last: u64, within: u64) -> bool {
    matched.is_some_and(|matched| matched.saturating_add(within) >= last)
}

/// Whether a voter can be removed so that those that remain can still decide: `voters` are all, with whether each answers at this moment.
///
/// # Errors
/// Why not, for people.
pub fn may_remove(voters: &BTreeMap<u64, bool>, id: u64) -> Result<(), String> {
    if !voters.contains_key(&id) {
        return Ok(());
    }
    let remain: Vec<bool> =
        voters.iter().filter(|(voter, _)| **voter != id).map(|(_, answers)| *answers).collect();
    let answer = remain.iter().filter(|answers| **answers).count();
    if remain.is_empty() {
        return Err("it is the only server of this cluster".to_owned());
    }
    if answer > remain.len() / 2 {
        return Ok(());
    }
    Err(format!(
        "without it {answer} of {} servers would answer, which is no majority: nothing could be changed any more; bring another one back \
         first",
        remain.len()
    ))
}

type Peers<'a> = BTreeMap<u64, &'a Greeting>;

/// It has promised to make a cluster of these.
fn form(own: &Greeting, servers: &[Server], peers: &Peers<'_>) -> Step {
    let mut missing = Vec::new();
    for server in servers.iter().filter(|server| server.id != own.server.id) {
        let heard = peers.get(&server.id);
        match heard.and_then(|peer| peer.promise.as_ref()) {
            Some(Promise::Form(theirs)) if theirs == servers => {}
            Some(_) => return Step::Refuse(promised_otherwise(server)),
            None => missing.push(format!("{} at {}", server.name, server.addr)),
        }
    }
    if missing.is_empty() {
        return Step::Bootstrap(servers.to_vec());
    }
    Step::Wait(format!(
        "this server has agreed to make a cluster with {}, and goes on as soon as it hears from all of them; only where one will never \
         start again: stop the servers that wait, empty their data directories and start them anew",
        missing.join(" and ")
    ))
}

/// It has promised to join that cluster.
fn join(cluster: u64, peers: &Peers<'_>) -> Step {
    if let Some(peer) = peers.values().find(|peer| peer.formed && peer.cluster == cluster) {
        return Step::Ask(peer.server.clone());
    }
    match peers.values().find(|peer| are_apart(cluster, peer.cluster)) {
        Some(peer) => Step::Refuse(apart(cluster, peer)),
        None => Step::Wait(format!("no server of cluster {cluster:x}, which this one is to join, answers")),
    }
}

/// It has promised nothing yet.
fn begin(own: &Greeting, peers: &Peers<'_>, others: usize) -> Step {
    let formed: Vec<_> = peers.values().filter(|peer| peer.formed).collect();
    if let Some(first) = formed.iter().find(|peer| peer.cluster != 0) {
        if let Some(other) = formed.iter().find(|peer| are_apart(first.cluster, peer.cluster)) {
            return Step::Refuse(two_clusters(first, other));
        }
        if own.state < first.state {
            return Step::Refuse(old_state(own, first));
        }
        return Step::Promise(Promise::Join(first.cluster));
    }
    if let Some(peer) = formed.first() {
        return Step::Wait(format!("server {} makes a cluster at this moment", peer.server.name));
    }
    if own.expect < 2 {
        let next = "start the first servers with --bootstrap-expect and their number";
        return Step::Wait(format!("no server of a cluster answers yet; to make a new one, {next}"));
    }
    new_cluster(own, peers, others)
}

/// There is no cluster, and one is to be made.
fn new_cluster(own: &Greeting, peers: &Peers<'_>, others: usize) -> Step {
    let expect = own.expect as usize;
    if others + 1 > expect {
        return Step::Refuse(format!(
            "--bootstrap-expect is {expect}, and {} servers are named or want to make the cluster: say {} on all of them, or start those \
             that come later without it",
            others + 1,
            others + 1
        ));
    }
    let candidates: Peers<'_> =
        peers.iter().filter(|(_, peer)| peer.expect > 1).map(|(id, peer)| (*id, *peer)).collect();
    if let Some(why) = candidates.values().find_map(|peer| unfit(own, peer)) {
        return Step::Refuse(why);
    }
    let all: BTreeMap<u64, &Greeting> =
        candidates.iter().map(|(id, peer)| (*id, *peer)).chain([(own.server.id, own)]).collect();
    if let Some(why) = clash(&all) {
        return Step::Refuse(why);
    }
    let proposed = candidates.values().filter_map(|peer| match &peer.promise {
        Some(Promise::Form(servers)) => Some(servers),
        _ => None,
    });
    let mut proposed: Vec<_> = proposed.collect();
    proposed.sort_unstable();
    if let Some(servers) = proposed.iter().find(|servers| servers.contains(&own.server)) {
        return agree(expect, servers, &all);
    }
    if let Some(servers) = proposed.first() {
        return Step::Wait(format!(
            "{} make a cluster; this server asks to be added then",
            names(servers.iter())
        ));
    }
    propose(own, expect, &all)
}

/// Another server has promised a set that this one belongs to.
fn agree(expect: usize, servers: &[Server], all: &Peers<'_>) -> Step {
    if servers.len() != expect {
        return Step::Wait(format!("{} servers were proposed, {expect} are expected", servers.len()));
    }
    let absent: Vec<_> = servers
        .iter()
        .filter(|server| all.get(&server.id).is_none_or(|peer| peer.server != **server))
        .collect();
    if absent.is_empty() {
        return Step::Promise(Promise::Form(servers.to_vec()));
    }
    Step::Wait(format!("waiting for {} to answer", names(absent.into_iter())))
}

/// Nobody has promised anything: the lowest id of enough that see each other proposes.
fn propose(own: &Greeting, expect: usize, all: &Peers<'_>) -> Step {
    let fresh: Peers<'_> =
        all.iter().filter(|(_, peer)| peer.promise.is_none()).map(|(id, peer)| (*id, *peer)).collect();
    if fresh.len() < expect {
        let seen = names(fresh.values().map(|peer| &peer.server));
        return Step::Wait(format!("{} of {expect} servers are here: {seen}", fresh.len()));
    }
    let ids: BTreeSet<u64> = fresh.keys().copied().collect();
    let blind = fresh.values().find(|peer| peer.server.id != own.server.id && peer.sees != ids);
    if let Some(peer) = blind {
        return Step::Wait(format!("server {} does not see the same servers yet", peer.server.name));
    }
    let chosen: Vec<Server> = fresh.values().take(expect).map(|peer| peer.server.clone()).collect();
    match chosen.first() {
        Some(first) if first.id == own.server.id => Step::Promise(Promise::Form(chosen)),
        Some(first) => Step::Wait(format!("server {} proposes the cluster", first.name)),
        None => Step::Wait("nobody is here".to_owned()),
    }
}

/// Why these two cannot be in one new cluster.
fn unfit(own: &Greeting, peer: &Greeting) -> Option<String> {
    if peer.expect != own.expect {
        return Some(format!(
            "server {} expects {} servers (--bootstrap-expect), this one {}: say the same number on all of them",
            peer.server.name, peer.expect, own.expect
        ));
    }
    (peer.state != own.state).then(|| {
        format!(
            "server {} is minijob {}, this one {}, and they keep the state differently: start the same version everywhere",
            peer.server.name, peer.version, own.version
        )
    })
}

/// Two servers of one name, or at one address.
fn clash(all: &Peers<'_>) -> Option<String> {
    let (mut by_name, mut by_addr) = (BTreeMap::new(), BTreeMap::new());
    for Greeting { server, .. } in all.values() {
        if let Some(other) = by_name.insert(&server.name, &server.addr) {
            return Some(format!(
                "the servers at {other} and {} are both named {}: give each a --name of its own",
                server.addr, server.name
            ));
        }
        if let Some(other) = by_addr.insert(&server.addr, &server.name) {
            return Some(format!(
                "the servers {other} and {} both say that they are reached at {}: give each an --advertise of its own",
                server.name, server.addr
            ));
        }
    }
    None
}

fn understand(own: &Greeting, peer: &Greeting) -> bool {
    peer.wire >= own.wire_least && peer.wire_least <= own.wire
}

fn are_apart(one: u64, other: u64) -> bool {
    one != 0 && other != 0 && one != other
}

fn copied(own: &Greeting, peer: &Greeting) -> String {
    format!(
        "the server at {} has the id of this one, {}: its data directory is a copy; stop it, empty its data directory and start it",
        peer.server.addr, own.server.name
    )
}

fn foreign_wire(own: &Greeting, peer: &Greeting) -> String {
    format!(
        "server {} at {} is minijob {} and speaks wire version {}, this one is minijob {} and speaks {}: update the older one",
        peer.server.name, peer.server.addr, peer.version, peer.wire, own.version, own.wire
    )
}

fn old_state(own: &Greeting, peer: &Greeting) -> String {
    format!(
        "the cluster of server {} keeps state of version {}, this minijob {} reads {} at most: start minijob {} here",
        peer.server.name, peer.state, own.version, own.state, peer.version
    )
}

fn apart(cluster: u64, peer: &Greeting) -> String {
    format!(
        "this server belongs to cluster {cluster:x}, server {} at {} to cluster {:x}: take one of them out of --join; to move this one \
         over, stop it and empty its data directory",
        peer.server.name, peer.server.addr, peer.cluster
    )
}

fn two_clusters(one: &Greeting, other: &Greeting) -> String {
    format!(
        "server {} belongs to cluster {:x} and server {} to cluster {:x}: name servers of one cluster in --join",
        one.server.name, one.cluster, other.server.name, other.cluster
    )
}

fn promised_otherwise(server: &Server) -> String {
    format!(
        "this server has agreed to make a cluster with {} at {}, which has agreed to something else: stop this one, empty its data \
         directory and start it again",
        server.name, server.addr
    )
}

fn names<'a>(servers: impl Iterator<Item = &'a Server>) -> String {
    servers.map(|server| server.name.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
