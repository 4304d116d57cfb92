//! Follows a target: reads all its sources at once, as lines arrive, and what replaces them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use proto::error::{Error, Kind};
use proto::ids::{AllocId, NodeId};
use proto::model::Liveness;
use proto::time::now;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::lines::Whole;
use super::outbox::Outbox;
use super::pick::{self, Source};
use super::place::Place;
use super::unreadable::Unreadable;
use super::{Chunks, Piece, Portion, Reading, Wanted};
use crate::core::state::State;
use crate::limits;

/// How long after an interruption a source is opened again: its node needs a moment to connect.
const OPEN_AGAIN: Duration = Duration::from_secs(1);

/// Names one source.
type SourceKey = (AllocId, String);

/// Where a source that was found once is.
enum Progress {
    /// Being read.
    Reading,
    /// Being opened again after its reader was told of the interruption.
    Retrying,
    /// Read to its end.
    Done,
    /// Interrupted; opened again then, from that place on.
    Again(Instant, Box<Place>, Option<Instant>),
}

pub(super) struct Follow {
    reading: Reading,
    known: BTreeMap<SourceKey, Progress>,
    open: JoinSet<Ended>,
    told_too_many: bool,
    /// Nodes that are down, as the reader knows.
    told_down: BTreeSet<NodeId>,
}

/// How reading a source ended.
struct Ended {
    key: SourceKey,
    origin: Piece,
    name: String,
    node: NodeId,
    /// How far it was shown.
    place: Box<Place>,
    /// Whether it could be opened.
    opened: bool,
    /// When it was opened first.
    since: Option<Instant>,
    result: Result<(), Error>,
}

impl Follow {
    pub(super) fn new(reading: Reading) -> Self {
        let (known, open, told_down) = (BTreeMap::new(), JoinSet::new(), BTreeSet::new());
        Self { reading, known, open, told_too_many: false, told_down }
    }

    /// Ends when nothing more can come.
    pub(super) async fn run(mut self) {
        let mut revisions = self.reading.cluster.revisions();
        let mut first = true;
        loop {
            revisions.mark_unchanged();
            let more = self.open_new(first).await;
            first = false;
            if !more && self.open.is_empty() && !self.waits_to_open() {
                return;
            }
            // While there is no place, the end of another source is what to wait for.
            let again = self.next_open().filter(|_| self.open.len() < limits::LOG_SOURCES);
            tokio::select! {
                Ok(()) = revisions.changed() => {}
                Some(ended) = self.open.join_next() => self.note(ended.ok()).await,
                () = tokio::time::sleep_until(again.unwrap_or_else(Instant::now)), if again.is_some() => {}
                else => return,
            }
        }
    }

    /// Opens what is new, or due again; returns whether more may come later.
    async fn open_new(&mut self, first: bool) -> bool {
        let state = self.reading.cluster.snapshot();
        let found = pick::sources(&state, &self.reading.target, &self.reading.query);
        if first && self.reading.query.portion != Portion::NOTHING {
            self.reading.tell_left_out(found.left_out).await;
        }
        let keys: BTreeSet<SourceKey> = found.sources.iter().map(Source::key).collect();
        // What is interrupted and no longer asked for (a replacement has its slot) would be due for ever.
        self.known.retain(|key, progress| match progress {
            Progress::Again(..) => keys.contains(key),
            _ => state.allocs.get(key.0).is_some(),
        });
        self.tell_down(&state, &found.sources).await;
        for source in found.sources {
            let key = source.key();
            let (progress, mut place, before) = match self.known.get(&key) {
                None => {
                    let portion = if first { self.reading.query.portion } else { Portion::default() };
                    (Progress::Reading, Box::new(Place::new(portion)), None)
                }
                Some(Progress::Again(at, place, before)) if *at <= Instant::now() => {
                    (Progress::Retrying, place.clone(), *before)
                }
                Some(_) => continue,
            };
            if self.open.len() >= limits::LOG_SOURCES {
                self.tell_too_many().await;
                break;
            }
            // What has ended has a last byte; whoever waited for more of it would wait for ever.
            let (portion, since) = place.again(before.map(|before| before.elapsed()));
            let wanted = Wanted { since, ..source.wanted(portion, !source.has_ended()) };
            let (origin, name, node) = (source.origin(&state), source.name(), source.node());
            let outbox = Outbox::new(self.reading.to.clone(), self.reading.query.times);
            let sources = self.reading.sources.clone();
            self.known.insert(key.clone(), progress);
            self.open.spawn(async move {
                let asked = Instant::now();
                let (opened, result) = match sources.open(wanted).await {
                    Ok(chunks) => (true, pump(chunks, &origin, outbox, &mut place).await),
                    Err(error) => (false, Err(error)),
                };
                let since = before.or_else(|| opened.then_some(asked));
                Ended { key, origin, name, node, place, opened, since, result }
            });
        }
        pick::more_may_come(&state, &self.reading.target)
    }

