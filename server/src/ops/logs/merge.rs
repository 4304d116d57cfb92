//! Reads the sources of a target and sends what they hold, until there is no more or nobody listens.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use proto::error::Error;
use proto::ids::AllocId;
use tokio::sync::mpsc::Sender;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::lines::Lines;
use super::pick::{self, Source};
use super::{Chunks, LogsQuery, Piece, Portion, Sources, Wanted};
use crate::cluster::Cluster;
use crate::limits;
use crate::ops::find::Target;

/// How long after an interruption a source is opened again: its node needs a moment to connect.
const OPEN_AGAIN: Duration = Duration::from_secs(1);

/// Names one source.
type SourceKey = (AllocId, String, bool);

/// Where a source that was found once is.
enum Progress {
    /// Being read.
    Reading,
    /// Being opened again after its reader was told of the interruption.
    Retrying,
    /// Read to its end.
    Done,
    /// Interrupted; opened again then.
    Again(Instant),
}

pub(super) struct Merge {
    cluster: Cluster,
    sources: Arc<dyn Sources>,
    target: Target,
    query: LogsQuery,
    to: Sender<Piece>,
    known: BTreeMap<SourceKey, Progress>,
    reading: JoinSet<Ended>,
    told_too_many: bool,
    /// What was told last, and of whom: the other stream of that task has the same to say.
    told: Option<Piece>,
}

/// How reading a source ended.
struct Ended {
    key: SourceKey,
    origin: Piece,
    /// Whether it could be opened.
    opened: bool,
    result: Result<(), Error>,
}

impl Merge {
    pub(super) fn new(
        cluster: Cluster,
        sources: Arc<dyn Sources>,
        target: Target,
        query: LogsQuery,
        to: Sender<Piece>,
    ) -> Self {
        let (known, reading) = (BTreeMap::new(), JoinSet::new());
        Self { cluster, sources, target, query, to, known, reading, told_too_many: false, told: None }
    }

    /// Ends when all is read, or nobody listens; dropping it ends what it started.
    pub(super) async fn run(self) {
        let to = self.to.clone();
        tokio::select! {
            () = to.closed() => {}
            () = self.read() => {}
        }
    }

    async fn read(mut self) {
        if self.query.follow {
            self.follow().await;
        } else {
            self.read_in_order().await;
        }
    }

    async fn read_in_order(&mut self) {
        let state = self.cluster.snapshot();
        let found = pick::sources(&state, &self.target, &self.query);
        let mut wanted: VecDeque<(Wanted, Piece)> = found
            .iter()
            .map(|source| (self.wanted(source, self.query.portion, false), origin(source)))
            .collect();
        while let Some((wanted, origin)) = wanted.pop_front() {
            let result = match self.sources.open(wanted).await {
                Ok(chunks) => pump(chunks, &origin, &self.to).await,
                Err(error) => Err(error),
            };
            if let Err(error) = result {
                self.tell(&origin, error.message).await;
            }
        }
    }

    async fn follow(&mut self) {
        let mut revisions = self.cluster.revisions();
        let mut first = true;
        loop {
            revisions.mark_unchanged();
            let more = self.open_new(first).await;
            first = false;
            if !more && self.reading.is_empty() && !self.waits_to_open() {
                return;
            }
            // While there is no place, the end of another source is what to wait for.
            let again = self.next_open().filter(|_| self.reading.len() < limits::LOG_SOURCES);
            tokio::select! {
                Ok(()) = revisions.changed() => {}
                Some(ended) = self.reading.join_next() => self.note(ended.ok()).await,
                () = tokio::time::sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => {}
                else => return,
            }
        }
    }

