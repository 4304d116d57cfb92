//! Lines on their way to the reader: as large pieces as can be, so that millions of lines are no millions of messages.

use bytes::BytesMut;
use tokio::sync::mpsc::Sender;

use super::{Lines, Piece};
use crate::limits;

/// Holds a piece back until the next line does not belong to it.
pub(super) struct Outbox {
    to: Sender<Piece>,
    times: bool,
    piece: Piece,
    data: BytesMut,
}

impl Outbox {
    /// With `times` a piece is of one time, else none has one.
    pub(super) fn new(to: Sender<Piece>, times: bool) -> Self {
        Self { to, times, piece: Piece::notice(String::new(), false), data: BytesMut::new() }
    }

    /// Takes lines of a source.
    pub(super) async fn push(&mut self, origin: &Piece, lines: Lines) {
        let time = lines.time.filter(|_| self.times);
        let held = &self.piece;
        let same = (held.alloc, held.stderr, held.time) == (origin.alloc, lines.stderr, time)
            && held.task == origin.task
            && self.data.len() + lines.data.len() <= limits::LOG_PIECE_BYTES;
        if !same {
            self.flush().await;
            self.piece = Piece { stderr: lines.stderr, time, ..origin.clone() };
        }
        self.data.extend_from_slice(&lines.data);
    }

    /// Sends what is held back.
    pub(super) async fn flush(&mut self) {
        if !self.data.is_empty() {
            let piece = Piece { data: self.data.split().freeze(), ..self.piece.clone() };
            // Nobody listens any more: the reading ends on its own.
            self.to.send(piece).await.ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use proto::ids::AllocId;
    use proto::time::Timestamp;

    use super::*;

    async fn pieces(times: bool) -> Vec<(u64, bool, Option<u64>, String)> {
        let (to, mut sent) = tokio::sync::mpsc::channel(32);
        let mut outbox = Outbox::new(to, times);
        for (alloc, stderr, ms, text) in
            [(1, false, 1, "a\n"), (1, false, 2, "b\n"), (1, true, 2, "c\n"), (2, true, 2, "d\n")]
        {
            let origin = Piece { alloc: AllocId(alloc), ..Piece::notice(String::new(), false) };
            outbox.push(&origin, Lines { stderr, time: Some(Timestamp(ms)), data: text.into() }).await;
        }
        outbox.flush().await;
        drop(outbox);
        let mut all = Vec::new();
        while let Some(piece) = sent.recv().await {
            let text = String::from_utf8(piece.data.to_vec()).expect("text");
            all.push((piece.alloc.0, piece.stderr, piece.time.map(|time| time.0), text));
        }
        all
    }

    #[tokio::test]
    async fn a_piece_is_of_one_source_and_stream_and_of_one_time_where_times_are_asked_for() {
        let piece = |alloc, stderr, ms, text: &str| (alloc, stderr, ms, text.to_owned());
        let expected =
            [piece(1, false, None, "a\nb\n"), piece(1, true, None, "c\n"), piece(2, true, None, "d\n")];
        assert_eq!(pieces(false).await, expected);
        assert_eq!(pieces(true).await.len(), 4);
        assert_eq!(pieces(true).await[1], piece(1, false, Some(2), "b\n"));
    }
}
