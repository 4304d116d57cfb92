//! When a certificate is renewed.

use std::time::Duration;

use proto::time::{Timestamp, millis};

use crate::identity::Identity;
use crate::limits::{CLOCK_CHECK, RENEW_AGAIN};

/// What is to be done about a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// Nothing; ask again after this time on a clock that nobody sets.
    Fresh(Duration),
    /// Renew it over a connection that shows it; after a failure try again after this time.
    Due(Duration),
    /// It opens no door any more: enrol with the cluster's key; after a failure try again after this time.
    Expired(Duration),
}

/// Decides about a certificate.
///
/// It is due after about two thirds of its life. `seed` is the member's own number: it moves the time by up to a twelfth of the life to
/// the earlier side, always by the same, so that a cluster that was set up in one go does not renew in one go. A clock that shows a
/// time before the certificate began is believed to be wrong, not the certificate: nothing is due, and the clock is looked at again within
/// [`CLOCK_CHECK`], as it is always.
#[must_use]
pub fn decide(identity: &Identity, now: Timestamp, seed: u64) -> Renewal {
    let life = identity.expires_at.since(identity.begins_at);
    let left = identity.expires_at.since(now);
    if left.is_zero() {
        return Renewal::Expired(RENEW_AGAIN);
    }
    let earlier = Duration::from_millis(seed % (millis(life / 12) + 1));
    let due_at = identity.begins_at.plus(life * 2 / 3 - earlier);
    let wait = due_at.since(now);
    if wait.is_zero() {
        return Renewal::Due((left / 20).clamp(RENEW_AGAIN, CLOCK_CHECK));
    }
    Renewal::Fresh(wait.min(CLOCK_CHECK))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::{Member, Role};

    const DAY: Duration = Duration::from_secs(24 * 3600);
    const BEGIN: Timestamp = Timestamp(1_800_000_000_000);

    fn at(day: u32, seed: u64) -> Renewal {
        let member = Member { role: Role::Agent, name: "a".into(), id: 1 };
        let identity = Identity { member, begins_at: BEGIN, expires_at: BEGIN.plus(DAY * 30) };
        decide(&identity, BEGIN.plus(DAY * day), seed)
    }

    #[test]
    fn it_is_renewed_in_the_last_third_of_its_life() {
        assert_eq!(at(1, 0), Renewal::Fresh(CLOCK_CHECK));
        assert_eq!(at(19, 0), Renewal::Fresh(CLOCK_CHECK));
        assert_eq!(at(20, 0), Renewal::Due(CLOCK_CHECK));
        assert_eq!(at(29, 0), Renewal::Due(CLOCK_CHECK));
        assert_eq!(at(30, 0), Renewal::Expired(RENEW_AGAIN));
        assert_eq!(at(300, 0), Renewal::Expired(RENEW_AGAIN));
    }

    #[test]
    fn members_renew_at_different_times_and_each_at_its_own() {
        let due = |seed| (0..31).find(|day| matches!(at(*day, seed), Renewal::Due(_))).unwrap();
        let days: std::collections::BTreeSet<u32> =
            (0..100u64).map(|n| due(n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
        assert!(days.len() >= 3, "{days:?}");
        assert!(days.iter().all(|day| (18..=20).contains(day)), "{days:?}");
        assert_eq!(due(77), due(77));
        assert!(matches!(at(17, u64::MAX), Renewal::Fresh(_)));
    }

    #[test]
    fn a_clock_that_was_set_is_noticed_within_the_hour_and_renews_nothing_by_mistake() {
        let member = Member { role: Role::Agent, name: "a".into(), id: 1 };
        let identity = Identity { member, begins_at: BEGIN, expires_at: BEGIN.plus(DAY * 30) };
        for wrong in [Timestamp(0), Timestamp(BEGIN.0 - 1)] {
            assert_eq!(decide(&identity, wrong, 0), Renewal::Fresh(CLOCK_CHECK));
        }
    }

    #[test]
    fn tries_get_denser_as_the_end_comes_near() {
        let member = Member { role: Role::Agent, name: "a".into(), id: 1 };
        let identity = Identity { member, begins_at: BEGIN, expires_at: BEGIN.plus(DAY * 30) };
        let left = |left: Duration| {
            decide(&identity, Timestamp(identity.expires_at.0 - proto::time::millis(left)), 0)
        };
        assert_eq!(left(DAY), Renewal::Due(CLOCK_CHECK));
        assert_eq!(left(Duration::from_secs(7200)), Renewal::Due(Duration::from_secs(360)));
        assert_eq!(left(Duration::from_secs(10)), Renewal::Due(RENEW_AGAIN));
    }
}
