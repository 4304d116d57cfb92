//! Snapshots that servers take by themselves: which files of a directory are theirs, when the next is due, which go.

use std::time::Duration;

use proto::ids::{Incarnation, Revision};
use proto::time::Timestamp;

use super::Meta;

/// How often, and how many are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// From one to the next.
    pub every: Duration,
    /// How many of this life of the cluster stay; at least one.
    pub keep: usize,
}

/// What to do with a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// How long until the next one is due; zero: it is.
    pub wait: Duration,
    /// Files that go.
    pub remove: Vec<String>,
}

const PREFIX: &str = "minijob-";
const SUFFIX: &str = ".snapshot";

/// What a file's name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    taken: Timestamp,
    revision: Revision,
    incarnation: Incarnation,
}

/// Names the file of a snapshot: `minijob-<cluster>-20261121T093000125Z-<revision>.snapshot`.
#[must_use]
pub fn file_name(meta: &Meta) -> String {
    let time: String = meta.taken.to_string().chars().filter(|letter| !"-:.".contains(*letter)).collect();
    format!("{PREFIX}{}-{time}-{}{SUFFIX}", meta.incarnation, meta.revision.0)
}

/// Reads such a name; none for any other file.
fn read_name(name: &str) -> Option<Named> {
    let mut parts = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.split('-');
    let (incarnation, time, revision) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || !time.is_ascii() || time.len() != "20261121T093000125Z".len() {
        return None;
    }
    let (date, clock) = time.strip_suffix('Z')?.split_once('T').filter(|(date, _)| date.len() == 8)?;
    let time = format!(
        "{}-{}-{}T{}:{}:{}.{}Z",
        &date[..4],
        &date[4..6],
        &date[6..],
        &clock[..2],
        &clock[2..4],
        &clock[4..6],
        &clock[6..]
    );
    let (taken, revision) = (time.parse().ok()?, Revision(revision.parse().ok()?));
    let named = Named { taken, revision, incarnation: incarnation.parse().ok()? };
    Some(named)
}

impl Schedule {
    /// Decides what to do with a directory that holds these files. Files of another life of the cluster, of another cluster, and those
    /// that people put there under other names are never named.
    #[must_use]
    pub fn decide(self, files: &[String], incarnation: Incarnation, now: Timestamp) -> Step {
        let mut own: Vec<(Named, &String)> =
            files.iter().filter_map(|file| read_name(file).map(|named| (named, file))).collect();
        own.retain(|(named, _)| named.incarnation == incarnation);
        own.sort();
        // One from the future was named by a clock that was wrong: it must not hold up the next one until then.
        let last = own.iter().rev().map(|(named, _)| named.taken).find(|taken| *taken <= now);
        let wait = last.map_or(Duration::ZERO, |last| self.every.saturating_sub(now.since(last)));
        let beyond = own.len().saturating_sub(self.keep.max(1));
        let remove = own.into_iter().take(beyond).map(|(_, file)| file.clone()).collect();
        Step { wait, remove }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3_600_000;
    const BEGIN: u64 = 1_700_000_000_125;

    fn meta(incarnation: u64, hours: u64) -> Meta {
        Meta {
            incarnation: Incarnation(incarnation),
            revision: Revision(100 + hours),
            taken: Timestamp(BEGIN + hours * HOUR),
            version: "0.1.0".into(),
            state_version: 1,
            jobs: 0,
            nodes: 0,
            allocs: 0,
        }
    }

    fn hourly(keep: usize) -> Schedule {
        Schedule { every: Duration::from_millis(HOUR), keep }
    }

    #[test]
    fn a_name_says_which_cluster_when_and_what_and_sorts_by_time() {
        let name = file_name(&meta(5, 0));
        let incarnation = Incarnation(5);
        assert_eq!(name, format!("minijob-{incarnation}-20231114T221320125Z-100.snapshot"));
        let read = read_name(&name).unwrap();
        assert_eq!(
            (read.taken, read.revision, read.incarnation),
            (Timestamp(BEGIN), Revision(100), incarnation)
        );
        assert!(name < file_name(&meta(5, 1)));
    }

    #[test]
    fn what_has_another_name_is_nobody_s_business() {
        let name = file_name(&meta(5, 0));
        for other in [
            "before-the-upgrade.snapshot",
            "minijob-.snapshot",
            "minijob-a-b-c.snapshot",
            &name.replace(".snapshot", ".snapshot.bak"),
            &name.replace("-100", "-1x"),
            &name.replace("-100", "-100-1"),
            &name.replace("1114T", "1399T"),
            &name.replace("20231114", "2023é14"),
        ] {
            assert_eq!(read_name(other), None, "{other}");
        }
    }

    #[test]
    fn the_next_is_due_when_the_newest_is_that_old() {
        let now = Timestamp(BEGIN + 10 * HOUR);
        let wait = |files: &[String]| hourly(9).decide(files, Incarnation(5), now).wait;
        assert_eq!(wait(&[]), Duration::ZERO);
        assert_eq!(wait(&[file_name(&meta(5, 9))]), Duration::ZERO);
        assert_eq!(wait(&[file_name(&meta(5, 10)), file_name(&meta(5, 9))]), Duration::from_millis(HOUR));
        assert_eq!(wait(&[file_name(&meta(6, 10))]), Duration::ZERO, "another life's says nothing");
        assert_eq!(wait(&[file_name(&meta(5, 99))]), Duration::ZERO, "nor does one from the future");
    }

    #[test]
    fn the_oldest_go_and_nothing_that_is_not_of_this_life() {
        let own: Vec<String> = (0..5).map(|hours| file_name(&meta(5, hours))).collect();
        let others = vec![file_name(&meta(6, 0)), "kept.snapshot".to_owned(), "minijob-notes".to_owned()];
        let mut files = [own.clone(), others].concat();
        files.reverse();
        let now = Timestamp(BEGIN + 5 * HOUR);
        assert_eq!(hourly(3).decide(&files, Incarnation(5), now).remove, own[..2]);
        assert_eq!(
            hourly(0).decide(&files, Incarnation(5), now).remove,
            own[..4],
            "one stays whatever is said"
        );
        assert!(hourly(5).decide(&files, Incarnation(5), now).remove.is_empty());
    }
}
