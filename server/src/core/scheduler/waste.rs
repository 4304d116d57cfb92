//! How badly an allocation would leave a node filled: what is free, and what one dimension would strand of the other.
//!
//! Best fit alone begins no node before the others are full, and so has few to choose from: nodes end with all memory taken and cpu left
//! over, or the other way round. What is stranded is therefore worth many times what is free: it is better to begin another node. But
//! only what nothing will use is stranded. A fleet whose work takes memory above all leaves cpu over wherever it goes: a node is in balance
//! when its cpu and memory are used as those of all nodes together. And while much of a node is free, much can still be made good.

use crate::core::state::{Load, Score};

/// What is stranded, this many times.
const STRANDED: f32 = 32.0;
/// A node that is out of balance by less than this part of what is free strands nothing.
const MADE_GOOD: f32 = 0.75;
/// Weights are whole multiples of the inverse, so that they are exact.
const STEPS: u64 = 64;
/// Thousandths that every load counts more: work that has hardly begun says little of what will come.
const UNKNOWN: u64 = 50;

/// The score of a node for a group; what is less is better.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waste {
    /// Where cpu is used more than it should be.
    of_cpu: Slope,
    /// Where memory is.
    of_memory: Slope,
}

/// By how much the waste grows or shrinks with the parts that are in use.
#[derive(Clone, Copy, Debug)]
struct Slope {
    cpu: f32,
    memory: f32,
    at_nothing: f32,
}

impl Waste {
    /// Returns the score for work on nodes with that load together.
    pub(super) fn of(load: Load) -> Self {
        let (cpu, memory) = (load.cpu_permille() + UNKNOWN, load.memory_permille() + UNKNOWN);
        let most = cpu.max(memory);
        // The dimension that is scarcer counts as it is, the other as much less as there is more of it than needed.
        let part = |of: u64| ((2 * of * STEPS + most) / (2 * most)) as f32 / STEPS as f32;
        let (by_cpu, by_memory) = (part(memory), part(cpu));
        // free + STRANDED * (imbalance - MADE_GOOD * free), with free = 2 - cpu - memory and the imbalance of either sign.
        let of_free = 1.0 - STRANDED * MADE_GOOD;
        let slope = |sign: f32| Slope {
            cpu: sign * STRANDED * by_cpu - of_free,
            memory: -sign * STRANDED * by_memory - of_free,
            at_nothing: 2.0 * of_free,
        };
        Self { of_cpu: slope(1.0), of_memory: slope(-1.0) }
    }
}

impl Slope {
    /// What is free.
    const FREE: Self = Self { cpu: -1.0, memory: -1.0, at_nothing: 2.0 };

    /// Every step of it keeps the order of floats, in each part.
    fn at(self, cpu: f32, memory: f32) -> f32 {
        self.cpu * cpu + self.memory * memory + self.at_nothing
    }

    fn least(self, cpu: (f32, f32), memory: (f32, f32)) -> f32 {
        let end = |slope: f32, (least, most): (f32, f32)| if slope < 0.0 { most } else { least };
        self.at(end(self.cpu, cpu), end(self.memory, memory))
    }
}

impl Score for Waste {
    fn of(&self, cpu: f32, memory: f32) -> u32 {
        self.least((cpu, cpu), (memory, memory))
    }

    fn least(&self, cpu: (f32, f32), memory: (f32, f32)) -> u32 {
        let at_most_all = |(least, most): (f32, f32)| (least.min(1.0), most.min(1.0));
        let (cpu, memory) = (at_most_all(cpu), at_most_all(memory));
        let waste = self.of_cpu.least(cpu, memory).max(self.of_memory.least(cpu, memory));
        // Within the bounds another node has the least of each, so that this is at most what any has.
        (waste.max(Slope::FREE.least(cpu, memory)) * 1000.0) as u32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn load(cpu: u128, memory: u128) -> Load {
        Load { cpu_used: cpu, cpu_all: 1000, memory_used: memory, memory_all: 1000 }
    }

    #[test]
    fn a_balanced_node_wastes_what_is_free() {
        let waste = Waste::of(load(500, 500));
        assert_eq!((waste.of(1.0, 1.0), waste.of(0.5, 0.5), waste.of(0.0, 0.0)), (0, 1000, 2000));
    }

    #[test]
    fn another_node_is_begun_rather_than_that_memory_is_stranded() {
        let waste = Waste::of(load(500, 500));
        assert!(waste.of(1.0, 0.6) > waste.of(0.3, 0.1), "cpu is gone");
        assert!(waste.of(0.6, 0.4) < waste.of(0.3, 0.1), "there is room to make it good");
    }

    #[test]
    fn where_all_work_takes_memory_above_all_that_is_balance() {
        let waste = Waste::of(load(50, 950));
        assert!(waste.of(0.05, 0.95) < waste.of(0.03, 0.5), "what is begun is filled");
        let even = Waste::of(load(500, 500));
        assert!(even.of(0.05, 0.95) > even.of(0.03, 0.5));
    }

    #[test]
    fn nodes_that_have_nothing_are_no_load() {
        let nothing = Load { cpu_used: 0, cpu_all: 0, memory_used: 0, memory_all: 0 };
        assert_eq!(Waste::of(nothing).of(0.5, 0.5), 1000);
    }

    proptest! {
        /// A page is passed over only by what holds of each of its nodes, to the last bit.
        #[test]
        fn no_score_within_bounds_is_below_the_least(
            used in (0u128..=1000, 0u128..=1000),
            cpu in (0f32..1.2, 0f32..1.2, 0f32..=1.0),
            memory in (0f32..1.2, 0f32..1.2, 0f32..=1.0),
        ) {
            let waste = Waste::of(load(used.0, used.1));
            let bounds = |(a, b, _): (f32, f32, f32)| (a.min(b), a.max(b));
            let within = |(a, b, at): (f32, f32, f32)| (a + (b - a) * at).clamp(a.min(b), a.max(b));
            let least = waste.least(bounds(cpu), bounds(memory));
            prop_assert!(least <= waste.of(within(cpu), within(memory)));
        }
    }
}
