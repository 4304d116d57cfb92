//! How a session begins: the agent registers with everything it has, and is answered with everything wanted of it.

use std::time::Duration;

use pki::Member;
use prost::Message as _;
use proto::error::{Error, Kind as ErrorKind};
use proto::ids::{Generation, Incarnation, Reign, Revision};
use proto::model::{AllocStatus, NodeIdentity, Resources};
use proto::wire::v1::{self, agent_message, server_message};
use proto::wire::{BadMessage, agent, job, status};
use tokio::time::timeout;
use tonic::Streaming;

use super::super::Hub;
use super::super::hub::Outgoing;
use super::super::inbox::{self, Inbox};
use super::super::wanted::Wanted;
use super::confirming::Confirming;
use super::{End, Session, message, superseded};
use crate::core::state::{Kind, Outcome, State};
use crate::limits::{REGISTER_WITHIN, STATUS_BYTES_MAX};

/// The oldest wire version that is understood.
const WIRE_OLDEST: u32 = 1;
/// How long an agent waits here for a reign that is about to begin, instead of being sent away at once.
const REIGN_WITHIN: Duration = Duration::from_secs(1);

/// What an agent says when it registers.
struct Registration {
    identity: NodeIdentity,
    held: Vec<(Incarnation, AllocStatus, Resources)>,
}

/// Opens a session, up to and including its complete set.
pub(super) async fn open(
    hub: &Hub,
    shown: Option<Member>,
    mut inbound: Streaming<v1::AgentMessage>,
    out: &Outgoing,
) -> Result<Session, End> {
    let reign = reign_soon(hub).await.ok_or(End::NotLeading)?;
    let hello = v1::Hello { revision: hub.cluster().snapshot().revision.0 };
    if out.try_send(Ok(v1::ServerMessage { kind: Some(server_message::Kind::Hello(hello)) })).is_err() {
        return Err(End::Gone);
    }
    let first = timeout(REGISTER_WITHIN, inbound.message()).await;
    let first = first.map_err(|_| invalid("an agent registers first, within 5 s"))?;
    let Ok(Some(v1::AgentMessage { kind: Some(agent_message::Kind::Register(register)) })) = first else {
        return Err(invalid("an agent registers first").into());
    };
    let (position, seen) = (register.position, Revision(register.seen));
    let registration = read(register)?;
    if let Some(shown) = &shown {
        is_itself(&registration.identity, shown)?;
    }
    let known = position.map(|at| Incarnation(at.incarnation)).filter(|id| id.0 != 0);
    belongs_here(&hub.cluster().snapshot(), known)?;
    let node = registration.identity.id;
    keep_lease(hub, &registration.identity);
    let held: Vec<(Incarnation, AllocStatus)> =
        registration.held.iter().map(|(of, status, _)| (*of, status.clone())).collect();
    let generation = register_node(hub, registration, seen).await?;
    let Some(seat) = hub.sit(node, generation, out.clone()) else {
        return Err(superseded().into());
    };
    let state = hub.cluster().snapshot();
    hub.leases().renew(&state, node, generation);
    let held = held.iter().map(|(of, status)| (*of, status));
    let mut session = Session {
        hub: hub.clone(),
        inbound,
        out: out.clone(),
        node,
        generation,
        reign,
        seat,
        wanted: Wanted::new(node, state.incarnation, held),
        inbox: Inbox::new(hub.cluster().clone(), node, generation),
        base: state.revision,
        fences: Confirming::default(),
    };
    session.send(message::registered(&state, known))?;
    session.tell_everything()?;
    Ok(session)
}

/// Refuses an agent that speaks for a node whose certificate it does not show.
fn is_itself(says: &NodeIdentity, shown: &Member) -> Result<(), Error> {
    if (shown.id, &shown.name) == (says.id.0, &says.name) {
        return Ok(());
    }
    let message = format!("node {} ({}) is not what the certificate of {shown} says", says.name, says.id);
    let hint = "start the agent once with --key-file, so that it enrols under its own name";
    Err(Error::new(ErrorKind::Forbidden, message).hint(hint))
}

