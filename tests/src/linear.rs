//! Whether what clients saw could have come from one copy that does one thing at a time (linearizability).
//!
//! The method is Wing and Gong's with Lowe's memory of what was tried, as Porcupine has it: of all that was asked before the first answer that is
//! still open, try each as the next; a set of what is done together with a state is tried once. What got no answer may have happened at any time
//! after it was asked, or never.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;

/// One copy of a thing, that does one operation at a time.
pub trait Model {
    /// What it is.
    type State: Clone + Eq + Hash + Debug;
    /// What is asked of it.
    type Ask: Debug;
    /// What it answers.
    type Answer: Debug;

    /// Returns what it is at first.
    fn start() -> Self::State;

    /// Does what was asked; none where it cannot have given this answer. Without an answer every one is right.
    fn step(state: &Self::State, ask: &Self::Ask, answer: Option<&Self::Answer>) -> Option<Self::State>;
}

/// Something that a client asked. Times are of one clock, in any unit.
#[derive(Clone, Debug)]
pub struct Operation<A, R> {
    /// Who.
    pub client: usize,
    /// When.
    pub asked: u64,
    /// What.
    pub ask: A,
    /// The answer, and when it came; none: it is not known whether it was done.
    pub answer: Option<(u64, R)>,
}

/// What cannot be.
#[derive(Debug)]
pub struct Violation {
    /// How many operations have an order, at most.
    pub explained: usize,
    /// What cannot come after these, each as it was asked and answered.
    pub stuck: Vec<String>,
}

/// Looks for an order of all operations that explains each answer.
///
/// # Errors
/// [`Violation`] where there is none. Cost: exponential in how many are open at the same time, not in how many there are.
pub fn check<M: Model>(history: &[Operation<M::Ask, M::Answer>]) -> Result<(), Violation> {
    let mut seen: HashSet<(Vec<u64>, M::State)> = HashSet::new();
    let mut deepest = (0, Done::none(history.len()));
    let mut open = vec![(Done::none(history.len()), M::start())];
    while let Some((done, state)) = open.pop() {
        let waits = |number: &usize| !done.has(*number);
        let answered = (0..history.len()).filter(waits).filter_map(|number| history[number].answer.as_ref());
        let Some(first) = answered.map(|(at, _)| *at).min() else { return Ok(()) };
        if done.count > deepest.0 {
            deepest = (done.count, done.clone());
        }
        for number in (0..history.len()).filter(waits).filter(|number| history[*number].asked <= first) {
            let Operation { ask, answer, .. } = &history[number];
            let Some(next) = M::step(&state, ask, answer.as_ref().map(|(_, answer)| answer)) else {
                continue;
            };
            let done = done.with(number);
            if seen.insert((done.bits.clone(), next.clone())) {
                open.push((done, next));
            }
        }
    }
    let (explained, done) = deepest;
    let stuck = history.iter().enumerate().filter(|(number, _)| !done.has(*number)).take(8);
    Err(Violation { explained, stuck: stuck.map(|(_, operation)| format!("{operation:?}")).collect() })
}

/// Which operations have their place in the order.
#[derive(Clone, Debug)]
struct Done {
    bits: Vec<u64>,
    count: usize,
}

impl Done {
    fn none(of: usize) -> Self {
        Self { bits: vec![0; of.div_ceil(64)], count: 0 }
    }

    fn has(&self, number: usize) -> bool {
        self.bits[number / 64] >> (number % 64) & 1 == 1
    }

