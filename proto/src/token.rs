//! Tokens of people: random, and remembered by their hash alone.

use sha2::{Digest, Sha256};

use crate::ids::random_request_id;

/// What is remembered of a token. It has no way back, because a token is random and long.
pub type TokenHash = [u8; 32];

/// Makes a new token: 128 random bits, as 32 letters and digits.
#[must_use]
pub fn random() -> String {
    random_request_id().to_string()
}

/// Returns what is remembered of a token.
#[must_use]
pub fn hash(token: &[u8]) -> TokenHash {
    Sha256::digest(token).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_the_same_everywhere_and_another_for_every_token() {
        let (one, other) = (random(), random());
        assert_eq!(one.len(), 32);
        assert!(
            hash(one.as_bytes()) == hash(one.as_bytes()) && hash(one.as_bytes()) != hash(other.as_bytes())
        );
        // Computed once: what is in a state of any age must fit.
        assert_eq!(hash(b"abc")[..4], [0xba, 0x78, 0x16, 0xbf]);
    }
}
