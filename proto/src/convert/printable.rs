//! That a job can be written as a job file: whatever another tool allows, a job is nothing that a job file could not say.

use crate::jobfile::yaml::{Mark, Reader};
use crate::jobfile::{self};
use crate::model::Job;

/// Notes as faults what the reader of job files would refuse of a job. `place` gives the place of what became a group.
///
/// What other tools allow is checked where it is read; this is for what nobody thought of.
pub(super) fn check(reader: &mut Reader<'_>, job: &Job, start: Mark, place: impl Fn(&str) -> Option<Mark>) {
    const HINT: &str = "`minijob convert` makes nothing that `minijob run` would refuse";
    let text = jobfile::explain(job);
    match jobfile::parse("the job file", &text) {
        Ok(read) if read.as_slice() == std::slice::from_ref(job) => {}
        Ok(_) => reader.fault(start, "this cannot be written as a job file without a change", HINT),
        Err(faults) => {
            for fault in faults.0 {
                let at = group_at(&text, fault.line).and_then(&place).unwrap_or(start);
                let hint = if fault.hint.is_empty() { HINT.to_owned() } else { fault.hint };
                reader.fault(at, format!("no job can have this: {}", fault.message), hint);
            }
        }
    }
}

/// Returns the group that a line of a written job is about.
fn group_at(text: &str, line: u32) -> Option<&str> {
    let before: Vec<&str> = text.lines().take(line as usize).collect();
    let name = |line: &&&str| line.starts_with("  ") && !line.starts_with("   ") && line.ends_with(':');
    before.iter().rev().find(name).map(|line| line.trim().trim_end_matches(':').trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::ids::JobKey;
    use crate::jobfile::yaml;
    use crate::model::{Group, JobType, Task};

    #[test]
    fn what_a_job_file_could_not_say_is_a_fault_at_the_place_of_its_group() {
        let group = |name: &str, command: &str| {
            let tasks = BTreeMap::from([(name.to_owned(), Task::new(command))]);
            (name.to_owned(), Group::new(JobType::Service, tasks))
        };
        let groups = BTreeMap::from([group("a", "/bin/a"), group("on", "echo hello")]);
        let job = Job::new(JobKey::new("default", "x"), JobType::Service, groups);
        let read = yaml::read("x.yml", "a: 1\nb: 2\n", |reader, _| {
            let at = |name: &str| (name == "on").then_some(Mark { line: 2, column: 1, byte: 5 });
            check(reader, &job, Mark::START, at);
        });
        let faults = read.expect_err("spaces in a command").0;
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert_eq!((faults[0].line, faults[0].source_line.as_str()), (2, "b: 2"));
        assert!(faults[0].message.contains("`echo hello`"), "{faults:?}");
        assert!(faults[0].hint.contains("args: [hello]"), "{faults:?}");
    }
}
