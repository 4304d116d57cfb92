//! What the log is applied to: the only thing this module asks of the rest of the server.

use std::io::{self, Read, Write};

/// A deterministic state machine, owned by the consensus core.
///
/// All calls come from one task, one at a time. The same commands in the same order must give the same state on every
/// server; so nothing here may look at a clock, at random numbers, or at the machine it runs on.
pub trait Machine: Send + Sync + 'static {
    /// What one command answers with.
    type Outcome: Clone + Send + Sync + 'static;

    /// Applies one command of the entry at `index`. Commands of one entry share its index and are applied in their
    /// order. A command that is refused, or that cannot be read, is an outcome, never a panic: it is in the log and
    /// will be applied again on every restart.
    fn apply(&mut self, index: u64, command: &[u8]) -> Self::Outcome;

    /// Called after one or more whole entries, the last of them at `index`, and after a restore: the moment to
    /// publish what readers see. Proposers get their outcomes after it returned.
    fn batch_applied(&mut self, index: u64);

    /// The state as it is, for a snapshot that is written while commands go on. Must be cheap: it holds them up.
    fn freeze(&self) -> Box<dyn Frozen>;

    /// Replaces the whole state by what [`Frozen::write`] wrote, reading to the end. `index` is the last entry in it.
    ///
    /// # Errors
    ///
    /// When the content is not understood; the machine is not used afterwards.
    fn restore(&mut self, index: u64, content: &mut dyn Read) -> Result<(), RestoreError>;
}

/// The state of a machine at one index.
pub trait Frozen: Send + Sync + 'static {
    /// Writes all of it. Runs on a thread that may block.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    fn write(&self, out: &mut dyn Write) -> io::Result<()>;
}

/// Why a state could not be restored.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The content could not be read; a damaged file ends up here.
    #[error("cannot read the snapshot's content")]
    Read(#[from] io::Error),
    /// The content was read but not understood.
    #[error("the snapshot's content is not understood: {0}")]
    Content(String),
}
