//! Whole lines out of pieces, so that lines of several sources do not mix.

use bytes::BytesMut;
use proto::time::Timestamp;

use super::Lines;
use crate::limits;

/// Holds back the lines of a source that are not complete yet.
#[derive(Debug, Default)]
pub(super) struct Whole {
    /// Of standard output and standard error: the bytes, and when they began.
    partial: [(BytesMut, Option<Timestamp>); 2],
}

impl Whole {
    /// Takes in a piece and returns the whole lines that there are; a line beyond [`limits::LOG_LINE_BYTES`] goes out as it is.
    pub(super) fn push(&mut self, piece: Lines) -> Option<Lines> {
        let (partial, began) = &mut self.partial[usize::from(piece.stderr)];
        if partial.is_empty() {
            if piece.data.ends_with(b"\n") {
                return Some(piece);
            }
            *began = piece.time;
        }
        partial.extend_from_slice(&piece.data);
        let whole = partial.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let mut lines = partial.split_to(whole);
        if partial.len() > limits::LOG_LINE_BYTES {
            lines.unsplit(partial.split());
        }
        let given = Lines { stderr: piece.stderr, time: *began, data: lines.freeze() };
        if whole > 0 {
            *began = piece.time;
        }
        (!given.data.is_empty()).then_some(given)
    }

    /// Returns the rest, at the end of the source.
    pub(super) fn finish(&mut self) -> impl Iterator<Item = Lines> {
        let rest = self.partial.iter_mut().zip([false, true]);
        let rest = rest.map(|((partial, time), stderr)| Lines {
            stderr,
            time: *time,
            data: partial.split().freeze(),
        });
        rest.filter(|lines| !lines.data.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(stderr: bool, time: u64, data: &[u8]) -> Lines {
        Lines { stderr, time: Some(Timestamp(time)), data: data.to_vec().into() }
    }

    #[test]
    fn pieces_become_whole_lines_of_their_stream_and_nothing_is_lost() {
        let mut whole = Whole::default();
        assert_eq!(whole.push(lines(false, 1, b"one\ntw")), Some(lines(false, 1, b"one\n")));
        assert_eq!(whole.push(lines(false, 2, b"")), None);
        assert_eq!(whole.push(lines(true, 2, b"err\nmore")), Some(lines(true, 2, b"err\n")));
        assert_eq!(whole.push(lines(false, 3, b"o\nthree\nfou")), Some(lines(false, 1, b"two\nthree\n")));
        assert_eq!(whole.finish().collect::<Vec<_>>(), [lines(false, 3, b"fou"), lines(true, 2, b"more")]);
        assert_eq!(whole.finish().count(), 0);
        assert_eq!(whole.push(lines(false, 4, b"on\n")), Some(lines(false, 4, b"on\n")));
    }

    #[test]
    fn a_line_without_end_costs_bounded_memory() {
        let mut whole = Whole::default();
        let piece = vec![b'x'; 8 << 10];
        let mut given = 0;
        for _ in 0..1000 {
            given += whole.push(lines(true, 1, &piece)).map_or(0, |lines| lines.data.len());
            assert!(whole.partial[1].0.len() <= limits::LOG_LINE_BYTES);
        }
        given += whole.finish().map(|lines| lines.data.len()).sum::<usize>();
        assert_eq!(given, 1000 * piece.len());
    }
}
