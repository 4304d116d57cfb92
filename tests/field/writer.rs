//! Somebody who writes all the time: job after job, each acknowledged before the next. What was acknowledged must be there in the end, and
//! the longest time without an acknowledgement is what others wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tests::wait::until;

use crate::cluster::{Cluster, LONG};
use crate::people::Person;

/// A writer at work.
pub(crate) struct Writer {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Written>,
}

/// What a writer was told.
#[derive(Debug)]
pub(crate) struct Written {
    /// Names of jobs that were acknowledged, and when.
    pub(crate) acknowledged: Vec<(String, Instant)>,
    /// What was said of those that were not.
    pub(crate) refused: Vec<String>,
}

impl Writer {
    /// Begins to write.
    pub(crate) fn start(person: Person) -> Self {
        // A job that is there already would be no write.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let writer = NEXT.fetch_add(1, Ordering::Relaxed);
        let is_over = Arc::new(AtomicBool::new(false));
        let over = is_over.clone();
        let thread = std::thread::spawn(move || {
            let mut written = Written { acknowledged: Vec::new(), refused: Vec::new() };
            for number in 0.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let name = format!("note{writer}-{number}");
                let answer = person.submit(&note(&name));
                if answer.code == 0 {
                    written.acknowledged.push((name, Instant::now()));
                } else {
                    written.refused.push(format!("{answer:?}"));
                }
            }
            written
        });
        Self { is_over, thread }
    }

    /// Ends with the write that is under way.
    pub(crate) fn finish(self) -> Written {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().expect("it writes")
    }
}

/// A job that nothing is started for.
pub(crate) fn note(name: &str) -> String {
    format!("name: {name}\ncount: 0\ncommand: \"true\"\n")
}

impl Written {
    /// The longest time between two acknowledgements of which the second came after `since`.
    pub(crate) fn longest_gap(&self, since: Instant) -> Duration {
        let times: Vec<Instant> = self.acknowledged.iter().map(|(_, at)| *at).collect();
        let gaps = times.windows(2).filter(|pair| pair[1] > since).map(|pair| pair[1] - pair[0]);
        gaps.max().expect("it wrote before and after")
    }

    /// Everything that was acknowledged is there.
    pub(crate) fn is_kept_by(&self, cluster: &Cluster) {
        let known = until(LONG, "all jobs are listed", || {
            let answer = cluster.run(&["status", "--json"]);
            if answer.code == 0 { Ok(answer.stdout) } else { Err(format!("{answer:?}")) }
        });
        for (name, _) in &self.acknowledged {
            assert!(known.contains(&format!("\"{name}\"")), "{name} was acknowledged and is lost: {known}");
        }
    }
}
