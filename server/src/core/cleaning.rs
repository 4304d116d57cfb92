//! Which servers are gone for so long that the cluster is better off without them.
//!
//! A server that is dead and still counts makes the next loss one too many; removing one makes the majority smaller. So it is removed only where those that remain are
//! all there and could lose one of them, and never more than one at a time.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::limits::VOTERS_LEAST;

/// A server, as the one that leads sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Which.
    pub id: u64,
    /// Whether it decides with the others.
    pub votes: bool,
    /// Whether it answers at this moment.
    pub answers: bool,
}

/// For how long servers have not answered. A leader begins with an empty one: it knows nothing of what others have seen.
#[derive(Clone, Debug, Default)]
pub struct Silences(BTreeMap<u64, Duration>);

impl Silences {
    /// Notes what was seen. `passed` is the time since the last look, and what is longer than `most` of it counts for nothing: a leader that stood still itself has
    /// seen nobody be silent.
    pub fn note(&mut self, servers: &[Seen], passed: Duration, most: Duration) {
        let silent = |server: &&Seen| {
            let before = self.0.get(&server.id).map(|before| *before + passed.min(most));
            (server.id, before.unwrap_or_default())
        };
        self.0 = servers.iter().filter(|server| !server.answers).map(|server| silent(&server)).collect();
    }

    /// Returns the server to remove, if there is one: silent for longer than `timeout`, while all others that vote answer, and are [`VOTERS_LEAST`] at least. Of
    /// several the one that was silent for longest.
    #[must_use]
    pub fn gone(&self, servers: &[Seen], timeout: Duration) -> Option<u64> {
        let silent = |server: &&Seen| self.0.get(&server.id).copied().unwrap_or_default();
        let dead = servers.iter().filter(|server| !server.answers && silent(server) >= timeout);
        let dead = dead.max_by_key(silent)?;
        let mut rest = servers.iter().filter(|server| server.votes && server.id != dead.id);
        let (count, all_answer) = (rest.clone().count(), rest.all(|server| server.answers));
        (count >= VOTERS_LEAST && all_answer).then_some(dead.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// Voters by whether they answer.
    fn voters(answer: &[bool]) -> Vec<Seen> {
        let seen = |(id, answers): (usize, &bool)| Seen { id: id as u64, votes: true, answers: *answers };
        answer.iter().enumerate().map(seen).collect()
    }

    /// Looks once an hour, so often.
    fn after(hours: u32, servers: &[Seen]) -> Silences {
        let mut silences = Silences::default();
        for _ in 0..=hours {
            silences.note(servers, HOUR, HOUR);
        }
        silences
    }

    #[test]
    fn a_server_that_is_silent_for_longer_than_the_setting_says_is_removed_where_three_remain() {
        let four = voters(&[true, true, true, false]);
        assert_eq!(after(2, &four).gone(&four, 3 * HOUR), None, "not yet");
        assert_eq!(after(3, &four).gone(&four, 3 * HOUR), Some(3));
        let three = voters(&[true, true, false]);
        assert_eq!(after(99, &three).gone(&three, 3 * HOUR), None, "two could lose none");
    }

    #[test]
    fn nobody_is_removed_while_another_voter_is_away() {
        let five = voters(&[true, true, true, false, false]);
        assert_eq!(after(99, &five).gone(&five, HOUR), None);
        let six = voters(&[true, true, true, true, true, false]);
        assert_eq!(after(99, &six).gone(&six, HOUR), Some(5));
    }

    #[test]
    fn one_that_only_learns_is_removed_too_and_does_not_count_among_those_that_remain() {
        let mut four = voters(&[true, true, true, false]);
        four[3].votes = false;
        assert_eq!(after(5, &four).gone(&four, HOUR), Some(3));
        let mut three = voters(&[true, true, true, false]);
        three[2].votes = false;
        assert_eq!(after(5, &three).gone(&three, HOUR), None, "two vote");
    }

    #[test]
    fn an_answer_ends_a_silence_and_a_leader_that_stood_still_has_seen_none() {
        let (away, back) = (voters(&[true, true, true, false]), voters(&[true; 4]));
        let mut silences = after(2, &away);
        silences.note(&back, HOUR, HOUR);
        silences.note(&away, HOUR, HOUR);
        assert_eq!(silences.gone(&away, HOUR), None);
        let mut silences = after(0, &away);
        silences.note(&away, 99 * HOUR, HOUR);
        assert_eq!(silences.gone(&away, 2 * HOUR), None);
    }
}
