//! Small questions and orders on the control stream, each answered once: what needs no log and no connection of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proto::error::{Error, Kind as ErrorKind};
use proto::ids::{AllocId, Generation, NodeId, RequestId, random_u64};
use proto::wire::v1::{self, answer, ask};
use tokio::sync::oneshot;

use crate::limits::ASKS_PENDING;

/// What is asked about one allocation.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// About which.
    pub alloc: AllocId,
    /// The same id twice is done once by the agent; the default one names nothing.
    pub request: RequestId,
    /// What.
    pub kind: ask::Kind,
}

impl Question {
    pub(super) fn to_wire(&self, number: u64) -> v1::Ask {
        let request_id = match self.request {
            id if id == RequestId::default() => bytes::Bytes::new(),
            RequestId(id) => bytes::Bytes::copy_from_slice(&id.to_be_bytes()),
        };
        v1::Ask { number, request_id, alloc_id: self.alloc.0, kind: Some(self.kind.clone()) }
    }
}

/// Questions that wait for their answers. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Asks {
    waiting: Arc<Mutex<HashMap<u64, Waiting>>>,
}

struct Waiting {
    node: NodeId,
    /// The session that it went out on, the only one that may answer it.
    generation: Generation,
    answer: oneshot::Sender<answer::Kind>,
}

/// A question that is out. Dropping it forgets it.
pub(super) struct Asked {
    pub(super) number: u64,
    pub(super) answer: oneshot::Receiver<answer::Kind>,
    asks: Asks,
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.asks.lock().remove(&self.number);
    }
}

impl Asks {
    /// Numbers a question to a session of a node.
    ///
    /// # Errors
    /// `unavailable` when too many wait.
    pub(super) fn expect(&self, node: NodeId, generation: Generation) -> Result<Asked, Error> {
        let (answer_in, answer) = oneshot::channel();
        let number = random_u64();
        let mut waiting = self.lock();
        if waiting.len() >= ASKS_PENDING {
            return Err(Error::new(ErrorKind::Unavailable, "too many questions wait for agents to answer"));
        }
        waiting.insert(number, Waiting { node, generation, answer: answer_in });
        drop(waiting);
        Ok(Asked { number, answer, asks: self.clone() })
    }

    /// Hands an answer to who waits for it. One that nobody waits for, or of another session, means nothing.
    pub(super) fn settle(&self, node: NodeId, generation: Generation, answer: v1::Answer) {
        let mut waiting = self.lock();
        let expected =
            waiting.get(&answer.number).is_some_and(|one| one.node == node && one.generation == generation);
        if let (true, Some(kind)) = (expected, answer.kind)
            && let Some(one) = waiting.remove(&answer.number)
        {
            // Who asked may have gone.
            one.answer.send(kind).ok();
        }
    }

    /// Lets those who wait for a session know that it has ended.
    pub(super) fn abandon(&self, node: NodeId, generation: Generation) {
        self.lock().retain(|_, one| (one.node, one.generation) != (node, generation));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads what an agent would not do.
pub(super) fn refusal(refused: v1::Refused) -> Error {
    // A newer agent may have a kind that this version does not know.
    let kind = ErrorKind::from_word(&refused.kind).unwrap_or(ErrorKind::Refused);
    Error::new(kind, refused.message).hint(refused.hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: (NodeId, Generation) = (NodeId(1), Generation(5));

    fn answer(number: u64) -> v1::Answer {
        v1::Answer { number, kind: Some(answer::Kind::Signalled(v1::Signalled {})) }
    }

    #[test]
    fn only_the_session_that_was_asked_answers_and_once() {
        let asks = Asks::default();
        let mut asked = asks.expect(ASKED.0, ASKED.1).expect("there is room");
        asks.settle(NodeId(2), ASKED.1, answer(asked.number));
        asks.settle(ASKED.0, Generation(4), answer(asked.number));
        assert!(asked.answer.try_recv().is_err(), "others do not answer for it");
        asks.settle(ASKED.0, ASKED.1, answer(asked.number));
        assert!(asked.answer.try_recv().is_ok());
        asks.settle(ASKED.0, ASKED.1, answer(asked.number));
    }

    #[test]
    fn a_session_that_ends_lets_go_of_who_waits_for_it_and_of_nobody_else() {
        let asks = Asks::default();
        let mut asked = asks.expect(ASKED.0, ASKED.1).expect("there is room");
        let mut other = asks.expect(NodeId(2), Generation(1)).expect("there is room");
        asks.abandon(ASKED.0, ASKED.1);
        assert_eq!(asked.answer.try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(other.answer.try_recv(), Err(oneshot::error::TryRecvError::Empty));
    }

    #[test]
    fn those_who_wait_are_bounded() {
        let asks = Asks::default();
        let all: Vec<_> = (0..ASKS_PENDING).map(|_| asks.expect(ASKED.0, ASKED.1)).collect();
        assert!(all.iter().all(Result::is_ok));
        assert!(asks.expect(ASKED.0, ASKED.1).is_err());
        drop(all);
        assert!(asks.expect(ASKED.0, ASKED.1).is_ok());
    }
}
