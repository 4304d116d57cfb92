//! The best few of many: what a decision looks at again after it has looked at every node once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// From so many on it costs less to keep everything than to keep the best in order.
const FEW: usize = 8;

/// Collects the least of what it is given, at least as many as were asked for.
pub(super) struct Best<T> {
    most: usize,
    /// While only a few are wanted in ascending order.
    kept: Vec<T>,
}

impl<T: Ord + Copy> Best<T> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, kept: Vec::new() }
    }

    pub(super) fn push(&mut self, one: T) {
        if self.most > FEW {
            self.kept.push(one);
            return;
        }
        if self.kept.len() == self.most {
            if self.kept.last().is_some_and(|worst| one >= *worst) {
                return;
            }
            self.kept.pop();
        }
        let at = self.kept.partition_point(|kept| *kept < one);
        self.kept.insert(at, one);
    }

    /// Returns them with the least on top.
    pub(super) fn into_heap(mut self) -> BinaryHeap<Reverse<T>> {
        if self.most > FEW && self.kept.len() / 2 > self.most {
            self.kept.select_nth_unstable(self.most);
            self.kept.truncate(self.most);
        }
        self.kept.into_iter().map(Reverse).collect()
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
