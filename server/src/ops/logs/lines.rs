//! Whole lines out of pieces, so that lines of several sources do not mix.

use bytes::{Bytes, BytesMut};

use crate::limits;

/// Holds back the line that is not complete yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: BytesMut,
}

impl Lines {
    /// Takes in a piece and returns the whole lines that there are; a line beyond [`limits::LOG_LINE_BYTES`] goes out as it is.
    pub(super) fn push(&mut self, piece: &[u8]) -> Bytes {
        self.partial.extend_from_slice(piece);
        let whole = self.partial.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let mut lines = self.partial.split_to(whole);
        if self.partial.len() > limits::LOG_LINE_BYTES {
            lines.unsplit(self.partial.split());
        }
        lines.freeze()
    }

    /// Returns the rest, at the end of the source.
    pub(super) fn finish(&mut self) -> Bytes {
        self.partial.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_whole_lines_and_nothing_is_lost() {
        let mut lines = Lines::default();
        assert_eq!(lines.push(b"one\ntw"), "one\n");
        assert_eq!(lines.push(b""), "");
        assert_eq!(lines.push(b"o\nthree\nfou"), "two\nthree\n");
        assert_eq!(lines.finish(), "fou");
        assert_eq!(lines.finish(), "");
    }

    #[test]
    fn a_line_without_end_costs_bounded_memory() {
        let mut lines = Lines::default();
        let piece = vec![b'x'; 8 << 10];
        let mut given = 0;
        for _ in 0..1000 {
            given += lines.push(&piece).len();
            assert!(lines.partial.len() <= limits::LOG_LINE_BYTES);
        }
        assert_eq!(given + lines.finish().len(), 1000 * piece.len());
    }
}
