//! What the workload does to a store, the same for the same seed in the process that does it and in the test that
//! checks what is left.

use std::collections::BTreeMap;

/// A small generator (splitmix64): the same numbers everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn chance(&mut self, one_in: u64) -> bool {
        self.below(one_in) == 0
    }
}

/// One call of the store.
#[derive(Clone, Debug)]
pub enum Op {
    Append { first: u64, lengths: Vec<usize> },
    Vote,
    Committed,
    Truncate(u64),
    Purge(u64),
}

/// The log begins here: a purge and an append soon cross the edge of one of sled's trees.
const START: u64 = 4096 - 60;

/// The ops of a seed. They keep the contract of the store.
pub fn script(seed: u64, count: usize) -> Vec<Op> {
    let mut random = Random(seed);
    let mut ops = vec![Op::Purge(START - 1)];
    let (mut first, mut next) = (START, START);
    while ops.len() < count {
        ops.push(match random.below(20) {
            0..=12 => {
                let records = 1 + random.below(6);
                let lengths = (0..records).map(|_| length(&mut random)).collect();
                let op = Op::Append { first: next, lengths };
                next += records;
                op
            }
            13..=14 => Op::Vote,
            15..=17 => Op::Committed,
            18 if next > first => {
                next -= random.below((next - first).min(12)) + 1;
                Op::Truncate(next)
            }
            19 if next > first + 40 => {
                first += random.below(30) + 1;
                Op::Purge(first - 1)
            }
            _ => continue,
        });
    }
    ops
}

fn length(random: &mut Random) -> usize {
    match random.below(60) {
        0 => 0,
        // More than one part in sled.
        1 => 150_000,
        2..=8 => 3000 + random.below(3000) as usize,
        _ => 20 + random.below(400) as usize,
    }
}

/// The record that op number `op` appends at `index`.
pub fn record(op: usize, index: u64, len: usize) -> Vec<u8> {
    let mut random = Random(index.wrapping_mul(0x1_0001) ^ (op as u64) << 40);
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        bytes.extend_from_slice(&random.next().to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// What op number `op` saves or leaves in place of what it purged.
pub fn note(op: usize) -> Vec<u8> {
    format!("op {op}").into_bytes()
}

/// What a store holds after some ops.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// The op that wrote each entry, and its length.
    pub entries: BTreeMap<u64, (usize, usize)>,
    pub vote: Option<Vec<u8>>,
    pub committed: Option<Vec<u8>>,
    pub purged: Option<(u64, Vec<u8>)>,
}

impl Model {
    pub fn apply(&mut self, number: usize, op: &Op) {
        match op {
            Op::Append { first, lengths } => {
                self.entries.extend((*first..).zip(lengths.iter().map(|len| (number, *len))));
            }
            Op::Vote => self.vote = Some(note(number)),
            Op::Committed => self.committed = Some(note(number)),
            Op::Truncate(index) => drop(self.entries.split_off(index)),
            Op::Purge(index) => {
                self.entries = self.entries.split_off(&(index + 1));
                self.purged = Some((*index, note(number)));
            }
        }
    }
}
