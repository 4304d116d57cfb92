//! How a refusal is said: one list of kinds, and one table of what they are on each transport.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal, http $http:literal, grpc $grpc:ident, exit $exit:literal;)*) => {
        /// Why a request was refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Kind {
            $($(#[$doc])* #[serde(rename = $word)] $name,)*
        }

        impl Kind {
            /// The word for it, as in JSON.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }
            /// Its HTTP status.
            #[must_use]
            pub const fn http_status(self) -> u16 {
                match self { $(Self::$name => $http,)* }
            }
            /// Its gRPC code.
            #[must_use]
            pub const fn grpc_code(self) -> tonic::Code {
                match self { $(Self::$name => tonic::Code::$grpc,)* }
            }
            /// The exit code of a command that met it.
            #[must_use]
            pub const fn exit_code(self) -> u8 {
                match self { $(Self::$name => $exit,)* }
            }
            /// Returns the kind of that word.
            #[must_use]
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some(Self::$name),)* _ => None }
            }
        }
    };
}

kinds! {
    /// The request makes no sense as it is.
    Invalid = "invalid", http 400, grpc InvalidArgument, exit 2;
    /// What it names does not exist.
    NotFound = "not_found", http 404, grpc NotFound, exit 3;
    /// Somebody else changed it meanwhile, or the same request id came with another body.
    Conflict = "conflict", http 409, grpc Aborted, exit 1;
    /// It is understood and not allowed in the present state.
    Refused = "refused", http 422, grpc FailedPrecondition, exit 1;
    /// No token, a wrong one, or one without the capability.
    Forbidden = "forbidden", http 403, grpc PermissionDenied, exit 5;
    /// Another server leads.
    NotLeader = "not_leader", http 421, grpc Unavailable, exit 4;
    /// Nobody leads, a queue is full, or the outcome is not known; trying again is right.
    Unavailable = "unavailable", http 503, grpc Unavailable, exit 4;
    /// More bytes than the limit.
    TooLarge = "too_large", http 413, grpc ResourceExhausted, exit 2;
    /// A defect of ours.
    Internal = "internal", http 500, grpc Internal, exit 1;
}

/// A refusal as every transport carries it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error, JsonSchema)]
#[error("{message}")]
pub struct Error {
    /// Which kind.
    pub kind: Kind,
    /// One sentence for people: what, which value, why.
    pub message: String,
    /// One line per single fault, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// The next step, or empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

impl Error {
    /// Makes a refusal.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), details: Vec::new(), hint: String::new() }
    }

    /// Adds the next step.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// Adds the single faults.
    #[must_use]
    pub fn details(mut self, details: Vec<String>) -> Self {
        self.details = details;
        self
    }
}

/// The trailer that carries an [`Error`] as JSON beside the gRPC status.
const TRAILER: &str = "minijob-error-bin";

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        let mut status = Self::new(error.kind.grpc_code(), &error.message);
        let body = serde_json::to_vec(&error).unwrap_or_default();
        status.metadata_mut().insert_bin(TRAILER, tonic::metadata::MetadataValue::from_bytes(&body));
        status
    }
}

impl From<&tonic::Status> for Error {
    /// Reads a refusal back; a status that no minijob server made (a closed connection, a proxy) becomes the nearest kind.
    fn from(status: &tonic::Status) -> Self {
        let carried = status.metadata().get_bin(TRAILER).and_then(|value| value.to_bytes().ok());
        if let Some(error) = carried.and_then(|body| serde_json::from_slice(&body).ok()) {
            return error;
        }
        let kind = match status.code() {
            tonic::Code::InvalidArgument => Kind::Invalid,
            tonic::Code::NotFound => Kind::NotFound,
            tonic::Code::PermissionDenied | tonic::Code::Unauthenticated => Kind::Forbidden,
            tonic::Code::OutOfRange | tonic::Code::ResourceExhausted => Kind::TooLarge,
            tonic::Code::Unavailable | tonic::Code::DeadlineExceeded | tonic::Code::Cancelled => {
                Kind::Unavailable
            }
            _ => Kind::Internal,
        };
        Self::new(kind, status.message())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_survives_grpc_whole() {
        let error = Error::new(Kind::Refused, "job `a` is stopped")
            .hint("minijob start a")
            .details(vec!["one".into(), "two".into()]);
        let status: tonic::Status = error.clone().into();
        assert_eq!(status.code(), tonic::Code::FailedPrecondition);
        assert_eq!(Error::from(&status), error);
    }

    #[test]
    fn a_foreign_status_becomes_the_nearest_kind() {
        let status = tonic::Status::unavailable("tcp connect error");
        assert_eq!(Error::from(&status).kind, Kind::Unavailable);
    }
}
