//! The state as the replicated log's machine: reads commands, applies them, publishes what readers see.

/// Jobs that the scheduler must look at.
mod board;
/// What readers see.
mod view;

pub use board::{Board, Drained};
pub use view::{Facts, View};

use std::io::{self, Read, Write};
use std::sync::Arc;

use proto::error::Kind as ErrorKind;

use crate::core::state::{
    Changes, Outcome, Refusal, State, Touches, decode_command, read_snapshot, write_snapshot,
};
use crate::raft::{Frozen, Machine, RestoreError};

/// The state, owned by the consensus core.
pub struct StateMachine {
    state: State,
    view: Arc<View>,
    changes: Changes,
    /// Set by the first command that cannot be read: applying the rest without it would make this server differ from its
    /// peers, so nothing is applied, published or written from then on, and the server ends.
    broken: bool,
}

impl StateMachine {
    /// Makes the machine of an empty state, and what readers see of it.
    #[must_use]
    pub fn new() -> (Self, Arc<View>) {
        let view = Arc::new(View::default());
        let machine =
            Self { state: State::default(), view: view.clone(), changes: Changes::default(), broken: false };
        (machine, view)
    }

    fn refuse(&self) -> Outcome {
        let message = "this server met a command that it cannot read and stops";
        Outcome::Refused(Refusal::new(ErrorKind::Internal, message))
    }
}

impl Machine for StateMachine {
    type Outcome = Outcome;

    fn apply(&mut self, index: u64, command: &[u8]) -> Outcome {
        if self.broken {
            return self.refuse();
        }
        match decode_command(command) {
            Ok(command) => {
                let applied = self.state.apply(command);
                self.changes.absorb(applied.changes);
                applied.outcome
            }
            Err(error) => {
                self.broken = true;
                let cause =
                    std::error::Error::source(&error).map_or(String::new(), |cause| format!(": {cause}"));
                self.view.break_off(format!(
                    "entry {index} of the log holds a command that this binary cannot read ({error}{cause}): \
                     start the version of minijob that wrote it, or a newer one"
                ));
                self.refuse()
            }
        }
    }

    fn batch_applied(&mut self, _: u64) {
        if !self.broken {
            self.view.publish(&self.state, std::mem::take(&mut self.changes));
        }
    }

    fn freeze(&self) -> Box<dyn Frozen> {
        Box::new(FrozenState { state: self.state.clone(), broken: self.broken })
    }

    fn restore(&mut self, _: u64, content: &mut dyn Read) -> Result<(), RestoreError> {
        let state = read_snapshot(content).map_err(|error| RestoreError::Content(error.to_string()))?;
        // Everything may have changed; who watches looks at all of it.
        let mut nodes = Touches::default();
        state.nodes.iter().for_each(|(id, _)| nodes.node(*id));
        self.changes = Changes {
            jobs: state.jobs.iter().map(|(key, _)| key.clone()).collect(),
            nodes,
            gained: state.nodes.iter().map(|(id, _)| *id).collect(),
            events: Vec::new(),
        };
        self.state = state;
        Ok(())
    }
}

struct FrozenState {
    state: State,
    broken: bool,
}

impl Frozen for FrozenState {
    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        if self.broken {
            // It would claim to hold commands that it does not.
            return Err(io::Error::other("the state misses a command that could not be read"));
        }
        write_snapshot(&self.state, out)
    }
}

#[cfg(test)]
mod tests {
    use proto::ids::{Incarnation, Revision, ServerId};
    use proto::time::Timestamp;

    use super::*;
    use crate::core::state::{Command, Kind, encode_command};

    fn begin() -> Vec<u8> {
        let kind = Kind::BeginReign { server: ServerId(1), boot_nonce: 2, incarnation: Incarnation(3) };
        encode_command(&Command::own(Timestamp(5), kind))
    }

    #[test]
    fn readers_see_a_command_when_its_batch_is_applied_and_not_before() {
        let (mut machine, view) = StateMachine::new();
        assert_eq!(machine.apply(1, &begin()), Outcome::Done);
        assert_eq!(view.snapshot().revision, Revision(0));
        machine.batch_applied(1);
        assert_eq!(view.snapshot().revision, Revision(1));
        assert_eq!(*view.revisions().borrow(), Revision(1));
    }

    #[test]
    fn nothing_is_applied_after_a_command_that_cannot_be_read() {
        let (mut machine, view) = StateMachine::new();
        machine.apply(1, &begin());
        machine.batch_applied(1);
        assert!(matches!(machine.apply(2, b"\xff\xff"), Outcome::Refused(_)));
        assert!(matches!(machine.apply(3, &begin()), Outcome::Refused(_)));
        machine.batch_applied(3);
        assert_eq!(view.snapshot().revision, Revision(1));
        assert!(view.broken().borrow().is_some(), "the server is told to end");
        assert!(machine.freeze().write(&mut Vec::new()).is_err(), "no snapshot claims what it does not hold");
    }

    #[test]
    fn a_restored_machine_publishes_the_state_it_was_given() {
        let (mut machine, _) = StateMachine::new();
        machine.apply(1, &begin());
        let mut bytes = Vec::new();
        machine.freeze().write(&mut bytes).unwrap();
        let (mut other, view) = StateMachine::new();
        other.restore(1, &mut bytes.as_slice()).unwrap();
        other.batch_applied(1);
        assert_eq!(view.snapshot().incarnation, Some(Incarnation(3)));
    }
}
