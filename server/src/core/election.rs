//! When a server stands for election, and what it says to another one that wants to.
//!
//! A vote that is asked for raises the term of whoever is asked, and a leader that sees a higher term steps down. So nobody asks for
//! votes before a majority has said that it would give them (pre-vote): a server that was away for a while disturbs nobody.

use std::collections::BTreeSet;
use std::time::Duration;

/// A place in the log. Later terms come after earlier ones; nothing comes before everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The term in which the entry was made.
    pub term: u64,
    /// The server that led then.
    pub leader: u64,
    /// Its number.
    pub index: u64,
}

/// Who decides: one set of servers, or two while the membership changes. A majority of each must agree.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Voters(pub Vec<BTreeSet<u64>>);

impl Voters {
    /// Whether these are enough to decide. Nobody decides for no voters.
    #[must_use]
    pub fn is_majority(&self, agreed: &BTreeSet<u64>) -> bool {
        let enough = |voters: &BTreeSet<u64>| voters.intersection(agreed).count() > voters.len() / 2;
        !self.0.is_empty() && self.0.iter().all(enough)
    }

    /// Every voter once, in order.
    #[must_use]
    pub fn all(&self) -> BTreeSet<u64> {
        self.0.iter().flatten().copied().collect()
    }
}

/// What a server knows when it considers standing.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// Its id.
    pub own: u64,
    /// Who decides.
    pub voters: &'a Voters,
    /// Whether it leads.
    pub leads: bool,
    /// Whether it stands already, and nothing is known of the outcome.
    pub stands: bool,
    /// Time since it heard a leader, or since its start.
    pub silent_for: Duration,
    /// The silence after which it stands: the common one and some chance, so that two rarely stand at once.
    pub patience: Duration,
    /// Until then it stands back: it has given its vote to another one a moment ago.
    pub stands_back_for: Duration,
}

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing until something changes: it leads, or may not.
    Rest,
    /// It looks again after this time.
    Wait(Duration),
    /// It is the only voter: there is nobody to ask and nobody to wait for.
    StandAtOnce,
    /// It asks the others whether they would vote for it.
    Canvass,
}

/// Decides whether a server stands.
#[must_use]
pub fn decide(standing: Standing<'_>) -> Step {
    let voters = standing.voters.all();
    if standing.leads || !voters.contains(&standing.own) {
        return Step::Rest;
    }
    if voters.len() == 1 {
        // Standing alone it cannot lose: its own vote is on its way to the disk.
        return if standing.stands { Step::Rest } else { Step::StandAtOnce };
    }
    let wait = standing.patience.saturating_sub(standing.silent_for).max(standing.stands_back_for);
    if wait.is_zero() { Step::Canvass } else { Step::Wait(wait) }
}

/// What a server knows when another one asks whether it would get its vote.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Time since it heard a leader; of a leader, since a majority last confirmed it.
    pub silent_for: Duration,
    /// The silence below which the leader counts as alive.
    pub lease: Duration,
    /// The end of its log.
    pub last_log: Option<Place>,
}

/// What it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It would vote for who asks.
    Granted,
    /// It has heard the leader a moment ago.
    LeaderLives,
    /// It has something in its log that who asks lacks.
    LogIsBehind,
}

/// Decides whether a server would vote for another one whose log ends at `candidate`.
#[must_use]
pub fn answer(asked: Asked, candidate: Option<Place>) -> Answer {
    if asked.silent_for < asked.lease {
        Answer::LeaderLives
    } else if candidate < asked.last_log {
        Answer::LogIsBehind
    } else {
        Answer::Granted
    }
}

