//! One agent's control stream: it registers, is told what is wanted of its node, and reports.
//!
//! The session ends when the agent must register anew: the node was marked down, another session of it has begun, or this server
//! does not lead any more. An agent that reads too slowly is disconnected, never waited for.

/// Heartbeats that a majority confirms.
mod confirming;
/// Messages to the agent.
pub mod message;
/// How a session begins.
mod opening;

use pki::Member;
use proto::error::{Error, Kind as ErrorKind};
use proto::ids::{Generation, NodeId, Reign, Revision};
use proto::model::Liveness;
use proto::wire::v1::{self, agent_message, server_message};
use tonic::{Status, Streaming};

use super::Hub;
use super::hub::{Outgoing, Seat};
use super::inbox::{self, Inbox, Settled};
use super::wanted::Wanted;
use crate::core::state::{State, Touched};
use confirming::{Beat, Confirming};

/// Why a session ended.
enum End {
    /// The agent went away, or reads too slowly to be told.
    Gone,
    /// Another server leads, or none.
    NotLeading,
    /// The agent is told why and comes back.
    Status(Status),
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        Self::Status(error.into())
    }
}

/// Serves a session until it ends. `shown` is the member that the agent has proven to be; none: there is no TLS.
pub(super) async fn run(
    hub: Hub,
    shown: Option<Member>,
    inbound: Streaming<v1::AgentMessage>,
    out: Outgoing,
) {
    let closing = hub.closing().clone();
    let served = async {
        match opening::open(&hub, shown, inbound, &out).await {
            Ok(session) => session.serve().await,
            Err(end) => end,
        }
    };
    let end = closing.run_until_cancelled(served).await;
    // A stopping server gives up its reign too, and the agent is to hear the reason rather than its consequence.
    let end = end.filter(|_| !closing.is_cancelled());
    let end = end.unwrap_or_else(|| End::Status(Status::unavailable("the server is stopping")));
    // With a full queue nobody reads, and the closed stream says the same.
    match end {
        End::Gone => {}
        End::NotLeading => drop(out.try_send(Ok(message::redirect(&hub)))),
        End::Status(status) => drop(out.try_send(Err(status))),
    }
}

/// A registered agent.
struct Session {
    hub: Hub,
    inbound: Streaming<v1::AgentMessage>,
    out: Outgoing,
    node: NodeId,
    generation: Generation,
    reign: Reign,
    seat: Seat,
    wanted: Wanted,
    inbox: Inbox,
    /// The revision of the last set or increment sent.
    base: Revision,
    /// Heartbeats that ask for an acknowledgement to fences.
    fences: Confirming,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.hub.leave(self.node, self.generation);
    }
}

