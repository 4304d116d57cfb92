//! One session with the servers, and the loop that always wants one.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use proto::ids::Incarnation;
use proto::model::NodeIdentity;
use proto::time::BootTime;
use proto::wire::v1::server_message::Kind as Down;
use proto::wire::v1::{self, ServerMessage, agent_message::Kind as Up};
use proto::wire::{WIRE_VERSION, agent};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;

use super::dial::{DialError, Way};
use super::follow::News;
use super::reach::Reach;
use super::route::Route;
use super::uplink::{Pulse, Uplink, uplink};
use super::{ask, exec, follow, logs, report};
use crate::allocs::manager::{self, GreetError};
use crate::allocs::outbox::Outbox;
use crate::clock::Clock;
use crate::core::assignments::{self, position_from_wire, position_to_wire};
use crate::limits::{FOLLOW_QUEUE, LOG_STREAMS_MAX, REGISTER_PATIENCE};

/// The least time between heartbeats that a server can ask for.
const HEARTBEAT_LEAST: Duration = Duration::from_millis(10);

/// What sessions need.
#[derive(Clone)]
pub struct Needs {
    /// Who this node is; a change is told to the servers at once.
    pub identity: watch::Receiver<NodeIdentity>,
    /// How servers are reached.
    pub way: Way,
    /// Follows orders.
    pub manager: manager::Handle,
    /// Has what is to be reported.
    pub outbox: Arc<Outbox>,
    /// Where time comes from.
    pub clock: Clock,
    /// Reaches running tasks for servers.
    pub reach: Arc<Reach>,
    /// The folder of all allocations, for logs.
    pub allocs: PathBuf,
    /// Ends all sessions.
    pub cancel: CancellationToken,
}

/// How the connection to the servers is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// The server that has this agent registered.
    pub server: Option<String>,
    /// Why there is none, or was none before.
    pub last_trouble: Option<String>,
}

