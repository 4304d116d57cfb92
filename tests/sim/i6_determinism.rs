//! I6: the same log gives the same state, byte for byte, also through snapshots; and the same seed gives the same story.

use server::core::state::{State, decode_command, read_snapshot};

use crate::log::bytes_of;
use crate::planted::Bug;
use crate::sim::Sim;

impl Sim {
    /// Replays everything in the three ways in which a server may come to its state.
    pub fn judge_replay(&mut self) {
        // A planted mistake is not in the log.
        if self.bug != Bug::None {
            return;
        }
        let expected = bytes_of(&self.state);
        let mut replayed = State::default();
        for (at, bytes) in self.log.committed.iter().enumerate() {
            // A restart in the middle, at a place that depends on the seed.
            if at as u64 % 97 == self.seed % 97 {
                replayed =
                    read_snapshot(&mut bytes_of(&replayed).as_slice()).expect("a snapshot can be read");
            }
            replayed.apply(decode_command(bytes).expect("a command can be read"));
        }
        if bytes_of(&replayed) != expected {
            self.break_law("i6_determinism", "the whole log replayed gives another state".into());
        }
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let story = |seed| {
        let mut sim = Sim::new(seed, Bug::None, true);
        sim.run();
        (sim.trace.lines, bytes_of(&sim.state))
    };
    for seed in [3, 14] {
        let (first, second) = (story(seed), story(seed));
        assert_eq!(first.0, second.0, "seed {seed}");
        assert!(first.1 == second.1, "seed {seed} ends in two states");
    }
}
