//! What is kept of a target, in the order of time as far as nodes know it.
//!
//! Sources are merged as they come: of each no more than a message is held, however long it is. Each keeps its own order, whatever
//! its times say.

use std::collections::VecDeque;

use futures::StreamExt;
use futures::future::join_all;
use proto::error::{Error, Kind};
use proto::ids::NodeId;
use proto::time::{Timestamp, now};

use super::lines::Whole;
use super::outbox::Outbox;
use super::pick::{self, Source};
use super::unreadable::Unreadable;
use super::{Chunks, Lines, Piece, Portion, Reading, Wanted};
use crate::limits;

/// Sends what is kept, and then what could not be read.
pub(super) async fn read(reading: Reading) {
    let state = reading.cluster.snapshot();
    let found = pick::sources(&state, &reading.target, &reading.query);
    if reading.query.portion != Portion::NOTHING {
        reading.tell_left_out(found.left_out).await;
    }
    let asked = |source: &Source<'_>| Asked {
        wanted: source.wanted(reading.query.portion, false),
        origin: source.origin(&state),
        name: source.name(),
        superseded: source.superseded,
    };
    let asked: Vec<Asked> = found.sources.iter().map(asked).collect();
    if asked.len() > limits::LOG_MERGED {
        let notice =
            format!("more than {} tasks: so many at a time are in the order of time", limits::LOG_MERGED);
        reading.tell(Piece::notice(notice, false)).await;
    }
    let (mut unreadable, mut broken) = (Unreadable::default(), Vec::new());
    for asked in asked.chunks(limits::LOG_MERGED) {
        let opened = join_all(asked.iter().map(|asked| reading.sources.open(asked.wanted.clone()))).await;
        let mut lanes = Vec::new();
        for (asked, opened) in asked.iter().zip(opened) {
            match opened {
                Ok(chunks) => lanes.push(Lane::new(asked, chunks)),
                Err(error) => unreadable.note(asked.node(), asked.name.clone(), &error, asked.superseded),
            }
        }
        merge(&mut lanes, Outbox::new(reading.to.clone(), reading.query.times)).await;
        broken.extend(lanes.into_iter().filter_map(Lane::trouble));
    }
    let sentences = unreadable.sentences(&reading.cluster.snapshot(), now());
    let sentences = sentences.into_iter().map(|(notice, missing)| Piece::notice(notice, missing));
    for notice in broken.into_iter().chain(sentences) {
        reading.tell(notice).await;
    }
}

/// A source that is asked for.
struct Asked {
    wanted: Wanted,
    origin: Piece,
    name: String,
    superseded: bool,
}

impl Asked {
    fn node(&self) -> NodeId {
        self.wanted.node
    }
}

async fn merge(lanes: &mut [Lane], mut outbox: Outbox) {
    loop {
        for lane in lanes.iter_mut().filter(|lane| lane.is_due()) {
            outbox.flush().await;
            lane.fill().await;
        }
        let first = lanes.iter_mut().filter(|lane| !lane.ready.is_empty()).min_by_key(|lane| lane.key());
        let Some(lane) = first else { break };
        if let Some(lines) = lane.take() {
            outbox.push(&lane.origin, lines).await;
        }
    }
    outbox.flush().await;
}

/// A source that is being read.
struct Lane {
    origin: Piece,
    superseded: bool,
    chunks: Chunks,
    ended: bool,
    error: Option<Error>,
    whole: Whole,
    ready: VecDeque<Lines>,
    /// The latest time that it gave.
    latest: Option<Timestamp>,
}

impl Lane {
    fn new(asked: &Asked, chunks: Chunks) -> Self {
        Self {
            origin: asked.origin.clone(),
            superseded: asked.superseded,
            chunks,
            ended: false,
            error: None,
            whole: Whole::default(),
            ready: VecDeque::new(),
            latest: None,
        }
    }

    /// Whether nothing can be said of its next line before more of it is read.
    fn is_due(&self) -> bool {
        self.ready.is_empty() && !self.ended
    }

    /// By what it is put in order: never less than what came before it; what has no time comes at once.
    fn key(&self) -> Option<Timestamp> {
        self.latest.max(self.ready.front().and_then(|lines| lines.time))
    }

    fn take(&mut self) -> Option<Lines> {
        self.latest = self.key();
        self.ready.pop_front()
    }

    /// Reads until there is a line, or the end.
    async fn fill(&mut self) {
        while self.is_due() {
            match self.chunks.next().await {
                Some(Ok(lines)) => self.ready.extend(self.whole.push(lines)),
                end => {
                    self.ready.extend(self.whole.finish());
                    self.error = end.and_then(Result::err);
                    self.ended = true;
                }
            }
        }
    }

    /// Says why not all of it could be read. That the output of what was replaced is kept no longer is nothing that a reader of
    /// the replacement must know.
    fn trouble(self) -> Option<Piece> {
        let error = self.error?;
        let gone = error.kind == Kind::NotFound;
        let told = !(gone && self.superseded);
        told.then(|| Piece { notice: error.message, missing: !gone, ..self.origin })
    }
}
