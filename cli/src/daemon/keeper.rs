//! What must exist before any thread: the parent of all tasks.

use std::path::Path;
use std::time::Duration;

use client::keeper::{self, Choice, Connector, Removal};
use proto::error::{Error, Kind};

/// How long after a killed `dev` its tasks are ended.
const DEV_GRACE: Duration = Duration::from_secs(5);

/// Makes sure that the keeper of this data directory runs. To be called while the process has one thread.
///
/// With `leaves` (`dev`) the keeper ends all tasks soon after the agent is gone, however that went, and removes what is named.
///
/// # Errors
/// What keeps it from running.
pub fn ensure(data_dir: &Path, leaves: Option<Vec<Removal>>) -> Result<Connector, Error> {
    let config = keeper::Config {
        data_dir: data_dir.to_owned(),
        end_with_agent: leaves.is_some().then_some(DEV_GRACE),
        cgroups: Choice::Auto,
        remove_at_end: leaves.unwrap_or_default(),
    };
    keeper::ensure(&config).map_err(|error| {
        let kind = match error {
            keeper::EnsureError::Threads { .. } | keeper::EnsureError::Fork(_) => Kind::Internal,
            _ => Kind::Refused,
        };
        Error::new(kind, super::chain(&error))
            .hint("give another directory with --data-dir, or make this one usable")
    })
}
