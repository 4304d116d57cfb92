//! Many commands, one entry.
//!
//! openraft 0.9 syncs the log once per entry and one at a time. So one task gathers whatever is proposed while the disk
//! is busy and proposes it as one entry; each command still gets an outcome of its own.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::error::ProposeError;
use super::types::Batch;
use crate::limits::{ENTRIES_IN_FLIGHT, ENTRY_BYTES_MAX, ENTRY_COMMANDS_MAX};

/// A command and who waits for its outcome.
pub(super) struct Proposal<O> {
    command: Bytes,
    fate: Fate,
    reply: oneshot::Sender<Result<O, ProposeError>>,
}

impl<O> Proposal<O> {
    /// A proposal, its fate, and where the outcome arrives.
    pub(super) fn new(command: Bytes) -> (Self, Fate, oneshot::Receiver<Result<O, ProposeError>>) {
        let (reply, outcome) = oneshot::channel();
        let fate = Fate::default();
        (Proposal { command, fate: fate.clone(), reply }, fate, outcome)
    }
}

/// Whether a proposal has gone into an entry or its proposer has given up, whichever came first.
#[derive(Clone, Debug, Default)]
pub(super) struct Fate(Arc<AtomicU8>);

const WAITING: u8 = 0;
const PROPOSED: u8 = 1;
const ABANDONED: u8 = 2;

impl Fate {
    /// Gives up; false when the command has already gone into an entry and may be committed.
    pub(super) fn abandon(&self) -> bool {
        self.settle(ABANDONED)
    }

    fn settle(&self, fate: u8) -> bool {
        self.0.compare_exchange(WAITING, fate, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

/// Proposes what comes through the queue until it is closed and empty. `submit` makes one entry and waits until it is
/// applied.
pub(super) async fn run<O, F>(
    mut queue: mpsc::Receiver<Proposal<O>>,
    submit: impl Fn(Batch) -> F + Clone + Send + 'static,
) where
    O: Send + 'static,
    F: Future<Output = Result<Vec<O>, ProposeError>> + Send,
{
    let in_flight = Arc::new(Semaphore::new(ENTRIES_IN_FLIGHT));
    let mut gathered = VecDeque::new();
    let mut received = Vec::new();
    loop {
        // First the permit, then the commands: what arrives while all entries are in flight shares the next one.
        let Ok(permit) = in_flight.clone().acquire_owned().await else { return };
        let room = ENTRY_COMMANDS_MAX - gathered.len();
        if gathered.is_empty() && queue.recv_many(&mut received, room).await == 0 {
            return;
        }
        while received.len() < room
            && let Ok(proposal) = queue.try_recv()
        {
            received.push(proposal);
        }
        gathered.extend(received.drain(..).filter(|proposal: &Proposal<O>| proposal.fate.settle(PROPOSED)));
        let (commands, replies) = next_entry(&mut gathered);
        if commands.is_empty() {
            continue;
        }
        let submit = submit.clone();
        tokio::spawn(async move {
            let result = submit(Batch::new(commands)).await;
            answer(result, replies);
            drop(permit);
        });
    }
}

type Replies<O> = Vec<oneshot::Sender<Result<O, ProposeError>>>;

/// Takes as many commands as fit into one entry; one at least.
fn next_entry<O>(gathered: &mut VecDeque<Proposal<O>>) -> (Vec<Bytes>, Replies<O>) {
    let mut bytes = 0;
    let mut fits = |proposal: &Proposal<O>| {
        let first = bytes == 0;
        bytes += proposal.command.len().max(1);
        first || bytes <= ENTRY_BYTES_MAX
    };
    let count = gathered.iter().take_while(|proposal| fits(proposal)).count();
    gathered.drain(..count).map(|proposal| (proposal.command, proposal.reply)).unzip()
}

fn answer<O>(result: Result<Vec<O>, ProposeError>, replies: Replies<O>) {
    // A proposer that has stopped waiting does not need its answer.
    match result {
        Ok(outcomes) => {
            debug_assert_eq!(outcomes.len(), replies.len(), "one outcome per command");
            for (reply, outcome) in replies.into_iter().zip(outcomes) {
                reply.send(Ok(outcome)).ok();
            }
        }
        Err(error) => replies.into_iter().for_each(|reply| drop(reply.send(Err(error.clone())))),
    }
}

#[cfg(test)]
mod tests;
