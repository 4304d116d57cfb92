//! Whose turn it is: the higher priority first, then the older job.

use proto::ids::Revision;

use crate::core::state::JobRecord;

/// A job's place in every queue; less comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Precedence {
    below_highest: u8,
    created: Revision,
}

impl Precedence {
    /// The place of what is gone: looking at it costs nothing and takes it off the list.
    pub const FIRST: Self = Self { below_highest: 0, created: Revision(0) };

    /// Returns the place of a job.
    #[must_use]
    pub fn of(record: &JobRecord) -> Self {
        Self { below_highest: u8::MAX - record.current().job.priority, created: record.created }
    }
}
