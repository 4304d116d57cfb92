//! Why something is as it is, told in sentences.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::Revision;
use crate::time::Timestamp;

/// The story of a job or an allocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Story {
    /// Whose: `web`, `web.api.0`.
    pub name: String,
    /// How it is, in one sentence.
    pub headline: String,
    /// What happened, oldest first.
    pub past: Vec<Sentence>,
    /// How things are and why.
    pub present: Vec<Sentence>,
    /// What happens next, or what a person can do.
    pub next: Vec<Sentence>,
    /// The revision of the state that this tells of.
    pub revision: Revision,
}

/// A sentence of a story.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sentence {
    /// When it happened, since when it is so, or when it will be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The sentence.
    pub text: String,
    /// The last lines of output that belong to it, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub tail: String,
}

impl Sentence {
    /// Makes a sentence.
    pub fn new(at: Option<Timestamp>, text: impl Into<String>) -> Self {
        Self { at, text: text.into(), tail: String::new() }
    }
}