/// Refuses an agent that belongs to another cluster before anything of it enters the log: it would not follow these servers, and
/// would only ask again and again. One that has never heard of a cluster is welcome.
fn belongs_here(state: &State, known: Option<Incarnation>) -> Result<(), Error> {
    let Some(theirs) = known else { return Ok(()) };
    if state.incarnation == Some(theirs) || state.descends_from(theirs) {
        return Ok(());
    }
    let ours = state.incarnation.unwrap_or(Incarnation(0));
    let message = format!("this agent belongs to cluster {theirs}, these servers are cluster {ours}");
    let hint = "point it at the servers of its cluster; or, if that cluster is gone for good, stop the agent, end what it \
                still runs, and start it with an empty data folder";
    Err(Error::new(ErrorKind::Refused, message).hint(hint))
}

async fn reign_soon(hub: &Hub) -> Option<Reign> {
    let mut reigns = hub.cluster().reigns();
    timeout(REIGN_WITHIN, reigns.wait_for(Option::is_some)).await.ok()?.ok()?;
    hub.cluster().reign()
}

/// Who knocks is alive: the lease of the session before must not run out while the registration is on its way into the log.
fn keep_lease(hub: &Hub, identity: &NodeIdentity) {
    let state = hub.cluster().snapshot();
    let known = state.nodes.get(&identity.id).filter(|node| node.identity.machine_id == identity.machine_id);
    if let Some(node) = known {
        hub.leases().renew(&state, identity.id, node.generation);
    }
}

async fn register_node(hub: &Hub, registration: Registration, seen: Revision) -> Result<Generation, End> {
    let Registration { identity, held } = registration;
    match hub.cluster().propose(Kind::RegisterNode { identity, held, seen: Some(seen) }).await {
        Ok(Outcome::Registered { generation }) => Ok(generation),
        Ok(Outcome::Refused(refusal)) => Err(Error::from(refusal).into()),
        Ok(_) => Err(Error::new(ErrorKind::Internal, "a registration had no number").into()),
        Err(error) if error.kind == ErrorKind::NotLeader => Err(End::NotLeading),
        Err(error) => Err(error.into()),
    }
}

fn read(register: v1::Register) -> Result<Registration, Error> {
    if register.wire < WIRE_OLDEST {
        let message = format!(
            "this agent speaks wire version {}, these servers understand {WIRE_OLDEST} and newer: update the agent",
            register.wire
        );
        return Err(Error::new(ErrorKind::Refused, message));
    }
    let v1::Register { identity, mut held, .. } = register;
    shorten_all(&mut held);
    let bad = |bad: BadMessage| invalid(&bad.to_string());
    let identity = identity.ok_or_else(|| invalid("an agent says who it is"))?;
    let identity = agent::identity_from_wire(identity).map_err(bad)?;
    let held = held.into_iter().map(held_from_wire).collect::<Result<_, _>>().map_err(bad)?;
    Ok(Registration { identity, held })
}

/// Makes everything that an agent holds fit into one command, if it does not: it must be taken in as a whole, because what is not
/// named counts as gone. The output of what failed is what can be missed.
fn shorten_all(held: &mut [v1::Held]) {
    let bytes: usize = held.iter().map(v1::Held::encoded_len).sum();
    if bytes > STATUS_BYTES_MAX / 2 {
        held.iter_mut().filter_map(|held| held.status.as_mut()).for_each(inbox::shorten);
    }
}

fn held_from_wire(held: v1::Held) -> Result<(Incarnation, AllocStatus, Resources), BadMessage> {
    let report = held.status.ok_or(BadMessage { field: "status" })?;
    let resources = held.resources.map(job::resources_from_wire).unwrap_or_default();
    Ok((Incarnation(held.incarnation), status::from_wire(report)?, resources))
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::Invalid, message)
}
