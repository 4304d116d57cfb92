//! What goes up. Heartbeats have a place of their own, taken first: whatever else waits, they do not wait behind it.

use std::time::Duration;

use futures::Stream;
use futures::stream::{self, PollNext};
use proto::wire::v1::{AgentMessage, Heartbeat, NeedComplete, agent_message::Kind};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;

use crate::clock::Clock;
use crate::core::fence;
use crate::limits::UPLINK_QUEUE;

/// Sends to the servers of one session.
#[derive(Clone, Debug)]
pub(super) struct Uplink {
    queue: mpsc::Sender<AgentMessage>,
    beats: mpsc::Sender<AgentMessage>,
}

/// How heartbeats are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pulse {
    every: Duration,
    /// Whether they ask for what fences need.
    fenced: bool,
}

impl Pulse {
    /// Every `pace`, or more often if the shortest fence here wants it.
    pub(super) fn of(pace: Duration, shortest: Option<Duration>) -> Self {
        Self { every: fence::pace(pace, shortest), fenced: shortest.is_some() }
    }
}

/// The session's connection is gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Closed;

/// Returns the two ends: what sends, and what the connection takes from.
pub(super) fn uplink() -> (Uplink, impl Stream<Item = AgentMessage> + Send + 'static) {
    let (queue, queued) = mpsc::channel(UPLINK_QUEUE);
    // One place: a heartbeat that was not taken yet makes the next one needless.
    let (beats, beating) = mpsc::channel(1);
    let first: fn(&mut ()) -> PollNext = |()| PollNext::Left;
    let both = stream::select_with_strategy(ReceiverStream::new(beating), ReceiverStream::new(queued), first);
    (Uplink { queue, beats }, both)
}

impl Uplink {
    /// Sends a message; waits while the connection takes nothing.
    pub(super) async fn send(&self, kind: Kind) -> Result<(), Closed> {
        self.queue.send(AgentMessage { kind: Some(kind) }).await.map_err(|_| Closed)
    }

    /// Asks for a complete set.
    pub(super) async fn need_complete(&self) -> Result<(), Closed> {
        self.send(Kind::NeedComplete(NeedComplete {})).await
    }

    /// Sends heartbeats until the session ends: one at once, one at once when `pulse` changes, and then as often as it says.
    pub(super) async fn beat(self, clock: Clock, mut pulse: watch::Receiver<Pulse>) {
        loop {
            let Pulse { every: pause, fenced } = *pulse.borrow_and_update();
            let kind = Kind::Heartbeat(Heartbeat { boottime_ms: clock.boot().0, fenced });
            let sent = self.beats.try_send(AgentMessage { kind: Some(kind) });
            if matches!(sent, Err(mpsc::error::TrySendError::Closed(_))) {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // Without its sender nothing changes any more.
                Ok(()) = pulse.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_heartbeat_overtakes_whatever_waits() {
        let (up, stream) = uplink();
        for _ in 0..UPLINK_QUEUE {
            up.need_complete().await.expect("there is room");
        }
        let clock = Clock::Runtime { start: tokio::time::Instant::now() };
        let (_pace, every) = watch::channel(Pulse::of(Duration::from_secs(1), None));
        let beating = tokio::spawn(up.clone().beat(clock, every));
        tokio::time::sleep(Duration::from_millis(10)).await;
        let mut stream = std::pin::pin!(stream);
        let first = stream.next().await.and_then(|message| message.kind);
        assert!(matches!(first, Some(Kind::Heartbeat(_))), "{first:?}");
        beating.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_changed_interval_holds_from_a_heartbeat_at_once() {
        let (up, stream) = uplink();
        let clock = Clock::Runtime { start: tokio::time::Instant::now() };
        let (pace, every) = watch::channel(Pulse::of(Duration::from_secs(60), None));
        let beating = tokio::spawn(up.beat(clock, every));
        let mut stream = std::pin::pin!(stream);
        stream.next().await.expect("the first");
        let changed = tokio::time::Instant::now();
        pace.send_replace(Pulse::of(Duration::from_millis(300), None));
        for elapsed in [0, 300, 600] {
            stream.next().await.expect("the next");
            assert_eq!(changed.elapsed().as_millis(), elapsed);
        }
        beating.abort();
    }
}
