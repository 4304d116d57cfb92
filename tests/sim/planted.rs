//! Mistakes that the simulation can make on purpose, each around the shipped code, so that a test can show which promise notices.

use std::collections::{BTreeMap, BTreeSet};

use client::core::assignments::{Action, Decision, Held};
use client::core::task_machine::{Effect, Outcome, Phase, TaskState};
use proto::ids::AllocId;
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
}

impl Bug {
    /// After a command was applied.
    pub fn after_apply(self, state: &mut State, _: &State, command: &Command, _: &mut Applied) {
        if self == Self::OverCommit
            && let Kind::RegisterNode { identity, .. } = &command.kind
            && let Some(mut node) = state.nodes.get_mut(&identity.id)
        {
            std::sync::Arc::make_mut(&mut node.identity).capacity =
                identity.capacity.plus(identity.capacity).plus(identity.capacity);
        }
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
