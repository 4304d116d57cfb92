//! A job as clients of the cluster see it: a value with a version that each change raises by one.

use crate::linear::Model;

/// What is asked of it.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Writes a value that was never written before, if the version is the one expected.
    Put {
        /// The value.
        value: u32,
        /// The version that must be there; none: any, or none at all.
        expected: Option<u64>,
    },
    /// Reads it.
    Get,
}

/// What it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The value is there, and this is its version.
    Written(u64),
    /// Another version was there; nothing was changed.
    Conflict,
    /// The version and the value; none: there is no such job.
    Seen(Option<(u64, u32)>),
}

/// The one copy.
#[derive(Debug)]
pub struct Register;

impl Model for Register {
    type State = Option<(u64, u32)>;
    type Ask = Ask;
    type Answer = Answer;

    fn start() -> Self::State {
        None
    }

    fn step(state: &Self::State, ask: &Ask, answer: Option<&Answer>) -> Option<Self::State> {
        let version = state.map_or(0, |(version, _)| version);
        let (next, gives) = match ask {
            Ask::Get => (*state, Answer::Seen(*state)),
            Ask::Put { expected: Some(expected), .. } if *expected != version => (*state, Answer::Conflict),
            Ask::Put { value, .. } => (Some((version + 1, *value)), Answer::Written(version + 1)),
        };
        answer.is_none_or(|answer| *answer == gives).then_some(next)
    }
}