    fn with(&self, number: usize) -> Self {
        let mut bits = self.bits.clone();
        bits[number / 64] |= 1 << (number % 64);
        Self { bits, count: self.count + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::register::{Answer, Ask, Register};

    /// When it was asked, what, and when it was answered, and how.
    type One = (u64, Ask, Option<(u64, Answer)>);

    fn history(of: &[One]) -> Vec<Operation<Ask, Answer>> {
        let one = |(client, (asked, ask, answer)): (usize, &One)| Operation {
            client,
            asked: *asked,
            ask: ask.clone(),
            answer: answer.clone(),
        };
        of.iter().enumerate().map(one).collect()
    }

    fn put(value: u32) -> Ask {
        Ask::Put { value, expected: None }
    }

    fn is_right(of: &[One]) -> bool {
        check::<Register>(&history(of)).is_ok()
    }

    #[test]
    fn who_reads_at_the_same_time_may_see_either_and_who_reads_later_what_was_written() {
        let written = (0, put(7), Some((10, Answer::Written(1))));
        for seen in [None, Some((1, 7))] {
            assert!(is_right(&[written.clone(), (5, Ask::Get, Some((6, Answer::Seen(seen))))]));
        }
        assert!(is_right(&[written.clone(), (11, Ask::Get, Some((12, Answer::Seen(Some((1, 7))))))]));
        assert!(!is_right(&[written, (11, Ask::Get, Some((12, Answer::Seen(None))))]), "a stale read");
    }

    #[test]
    fn nobody_sees_the_old_after_somebody_saw_the_new() {
        let written = (0, put(7), Some((100, Answer::Written(1))));
        let new = (10, Ask::Get, Some((20, Answer::Seen(Some((1, 7))))));
        let old = |at| (at, Ask::Get, Some((at + 5, Answer::Seen(None))));
        assert!(is_right(&[written.clone(), new.clone(), old(18)]), "at the same time as the other");
        assert!(!is_right(&[written, new, old(30)]));
    }

    #[test]
    fn what_got_no_answer_may_have_happened_late_or_never_but_not_before_it_was_asked() {
        let lost = (10, put(7), None);
        let reads = |at, seen| (at, Ask::Get, Some((at + 1, Answer::Seen(seen))));
        assert!(is_right(&[lost.clone(), reads(20, None), reads(1000, Some((1, 7)))]));
        assert!(is_right(&[lost.clone(), reads(1000, None)]));
        assert!(!is_right(&[lost.clone(), reads(1, Some((1, 7)))]));
        assert!(!is_right(&[lost, reads(20, Some((1, 7))), reads(30, None)]), "once done it stays");
    }

    #[test]
    fn a_lost_write_and_one_done_twice_are_found() {
        let first = (0, put(1), Some((1, Answer::Written(1))));
        assert!(
            !is_right(&[first.clone(), (2, put(2), Some((3, Answer::Written(1))))]),
            "the first was lost"
        );
        assert!(!is_right(&[first, (2, put(2), Some((3, Answer::Written(3))))]), "the second was done twice");
    }

    #[test]
    fn only_one_of_two_who_expect_the_same_version_writes() {
        let first = (0, put(1), Some((1, Answer::Written(1))));
        let try_to = |value, answer| (2, Ask::Put { value, expected: Some(1) }, Some((9, answer)));
        assert!(is_right(&[first.clone(), try_to(2, Answer::Written(2)), try_to(3, Answer::Conflict)]));
        assert!(!is_right(&[first.clone(), try_to(2, Answer::Written(2)), try_to(3, Answer::Written(2))]));
        assert!(!is_right(&[first, try_to(2, Answer::Conflict)]), "nothing stood in its way");
    }

    #[test]
    fn a_long_history_with_many_at_a_time_is_checked_quickly() {
        let mut all = Vec::new();
        for round in 0..150u32 {
            let at = u64::from(round) * 100;
            all.push((at, put(round), Some((at + 50, Answer::Written(u64::from(round) + 1)))));
            for _ in 0..8 {
                all.push((
                    at + 1,
                    Ask::Get,
                    Some((at + 60, Answer::Seen(Some((u64::from(round) + 1, round))))),
                ));
            }
        }
        assert!(is_right(&all));
        let Some((_, _, Some((_, Answer::Seen(seen))))) = all.last_mut() else { panic!("a read") };
        *seen = Some((1, 0));
        assert!(!is_right(&all));
    }
}
