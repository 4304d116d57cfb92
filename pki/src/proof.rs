//! Proofs with the cluster's key that only hold on the connection they were made for.
//!
//! Both ends of a TLS connection can derive the same secret bytes from its handshake ([`Binding`]). Somebody between, who has one
//! connection to each side, has two different ones. A proof is a MAC over these bytes and over what is said, so it can neither be passed on
//! nor be shown a second time, and it does not tell the key.

use std::fmt;

use ring::hmac;

/// What both ends of one TLS connection know, and nobody else: bytes exported from its handshake.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Binding(pub(crate) [u8; 32]);

/// What the cluster's key makes for one purpose; see `ClusterKey::secret`.
pub type Secret = [u8; 32];

/// A proof that who says something has the key.
pub type Proof = [u8; 32];

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Binding(..)")
    }
}

/// Proves what is said, in one direction. `label` names the message and its version: the same parts under another label are another
/// statement, so that nobody's own words can be sent back to them.
#[must_use]
pub fn prove(secret: &Secret, binding: &Binding, label: &str, parts: &[&[u8]]) -> Proof {
    let mac = sign(secret, binding, label, parts);
    let mut proof = [0; 32];
    proof.copy_from_slice(mac.as_ref());
    proof
}

/// Returns whether a proof is right, in a time that does not depend on how much of it is.
#[must_use]
pub fn is_proven(secret: &Secret, binding: &Binding, label: &str, parts: &[&[u8]], proof: &[u8]) -> bool {
    let text = statement(binding, label, parts);
    hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, secret), &text, proof).is_ok()
}

fn sign(secret: &Secret, binding: &Binding, label: &str, parts: &[&[u8]]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), &statement(binding, label, parts))
}

/// Every part with its length, so that no two statements are the same bytes.
fn statement(binding: &Binding, label: &str, parts: &[&[u8]]) -> Vec<u8> {
    let mut text = Vec::new();
    for part in [label.as_bytes(), &binding.0].iter().chain(parts) {
        text.extend_from_slice(&(part.len() as u64).to_be_bytes());
        text.extend_from_slice(part);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_holds_for_its_key_connection_label_and_words_alone() {
        let (secret, binding) = ([1; 32], Binding([2; 32]));
        let parts: [&[u8]; 2] = [b"ab", b"c"];
        let proof = prove(&secret, &binding, "x", &parts);
        let holds = |secret, binding, label, parts: &[&[u8]], proof: &[u8]| {
            is_proven(secret, binding, label, parts, proof)
        };
        assert!(holds(&secret, &binding, "x", &parts, &proof));
        assert!(!holds(&[9; 32], &binding, "x", &parts, &proof), "another key");
        assert!(!holds(&secret, &Binding([9; 32]), "x", &parts, &proof), "another connection");
        assert!(!holds(&secret, &binding, "y", &parts, &proof), "another message");
        assert!(!holds(&secret, &binding, "x", &[b"a", b"bc"], &proof), "other words");
        assert!(!holds(&secret, &binding, "x", &[b"ab", b"c", b""], &proof), "more words");
        for wrong in [&proof[..31], &b""[..], &[0; 32]] {
            assert!(!holds(&secret, &binding, "x", &parts, wrong));
        }
        assert!(!format!("{binding:?}").contains('2'));
    }
}
