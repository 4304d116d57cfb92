//! How far a source was shown, so that one that broke off goes on with the next line: no line is lost, and none comes twice
//! while the node's clock goes forwards. Pure.

use std::time::Duration;

use bytes::Buf;
use proto::time::Timestamp;

use super::{Lines, Portion};

/// Asked for in addition: the times of files are coarser than those of lines. What comes twice by that is left out here.
const MARGIN_MS: u64 = 1000;

/// Lines of one time: when, and how many bytes of them.
type Shown = (Timestamp, u64);

/// What was shown of a source.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// How much of it was asked for at first.
    first: Portion,
    /// Of standard output and standard error the time that was shown last.
    shown: [Option<Shown>; 2],
    /// What was shown before it was opened again.
    skip: [Option<Shown>; 2],
    /// Lines came without a time.
    untimed: bool,
}

impl Place {
    /// Nothing is shown yet.
    pub(super) const fn new(first: Portion) -> Self {
        Self { first, shown: [None; 2], skip: [None; 2], untimed: false }
    }

    /// Whether it is known where to go on.
    pub(super) const fn is_known(&self) -> bool {
        !self.untimed
    }

    /// Begins again; returns how much is to be asked for, and from which time of the node's clock on. `open` is for how long it has
    /// been open, if it ever was.
    pub(super) fn again(&mut self, open: Option<Duration>) -> (Portion, Option<Timestamp>) {
        self.skip = self.shown;
        if self.untimed {
            return (Portion::NOTHING, None);
        }
        let since = self.shown.iter().flatten().map(|(at, _)| *at).min();
        match (since, open) {
            (Some(since), _) => (Portion::default(), Some(Timestamp(since.0.saturating_sub(MARGIN_MS)))),
            (None, None) => (self.first, None),
            // There was nothing in it: whatever it has is new.
            (None, Some(open)) => {
                let margin = Duration::from_millis(MARGIN_MS);
                let all = self.first == Portion::default();
                (Portion { tail: None, last: (!all).then_some(open + margin) }, None)
            }
        }
    }

    /// Takes whole lines of it; returns those that were not shown before.
    pub(super) fn take(&mut self, mut lines: Lines) -> Option<Lines> {
        let which = usize::from(lines.stderr);
        let Some(time) = lines.time else {
            self.untimed = true;
            return Some(lines);
        };
        match &mut self.skip[which] {
            Some((at, _)) if time < *at => return None,
            Some((at, bytes)) if time == *at => {
                let known =
                    usize::try_from(*bytes).map_or(lines.data.len(), |count| count.min(lines.data.len()));
                *bytes -= known as u64;
                lines.data.advance(known);
                if *bytes == 0 {
                    self.skip[which] = None;
                }
            }
            // Beyond it all is new, also where the clock goes back.
            skip => *skip = None,
        }
        let bytes = lines.data.len() as u64;
        if bytes == 0 {
            return None;
        }
        let shown = &mut self.shown[which];
        *shown = Some(match *shown {
            Some((at, known)) if at == time => (at, known + bytes),
            _ => (time, bytes),
        });
        Some(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(stderr: bool, ms: u64, text: &'static str) -> Lines {
        Lines { stderr, time: Some(Timestamp(ms)), data: text.into() }
    }

    fn text(place: &mut Place, all: &[(bool, u64, &'static str)]) -> String {
        let taken = all.iter().filter_map(|(stderr, ms, text)| place.take(lines(*stderr, *ms, text)));
        taken.map(|lines| String::from_utf8(lines.data.to_vec()).unwrap()).collect()
    }

    #[test]
    fn it_goes_on_behind_the_last_line_also_within_a_millisecond() {
        let mut place = Place::new(Portion::NOTHING);
        let before =
            [(false, 5_000, "a\n"), (false, 5_001, "b\n"), (true, 5_003, "E\n"), (false, 5_001, "c\n")];
        assert_eq!(text(&mut place, &before), "a\nb\nE\nc\n");
        assert_eq!(place.again(None), (Portion::default(), Some(Timestamp(4_001))), "the older of both");
        let kept =
            [(false, 5_000, "a\n"), (false, 5_001, "b\nc\nd\n"), (true, 5_003, "E\n"), (false, 5_004, "e\n")];
        assert_eq!(text(&mut place, &kept), "d\ne\n");
        place.again(None);
        let kept = [
            (false, 5_001, "b\nc\nd\n"),
            (true, 5_003, "E\nF\n"),
            (false, 5_004, "e\n"),
            (false, 4_000, "f\n"),
        ];
        assert_eq!(text(&mut place, &kept), "F\nf\n", "a clock that goes back hides nothing that is new");
    }

    #[test]
    fn where_nothing_was_shown_all_since_the_opening_is_new() {
        let tail = Portion { tail: Some(3), last: None };
        assert_eq!(Place::new(tail).again(None), (tail, None), "it was never open");
        let open = Duration::from_secs(9);
        let since_then = Portion { tail: None, last: Some(Duration::from_secs(10)) };
        assert_eq!(Place::new(tail).again(Some(open)), (since_then, None));
        assert_eq!(Place::new(Portion::default()).again(Some(open)), (Portion::default(), None));
    }

    #[test]
    fn lines_without_times_have_no_place() {
        let mut place = Place::new(Portion::default());
        assert!(place.take(Lines { time: None, ..lines(false, 0, "a\n") }).is_some());
        assert!(!place.is_known());
        assert_eq!(place.again(None), (Portion::NOTHING, None));
    }
}
