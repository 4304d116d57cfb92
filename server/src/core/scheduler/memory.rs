//! What a scheduler remembers from one decision to the next. Without it the next one costs more, and nobody's room is kept.

use super::answers::Answers;
use super::kept::Kept;
use crate::core::rules::fence::Fences;

/// A scheduler's memory; of one reign.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    pub(super) answers: Answers,
    pub(super) kept: Kept,
    /// Which fences may still hold; put here before every decision.
    pub fences: Fences,
}
