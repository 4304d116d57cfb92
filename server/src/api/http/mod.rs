//! HTTP/1.1 with JSON: what `docs/api.md` describes.

/// The brake.
mod brake;
/// A refusal as an answer.
mod failure;
/// Jobs.
mod jobs;
/// Nodes and servers.
mod machines;
/// Who belongs to the cluster.
mod members;
/// The endpoints as a document.
mod openapi;
/// What machines ask: health and metrics.
mod probes;
/// What a query string may say.
mod query;
/// Signals to running tasks.
mod reach;
/// Allocations, stories, version.
mod reads;
/// Settings of the cluster.
mod settings;
/// Facts and output, as they come.
mod streams;
/// The table of endpoints.
mod table;
/// Versions of a job.
mod versions;

use axum::Router;
use http::Uri;
use proto::error::{Error, Kind};

pub(super) use failure::Failure;
#[cfg(test)]
pub(super) use table::endpoints;

use super::Context;

/// The endpoints.
pub(super) fn router() -> Router<Context> {
    table::endpoints()
        .into_iter()
        .fold(Router::new(), |router, endpoint| router.route(endpoint.path, (endpoint.handler)()))
}

/// Answers for a path that does not exist.
pub(super) async fn unknown_path(uri: Uri) -> Failure {
    let shown: String = uri.path().chars().take(200).collect();
    Failure(
        Error::new(Kind::NotFound, format!("there is nothing at `{shown}`"))
            .hint("docs/api.md and /v1/openapi.json list the paths"),
    )
}

/// Answers for a method that a path does not have.
pub(super) async fn unknown_method(method: http::Method, uri: Uri) -> Failure {
    let shown: String = uri.path().chars().take(200).collect();
    Failure(Error::new(Kind::Invalid, format!("{method} is not possible at `{shown}`")))
}
