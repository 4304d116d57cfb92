//! `run --prune`: jobs that came from a directory and are no longer in it are stopped.

use std::collections::BTreeSet;

use proto::error::{Error, Kind};
use proto::ids::JobKey;
use proto::model::Job;
use proto::view::JobSummary;

use crate::commands::stop::stop;
use crate::connect::Servers;
use crate::output::{Board, Line, Tone};
use crate::read;

/// Stops what came from the directories of these jobs and is not among them, after saying which. What is stopped already stays.
///
/// # Errors
/// [`Kind::Invalid`] when none of the jobs came from a directory; the server's refusal.
pub(super) async fn prune(servers: &Servers, jobs: &[Job], board: &mut Board) -> Result<(), Error> {
    let origins = origins(jobs)?;
    let known = read::jobs(servers, "").await?;
    let gone = gone(&known.view.items, jobs, &origins);
    for key in &gone {
        board.line(&Line::new(Tone::Warn, format!("{key}: is no longer in the directory and is stopped")));
    }
    for key in &gone {
        stop(servers, &key.namespace, &key.name, false).await?;
    }
    Ok(())
}

/// Returns where the jobs came from.
///
/// # Errors
/// [`Kind::Invalid`] when none came from a directory: then nothing says what else did.
pub(super) fn origins(jobs: &[Job]) -> Result<BTreeSet<&str>, Error> {
    let origins: BTreeSet<&str> = jobs.iter().filter_map(|job| job.origin.as_deref()).collect();
    if origins.is_empty() {
        let error = Error::new(Kind::Invalid, "--prune is about directories, and none was named");
        return Err(error.hint("write for example `minijob run --prune jobs/`"));
    }
    Ok(origins)
}

fn gone(known: &[JobSummary], jobs: &[Job], origins: &BTreeSet<&str>) -> Vec<JobKey> {
    let stopped = |job: &&JobSummary| job.health == proto::view::Health::Stopped;
    let of_these = |job: &&JobSummary| job.origin.as_deref().is_some_and(|origin| origins.contains(origin));
    let candidates = known.iter().filter(of_these).filter(|job| !stopped(job));
    let keys = candidates.map(|job| JobKey::new(&job.namespace, &job.name));
    keys.filter(|key| jobs.iter().all(|job| job.key != *key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(name: &str, origin: Option<&str>) -> Job {
        let key = JobKey::new("default", name);
        let origin = origin.map(str::to_owned);
        Job { origin, ..Job::new(key, proto::model::JobType::Service, Default::default()) }
    }

    fn summary(name: &str, origin: Option<&str>, health: proto::view::Health) -> JobSummary {
        JobSummary {
            namespace: "default".into(),
            name: name.into(),
            kind: proto::model::JobType::Service,
            version: proto::ids::JobVersion(1),
            health,
            wanted: 1,
            running: 1,
            healthy: 1,
            down_since: None,
            why: String::new(),
            origin: origin.map(str::to_owned),
        }
    }

    #[test]
    fn only_what_came_from_the_same_directory_and_is_gone_from_it_is_stopped() {
        use proto::view::Health::{Healthy, Stopped};
        let here = Some("host:/srv/jobs");
        let known = [
            summary("web", here, Healthy),
            summary("old", here, Healthy),
            summary("older", here, Stopped),
            summary("theirs", Some("host:/srv/other"), Healthy),
            summary("alone", None, Healthy),
        ];
        let jobs = [job("web", here)];
        let origins = origins(&jobs).expect("a directory");
        assert_eq!(gone(&known, &jobs, &origins), [JobKey::new("default", "old")]);
    }

    #[test]
    fn without_a_directory_nothing_says_what_came_from_it() {
        assert_eq!(super::origins(&[job("web", None)]).map_err(|error| error.kind), Err(Kind::Invalid));
    }
}
