//! Names of things: every id is its own type, so that one never fits where another is wanted.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Digits of a shown id: base 32 without letters that read like digits (Crockford's alphabet, lower case).
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Characters of a shown 64-bit id: 13 digits of 5 bits.
pub const SHOWN_LEN: usize = 13;

/// What is wrong with a text that should be an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an id: expected {SHOWN_LEN} characters of 0-9 and a-z without i, l, o and u")]
pub struct BadId {
    /// The text as given.
    pub text: String,
}

/// Mixes a number so that neighbours look unlike each other; [`unmix`] is its inverse.
///
/// Ids come from a counter. Shown as they are, all would share a prefix and people could not shorten them.
const fn mix(mut x: u64) -> u64 {
    x ^= x >> 32;
    x = x.wrapping_mul(MULTIPLIER);
    x ^= x >> 29;
    x = x.wrapping_mul(MULTIPLIER);
    x ^ (x >> 32)
}

const fn unmix(mut x: u64) -> u64 {
    x ^= x >> 32;
    x = x.wrapping_mul(INVERSE);
    x ^= (x >> 29) ^ (x >> 58);
    x = x.wrapping_mul(INVERSE);
    x ^ (x >> 32)
}

/// An odd constant (so that multiplication is a bijection on 64 bits), and its inverse modulo 2^64.
const MULTIPLIER: u64 = 0xd6e8_feb8_6659_fd93;
const INVERSE: u64 = inverse(MULTIPLIER);

/// Newton's iteration for the inverse of an odd number modulo 2^64: each round doubles the number of right bits.
const fn inverse(odd: u64) -> u64 {
    let mut x = odd;
    let mut round = 0;
    while round < 6 {
        x = x.wrapping_mul(2u64.wrapping_sub(odd.wrapping_mul(x)));
        round += 1;
    }
    x
}

/// Writes a number as its shown form.
fn show(number: u64) -> String {
    let mixed = mix(number);
    (0..SHOWN_LEN).rev().map(|place| DIGITS[((mixed >> (place * 5)) & 31) as usize] as char).collect()
}

/// Reads a shown form; the inverse of [`show`].
fn read(text: &str) -> Result<u64, BadId> {
    let bad = || BadId { text: text.to_owned() };
    if text.len() != SHOWN_LEN {
        return Err(bad());
    }
    let mut value: u128 = 0;
    for byte in text.bytes() {
        let digit = DIGITS.iter().position(|d| *d == byte.to_ascii_lowercase()).ok_or_else(bad)?;
        value = (value << 5) | digit as u128;
    }
    u64::try_from(value).map(unmix).map_err(|_| bad())
}

macro_rules! shown_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&show(self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({}={})", stringify!($name), show(self.0), self.0)
            }
        }
        impl FromStr for $name {
            type Err = BadId;
            fn from_str(text: &str) -> Result<Self, BadId> {
                read(text).map($name)
            }
        }
        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": "^[0-9a-hjkmnp-tv-z]{13}$" })
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

shown_id! {
    /// An allocation: one placed instance of a group. Numbered by a counter in state, never reused.
    AllocId
}
shown_id! {
    /// A machine with an agent: random, made once, kept in the agent's data directory.
    NodeId
}
shown_id! {
    /// A Raft member: random, made once, kept in the server's data directory.
    ServerId
}
shown_id! {
    /// One life of a cluster's state: random at bootstrap, and new after a snapshot was restored into new servers.
    Incarnation
}

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        #[schemars(inline)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
        impl $name {
            /// Returns the number after this one.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }
        }
    };
}

counter! {
    /// Grows by one per command: the position of a change in the history of the state.
    Revision
}
counter! {
    /// The version of a job: 1 for the first submission, one more for every change.
    JobVersion
}
counter! {
    /// Grows with every registration of a node, so that a plan made for an earlier session of it is refused.
    Generation
}

/// The revision at which a leader began to lead. A Raft term is no substitute: a restarted leader resumes in the same term.
pub type Reign = Revision;

/// Names one write, so that a client may send it again without it being applied twice. Random, 128 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u128);

impl RequestId {
    /// Returns whether the writer gave no id: the write is then not protected against being applied twice.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The namespace of a job whose file names none.
pub const DEFAULT_NAMESPACE: &str = "default";

/// A job's full name: its namespace and its name within it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct JobKey {
    /// The isolation unit, `default` unless the file says otherwise.
    pub namespace: String,
    /// Unique in its namespace.
    pub name: String,
}

impl JobKey {
    /// Puts a namespace and a name together.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl fmt::Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.namespace == DEFAULT_NAMESPACE {
            f.write_str(&self.name)
        } else {
            write!(f, "{}/{}", self.namespace, self.name)
        }
    }
}

/// Returns 64 random bits of the operating system, never 0.
///
/// # Panics
/// When the kernel has no random numbers, which Linux has since before any process runs.
#[must_use]
pub fn random_u64() -> u64 {
    loop {
        let number = getrandom::u64().expect("the kernel gives random numbers");
        if number != 0 {
            return number;
        }
    }
}

/// Returns a new request id, see [`random_u64`].
#[must_use]
pub fn random_request_id() -> RequestId {
    RequestId((u128::from(random_u64()) << 64) | u128::from(random_u64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_id_reads_back_as_the_number_it_was() {
        for number in [0, 1, 2, 31, 32, u64::MAX, u64::MAX - 1, 0x1234_5678_9abc_def0] {
            let id = AllocId(number);
            assert_eq!(id.to_string().len(), SHOWN_LEN);
            assert_eq!(id.to_string().parse::<AllocId>(), Ok(id));
        }
    }

    #[test]
    fn neighbours_have_different_prefixes() {
        let prefixes: std::collections::BTreeSet<String> =
            (1..=1000).map(|n| AllocId(n).to_string()[..6].to_owned()).collect();
        assert!(prefixes.len() > 990, "only {} of 1000 prefixes differ", prefixes.len());
    }

    #[test]
    fn a_text_that_is_no_id_is_refused_with_its_text() {
        for text in ["", "abc", "zzzzzzzzzzzzz", "0000000000000000", "000000000000u"] {
            assert_eq!(text.parse::<NodeId>(), Err(BadId { text: text.to_owned() }));
        }
    }
}
