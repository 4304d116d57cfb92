//! I6: the same log gives the same state, byte for byte, also through snapshots; and the same seed gives the same story.

use server::core::state::read_snapshot;

use crate::log::bytes_of;
use crate::planted::Bug;
use crate::sim::Sim;

const LAW: &str = "i6_determinism";

impl Sim {
    /// Compares what all servers have in the end with what the log made of everything where it was applied first.
    pub fn judge_servers(&mut self) {
        if self.bug.shows_in_rebuilt_state() {
            return;
        }
        let expected = bytes_of(&self.state);
        let other = self.servers.iter().position(|server| bytes_of(&server.replica.state) != expected);
        if let Some(server) = other {
            self.break_law(LAW, format!("server {server} ends in another state"));
        }
    }

    /// Compares a server's state with that of all others, where that was written down; it may keep that as its
    /// snapshot, and go on from what it reads there.
    pub fn compare_with_mark(&mut self, server: usize) {
        let replica = &self.servers[server].replica;
        let Some(mark) = self.log.marks.get(&replica.applied) else { return };
        let bytes = bytes_of(&replica.state);
        if *mark != bytes {
            let what = format!("server {server} differs after {} commands", replica.applied);
            self.break_law(LAW, what);
        }
        if self.dice.log.chance(500) {
            let state = read_snapshot(&mut bytes.as_slice()).expect("a snapshot can be read");
            let replica = &mut self.servers[server].replica;
            (replica.state, replica.snapshot) = (state, Some((replica.applied, bytes)));
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
