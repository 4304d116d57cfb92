//! Whom to dial next, and when.

use std::time::Duration;

use crate::limits::{DIAL_RETRY_FIRST, DIAL_RETRY_MAX};

/// Redirects in a row that are followed at once: servers that disagree about who leads must not be asked in a circle.
const REDIRECTS_AT_ONCE: u32 = 3;

/// The servers, and what dialling them came to.
#[derive(Clone, Debug)]
pub struct Route {
    servers: Vec<String>,
    next: usize,
    /// Who leads, by the word of the last server.
    leader: Option<String>,
    failures: u32,
    redirects: u32,
    /// The longest pause.
    longest: Duration,
}

impl Route {
    /// Begins with the first of these `host:port`.
    #[must_use]
    pub const fn new(servers: Vec<String>) -> Self {
        Self { servers, next: 0, leader: None, failures: 0, redirects: 0, longest: DIAL_RETRY_MAX }
    }

    /// Returns whom to dial and how long to wait before; none when there are no servers. `random` makes the pause differ
    /// between agents: it is between half and all of what has doubled with every failure.
    #[must_use]
    pub fn next(&mut self, random: u64) -> Option<(String, Duration)> {
        let pause = self.pause(random);
        if let Some(leader) = self.leader.take() {
            return Some((leader, pause));
        }
        let server = self.servers.get(self.next % self.servers.len().max(1))?.clone();
        self.next = self.next.wrapping_add(1);
        Some((server, pause))
    }

    /// The last one dialled registered this agent: it is the first to be dialled again. `lease` is how long a server waits for a node
    /// that says nothing. From now on no pause is longer than a quarter of it, because servers that were all away count from when
    /// they are back: an agent must have found the one that leads long before.
    pub fn succeeded(&mut self, server: &str, lease: Duration) {
        self.longest = (lease / 4).clamp(DIAL_RETRY_FIRST, DIAL_RETRY_MAX);
        self.failures = 0;
        self.redirects = 0;
        self.leader = Some(server.to_owned());
    }

    /// The last one dialled did not answer or would not have this agent.
    pub fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// The last one dialled has fallen silent, or took the call and said nothing: its machine is gone or it stands still. It is asked
    /// again only after another one: to wait for it once more takes longer than another leader waits for this agent.
    pub fn silent(&mut self, server: &str) {
        self.failed();
        self.leader = None;
        if self.servers.get(self.next % self.servers.len().max(1)).is_some_and(|next| next == server) {
            self.next = self.next.wrapping_add(1);
        }
    }

    /// The last one dialled named who leads; empty: nobody does. Who is named is dialled at once, however often nobody had answered.
    pub fn redirected(&mut self, leader: &str) {
        self.redirects = self.redirects.saturating_add(1);
        if leader.is_empty() || self.redirects > REDIRECTS_AT_ONCE {
            self.failures = self.failures.saturating_add(1);
        } else {
            self.failures = 0;
        }
        self.leader = Some(leader.to_owned()).filter(|leader| !leader.is_empty());
    }

    fn pause(&self, random: u64) -> Duration {
        let Some(doublings) = self.failures.checked_sub(1) else { return Duration::ZERO };
        let longest = DIAL_RETRY_FIRST.saturating_mul(1 << doublings.min(16)).min(self.longest);
        let half = longest.as_millis() as u64 / 2;
        Duration::from_millis(half + random % (half + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(4);

    fn route() -> Route {
        Route::new(vec!["a:1".into(), "b:1".into()])
    }

    fn dial(route: &mut Route) -> (String, Duration) {
        route.next(u64::MAX).expect("there are servers")
    }

    #[test]
    fn servers_are_dialled_in_turn_and_ever_more_slowly() {
        let mut route = route();
        let mut dialled = Vec::new();
        for _ in 0..9 {
            dialled.push(dial(&mut route));
            route.failed();
        }
        assert_eq!(dialled[0], ("a:1".into(), Duration::ZERO));
        assert_eq!((dialled[1].0.as_str(), dialled[2].0.as_str()), ("b:1", "a:1"));
        assert!(dialled[1].1 >= Duration::from_millis(50) && dialled[1].1 <= Duration::from_millis(100));
        assert!(dialled.iter().all(|(_, pause)| *pause <= DIAL_RETRY_MAX));
        assert!(dialled[8].1 >= DIAL_RETRY_MAX / 2);
    }

    #[test]
    fn a_redirect_is_followed_at_once_but_not_in_a_circle() {
        let mut route = route();
        for _ in 0..3 {
            let _ = dial(&mut route);
            route.redirected("leader:1");
            assert_eq!(dial(&mut route), ("leader:1".into(), Duration::ZERO));
        }
        route.redirected("leader:1");
        assert!(dial(&mut route).1 > Duration::ZERO);
    }

    #[test]
    fn when_nobody_leads_the_next_server_is_asked_after_a_pause() {
        let mut route = route();
        let _ = dial(&mut route);
        route.redirected("");
        let (server, pause) = dial(&mut route);
        assert_eq!(server, "b:1");
        assert!(pause > Duration::ZERO);
    }

    #[test]
    fn a_lost_session_is_resumed_where_it_was_and_then_elsewhere() {
        let mut route = route();
        let (server, _) = dial(&mut route);
        route.succeeded(&server, LEASE);
        assert_eq!(dial(&mut route).0, "a:1");
        route.failed();
        assert_eq!(dial(&mut route).0, "b:1");
    }
    #[test]
    fn who_fell_silent_is_not_the_next_to_be_dialled() {
        let mut route = route();
        let _ = dial(&mut route);
        route.redirected("b:1");
        let (leader, _) = dial(&mut route);
        route.succeeded(&leader, LEASE);
        route.silent(&leader);
        let (other, pause) = dial(&mut route);
        assert_eq!(other, "a:1", "although b:1 was the last good one, and the next in turn");
        assert!(pause <= Duration::from_millis(100));
        route.failed();
        assert_eq!(dial(&mut route).0, "b:1", "it is not forgotten");
    }

    #[test]
    fn an_only_server_that_fell_silent_is_dialled_again() {
        let mut route = Route::new(vec!["a:1".into()]);
        let (server, _) = dial(&mut route);
        route.silent(&server);
        assert_eq!(dial(&mut route).0, "a:1");
    }
    #[test]
    fn who_leads_is_dialled_at_once_however_long_nobody_answered() {
        let mut route = route();
        for _ in 0..9 {
            let _ = dial(&mut route);
            route.failed();
        }
        let _ = dial(&mut route);
        route.redirected("leader:1");
        assert_eq!(dial(&mut route), ("leader:1".into(), Duration::ZERO));
    }

    #[test]
    fn an_agent_with_a_lease_never_pauses_for_long() {
        let mut route = route();
        let (server, _) = dial(&mut route);
        route.succeeded(&server, LEASE);
        for _ in 0..20 {
            assert!(dial(&mut route).1 <= LEASE / 4);
            route.failed();
        }
    }
}
