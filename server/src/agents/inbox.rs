//! What an agent reports, on its way into the log: one command in flight, acknowledged when it is applied.
//!
//! While a command is in flight, reports gather; only the latest of an allocation is kept. Nodes do not wait for each other: the
//! commands of many share an entry of the log.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use prost::Message as _;
use proto::ids::{AllocId, Generation, NodeId};
use proto::model::AllocStatus;
use proto::wire::{BadMessage, status, v1};

use crate::cluster::Cluster;
use crate::core::state::{Kind, Outcome, Refusal};
use crate::limits::{BATCHES_PENDING, STATUS_BYTES_MAX, STATUSES_PENDING};
use crate::raft::ProposeError;

/// After a proposal that found no room in the queue, or whose outcome is not known. Applying a report twice changes nothing.
const RETRY: Duration = Duration::from_millis(100);

/// Reports of one session.
pub(super) struct Inbox {
    cluster: Cluster,
    node: NodeId,
    generation: Generation,
    gathered: Gathered,
    in_flight: Option<InFlight>,
}

struct InFlight {
    acks: Vec<u64>,
    statuses: Vec<AllocStatus>,
    outcome: Pin<Box<dyn Future<Output = Result<Outcome, ProposeError>> + Send>>,
}

/// What became of reports.
#[derive(Debug)]
pub(super) enum Settled {
    /// Applied: these batches are acknowledged.
    Acks(Vec<u64>),
    /// The session is over.
    Refused(Refusal),
    /// This server does not lead.
    NotLeading,
}

/// An agent sends more than it lets be acknowledged.
#[derive(Debug, thiserror::Error)]
#[error("too many reports wait for the log")]
pub(super) struct Overflow;

impl Inbox {
    pub(super) fn new(cluster: Cluster, node: NodeId, generation: Generation) -> Self {
        Self { cluster, node, generation, gathered: Gathered::default(), in_flight: None }
    }

    /// Takes in a batch.
    pub(super) fn accept(&mut self, batch: u64, statuses: Vec<(AllocStatus, usize)>) -> Result<(), Overflow> {
        self.gathered.accept(batch, statuses)
    }

    /// Waits until something is settled; for ever while nothing was reported. May be dropped and called again.
    pub(super) async fn settled(&mut self) -> Settled {
        loop {
            let flight = match &mut self.in_flight {
                Some(flight) => flight,
                None => {
                    let Some((acks, statuses)) = self.gathered.next() else {
                        return std::future::pending().await;
                    };
                    if statuses.is_empty() {
                        return Settled::Acks(acks);
                    }
                    let outcome = self.propose(statuses.clone(), Duration::ZERO);
                    self.in_flight.insert(InFlight { acks, statuses, outcome })
                }
            };
            let outcome = flight.outcome.as_mut().await;
            let Some(InFlight { acks, statuses, .. }) = self.in_flight.take() else { continue };
            match outcome {
                Ok(Outcome::Refused(refusal)) => return Settled::Refused(refusal),
                Ok(_) => return Settled::Acks(acks),
                Err(ProposeError::NotLeader { .. } | ProposeError::Stopped) => return Settled::NotLeading,
                Err(
                    error @ (ProposeError::Unavailable
                    | ProposeError::Unknown
                    | ProposeError::TooLarge { .. }),
                ) => {
                    tracing::debug!(node = %self.node, %error, "reports are proposed again");
                    let outcome = self.propose(statuses.clone(), RETRY);
                    self.in_flight = Some(InFlight { acks, statuses, outcome });
                }
            }
        }
    }

    fn propose(
        &self,
        statuses: Vec<AllocStatus>,
        after: Duration,
    ) -> Pin<Box<dyn Future<Output = Result<Outcome, ProposeError>> + Send>> {
        let (cluster, node, generation) = (self.cluster.clone(), self.node, self.generation);
        Box::pin(async move {
            if !after.is_zero() {
                tokio::time::sleep(after).await;
            }
            cluster.try_propose(Kind::AllocStatus { node, generation, statuses }).await
        })
    }
}

/// Reports that wait, in the order of their arrival.
#[derive(Default)]
struct Gathered {
    latest: BTreeMap<AllocId, (AllocStatus, usize)>,
    order: VecDeque<Entry>,
    batches: usize,
}

enum Entry {
    Status(AllocId),
    /// Everything of that batch is before this.
    Batch(u64),
}

impl Gathered {
    fn accept(&mut self, batch: u64, statuses: Vec<(AllocStatus, usize)>) -> Result<(), Overflow> {
        for (status, bytes) in statuses {
            let id = status.id;
            if self.latest.insert(id, (status, bytes)).is_none() {
                self.order.push_back(Entry::Status(id));
            }
        }
        self.order.push_back(Entry::Batch(batch));
        self.batches += 1;
        if self.latest.len() > STATUSES_PENDING || self.batches > BATCHES_PENDING {
            return Err(Overflow);
        }
        Ok(())
    }

    /// Takes what fits into one command, and the batches that are settled with it; none when nothing waits.
    fn next(&mut self) -> Option<(Vec<u64>, Vec<AllocStatus>)> {
        let (mut acks, mut statuses, mut bytes) = (Vec::new(), Vec::new(), 0);
        while let Some(entry) = self.order.pop_front() {
            match entry {
                Entry::Batch(batch) => {
                    acks.push(batch);
                    self.batches -= 1;
                }
                Entry::Status(id) => {
                    let size = self.latest.get(&id).map_or(0, |(_, bytes)| *bytes);
                    if bytes + size > STATUS_BYTES_MAX && !statuses.is_empty() {
                        self.order.push_front(Entry::Status(id));
                        break;
                    }
                    bytes += size;
                    statuses.extend(self.latest.remove(&id).map(|(status, _)| status));
                }
            }
        }
        (!acks.is_empty() || !statuses.is_empty()).then_some((acks, statuses))
    }
}

/// Bytes around a report in a command: its tag and its length.
const FRAME_BYTES: usize = 8;

/// Reads a report, and the bytes that it takes in a command. One that is larger than a command loses its output first.
///
/// # Errors
/// [`BadMessage`] when it makes no sense.
pub(super) fn read(mut report: v1::AllocStatus) -> Result<(AllocStatus, usize), BadMessage> {
    if report.encoded_len() + FRAME_BYTES > STATUS_BYTES_MAX {
        shorten(&mut report);
    }
    let bytes = report.encoded_len() + FRAME_BYTES;
    Ok((status::from_wire(report)?, bytes))
}

/// Characters of a start's error that are kept when a report is too large.
const MESSAGE_CHARS: usize = 200;

/// Drops what explains ends and keeps what decides.
pub(super) fn shorten(report: &mut v1::AllocStatus) {
    for end in report.tasks.iter_mut().filter_map(|task| task.last_end.as_mut()) {
        end.tail = String::new();
        if let Some(v1::end_reason::Kind::StartFailed(failed)) =
            end.reason.as_mut().and_then(|reason| reason.kind.as_mut())
        {
            failed.message = failed.message.chars().take(MESSAGE_CHARS).collect();
        }
    }
}

#[cfg(test)]
mod tests;
