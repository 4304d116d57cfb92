//! The first certificate: two messages, pure. `docs/decisions/0003-enrolment.md` says why they are so.
//!
//! A member that has the cluster's key and no certificate connects to a server with TLS that believes anybody
//! ([`crate::tls::unproven`]), and sends an [`Ask`]. The server checks it and answers with a [`Grant`]. Each proves that it has the key, on
//! this very connection; neither trusts a word of the other before.

use crate::member::Member;
use crate::proof::{self, Binding, Proof, Secret};

const ASK: &str = "minijob enrolment: ask, version 1";
const GRANT: &str = "minijob enrolment: grant, version 1";

/// What a member says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Who it wants to be.
    pub member: Member,
    /// Other names and addresses of a server.
    pub hosts: Vec<String>,
    /// [`crate::Pending::request`].
    pub request: Vec<u8>,
    /// That it has the key.
    pub proof: Proof,
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The member's certificate (DER).
    pub certificate: Vec<u8>,
    /// The CAs that members trust (PEM).
    pub trust: String,
    /// That the server has the key.
    pub proof: Proof,
}

/// What is shown for a proof is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The other side has another key, or somebody between passes messages on.
    #[error(
        "the proof does not fit the cluster's key: this machine and the server have different key files, or something between them \
         answers in the server's place; compare the files that `key_file` names on both"
    )]
    WrongKey,
    /// This server has no key.
    #[error("this server was started without a key file: nobody can enrol with it; start it with --key-file")]
    NoKey,
}

impl Ask {
    /// Makes the first message, for one connection.
    #[must_use]
    pub fn new(
        secret: &Secret,
        binding: &Binding,
        member: Member,
        hosts: Vec<String>,
        request: Vec<u8>,
    ) -> Self {
        let mut ask = Self { member, hosts, request, proof: [0; 32] };
        ask.proof = ask.said(|parts| proof::prove(secret, binding, ASK, parts));
        ask
    }

    /// Checks it on the connection that it came over, against the keys that hold: one, or two while the key is being changed.
    /// Returns the one that was used, for the answer.
    ///
    /// # Errors
    /// [`Refused`]
    pub fn check<'s>(&self, secrets: &'s [Secret], binding: &Binding) -> Result<&'s Secret, Refused> {
        if secrets.is_empty() {
            return Err(Refused::NoKey);
        }
        let fits =
            |secret: &&Secret| self.said(|parts| proof::is_proven(secret, binding, ASK, parts, &self.proof));
        secrets.iter().find(fits).ok_or(Refused::WrongKey)
    }

    /// Answers it. `secret` is what [`Ask::check`] returned, `binding` the same as there.
    #[must_use]
    pub fn grant(&self, secret: &Secret, binding: &Binding, certificate: Vec<u8>, trust: String) -> Grant {
        let proof = proof::prove(secret, binding, GRANT, &[&self.proof, &certificate, trust.as_bytes()]);
        Grant { certificate, trust, proof }
    }

    fn said<T>(&self, with: impl FnOnce(&[&[u8]]) -> T) -> T {
        let Member { role, name, id } = &self.member;
        let (id, many) = (id.to_be_bytes(), (self.hosts.len() as u64).to_be_bytes());
        let mut parts = vec![role.word().as_bytes(), name.as_bytes(), &id, &self.request, &many];
        parts.extend(self.hosts.iter().map(String::as_bytes));
        with(&parts)
    }
}

impl Grant {
    /// Checks that whoever answered has the key too, and answered this question on this connection. Only then may anything in it be used.
    ///
    /// # Errors
    /// [`Refused::WrongKey`]
    pub fn check(&self, secret: &Secret, binding: &Binding, asked: &Ask) -> Result<(), Refused> {
        let parts: [&[u8]; 3] = [&asked.proof, &self.certificate, self.trust.as_bytes()];
        if proof::is_proven(secret, binding, GRANT, &parts, &self.proof) {
            Ok(())
        } else {
            Err(Refused::WrongKey)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::member::Role;
    use crate::testing::member;

    const KEY: Secret = [1; 32];
    const OTHER: Secret = [2; 32];
    const HERE: Binding = Binding([3; 32]);
    const ELSEWHERE: Binding = Binding([4; 32]);

    fn ask() -> Ask {
        Ask::new(&KEY, &HERE, member(Role::Agent, "a", 1), vec![], b"request".to_vec())
    }

    #[test]
    fn who_has_the_key_enrols_and_knows_that_the_server_has_it() {
        let ask = ask();
        let secret = ask.check(&[OTHER, KEY], &HERE).unwrap();
        assert_eq!(*secret, KEY, "while the key is changed both hold");
        let grant = ask.grant(secret, &HERE, b"certificate".to_vec(), "trust".into());
        assert_eq!(grant.check(&KEY, &HERE, &ask), Ok(()));
    }

    #[test]
    fn who_has_another_key_or_none_does_not_enrol() {
        let ask = ask();
        assert_eq!(ask.check(&[OTHER], &HERE), Err(Refused::WrongKey));
        assert_eq!(ask.check(&[], &HERE), Err(Refused::NoKey));
        let forged = Ask { proof: [0; 32], ..ask };
        assert_eq!(forged.check(&[KEY], &HERE), Err(Refused::WrongKey));
    }

    #[test]
    fn a_message_that_was_overheard_is_worth_nothing_on_another_connection() {
        let ask = ask();
        assert_eq!(
            ask.check(&[KEY], &ELSEWHERE),
            Err(Refused::WrongKey),
            "replayed, or passed on by somebody between"
        );
        let grant = ask.grant(&KEY, &ELSEWHERE, b"certificate".to_vec(), "trust".into());
        assert_eq!(
            grant.check(&KEY, &HERE, &ask),
            Err(Refused::WrongKey),
            "an answer from another connection"
        );
    }

    #[test]
    fn nobody_between_changes_what_is_asked_or_granted() {
        let asked = ask();
        let changed = [
            Ask { member: member(Role::Server, "a", 1), ..asked.clone() },
            Ask { member: member(Role::Agent, "b", 1), ..asked.clone() },
            Ask { member: member(Role::Agent, "a", 2), ..asked.clone() },
            Ask { request: b"theirs".to_vec(), ..asked.clone() },
            Ask { hosts: vec!["bank.example".into()], ..asked.clone() },
        ];
        for ask in changed {
            assert_eq!(ask.check(&[KEY], &HERE), Err(Refused::WrongKey), "{ask:?}");
        }
        let granted = asked.grant(&KEY, &HERE, b"certificate".to_vec(), "trust".into());
        let changed = [
            Grant { certificate: b"theirs".to_vec(), ..granted.clone() },
            Grant { trust: "theirs".into(), ..granted.clone() },
            Grant { proof: asked.proof, ..granted.clone() },
        ];
        for grant in changed {
            assert_eq!(grant.check(&KEY, &HERE, &asked), Err(Refused::WrongKey), "{grant:?}");
        }
        let another = Ask::new(&KEY, &HERE, member(Role::Agent, "b", 9), vec![], b"request".to_vec());
        assert_eq!(
            granted.check(&KEY, &HERE, &another),
            Err(Refused::WrongKey),
            "the answer to another question"
        );
    }
}