/// Why a session ended, or never began.
#[derive(Debug, thiserror::Error)]
enum Over {
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error("the server refused: {}", with_hint(.0))]
    Refused(proto::error::Error),
    #[error("another server leads: {0}")]
    Redirect(String),
    #[error(transparent)]
    Greet(#[from] GreetError),
    #[error("the server did not answer within {0:?}")]
    Silent(Duration),
    #[error("the server closed the session")]
    Closed,
    #[error("the server does not speak as agreed: {0}")]
    Protocol(&'static str),
    #[error("the agent is being stopped")]
    Stopped,
    #[error("the node has changed and registers anew")]
    Changed,
}

/// Keeps a session with the servers until the agent is stopped.
pub async fn run(needs: Needs, servers: Vec<String>, link: watch::Sender<Link>) {
    let mut route = Route::new(servers);
    loop {
        let Some((server, pause)) = route.next(proto::ids::random_u64()) else { return };
        tokio::select! {
            () = needs.cancel.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
        let over = tokio::select! {
            () = needs.cancel.cancelled() => return,
            over = one_session(&needs, &server, &mut route, &link) => over,
        };
        let trouble = explain(&over);
        match over {
            Over::Changed => tracing::info!(server, "{trouble}"),
            _ => tracing::warn!(server, "no session: {trouble}"),
        }
        link.send_replace(Link { server: None, last_trouble: Some(trouble) });
        // What a connection broke under is not always told with it.
        if let Over::Refused(error) = &over
            && error.hint.is_empty()
        {
            let (way, server) = (needs.way.clone(), server.clone());
            tokio::spawn(async move {
                if let Some(why) = way.refused(&server).await {
                    tracing::warn!(server, "{why}");
                }
            });
        }
        match over {
            Over::Redirect(leader) => route.redirected(&leader),
            Over::Stopped => return,
            Over::Changed => {}
            Over::Silent(_) => route.silent(&server),
            _ => route.failed(),
        }
    }
}

/// A log has no place of its own for the next step.
fn with_hint(error: &proto::error::Error) -> String {
    match error.hint.as_str() {
        "" => error.message.clone(),
        hint => format!("{}; {hint}", error.message),
    }
}

fn explain(over: &Over) -> String {
    let mut text = over.to_string();
    let mut cause = std::error::Error::source(over);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

async fn one_session(needs: &Needs, server: &str, route: &mut Route, link: &watch::Sender<Link>) -> Over {
    // Seen before the registration, so that a change while it is under way is one that it did not tell.
    let mut identity = needs.identity.clone();
    let told = identity.borrow_and_update().clone();
    let mut leftovers = needs.manager.leftovers();
    let known = leftovers.borrow_and_update().clone();
    let session = match open(needs, server, told).await {
        Ok(session) => session,
        Err(over) => return over,
    };
    route.succeeded(server, session.pace.patience);
    tracing::info!(server, "registered");
    link.send_modify(|link| link.server = Some(server.to_owned()));
    tokio::select! {
        served = session.serve(needs, server) => served.err().unwrap_or(Over::Closed),
        // Without its owner nothing changes any more.
        Ok(()) = identity.changed() => Over::Changed,
        Ok(_) = leftovers.wait_for(|now| !now.is_subset(&known)) => Over::Changed,
    }
}

/// A session that a server has accepted.
struct Session {
    uplink: Uplink,
    down: Streaming<ServerMessage>,
    pace: Pace,
}

/// How fast servers and agents miss each other; a setting of the cluster, which may change while a session lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pace {
    /// How often the servers want to hear that this node lives.
    heartbeat: Duration,
    /// When a server that says nothing counts as gone.
    patience: Duration,
}

impl Pace {
    fn of(heartbeat_ms: u64, node_timeout_ms: u64) -> Self {
        let heartbeat = Duration::from_millis(heartbeat_ms).max(HEARTBEAT_LEAST);
        // Who leads next waits one timeout for this node: it must have given up the last one, paused and asked around by then.
        let patience = Duration::from_millis(node_timeout_ms) * 3 / 4;
        Self { heartbeat, patience: patience.max(heartbeat * 3) }
    }

    /// Takes over what an answer to a heartbeat says; an older server says nothing.
    fn heed(&mut self, ack: &v1::HeartbeatAck) {
        if ack.heartbeat_ms > 0 {
            *self = Self::of(ack.heartbeat_ms, ack.node_timeout_ms);
        }
    }
}

/// What a server said, or why it could say nothing: to a port with TLS an agent without a key is noise, and hears nothing that helps.
fn refusal(status: &tonic::Status, way: &Way) -> Over {
    let error = proto::error::Error::from(status);
    let is_broken = std::error::Error::source(status).is_some();
    if is_broken && !way.is_member() {
        return Over::Refused(
            error.hint(
                "if the servers have a key file they speak TLS: give this agent the key with --key-file",
            ),
        );
    }
    Over::Refused(error)
}

async fn open(needs: &Needs, server: &str, identity: NodeIdentity) -> Result<Session, Over> {
    let mut client = needs.way.dial(server).await?;
    let (uplink, stream) = uplink();
    let refused = |status: tonic::Status| refusal(&status, &needs.way);
    let greeting = async {
        let mut down = client.session(needs.way.request(stream)).await?.into_inner();
        let hello = down.message().await?;
        Ok::<_, tonic::Status>((down, hello))
    };
    let greeting = tokio::time::timeout(REGISTER_PATIENCE, greeting).await;
    let (mut down, hello) = greeting.map_err(|_| Over::Silent(REGISTER_PATIENCE))?.map_err(refused)?;
    let seen = match hello.ok_or(Over::Closed)?.kind {
        Some(Down::Hello(hello)) => hello.revision,
        Some(Down::Redirect(redirect)) => return Err(Over::Redirect(redirect.leader)),
        _ => return Err(Over::Protocol("the first message is neither a greeting nor a redirect")),
    };
    // Looked up only now: what has begun before the greeting is named, see `Hello`.
    let registration = needs.manager.registration().await.map_err(|_| Over::Stopped)?;
    let register = v1::Register {
        wire: WIRE_VERSION,
        identity: Some(agent::identity_to_wire(&identity)),
        held: registration.held,
        position: registration.position.map(position_to_wire),
        seen,
    };
    uplink.send(Up::Register(register)).await.map_err(|_| Over::Closed)?;
    let answer = tokio::time::timeout(REGISTER_PATIENCE, down.message()).await;
    let answer = answer.map_err(|_| Over::Silent(REGISTER_PATIENCE))?.map_err(refused)?;
    match answer.ok_or(Over::Closed)?.kind {
        Some(Down::Registered(registered)) => {
            let theirs = position_from_wire(registered.position)
                .map_err(|_| Over::Protocol("a registration without a position"))?;
            let previous =
                Some(registered.previous_incarnation).filter(|number| *number != 0).map(Incarnation);
            needs.manager.greet(theirs, previous).await.map_err(|_| Over::Stopped)??;
            let pace = Pace::of(registered.heartbeat_ms, registered.node_timeout_ms);
            Ok(Session { uplink, down, pace })
        }
        Some(Down::Redirect(redirect)) => Err(Over::Redirect(redirect.leader)),
        _ => Err(Over::Protocol("the answer to a registration is neither a registration nor a redirect")),
    }
}

impl Session {
    /// Reads what the server says until it says no more. Everything that takes time runs beside, and ends with this.
    async fn serve(mut self, needs: &Needs, server: &str) -> Result<(), Over> {
        let (wanted, messages) = mpsc::channel(FOLLOW_QUEUE);
        let log_slots = Arc::new(Semaphore::new(LOG_STREAMS_MAX));
        let mut beside = JoinSet::new();
        let mut fence = needs.manager.fence();
        let shortest = *fence.borrow_and_update();
        let (pulse, beats) = watch::channel(Pulse::of(self.pace.heartbeat, shortest));
        beside.spawn(self.uplink.clone().beat(needs.clock, beats));
        beside.spawn(follow::run(needs.manager.clone(), self.uplink.clone(), messages));
        beside.spawn(report::run(needs.outbox.clone(), self.uplink.clone(), needs.clock));
        loop {
            while beside.try_join_next().is_some() {}
            let message = tokio::select! {
                message = tokio::time::timeout(self.pace.patience, self.down.message()) => message,
                // Without its owner nothing changes any more.
                Ok(()) = fence.changed() => {
                    let shortest = *fence.borrow_and_update();
                    pulse.send_replace(Pulse::of(self.pace.heartbeat, shortest));
                    continue;
                }
            };
            let message = message
                .map_err(|_| Over::Silent(self.pace.patience))?
                .map_err(|status| Over::Refused(proto::error::Error::from(&status)))?;
            let Some(message) = message else { return Ok(()) };
            let unreadable = |_| Over::Protocol("a set without a position");
            match message.kind {
                Some(Down::Complete(set)) => {
                    let set = assignments::complete_from_wire(set).map_err(unreadable)?;
                    wanted.send(News::Set(set)).await.map_err(|_| Over::Stopped)?;
                }
                Some(Down::Increment(increment)) => {
                    let increment = assignments::increment_from_wire(increment).map_err(unreadable)?;
                    wanted.send(News::Set(increment)).await.map_err(|_| Over::Stopped)?;
                }
                Some(Down::FenceAck(ack)) => {
                    let sent = BootTime(ack.boottime_ms);
                    wanted.send(News::Confirmed(sent)).await.map_err(|_| Over::Stopped)?;
                }
                Some(Down::StatusAck(ack)) => needs.outbox.acknowledge(ack.batch),
                Some(Down::OpenLogs(ask)) => match log_slots.clone().try_acquire_owned() {
                    Ok(slot) => {
                        let manager = needs.manager.clone();
                        let (allocs, way) = (needs.allocs.clone(), needs.way.clone());
                        let serve = logs::serve(manager, allocs, server.to_owned(), way, ask);
                        beside.spawn(async move {
                            serve.await;
                            drop(slot);
                        });
                    }
                    Err(_) => tracing::warn!("servers read too many logs at once; this one is not served"),
                },
                Some(Down::OpenExec(ask)) => {
                    // Not beside this session: the command has a connection of its own, and goes on when another server leads.
                    let (reach, cancel) = (needs.reach.clone(), needs.cancel.clone());
                    let tracker = reach.tasks.tracker.clone();
                    tracker.spawn(exec::serve(reach, server.to_owned(), needs.way.clone(), cancel, ask));
                }
                Some(Down::Ask(ask)) => ask::serve(&needs.reach, &self.uplink, ask),
                Some(Down::Redirect(redirect)) => return Err(Over::Redirect(redirect.leader)),
                // A newer server may say what this agent does not know.
                Some(Down::HeartbeatAck(ack)) => {
                    self.pace.heed(&ack);
                    let now = Pulse::of(self.pace.heartbeat, *fence.borrow());
                    pulse.send_if_modified(|known| std::mem::replace(known, now) != now);
                }
                Some(Down::Registered(_) | Down::Hello(_)) | None => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
