//! Whether the groups of a job can ever begin.

use proto::limits;
use proto::model::Job;
use proto::model::dependency::{self, Wrong};

use super::Faults;

/// Checks what the groups of a job wait for, where all else is well: names are named in what is said.
pub(super) fn check(faults: &mut Faults, job: &Job) {
    for (name, group) in &job.groups {
        faults.count(
            &format!("group `{name}`: depends_on"),
            group.depends_on.len(),
            0,
            limits::DEPENDENCIES_PER_GROUP,
        );
        for dependency in &group.depends_on {
            dependency.job.iter().for_each(|other| faults.name("a job that is waited for", other));
            dependency.group.iter().for_each(|other| faults.name("a group that is waited for", other));
        }
    }
    if !faults.0.is_empty() {
        return;
    }
    for (name, at, wrong) in dependency::faults(&job.key.name, &job.groups) {
        let what = job.groups.get(&name).and_then(|group| group.depends_on.get(at));
        let what = what.map_or_else(String::new, ToString::to_string);
        let why = match wrong {
            Wrong::Empty => "it names neither a group nor a job".to_owned(),
            Wrong::Itself => {
                "it would wait for itself; a group of its own job is named without the job".to_owned()
            }
            Wrong::Unknown => "the job has no such group".to_owned(),
            Wrong::NeverCompletes => "a service never completes".to_owned(),
            Wrong::Twice => "it is named twice".to_owned(),
            Wrong::Cycle(way) => format!("they wait for each other: {}", way.join(", ")),
        };
        faults.0.push(format!("group `{name}`: `depends_on` {what}: {why}"));
    }
}

#[cfg(test)]
mod tests {
    use proto::model::{Condition, Dependency};

    use crate::ops::testing::job;

    fn said(depends_on: Vec<Dependency>) -> Vec<String> {
        let mut job = job("web", 1);
        job.groups.values_mut().for_each(|group| group.depends_on = depends_on.clone());
        super::super::check(&job).map_or_else(|error| error.details, |()| Vec::new())
    }

    fn on(job: Option<&str>, group: Option<&str>) -> Vec<Dependency> {
        let [job, group] = [job, group].map(|name| name.map(str::to_owned));
        vec![Dependency { job, group, condition: Condition::Started }]
    }

    #[test]
    fn what_can_never_begin_is_refused_in_words() {
        assert_eq!(said(on(Some("db"), None)), Vec::<String>::new());
        let cases = [
            (on(Some("Db"), None), "a job that is waited for"),
            (on(None, Some("db")), "`db`: the job has no such group"),
            (on(None, Some("web")), "it would wait for itself"),
            (on(Some("web"), Some("db")), "it would wait for itself"),
            (on(None, None), "neither a group nor a job"),
            (vec![on(Some("x"), None).remove(0); 2], "it is named twice"),
            (vec![on(Some("x"), None).remove(0); 101], "101 of 0 to 100"),
        ];
        for (depends_on, expected) in cases {
            let details = said(depends_on);
            assert!(details.iter().any(|line| line.contains(expected)), "{expected}: {details:?}");
        }
    }
}
