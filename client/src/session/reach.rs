//! What servers reach running tasks by: signals, usage and commands. It outlives sessions, so that a request which is repeated over
//! another server is known, and a command goes on when another server leads.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use proto::error::{Error, Kind};
use proto::ids::AllocId;
use proto::wire::v1::{Refused, answer};
use tokio::sync::{OnceCell, Semaphore};

use crate::allocs::manager::Handle;
use crate::allocs::view::View;
use crate::driver::{AttemptId, Driver};
use crate::limits::{ANSWERS_KEPT, ASKS_AT_ONCE, EXEC_AT_ONCE};
use crate::tasks::perform::{Context, attempt_id};

/// See the module.
pub struct Reach {
    pub(super) tasks: Arc<Context>,
    pub(super) manager: Handle,
    /// Bounds commands.
    pub(super) execs: Arc<Semaphore>,
    /// Bounds questions.
    pub(super) asks: Arc<Semaphore>,
    answers: Mutex<Answers>,
}

/// An answer that there is, or will be.
pub(super) type Answered = Arc<OnceCell<answer::Kind>>;

/// The last answers by the ids of their requests, the oldest first.
#[derive(Default)]
struct Answers(VecDeque<(Bytes, Answered)>);

impl Answers {
    /// Returns the place of the answer to a request; one without an id has a place of its own.
    fn place(&mut self, request: &Bytes) -> Answered {
        if request.is_empty() {
            return Answered::default();
        }
        if let Some((_, known)) = self.0.iter().find(|(id, _)| id == request) {
            return known.clone();
        }
        if self.0.len() >= ANSWERS_KEPT {
            self.0.pop_front();
        }
        let place = Answered::default();
        self.0.push_back((request.clone(), place.clone()));
        place
    }
}

impl Reach {
    /// Reaches the tasks of a manager.
    #[must_use]
    pub fn new(tasks: Arc<Context>, manager: Handle) -> Self {
        let (execs, asks) = (Arc::new(Semaphore::new(EXEC_AT_ONCE)), Arc::new(Semaphore::new(ASKS_AT_ONCE)));
        Self { tasks, manager, execs, asks, answers: Mutex::default() }
    }

    pub(super) fn driver(&self) -> &dyn Driver {
        self.tasks.driver.as_ref()
    }

    pub(super) fn place(&self, request: &Bytes) -> Answered {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).place(request)
    }

    /// Returns the latest of an allocation.
    pub(super) async fn view(&self, id: AllocId) -> Result<View, Error> {
        let gone = |_| Error::new(Kind::Unavailable, "the agent is being stopped").hint("try again");
        let view = self.manager.watch(id).await.map_err(gone)?;
        let missing = || Error::new(Kind::NotFound, format!("this node has no allocation {id} (any more)"));
        view.map(|view| view.borrow().clone()).ok_or_else(missing)
    }

    /// Returns the attempt of a task that runs.
    pub(super) async fn attempt(&self, id: AllocId, task: &str) -> Result<AttemptId, Error> {
        let view = self.view(id).await?;
        if !view.spec.group.tasks.contains_key(task) {
            return Err(Error::new(Kind::NotFound, format!("allocation {id} has no task `{task}`")));
        }
        let attempt = view.running.get(task).ok_or_else(|| does_not_run(task, id))?;
        Ok(attempt_id(id, task, *attempt))
    }
}

/// Says that a task does not run on this node at this moment.
pub(super) fn does_not_run(task: &str, id: AllocId) -> Error {
    let error = Error::new(Kind::Refused, format!("task `{task}` of allocation {id} does not run"));
    error.hint(format!("`minijob status {id}` says why"))
}

/// As an agent says it.
pub(super) fn refused(error: Error) -> Refused {
    Refused { kind: error.kind.word().to_owned(), message: error.message, hint: error.hint }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> Bytes {
        Bytes::from(number.to_string())
    }

    #[test]
    fn the_same_request_has_the_same_place_and_another_has_another() {
        let mut answers = Answers::default();
        let first = answers.place(&id(1));
        assert!(Arc::ptr_eq(&first, &answers.place(&id(1))));
        assert!(!Arc::ptr_eq(&first, &answers.place(&id(2))));
        assert!(
            !Arc::ptr_eq(&answers.place(&Bytes::new()), &answers.place(&Bytes::new())),
            "no id, no memory"
        );
    }

    #[test]
    fn the_memory_of_answers_is_bounded_and_the_oldest_goes_first() {
        let mut answers = Answers::default();
        let first = answers.place(&id(0));
        for number in 1..ANSWERS_KEPT {
            answers.place(&id(number));
        }
        assert!(Arc::ptr_eq(&first, &answers.place(&id(0))));
        answers.place(&id(ANSWERS_KEPT));
        assert_eq!(answers.0.len(), ANSWERS_KEPT);
        assert!(!Arc::ptr_eq(&first, &answers.place(&id(0))), "it was the oldest");
    }
}
