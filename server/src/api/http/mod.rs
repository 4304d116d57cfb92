//! HTTP/1.1 with JSON: what `docs/api.md` describes.

/// A refusal as an answer.
mod failure;
/// Jobs.
mod jobs;
/// What machines ask: health and metrics.
mod probes;
/// What a query string may say.
mod query;
/// Signals to running tasks.
mod reach;
/// Allocations, nodes, version.
mod reads;
/// Facts and output, as they come.
mod streams;

use axum::Router;
use axum::routing::{get, post};
use http::Uri;
use proto::error::{Error, Kind};

pub(super) use failure::Failure;

use super::Context;

/// The endpoints.
pub(super) fn router() -> Router<Context> {
    Router::new()
        .route("/v1/jobs", get(jobs::list).post(jobs::put))
        .route("/v1/jobs/{name}", get(jobs::show).delete(jobs::stop))
        .route("/v1/jobs/{name}/logs", get(streams::logs))
        .route("/v1/allocs/{id}", get(reads::alloc))
        .route("/v1/allocs/{id}/signal", post(reach::signal))
        .route("/v1/nodes", get(reads::nodes))
        .route("/v1/events", get(streams::events))
        .route("/v1/version", get(reads::version))
        .route("/health", get(probes::health))
        .route("/metrics", get(probes::metrics))
}

/// Answers for a path that does not exist.
pub(super) async fn unknown_path(uri: Uri) -> Failure {
    let shown: String = uri.path().chars().take(200).collect();
    Failure(
        Error::new(Kind::NotFound, format!("there is nothing at `{shown}`"))
            .hint("docs/api.md lists the paths"),
    )
}

/// Answers for a method that a path does not have.
pub(super) async fn unknown_method(method: http::Method, uri: Uri) -> Failure {
    let shown: String = uri.path().chars().take(200).collect();
    Failure(Error::new(Kind::Invalid, format!("{method} is not possible at `{shown}`")))
}
