//! What a server does about the cluster's CA and about its own certificate.

/// What there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)]
pub struct Facts {
    /// This server leads.
    pub leads: bool,
    /// The state has a CA.
    pub is_in_state: bool,
    /// This server keeps one itself, from before the state could.
    pub is_kept: bool,
    /// It believes the state's CA, and shows a certificate.
    pub is_enrolled: bool,
    /// Its certificate is to be renewed.
    pub is_due: bool,
    /// The state says what lets administrators in.
    pub has_token: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing.
    Rest,
    /// Make a CA and keep it.
    Make,
    /// Put the CA that is kept into the state.
    Put,
    /// Make a certificate for this server, by the state's CA.
    Issue,
    /// Forget the CA that is kept: the state has one.
    Forget,
    /// Put the token that a cluster begins with into the state.
    PutToken,
}

/// Decides. Once the step is done the next call says the next one, at last [`Step::Rest`].
///
/// The state's CA is the cluster's, whatever is kept beside it: two servers that made one each agree by that. Whoever leads puts what it
/// keeps, and only who leads makes one, so that there is none without a state to keep it.
#[must_use]
pub const fn decide(facts: Facts) -> Step {
    match facts {
        Facts { is_in_state: true, is_enrolled: false, .. }
        | Facts { is_in_state: true, is_due: true, .. } => Step::Issue,
        Facts { is_in_state: true, is_kept: true, .. } => Step::Forget,
        Facts { is_in_state: true, leads: true, has_token: false, .. } => Step::PutToken,
        Facts { is_in_state: false, leads: true, is_kept: true, .. } => Step::Put,
        Facts { is_in_state: false, leads: true, is_kept: false, .. } => Step::Make,
        _ => Step::Rest,
    }
}

/// Whether a leader seals the state's CA anew, by the marks of keys: `newest` is its own newest one, `sealed_with` the one that the CA is sealed
/// with, none where it cannot open it; `servers` are those of all servers, none of one that does not answer.
///
/// Not before all have the new key: one that has not could issue nothing any more, and one that is away comes back with the old key file. Every leader
/// decides anew, so that one that ends in the middle leaves nothing behind: the CA is sealed with the one key or with the other.
#[must_use]
pub fn seals_anew(newest: Option<u64>, sealed_with: Option<u64>, servers: &[Option<Vec<u64>>]) -> bool {
    let (Some(newest), Some(sealed_with)) = (newest, sealed_with) else { return false };
    let knows = |keys: &Option<Vec<u64>>| keys.as_ref().is_some_and(|keys| keys.contains(&newest));
    newest != sealed_with && servers.iter().all(knows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_makes_a_ca_once_and_ends_with_a_certificate_and_nothing_kept() {
        let mut facts = Facts { leads: true, ..Facts::default() };
        let mut steps = vec![];
        loop {
            let step = decide(facts);
            steps.push(step);
            match step {
                Step::Make => facts.is_kept = true,
                Step::Put => facts.is_in_state = true,
                Step::Issue => (facts.is_enrolled, facts.is_due) = (true, false),
                Step::Forget => facts.is_kept = false,
                Step::PutToken => facts.has_token = true,
                Step::Rest => break,
            }
        }
        assert_eq!(steps, [Step::Make, Step::Put, Step::Issue, Step::Forget, Step::PutToken, Step::Rest]);
        facts.is_due = true;
        assert_eq!(decide(facts), Step::Issue, "and renews it");
    }

    #[test]
    fn who_does_not_lead_makes_no_ca_and_takes_the_states() {
        assert_eq!(decide(Facts::default()), Step::Rest);
        assert_eq!(decide(Facts { is_kept: true, is_enrolled: true, ..Facts::default() }), Step::Rest);
        assert_eq!(decide(Facts { is_in_state: true, is_kept: true, ..Facts::default() }), Step::Issue);
        let all = Facts { is_in_state: true, is_enrolled: true, ..Facts::default() };
        assert_eq!(decide(all), Step::Rest, "nor says what lets people in");
    }

    #[test]
    fn the_ca_is_sealed_with_the_new_key_once_all_servers_have_it() {
        let (new, old) = (9, 7);
        let has = |keys: &[u64]| Some(keys.to_vec());
        let both = has(&[new, old]);
        assert!(seals_anew(Some(new), Some(old), &[both.clone(), both.clone(), has(&[new])]));
        assert!(!seals_anew(Some(new), Some(old), &[both.clone(), has(&[old])]), "one has not");
        assert!(!seals_anew(Some(new), Some(old), &[both.clone(), None]), "one is away");
        assert!(!seals_anew(Some(new), Some(new), std::slice::from_ref(&both)), "it is");
        assert!(!seals_anew(Some(new), None, &[both]), "it cannot be opened here");
    }
}