    /// Opens what is new, or due again; returns whether more may come later.
    async fn open_new(&mut self, first: bool) -> bool {
        let state = self.cluster.snapshot();
        let found = pick::sources(&state, &self.target, &self.query);
        let keys: BTreeSet<SourceKey> = found.iter().map(key).collect();
        // What is interrupted and no longer asked for (a replacement has its slot) would be due for ever.
        self.known.retain(|key, progress| match progress {
            Progress::Again(_) => keys.contains(key),
            _ => state.allocs.get(key.0).is_some(),
        });
        for source in found {
            let key = key(&source);
            let (progress, portion) = match self.known.get(&key) {
                None if first => (Progress::Reading, self.query.portion),
                None => (Progress::Reading, Portion::default()),
                Some(Progress::Again(at)) if *at <= Instant::now() => (Progress::Retrying, Portion::NOTHING),
                Some(_) => continue,
            };
            if self.reading.len() >= limits::LOG_SOURCES {
                self.tell_too_many(&origin(&source)).await;
                break;
            }
            // What has ended has a last byte; whoever waited for more of it would wait for ever.
            let follow = !source.alloc.has_ended();
            let wanted = self.wanted(&source, portion, follow);
            let (sources, origin, to) = (self.sources.clone(), origin(&source), self.to.clone());
            self.known.insert(key.clone(), progress);
            self.reading.spawn(async move {
                let (opened, result) = match sources.open(wanted).await {
                    Ok(chunks) => (true, pump(chunks, &origin, &to).await),
                    Err(error) => (false, Err(error)),
                };
                Ended { key, origin, opened, result }
            });
        }
        pick::more_may_come(&state, &self.target)
    }

    /// A source that broke off while its allocation lives is opened again, without what was written meanwhile.
    async fn note(&mut self, ended: Option<Ended>) {
        let Some(Ended { key, origin, opened, result }) = ended else { return };
        let lives = self.cluster.snapshot().allocs.get(key.0).is_some_and(|alloc| !alloc.has_ended());
        match result {
            Ok(()) => {
                self.known.insert(key, Progress::Done);
            }
            Err(error) if lives => {
                let before = self.known.insert(key, Progress::Again(Instant::now() + OPEN_AGAIN));
                if opened || matches!(before, Some(Progress::Reading)) {
                    self.tell(&origin, format!("{}; lines may be missing", error.message)).await;
                }
            }
            Err(error) => {
                self.known.insert(key, Progress::Done);
                self.tell(&origin, error.message).await;
            }
        }
    }

    fn waits_to_open(&self) -> bool {
        self.next_open().is_some()
    }

    fn next_open(&self) -> Option<Instant> {
        let again = |progress: &Progress| match progress {
            Progress::Again(at) => Some(*at),
            _ => None,
        };
        self.known.values().filter_map(again).min()
    }

    fn wanted(&self, source: &Source<'_>, portion: Portion, follow: bool) -> Wanted {
        let alloc = source.alloc;
        let task = source.task.to_owned();
        Wanted { node: alloc.node, alloc: alloc.id, task, stderr: source.stderr, follow, portion }
    }

    async fn tell_too_many(&mut self, origin: &Piece) {
        if !self.told_too_many {
            self.told_too_many = true;
            let most = limits::LOG_SOURCES;
            self.tell(origin, format!("only {most} streams are read at once: name an allocation")).await;
        }
    }

    async fn tell(&mut self, origin: &Piece, notice: String) {
        let piece = Piece { notice, ..origin.clone() };
        let of_other_stream = Piece { stderr: !piece.stderr, ..piece.clone() };
        if self.told.take_if(|told| *told == of_other_stream).is_some() {
            return;
        }
        self.told = Some(piece.clone());
        // Nobody listens any more: then there is nobody to tell.
        self.to.send(piece).await.ok();
    }
}

fn key(source: &Source<'_>) -> SourceKey {
    (source.alloc.id, source.task.to_owned(), source.stderr)
}

/// A piece of that source without content.
fn origin(source: &Source<'_>) -> Piece {
    Piece {
        alloc: source.alloc.id,
        group: source.alloc.group.to_string(),
        index: source.alloc.index,
        task: source.task.to_owned(),
        stderr: source.stderr,
        data: Bytes::new(),
        notice: String::new(),
    }
}

/// Sends one source to its end.
async fn pump(mut chunks: Chunks, origin: &Piece, to: &Sender<Piece>) -> Result<(), Error> {
    let mut lines = Lines::default();
    let mut result = Ok(());
    while let Some(chunk) = chunks.next().await {
        match chunk {
            Ok(bytes) => send(to, origin, lines.push(&bytes)).await,
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    send(to, origin, lines.finish()).await;
    result
}

async fn send(to: &Sender<Piece>, origin: &Piece, data: Bytes) {
    if !data.is_empty() {
        // Nobody listens any more: `run` ends on its own.
        to.send(Piece { data, ..origin.clone() }).await.ok();
    }
}