impl Session {
    async fn serve(mut self) -> End {
        let mut reigns = self.hub.cluster().reigns();
        loop {
            let reign = self.reign;
            let step = tokio::select! {
                message = self.inbound.message() => match message {
                    Ok(Some(message)) => self.handle(message),
                    Ok(None) | Err(_) => Err(End::Gone),
                },
                (touched, state) = self.seat.news.taken() => self.tell(&touched, &state),
                settled = self.inbox.settled() => self.acknowledge(settled),
                beat = self.fences.confirmed() => self.renew_fences(&beat),
                () = self.seat.close.cancelled() => Err(superseded().into()),
                _ = reigns.wait_for(|now| *now != Some(reign)) => Err(End::NotLeading),
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    fn handle(&mut self, message: v1::AgentMessage) -> Result<(), End> {
        match message.kind {
            Some(agent_message::Kind::Heartbeat(heartbeat)) => self.heartbeat(&heartbeat),
            Some(agent_message::Kind::Status(batch)) => self.take_in(batch),
            Some(agent_message::Kind::NeedComplete(_)) => {
                self.wanted.start_over();
                self.tell_everything()
            }
            Some(agent_message::Kind::Answer(answer)) => {
                self.hub.asks().settle(self.node, self.generation, answer);
                Ok(())
            }
            Some(agent_message::Kind::Register(_)) => {
                Err(Error::new(ErrorKind::Invalid, "an agent registers once per session").into())
            }
            // A newer agent may say what this version does not know.
            None => Ok(()),
        }
    }

    fn heartbeat(&mut self, heartbeat: &v1::Heartbeat) -> Result<(), End> {
        let state = self.hub.cluster().snapshot();
        self.check(&state)?;
        self.hub.leases().renew(&state, self.node, self.generation);
        if heartbeat.fenced {
            self.fences.begin(self.hub.cluster(), heartbeat.boottime_ms);
        }
        self.send(message::heartbeat_ack(&state, heartbeat))
    }

    /// Tells the agent that the fences of its allocations hold on from a heartbeat. Noted before it is sent.
    fn renew_fences(&mut self, beat: &Beat) -> Result<(), End> {
        let is_current = || self.check(&self.hub.cluster().snapshot()).is_ok();
        match self.hub.leases().acknowledge(self.node, beat.arrived, is_current) {
            true => self.send(server_message::Kind::FenceAck(v1::FenceAck { boottime_ms: beat.boottime_ms })),
            // The next heartbeat is told why.
            false => Ok(()),
        }
    }

    fn take_in(&mut self, batch: v1::StatusBatch) -> Result<(), End> {
        let reports: Result<Vec<_>, _> = batch.statuses.into_iter().map(inbox::read).collect();
        let reports = reports.map_err(|bad| Error::new(ErrorKind::Invalid, bad.to_string()))?;
        for (status, _) in &reports {
            self.wanted.reported(status.id, status.state.has_ended());
        }
        let taken = self.inbox.accept(batch.batch, reports);
        taken.map_err(|overflow| Error::new(ErrorKind::Unavailable, overflow.to_string()).into())
    }

    fn acknowledge(&mut self, settled: Settled) -> Result<(), End> {
        match settled {
            // The newest number answers for all before it: after a stall of the log a thousand may have settled at once.
            Settled::Acks(batches) => batches
                .into_iter()
                .max()
                .map_or(Ok(()), |batch| self.send(server_message::Kind::StatusAck(v1::StatusAck { batch }))),
            Settled::Refused(refusal) => Err(Error::from(refusal).into()),
            Settled::NotLeading => Err(End::NotLeading),
        }
    }

    /// Sends what was touched since the last set or increment.
    fn tell(&mut self, touched: &Touched, state: &State) -> Result<(), End> {
        self.check(state)?;
        if state.revision <= self.base {
            return Ok(());
        }
        let delta = self.wanted.diff_touched(state, touched);
        if delta.is_empty() {
            return Ok(());
        }
        let base = std::mem::replace(&mut self.base, state.revision);
        message::increment(state, base, delta).into_iter().try_for_each(|kind| self.send(kind))
    }

    /// Sends the complete set.
    fn tell_everything(&mut self) -> Result<(), End> {
        let state = self.hub.cluster().snapshot();
        self.check(&state)?;
        let delta = self.wanted.diff(&state);
        self.base = state.revision;
        message::complete(&state, delta).into_iter().try_for_each(|kind| self.send(kind))
    }

    /// Makes sure that the state still knows this session.
    fn check(&self, state: &State) -> Result<(), End> {
        if state.reign.map(|record| record.reign) != Some(self.reign) {
            return Err(End::NotLeading);
        }
        match state.nodes.get(&self.node) {
            Some(node) if node.generation == self.generation && node.liveness == Liveness::Up => Ok(()),
            Some(node) if node.generation == self.generation => Err(conflict(
                "this node did not answer in time and is taken for lost: it must register again",
            )
            .into()),
            _ => Err(superseded().into()),
        }
    }

    fn send(&self, kind: server_message::Kind) -> Result<(), End> {
        let sent = self.out.try_send(Ok(v1::ServerMessage { kind: Some(kind) }));
        sent.map_err(|_| {
            tracing::warn!(node = %self.node, "the agent does not read what it is sent and is disconnected");
            End::Gone
        })
    }
}

fn superseded() -> Error {
    conflict("a newer session of this node has begun")
}

fn conflict(message: &str) -> Error {
    Error::new(ErrorKind::Conflict, message)
}
