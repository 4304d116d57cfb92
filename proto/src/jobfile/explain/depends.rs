//! What a group waits for.

use crate::jobfile::emit::Lines;
use crate::model::{Condition, Dependency};

/// Writes what a group waits for.
pub(super) fn explain(lines: &mut Lines, depends_on: &[Dependency]) {
    if depends_on.is_empty() {
        if lines.wants(false) {
            lines.yaml(4, "depends_on", "[]");
        }
        return;
    }
    lines.open(4, "depends_on");
    depends_on.iter().for_each(|one| dependency(lines, one));
}

fn dependency(lines: &mut Lines, dependency: &Dependency) {
    let is_special = dependency.condition != Condition::default();
    match (&dependency.job, &dependency.group) {
        (None, Some(group)) if !lines.wants(is_special) => return lines.item(6, group),
        (None, Some(group)) => lines.first_text(6, "group", group),
        (Some(job), group) => {
            lines.first_text(6, "job", job);
            group.iter().for_each(|group| lines.text(8, "group", group));
        }
        // No file says so.
        (None, None) => return,
    }
    if lines.wants(is_special) {
        lines.yaml(8, "condition", dependency.condition.word());
    }
}
