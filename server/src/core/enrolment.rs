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
        Facts { is_in_state: false, leads: true, is_kept: true, .. } => Step::Put,
        Facts { is_in_state: false, leads: true, is_kept: false, .. } => Step::Make,
        _ => Step::Rest,
    }
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
                Step::Rest => break,
            }
        }
        assert_eq!(steps, [Step::Make, Step::Put, Step::Issue, Step::Forget, Step::Rest]);
        facts.is_due = true;
        assert_eq!(decide(facts), Step::Issue, "and renews it");
    }

    #[test]
    fn who_does_not_lead_makes_no_ca_and_takes_the_states() {
        assert_eq!(decide(Facts::default()), Step::Rest);
        assert_eq!(decide(Facts { is_kept: true, is_enrolled: true, ..Facts::default() }), Step::Rest);
        assert_eq!(decide(Facts { is_in_state: true, is_kept: true, ..Facts::default() }), Step::Issue);
    }
}
