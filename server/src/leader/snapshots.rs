//! Snapshots that a leader takes by itself, into a directory that outlives the machine; the oldest of its own go.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use proto::ids::Incarnation;
use proto::time::{Timestamp, millis};

use crate::archives::{NewFile, is_unfinished};
use crate::cluster::Cluster;
use crate::core::archive::schedule::{Schedule, file_name};
use crate::core::archive::{self, Meta};
use crate::core::state::State;
use crate::limits::SCHEDULED_SNAPSHOT_RETRY;

/// Between two looks at the directory: the clock may jump, and somebody may take a file away.
const LOOK: Duration = Duration::from_secs(60);
/// A file that was not finished this long ago is nobody's any more.
const ABANDONED: Duration = Duration::from_secs(3600);

/// Where a server that leads writes snapshots, and how often. Clones count together.
#[derive(Clone, Debug)]
pub struct Scheduled {
    /// The directory; made if it is missing.
    pub to: PathBuf,
    /// How often, and how many stay.
    pub schedule: Schedule,
    /// What came of it.
    pub counts: Arc<Counts>,
}

/// What came of scheduled snapshots since the start of this server.
#[derive(Debug, Default)]
pub struct Counts {
    /// How many were written.
    pub taken: AtomicU64,
    /// How often one could not be written.
    pub failed: AtomicU64,
    /// When the last one was written, in ms since 1970; 0: none was.
    pub last_ms: AtomicU64,
}

/// Writes them until it is dropped.
pub(super) async fn run(cluster: Cluster, scheduled: Scheduled) {
    loop {
        let (state, now, beside) = (cluster.snapshot(), cluster.now(), scheduled.clone());
        let turn = tokio::task::spawn_blocking(move || turn(&beside, &state, now)).await;
        let pause = match turn {
            Ok(Ok(wait)) => wait.clamp(Duration::from_secs(1), LOOK),
            Ok(Err(error)) => {
                scheduled.counts.failed.fetch_add(1, Ordering::Relaxed);
                let to = scheduled.to.display();
                tracing::warn!(%error, %to, "no snapshot was written, it is tried again");
                scheduled.schedule.every.min(SCHEDULED_SNAPSHOT_RETRY)
            }
            // The runtime is ending.
            Err(_) => return,
        };
        tokio::time::sleep(pause).await;
    }
}

/// Does what is due; returns how long nothing is.
fn turn(scheduled: &Scheduled, state: &State, now: Timestamp) -> io::Result<Duration> {
    let (dir, life) = (&scheduled.to, state.incarnation.unwrap_or(Incarnation(0)));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let mut files = names(dir)?;
    let mut step = scheduled.schedule.decide(&files, life, now);
    if step.wait.is_zero() {
        let meta = Meta::of(state, now);
        let name = file_name(&meta);
        let size = write(&dir.join(&name), state, &meta)?;
        scheduled.counts.taken.fetch_add(1, Ordering::Relaxed);
        scheduled.counts.last_ms.store(now.0, Ordering::Relaxed);
        tracing::info!(file = %dir.join(&name).display(), bytes = size, "snapshot written");
        files.push(name);
        step = scheduled.schedule.decide(&files, life, now);
    }
    for old in &step.remove {
        std::fs::remove_file(dir.join(old))?;
    }
    files.iter().filter(|name| is_unfinished(name)).for_each(|name| remove_abandoned(&dir.join(name)));
    Ok(step.wait)
}

fn names(dir: &Path) -> io::Result<Vec<String>> {
    let names = std::fs::read_dir(dir)?.map(|entry| entry.map(|entry| entry.file_name().into_string()));
    // A name that is no text is not one of ours.
    Ok(names.collect::<io::Result<Vec<_>>>()?.into_iter().flatten().collect())
}

fn write(path: &Path, state: &State, meta: &Meta) -> io::Result<u64> {
    let mut file = NewFile::create(path, true)?;
    archive::write(state, meta, &mut file)?;
    file.keep()
}

/// Another server may be writing one into the same directory at this moment, so only an old one goes.
fn remove_abandoned(path: &Path) {
    let written = path.symlink_metadata().and_then(|found| found.modified());
    let written = written.ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    if written.is_some_and(|written| proto::time::now().since(Timestamp(millis(written))) > ABANDONED) {
        // The next look tries again.
        std::fs::remove_file(path).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archives;
    use crate::core::testing::World;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn one_is_written_when_it_is_due_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("kept/here");
        let schedule = Schedule { every: HOUR, keep: 2 };
        let scheduled = Scheduled { to: to.clone(), schedule, counts: Arc::default() };
        let world = World::new(1);
        let mut now = Timestamp(1_700_000_000_000);
        assert_eq!(turn(&scheduled, &world.state, now).unwrap(), HOUR);
        std::fs::write(to.join("mine.snapshot"), "mine").unwrap();
        assert_eq!(turn(&scheduled, &world.state, now).unwrap(), HOUR, "a second look writes nothing");
        assert_eq!(names(&to).unwrap().len(), 2);
        for _ in 0..3 {
            now = now.plus(HOUR);
            turn(&scheduled, &world.state, now).unwrap();
        }
        let mut left = names(&to).unwrap();
        left.sort();
        assert_eq!(left.len(), 3, "{left:?}");
        let newest = archives::read(&to.join(&left[2])).unwrap();
        assert_eq!((newest.meta.taken, newest.state.revision), (now, world.state.revision));
        assert_eq!(left[0], "mine.snapshot");
        assert_eq!(scheduled.counts.taken.load(Ordering::Relaxed), 4);
        assert_eq!(scheduled.counts.last_ms.load(Ordering::Relaxed), now.0);
    }

    #[test]
    fn what_cannot_be_written_is_an_error_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let to = dir.path().join("file");
        std::fs::write(&to, "no directory").unwrap();
        let schedule = Schedule { every: HOUR, keep: 2 };
        let scheduled = Scheduled { to, schedule, counts: Arc::default() };
        assert!(turn(&scheduled, &World::new(0).state, Timestamp(1)).is_err());
        assert_eq!(names(dir.path()).unwrap(), ["file"]);
    }
}
