//! The limit of placement: a tournament tree that knows the best fit of every node and nothing else.

use std::hint::black_box;
use std::time::Instant;

/// What one allocation takes, in the units of [`FREE`].
const TAKEN: u32 = 50;
/// What a node has at first: beyond what any run of this takes.
const FREE: u32 = 1 << 30;

/// Places allocations one after another on that many nodes; returns how many a second.
pub(crate) fn per_second(nodes: usize, count: usize) -> f64 {
    let leaves = nodes.next_power_of_two();
    let mut free = vec![FREE; nodes];
    let begun = Instant::now();
    // The root is 1; the fuller of two nodes wins, and what nothing fits on is 0.
    let mut tree = vec![0u32; 2 * leaves];
    for (node, free) in free.iter().enumerate() {
        tree[leaves + node] = u32::MAX - free;
    }
    for at in (1..leaves).rev() {
        tree[at] = tree[2 * at].max(tree[2 * at + 1]);
    }
    for _ in 0..count {
        let best = tree[1];
        let mut at = 1;
        while at < leaves {
            at = if tree[2 * at] == best { 2 * at } else { 2 * at + 1 };
        }
        free[at - leaves] -= TAKEN;
        tree[at] = u32::MAX - free[at - leaves];
        while at > 1 {
            at /= 2;
            tree[at] = tree[2 * at].max(tree[2 * at + 1]);
        }
    }
    black_box(&tree);
    count as f64 / begun.elapsed().as_secs_f64()
}
