//! Mistakes that the simulation can make on purpose, each around the shipped code, so that a test can show which promise notices.

use std::collections::{BTreeMap, BTreeSet};

use client::core::assignments::{Action, Decision, Held, Position};
use client::core::task_machine::{Effect, Outcome, Phase, TaskState};
use proto::ids::{AllocId, RequestId};
use server::core::state::{Applied, Command, Kind, State};

/// A mistake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bug {
    /// None: the shipped code as it is.
    #[default]
    None,
    /// Apply believes that nodes have more than they say.
    OverCommit,
    /// A leader acknowledges what it has not committed; if it is deposed, the write is gone.
    EarlyAcknowledgement,
    /// A server that starts counts ids from the beginning again.
    ReusedIds,
    /// An agent stops what a complete set does not name.
    AbsenceIsAStop,
    /// An agent starts again what was stopped.
    RestartOfStopped,
    /// A write that comes again is applied again.
    ForgottenRequests,
    /// A server that starts applies the last command in its snapshot once more.
    ReplayedTwice,
    /// A server that learns that another one leads goes on with its sessions.
    SessionsOutliveReigns,
    /// An agent follows whoever speaks to it, of whatever reign.
    AnyReign,
}

impl Bug {
    /// Applies a command.
    pub fn apply(self, state: &mut State, command: &Command) -> Applied {
        let mut taken = command.clone();
        if self == Self::ForgottenRequests {
            taken.request = RequestId(0);
        }
        let applied = state.apply(taken);
        if self == Self::OverCommit
            && let Kind::RegisterNode { identity, .. } = &command.kind
            && let Some(mut node) = state.nodes.get_mut(&identity.id)
        {
            std::sync::Arc::make_mut(&mut node.identity).capacity =
                identity.capacity.plus(identity.capacity).plus(identity.capacity);
        }
        applied
    }

    /// After a snapshot was read, or nothing where there was none.
    pub fn after_restore(self, state: &mut State) {
        if self == Self::ReusedIds {
            state.next_id = 1;
        }
    }

    /// Whether a server that starts takes its mistake for the truth.
    pub fn shows_in_rebuilt_state(self) -> bool {
        self == Self::ReusedIds
    }

    /// The first command that a server applies when it starts from a snapshot of so many.
    pub fn first_replayed(self, from: usize) -> usize {
        if self == Self::ReplayedTwice { from.saturating_sub(1) } else { from }
    }

    /// Whether servers that do not lead any more go on with their sessions.
    pub fn sessions_outlive_reigns(self) -> bool {
        self == Self::SessionsOutliveReigns
    }

    /// Before an agent decides about a set: the newest position that it has seen.
    pub fn newest(self, newest: Position, theirs: Position) -> Position {
        if self != Self::AnyReign || theirs.is_not_older_than(newest) {
            return newest;
        }
        theirs
    }

    /// Whether leaders acknowledge before the commit.
    pub fn acknowledges_before_commit(self) -> bool {
        self == Self::EarlyAcknowledgement
    }

    /// After an agent decided about a complete set.
    pub fn absent_are_stopped(
        self,
        decision: &mut Decision,
        held: &BTreeMap<AllocId, Held>,
        named: &BTreeSet<AllocId>,
    ) {
        if self != Self::AbsenceIsAStop {
            return;
        }
        if *decision == Decision::AskComplete {
            *decision = Decision::Follow(Vec::new());
        }
        if let Decision::Follow(actions) = decision {
            let absent = held.iter().filter(|(id, one)| !one.has_ended && !named.contains(id));
            actions.extend(absent.map(|(id, _)| Action::Stop(*id)));
        }
    }

    /// After a task was stepped.
    pub fn after_step(self, state: TaskState, effects: Vec<Effect>) -> (TaskState, Vec<Effect>) {
        let stopped = state.phase == Phase::Ended(Outcome::Stopped) && effects.contains(&Effect::Save);
        if self != Self::RestartOfStopped || !stopped {
            return (state, effects);
        }
        let attempt = state.attempt + 1;
        let state = TaskState { phase: Phase::Starting, attempt, ..state };
        (state, vec![Effect::Save, Effect::Start(attempt), Effect::Report])
    }
}
