//! The cluster's token: made at the first start, kept in the data directory by its owner, brought with every request.

use std::fmt;

use proto::key::ClusterKey;
use subtle::ConstantTimeEq;

/// The fewest characters that are accepted: an empty or forgotten line must never open the door.
const LEAST_CHARS: usize = 16;
/// The most characters that are accepted: it travels in a header.
const MOST_CHARS: usize = 512;

/// Why a text is no token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token is {LEAST_CHARS} to {MOST_CHARS} visible characters without spaces, this has {chars}")]
pub struct BadToken {
    /// How many characters it has, or how many of them are visible.
    pub chars: usize,
}

/// A secret that allows everything. Its text is never shown by accident.
pub struct Token(Box<str>);

impl Token {
    /// Makes a new one: 128 random bits.
    #[must_use]
    pub fn random() -> Self {
        Self(proto::ids::random_request_id().to_string().into())
    }

    /// Returns the one that follows from the cluster's key, and is the same on every server.
    #[must_use]
    pub fn of_key(key: &ClusterKey) -> Self {
        Self(key.token().into())
    }

    /// Reads one, without the white space around it.
    ///
    /// # Errors
    /// When it is too short, too long or holds what a header cannot.
    pub fn parse(text: &str) -> Result<Self, BadToken> {
        let text = text.trim();
        let visible = text.bytes().filter(u8::is_ascii_graphic).count();
        if visible == text.len() && (LEAST_CHARS..=MOST_CHARS).contains(&visible) {
            return Ok(Self(text.into()));
        }
        Err(BadToken { chars: visible })
    }

    /// Returns the secret, to be written into a file that only its owner can read.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Returns whether that is it, in a time that says nothing about how much of it is right.
    #[must_use]
    pub fn is(&self, presented: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(presented).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_itself_alone_and_never_shows_by_accident() {
        let (token, other) = (Token::random(), Token::random());
        assert_eq!(token.reveal().len(), 32);
        assert!(token.is(token.reveal().as_bytes()));
        assert!(!token.is(other.reveal().as_bytes()));
        assert!(!token.is(b"") && !token.is(&token.reveal().as_bytes()[..31]));
        assert!(!format!("{token:?}").contains(token.reveal()));
    }

    #[test]
    fn a_forgotten_file_is_no_token() {
        for text in ["", "  \n", "short", "with space in the middle", &"x".repeat(513)] {
            assert!(Token::parse(text).is_err(), "{text:?}");
        }
        assert!(Token::parse(&format!(" {}\n", Token::random().reveal())).is_ok());
    }
}
