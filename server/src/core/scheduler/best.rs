//! The best few of many: what a decision looks at again after it has looked at every node once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// From so many on it costs less to sort out from time to time than to keep the best in order.
const FEW: usize = 8;

/// Collects the least of what it is given, at least as many as were asked for.
pub(super) struct Best<T> {
    most: usize,
    /// While only a few are wanted in ascending order.
    kept: Vec<T>,
    /// What can only be too many: nothing that is not less is kept.
    worst: Option<T>,
}

impl<T: Ord + Copy> Best<T> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, kept: Vec::new(), worst: None }
    }

    pub(super) fn push(&mut self, one: T) {
        if self.worst.is_some_and(|worst| one >= worst) {
            return;
        }
        if self.most > FEW {
            self.kept.push(one);
            if self.kept.len() / 2 > self.most {
                self.sort_out();
            }
            return;
        }
        if self.kept.len() == self.most {
            self.kept.pop();
        }
        let at = self.kept.partition_point(|kept| *kept < one);
        self.kept.insert(at, one);
        if self.kept.len() == self.most {
            self.worst = self.kept.last().copied();
        }
    }

    /// Returns what others must be less than to be kept; none: anything is.
    pub(super) fn worst(&self) -> Option<&T> {
        self.worst.as_ref()
    }

    /// Returns them with the least on top.
    pub(super) fn into_heap(mut self) -> BinaryHeap<Reverse<T>> {
        if self.kept.len() > self.most {
            self.sort_out();
        }
        self.kept.into_iter().map(Reverse).collect()
    }

    fn sort_out(&mut self) {
        let (_, worst, _) = self.kept.select_nth_unstable(self.most - 1);
        self.worst = Some(*worst);
        self.kept.truncate(self.most);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_least_come_first_however_many_are_wanted(all in proptest::collection::vec(any::<u32>(), 0..200), most in 1usize..40) {
            let mut best = Best::new(most);
            all.iter().for_each(|one| best.push(*one));
            let mut heap = best.into_heap();
            let taken: Vec<u32> = std::iter::from_fn(|| heap.pop().map(|one| one.0)).take(most).collect();
            let mut sorted = all;
            sorted.sort_unstable();
            sorted.truncate(most);
            prop_assert_eq!(taken, sorted);
        }
    }
}