    /// Says of nodes that are down, once, what of them cannot be read.
    async fn tell_down(&mut self, state: &State, sources: &[Source<'_>]) {
        let is_down =
            |node: &NodeId| state.nodes.get(node).is_some_and(|node| node.liveness == Liveness::Down);
        self.told_down.retain(is_down);
        let mut unreadable = Unreadable::default();
        let new = |source: &&Source<'_>| !self.known.contains_key(&source.key()) && is_down(&source.node());
        for source in sources.iter().filter(new) {
            self.told_down.insert(source.node());
            let error = Error::new(Kind::Unavailable, "it is down");
            unreadable.note(source.node(), source.name(), &error, source.superseded);
        }
        self.tell_unreadable(unreadable, state).await;
    }

    async fn tell_unreadable(&self, unreadable: Unreadable, state: &State) {
        for (notice, missing) in unreadable.sentences(state, now()) {
            self.reading.tell(Piece::notice(notice, missing)).await;
        }
    }

    /// A source that broke off while its allocation lives is opened again, and goes on behind the last line that was shown.
    async fn note(&mut self, ended: Option<Ended>) {
        let Some(Ended { key, origin, name, node, place, opened, since, result }) = ended else { return };
        let state = self.reading.cluster.snapshot();
        let lives = state.allocs.get(key.0).is_some_and(|alloc| !alloc.has_ended());
        let Err(error) = result else {
            self.known.insert(key, Progress::Done);
            return;
        };
        let rest = if place.is_known() {
            "it goes on behind the last line as soon as that can be read"
        } else {
            "lines may be missing"
        };
        let again = Instant::now() + OPEN_AGAIN;
        let progress = if lives { Progress::Again(again, place, since) } else { Progress::Done };
        let before = self.known.insert(key, progress);
        let told = !opened && matches!(before, Some(Progress::Retrying)) || self.told_down.contains(&node);
        match (told, opened) {
            (true, _) => {}
            (false, false) => {
                let mut unreadable = Unreadable::default();
                unreadable.note(node, name, &error, false);
                self.tell_unreadable(unreadable, &state).await;
            }
            (false, true) => {
                let gone = error.kind == Kind::NotFound;
                let notice = if lives {
                    format!("node {}: {}; {rest}", origin.node, error.message)
                } else {
                    error.message
                };
                self.reading.tell(Piece { notice, missing: !lives && !gone, ..origin }).await;
            }
        }
    }

    fn waits_to_open(&self) -> bool {
        self.next_open().is_some()
    }

    fn next_open(&self) -> Option<Instant> {
        let again = |progress: &Progress| match progress {
            Progress::Again(at, ..) => Some(*at),
            _ => None,
        };
        self.known.values().filter_map(again).min()
    }

    async fn tell_too_many(&mut self) {
        if !self.told_too_many {
            self.told_too_many = true;
            let notice = format!("only {} tasks are read at once: name an allocation", limits::LOG_SOURCES);
            self.reading.tell(Piece::notice(notice, true)).await;
        }
    }
}

/// Sends one source to its end.
async fn pump(chunks: Chunks, origin: &Piece, mut outbox: Outbox, place: &mut Place) -> Result<(), Error> {
    let (mut whole, mut result) = (Whole::default(), Ok(()));
    let mut ready = chunks.ready_chunks(limits::LOG_PIECES_QUEUED);
    'chunks: while let Some(chunks) = ready.next().await {
        for chunk in chunks {
            match chunk {
                Ok(lines) => {
                    if let Some(lines) = whole.push(lines).and_then(|lines| place.take(lines)) {
                        outbox.push(origin, lines).await;
                    }
                }
                Err(error) => {
                    result = Err(error);
                    break 'chunks;
                }
            }
        }
        outbox.flush().await;
    }
    for lines in whole.finish().filter_map(|lines| place.take(lines)) {
        outbox.push(origin, lines).await;
    }
    outbox.flush().await;
    result
}
