//! When the keeper may go: the decision, apart from the doing.

use std::time::Duration;

use crate::limits::{KEEPER_IDLE_EXIT, KEEPER_LEAVE_WISH};

/// How long a keeper that ends with its agent waits for the first one to connect.
const FIRST_AGENT_MS: u64 = 30_000;

/// What the keeper knows about being needed; times in ms of boot time.
#[derive(Debug)]
pub(super) struct Idle {
    end_with_agent_ms: Option<u64>,
    /// Since when there is no agent; `None` while there is one.
    alone_since: Option<u64>,
    seen_agent: bool,
    wish_until: u64,
    ordered: bool,
    /// Whether everything is being ended; it is not taken back.
    ending: bool,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Stay, and look again at this time if any.
    Stay(Option<u64>),
    /// End all attempts, then leave.
    EndAll,
    /// Leave now.
    Leave,
}

impl Idle {
    pub(super) fn new(end_with_agent: Option<Duration>, now: u64) -> Idle {
        let end_with_agent_ms = end_with_agent.map(|wait| wait.as_millis() as u64);
        Idle {
            end_with_agent_ms,
            alone_since: Some(now),
            seen_agent: false,
            wish_until: 0,
            ordered: false,
            ending: false,
        }
    }

    /// Notes how many agents are connected.
    pub(super) fn note_agents(&mut self, agents: usize, now: u64) {
        if agents > 0 {
            self.alone_since = None;
            self.seen_agent = true;
        } else {
            self.alone_since.get_or_insert(now);
        }
    }

    /// Somebody sent SIGTERM: leave if all attempts end soon, and no agent is connected then or goes soon. An agent whose
    /// keeper leaves can start nothing any more: it would have to be started again itself.
    pub(super) fn wish_to_leave(&mut self, now: u64) {
        self.wish_until = now + KEEPER_LEAVE_WISH.as_millis() as u64;
    }

    /// An agent ordered an empty keeper to leave.
    pub(super) fn order_to_leave(&mut self) {
        self.ordered = true;
    }

    /// Whether nothing may be started any more.
    pub(super) fn is_leaving(&self) -> bool {
        self.ordered || self.ending
    }

    /// Whether no agent is connected.
    pub(super) fn is_alone(&self) -> bool {
        self.alone_since.is_some()
    }

    /// Decides, given how many attempts run, how many ends are not collected, and whether an agent could still connect: whose
    /// data directory was removed never hears of one again.
    pub(super) fn decide(
        &mut self,
        running: usize,
        uncollected: usize,
        is_reachable: bool,
        now: u64,
    ) -> Verdict {
        if running == 0 && self.is_alone() && !is_reachable {
            return Verdict::Leave;
        }
        let is_wished = now < self.wish_until && self.alone_since.is_some();
        if running == 0 && (self.ordered || is_wished) {
            return Verdict::Leave;
        }
        let wish = Some(self.wish_until).filter(|&until| until > now);
        if let Some(wait) = self.end_with_agent_ms {
            let wait = if self.seen_agent { wait } else { wait.max(FIRST_AGENT_MS) };
            self.ending |= self.alone_since.is_some_and(|since| now >= since + wait);
            return match self.ending {
                true if running == 0 => Verdict::Leave,
                true => Verdict::EndAll,
                false => Verdict::Stay(self.alone_since.map(|since| since + wait)),
            };
        }
        match self.alone_since {
            Some(since) if running + uncollected == 0 => {
                let at = since + KEEPER_IDLE_EXIT.as_millis() as u64;
                if now >= at { Verdict::Leave } else { Verdict::Stay(Some(at)) }
            }
            _ => Verdict::Stay(wish),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTES: u64 = 60_000;

    #[test]
    fn a_keeper_stays_for_tasks_and_uncollected_ends_without_any_agent() {
        let mut idle = Idle::new(None, 0);
        assert_eq!(idle.decide(1, 0, true, 1000 * MINUTES), Verdict::Stay(None));
        assert_eq!(idle.decide(0, 1, true, 1000 * MINUTES), Verdict::Stay(None));
        assert_eq!(idle.decide(0, 0, true, MINUTES), Verdict::Stay(Some(5 * MINUTES)));
        assert_eq!(idle.decide(0, 0, true, 5 * MINUTES), Verdict::Leave);
    }

    #[test]
    fn a_connected_agent_keeps_an_empty_keeper() {
        let mut idle = Idle::new(None, 0);
        idle.note_agents(1, 10);
        assert_eq!(idle.decide(0, 0, true, 1000 * MINUTES), Verdict::Stay(None));
        idle.note_agents(0, 1000 * MINUTES);
        assert_eq!(idle.decide(0, 0, true, 1000 * MINUTES), Verdict::Stay(Some(1005 * MINUTES)));
    }

    #[test]
    fn a_keeper_whose_data_directory_is_gone_stays_for_its_tasks_and_nothing_else() {
        let mut idle = Idle::new(None, 0);
        idle.note_agents(1, 10);
        assert_eq!(idle.decide(0, 0, false, 20), Verdict::Stay(None), "an agent is connected");
        idle.note_agents(0, 30);
        assert_eq!(idle.decide(1, 0, false, 40), Verdict::Stay(None));
        assert_eq!(idle.decide(0, 3, false, 50), Verdict::Leave, "nobody can collect these ends");
    }

    #[test]
    fn in_dev_everything_ends_some_time_after_the_agent() {
        let mut idle = Idle::new(Some(Duration::from_secs(5)), 0);
        assert_eq!(idle.decide(0, 0, true, 6000), Verdict::Stay(Some(30_000)));
        idle.note_agents(1, 7000);
        assert_eq!(idle.decide(3, 0, true, 100_000), Verdict::Stay(None));
        idle.note_agents(0, 100_000);
        assert_eq!(idle.decide(3, 0, true, 104_999), Verdict::Stay(Some(105_000)));
        assert_eq!(idle.decide(3, 0, true, 105_000), Verdict::EndAll);
        idle.note_agents(1, 105_001);
        assert_eq!(idle.decide(3, 2, true, 105_002), Verdict::EndAll);
        assert_eq!(idle.decide(0, 5, true, 105_003), Verdict::Leave);
        assert!(idle.is_leaving());
    }

    #[test]
    fn a_sigterm_is_a_wish_that_passes() {
        let mut idle = Idle::new(None, 0);
        idle.wish_to_leave(1000);
        assert_eq!(idle.decide(1, 0, true, 1000), Verdict::Stay(Some(11_000)));
        assert_eq!(idle.decide(0, 1, true, 2000), Verdict::Leave);
        assert_eq!(idle.decide(0, 1, true, 12_000), Verdict::Stay(None));
    }

    #[test]
    fn a_sigterm_takes_no_keeper_from_a_connected_agent() {
        let mut idle = Idle::new(None, 0);
        idle.note_agents(1, 10);
        idle.wish_to_leave(1000);
        assert_eq!(idle.decide(0, 0, true, 1000), Verdict::Stay(Some(11_000)));
        idle.note_agents(0, 5000);
        assert_eq!(idle.decide(0, 0, true, 5000), Verdict::Leave);

        let mut idle = Idle::new(Some(Duration::from_secs(5)), 0);
        idle.note_agents(1, 10);
        idle.wish_to_leave(1000);
        assert_eq!(idle.decide(0, 0, true, 1000), Verdict::Stay(None));
        idle.order_to_leave();
        assert_eq!(idle.decide(0, 0, true, 1000), Verdict::Leave);
    }
}
