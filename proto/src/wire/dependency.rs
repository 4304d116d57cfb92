//! What a group waits for, to and from [`crate::model::Dependency`].

use super::{BadMessage, v1};
use crate::model::{Condition, Dependency};

/// Writes a dependency.
pub(super) fn dependency_to_wire(dependency: &Dependency) -> v1::Dependency {
    let condition = match dependency.condition {
        Condition::Started => v1::Condition::Started,
        Condition::Healthy => v1::Condition::Healthy,
        Condition::Completed => v1::Condition::Completed,
    };
    v1::Dependency {
        job: dependency.job.clone().unwrap_or_default(),
        group: dependency.group.clone().unwrap_or_default(),
        condition: condition.into(),
    }
}

/// Reads a dependency.
///
/// # Errors
/// [`BadMessage`] for a condition that this version does not know: a group must not be placed before what it waits for.
pub(super) fn dependency_from_wire(dependency: v1::Dependency) -> Result<Dependency, BadMessage> {
    let named = |name: String| Some(name).filter(|name| !name.is_empty());
    Ok(Dependency {
        job: named(dependency.job),
        group: named(dependency.group),
        condition: match v1::Condition::try_from(dependency.condition) {
            Ok(v1::Condition::Started) => Condition::Started,
            Ok(v1::Condition::Healthy) => Condition::Healthy,
            Ok(v1::Condition::Completed) => Condition::Completed,
            _ => return Err(BadMessage { field: "condition" }),
        },
    })
}
