//! What a query string may say, and what a body may: unknown words are refused, because a misspelt one would be lost silently.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use http::request::Parts;
use proto::error::{Error, Kind};
use proto::ids::{RequestId, Revision, random_request_id};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::Failure;
use crate::ops::Wait;

/// The query string as a `T`.
pub(super) struct Params<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => {
                let text = rejection.body_text();
                let why = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
                Err(Error::new(Kind::Invalid, format!("the query string is not right: {why}")).into())
            }
        }
    }
}

/// The body, read as JSON.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            let too_large = rejection.status() == http::StatusCode::PAYLOAD_TOO_LARGE;
            let kind = if too_large { Kind::TooLarge } else { Kind::Invalid };
            let most = crate::limits::HTTP_BODY_BYTES;
            let said = if too_large {
                format!("the body has more than {most} bytes")
            } else {
                "the body could not be read".to_owned()
            };
            Failure(Error::new(kind, said))
        })?;
        // Many writes have nothing to say beyond their path.
        let text = if bytes.is_empty() { b"{}" } else { bytes.as_ref() };
        let parsed = serde_json::from_slice(text);
        parsed
            .map(Self)
            .map_err(|error| Error::new(Kind::Invalid, format!("the body is not right: {error}")).into())
    }
}

/// `?wait=5s&revision=42`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Read {
    #[serde(default)]
    pub(super) namespace: String,
    #[serde(default)]
    wait: Option<Span>,
    #[serde(default)]
    revision: u64,
}

impl Read {
    pub(super) fn wait(&self) -> Wait {
        let at_most = self.wait.as_ref().map_or(Duration::ZERO, |span| span.0);
        Wait { after: Revision(self.revision), at_most }
    }
}

/// Where names are looked up.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Within {
    #[serde(default)]
    pub(super) namespace: String,
}

/// A duration with its unit.
#[derive(Debug)]
pub(super) struct Span(pub(super) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        proto::units::parse_duration(&text).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A switch: `?follow`, `?follow=true`.
pub(super) fn switch<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    match String::deserialize(from)?.as_str() {
        "" | "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        other => Err(serde::de::Error::custom(format!("`{other}` is neither true nor false"))),
    }
}

/// Reads the name of a write: 32 hexadecimal digits, not all zero. Without one a new one is made, and a repetition is another write.
pub(super) fn request_id(text: Option<&str>) -> Result<RequestId, Failure> {
    let Some(text) = text else { return Ok(random_request_id()) };
    let id = u128::from_str_radix(text, 16).ok().filter(|id| *id != 0 && text.len() == 32);
    let bad = || Error::new(Kind::Invalid, "`request_id` is not 32 hexadecimal digits, or is zero");
    id.map(RequestId).ok_or_else(|| bad().into())
}