/// Returns who is to lead after this server: the voter with the longest log, of several the lowest id.
#[must_use]
pub fn successor(own: u64, voters: &Voters, matched: &[(u64, Option<Place>)]) -> Option<u64> {
    let voters = voters.all();
    let others = matched.iter().filter(|(id, _)| *id != own && voters.contains(id));
    others.max_by_key(|(id, place)| (*place, std::cmp::Reverse(*id))).map(|(id, _)| *id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_millis(500);
    const PATIENCE: Duration = Duration::from_millis(600);

    fn voters(sets: &[&[u64]]) -> Voters {
        Voters(sets.iter().map(|set| set.iter().copied().collect()).collect())
    }

    fn agreed(ids: &[u64]) -> BTreeSet<u64> {
        ids.iter().copied().collect()
    }

    fn place(term: u64, index: u64) -> Option<Place> {
        Some(Place { term, leader: 1, index })
    }

    fn step(sets: &[&[u64]], leads: bool, silent_ms: u64, back_ms: u64) -> Step {
        decide(Standing {
            own: 1,
            voters: &voters(sets),
            leads,
            stands: false,
            silent_for: Duration::from_millis(silent_ms),
            patience: PATIENCE,
            stands_back_for: Duration::from_millis(back_ms),
        })
    }

    #[test]
    fn a_majority_is_more_than_half_of_every_set() {
        let three = voters(&[&[1, 2, 3]]);
        assert!(three.is_majority(&agreed(&[1, 3])));
        assert!(!three.is_majority(&agreed(&[1])));
        assert!(!three.is_majority(&agreed(&[1, 7, 8, 9])), "strangers do not count");
        let four = voters(&[&[1, 2, 3, 4]]);
        assert!(!four.is_majority(&agreed(&[1, 2])), "half is not more than half");
        let joint = voters(&[&[1, 2, 3], &[3, 4, 5]]);
        assert!(!joint.is_majority(&agreed(&[1, 2, 3])));
        assert!(joint.is_majority(&agreed(&[1, 3, 4])));
        assert!(!voters(&[]).is_majority(&agreed(&[1])), "no voters, no majority");
    }

    #[test]
    fn a_server_alone_waits_for_nobody() {
        assert_eq!(step(&[&[1]], false, 0, 0), Step::StandAtOnce);
        assert_eq!(step(&[&[1]], true, 0, 0), Step::Rest);
    }

    #[test]
    fn who_has_no_vote_never_stands() {
        assert_eq!(step(&[&[2, 3]], false, 10_000, 0), Step::Rest);
        assert_eq!(step(&[], false, 10_000, 0), Step::Rest);
    }

    #[test]
    fn a_server_asks_once_the_leader_was_silent_for_as_long_as_it_waits() {
        let three: &[&[u64]] = &[&[1, 2, 3]];
        assert_eq!(step(three, false, 0, 0), Step::Wait(PATIENCE));
        assert_eq!(step(three, false, 599, 0), Step::Wait(Duration::from_millis(1)));
        assert_eq!(step(three, false, 600, 0), Step::Canvass);
        assert_eq!(step(three, true, 10_000, 0), Step::Rest, "a leader does not ask");
        assert_eq!(
            step(&[&[1], &[1, 2, 3]], false, 600, 0),
            Step::Canvass,
            "alone in one of two sets is not alone"
        );
    }

    #[test]
    fn who_has_voted_for_another_one_stands_back() {
        assert_eq!(step(&[&[1, 2, 3]], false, 10_000, 80), Step::Wait(Duration::from_millis(80)));
        assert_eq!(step(&[&[1, 2, 3]], false, 500, 10), Step::Wait(Duration::from_millis(100)));
    }

    #[test]
    fn who_hears_the_leader_or_knows_more_grants_nothing() {
        let asked = |silent_ms, last_log| Asked {
            silent_for: Duration::from_millis(silent_ms),
            lease: LEASE,
            last_log,
        };
        assert_eq!(answer(asked(499, None), place(9, 9)), Answer::LeaderLives);
        assert_eq!(answer(asked(500, place(2, 7)), place(2, 7)), Answer::Granted);
        assert_eq!(
            answer(asked(500, place(2, 7)), place(3, 1)),
            Answer::Granted,
            "a later term is a longer log"
        );
        assert_eq!(answer(asked(500, place(2, 7)), place(2, 6)), Answer::LogIsBehind);
        assert_eq!(answer(asked(500, place(2, 7)), None), Answer::LogIsBehind);
        assert_eq!(answer(asked(500, None), None), Answer::Granted);
    }

    #[test]
    fn the_freshest_voter_follows() {
        let three = voters(&[&[1, 2, 3]]);
        let matched = [(1, place(3, 9)), (2, place(2, 5)), (3, place(2, 6)), (4, place(2, 9))];
        assert_eq!(successor(1, &three, &matched), Some(3), "neither itself nor who has no vote");
        let level = [(2, place(2, 6)), (3, place(2, 6))];
        assert_eq!(successor(1, &three, &level), Some(2));
        assert_eq!(successor(1, &voters(&[&[1]]), &matched), None);
    }
}
